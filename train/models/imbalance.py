"""The correction for class weights and under-sampling, which make rare labels look frequent to a model."""

import numpy as np

from train.config.sections import ImbalanceConfig
from train.data.splits import Prepared
from train.models.calibration import Factors, prior_factors
from train.models.family import Rows


def factors_of(prepared: Prepared, rows: Rows) -> Factors | None:
    """Return what undoes the weights and the under-sampling of the rows fitted on; None if there are neither."""
    names, imbalance = prepared.dataset.label_names, prepared.config.imbalance
    if prepared.dataset.kind != "label" or imbalance == ImbalanceConfig():
        return None
    counts = np.bincount(prepared.dataset.targets[rows], minlength=len(names))
    if imbalance.class_weights == "balanced":
        counts = np.sign(counts)  # all labels weigh the same in sum
    return prior_factors(prepared.label_shares, counts / counts.sum())
