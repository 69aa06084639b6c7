"""Decisions: how outputs become answers. Thresholds, intervals and doubt, chosen on the validation rows."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import beta

from predict.contract.artefact import Kind, Output
from predict.scoring.outputs import most_of_threshold
from predict.wording import counted, listed, plural, readable
from train.config.sections import AccuracyAim, CostAim, ScopeAim
from train.data.splits import Prepared
from train.progress import Progress

# Values are told apart to six digits, as in an answer; of two that are equal the first label wins.
DIGITS = 6
_DEFAULT_THRESHOLD = 0.5
# A threshold has to lie between probabilities; closer ones may change places when they are served.
_CLOSE = 1e-9
# How surely the answers that are not unsure are as accurate as asked.
_CONFIDENCE = 0.95
# A label with fewer positive validation rows has no F1 threshold of its own.
_FEW_POSITIVES = 50

# Values <float64>[num_rows, num_labels], or values <float64>[num_rows, 1].
Outputs = npt.NDArray[np.float64]
# A number a row, <float64>[num_rows].
Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

# Labels that a person hears of.
_LABELS_SHOWN = 5


@dataclass(frozen=True)
class Decision:
    """How outputs become answers.

    Attributes:
        kind: The kind of answer.
        label_names: In the order of the probabilities; empty for numbers.
        thresholds: Label -> the probability from which on it is given; if there is one for each of more than two labels
            and one is answered, it is the label whose probability is most of its threshold.
        positive: The label that a threshold, precision and recall are about, where one of two labels is answered and
            this was declared or chosen.
        half_width: What a prediction interval adds on either side of a value.
        coverage: How often such an interval shall hold the true value.
        missed: The labels for which the aim could not be reached on the validation rows.
        unsure_below: The score below which an answer is marked as unsure; None if none ever is.
        unsure_missed: Whether no score makes the validation answers as accurate as asked.
        familiar_from: An answer to a row that is less familiar is marked as unsure; None if none is for that.
    """

    kind: Kind
    label_names: Sequence[str] = ()
    thresholds: dict[str, float] = field(default_factory=dict)
    positive: str | None = None
    half_width: float | None = None
    coverage: float | None = None
    missed: tuple[str, ...] = ()
    unsure_below: float | None = None
    unsure_missed: bool = False
    familiar_from: float | None = None

    @classmethod
    def of_output(cls, output: Output) -> "Decision":
        """Return the decision that an artefact's metadata describe; see `describe`."""
        interval = output.interval
        return cls(
            output.kind,
            output.labels,
            output.thresholds,
            positive=next(iter(output.thresholds))
            if output.kind == "label" and len(output.thresholds) == 1
            else None,
            half_width=interval.half_width if interval else None,
            coverage=interval.coverage if interval else None,
            unsure_below=output.unsure_below,
            familiar_from=output.familiar_from,
        )

    @property
    def can_be_unsure(self) -> bool:
        """Whether an answer may be marked as unsure."""
        return self.unsure_below is not None or self.familiar_from is not None

    def describe(self, name: str, unit: str | None = None) -> dict[str, Any]:
        """Return the output of an artefact's metadata.

        Args:
            name: The column that is predicted.
            unit: What a number counts, if that is known.
        """
        output: dict[str, Any] = {"name": name, "type": self.kind, "labels": list(self.label_names)}
        if unit is not None:
            output["unit"] = unit
        if self.half_width is not None:
            output["interval"] = {"coverage": self.coverage, "half_width": self.half_width}
        if self.thresholds:
            output["thresholds"] = dict(self.thresholds)
        if self.unsure_below is not None:
            output["unsure_below"] = self.unsure_below
        if self.familiar_from is not None:
            output["familiar_from"] = self.familiar_from
        return output

    def tell(self, progress: Progress) -> None:
        """Say what was chosen, and warn where an aim is not reached."""
        if self.half_width is not None:
            progress.say(
                f"decision: the true value lies within ± {readable(self.half_width)} "
                f"for {self.coverage:.0%} of such rows"
            )
        if self.kind == "label" and len(self.thresholds) > 1:
            progress.say(
                "decision: because of `imbalance`, the label that is probable for its share of the rows is answered; "
                "decision.aim: none answers the most probable one"
            )
            return
        for label, threshold in list(self.thresholds.items())[:_LABELS_SHOWN]:
            progress.say(f"decision: {label} from a probability of {threshold:.4g} on")
        if self.unsure_below is not None:
            progress.say(f"decision: unsure below a score of {self.unsure_below:.4g}")
        if self.unsure_missed:
            progress.warn(
                "decision.unsure_below: the validation rows show for no score that answers above it are that accurate; "
                "using the score where they are most accurate. More rows (split.validation) show more"
            )
        if self.missed:
            labels = listed(self.missed, _LABELS_SHOWN)
            progress.warn(f"decision.aim: the validation rows do not reach it for {labels}")

    def answers(self, outputs: Outputs) -> npt.NDArray[Any]:
        """Turn outputs into answers, as serving does.

        Returns:
            Label indices <int64>[num_rows], which labels are given <bool>[num_rows, num_labels], or values
            <float64>[num_rows].
        """
        if self.kind == "number":
            return outputs[:, 0]
        if self.kind == "labels":
            return outputs >= np.array([self.thresholds[name] for name in self.label_names])
        if len(self.thresholds) > 1:
            return most_of_threshold(outputs, [self.thresholds[name] for name in self.label_names])
        if self.thresholds:
            [(label, threshold)] = self.thresholds.items()
            positive = self.label_names.index(label)
            return np.where(outputs[:, positive] >= threshold, positive, 1 - positive)
        best: npt.NDArray[np.int64] = outputs.round(DIGITS).argmax(axis=1)
        return best

    def scores(self, outputs: Outputs, answers: npt.NDArray[Any] | None = None) -> Values:
        """Return the probability of the one label that is answered, <float64>[num_rows], as an answer shows it.

        Args:
            outputs: Of the rows.
            answers: What they became; None: as this decision has it.
        """
        answers = self.answers(outputs) if answers is None else answers
        scores: Values = outputs[np.arange(len(outputs)), answers]
        return scores.round(DIGITS)

    def is_sure(
        self,
        outputs: Outputs,
        familiarity: Values | None = None,
        answers: npt.NDArray[Any] | None = None,
    ) -> Flags:
        """Return which answers are not marked as unsure, <bool>[num_rows].

        Args:
            outputs: Of the rows.
            familiarity: How familiar the rows are, <float64>[num_rows]; needed if the decision goes by it.
            answers: What the outputs became; None: as this decision has it.
        """
        sure = self.scores(outputs, answers) >= (self.unsure_below or 0.0)
        if self.familiar_from is not None and familiarity is not None:
            sure &= familiarity >= self.familiar_from
        return sure


def positive_label(
    label_names: Sequence[str], labels: npt.NDArray[np.int64], declared: str | None = None
) -> str:
    """Return which of two labels is the positive one.

    Args:
        label_names: Both.
        labels: Rows that have them, as indices <int64>[num_rows].
        declared: The positive label as far as somebody has said so.

    Returns:
        The declared label; otherwise the one that is rarer in the rows, and the second one on a tie.
    """
    if declared is not None:
        return declared
    seconds = np.count_nonzero(labels)
    return label_names[0 if len(labels) < 2 * seconds else 1]


def choose_threshold(
    is_positive: Flags, probabilities: Values, aim: str | CostAim
) -> tuple[float, bool]:
    """Choose the probability from which on a label is given.

    Args:
        is_positive: The truth, <bool>[num_rows].
        probabilities: Those of the label, <float64>[num_rows].
        aim: `f1`; `recall>=x`, the most precise threshold that reaches it; `precision>=x`, the threshold with the
            highest recall among those that reach it; or the least cost.

    Returns:
        The threshold, halfway between two probabilities of the rows (or between them and 0 or 1), so that
        none lies on it; and whether the aim was reached. One half if no row is positive.
    """
    if not is_positive.any():
        return _DEFAULT_THRESHOLD, False
    thresholds, hits, alarms = _operating_points(is_positive, probabilities)
    misses = is_positive.sum() - hits
    precision, recall = hits / np.maximum(hits + alarms, 1), hits / is_positive.sum()
    if isinstance(aim, CostAim):
        return float(thresholds[np.argmin(aim.cost.fp * alarms + aim.cost.fn * misses)]), True
    if aim == "f1":
        return float(thresholds[np.argmax(2 * hits / (2 * hits + alarms + misses))]), True
    name, least = aim.replace(" ", "").split(">=")
    aimed, other = (recall, precision) if name == "recall" else (precision, recall)
    reached = aimed >= float(least)
    if not reached.any():
        return float(thresholds[np.argmax(aimed)]), False
    return float(thresholds[np.lexsort((aimed, other, reached))[-1]]), True


def _operating_points(
    is_positive: Flags, probabilities: Values
) -> tuple[Values, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
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


def choose_unsure_below(is_right: Flags, scores: Values, accuracy: float) -> tuple[float, bool]:
    """Choose the lowest score from which on the answers are surely as accurate as asked.

    Surely: by the one-sided lower limit of the accuracy at 95 % confidence (Clopper and Pearson, 1934). The share
    of the validation rows that is right favours the score to which chance was kind. Of 1,000 splits of `titanic`
    with 200 validation rows and 0.9, 57 % broke on new rows what they promised; by the limit 10 % do, and 67 %
    promise nothing.

    Args:
        is_right: Which answers are right, <bool>[num_rows].
        scores: The scores of the answers, <float64>[num_rows], as they are shown.
        accuracy: The share of the answers from there on that must be right.

    Returns:
        The score, halfway between those of two rows, or 0 if all answers together are accurate enough; and whether
        the accuracy is reached. If not, the score from which on the limit is highest; 1 if no answer is right.
    """
    thresholds, hits, mistakes = _operating_points(is_right, scores)
    answered = hits + mistakes
    shares = _lower_limits(hits, answered)
    reached = np.flatnonzero(shares >= accuracy)  # no answers at all have a limit of 0
    if not len(reached):
        best = np.flatnonzero(shares == shares.max())[-1]  # on a tie the one with the most answers
        return (float(thresholds[best]) if hits[best] else 1.0), False
    lowest = reached[-1]
    return (0.0 if lowest == len(shares) - 1 else float(thresholds[lowest])), True


def _lower_limits(hits: npt.NDArray[np.int64], answered: npt.NDArray[np.int64]) -> Values:
    """Return the one-sided lower confidence limit of each share, 0 where there is no hit."""
    limits = beta.ppf(1 - _CONFIDENCE, np.maximum(hits, 1), answered - hits + 1)
    lowest: Values = np.where(hits > 0, limits, 0.0)
    return lowest


def rows_for_accuracy(accuracy: float) -> int:
    """Return the fewest answers, all of them right, that show an accuracy.

    >>> rows_for_accuracy(0.95)
    59
    """
    return _ceil(math.log(1 - _CONFIDENCE) / math.log(accuracy))


def interval_half_width(targets: Values, values: Values, coverage: float) -> float:
    """Return how far from a value the truth is with a probability of `coverage`: split conformal prediction.

    If the rows are new to the model, the interval holds the true value of another such row at least so often,
    whatever the model (Lei et al., JASA 2018). With fewer rows than `rows_for_interval` says, no such width is
    known: the largest error is returned, which holds the true value in n of n + 1 cases.
    """
    errors = np.sort(np.abs(targets - values))
    rank = _ceil((len(errors) + 1) * coverage)
    return float(errors[min(rank, len(errors)) - 1])


def rows_for_interval(coverage: float) -> int:
    """Return how many validation rows an interval of some coverage needs."""
    return _ceil(coverage / (1 - coverage))


def _ceil(value: float) -> int:
    return math.ceil(round(value, 9))  # 0.9 / 0.1 is 9, not 9.000000000000002


def default_decision(prepared: Prepared) -> Decision:
    """Return the decision for which nothing has to be chosen: the most probable label, or a threshold of one half."""
    dataset = prepared.dataset
    kind, names = dataset.kind, dataset.label_names
    if kind == "labels":
        return Decision(kind, names, dict.fromkeys(names, _DEFAULT_THRESHOLD))
    if kind == "number" or len(names) != 2:
        return Decision(kind, names)
    labels = dataset.targets[prepared.split.train]
    declared = prepared.config.decision.positive
    return Decision(kind, names, positive=positive_label(names, labels, declared))


def choose_decision(
    prepared: Prepared, validation_outputs: Outputs | None, factors: Values | None = None
) -> Decision:
    """Choose thresholds or the width of an interval on the validation rows, if there is something to choose.

    Args:
        prepared: What the model was fitted on.
        validation_outputs: Its outputs for the validation rows; None if it was fitted on them.
        factors: What its probabilities were multiplied by to undo weights and under-sampling; see `FittedModel`.

    The score below which an answer is unsure comes last: an answer's score depends on the threshold.
    """
    decision = _choose_answers(prepared, validation_outputs, factors)
    unsure_below = prepared.config.decision.unsure_below
    if not isinstance(unsure_below, AccuracyAim):
        # What is out of scope is told with the fitted model, see `train.models.scope`.
        unsure_below = None if isinstance(unsure_below, ScopeAim) else unsure_below
        return replace(decision, unsure_below=unsure_below)
    assert validation_outputs is not None  # kept for an aim, see `keeps_validation`
    truth = prepared.dataset.targets[prepared.split.validation]
    is_right = decision.answers(validation_outputs) == truth
    scores = decision.scores(validation_outputs)
    threshold, reached = choose_unsure_below(is_right, scores, unsure_below.accuracy)
    return replace(decision, unsure_below=threshold, unsure_missed=not reached)


def _choose_answers(
    prepared: Prepared, validation_outputs: Outputs | None, factors: Values | None
) -> Decision:
    default, config = default_decision(prepared), prepared.config
    if factors is not None and config.decision.aim is None:
        return replace(default, thresholds=_weighted_thresholds(default, factors))
    if validation_outputs is None:
        return default
    truth = prepared.dataset.targets[prepared.split.validation]
    if default.kind == "number":
        coverage = config.evaluation.interval
        if coverage is None:
            return default
        half_width = interval_half_width(truth, validation_outputs[:, 0], coverage)
        return replace(default, half_width=half_width, coverage=coverage)
    # Label sets have thresholds for F1, unless something else is asked for.
    aim = config.decision.aim or ("f1" if default.kind == "labels" else "none")
    if aim == "none":
        return default
    if default.kind == "labels":
        return _choose_for_each(default, truth, validation_outputs, aim)
    positive = str(default.positive)
    index = default.label_names.index(positive)
    threshold, reached = choose_threshold(truth == index, validation_outputs[:, index], aim)
    return replace(default, thresholds={positive: threshold}, missed=() if reached else (positive,))


def _weighted_thresholds(default: Decision, factors: Values) -> dict[str, float]:
    """Return the thresholds that give the answers of a model whose weights the factors undo.

    Weights are asked for to find rare labels. The probabilities are right again, and the answers remain weighted.
    """
    shares = np.maximum(factors, _CLOSE)
    thresholds = dict(zip(default.label_names, shares.tolist(), strict=True))
    return {default.positive: thresholds[default.positive]} if default.positive else thresholds


def _choose_for_each(
    default: Decision, truth: Flags, probabilities: Outputs, aim: str | CostAim
) -> Decision:
    """Choose a threshold for each label; for F1 a common one for labels with few positive rows.

    On few rows the best threshold is that of chance: with 81 validation rows and 19 labels, one common threshold
    gave a micro F1 of 0.833 on new rows, one for each label 0.794.
    """
    common = choose_threshold(truth.ravel(), probabilities.ravel(), aim)
    thresholds, missed = {}, []
    for index, label in enumerate(default.label_names):
        few = aim == "f1" and truth[:, index].sum() < _FEW_POSITIVES
        threshold, reached = (
            common if few else choose_threshold(truth[:, index], probabilities[:, index], aim)
        )
        thresholds[label] = threshold
        missed += [] if reached else [label]
    return replace(default, thresholds=thresholds, missed=tuple(missed))


# ------------------------------------------------------------------- problems


def problems_of(prepared: Prepared) -> list[str]:
    """Return what the configuration asks of a decision that does not fit the rows."""
    return [
        *_problems_of_labels(prepared),
        *_problems_of_interval(prepared),
        *_problems_of_doubt(prepared),
    ]


def _problems_of_labels(prepared: Prepared) -> list[str]:
    names, kind = prepared.dataset.label_names, prepared.dataset.kind
    decision, problems = prepared.config.decision, []
    if decision.aim not in (None, "none") and kind != "labels" and len(names) != 2:
        why = f"the dataset has {len(names)}" if names else "this is a regression"
        problems.append(f"decision.aim: a threshold needs two labels; {why}.")
    if decision.positive is not None and kind == "labels":
        problems.append(
            "decision.positive: each label of a multilabel model has its own threshold. Take it out."
        )
    elif decision.positive is not None and (len(names) != 2 or decision.positive not in names):
        problems.append(
            f"decision.positive: expected one of two labels, got {decision.positive!r}; "
            f"labels: {listed(names)}."
        )
    return problems


def _problems_of_interval(prepared: Prepared) -> list[str]:
    coverage = prepared.config.evaluation.interval
    if coverage is None:
        return []
    if prepared.dataset.kind != "number":
        return ["evaluation.interval: only a regression has intervals."]
    return problems_of_rows(
        prepared, f"evaluation.interval: {coverage:g}", rows_for_interval(coverage), "Lower it, or"
    )


def _problems_of_doubt(prepared: Prepared) -> list[str]:
    """Return why it cannot be said which answers are unsure."""
    unsure_below, kind = prepared.config.decision.unsure_below, prepared.dataset.kind
    if unsure_below is None:
        return []
    if kind == "number":
        return [
            "decision.unsure_below: a number has no score. Take it out; evaluation.interval says how far off "
            "a number may be."
        ]
    if kind == "labels":
        return [
            "decision.unsure_below: a multilabel answer has no score of its own, each label has one. "
            "Take it out; decision.aim says from which probability on a label is given."
        ]
    if not isinstance(unsure_below, AccuracyAim):
        return []  # those of a scope are told by `train.models.scope`
    return problems_of_rows(
        prepared,
        f"decision.unsure_below: an accuracy of {unsure_below.accuracy:g}",
        rows_for_accuracy(unsure_below.accuracy),
        "Lower it, give a score, or",
    )


def problems_of_rows(prepared: Prepared, what: str, needed: int, remedy: str) -> list[str]:
    """Return that there are fewer validation rows than needed, if so."""
    there = len(prepared.split.validation)
    if there >= needed:
        return []
    return [
        f"{what} needs at least {counted(needed, 'validation row')}; "
        f"there {plural(there, 'is')} {there:,}. {remedy} raise split.validation."
    ]
