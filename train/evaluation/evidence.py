"""The evaluation layer: what there is to see beside the metrics. Slices, mistakes, suspected labels, curves.

Everything here is small enough for `metrics.json`, however many test rows there are.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import metrics

from predict.contract.features import TextFeatures
from train.config import TrainConfig
from train.data.dataset import Dataset
from train.data.splits import Split
from train.evaluation.measures import positive_of
from train.evaluation.slices import Answered, UnknownShare, columns_of, measure_slices
from train.models.decision import Decision

_SHOWN = 20
# Of an instance that is shown.
_MOST_CHARACTERS, _MOST_COLUMNS = 160, 12
_CURVE_POINTS = 200
_SAMPLED_VALUES = 1000
# Probabilities that a curve of all labels together is drawn from; of more, some rows are taken.
_POOLED = 2_000_000

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


def gather(
    dataset: Dataset,
    split: Split,
    config: TrainConfig,
    outputs: Floats,
    decision: Decision,
    unknown_share: UnknownShare | None = None,
) -> dict[str, Any]:
    """Gather what a person wants to see of the test rows.

    Args:
        dataset: Of which `split.test` are the rows.
        split: Where the test rows are.
        config: `evaluation.slices` says by which columns they are sliced; none: chosen by their types.
        outputs: Of the test rows: probabilities <float64>[num_rows, num_labels], or values <float64>[num_rows, 1].
        decision: How they become answers.
        unknown_share: The share of unknown words of each test row, <float64>[num_rows], or a function from texts
            to that, such as `unknown_words` makes of a text model's features.

    Returns:
        `slices`, `mistakes`, `suspects` and `curves`, as the functions below say, and `evidence`: what to know of
        them (`least_rows` of a slice, how many slices were `too_small` or `not_shown`, and how many `mistakes` and
        `suspects` there are in all).
    """
    answered = Answered.of(dataset.targets[split.test], outputs, decision)
    wanted = config.evaluation.slices
    columns = columns_of(dataset, split.test, wanted, unknown_share)
    slices, about = measure_slices(answered, columns, chosen=bool(wanted))
    mistakes, num_mistakes = find_mistakes(dataset, split.test, answered)
    suspects, num_suspects = find_suspects(dataset, split.test, answered)
    return {
        "slices": slices,
        "mistakes": mistakes,
        "suspects": suspects,
        "curves": draw_curves(answered),
        "evidence": {**about, "mistakes": num_mistakes, "suspects": num_suspects},
    }


def unknown_words(features: TextFeatures) -> Callable[[Sequence[str]], Floats]:
    """Return what gives the share of each text's words that a vocabulary does not have, <float64>[num_texts]."""

    def share(text: str) -> float:
        tokens = features.tokens(text)
        unknown = sum(token not in features.vocabulary for token in tokens)
        return unknown / max(1, len(tokens))

    return lambda texts: np.array([share(text) for text in texts])


# ------------------------------------------------------------------ mistakes


def find_mistakes(
    dataset: Dataset, rows: Rows, answered: Answered
) -> tuple[list[dict[str, Any]], int]:
    """Return the most confident wrong answers, or the largest errors; and how many rows are wrong.

    Returns:
        Of each its `instance`, shortened, `truth`, `answer`, and `score` (the probability of the answer; of label sets
        that of the surest wrong yes or no, which is about `label`) or `error` (answer minus truth).
    """
    if answered.kind == "number":
        return _largest_errors(dataset, rows, answered)
    if answered.kind == "labels":
        return _wrong_sets(dataset, rows, answered)
    truth, answers = answered.truth, answered.answers
    wrong = np.flatnonzero(truth != answers)
    scores = answered.outputs[wrong, answers[wrong]]
    worst = _largest(scores)
    chosen, names = wrong[worst], dataset.label_names
    found = [
        {"instance": instance, "truth": names[truth[i]], "answer": names[answers[i]], "score": _short(score)}
        for instance, i, score in zip(
            _instances(dataset, rows[chosen]), chosen, scores[worst], strict=True
        )
    ]  # fmt: skip
    return found, len(wrong)


def _largest_errors(
    dataset: Dataset, rows: Rows, answered: Answered
) -> tuple[list[dict[str, Any]], int]:
    truth, answers = answered.truth, answered.answers
    errors = answers - truth
    chosen = _largest(np.abs(errors))
    found = [
        {"instance": instance, "truth": _short(truth[i]), "answer": _short(answers[i]), "error": _short(errors[i])}
        for instance, i in zip(_instances(dataset, rows[chosen]), chosen, strict=True)
    ]  # fmt: skip
    return found, int(np.count_nonzero(errors))


def _wrong_sets(
    dataset: Dataset, rows: Rows, answered: Answered
) -> tuple[list[dict[str, Any]], int]:
    truth, answers, names = answered.truth, answered.answers, dataset.label_names
    said = np.where(answers, answered.outputs, 1 - answered.outputs)
    scores = np.where(truth != answers, said, -1.0)
    wrong = np.flatnonzero((truth != answers).any(axis=1))
    chosen = wrong[_largest(scores[wrong].max(axis=1, initial=-1.0))]
    found = [
        {
            "instance": instance,
            "truth": [name for name, given in zip(names, truth[i], strict=True) if given],
            "answer": [name for name, given in zip(names, answers[i], strict=True) if given],
            "label": names[int(scores[i].argmax())],
            "score": _short(scores[i].max()),
        }
        for instance, i in zip(_instances(dataset, rows[chosen]), chosen, strict=True)
    ]
    return found, len(wrong)


# ------------------------------------------------------------------ suspects


def find_suspects(
    dataset: Dataset, rows: Rows, answered: Answered
) -> tuple[list[dict[str, Any]], int]:
    """Return test rows whose given label is probably wrong, the surest first; and how many there are.

    Confident learning (Northcutt, Jiang and Chuang, JAIR 2021) with the test rows' out-of-sample probabilities:
    a row is suspected if another label is more probable, and at least as probable as it is on average in the
    rows that have it. A regression has no suspects.

    Returns:
        Of each its `instance`, shortened, the label that is `given` and its probability, `own`; and the label that
        is `probable` instead and its `score`.
    """
    if answered.kind == "number":
        return [], 0
    if answered.kind == "labels":
        return _suspected_sets(dataset, rows, answered)
    names, truth = dataset.label_names, answered.truth
    other, own, score = _suspicion(truth, answered.outputs)
    margin = score - own
    chosen = _largest(margin)
    chosen = chosen[margin[chosen] > 0]
    found = [
        {
            "instance": instance,
            "given": names[truth[i]],
            "own": _short(own[i]),
            "probable": names[other[i]],
            "score": _short(score[i]),
        }
        for instance, i in zip(_instances(dataset, rows[chosen]), chosen, strict=True)
    ]
    return found, int(np.count_nonzero(margin > 0))


def _suspicion(truth: npt.NDArray[Any], outputs: Floats) -> tuple[npt.NDArray[Any], Floats, Floats]:
    """Return of every row the other label, the probability of its own, and that of the other; 0 if not suspected."""
    index = np.arange(len(truth))
    counts = np.bincount(truth, minlength=outputs.shape[1])
    own = outputs[index, truth]
    usual = np.bincount(truth, weights=own, minlength=len(counts)) / np.maximum(counts, 1)
    usual[counts == 0] = np.inf  # nothing to compare with
    others = np.where(outputs >= usual, outputs, 0.0)
    others[index, truth] = 0.0
    other = others.argmax(axis=1)
    return other, own, others[index, other]


def _suspected_sets(
    dataset: Dataset, rows: Rows, answered: Answered
) -> tuple[list[dict[str, Any]], int]:
    """Look at each label as a question of yes and no; a row is suspected for the surest."""
    margins = np.zeros(answered.outputs.shape)
    for label, yes in enumerate(answered.outputs.T):
        given = answered.truth[:, label].astype(np.int64)
        _, its_own, its_other = _suspicion(given, np.column_stack([1 - yes, yes]))
        margins[:, label] = its_other - its_own
    surest = margins.max(axis=1)
    chosen = _largest(surest)
    found = []
    for i in chosen[surest[chosen] > 0]:
        label = int(margins[i].argmax())
        name, given = dataset.label_names[label], answered.truth[i, label]
        probability = float(answered.outputs[i, label])
        own = probability if given else 1 - probability
        [instance] = _instances(dataset, rows[[i]])
        found.append(
            {
                "instance": instance,
                "given": name if given else f"not {name}",
                "own": _short(own),
                "probable": f"not {name}" if given else name,
                "score": _short(1 - own),
            }
        )
    return found, int(np.count_nonzero(surest > 0))


# -------------------------------------------------------------------- curves


def draw_curves(answered: Answered) -> dict[str, Any]:
    """Return the points of curves, at most a few hundred each.

    Returns:
        Of two labels `roc` and `pr` of the positive one (`label`); of more, of all of them together (`label` is None):
        every row with every label is a case, positive if the row has the label. Of label sets also
        `thresholds`, precision, recall and F1 at a threshold common to all labels. Of a regression `values`: `truth`
        and `value` of up to a thousand rows.
    """
    if answered.kind == "number":
        chosen = _sample(len(answered.truth), _SAMPLED_VALUES)
        pairs = {"truth": answered.truth, "value": answered.answers}
        return {"values": {name: _shorts(values[chosen]) for name, values in pairs.items()}}
    is_positive, scores, label = _cases(answered)
    if is_positive.all() or not is_positive.any():
        return {}
    precision, recall, thresholds = metrics.precision_recall_curve(is_positive, scores)
    curves: dict[str, Any] = {
        "roc": {"label": label, **_roc(is_positive, scores)},
        "pr": {
            "label": label,
            "average_precision": float(metrics.average_precision_score(is_positive, scores)),
            "positive_share": float(is_positive.mean()),
            **_thinned({"recall": recall, "precision": precision}, along=-recall),
        },
    }
    if answered.kind == "labels":
        curves["thresholds"] = _threshold_table(precision[:-1], recall[:-1], thresholds)
    return curves


def _cases(answered: Answered) -> tuple[npt.NDArray[np.bool_], Floats, str | None]:
    names = answered.decision.label_names
    if answered.kind == "two":
        positive = positive_of(answered.truth, answered.decision)
        return answered.truth == positive, answered.outputs[:, positive], names[positive]
    part = answered.part(_sample(len(answered.truth), max(1, _POOLED // len(names))))
    given = part.truth if part.truth.ndim == 2 else part.truth[:, None] == np.arange(len(names))
    return given.ravel(), part.outputs.ravel(), None


def _roc(is_positive: npt.NDArray[np.bool_], scores: Floats) -> dict[str, Any]:
    false, true, _ = metrics.roc_curve(is_positive, scores)
    rates = {"false_positive_rate": false, "true_positive_rate": true}
    return {"area": float(metrics.auc(false, true)), **_thinned(rates, along=false + true)}


def _threshold_table(
    precision: Floats, recall: Floats, thresholds: Floats
) -> list[dict[str, float]]:
    f1 = 2 * precision * recall / np.maximum(precision + recall, np.finfo(float).tiny)
    columns = {"threshold": thresholds, "precision": precision, "recall": recall, "f1": f1}
    thin = _thinned(columns, along=-recall)
    return [dict(zip(thin, row, strict=True)) for row in zip(*thin.values(), strict=True)]


def _thinned(columns: Mapping[str, Floats], along: Floats) -> dict[str, list[float]]:
    """Keep points that are spread evenly `along` something that never falls; the first and the last among them."""
    kept = np.arange(len(along))
    if len(along) > _CURVE_POINTS:
        wanted = np.linspace(along[0], along[-1], _CURVE_POINTS)
        # Of points with the same recall the last, which is the most precise.
        places = np.searchsorted(along, wanted, side="right") - 1
        kept = np.unique(np.concatenate([places, kept[[0, -1]]]))
    return {name: _shorts(values[kept]) for name, values in columns.items()}


# ------------------------------------------------------------------- choices


def _largest(values: Floats) -> Rows:
    """Return where the largest are, the largest first; of equal ones the first."""
    return np.argsort(-values, kind="stable")[:_SHOWN]


def _sample(count: int, most: int) -> Rows:
    """Return up to so many rows, in their order; the same ones every time."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(0).choice(count, most, replace=False))


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _shorts(values: Iterable[float]) -> list[float]:
    return [_short(value) for value in values]


def _instances(dataset: Dataset, rows: Rows) -> list[dict[str, Any]]:
    """Return rows as requests would send them, cut to what fits a table: … stands for what was cut."""
    return [_cut(instance) for instance in dataset.instances(rows)]


def _cut(instance: dict[str, Any]) -> dict[str, Any]:
    cut: dict[str, Any] = {}
    for name, value in list(instance.items())[:_MOST_COLUMNS]:
        long = isinstance(value, str) and len(value) > _MOST_CHARACTERS
        cut[name] = f"{value[:_MOST_CHARACTERS]}…" if long else value
    return cut | (
        {"…": f"{len(instance) - _MOST_COLUMNS} more"} if len(cut) < len(instance) else {}
    )
