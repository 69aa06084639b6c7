"""Claims about drift: what is found, and how seldom it is found where there is none."""

import json
from math import exp, log

import numpy as np
import pytest

from predict.contract.profile import Dimension, Profile
from predict.monitoring.drift import (
    EVIDENCE_OF_DRIFT,
    LEAST_ANSWERS,
    PSI_OF_DRIFT,
    expected_psi,
    log_evidence,
    psi,
    report,
)


def test_the_psi_is_what_is_done_by_hand() -> None:
    # Shares of 30.5 / 51, 20.5 / 51 against 10.5 / 51, 40.5 / 51.
    by_hand = (10.5 - 30.5) / 51 * log(10.5 / 30.5) + (40.5 - 20.5) / 51 * log(40.5 / 20.5)
    assert psi([30, 20], [10, 40]) == pytest.approx(by_hand)
    assert psi([30, 20], [300, 200]) == pytest.approx(0, abs=1e-4)
    assert psi([30, 20, 0], [10, 40, 0]) == psi([30, 20], [10, 40])
    assert psi([0, 0], [1, 2]) == psi([1, 2], [0, 0]) == 0


@pytest.mark.parametrize(("rows", "answers"), [(200, 200), (1_000, 300)])
def test_the_psi_without_drift_is_as_expected_on_average(rows: int, answers: int) -> None:
    randomly, shares = np.random.default_rng(0), np.full(10, 0.1)
    pairs = [
        (
            randomly.multinomial(rows, shares).tolist(),
            randomly.multinomial(answers, shares).tolist(),
        )
        for _ in range(300)
    ]
    mean = np.mean([psi(*pair) for pair in pairs])
    assert mean == pytest.approx(expected_psi(*pairs[0]), rel=0.1)


def test_the_evidence_of_one_answer_is_the_quotient_of_what_two_sides_predict() -> None:
    # No drift: (9 + .5) / (10 + 1) for the first bin. Drift: the mean of .5, that of all 10 rows, twice.
    no_drift, drifted = 9.5 / 11, np.mean([0.5, 9.5 / 11, 9.5 / 11])
    assert exp(log_evidence([9, 1], [1, 0])) == pytest.approx(drifted / no_drift)
    assert log_evidence([9, 1], [0, 0]) == pytest.approx(0)
    # Of 200 rows, 10 and 100 count for the second and the third.
    drifted = np.mean([0.5, 9.5 / 11, 90.5 / 101])
    assert exp(log_evidence([180, 20], [1, 0])) == pytest.approx(drifted / (180.5 / 201))


def test_the_evidence_averages_to_one_where_nothing_drifts() -> None:
    # As of any e-value: over the shares of the prior, and all that can be answered.
    randomly, values = np.random.default_rng(0), []
    for _ in range(4_000):
        shares = randomly.dirichlet([0.5] * 3)
        reference = randomly.multinomial(30, shares).tolist()
        values.append(exp(log_evidence(reference, randomly.multinomial(20, shares).tolist())))
    assert np.mean(values) == pytest.approx(1, abs=0.15)


def first_verdict(reference: list[int], shares: list[float], answers: int) -> int | None:
    """Return after how many answers a drift is found, looked for after every 100 of them."""
    randomly, live = np.random.default_rng(len(shares)), np.zeros(len(shares), int)
    for so_far in range(100, answers + 1, 100):
        live += randomly.multinomial(100, shares)
        if verdict_of(reference, live.tolist()) == "drift":
            return so_far
    return None


def verdict_of(reference: list[int], live: list[int]) -> str:
    values = [f"v{place}" for place in range(len(reference) - 1)]
    dimension = Dimension(of="input", name="port", values=values, counts=reference)
    profile = Profile(rows=sum(reference), dimensions=[dimension])
    windows = {"recent": live, "since_loaded": live}
    verdict: str = report(profile, {"dimensions": {"input:port": windows}})["verdict"]
    return verdict


@pytest.mark.parametrize("rows", [200, 4_000])
def test_a_drift_is_found_soon_and_nothing_where_there_is_none(rows: int) -> None:
    shares = [0.4, 0.3, 0.2, 0.1]
    reference = [round(share * rows) for share in shares]
    assert first_verdict(reference, shares, 5_000) is None
    found = first_verdict(reference, shares[::-1], 5_000)
    assert found is not None
    assert found <= 300


@pytest.mark.parametrize(
    ("reference", "live", "verdict"),
    [
        ([500, 500], [49, 50], "too few answers"),
        ([500, 500], [50, 50], "no drift"),
        ([0, 0], [500, 500], "no reference"),
        ([500, 500], [0, 100], "drift"),
        # A large difference that chance may well bring, and a certain one that does not matter.
        ([2, 4], [60, 40], "no drift"),
        ([50_000, 50_000], [55_000, 45_000], "no drift"),
    ],
)
def test_a_verdict_needs_answers_a_difference_and_evidence(
    reference: list[int], live: list[int], verdict: str
) -> None:
    assert verdict_of(reference, live) == verdict


def test_the_two_that_are_no_drift_miss_one_condition_each() -> None:
    assert psi([2, 4], [60, 40]) > PSI_OF_DRIFT
    assert log_evidence([2, 4], [60, 40]) < log(EVIDENCE_OF_DRIFT)
    assert psi([50_000] * 2, [55_000, 45_000]) < PSI_OF_DRIFT
    assert log_evidence([50_000] * 2, [55_000, 45_000]) > log(EVIDENCE_OF_DRIFT)


def test_the_worst_dimension_comes_first_with_what_moved_most() -> None:
    dimensions = [
        Dimension(of="input", name="calm", edges=[1.0], counts=[500, 500]),
        Dimension(of="input", name="quiet", edges=[1.0], counts=[500, 500]),
        Dimension(of="answer", name="label", values=["a", "b"], counts=[900, 100, 0]),
    ]
    live = {
        "input:calm": {"recent": [30, 20], "since_loaded": [500, 500]},
        "input:quiet": {"recent": [0, 0], "since_loaded": [0, 0]},
        "answer:label": {"recent": [100, 100, 0], "since_loaded": [600, 400, 0]},
    }
    found = report(Profile(rows=1_000, dimensions=dimensions), {"dimensions": live})
    assert (found["verdict"], found["reference_rows"]) == ("drift", 1_000)
    assert [(one["name"], one["verdict"]) for one in found["dimensions"]] == [
        ("label", "drift"),
        ("calm", "no drift"),
        ("quiet", "too few answers"),
    ]
    recent = found["dimensions"][0]["recent"]
    assert recent["answers"] == 200 >= LEAST_ANSWERS
    assert recent["moved"][0] == {"bin": "a", "reference": 0.9, "live": 0.5}
    assert recent["psi"] > 10 * recent["expected_psi"]
    json.dumps(found, allow_nan=False)


def test_evidence_beyond_any_double_is_still_a_number() -> None:
    values = Dimension(of="input", name="a", edges=[1.0], counts=[10_000, 0])
    live = {"recent": [0, 10_000], "since_loaded": [0, 10_000]}
    found = report(Profile(rows=10_000, dimensions=[values]), {"dimensions": {"input:a": live}})
    assert found["dimensions"][0]["recent"]["evidence"] == 1e300


def test_without_a_profile_there_is_nothing_to_compare_with() -> None:
    assert report(None, {"dimensions": {}}) == {
        "verdict": "no reference",
        "reference_rows": 0,
        "dimensions": [],
    }
