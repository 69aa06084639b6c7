"""Artefacts that a stranger made to hurt a server: each is refused at once, with a reason and a remedy.

Their checksums are right, for whoever can write a file can write its checksum too.
"""

import contextlib
import io
import json
import os
import random
import re
import shutil
import socket
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from predict.contract import artefact as contract
from predict.contract.artefact import (
    FAMILIARITY,
    FEATURES,
    METADATA,
    METRICS,
    MODEL,
    REPORT,
    ROWS,
    SQUARES,
    ArtefactError,
    load_artefact,
)
from predict.contract.metrics import read_metrics
from predict.scoring.predictor import Predictor
from predict.tests.conftest import GOLDEN_ENCODERS, GOLDEN_SCOPE
from predict.tests.hostile_networks import (
    add_external_weights,
    answer_fewer_rows,
    functions_that_call_each_other,
    loop,
    many_nodes,
    sparse,
    with_external_weights,
)
from predict.tests.tiny_artefact import LABELS, change_metadata

Damage = Callable[[Path], object]


@pytest.fixture
def scope_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN_SCOPE, tmp_path / "artefact"))


# --------------------------------------------------------------------- files


def fifo(name: str) -> Damage:
    def damage(directory: Path) -> None:
        (directory / name).unlink()
        os.mkfifo(directory / name)

    return damage


def unix_socket(directory: Path) -> None:
    (directory / REPORT).unlink()
    # A path to a socket may have 107 bytes.
    before = Path.cwd()
    os.chdir(directory)
    try:
        with socket.socket(socket.AF_UNIX) as opened:
            opened.bind(REPORT)
    finally:
        os.chdir(before)


def link(name: str, to: str) -> Damage:
    def damage(directory: Path) -> None:
        (directory / name).unlink()
        (directory / name).symlink_to(to)

    return damage


def link_to_a_copy_elsewhere(directory: Path) -> None:
    (directory / REPORT).rename(directory.parent / REPORT)
    (directory / REPORT).symlink_to(Path("..") / REPORT)


def huge(name: str, size: int) -> Damage:
    """A sparse file: it takes no room, and reading it takes long."""
    return lambda directory: os.truncate(directory / name, size)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        *((fifo(name), rf"{name}.* \(?not a regular file") for name in (MODEL, METADATA, ROWS)),
        (unix_socket, r"report\.html cannot be read \(not a regular file\)"),
        (link(REPORT, "/dev/zero"), r"report\.html cannot be read \(a link that leads out of"),
        (link(MODEL, "/dev/full"), r"model\.onnx cannot be read \(a link that leads out of"),
        (link(METADATA, "/dev/zero"), r"metadata\.json: cannot be read: a link that leads out"),
        (link_to_a_copy_elsewhere, r"report\.html cannot be read \(a link that leads out of"),
        (link(REPORT, REPORT), r"report\.html cannot be read \(Too many levels of symbolic links"),
        (link(METADATA, METADATA), r"metadata\.json: cannot be read: Too many levels of symbolic"),
        (huge(METADATA, 1 << 40), r"metadata\.json: cannot be read: more than 16 MB"),
        (huge(REPORT, 1 << 40), r"its files have more than 4096 MB together"),
        (huge(FEATURES, 1 << 30), r"features\.json cannot be read \(more than 256 MB"),
    ],
)
def test_only_regular_files_of_bounded_size_are_read(
    artefact_copy: Path, damage: Damage, message: str
) -> None:
    damage(artefact_copy)
    started = time.monotonic()
    with pytest.raises(ArtefactError, match=rf"artefact.*{message}"):
        load_artefact(artefact_copy)
    assert time.monotonic() - started < 1


def test_the_files_are_bounded_together(
    artefact_copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        (artefact_copy / f"more-{number}.bin").write_bytes(bytes(400_000))
    change_metadata(artefact_copy)
    load_artefact(artefact_copy)
    monkeypatch.setattr(contract, "MOST_BYTES", 1 << 20)
    with pytest.raises(ArtefactError, match=r"artefact: its files have more than 1 MB together"):
        load_artefact(artefact_copy)


def test_a_folder_that_leads_to_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("latest")
    with pytest.raises(ArtefactError, match=r"latest does not exist\. Run `make train`"):
        load_artefact(tmp_path / "latest")


def test_a_link_may_lead_to_another_file_of_the_artefact(artefact_copy: Path) -> None:
    # As Kubernetes mounts a ConfigMap: every file is a link to one of a hidden folder.
    (artefact_copy / "..2026").mkdir()
    (artefact_copy / REPORT).rename(artefact_copy / "..2026" / REPORT)
    (artefact_copy / "..data").symlink_to("..2026")
    (artefact_copy / REPORT).symlink_to(Path("..data") / REPORT)
    load_artefact(artefact_copy)


@pytest.mark.parametrize("damage", [fifo(METRICS), link(METRICS, "/dev/zero")])
def test_metrics_are_read_from_a_regular_file_only(artefact_copy: Path, damage: Damage) -> None:
    damage(artefact_copy)
    with pytest.raises(ArtefactError, match=r"metrics\.json: cannot be read: (not a reg|a link)"):
        read_metrics(artefact_copy / METRICS)


# ------------------------------------------------------------------ metadata


def change(**changes: Any) -> Damage:
    return lambda directory: change_metadata(directory, **changes)


def raw_metadata(old: bytes, new: bytes) -> Damage:
    """Replace bytes of the metadata, whatever they become, and make their checksum right again."""

    def damage(directory: Path) -> None:
        import hashlib

        raw = (directory / METADATA).read_bytes()
        assert old in raw
        digits = json.loads(raw)["checksum"].encode()
        raw = raw.replace(digits, b"0" * 64, 1).replace(old, new, 1)
        checksum = hashlib.sha256(raw).hexdigest().encode()
        (directory / METADATA).write_bytes(raw.replace(b"0" * 64, checksum, 1))

    return damage


LABEL = {"name": "tag", "type": "label"}
MANY_EXAMPLES = [{"instance": {"title": "a"}, "answer": [1.0, 0.0, 0.0]}] * 1_001


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (change(format_version=True), "format_version is True, this server reads 1, 2, 3, 4"),
        (change(format_version=4.0), r"format_version is 4\.0, this server reads 1, 2, 3, 4"),
        (change(format_version=[4]), r"format_version is \[4\], this server reads 1, 2, 3, 4"),
        (change(metrics={"accuracy": True}), r"metrics\.accuracy: Input should be a valid number"),
        (change(metrics={"accuracy": "0.9"}), r"metrics\.accuracy: Input should be a valid num"),
        (change(inputs=[{"name": "title", "type": "text", "nullable": 1}]), "nullable: Input sh"),
        (change(seeds={"split": True}), r"seeds\.split: Input should be a valid integer"),
        (
            change(examples=[{"instance": {"title": "a"}, "answer": [True, False, False]}]),
            r"examples\.0\.answer\.0: Input should be a valid number",
        ),
        (
            raw_metadata(b'"answer": [', b'"answer": [1e999,'),
            r"examples\.0\.answer\.0: Input should be a finite number",
        ),
        (change(examples=MANY_EXAMPLES), "examples: List should have at most 1000 items"),
        (change(outputs=[LABEL | {"labels": [str(n) for n in range(100_001)]}]), "at most 100000"),
        (
            change(inputs=[{"name": f"x{n}", "type": "number"} for n in range(10_001)]),
            "inputs: List should have at most 10000 items",
        ),
        (
            change(files={f"f{n}": "0" * 64 for n in range(1_001)}),
            "files: Dictionary should have at most 1000 items",
        ),
        (
            raw_metadata(b'"bash"', rb'"\ud800"'),
            r"metadata\.json: holds '\\\\?ud800', which is no character of Unicode",
        ),
        (raw_metadata(b'"title"', rb'"\uDFFF"'), r"which is no character of Unicode"),
        (raw_metadata(b'"bash"', b'"\xed\xa0\x80"'), r"metadata\.json: not JSON \('utf-8' codec"),
        (raw_metadata(b'"accuracy": 1.0', b'"accuracy": NaN'), r"not JSON \(NaN is no number"),
        (raw_metadata(b'"accuracy": 1.0', b'"accuracy": 1e999'), r"accuracy: Input should be a fi"),
        (raw_metadata(b'"title"', b"[" * 100_000), r"metadata\.json: not JSON"),
        (raw_metadata(b'"accuracy": 1.0', b'"accuracy": ' + b"9" * 9_999), r"not JSON \(Exceeds"),
    ],
)
def test_metadata_is_of_exact_types_and_bounded(
    artefact_copy: Path, damage: Damage, message: str
) -> None:
    damage(artefact_copy)
    with pytest.raises(ArtefactError, match=rf"artefact.*{message}"):
        load_artefact(artefact_copy)


# -------------------------------------------------------- words and familiarity


def features(**changes: Any) -> Damage:
    def damage(directory: Path) -> None:
        content = json.loads((directory / FEATURES).read_bytes())
        (directory / FEATURES).write_text(json.dumps(content | changes), encoding="utf-8")
        change_metadata(directory)

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (features(vocabulary=[f"w{n}" for n in range(1_000_001)]), "at most 1,000,000 words"),
        (features(vocabulary="abc"), "vocabulary: expected a list of texts"),
        (features(vocabulary=["a", 5]), "vocabulary: expected a list of texts"),
        (features(vocabulary=["a", "a"]), "vocabulary: a word occurs twice"),
        (features(settings=[]), "'dict' and 'list'"),
        (features(settings={"max_tokens": True}), r"max_tokens\s+Input should be a valid integer"),
    ],
)
def test_words_are_texts_and_bounded(artefact_copy: Path, damage: Damage, message: str) -> None:
    damage(artefact_copy)
    with pytest.raises(ArtefactError, match=rf"(?s)features\.json: .*{message}.*Train again"):
        Predictor.load(artefact_copy)


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return raw.getvalue()


def npy(header: str, content: bytes = b"") -> bytes:
    padded = header.encode().ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(padded).to_bytes(2, "little") + padded + content


def array(values: Any) -> bytes:
    raw = io.BytesIO()
    np.save(raw, values)
    return raw.getvalue()


HUGE_HEADER = "{'descr': '<f8', 'fortran_order': False, 'shape': (1 << 60,)}".replace(
    "1 << 60", str(1 << 60)
)
ARRAYS = {
    "columns.npy": array(np.arange(3)),
    "bias.npy": array(np.zeros(3, np.float32)),
    "directions.npy": array(np.eye(3, dtype=np.float32)),
    "weights.npy": array(np.zeros(5)),
    "encoder.npy": array(np.zeros((0, 3), np.float32)),
}


def write(name: str, content: bytes) -> Damage:
    def damage(directory: Path) -> None:
        (directory / name).write_bytes(content)
        change_metadata(directory)

    return damage


def familiarity(compression: int = zipfile.ZIP_STORED, **changes: bytes) -> Damage:
    members = ARRAYS | {f"{name}.npy": content for name, content in changes.items()}
    return write(FAMILIARITY, zipped(members, compression))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (familiarity(zipfile.ZIP_DEFLATED), "compressed"),
        (familiarity(weights=npy(HUGE_HEADER)), "weights"),
        (familiarity(columns=array(np.int64(3))), r"columns: expected .*, got int64 of shape \(\)"),
        (familiarity(columns=array(np.array(["a", "b", "c"]))), "columns: expected int64"),
        (familiarity(bias=array(np.zeros(3, np.complex64))), "bias: expected float32"),
        (familiarity(encoder=array(np.float32(1))), "encoder: expected float32"),
        (familiarity(bias=array(np.array([None], object))), "bias"),
        (familiarity(bias=b"no array"), "bias"),
        (familiarity(bias=b""), "bias"),
        (familiarity(bias=npy("{'descr': '<f4', 'shape': ")), "bias"),
        (familiarity(bias=npy("{'descr': '<f4', 'fortran_order': 0, 'shape': (-1,)}")), "bias"),
        (familiarity(more=array(np.zeros(3))), "expected .*'more'"),
        (write(FAMILIARITY, array(np.zeros(3))), "no archive of arrays"),
    ],
)
def test_arrays_of_a_familiarity_are_stored_and_of_exact_types(
    scope_copy: Path, damage: Damage, message: str
) -> None:
    damage(scope_copy)
    with pytest.raises(ArtefactError, match=rf"(?s)familiarity\.npz.*{message}.*Train again"):
        Predictor.load(scope_copy)


@pytest.mark.parametrize(
    "content",
    [
        npy(HUGE_HEADER),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (-1,)}", b"\0" * 64),
        npy("{'descr': '<i4', 'fortran_order': False, 'shape': (" + "(" * 30, b"\0" * 64),
        npy("{'descr': 'x" * 3),
        array(np.int32(1)),
        array(np.zeros(3, np.dtype([("a", np.int32)]))),
        zipped({"a.npy": array(np.zeros(3))}),
        b"\x93NUMPY\x01\x00\xff\xff",
        b"\x80\x04N.",
    ],
)
@pytest.mark.parametrize("name", [ROWS, SQUARES])
def test_what_is_no_array_is_refused(artefact_copy: Path, name: str, content: bytes) -> None:
    write(name, content)(artefact_copy)
    with pytest.raises(ArtefactError, match=rf"artefact: .*{name}.*Train again"):
        Predictor.load(artefact_copy)


# ------------------------------------------------------------------- network


def network(model: onnx.ModelProto, **files: bytes) -> Damage:
    """Put a network in the place of the model, and files beside it that are not listed."""

    def damage(directory: Path) -> None:
        write(MODEL, model.SerializeToString())(directory)
        for name, content in files.items():
            (directory / name).write_bytes(content)

    return damage


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (network(with_external_weights("weights")), "it reads the file 'weights', which is not li"),
        (
            network(with_external_weights("weights"), weights=b"\0" * 64),
            "it reads the file 'weights', which is not listed",
        ),
        (network(with_external_weights("/etc/passwd")), "it reads the file '/etc/passwd'"),
        (network(with_external_weights("../weights")), "it reads the file '../weights'"),
        (network(with_external_weights("*/_ORT_MEM_ADDR_/*")), "it reads the file '\\*/_ORT_MEM"),
        (network(with_external_weights(None)), "weights in a file without a name"),
        (network(many_nodes(100_001)), "more than 100,000 operations"),
        (network(functions_that_call_each_other(30)), "more than 100,000 operations"),
        (network(functions_that_call_each_other(2, round_about=True)), "more than 100,000 operat"),
        (network(sparse(1 << 40)), "sparse weights"),
        (write(MODEL, b""), r"onnxruntime cannot load it"),
        (write(MODEL, b"\xff" * 40), "no network in ONNX"),
        (write(MODEL, b"\x3a\xff\x01"), "no network in ONNX"),
    ],
)
def test_a_network_that_reaches_beyond_its_bounds_is_refused_before_it_is_loaded(
    artefact_copy: Path, damage: Damage, message: str
) -> None:
    damage(artefact_copy)
    started = time.monotonic()
    with pytest.raises(ArtefactError, match=rf"(?s)model\.onnx: .*{message}.*Train again"):
        Predictor.load(artefact_copy)
    assert time.monotonic() - started < 5


def test_listed_files_of_weights_are_read_and_their_checksums_count(artefact_copy: Path) -> None:
    model = add_external_weights(artefact_copy / MODEL, "weights.bin")
    (artefact_copy / "weights.bin").write_bytes(bytes(32))
    network(model)(artefact_copy)
    assert Predictor.load(artefact_copy).labels == list(LABELS)
    (artefact_copy / "weights.bin").write_bytes(np.arange(8, dtype=np.float32).tobytes())
    with pytest.raises(ArtefactError, match=r"weights\.bin was changed after training"):
        Predictor.load(artefact_copy)
    change_metadata(artefact_copy)
    with pytest.raises(ArtefactError, match="answered differently"):
        Predictor.load(artefact_copy)


def test_a_network_without_end_is_ended_when_it_is_loaded(artefact_copy: Path) -> None:
    network(loop())(artefact_copy)
    started = time.monotonic()
    with pytest.raises(ArtefactError, match=r"(?s)golden example 0 .*took longer than 0\.3 s"):
        Predictor.load(artefact_copy, limit_s=0.3)
    assert time.monotonic() - started < 5


def test_examples_that_take_long_together_are_refused(artefact_copy: Path) -> None:
    examples = json.loads((artefact_copy / METADATA).read_bytes())["examples"]
    change_metadata(artefact_copy, examples=examples * 200)
    with pytest.raises(
        ArtefactError,
        match=r"1 golden example took longer than 1e-05 s\. Serve it",
    ):
        Predictor.load(artefact_copy, limit_s=1e-5)


def test_a_model_that_answers_fewer_rows_than_asked_is_refused(artefact_copy: Path) -> None:
    network(answer_fewer_rows(artefact_copy / MODEL))(artefact_copy)
    with pytest.raises(ArtefactError, match=r"shape \(1, 3\), expected \(6, 3\)"):
        Predictor.load(artefact_copy)


# -------------------------------------------------------------------- damage


def flip(file: Path, number: random.Random) -> None:
    content = bytearray(file.read_bytes())
    content[number.randrange(len(content))] ^= 1 << number.randrange(8)
    file.write_bytes(content)


@pytest.mark.parametrize("golden", [GOLDEN_SCOPE, *GOLDEN_ENCODERS.values()])
def test_a_flipped_bit_whose_checksum_was_made_right_again_is_refused_or_does_no_harm(
    golden: Path, tmp_path: Path
) -> None:
    number = random.Random(20261127)
    for _ in range(60):
        artefact = Path(shutil.copytree(golden, tmp_path / "artefact"))
        names = sorted({file.name for file in artefact.iterdir()} - {METADATA, REPORT, METRICS})
        flip(artefact / number.choice(names), number)
        change_metadata(artefact)
        with contextlib.suppress(ArtefactError):
            Predictor.load(artefact).predict([{"title": "Revert a commit!"}] * 3)
        shutil.rmtree(artefact)


@pytest.mark.parametrize("golden", [GOLDEN_SCOPE, *GOLDEN_ENCODERS.values()])
def test_a_flipped_bit_is_refused(golden: Path, tmp_path: Path) -> None:
    artefact = Path(shutil.copytree(golden, tmp_path / "artefact"))
    number = random.Random(20261127)
    files = sorted(artefact.iterdir())
    for _ in range(100):
        file = number.choice(files)
        good = file.read_bytes()
        flip(file, number)
        with pytest.raises(ArtefactError, match=re.escape(str(artefact))):
            Predictor.load(artefact)
        file.write_bytes(good)
    Predictor.load(artefact)
