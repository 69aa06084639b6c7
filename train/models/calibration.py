"""Calibration: probabilities that are right as often as they say, fitted on rows that the model has not seen.

For texts, the margins of two heads are blended, scaled and turned into probabilities. For tables, one temperature
flattens or sharpens the probabilities (Guo et al., ICML 2017).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize, minimize_scalar
from scipy.special import expit, logit

Margins = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float64]

_DEEP_SHARES = (0.25, 0.5, 0.75)
# With any number of labels a row, the deep part may have had too few examples to be of any use.
_DEEP_SHARES_OF_LABEL_SETS = (0.0, *_DEEP_SHARES)
_TEMPERATURES = np.exp(np.linspace(-3.0, 1.5, 91))
# Bounds the offset of a label that all or none of the validation rows have: more would amount to certainty.
_LARGEST_OFFSET = 10.0
# The penalty on a label's offset for leaving the mean of all, so that a few rows do not move it far. Measured
# with 81 to 1,007 validation rows: between 3 and 30 the log loss on new rows is the same.
_OFFSET_PENALTY = 10.0
# What a probability counts as at least: smaller ones are differences of numbers near 1, with few right digits.
SMALLEST_PROBABILITY = 1e-9
# Bounds of the temperature: rows that are all answered right would leave no doubt otherwise.
_COLDEST, _HOTTEST = 0.25, 10.0


@dataclass(frozen=True)
class Calibration:
    """How the margins of the two heads become probabilities.

    Attributes:
        deep_share: The weight of the deep head's margins; the wide head's have the rest.
        temperature: What the blended margins are divided by.
        offsets: What is added to the quotient, <float64>[num_labels], if a row may have any number of labels; None if
            it has exactly one.
    """

    deep_share: float
    temperature: float
    offsets: npt.NDArray[np.float64] | None = None

    def factors(self) -> tuple[float, float]:
        """Return what the wide and the deep margins are multiplied by."""
        return (1 - self.deep_share) / self.temperature, self.deep_share / self.temperature

    def probabilities(self, wide: Margins, deep: Margins) -> Probabilities:
        """Return the softmax of the blended margins, or with offsets the sigmoid, <float64>[num_texts, num_labels]."""
        wide_factor, deep_factor = self.factors()
        scaled = wide.astype(np.float64) * wide_factor + deep * deep_factor
        if self.offsets is not None:
            independent: Probabilities = expit(scaled + self.offsets)
            return independent
        exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        probabilities: Probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities

    def uncalibrated(self, probabilities: Probabilities) -> Probabilities:
        """Return the probabilities of the same margins at a temperature of 1 and without offsets."""
        if self.offsets is None:
            return untempered(probabilities, self.temperature)
        # A probability of exactly 0 or 1 has an infinite logit, and stays what it is.
        with np.errstate(divide="ignore"):
            margins = (logit(probabilities) - self.offsets) * self.temperature
        independent: Probabilities = expit(margins)
        return independent


def tempered(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Divide the logarithms of probabilities by a temperature: above 1 they become more alike, below 1 less.

    Which label is the most probable stays the same.

    Args:
        probabilities: <float64>[num_rows, num_labels]; what is nearly 0 counts as `SMALLEST_PROBABILITY`.
        temperature: Above 0.

    Returns:
        Rows that sum to 1.

    >>> tempered(np.array([[0.9, 0.1]]), 2.0).round(2).tolist()
    [[0.75, 0.25]]
    """
    powers = np.maximum(probabilities, SMALLEST_PROBABILITY) ** (1 / temperature)
    scaled: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return scaled


def untempered(probabilities: Probabilities, temperature: float) -> Probabilities:
    """Undo `tempered`, or the temperature in any softmax of margins.

    >>> untempered(np.array([[0.75, 0.25]]), 2.0).round(2).tolist()
    [[0.9, 0.1]]
    """
    powers = probabilities**temperature
    before: Probabilities = powers / powers.sum(axis=1, keepdims=True)
    return before


def fit_temperature(probabilities: Probabilities, targets: npt.NDArray[np.int64]) -> float:
    """Return the temperature with the least log loss, from a quarter to ten.

    Args:
        probabilities: Of rows that the model was not fitted on, <float64>[num_rows, num_labels].
        targets: Label indices <int64>[num_rows].

    >>> always_sure, right_in_three_of_four = np.array([[0.99, 0.01]] * 4), np.array([0, 0, 0, 1])
    >>> round(fit_temperature(always_sure, right_in_three_of_four), 1)
    4.2
    """

    def log_loss(log_temperature: float) -> float:
        scaled = tempered(probabilities, np.exp(log_temperature))
        return -float(np.log(scaled[np.arange(len(targets)), targets]).mean())

    bounds = (np.log(_COLDEST), np.log(_HOTTEST))
    return float(np.exp(minimize_scalar(log_loss, bounds=bounds, method="bounded").x))


def calibrate(wide: Margins, deep: Margins, targets: npt.NDArray[Any]) -> Calibration:
    """Return the calibration with the least log loss.

    Args:
        wide: <float32>[num_texts, num_labels].
        deep: The same for the other head.
        targets: Label indices <int64>[num_texts], or which labels a text has <bool>[num_texts, num_labels].
    """
    if targets.ndim == 2:
        return _calibrate_label_sets(wide, deep, targets)

    def log_loss(calibration: Calibration) -> float:
        probabilities = calibration.probabilities(wide, deep)[np.arange(len(targets)), targets]
        return -float(np.mean(np.log(np.maximum(probabilities, np.finfo(float).tiny))))

    choices = [
        Calibration(share, float(temperature))
        for share in _DEEP_SHARES
        for temperature in _TEMPERATURES
    ]
    return min(choices, key=log_loss)


def _calibrate_label_sets(
    wide: Margins, deep: Margins, has_label: npt.NDArray[np.bool_]
) -> Calibration:
    """Scale as Platt does (Advances in Large Margin Classifiers, 1999), with one slope for all labels.

    A slope for every label as well raises the log loss on new rows where labels are rare or alike.
    """
    fits = [
        (share, _fit_scale((1 - share) * wide.astype(np.float64) + share * deep, has_label))
        for share in _DEEP_SHARES_OF_LABEL_SETS
    ]
    deep_share, best = min(fits, key=lambda fit: float(fit[1].fun))
    return Calibration(deep_share, 1 / float(best.x[0]), best.x[1:])


def _fit_scale(margins: npt.NDArray[np.float64], has_label: npt.NDArray[np.bool_]) -> Any:
    """Minimise the log loss over the slope, `x[0]`, and the offsets, `x[1:]`; `fun` is the minimum."""

    def loss_and_gradient(
        parameters: npt.NDArray[np.float64],
    ) -> tuple[float, npt.NDArray[np.float64]]:
        slope, offsets = parameters[0], parameters[1:]
        scaled, apart = slope * margins + offsets, offsets - offsets.mean()
        loss = np.logaddexp(0, scaled).sum() - scaled[has_label].sum()
        error = expit(scaled) - has_label  # (num_texts, num_labels)
        gradient = np.append((error * margins).sum(), error.sum(axis=0) + _OFFSET_PENALTY * apart)
        return float(loss + _OFFSET_PENALTY / 2 * (apart @ apart)), gradient

    slopes = (1 / _TEMPERATURES[-1], 1 / _TEMPERATURES[0])
    offsets = [(-_LARGEST_OFFSET, _LARGEST_OFFSET)] * margins.shape[1]
    start = np.append(1.0, np.zeros(margins.shape[1]))
    return minimize(
        loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=[slopes, *offsets]
    )
