"""Writes tiny real artefacts: an ONNX model of some hundred numbers, its features, and metadata around them.

`golden/format-1` is the one that `python -m predict.tests.tiny_artefact predict/tests/golden/format-1` wrote
when format 1 was new. It is committed and never written again: it stands for the artefacts that are out
there. A new format gets a folder of its own, made in the same way: `predict.tests.tiny_tables` wrote `format-2`.
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
from predict.contract.features import FIRST_WORD_ID, FeatureSettings, TextFeatures

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
EXAMPLES = ("how do I undo a commit", "a shell script", "Qt widget in C++", "zzzz", "?!")


def write_tiny_artefact(
    directory: Path,
    inputs: Sequence[str] = ("title",),
    labels: Sequence[str] = LABELS,
    settings: FeatureSettings = SETTINGS,
    **more_metadata: Any,
) -> Path:
    """Write an artefact whose answers can be told by hand: known words decide, n-grams nudge.

    Args:
        directory: Where; made if missing.
        inputs: Names of the text inputs.
        labels: What the model tells apart.
        settings: Of the features; their buckets are the rows of the model's tables.
        more_metadata: Replaces or adds keys of `metadata.json`.
    """
    directory.mkdir(parents=True, exist_ok=True)
    features = TextFeatures(settings, VOCABULARY)
    features.write(directory / FEATURES)
    onnx.save(_model(features, len(labels)), directory / MODEL)
    metadata = {
        "task": "classification",
        "inputs": [{"name": name, "type": "text"} for name in inputs],
        "outputs": [{"name": "tag", "type": "label", "labels": list(labels)}],
        "examples": _examples(directory / MODEL, features, inputs),
        "embedding": {"algorithm": "by hand — für Menschen 🙂"},
        **more_metadata,
    }
    write_rest(directory, metadata)
    return directory


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
    model: Path, features: TextFeatures, inputs: Sequence[str]
) -> list[dict[str, object]]:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    texts = ["\n".join([text] * len(inputs)) for text in EXAMPLES]
    answers = session.run(None, features.encode(texts))[0]
    return [
        {
            "instance": dict.fromkeys(inputs, text),
            "answer": [round(float(value), 8) for value in answer],
        }
        for text, answer in zip(EXAMPLES, answers, strict=True)
    ]


def _model(features: TextFeatures, num_labels: int) -> onnx.ModelProto:
    """Sum the rows of two tables, and take the softmax."""
    nodes = [
        helper.make_node("Gather", ["token_table", "token_ids"], ["token_rows"]),
        helper.make_node("ReduceSum", ["token_rows", "axes"], ["token_sum"], keepdims=0),
        helper.make_node("Gather", ["ngram_table", "ngram_ids"], ["ngram_rows"]),
        helper.make_node("ReduceSum", ["ngram_rows", "axes"], ["ngram_sum"], keepdims=0),
        helper.make_node("Add", ["token_sum", "ngram_sum"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["answer"]),
    ]
    tables = {
        "token_table": _token_table(features, num_labels),
        "ngram_table": _waves(1 + features.settings.ngram_buckets, num_labels) * 0.1,
        "axes": np.array([1], np.int64),
    }
    graph = helper.make_graph(
        nodes,
        "tiny",
        [
            helper.make_tensor_value_info(name, TensorProto.INT32, ["rows", f"longest {name}"])
            for name in ("token_ids", "ngram_ids")
        ],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["rows", num_labels])],
        [numpy_helper.from_array(table, name) for name, table in tables.items()],
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
    write_tiny_artefact(Path(sys.argv[1]))
