"""Tiny encoders: word pieces that can be told by hand, their vectors, and a network that looks the same ones up."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from predict.contract.encoder import NETWORK, PIECES, EncoderSettings
from predict.contract.wordpiece import WordPieceSettings

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")


def vocabulary_of(words: dict[str, tuple[float, ...]]) -> list[str]:
    return [*SPECIAL, *words]


def vectors_of(words: dict[str, tuple[float, ...]]) -> np.ndarray:
    """Return the vectors of `vocabulary_of`; those of the special pieces are 0."""
    width = len(next(iter(words.values())))
    return np.array([*[(0.0,) * width] * len(SPECIAL), *words.values()], np.float32)


def network_of(
    vectors: np.ndarray, inputs: tuple[str, ...] = ("input_ids", "attention_mask")
) -> onnx.ModelProto:
    """Look up the vector of each piece; what is not an id is not used."""
    values = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["texts", "pieces"])
        for name in inputs
    ]
    answer = helper.make_tensor_value_info(
        "last_hidden_state", TensorProto.FLOAT, ["texts", "pieces", vectors.shape[1]]
    )
    node = helper.make_node("Gather", ["vectors", inputs[0]], ["last_hidden_state"])
    table = numpy_helper.from_array(vectors.astype(np.float32), "vectors")
    graph = helper.make_graph([node], "tiny", values, [answer], [table])
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 15)])


def write_tiny_encoder(
    directory: Path, kind: str, words: dict[str, tuple[float, ...]], max_tokens: int = 16
) -> None:
    """Write the files of an encoder as an artefact has them."""
    vocabulary, vectors = vocabulary_of(words), vectors_of(words)
    ends = {"first": 2, "last": 3} if kind == "onnx" else {}
    wordpiece = WordPieceSettings(unknown=1, max_tokens=max_tokens, **ends)
    EncoderSettings(kind=kind, wordpiece=wordpiece, vocabulary=vocabulary).write(directory)  # type: ignore[arg-type]
    if kind == "static":
        np.save(directory / PIECES, vectors.astype(np.float16), allow_pickle=False)
    else:
        onnx.save(network_of(vectors), directory / NETWORK)
