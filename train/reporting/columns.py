"""The table of the columns of a dataset for the terminal: type, why, missing, examples."""

from rich.markup import escape
from rich.table import Table

from predict.wording import shorten
from train.data.dataset import Dataset

_LONGEST = 24


def table_of(dataset: Dataset) -> Table:
    """Return a row for every column but the label: inputs first, then what is ignored."""
    table = Table(box=None, pad_edge=False)
    for heading in ("column", "type", "why"):
        table.add_column(heading, overflow="fold")
    table.add_column("missing", justify="right", no_wrap=True)
    table.add_column("examples", overflow="fold")
    for name, kind in dataset.column_types.items():
        _add(table, dataset, name, kind, dataset.reasons.get(name, ""))
    for name, why in dataset.ignored.items():
        _add(table, dataset, name, "ignored", why)
    return table


def _add(table: Table, dataset: Dataset, name: str, kind: str, why: str) -> None:
    missing, examples = dataset.seen.get(name, (0.0, ()))
    shown = ", ".join(repr(shorten(example, _LONGEST)) for example in examples)
    table.add_row(*map(escape, (name, kind, why, f"{missing:.1%}" if missing else "–", shown)))
