"""Pretrained encoders: joined to the text model, found in files and packages, read in published layouts."""

import gzip
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from predict.contract.artefact import load_artefact
from predict.contract.encoder import ENCODER, LICENCE, NETWORK, PIECES
from predict.scoring.predictor import Predictor
from predict.tests.tiny_encoder import network_of, vectors_of
from train.config import ConfigError, TrainConfig
from train.config.sections import EncoderConfig, FileSource
from train.data import files
from train.errors import DatasetError, UserError
from train.features import distilling
from train.features import encoder as encoder_module
from train.features.encoder import PretrainedEncoder
from train.features.pretrained import EmbeddingError
from train.preparation import prepare
from train.progress import SilentProgress, TerminalProgress
from train.run import run
from train.tests.conftest import TOPICS, WebServer, make_rows, tiny_config, write_csv
from train.tests.encoders import (
    STRANGERS,
    publish_network,
    publish_static,
    tokenizer_json,
    words_of_topics,
)

PUBLISH = {"static": publish_static, "onnx": publish_network}


def open_encoder(folder: Path, **settings: Any) -> PretrainedEncoder:
    config = TrainConfig(dataset="-", data_dir=folder / "raw")
    return PretrainedEncoder(config, EncoderConfig(**settings), TerminalProgress())


# ------------------------------------------------------------------- trained


@pytest.fixture(scope="module", params=sorted(PUBLISH))
def trained_beside(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The kind of an encoder, and the artefact of a whole run with it."""
    folder = tmp_path_factory.mktemp(request.param)
    model = PUBLISH[request.param](folder / "published")
    dataset = write_csv(folder / "tiny.csv", make_rows(240))
    encoder = {"model": str(model), "max_tokens": 32}
    config = tiny_config(folder, dataset, embeddings={"encoder": encoder})
    return request.param, run(config, SilentProgress()).artefact_dir


@pytest.mark.parametrize("topic", TOPICS)
def test_a_word_that_only_the_encoder_knows_is_answered(
    trained_beside: tuple[str, Path], topic: str
) -> None:
    predictor = Predictor.load(trained_beside[1])
    [prediction] = predictor.predict([{"text": f"{STRANGERS[topic]} {STRANGERS[topic]}"}])
    assert prediction["label"] == topic


def test_a_text_alone_is_answered_as_in_a_batch(trained_beside: tuple[str, Path]) -> None:
    predictor = Predictor.load(trained_beside[1])
    texts = [*STRANGERS.values(), "how do i use the violin", "zzz", "a cherry and a saw"]
    instances = [{"text": text} for text in texts]
    alone = np.concatenate([predictor.scores([instance]) for instance in instances])
    assert predictor._head is not None  # a text alone does without onnxruntime
    np.testing.assert_allclose(alone, predictor.scores(instances), atol=1e-6)


def test_its_files_are_part_of_the_artefact(trained_beside: tuple[str, Path]) -> None:
    kind, directory = trained_beside
    artefact = load_artefact(directory)
    own = {ENCODER, PIECES if kind == "static" else NETWORK}
    assert own <= artefact.metadata.files.keys()
    assert artefact.metadata.format_version == 4
    described = (artefact.metadata.embedding or {})["encoder"]
    assert (described["kind"], described["width"], described["max_tokens"]) == (kind, 4, 32)
    configured = (directory / "train-conf.yml").read_text(encoding="utf-8")
    assert "max_tokens: 32" in configured


def test_the_licence_beside_the_model_goes_with_it(trained_beside: tuple[str, Path]) -> None:
    kind, directory = trained_beside
    licences = [file.read_text() for file in directory.glob(LICENCE)]
    assert licences == (["Do what you like.\n"] if kind == "static" else [])


def test_a_table_with_an_encoder_is_refused(tmp_path: Path) -> None:
    encoder = {"model": str(publish_static(tmp_path / "published"))}
    config = tiny_config(tmp_path, "iris", embeddings={"encoder": encoder})
    with pytest.raises(
        ConfigError, match=r"encoder: only the text model reads it, not model\.pipel"
    ):
        prepare(config, SilentProgress())


def test_check_opens_the_encoder(tmp_path: Path) -> None:
    from train import preparation
    from train.config.loading import draft_of

    model = publish_network(tmp_path / "published")
    model.write_bytes(b"no network")
    dataset = write_csv(tmp_path / "tiny.csv", make_rows(60))
    text = f"dataset: {dataset}\nembeddings: {{encoder: {{model: {model}}}}}\n"
    with pytest.raises(ConfigError, match=r"model\.onnx: no network in ONNX"):
        preparation.check(draft_of(text, "conf.yml"), SilentProgress())


# ------------------------------------------------------------------ the files


def test_all_files_that_are_missing_are_named_at_once(tmp_path: Path) -> None:
    dataset = write_csv(tmp_path / "tiny.csv", make_rows(60))
    encoder = {"model": "no.bin", "tokenizer": str(tmp_path), "licence": "package:nothere/x"}
    config = tiny_config(tmp_path, dataset, embeddings={"encoder": encoder, "pretrained": "no.txt"})
    with pytest.raises(ConfigError) as caught:
        prepare(config, SilentProgress())
    told = "\n".join(caught.value.problems)
    for problem in (
        "embeddings.pretrained: no.txt is not a file.",
        "embeddings.encoder.model: no.bin: expected a network (.onnx), or vectors of word pieces",
        "embeddings.encoder.model: no.bin is not a file.",
        f"embeddings.encoder.tokenizer: {tmp_path} is a directory.",
        "embeddings.encoder.licence: package:nothere/x: there is no package 'nothere'",
    ):
        assert problem in told


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("https://example.org/a.onnx", "a download needs its checksum"),
        ({"file": "a.onnx", "sha256": "abc"}, "should match pattern"),
        ({"sha256": "0" * 64}, "file"),
        (5, "expected a path, got 5. Put it into quotes"),
        (None, "expected a path, got nothing"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(written: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        EncoderConfig(model=written)


def test_a_file_of_a_package_is_found_without_an_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "tiny_words"
    model = publish_static(package / "inside")
    (package / "__init__.py").write_text("raise RuntimeError('imported')", encoding="utf-8")
    about = tmp_path / "tiny_words-1.2.dist-info"
    (about / "licenses").mkdir(parents=True)
    (about / "licenses" / "LICENSE").write_text("Tiny licence", encoding="utf-8")
    (about / "METADATA").write_text(
        "Metadata-Version: 2.4\nName: tiny-words\nVersion: 1.2\nLicense-Expression: MIT\n",
        encoding="utf-8",
    )
    (about / "top_level.txt").write_text("tiny_words\n", encoding="utf-8")
    record = "tiny_words/__init__.py,,\ntiny_words-1.2.dist-info/licenses/LICENSE,,\n"
    (about / "RECORD").write_text(record, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    source = FileSource(file="package:tiny_words/inside/model.safetensors")
    config = TrainConfig(dataset="-")
    assert files.find(source, "key", config) == model.resolve()
    licence = files.licence_of(source, model)
    assert licence == files.Licence("tiny-words 1.2 declares MIT", "Tiny licence\n")
    assert "tiny_words" not in sys.modules
    with pytest.raises(DatasetError, match="expected a file within the package"):
        files.find(FileSource(file="package:tiny_words/../secret"), "key", config)


def test_a_download_is_checked_and_kept(
    tmp_path: Path, web_server: WebServer, closed_url: str
) -> None:
    content = publish_static(tmp_path / "published").read_bytes()
    web_server.files["/m.safetensors"] = content
    config = TrainConfig(dataset="-", data_dir=tmp_path / "raw")
    name, sha256 = f"{web_server.url}/m.safetensors", hashlib.sha256(content).hexdigest()
    for _ in range(2):
        path = files.find(FileSource(file=name, sha256=sha256), "key", config)
        assert path.read_bytes() == content
    assert web_server.requests == ["/m.safetensors"]
    with pytest.raises(DatasetError, match="hash"):
        files.find(FileSource(file=name, sha256="0" * 64), "key", config)
    away = FileSource(file=f"{closed_url}/m.safetensors", sha256=sha256)
    with pytest.raises(DatasetError, match=r"key: http.*: cannot be reached\. Check the network"):
        files.find(away, "key", config)


def test_a_file_with_another_checksum_is_refused(tmp_path: Path) -> None:
    model = publish_static(tmp_path)
    with pytest.raises(
        DatasetError, match=r"key: .*model\.safetensors: SHA-256 is .*, expected 000"
    ):
        files.find(FileSource(file=str(model), sha256="0" * 64), "key", TrainConfig(dataset="-"))


def test_a_model_without_a_licence_is_used_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = publish_network(tmp_path / "published")
    assert open_encoder(tmp_path, model=model).metadata["licence"] is None
    assert "WARNING: embeddings.encoder: no licence text lies beside" in capsys.readouterr().err
    (tmp_path / "terms.txt").write_text("Terms.", encoding="utf-8")
    encoder = open_encoder(tmp_path, model=model, licence=tmp_path / "terms.txt")
    encoder.write(tmp_path)
    assert (tmp_path / LICENCE).read_text() == "Terms."


# ----------------------------------------------------------------- the layouts


@pytest.mark.parametrize("kind", sorted(PUBLISH))
def test_both_kinds_say_the_same_of_a_text(tmp_path: Path, kind: str) -> None:
    words = {"up": (3.0, 0.0), "down": (0.0, 4.0)}
    encoder = open_encoder(tmp_path, model=PUBLISH[kind](tmp_path / "published", words))
    vectors = encoder.encode(["up down", "Up?", "other"])
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [1, 0], [0, 0]], atol=1e-3)


def test_weights_and_a_mapping_of_model2vec_are_applied(tmp_path: Path) -> None:
    model = publish_static(tmp_path, {"up": (0.0, 0.0), "down": (0.0, 0.0)})
    tensors = {
        "embeddings": np.array([[0, 0], [64, 0], [0, 127]], np.int8),
        "mapping": np.array([0, 0, 0, 0, 2, 1], np.int64),
        "weights": np.array([1, 1, 1, 1, 0.5, 2], np.float64),
    }
    save_file(tensors, model)
    [vector] = open_encoder(tmp_path, model=model).encode(["up down"])
    expected = np.array([128, 63.5])
    np.testing.assert_allclose(vector, expected / np.linalg.norm(expected), atol=1e-3)


def test_a_piece_that_the_vocabulary_does_not_have_says_nothing(tmp_path: Path) -> None:
    model = publish_static(tmp_path, {"up": (3.0, 0.0)})
    tensors = load_file(model)
    tensors["embeddings"][:] = [0, 9]  # of the special pieces too
    tensors["embeddings"][-1] = [3, 0]
    save_file(tensors, model)
    vectors = open_encoder(tmp_path, model=model).encode(["up", "up zzz", "zzz"])
    np.testing.assert_allclose(vectors, [[1, 0], [1, 0], [0, 0]], atol=1e-6)


VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "up", "down"]


def _tokenizer(**changes: Any) -> Callable[[Path], object]:
    text = tokenizer_json(VOCABULARY, **changes)
    return lambda folder: (folder / "tokenizer.json").write_text(text, encoding="utf-8")


def _tensors(**tensors: np.ndarray) -> Callable[[Path], object]:
    return lambda folder: save_file(tensors, folder / "model.safetensors")


def _content(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_content("tokenizer.json", b"{"), r"tokenizer\.json: Expecting .* Expected WordPiece"),
        (_content("tokenizer.json", b"[]"), r"tokenizer\.json: .* Expected WordPiece"),
        (_tokenizer(model={"type": "BPE"}), "its model is BPE, not WordPiece"),
        (_tokenizer(normalizer=None), "its normalizer is None, not BertNormalizer"),
        (_tokenizer(pre_tokenizer={"type": "Metaspace"}), "its pre_tokenizer is Metaspace"),
        (_tensors(embeddings=np.zeros((5, 2))), "has 5 vectors, its tokenizer 6 pieces"),
        (_tensors(embeddings=np.zeros(6)), "expected a matrix called 'embeddings'"),
        (_tensors(others=np.zeros((6, 2))), "expected a matrix called 'embeddings'.*got others"),
        (_tensors(embeddings=np.full((6, 2), np.nan)), "a number is not finite"),
        (
            _tensors(embeddings=np.zeros((6, 2)), mapping=np.full(6, 9)),
            "index 9 is out of bounds",
        ),
        (_tensors(embeddings=np.zeros((6, 2)), weights=np.ones(3)), "could not be broadcast"),
        (_content("model.safetensors", b"no tensors at all"), "cannot be read as safetensors"),
        (_content("model.safetensors", gzip.compress(b"x")), "cannot be read as safetensors"),
    ],
)
def test_a_static_model_that_cannot_be_served_is_refused(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    model = publish_static(tmp_path, {"up": (3.0, 0.0), "down": (0.0, 4.0)})
    damage(tmp_path)
    with pytest.raises(EmbeddingError, match=rf"(?s)^embeddings\.encoder.*{message}"):
        open_encoder(tmp_path, model=model)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_content("vocab.txt", b""), r"vocab\.txt: .* Expected WordPiece"),
        (_content("vocab.txt", b"a\n[UNK]\n"), r"'\[CLS\]' is not in list"),
        (_content("vocab.txt", b"\xff\xfe"), "codec can't decode"),
        (_content("vocab.txt", b"a\na\n[UNK]\n[CLS]\n[SEP]\n"), "a word piece occurs twice"),
        (
            lambda folder: (folder / "vocab.txt").unlink(),
            r"neither tokenizer\.json nor vocab\.txt lies beside",
        ),
        (
            lambda folder: onnx.save(
                network_of(vectors_of({"up": (1.0,)}), ("words",)), folder / "model.onnx"
            ),
            "expected the inputs input_ids",
        ),
    ],
)
def test_a_network_that_cannot_be_served_is_refused(
    tmp_path: Path, damage: Callable[[Path], object], message: str
) -> None:
    model = publish_network(tmp_path)
    damage(tmp_path)
    with pytest.raises(EmbeddingError, match=rf"(?s)^embeddings\.encoder.*{message}"):
        open_encoder(tmp_path, model=model)


# ------------------------------------------------------------------ remembered


def test_texts_that_were_encoded_once_are_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(encoder_module, "_MANY", 10)
    model = publish_network(tmp_path / "published")
    words = list(words_of_topics())
    texts = [f"{word} {other}" for word in words[:8] for other in words]
    first = open_encoder(tmp_path, model=model).encode(texts)
    [file] = (tmp_path / "raw" / "encoded").iterdir()
    capsys.readouterr()
    again = open_encoder(tmp_path, model=model).encode(texts)
    assert "encoded before" in capsys.readouterr().err
    np.testing.assert_array_equal(again, first)
    # Whatever is wrong with the file, the answer is not.
    for damaged in (file.read_bytes()[:500], b"", bytes(len(file.read_bytes()))):
        file.write_bytes(damaged)
        np.testing.assert_array_equal(open_encoder(tmp_path, model=model).encode(texts), first)
    np.save(file, np.ones_like(first))
    np.testing.assert_array_equal(open_encoder(tmp_path, model=model).encode(texts), first)


# ------------------------------------------------------------------- distilled


def test_a_network_is_distilled_into_what_can_be_trained_on(tmp_path: Path) -> None:
    model = publish_network(tmp_path / "published")
    (tmp_path / "published" / "LICENSE").write_text("Do what you like.\n", encoding="utf-8")
    rows = [(f"{text} apple-pie", label) for text, label in make_rows(80)]
    dataset = write_csv(tmp_path / "tiny.csv", rows)
    config = tiny_config(tmp_path, dataset, embeddings={"encoder": {"model": str(model)}})
    out = tmp_path / "static"
    distilling.distil_to(out, prepare(config, SilentProgress()), 3, SilentProgress())
    assert sorted(file.name for file in out.iterdir()) == [
        "LICENSE",
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    ]
    tensors = load_file(out / "model.safetensors")
    vocabulary = json.loads((out / "tokenizer.json").read_text())["model"]["vocab"]
    assert tensors["embeddings"].shape == (len(vocabulary), 3)
    # A word that every text has weighs less than one that a text in eight has.
    assert tensors["weights"][vocabulary["apple"]] < tensors["weights"][vocabulary["violin"]]
    static = open_encoder(tmp_path, model=out / distilling.MODEL)
    assert static.metadata["licence"] == "LICENSE beside model.safetensors"
    vectors = static.encode(["cherry", "plum", "cello", "hammer"])
    near = vectors @ vectors[0]
    assert near[1] > 0.9 > 0 > max(near[2:])
    with pytest.raises(UserError, match=r"static is there already, and is not overwritten"):
        distilling.distil_to(out, prepare(config, SilentProgress()), 3, SilentProgress())


def test_the_words_that_are_cut_up_become_words_of_the_static_model(tmp_path: Path) -> None:
    words = {"ap": (1.0, 0.0), "##ple": (0.0, 1.0), "a": (1.0, 1.0)}
    encoder = open_encoder(tmp_path, model=publish_network(tmp_path / "published", words))
    texts = ["apple a", "apple apap", "a", "once apple"]
    static = distilling.distil(encoder, texts, 2, SilentProgress())
    assert list(static.pieces.vocabulary)[-1] == "apple"
    # The mean of its two pieces, between which special pieces of length 0 do not count.
    apple, first = static.vectors[-1], static.vectors[static.pieces.vocabulary["ap"]]
    np.testing.assert_allclose(apple, [0.5**0.5, 0.5**0.5], atol=1e-6)
    np.testing.assert_allclose(first, [1, 0], atol=1e-6)


def test_what_cannot_be_distilled_is_said(tmp_path: Path) -> None:
    dataset = write_csv(tmp_path / "tiny.csv", make_rows(60))
    prepared = prepare(tiny_config(tmp_path, dataset), SilentProgress())
    with pytest.raises(UserError, match="the configuration names no encoder"):
        distilling.distil_to(tmp_path / "out", prepared, 3, SilentProgress())
    encoder = {"model": str(publish_static(tmp_path / "published"))}
    config = tiny_config(tmp_path, dataset, embeddings={"encoder": encoder})
    with pytest.raises(EmbeddingError, match=r"expected a network \(\.onnx\) to distil"):
        distilling.distil_to(
            tmp_path / "out", prepare(config, SilentProgress()), 3, SilentProgress()
        )
    assert not (tmp_path / "out").exists()
