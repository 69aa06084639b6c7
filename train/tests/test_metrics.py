"""Claims about the table of metrics."""

import subprocess
import sys

import pytest

from train.evaluation.metrics import (
    MAIN_METRICS,
    METRICS,
    compared_metric,
    describe_metric,
    headline_keys,
    in_order,
)


def test_the_main_metrics_of_a_kind_are_metrics_that_it_has() -> None:
    for kind, main in MAIN_METRICS.items():
        known = headline_keys(kind, num_labels=2)
        assert {main.compared, main.searched, *main.listed} <= set(known)


def test_a_threshold_of_one_of_two_labels_is_compared_by_its_ranking() -> None:
    assert compared_metric("label", has_threshold=True) == "pr_auc"
    assert compared_metric("label", has_threshold=False) == "accuracy"
    assert compared_metric("labels", has_threshold=True) == "micro_f1"


@pytest.mark.parametrize(
    ("key", "sign"),
    [("accuracy", 1), ("rmse", -1), ("interval_coverage", 0), ("of_a_later_version", 1)],
)
def test_a_sign_says_which_way_is_better(key: str, sign: int) -> None:
    assert describe_metric(key).sign == sign


def test_metrics_are_in_the_order_of_the_table_and_unknown_ones_last() -> None:
    assert in_order(["zzz", "ece", "aaa", "accuracy"]) == ["accuracy", "ece", "aaa", "zzz"]
    assert in_order(METRICS) == list(METRICS)


def test_the_table_brings_nothing_heavy_along() -> None:
    code = """
import sys
import train.evaluation.metrics
assert not {"sklearn", "scipy", "pandas", "numpy"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], check=True)
