"""Claims about the tutorials: each runs from its first command to its last, and prints what it shows."""

import os
import re
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from tests.commands import (
    OF_A_SHELL,
    SERVICES,
    code_in,
    commands_in,
    is_route,
    problem_with,
    simple_commands,
)
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
        (
            "fold 1/2: accuracy 0.8979",
            "fold 1/2: accuracy 0.9; about 15 s to go at this rate",
            True,
        ),
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

_DOCUMENTS = [
    *("README.md", "CONTRIBUTING.md", "SECURITY.md", "data/README.md"),
    *sorted(
        str(file.relative_to(ROOT))
        for file in (ROOT / "docs").rglob("*.md")
        if file.parent != TUTORIALS or file.name not in _TUTORIALS
    ),
]

# What is neither run nor understood, by the first word, and why.
_NOT_EXECUTED = {
    ".env/train/bin/pre-commit": "writes a hook into the repository of whoever runs it",
    "capstone-train": "a key is pressed in the middle; tests/test_completion.py presses it",
    "docker": "needs a container engine, and base images from a registry; `make test-images` runs both images",
    "git": "pushes to a remote",
    "serve": "Ray's own command line on a cluster; scale/tests/test_serve.py builds the same application",
    "source": "tests/test_completion.py reads the same script",
}


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_every_command_in_a_block_is_understood_or_has_a_reason_not_to_be_run(name: str) -> None:
    for number, line in commands_in((ROOT / name).read_text(encoding="utf-8")):
        for words in simple_commands(line):
            try:
                problem = problem_with(words)
            except LookupError as error:
                problem = None if str(error.args[0]) in _NOT_EXECUTED else f"unknown: {error}"
            assert problem is None, f"{name}:{number}: {line}\n{problem}"


def test_every_reason_not_to_run_a_command_is_needed() -> None:
    lines = [
        line for name in _DOCUMENTS for _, line in commands_in((ROOT / name).read_text("utf-8"))
    ]
    used = {words[0] for line in lines for words in simple_commands(line) if words}
    assert set(_NOT_EXECUTED) <= used


@pytest.mark.parametrize("name", _DOCUMENTS)
def test_a_block_of_commands_says_that_it_is_one(name: str) -> None:
    for token in MarkdownIt("commonmark").parse((ROOT / name).read_text(encoding="utf-8")):
        if token.type == "fence" and token.info not in OF_A_SHELL:
            assert not re.search(
                r"^(\$|(sudo )?(make|python3?|pip|curl|docker|git|kubectl)) ",
                token.content,
                re.MULTILINE,
            ), f"{name}:{token.map}"


@pytest.mark.parametrize("name", [*_DOCUMENTS, *(f"docs/tutorials/{name}" for name in _TUTORIALS)])
def test_what_a_sentence_names_is_there(name: str) -> None:
    """A command of ours within a sentence, or a method and a path: `GET /models`."""
    for code in code_in((ROOT / name).read_text(encoding="utf-8")):
        if re.match(r"(make|curl|python3?) ", code):
            for words in simple_commands(code):
                with suppress(LookupError):  # `make it`, or a program that is not ours
                    assert (problem := problem_with(words)) is None, f"{code}\n{problem}"
        elif match := re.fullmatch(r"(GET|POST|PUT|DELETE) (/[^\s?…]*)(\?\S*)?", code):
            assert any(is_route(service, match[1], match[2]) for service in SERVICES), code


@pytest.mark.parametrize(
    ("command", "problem"),
    [
        ("make tarin", "make has no target tarin"),
        ("make train DATSET=iris", "make has no variable DATSET"),
        ("make serve DATASET=iris", "no target of make serve reads DATASET"),
        ('make prune OPTIONS="--keeep 5"', "python -m train prune has no option --keeep"),
        ("PORT=1 WATCH=2 make serve", "make has no variable WATCH"),
        ("python -m train rum", "python -m train has no command rum"),
        (
            "python -m scale serve --min-replica 1",
            "python -m scale serve has no option --min-replica",
        ),
        ("python -m jobs --por 1", "python -m jobs has no option --por"),
        ("curl -s localhost:8080/modles", "predict has no route GET /modles"),
        ("curl -s -d x localhost:8080/models", "predict has no route POST /models"),
        ("curl -s localhost:8090/predict -d x", "jobs has no route POST /predict"),
        ("curl -s 'localhost:8080/predict?top_k=2' -d x", None),
        ("ADMIN_TOKEN=x make serve PORT=8081", None),
    ],
)
def test_a_command_that_is_wrong_is_found_without_running_it(
    command: str, problem: str | None
) -> None:
    assert [problem_with(words) for words in simple_commands(command)] == [problem]


def test_a_command_that_nothing_is_known_about_is_not_taken_for_right() -> None:
    with pytest.raises(LookupError, match="kubectl"):
        problem_with(["kubectl", "get", "pods"])


def test_commands_are_told_from_what_they_print() -> None:
    text = "```console\n$ curl -d '\nmore' \\\n  x\nprinted\n$ two\n```\n```sh\nthree  # why\n```\n"
    assert list(commands_in(text)) == [
        (2, "curl -d '\nmore'    x"),
        (6, "two"),
        (9, "three  # why"),
    ]
