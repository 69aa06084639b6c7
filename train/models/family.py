"""The interface of the families of models: what a run asks of a family, and of a fitted model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from predict.scoring.inputs import Inputs
from train.data.dataset import Dataset
from train.data.splits import Prepared
from train.models.scope import Scope
from train.progress import Progress

# The pipeline of the family of texts; any other belongs to the family of tables.
WIDE_AND_DEEP = "wide_and_deep"

Outputs = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Tolerance:
    """Two numbers are equal if they differ by less than `relative` times the trained one plus `absolute`.

    `same_labels`: whether the labels decided on must be the same too, ties included.
    """

    relative: float
    absolute: float
    same_labels: bool


class FittedModel(Protocol):
    """A model that was fitted.

    Outputs are probabilities in the order of the dataset's labels, <float64>[num_rows, num_labels], or
    values, <float64>[num_rows, 1].
    """

    @property
    def history(self) -> list[dict[str, float]]:
        """Losses epoch by epoch; empty for a model that is not trained in epochs."""

    @property
    def validation_outputs(self) -> Outputs | None:
        """The outputs for the validation rows, unseen by then; None if it was fitted on them at once."""

    @property
    def tolerance(self) -> Tolerance:
        """How far served outputs may be from trained ones."""

    @property
    def factors(self) -> Outputs | None:
        """What its probabilities were multiplied by to undo `imbalance`, <float64>[num_labels]; or None."""

    def predict(self, dataset: Dataset, rows: Rows) -> Outputs:
        """Return the outputs for rows of a dataset with the columns that it was fitted on."""

    def uncalibrated(self, outputs: Outputs) -> Outputs | None:
        """Return what outputs were before they were calibrated; None where they are not."""

    def unknown_share(self, dataset: Dataset, rows: Rows) -> Outputs | None:
        """Return the share of each text's words that the vocabulary does not have, <float64>[num_rows].

        1 where there are no words; None for a model that has no vocabulary of its own.
        """

    def write(self, directory: Path) -> None:
        """Write `model.onnx`, and what is needed to encode its inputs."""

    def describe(self, prepared: Prepared) -> Mapping[str, Any]:
        """Return what the metadata says about it: at least its `inputs` and `model`."""


@dataclass(frozen=True)
class Baseline:
    """A simple model on the test rows, which any other has to beat.

    Attributes:
        name: What people call it.
        outputs: Like those of a fitted model; None if it gives none.
        answers: Label indices <int64>[num_rows] or <bool>[num_rows, num_labels], if it gives no outputs.
        margins: What ranks the rows by the second of two labels, <float64>[num_rows], if it gives no outputs.
    """

    name: str
    outputs: Outputs | None = None
    answers: npt.NDArray[Any] | None = None
    margins: Outputs | None = None


class Family(Protocol):
    """A module for one kind of model."""

    def problems_of(self, prepared: Prepared) -> list[str]:
        """Return, without fitting, why the configuration does not fit the dataset; nothing if it does."""

    def problems_of_sample(self, prepared: Prepared) -> list[str]:
        """Return what keeps the dataset from being fitted on, as far as a few rows show it in a second or two."""

    def load(self) -> None:
        """Import the libraries that a fit needs and a check does not."""

    def fit(self, prepared: Prepared, progress: Progress) -> FittedModel:
        """Fit on the training rows, choose on the validation rows; see nothing of the test rows."""

    def find_scope(self, prepared: Prepared, model: Any, progress: Progress) -> Scope:
        """Choose what tells instances of none of the labels; only with `decision.unsure_below: auto`."""

    def fit_baselines(self, prepared: Prepared) -> Sequence[Baseline]:
        """Fit what this family's models are compared with, beside the constant answer."""

    def request_inputs(self, prepared: Prepared) -> Inputs:
        """Return what checks the instances of a request to a model of this family."""
