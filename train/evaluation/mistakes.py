"""Mistakes of a model, and test rows whose label is probably wrong; each with the instance it is about."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.wording import shorten
from train.data.dataset import Dataset
from train.evaluation.answered import Answered
from train.evaluation.curves import six_digits
from train.models.decision import Outputs, Values

_MOST_SHOWN = 20
# What is shown of an instance.
_MOST_CHARACTERS, _MOST_COLUMNS = 160, 12

Rows = npt.NDArray[np.int64]
Records = list[dict[str, Any]]


def find_mistakes(dataset: Dataset, rows: Rows, answered: Answered) -> tuple[Records, int]:
    """Return the most confident wrong answers, or the largest errors; and how many rows are wrong.

    Args:
        dataset: Where the rows are from.
        rows: Their indices in the dataset.
        answered: The same rows.

    Returns:
        For each row its `instance`, shortened, `truth`, `answer`, and `error` (answer minus truth) or `score`: the
        probability of the answer; for label sets that of the surest wrong yes or no, which is about `label`.
    """
    if answered.kind == "number":
        return _largest_errors(dataset, rows, answered)
    if answered.kind == "labels":
        return _wrong_sets(dataset, rows, answered)
    names, truth, answers = answered.label_names, answered.truth, answered.answers
    wrong = np.flatnonzero(truth != answers)
    scores = answered.outputs[np.arange(len(truth)), answers]

    def describe(row: int) -> dict[str, Any]:
        score = six_digits(scores[row])
        return {"truth": names[truth[row]], "answer": names[answers[row]], "score": score}

    chosen = wrong[_largest(scores[wrong])]
    return _records(dataset, rows, chosen, describe), len(wrong)


def _largest_errors(dataset: Dataset, rows: Rows, answered: Answered) -> tuple[Records, int]:
    truth, answers = answered.truth, answered.answers
    errors = answers - truth

    def describe(row: int) -> dict[str, Any]:
        numbers = {"truth": truth[row], "answer": answers[row], "error": errors[row]}
        return {key: six_digits(value) for key, value in numbers.items()}

    chosen = _largest(np.abs(errors))
    return _records(dataset, rows, chosen, describe), int(np.count_nonzero(errors))


def _wrong_sets(dataset: Dataset, rows: Rows, answered: Answered) -> tuple[Records, int]:
    truth, answers, names = answered.truth, answered.answers, np.array(answered.label_names, object)
    said = np.where(answers, answered.outputs, 1 - answered.outputs)
    scores = np.where(truth != answers, said, -1.0)
    wrong = np.flatnonzero((truth != answers).any(axis=1))

    def describe(row: int) -> dict[str, Any]:
        return {
            "truth": names[truth[row]].tolist(),
            "answer": names[answers[row]].tolist(),
            "label": names[scores[row].argmax()],
            "score": six_digits(scores[row].max()),
        }

    chosen = wrong[_largest(scores[wrong].max(axis=1, initial=-1.0))]
    return _records(dataset, rows, chosen, describe), len(wrong)


# ------------------------------------------------------------------ suspects


def find_suspects(dataset: Dataset, rows: Rows, answered: Answered) -> tuple[Records, int]:
    """Return test rows whose label is probably wrong, the surest first; and how many there are.

    This is confident learning (Northcutt, Jiang and Chuang, JAIR 2021) with the test rows' out-of-sample
    probabilities: a row is suspected if another label is more probable, and at least as probable as that label is on
    average in the rows that have it. A regression has no suspects.

    Args:
        dataset: Where the rows are from.
        rows: Their indices in the dataset.
        answered: The same rows.

    Returns:
        For each row its `instance`, shortened, its `given` label and the probability of that, `own`; and the label
        that is `probable` instead and its `score`.
    """
    if answered.kind == "number":
        return [], 0
    if answered.kind == "labels":
        return _suspected_sets(dataset, rows, answered)
    names, truth = answered.label_names, answered.truth
    other, own, score = _suspicion(truth, answered.outputs)

    def describe(row: int) -> dict[str, Any]:
        return {
            "given": names[truth[row]],
            "own": six_digits(own[row]),
            "probable": names[other[row]],
            "score": six_digits(score[row]),
        }

    return _suspected(dataset, rows, score - own, describe)


def _suspicion(truth: npt.NDArray[Any], outputs: Outputs) -> tuple[Rows, Values, Values]:
    """Return for every row the other label, the probability of its own, and that of the other; 0 if not suspected."""
    index = np.arange(len(truth))
    counts = np.bincount(truth, minlength=outputs.shape[1])
    own = outputs[index, truth]
    usual = np.bincount(truth, weights=own, minlength=len(counts)) / np.maximum(counts, 1)
    usual[counts == 0] = np.inf  # nothing to compare with
    others = np.where(outputs >= usual, outputs, 0.0)
    others[index, truth] = 0.0
    other = others.argmax(axis=1)
    return other, own, others[index, other]


def _suspected_sets(dataset: Dataset, rows: Rows, answered: Answered) -> tuple[Records, int]:
    """Look at each label as a question of yes and no; a row is suspected for the surest."""
    truth, outputs = answered.truth, answered.outputs
    margins = np.zeros(outputs.shape)
    for label, yes in enumerate(outputs.T):
        of_label = truth[:, label].astype(np.int64)
        _, own, other = _suspicion(of_label, np.column_stack([1 - yes, yes]))
        margins[:, label] = other - own

    def describe(row: int) -> dict[str, Any]:
        label = int(margins[row].argmax())
        name, own = answered.label_names[label], float(outputs[row, label])
        given, other = name, f"not {name}"
        if not truth[row, label]:
            given, other, own = other, given, 1 - own
        own, score = six_digits(own), six_digits(1 - own)
        return {"given": given, "own": own, "probable": other, "score": score}

    return _suspected(dataset, rows, margins.max(axis=1), describe)


def _suspected(
    dataset: Dataset, rows: Rows, margins: Values, describe: Callable[[int], dict[str, Any]]
) -> tuple[Records, int]:
    """Return the rows whose other label is more probable by the widest margins, and how many have such a label."""
    chosen = _largest(margins)
    chosen = chosen[margins[chosen] > 0]
    return _records(dataset, rows, chosen, describe), int(np.count_nonzero(margins > 0))


# ----------------------------------------------------------------- instances


def _largest(values: Values) -> Rows:
    """Return where the largest are, the largest first; of equal ones the first."""
    return np.argsort(-values, kind="stable")[:_MOST_SHOWN]


def _records(
    dataset: Dataset, rows: Rows, chosen: Rows, describe: Callable[[int], dict[str, Any]]
) -> Records:
    """Return the instances of chosen rows, shortened, each with what there is to say about it."""
    instances = dataset.instances(rows[chosen])
    return [
        {"instance": _cut(instance), **describe(row)}
        for instance, row in zip(instances, chosen.tolist(), strict=True)
    ]


def _cut(instance: dict[str, Any]) -> dict[str, Any]:
    """Cut an instance to what fits a table: … stands for what was cut."""
    cut = {
        name: shorten(value, _MOST_CHARACTERS) if isinstance(value, str) else value
        for name, value in list(instance.items())[:_MOST_COLUMNS]
    }
    more = len(instance) - len(cut)
    return cut | ({"…": f"{more} more"} if more else {})
