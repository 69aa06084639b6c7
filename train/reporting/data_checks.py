"""Data checks: what is noteworthy about the data of a run, a sentence each."""

from collections.abc import Iterator, Mapping
from typing import Any

from predict.wording import counted, listed
from train.data.leaks import sentences

_MISSING_SHOWN = 8
# Labels are called balanced while the most frequent one has fewer than so many times the rows of the rarest.
_IMBALANCE = 3


def check_data(metadata: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[str]:
    """Return what stands out in the metadata of a run and in its metrics."""
    of_table = any(column["type"] != "text" for column in metadata["inputs"])
    return [
        *_rows(metadata["dataset"], of_table),
        *_missing(metadata["inputs"]),
        *sentences(metadata["dataset"].get("leaks", {}), metadata["dataset"]["split"]["test"]),
        *_labels(metadata["dataset"]),
        *_words(metadata),
        *_suspects(metrics),
    ]


def _rows(dataset: Mapping[str, Any], of_table: bool) -> Iterator[str]:
    for reason, rows in dataset["rows_dropped"].items():
        yield f"{counted(rows, 'row')} dropped: {reason}"
    for column, reason in dataset["ignored_columns"].items():
        yield f"column {column} ignored: {reason}"
    if of_table and dataset["duplicates"]:
        yield f"{counted(dataset['duplicates'], 'row')} kept although another row is the same, label and all"


def _missing(inputs: list[dict[str, Any]]) -> Iterator[str]:
    shares = {column["name"]: column.get("missing_share", 0.0) for column in inputs}
    lacking = sorted((name for name in shares if shares[name]), key=lambda name: -shares[name])
    if lacking:
        columns = [f"{name} ({100 * shares[name]:.1f} %)" for name in lacking]
        yield f"missing values in {listed(columns, _MISSING_SHOWN)}"


def _labels(dataset: Mapping[str, Any]) -> Iterator[str]:
    if dataset["rare_labels"]:
        yield f"{counted(dataset['rare_labels'], 'label')} removed from rows as too rare"
    counts: dict[str, int] = dataset.get("label_counts") or {}
    if len(counts) > 1:
        rarest, commonest = min(counts, key=counts.__getitem__), max(counts, key=counts.__getitem__)
        ratio = counts[commonest] / max(1, counts[rarest])
        yield (
            f"the labels are {'' if ratio < _IMBALANCE else 'not '}balanced: the rarest, {rarest}, has "
            f"{counted(counts[rarest], 'row')}; the most frequent, {commonest}, has {counts[commonest]:,}"
        )


def _words(metadata: Mapping[str, Any]) -> Iterator[str]:
    if metadata.get("embedding"):
        yield f"{counted(metadata['dataset']['conflicting_texts'], 'text')} with more than one label"
        share = metadata["embedding"]["unknown_token_share"]
        yield f"{100 * share:.2f} % of the words in the test split do not occur in training"


def _suspects(metrics: Mapping[str, Any]) -> Iterator[str]:
    suspects = (metrics.get("evidence") or {}).get("suspects")
    if suspects:
        yield f"{counted(suspects, 'test row')} whose label the model doubts; see the suspected labels"
