"""Claims about the page that a person reads."""

import copy
import math
from functools import cache
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from train.evaluation.metrics import METRICS as TABLE
from train.evaluation.metrics import show_metric, show_name
from train.reporting.report import render_report, show_cell, tabulate, top_confusions

NASTY = "<script>alert('x')</script>"
LABELS = ["a&b", NASTY, "plain"]
METRICS: dict[str, Any] = {
    "accuracy": 0.91234,
    "macro_f1": 0.81234,
    "log_loss": 0.31234,
    "per_label": {
        name: {"precision": 0.511, "recall": 0.622, "f1": 0.733, "support": 4321} for name in LABELS
    },
    "confusion_matrix": [[5, 17, 0], [0, 6, 3], [0, 0, 7]],
    "baselines": {
        "majority label": {"accuracy": 0.4321, "macro_f1": 0.2345},
        "TF-IDF words and characters + linear SVM": {"accuracy": 0.8765, "macro_f1": 0.7654},
    },
    "history": [
        {"loss": 1.2345, "validation_loss": 1.3456},
        {"loss": 0.5678, "validation_loss": 0.6789},
    ],
}
METADATA: dict[str, Any] = {
    "inputs": [{"name": f"title {NASTY}", "type": "text"}, {"name": "body", "type": "text"}],
    "outputs": [{"name": "tag", "type": "label", "labels": LABELS}],
    "dataset": {
        "name": NASTY,
        "requested": NASTY,
        "rows_read": 12345,
        "rows_kept": 12000,
        "rows_dropped": {f"where {NASTY} is not 1": 345},
        "conflicting_texts": 77,
        "duplicates": 55,
        "ignored_columns": {f"key {NASTY}": "it numbers the rows"},
        "rare_labels": 0,
        "split": {"train": 9000, "validation": 600, "test": 2400},
    },
    "embedding": {"unknown_token_share": 0.0456},
    "model": {"family": "text"},
    "durations_s": {"train": 61.25},
}


_FETCHING = {"src", "href", "data", "action", "srcset"}


class _Page(HTMLParser):
    """The text of a page, its tags, and every attribute that could fetch something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.anchors: list[str] = []
        self.ids: list[str] = []
        self.pictures: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        if (given.get("href") or "").startswith("#"):
            self.anchors.append(str(given.pop("href"))[1:])
        self.ids += [str(given["id"])] if "id" in given else []
        self.pictures += [str(given["aria-label"])] if given.get("role") == "img" else []
        self.links += [f"{tag} {key}" for key in given if key in _FETCHING]
        linked = given.get("xlink:href") or "#"
        if not linked.startswith(("#", "data:image/png;base64,")):
            self.links.append(f"{tag} {linked}")

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def html() -> str:
    return render_report(METADATA, METRICS, f"dataset: {NASTY}\n")


@pytest.mark.parametrize(
    "shown",
    [
        "accuracy 0.9123 0.4321 0.8765",
        "macro F1 0.8123 0.2345 0.7654",
        "log loss 0.3123 – –",
        "plain 0.511 0.622 0.733 4321",
        "12,000 of 12,345 rows, 3 labels; 9,000 to train, 600 to validate, 2,400 to test",
        "345 rows dropped: where",
        f"column key {NASTY} ignored: it numbers the rows",
        "77 texts with more than one label",
        "4.56 % of the words in the test split do not occur in training",
        "epoch loss validation_loss 1 1.2345 1.3456 2 0.5678 0.6789",
        "train 61.2 s",
        f"dataset: {NASTY}",
        f"a&b {NASTY} 17 77.3 %",
    ],
)  # fmt: skip
def test_the_page_shows_the_numbers(html: str, shown: str) -> None:
    assert shown in _Page(html).text


def test_labels_and_columns_and_texts_are_shown_and_never_run(html: str) -> None:
    _check_runs_nothing(html)
    assert html.count("&lt;script&gt;") >= 6


def _check_runs_nothing(html: str) -> None:
    assert _Page(html).tags.count("script") == 1  # ours, which sorts tables
    assert NASTY not in html


def test_the_page_needs_nothing_from_elsewhere(html: str) -> None:
    assert _Page(html).links == []
    for fetching in ("http://", "https://", "@import", "<link", "<img", "<iframe"):
        assert fetching not in html
    assert html.count("url(") == html.count('"url(#')


def test_what_is_linked_is_there_once(html: str) -> None:
    page = _Page(html)
    assert page.anchors
    assert set(page.anchors) <= set(page.ids)
    assert len(set(page.ids)) == len(page.ids)


def test_a_dataset_that_was_replaced_is_named(html: str) -> None:
    assert "could not be reached" not in html
    metadata = copy.deepcopy(METADATA)
    metadata["dataset"]["requested"] = "stackoverflow"
    page = _Page(render_report(metadata, METRICS, ""))
    assert "stackoverflow was asked for but could not be reached." in page.text


def test_a_model_without_mistakes_has_no_table_of_them() -> None:
    metrics = METRICS | {"confusion_matrix": [[5, 0, 0], [0, 6, 0], [0, 0, 7]]}
    assert "Most frequent confusions None." in _Page(render_report(METADATA, metrics, "")).text


def test_the_most_frequent_confusions_come_first_and_right_answers_are_none() -> None:
    matrix = [[90, 1, 5], [0, 80, 2], [7, 0, 70]]
    assert top_confusions(matrix, ["a", "b", "c"]) == [
        ("c", "a", 7, 7 / 77),
        ("a", "c", 5, 5 / 96),
        ("b", "c", 2, 2 / 82),
        ("a", "b", 1, 1 / 96),
    ]


def test_many_confusions_are_cut_to_a_page() -> None:
    names = [f"label {i}" for i in range(9)]
    assert len(top_confusions([[1] * 9 for _ in names], names)) == 15


# ---------------------------------------------------------------- every task


def _metadata(**changes: Any) -> dict[str, Any]:
    """Return the metadata of a table with a column of each type."""
    inputs = [
        {"name": "age", "type": "number", "minimum": 0.4167, "maximum": 12345.0, "missing_share": 0.2},
        {"name": NASTY, "type": "category", "categories": [NASTY, *map(str, range(11))], "nullable": True},
        {"name": "said", "type": "text"},
        {"name": "since", "type": "date"},
        {"name": "never known", "type": "number", "nullable": True, "missing_share": 1.0},
    ]  # fmt: skip
    derived = [
        {"name": "ages", "kind": "bins", "of": ["age"], "edges": [18.0, 65.5]},
        {"name": f"year {NASTY}", "kind": "date_part", "of": ["since"], "part": "year"},
        {"name": "who", "kind": "cross", "of": [NASTY, "ages"]},
    ]
    model = {"pipeline": "linear", "steps": ["scale: StandardScaler"], "fitted_on_rows": 9600}
    content = copy.deepcopy(METADATA) | {"inputs": inputs, "derived": derived, "model": model}
    del content["embedding"]
    return content | changes


TWO: dict[str, Any] = {
    **{name: 0.5 for name in ("accuracy", "log_loss", "precision", "recall", "f1", "roc_auc")},
    "positive_label": NASTY,
    "thresholds": [
        {"threshold": i / 100, "precision": 0.5, "recall": 0.25, "f1": 0.125} for i in range(100)
    ],
    "per_label": {name: METRICS["per_label"][NASTY] for name in (NASTY, "b")},
    "confusion_matrix": [[1, 2], [3, 4]],
    "at_even_odds": {"accuracy": 0.75},
    "baselines": {"majority label": {"accuracy": 0.25}},
    "history": [],
    "search": {
        "metric": "log_loss",
        "folds": 3,
        "optimism": 0.0625,
        "corrected": 0.3125,
        "trials": [
            {"parameters": {"model.C": NASTY, "b": None}, "mean": 0.25, "std": 0.125, "seconds": 1.0},
            {"parameters": {"model.C": 1, "b": 2}, "mean": 0.75, "std": 0.125, "seconds": 1.0},
        ],
    },
    "cross_validation": {
        "folds": [{"accuracy": 0.25}, {"accuracy": 0.75}],
        "mean": {"accuracy": 0.5},
        "std": {"accuracy": 0.3536},
    },
}  # fmt: skip


@cache
def _two() -> str:
    output = {"name": "left", "type": "label", "labels": [NASTY, "b"], "thresholds": {NASTY: 0.125}}
    return render_report(_metadata(outputs=[output], task="classification"), TWO, "")


@pytest.mark.parametrize(
    "shown",
    [
        "accuracy 0.5000 0.7500 0.2500",
        "precision 0.5000 – –",
        f"are about the label {NASTY} .",
        "The model answers with that label from a probability of 0.125 on. This threshold was chosen",
        "accuracy 0.5000 0.3536 0.2500 0.7500",
        "By log loss, cross-validated in 3 folds; the parameters in the first row were used. Their mean is",
        "age number 20.0 % 0.4167 to 12,345",
        f"{NASTY} category – {NASTY}, 0, 1, 2, 3, 4, 5, 6 and 4 more",
        "said text – since date –",
        "never known number 100.0 %",
        "ages computed – bins of age at 18, 65.5",
        f"year {NASTY} computed – date part of since: year",
        f"cross of {NASTY}, ages",
        "55 rows kept although another row is the same, label and all",
        "linear: scale: StandardScaler; fitted on 9,600 rows.",
    ],
)
def test_the_page_of_a_table_with_two_labels_shows_its_numbers(shown: str) -> None:
    assert shown in _Page(_two()).text


def test_columns_of_a_table_are_shown_and_never_run() -> None:
    _check_runs_nothing(_two())


def test_the_trade_off_is_cut_to_a_page() -> None:
    text = _Page(_two()).text
    assert text.count("0.500 0.250 0.125") == 20
    few = TWO | {"thresholds": TWO["thresholds"][:3]}
    output = {"name": "left", "type": "label", "labels": [NASTY, "b"]}
    page = _Page(render_report(_metadata(outputs=[output]), few, ""))
    assert page.text.count("0.500 0.250 0.125") == 3


def test_a_regression_is_shown_in_its_unit_with_its_interval() -> None:
    metrics = {
        "rmse": 46153.4, "mae": 0.00012346, "r2": -1e-7, "median_absolute_error": 12.3456,
        "interval_coverage": 0.9, "interval_width": 24690.0,
        "baselines": {"mean": {"rmse": 114786.2}}, "history": [],
    }  # fmt: skip
    interval = {"coverage": 0.95, "half_width": 12345.0}
    output = {"name": "price", "type": "number", "labels": [], "interval": interval}
    text = _Page(render_report(_metadata(outputs=[output]), metrics, "")).text
    for shown in (
        "RMSE 46,153 114,786",
        "MAE 0.0001235 –",
        "R² 0.0000 –",
        "median absolute error 12.35 –",
        "interval coverage 0.9000 –",
        "The true value lies within ± 12,345 of the answer for 95 % of all rows, as measured on the validation rows",
        "12,000 of 12,345 rows; 9,000 to train",
    ):
        assert shown in text
    assert "Most frequent confusions" not in text


def test_several_labels_are_shown_with_their_thresholds() -> None:
    names = ["a", NASTY, "items"]
    row = METRICS["per_label"]["plain"]
    metrics = {
        "micro_f1": 0.5, "hamming_loss": 0.125, "baselines": {}, "history": [],
        "per_label": dict.fromkeys(names, row),
    }  # fmt: skip
    thresholds = {"a": 0.25, NASTY: 0.75, "items": 0.5}
    output = {"name": "tags", "type": "labels", "labels": names, "thresholds": thresholds}
    text = _Page(render_report(METADATA | {"outputs": [output]}, metrics, "")).text
    assert "micro F1 0.5000 Hamming loss 0.1250" in text
    assert f"{NASTY} 0.511 0.622 0.733 4321 0.750 items 0.511 0.622 0.733 4321 0.500" in text
    one = METADATA | {"outputs": [{**output, "labels": ["a"], "thresholds": {"a": 0.25}}]}
    page = render_report(one, metrics | {"per_label": {"a": row}}, "")
    assert "a 0.511 0.622 0.733 4321 0.250" in _Page(page).text


def test_many_labels_and_many_columns_are_all_there() -> None:
    names = [f"label {i}" for i in range(150)]
    metrics = METRICS | {
        "per_label": dict.fromkeys(names, METRICS["per_label"]["plain"]),
        "confusion_matrix": np.ones((150, 150), int).tolist(),
    }
    inputs = [{"name": f"column {i}", "type": "number"} for i in range(200)]
    output = {"name": "left", "type": "label", "labels": names}
    html = render_report(_metadata(inputs=inputs, derived=[], outputs=[output]), metrics, "")
    assert html.count('<td class="cell">label ') == 150 + 15
    assert html.count("<td>column ") == 200
    assert "column 5 and 194 more" in _Page(html).text


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("accuracy", 0.98765, "0.9877"),
        ("accuracy", None, "–"),
        ("r2", -0.00001, "0.0000"),
        ("r2", -12.5, "-12.5000"),
        ("rmse", 0.0, "0.000"),
        ("rmse", 56.001, "56.00"),
        ("rmse", 999.96, "1,000"),
        ("rmse", 1234567.8, "1,234,568"),
        ("mae", 0.000012345, "1.234e-05"),
    ],
)
def test_a_metric_is_shown_as_people_read_it(name: str, value: float | None, shown: str) -> None:
    assert show_metric(name, value) == shown
    assert name in TABLE


# ------------------------------------------------------------------ evidence

FOUND: dict[str, Any] = {
    "confidence": {"accuracy": [0.9, 0.92345]},
    "slices": [
        {"column": NASTY, "value": f"value {NASTY}", "rows": 55, "accuracy": 0.5, "macro_f1": None, "differs": "worse"},
        {"column": "age", "value": "1 to 2", "rows": 1234, "accuracy": 0.75, "macro_f1": 0.25, "differs": None},
    ],
    "mistakes": [
        {
            "instance": {"title": f"text {NASTY}", "age": 3, "seen": None},
            "truth": "plain", "answer": NASTY, "score": 0.98765,
        },
        {"instance": {"title": "alone"}, "truth": "plain", "answer": "a&b", "score": 0.5},
    ],
    "suspects": [
        {"instance": {"title": NASTY}, "given": NASTY, "own": 0.0125, "probable": "plain", "score": 0.875}
    ],
    "evidence": {"least_rows": 20, "too_small": 7, "not_shown": 4, "mistakes": 1020, "suspects": 1},
    "behaviour": {
        "pass_rate": 0.875,
        "checks": [{"name": NASTY, "passed": 3, "cases": 4, "failures": [f"this {NASTY}", "that"]}],
    },
    "gate": [
        {"check": "accuracy >= 0.9", "value": 0.91, "passed": True, "why": "0.91 is >= 0.9"},
        {"check": NASTY, "value": None, "passed": False, "why": f"because {NASTY}"},
    ],
    "elsewhere": [
        {"name": f"of {NASTY}", "cases": 200, "mean_score": 0.25, "unsure_share": 0.8125},
        {"name": "test rows", "cases": 100, "mean_score": 0.75},
    ],
    "calibration": {
        "ece": 0.03125,
        "ece_before": 0.25,
        "bins": [{"from": 0.5, "to": 1.0, "rows": 10, "confidence": 0.75, "accuracy": 0.5}],
    },
    "coverage": [
        {"threshold": 0.9, "coverage": 0.5, "accuracy": 1.0},
        {"threshold": 0.1, "coverage": 1.0, "accuracy": 0.75},
    ],
    "curves": {
        "roc": {
            "label": NASTY, "area": 0.75,
            "false_positive_rate": [0, 0.1, 1], "true_positive_rate": [0, 0.6, 1],
        },
        "pr": {
            "label": None, "average_precision": 0.625, "positive_share": 0.25,
            "recall": [1, 0.5, 0], "precision": [0.25, 0.5, 1],
        },
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def found() -> str:
    return render_report(METADATA, METRICS | FOUND, "")


@pytest.mark.parametrize(
    "shown",
    [
        "accuracy 0.9123 0.9000 – 0.9234 0.4321",
        "The gate : failed , 1 of 2 conditions not met.",
        "✓ met accuracy >= 0.9 : 0.91 is >= 0.9",
        f"✗ not met {NASTY} : because {NASTY}",
        "fewer than 20 rows say little and are left out (7); 4 better parts are not shown.",
        f"{NASTY} value {NASTY} 55 0.5000 – worse",
        "age 1 to 2 1234 0.7500 0.2500",
        "Test rows answered wrongly: 1,020; the 2 surest are shown.",
        f"title text {NASTY}, age 3, seen – plain {NASTY} 0.9877",
        "alone plain a&b 0.5000",
        f"{NASTY} {NASTY} 0.0125 plain 0.8750",
        "1 test row whose label the model doubts; see the suspected labels",
        "87.5 % passed",
        f"{NASTY} 3 4 this {NASTY} that",
        "name cases mean score unsure share",
        f"of {NASTY} 200 0.25 0.8125 test rows 100 0.75 –",
        "Expected calibration error 0.0312; 0.2500 before calibration.",
    ],
)
def test_the_page_shows_what_was_found(found: str, shown: str) -> None:
    assert shown in _Page(found).text


def test_what_was_found_is_shown_and_never_run(found: str) -> None:
    _check_runs_nothing(found)
    assert _Page(found).links == []


def test_every_picture_says_what_it_shows(found: str) -> None:
    said = _Page(found).pictures
    assert [text.split(".")[0].split(" of ")[0] for text in said] == [
        "Confusion matrix",
        "ROC curve",
        "Precision-recall curve",
        "Calibration curve",
        "Accuracy by the share",
        "Learning curves over 2 epochs",
    ]
    assert f"{NASTY}: 67 % right" in said[0]
    assert (
        f"of the label {NASTY}: area 0.750; with at most 10 % false alarms the recall is 60 %."
        in said[1]
    )
    assert (
        "of all labels, pooled: average precision 0.625; at a recall of 90 % the precision is 25 %."
        in said[2]
    )
    assert "said 0.75, is 0.50" in said[3]
    assert "Of the surest 50 %, 100 % are right." in said[4]
    assert "validation loss from 1.346 to 0.6789" in said[5]


def test_sections_without_findings_are_left_out(html: str) -> None:
    ids = set(_Page(html).ids)
    assert ids.isdisjoint(
        {"slices", "mistakes", "suspects", "behaviour", "gate", "out-of-distribution"}
    )


def test_a_gate_that_is_passed_is_said_to_be() -> None:
    metrics = METRICS | {"gate": FOUND["gate"][:1]}
    page = _Page(render_report(METADATA, metrics, ""))
    assert "The gate : passed , 1 of 1 conditions met." in page.text


def test_a_confusion_matrix_of_many_labels_is_a_list() -> None:
    names = [f"label {i}" for i in range(31)]
    output = {"name": "tag", "type": "label", "labels": names}
    matrix = (np.eye(31, dtype=int) + 1).tolist()
    metrics = METRICS | {"confusion_matrix": matrix, "history": []}
    page = _Page(render_report(METADATA | {"outputs": [output]}, metrics, ""))
    assert page.pictures == []
    assert (
        "Most frequent confusions truth answer test rows share of the label label 0 label 1 1"
        in page.text
    )


def test_a_balance_of_labels_is_told() -> None:
    metadata = copy.deepcopy(METADATA)
    metadata["dataset"]["label_counts"] = {"a&b": 3000, NASTY: 1000, "plain": 2000}
    shown = f"the labels are not balanced: the rarest, {NASTY} , has 1,000 rows; the most frequent, a&b, has 3,000"
    assert shown.replace(" ,", ",") in _Page(render_report(metadata, METRICS, "")).text


def test_missing_values_are_told_the_most_missing_first() -> None:
    assert "missing values in never known (100.0 %), age (20.0 %)" in _Page(_two()).text


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"),
        (True, "yes"),
        (1998, "1998"),
        (12345, "12,345"),
        (0.123456, "0.1235"),
        ([], "none"),
        (["a", 1], "a, 1"),
        ({"a": 1.5}, "a: 1.5"),
        ("text", "text"),
    ],
)
def test_whatever_was_found_is_shown_as_people_read_it(value: object, shown: str) -> None:
    assert show_cell(value) == shown


def test_records_are_tabulated_whatever_keys_they_have() -> None:
    assert tabulate([{"a": 1}, {"b": 2}]) == (["a", "b"], [[1, None], [None, 2]])


def test_a_metric_has_a_name_for_people_and_any_other_key_is_readable() -> None:
    assert show_name("mean_score") == "mean score"
    assert show_name("ece") == "expected calibration error"
    assert show_name("of_a_later_version") == "of a later version"


def test_a_page_of_a_thousand_points_and_many_rows_is_below_two_megabytes() -> None:
    rows = [{"title": "x" * 160, **{f"column {i}": 1.5 for i in range(11)}}] * 20
    values = [math.sin(i) * 1e5 for i in range(1000)]
    metrics = {
        "rmse": 1.5, "baselines": {}, "history": [],
        "curves": {"values": {"truth": values, "value": values[::-1]}},
        "mistakes": [{"instance": row, "truth": 1.0, "answer": 2.0, "error": 1.0} for row in rows],
    }  # fmt: skip
    output = {"name": "price", "type": "number", "labels": []}
    html = render_report(_metadata(outputs=[output]), metrics, "")
    assert len(html.encode()) < 1_000_000
    assert len(_Page(html).pictures) == 2
    assert "Largest errors" in _Page(html).text


@pytest.mark.parametrize(
    ("corrected", "shown"),
    [(0.3125, "without that part it is about 0.3125"), (None, "how large a part is not known")],
)
def test_the_best_of_a_search_is_said_to_be_luck_in_part(corrected: Any, shown: str) -> None:
    output = {"name": "left", "type": "label", "labels": [NASTY, "b"]}
    metrics = {**TWO, "search": {**TWO["search"], "corrected": corrected}}
    page = render_report(_metadata(outputs=[output], task="classification"), metrics, "")
    assert shown in page
    one = {**TWO["search"], "trials": TWO["search"]["trials"][:1]}
    page = render_report(
        _metadata(outputs=[output], task="classification"), {**TWO, "search": one}, ""
    )
    assert "luck" not in page
