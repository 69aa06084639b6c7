"""The lines of a log of predictions, which serving writes and training reads: JSON, one object each.

A line of a prediction has `time`, `request_id`, `number` (which instance of the request, from 0), `model` (the name of
the artefact), `target` (the column that was predicted), `predicted`, `score` where there is one, and `instance` if
inputs are logged. A line of feedback has `time`, `request_id` and `truths`, one an instance and null where unknown.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

REQUEST_ID, NUMBER, TARGET, PREDICTED, INSTANCE, TRUTHS = (
    "request_id",
    "number",
    "target",
    "predicted",
    "instance",
    "truths",
)


def is_prediction_log(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether objects are lines of such a log, by the first of them.

    >>> is_prediction_log([{"request_id": "a", "truths": ["x"]}]), is_prediction_log([{"title": "a"}])
    (True, False)
    """
    return bool(rows) and REQUEST_ID in rows[0] and (TRUTHS in rows[0] or PREDICTED in rows[0])


def labelled_rows(lines: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return a row for each prediction whose truth is known: the fields of its instance, and the truth.

    Args:
        lines: In the order in which they were written; those that are neither a prediction with its instance nor
            feedback are left out.

    Returns:
        The rows in the order of the feedback. Feedback is about the last request of its id before it.
    """
    asked: dict[object, dict[object, tuple[Mapping[str, Any], str]]] = {}
    rows: list[dict[str, Any]] = []
    for line in lines:
        request_id = line.get(REQUEST_ID)
        if TRUTHS in line:
            instances = asked.pop(request_id, {})
            for number, truth in enumerate(line[TRUTHS]):
                if truth is not None and number in instances:
                    instance, target = instances[number]
                    rows.append({**instance, target: truth})
        elif INSTANCE in line:
            if line[NUMBER] == 0:
                asked[request_id] = {}
            of_request = asked.setdefault(request_id, {})
            of_request[line[NUMBER]] = (line[INSTANCE], line[TARGET])
    return rows
