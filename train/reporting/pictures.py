"""The pictures of a report, each with its caption and a text for people who cannot see it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from train.reporting import plots


@dataclass(frozen=True)
class Picture:
    """A picture of the report.

    Attributes:
        heading: What it is.
        svg: An element of the page, its text alternative in it.
        caption: What to know when looking at it.
        large: Whether it needs the whole width of the page.
    """

    heading: str
    svg: str
    caption: str = ""
    large: bool = False


def draw_pictures(metadata: Mapping[str, Any], metrics: Mapping[str, Any]) -> list[Picture]:
    """Return the pictures that there are numbers for, in the order in which they are looked at."""
    output, curves = metadata["outputs"][0], metrics.get("curves") or {}
    drawn: list[Picture | None] = [
        _if_there(metrics.get("confusion_matrix"), lambda matrix: _confusion(matrix, output)),
        *(_values(curves.get("values"), residuals) for residuals in (False, True)),
        _if_there(curves.get("roc"), _roc),
        _if_there(curves.get("pr"), _precision_recall),
        _if_there(
            metrics.get("thresholds") or curves.get("thresholds"),
            lambda rows: _thresholds(rows, metrics.get("positive_label"), output),
        ),
        _if_there(metrics.get("calibration"), lambda part: _calibration(part, metrics, output)),
        _if_there(metrics.get("coverage"), lambda rows: _coverage(rows, output)),
        *_learning(metrics.get("history") or []),
    ]
    return [picture for picture in drawn if picture is not None]


def _if_there(numbers: Any, draw: Callable[[Any], Picture | None]) -> Picture | None:
    return draw(numbers) if numbers else None


def _confusion(matrix: Sequence[Sequence[int]], output: Mapping[str, Any]) -> Picture | None:
    names = output["labels"]
    if len(names) > plots.MOST_LABELS:
        return None
    title = f"Confusion matrix of {len(names)} labels. " + ", ".join(
        f"{name}: {_percent(row[index], sum(row))} right"
        for index, (name, row) in enumerate(zip(names, matrix, strict=True))
    )
    return Picture(
        "Confusion matrix",
        plots.confusion_matrix(matrix, names, title),
        "Each row shows the test rows of one label: the share in % that got each answer.",
        large=plots.is_large(names),
    )


def _percent(part: float, whole: float) -> str:
    return f"{100 * part / whole:.0f} %" if whole else "no rows, 0 %"


def _values(values: Mapping[str, Sequence[float]] | None, residuals: bool) -> Picture | None:
    if not values:
        return None
    count = len(values["truth"])
    errors = sorted(
        abs(truth - value) for truth, value in zip(values["truth"], values["value"], strict=True)
    )
    what = "Errors by answer" if residuals else "Truth by answer"
    title = (
        f"{what} of {count} test rows. Half of the errors are below {errors[count // 2]:.4g}, "
        f"nine in ten below {errors[9 * count // 10]:.4g}."
    )
    caption = "Errors that fan out or bend show what the model has not learned."
    return Picture(
        "Residuals" if residuals else "Truth and answers",
        plots.prediction_errors(values, residuals, title),
        caption if residuals else "Answers on the line are right.",
    )


def _roc(curve: Mapping[str, Any]) -> Picture:
    rates = zip(curve["false_positive_rate"], curve["true_positive_rate"], strict=True)
    recall = max((true for false, true in rates if false <= 0.1), default=0.0)
    about = _about(curve["label"])
    return Picture(
        "ROC curve",
        plots.roc_curve(
            curve,
            f"ROC curve of {about}: area {curve['area']:.3f}; "
            f"with at most 10 % false alarms the recall is {_percent(recall, 1)}.",
        ),
        f"For {about}.",
    )


def _precision_recall(curve: Mapping[str, Any]) -> Picture:
    points = zip(curve["recall"], curve["precision"], strict=True)
    precision = max((precision for recall, precision in points if recall >= 0.9), default=0.0)
    about = _about(curve["label"])
    return Picture(
        "Precision and recall",
        plots.precision_recall_curve(
            curve,
            f"Precision-recall curve of {about}: average precision {curve['average_precision']:.3f}; "
            f"at a recall of 90 % the precision is {_percent(precision, 1)}.",
        ),
        f"For {about}.",
    )


def _about(label: str | None) -> str:
    return f"the label {label}" if label is not None else "all labels, pooled"


def _thresholds(
    rows: Sequence[Mapping[str, float]], label: str | None, output: Mapping[str, Any]
) -> Picture:
    chosen = output.get("thresholds", {}).get(label)
    best = max(rows, key=lambda row: row["f1"])
    title = (
        f"Precision, recall and F1 of {_about(label)} by threshold. "
        f"F1 is highest, {best['f1']:.3f}, at {best['threshold']:.3g}."
    )
    return Picture(
        "Threshold",
        plots.threshold_view(rows, chosen, title),
        f"For {_about(label)}, on the test rows.",
    )


def _calibration(
    calibration: Mapping[str, Any], metrics: Mapping[str, Any], output: Mapping[str, Any]
) -> Picture | None:
    bins = [part for part in calibration["bins"] if part["rows"]]
    if not bins:
        return None
    error = f"Expected calibration error {calibration['ece']:.4f}"
    if calibration.get("ece_before") is not None:
        error += f"; {calibration['ece_before']:.4f} before calibration"
    about = "all labels, each by itself" if output["type"] == "labels" else "the answers"
    if metrics.get("positive_label") is not None:
        about = f"the label {metrics['positive_label']}"
    title = f"Calibration curve of {about}. {error}. " + "; ".join(
        f"said {part['confidence']:.2f}, is {part['accuracy']:.2f}" for part in bins
    )
    return Picture(
        "Calibration",
        plots.calibration_curve(bins, title),
        f"The probabilities of {about}, and how often they come true. {error}.",
    )


def _coverage(rows: Sequence[Mapping[str, float]], output: Mapping[str, Any]) -> Picture:
    half = min(rows, key=lambda row: abs(row["coverage"] - 0.5))
    title = (
        "Accuracy by the share of rows that are answered, the surest first. "
        f"Of the surest {_percent(half['coverage'], 1)}, {_percent(half['accuracy'], 1)} are right."
    )
    return Picture(
        "Coverage and accuracy",
        plots.coverage_curve(rows, output.get("unsure_below"), title),
        "How accurate the answers are if only the surest are given.",
    )


def _learning(history: Sequence[Mapping[str, float]]) -> list[Picture]:
    """Draw losses in one picture, and what is measured from 0 to 1 in another one."""
    if len(history) < 2:
        return []
    pictures = []
    names = list(history[0])
    for losses, heading in ((True, "Learning curves"), (False, "Learning curves: metrics")):
        chosen = [name for name in names if ("loss" in name) == losses]
        if chosen:
            lines = [{name: epoch[name] for name in chosen if name in epoch} for epoch in history]
            title = f"{heading} over {len(history)} epochs. " + "; ".join(
                f"{name.replace('_', ' ')} from {lines[0][name]:.4g} to {lines[-1].get(name, lines[0][name]):.4g}"
                for name in chosen
            )
            pictures.append(Picture(heading, plots.learning_curves(lines, title)))
    return pictures
