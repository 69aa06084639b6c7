"""Texts as the sums that a text model reads. What a part of texts adds is computed once, and kept."""

from collections.abc import Sequence
from itertools import accumulate
from threading import Lock

import numpy as np

from predict.contract.features import Parts, TextFeatures
from predict.contract.text_table import Sums, TextTable

# What is kept, at most, before all is forgotten: a part of an English text takes some 300 bytes beside its sums.
_MOST_PARTS, _MOST_BYTES = 32_768, 16 << 20
_FIRST_ROOM = 1_024


class TextSums:
    """The sums of texts; several threads may ask at once."""

    def __init__(self, features: TextFeatures, table: TextTable) -> None:
        self._features, self._table = features, table
        size_of_part = 2 * table.width * 4
        self._most = max(_FIRST_ROOM, min(_MOST_PARTS, _MOST_BYTES // size_of_part))
        self._lock = Lock()
        self._forget()

    def of(self, texts: Sequence[str]) -> Sums:
        """Return the sums of the parts of texts, <float32>[num_texts, 2, width].

        Args:
            texts: At least one.
        """
        with self._lock:
            if len(self._parts.ids) > self._most:
                self._forget()
            numbers = [self._parts.of(text) for text in texts]
            if len(self._parts.ids) > self._filled:
                self._fill()
            kept = self._kept
        if len(numbers) == 1:
            alone: Sums = kept.take(numbers[0], axis=0).sum(axis=0, keepdims=True)
            return alone
        starts = [0, *accumulate(map(len, numbers[:-1]))]
        joined = [number for text in numbers for number in text]
        sums: Sums = np.add.reduceat(kept.take(joined, axis=0), starts, axis=0)
        return sums

    def _forget(self) -> None:
        self._parts = Parts(self._features)
        # An array that is full is replaced, never changed: another thread may still read it.
        self._kept = np.zeros((_FIRST_ROOM, 2, self._table.width), np.float32)
        self._filled = 1  # part 0 adds nothing

    def _fill(self) -> None:
        needed = len(self._parts.ids)
        if needed > len(self._kept):
            larger = np.zeros((max(needed, 2 * len(self._kept)), 2, self._table.width), np.float32)
            larger[: self._filled] = self._kept[: self._filled]
            self._kept = larger
        new = self._parts.ids[self._filled :]
        self._kept[self._filled : needed] = self._table.sums_of(new)
        self._filled = needed
