"""The limits of the built-in pipelines: numbers that overflow, and columns of which nothing is known."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.pipeline import Pipeline

from predict.contract.artefact import Derived, Input
from predict.wording import counted
from train.data.dataset import Dataset
from train.features.derived import compute_columns

# Squares of larger numbers overflow a double, and both the linear models and the baselines square.
_LARGEST = 1e150
# Forests read numbers as float32.
_LARGEST_BY_PIPELINE = {"random_forest": float(np.finfo(np.float32).max)}


def too_large(dataset: Dataset, derived: Sequence[Derived], pipeline: str) -> Iterator[str]:
    """Name each column of numbers, computed ones included, that has a number too large for a built-in pipeline."""
    largest = _LARGEST_BY_PIPELINE.get(pipeline, _LARGEST)
    for name, values in _numbers(dataset, derived):
        rows = np.flatnonzero(np.abs(values) > largest)  # NaN is not above
        if len(rows):
            shown = f"row {dataset.row_number(rows[0]):,} has {values[rows[0]]:.6g}"
            rest = f", and {counted(len(rows) - 1, 'row')} more" if len(rows) > 1 else ""
            yield (
                f"{name}: too large a number for model.pipeline: {pipeline}, which takes up to {largest:.2g}: "
                f"{shown}{rest}. Correct it or leave it empty, or leave out {_how_to_leave_out(name, dataset)}."
            )
    if dataset.kind == "number" and (np.abs(dataset.targets) > _LARGEST).any():
        row = int(np.abs(dataset.targets).argmax())
        yield (
            f"{dataset.columns.label}: too large a number to be predicted: row {dataset.row_number(row):,} has "
            f"{dataset.targets[row]:.6g}, expected up to {_LARGEST:.2g}. Correct it, or leave the row out."
        )


def _how_to_leave_out(name: str, dataset: Dataset) -> str:
    if name in dataset.column_types:
        return f"the column (columns.inputs: {{{name}: ignore}})"
    return "the feature"


def _numbers(
    dataset: Dataset, derived: Sequence[Derived]
) -> Iterator[tuple[str, npt.NDArray[np.float64]]]:
    inputs = [
        Input(name=name, type="number")
        for name, kind in dataset.column_types.items()
        if kind == "number"
    ]
    ratios = [column for column in derived if column.kind == "ratio"]
    frame = compute_columns(dataset, inputs, ratios, np.arange(len(dataset)))
    for name in frame:
        yield str(name), frame[name].to_numpy(np.float64)


def unknown_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns of numbers without a single known value."""
    return [str(name) for name in frame if frame[name].dtype == float and frame[name].isna().all()]


def with_something_known(pipeline: Pipeline, frame: pd.DataFrame) -> pd.DataFrame:
    """Return what a pipeline can be fitted on: histogram boosting takes no column of missing numbers alone.

    A column that is 0 everywhere has no split either, so that later values make no difference.
    """
    histograms = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
    unknown = unknown_columns(frame)
    if not unknown or not isinstance(pipeline.steps[-1][1], histograms):
        return frame
    return frame.assign(**dict.fromkeys(unknown, 0.0))
