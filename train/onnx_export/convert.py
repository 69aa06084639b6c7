"""The conversion of a fitted pipeline into an ONNX file."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from google.protobuf.message import EncodeError  # type: ignore[import-untyped]  # has no types
from onnx import ModelProto
from sklearn.pipeline import Pipeline

from train.onnx_export.checks import check_exportable
from train.onnx_export.containers import Step, UnsupportedStepError, predicted
from train.onnx_export.graph import Graph, Table, Tensor

# Rows that a step which skl2onnx converts has to answer as scikit-learn does.
_SAMPLE_ROWS = 1000
# What a protobuf message, and with it a model in a single file, can hold.
_MOST_BYTES = 2**31 - 1


def to_onnx(
    pipeline: Pipeline,
    frame: pd.DataFrame,
    file: Path,
    temperature: float | None = None,
    smallest: float = 0.0,
    factors: npt.NDArray[np.float64] | None = None,
) -> None:
    """Write a fitted pipeline as ONNX.

    The graph has one input for each column that the pipeline reads, named like it: <double>[n, 1] for numbers,
    <string>[n, 1] for all other columns, with NaN and "" where a value is missing. Its one output is
    <double>[n, num_labels] with the probabilities in the order of `classes_`, or <double>[n, 1] with the value.

    Args:
        pipeline: Fitted on columns like those of `frame`.
        frame: Some rows as the pipeline was fitted on. At least one.
        file: Where it is written; an existing file is overwritten.
        temperature: What the logarithms of the probabilities are divided by, as `calibration.tempered` does;
            None for values, and for probabilities that stay as they are.
        smallest: What a probability counts as at least, before its logarithm is taken.
        factors: What the result is multiplied by, label by label, <float64>[num_labels].

    Raises:
        UnsupportedStepError: The step that the message names cannot be converted, or the model is too large.
    """
    check_exportable(pipeline)
    sample = {
        str(name): _column(values).reshape(-1, 1)
        for name, values in frame.head(_SAMPLE_ROWS).items()
    }
    graph = Graph(sample)
    table = Table(
        tuple(Tensor(name, 1, kind) for name, kind in graph.inputs.items()), tuple(sample)
    )
    output = predicted(graph, Step(pipeline, (), table))
    if temperature is not None:
        known = graph.add("Max", output, smallest)
        powers = graph.add("Pow", known, 1 / temperature)
        if factors is not None:
            powers = graph.add("Mul", powers, factors[np.newaxis])
        output = graph.share_of_row(powers)
    file.write_bytes(_serialised(graph.to_model(output)))


def _column(values: "pd.Series[Any]") -> npt.NDArray[Any]:
    """Return numbers as <float64>[n], everything else as <object>[n]."""
    is_number = pd.api.types.is_numeric_dtype(values)
    return values.to_numpy(np.float64 if is_number else object)


def _serialised(model: ModelProto) -> bytes:
    try:
        size = model.ByteSize()
    except EncodeError:  # too large to count
        size = _MOST_BYTES + 1
    if size > _MOST_BYTES:
        raise UnsupportedStepError(
            "the pipeline cannot be exported as ONNX: the model would be larger than 2 GB, the most that its format "
            "can hold. Train fewer or shallower trees (n_estimators, max_depth, min_samples_leaf), or leave out "
            "categories and words that are rare (min_frequency, min_df)."
        )
    serialised: bytes = model.SerializeToString()
    return serialised
