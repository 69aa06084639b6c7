"""Writes tiny real artefacts: an ONNX model of some hundred numbers, its features, and metadata around them.

`golden/format-4` is the one that `python -m predict.tests.tiny_artefact predict/tests/golden/format-4` wrote when
format 4 was new, with a familiarity; `format-4-static` and `format-4-onnx` have an encoder of the kind that was named
after the folder. `format-1` and `format-3` were made in the same way, without either. They are committed and never
written again: they stand for the artefacts that are out there. A new format gets a folder of its own.
`predict.tests.tiny_tables` wrote `format-2`.
"""

import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from predict.contract.artefact import (
    CONFIGURATION,
    FEATURES,
    FORMAT_VERSION,
    METADATA,
    METRICS,
    MODEL,
    REPORT,
    serialise_metadata,
    sha256_of,
)
from predict.contract.encoder import ENCODED, ENCODER, EncoderSettings
from predict.contract.familiarity import TextFamiliarity
from predict.contract.features import FIRST_WORD_ID, FeatureSettings, TextFeatures
from predict.contract.text_table import SUMS, TextTable
from predict.scoring.encoder import open_encoder
from predict.scoring.text_sums import TextSums
from predict.tests.tiny_encoder import write_tiny_encoder

LABELS = ("svn", "bash", "qt")
# Four words for each label in turn, and then some that say nothing.
VOCABULARY = (
    *("svn", "commit", "branch", "undo"),
    *("bash", "shell", "script", "echo"),
    *("qt", "widget", "c++", "signal"),
    *("how", "do", "i", "a", "in", "the", "node.js", ".net"),
)
SETTINGS = FeatureSettings(
    max_tokens=32, min_ngram=2, max_ngram=3, ngram_buckets=61, pair_buckets=17
)
# What an encoder knows: words for the three labels that the vocabulary does not have.
ENCODER_WORDS = {
    "revert": (1.0, 0.0, 0.0),
    "terminal": (0.0, 1.0, 0.0),
    "button": (0.0, 0.0, 1.0),
    "##s": (0.1, 0.1, 0.1),
}
ENCODER_EXAMPLES = ("Revert it!", "buttons")
EXAMPLES = ("how do I undo a commit", "a shell script", "Qt widget in C++", "zzzz", "?!")


def write_tiny_artefact(
    directory: Path,
    inputs: Sequence[str] = ("title",),
    labels: Sequence[str] = LABELS,
    settings: FeatureSettings = SETTINGS,
    encoder: str | None = None,
    familiar_from: float | None = None,
    **more_metadata: Any,
) -> Path:
    """Write an artefact whose answers can be told by hand: known words decide, n-grams nudge.

    Args:
        directory: Where; made if missing.
        inputs: Names of the text inputs.
        labels: What the model tells apart.
        settings: Of the features; their buckets are rows of the model's table.
        encoder: The kind of a pretrained encoder beside it.
        familiar_from: Of the output, which then goes by `tiny_familiarity`.
        more_metadata: Replaces or adds keys of `metadata.json`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    features = TextFeatures(settings, VOCABULARY)
    features.write(directory / FEATURES)
    _table(features, len(labels)).write(directory)
    if encoder is not None:
        write_tiny_encoder(directory, encoder, ENCODER_WORDS)
    onnx.save(_model(len(labels), encoder is not None), directory / MODEL)
    output: dict[str, Any] = {"name": "tag", "type": "label", "labels": list(labels)}
    if familiar_from is not None:
        output["familiar_from"] = familiar_from
        tiny_familiarity(len(labels)).write(directory)
    metadata = {
        "task": "classification",
        "inputs": [{"name": name, "type": "text"} for name in inputs],
        "outputs": [output],
        "examples": _examples(directory, features, inputs),
        "embedding": {"algorithm": "by hand — für Menschen 🙂"},
        **more_metadata,
    }
    write_rest(directory, metadata)
    return directory


def tiny_familiarity(num_labels: int) -> TextFamiliarity:
    """Return the largest margin, less twice the share of unknown words, as a familiarity."""
    return TextFamiliarity(
        np.arange(num_labels),
        np.zeros(num_labels, np.float32),
        np.eye(num_labels, dtype=np.float32),
        np.array([1.0, 0.0, 0.0, -2.0, 0.0]),
        np.zeros((0, num_labels), np.float32),
        width=num_labels,
    )


def write_rest(directory: Path, metadata: dict[str, Any]) -> None:
    """Write what is the same in every tiny artefact: the files for people, and `metadata.json`."""
    (directory / METRICS).write_text('{"accuracy": 1.0}\n', encoding="utf-8")
    (directory / CONFIGURATION).write_text("dataset: tiny\n", encoding="utf-8")
    (directory / REPORT).write_text("<!doctype html><title>tiny</title>\n", encoding="utf-8")
    common = {
        "format_version": FORMAT_VERSION,
        "name": "2026-01-02-03-04-05",
        "created_at": "2026-01-02T03:04:05+00:00",
        "metrics": {"accuracy": 1.0},
    }
    write_metadata(directory, common | metadata)


def write_metadata(directory: Path, metadata: dict[str, Any]) -> None:
    """Write `metadata.json` with the true SHA-256 of every other file, and a true checksum."""
    files = {
        file.name: sha256_of(file) for file in sorted(directory.iterdir()) if file.name != METADATA
    }
    content = {"files": files, **metadata}
    content.pop("checksum", None)
    (directory / METADATA).write_bytes(serialise_metadata(content))


def change_metadata(directory: Path, remove: Sequence[str] = (), **changes: Any) -> None:
    """Change keys of `metadata.json` as somebody would who knows how to make the checksums right again."""
    metadata = json.loads((directory / METADATA).read_bytes())
    for key in ("files", *remove):
        metadata.pop(key)
    write_metadata(directory, metadata | changes)


def _examples(
    directory: Path, features: TextFeatures, inputs: Sequence[str]
) -> list[dict[str, object]]:
    import onnxruntime

    model = directory / MODEL
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    sums = TextSums(features, TextTable.read(directory, features))
    has_encoder = (directory / ENCODER).exists()
    examples = [*EXAMPLES, *ENCODER_EXAMPLES] if has_encoder else EXAMPLES
    texts = ["\n".join([text] * len(inputs)) for text in examples]
    feeds = {SUMS: sums.of(texts)}
    if has_encoder:
        feeds[ENCODED] = open_encoder(EncoderSettings.read(directory), directory).encode(texts)
    answers = session.run(None, feeds)[0]
    return [
        {
            "instance": dict.fromkeys(inputs, text),
            "answer": [round(float(value), 8) for value in answer],
        }
        for text, answer in zip(examples, answers, strict=True)
    ]


def _table(features: TextFeatures, num_labels: int) -> TextTable:
    """Give every id a row of its own, but for those of padding."""
    num_tokens, num_ngrams = features.num_token_ids, features.num_ngram_ids
    rows = np.arange(num_tokens + num_ngrams, dtype=np.int32)
    rows[num_tokens] = 0
    ngrams = _waves(num_ngrams, num_labels) * 0.1
    vectors = np.concatenate([_token_table(features, num_labels), ngrams]).astype(np.float16)
    squares = np.sign(rows).astype(np.float32)
    return TextTable(rows, squares, vectors, num_tokens)


def _model(num_labels: int, reads_encoder: bool) -> onnx.ModelProto:
    """Add up both sums but for their first numbers, the squares, and three times an encoder's; take the softmax."""
    nodes = [
        helper.make_node("ReduceSum", [SUMS, "kinds"], ["sum"], keepdims=0),
        helper.make_node("Slice", ["sum", "first", "last", "numbers"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["answer"]),
    ]
    inputs = {SUMS: ["texts", 2, 1 + num_labels]}
    if reads_encoder:
        inputs[ENCODED] = ["texts", num_labels]
        nodes[-1:] = [
            helper.make_node("Sum", ["logits", *[ENCODED] * 3], ["all"]),
            helper.make_node("Softmax", ["all"], ["answer"]),
        ]
    constants = {"kinds": [1], "first": [1], "last": [1 + num_labels], "numbers": [1]}
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, inputs[name]) for name in inputs],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["texts", num_labels])],
        [
            numpy_helper.from_array(np.array(value, np.int64), name)
            for name, value in constants.items()
        ],
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 15)])


def _token_table(features: TextFeatures, width: int) -> np.ndarray:
    table = _waves(features.first_pair_id + features.settings.pair_buckets, width) * 0.1
    for word in range(12):
        table[FIRST_WORD_ID + word, (word // 4) % width] += 2
    return table


def _waves(rows: int, width: int) -> np.ndarray:
    """Return numbers from -1 to 1 without a pattern that matters; those of row 0, padding, are 0."""
    table = np.sin(np.arange(rows * width, dtype=np.float64) * 12.9898).reshape(rows, width)
    table[0] = 0
    return table.astype(np.float32)


if __name__ == "__main__":
    shutil.rmtree(sys.argv[1], ignore_errors=True)
    if sys.argv[2:]:
        write_tiny_artefact(Path(sys.argv[1]), encoder=sys.argv[2])
    else:
        write_tiny_artefact(Path(sys.argv[1]), familiar_from=0.25)
