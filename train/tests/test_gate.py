"""Claims about the gate: what it lets pass, why not, and what it refuses before anything is trained."""

import json
from typing import Any

import pytest

from predict.contract.artefact import ArtefactError
from train.acceptance import gate
from train.acceptance.gate import judge, passes
from train.config import TrainConfig
from train.data.dataset import Dataset
from train.data.splits import Prepared
from train.tests.tables import make_dataset, split_of

METRICS = {
    "accuracy": 0.9,
    "log_loss": 0.25,
    "ece": 0.04,
    "cross_validation": {"mean": {"macro_f1": 0.8}},
    "per_label": {"node.js": {"recall": 0.5}},
    "behaviour": {"pass_rate": 1.0},
    "rmse": float("nan"),
}


def _never() -> tuple[bool, str, float]:
    raise AssertionError("the gate did not ask for it")


@pytest.mark.parametrize(
    ("name", "condition", "passed", "why"),
    [
        ("accuracy", ">=0.9", True, "0.9 is >= 0.9"),
        ("accuracy", ">= 0.90", True, "0.9 is >= 0.90"),
        ("accuracy", "> 0.9", False, "0.9 is not > 0.9"),
        ("accuracy", "<=0.9", True, "0.9 is <= 0.9"),
        ("accuracy", "<.9", False, "0.9 is not < .9"),
        ("accuracy", ">=0.90000001", False, "0.9 is not >= 0.90000001"),
        ("log_loss", "<3e-1", True, "0.25 is < 3e-1"),
        ("ece", "<=0.05", True, "0.04 is <= 0.05"),
        ("macro_f1 in folds", ">0.85", False, "0.8 is not > 0.85"),
        ("per_label.node.js.recall", ">=0.5", True, "0.5 is >= 0.5"),
        ("behaviour", ">=0.95", True, "1 is >= 0.95"),
        ("roc_auc", ">=0.5", False, "roc_auc was not measured"),
        ("rmse", "<5", False, "rmse was not measured"),
        ("per_label.java.recall", ">=0.5", False, "per_label.java.recall was not measured"),
    ],
)
def test_a_condition_is_held_against_its_metric(
    name: str, condition: str, passed: bool, why: str
) -> None:
    [verdict] = judge({name: condition}, METRICS, _never)
    assert (verdict["passed"], verdict["why"]) == (passed, why)
    assert passes([verdict]) == passed
    assert set(verdict) == {"check", "value", "passed", "why"}


def test_a_value_that_fails_by_a_hair_is_told_from_its_limit() -> None:
    [verdict] = judge({"accuracy": ">=0.9"}, {"accuracy": 0.8999999}, _never)
    assert verdict["why"] == "0.8999999 is not >= 0.9"


def test_every_condition_is_judged_and_all_have_to_be_met() -> None:
    wanted = {"accuracy": ">=0.95", "ece": "<=0.05", "log_loss": "<0.1"}
    verdicts = judge(wanted, METRICS, _never)
    assert [verdict["check"] for verdict in verdicts] == [
        "accuracy >= 0.95",
        "ece <= 0.05",
        "log_loss < 0.1",
    ]
    assert [verdict["passed"] for verdict in verdicts] == [False, True, False]
    assert not passes(verdicts)
    assert passes(judge({}, METRICS, _never))


@pytest.mark.parametrize("rate", [{"pass_rate": None}, {}])
def test_tests_without_a_case_do_not_pass(rate: dict[str, Any]) -> None:
    [verdict] = judge({"behaviour": ">=0"}, {"behaviour": rate}, _never)
    assert verdict["why"] == "behaviour was not measured"
    assert not verdict["passed"]


# ---------------------------------------------------------------- vs latest

VS_LATEST = {"vs latest": "not significantly worse"}


def test_without_a_latest_there_is_nothing_to_be_worse_than() -> None:
    assert judge(VS_LATEST, METRICS, lambda: None) == [
        {
            "check": "vs latest: not significantly worse",
            "value": None,
            "passed": True,
            "why": "not compared: there is no good artefact of the same rows yet",
        }
    ]


@pytest.mark.parametrize("passed", [True, False])
def test_the_comparison_with_latest_decides(passed: bool) -> None:
    [verdict] = judge(VS_LATEST, METRICS, lambda: (passed, "p = 0.03", -0.02))
    assert verdict == {
        "check": "vs latest: not significantly worse",
        "value": -0.02,
        "passed": passed,
        "why": "p = 0.03",
    }


def test_a_latest_that_cannot_be_compared_with_fails_and_stops_nothing() -> None:
    def broken() -> tuple[bool, str, float]:
        raise ArtefactError("data/artefacts/latest is not an artefact directory.")

    [verdict] = judge(VS_LATEST, METRICS, broken)
    assert not verdict["passed"]
    assert verdict["why"] == (
        "cannot be compared with it: data/artefacts/latest is not an artefact directory. "
        "To start anew, remove the link or set artefacts_dir."
    )


def test_verdicts_are_json_whatever_was_measured() -> None:
    verdicts = judge(
        {"r2": ">=0", "rmse": "<1"}, {"r2": float("-inf"), "rmse": float("nan")}, _never
    )
    assert [verdict["value"] for verdict in verdicts] == [None, None]
    json.dumps(verdicts, allow_nan=False)


# ----------------------------------------------------------- before training


def _dataset(labels: tuple[str, ...]) -> Dataset:
    targets = [i % len(labels) for i in range(6)] if labels else [0.5] * 6
    return make_dataset({"age": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]}, targets, labels)


TWO, THREE, NONE = ("no", "yes"), ("a", "b.c", "d"), ()
TASKS = {TWO: "classification", THREE: "classification", NONE: "regression"}


def _problems(labels: tuple[str, ...], wanted: dict[str, str], **sections: Any) -> list[str]:
    evaluation = {"gate": wanted, **sections.pop("evaluation", {})}
    content = {"dataset": "made", "task": TASKS[labels], "evaluation": evaluation, **sections}
    config = TrainConfig.model_validate(content)
    return gate.problems_of(Prepared(config, _dataset(labels), split_of(6, 1, 1)))


@pytest.mark.parametrize(
    ("labels", "name", "condition"),
    [
        (TWO, "roc_auc", ">=0.8"),
        (TWO, "ece", "<=0.05"),
        (THREE, "macro_f1", ">=0.8"),
        (THREE, "log_loss", "<= 1.5"),
        (THREE, "per_label.b.c.recall", ">0.5"),
        (NONE, "rmse", "<=50000"),
        (NONE, "r2", ">=-0.1"),
        (NONE, "vs latest", "not significantly worse"),
    ],
)
def test_what_a_run_measures_may_be_asked_for(
    labels: tuple[str, ...], name: str, condition: str
) -> None:
    assert not _problems(labels, {name: condition})


def test_what_has_to_be_switched_on_may_be_asked_for_when_it_is() -> None:
    assert not _problems(TWO, {"behaviour": ">=0.9"}, behaviour={"must_be": []})
    assert not _problems(TWO, {"unsure_share": "<=0.1"}, decision={"unsure_below": 0.6})
    assert not _problems(TWO, {"accuracy in folds": ">=0.9"}, evaluation={"folds": 3})
    assert not _problems(NONE, {"interval_width": "<=300"}, evaluation={"interval": 0.9})


@pytest.mark.parametrize(
    ("labels", "name", "condition", "message"),
    [
        (TWO, "acuracy", ">=0.9", "unknown metric. Did you mean accuracy?"),
        (TWO, "vs lastest", "not significantly worse", "unknown metric. Did you mean vs latest?"),
        (NONE, "accuracy", ">=0.9", "unknown metric. Known: rmse, mae, median_absolute_error, r2, "
         "vs latest."),
        (TWO, "zzz", ">=0.9", "unknown metric. Known: accuracy, macro_f1, log_loss, roc_auc, pr_auc, precision, "
         "recall, f1, ece, vs latest, per_label.<label>.recall, such as per_label.no.recall."),
        (THREE, "per_label.b.recall", ">=0.9", "unknown metric. Did you mean per_label.b.c.recall?"),
        (THREE, "roc_auc", ">=0.9", "is for two labels; the dataset has 3."),
        (TWO, "behaviour", ">=0.9", "there are no behavioural tests; declare some in the section behaviour."),
        (TWO, "f1 in folds", ">=0.9", "there is no cross-validation; set evaluation.folds, such as 5."),
        (NONE, "interval_coverage", ">=0.9", "there are no intervals; set evaluation.interval, such as 0.9."),
        (TWO, "unsure_share", "<=0.1", "no answer is unsure; set decision.unsure_below, such as 0.6."),
        (TWO, "accuracy", "0.9", 'expected one of >=, <=, > and < and a number, such as ">=0.9", got \'0.9\'.'),
        (TWO, "accuracy", "=>0.9", 'expected one of >=, <=, > and < and a number, such as ">=0.9", got \'=>0.9\'.'),
        (TWO, "accuracy", "=0.9", 'expected one of >=, <=, > and < and a number, such as ">=0.9", got \'=0.9\'.'),
        (TWO, "accuracy", "!=0.9", 'expected one of >=, <=, > and < and a number, such as ">=0.9", got \'!=0.9\'.'),
        (TWO, "accuracy", ">=0.9MB", 'expected one of >=, <=, > and < and a number, such as ">=0.9", got \'>=0.9MB\'.'),
        (TWO, "accuracy", ">=nan", 'expected one of >=, <=, > and < and a number, such as ">=0.9", got \'>=nan\'.'),
        (TWO, "accuracy", ">=90", "no value is above 1, got '>=90'; for 90 % write \">=0.9\"."),
        (TWO, "log_loss", "<=-1", "no value is below 0, got '<=-1'."),
        (TWO, "vs latest", ">=0", "expected \"not significantly worse\", got '>=0'."),
    ],
)  # fmt: skip
def test_what_can_never_be_met_is_refused_with_its_place(
    labels: tuple[str, ...], name: str, condition: str, message: str
) -> None:
    assert _problems(labels, {name: condition}) == [f"evaluation.gate.{name}: {message}"]


def test_an_unknown_metric_and_a_bad_condition_are_reported_together() -> None:
    problems = _problems(TWO, {"acuracy": "90", "f1": "high", "recall": ">=0.5"})
    assert [problem.partition(": ")[0] for problem in problems] == [
        "evaluation.gate.acuracy",
        "evaluation.gate.acuracy",
        "evaluation.gate.f1",
    ]
