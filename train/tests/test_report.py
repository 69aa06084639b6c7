"""Claims about the page that a person reads."""

import copy
from html.parser import HTMLParser
from typing import Any

import pytest

from train.report import render_report, top_confusions

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
        "split": {"train": 9000, "validation": 600, "test": 2400},
    },
    "embedding": {"unknown_token_share": 0.0456},
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
        "12,000 of 12,345 rows, 3 labels; trained on 9,600 (600 of them first kept for validation), tested on 2,400",
        "345 rows dropped: where",
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
