"""A comparison for people, on the terminal and as a page."""

from collections.abc import Mapping
from typing import Any

from rich.console import Group, RenderableType

from predict.wording import counted, readable, shorten
from train.comparison.compare import Change, Comparison, LabelDifference
from train.evaluation.metrics import (
    describe_metric,
    in_order,
    show_difference,
    show_metric,
    show_name,
    show_range,
)
from train.evaluation.significance import Difference
from train.reporting import pages
from train.terminal import PlainTable, plain

_LABELS_SHOWN = 10
# What is shown of an instance.
_MOST_CHARACTERS = 160


def show(comparison: Comparison) -> Group:
    """Return what the terminal shows."""
    parts: list[RenderableType] = [plain(line) for line in _heading(comparison)]
    parts += [plain(f"note: {note}", style="yellow") for note in comparison.notes]
    parts += [plain(""), _metric_table(comparison), plain("")]
    parts += [plain(line) for line in summarise(comparison)]
    if labels := _labels_to_show(comparison):
        parts += [plain(""), _label_table(comparison, labels)]
    for group, changes in comparison.changed.items():
        if changes:
            parts += [plain(""), plain(f"{group}, such as", style="bold"), _change_table(changes)]
    return Group(*parts)


def render_page(comparison: Comparison) -> str:
    """Return the comparison as one HTML page that needs nothing from elsewhere."""
    return pages.render_page(
        "compare.html",
        comparison=comparison,
        counted=counted,
        metrics=_in_order(comparison.metrics),
        show_name=show_name,
        show_metric=show_metric,
        show_difference=show_difference,
        show_range=show_range,
        verdict=verdict,
        bar=_bar,
        lines=summarise(comparison),
        shown=_shown,
        shown_answer=_shown_answer,
    )


def verdict(metric: str, difference: Difference) -> str:
    """Return which model is better by a metric, as far as that is more than chance."""
    if not difference.significant:
        return "within chance"
    sign = describe_metric(metric).sign
    if not sign:
        return "differs"
    return "B is better" if sign * difference.difference > 0 else "A is better"


def summarise(comparison: Comparison) -> list[str]:
    """Say in a few lines what the metrics do not."""
    counts = ", ".join(f"{group} {count:,}" for group, count in comparison.tally.items())
    lines = [f"rows: {counts}"]
    if comparison.agreement is not None and comparison.p_value is not None:
        chance = "more than chance" if comparison.p_value < 0.05 else "within chance"
        lines.append(
            f"the answers agree in {comparison.agreement:.2%} of the rows; "
            f"McNemar's exact test: p = {_shown_p(comparison.p_value)}, {chance}"
        )
    lines.append(f"outputs differ by at most {comparison.largest_difference:.3g}")
    return lines


def _shown_p(value: float) -> str:
    return f"{value:.1e}" if value < 0.0001 else f"{value:.4f}"


def _heading(comparison: Comparison) -> list[str]:
    lines = [
        f"{name}: {side.path} ({side.dataset}, {side.model}, {side.created_at[:16].replace('T', ' ')})"
        for name, side in (("A", comparison.a), ("B", comparison.b))
    ]
    return [*lines, f"on: {comparison.data}, {counted(comparison.rows, 'row')}"]


def _metric_table(comparison: Comparison) -> PlainTable:
    table = PlainTable()
    for name in ("", "A", "B", "B - A", "95 % interval"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    table.add_column("")
    for metric, difference in _in_order(comparison.metrics):
        table.add_row(metric, *_cells(metric, difference), verdict(metric, difference))
    return table


def _in_order(metrics: Mapping[str, Difference]) -> list[tuple[str, Difference]]:
    return [(name, metrics[name]) for name in in_order(metrics)]


def _label_table(comparison: Comparison, labels: list[LabelDifference]) -> PlainTable:
    table = PlainTable()
    more = len(comparison.labels) - len(labels)
    table.add_column("F1 of" + (f" (and {more} labels that changed less)" if more else ""))
    for name in ("rows", "A", "B", "B - A", "95 % interval"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("")
    for label in labels:
        cells = _cells("f1", label.f1)
        table.add_row(label.label, f"{label.support:,}", *cells, verdict("f1", label.f1))
    return table


def _labels_to_show(comparison: Comparison) -> list[LabelDifference]:
    return [label for label in comparison.labels if label.f1.difference][:_LABELS_SHOWN]


def _cells(metric: str, difference: Difference) -> list[str]:
    return [
        show_metric(metric, difference.first),
        show_metric(metric, difference.second),
        show_difference(metric, difference.difference),
        show_range(metric, difference.low, difference.high),
    ]


def _change_table(changes: list[Change]) -> PlainTable:
    table = PlainTable()
    for name in ("row", "truth", "A", "B", "instance"):
        table.add_column(name, overflow="fold", justify="right" if name == "row" else "left")
    for change in changes:
        answers = (_shown_answer(answer) for answer in (change.truth, change.a, change.b))
        table.add_row(str(change.row), *answers, _shown(change.instance))
    return table


def _shown_answer(answer: Any) -> str:
    if isinstance(answer, dict):
        return f"{answer['label']} ({answer['score']:.3f})"
    if isinstance(answer, list):
        return ", ".join(answer) or "none"
    return readable(answer) if isinstance(answer, float) else str(answer)


def _shown(instance: Mapping[str, Any]) -> str:
    values = list(instance.values())
    if len(values) == 1 and isinstance(values[0], str):
        text = values[0]
    else:
        text = ", ".join(f"{name} {value}" for name, value in instance.items() if value is not None)
    return shorten(text, _MOST_CHARACTERS)


def _bar(difference: Difference) -> dict[str, float]:
    """Return where an interval lies in a picture from 0 to 100, with no difference at 50."""
    reach = max(abs(difference.low), abs(difference.high)) or 1.0
    low, high, middle = (
        50 + 48 * value / reach
        for value in (difference.low, difference.high, difference.difference)
    )
    return {"low": round(low, 2), "width": round(max(high - low, 1), 2), "middle": round(middle, 2)}
