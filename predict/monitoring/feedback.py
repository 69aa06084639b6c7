"""True labels for answers given earlier: which answer a request id stands for, and how many of them were right."""

import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import isfinite, sqrt
from operator import itemgetter
from threading import Lock
from typing import Any

import numpy as np

from predict.contract.artefact import Kind, Output
from predict.monitoring.windows import Clock, TimedSums
from predict.settings import Settings
from predict.wording import counted, listed, shorten, suggestion

# Answers that wait for their truth: of so many bytes, for so long, and of so many requests.
MOST_BYTES, EXPIRES_S = 16 << 20, 86_400.0
MOST_REQUESTS: int = Settings.model_fields["feedback_requests"].default
# A longer request id is not remembered.
LONGEST_ID = 200
_PROBLEMS_SHOWN = 10
# What a report has, as far as its kind of answer has it.
METRICS = ("accuracy", "micro_f1", "exact_match", "mean_absolute_error")
# Of a standard normal distribution, for a confidence of 95 %.
_Z = 1.959964
# What an entry needs beside its id and its answers.
_BYTES_OF_ENTRY = 320
_SORTED_AT_ONCE = 256
_POINTER = 8
# A larger error counts as this one, so that the sum of many squares is finite.
_LARGEST_ERROR = 1e140

# One label, one number, or the labels of a set.
_Answer = str | float | tuple[str, ...]


class UnknownRequestError(Exception):
    """No answer is remembered for a request id."""


class FeedbackGivenError(Exception):
    """The truth was given before for a request id."""


class FeedbackError(Exception):
    """Truths that do not fit the answers.

    Attributes:
        problems: (place, message) pairs, such as `("truths.3", "expected a label")`.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{place}: {message}" for place, message in problems))
        self.problems = list(problems)


# When it was answered, and the answers; None for these once their truth was given.
_Remembered = tuple[float, Sequence[_Answer] | None]


class Feedback:
    """The recent answers of one loaded model, and how many were right; for any number of threads."""

    def __init__(
        self,
        output: Output,
        clock: Clock = time.monotonic,
        most_requests: int = MOST_REQUESTS,
        most_bytes: int = MOST_BYTES,
        expires_s: float = EXPIRES_S,
    ) -> None:
        """Remember nothing yet.

        Args:
            output: What the model answers.
            clock: Seconds that never go back.
            most_requests: At most so many requests are remembered, and always the newest half of them; 0: none is.
            most_bytes: So many bytes are used, at most, as far as these are counted.
            expires_s: After how long an answer is forgotten.
        """
        self._kind, self._labels = output.kind, frozenset(output.labels)
        self._label_names = output.labels
        self._answer_of = _ANSWERS[output.kind]
        self._clock, self._lock = clock, Lock()
        self._most, self._most_bytes, self._expires_s = (
            most_requests // 2,
            most_bytes // 2,
            expires_s,
        )
        # When the new ones are too many, they become the old ones, and the old ones are forgotten: a single step, so
        # that a request costs little.
        self._new: dict[str, _Remembered] = {}
        self._old: dict[str, _Remembered] = {}
        self._bytes = 0
        # What is in neither yet. Threads add to it without the lock.
        self._noted: deque[tuple[str, float, tuple[_Answer, ...]]] = deque()
        self._sums = TimedSums(1 + len(_SUMS[self._kind]), clock, np.float64)
        self._num_answers = 0

    def remember(self, request_id: str, predictions: Sequence[Mapping[str, Any]]) -> None:
        """Remember the answers to a request; a later request of the same id takes the place of the earlier one.

        Args:
            request_id: As the client knows it.
            predictions: The answers; what is not needed of them is not kept.
        """
        if not self._most:
            return
        answers: tuple[_Answer, ...]
        if len(predictions) == 1:  # as most requests
            answers = (self._answer_of(predictions[0]),)
        else:
            answers = tuple(map(self._answer_of, predictions))
        self._noted.append((request_id, self._clock(), answers))
        if len(self._noted) >= _SORTED_AT_ONCE or len(answers) > _SORTED_AT_ONCE:
            with self._lock:
                self._sort_in()

    def answered_at(self, request_id: str) -> float | None:
        """Return when a request was answered, by the clock; None if no answer is remembered for its id."""
        with self._lock:
            self._sort_in()
            found = self._new.get(request_id) or self._old.get(request_id)
            if found is None or self._clock() - found[0] > self._expires_s:
                return None
            return found[0]

    def give(self, request_id: str, truths: Sequence[object]) -> int:
        """Take the truth of the answers to a request, and return how many were known.

        Args:
            request_id: Of the request.
            truths: One an answer, in order: a label, a number, or a list of labels; None where it is not known.

        Raises:
            UnknownRequestError: No answer is remembered for the id.
            FeedbackGivenError: The truth was given before.
            FeedbackError: The truths do not fit the answers; nothing is counted then.
        """
        with self._lock:
            self._sort_in()
            found = self._new.get(request_id) or self._old.get(request_id)
            if found is None or self._clock() - found[0] > self._expires_s:
                raise UnknownRequestError(self._why_unknown(request_id))
            answered_at, answers = found
            if answers is None:
                message = f"the truth of request {shorten(request_id)!r} was given before"
                raise FeedbackGivenError(f"{message}; it counts once")
            if problems := self._problems_of(truths, len(answers)):
                raise FeedbackError(problems[:_PROBLEMS_SHOWN])
            known = [
                (answer, truth)
                for answer, truth in zip(answers, truths, strict=True)
                if truth is not None
            ]
            for answer, truth in known:
                self._sums.add(np.array([1.0, *_MEASURES[self._kind](answer, truth)]))
            # It stays known that it was given.
            home = self._new if request_id in self._new else self._old
            home[request_id] = (answered_at, None)
        return len(known)

    def snapshot(self) -> dict[str, Any]:
        """Return sums as JSON; `snapshots.merged` adds up those of several processes with the same artefact."""
        with self._lock:
            self._sort_in()
            total, recent = self._sums.sums()
            return {
                "kind": self._kind,
                "answers": self._num_answers,
                "remembered": len(self._new) + len(self._old),
                "recent": recent.tolist(),
                "since_loaded": total.tolist(),
            }

    def _sort_in(self) -> None:
        """Make what was noted findable; whoever calls it holds the lock."""
        for _ in range(len(self._noted)):
            request_id, answered_at, answers = self._noted.popleft()
            self._num_answers += len(answers)
            size = _BYTES_OF_ENTRY + len(request_id) + _POINTER * len(answers)
            if self._kind != "label":  # labels are the model's own strings
                size += sum(map(sys.getsizeof, answers))
            if len(request_id) > LONGEST_ID or size > self._most_bytes:
                continue
            if self._bytes + size > self._most_bytes or len(self._new) >= self._most:
                self._old, self._new, self._bytes = self._new, {}, 0
            self._new[request_id] = (answered_at, answers)
            self._bytes += size

    def _problems_of(self, truths: Sequence[object], expected: int) -> list[tuple[str, str]]:
        if len(truths) != expected:
            asked = counted(expected, "truth")
            return [("truths", f"expected {asked}, one an answer, got {len(truths)}")]
        if all(truth is None for truth in truths):
            return [("truths", "expected at least one that is not null")]
        return [
            (f"truths.{index}", why)
            for index, truth in enumerate(truths)
            if truth is not None and (why := self._problem_of(truth)) is not None
        ]

    def _problem_of(self, truth: object) -> str | None:
        if self._kind == "number":
            is_number = isinstance(truth, int | float) and not isinstance(truth, bool)
            return None if is_number and _is_finite(truth) else "expected a finite number"
        if self._kind == "label":
            return self._problem_of_label(truth)
        if not isinstance(truth, list):
            return "expected a list of labels"
        if len({str(label) for label in truth}) != len(truth):
            return "expected each label once"
        return next(filter(None, map(self._problem_of_label, truth)), None)

    def _problem_of_label(self, label: object) -> str | None:
        if not isinstance(label, str):
            return f"expected a label, one of {listed(self._label_names)}"
        if label in self._labels:
            return None
        return f"no label {shorten(label)!r}.{suggestion(label, self._label_names)}"

    def _why_unknown(self, request_id: str) -> str:
        hours = f"{self._expires_s / 3600:g} hours"
        return (
            f"no answer to a request {shorten(request_id)!r} is remembered: expected the X-Request-ID of an answer of "
            f"the last {hours}, one of the last {self._most:,}, by the model that is loaded now"
        )


def report(snapshot: Mapping[str, Any]) -> dict[str, Any]:
    """Return how good the answers were whose truth is known, as JSON has it.

    Args:
        snapshot: What `Feedback.snapshot` returns, or several of them added up.

    Returns:
        `answers` and `share_with_feedback` since the model was loaded; and for the windows `recent` and `since_loaded`
        the number of `answers` with a truth, and the metrics, each with the ends of its 95 % interval: `accuracy` for
        a label; `micro_f1` and `exact_match` for sets of labels; `mean_absolute_error` for a number. They are None
        without a truth.
    """
    measure = _REPORTS[snapshot["kind"]]
    answers, known = snapshot["answers"], int(snapshot["since_loaded"][0])
    return {
        "answers": answers,
        "share_with_feedback": round(known / answers, 6) if answers else None,
        **{
            name: {"answers": int(snapshot[name][0]), **measure(*snapshot[name])}
            for name in ("recent", "since_loaded")
        },
    }


def wilson(right: float, total: float) -> list[float] | None:
    """Return the ends of the 95 % interval of a share: Wilson, JASA 22 (1927). None if there are no cases.

    >>> [round(end, 4) for end in wilson(9, 10)]
    [0.5958, 0.9821]
    """
    if not total:
        return None
    share, square = right / total, _Z**2
    middle = share + square / (2 * total)
    half = _Z * sqrt(share * (1 - share) / total + square / (4 * total**2))
    scale = 1 + square / total
    return [max(0.0, (middle - half) / scale), min(1.0, (middle + half) / scale)]


def student(degrees: float) -> float:
    """Return the 97.5 % quantile of Student's t, to 1 % from 3 degrees of freedom on (Abramowitz and Stegun 26.7.5).

    >>> round(student(10), 2), round(student(1000), 2)
    (2.23, 1.96)
    """
    z = _Z
    first = (z**3 + z) / 4
    second = (5 * z**5 + 16 * z**3 + 3 * z) / 96
    third = (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384
    return z + first / degrees + second / degrees**2 + third / degrees**3


# ------------------------------------------------------------ kinds of answers


def _set_answered(prediction: Mapping[str, Any]) -> _Answer:
    return tuple([given["label"] for given in prediction["labels"]])


def _is_finite(number: object) -> bool:
    try:
        return isfinite(float(number))  # type: ignore[arg-type]
    except OverflowError:  # a whole number beyond all doubles
        return False


def _measure_label(answer: Any, truth: Any) -> list[float]:
    return [float(answer == truth)]


def _measure_number(answer: Any, truth: Any) -> list[float]:
    error = min(abs(float(truth) - answer), _LARGEST_ERROR)
    return [error, error * error]


def _measure_set(answer: Any, truth: Any) -> list[float]:
    hits = 2.0 * len(set(answer) & set(truth))
    named = float(len(answer) + len(truth))
    return [float(set(answer) == set(truth)), hits, named, hits * hits, hits * named, named * named]


def _report_label(known: float, right: float) -> dict[str, Any]:
    return {"accuracy": _share(right, known), "accuracy_interval": _rounded(wilson(right, known))}


def _report_number(known: float, errors: float, squares: float) -> dict[str, Any]:
    if not known:
        return {"mean_absolute_error": None, "mean_absolute_error_interval": None}
    mean, interval = errors / known, None
    if known >= 2:
        spread = sqrt(max(0.0, squares / known - mean**2) / (known - 1))
        half = student(known - 1) * spread
        interval = [max(0.0, mean - half), mean + half]
    return {"mean_absolute_error": mean, "mean_absolute_error_interval": interval}


def _report_set(
    known: float, exact: float, hits: float, named: float, hits2: float, both: float, named2: float
) -> dict[str, Any]:
    score, interval = None, None
    if named:
        score = hits / named
        # The variance of a quotient of sums, row by row (delta method).
        variance = max(0.0, hits2 - 2 * score * both + score**2 * named2)
        if variance > 1e-9:
            half = student(known - 1) * sqrt(variance) / named
            interval = [max(0.0, score - half), min(1.0, score + half)]
        else:  # all are alike, all right perhaps, which says nothing of their spread
            interval = wilson(score * known, known)
    return {
        "micro_f1": None if score is None else round(score, 6),
        "micro_f1_interval": _rounded(interval),
        "exact_match": _share(exact, known),
        "exact_match_interval": _rounded(wilson(exact, known)),
    }


def _share(part: float, whole: float) -> float | None:
    return round(part / whole, 6) if whole else None


def _rounded(ends: list[float] | None) -> list[float] | None:
    return None if ends is None else [round(end, 6) for end in ends]


_ANSWERS: dict[Kind, Callable[[Mapping[str, Any]], _Answer]] = {
    "label": itemgetter("label"),
    "number": itemgetter("value"),
    "labels": _set_answered,
}
_MEASURES: dict[Kind, Callable[[Any, Any], list[float]]] = {
    "label": _measure_label,
    "number": _measure_number,
    "labels": _measure_set,
}
_REPORTS: dict[Kind, Callable[..., dict[str, Any]]] = {
    "label": _report_label,
    "number": _report_number,
    "labels": _report_set,
}
# What is added up of each answer beside 1.
_SUMS = {
    "label": ("right",),
    "number": ("error", "error²"),
    "labels": ("exact", "hits", "named", "hits²", "hits · named", "named²"),
}
