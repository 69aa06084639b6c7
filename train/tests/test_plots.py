"""Claims about the pictures of the report."""

import os
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
import pytest

from train.reporting import plots

NASTY = "<script>'\"&</script> $x_1$ -- 漢字 #010203"
RATES = [0.0, 0.25, 1.0]
ROC = {"false_positive_rate": RATES, "true_positive_rate": [0.0, 0.75, 1.0], "area": 0.75}
PR = {
    "recall": [1.0, 0.5, 0.0],
    "precision": [0.25, 0.5, 1.0],
    "average_precision": 0.625,
    "positive_share": 0.25,
}
THRESHOLDS = [
    {"threshold": 0.1, "precision": 0.5, "recall": 1.0, "f1": 0.667},
    {"threshold": 0.9, "precision": 1.0, "recall": 0.5, "f1": 0.667},
]
BINS = [
    {"from": 0.0, "to": 0.5, "rows": 0, "confidence": 0.0, "accuracy": 0.0},
    {"from": 0.5, "to": 1.0, "rows": 10, "confidence": 0.75, "accuracy": 0.5},
]
COVERAGE = [
    {"threshold": 0.9, "coverage": 0.5, "accuracy": 1.0},
    {"threshold": 0.1, "coverage": 1.0, "accuracy": 0.75},
]
VALUES = {"truth": [0.0, 150_000.0, 300_000.0], "value": [10_000.0, 120_000.0, 310_000.0]}
RUNS: dict[str, Any] = {
    "values": [0.7, 0.9, 0.8],
    "days": ["2026-01-01", "2026-01-02", "2026-01-03"],
    "failed": [False, False, True],
    "latest": [False, True, False],
}
HISTORY = [{"loss": 1.0, "validation_loss": 1.5}, {"loss": 0.5, "validation_loss": 1.25}]

PICTURES: dict[str, Callable[[str], str]] = {
    "learning": lambda title: plots.learning_curves(HISTORY, title),
    "confusion": lambda title: plots.confusion_matrix([[3, 1], [0, 4]], [NASTY, "b"], title),
    "roc": lambda title: plots.roc_curve(ROC, title),
    "pr": lambda title: plots.precision_recall_curve(PR, title),
    "threshold": lambda title: plots.threshold_view(THRESHOLDS, 0.25, title),
    "calibration": lambda title: plots.calibration_curve(BINS, title),
    "coverage": lambda title: plots.coverage_curve(COVERAGE, 0.5, title),
    "values": lambda title: plots.prediction_errors(VALUES, False, title),
    "residuals": lambda title: plots.prediction_errors(VALUES, True, title),
    "runs": lambda title: plots.metric_by_run(**RUNS, title=title),
    "more runs": lambda title: plots.metric_by_run(**RUNS, title=title),
}


def _parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg.replace("<svg ", '<svg xmlns:xlink="x" ', 1))


def _texts(svg: str) -> list[str]:
    return [text.text or "" for text in _parsed(svg).iter("text")]


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return {name: draw(f"{name} {NASTY}") for name, draw in PICTURES.items()}


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_says_in_words_what_it_shows(drawn: dict[str, str], name: str) -> None:
    root = _parsed(drawn[name])
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == f"{name} {NASTY}"


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_has_the_colours_and_fonts_of_the_page(drawn: dict[str, str], name: str) -> None:
    styles = ";".join(re.findall(r'style="([^"]*)"', drawn[name]))
    colours = set(re.findall(r"(?:fill|stroke): ([^;]+)", styles))
    allowed = {"none", "currentColor", *(f"var(--series-{i})" for i in range(1, 5))}
    assert colours <= allowed
    assert "currentColor" in colours
    assert "font-family" not in drawn[name]
    assert "font:" not in drawn[name]


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_grows_and_shrinks_with_the_page(drawn: dict[str, str], name: str) -> None:
    root = _parsed(drawn[name])
    assert root.attrib["viewBox"].startswith("0 0 ")
    assert {"width", "height"}.isdisjoint(root.attrib)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_needs_nothing_from_elsewhere(drawn: dict[str, str], name: str) -> None:
    svg = drawn[name]
    links = re.findall(r'xlink:href="([^"]*)"', svg) + re.findall(r'url\(([^"]*)\)', svg)
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in links)
    for unwanted in ("http", "<style", "<metadata", "<script", "<!--", "<?xml", "DOCTYPE"):
        assert unwanted not in svg
    ids = set(re.findall(r' id="([^"]*)"', svg))
    assert {link[1:] for link in links if link.startswith("#")} <= ids


def test_pictures_of_one_page_do_not_share_names(drawn: dict[str, str]) -> None:
    ids = [name for svg in drawn.values() for name in re.findall(r' id="([^"]*)"', svg)]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_the_same_every_time(drawn: dict[str, str], name: str) -> None:
    assert PICTURES[name](f"{name} {NASTY}") == drawn[name]


def test_a_label_is_shown_as_it_is_written(drawn: dict[str, str]) -> None:
    assert _texts(drawn["confusion"]).count(NASTY[:21] + "…") == 2
    svg = plots.confusion_matrix([[1, 0], [0, 1]], ["$a$\n b", "#010203"], "")
    assert {"$a$ b", "#010203"} <= set(_texts(svg))


def test_a_confusion_matrix_shows_the_shares_of_each_label_and_no_zeros() -> None:
    texts = _texts(plots.confusion_matrix([[3, 1, 0], [0, 8, 0], [0, 0, 0]], list("abc"), ""))
    assert [text for text in texts if text.isdigit()] == ["75", "25", "100"]
    assert texts.count("answer") == texts.count("truth") == 1


def test_only_a_confusion_matrix_of_many_labels_is_large() -> None:
    assert not plots.is_large(list("abcdefgh"))
    assert plots.is_large(list("abcdefghi"))
    wide, narrow = (
        _parsed(plots.confusion_matrix(np.eye(count).tolist(), ["label"] * count, ""))
        for count in (30, 2)
    )
    assert float(wide.attrib["viewBox"].split()[2]) > float(narrow.attrib["viewBox"].split()[2])


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("learning", ["loss", "validation loss", "epoch"]),
        ("roc", ["this model (area = 0.750)", "chance (area = 0.50)", "false positive rate"]),
        ("pr", ["this model (average 0.625)", "chance (0.25)", "recall", "precision"]),
        ("threshold", ["precision", "recall", "F1", "chosen: 0.25"]),
        ("calibration", ["this model", "perfect", "share of the rows", "how often it is so"]),
        ("coverage", ["sure from 0.5 on", "accuracy"]),
        ("values", ["truth", "answer", "100,000"]),
        ("residuals", ["truth minus answer", "answer"]),
        ("runs", ["run", "failed its gate", "latest", "2026-01-01", "2026-01-03", "0.9"]),
    ],
)
def test_what_is_drawn_is_named(drawn: dict[str, str], name: str, shown: list[str]) -> None:
    assert set(shown) <= set(_texts(drawn[name]))


def _marks(svg: str, colour: str) -> list[tuple[float, float]]:
    """Return where marks of a colour are, without that of the legend, which comes last."""
    uses = [use for use in _parsed(svg).iter("use") if f"--{colour}" in use.get("style", "")]
    return [(float(use.attrib["x"]), float(use.attrib["y"])) for use in uses][:-1]


def test_a_later_run_is_further_right_and_a_higher_value_is_higher(drawn: dict[str, str]) -> None:
    first, second = _marks(drawn["runs"], "series-1")
    [failed] = _marks(drawn["runs"], "series-2")
    assert first[0] < second[0] < failed[0]
    assert second[1] < failed[1] < first[1]  # the y axis of SVG points down
    assert _marks(drawn["runs"], "series-3") == [second]


def test_runs_of_one_value_have_no_other_number_at_the_axis_and_need_no_legend() -> None:
    one = plots.metric_by_run([1.0], ["2026-01-01"], [False], [False], "")
    assert _texts(one) == ["2026-01-01", "1"]


def test_of_many_runs_the_first_and_the_last_have_their_day_and_two_between() -> None:
    days = [f"2026-01-{day:02}" for day in range(1, 32)]
    values, nothing = [float(day) for day in range(31)], [False] * 31
    texts = _texts(plots.metric_by_run(values, days, nothing, nothing, ""))
    assert [text for text in texts if "-" in text] == [days[0], days[10], days[20], days[30]]


def test_a_thousand_points_are_not_large() -> None:
    values = {"truth": [float(i) for i in range(1000)], "value": [float(-i) for i in range(1000)]}
    assert len(plots.prediction_errors(values, True, "")) < 200_000


def test_nothing_is_left_behind() -> None:
    import matplotlib.pyplot as plt

    before = dict(matplotlib.rcParams)
    for draw in PICTURES.values():
        draw("")
    assert dict(matplotlib.rcParams) == before
    assert plt.get_fignums() == []


def test_nothing_happens_at_import_and_whatever_backend_is_set_no_screen_is_needed() -> None:
    code = """
import sys
import train.reporting.report
assert "sklearn" not in sys.modules
from train.reporting import pictures
from train.reporting import plots
assert "matplotlib" not in sys.modules
plots.roc_curve({"false_positive_rate": [0, 1], "true_positive_rate": [0, 1], "area": 0.5}, "")
"""
    environment = os.environ | {"MPLBACKEND": "TkAgg", "DISPLAY": ""}
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)
