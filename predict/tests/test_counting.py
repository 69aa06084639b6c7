"""Claims about profiles, and about the counting of instances and predictions into their bins."""

from typing import Any

import pytest

from predict.contract.artefact import Input, Output
from predict.contract.counting import AnswerCounting, InputCounting, count_numbers, names_of_bins
from predict.contract.profile import Dimension, Profile

TYPES = {"age": "number", "port": "category", "day": "date", "note": "text"}
INPUTS = [
    Input(name="age", type="number", nullable=True),
    Input(name="port", type="category", form="whole", missing=["NA"], nullable=True),
    Input(name="day", type="date", missing=["-"], nullable=True),
    Input(name="note", type="text", nullable=True),
]
DIMENSIONS = [
    Dimension(of="input", name="note", edges=[3.0], missing=True, counts=[0, 0, 0]),
    Dimension(of="input", name="age", edges=[18.0, 60.0], missing=True, counts=[0, 0, 0, 0]),
    Dimension(of="input", name="port", values=["1", "2"], missing=True, counts=[0, 0, 0, 0]),
    Dimension(of="input", name="day", edges=[], missing=True, counts=[0, 0]),
]


def counts_of(instances: list[dict[str, Any]], dimensions: list[Dimension] = DIMENSIONS) -> Any:
    counting = InputCounting(dimensions, INPUTS)
    counts = counting.count([counting.row(instance) for instance in instances])
    return {
        one.name: found.tolist() for one, found in zip(counting.dimensions, counts, strict=True)
    }


def of_port(value: object) -> dict[str, Any]:
    return {"age": 1, "port": value, "day": "2026-01-01", "note": "a"}


@pytest.mark.parametrize(
    ("value", "counts"),
    [
        ("1", [1, 0, 0, 0]),
        (1, [1, 0, 0, 0]),
        (1.0, [1, 0, 0, 0]),
        (" 2 ", [0, 1, 0, 0]),
        (True, [0, 0, 1, 0]),  # "true", though Python takes it for 1
        ("7", [0, 0, 1, 0]),
        (None, [0, 0, 0, 1]),
        ("", [0, 0, 0, 1]),
        ("NA", [0, 0, 0, 1]),
    ],
)
def test_a_category_is_counted_in_its_one_form(value: object, counts: list[int]) -> None:
    assert counts_of([of_port(value)])["port"] == counts


def test_every_type_of_column_is_counted_by_its_bins() -> None:
    instances = [
        {"age": 18, "port": "1", "day": "2026-01-01", "note": "abc"},
        {"age": 17.5, "port": "1", "day": " - ", "note": " "},
        {"age": None, "port": "2", "day": None, "note": "ab"},
        {"age": 10**300, "port": "2", "day": "2026-01-01", "note": None},
    ]
    assert counts_of(instances) == {
        "age": [1, 1, 1, 1],
        "port": [2, 2, 0, 0],
        "day": [2, 2],
        "note": [1, 1, 2],
    }


@pytest.mark.parametrize("names", [["age"], ["note"], ["note", "port"], ["age", "day"], []])
def test_any_part_of_the_columns_can_be_counted(names: list[str]) -> None:
    some = [one for one in DIMENSIONS if one.name in names]
    whole = counts_of([of_port("2")])
    assert counts_of([of_port("2")], some) == {name: whole[name] for name in names}
    assert all(sum(counts) == 0 for counts in counts_of([], some).values())


@pytest.mark.parametrize(
    ("output", "predictions", "expected"),
    [
        (
            Output(name="a", type="label", labels=["x", "y", "z"]),
            [{"label": "y", "score": 0.5}, {"label": "z", "score": 0.4}],
            {"label": [0, 1, 1], "score": [1, 1]},
        ),
        (
            Output(name="a", type="labels", labels=["x", "y"], thresholds={"x": 0.5, "y": 0.5}),
            [
                {"labels": [{"label": "y", "score": 0.9}], "probabilities": {"y": 0.9, "x": 0.1}},
                {"labels": [], "probabilities": {"x": 0.3}},
            ],
            {"label": [0, 1, 0, 1], "labels_given": [1, 1], "score": [1, 1]},
        ),
        (Output(name="a", type="number"), [{"value": -1.0}, {"value": 7.5}], {"value": [1, 1]}),
    ],
)
def test_every_kind_of_answer_is_counted(
    output: Output, predictions: list[dict[str, Any]], expected: dict[str, list[int]]
) -> None:
    is_set = output.kind == "labels"
    dimensions = [
        Dimension(
            of="answer",
            name="label",
            values=["x", "y"],
            missing=is_set,
            counts=[0] * (3 + is_set),
        ),
        Dimension(of="answer", name="labels_given", edges=[1.0], counts=[0, 0]),
        Dimension(of="answer", name="score", edges=[0.5], counts=[0, 0]),
        Dimension(of="answer", name="value", edges=[0.0], counts=[0, 0]),
    ]
    counting = AnswerCounting(dimensions, output)
    counts = counting.count([counting.row(prediction) for prediction in predictions])
    found = {one.name: each.tolist() for one, each in zip(counting.dimensions, counts, strict=True)}
    assert found == expected


def test_numbers_alone_are_counted_and_missing_ones_left_out_where_they_have_no_bin() -> None:
    shares = Dimension(of="texts", name="unknown_share", edges=[0.5], counts=[0, 0])
    assert count_numbers(shares, [0.1, 0.5, float("nan")]).tolist() == [1, 1]
    assert count_numbers(shares, []).tolist() == [0, 0]


def test_bins_have_names_for_people() -> None:
    names = {one.name: names_of_bins(one) for one in DIMENSIONS}
    assert names["age"] == ["(-inf, 18)", "[18, 60)", "[60, inf)", "(missing)"]
    assert names["port"] == ["1", "2", "(other)", "(missing)"]
    assert names["day"] == ["(given)", "(missing)"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ({"edges": [1], "values": ["a"], "counts": [0, 0]}, "either edges or values"),
        ({"counts": []}, "either edges or values"),
        ({"edges": [2, 1], "counts": [0, 0, 0]}, "must ascend"),
        ({"values": ["a", "a"], "counts": [0, 0, 0]}, "must be distinct"),
        ({"edges": [1], "missing": True, "counts": [0, 0]}, "expected 3 counts, got 2"),
        ({"edges": [1], "counts": [0, -1]}, "greater than or equal to 0"),
        ({"edges": [float("inf")], "counts": [0, 0]}, "finite number"),
        ({"edges": list(range(2000)), "counts": [0] * 2001}, "at most 1000 items"),
    ],
)
def test_a_dimension_that_contradicts_itself_is_refused(
    content: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ValueError, match=problem):
        Dimension.model_validate({"of": "input", "name": "age", **content})


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"name": "height"}, "height: no such input"),
        ({"of": "answer"}, "age: no such answer"),
        ({"of": "texts"}, "age: no such texts"),
        ({"name": "port"}, "port: expected values"),
        ({"of": "answer", "name": "label"}, "label: expected values"),
        ({"values": ["1"], "edges": None}, "age: expected edges"),
    ],
)
def test_a_profile_of_something_else_is_refused(changes: dict[str, Any], problem: str) -> None:
    content = {"of": "input", "name": "age", "edges": [1], "counts": [0, 0], **changes}
    profile = Profile(rows=0, dimensions=[Dimension.model_validate(content)])
    with pytest.raises(ValueError, match=problem):
        profile.check(TYPES)


def test_a_profile_counts_a_column_once() -> None:
    [one, *_] = DIMENSIONS
    with pytest.raises(ValueError, match="note: is there twice"):
        Profile(rows=0, dimensions=[one, one]).check(TYPES)
