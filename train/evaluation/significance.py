"""The evaluation layer: how far a metric may be off by chance, and whether two models differ by more than that.

Everything is the percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993): rows are drawn
anew, with replacement, and each metric of `evaluation` is worked out again from how often every row was drawn. That
needs no copy of the rows and no sorting: what has to be sorted is sorted once.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from train.evaluation.measures import positive_of
from train.evaluation.reliability import BINS
from train.models.decision import DIGITS, Decision

Values = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
# How often each row was drawn, <float64>[num_resamples, num_rows]; and what a metric is then, [num_resamples].
_Draws = Values
_Measure = Callable[[_Draws], dict[str, Values]]

_COVERED = (0.025, 0.975)
# (rows up to, resamples): the ends of the interval of a metric at 0.9 and 4,000 rows then vary by 0.0003
# from seed to seed; of many rows the interval is narrow, and so is that.
_RESAMPLES = ((20_000, 2000), (200_000, 1000))
_FEWEST_RESAMPLES = 200
# Draws at once, times rows: what stays in the processor's cache. Twenty times as many take four times as long.
_BLOCK = 100_000
# Discordant pairs from which on chi-squared is close enough to the binomial distribution.
_MANY_PAIRS = 25


@dataclass(frozen=True)
class Scored:
    """What a model says of rows.

    Attributes:
        outputs: Probabilities <float64>[num_rows, num_labels], or values <float64>[num_rows, 1].
        answers: What the outputs became; see `Decision.answers`.
        decision: How, and which labels there are.
    """

    outputs: Values
    answers: npt.NDArray[Any]
    decision: Decision

    @classmethod
    def of(cls, outputs: Values, decision: Decision) -> "Scored":
        """Let a decision turn outputs into answers."""
        return cls(outputs, decision.answers(outputs), decision)


@dataclass(frozen=True)
class Difference:
    """A metric of two models on the same rows.

    Attributes:
        first: Of the first model.
        second: Of the second one.
        difference: The second less the first.
        low: The lower end of the 95 % interval of the difference.
        high: The upper one.
        significant: Whether zero lies outside of it.
    """

    first: float
    second: float
    difference: float
    low: float
    high: float
    significant: bool


def num_resamples(num_rows: int) -> int:
    """Return how often rows are drawn anew: 2,000 times up to 20,000 rows, 1,000 up to 200,000, else 200."""
    return next((count for most, count in _RESAMPLES if num_rows <= most), _FEWEST_RESAMPLES)


def confidence_intervals(
    targets: npt.NDArray[Any], outputs: Values, decision: Decision, seed: int = 0
) -> dict[str, list[float]]:
    """Return the 95 % intervals of the headline metrics of `evaluation.evaluate`.

    A resample in which a metric does not exist (ROC AUC without a positive row) is left out of it, and the
    positive label stays that of all rows. An interval always holds the metric itself, to which it is stretched
    where resampling is biased, as with the macro F1 of labels with a row or two. The width of prediction
    intervals is no matter of chance and has none.

    Args:
        targets: As for `evaluate`.
        outputs: As for `evaluate`.
        decision: How outputs become answers.
        seed: Of the resampling; the same seed gives the same intervals.

    Returns:
        Metric -> [low, high].
    """
    values = _resample(targets, [Scored.of(outputs, decision)], seed)[0]
    return {name: list(_interval(found)) for name, found in values.items()}


def paired_differences(
    targets: npt.NDArray[Any], first: Scored, second: Scored, seed: int = 0
) -> dict[str, Difference]:
    """Compare two models on the same rows, metric by metric.

    Both are measured on the same resamples, so what makes rows easy or hard for both cancels out: two models
    may differ significantly although their own intervals overlap.

    Returns:
        Metric -> how they differ, for every metric that both have.
    """
    ours, theirs = _resample(targets, [first, second], seed)
    return {
        name: _difference(ours[name], theirs[name], _interval(theirs[name] - ours[name]))
        for name in ours
        if name in theirs
    }


def label_differences(
    targets: npt.NDArray[Any], first: Scored, second: Scored, seed: int = 0
) -> list[Difference]:
    """Compare the F1 of two models label by label, in the order of the labels.

    Each interval holds with 95 %: of a hundred labels about five seem to differ when none does.
    """
    width = len(first.decision.label_names)
    counters = [
        _counter(_as_matrix(targets, width), _as_matrix(model.answers, width))
        for model in (first, second)
    ]
    ours, theirs = (
        np.concatenate([_f1(*counter(draws)) for draws in _draw(len(targets), seed)])
        for counter in counters
    )
    return [
        _difference(ours[:, i], theirs[:, i], _interval(theirs[:, i] - ours[:, i]))
        for i in range(width)
    ]


def mcnemar(first_right: Flags, second_right: Flags) -> float:
    """Return the p-value of McNemar's test: how likely so uneven a split is, if both models are as good.

    Only rows that one of them gets right and the other one does not say anything. Exact (binomial) below 25 of
    those, above it chi-squared with the continuity correction (Edwards, Psychometrika 1948).

    Args:
        first_right: Whether the first model is right, <bool>[num_rows].
        second_right: And the second one.
    """
    only_first = int(np.count_nonzero(first_right & ~second_right))
    only_second = int(np.count_nonzero(second_right & ~first_right))
    pairs, fewer = only_first + only_second, min(only_first, only_second)
    if pairs < _MANY_PAIRS:
        tail: float = sum(math.comb(pairs, hits) for hits in range(fewer + 1)) / 2**pairs
        return min(1.0, 2 * tail)
    statistic = max(0, abs(only_first - only_second) - 1) ** 2 / pairs
    return math.erfc(
        math.sqrt(statistic / 2)
    )  # the upper tail of chi-squared, one degree of freedom


# ---------------------------------------------------------------- resampling


def _resample(
    targets: npt.NDArray[Any], models: list[Scored], seed: int
) -> list[dict[str, Values]]:
    """Measure models on the same resamples.

    Returns:
        Of each model metric -> <float64>[1 + num_resamples], the first being that of the rows as they are.
        A metric that has no value there is left out; NaN where a resample has none.
    """
    measures = [_measures(targets, model) for model in models]
    blocks: list[list[dict[str, Values]]] = [[] for _ in models]
    for draws in _draw(len(targets), seed):
        for found, own in zip(blocks, measures, strict=True):
            found.append({name: of for measure in own for name, of in measure(draws).items()})
    joined = [
        {name: np.concatenate([block[name] for block in found]) for name in found[0]}
        for found in blocks
    ]
    return [
        {name: values for name, values in found.items() if np.isfinite(values[0])}
        for found in joined
    ]


def _draw(num_rows: int, seed: int) -> Iterator[_Draws]:
    """Yield how often each row is there: first every row once, then by chance; in blocks."""
    yield np.ones((1, num_rows))
    random, left = np.random.default_rng(seed), num_resamples(num_rows)
    most = max(1, _BLOCK // num_rows)
    while left:
        draws = np.empty((min(most, left), num_rows))
        for row in draws:
            row[:] = np.bincount(random.integers(num_rows, size=num_rows), minlength=num_rows)
        left -= len(draws)
        yield draws


def _interval(values: Values) -> tuple[float, float]:
    """Return the interval of what `_resample` found; it holds the first value."""
    low, high = np.quantile(values[np.isfinite(values)], _COVERED).tolist()
    return min(low, float(values[0])), max(high, float(values[0]))


def _difference(ours: Values, theirs: Values, interval: tuple[float, float]) -> Difference:
    low, high = interval
    first, second = float(ours[0]), float(theirs[0])
    return Difference(first, second, second - first, low, high, low > 0 or high < 0)


# ------------------------------------------------------------------ measures


def _measures(targets: npt.NDArray[Any], model: Scored) -> list[_Measure]:
    """Return what works out the metrics of one model; each sorts what it has to once and for all."""
    decision = model.decision
    if not decision.label_names:
        return _of_values(targets, model.answers, decision)
    if decision.several:
        return _of_label_sets(targets, model)
    return _of_labels(targets, model)


def _of_labels(targets: npt.NDArray[np.int64], model: Scored) -> list[_Measure]:
    answers, width = model.answers, len(model.decision.label_names)
    right = answers == targets
    measures = [
        _means({"accuracy": right, "log_loss": _surprise(targets, model.outputs)}),
        _macro_f1(_as_matrix(targets, width), _as_matrix(answers, width)),
        _calibration(*_claims(targets, model)),
    ]
    if model.decision.unsure_below is not None:
        measures.append(_sureness(right, _scores(model) >= model.decision.unsure_below))
    if width == 2 and len(np.unique(targets)) == 2:
        positive = positive_of(targets, model.decision)
        scores = model.outputs[:, positive] / model.outputs.sum(axis=1)
        measures.append(_hits(targets == positive, answers == positive))
        measures.append(_ranking(targets == positive, scores))
    return measures


def _of_label_sets(truth: Flags, model: Scored) -> list[_Measure]:
    wrong = truth != model.answers
    means = {
        "subset_accuracy": ~wrong.any(axis=1),
        "hamming_loss": wrong.mean(axis=1),
        "ranking_precision": ranking_precisions(truth, model.outputs),
    }
    width = truth.shape[1]
    return [
        _means(means),
        _f1_of_sets(_as_matrix(truth, width), _as_matrix(model.answers, width)),
        _calibration(model.outputs, truth),
    ]


def _of_values(truth: Values, values: Values, decision: Decision) -> list[_Measure]:
    errors = np.abs(truth - values)
    means: dict[str, npt.NDArray[Any]] = {"mae": errors}
    if decision.half_width is not None:
        means["interval_coverage"] = errors <= decision.half_width
    return [_means(means), _squares(truth, errors), _median(errors)]


def _means(of_rows: dict[str, npt.NDArray[Any]]) -> _Measure:
    """Measure metrics that are the mean of a number a row."""
    numbers = np.column_stack([values.astype(np.float64) for values in of_rows.values()])

    def measure(draws: _Draws) -> dict[str, Values]:
        return dict(zip(of_rows, (draws @ numbers / len(numbers)).T, strict=True))

    return measure


def _surprise(targets: npt.NDArray[np.int64], probabilities: Values) -> Values:
    """Return the log loss of each row, as scikit-learn clips it."""
    said = probabilities[np.arange(len(targets)), targets] / probabilities.sum(axis=1)
    smallest = np.finfo(np.float64).eps
    surprise: Values = -np.log(np.clip(said, smallest, 1 - smallest))
    return surprise


def _as_matrix(labels: npt.NDArray[Any], width: int) -> Any:
    """Return labels as a sparse matrix of rows and labels, 1 where a row has a label."""
    if labels.ndim == 2:
        return scipy.sparse.csr_matrix(labels, dtype=np.float64)
    rows = np.arange(len(labels))
    return scipy.sparse.csr_matrix((np.ones(len(labels)), (rows, labels)), (len(labels), width))


def _counter(truth: Any, answers: Any) -> Callable[[_Draws], tuple[Values, Values]]:
    """Return what counts hits, and answers and truths together, both <float64>[num_resamples, num_labels].

    Args:
        truth: What `_as_matrix` makes of the right labels.
        answers: And of the answers.
    """
    hits, either = truth.multiply(answers).tocsc(), (truth + answers).tocsc()
    return lambda draws: (draws @ hits, draws @ either)


def _f1(hits: Values, either: Values) -> Values:
    return 2 * hits / np.maximum(either, 1)


def _macro_f1(truth: Any, answers: Any) -> _Measure:
    """Measure the macro F1 as scikit-learn does of one label a row: over the labels that are there."""
    count = _counter(truth, answers)

    def measure(draws: _Draws) -> dict[str, Values]:
        hits, either = count(draws)
        return {"macro_f1": _f1(hits, either).sum(axis=1) / np.count_nonzero(either, axis=1)}

    return measure


def _f1_of_sets(truth: Any, answers: Any) -> _Measure:
    count = _counter(truth, answers)

    def measure(draws: _Draws) -> dict[str, Values]:
        hits, either = count(draws)
        return {
            "micro_f1": _f1(hits.sum(axis=1), either.sum(axis=1)),
            "macro_f1": _f1(hits, either).mean(axis=1),
        }

    return measure


def _claims(targets: npt.NDArray[np.int64], model: Scored) -> tuple[Values, Flags]:
    """Return the probabilities that `reliability.calibration` is about, and whether each came true, one a row."""
    names = list(model.decision.label_names)
    if len(names) == 2:
        positive = names.index(model.decision.positive) if model.decision.positive else 1
        return model.outputs[:, [positive]], targets[:, np.newaxis] == positive
    came_true = model.answers == targets
    return _scores(model)[:, np.newaxis], came_true[:, np.newaxis]


def _scores(model: Scored) -> Values:
    """Return the probability of each answer, as `Decision.scores` does of answers of its own."""
    scores: Values = model.outputs[np.arange(len(model.answers)), model.answers]
    return scores.round(DIGITS)


def _calibration(said: Values, came_true: Flags) -> _Measure:
    """Measure the expected calibration error of probabilities, <float64>[num_rows, any number]."""
    num_rows, width = said.shape
    bins = np.searchsorted(np.arange(1, BINS) / BINS, said.ravel(), side="left")
    rows = np.repeat(np.arange(num_rows), width)
    gaps = scipy.sparse.csc_matrix(((said - came_true).ravel(), (rows, bins)), (num_rows, BINS))

    def measure(draws: _Draws) -> dict[str, Values]:
        return {"ece": np.abs(draws @ gaps).sum(axis=1) / said.size}

    return measure


def _sureness(right: Flags, sure: Flags) -> _Measure:
    numbers = np.column_stack([sure, right & sure]).astype(np.float64)

    def measure(draws: _Draws) -> dict[str, Values]:
        answered, hits = (draws @ numbers).T
        return {
            "unsure_share": 1 - answered / len(numbers),
            "accuracy_when_sure": hits / np.maximum(answered, 1),
        }

    return measure


def _hits(is_positive: Flags, said_positive: Flags) -> _Measure:
    """Measure what a threshold gives; nothing where a resample lacks one of the labels."""
    columns = np.column_stack([is_positive & said_positive, said_positive, is_positive])
    numbers = columns.astype(np.float64)

    def measure(draws: _Draws) -> dict[str, Values]:
        hits, said, given = (draws @ numbers).T
        lacking = (given == 0) | (given == len(numbers))
        return {
            "precision": np.where(lacking, np.nan, hits / np.maximum(said, 1)),
            "recall": np.where(lacking, np.nan, hits / np.maximum(given, 1)),
            "f1": np.where(lacking, np.nan, 2 * hits / np.maximum(said + given, 1)),
        }

    return measure


def _ranking(is_positive: Flags, scores: Values) -> _Measure:
    """Measure ROC AUC and average precision; rows with the same score are drawn together."""
    order = np.argsort(-scores, kind="stable")
    positive = is_positive[order].astype(np.float64)
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)

    def measure(draws: _Draws) -> dict[str, Values]:
        ranked = draws[:, order]
        alarms = np.cumsum(ranked, axis=1)[:, last]  # all that score so much or more, hits too
        ranked *= positive
        hits = np.cumsum(ranked, axis=1)[:, last]
        new_hits = np.diff(hits, prepend=0)
        new_alarms = np.diff(alarms, prepend=0) - new_hits
        given = hits[:, -1]
        others = alarms[:, -1] - given
        # In each step of the curve: the hits before it and half of its own, for every false alarm in it.
        area = (new_alarms * (hits - new_hits / 2)).sum(axis=1)
        precision = (new_hits * hits / np.maximum(alarms, 1)).sum(axis=1)
        lacking = (given == 0) | (others == 0)
        return {
            "roc_auc": np.where(lacking, np.nan, area / np.maximum(given * others, 1)),
            "pr_auc": np.where(lacking, np.nan, precision / np.maximum(given, 1)),
        }

    return measure


def _squares(truth: Values, errors: Values) -> _Measure:
    centred = truth - truth.mean()  # else R² loses digits where values are large and close together
    numbers = np.column_stack([errors**2, centred, centred**2])
    # Below this share, what is left of a sum is rounding: the same truth was drawn every time.
    nothing = 1e-12

    def measure(draws: _Draws) -> dict[str, Values]:
        squares, total, squared = (draws @ numbers).T
        spread = squared - total**2 / len(numbers)
        constant = spread <= nothing * squared
        r2 = 1 - squares / np.where(constant, 1, spread)
        return {
            "rmse": np.sqrt(squares / len(numbers)),
            "r2": np.where(constant, np.nan, r2),
        }

    return measure


def _median(errors: Values) -> _Measure:
    order = np.argsort(errors, kind="stable")
    ranked, middle = errors[order], ((len(errors) - 1) // 2, len(errors) // 2)

    def measure(draws: _Draws) -> dict[str, Values]:
        places = [
            np.searchsorted(drawn, middle, side="right")
            for drawn in np.cumsum(draws[:, order], axis=1)
        ]
        return {"median_absolute_error": ranked[np.array(places)].mean(axis=1)}

    return measure


def ranking_precisions(truth: Flags, probabilities: Values) -> Values:
    """Return the label ranking average precision of each row, <float64>[num_rows].

    Of each true label, the share of true ones among those as probable or more, averaged over the true labels;
    1 where none or all of them are true.
    """
    given = truth.sum(axis=1)
    total = np.zeros(len(truth))
    for label in range(truth.shape[1]):
        rows = np.flatnonzero(truth[:, label])
        above = probabilities[rows] >= probabilities[rows, label, np.newaxis]
        total[rows] += (above & truth[rows]).sum(axis=1) / above.sum(axis=1)
    plain = (given == 0) | (given == truth.shape[1])
    precisions: Values = np.where(plain, 1.0, total / np.maximum(given, 1))
    return precisions
