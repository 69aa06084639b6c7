"""What is counted, and who has to wait."""

import pytest

from predict.http import load
from predict.http.load import Line, Load


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    now = [100.0]
    monkeypatch.setattr(load.time, "monotonic", lambda: now[0])
    return now


def test_a_line_is_full_when_one_more_would_wait_too_long() -> None:
    line = Line(most_wait_s=0.05)
    for _ in range(3):
        line.measure(0.001)
    assert not line.is_full(49)
    assert line.is_full(51)


def test_two_workers_halve_the_wait() -> None:
    line = Line(most_wait_s=0.05, workers=2)
    line.measure(0.001)
    assert not line.is_full(99)
    assert line.is_full(101)


def test_the_estimate_follows_what_answers_take() -> None:
    line = Line(most_wait_s=0.05)
    line.measure(0.0001)
    assert not line.is_full(60)
    for _ in range(60):
        line.measure(0.001)
    assert line.is_full(60)


def test_one_interrupted_answer_fills_no_line() -> None:
    line = Line(most_wait_s=0.05)
    line.measure(0.0005)
    line.measure(2.0)
    assert not line.is_full(60)


def test_a_few_may_wait_however_busy_the_machine_is() -> None:
    line = Line(most_wait_s=0.05, few=32)
    line.measure(0.01)
    assert not line.is_full(31)
    assert line.is_full(32)
    assert not line.is_late(0.5, 31)
    assert line.is_late(0.5, 32)
    assert line.is_late(1.1, 0)


def test_slow_answers_may_wait_for_some_others() -> None:
    line = Line(most_wait_s=0.05, workers=1, patience=8)
    line.measure(2.0)
    assert not line.is_full(8)
    assert line.is_full(9)
    assert not line.is_late(16.0, 8)


def test_nobody_is_refused_before_anything_is_known() -> None:
    assert not Line(most_wait_s=0.05).is_full(500)


def test_a_request_is_late_in_a_long_line_and_not_after_a_hiccup() -> None:
    line = Line(most_wait_s=0.05)
    line.measure(0.001)
    assert not line.is_late(0.06, 60)
    assert line.is_late(0.07, 60)
    assert not line.is_late(0.07, 10)
    assert line.is_late(1.1, 0)


def test_a_server_that_refuses_for_long_is_not_ready_until_it_stops_refusing(
    clock: list[float],
) -> None:
    counted = Load()
    assert (counted.overloaded_for_s(), counted.why_not_ready()) == (0, None)
    for _ in range(12):
        counted.count_refusal()
        clock[0] += 0.5
    assert counted.overloaded_for_s() == 6
    assert "refusing requests for 6 s" in str(counted.why_not_ready())
    clock[0] += 1
    assert (counted.overloaded_for_s(), counted.why_not_ready()) == (0, None)
    counted.count_refusal()
    assert (counted.overloaded_for_s(), counted.why_not_ready()) == (0, None)
    assert counted.refused == 13


def test_a_stopping_server_is_not_ready() -> None:
    assert Load(draining=True).why_not_ready() == "The server is stopping."
