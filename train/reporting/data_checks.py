"""What is noteworthy about the data of a run, a sentence each."""

from collections.abc import Iterator, Mapping
from typing import Any

_MISSING_SHOWN = 8
# The most frequent label has so many times the rows of the rarest before it is called an imbalance.
_IMBALANCE = 3


def check_data(metadata: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """Return what stood out, from the metadata and what `evidence.gather` found."""
    of_table = any(column["type"] != "text" for column in metadata["inputs"])
    return [
        *_rows(metadata["dataset"], of_table),
        *_missing(metadata["inputs"]),
        *_labels(metadata["dataset"]),
        *_words(metadata),
        *_suspects(metrics),
    ]


def _rows(dataset: Mapping[str, Any], of_table: bool) -> Iterator[str]:
    for reason, rows in dataset["rows_dropped"].items():
        yield f"{rows:,} rows dropped: {reason}"
    for column, reason in dataset["ignored_columns"].items():
        yield f"column {column} ignored: {reason}"
    if of_table and dataset["duplicates"]:
        yield f"{dataset['duplicates']:,} rows are there already, label and all; they were kept"


def _missing(inputs: list[dict[str, Any]]) -> Iterator[str]:
    shares = {column["name"]: column.get("missing_share", 0.0) for column in inputs}
    lacking = sorted((name for name in shares if shares[name]), key=lambda name: -shares[name])
    if lacking:
        shown = ", ".join(
            f"{name} ({100 * shares[name]:.1f} %)" for name in lacking[:_MISSING_SHOWN]
        )
        more = len(lacking) - _MISSING_SHOWN
        yield f"missing values in {shown}" + (f" and {more} more columns" if more > 0 else "")


def _labels(dataset: Mapping[str, Any]) -> Iterator[str]:
    if dataset["rare_labels"]:
        yield f"{dataset['rare_labels']:,} labels taken off rows for being too rare"
    counts: dict[str, int] = dataset.get("label_counts") or {}
    if len(counts) > 1:
        rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        ratio = counts[commonest] / max(1, counts[rarest])
        yield (
            f"the labels are {'' if ratio < _IMBALANCE else 'not '}balanced: {counts[rarest]:,} rows of {rarest}, "
            f"the rarest, {counts[commonest]:,} of {commonest}, the most frequent"
        )


def _words(metadata: Mapping[str, Any]) -> Iterator[str]:
    if metadata.get("embedding"):
        yield f"{metadata['dataset']['conflicting_texts']:,} texts stand under more than one label"
        share = metadata["embedding"]["unknown_token_share"]
        yield f"{100 * share:.2f} % of the words in the test split were never seen in training"


def _suspects(metrics: Mapping[str, Any]) -> Iterator[str]:
    suspects = (metrics.get("evidence") or {}).get("suspects")
    if suspects:
        yield (
            f"test rows with a label that the model, which has not seen them, doubts: {suspects:,}; "
            "see the suspected labels"
        )
