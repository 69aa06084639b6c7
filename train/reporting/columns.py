"""The table of the columns of a dataset for the terminal: type, why, missing, examples."""

from predict.wording import shorten
from train.data.dataset import Dataset
from train.terminal import PlainTable

_LONGEST = 24


def table_of(dataset: Dataset) -> PlainTable:
    """Return a row for every column but the label: inputs first, then what is ignored."""
    table = PlainTable()
    for heading in ("column", "type", "why"):
        table.add_column(heading, overflow="fold")
    table.add_column("missing", justify="right", no_wrap=True)
    table.add_column("examples", overflow="fold")
    for name, kind in dataset.column_types.items():
        _add(table, dataset, name, kind, dataset.reasons.get(name, ""))
    for name, why in dataset.ignored.items():
        _add(table, dataset, name, "ignored", why)
    return table


def _add(table: PlainTable, dataset: Dataset, name: str, kind: str, why: str) -> None:
    missing, examples = dataset.seen.get(name, (0.0, ()))
    shown = ", ".join(repr(shorten(example, _LONGEST)) for example in examples)
    table.add_row(name, kind, why, f"{missing:.1%}" if missing else "–", shown)
