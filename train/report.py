"""The page that a person reads: one HTML file, needing nothing from elsewhere."""

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_CONFUSIONS_SHOWN = 15


def render_report(
    metadata: Mapping[str, Any], metrics: Mapping[str, Any], configuration: str
) -> str:
    """Return the page as HTML.

    Args:
        metadata: As in `metadata.json`, without what is known only when it is written.
        metrics: As in `metrics.json`.
        configuration: As in `train-conf.yml`.
    """
    environment = Environment(
        loader=PackageLoader("train", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("report.html").render(
        metadata=metadata,
        metrics=metrics,
        configuration=configuration,
        confusions=top_confusions(metrics["confusion_matrix"], metadata["outputs"][0]["labels"]),
    )


def top_confusions(matrix: list[list[int]], label_names: list[str]) -> list[tuple[str, str, int]]:
    """Return (truth, prediction, rows) of the most frequent mistakes, the most frequent first."""
    mistakes = [
        (label_names[truth], label_names[predicted], count)
        for truth, row in enumerate(matrix)
        for predicted, count in enumerate(row)
        if truth != predicted and count
    ]
    return sorted(mistakes, key=lambda mistake: -mistake[2])[:_CONFUSIONS_SHOWN]
