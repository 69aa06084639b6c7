"""The table of the columns that a check prints."""

from rich.console import Console

from train.reporting.columns import table_of
from train.tests.tables import make_dataset


def test_a_column_is_shown_with_type_reason_missing_share_and_examples() -> None:
    dataset = make_dataset(
        {"[red]a[/red]": [1.0, 2.0]},
        [0, 1],
        ["x", "y"],
        reasons={"[red]a[/red]": "every value is a number"},
        ignored={"id": "it numbers the rows"},
        seen={"[red]a[/red]": (0.25, ("1", "2")), "id": (0.0, ("[b]7", "x" * 90))},
    )
    terminal = Console(width=200)
    with terminal.capture() as captured:
        terminal.print(table_of(dataset))
    heading, number, ignored = (line.split("  ") for line in captured.get().splitlines())
    assert [cell.strip() for cell in heading if cell.strip()] == [
        "column",
        "type",
        "why",
        "missing",
        "examples",
    ]
    assert [cell.strip() for cell in number if cell.strip()] == [
        "[red]a[/red]", "number", "every value is a number", "25.0%", "'1', '2'",
    ]  # fmt: skip
    assert [cell.strip() for cell in ignored if cell.strip()] == [
        "id", "ignored", "it numbers the rows", "–", f"'[b]7', '{'x' * 24}…'",
    ]  # fmt: skip
