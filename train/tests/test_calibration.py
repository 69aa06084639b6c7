"""Claims about temperatures: what they do, how they are found, and that they can be taken back."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit, softmax

from train.models.calibration import (
    Calibration,
    calibrate,
    fit_temperature,
    tempered,
    untempered,
)


def test_a_temperature_divides_the_logarithms_of_the_probabilities() -> None:
    # Squares: 0.64 and 0.04 of 0.68. Roots: 0.8944 and 0.4472 of 1.3416.
    cold, hot = tempered(np.array([[0.8, 0.2]]), 0.5), tempered(np.array([[0.8, 0.2]]), 2.0)
    assert cold[0] == pytest.approx([0.64 / 0.68, 0.04 / 0.68])
    assert hot[0] == pytest.approx([2 / 3, 1 / 3])


def test_what_is_as_good_as_impossible_counts_as_one_in_a_thousand_millions() -> None:
    assert tempered(np.array([[1.0, 0.0]]), 3.0)[0] == pytest.approx([1 / 1.001, 0.001 / 1.001])


PROBABILITIES = st.integers(0, 10**6).map(
    lambda seed: np.random.default_rng(seed).dirichlet([0.5] * 4, 20)
)


@given(PROBABILITIES, st.floats(0.25, 10))
def test_the_most_probable_label_stays_so_and_rows_sum_to_1(
    probabilities: np.ndarray, temperature: float
) -> None:
    scaled = tempered(probabilities, temperature)
    assert scaled.sum(axis=1) == pytest.approx(np.ones(20))
    assert (scaled.argmax(axis=1) == probabilities.argmax(axis=1)).all()


@given(PROBABILITIES, st.floats(0.25, 10))
def test_a_temperature_can_be_taken_back(probabilities: np.ndarray, temperature: float) -> None:
    before = untempered(tempered(probabilities, temperature), temperature)
    np.testing.assert_allclose(before, probabilities, rtol=0, atol=1e-8)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_the_temperature_that_labels_were_drawn_by_is_found(temperature: float) -> None:
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (20_000, 3))
    true = softmax(logits, axis=1)
    labels = (true.cumsum(axis=1) < random.random((20_000, 1))).sum(axis=1)
    said = softmax(logits * temperature, axis=1)
    assert fit_temperature(said, labels) == pytest.approx(temperature, rel=0.04)


def test_rows_that_are_all_right_leave_some_doubt_and_all_wrong_some_belief() -> None:
    said = np.tile([0.6, 0.4], (50, 1))
    assert fit_temperature(said, np.zeros(50, int)) == pytest.approx(0.25, rel=0.01)
    assert fit_temperature(said, np.ones(50, int)) == pytest.approx(10, rel=0.01)


@pytest.mark.parametrize(("slope", "offset"), [(3.0, 1.0), (4.0, -1.0), (8.0, 1.5)])
def test_the_probabilities_that_labels_were_drawn_by_are_found(slope: float, offset: float) -> None:
    random = np.random.default_rng(0)
    margins = random.normal(-0.8, 0.6, (20_000, 4)).astype(np.float32)
    each = expit(slope * margins.astype(float) + offset)
    true = each / each.sum(axis=1, keepdims=True)
    labels = (true.cumsum(axis=1) < random.random((20_000, 1))).sum(axis=1).clip(0, 3)
    fitted = calibrate(margins, margins, labels)
    said = fitted.probabilities(margins, margins)
    assert np.abs(said - true).mean() < 0.005
    assert np.abs(softmax(slope * margins, axis=1) - true).mean() > 0.01


def test_far_from_every_label_the_nearest_one_is_still_the_most_probable() -> None:
    far = np.array([[-900.0, -901.0, -2000.0]], np.float32)
    [said] = Calibration(0.0, 0.05).probabilities(far, far)
    assert said.tolist() == pytest.approx([1, 2e-9, 0], abs=1e-8)


def test_what_was_made_to_sum_to_1_does_not_tell_its_margins() -> None:
    assert Calibration(0.25, 0.05).uncalibrated(np.array([[0.5, 0.5]])) is None


def test_label_sets_lose_their_offsets_too() -> None:
    wide, deep = np.array([[1.0, -2.0]], np.float32), np.array([[0.0, 0.5]], np.float32)
    scaled = Calibration(0.5, 0.25, np.array([1.0, -3.0]), several=True)
    before = scaled.uncalibrated(scaled.probabilities(wide, deep))
    assert before is not None
    assert before[0] == pytest.approx(expit([0.5, -0.75]))
    surely = np.array([[0.0, 1.0]])
    np.testing.assert_array_equal(scaled.uncalibrated(surely), surely)


@pytest.mark.parametrize(("rows", "surest"), [(1, 0.76), (10, 0.96), (1000, 0.9996)])
def test_a_few_rows_that_are_all_answered_right_leave_a_doubt(rows: int, surest: float) -> None:
    targets = np.arange(rows) % 2
    margins = 2 * np.eye(2, dtype=np.float32)[targets] - 1
    calibrated = calibrate(margins, margins, targets).probabilities(margins, margins)
    # One row more, half of either label: (rows + 1/2) / (rows + 1).
    assert calibrated.max() == pytest.approx(surest, abs=0.015)


def _heads(count: int, seed: int, deep_noise: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the margins of a wide and a deep head that err apart from each other, and the labels."""
    random = np.random.default_rng(seed)
    targets = random.integers(3, size=count)
    right = np.eye(3)[targets]
    wide, deep = (right + random.normal(0, noise, right.shape) for noise in (0.5, deep_noise))
    return wide.astype(np.float32), deep.astype(np.float32), targets


def test_a_few_rows_give_the_deep_head_no_share_and_many_rows_one_that_it_is_worth() -> None:
    few = [calibrate(*_heads(25, seed, deep_noise=1.0)).deep_share for seed in range(20)]
    many = [calibrate(*_heads(2_000, seed, deep_noise=0.5)).deep_share for seed in range(5)]
    worse = [calibrate(*_heads(2_000, seed, deep_noise=5.0)).deep_share for seed in range(5)]
    assert np.mean(np.array(few) == 0) > 0.8
    assert set(many) == {0.5}
    assert set(worse) == {0}
