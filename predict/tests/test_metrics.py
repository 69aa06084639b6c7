"""The schema of `metrics.json`: what runs write satisfies it, and what is broken is refused with place and reason."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from predict.contract.artefact import METRICS, ArtefactError
from predict.contract.metrics import Metrics, read_metrics
from predict.tests.conftest import GOLDEN, GOLDEN_TABLES

SCORES = {"threshold": 0.5, "precision": 0.75, "recall": 1.0, "f1": 0.857}
# Every key that a run writes for one of two labels, each with the parts that it has.
LABEL: dict[str, Any] = {
    "accuracy": 0.75,
    "roc_auc": 1.0,
    "positive_label": "yes",
    "thresholds": [SCORES],
    "per_label": {"yes": {"precision": 0.75, "recall": 1.0, "f1": 0.857, "support": 3}},
    "confusion_matrix": [[3, 1], [0, 3]],
    "at_even_odds": {"accuracy": 0.7},
    "baselines": {"majority label": {"accuracy": 0.5}},
    "confidence": {"accuracy": [0.5, 1.0]},
    "calibration": {
        "ece": 0.1,
        "ece_before": 0.2,
        "bins": [{"from": 0.5, "to": 0.6, "rows": 2, "confidence": 0.55, "accuracy": 0.5}],
    },
    "coverage": [{"threshold": 0.5, "coverage": 1.0, "accuracy": 0.75}],
    "slices": [
        {"column": "port", "value": "C", "rows": 5, "accuracy": 0.6, "precision": None, "differs": "worse"}
    ],
    "mistakes": [{"instance": {"age": 3, "port": None}, "truth": "yes", "answer": "no", "score": 0.9}],
    "suspects": [{"instance": {"age": 3}, "given": "yes", "own": 0.1, "probable": "no", "score": 0.9}],
    "curves": {
        "roc": {"label": "yes", "area": 1.0, "false_positive_rate": [0, 1], "true_positive_rate": [0, 1]},
        "pr": {
            "label": None,
            "average_precision": 1.0,
            "positive_share": 0.5,
            "recall": [1.0],
            "precision": [0.5],
        },
    },
    "evidence": {"least_rows": 5, "too_small": 0, "not_shown": 1, "mistakes": 1, "suspects": 1},
    "elsewhere": [{"name": "test rows", "cases": 7, "mean_score": 0.8, "unsure_share": 0.1}],
    "scope": {
        "given_up": 0.05, "left_out": "8 labels left out in turn and of the label 'other'", "none_label": "other",
        "out_of_scope_rows": 90, "in_scope_rows": 20, "auroc": 0.9, "recall": 0.8, "recall_of_margin": 0.7,
        "test_rows": 40, "test_given_up": 0.06, "test_accuracy": 0.9, "test_accuracy_kept": 0.95,
        "test_none_rows": 5, "test_none_found": 0.8,
    },
    "history": [{"loss": 0.9, "validation_loss": 0.8}, {"loss": 0.7}],
    "search": {
        "metric": "log_loss",
        "folds": 1,
        "trials": [{"parameters": {"model.C": 1}, "mean": 0.1, "std": None, "seconds": 0.3}],
    },
    "cross_validation": {"folds": [{"accuracy": 1.0}], "mean": {"accuracy": 1.0}, "std": {"accuracy": 0.0}},
    "behaviour": {
        "pass_rate": 0.5,
        "checks": [{"name": "must be", "passed": 1, "cases": 2, "failures": ["'a' -> no"]}],
    },
    "gate": [
        {"check": "accuracy >= 0.9", "value": 0.75, "passed": False, "why": "0.75 is not >= 0.9"},
        {"check": "vs latest: not significantly worse", "value": None, "passed": True, "why": "none"},
    ],
}  # fmt: skip
NUMBER: dict[str, Any] = {
    "mae": 3.5,
    "r2": -0.5,
    "mistakes": [{"instance": {"rooms": 3}, "truth": 300, "answer": 145.5, "error": -154.5}],
    "curves": {"values": {"truth": [1.0, 2.0], "value": [1.5, 2.5]}},
    "elsewhere": [{"name": "far outside", "cases": 7, "mean_value": 8.5, "outside_share": 1.0}],
    "history": [],
    "search": None,
}
LABELS: dict[str, Any] = {
    "micro_f1": 0.75,
    "mistakes": [
        {"instance": {"t": "a"}, "truth": [], "answer": ["war"], "label": "war", "score": 0.9}
    ],
    "curves": {"thresholds": [SCORES]},
    "elsewhere": [{"name": "random words", "cases": 7, "mean_score": 0.8, "empty_share": 0.1}],
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[object], Path]:
    """Write a file, JSON or whatever bytes; return its path."""

    def write_one(content: object) -> Path:
        file = tmp_path / METRICS
        file.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
        return file

    return write_one


@pytest.mark.parametrize(
    "directory", [GOLDEN, *(GOLDEN_TABLES / kind for kind in ("label", "number", "labels"))]
)
def test_the_metrics_of_golden_artefacts_satisfy_the_schema(directory: Path) -> None:
    assert read_metrics(directory / METRICS).headline == {"accuracy": 1.0}


@pytest.mark.parametrize("content", [{}, LABEL, NUMBER, LABELS])
def test_nothing_of_what_a_run_writes_is_lost(
    write: Callable[[object], Path], content: dict[str, Any]
) -> None:
    metrics = read_metrics(write(content))
    assert metrics.model_dump(by_alias=True, exclude_unset=True) == content
    assert Metrics.model_validate(content) == metrics


def test_every_key_of_the_schema_is_in_what_a_run_writes() -> None:
    assert LABEL.keys() - Metrics(**LABEL).headline.keys() == Metrics.model_fields.keys()


def test_the_headline_is_the_single_numbers_at_the_top(write: Callable[[object], Path]) -> None:
    assert read_metrics(write(LABEL)).headline == {"accuracy": 0.75, "roc_auc": 1.0}
    assert read_metrics(write(NUMBER)).headline == {"mae": 3.5, "r2": -0.5}


def test_keys_that_are_not_known_are_kept(write: Callable[[object], Path]) -> None:
    content = {**NUMBER, "fairness": {"by": "age"}, "curves": {"lift": [1.0]}}
    metrics = read_metrics(write(content))
    assert metrics.model_dump(exclude_unset=True) == content
    assert metrics.headline.keys() == {"mae", "r2"}


def broken(**changes: object) -> dict[str, object]:
    return {**LABEL, **changes}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"not JSON \(Invalid JSON: EOF while parsing a value.*The artefact is damaged"),
        (b'{"accuracy": 0.9', r"not JSON \(Invalid JSON: EOF while parsing an object"),
        (b"\xff", r"not JSON \(Invalid JSON"),
        (b"[" * 9_000, r"not JSON \(Invalid JSON: recursion limit exceeded"),
        ([], "Input should be an object"),
        (broken(accuracy=float("nan")), "accuracy: expected a finite number, got nan"),
        (broken(mae=float("inf")), "mae: expected a finite number, got inf"),
        (broken(positive_label=1), "positive_label: Input should be a valid string"),
        (broken(thresholds=[{}]), r"thresholds\.0\.threshold: Field required"),
        (broken(per_label={"yes": 1.0}), r"per_label\.yes: Input should be"),
        (
            broken(per_label={"a": {**LABEL["per_label"]["yes"], "support": -1}}),
            r"per_label\.a\.support: Input should be greater than or equal to 0",
        ),
        (broken(confusion_matrix=[[3, 1]]), "confusion_matrix: expected 1 column a row, got 2"),
        (broken(confusion_matrix=[[1, 2], [3, 0.5]]), r"confusion_matrix\.1\.1: .*integer"),
        (broken(at_even_odds={"f1": "0.5"}), r"at_even_odds\.f1: Input should be a valid number"),
        (broken(baselines={"mean": {"r2": None}}), r"baselines\.mean\.r2: .*valid number"),
        (broken(confidence={"f1": [0.5]}), r"confidence\.f1: List should have at least 2 items"),
        (broken(calibration={"ece": 0.1}), r"calibration\.bins: Field required"),
        (
            broken(calibration={"ece": 0.1, "bins": [{"from": 0.5}]}),
            r"calibration\.bins\.0\.to: Field required",
        ),
        (broken(coverage=[{"threshold": True}]), r"coverage\.0\.threshold: .*valid number"),
        (
            broken(slices=[{**LABEL["slices"][0], "differs": "odd"}]),
            r"slices\.0\.differs: Input should be 'worse' or 'better'",
        ),
        (broken(mistakes=[{"truth": "a"}]), r"mistakes\.0\.instance: Field required"),
        (broken(suspects=None), "suspects: Input should be a valid array"),
        (broken(curves={"roc": {"label": None}}), r"curves\.roc\.area: Field required"),
        (broken(evidence={"least_rows": 1.5}), r"evidence\.least_rows: .*valid integer"),
        (broken(elsewhere=[{"name": "a"}]), r"elsewhere\.0\.cases: Field required"),
        (broken(history=[{"validation_loss": 1.0}]), r"history\.0\.loss: Field required"),
        (
            broken(search={"metric": "rmse", "folds": 2, "trials": []}),
            r"search\.trials: List should have at least 1 item",
        ),
        (broken(cross_validation={"folds": []}), r"cross_validation\.mean: Field required"),
        (
            broken(
                behaviour={
                    "pass_rate": None,
                    "checks": [{"name": "a", "passed": 2, "cases": 1, "failures": []}],
                }
            ),
            r"behaviour\.checks\.0: Value error, 2 of 1 cases cannot have passed",
        ),
        (broken(gate=[{"passed": 1}]), r"gate\.0\.passed: Input should be a valid boolean"),
    ],
)
def test_broken_metrics_are_refused_with_the_place_and_the_reason(
    write: Callable[[object], Path], content: object, message: str
) -> None:
    file = write(content)
    with pytest.raises(ArtefactError, match=rf"^{re.escape(str(file))}: .*{message}"):
        read_metrics(file)


def test_only_the_first_ten_problems_of_a_file_are_listed(
    write: Callable[[object], Path],
) -> None:
    with pytest.raises(ArtefactError, match=r"history\.9: .*; 90 more\. Train again") as caught:
        read_metrics(write({"history": [5] * 100}))
    assert "history.10" not in str(caught.value)


def test_metrics_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match=r"metrics\.json: cannot be read: No such file"):
        read_metrics(tmp_path / METRICS)
