"""The catalogue, the metrics and the exit codes as tables."""

from math import isinf

from predict.command_line import EXIT_CODES
from train.data.catalogue import CATALOGUE, CatalogueEntry
from train.evaluation.metrics import MAIN_METRICS, METRICS, Metric

from .markdown import code, table

_ANSWERS = {
    "label": "a label",
    "labels": "labels",
    "number": "a number",
    "two labels": "one of two labels",
    "interval": "a number with an interval",
    "unsure": "a label that may be unsure",
}


def catalogue_table() -> str:
    """Return the datasets: what they are, their licences, and where their files come from."""
    return "\n".join(map(_described, CATALOGUE.values()))


def _described(entry: CatalogueEntry) -> str:
    inputs = [*(entry.columns.text or ()), *entry.columns.inputs]
    rows = [
        ["rows", entry.rows],
        ["task", entry.task],
        ["label", code(entry.columns.label)],
        ["declared columns", ", ".join(map(code, inputs)) or "types are inferred"],
        ["licence", entry.licence],
    ]
    files = [[f"<{file.url}>", code(file.sha256)] for file in entry.files]
    source = table(["source", "SHA-256"], files) if files else "It is embedded: no download.\n"
    return f"## {entry.name}\n\n{entry.about}\n\n{table(['', ''], rows)}\n{source}"


def metrics_table() -> str:
    """Return the metrics: names, direction, bounds, and which answers have them."""
    heads = ["key", "name", "better", "bounds", "unit", "models that answer"]
    main = [
        [_ANSWERS[kind], code(of.compared), code(of.searched), ", ".join(map(code, of.listed))]
        for kind, of in MAIN_METRICS.items()
    ]
    return (
        table(heads, map(_row, METRICS.values()))
        + "\n## Main metrics\n\n"
        + table(["models that answer", "compared by", "searched by", "listed by `runs`"], main)
    )


def _row(metric: Metric) -> list[str]:
    low, high = ("–∞" if isinf(metric.bounds[0]) else f"{metric.bounds[0]:g}", _high(metric))
    answers = ", ".join(_ANSWERS[each] for each in metric.of) or "in parts of the report alone"
    unit = "that of what is predicted" if metric.unit else ""
    return [code(metric.key), metric.name, metric.better, f"{low} to {high}", unit, answers]


def _high(metric: Metric) -> str:
    return "∞" if isinf(metric.bounds[1]) else f"{metric.bounds[1]:g}"


def exit_codes_table() -> str:
    """Return what the numbers mean that the commands end with."""
    rows = [
        [str(each.number), each.meaning, ", ".join(code(f"python -m {name}") for name in each.commands)]
        for each in EXIT_CODES
    ]  # fmt: skip
    return table(["exit code", "meaning", "commands"], rows)
