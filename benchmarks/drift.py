"""How seldom a drift is found where there is none, and how soon where there is one: streams drawn by chance.

Use: python -m benchmarks.drift [--streams 1000]
"""

from collections.abc import Mapping, Sequence
from math import log
from statistics import median

import click
import numpy as np
import numpy.typing as npt
from scipy.stats import chi2

from predict.monitoring.drift import (
    EVIDENCE_OF_DRIFT,
    LEAST_ANSWERS,
    PSI_OF_DRIFT,
    log_evidence,
    psi,
)
from predict.monitoring.windows import BUCKETS

_ANSWERS, _LOOK_EVERY = 5_000, 100
_REFERENCE_ROWS = (200, 1_000, 4_000)
_DRIFTS = (0.1, 0.25, 0.5, 1.0)
_P_VALUE = 0.001

Shares = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]


@click.command()
@click.option("--streams", type=click.IntRange(min=10), default=1_000, show_default=True)
def main(streams: int) -> None:
    """Print two tables in Markdown."""
    print(
        "| bins | test rows | drift found | and in the last hour | evidence alone | PSI alone | naive chi-squared |"
    )
    print("|---|---|---|---|---|---|---|")
    for name, shares in _distributions().items():
        for rows in _REFERENCE_ROWS:
            print(f"| {name} | {rows:,} | {_false_alarms(shares, rows, streams)} |", flush=True)
    print("\n| bins | test rows |", *(f"PSI {size} |" for size in _DRIFTS))
    print("|---|---|" + "---|" * len(_DRIFTS))
    for name, shares in _distributions().items():
        for rows in _REFERENCE_ROWS:
            cells = [_delay(shares, rows, size, streams // 10) for size in _DRIFTS]
            print(f"| {name} | {rows:,} | {' | '.join(cells)} |", flush=True)


def _distributions() -> Mapping[str, Shares]:
    frequencies = 1 / np.arange(1, 52) ** 1.2
    return {
        "2, one of 2 %": np.array([0.98, 0.02]),
        "11, equal": np.full(11, 1 / 11),
        "11, one of 98 %": np.array([0.98, *[0.002] * 10]),
        "51, as words are": frequencies / frequencies.sum(),
    }


def _false_alarms(shares: Shares, rows: int, streams: int) -> str:
    """Return in which percentage of streams without drift each rule ever finds one."""
    randomly, alarms = np.random.default_rng(1), np.zeros(5)
    for _ in range(streams):
        reference, live = _drawn(randomly, rows, shares, shares)
        counts, before = reference.tolist(), np.zeros(len(shares), np.int64)
        evidence = np.array([log_evidence(counts, each.tolist()) for each in live])
        sizes = np.array([psi(counts, each.tolist()) for each in live])
        both = _found(evidence, sizes)
        # As if every bucket of the last hour had as many answers as lie between two looks.
        recent = [
            each - (live[place - BUCKETS] if place >= BUCKETS else before)
            for place, each in enumerate(live)
        ]
        hourly = _found(
            np.array([log_evidence(counts, each.tolist()) for each in recent]),
            np.array([psi(counts, each.tolist()) for each in recent]),
        )
        alarms += [
            both.any(),
            (both | hourly).any(),
            (evidence >= log(EVIDENCE_OF_DRIFT)).any(),
            (sizes >= PSI_OF_DRIFT).any(),
            (_p_values(reference, live) < _P_VALUE).any(),
        ]
    return " | ".join(f"{100 * share:.1f} %" for share in alarms / streams)


def _delay(shares: Shares, rows: int, size: float, streams: int) -> str:
    """Return after how many answers half of the streams have found a drift, and how many ever do."""
    drifted = _tilted(shares, size)
    randomly, delays = np.random.default_rng(2), []
    for _ in range(streams):
        reference, live = _drawn(randomly, rows, shares, drifted)
        delay = _first(reference.tolist(), live)
        if delay is not None:
            delays.append(delay)
    share = f"{100 * len(delays) / streams:.0f} %"
    return f"{median(delays):,.0f}, {share}" if delays else share


def _first(reference: Sequence[int], live: Counts) -> int | None:
    for each in live:
        counts: list[int] = each.tolist()
        enough = log_evidence(reference, counts) >= log(EVIDENCE_OF_DRIFT)
        if enough and psi(reference, counts) >= PSI_OF_DRIFT:
            return sum(counts)
    return None


def _found(evidence: Shares, sizes: Shares) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (evidence >= log(EVIDENCE_OF_DRIFT)) & (sizes >= PSI_OF_DRIFT)
    return found


def _drawn(
    randomly: np.random.Generator, rows: int, shares: Shares, drifted: Shares
) -> tuple[Counts, Counts]:
    """Return the counts of test rows, and those of a stream at each look."""
    assert _LOOK_EVERY >= LEAST_ANSWERS
    steps = randomly.multinomial(_LOOK_EVERY, drifted, size=_ANSWERS // _LOOK_EVERY)
    return randomly.multinomial(rows, shares), np.cumsum(steps, axis=0)


def _tilted(shares: Shares, size: float) -> Shares:
    """Return shares whose PSI against the given ones is as large as asked: the later a bin, the more it gains."""
    steps, low, high = np.linspace(-1, 1, len(shares)), 0.0, 50.0
    for _ in range(100):
        middle = (low + high) / 2
        tilted = shares * np.exp(middle * steps)
        tilted /= tilted.sum()
        value = ((tilted - shares) * np.log(tilted / shares)).sum()
        low, high = (middle, high) if value < size else (low, middle)
    return tilted


def _p_values(reference: Counts, live: Counts) -> Shares:
    """Return the p-value of Pearson's test of two samples at each look."""
    sizes, rows = live.sum(axis=1, keepdims=True), reference.sum()
    both = reference + live
    filled = np.where(both > 0, both, 1)
    of_rows, of_live = filled * rows / (rows + sizes), filled * sizes / (rows + sizes)
    distances = ((reference - of_rows) ** 2 / of_rows + (live - of_live) ** 2 / of_live) * (
        both > 0
    )
    degrees = np.maximum(1, (both > 0).sum(axis=1) - 1)
    values: Shares = chi2.sf(distances.sum(axis=1), degrees)
    return values


if __name__ == "__main__":
    main()
