"""The split into training, validation and test rows; and `Prepared`, a dataset with its configuration and split."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import train_test_split

from train.config import TrainConfig
from train.config.trust import Trust
from train.data.dataset import Dataset
from train.errors import DatasetError


@dataclass(frozen=True)
class Split:
    """Row indices, <int64>[…] each, without overlap."""

    train: npt.NDArray[np.int64]
    validation: npt.NDArray[np.int64]
    test: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Prepared:
    """What a model is fitted on: a dataset, its configuration with all defaults, and its split.

    Attributes:
        trust: Whether functions that the configuration names may run; None: no, and they are not even imported.
    """

    config: TrainConfig
    dataset: Dataset
    split: Split
    trust: Trust | None = None

    @property
    def known(self) -> npt.NDArray[np.int64]:
        """The rows outside the test split, <int64>[num_known]: training rows, then validation rows."""
        return np.concatenate([self.split.train, self.split.validation])

    @property
    def test_targets(self) -> npt.NDArray[Any]:
        """The targets of the test rows; see `Dataset.targets`."""
        return self.dataset.targets[self.split.test]

    def sampled(self, rows: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return the rows to train on, under-sampled if `imbalance.under_sample` says so."""
        ratio = self.config.imbalance.under_sample
        if ratio is None:
            return rows
        return under_sample(self.dataset, rows, ratio, self.config.split.seed)

    def with_config(self, config: TrainConfig) -> "Prepared":
        """Return the same rows under another configuration."""
        return replace(self, config=config)

    def with_training_rows(self, rows: npt.NDArray[np.int64]) -> "Prepared":
        """Return the same dataset with other rows to train on."""
        return self.with_split(replace(self.split, train=rows))

    def with_split(self, split: Split) -> "Prepared":
        """Return the same dataset with another split."""
        return replace(self, split=split)


def split_dataset(dataset: Dataset, config: TrainConfig) -> Split:
    """Split stratified by label; a test split of the dataset's own is kept as it is.

    Raises:
        DatasetError: There are too few rows for every part to have every label.
    """
    shares, rows = config.split, np.arange(len(dataset))
    if dataset.own_test is None:
        rest, test = split_rows(dataset, rows, shares.test, shares.seed, "test")
    else:
        rest, test = rows[~dataset.own_test], rows[dataset.own_test]
    share = (
        shares.validation * len(rows) / len(rest) if dataset.own_test is None else shares.validation
    )
    train, validation = split_rows(dataset, rest, share, shares.seed, "validation")
    return Split(train, validation, test)


def split_rows(
    dataset: Dataset, rows: npt.NDArray[np.int64], share: float, seed: int, part: str
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Split rows in two, stratified where every row has one label; the second gets `share`.

    Raises:
        DatasetError: There are too few rows.
    """
    targets = dataset.targets[rows]
    labels = targets if dataset.kind == "label" else None
    try:
        first, second = train_test_split(rows, test_size=share, random_state=seed, stratify=labels)
    except ValueError as error:
        labelled = f" with {len(dataset.label_names)} labels" if dataset.label_names else ""
        every = " with every label in it" if labels is not None else ""
        raise DatasetError(
            f"{dataset.name}: too few rows to split: {len(rows)} rows{labelled} "
            f"cannot give {share:.0%} to {part}{every} ({error}) "
            f"Add rows, raise split.{part}, or raise min_samples_per_label."
        ) from None
    return first, second


def under_sample(
    dataset: Dataset, rows: npt.NDArray[np.int64], ratio: float, seed: int
) -> npt.NDArray[np.int64]:
    """Leave out random rows of frequent labels: each keeps at most `ratio` times the rows of the rarest label."""
    labels = dataset.targets[rows]
    counts = np.bincount(labels)
    most = max(1, int(ratio * counts[counts > 0].min()))
    random = np.random.default_rng(seed)
    by_label = [
        random.permutation(np.flatnonzero(labels == label))[:most] for label in range(len(counts))
    ]
    sampled: npt.NDArray[np.int64] = rows[np.sort(np.concatenate(by_label))]
    return sampled
