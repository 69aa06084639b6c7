"""The evaluation layer: whether probabilities can be believed, and what is gained by not answering all.

Arrays in, numbers out. A regression has no probabilities, and so none of this.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from train.models.decision import Decision

# As many, of equal width, as Guo et al. have (On Calibration of Modern Neural Networks, ICML 2017).
BINS = 15
_CURVE_POINTS = 50

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


def assess(
    targets: npt.NDArray[Any], outputs: Values, decision: Decision, uncalibrated: Values | None
) -> dict[str, Any]:
    """Return what there is to show of the reliability of a model.

    Args:
        targets: Label indices <int64>[num_rows], which labels are given <bool>[num_rows, num_labels], or
            values <float64>[num_rows].
        outputs: Probabilities <float64>[num_rows, num_labels], or values <float64>[num_rows, 1].
        decision: How they become answers.
        uncalibrated: What the outputs were before they were calibrated; None if they are not.

    Returns:
        `calibration`, with `ece_before` if they are calibrated; and `coverage`, if a row has one label. Nothing
        for values.
    """
    if not decision.label_names:
        return {}
    found: dict[str, Any] = {"calibration": calibration(targets, outputs, decision)}
    if uncalibrated is not None:
        before = calibration(targets, uncalibrated, decision)["ece"]
        found["calibration"]["ece_before"] = before
    if not decision.several:
        found["coverage"] = coverage_curve(targets, outputs, decision)
    return found


def headline_numbers(
    targets: npt.NDArray[Any], outputs: Values, decision: Decision
) -> dict[str, float]:
    """Return `ece` and, where answers can be unsure, `unsure_share` and `accuracy_when_sure`.

    They are about what is unsure for its score; that of unknown words alone a text is unsure as well, is not counted.
    The accuracy of no answers at all is 0.
    """
    numbers = {"ece": float(calibration(targets, outputs, decision)["ece"])}
    if decision.unsure_below is not None:
        is_right, is_sure = decision.answers(outputs) == targets, decision.is_sure(outputs)
        numbers["unsure_share"] = float(1 - is_sure.mean())
        numbers["accuracy_when_sure"] = float(is_right[is_sure].mean()) if is_sure.any() else 0.0
    return numbers


def calibration(targets: npt.NDArray[Any], outputs: Values, decision: Decision) -> dict[str, Any]:
    """Compare how probable something is said to be with how often it is so, in 15 bins of equal width.

    - Of more than two labels, it is the answer and its score (Guo et al., ICML 2017).
    - Of two labels, it is the positive one, from 0 to 1, as in scikit-learn's `calibration_curve` and in Naeini et
      al. (AAAI 2015): the score of the answer would leave out which way a probability errs. The other label has the
      mirrored bins, and the same error.
    - Of several labels at once, it is each yes and no of all labels together.

    Args:
        targets: Label indices <int64>[num_rows], or which labels are given <bool>[num_rows, num_labels].
        outputs: Probabilities <float64>[num_rows, num_labels].
        decision: How they become answers.

    Returns:
        `ece`, the expected calibration error: the difference between the two in a bin, averaged over all
        probabilities; and `bins`, those with any: `from` (exclusive, but for 0), `to`, `rows`, `confidence` (mean
        probability) and `accuracy` (share of which it is so).
    """
    confidence, is_so = _claims(targets, outputs, decision)
    edges = np.arange(BINS + 1) / BINS
    places = np.searchsorted(edges[1:-1], confidence, side="left")
    rows = np.bincount(places, minlength=BINS)
    said = np.bincount(places, confidence, BINS)
    true = np.bincount(places, is_so, BINS)
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


def _claims(targets: npt.NDArray[Any], outputs: Values, decision: Decision) -> tuple[Values, Flags]:
    """Return probabilities, and whether that came true of which each is one."""
    if decision.several:
        return outputs.ravel(), targets.ravel()
    names = list(decision.label_names)
    if len(names) == 2:
        positive = names.index(decision.positive) if decision.positive is not None else 1
        return outputs[:, positive], targets == positive
    return decision.scores(outputs), decision.answers(outputs) == targets


def coverage_curve(
    targets: npt.NDArray[np.int64], outputs: Values, decision: Decision
) -> list[dict[str, float]]:
    """Return how accurate the answers are of which the score reaches a threshold, and how many these are.

    Args:
        targets: Label indices <int64>[num_rows].
        outputs: Probabilities <float64>[num_rows, num_labels].
        decision: How they become answers.

    Returns:
        At most 50 points, from all answers to the surest: `threshold`, a score that is there; `coverage`, the share
        of answers with that score or more; and their `accuracy`. Evenly spread over the coverage, as far as scores
        that are the same allow.
    """
    is_right, scores = decision.answers(outputs) == targets, decision.scores(outputs)
    order = np.argsort(scores, kind="stable")
    ranked, rights = scores[order], is_right[order]
    # From each row on to the surest one.
    answered = np.arange(len(ranked), 0, -1)
    accuracy = np.cumsum(rights[::-1])[::-1] / answered
    wanted = np.linspace(0, len(ranked) - 1, _CURVE_POINTS).astype(int)
    firsts = np.unique(np.searchsorted(ranked, ranked[wanted], side="left"))
    return [
        {
            "threshold": float(ranked[i]),
            "coverage": float(answered[i] / len(ranked)),
            "accuracy": float(accuracy[i]),
        }
        for i in firsts
    ]
