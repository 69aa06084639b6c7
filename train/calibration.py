"""Margins to probabilities: how much each head counts, and a temperature, fitted on validation rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Margins = npt.NDArray[np.float32]
Probabilities = npt.NDArray[np.float64]

_DEEP_SHARES = (0.25, 0.5, 0.75)
_TEMPERATURES = np.exp(np.linspace(-3.0, 1.5, 91))


@dataclass(frozen=True)
class Calibration:
    """How the margins of the two heads become probabilities."""

    deep_share: float
    temperature: float

    def factors(self) -> tuple[float, float]:
        """Return what the wide and the deep margins are multiplied by."""
        return (1 - self.deep_share) / self.temperature, self.deep_share / self.temperature

    def probabilities(self, wide: Margins, deep: Margins) -> Probabilities:
        """Return the softmax of the blended margins, <float64>[num_texts, num_labels]."""
        wide_factor, deep_factor = self.factors()
        scaled = wide.astype(np.float64) * wide_factor + deep * deep_factor
        exponentials = np.exp(scaled - scaled.max(axis=1, keepdims=True))
        probabilities: Probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
        return probabilities


def calibrate(wide: Margins, deep: Margins, labels: npt.NDArray[np.int64]) -> Calibration:
    """Return the share of the deep head and the temperature with the least log loss."""

    def log_loss(calibration: Calibration) -> float:
        probabilities = calibration.probabilities(wide, deep)[np.arange(len(labels)), labels]
        return -float(np.mean(np.log(np.maximum(probabilities, np.finfo(float).tiny))))

    choices = [
        Calibration(share, float(temperature))
        for share in _DEEP_SHARES
        for temperature in _TEMPERATURES
    ]
    return min(choices, key=log_loss)
