"""Drift: whether live traffic is distributed as the test rows were, dimension by dimension.

Two numbers say so together. The population stability index (PSI) is the size of a difference, as in credit scoring:
Siddiqi, Credit Risk Scorecards (2006). The evidence is a Bayes factor, which bounds how often chance alone would look
like that, however often somebody looks: Grünwald, de Heide and Koolen, Safe Testing (JRSS B 2024).
docs/how-to/monitoring.md has what both were measured to do.
"""

from collections.abc import Mapping, Sequence
from math import exp, lgamma, log
from typing import Any

from predict.contract.counting import names_of_bins
from predict.contract.profile import Dimension, Profile

# A difference counts from this PSI on; below 0.1 it is commonly called small.
PSI_OF_DRIFT = 0.2
# Chance alone brings this much evidence, ever, in at most one stream of a thousand.
EVIDENCE_OF_DRIFT = 1_000
# Fewer answers get no verdict.
LEAST_ANSWERS = 100
# The prior of a share (Jeffreys), also added to every count of a PSI.
_PRIOR = 0.5
# The alternatives: live rows are new, or like the test rows so far as that these count for so many rows.
_ROWS_OF_ALTERNATIVES = (0, 10, 100)
_BINS_SHOWN = 3
_MOST_EVIDENCE = 1e300
DRIFT, NO_DRIFT, TOO_FEW, NO_REFERENCE = "drift", "no drift", "too few answers", "no reference"
_WORST_FIRST = (DRIFT, NO_DRIFT, TOO_FEW, NO_REFERENCE)

Counts = Sequence[int]


def psi(reference: Counts, live: Counts) -> float:
    """Return the population stability index of two rows of counts of the same bins; 0 if either is empty.

    >>> round(psi([50, 50], [80, 20]), 2)
    0.41
    """
    pairs = _filled(reference, live)
    sums = sum(before for before, _ in pairs), sum(after for _, after in pairs)
    if not all(sums):
        return 0.0
    prior = _PRIOR * len(pairs)
    shares = [
        ((before + _PRIOR) / (sums[0] + prior), (after + _PRIOR) / (sums[1] + prior))
        for before, after in pairs
    ]
    return sum((after - before) * log(after / before) for before, after in shares)


def expected_psi(reference: Counts, live: Counts) -> float:
    """Return about what the PSI is without any drift: the fewer the rows and the more the bins, the more.

    Yurdakul and Naranjo, Statistical properties of the population stability index (2020).
    """
    num_bins = len(_filled(reference, live))
    return (num_bins - 1) * (1 / max(1, sum(reference)) + 1 / max(1, sum(live)))


def log_evidence(reference: Counts, live: Counts) -> float:
    """Return the natural logarithm of how much better "the live rows drifted" predicts their counts.

    Both sides predict one row after another. "No drift" starts from the counts of the test rows, so that few test rows
    say little; "drift" is the mean of three that start from less of them. Averaged over the shares that the prior
    allows, the chance that the quotient ever reaches x without a drift is at most 1 / x (Ville's inequality).
    """
    total, size = sum(reference), sum(live)
    no_drift = [count + _PRIOR for count in reference]
    alternatives = []
    for rows in _ROWS_OF_ALTERNATIVES:
        part = min(1.0, rows / total) if total else 0.0
        alternatives.append([part * count + _PRIOR for count in reference])
    gains = [_log_marginal(one, live, size) for one in alternatives]
    best = max(gains)
    mean = best + log(sum(exp(gain - best) for gain in gains) / len(gains))
    return mean - _log_marginal(no_drift, live, size)


def report(profile: Profile | None, counted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what there is to say about drift, as JSON has it.

    Args:
        profile: Of the artefact; None for an older one.
        counted: What `Windows.snapshot` returns, or several of them added up by `snapshots.merged`.

    Returns:
        `verdict` is the worst of all dimensions, `reference_rows` how many test rows there were. `dimensions` has one
        entry each, the worst first, with its `verdict` and, `recent` and `since_loaded`: the `answers` that it rests
        on, `psi` beside `expected_psi`, `evidence`, `verdict`, and in `moved` the bins that differ most.
    """
    if profile is None:
        return {"verdict": NO_REFERENCE, "reference_rows": 0, "dimensions": []}
    dimensions = [
        _of_dimension(dimension, counted["dimensions"][f"{dimension.of}:{dimension.name}"])
        for dimension in profile.dimensions
    ]
    dimensions.sort(key=_badness, reverse=True)
    verdicts = [dimension["verdict"] for dimension in dimensions]
    return {
        "verdict": next((each for each in _WORST_FIRST if each in verdicts), NO_REFERENCE),
        "reference_rows": profile.rows,
        "dimensions": dimensions,
    }


def _of_dimension(dimension: Dimension, counted: Mapping[str, Any]) -> dict[str, Any]:
    windows = {name: _of_window(dimension, counted[name]) for name in ("recent", "since_loaded")}
    verdicts = [window["verdict"] for window in windows.values()]
    verdict = next(each for each in _WORST_FIRST if each in verdicts)
    return {"of": dimension.of, "name": dimension.name, "verdict": verdict, **windows}


def _of_window(dimension: Dimension, live: Counts) -> dict[str, Any]:
    reference, answers = dimension.counts, sum(live)
    size = psi(reference, live)
    evidence = exp(min(log_evidence(reference, live), log(_MOST_EVIDENCE)))
    if not sum(reference):
        verdict = NO_REFERENCE
    elif answers < LEAST_ANSWERS:
        verdict = TOO_FEW
    else:
        drifts = size >= PSI_OF_DRIFT and evidence >= EVIDENCE_OF_DRIFT
        verdict = DRIFT if drifts else NO_DRIFT
    return {
        "answers": answers,
        "psi": round(size, 4),
        "expected_psi": round(expected_psi(reference, live), 4),
        "evidence": float(f"{evidence:.3g}"),
        "verdict": verdict,
        "moved": _moved(dimension, live) if answers else [],
    }


def _moved(dimension: Dimension, live: Counts) -> list[dict[str, Any]]:
    """Return the bins whose shares differ most, with these."""
    rows, answers = max(1, sum(dimension.counts)), sum(live)
    names = names_of_bins(dimension)
    shares = [
        (name, before / rows, after / answers)
        for name, before, after in zip(names, dimension.counts, live, strict=True)
    ]
    shares.sort(key=lambda each: -abs(each[2] - each[1]))
    return [
        {"bin": name, "reference": round(before, 4), "live": round(after, 4)}
        for name, before, after in shares[:_BINS_SHOWN]
    ]


def _badness(dimension: Mapping[str, Any]) -> tuple[int, float]:
    windows = (dimension["recent"], dimension["since_loaded"])
    return (
        -_WORST_FIRST.index(dimension["verdict"]),
        max(window["psi"] - window["expected_psi"] for window in windows),
    )


def _filled(reference: Counts, live: Counts) -> list[tuple[int, int]]:
    return [pair for pair in zip(reference, live, strict=True) if any(pair)]


def _log_marginal(prior: Sequence[float], counts: Counts, size: int) -> float:
    """Return the logarithm of the probability of a sequence of rows with these counts (Dirichlet and multinomial)."""
    total = sum(prior)
    value = lgamma(total) - lgamma(total + size)
    for before, count in zip(prior, counts, strict=True):
        if count:
            value += lgamma(before + count) - lgamma(before)
    return value
