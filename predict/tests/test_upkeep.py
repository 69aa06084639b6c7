"""Which connections are closed, on channels that only say how long they have waited for what."""

import time
from types import SimpleNamespace
from typing import Any

import pytest

from predict.http.connections import limits
from predict.http.connections.upkeep import close_overdue, make_room


class Channel(SimpleNamespace):
    """A quiet connection that has asked before, unless said otherwise; `closed` says what happened to it.

    Names that end in `_since`, `_at` or `_activity` are given as seconds ago.
    """

    def __init__(self, **other: Any) -> None:
        usual = {
            **{"requests": [], "request": None, "total_outbufs_len": 0, "quiet_since": 0},
            **{"has_asked": True, "for_probes": False, "refused": False, "last_activity": 0},
        }
        super().__init__(started_at=0.0, sending_since=0.0, discarding_since=0.0, closed="")
        for name, value in {**usual, **other}.items():
            clock = time.time() if name == "last_activity" else time.monotonic()
            ago = name.endswith(("_since", "_at", "_activity"))
            setattr(self, name, clock - value if ago else value)

    def most_arriving_s(self) -> float:
        return limits.HEADERS_TIMEOUT_S

    def handle_close(self) -> None:
        self.closed = "closed"

    def give_up(self) -> None:
        self.closed = "given up"

    def refuse_arriving(self, status: int, detail: str) -> None:
        self.closed = str(status)


@pytest.mark.parametrize(
    ("waits", "closed"),
    [
        ({}, ""),
        ({"quiet_since": 59}, ""),
        ({"quiet_since": 61}, "closed"),
        ({"request": "arriving", "quiet_since": 9}, ""),
        ({"request": "arriving", "quiet_since": 11}, "408"),
        ({"requests": ["waiting"], "quiet_since": 100}, ""),
        ({"requests": ["at work"], "started_at": 29}, ""),
        ({"requests": ["at work"], "started_at": 31}, "given up"),
        # Its answer has only just been handed to the socket.
        ({"total_outbufs_len": 1, "quiet_since": 100}, ""),
        ({"total_outbufs_len": 1, "sending_since": 119}, ""),
        ({"total_outbufs_len": 1, "sending_since": 121}, "closed"),
        ({"total_outbufs_len": 1, "last_activity": 11}, "closed"),
        ({"discarding_since": 29}, ""),
        ({"discarding_since": 31}, "closed"),
    ],
)
def test_a_connection_is_closed_when_it_has_waited_too_long(
    waits: dict[str, Any], closed: str
) -> None:
    channel: Any = Channel(**waits)
    close_overdue([channel], request_timeout_s=30, crowded=False)
    assert channel.closed == closed


def test_who_does_not_read_is_closed_sooner_when_answers_take_much_memory() -> None:
    channel: Any = Channel(total_outbufs_len=1, last_activity=5)
    close_overdue([channel], request_timeout_s=30, crowded=False)
    assert not channel.closed
    close_overdue([channel], request_timeout_s=30, crowded=True)
    assert channel.closed


def test_the_slowest_make_room_and_nobody_who_is_being_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(limits, "MAKE_ROOM", 3)
    slow: list[Any] = [
        Channel(has_asked=False, quiet_since=2),
        Channel(request="arriving", quiet_since=3),
        Channel(has_asked=False, for_probes=True, quiet_since=0.2),
    ]
    others: list[Any] = [
        Channel(quiet_since=50),
        Channel(request="arriving", quiet_since=0.5),
        Channel(requests=["waiting"], quiet_since=50),
        Channel(total_outbufs_len=1, quiet_since=50),
        Channel(has_asked=False, quiet_since=0.5),
    ]
    make_room([*others, *slow])
    assert [channel.closed for channel in slow] == ["closed"] * 3
    assert not any(channel.closed for channel in others)
    make_room(others)
    assert [channel.closed for channel in others] == ["closed", "", "", "", ""]
