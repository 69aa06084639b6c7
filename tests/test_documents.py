"""Claims about the tutorials: each runs from its first command to its last, and prints what it shows."""

import os
import re
import sys
from pathlib import Path

import pytest

from tests.executed import ROOT, TUTORIALS, LeftOut, agree, as_shown, steps_of, workplace

_TUTORIALS = sorted(file.name for file in TUTORIALS.glob("[0-9]*.md"))


def test_there_are_seven_tutorials() -> None:
    assert [name[0] for name in _TUTORIALS] == list("1234567")


@pytest.mark.parametrize("name", _TUTORIALS)
def test_every_command_of_a_tutorial_prints_what_the_tutorial_shows(
    name: str, tmp_path: Path
) -> None:
    predict, scale = os.environ.get("PREDICT_PYTHON"), os.environ.get("SCALE_PYTHON")
    if name.startswith("5-") and not scale:
        pytest.skip("SCALE_PYTHON names no interpreter with Ray")
    text = (TUTORIALS / name).read_text(encoding="utf-8")
    with workplace(tmp_path, sys.executable, predict or sys.executable, scale) as place:
        for step in steps_of(text):
            if isinstance(step, LeftOut):
                continue
            code, printed = place.run(step)
            # What is waited for may take longer than the document says, on a busy machine.
            for _ in range(20 if step.command.startswith("sleep ") else 0):
                if agree(step.printed, printed):
                    break
                code, printed = place.run(step)
            assert code == 0, f"{step.command}\n{printed}"
            assert not step.shown or agree(step.printed, printed), (
                f"{name}: {step.command}\nshown:\n{step.printed}\nprinted:\n{as_shown(printed)}\n"
                "Refresh it with `make tutorials` if this is meant."
            )


def test_a_transcript_is_taken_apart_into_commands_and_what_they_print() -> None:
    text = "<!-- background -->\n```console\n$ one \\\n    two\nsaid\n$ three\n```\n"
    first, second = steps_of(text)
    assert not isinstance(first, LeftOut)
    assert not isinstance(second, LeftOut)
    assert (first.command, first.printed, first.background) == ("one \\\n    two", "said", True)
    assert (second.command, second.printed, second.lines) == ("three", "", (6, 6))


def test_a_block_is_left_out_only_with_a_reason() -> None:
    (step,) = steps_of("<!-- not executed: needs a cluster -->\n\n```sh\nkubectl get pods\n```\n")
    assert step == LeftOut("needs a cluster", 3)


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("[ 0.3 s] done", "[12.1 s] done", True),
        ("data/artefacts/2026-11-28-06-47-36", "data/artefacts/2027-01-02-03-04-05", True),
        ("head\n…\ntail", "head\nmuch\nbetween\ntail", True),
        ("a line too lo…", "a line too long", True),
        ("[ 9.0 s] done", "[ 6.1 s] fit: 5 s so far; 1 of 9 fits\n[12.1 s] done", True),
        ("[ 0.3 s] epoch 1: loss 2\n[ 1.3 s] done", "[12.1 s] done", True),
        ("fold 1/2: accuracy 0.8979", "fold 1/2: accuracy 0.9; about 15 s to go at this rate", True),
        ("cross-validation: 5 folds", "cross-validation: 2 folds, each about 13 s", True),
        ("head\n…\ntail", "head\nmuch\nbetween\ntails", False),
        ("one…\nthree", "one\ntwo\nthree", False),
        ("label: svn", "label: bash", False),
        ("one", "one\ntwo", False),
    ],
)
def test_what_differs_from_run_to_run_is_no_difference(
    shown: str, printed: str, same: bool
) -> None:
    assert agree(shown, printed) is same


# ----------------------------------------------------------------- commands that no test runs


def _marked_documents() -> list[str]:
    names = ["README.md", "CONTRIBUTING.md", "data/README.md"]
    return names + sorted(str(file.relative_to(ROOT)) for file in (ROOT / "docs").rglob("*.md"))


def _commands(name: str) -> list[str]:
    """Return the lines of a document's blocks, and the code within its sentences."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    inline = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    return [line for block in blocks for line in block.splitlines()] + inline


@pytest.mark.parametrize("name", _marked_documents())
def test_every_variable_given_to_make_is_one_that_the_makefile_reads(name: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    settings = (ROOT / "conf/predict.conf.dist").read_text(encoding="utf-8")
    for command in _commands(name):
        if match := re.match(r"\$? *make +[a-z][\w-]*((?: +[A-Z_]+=.*)?)$", command):
            for variable in re.findall(
                r"(?:^| )([A-Z_]+)=", re.sub(r'"[^"]*"|\'[^\']*\'', "", match[1])
            ):
                known = f"$({variable})" in makefile or f"${variable}" in makefile
                assert known or variable in settings, command


@pytest.mark.parametrize("name", _marked_documents())
def test_every_option_of_a_python_command_is_one_that_it_has(name: str) -> None:
    import click

    from jobs.__main__ import main as jobs_main
    from predict.__main__ import main as predict_main
    from train.__main__ import main as train_main

    groups = {"train": train_main, "predict": predict_main, "jobs": jobs_main}
    for command in _commands(name):
        match = re.search(r"python3? -m (train|predict|jobs)(?: ([a-z]+))?( .*)?$", command)
        if match is None:
            continue
        group: click.Command = groups[match[1]]
        if match[2] and isinstance(group, click.Group):
            assert match[2] in group.commands, command
            group = group.commands[match[2]]
        had = {option for parameter in group.params for option in parameter.opts} | {"--help"}
        had |= {option for parameter in group.params for option in parameter.secondary_opts}
        asked = (match[3] or "").partition(" #")[0].partition(" | ")[0].partition(" && ")[0]
        assert set(re.findall(r"(?<= )--[a-z][\w-]*", asked)) <= had, command


@pytest.mark.parametrize("name", _marked_documents())
def test_every_path_that_is_asked_for_on_loopback_is_a_route(name: str) -> None:
    routes = (ROOT / "predict/http").rglob("*.py"), (ROOT / "jobs").glob("*.py")
    written = "\n".join(file.read_text(encoding="utf-8") for part in routes for file in part)
    for command in _commands(name):
        for path in re.findall(r"localhost:(?:8080|8090)/([\w-]+)", command):
            assert f"/{path}" in written or f'"{path}' in written, command
