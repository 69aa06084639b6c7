"""Pretrained encoders beside a text model: what they make of texts, and files that are not theirs."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from predict.contract.artefact import ArtefactError
from predict.contract.encoder import ENCODER, NETWORK, PIECES, EncoderSettings
from predict.scoring.encoder import Encoder, open_encoder
from predict.scoring.predictor import Predictor
from predict.tests.conftest import GOLDEN_ENCODERS
from predict.tests.tiny_artefact import ENCODER_WORDS, change_metadata
from predict.tests.tiny_encoder import network_of, vectors_of, write_tiny_encoder

WORDS = {"up": (3.0, 0.0), "down": (0.0, 4.0), "##s": (0.0, 0.0)}


def read_encoder(directory: Path) -> Encoder:
    return open_encoder(EncoderSettings.read(directory), directory)


@pytest.mark.parametrize("kind", ["static", "onnx"])
def test_a_text_is_the_direction_of_the_mean_of_its_pieces(tmp_path: Path, kind: str) -> None:
    write_tiny_encoder(tmp_path, kind, WORDS)
    vectors = read_encoder(tmp_path).encode(["up", "Ups downs!", "ups ups ups down", "zzz", ""])
    expected = [[1, 0], [0.6, 0.8], [9 / 97**0.5, 4 / 97**0.5], [0, 0], [0, 0]]
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected, atol=1e-6)


@pytest.mark.parametrize("kind", ["static", "onnx"])
def test_a_text_has_the_same_vector_in_any_company(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(0)
    words = {f"w{number}": tuple(random.normal(size=24)) for number in range(50)}
    write_tiny_encoder(tmp_path, kind, words)
    encoder = read_encoder(tmp_path)
    texts = [
        " ".join(random.choice(list(words), random.integers(1, 30)).tolist()) for _ in range(40)
    ]
    alone = np.concatenate([encoder.encode([text]) for text in texts])
    assert (encoder.encode(texts) == alone).all()
    assert (encoder.encode(texts[::-1])[::-1] == alone).all()


def test_a_network_may_give_the_vector_of_a_text_itself(tmp_path: Path) -> None:
    write_tiny_encoder(tmp_path, "onnx", WORDS)
    model = network_of(vectors_of(WORDS))
    mean = onnx.helper.make_node(
        "ReduceMax", ["last_hidden_state"], ["sentence_embedding"], axes=[1], keepdims=0
    )
    answer = onnx.helper.make_tensor_value_info(
        "sentence_embedding", onnx.TensorProto.FLOAT, ["texts", 2]
    )
    model.graph.node.append(mean)
    model.graph.output.append(answer)
    onnx.save(model, tmp_path / NETWORK)
    [vector] = read_encoder(tmp_path).encode(["up up up down"])
    np.testing.assert_allclose(vector, [0.6, 0.8], atol=1e-6)


def _encoder(**changes: Any) -> Callable[[Path], None]:
    def damage(directory: Path) -> None:
        content = json.loads((directory / ENCODER).read_bytes())
        content["wordpiece"] |= changes.pop("wordpiece", {})
        (directory / ENCODER).write_text(json.dumps(content | changes), encoding="utf-8")

    return damage


def _write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda directory: (directory / name).write_bytes(content) and None


def _save(array: np.ndarray) -> Callable[[Path], None]:
    return lambda directory: np.save(directory / PIECES, array)


def _network(**options: Any) -> Callable[[Path], None]:
    model = network_of(vectors_of(ENCODER_WORDS), **options)
    return lambda directory: onnx.save(model, directory / NETWORK)


@pytest.mark.parametrize(
    ("kind", "damage", "message"),
    [
        ("static", _write(ENCODER, b"{"), "Invalid JSON"),
        ("static", _encoder(kind="pickle"), "kind"),
        ("static", _encoder(wordpiece={"unknown": 99}), "expected ids below 8"),
        ("static", _encoder(wordpiece={"max_tokens": 10**9}), "max_tokens"),
        ("static", _encoder(vocabulary=["a"] * 8), "a word piece occurs twice"),
        ("static", _encoder(vocabulary=list("abc")), r"expected float16 of shape \(3, width\)"),
        ("static", _save(np.zeros((8, 3), np.float32)), r"expected float16 .*, got float32"),
        ("static", _save(np.zeros(8, np.float16)), r"expected float16 .* of shape \(8,\)"),
        ("static", _save(np.zeros((8, 9), np.float16)), "cannot be answered"),
        ("static", _save(np.array([None] * 8)), "Python objects in dtype"),
        ("static", _write(PIECES, b""), "pieces.npy: no array"),
        ("onnx", _write(NETWORK, b"no network"), "no network in ONNX"),
        ("onnx", _network(inputs=("words",)), "expected the inputs input_ids"),
        ("onnx", _network(inputs=("input_ids", "position_ids")), "expected the inputs input_ids"),
    ],
)
def test_what_is_no_encoder_is_refused_with_a_reason(
    tmp_path: Path, kind: str, damage: Callable[[Path], None], message: str
) -> None:
    artefact = Path(shutil.copytree(GOLDEN_ENCODERS[kind], tmp_path / "artefact"))
    damage(artefact)
    change_metadata(artefact)
    with pytest.raises(ArtefactError, match=rf"(?s)artefact.*{message}.* Train again\."):
        Predictor.load(artefact)


@pytest.mark.parametrize(("kind", "file"), [("static", PIECES), ("onnx", NETWORK)])
def test_a_file_that_is_not_listed_is_not_read(tmp_path: Path, kind: str, file: str) -> None:
    artefact = Path(shutil.copytree(GOLDEN_ENCODERS[kind], tmp_path / "artefact"))
    files = json.loads((artefact / "metadata.json").read_bytes())["files"]
    change_metadata(artefact, files={name: files[name] for name in files if name != file})
    with pytest.raises(ArtefactError, match=rf"{file} is not listed among the files"):
        Predictor.load(artefact)


def test_an_encoder_that_the_model_does_not_read_is_refused(tmp_path: Path) -> None:
    artefact = Path(shutil.copytree(GOLDEN_ENCODERS["static"], tmp_path / "artefact"))
    files = json.loads((artefact / "metadata.json").read_bytes())["files"]
    change_metadata(artefact, files={name: files[name] for name in files if name != ENCODER})
    with pytest.raises(ArtefactError, match="cannot be answered"):
        Predictor.load(artefact)
