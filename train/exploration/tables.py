"""The profile of a file for the terminal."""

from predict.wording import counted
from train.exploration.profile import Column, Profile
from train.terminal import PlainTable

_LABELS_SHOWN = 12


def table_of(profile: Profile) -> PlainTable:
    """Return a row for each column."""
    table = PlainTable()
    for heading in ("column", "type", "why", "missing", "different", "for example"):
        right = heading in ("missing", "different")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for column in profile.columns:
        missing = f"{column.missing:.1%}" if column.missing else "–"
        cells = (
            column.name,
            column.kind,
            column.why,
            missing,
            f"{column.different:,}",
            _examples(column),
        )
        table.add_row(*cells)
    return table


def lines_of(profile: Profile) -> list[str]:
    """Return what else there is to say, a line each."""
    lines = [
        f"{profile.name}: {counted(profile.rows, 'row')}, {counted(len(profile.columns), 'column')}",
        f"label: {profile.label} ({profile.why_label}; --label chooses another)",
        f"task: {profile.task} ({profile.why_task})",
    ]
    if profile.labels:
        total = profile.rows
        shown = [
            f"{label} {count:,} ({count / total:.1%})"
            for label, count in list(profile.labels.items())[:_LABELS_SHOWN]
        ]
        more = len(profile.labels) - len(shown)
        lines.append("labels: " + ", ".join(shown) + (f" and {more:,} more" if more > 0 else ""))
    elif len(targets := profile.targets.dropna()):
        lines.append(
            f"{profile.label}: from {targets.min():g} to {targets.max():g}, half of them below {targets.median():g}"
        )
    lines += [
        f"{column.name}: half of the texts have {column.words[0]:,} words or more, one in twenty more than "
        f"{column.words[1]:,}"
        for column in profile.columns
        if column.words
    ]
    return lines


def _examples(column: Column) -> str:
    return " | ".join(column.examples)
