"""What the command lines share: the version, exit codes, the shape of their help, and options with an older name."""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

import click

from predict import __version__

Decorated = TypeVar("Decorated", bound=Callable[..., object])

# For every group and command; a subcommand inherits it.
SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"]}


class ExitCode(NamedTuple):
    """What a process says with the number that it ends with.

    Attributes:
        number: The number.
        meaning: What happened.
        commands: The command lines that use it, and the subcommand where it is one alone: `train run`.
    """

    number: int
    meaning: str
    commands: tuple[str, ...]


_ALL = ("train", "predict", "jobs", "scale")
# Done, but not everything that was asked for.
STOPPED_BY_GATE = 3
ROWS_FAILED = 3
# What a shell makes of SIGTERM.
TERMINATED = 143

EXIT_CODES = (
    ExitCode(0, "done", _ALL),
    ExitCode(1, "failed or interrupted; the message says how to mend it", _ALL),
    ExitCode(1, "the artefacts or the results differ", ("train compare", "train reproduce")),
    ExitCode(2, "the command line is wrong", _ALL),
    ExitCode(STOPPED_BY_GATE, "the gate keeps the artefact from becoming `latest`", ("train run", "scale train")),
    ExitCode(ROWS_FAILED, "some rows could not be scored", ("predict file", "scale predict")),
    ExitCode(TERMINATED, "stopped by SIGTERM", ("train", "scale train")),
)  # fmt: skip


def examples(*commands: str) -> str:
    r"""Return the end of a help: commands that can be pasted, as they are.

    >>> examples("python -m train datasets")
    '\x08\nExamples:\n  python -m train datasets'
    """
    return "\n".join(("\b", "Examples:", *(f"  {command}" for command in commands)))


def exit_codes(program: str) -> str:
    r"""Return the exit codes of a command line (`train`), for the end of its help.

    >>> print(exit_codes("jobs").lstrip("\b\n"))
    Exit codes:
      0    done
      1    failed or interrupted; the message says how to mend it
      2    the command line is wrong
    """
    lines = ["\b", "Exit codes:"]
    for code in EXIT_CODES:
        told = [name for name in code.commands if name.partition(" ")[0] == program]
        if told:
            alone = [command for _, _, command in (name.partition(" ") for name in told) if command]
            where = f"{', '.join(alone)}: " if alone else ""
            lines.append(f"  {code.number:<4} {where}{code.meaning}".rstrip())
    return "\n".join(lines)


def with_version(command: Decorated) -> Decorated:
    """Add `--version`, which tells the version of the project."""
    return click.version_option(__version__, prog_name="capstone")(command)


class RenamedOption(click.Option):
    """An option whose older names still work; its help and its completion tell the first name alone."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """See `click.Option`."""
        names, self.opts = self.opts, self.opts[:1]
        try:
            return super().get_help_record(ctx)
        finally:
            self.opts = names
