"""The command lines: the very help that each command shows."""

from collections.abc import Iterator

import click

import jobs.__main__
import predict.__main__
import scale.__main__
import train.__main__

_PROGRAMS = {
    "Training": ("python -m train", train.__main__.main),
    "Serving": ("python -m predict", predict.__main__.main),
    "Training as a service": ("python -m jobs", jobs.__main__.main),
    "On Ray": ("python -m scale", scale.__main__.main),
}
# Columns of a line of help.
_WIDTH = 88


def command_lines() -> str:
    """Return the help of every command, below a heading of its own."""
    parts = []
    for title, (name, command) in _PROGRAMS.items():
        parts.append(f"## {title}\n")
        parts.extend(_helps(name, command, None))
    return "\n".join(parts)


def _helps(name: str, command: click.Command, parent: click.Context | None) -> Iterator[str]:
    own_name = name.rpartition(" ")[2] if parent else name
    context = command.make_context(
        own_name, [], parent, resilient_parsing=True, terminal_width=_WIDTH
    )
    yield f"### `{name}`\n\n```text\n{command.get_help(context)}\n```\n"
    if isinstance(command, click.Group):
        for each in command.list_commands(context):
            inner = command.get_command(context, each)
            if inner is not None and not inner.hidden:
                yield from _helps(f"{name} {each}", inner, context)
