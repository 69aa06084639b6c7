"""Answers: labels with and without a threshold, numbers with and without an interval, sets of labels."""

import json
import math
from typing import Any

import numpy as np
import pytest

from predict.contract.artefact import Output
from predict.scoring.inputs import InstanceError
from predict.scoring.outputs import Prediction, decode, to_rows
from predict.scoring.predictor import Predictor
from predict.tests.tiny_tables import HOUSES, PASSENGER

LABEL = Output(name="tag", type="label", labels=["svn", "bash", "qt"])
NUMBER = Output(name="price", type="number")
LABELS = Output(
    name="genres",
    type="labels",
    labels=["drama", "comedy", "war"],
    thresholds={"war": 0.2, "drama": 0.5, "comedy": 0.9},
)


def answer(
    output: Output, raw: list[float], top_k: int | None = None, dtype: Any = np.float64
) -> Prediction:
    array = np.array([raw], dtype)
    [prediction] = decode(to_rows(array, output), array, output, top_k)
    return prediction


def test_a_label_is_the_most_probable_one_with_six_digits() -> None:
    assert answer(LABEL, [0.12345678, 0.6, 0.27654322]) == {
        "label": "bash",
        "score": 0.6,
        "probabilities": {"bash": 0.6, "qt": 0.276543, "svn": 0.123457},
    }


def with_threshold(label: str, threshold: float) -> Output:
    return Output(name="o", type="label", labels=["no", "yes"], thresholds={label: threshold})


@pytest.mark.parametrize(
    ("label", "threshold", "probability_of_yes", "expected", "score"),
    [
        ("yes", 0.3, 0.3, "yes", 0.3),
        ("yes", 0.3, 0.31, "yes", 0.31),
        ("yes", 0.3, 0.29, "no", 0.71),
        ("yes", 0.9, 0.8, "no", 0.2),
        ("yes", 0.5, 0.5, "yes", 0.5),
        ("no", 0.3, 0.6, "no", 0.4),
        ("no", 0.3, 0.8, "yes", 0.8),
        ("yes", 0.0, 0.0, "yes", 0.0),
        ("yes", 1.0, 0.9999999, "no", 0.0),
        # What is compared is not what is shown: this one is shown as 0.3.
        ("yes", 0.3, 0.2999999, "no", 0.7),
    ],
)
def test_a_threshold_decides_between_two_labels(
    label: str, threshold: float, probability_of_yes: float, expected: str, score: float
) -> None:
    output = with_threshold(label, threshold)
    prediction = answer(output, [1 - probability_of_yes, probability_of_yes])
    assert (prediction["label"], prediction["score"]) == (expected, pytest.approx(score))
    # The probabilities are sorted as without one.
    without = Output(name="o", type="label", labels=["no", "yes"])
    same = answer(without, [1 - probability_of_yes, probability_of_yes])
    assert list(prediction["probabilities"].items()) == list(same["probabilities"].items())


def test_a_threshold_decides_row_by_row() -> None:
    output = with_threshold("yes", 0.3)
    raw = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    predictions = decode(to_rows(raw, output), raw, output)
    assert [prediction["label"] for prediction in predictions] == ["no", "yes", "yes"]
    assert [prediction["score"] for prediction in predictions] == [0.9, 0.4, 0.8]


def test_of_more_labels_the_one_that_is_most_of_its_threshold_is_answered() -> None:
    thresholds = {"a": 0.8, "b": 0.15, "c": 0.05}
    output = Output(name="o", type="label", labels=["a", "b", "c"], thresholds=thresholds)
    raw = np.array([[0.7, 0.2, 0.1], [0.7, 0.24, 0.06], [0.9, 0.06, 0.04], [0.8, 0.15, 0.05]])
    predictions = decode(to_rows(raw, output), raw, output)
    assert [prediction["label"] for prediction in predictions] == ["c", "b", "a", "a"]
    assert [prediction["score"] for prediction in predictions] == [0.1, 0.24, 0.9, 0.8]
    assert list(predictions[0]["probabilities"]) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("score", "dtype", "is_unsure"),
    [
        (0.6, np.float64, False),
        (0.59, np.float64, True),
        (0.61, np.float64, False),
        # What is compared is what is shown: 0.6, which as a float32 is a little more, and here a little less.
        (0.6, np.float32, False),
        (0.5999999, np.float64, False),
        (0.599999, np.float64, True),
    ],
)
def test_an_answer_with_a_score_below_the_limit_is_unsure(
    score: float, dtype: Any, is_unsure: bool
) -> None:
    output = LABEL.model_copy(update={"unsure_below": 0.6})
    prediction = answer(output, [score, 0.3, 0.7 - score], dtype=dtype)
    assert prediction.get("unsure", False) is is_unsure
    assert ("unsure" in prediction) is is_unsure
    assert "unsure" not in answer(LABEL, [score, 0.3, 0.7 - score], dtype=dtype)


def test_with_a_threshold_the_score_of_the_answered_label_counts() -> None:
    output = with_threshold("yes", 0.3).model_copy(update={"unsure_below": 0.5})
    unsure = [answer(output, [1 - yes, yes]).get("unsure") for yes in (0.2, 0.4, 0.6)]
    assert unsure == [
        None,
        True,
        None,
    ]  # no with 0.8, yes with 0.4 although no has 0.6, yes with 0.6


@pytest.mark.parametrize(
    ("raw", "dtype", "shown"),
    [
        (12.345678901234567, np.float64, "12.345678901234567"),
        (0.1, np.float64, "0.1"),
        (1 / 3, np.float64, "0.3333333333333333"),
        (1e-12, np.float64, "1e-12"),
        (206855.8125, np.float64, "206855.8125"),
        (3, np.float64, "3.0"),
        (12.3, np.float32, "12.3"),
        (206855.81, np.float32, "206855.81"),
        (1e30, np.float32, "1e+30"),
    ],
)
def test_a_number_is_given_in_full_and_a_float32_as_it_looks(
    raw: float, dtype: Any, shown: str
) -> None:
    assert json.dumps(answer(NUMBER, [raw], dtype=dtype)) == f'{{"value": {shown}}}'


def test_a_number_has_the_interval_that_its_artefact_has() -> None:
    interval = {"coverage": 0.9, "half_width": 12.5}
    output = Output.model_validate({"name": "price", "type": "number", "interval": interval})
    assert answer(output, [20]) == {"value": 20, "interval": [7.5, 32.5]}


def test_an_interval_around_the_largest_number_is_finite() -> None:
    interval = {"coverage": 0.9, "half_width": 1e308}
    output = Output.model_validate({"name": "price", "type": "number", "interval": interval})
    assert all(map(math.isfinite, answer(output, [1.7e308])["interval"]))
    assert all(map(math.isfinite, answer(output, [-1.7e308])["interval"]))


@pytest.mark.parametrize(
    ("raw", "given"),
    [
        ([0.5, 0.9, 0.2], ["comedy", "drama", "war"]),
        ([0.4999999, 0.8999999, 0.1999999], []),
        ([0.6, 0.95, 0.7], ["comedy", "war", "drama"]),
        ([0.0, 0.89, 1.0], ["war"]),
    ],
)
def test_labels_from_their_thresholds_on_are_given_the_most_probable_first(
    raw: list[float], given: list[str]
) -> None:
    prediction = answer(LABELS, raw)
    assert [each["label"] for each in prediction["labels"]] == given
    for each in prediction["labels"]:
        assert each["score"] == prediction["probabilities"][each["label"]]
    values = list(prediction["probabilities"].values())
    assert values == sorted(values, reverse=True)
    assert set(prediction["probabilities"]) == set(LABELS.labels)


def test_top_k_cuts_the_probabilities_and_not_the_labels() -> None:
    prediction = answer(LABELS, [0.6, 0.95, 0.7], top_k=1)
    assert prediction["probabilities"] == {"comedy": 0.95}
    assert len(prediction["labels"]) == 3


def test_a_passenger_is_answered_as_the_sum_done_by_hand_says(passengers: Predictor) -> None:
    # age, fare, fare per head, month; port, age group, both, note
    logit = -0.38 + 0.1425 + 0.35625 + 0.08 + 0.3 - 0.4 + 0.11 + 0.25
    [prediction] = passengers.predict([PASSENGER])
    yes = 1 / (1 + math.exp(-logit))
    assert prediction["probabilities"]["yes"] == pytest.approx(yes, abs=1e-6)
    # Nothing known but the age: 14.5 is paid, no ratio, month 6.
    missing = PASSENGER | dict.fromkeys(("fare", "port", "day", "note"))
    logit = -0.38 + 0.029 + 0 + 0.12 - 0.6 - 0.4 - 0.13 - 0.05
    yes = 1 / (1 + math.exp(-logit))
    [prediction] = passengers.predict([missing])
    assert prediction["probabilities"]["yes"] == pytest.approx(yes, abs=1e-6)
    # 0.3 is enough.
    assert yes < 0.3
    assert prediction["label"] == "no"
    [prediction] = passengers.predict([missing | {"port": "Q", "note": "?"}])
    assert 0.3 < prediction["probabilities"]["yes"] < 0.5
    assert (prediction["label"], prediction["score"]) == (
        "yes",
        prediction["probabilities"]["yes"],
    )


def test_a_house_is_answered_with_its_interval(houses: Predictor) -> None:
    [prediction] = houses.predict([HOUSES.instances[0]])
    assert prediction["value"] == pytest.approx(3 + 3 * 90.5)
    assert prediction["interval"] == [prediction["value"] - 12.5, prediction["value"] + 12.5]


def test_a_film_is_answered_with_its_labels(films: Predictor) -> None:
    [prediction] = films.predict([{"minutes": 90, "studio": "A"}])
    total = 90 * 0.02 + 1
    by_hand = {
        label: 1 / (1 + math.exp(-total * factor))
        for label, factor in (("drama", 1), ("comedy", 0.5), ("war", -0.25))
    }
    assert prediction["probabilities"] == pytest.approx(by_hand, abs=1e-6)
    assert [each["label"] for each in prediction["labels"]] == ["drama", "war"]


def test_a_number_has_no_labels_to_list(houses: Predictor) -> None:
    with pytest.raises(InstanceError, match=r"^top_k: this model answers a number, it has no"):
        houses.predict([HOUSES.instances[0]], top_k=1)


@pytest.mark.parametrize("instance", [{"rooms": 3, "area": None}, {"rooms": 1e200, "area": 1}])
def test_an_answer_that_is_not_finite_is_refused_and_names_the_instance(
    houses: Predictor, instance: dict[str, float | None]
) -> None:
    good = HOUSES.instances[0]
    houses.check([good, instance])
    with pytest.raises(InstanceError, match=r"^instances\.1: the model has no finite answer"):
        houses.predict([good, instance])
    with pytest.raises(InstanceError, match=r"^text: the model has no finite answer"):
        houses.predict([instance], places=lambda _: "text")
    with pytest.raises(InstanceError, match=r"instances\.1009") as caught:
        houses.predict([good] * 1000 + [instance] * 1000)
    assert len(caught.value.problems) == 10
