"""Claims about behavioural tests: what is asked, what counts as passed, and what is refused before training."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predict.contract.artefact import METRICS, Output
from predict.scoring.inputs import InstanceError
from predict.scoring.outputs import decode, to_rows
from predict.scoring.predictor import Predictor
from predict.tests.tiny_tables import HOUSES, Table, write_tiny_table
from train.acceptance import behaviour, perturbations
from train.acceptance.behaviour import measure
from train.config import TrainConfig
from train.config.sections import BehaviourConfig
from train.data.cleaning import load_dataset
from train.data.dataset import Dataset
from train.data.splits import Prepared, Split
from train.tests.exporting import export_table
from train.tests.tables import (
    make_dataset,
    of_spent,
    table_config,
    write_table,
)

YES_OR_NO = Output(name="answer", type="label", labels=["no", "yes"])


class Rule:
    """A predictor that answers by a rule: an instance -> what a model would put out."""

    def __init__(
        self, rule: Callable[[Mapping[str, Any]], Sequence[float]], output: Output = YES_OR_NO
    ) -> None:
        self.rule, self.output, self.labels = rule, output, output.labels
        self.metadata = SimpleNamespace(inputs=[SimpleNamespace(name="text")])
        self.asked: list[Mapping[str, Any]] = []

    def check(self, instances: Sequence[Mapping[str, Any]]) -> None:
        if any("refused" in str(instance) for instance in instances):
            raise InstanceError([("instance", "refused")])

    def scores(self, instances: Sequence[Mapping[str, Any]]) -> Any:
        self.asked += instances
        return np.array([self.rule(instance) for instance in instances], np.float64)

    def predict(self, instances: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        raw = self.scores(instances)
        return decode(to_rows(raw, self.output), raw, self.output)


def says_yes_to(pattern: str) -> Rule:
    def rule(instance: Mapping[str, Any]) -> list[float]:
        return [0.0, 1.0] if re.search(pattern, str(instance["text"])) else [1.0, 0.0]

    return Rule(rule)


def texts(*given: str) -> Dataset:
    dataset = make_dataset({"text": given}, [0] * len(given), ["no", "yes"])
    return replace(dataset, column_types={"text": "text"})


def ask(predictor: Any, dataset: Dataset, **declared: Any) -> dict[str, Any]:
    rows = np.arange(len(dataset))
    return measure(declaring(dataset, Split(rows, rows[:0], rows), **declared), predictor)


def declaring(dataset: Dataset, split: Split, **declared: Any) -> Prepared:
    """Return rows, and a configuration that declares behaviour."""
    behaviour = BehaviourConfig.model_validate(declared)
    return Prepared(TrainConfig(dataset="d", behaviour=behaviour), dataset, split)


# ----------------------------------------------------------------- examples


def test_an_example_must_be_answered_as_declared() -> None:
    examples = [{"text": "do it", "label": "yes"}, {"instance": {"text": "x"}, "label": "yes"}]
    assert ask(says_yes_to("do"), texts("-"), must_be=examples) == {
        "pass_rate": 0.5,
        "checks": [
            {
                "name": "must be",
                "passed": 1,
                "cases": 2,
                "failures": ['{"text": "x"} -> no, expected yes'],
            }
        ],
    }


@pytest.mark.parametrize(
    ("limits", "passed", "expected"),
    [
        ({"minimum": 10}, 1, ""),
        ({"maximum": 10}, 1, ""),
        ({"minimum": 10, "maximum": 10}, 1, ""),
        ({"minimum": 10.5}, 0, "'x' -> 10, expected 10.5 or more"),
        ({"maximum": 9}, 0, "'x' -> 10, expected 9 or less"),
        ({"minimum": 11, "maximum": 12}, 0, "'x' -> 10, expected 11 to 12"),
    ],
)
def test_a_value_must_lie_within_its_limits(
    limits: dict[str, float], passed: int, expected: str
) -> None:
    predictor = Rule(lambda _: [10.0], Output(name="price", type="number"))
    [found] = ask(predictor, texts("-"), must_be=[{"text": "x", **limits}])["checks"]
    assert (found["passed"], "".join(found["failures"])) == (passed, expected)


def test_of_several_labels_the_declared_one_must_be_there() -> None:
    output = Output(name="tags", type="labels", labels=["a", "b"], thresholds={"a": 0.5, "b": 0.5})
    predictor = Rule(lambda _: [0.9, 0.1], output)
    examples = [{"text": "x", "label": label} for label in ("a", "b")]
    [found] = ask(predictor, texts("-"), must_be=examples)["checks"]
    assert (found["passed"], found["failures"]) == (1, ["'x' -> a, expected b"])


def test_an_instance_that_the_model_does_not_take_has_failed() -> None:
    [found] = ask(says_yes_to("x"), texts("-"), must_be=[{"text": "refused", "label": "yes"}])[
        "checks"
    ]
    assert found["failures"] == ["'refused' -> no answer: the model refuses it, expected yes"]


# -------------------------------------------------------------- invariances


def test_no_answer_is_never_the_same_answer() -> None:
    [check] = ask(says_yes_to("x"), texts("refused"), invariant_to=["spacing"])["checks"]
    assert (check["passed"], check["cases"]) == (0, 1)


def test_one_instance_that_is_refused_spoils_no_other() -> None:
    dataset = texts("an x", "refused")
    [check] = ask(says_yes_to("x"), dataset, invariant_to=["spacing"])["checks"]
    assert (check["passed"], check["cases"]) == (2, 3)


def test_the_case_of_a_text_must_not_matter() -> None:
    predictor = says_yes_to("Undo|don't")
    found = ask(predictor, texts("how do I Undo", "I don't"), invariant_to=["case"])
    assert [row["text"] for row in predictor.asked if "ndo" in row["text"].lower()][3:] == [
        "how do i undo",
        "HOW DO I UNDO",
        "How Do I Undo",
    ]
    [check] = found["checks"]
    # Wrong are: how do i undo, HOW DO I UNDO, I DON'T, I Don't.
    assert (check["name"], check["passed"], check["cases"]) == ("case", 2, 6)
    assert "'how do I Undo' -> yes, 'HOW DO I UNDO' -> no" in check["failures"]
    assert found["pass_rate"] == pytest.approx(2 / 6)


def test_blanks_must_not_matter() -> None:
    predictor = says_yes_to("^a b$|^c")
    [check] = ask(predictor, texts("a b", "c"), invariant_to=["spacing"])["checks"]
    assert (check["passed"], check["cases"]) == (0, 3)  # one word has no blank to double
    assert "'a b' -> yes, 'a  b' -> no" in check["failures"]
    assert "'c' -> yes, '  c  ' -> no" in check["failures"]


def test_a_typo_is_two_letters_of_one_longer_word_that_change_places() -> None:
    predictor = says_yes_to("commit")
    [check] = ask(predictor, texts("how do I commit", "a b cccccc"), invariant_to=["typos"])[
        "checks"
    ]
    assert (check["passed"], check["cases"]) == (0, 1)
    before, after = predictor.asked
    assert sorted(before["text"]) == sorted(after["text"])
    assert before["text"][:10] == after["text"][:10] != before["text"] != after["text"]
    places = [
        i for i, (a, b) in enumerate(zip(before["text"], after["text"], strict=True)) if a != b
    ]
    assert len(places) == 2
    assert places[1] == places[0] + 1


@given(st.text(alphabet="abc é1-", max_size=40))
def test_no_typo_changes_more_than_two_letters(text: str) -> None:
    for changed in perturbations._with_typo(["text"], {"text": text}):
        different = [a for a, b in zip(text, changed["text"], strict=True) if a != b]
        assert len(different) == 2
        assert perturbations._with_typo(["text"], {"text": text}) == [changed]


@pytest.mark.parametrize(
    ("text", "swapped"),
    [
        ("she said he is there", "he said she is there"),
        ("She said HE is here", "He said SHE is here"),
        ("the sheet of her", None),
        ("he-man's", "she-man's"),
    ],
)
def test_a_swap_is_of_whole_words_whose_case_is_kept(text: str, swapped: str | None) -> None:
    predictor = says_yes_to("x")
    [check] = ask(predictor, texts(text), swaps=[["he", "she"]])["checks"]
    assert check["name"] == "swap he / she"
    assert [row["text"] for row in predictor.asked] == ([text, swapped] if swapped else [])
    assert check["cases"] == bool(swapped)


@pytest.mark.parametrize(
    ("pair", "text", "swapped"),
    [
        (
            ["London", "New York"],
            "to london, NEW YORK and London",
            "to new york, LONDON and New York",
        ),
        (["a", "the"], "A cat", "The cat"),
        (["C++", "C"], "C++ and C", "C and C++"),
    ],
)
def test_words_may_be_names_and_phrases(pair: list[str], text: str, swapped: str) -> None:
    predictor = says_yes_to("x")
    ask(predictor, texts(text), swaps=[pair])
    assert predictor.asked[1]["text"] == swapped


def test_a_category_is_swapped_in_the_columns_that_have_both() -> None:
    dataset = make_dataset(
        {
            "sex": ["male", "female", "male"],
            "role": ["male", "none", "none"],
            "age": [1.0, 2.0, 3.0],
        },
        [0, 0, 0],
        ["no", "yes"],
    )
    predictor = Rule(
        lambda row: [0.0, 1.0] if row["sex"] == "male" and row["age"] > 1 else [1.0, 0.0]
    )
    [check] = ask(predictor, dataset, swaps=[["male", "female"]])["checks"]
    assert (check["passed"], check["cases"]) == (1, 3)
    assert sorted(check["failures"]) == [
        'sex \'female\' -> no, sex \'male\' -> yes, with {"role": "none", "age": 2}',
        'sex \'male\' -> yes, sex \'female\' -> no, with {"role": "none", "age": 3}',
    ]
    assert all(row["role"] in ("male", "none") for row in predictor.asked)


@pytest.mark.parametrize(("moves", "passed"), [(0.049, 4), (-0.049, 4), (0.051, 1)])
def test_a_value_may_move_by_a_twentieth_of_the_spread_of_the_target(
    moves: float, passed: int
) -> None:
    # The standard deviation of the two rows trained on is 50; what the test rows are counts for nothing.
    dataset = make_dataset({"text": ["-", "-", "up", "UP"]}, [0.0, 100.0, 1e9, -1e9])
    predictor = Rule(
        lambda row: [1000 + moves * 50 * (row["text"] == "UP")], Output(name="p", type="number")
    )
    rows = np.arange(4)
    of_text = replace(dataset, column_types={"text": "text"})
    split = Split(rows[:2], rows[:0], rows[2:])
    [check] = measure(declaring(of_text, split, invariant_to=["case"]), predictor)["checks"]  # type: ignore[arg-type]
    # up becomes UP and Up, UP becomes up and Up; only up and Up have the same value.
    assert (check["passed"], check["cases"]) == (passed, 4)


def test_so_many_rows_are_asked_about_and_always_the_same() -> None:
    dataset = texts(*(f"text number{i}" if i % 2 else "UPPER" for i in range(1000)))
    asked = []
    for _ in range(2):
        predictor = says_yes_to("x")
        [check] = ask(predictor, dataset, swaps=[["text", "title"]])["checks"]
        assert check["cases"] == 200  # of the 500 rows that have the word
        asked.append(predictor.asked)
    assert asked[0] == asked[1]
    assert len({row["text"] for row in asked[0]}) == 400


def test_a_check_without_a_case_says_so_and_counts_for_nothing() -> None:
    found = ask(says_yes_to("x"), texts("a b"), invariant_to=["typos"])
    assert found == {
        "pass_rate": None,
        "checks": [{"name": "typos", "passed": 0, "cases": 0, "failures": []}],
    }


def test_every_check_counts_the_same_however_many_cases_it_has() -> None:
    found = ask(
        says_yes_to("never"),
        texts(*(f"text number{i}" for i in range(100))),
        must_be=[{"text": "x", "label": "yes"}],
        invariant_to=["case"],
    )
    assert [(check["passed"], check["cases"]) for check in found["checks"]] == [(0, 1), (200, 200)]
    assert found["pass_rate"] == 0.5


def test_of_a_long_text_the_place_that_changed_is_shown() -> None:
    long = f"{'word ' * 40}undo {'word ' * 40}"
    [check] = ask(says_yes_to("undo"), texts(long), swaps=[["undo", "redo"]])["checks"]
    [failure] = check["failures"]
    assert re.search(r"'….*undo.*…' -> yes, '….*redo.*…' -> no", failure)
    assert len(failure) < 200


# --------------------------------------------------------------- directions


def test_a_number_that_grows_must_not_lower_what_it_should_raise(tmp_path: Path) -> None:
    predictor = Predictor.load(write_tiny_table(tmp_path / "houses", HOUSES))
    dataset = make_dataset(
        {"rooms": [1.0, 2.0, 3.0], "area": [20.0, float("nan"), 50.0]}, [1.0, 2.0, 3.0]
    )
    up = {"column": "area", "by": 10, "expect": "up"}
    found = ask(predictor, dataset, directions=[up, {**up, "expect": "down"}])
    assert [check["name"] for check in found["checks"]] == [
        "area by +10: value up",
        "area by +10: value down",
    ]
    # A row without an area is no case. A square metre is worth 3.
    assert [(check["passed"], check["cases"]) for check in found["checks"]] == [(2, 2), (0, 2)]
    assert 'area 20 -> 30: 61 -> 91, with {"rooms": 1}' in found["checks"][1]["failures"]


LOANS = Table(
    metadata={
        "task": "classification",
        "inputs": [
            {"name": "age", "type": "number"},
            {"name": "job", "type": "category", "nullable": True, "categories": ["none", "some"]},
        ],
        "outputs": [{"name": "given", "type": "label", "labels": ["no", "yes"]}],
    },
    instances=[{"age": 20, "job": "some"}],
    truths=["yes"],
    numbers={"age": (0.0, 0.001)},
    strings={"job": {"none": -1.0, "some": 1.0}},
    factors=(0.0, 1.0),
    activation="Softmax",
)


@pytest.mark.parametrize(
    ("direction", "passed", "cases"),
    [
        ({"column": "job", "to": "some", "expect": "up", "label": "yes"}, 1, 1),
        ({"column": "job", "to": "some", "expect": "up", "label": "no"}, 0, 1),
        ({"column": "job", "to": "none", "expect": "down", "label": "yes"}, 2, 2),
        ({"column": "age", "by": -5, "expect": "up", "label": "no"}, 4, 4),
        ({"column": "age", "by": 5, "expect": "down", "label": "yes"}, 0, 4),
        # A probability that falls by 3e-7 has not fallen.
        ({"column": "age", "by": 0.001, "expect": "down", "label": "yes"}, 4, 4),
    ],
)
def test_the_probability_of_the_label_must_not_go_the_other_way(
    tmp_path: Path, direction: dict[str, Any], passed: int, cases: int
) -> None:
    predictor = Predictor.load(write_tiny_table(tmp_path / "loans", LOANS))
    dataset = make_dataset(
        {"age": [20.0, 30.0, 40.0, 50.0], "job": ["some", "none", "some", ""]},
        [0, 0, 1, 1],
        ["no", "yes"],
    )
    [check] = ask(predictor, dataset, directions=[direction])["checks"]
    assert (check["passed"], check["cases"]) == (passed, cases)


def test_an_answer_that_is_no_number_goes_the_wrong_way() -> None:
    predictor = Rule(
        lambda row: [float("nan") if row["age"] > 1 else 1.0], Output(name="p", type="number")
    )
    dataset = make_dataset({"age": [1.0]}, [1.0])
    [check] = ask(predictor, dataset, directions=[{"column": "age", "by": 1, "expect": "up"}])[
        "checks"
    ]
    assert (check["passed"], check["cases"]) == (0, 1)


# ----------------------------------------------------------- before training


def _problems(config: TrainConfig, dataset: Dataset) -> list[str]:
    rows = np.arange(len(dataset))
    return behaviour.problems_of(Prepared(config, dataset, Split(rows, rows[:0], rows)))


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> tuple[Callable[..., TrainConfig], Dataset]:
    folder = tmp_path_factory.mktemp("table")
    columns = {"label": "left", "inputs": {"said": "text", "spent": "ignore", "since": "date"}}
    configure = partial(table_config, folder, write_table(folder / "t.csv"), columns=columns)
    return configure, load_dataset(configure())


FITTING = {"age": 30, "visits": 1, "paid": 9.5, "plan": "pro", "since": None, "said": "all is well"}


@pytest.mark.parametrize(
    "declared",
    [
        {},
        {"must_be": [{"instance": FITTING, "label": "yes"}]},
        {"invariant_to": ["case", "spacing", "typos"]},
        {"swaps": [["basic", "pro"], ["cancel", "zzz"], ["Cancel", "Stop"]]},
        {"directions": [{"column": "age", "by": 1, "expect": "down", "label": "yes"}]},
        {"directions": [{"column": "plan", "to": "pro", "expect": "down", "label": "yes"}]},
    ],
)
def test_tests_that_fit_the_dataset_are_none_to_complain_of(
    table: tuple[Callable[..., TrainConfig], Dataset], declared: dict[str, Any]
) -> None:
    configure, dataset = table
    assert _problems(configure(behaviour=declared), dataset) == []


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({"must_be": [{"instance": FITTING | {"ag": 3}, "label": "yes"}]},
         "must_be.0.instance.ag: unknown field; did you mean age?."),
        ({"must_be": [{"instance": {"age": 3}, "label": "yes"}]},
         "must_be.0.instance.visits: missing; expected a number."),
        ({"must_be": [{"instance": FITTING | {"visits": None}, "label": "yes"}]},
         "must_be.0.instance.visits: expected a number, got null: it was never missing in training."),
        ({"must_be": [{"instance": FITTING | {"age": "old"}, "label": "yes"}]},
         "must_be.0.instance.age: expected a number, got a string."),
        ({"must_be": [{"instance": FITTING, "label": "yess"}]},
         "must_be.0.label: no label 'yess'. Did you mean yes?"),
        ({"must_be": [{"instance": FITTING, "minimum": 3}]},
         "must_be.0.label: missing; a minimum and a maximum are for task: regression."),
        ({"must_be": [{"text": "hello", "label": "yes"}]},
         "must_be.0.text: the columns are age, visits, paid, plan, since, said; give an instance."),
        ({"swaps": [["he", "she"]]}, "swaps.0: no text has 'he' or 'she', and no column has both as categories."),
        ({"must_be": [{"instance": FITTING | {"plan": "prp"}, "label": "yes"}]},
         "must_be.0.instance.plan: no row has the category 'prp'. Did you mean pro."),
        ({"must_be": [{"instance": FITTING | {"plan": False}, "label": "yes"}]},
         "must_be.0.instance.plan: no row has the category 'false'. A text goes into quotes. Known: basic, plus, pro."),
        ({"swaps": [["pro", "basix"]]}, "swaps.0: plan has the category 'pro', and no 'basix'. Did you mean basic?"),
        ({"swaps": [["gold", "plus"]]}, "swaps.0: plan has the category 'plus', and no 'gold'. Known: basic,"
         " plus, pro."),
        ({"swaps": [["pro", "pro"]]}, "swaps.0: 'pro' is given twice."),
        ({"swaps": [["pro", " "]]}, "swaps.0: expected two words, got an empty one."),
        ({"directions": [{"column": "agee", "by": 1, "expect": "up", "label": "yes"}]},
         "directions.0.column: no column 'agee'. Did you mean age?"),
        ({"directions": [{"column": "spent", "by": 1, "expect": "up", "label": "yes"}]},
         "directions.0.column: no column 'spent'. It is ignored: as declared; see columns.inputs."),
        ({"directions": [{"column": "age", "to": "old", "expect": "up", "label": "yes"}]},
         "directions.0.to: is for a category; age is a number."),
        ({"directions": [{"column": "plan", "by": 1, "expect": "up", "label": "yes"}]},
         "directions.0.by: is for a number; plan is a category."),
        ({"directions": [{"column": "age", "by": 0, "expect": "up", "label": "yes"}]},
         "directions.0.by: 0 changes nothing."),
        ({"directions": [{"column": "plan", "to": "prp", "expect": "up", "label": "yes"}]},
         "directions.0.to: plan has no 'prp'. Did you mean pro?"),
        ({"directions": [{"column": "plan", "to": "pro", "expect": "up"}]},
         "directions.0.label: missing; say whose probability is meant: no, yes."),
        ({"directions": [{"column": "plan", "to": "pro", "expect": "up", "label": "maybe"}]},
         "directions.0.label: no label 'maybe'. Known: no, yes."),
    ],
)  # fmt: skip
def test_a_test_that_does_not_fit_is_refused_with_its_place(
    table: tuple[Callable[..., TrainConfig], Dataset], declared: dict[str, Any], problem: str
) -> None:
    configure, dataset = table
    assert f"behaviour.{problem}" in _problems(configure(behaviour=declared), dataset)


def test_all_problems_are_reported_at_once(
    table: tuple[Callable[..., TrainConfig], Dataset],
) -> None:
    configure, dataset = table
    declared = {
        "must_be": [{"instance": FITTING | {"age": "old"}, "label": "maybe"}],
        "swaps": [["pro", "pro"]],
        "directions": [{"column": "plan", "by": 1, "expect": "up"}],
    }
    found = _problems(configure(behaviour=declared), dataset)
    assert [problem.partition(": ")[0] for problem in found] == [
        "behaviour.must_be.0.instance.age",
        "behaviour.must_be.0.label",
        "behaviour.swaps.0",
        "behaviour.directions.0.by",
        "behaviour.directions.0.label",
    ]


def test_without_texts_there_is_nothing_to_write_otherwise() -> None:
    config = TrainConfig.model_validate(
        {"dataset": "made", "behaviour": {"invariant_to": ["case"]}}
    )
    dataset = make_dataset({"age": [1.0, 2.0]}, [0, 1], ["no", "yes"])
    assert _problems(config, dataset) == [
        "behaviour.invariant_to: the dataset has no column of texts."
    ]


@pytest.mark.parametrize(
    ("declared", "problem"),
    [
        ({"must_be": [{"instance": {"age": 1}, "label": "yes"}]},
         "must_be.0.label: this is a regression; give a minimum, a maximum or both."),
        ({"must_be": [{"instance": {"age": 1}, "minimum": 2, "maximum": 1}]},
         "must_be.0.minimum: 2 is above the maximum, 1."),
        ({"directions": [{"column": "age", "by": 1, "expect": "up", "label": "yes"}]},
         "directions.0.label: this is a regression, which has no labels."),
    ],
)  # fmt: skip
def test_a_regression_has_limits_and_no_labels(declared: dict[str, Any], problem: str) -> None:
    config = TrainConfig.model_validate(
        {"dataset": "made", "task": "regression", "behaviour": declared}
    )
    dataset = make_dataset({"age": [1.0, 2.0]}, [0.5, 1.5])
    assert _problems(config, dataset) == [f"behaviour.{problem}"]


@pytest.mark.parametrize(
    ("text", "problems"),
    [("how do I", []), (" ", ["behaviour.must_be.0.text: empty text."])],
)
def test_an_example_for_the_text_model_is_checked_as_when_it_is_served(
    text: str, problems: list[str]
) -> None:
    content = {
        "dataset": "made",
        "model": {"pipeline": "wide_and_deep"},
        "behaviour": {"must_be": [{"text": text, "label": "yes"}]},
    }
    assert _problems(TrainConfig.model_validate(content), texts("a", "b")) == problems


# ------------------------------------------------------------------ for real


@pytest.mark.parametrize(
    ("changes", "direction"),
    [
        ({}, {"expect": "down", "label": "yes"}),  # the old stay,
        (of_spent(said="text"), {"expect": "up"}),  # and spend more
    ],
)
def test_a_model_of_a_table_is_asked_through_its_artefact(
    tmp_path: Path, changes: dict[str, Any], direction: dict[str, Any]
) -> None:
    config = table_config(tmp_path, write_table(tmp_path / "t.csv"), **changes)
    declared = {
        "swaps": [["basic", "pro"]],
        "directions": [{"column": "age", "by": 5, **direction}],
    }
    config = config.model_copy(update={"behaviour": BehaviourConfig.model_validate(declared)})
    found: dict[str, Any] = {}

    def ask_all(predictor: Predictor, prepared: Prepared) -> tuple[dict[str, Any], bool]:
        found.update(measure(prepared, predictor))
        assert found == measure(prepared, predictor)
        return found, True

    artefact = export_table(config, ask_all)
    assert json.loads((artefact / METRICS).read_bytes()) == found
    swap, age = found["checks"]
    assert age["passed"] == age["cases"] > 40
    assert swap["cases"] > 20
    if not changes:
        assert swap["passed"] < swap["cases"]  # basic customers leave
        assert re.search(r"plan '\w+' -> (yes|no), plan '\w+' -> (yes|no)", swap["failures"][0])
