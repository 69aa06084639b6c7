"""The split into training, validation and test rows; and `Prepared`, a dataset with its configuration and split."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    StratifiedGroupKFold,
    StratifiedKFold,
    train_test_split,
)

from predict.wording import listed
from train.config import TrainConfig
from train.config.trust import Trust
from train.data.dataset import Dataset
from train.data.leaks import Leaks, find_leaks
from train.data.parts import hold_out_groups, hold_out_newest, moments_of
from train.errors import DatasetError

Rows = npt.NDArray[np.int64]
# Of more groups than this, folds are not stratified.
_MANY_GROUPS = 20_000
# Fewer validation rows choose nothing.
_FEWEST_ROWS = 20


@dataclass(frozen=True)
class Split:
    """Row indices, <int64>[…] each, without overlap."""

    train: Rows
    validation: Rows
    test: Rows


@dataclass(frozen=True)
class Prepared:
    """What a model is fitted on: a dataset, its configuration with all defaults, and its split.

    Attributes:
        trust: Whether functions that the configuration names may run; None: no, and they are not even imported.
        unsampled: The rows outside the test split before some were left out of training; None: none were.
    """

    config: TrainConfig
    dataset: Dataset
    split: Split
    trust: Trust | None = None
    unsampled: npt.NDArray[np.int64] | None = None

    @property
    def known(self) -> Rows:
        """The rows outside the test split, <int64>[num_known]: training rows, then validation rows."""
        return np.concatenate([self.split.train, self.split.validation])

    @property
    def label_shares(self) -> npt.NDArray[np.float64]:
        """The share of each label in the rows outside the test split, none left out, <float64>[num_labels]."""
        rows = self.known if self.unsampled is None else self.unsampled
        counts = np.bincount(self.dataset.targets[rows], minlength=len(self.dataset.label_names))
        return counts / len(rows)

    @property
    def test_targets(self) -> npt.NDArray[Any]:
        """The targets of the test rows; see `Dataset.targets`."""
        return self.dataset.targets[self.split.test]

    @cached_property
    def leaks(self) -> Leaks:
        """How many test rows are known from outside the test split."""
        dataset = self.dataset
        texts = dataset.texts() if dataset.reads_only_texts else None
        return find_leaks(dataset.frame, texts, dataset.identifiers, self.known, self.split.test)

    def sampled(self, rows: Rows) -> Rows:
        """Return the rows to train on, under-sampled if `imbalance.under_sample` says so."""
        ratio = self.config.imbalance.under_sample
        if ratio is None:
            return rows
        return under_sample(self.dataset, rows, ratio, self.config.split.seed)

    def with_config(self, config: TrainConfig) -> "Prepared":
        """Return the same rows under another configuration."""
        return replace(self, config=config)

    def with_training_rows(self, rows: Rows) -> "Prepared":
        """Return the same dataset with other rows to train on."""
        unsampled = self.known if self.unsampled is None else self.unsampled
        return replace(self, split=replace(self.split, train=rows), unsampled=unsampled)

    def with_split(self, split: Split) -> "Prepared":
        """Return the same dataset with another split."""
        return replace(self, split=split, unsampled=None)


def split_dataset(dataset: Dataset, config: TrainConfig) -> Split:
    """Split as the configuration says; by chance stratified by label. A test split that is known is kept as it is.

    Raises:
        DatasetError: There are too few rows for every part to have every label.
    """
    shares, rows = config.split, np.arange(len(dataset))
    division = dataset.division
    if division.test is None:
        rest, test = split_rows(dataset, rows, shares.test_share, shares.seed, "test")
    else:
        rest, test = rows[~division.test], rows[division.test]
        _require_all_parts(dataset, rest, test)
    if division.validation is not None:
        validates = division.validation[rest]
        split = Split(rest[~validates], rest[validates], test)
    else:
        # A test split of the dataset's own is not a share of its rows.
        of_all = division.way in ("chance", "groups", "time")
        share = shares.validation * len(rows) / len(rest) if of_all else shares.validation
        split = Split(*hold_out(dataset, rest, share, shares.seed, "validation"), test)
    if division.way not in ("chance", "own"):
        _require_all_labels(dataset, split)
    return split


def _require_all_parts(dataset: Dataset, rest: Rows, test: Rows) -> None:
    for rows, what in ((rest, "to train on"), (test, "to test on")):
        if not len(rows):
            dropped = "; ".join(f"{count} {why}" for why, count in dataset.dropped.items())
            why = f" (dropped: {dropped})" if dropped else ""
            raise DatasetError(f"{dataset.name}: split: no row is left {what}{why}.")


def _require_all_labels(dataset: Dataset, split: Split) -> None:
    names = labels_without(dataset, split.train)
    if names:
        raise DatasetError(
            f"{dataset.name}: split: no training row has the label {listed(names)}, only rows of the validation have. "
            "Give training more rows (a smaller split.validation, or another split.seed), or raise "
            "min_samples_per_label."
        )


def labels_without(dataset: Dataset, rows: Rows) -> list[str]:
    """Return the labels that none of the rows has."""
    if dataset.kind == "number":
        return []
    targets = dataset.targets[rows]
    counts = (
        targets.sum(axis=0)
        if dataset.kind == "labels"
        else np.bincount(targets, minlength=len(dataset.label_names))
    )
    return [name for name, count in zip(dataset.label_names, counts, strict=True) if not count]


def hold_out(dataset: Dataset, rows: Rows, share: float, seed: int, part: str) -> tuple[Rows, Rows]:
    """Split rows in two as the dataset is split: by chance, by groups or by time; the second gets `share`.

    Raises:
        DatasetError: There are too few rows, groups or dates.
    """
    division = dataset.division
    if division.groups is None and division.times is None:
        return split_rows(dataset, rows, share, seed, part)
    try:
        if division.times is not None:
            held = hold_out_newest(division.times[rows], share)
        else:
            assert division.groups is not None
            labels = dataset.targets[rows] if dataset.kind == "label" else None
            held = hold_out_groups(division.groups[rows], labels, share, seed)
    except ValueError as error:
        raise DatasetError(
            f"{dataset.name}: split: {len(rows):,} rows cannot give {share:.0%} to {part}: {error}."
        ) from None
    return rows[~held], rows[held]


def fold_rows(dataset: Dataset, rows: Rows, count: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield for each of `count` folds the rows known and the rows held out, as the dataset is split.

    Groups are not cut in two. With times, every fold is newer than what is known; the oldest rows are held out by none.
    """
    for known, held_out in fold_places(dataset, rows, count, seed):
        yield rows[known], rows[held_out]


def fold_places(dataset: Dataset, rows: Rows, count: int, seed: int) -> Iterator[tuple[Rows, Rows]]:
    """Yield the folds of `fold_rows` as places in `rows`."""
    division, labels = dataset.division, None
    if dataset.kind == "label":
        labels = dataset.targets[rows]
    if division.times is not None:
        stretches = moments_of(division.times[rows], count + 1)
        for fold in range(1, count + 1):
            yield np.flatnonzero(stretches < fold), np.flatnonzero(stretches == fold)
        return
    groups = None if division.groups is None else division.groups[rows]
    if groups is None:
        kind = KFold if labels is None else StratifiedKFold
    else:  # to stratify groups takes a time for each of them
        many = labels is None or len(np.unique(groups)) > _MANY_GROUPS
        kind = GroupKFold if many else StratifiedGroupKFold
    yield from kind(n_splits=count, shuffle=True, random_state=seed).split(rows, labels, groups)


def split_rows(
    dataset: Dataset, rows: Rows, share: float, seed: int, part: str
) -> tuple[Rows, Rows]:
    """Split rows in two, stratified where every row has one label; the second gets `share`.

    Validation rows that are fewer than the labels cannot have each of them: they are drawn by chance then, and leave
    each label at least one row to train on.

    Raises:
        DatasetError: There are too few rows.
    """
    targets = dataset.targets[rows]
    labels = targets if dataset.kind == "label" else None
    count = math.ceil(len(rows) * share)
    if (
        part == "validation"
        and labels is not None
        and _FEWEST_ROWS <= count < len(np.unique(labels))
    ):
        return _split_by_chance(rows, labels, count, seed)
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


def _split_by_chance(rows: Rows, labels: Rows, count: int, seed: int) -> tuple[Rows, Rows]:
    order = np.random.default_rng(seed).permutation(len(rows))
    firsts = np.unique(labels[order], return_index=True)[1]  # a row of each label stays
    second = np.sort(np.delete(order, firsts)[:count])
    return np.delete(rows, second), rows[second]


def under_sample(dataset: Dataset, rows: Rows, ratio: float, seed: int) -> Rows:
    """Leave out random rows of frequent labels: each keeps at most `ratio` times the rows of the rarest label."""
    labels = dataset.targets[rows]
    counts = np.bincount(labels)
    most = max(1, int(ratio * counts[counts > 0].min()))
    random = np.random.default_rng(seed)
    by_label = [
        random.permutation(np.flatnonzero(labels == label))[:most] for label in range(len(counts))
    ]
    sampled: Rows = rows[np.sort(np.concatenate(by_label))]
    return sampled
