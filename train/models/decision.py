"""The scoring layer's last step: probabilities to answers. Thresholds and intervals, chosen on validation rows.

Also from which score on an answer is sure.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from train.config import ConfigError, TrainConfig
from train.config.sections import AccuracyAim, CostAim
from train.data.dataset import Dataset
from train.data.splits import Split

# Probabilities are told apart to six digits, as in an answer; of two that are equal the first label wins.
DIGITS = 6
_EVEN = 0.5
# A threshold has to lie between probabilities; closer ones may change places when they are served.
_CLOSE = 1e-9
# A label with fewer positive validation rows has no F1 threshold of its own.
_FEW_POSITIVES = 50

Probabilities = npt.NDArray[np.float64]
Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Decision:
    """How outputs become answers.

    Attributes:
        label_names: In the order of the probabilities; empty for a regression.
        several: Whether a row may have any number of labels.
        thresholds: Label -> the probability from which on it is given.
        positive: The label that a threshold, precision and recall are about; None for more than two.
        half_width: What a prediction interval adds on either side of a value.
        coverage: How often such an interval shall hold the truth.
        missed: The labels for which the aim could not be reached on the validation rows.
        unsure_below: The score below which an answer is marked as unsure; None if none ever is.
        unsure_missed: Whether no score could be found above which the answers are as accurate as asked.
    """

    label_names: Sequence[str]
    several: bool = False
    thresholds: dict[str, float] = field(default_factory=dict)
    positive: str | None = None
    half_width: float | None = None
    coverage: float | None = None
    missed: tuple[str, ...] = ()
    unsure_below: float | None = None
    unsure_missed: bool = False

    def answers(self, outputs: npt.NDArray[np.float64]) -> npt.NDArray[Any]:
        """Turn outputs into answers, as serving does.

        Returns:
            Label indices <int64>[num_rows], which labels are given <bool>[num_rows, num_labels], or values
            <float64>[num_rows].
        """
        if not self.label_names:
            return outputs[:, 0]
        if self.several:
            return outputs >= np.array([self.thresholds[name] for name in self.label_names])
        if self.thresholds:
            [(label, threshold)] = self.thresholds.items()
            positive = self.label_names.index(label)
            return np.where(outputs[:, positive] >= threshold, positive, 1 - positive)
        best: npt.NDArray[np.int64] = outputs.round(DIGITS).argmax(axis=1)
        return best

    def scores(self, outputs: Probabilities) -> Probabilities:
        """Return the probability of the one label that is answered, <float64>[num_rows], as an answer shows it."""
        scores: Probabilities = outputs[np.arange(len(outputs)), self.answers(outputs)]
        return scores.round(DIGITS)

    def is_sure(self, outputs: Probabilities) -> npt.NDArray[np.bool_]:
        """Return which answers are not marked as unsure for their score, <bool>[num_rows]."""
        return self.scores(outputs) >= (self.unsure_below or 0.0)

    def describe(self) -> dict[str, Any]:
        """Return the part of an artefact's output that says so."""
        if self.half_width is not None:
            return {"interval": {"coverage": self.coverage, "half_width": self.half_width}}
        described: dict[str, Any] = {"thresholds": dict(self.thresholds)} if self.thresholds else {}
        if self.unsure_below is not None:
            described["unsure_below"] = self.unsure_below
        return described


def choose_threshold(
    is_positive: npt.NDArray[np.bool_], probabilities: Probabilities, aim: str | CostAim
) -> tuple[float, bool]:
    """Choose the probability from which on a label is given.

    Args:
        is_positive: The truth, <bool>[num_rows].
        probabilities: Of the label, <float64>[num_rows].
        aim: `f1`; `recall>=x`, the most precise threshold that reaches it; `precision>=x`, that with the
            highest recall among those that reach it; or the least cost.

    Returns:
        The threshold, halfway between two probabilities of the rows (or between them and 0 or 1), so that
        none lies on it; and whether the aim was reached. One half if no row is positive.
    """
    if not is_positive.any():
        return _EVEN, False
    thresholds, hits, alarms = _operating_points(is_positive, probabilities)
    misses = is_positive.sum() - hits
    precision, recall = hits / np.maximum(hits + alarms, 1), hits / is_positive.sum()
    if isinstance(aim, CostAim):
        return float(thresholds[np.argmin(aim.cost.fp * alarms + aim.cost.fn * misses)]), True
    if aim == "f1":
        return float(thresholds[np.argmax(2 * hits / (2 * hits + alarms + misses))]), True
    name, least = aim.replace(" ", "").split(">=")
    wanted, other = (recall, precision) if name == "recall" else (precision, recall)
    reached = wanted >= float(least)
    if not reached.any():
        return float(thresholds[np.argmax(wanted)]), False
    return float(thresholds[np.lexsort((wanted, other, reached))[-1]]), True


def _operating_points(
    is_positive: npt.NDArray[np.bool_], probabilities: Probabilities
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return every threshold that makes a difference, from high to low, with its hits and false alarms."""
    order = np.argsort(-probabilities, kind="stable")
    ranked = probabilities[order]
    last = np.append(np.flatnonzero(np.diff(ranked) < -_CLOSE), len(ranked) - 1)
    hits = np.cumsum(is_positive[order])[last]
    below = np.append(ranked[last[:-1] + 1], 0.0)
    thresholds = (ranked[last] + below) / 2
    if ranked[0] >= 1 - _CLOSE:
        return thresholds, hits, last + 1 - hits
    # No row at all may be best, if a false alarm costs much.
    none = np.zeros(1, np.int64)
    thresholds = np.append((1 + ranked[0]) / 2, thresholds)
    return thresholds, np.append(none, hits), np.append(none, last + 1 - hits)


def choose_unsure_below(
    is_right: npt.NDArray[np.bool_], scores: Probabilities, accuracy: float
) -> tuple[float, bool]:
    """Choose the lowest score from which on so many answers are right.

    Args:
        is_right: Whether each answer is, <bool>[num_rows].
        scores: Of the answers, <float64>[num_rows], as they are shown.
        accuracy: The share of the answers from there on that must be right.

    Returns:
        The score, halfway between two of the rows', or 0 if all answers are accurate enough together; and
        whether it is reached. If it is not, the score from which on the share is the highest; 1 if no answer is right.
    """
    thresholds, hits, mistakes = _operating_points(is_right, scores)
    answered = hits + mistakes
    shares = hits / np.maximum(answered, 1)
    reached = np.flatnonzero(shares >= accuracy)  # no answers at all have a share of 0
    if not len(reached):
        best = np.flatnonzero(shares == shares.max())[-1]  # of several, that with the most answers
        return (float(thresholds[best]) if hits[best] else 1.0), False
    lowest = reached[-1]
    return (0.0 if lowest == len(shares) - 1 else float(thresholds[lowest])), True


def rows_for_accuracy(accuracy: float) -> int:
    """Return of how many rows one may be wrong."""
    return _ceil(1 / (1 - accuracy))


def interval_half_width(
    targets: npt.NDArray[np.float64], values: npt.NDArray[np.float64], coverage: float
) -> float:
    """Return how far from a value the truth is with a probability of `coverage`: split conformal prediction.

    The rows must be new to the model, and then the interval holds the truth of another such row at least
    so often, whatever the model (Lei et al., JASA 2018). Of fewer rows than `rows_for_interval` says no width
    is known that does: the largest error is returned, which holds it in n of n + 1 cases.
    """
    errors = np.sort(np.abs(targets - values))
    rank = _ceil((len(errors) + 1) * coverage)
    return float(errors[min(rank, len(errors)) - 1])


def rows_for_interval(coverage: float) -> int:
    """Return how many validation rows an interval of some coverage needs."""
    return _ceil(coverage / (1 - coverage))


def _ceil(value: float) -> int:
    return math.ceil(round(value, 9))  # 0.9 / 0.1 is 9, not 9.000000000000002


def even_odds(
    dataset: Dataset, config: TrainConfig, training_rows: npt.NDArray[np.int64]
) -> Decision:
    """Return the decision for which nothing has to be chosen: the most probable label, or a half for each."""
    names = dataset.label_names
    if config.task == "multilabel":
        return Decision(names, several=True, thresholds=dict.fromkeys(names, _EVEN))
    positive = None
    if len(names) == 2:
        counts = np.bincount(dataset.targets[training_rows], minlength=2)
        positive = config.decision.positive or names[0 if counts[0] < counts[1] else 1]
    return Decision(names, positive=positive)


def choose_decision(
    dataset: Dataset, split: Split, config: TrainConfig, validation_outputs: Values | None
) -> Decision:
    """Choose thresholds or the width of an interval on the validation rows, if there is something to choose.

    What is unsure comes last: an answer's score depends on the threshold.
    """
    decision = _choose_answers(dataset, split, config, validation_outputs)
    unsure_below = config.decision.unsure_below
    if not isinstance(unsure_below, AccuracyAim):
        return replace(decision, unsure_below=unsure_below)
    assert validation_outputs is not None  # kept for an aim, see `keeps_validation`
    is_right = decision.answers(validation_outputs) == dataset.targets[split.validation]
    scores = decision.scores(validation_outputs)
    threshold, reached = choose_unsure_below(is_right, scores, unsure_below.accuracy)
    return replace(decision, unsure_below=threshold, unsure_missed=not reached)


def _choose_answers(
    dataset: Dataset, split: Split, config: TrainConfig, validation_outputs: Values | None
) -> Decision:
    even = even_odds(dataset, config, split.train)
    if validation_outputs is None:
        return even
    truth, aim = dataset.targets[split.validation], _aim(config)
    coverage = config.evaluation.interval
    if not dataset.label_names and coverage is not None:
        half_width = interval_half_width(truth, validation_outputs[:, 0], coverage)
        return replace(even, half_width=half_width, coverage=coverage)
    if aim == "none":
        return even
    if even.several:
        return _choose_for_each(even, truth, validation_outputs, aim)
    index = dataset.label_names.index(str(even.positive))
    threshold, reached = choose_threshold(truth == index, validation_outputs[:, index], aim)
    missed = () if reached else (str(even.positive),)
    return replace(even, thresholds={str(even.positive): threshold}, missed=missed)


def _choose_for_each(
    even: Decision, truth: npt.NDArray[np.bool_], probabilities: Probabilities, aim: str | CostAim
) -> Decision:
    """Choose a threshold for each label; for F1 a common one for labels with few positive rows.

    On few rows the best threshold is that of chance: with 81 validation rows and 19 labels, one common threshold
    gave a micro F1 of 0.833 on new rows, one for each label 0.794.
    """
    common = choose_threshold(truth.ravel(), probabilities.ravel(), aim)
    thresholds, missed = {}, []
    for index, label in enumerate(even.label_names):
        few = aim == "f1" and truth[:, index].sum() < _FEW_POSITIVES
        threshold, reached = (
            common if few else choose_threshold(truth[:, index], probabilities[:, index], aim)
        )
        thresholds[label] = threshold
        missed += [] if reached else [label]
    return replace(even, thresholds=thresholds, missed=tuple(missed))


def _aim(config: TrainConfig) -> str | CostAim:
    """Return what thresholds are chosen for; of several labels at once, f1 unless something else is said."""
    return config.decision.aim or ("f1" if config.task == "multilabel" else "none")


def check_decision(dataset: Dataset, split: Split, config: TrainConfig) -> None:
    """Raise ConfigError if what the configuration wants to be decided does not fit the rows."""
    names, decision = dataset.label_names, config.decision
    several, coverage = config.task == "multilabel", config.evaluation.interval
    problems = []
    if decision.aim not in (None, "none") and not several and len(names) != 2:
        found = f"the dataset has {len(names)}" if names else "this is a regression"
        problems.append(f"decision.aim: a threshold needs two labels; {found}.")
    if decision.positive is not None and several:
        problems.append("decision.positive: of several labels at once, each has its threshold.")
    elif decision.positive is not None and (len(names) != 2 or decision.positive not in names):
        problems.append(
            f"decision.positive: expected one of two labels, got {decision.positive!r}; "
            f"labels: {', '.join(names[:10]) or 'none'}."
        )
    if coverage is not None and names:
        problems.append("evaluation.interval: only a regression has intervals.")
    elif coverage is not None and len(split.validation) < rows_for_interval(coverage):
        problems.append(
            f"evaluation.interval: {coverage:g} needs {rows_for_interval(coverage):,} validation rows or more "
            f"to be kept, there are {len(split.validation):,}. Lower it, or raise split.validation."
        )
    problems += _problems_of_doubt(dataset, split, config)
    if problems:
        raise ConfigError("\n  ".join(problems))


def _problems_of_doubt(dataset: Dataset, split: Split, config: TrainConfig) -> list[str]:
    """Return why it cannot be said which answers are unsure."""
    unsure_below, task = config.decision.unsure_below, config.task
    if unsure_below is None:
        return []
    if task == "regression":
        return [
            "decision.unsure_below: a number has no score. Take it out; evaluation.interval says how far off "
            "a number may be."
        ]
    if task == "multilabel":
        return [
            "decision.unsure_below: an answer of several labels has no score of its own, each label has one. "
            "Take it out; decision.aim says from which probability on a label is given."
        ]
    if isinstance(unsure_below, AccuracyAim):
        needed = rows_for_accuracy(unsure_below.accuracy)
        if len(split.validation) < needed:
            return [
                f"decision.unsure_below: an accuracy of {unsure_below.accuracy:g} needs {needed:,} validation rows or "
                f"more to be seen, there are {len(split.validation):,}. Lower it, raise split.validation, or give "
                "a score."
            ]
    return []
