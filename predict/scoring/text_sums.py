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
    """The sums of texts; several threads may ask at once, and none waits for another.

    Attributes:
        table: What each feature adds.
    """

    def __init__(self, features: TextFeatures, table: TextTable) -> None:
        self._features, self.table = features, table
        size_of_part = 2 * table.width * 4
        self._most = max(_FIRST_ROOM, min(_MOST_PARTS, _MOST_BYTES // size_of_part))
        self._lock = Lock()
        self._kept = _Kept(features, table)

    def of(self, texts: Sequence[str]) -> Sums:
        """Return the sums of the parts of texts, <float32>[num_texts, 2, width].

        Args:
            texts: At least one.
        """
        if not self._lock.acquire(blocking=False):
            # A large batch of new texts is at it for longer than a small request may wait.
            return _Kept(self._features, self.table).sums_of(texts)
        try:
            if len(self._kept) > self._most:
                self._kept = _Kept(self._features, self.table)
            return self._kept.sums_of(texts)
        finally:
            self._lock.release()


class _Kept:
    """The parts of the texts so far, and what each adds; for one thread at a time."""

    def __init__(self, features: TextFeatures, table: TextTable) -> None:
        self._table, self._parts = table, Parts(features)
        self._sums = np.zeros((_FIRST_ROOM, 2, table.width), np.float32)
        self._ones = np.ones(2 * features.settings.max_tokens, np.float32)
        self._filled = 1  # part 0 adds nothing

    def __len__(self) -> int:
        return len(self._parts.ids)

    def sums_of(self, texts: Sequence[str]) -> Sums:
        """See `TextSums.of`."""
        numbers = [self._parts.of(text) for text in texts]
        if len(self) > self._filled:
            self._fill()
        if len(numbers) == 1:
            # A product with ones takes half as long as the sum of so few rows.
            count = len(numbers[0])
            parts = self._sums.take(numbers[0], axis=0).reshape(count, -1)
            alone: Sums = self._ones[:count].dot(parts).reshape(1, 2, -1)
            return alone
        starts = [0, *accumulate(map(len, numbers[:-1]))]
        joined = [number for text in numbers for number in text]
        sums: Sums = np.add.reduceat(self._sums.take(joined, axis=0), starts, axis=0)
        return sums

    def _fill(self) -> None:
        needed = len(self)
        if needed > len(self._sums):
            larger = np.zeros((max(needed, 2 * len(self._sums)), 2, self._table.width), np.float32)
            larger[: self._filled] = self._sums[: self._filled]
            self._sums = larger
        self._sums[self._filled : needed] = self._table.sums_of(self._parts.ids[self._filled :])
        self._filled = needed
