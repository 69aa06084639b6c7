"""The report of a run: one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any

from predict.wording import readable
from train.evaluation.metrics import METRIC_NAMES, show_metric, show_name
from train.reporting import pages
from train.reporting.data_checks import check_data

_CONFUSIONS_SHOWN = 15
# Keys that not all metadata and not all metrics have.
_OF_SOME_MODELS = ("embedding", "derived", "git", "seeds")
_OF_SOME_RUNS = (
    *("at_even_odds", "cross_validation", "search", "confidence", "history"),
    *("positive_label", "thresholds", "per_label", "confusion_matrix"),
    *("slices", "mistakes", "suspects", "evidence", "behaviour", "gate", "elsewhere", "scope"),
)

_THRESHOLDS_SHOWN = 20


def show_cell(value: object) -> str:
    """Return any value of the metrics as people read it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)  # a year has no comma: 1998
    if isinstance(value, float):
        return readable(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {show_cell(part)}" for key, part in value.items())
    if isinstance(value, (list, tuple)):
        return ", ".join(map(show_cell, value)) or "none"
    return str(value)


def render_report(
    metadata: Mapping[str, Any], metrics: Mapping[str, Any], configuration: str
) -> str:
    """Return the page as HTML.

    Args:
        metadata: As in `metadata.json`, but for what is known only once it is written.
        metrics: As in `metrics.json`.
        configuration: As in `train-conf.yml`.
    """
    # Brings scikit-learn along; whoever only wants to show a metric need not wait for it.
    from train.reporting.pictures import draw_pictures

    matrix, table = metrics.get("confusion_matrix"), metrics.get("thresholds") or []
    return pages.render_page(
        "report.html",
        show_metric=show_metric,
        readable=readable,
        show_name=show_name,
        show_cell=show_cell,
        metadata={**dict.fromkeys(_OF_SOME_MODELS), **metadata},
        metrics={**dict.fromkeys(_OF_SOME_RUNS), **metrics},
        configuration=configuration,
        names=METRIC_NAMES,
        pictures=draw_pictures(metadata, metrics),
        schema=_schema(metadata),
        checks=check_data(metadata, metrics),
        trade_off=table[:: max(1, len(table) // _THRESHOLDS_SHOWN)],
        confusions=top_confusions(matrix, metadata["outputs"][0]["labels"]) if matrix else None,
        out_of_distribution=tabulate(metrics.get("elsewhere") or []),
    )


def _schema(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the columns of a table; texts alone need none."""
    columns: list[dict[str, Any]] = metadata["inputs"]
    return columns if any(column["type"] != "text" for column in columns) else []


def top_confusions(
    matrix: list[list[int]], label_names: list[str]
) -> list[tuple[str, str, int, float]]:
    """Return (truth, prediction, rows, share of the rows of the truth) of the most frequent mistakes, in that order."""
    mistakes = [
        (label_names[truth], label_names[predicted], count, count / sum(row))
        for truth, row in enumerate(matrix)
        for predicted, count in enumerate(row)
        if truth != predicted and count
    ]
    return sorted(mistakes, key=lambda mistake: -mistake[2])[:_CONFUSIONS_SHOWN]


def tabulate(records: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of records that need not have the same keys."""
    columns = list(dict.fromkeys(key for record in records for key in record))
    return columns, [[record.get(key) for key in columns] for record in records]
