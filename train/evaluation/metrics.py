"""The table of metrics: names, direction, bounds and units, and which answers have which metric.

A new metric needs a row here and its value in `train.evaluation.measures`. It gets a confidence interval, and with it
a place in comparisons, once `train.evaluation.significance` resamples it. Nothing is computed here and nothing heavy
is imported: a list of runs shows metrics, too.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import inf
from typing import Literal

from predict.contract.artefact import Kind

# Which answers have a metric: a kind of answer, or a part of one. "two labels": in addition to those of a label;
# "interval": numbers with a prediction interval; "unsure": labels that can be marked as unsure.
Group = Literal[Kind, "two labels", "interval", "unsure"]

_SIGNS = {"higher": 1, "lower": -1, "neither": 0}
_SHARE, _AMOUNT = (0.0, 1.0), (0.0, inf)


@dataclass(frozen=True)
class Metric:
    """What there is to know about a metric, apart from how it is computed.

    Attributes:
        key: Its name in `metrics.json`, in configurations and on the command line.
        name: Its name for people.
        better: Which values are better.
        bounds: The least and the largest value it can have.
        unit: `target` if it is in the unit of what is predicted, which may be large or small.
        of: Which answers have it; nothing for what only parts of a run are measured by.
        needs_all_probabilities: Whether a label that a model does not know spoils it.
    """

    key: str
    name: str
    of: tuple[Group, ...] = ()
    better: Literal["higher", "lower", "neither"] = "higher"
    bounds: tuple[float, float] = _SHARE
    unit: Literal["", "target"] = ""
    needs_all_probabilities: bool = False

    @property
    def sign(self) -> int:
        """1 if more is better, -1 if less is, 0 if neither is."""
        return _SIGNS[self.better]


# In the order in which people want to see them.
_TABLE = (
    Metric("accuracy", "accuracy", ("label",)),
    Metric("macro_f1", "macro F1", ("label", "labels")),
    Metric("log_loss", "log loss", ("label",), "lower", _AMOUNT, needs_all_probabilities=True),
    Metric("roc_auc", "ROC AUC", ("two labels",)),
    Metric("pr_auc", "PR AUC", ("two labels",)),
    Metric("precision", "precision", ("two labels",)),
    Metric("recall", "recall", ("two labels",)),
    Metric("f1", "F1", ("two labels",)),
    Metric("micro_f1", "micro F1", ("labels",)),
    Metric("subset_accuracy", "all labels right", ("labels",)),
    Metric("hamming_loss", "Hamming loss", ("labels",), "lower"),
    Metric("ranking_precision", "ranking precision", ("labels",), needs_all_probabilities=True),
    Metric("rmse", "RMSE", ("number",), "lower", _AMOUNT, "target"),
    Metric("mae", "MAE", ("number",), "lower", _AMOUNT, "target"),
    Metric("median_absolute_error", "median absolute error", ("number",), "lower", _AMOUNT, "target"),
    Metric("r2", "R²", ("number",), bounds=(-inf, 1.0)),
    Metric("interval_coverage", "interval coverage", ("interval",), "neither"),
    Metric("interval_width", "interval width", ("interval",), "lower", _AMOUNT, "target"),
    Metric("ece", "expected calibration error", ("label", "labels"), "lower", needs_all_probabilities=True),
    Metric("unsure_share", "unsure share", ("unsure",), "lower"),
    Metric("accuracy_when_sure", "accuracy when sure", ("unsure",)),
    Metric("mean_error", "mean error", (), "neither", (-inf, inf), "target"),
    Metric("mean_score", "mean score", (), "neither"),
)  # fmt: skip
METRICS = {metric.key: metric for metric in _TABLE}
METRIC_NAMES = {metric.key: metric.name for metric in _TABLE}


@dataclass(frozen=True)
class MainMetrics:
    """The metrics that stand for all others of a kind of answer, unless somebody asks for another one.

    Attributes:
        compared: Decides whether a model is worse than another one.
        searched: Decides which parameters are best.
        listed: What a list of runs has room for.
    """

    compared: str
    searched: str
    listed: tuple[str, ...]


MAIN_METRICS: dict[Kind, MainMetrics] = {
    "label": MainMetrics("accuracy", "log_loss", ("accuracy", "log_loss")),
    "labels": MainMetrics("micro_f1", "micro_f1", ("micro_f1", "macro_f1")),
    "number": MainMetrics("rmse", "rmse", ("rmse", "r2")),
}


def compared_metric(kind: Kind, has_threshold: bool) -> str:
    """Return the metric that decides whether a model is worse than another one.

    A threshold that was chosen for one of two labels shifts the accuracy by intent: then it is PR AUC.
    """
    return "pr_auc" if kind == "label" and has_threshold else MAIN_METRICS[kind].compared


def describe_metric(key: str) -> Metric:
    """Return the row of a metric; a plain share from 0 to 1 for what another version of Capstone has measured."""
    return METRICS.get(key) or Metric(key, key.replace("_", " "))


def keys_of(*groups: Group) -> list[str]:
    """Return the metrics that some answers have, in the order of the table.

    >>> keys_of("unsure", "interval")
    ['interval_coverage', 'interval_width', 'unsure_share', 'accuracy_when_sure']
    """
    return [metric.key for metric in _TABLE if set(groups) & set(metric.of)]


def headline_keys(kind: Kind, num_labels: int = 0) -> list[str]:
    """Return the single numbers that every model of this kind is measured by; a search may go by any of them.

    >>> headline_keys("number")
    ['rmse', 'mae', 'median_absolute_error', 'r2']
    """
    return keys_of(kind, "two labels") if (kind, num_labels) == ("label", 2) else keys_of(kind)


def in_order(keys: Iterable[str]) -> list[str]:
    """Return metrics as people want to see them, and after them those that the table does not have."""
    there = set(keys)
    return [key for key in METRICS if key in there] + sorted(there - set(METRICS))


# ----------------------------------------------------------------- for people


def show_name(key: str) -> str:
    """Return what people call a metric, or any other key."""
    return describe_metric(key).name


def show_metric(key: str, value: float | None) -> str:
    """Return a metric as people read it.

    >>> show_metric("accuracy", 0.98765), show_metric("rmse", 1234567.8), show_metric("r2", None)
    ('0.9877', '1,234,568', '–')
    """
    if value is None:
        return "–"
    if describe_metric(key).unit != "target":
        return f"{round(value, 4) + 0.0:.4f}"  # no -0.0000
    return f"{value:,.0f}" if abs(value) >= 999.95 else f"{value:#.4g}"


def show_difference(key: str, value: float) -> str:
    """Return the difference of a metric as people read it, with its sign.

    >>> show_difference("accuracy", 0.25), show_difference("rmse", -2.5), show_difference("accuracy", -0.00001)
    ('+0.2500', '-2.500', '+0.0000')
    """
    shown = show_metric(key, abs(value))
    return f"{'-' if value < 0 and shown.strip('0.') else '+'}{shown}"


def show_range(key: str, low: float, high: float) -> str:
    """Return the interval of a difference as people read it."""
    return f"{show_difference(key, low)} to {show_difference(key, high)}"
