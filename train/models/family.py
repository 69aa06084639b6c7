"""What every family of models has in common: the few functions that a run asks of it, whichever it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from train.config import TrainConfig
from train.data.dataset import Dataset
from train.data.splits import Split
from train.models.decision import Decision
from train.progress import Progress


@dataclass(frozen=True)
class Tolerance:
    """Two numbers are equal if they differ by less than `relative` times the trained one plus `absolute`.

    `same_labels`: whether the labels decided on must be the same too, ties included.
    """

    relative: float
    absolute: float
    same_labels: bool


Outputs = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class Fitted(Protocol):
    """A fitted model."""

    @property
    def history(self) -> list[dict[str, float]]:
        """Losses epoch by epoch; empty for a model that is not trained in epochs."""

    @property
    def validation_outputs(self) -> Outputs | None:
        """What it says of the validation rows, unseen by then; None if it was fitted on them at once."""

    @property
    def tolerance(self) -> Tolerance:
        """How far what is served may be from what was trained."""

    def uncalibrated(self, outputs: Outputs) -> Outputs | None:
        """Return what outputs were before they were calibrated; None where they are not."""

    def unknown_share(self, dataset: Dataset, rows: Rows) -> Outputs | None:
        """Return which share of each text's words the vocabulary does not have, <float64>[num_rows].

        1 where there are no words; None for models that have no vocabulary of their own.
        """


class Family(Protocol):
    """A module that can fit one kind of model.

    Outputs are probabilities in the order of the dataset's labels, <float64>[num_rows, num_labels], or
    values, <float64>[num_rows, 1].
    """

    def fit(self, dataset: Dataset, split: Split, config: TrainConfig, progress: Progress) -> Any:
        """Fit on the training rows, choose on the validation rows; see nothing of the test rows."""

    def predict(self, model: Any, dataset: Dataset, rows: Rows) -> Outputs:
        """Return the outputs for rows of the dataset."""

    def write(self, model: Any, directory: Path) -> None:
        """Write `model.onnx`, and what is needed to encode its inputs."""

    def describe(self, model: Any, dataset: Dataset, split: Split) -> Mapping[str, Any]:
        """Return what the metadata says of the model: its `inputs` and `model` at least."""

    def evaluate_baselines(
        self, dataset: Dataset, split: Split, config: TrainConfig, decision: Decision
    ) -> dict[str, dict[str, float]]:
        """Fit and measure what any model has to beat, name -> metrics; the decision is the default one."""
