"""Rows of a table: which can be taken, what is said of the others, and what the graph is fed."""

import math
import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predict.contract.artefact import Derived, Input
from predict.scoring.inputs import InstanceError, TableInputs
from predict.scoring.predictor import Predictor
from predict.tests.tiny_tables import FILMS, HOUSES, PASSENGER, PASSENGERS, TABLES

NULL = "got null: it was never missing in training"
A_DATE = "a date such as 2026-01-31 or 2026-01-31T13:05"
A_CATEGORY = "a string, a whole number or a boolean"


def problems_of(predictor: Predictor, *instances: object) -> list[tuple[str, str]]:
    with pytest.raises(InstanceError, match=r"instances\.") as caught:
        predictor.check(instances)
    return caught.value.problems


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"age": 0.5},
        {"age": -0.0},
        {"age": 2**1023 - 1},
        {"heads": 5e-324},
        {"fare": None},
        {"port": None},
        {"port": ""},
        {"port": " \t"},
        {"port": "never seen"},
        {"port": 3},
        {"port": True},
        {"port": 3.0},
        {"port": -(10**300)},
        {"port": "a\0b"},
        {"day": None},
        {"day": ""},
        {"day": " 2026-04-10 "},
        {"day": "2026-04-10T23:59"},
        {"day": "2026-04-10T23:59:59.123+05:30"},
        {"day": "2026-04-10T23:59:59Z"},
        {"note": None},
        {"note": ""},
        {"note": "?!"},
        {"note": "\ud800"},
        {"note": "a\0b"},
        {"note": "word " * 10_000},
    ],
)
def test_good_instances_are_answered(passengers: Predictor, changes: dict[str, Any]) -> None:
    instance = PASSENGER | changes
    passengers.check([instance])
    [prediction] = passengers.predict([instance])
    assert prediction["label"] in ("yes", "no")


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"age": None}, "age", f"expected a number, {NULL}"),
        ({"age": "38"}, "age", "expected a number, got a string"),
        ({"age": ""}, "age", "expected a number, got a string"),
        ({"age": True}, "age", "expected a number, got a boolean"),
        ({"age": [38]}, "age", "expected a number, got a list"),
        ({"age": {}}, "age", "expected a number, got an object"),
        ({"age": math.nan}, "age", "expected a finite number"),
        ({"age": math.inf}, "age", "expected a finite number"),
        ({"fare": -math.inf}, "fare", "expected a finite number"),
        ({"age": 10**400}, "age", "expected a number below 1e308"),
        ({"age": -(10**400)}, "age", "expected a number below 1e308"),
        ({"fare": False}, "fare", "expected a number, got a boolean"),
        ({"port": 3.5}, "port", f"expected {A_CATEGORY}, got a number with a point"),
        ({"port": ["C"]}, "port", f"expected {A_CATEGORY}, got a list"),
        ({"port": 10**5_000}, "port", "expected a whole number below 1e308"),
        ({"port": "\udc00"}, "port", "expected Unicode, got a lone surrogate"),
        ({"day": 20260410}, "day", f"expected {A_DATE}, got a number"),
        ({"day": "10.4.2026"}, "day", f"expected {A_DATE}, got '10.4.2026'"),
        ({"day": "2026-02-30"}, "day", f"expected {A_DATE}, got '2026-02-30'"),
        ({"day": "x" * 100}, "day", f"expected {A_DATE}, got '{'x' * 60}…'"),
        ({"day": True}, "day", f"expected {A_DATE}, got a boolean"),
        ({"note": 5}, "note", "expected a text, got a number"),
        ({"note": ["a"]}, "note", "expected a text, got a list"),
        ({"fares": 5}, "fares", "unknown field; did you mean fare?"),
        (
            {"x" * 100: 5},
            "x" * 60 + "…",
            "unknown field; known: age, fare, heads, port, day, note",
        ),
    ],
)
def test_a_bad_value_is_refused_with_its_place(
    passengers: Predictor, changes: dict[str, Any], field: str, message: str
) -> None:
    problems = problems_of(passengers, PASSENGER, PASSENGER | changes)
    assert problems == [(f"instances.1.{field}", message)]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("age", "a number"),
        ("fare", "a number or null"),
        ("port", f"{A_CATEGORY} or null"),
        ("day", f"{A_DATE} or null"),
        ("note", "a text or null"),
    ],
)
def test_a_missing_column_is_refused_even_if_it_may_be_null(
    passengers: Predictor, field: str, expected: str
) -> None:
    instance = {name: value for name, value in PASSENGER.items() if name != field}
    problems = problems_of(passengers, instance)
    assert problems == [(f"instances.0.{field}", f"missing; expected {expected}")]


STRICT = [
    Input(name="number", type="number"),
    Input(name="category", type="category", categories=["a"]),
    Input(name="blank", type="category", categories=["a", ""]),
    Input(name="date", type="date"),
    Input(name="text", type="text"),
]
STRICT_ROW = {"number": 1, "category": "a", "blank": "", "date": "2026-01-31", "text": "a"}


@pytest.mark.parametrize("value", ["", " ", "\u2003\n"])
def test_what_was_never_missing_may_not_be_empty(value: str) -> None:
    strict = TableInputs(STRICT, [], {})
    assert strict.problems_of(STRICT_ROW) == []
    assert strict.problems_of(STRICT_ROW | {"blank": value}) == []  # one of its categories
    for field in ("category", "date", "text"):
        problems = strict.problems_of(STRICT_ROW | {field: value})
        assert problems == [(field, "empty: it was never missing in training")]


@pytest.mark.parametrize("field", ["number", "category", "blank", "date", "text"])
def test_what_was_never_missing_may_not_be_null(field: str) -> None:
    [(place, message)] = TableInputs(STRICT, [], {}).problems_of(STRICT_ROW | {field: None})
    assert place == field
    assert message.endswith(NULL)


def test_several_problems_are_reported_together_and_ten_at_most(passengers: Predictor) -> None:
    problems = problems_of(passengers, {"age": "3", "fair": 5, "heads": 1, "port": "C"}, 5)
    assert [place.removeprefix("instances.") for place, _ in problems] == [
        "0.age",
        "0.fare",
        "0.day",
        "0.note",
        "0.fair",
        "1",
    ]
    assert len(problems_of(passengers, *[{}] * 1000)) == 10


def test_of_many_columns_a_message_names_the_first_few() -> None:
    inputs = [Input(name=f"v{index}", type="number") for index in range(30)]
    row: dict[str, Any] = {column.name: 1 for column in inputs}
    [problem] = TableInputs(inputs, [], {}).problems_of(row | {"what": 1})
    assert problem[1].endswith("known: v0, v1, v2, v3, v4, v5, v6, v7, v8, v9 and 20 more")


def test_of_many_unknown_fields_only_the_first_ten_are_looked_at() -> None:
    # Each of them is compared with every field that there is.
    row = {f"v{index}": 1 for index in range(50_000)}
    assert len(TableInputs(STRICT[:1], [], {}).problems_of({"number": 1} | row)) == 10


@pytest.mark.parametrize(
    ("changes", "field", "message"),
    [
        ({"age": -1}, "age", "-1 is below 0, the smallest in training"),
        ({"age": 81}, "age", "81 is above 80.5, the largest in training"),
        ({"age": 80.50001}, "age", "80.50001 is above 80.5, the largest in training"),
        ({"fare": 1e300}, "fare", "1e+300 is above 500, the largest in training"),
        ({"port": "X"}, "port", "'X' was not seen in training"),
        ({"port": "c"}, "port", "'c' was not seen in training"),
        ({"port": 4}, "port", "'4' was not seen in training"),
        ({"port": "\n" * 5 + "x" * 70}, "port", f"'{'x' * 60}…' was not seen in training"),
    ],
)
def test_what_training_did_not_see_is_scored_and_flagged(
    passengers: Predictor, changes: dict[str, Any], field: str, message: str
) -> None:
    instances = [PASSENGER, PASSENGER | changes, PASSENGER]
    passengers.check(instances)
    usual, unusual, after = passengers.predict(instances)
    assert unusual["warnings"] == [{"field": field, "message": message}]
    assert "warnings" not in usual
    assert after == usual


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"age": -1, "c": "a"}, "-1 is below 0, the smallest declared"),
        ({"age": 121, "c": "a"}, "121 is above 120, the largest declared"),
        ({"age": 19, "c": "a"}, "19 is below 20, the smallest in training"),
        ({"age": 60.5, "c": "a"}, "60.5 is above 60, the largest in training"),
        ({"age": 20, "c": "d"}, "'d' was not seen in training"),
        ({"age": 60, "c": "b"}, None),
    ],
)
def test_a_warning_tells_what_was_declared_from_what_training_saw(
    row: dict[str, Any], message: str | None
) -> None:
    age = {"minimum": 0, "maximum": 120, "seen_minimum": 20, "seen_maximum": 60}
    inputs = [
        Input(name="age", type="number", **age),
        Input(name="c", type="category", categories=["a", "b", "d"], seen_categories=["a", "b"]),
    ]
    [(_, warnings)] = TableInputs(inputs, [], {}).batches([row])
    assert [warning["message"] for warning in warnings.get(0, ())] == ([message] if message else [])


@pytest.mark.parametrize(
    "changes",
    [
        {"age": 0},
        {"age": 80.5},
        {"fare": None},
        {"port": None},
        {"port": ""},
        {"port": " C "},
        {"port": 3},
        {"note": "never seen"},
    ],
)
def test_what_is_missing_or_just_in_range_is_not_flagged(
    passengers: Predictor, changes: dict[str, Any]
) -> None:
    [prediction] = passengers.predict([PASSENGER | changes])
    assert "warnings" not in prediction


def test_warnings_belong_to_their_instances_in_every_chunk(passengers: Predictor) -> None:
    rows = [PASSENGER | {"age": 100 if index % 7 == 0 else 5} for index in range(2500)]
    predictions = passengers.predict(rows)
    flagged = [index for index, answer in enumerate(predictions) if "warnings" in answer]
    assert flagged == list(range(0, 2500, 7))


def test_several_warnings_stand_together(passengers: Predictor) -> None:
    [answer] = passengers.predict([PASSENGER | {"age": -1, "heads": 10, "port": "X"}])
    assert [warning["field"] for warning in answer["warnings"]] == ["age", "heads", "port"]


def feeds_of(inputs: list[Input], derived: list[Derived], row: dict[str, Any]) -> dict[str, Any]:
    """Return what a graph that reads every column is fed for one row, as plain values."""
    numbers = {column.name for column in inputs if column.type == "number"}
    numbers |= {column.name for column in derived if column.kind in ("ratio", "date_part")}
    names = [column.name for column in inputs if column.type != "date"]
    names += [column.name for column in derived]
    graph = {name: f"tensor({'double' if name in numbers else 'string'})" for name in names}
    [(feeds, _)] = TableInputs(inputs, derived, graph).batches([row])
    assert feeds.keys() == graph.keys()
    for name, array in feeds.items():
        assert array.shape == (1, 1)
        assert array.dtype == (np.float64 if name in numbers else object)
    return {name: array[0, 0] for name, array in feeds.items()}


@pytest.mark.parametrize(
    ("form", "categories", "value", "fed"),
    [
        ("boolean", ["false", "true"], True, "true"),
        ("boolean", ["false", "true"], "TRUE", "true"),
        ("boolean", ["false", "true"], " False ", "false"),
        ("boolean", ["false", "true"], "maybe", "maybe"),
        ("whole", ["1", "2"], 1, "1"),
        ("whole", ["1", "2"], 1.0, "1"),
        ("whole", ["1", "2"], "1.0", "1"),
        ("whole", ["1", "2"], "01", "01"),
        (None, ["1.0", "1", "x"], "1.0", "1.0"),
        (None, ["1.0", "1", "x"], 1.0, "1"),
        (None, ["True", "1", "x"], "True", "True"),
        (None, ["02134", "10001"], "02134", "02134"),
        (None, ["9007199254740993"], 9007199254740993, "9007199254740993"),
        (None, ["2.5", "x"], 2.5, "2.5"),
        (None, ["caf\u00e9"], "cafe\u0301", "caf\u00e9"),
        (None, ["cafe\u0301"], "cafe\u0301", "cafe\u0301"),  # of an older artefact
    ],
)
def test_a_category_is_fed_in_the_form_of_its_column(
    form: Any, categories: list[str], value: Any, fed: str
) -> None:
    column = Input(name="c", type="category", categories=categories, form=form)
    table = TableInputs([column], [], {"c": "tensor(string)"})
    assert table.problems_of({"c": value}) == []
    [(feeds, warnings)] = table.batches([{"c": value}])
    assert feeds["c"].tolist() == [[fed]]
    assert bool(warnings) is (fed not in categories)


def test_the_graph_is_fed_every_column_that_it_reads() -> None:
    inputs = [Input.model_validate(column) for column in PASSENGERS.metadata["inputs"]]
    derived = [Derived.model_validate(column) for column in PASSENGERS.metadata["derived"]]
    assert feeds_of(inputs, derived, PASSENGER | {"port": 3}) == {
        "age": 38.0,
        "fare": 71.25,
        "heads": 2.0,
        "port": "3",
        "note": "hello world",
        "fare_per_head": 35.625,
        "age_group": "[18, 60.5)",
        "port_and_group": "3|[18, 60.5)",
        "month": 4.0,
    }
    missing = dict.fromkeys(("fare", "port", "day", "note"))
    fed = feeds_of(inputs, derived, PASSENGER | missing)
    assert (fed["port"], fed["note"], fed["port_and_group"]) == ("", "", "|[18, 60.5)")
    assert math.isnan(fed["fare"])
    assert math.isnan(fed["fare_per_head"])
    assert math.isnan(fed["month"])


def test_a_column_that_only_a_derived_one_is_made_of_is_not_fed() -> None:
    inputs = [Input(name="a", type="number"), Input(name="b", type="number")]
    ratio = Derived(name="r", kind="ratio", of=["a", "b"])
    table = TableInputs(inputs, [ratio], {"r": "tensor(double)"})
    [(feeds, _)] = table.batches([{"a": 3, "b": 2}])
    assert {name: array.tolist() for name, array in feeds.items()} == {"r": [[1.5]]}


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"ages": "tensor(double)"}, "it reads 'ages', but the columns are age, fare"),
        ({"day": "tensor(string)"}, "it reads 'day', but the columns are age, fare"),
        (
            {"age": "tensor(float)"},
            r"it reads age as tensor\(float\), expected tensor\(double\)",
        ),
        (
            {"port": "tensor(double)"},
            r"it reads port as tensor\(double\), expected tensor\(string\)",
        ),
    ],
)
def test_a_graph_that_does_not_fit_the_columns_is_refused(
    graph: dict[str, str], message: str
) -> None:
    inputs = [Input.model_validate(column) for column in PASSENGERS.metadata["inputs"]]
    with pytest.raises(ValueError, match=message):
        TableInputs(inputs, [], graph)


@pytest.mark.parametrize("kind", list(TABLES))
def test_one_instance_alone_gets_the_answer_that_it_gets_in_a_batch(
    kind: str, request: pytest.FixtureRequest
) -> None:
    name = {"label": "passengers", "number": "houses", "labels": "films"}[kind]
    predictor: Predictor = request.getfixturevalue(name)
    rows = [*TABLES[kind].instances] * 3
    alone = [predictor.scores([row])[0] for row in rows]
    np.testing.assert_array_equal(predictor.scores(rows), alone)


def test_thousands_of_rows_are_scored_in_chunks_and_in_order(houses: Predictor) -> None:
    rows = [{"rooms": 1 + index % 12, "area": float(index)} for index in range(2501)]
    sizes = [len(feeds["rooms"]) for feeds, _ in houses._inputs.batches(rows)]
    assert sizes == [1000, 1000, 501]
    expected = [row["rooms"] + 3 * row["area"] for row in rows]
    np.testing.assert_allclose(houses.scores(rows)[:, 0], expected)


def test_long_texts_in_a_table_are_scored_a_few_at_a_time(passengers: Predictor) -> None:
    rows = [PASSENGER | {"note": "word " * 1000}] * 20 + [PASSENGER | {"note": None}] * 600
    sizes = [len(feeds["note"]) for feeds, _ in passengers._inputs.batches(rows)]
    assert sizes == [5, 5, 5, 5, 256, 256, 88]


def test_a_batch_needs_no_more_memory_the_longer_it_is(houses: Predictor) -> None:
    def peak(count: int) -> int:
        rows = [{"rooms": 3, "area": 20.5}] * count
        tracemalloc.start()
        for feeds, _ in houses._inputs.batches(rows):
            del feeds
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    assert peak(50_000) < 2 * peak(1_000)


ANY_VALUE = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(10**300, 10**400),
    st.floats(),
    st.text(st.characters(exclude_categories=()), max_size=8),
    st.dates().map(str),
    st.datetimes().map(str),
    st.sampled_from(["C", "S", " ", "", "[18, 60.5)"]),
    st.lists(st.integers(), max_size=2),
)


class TestAnyInstance:
    """Whatever `check` lets pass is answered with finite numbers, or refused with a reason."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _load(cls, passengers: Predictor, houses: Predictor, films: Predictor) -> None:
        cls.predictors = [
            (passengers, PASSENGERS.instances[0]),
            (houses, HOUSES.instances[0]),
            (films, FILMS.instances[0]),
        ]

    @settings(deadline=None, max_examples=300)
    @given(st.integers(0, 2), st.data())
    def test_any_values_are_answered_or_refused(self, which: int, data: st.DataObject) -> None:
        predictor, instance = self.predictors[which]
        fields = st.sampled_from([*instance, "other"])
        changed = {**instance, **data.draw(st.dictionaries(fields, ANY_VALUE, max_size=4))}
        try:
            predictor.check([changed])
            [prediction] = predictor.predict([changed])
        except InstanceError as refused:
            problems = refused.problems
        else:
            problems = [("answer", "given")]
            numbers = prediction.get("probabilities", {"value": prediction.get("value")})
            assert all(math.isfinite(number) for number in numbers.values())
        assert problems
        assert all(place and message for place, message in problems)
