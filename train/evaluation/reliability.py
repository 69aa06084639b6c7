"""Calibration and coverage: whether probabilities can be believed, and what is gained by not answering all rows.

A regression has no probabilities, and so none of this.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from train.evaluation.answered import Answered
from train.models.decision import Outputs

# As many, of equal width, as Guo et al. have (On Calibration of Modern Neural Networks, ICML 2017).
BINS = 15
_CURVE_POINTS = 50


def assess(answered: Answered, uncalibrated: Outputs | None) -> dict[str, Any]:
    """Return what there is to show of the reliability of a model.

    Args:
        answered: The rows.
        uncalibrated: What the outputs were before they were calibrated; None if they are not.

    Returns:
        `calibration`, with `ece_before` if they are calibrated; and `coverage`, if a row has one label. Nothing
        for numbers.
    """
    if answered.kind == "number":
        return {}
    assessed: dict[str, Any] = {"calibration": calibration(answered)}
    if uncalibrated is not None:
        before = calibration(replace(answered, outputs=uncalibrated))["ece"]
        assessed["calibration"]["ece_before"] = before
    if answered.kind == "label":
        assessed["coverage"] = coverage_curve(answered)
    return assessed


def headline_numbers(answered: Answered) -> dict[str, float]:
    """Return `ece` and, where answers can be unsure, `unsure_share` and `accuracy_when_sure`.

    Answers count as unsure for their score or their familiarity. That a text is also unsure where no word is known, is
    not counted where nothing else tells familiarity. If no answer is sure, the accuracy is 0.
    """
    numbers = {"ece": float(calibration(answered)["ece"])}
    if answered.decision.can_be_unsure:
        right, sure = answered.right(), answered.sure()
        numbers["unsure_share"] = float(1 - sure.mean())
        numbers["accuracy_when_sure"] = float(right[sure].mean()) if sure.any() else 0.0
    return numbers


def calibration(answered: Answered) -> dict[str, Any]:
    """Compare how probable something is said to be with how often it is so, in 15 bins of equal width.

    `Answered.claims` says what is compared. Of two labels it is the positive one: the other label has the mirrored
    bins, and the same error.

    Returns:
        `ece`, the expected calibration error: the difference between the two in a bin, averaged over all
        probabilities; and `bins`, as far as there are any rows in them: `from` (exclusive, but for 0), `to`, `rows`,
        `confidence` (mean probability) and `accuracy` (the share that came true).
    """
    confidence, came_true = (claims.ravel() for claims in answered.claims())
    edges = np.arange(BINS + 1) / BINS
    bins = np.searchsorted(edges[1:-1], confidence, side="left")
    rows = np.bincount(bins, minlength=BINS)
    said = np.bincount(bins, confidence, BINS)
    true = np.bincount(bins, came_true, BINS)
    return {
        "ece": float(np.abs(said - true).sum() / len(confidence)),
        "bins": [
            {
                "from": float(edges[i]),
                "to": float(edges[i + 1]),
                "rows": int(rows[i]),
                "confidence": float(said[i] / rows[i]),
                "accuracy": float(true[i] / rows[i]),
            }
            for i in np.flatnonzero(rows)
        ],
    }


def coverage_curve(answered: Answered) -> list[dict[str, float]]:
    """Return how many answers have a score from some threshold on, and how accurate these are; for one label a row.

    Returns:
        At most 50 points, from all answers to the surest: `threshold`, the score of some answer; `coverage`, the share
        of answers with that score or a higher one; and their `accuracy`. The points are spread evenly over the
        coverage, as far as equal scores allow.
    """
    right, scores = answered.right(), answered.scores()
    order = np.argsort(scores, kind="stable")
    ranked, rights = scores[order], right[order]
    # From each row on to the surest one.
    count = np.arange(len(ranked), 0, -1)
    accuracy = np.cumsum(rights[::-1])[::-1] / count
    spread = np.linspace(0, len(ranked) - 1, _CURVE_POINTS).astype(int)
    firsts = np.unique(np.searchsorted(ranked, ranked[spread], side="left"))
    return [
        {
            "threshold": float(ranked[i]),
            "coverage": float(count[i] / len(ranked)),
            "accuracy": float(accuracy[i]),
        }
        for i in firsts
    ]
