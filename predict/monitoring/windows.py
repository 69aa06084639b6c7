"""Windows of live traffic, in constant memory: all since the model was loaded, and the last hour."""

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import nextafter
from threading import Lock
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import Metadata, Output
from predict.contract.counting import (
    AnswerCounting,
    AnswerRow,
    InputCounting,
    Instance,
    Row,
    count_numbers,
)
from predict.contract.profile import LABEL, SCORE, UNKNOWN_SHARE, Dimension

# The recent window moves on by a bucket at a time.
BUCKETS, BUCKET_S = 12, 300.0
# So many answers are kept as a few numbers each, and then counted at once.
_COUNTED_AT_ONCE = 512
# Of a larger request so many instances are counted, evenly spread; its answers are counted all.
_MOST_INSTANCES = 1_000
# The unknown words of one text in so many are counted, which takes as long as the rest together.
_TEXTS_A_SHARE, _MOST_SHARES = 32, 100
# The histogram of scores has the same buckets for every model.
SCORE_EDGES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
# A score at an edge is below it, as Prometheus has it.
_SCORE_BINS = [nextafter(edge, 1) for edge in SCORE_EDGES]
_MOST_LABELS = 200

Clock = Callable[[], float]
UnknownShares = Callable[[Sequence[Instance]], Sequence[float] | None]
Vector = npt.NDArray[Any]
Element = TypeVar("Element")


class TimedSums:
    """A vector of sums: of everything, and of the recent past. Not for several threads at once."""

    def __init__(self, size: int, clock: Clock, dtype: type = np.int64) -> None:
        """Start with zeros.

        Args:
            size: How many numbers there are.
            clock: Seconds that never go back.
            dtype: Of the numbers.
        """
        self._clock = clock
        self._total: Vector = np.zeros(size, dtype)
        self._buckets: dict[int, Vector] = {}

    def add(self, values: Vector, bucket: int | None = None) -> None:
        """Add a vector, now or in the bucket that `bucket_now` returned a while ago."""
        bucket = self.bucket_now() if bucket is None else bucket
        if bucket not in self._buckets:
            self._forget()
            self._buckets[bucket] = np.zeros_like(self._total)
        self._buckets[bucket] += values
        self._total += values

    def bucket_now(self) -> int:
        """Return the number of the current bucket."""
        return int(self._clock() // BUCKET_S)

    def sums(self) -> tuple[Vector, Vector]:
        """Return all of it, and the recent part: the current bucket, of which a part has passed, and those before."""
        self._forget()
        recent: Vector = sum(self._buckets.values(), np.zeros_like(self._total))
        return self._total.copy(), recent

    def _forget(self) -> None:
        oldest = self.bucket_now() - BUCKETS + 1
        self._buckets = {number: sums for number, sums in self._buckets.items() if number >= oldest}


class Windows:
    """Counts what one loaded model reads and answers; for any number of threads."""

    def __init__(
        self,
        metadata: Metadata,
        unknown_shares: UnknownShares | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        """Count by the profile of an artefact; an older one without a profile has labels and scores counted.

        Args:
            metadata: Of the artefact.
            unknown_shares: Instances -> the share of unknown words of each; None: they are not counted.
            clock: Seconds that never go back.
        """
        output = metadata.outputs[0]
        dimensions = [] if metadata.profile is None else metadata.profile.dimensions
        self._by_input = InputCounting(dimensions, metadata.inputs)
        shown = _always_counted(output, dimensions)
        self._by_answer = AnswerCounting([*dimensions, *shown], output)
        [*self._of_shares] = [
            one for one in dimensions if one.name == UNKNOWN_SHARE and one.of == "texts"
        ]
        self._unknown_shares = unknown_shares if self._of_shares else None
        self._countings = [
            *self._by_input.dimensions,
            *self._by_answer.dimensions,
            *self._of_shares,
        ]
        self._kind = output.kind
        self._labels = output.labels[:_MOST_LABELS] if output.kind == "labels" else []
        self._places = {label: place for place, label in enumerate(self._labels)}
        ends = np.cumsum([0, *(one.num_bins for one in self._countings), len(self._labels) + 1])
        self._ends: list[int] = ends.tolist()
        self._clock, self._lock = clock, Lock()
        self._sums = TimedSums(self._ends[-1], clock)
        self._bucket, self._bucket_end = 0, -np.inf
        # What is still to be counted. Threads add to it without the lock; few objects are kept, for the sake of the
        # garbage collector.
        self._inputs: deque[Row] = deque()
        self._answers: deque[AnswerRow] = deque()
        self._shares: deque[float] = deque()
        self._given: deque[int] = deque()
        self._texts = 0

    def observe(
        self, instances: Sequence[Instance], predictions: Sequence[Mapping[str, Any]]
    ) -> None:
        """Count one answered request. It keeps a few numbers of each instance, and nothing of its texts.

        Args:
            instances: As they were scored.
            predictions: As they were answered.
        """
        read, read_answer = self._by_input.row, self._by_answer.row
        if self._clock() >= self._bucket_end:
            self._begin_bucket()
        if len(instances) == 1:  # as most requests
            self._inputs.append(read(instances[0]))
            self._answers.append(read_answer(predictions[0]))
        else:
            step = max(1, -(-len(instances) // _MOST_INSTANCES))
            self._inputs.extend([read(instance) for instance in instances[::step]])
            self._answers.extend([read_answer(prediction) for prediction in predictions])
        if self._labels:
            self._given.extend(self._places_of(predictions))
        if self._unknown_shares is not None:
            self._texts += len(instances)
            if self._texts >= _TEXTS_A_SHARE:
                self._texts = 0
                some = instances[::_TEXTS_A_SHARE][:_MOST_SHARES]
                self._shares.extend(self._unknown_shares(some) or ())
        if len(self._answers) >= _COUNTED_AT_ONCE:
            with self._lock:
                self._count()

    def snapshot(self) -> dict[str, Any]:
        """Return all counts as JSON; `snapshots.merged` adds up those of several processes with the same artefact.

        Returns:
            `dimensions` has, by "<of>:<name>", the counts of each bin `recent` and `since_loaded`; `labels` how often
            each label was answered since the model was loaded, and `score` the counts between `SCORE_EDGES`.
        """
        with self._lock:
            self._count()
            total, recent = (each.tolist() for each in self._sums.sums())
        counts = [
            {"recent": recent[start:end], "since_loaded": total[start:end]}
            for start, end in zip(self._ends, self._ends[1:], strict=False)
        ]
        dimensions: dict[str, Any] = {}
        score: list[int] = []
        for one, counted in zip(self._countings, counts, strict=False):
            if one.name == SCORE and one.edges == _SCORE_BINS:
                score = counted["since_loaded"]
            else:
                dimensions[f"{one.of}:{one.name}"] = counted
        return {
            "dimensions": dimensions,
            "labels": self._of_labels(dimensions, counts[-1]),
            "score": score,
        }

    def _of_labels(
        self, dimensions: Mapping[str, Any], given: Mapping[str, list[int]]
    ) -> dict[str, int]:
        if self._kind == "number":
            return {}
        if self._kind == "labels":
            names, counts = self._labels, given["since_loaded"]
        else:
            [of_label] = [one for one in self._by_answer.dimensions if one.name == LABEL]
            names, counts = of_label.values or [], dimensions[f"answer:{LABEL}"]["since_loaded"]
        rest = {OTHER_LABELS: counts[-1]} if counts[-1] else {}
        return dict(zip(names, counts, strict=False)) | rest

    def _places_of(self, predictions: Sequence[Mapping[str, Any]]) -> list[int]:
        """Return the places of all labels of sets."""
        place_of, other = self._places.get, len(self._labels)
        return [
            place_of(given["label"], other)
            for prediction in predictions
            for given in prediction["labels"]
        ]

    def _begin_bucket(self) -> None:
        with self._lock:
            self._count()
            self._bucket = self._sums.bucket_now()
            self._bucket_end = (self._bucket + 1) * BUCKET_S

    def _count(self) -> None:
        """Count what was noted; whoever calls it holds the lock."""
        if not self._answers:
            return
        counted = [
            *self._by_input.count(_taken(self._inputs)),
            *self._by_answer.count(_taken(self._answers)),
        ]
        shares = _taken(self._shares)
        counted += [count_numbers(one, shares) for one in self._of_shares]
        given = np.array(_taken(self._given), np.int64)
        counted.append(np.bincount(given, minlength=len(self._labels) + 1))
        self._sums.add(np.concatenate(counted), self._bucket)


def _taken(noted: deque[Element]) -> list[Element]:
    """Take out what is there now; other threads may go on adding."""
    return [noted.popleft() for _ in range(len(noted))]


# All labels without a count of their own; no label of a model, for these have no blanks around them.
OTHER_LABELS = " other "


def _always_counted(output: Output, dimensions: Sequence[Dimension]) -> list[Dimension]:
    """Return what is counted of every model: labels and scores for `/metrics`."""
    if output.kind == "number":
        return []
    shown = [
        Dimension(of="answer", name=SCORE, edges=_SCORE_BINS, counts=[0] * (len(_SCORE_BINS) + 1))
    ]
    if not any(one.of == "answer" and one.name == LABEL for one in dimensions):
        labels = output.labels[:_MOST_LABELS]
        is_set = output.kind == "labels"
        counts = [0] * (len(labels) + 1 + is_set)
        shown.append(
            Dimension(of="answer", name=LABEL, values=labels, missing=is_set, counts=counts)
        )
    return shown
