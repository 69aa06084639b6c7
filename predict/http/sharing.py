"""Connections shared out among processes that take them from one socket: who has more leaves the next to the rest."""

import mmap

# What stands for a process that takes none.
_NOBODY = 2**31 - 1
# How long one leaves a connection to the rest, for each that it has more; nobody waits longer for a process that hangs.
_PAUSE_S, _LONGEST_PAUSE_S = 0.002, 0.02


class Shares:
    """How many connections each process has, in memory that all of them see; made before they are forked."""

    def __init__(self, processes: int) -> None:
        """Let none of them take any yet; they are numbered from 1 on."""
        self._counts = memoryview(mmap.mmap(-1, 4 * processes)).cast("i")
        for number in range(1, processes + 1):
            self.note(number, _NOBODY)

    def note(self, number: int, connections: int) -> None:
        """Note how many connections a process has."""
        self._counts[number - 1] = connections

    def leave(self, number: int) -> None:
        """Note that a process takes none any more."""
        self.note(number, _NOBODY)

    def pause_s(self, number: int) -> float:
        """Return how long a process leaves the next connection to those that have fewer; 0 if it is to take it."""
        own = self._counts[number - 1]
        fewest = min(self._counts)
        more = own - fewest - fewest // 4  # of many, a few more make no difference
        return min(_LONGEST_PAUSE_S, more * _PAUSE_S) if more > 0 else 0.0

    def of(self, number: int) -> "Share":
        """Return what one of the processes sees."""
        return Share(self, number)


class Share:
    """The share of one process; see `predict.http.connections.loop.Share`."""

    def __init__(self, shares: Shares, number: int) -> None:
        self._shares, self._number = shares, number

    def note(self, connections: int) -> None:
        """Note how many connections it has."""
        self._shares.note(self._number, connections)

    def pause_s(self) -> float:
        """Return how long it leaves the next connection to those that have fewer; 0 if it is to take it."""
        return self._shares.pause_s(self._number)
