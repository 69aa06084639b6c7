"""The targets of the text model's loss: yes or no for each label, and row weights. No Keras here.

A row with exactly one label and a row with any number of them differ only in how many are yes.
"""

import numpy as np
import numpy.typing as npt

from train.data.dataset import Dataset

Floats = npt.NDArray[np.float32]


def as_yes_and_no(dataset: Dataset, rows: npt.NDArray[np.int64]) -> Floats:
    """Return 1 for the labels that a row has and 0 for all others, <float32>[num_rows, num_labels]."""
    num_labels, own = len(dataset.label_names), dataset.targets[rows]
    targets: Floats = (
        own.astype(np.float32)
        if dataset.kind == "labels"
        else np.eye(num_labels, dtype=np.float32)[own]
    )
    return targets


def sample_weights(dataset: Dataset, rows: npt.NDArray[np.int64], balanced: bool) -> Floats:
    """Return <float32>[num_rows], with a mean of 1 over `rows`; all 1 unless they are balanced.

    Balanced weights are for rows with exactly one label: all labels then weigh the same in sum.
    """
    weights = np.ones(len(dataset.targets), np.float32)
    if balanced:
        counts = np.bincount(dataset.targets[rows], minlength=len(dataset.label_names))
        weights = (len(rows) / (len(counts) * np.maximum(counts, 1)))[dataset.targets].astype(
            np.float32
        )
    return weights
