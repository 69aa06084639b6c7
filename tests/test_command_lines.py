"""Claims about every command line: help, examples, options, exit codes and the version."""

import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from jobs.__main__ import main as jobs
from predict import __version__
from predict.__main__ import main as predict
from predict.command_line import EXIT_CODES
from scale.__main__ import main as scale
from train.__main__ import main as train

ROOT = Path(__file__).parent.parent
PROGRAMS: dict[str, click.Command] = {
    "train": train,
    "predict": predict,
    "jobs": jobs,
    "scale": scale,
}
HEAVY = ("tensorflow", "keras", "sklearn", "ray", "pandas", "gensim", "onnxruntime", "flask")


def commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Yield a command with its name (`train run`), and all that are in it."""
    yield name, command
    if isinstance(command, click.Group):
        for part, inner in command.commands.items():
            yield from commands(f"{name} {part}", inner)


EVERY = {
    name: command for program, main in PROGRAMS.items() for name, command in commands(program, main)
}


def shown(name: str) -> str:
    program, *rest = name.split()
    result = CliRunner().invoke(PROGRAMS[program], [*rest, "--help"])
    assert result.exit_code == 0, result.output
    return result.stdout


def examples_of(name: str) -> list[str]:
    """Return the lines below `Examples:`, up to the next part of a help."""
    _, _, after = shown(name).partition("Examples:\n")
    return [line.strip() for line in after.partition("\n\n")[0].splitlines()]


def parse(command: click.Command, arguments: list[str]) -> None:
    """Parse a command line, and run nothing."""
    context = command.make_context("x", list(arguments))
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        name, inner, rest = context.command.resolve_command(context, rest)
        assert inner is not None
        context = inner.make_context(name, rest, parent=context)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_help_has_examples_that_parse(name: str) -> None:
    lines = examples_of(name)
    assert lines
    for line in lines:
        assert len(line) <= 100, line
        words = shlex.split(line.rpartition("| ")[2].partition(" > ")[0])
        start = words.index("python")
        assert all(re.fullmatch(r"[A-Z_]+=\S*", word) for word in words[:start]), line
        program, *arguments = words[start + 2 :]
        assert " ".join([program, *arguments]).startswith(name.split()[0]), line
        if name == "scale train":  # its options are those of the other command
            program, arguments = "train", ["run", *arguments[1:]]
        parse(PROGRAMS[program], arguments)


@pytest.mark.parametrize("name", sorted(name for name in EVERY if " " in name))
def test_the_examples_of_a_command_are_its_own(name: str) -> None:
    program, command = name.split()
    for line in examples_of(name):
        assert re.search(rf"-m {program} (?:--conf \S+ )?{command}\b", line), line


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_option_and_command_says_what_it_does(name: str) -> None:
    command = EVERY[name]
    assert command.help
    for option in command.params:
        if isinstance(option, click.Option):
            assert option.help, option.name


def test_an_option_of_one_name_is_written_alike_everywhere() -> None:
    # Where it names a file or a folder, the placeholder says so, in one of two words.
    for name, command in EVERY.items():
        for option in command.params:
            if isinstance(option, click.Option) and isinstance(option.type, click.Path):
                assert option.metavar in ("FILE", "DIRECTORY"), f"{name}: {option.opts}"
    options = {param.opts[0] for command in EVERY.values() for param in command.params}
    assert not options & {"--force", "--config", "--output", "--jobs", "--processes"}


def test_an_older_name_of_an_option_still_works_and_is_not_shown(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.touch()
    for option, code in (("--overwrite", 1), ("--force", 1)):
        done = CliRunner().invoke(
            train, ["runs", "--artefacts-dir", f"{tmp_path}/none", "--page", str(page), option]
        )
        assert done.exit_code == code
        assert "cannot be listed" in done.stderr  # and no word of the page
    for name, old in (
        ("train runs", "--force"),
        ("train data", "--force"),
        ("train reproduce", "--keep"),
    ):
        assert old in {opt for param in EVERY[name].params for opt in param.opts}
        assert old not in shown(name)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_help_of_a_program_lists_its_exit_codes(program: str) -> None:
    lines = re.findall(r"^ +(\d+) +(\S.*)$", shown(program).partition("Exit codes:")[2], re.M)
    expected = [
        code.number
        for code in EXIT_CODES
        if any(name.split()[0] == program for name in code.commands)
    ]
    assert [int(number) for number, _ in lines] == expected
    assert {0, 1, 2} <= set(expected)


def test_exit_codes_name_real_commands() -> None:
    for code in EXIT_CODES:
        assert set(code.commands) <= set(EVERY), code


@pytest.mark.parametrize("program", PROGRAMS)
def test_help_and_version_load_nothing_heavy(program: str) -> None:
    names = [name.split()[1:] for name in EVERY if name.split()[0] == program]
    asked = [[*name, "--help"] for name in names] + [["--version"]]
    code = f"""
import contextlib, io, json, sys
from {program}.__main__ import main
for arguments in {asked!r}:
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.suppress(SystemExit):
        main(arguments)
    assert "Usage" in out.getvalue() or "version" in out.getvalue(), arguments
print(json.dumps(sorted(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not set(HEAVY) & set(json.loads(done.stdout))


# ------------------------------------------------------------------- version


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_tells_the_version_of_the_project(program: str) -> None:
    done = CliRunner().invoke(PROGRAMS[program], ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"capstone, version {__version__}\n")


def test_the_version_is_the_one_of_the_projects_metadata() -> None:
    content = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = content.get("project", {"version": __version__})
    # Either it is written there, or it is read from the package.
    assert project.get("version", __version__) == __version__
    assert re.fullmatch(r"\d+\.\d+\.\d+(?:(?:a|b|rc|\.dev)\d+)?", __version__)
