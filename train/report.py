"""The page that a person reads: one HTML file, needing nothing from elsewhere."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_CONFUSIONS_SHOWN = 15
# What not every model's metadata and not every run's metrics have.
_OF_SOME_MODELS = ("embedding", "derived")
_OF_SOME_RUNS = (
    *("at_even_odds", "cross_validation", "search"),
    *("positive_label", "thresholds", "per_label"),
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
}

# In the unit of what is predicted, which may be large or small; any other is about 1.
_IN_UNITS = frozenset(("rmse", "mae", "median_absolute_error", "interval_width"))
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


def render_report(
    metadata: Mapping[str, Any], metrics: Mapping[str, Any], configuration: str
) -> str:
    """Return the page as HTML.

    Args:
        metadata: As in `metadata.json`, without what is known only when it is written.
        metrics: As in `metrics.json`.
        configuration: As in `train-conf.yml`.
    """
    matrix, table = metrics.get("confusion_matrix"), metrics.get("thresholds") or []
    environment = Environment(
        loader=PackageLoader("train", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("report.html").render(
        metadata={**dict.fromkeys(_OF_SOME_MODELS), **metadata},
        metrics={**dict.fromkeys(_OF_SOME_RUNS), **metrics},
        configuration=configuration,
        names=METRIC_NAMES,
        show_metric=show_metric,
        show_value=show_value,
        schema=_schema(metadata),
        trade_off=table[:: max(1, len(table) // _THRESHOLDS_SHOWN)],
        confusions=top_confusions(matrix, metadata["outputs"][0]["labels"]) if matrix else None,
    )


def _schema(metadata: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the columns of a table; texts alone need none."""
    columns: list[dict[str, Any]] = metadata["inputs"]
    return columns if any(column["type"] != "text" for column in columns) else []


def top_confusions(matrix: list[list[int]], label_names: list[str]) -> list[tuple[str, str, int]]:
    """Return (truth, prediction, rows) of the most frequent mistakes, the most frequent first."""
    mistakes = [
        (label_names[truth], label_names[predicted], count)
        for truth, row in enumerate(matrix)
        for predicted, count in enumerate(row)
        if truth != predicted and count
    ]
    return sorted(mistakes, key=lambda mistake: -mistake[2])[:_CONFUSIONS_SHOWN]
