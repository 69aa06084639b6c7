"""Claims about the page that a person reads."""

import copy
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from train.report import METRIC_NAMES, render_report, show_metric, top_confusions

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
        "TF-IDF + linear SVM": {"accuracy": 0.8765, "macro_f1": 0.7654},
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


class _Page(HTMLParser):
    """The text of a page, its tags, and every attribute that could fetch something."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.links: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [
            f"{tag} {key}" for key, _ in attrs if key in {"src", "href", "data", "action", "srcset"}
        ]

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


@pytest.fixture
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
        "77 texts stand under more than one label",
        "4.56 % of the words in the test split were never seen in training",
        "epoch loss validation_loss 1 1.2345 1.3456 2 0.5678 0.6789",
        "train 61.2 s",
        f"dataset: {NASTY}",
        f"a&b {NASTY} 17",
    ],
)  # fmt: skip
def test_the_page_shows_the_numbers(html: str, shown: str) -> None:
    assert shown in _Page(html).text


def test_labels_and_columns_and_texts_are_shown_and_never_run(html: str) -> None:
    assert "script" not in _Page(html).tags
    assert NASTY not in html
    assert html.count("&lt;script&gt;") >= 6


def test_the_page_needs_nothing_from_elsewhere(html: str) -> None:
    assert _Page(html).links == []
    for fetching in ("http://", "https://", "url(", "@import", "<link", "<img", "<iframe"):
        assert fetching not in html


def test_a_dataset_that_was_replaced_is_named(html: str) -> None:
    assert "could not be reached" not in html
    metadata = copy.deepcopy(METADATA)
    metadata["dataset"]["requested"] = "stackoverflow"
    page = _Page(render_report(metadata, METRICS, ""))
    assert "Asked for was stackoverflow, which could not be reached." in page.text


def test_a_model_without_mistakes_has_no_table_of_them() -> None:
    metrics = METRICS | {"confusion_matrix": [[5, 0, 0], [0, 6, 0], [0, 0, 7]]}
    assert "Most frequent confusions None." in _Page(render_report(METADATA, metrics, "")).text


def test_the_most_frequent_confusions_come_first_and_right_answers_are_none() -> None:
    matrix = [[90, 1, 5], [0, 80, 2], [7, 0, 70]]
    assert top_confusions(matrix, ["a", "b", "c"]) == [
        ("c", "a", 7),
        ("a", "c", 5),
        ("b", "c", 2),
        ("a", "b", 1),
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
        "trials": [
            {"parameters": {"model.C": NASTY, "b": None}, "mean": 0.25, "std": 0.125, "seconds": 1.0}
        ],
    },
    "cross_validation": {
        "folds": [{"accuracy": 0.25}, {"accuracy": 0.75}],
        "mean": {"accuracy": 0.5},
        "std": {"accuracy": 0.3536},
    },
}  # fmt: skip


def _two() -> str:
    output = {"name": "left", "type": "label", "labels": [NASTY, "b"], "thresholds": {NASTY: 0.125}}
    return render_report(_metadata(outputs=[output], task="classification"), TWO, "")


@pytest.mark.parametrize(
    "shown",
    [
        "accuracy 0.5000 0.7500 0.2500",
        "precision 0.5000 – –",
        f"are about the label {NASTY} .",
        "It is given from a probability of 0.125 on",
        "accuracy 0.5000 0.3536 0.2500 0.7500",
        "By log loss, cross-validated in 3 folds; the first row was taken. model.C b mean",
        "age number 20.0 % 0.4167 to 12,345",
        f"{NASTY} category – {NASTY}, 0, 1, 2, 3, 4, 5, 6 and 4 more",
        "said text – since date –",
        "never known number 100.0 %",
        "ages computed – bins of age at 18, 65.5",
        f"year {NASTY} computed – date part of since: year",
        f"cross of {NASTY}, ages",
        "55 rows are there already, label and all; they were kept",
        "linear: scale: StandardScaler; fitted on 9,600 rows.",
    ],
)
def test_the_page_of_a_table_with_two_labels_shows_its_numbers(shown: str) -> None:
    assert shown in _Page(_two()).text


def test_columns_of_a_table_are_shown_and_never_run() -> None:
    assert "script" not in _Page(_two()).tags
    assert NASTY not in _two()


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
        "the interval ± 12,345, chosen on the validation rows to hold the truth of 95 % of all rows",
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
    assert html.count("<td>label ") == 150 + 15
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
    assert name in METRIC_NAMES
