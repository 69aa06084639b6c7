"""The page that a person reads: one HTML file, needing nothing from elsewhere."""

from collections.abc import Mapping, Sequence
from typing import Any

from train.reporting import pages
from train.reporting.data_checks import check_data

_CONFUSIONS_SHOWN = 15
# What not every model's metadata and not every run's metrics have.
_OF_SOME_MODELS = ("embedding", "derived", "git", "seeds")
_OF_SOME_RUNS = (
    *("at_even_odds", "cross_validation", "search", "confidence", "history"),
    *("positive_label", "thresholds", "per_label", "confusion_matrix"),
    *("slices", "mistakes", "suspects", "evidence", "behaviour", "gate", "elsewhere"),
)

# What people call the numbers, in the order in which they want to see them.
METRIC_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "roc_auc": "ROC AUC",
    "pr_auc": "PR AUC",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
    "micro_f1": "micro F1",
    "subset_accuracy": "all labels right",
    "hamming_loss": "Hamming loss",
    "ranking_precision": "ranking precision",
    "rmse": "RMSE",
    "mae": "MAE",
    "median_absolute_error": "median absolute error",
    "r2": "R²",
    "interval_coverage": "interval coverage",
    "interval_width": "interval width",
    "ece": "expected calibration error",
    "unsure_share": "unsure share",
    "accuracy_when_sure": "accuracy when sure",
}
# What only parts of a run are measured by.
_MORE_NAMES = {"mean_error": "mean error", "mean_score": "mean score"}

# In the unit of what is predicted, which may be large or small; any other is about 1.
_IN_UNITS = frozenset(("rmse", "mae", "median_absolute_error", "interval_width", "mean_error"))
_THRESHOLDS_SHOWN = 20


def show_metric(name: str, value: float | None) -> str:
    """Return a metric as people read it."""
    if value is None:
        return "–"
    if name not in _IN_UNITS:
        return f"{round(value, 4) + 0.0:.4f}"  # no -0.0000
    return f"{value:,.0f}" if abs(value) >= 999.95 else f"{value:#.4g}"


def show_value(value: float) -> str:
    """Return a number of whatever size as people read it: 12,345 or 12.35 or 0.001235."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def show_name(key: str) -> str:
    """Return what people call a metric, or any other key."""
    return METRIC_NAMES.get(key) or _MORE_NAMES.get(key) or key.replace("_", " ")


def show_cell(value: object) -> str:
    """Return whatever stands in metrics as people read it."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)  # a year is no 1,998
    if isinstance(value, float):
        return show_value(value)
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
        metadata: As in `metadata.json`, without what is known only when it is written.
        metrics: As in `metrics.json`.
        configuration: As in `train-conf.yml`.
    """
    # Brings scikit-learn along; whoever only wants to show a metric need not wait for it.
    from train.reporting.pictures import draw_pictures

    matrix, table = metrics.get("confusion_matrix"), metrics.get("thresholds") or []
    return pages.render_page(
        "report.html",
        show_metric=show_metric,
        show_value=show_value,
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
        elsewhere=tabulate(metrics.get("elsewhere") or []),
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


def tabulate(
    content: Sequence[Mapping[str, Any]] | Mapping[str, Any],
) -> tuple[list[str], list[list[Any]]]:
    """Return the columns and rows of findings: a list of records, or records by name."""
    records: list[Mapping[str, Any]] = (
        [
            {"name": name, **(found if isinstance(found, Mapping) else {"value": found})}
            for name, found in content.items()
        ]
        if isinstance(content, Mapping)
        else list(content)
    )
    columns = list(dict.fromkeys(key for record in records for key in record))
    return columns, [[record.get(key) for key in columns] for record in records]
