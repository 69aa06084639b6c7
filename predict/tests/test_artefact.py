"""What is an artefact, and that everything else is refused with a reason and a remedy."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from predict.artefact import (
    CONFIGURATION,
    FEATURES,
    METADATA,
    METRICS,
    MODEL,
    REPORT,
    REQUIRED_FILES,
    ArtefactError,
    load_artefact,
    serialise_metadata,
)
from predict.predictor import Predictor
from predict.tests.conftest import GOLDEN
from predict.tests.tiny_artefact import LABELS, change_metadata

ALL_FILES = (METADATA, MODEL, FEATURES, METRICS, CONFIGURATION, REPORT)
RUN_TRAIN = r"Run `make train`, then set ARTEFACT_DIR in conf/predict\.conf"
DAMAGED = "The artefact is damaged: copy it again from where it was trained, or train again"


def test_what_was_written_is_read(tiny_artefact: Path) -> None:
    artefact = load_artefact(tiny_artefact)
    assert artefact.path == tiny_artefact
    assert artefact.metadata.outputs[0].labels == list(LABELS)
    assert artefact.metadata.embedding == {"algorithm": "by hand — für Menschen 🙂"}
    assert set(artefact.metadata.files) == set(ALL_FILES) - {METADATA}


def test_a_link_leads_to_the_artefact_that_it_pointed_to(
    tiny_artefact: Path, tmp_path: Path
) -> None:
    (tmp_path / "latest").symlink_to(tiny_artefact)
    assert load_artefact(tmp_path / "latest").path == tiny_artefact.resolve()


def test_the_same_metadata_has_the_same_bytes_and_the_checksum_first() -> None:
    raw = serialise_metadata({"a": "0" * 64})
    assert raw == serialise_metadata({"a": "0" * 64})
    assert next(iter(json.loads(raw))) == "checksum"
    assert json.loads(raw)["a"] == "0" * 64


def test_unknown_keys_are_kept(artefact_copy: Path) -> None:
    change_metadata(
        artefact_copy,
        weather={"sunny": True},
        inputs=[{"name": "title", "type": "text", "unit": "words"}],
    )
    metadata = load_artefact(artefact_copy).metadata
    assert metadata.model_dump()["weather"] == {"sunny": True}
    assert metadata.inputs[0].model_dump()["unit"] == "words"


def remove(name: str) -> Callable[[Path], None]:
    return lambda directory: (directory / name).unlink()


def write(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda directory: (directory / name).write_bytes(content)


def append_blank(directory: Path) -> None:
    with (directory / REPORT).open("ab") as file:
        file.write(b" ")


def drop_model_from_list(directory: Path) -> None:
    files = json.loads((directory / METADATA).read_bytes())["files"]
    files.pop(MODEL)
    change_metadata(directory, files=files)


def make_folder_of_report(directory: Path) -> None:
    (directory / REPORT).unlink()
    (directory / REPORT).mkdir()


def make_folder_of_metadata(directory: Path) -> None:
    (directory / METADATA).unlink()
    (directory / METADATA).mkdir()


def change(**changes: object) -> Callable[[Path], None]:
    return lambda directory: change_metadata(directory, **changes)


def without(key: str) -> Callable[[Path], None]:
    return lambda directory: change_metadata(directory, remove=[key])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (shutil.rmtree, rf"artefact does not exist\. {RUN_TRAIN}"),
        (
            remove(METADATA),
            rf"artefact is not an artefact directory: metadata\.json is missing\. {RUN_TRAIN}",
        ),
        (make_folder_of_metadata, r"metadata\.json: cannot be read: Is a directory"),
        (write(METADATA, b""), rf"metadata\.json: not JSON \(.*\)\. {DAMAGED}"),
        (write(METADATA, b'{"format_version": 1'), rf"metadata\.json: not JSON \(.*\)\. {DAMAGED}"),
        (write(METADATA, b"\xff\xfe\x00"), rf"metadata\.json: not JSON \(.*\)\. {DAMAGED}"),
        (write(METADATA, b"[1]"), r"metadata\.json: format_version is None, this server reads 1"),
        (
            write(METADATA, b'{"format_version": 1}'),
            rf"metadata\.json: does not match its own checksum\. {DAMAGED}",
        ),
        (
            change(format_version=2, files="what this is now is not ours to judge"),
            r"metadata\.json: format_version is 2, this server reads 1\. "
            "Serve it with the image that matches, or train again",
        ),
        (change(format_version=0), "format_version is 0, this server reads 1"),
        (change(format_version="1"), "format_version is '1', this server reads 1"),
        (without("format_version"), "format_version is None, this server reads 1"),
        (remove(MODEL), rf"model\.onnx cannot be read \(No such file.*\)\. {DAMAGED}"),
        (make_folder_of_report, r"report\.html cannot be read \(Is a directory\)"),
        (
            append_blank,
            rf"report\.html was changed after training: SHA-256 is \w+…, expected \w+…\. {DAMAGED}",
        ),
        (drop_model_from_list, r"metadata\.json does not list model\.onnx"),
        *(
            (without(key), rf"metadata\.json: {key}: Field required\. Train again")
            for key in ("name", "created_at", "task", "inputs", "outputs", "examples", "metrics")
        ),
        (change(inputs=[]), r"metadata\.json: inputs: List should have at least 1 item"),
        (change(inputs=[{"name": "title", "type": "image"}]), r"inputs\.0\.type: Input should be"),
        (change(outputs=[]), r"outputs: List should have at least 1 item"),
        (change(examples=[]), r"examples: List should have at least 1 item"),
        (change(task="ranking"), r"task: Input should be 'classification'"),
        (change(files={MODEL: "abc"}), r"files\.model\.onnx: String should match pattern"),
        *(
            (change(files={name: "0" * 64}), r"metadata\.json: files\.[\s\S]*: String should match")
            for name in (
                "../secret",
                "/etc/passwd",
                "a/b",
                "..",
                ".hidden",
                "a\\b",
                "",
                "a\n",
                "a\0",
            )
        ),
    ],
)
def test_what_is_not_a_good_artefact_is_refused_with_a_reason_and_a_remedy(
    artefact_copy: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(artefact_copy)
    with pytest.raises(ArtefactError, match=message):
        load_artefact(artefact_copy)


def test_a_file_is_not_taken_for_an_artefact(tiny_artefact: Path) -> None:
    with pytest.raises(ArtefactError, match=rf"report\.html is not a directory\. {RUN_TRAIN}"):
        load_artefact(tiny_artefact / REPORT)


def test_all_files_that_are_wrong_are_named_at_once(artefact_copy: Path) -> None:
    for name in REQUIRED_FILES:
        (artefact_copy / name).write_bytes(b"edited")
    with pytest.raises(ArtefactError, match=r"changed after training") as caught:
        load_artefact(artefact_copy)
    assert re.findall(r"(\S+) was changed", str(caught.value)) == sorted(REQUIRED_FILES)


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_flipped_byte_anywhere_is_refused(artefact_copy: Path, name: str) -> None:
    file = artefact_copy / name
    good = file.read_bytes()
    # Every byte of the metadata, blanks included; of the others, whose digests are compared, some.
    step = 1 if name == METADATA else max(1, len(good) // 20)
    for position in [*range(0, len(good), step), len(good) - 1]:
        changed = bytearray(good)
        changed[position] ^= (0x01, 0x20, 0x80)[position % 3]
        file.write_bytes(changed)
        with pytest.raises(ArtefactError, match=re.escape(str(artefact_copy))):
            load_artefact(artefact_copy)
    file.write_bytes(good)
    load_artefact(artefact_copy)


@pytest.mark.parametrize("name", ALL_FILES)
def test_a_byte_more_or_less_at_the_end_is_refused(artefact_copy: Path, name: str) -> None:
    file = artefact_copy / name
    good = file.read_bytes()
    for changed in (good[:-1], good + b"\n", good + b"\0"):
        file.write_bytes(changed)
        with pytest.raises(ArtefactError, match=re.escape(str(artefact_copy))):
            load_artefact(artefact_copy)


# What the golden artefact answered on the day that it was written.
@pytest.mark.parametrize(
    ("text", "probabilities"),
    [
        ("how do I undo a commit", {"svn": 0.960715, "qt": 0.020048, "bash": 0.019238}),
        ("Qt widget in C++", {"qt": 0.996027, "bash": 0.002164, "svn": 0.001809}),
        ("zzzz", {"bash": 0.334467, "qt": 0.334254, "svn": 0.331279}),
    ],
)
def test_the_golden_artefact_of_format_1_still_gives_its_answers(
    text: str, probabilities: dict[str, float]
) -> None:
    [prediction] = Predictor.load(GOLDEN).predict([{"title": text}])
    assert prediction["probabilities"] == pytest.approx(probabilities, abs=1e-5)
    assert list(prediction["probabilities"]) == list(probabilities)


def test_the_golden_artefact_is_small_enough_to_be_committed() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == set(ALL_FILES)
    assert sum(file.stat().st_size for file in GOLDEN.iterdir()) < 50_000


def test_a_golden_example_that_is_answered_differently_is_refused(artefact_copy: Path) -> None:
    examples = json.loads((artefact_copy / METADATA).read_bytes())["examples"]
    examples[1]["answer"][0] += 0.001
    change_metadata(artefact_copy, examples=examples)
    with pytest.raises(
        ArtefactError,
        match=r"artefact: golden example 1 is answered differently here than after training\. "
        r"Serve it with the library versions under `versions` in metadata\.json, or train again",
    ):
        Predictor.load(artefact_copy)
