"""Confidence intervals of metrics, and whether two models differ by more than chance.

Everything is the percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993): rows are drawn
anew, with replacement, and each metric of `measures` is worked out again from how often every row was drawn. That
needs no copy of the rows and no sorting: what has to be sorted is sorted once.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse
from scipy.stats import binomtest

from train.evaluation.answered import Answered
from train.evaluation.reliability import BINS
from train.models.decision import Flags, Values

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


@dataclass(frozen=True)
class Difference:
    """A metric of two models on the same rows.

    Attributes:
        first: Its value for the first model.
        second: Its value for the second one.
        difference: The second value minus the first.
        low: The lower end of the 95 % interval of the difference.
        high: The upper end.
        significant: Whether zero lies outside of the interval.
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


def confidence_intervals(answered: Answered, seed: int = 0) -> dict[str, list[float]]:
    """Return the 95 % intervals of the headline metrics of `measures.evaluate`.

    A resample in which a metric does not exist (ROC AUC without a positive row) does not count for it, and the
    positive label stays that of all rows. An interval always holds the metric itself, to which it is stretched
    where resampling is biased, as with the macro F1 of labels with a row or two. The width of prediction
    intervals is no matter of chance and has no interval.

    Args:
        answered: The rows.
        seed: The same seed gives the same intervals.

    Returns:
        Metric -> [low, high].
    """
    [resampled] = _resample([answered], seed)
    return {name: list(_interval(values)) for name, values in resampled.items()}


def paired_differences(first: Answered, second: Answered, seed: int = 0) -> dict[str, Difference]:
    """Compare two models on the same rows, metric by metric.

    Both are measured on the same resamples, so what makes rows easy or hard for both cancels out: two models
    may differ significantly although their own intervals overlap.

    Returns:
        Metric -> how they differ, for every metric that both have.
    """
    ours, theirs = _resample([first, second], seed)
    return {
        name: _difference(ours[name], theirs[name], _interval(theirs[name] - ours[name]))
        for name in ours
        if name in theirs
    }


def label_differences(first: Answered, second: Answered, seed: int = 0) -> list[Difference]:
    """Compare the F1 of two models on the same rows label by label, in the order of the labels.

    Each interval holds with 95 %: of a hundred labels about five seem to differ when none does.
    """
    width = len(first.label_names)
    counters = [_counter(*_as_matrices(model)) for model in (first, second)]
    ours, theirs = (
        np.concatenate([_f1(*counter(draws)) for draws in _draw(len(first.truth), seed)])
        for counter in counters
    )
    return [
        _difference(ours[:, i], theirs[:, i], _interval(theirs[:, i] - ours[:, i]))
        for i in range(width)
    ]


def mcnemar(first_right: Flags, second_right: Flags) -> float:
    """Return the p-value of McNemar's exact test: how likely so uneven a split is if both models are equally good.

    Only the rows that one model gets right and the other one does not say anything: each is a toss of a fair coin.

    Args:
        first_right: Which rows the first model gets right, <bool>[num_rows].
        second_right: Which rows the second one gets right, <bool>[num_rows].
    """
    only_one = first_right != second_right
    if not only_one.any():
        return 1.0
    return float(binomtest(int(first_right[only_one].sum()), int(only_one.sum())).pvalue)


# ---------------------------------------------------------------- resampling


def _resample(models: list[Answered], seed: int) -> list[dict[str, Values]]:
    """Measure models on the same resamples of the same rows.

    Returns:
        For each model metric -> <float64>[1 + num_resamples], the first value being that of the rows as they are.
        A metric that has no value there is left out; NaN where a resample has none.
    """
    measures = [_measures(model) for model in models]
    blocks: list[list[dict[str, Values]]] = [[] for _ in models]
    for draws in _draw(len(models[0].truth), seed):
        for measured, own in zip(blocks, measures, strict=True):
            measured.append({name: of for measure in own for name, of in measure(draws).items()})
    joined = [
        {name: np.concatenate([block[name] for block in measured]) for name in measured[0]}
        for measured in blocks
    ]
    return [
        {name: values for name, values in measured.items() if np.isfinite(values[0])}
        for measured in joined
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
    """Return the interval of the values of a metric in resamples; it holds the first value."""
    low, high = np.quantile(values[np.isfinite(values)], _COVERED).tolist()
    return min(low, float(values[0])), max(high, float(values[0]))


def _difference(ours: Values, theirs: Values, interval: tuple[float, float]) -> Difference:
    low, high = interval
    first, second = float(ours[0]), float(theirs[0])
    return Difference(first, second, second - first, low, high, low > 0 or high < 0)


# ------------------------------------------------------------------ measures


def _measures(model: Answered) -> list[_Measure]:
    """Return what works out the metrics of one model; each sorts what it has to once and for all."""
    if model.kind == "number":
        return _of_numbers(model)
    return _of_label_sets(model) if model.kind == "labels" else _of_labels(model)


def _of_labels(model: Answered) -> list[_Measure]:
    truth, answers, right = model.truth, model.answers, model.right()
    measures = [
        _means({"accuracy": right, "log_loss": _surprise(truth, model.outputs)}),
        _macro_f1(*_as_matrices(model)),
        _calibration(*model.claims()),
    ]
    if model.decision.can_be_unsure:
        measures.append(_sureness(right, model.sure()))
    positive = model.positive
    if positive is not None and len(np.unique(truth)) == 2:
        scores = model.outputs[:, positive] / model.outputs.sum(axis=1)
        measures.append(_hits(truth == positive, answers == positive))
        measures.append(_ranking(truth == positive, scores))
    return measures


def _of_label_sets(model: Answered) -> list[_Measure]:
    means = {
        "subset_accuracy": model.right(),
        "hamming_loss": model.losses(),
        "ranking_precision": ranking_precisions(model.truth, model.outputs),
    }
    return [_means(means), _f1_of_sets(*_as_matrices(model)), _calibration(*model.claims())]


def _of_numbers(model: Answered) -> list[_Measure]:
    errors, half_width = model.losses(), model.decision.half_width
    means: dict[str, npt.NDArray[Any]] = {"mae": errors}
    if half_width is not None:
        means["interval_coverage"] = errors <= half_width
    return [_means(means), _squares(model.truth, errors), _median(errors)]


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


def _as_matrices(model: Answered) -> tuple[Any, Any]:
    """Return truth and answers as sparse matrices of rows and labels, 1 where a row has a label."""
    width = len(model.label_names)
    return _as_matrix(model.truth, width), _as_matrix(model.answers, width)


def _as_matrix(labels: npt.NDArray[Any], width: int) -> Any:
    if labels.ndim == 2:
        return scipy.sparse.csr_matrix(labels, dtype=np.float64)
    rows = np.arange(len(labels))
    return scipy.sparse.csr_matrix((np.ones(len(labels)), (rows, labels)), (len(labels), width))


def _counter(truth: Any, answers: Any) -> Callable[[_Draws], tuple[Values, Values]]:
    """Return what counts hits, and answers and truths together, both <float64>[num_resamples, num_labels].

    Args:
        truth: The first matrix of `_as_matrices`.
        answers: The second one.
    """
    hits, either = truth.multiply(answers).tocsc(), (truth + answers).tocsc()
    return lambda draws: (draws @ hits, draws @ either)


def _f1(hits: Values, either: Values) -> Values:
    return 2 * hits / np.maximum(either, 1)


def _macro_f1(truth: Any, answers: Any) -> _Measure:
    """Measure the macro F1 of one label a row as scikit-learn does: over the labels that are there."""
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
        hits, said, positives = (draws @ numbers).T
        lacking = (positives == 0) | (positives == len(numbers))
        return {
            "precision": np.where(lacking, np.nan, hits / np.maximum(said, 1)),
            "recall": np.where(lacking, np.nan, hits / np.maximum(positives, 1)),
            "f1": np.where(lacking, np.nan, 2 * hits / np.maximum(said + positives, 1)),
        }

    return measure


def _ranking(is_positive: Flags, scores: Values) -> _Measure:
    """Measure ROC AUC and average precision; rows with the same score are drawn together."""
    order = np.argsort(-scores, kind="stable")
    positive = is_positive[order].astype(np.float64)
    last = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)

    def measure(draws: _Draws) -> dict[str, Values]:
        ranked = draws[:, order]
        alarms = np.cumsum(ranked, axis=1)[
            :, last
        ]  # all rows with this score or a higher one, hits too
        ranked *= positive
        hits = np.cumsum(ranked, axis=1)[:, last]
        new_hits = np.diff(hits, prepend=0)
        new_alarms = np.diff(alarms, prepend=0) - new_hits
        positives = hits[:, -1]
        negatives = alarms[:, -1] - positives
        # In each step of the curve: the hits before it and half of its own, for every false alarm in it.
        area = (new_alarms * (hits - new_hits / 2)).sum(axis=1)
        precision = (new_hits * hits / np.maximum(alarms, 1)).sum(axis=1)
        lacking = (positives == 0) | (negatives == 0)
        return {
            "roc_auc": np.where(lacking, np.nan, area / np.maximum(positives * negatives, 1)),
            "pr_auc": np.where(lacking, np.nan, precision / np.maximum(positives, 1)),
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
        ranks = [
            np.searchsorted(drawn, middle, side="right")
            for drawn in np.cumsum(draws[:, order], axis=1)
        ]
        return {"median_absolute_error": ranked[np.array(ranks)].mean(axis=1)}

    return measure


def ranking_precisions(truth: Flags, probabilities: Values) -> Values:
    """Return the label ranking average precision of each row, <float64>[num_rows].

    For each true label that is the share of true labels among those as probable or more, averaged over the true
    labels; 1 where none or all of them are true.
    """
    count = truth.sum(axis=1)
    total = np.zeros(len(truth))
    for label in range(truth.shape[1]):
        rows = np.flatnonzero(truth[:, label])
        above = probabilities[rows] >= probabilities[rows, label, np.newaxis]
        total[rows] += (above & truth[rows]).sum(axis=1) / above.sum(axis=1)
    plain = (count == 0) | (count == truth.shape[1])
    precisions: Values = np.where(plain, 1.0, total / np.maximum(count, 1))
    return precisions
