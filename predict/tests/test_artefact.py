"""What is an artefact, and that everything else is refused with a reason and a remedy."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from predict.contract.artefact import (
    CONFIGURATION,
    FAMILIARITY,
    FEATURES,
    METADATA,
    METRICS,
    MODEL,
    REPORT,
    REQUIRED_FILES,
    TABLE_FILES,
    ArtefactError,
    column_types,
    load_artefact,
    serialise_metadata,
)
from predict.scoring.predictor import Predictor
from predict.tests.conftest import GOLDEN, GOLDEN_ENCODERS, GOLDEN_SCOPE, GOLDEN_SUMS, GOLDEN_TABLES
from predict.tests.tiny_artefact import LABELS, change_metadata

ALL_FILES = (METADATA, MODEL, FEATURES, METRICS, CONFIGURATION, REPORT)
RUN_TRAIN = r"Run `make train`, then set ARTEFACT_DIR in conf/predict\.conf"
DAMAGED = "The artefact is damaged: copy it again from where it was trained, or train again"


def test_what_was_written_is_read(tiny_artefact: Path) -> None:
    artefact = load_artefact(tiny_artefact)
    assert artefact.path == tiny_artefact
    assert artefact.metadata.outputs[0].labels == list(LABELS)
    assert artefact.metadata.embedding == {"algorithm": "by hand — für Menschen 🙂"}
    assert set(artefact.metadata.files) == {*ALL_FILES, *TABLE_FILES} - {METADATA}


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


def test_a_name_that_is_too_long_does_not_exist() -> None:
    with pytest.raises(ArtefactError, match=rf"^n+ does not exist\. {RUN_TRAIN}"):
        load_artefact(Path("n" * 300))


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
        (
            write(METADATA, b"[1]"),
            r"metadata\.json: format_version is None, this server reads 1, 2, 3, 4",
        ),
        (
            write(METADATA, b'{"format_version": 1}'),
            rf"metadata\.json: does not match its own checksum\. {DAMAGED}",
        ),
        (
            change(format_version=5, files="what this is now is not ours to judge"),
            r"metadata\.json: format_version is 5, this server reads 1, 2, 3, 4\. "
            "Serve it with the image that matches, or train again",
        ),
        (change(format_version=0), "format_version is 0, this server reads 1, 2, 3, 4"),
        (change(format_version="1"), "format_version is '1', this server reads 1, 2, 3, 4"),
        (without("format_version"), "format_version is None, this server reads 1, 2, 3, 4"),
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


def test_what_a_table_is_made_of_is_read(tables: dict[str, Path]) -> None:
    metadata = load_artefact(tables["label"]).metadata
    age, _fare, _heads, port, _day, note = metadata.inputs
    assert (age.type, age.minimum, age.maximum, age.nullable) == ("number", 0, 80.5, False)
    assert (port.categories, port.nullable) == (["C", "Q", "S", "3"], True)
    assert note.missing_share == 0.25
    assert metadata.outputs[0].thresholds == {"yes": 0.3}
    assert [example.truth for example in metadata.examples] == ["yes", "yes", "no", None]
    assert column_types(metadata.inputs, metadata.derived) == {
        "age": "number",
        "fare": "number",
        "heads": "number",
        "port": "category",
        "day": "date",
        "note": "text",
        "fare_per_head": "number",
        "age_group": "category",
        "port_and_group": "category",
        "month": "number",
    }
    interval = load_artefact(tables["number"]).metadata.outputs[0].interval
    assert interval is not None
    assert (interval.coverage, interval.half_width) == (0.9, 12.5)


def column(name: str, kind: str = "number", **more: object) -> dict[str, object]:
    return {"name": name, "type": kind, **more}


INPUTS = [column("n"), column("m"), column("c", "category"), column("t", "text")]
INPUTS += [column("d", "date")]


def inputs(**more: object) -> Callable[[Path], None]:
    return change(inputs=[{"name": "x", **more}], derived=[])


def derived(*columns: dict[str, object]) -> Callable[[Path], None]:
    return change(inputs=INPUTS, derived=list(columns))


def made(name: str, kind: str, *of: str, **more: object) -> dict[str, object]:
    return {"name": name, "kind": kind, "of": list(of), **more}


def output(task: str, **more: object) -> Callable[[Path], None]:
    return change(task=task, outputs=[{"name": "y", **more}])


def label(labels: list[str], **more: object) -> Callable[[Path], None]:
    return output("classification", type="label", labels=labels, **more)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            change(inputs=[column("a"), column("a")], derived=[]),
            "names must be distinct, got 'a' t",
        ),
        (inputs(type="number", minimum=2, maximum=1), "x: minimum must not be above maximum"),
        (inputs(type="number", categories=[]), "x: only a category has categories"),
        (inputs(type="text", minimum=1), "x: only a number has a minimum and a maximum"),
        (inputs(type="category", maximum=1), "x: only a number has a minimum and a maximum"),
        (inputs(type="category", categories=["a", "a"]), "x: categories must be distinct, got 'a'"),
        (inputs(type="category", categories=[1]), r"inputs\.0\.categories\.0: Input should be"),
        (inputs(type="number", missing_share=1.5), r"missing_share: Input should be less than or"),
        (inputs(type="number", name=""), r"inputs\.0\.name: String should have at least 1"),
        (derived(made("n", "ratio", "n", "m")), "names must be distinct, got 'n' twice"),
        (
            derived(made("r", "ratio", "n", "m"), made("r", "ratio", "m", "n")),
            "names must be distinct, got 'r' twice",
        ),
        (derived(made("r", "root", "n")), r"derived\.0\.kind: Input should be 'ratio'"),
        (derived(made("r", "ratio", "n")), "derived: r: of: a ratio is made of 2, got 1"),
        (derived(made("r", "ratio", "n", "m", "n")), "r: of: a ratio is made of 2, got 3"),
        (derived(made("x", "cross", "c")), "x: of: a cross is made of 2 to 10, got 1"),
        (derived(made("b", "bins", "n", "m", edges=[1])), "b: of: a bins is made of 1, got 2"),
        (
            derived(made("r", "ratio", "n", "k")),
            "r: of: 'k' is neither an input nor derived before it",
        ),
        (
            derived(made("s", "ratio", "r", "m"), made("r", "ratio", "n", "m")),
            "s: of: 'r' is neither an input nor derived before it",
        ),
        (
            derived(made("r", "ratio", "n", "c")),
            "r: of: a ratio is made of type number, but c is a category",
        ),
        (derived(made("x", "cross", "c", "n")), "made of type category, but n is a number"),
        (derived(made("x", "cross", "c", "t")), "made of type category, but t is a text"),
        (derived(made("b", "bins", "c", edges=[1])), "made of type number, but c is a category"),
        (derived(made("p", "date_part", "n", part="year")), "made of type date, but n is a number"),
        (derived(made("b", "bins", "n")), "b: a bins column has edges, and no other has"),
        (derived(made("b", "bins", "n", edges=[])), r"edges: List should have at least 1 item"),
        (
            derived(made("b", "bins", "n", edges=[2, 1])),
            r"b: edges must ascend, got \[2\.0, 1\.0\]",
        ),
        (derived(made("b", "bins", "n", edges=[1, 1])), "b: edges must ascend"),
        (derived(made("r", "ratio", "n", "m", edges=[1])), "r: a bins column has edges, and no"),
        (derived(made("p", "date_part", "d")), "p: a date_part column has part, and no other has"),
        (derived(made("p", "date_part", "d", part="era")), r"part: Input should be 'year'"),
        (derived(made("r", "ratio", "n", "m", part="day")), "r: a date_part column has part"),
        (label(["a"]), "expected at least 2 labels, got 1"),
        (label(["a", "a"]), "labels must be distinct, got 'a' twice"),
        (label(["a", "b"], thresholds={"c": 0.5}), "thresholds: 'c' is none of the labels"),
        (label(["a", "b"], thresholds={"a": 0.5, "b": 0.5}), "thresholds: expected one, and two l"),
        (label(["a", "b", "c"], thresholds={"a": 0.5}), "thresholds: expected one, and two labels"),
        (
            label(["a", "b", "c"], thresholds={"a": 0.5, "b": 0.4, "c": 0}),
            "thresholds: expected those of more than two labels to be above 0",
        ),
        (label(["a", "b"], thresholds={"a": 1.5}), r"thresholds\.a: Input should be less than or"),
        (
            label(["a", "b"], interval={"coverage": 0.9, "half_width": 1}),
            "only a number has an interval",
        ),
        (label(["a", "b"], unsure_below=1.5), r"unsure_below: Input should be less than or equal"),
        (label(["a", "b"], unsure_below=-0.5), r"unsure_below: Input should be greater than or eq"),
        (
            output("regression", type="number", unsure_below=0.5),
            "unsure_below: only a label has a score that can be too low",
        ),
        (
            output("regression", type="number", familiar_from=0.5),
            "familiar_from: only a label can be unsure",
        ),
        (
            output(
                "multilabel", type="labels", labels=["a"], thresholds={"a": 1}, unsure_below=0.5
            ),
            "unsure_below: only a label has a score",
        ),
        (output("multilabel", type="labels", labels=[]), "expected at least 1 label, got 0"),
        (output("multilabel", type="labels", labels=["a"]), "thresholds: expected one for every"),
        (output("regression", type="number", labels=["a"]), "a number has no labels"),
        (
            output("regression", type="number", thresholds={"a": 0.5}),
            "thresholds: 'a' is none of the labels",
        ),
        (
            output("regression", type="number", interval={"coverage": 1, "half_width": 1}),
            "coverage: Input should be less than 1",
        ),
        (
            output("regression", type="number", interval={"coverage": 0.9, "half_width": -1}),
            "half_width: Input should be greater than or equal to 0",
        ),
        (
            output("regression", type="label", labels=["a", "b"]),
            "outputs: the task regression answers a number, got label",
        ),
        (output("classification", type="number"), "the task classification answers a label, got n"),
    ],
)
def test_metadata_that_contradicts_itself_is_refused(
    table_copy: Path, damage: Callable[[Path], object], message: str
) -> None:
    damage(table_copy)
    with pytest.raises(ArtefactError, match=rf"{message}.*\. Train again with this version"):
        load_artefact(table_copy)


@pytest.mark.parametrize(
    "change_it",
    [
        derived(
            made("b", "bins", "n", edges=[1]),
            made("x", "cross", "c", "b"),
            made("xx", "cross", "x", "b", "c"),
            made("p", "date_part", "d", part="hour"),
            made("r", "ratio", "p", "n"),
        ),
        inputs(type="number", minimum=1, maximum=1),
        inputs(type="category", categories=[], nullable=True),
        label(["a", "b"], thresholds={"b": 0}),
        label(["a", "b", "c"], thresholds={"a": 0.7, "b": 0.2, "c": 0.1}),
        label(["a", "b", "c"]),
        label(["a", "b", "c"], unsure_below=0.6),
        label(["a", "b"], thresholds={"b": 0.3}, unsure_below=0),
        output("multilabel", type="labels", labels=["a"], thresholds={"a": 1}),
        output("regression", type="number"),
    ],
)
def test_metadata_that_fits_together_is_read(
    table_copy: Path, change_it: Callable[[Path], None]
) -> None:
    change_it(table_copy)
    load_artefact(table_copy)


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


@pytest.mark.parametrize("name", [*ALL_FILES, *TABLE_FILES])
def test_a_byte_more_or_less_at_the_end_is_refused(artefact_copy: Path, name: str) -> None:
    file = artefact_copy / name
    good = file.read_bytes()
    for changed in (good[:-1], good + b"\n", good + b"\0"):
        file.write_bytes(changed)
        with pytest.raises(ArtefactError, match=re.escape(str(artefact_copy))):
            load_artefact(artefact_copy)


# What the golden artefacts answered on the days that they were written.
@pytest.mark.parametrize(
    ("directory", "text", "probabilities"),
    [
        (GOLDEN, "how do I undo a commit", {"svn": 0.960715, "qt": 0.020048, "bash": 0.019238}),
        (GOLDEN, "Qt widget in C++", {"qt": 0.996027, "bash": 0.002164, "svn": 0.001809}),
        (GOLDEN, "zzzz", {"bash": 0.334467, "qt": 0.334254, "svn": 0.331279}),
        (GOLDEN_SUMS, "how do I undo a commit", {"svn": 0.964637, "bash": 0.018083, "qt": 0.01728}),
        (GOLDEN_SUMS, "Qt widget in C++", {"qt": 0.995987, "bash": 0.002194, "svn": 0.001819}),
        (GOLDEN_SUMS, "zzzz", {"bash": 0.334451, "qt": 0.334267, "svn": 0.331282}),
        (GOLDEN_SCOPE, "zzzz", {"bash": 0.334451, "qt": 0.334267, "svn": 0.331282}),
        (
            GOLDEN_ENCODERS["static"],
            "Revert it!",
            {"svn": 0.895657, "qt": 0.052767, "bash": 0.051577},
        ),
        (GOLDEN_ENCODERS["static"], "buttons", {"qt": 0.865551, "svn": 0.069093, "bash": 0.065356}),
        (
            GOLDEN_ENCODERS["onnx"],
            "Revert it!",
            {"svn": 0.895657, "qt": 0.052767, "bash": 0.051577},
        ),
        (GOLDEN_ENCODERS["onnx"], "buttons", {"qt": 0.865543, "svn": 0.069097, "bash": 0.06536}),
    ],
)
def test_the_golden_artefacts_of_texts_still_give_their_answers(
    directory: Path, text: str, probabilities: dict[str, float]
) -> None:
    [prediction] = Predictor.load(directory).predict([{"title": text}])
    assert prediction["probabilities"] == pytest.approx(probabilities, abs=1e-5)
    assert list(prediction["probabilities"]) == list(probabilities)


@pytest.mark.parametrize(
    ("kind", "answers"),
    [
        (
            "label",
            [
                {"label": "yes", "score": 0.612718},
                {"label": "yes", "score": 0.826174},
                {"label": "no", "score": 0.803924},
                {"label": "no", "score": 0.826712},
            ],
        ),
        ("number", [{"value": 274.5}, {"value": 61.0}]),
        (
            "labels",
            [
                {"probabilities": {"drama": 0.942676, "comedy": 0.802184, "war": 0.331812}},
                {"probabilities": {"drama": 0.006693, "comedy": 0.075858, "war": 0.7773}},
            ],
        ),
    ],
)
def test_the_golden_tables_of_format_2_still_give_their_answers(
    kind: str, answers: list[dict[str, object]]
) -> None:
    predictor = Predictor.load(GOLDEN_TABLES / kind)
    instances = [example.instance for example in predictor.metadata.examples]
    predictor.check(instances)
    for prediction, expected in zip(predictor.predict(instances), answers, strict=True):
        for key, value in expected.items():
            got = prediction[key]
            assert got == (value if isinstance(value, str) else pytest.approx(value, abs=1e-5))


def test_the_golden_artefacts_are_small_enough_to_be_committed() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == set(ALL_FILES)
    assert {file.name for file in GOLDEN_SUMS.iterdir()} == {*ALL_FILES, *TABLE_FILES}
    of_scope = {*ALL_FILES, *TABLE_FILES, FAMILIARITY}
    assert {file.name for file in GOLDEN_SCOPE.iterdir()} == of_scope
    tables = sorted(GOLDEN_TABLES.iterdir())
    assert [directory.name for directory in tables] == ["label", "labels", "number"]
    for directory in tables:
        assert {file.name for file in directory.iterdir()} == set(ALL_FILES) - {FEATURES}
    for directory in (GOLDEN, GOLDEN_SCOPE, *tables, *GOLDEN_ENCODERS.values()):
        assert sum(file.stat().st_size for file in directory.iterdir()) < 50_000


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
