"""Claims about what a person is shown of the test rows: mistakes, suspected labels, curves."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics

from train.config import TrainConfig
from train.data.dataset import Dataset
from train.data.splits import Prepared, Split
from train.evaluation.answered import Answered
from train.evaluation.curves import draw_curves
from train.evaluation.evidence import inspect_rows
from train.evaluation.mistakes import find_mistakes, find_suspects
from train.models.decision import Decision
from train.tests.tables import make_dataset, table_config

NAMES = ["a", "b", "c"]


def _dataset(targets: Any, names: list[str] | None = None) -> Dataset:
    count = len(targets)
    columns = {"id": [float(i) for i in range(count)], "said": [f"row {i}" for i in range(count)]}
    return make_dataset(columns, targets, NAMES if names is None else names)


def _look(find: Any, targets: Any, outputs: Any, decision: Decision) -> tuple[list[Any], int]:
    """Let something find in rows that come after another, which is not for the test."""
    truth, rows = np.asarray(targets), np.arange(1, len(targets) + 1)
    dataset = _dataset(np.concatenate([truth[:1], truth]), list(decision.label_names))
    return find(dataset, rows, Answered(truth, np.asarray(outputs, float), decision))


def _ids(found: list[dict[str, Any]]) -> list[int]:
    return [instance["instance"]["id"] - 1 for instance in found]


# ------------------------------------------------------------------ mistakes


def test_the_most_confident_mistakes_come_first() -> None:
    outputs = [[0.6, 0.3, 0.1], [0.9, 0.05, 0.05], [0.1, 0.2, 0.7], [0.2, 0.8, 0.0]]
    found, count = _look(find_mistakes, [1, 1, 2, 2], outputs, Decision("label", NAMES))
    assert count == 3
    assert _ids(found) == [1, 3, 0]
    assert found[0] == {
        "instance": {"id": 2, "said": "row 2"},
        "truth": "b",
        "answer": "a",
        "score": 0.9,
    }


def test_a_mistake_is_one_at_the_threshold_that_was_chosen() -> None:
    decision = Decision("label", ["no", "yes"], thresholds={"yes": 0.2}, positive="yes")
    found, count = _look(find_mistakes, [0, 0, 1], [[0.7, 0.3], [0.9, 0.1], [0.7, 0.3]], decision)
    assert (count, _ids(found)) == (1, [0])
    assert found[0]["score"] == 0.3


def test_the_largest_errors_come_first_on_either_side() -> None:
    found, count = _look(find_mistakes, [1.0, 2.0, 3.0], [[4.0], [-2.5], [3.0]], Decision("number"))
    assert count == 2
    assert _ids(found)[:2] == [1, 0]
    assert found[0] | {"instance": None} == {
        "instance": None,
        "truth": 2.0,
        "answer": -2.5,
        "error": -4.5,
    }


def test_a_wrong_set_of_labels_says_which_it_is_surest_about() -> None:
    decision = Decision("labels", NAMES, thresholds=dict.fromkeys(NAMES, 0.5))
    truth = [[True, True, False], [True, False, False], [False, False, True]]
    outputs = [[0.9, 0.2, 0.6], [0.9, 0.1, 0.1], [0.1, 0.95, 0.9]]
    found, count = _look(find_mistakes, truth, outputs, decision)
    assert (count, _ids(found)) == (2, [2, 0])
    assert found[0]["truth"] == ["c"]
    assert found[0]["answer"] == ["b", "c"]
    assert (found[0]["label"], found[0]["score"]) == ("b", 0.95)
    assert (found[1]["label"], found[1]["score"]) == ("b", 0.8)


def test_twenty_mistakes_are_enough() -> None:
    found, count = _look(find_mistakes, [0] * 50, [[0.1, 0.9, 0.0]] * 50, Decision("label", NAMES))
    assert (len(found), count) == (20, 50)
    assert _ids(found) == list(range(20))


def test_a_model_without_mistakes_has_none() -> None:
    for truth, outputs, decision in (
        ([0], [[0.9, 0.1, 0.0]], Decision("label", NAMES)),
        (
            [[True, False, False]],
            [[0.9, 0.1, 0.0]],
            Decision("labels", NAMES, thresholds=dict.fromkeys(NAMES, 0.5)),
        ),
    ):
        assert _look(find_mistakes, truth, outputs, decision) == ([], 0)
        assert _look(find_suspects, truth, outputs, decision) == ([], 0)


def test_a_long_instance_is_cut() -> None:
    columns: dict[str, list[Any]] = {f"column {i}": [1.0] for i in range(14)}
    dataset = make_dataset({"said": ["x" * 200], **columns}, [0], NAMES)
    answered = Answered(np.array([0]), np.array([[0.0, 1.0, 0.0]]), Decision("label", NAMES))
    [mistake], _ = find_mistakes(dataset, np.array([0]), answered)
    assert mistake["instance"]["said"] == "x" * 160 + "…"
    assert list(mistake["instance"])[1:] == [*[f"column {i}" for i in range(11)], "…"]
    assert mistake["instance"]["…"] == "3 more"


# ------------------------------------------------------------------ suspects


def test_swapped_labels_are_suspected_and_others_are_not() -> None:
    random = np.random.default_rng(0)
    real = random.integers(0, 3, 300)
    swapped = [5, 50, 250]
    sure = random.uniform(0.5, 0.9, 300)
    sure[swapped] = [0.9, 0.95, 0.92]
    outputs = np.repeat((1 - sure)[:, None] / 2, 3, axis=1)
    outputs[np.arange(300), real] = sure
    given = real.copy()
    given[swapped] = (real[swapped] + 1) % 3
    found, count = _look(find_suspects, given, outputs, Decision("label", NAMES))
    assert _ids(found) == [50, 250, 5]
    assert count == 3
    first = found[0]
    assert (first["given"], first["probable"]) == (NAMES[given[50]], NAMES[real[50]])
    assert (first["own"], first["score"]) == (0.025, 0.95)


def test_an_answer_that_is_less_sure_than_usual_makes_no_suspect() -> None:
    """On average, rows of a are given 0.8, so 0.7 is no reason to doubt another label."""
    outputs = [[0.9, 0.1, 0], [0.7, 0.3, 0], [0.7, 0.3, 0], [0.1, 0.9, 0]]
    assert _look(find_suspects, [0, 0, 1, 1], outputs, Decision("label", NAMES)) == ([], 0)
    outputs[2] = [0.81, 0.19, 0]
    found, count = _look(find_suspects, [0, 0, 1, 1], outputs, Decision("label", NAMES))
    assert (_ids(found), count) == ([2], 1)


def test_a_label_that_no_test_row_has_is_not_what_a_row_should_be() -> None:
    assert (
        _look(find_suspects, [0, 0], [[0.9, 0.1, 0], [0.0, 0.0, 1.0]], Decision("label", NAMES))[1]
        == 0
    )


def test_a_set_of_labels_is_suspected_for_one_too_many_or_too_few() -> None:
    decision = Decision("labels", ["x", "y"], thresholds={"x": 0.5, "y": 0.5})
    truth = np.array([[True, False]] * 10 + [[False, True]] * 10)
    outputs = np.where(truth, 0.9, 0.1)
    outputs[3] = [0.9, 0.96]  # y is missing
    outputs[15] = [0.02, 0.03]  # y is one too many
    found, count = _look(find_suspects, truth, outputs, decision)
    assert (_ids(found), count) == ([15, 3], 2)
    assert found[0] | {"instance": None} == {
        "instance": None, "given": "y", "own": 0.03, "probable": "not y", "score": 0.97,
    }  # fmt: skip
    assert (found[1]["given"], found[1]["probable"], found[1]["score"]) == ("not y", "y", 0.96)


def test_numbers_have_no_suspects() -> None:
    assert _look(find_suspects, [1.0, 2.0], [[1.0], [900.0]], Decision("number")) == ([], 0)


# -------------------------------------------------------------------- curves


def _curves(targets: Any, outputs: Any, decision: Decision) -> dict[str, Any]:
    return draw_curves(Answered(np.asarray(targets), np.asarray(outputs), decision))


def test_curves_of_two_labels_are_those_of_scikit_learn() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 2, 5000)
    positive = np.clip(0.3 * truth + random.random(5000) * 0.7, 0, 1)
    curves = _curves(
        truth, np.column_stack([1 - positive, positive]), Decision("label", ["n", "y"])
    )
    roc, pr = curves["roc"], curves["pr"]
    assert roc["label"] == pr["label"] == ("y" if truth.mean() <= 0.5 else "n")
    if roc["label"] == "n":
        truth, positive = 1 - truth, 1 - positive
    assert roc["area"] == pytest.approx(metrics.roc_auc_score(truth, positive))
    assert pr["average_precision"] == pytest.approx(
        metrics.average_precision_score(truth, positive)
    )
    assert pr["positive_share"] == pytest.approx(truth.mean())
    false, true = roc["false_positive_rate"], roc["true_positive_rate"]
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert (pr["recall"][0], pr["recall"][-1], pr["precision"][-1]) == (1, 0, 1)
    assert 100 < len(false) == len(true) <= 202
    assert len(pr["recall"]) == len(pr["precision"]) <= 202
    assert metrics.auc(false, true) == pytest.approx(roc["area"], abs=0.001)


def test_curves_of_many_labels_pool_them() -> None:
    outputs = np.array([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.4, 0.35, 0.25]])
    curves = _curves([0, 1, 2], outputs, Decision("label", NAMES))
    flat = np.eye(3)[[0, 1, 2]].ravel()
    assert curves["roc"]["label"] is None
    assert curves["roc"]["area"] == pytest.approx(metrics.roc_auc_score(flat, outputs.ravel()))
    assert "thresholds" not in curves


def test_label_sets_have_a_view_of_a_common_threshold() -> None:
    decision = Decision("labels", ["x", "y"], thresholds={"x": 0.5, "y": 0.5})
    truth = np.array([[True, False], [True, True]])
    rows = _curves(truth, [[0.9, 0.4], [0.3, 0.8]], decision)["thresholds"]
    assert rows == [
        {"threshold": 0.3, "precision": 0.75, "recall": 1.0, "f1": 0.857143},
        {"threshold": 0.4, "precision": 0.666667, "recall": 0.666667, "f1": 0.666667},
        {"threshold": 0.8, "precision": 1.0, "recall": 0.666667, "f1": 0.8},
        {"threshold": 0.9, "precision": 1.0, "recall": 0.333333, "f1": 0.5},
    ]


def test_rows_that_all_have_the_same_label_have_no_curves() -> None:
    assert (
        _curves([1, 1], [[0.4, 0.6], [0.1, 0.9]], Decision("label", ["n", "y"], positive="y")) == {}
    )


def test_a_thousand_values_stand_for_all_and_they_are_the_same_every_time() -> None:
    truth = np.arange(5000.0)
    first, second = (_curves(truth, truth[:, None] + 1, Decision("number")) for _ in range(2))
    values = first["values"]
    assert first == second
    assert len(set(values["truth"])) == len(values["value"]) == 1000
    assert all(value == true + 1 for true, value in zip(*values.values(), strict=True))


def test_of_very_many_probabilities_some_rows_are_enough() -> None:
    random = np.random.default_rng(0)
    truth = random.integers(0, 500, 5000)
    outputs = random.random((5000, 500))
    outputs[np.arange(5000), truth] += 0.5
    area = _curves(truth, outputs, Decision("label", [f"{i:03}" for i in range(500)]))["roc"][
        "area"
    ]
    assert area == pytest.approx(0.875, abs=0.01)


# -------------------------------------------------------------------- gather


def _gather(config: TrainConfig, dataset: Dataset, split: Split, outputs: Any) -> dict[str, Any]:
    prepared = Prepared(config, dataset, split)
    decision = Decision("label", dataset.label_names)
    return inspect_rows(prepared, Answered(prepared.test_targets, outputs, decision))


def test_everything_is_gathered_of_the_test_rows_alone_and_fits_into_json(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    targets = random.integers(0, 3, 600)
    dataset, test = _dataset(targets), np.arange(200, 600)
    outputs = np.full((400, 3), 0.1)
    outputs[np.arange(400), np.where(random.random(400) < 0.8, targets[test], 0)] = 0.8
    split = Split(np.arange(150), np.arange(150, 200), test)
    config = table_config(tmp_path, "x")
    found = _gather(config, dataset, split, outputs)
    assert list(found) == ["slices", "mistakes", "suspects", "curves", "evidence"]
    wrong = int((outputs.argmax(axis=1) != targets[test]).sum())
    assert found["evidence"]["mistakes"] == wrong > 20
    assert found["evidence"]["suspects"] == wrong
    assert all(mistake["instance"]["id"] >= 200 for mistake in found["mistakes"])
    assert {part["column"] for part in found["slices"]} == {"id", "label"}
    assert sum(part["rows"] for part in found["slices"] if part["column"] == "label") == 400
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_the_columns_that_are_asked_for_are_sliced(tmp_path: Path) -> None:
    dataset = _dataset([0, 1, 2] * 40)
    split = Split(np.arange(0), np.arange(0), np.arange(120))
    config = table_config(tmp_path, "x", evaluation={"slices": ["id"]})
    found = _gather(config, dataset, split, np.eye(3)[[0, 1, 1] * 40])
    assert {part["column"] for part in found["slices"]} == {"id"}


def test_many_rows_and_labels_are_gathered_in_a_few_seconds_and_a_few_kilobytes(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(0)
    names = [f"label {i:02}" for i in range(50)]
    targets = random.integers(0, 50, 20_000)
    dataset = _dataset(targets, names)
    split = Split(np.arange(0), np.arange(0), np.arange(20_000))
    outputs = random.dirichlet(np.ones(50), 20_000)
    found = _gather(table_config(tmp_path, "x"), dataset, split, outputs)
    assert len(json.dumps(found)) < 100_000
    assert len(found["slices"]) <= 60
