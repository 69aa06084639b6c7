"""Claims about the parts of the test rows that the model is measured on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics

from train.data.splits import Prepared
from train.evaluation.answered import Answered
from train.evaluation.slices import (
    MISSING,
    Column,
    by_date,
    by_length,
    by_number,
    by_value,
    columns_of,
    measure,
    measure_slices,
    problems_of,
)
from train.models.decision import Decision
from train.tests.tables import make_dataset, split_of, table_config


def _answered(truth: Any, answers: Any, names: tuple[str, ...] = ("no", "yes")) -> Answered:
    outputs = np.eye(len(names))[np.asarray(answers)] * 0.8 + 0.2 / len(names)
    return Answered(np.asarray(truth), outputs, Decision("label", list(names), positive=names[-1]))


def _rows_by_name(column: Column) -> dict[str, list[int]]:
    return {
        name: np.flatnonzero(column.codes == code).tolist()
        for code, name in enumerate(column.names)
        if (column.codes == code).any()
    }


# ------------------------------------------------------------------- columns


def test_a_number_with_few_values_is_sliced_by_value() -> None:
    column = by_number("visits", np.array([2.0, np.nan, 0.5, 2.0]))
    assert _rows_by_name(column) == {"0.5": [2], "2": [0, 3], MISSING: [1]}


def test_a_number_with_many_values_is_sliced_by_quartile() -> None:
    column = by_number("age", np.array([*range(1, 9), np.nan, 12345.6]))
    assert _rows_by_name(column) == {
        "1 to 2": [0, 1],
        "3 to 4": [2, 3],
        "5 to 6": [4, 5],
        "7 to 12,346": [6, 7, 9],
        MISSING: [8],
    }


def test_quartiles_that_are_the_same_are_one_slice() -> None:
    values = np.array([0.0] * 80 + [float(i) for i in range(1, 21)])
    names = _rows_by_name(by_number("often 0", values))
    assert {name: len(rows) for name, rows in names.items()} == {"0 to 20": 100}
    values = np.array([0.0] * 60 + [float(i) for i in range(1, 41)])
    names = _rows_by_name(by_number("often 0", values))
    assert {name: len(rows) for name, rows in names.items()} == {"0 to 15": 75, "16 to 40": 25}


def test_a_number_that_is_never_known_is_one_slice() -> None:
    assert _rows_by_name(by_number("x", np.full(3, np.nan))) == {MISSING: [0, 1, 2]}


def test_a_category_is_sliced_by_value() -> None:
    column = by_value("plan", np.array(["b", "", "a", "b"], object))
    assert _rows_by_name(column) == {"b": [0, 3], MISSING: [1], "a": [2]}


def test_dates_of_few_years_are_sliced_by_quarter_and_of_many_by_year() -> None:
    few = np.array(["2023-12-31T23:59", "2024-01-01", "", "2024-03-31"], object)
    assert _rows_by_name(by_date("on", few)) == {
        "2023 Q4": [0],
        "2024 Q1": [1, 3],
        MISSING: [2],
    }
    many = np.array(["2022-05-01", "2023-05-01", "2024-05-01", "2024-11-30"], object)
    assert _rows_by_name(by_date("on", many)) == {"2022": [0], "2023": [1], "2024": [2, 3]}


def test_a_text_is_sliced_by_its_number_of_words() -> None:
    column = by_length("title", np.array(["", "one", "two  words", "a b"], object))
    assert column.name == "words in title"
    assert _rows_by_name(column) == {"0": [0], "1": [1], "2": [2, 3]}


def _mixed() -> Any:
    columns = {"age": [1.0, 2.0, 3.0], "plan": ["a", "b", "a"], "said": ["x y", "z", "x"]}
    dataset = make_dataset(columns, [0, 1, 1], ["no", "yes"])
    return replace(dataset, column_types=dataset.column_types | {"said": "text"})


def test_every_column_and_the_label_are_looked_at_if_nothing_is_said() -> None:
    columns = columns_of(_mixed(), np.array([2, 0]), [], None)
    assert [column.name for column in columns] == ["age", "plan", "words in said", "label"]
    assert _rows_by_name(columns[0]) == {"3": [0], "1": [1]}
    assert _rows_by_name(columns[3]) == {"yes": [0], "no": [1]}


def test_only_the_wanted_columns_are_looked_at_and_each_once() -> None:
    columns = columns_of(_mixed(), np.arange(3), ["label", "plan", "label"], None)
    assert [column.name for column in columns] == ["label", "plan"]


def test_texts_are_sliced_by_their_share_of_unknown_words() -> None:
    shares = np.array([0.0, 0.25, 0.51])
    dataset = replace(_mixed(), column_types={"said": "text"})
    column = columns_of(dataset, np.arange(3), [], shares)[-1]
    assert column.name == "unknown words"
    assert _rows_by_name(column) == {"none": [0], "up to 25 %": [1], "over 50 %": [2]}


def test_tables_are_not_sliced_by_unknown_words_nor_texts_if_only_the_label_is_wanted() -> None:
    of_texts = replace(_mixed(), column_types={"said": "text"})
    for dataset, wanted in ((_mixed(), "age"), (of_texts, "label")):
        columns = columns_of(dataset, np.arange(3), [wanted], np.zeros(3))
        assert [column.name for column in columns] == [wanted]


def test_rows_with_several_labels_are_in_several_slices() -> None:
    targets = np.array([[True, True], [False, True], [False, False]])
    dataset = make_dataset({"age": [1.0, 2.0, 3.0]}, targets, ["a", "b"])
    columns = columns_of(dataset, np.arange(3), ["label"], None)
    assert [_rows_by_name(column)[name] for column, name in zip(columns, "ab", strict=True)] == [
        [0],
        [0, 1],
    ]


def _problems(tmp_path: Path, names: list[str]) -> list[str]:
    config = table_config(tmp_path, "x", evaluation={"slices": names})
    return problems_of(Prepared(config, _mixed(), split_of(3, 1, 1)))


def test_every_slice_by_what_is_not_there_is_a_problem(tmp_path: Path) -> None:
    assert _problems(tmp_path, ["ages", "plan", "?"]) == [
        "evaluation.slices: 'ages' is neither an input nor the label. Did you mean age?",
        "evaluation.slices: '?' is neither an input nor the label. Known: age, plan, said, label.",
    ]
    assert _problems(tmp_path, ["age", "label"]) == []


# ------------------------------------------------------------------ measures


def test_the_measures_of_two_labels_are_those_of_the_positive_one() -> None:
    answered = _answered([1, 1, 1, 0, 0], [1, 0, 0, 0, 1])
    assert measure(answered) == {"accuracy": 2 / 5, "precision": 1 / 2, "recall": 1 / 3}


def test_what_has_no_meaning_in_a_slice_is_none() -> None:
    measured = measure(_answered([0, 0], [0, 0]))
    assert measured == {"accuracy": 1.0, "precision": None, "recall": None}


def test_the_positive_label_is_that_of_all_rows_not_that_of_a_slice() -> None:
    outputs = np.eye(2)[[0, 0, 0, 0, 1, 0]]
    whole = Answered(np.array([0, 0, 0, 0, 1, 1]), outputs, Decision("label", ["no", "yes"]))
    part = whole.part(np.array([3, 4, 5]))  # where "no" is rarer
    assert measure(part) == {"accuracy": 2 / 3, "precision": 1.0, "recall": 0.5}


def test_the_measures_of_many_labels_agree_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    truth, outputs = random.integers(0, 4, 200), random.dirichlet(np.ones(4), 200)
    answered = Answered(truth, outputs, Decision("label", list("abcd")))
    measured = measure(answered)
    assert measured["accuracy"] == pytest.approx(metrics.accuracy_score(truth, answered.answers))
    assert measured["macro_f1"] == pytest.approx(
        metrics.f1_score(truth, answered.answers, average="macro")
    )
    assert measured["log_loss"] == pytest.approx(metrics.log_loss(truth, outputs))


def test_the_measures_of_numbers_are_those_by_hand() -> None:
    answered = Answered(np.array([1.0, 2.0]), np.array([[4.0], [1.0]]), Decision("number"))
    assert measure(answered) == {"mae": 2.0, "rmse": np.sqrt(5.0), "mean_error": 1.0}


def test_the_measures_of_label_sets_are_those_by_hand() -> None:
    decision = Decision("labels", ["a", "b"], thresholds={"a": 0.5, "b": 0.5})
    truth = np.array([[True, False], [True, True]])
    answered = Answered(truth, np.array([[0.9, 0.1], [0.2, 0.9]]), decision)
    assert measure(answered) == {"micro_f1": 0.8, "subset_accuracy": 0.5}
    assert answered.losses().tolist() == [0.0, 0.5]


# -------------------------------------------------------------------- slices


def _measured(
    answered: Answered, *columns: Column, chosen: bool = False
) -> tuple[list[dict[str, Any]], dict[str, int]]:
    return measure_slices(answered, columns, chosen)


def test_a_slice_that_is_clearly_worse_comes_first_and_says_so() -> None:
    truth = np.zeros(400, int)
    answers = truth.copy()
    answers[:80] = 1  # 80 of the 200 rows of "bad"
    answers[398] = answers[397] = answers[396] = 1  # of the 4 of "tiny"
    codes = np.array([0] * 200 + [1] * 180 + [2] * 20)
    slices, about = _measured(_answered(truth, answers), Column("c", codes, ("bad", "good", "few")))
    assert [(found["value"], found["differs"]) for found in slices] == [
        ("bad", "worse"),
        ("few", None),
        ("good", "better"),
    ]
    assert slices[0] == {
        "column": "c", "value": "bad", "rows": 200, "accuracy": 0.6, "precision": 0.0, "recall": None,
        "differs": "worse",
    }  # fmt: skip
    assert about == {"least_rows": 20, "too_small": 0, "not_shown": 0}


def test_the_distance_from_the_other_rows_is_that_by_hand() -> None:
    """The standard error is 0.4 * sqrt(1/50 + 1/50) = 0.08: three of them are 0.24."""

    def differs(wrong: int) -> list[str | None]:
        answers = np.zeros(100, int)
        answers[:wrong] = answers[100 - (20 - wrong) :] = 1
        codes = np.repeat([0, 1], 50)
        slices, _ = _measured(_answered(np.zeros(100, int), answers), Column("c", codes, "ab"))
        return [found["differs"] for found in slices]

    assert differs(15) == [None, None]  # 0.30 against 0.10: 2.5
    assert differs(17) == ["worse", "better"]  # 0.34 against 0.06: 3.5


def test_small_slices_are_counted_and_left_out() -> None:
    codes = np.array([0] * 81 + [1] * 15 + [2] * 4)
    answered = _answered(np.zeros(100, int), np.zeros(100, int))
    slices, about = _measured(answered, Column("c", codes, ("a", "b", "c")))
    assert [found["value"] for found in slices] == ["a", "b"]
    assert about == {"least_rows": 5, "too_small": 1, "not_shown": 0}


def test_a_slice_of_all_rows_is_not_shown() -> None:
    answered = _answered(np.zeros(100, int), np.zeros(100, int))
    assert _measured(answered, Column("c", np.zeros(100, int), ("all",)))[0] == []


def test_no_column_crowds_out_the_others_unless_it_is_asked_for() -> None:
    answered = _answered(np.zeros(3000, int), np.arange(3000) % 2)
    many = Column("many", np.arange(3000) % 100, [str(i) for i in range(100)])
    two = Column("two", np.arange(3000) // 1500, ("a", "b"))
    slices, about = _measured(answered, many, two)
    assert [sum(found["column"] == name for found in slices) for name in ("many", "two")] == [8, 2]
    assert about["not_shown"] == 92
    slices, about = _measured(answered, many, two, chosen=True)
    assert len(slices) == 60
    assert about["not_shown"] == 42


def test_the_metrics_of_a_label_alone_leave_out_what_needs_others() -> None:
    answered = _answered([0, 1, 2] * 20, [0, 1, 1] * 20, ("a", "b", "c"))
    column = Column("label", np.array([0, 1, 2] * 20), ("a", "b", "c"), is_target=True)
    slices, _ = _measured(answered, column)
    assert slices[0]["value"] == "c"
    assert slices[0]["accuracy"] == 0.0
    assert [found["macro_f1"] for found in slices] == [None] * 3


def test_slices_of_a_frame_of_strings_work_whatever_their_dtype() -> None:
    frame = pd.DataFrame({"plan": pd.array(["a", "b", "a"], "str")})
    dataset = replace(_mixed(), frame=frame, column_types={"plan": "category"})
    [column] = columns_of(dataset, np.arange(3), ["plan"], None)
    assert _rows_by_name(column) == {"a": [0, 2], "b": [1]}
