"""How busy the server is: the event loop writes it; `/ready` and whoever reports on the server read it."""

import time
from dataclasses import dataclass

# A server that has refused requests for this long is not ready for more of them.
NOT_READY_AFTER_S = 5.0
# Refusals that are further apart than this belong to different times of overload.
_CALM_AFTER_S = 1.0
# The weight of the newest measurement in the mean of recent ones.
_NEWEST = 1 / 16
_MOST_TIMES_MEAN = 4
# An estimate may be wrong by this factor before a request that waits is refused after all.
_GRACE = 1.25
_LONGEST_HICCUP_S = 1.0
# How long requests may wait before any has been measured.
_UNKNOWN_S = 1.0


@dataclass
class Load:
    """What the event loop counts. Any thread may read it.

    Attributes:
        connections: Open connections.
        waiting: Complete requests that wait for their turn.
        in_flight: Requests that are being answered, or whose answer is still being sent.
        answered: Requests that had their turn, since the start.
        waited_s: How long these waited for it, in seconds, all together.
        refused: Requests that were refused for want of capacity, since the start.
        rejected: Requests that never reached the application, because they were malformed, too large or too slow.
        draining: Whether the server is stopping.
    """

    connections: int = 0
    waiting: int = 0
    in_flight: int = 0
    answered: int = 0
    waited_s: float = 0.0
    refused: int = 0
    rejected: int = 0
    draining: bool = False
    _overloaded_since: float = 0.0
    _last_refusal: float = float("-inf")

    def count_refusal(self) -> None:
        """Note that a request was refused just now."""
        now = time.monotonic()
        if now - self._last_refusal > _CALM_AFTER_S:
            self._overloaded_since = now
        self._last_refusal = now
        self.refused += 1

    def overloaded_for_s(self) -> float:
        """Return for how long the server has been refusing requests; 0 if it does not."""
        now = time.monotonic()
        return now - self._overloaded_since if now - self._last_refusal <= _CALM_AFTER_S else 0.0

    def numbers(self) -> dict[str, float]:
        """Return what is counted, by the names that operators see; those of counters end in `_total`."""
        return {
            "connections": self.connections,
            "queue_depth": self.waiting,
            "requests_in_flight": self.in_flight,
            "refused_total": self.refused,
            "rejected_total": self.rejected,
        }

    def why_not_ready(self) -> str | None:
        """Return why no more requests should be sent here, as a sentence, or None."""
        if self.draining:
            return "The server is stopping."
        if (seconds := self.overloaded_for_s()) > NOT_READY_AFTER_S:
            return f"The server has been refusing requests for {seconds:.0f} s: it has more than it can answer."
        return None


class Line:
    """Decides whether one more request may join those that wait for the same workers.

    It estimates how long the request would wait: the requests before it, times the seconds that a recent one took.
    """

    def __init__(
        self, most_wait_s: float, workers: int = 1, patience: float = 0.0, few: int = 0
    ) -> None:
        """Make an empty line.

        Args:
            most_wait_s: How long a request may wait.
            workers: How many requests are answered at the same time.
            patience: A request may also wait for as long as this many answers take, so that slow answers wait for
                each other.
            few: So many requests may always wait. They are not refused only because the machine is busy elsewhere.
        """
        self._most_wait_s, self._workers, self._patience = most_wait_s, workers, patience
        self._few = few
        self._mean_s: float | None = None

    def is_full(self, waiting: int) -> bool:
        """Return whether one more would wait for too long behind `waiting` others."""
        return waiting >= self._few and self._wait_s(waiting) > self._most_s()

    def is_late(self, waited_s: float, waiting: int) -> bool:
        """Return whether a request has waited for too long, because the estimate was wrong.

        After a mere hiccup of the machine there is no long line, and the request may as well be answered.
        """
        most_s = _GRACE * self._most_s()
        if waited_s <= most_s:
            return False
        long_line = waiting >= self._few and self._wait_s(waiting) > most_s / 2
        return long_line or waited_s > _LONGEST_HICCUP_S

    def measure(self, seconds: float) -> None:
        """Note how long one request has just taken its worker."""
        mean_s = seconds if self._mean_s is None else self._mean_s
        # A single answer that was interrupted says little.
        self._mean_s = mean_s + (min(seconds, _MOST_TIMES_MEAN * mean_s) - mean_s) * _NEWEST

    def _wait_s(self, waiting: int) -> float:
        return waiting * (self._mean_s or 0.0) / self._workers

    def _most_s(self) -> float:
        if self._mean_s is None:
            return max(self._most_wait_s, _UNKNOWN_S)
        return max(self._most_wait_s, self._patience * self._mean_s)
