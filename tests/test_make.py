"""Claims about what `make` says: what to do first, its groups, and what it notices of a mistyped command line."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from jobs.settings import JobsSettings
from predict.settings import Settings

ROOT = Path(__file__).parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = re.findall(r"^\.PHONY: (\S+)$", MAKEFILE, re.MULTILINE)
READERS = {
    variable: readers.split()
    for variable, readers in re.findall(r"^readers-(\w+) +:= (.*)$", MAKEFILE, re.MULTILINE)
}

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")


def make(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["make", "-C", str(ROOT), "--no-print-directory", "PYTHON=python3", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_make_alone_says_what_to_do_first() -> None:
    done = make()
    assert (done.returncode, done.stderr) == (0, "")
    places = [done.stdout.index(f"make {word}") for word in ("train", "predict-test", "serve")]
    assert places == sorted(places)
    named = re.findall(r"make ([a-z][a-z-]*)", done.stdout)
    assert {"demo", "help"} < set(named) <= set(TARGETS)


@pytest.mark.parametrize("arguments", [[], ["help"]])
def test_what_make_says_is_narrow(arguments: list[str]) -> None:
    assert max(map(len, make(*arguments).stdout.splitlines())) <= 100


def test_make_help_is_in_groups_and_aligned() -> None:
    lines = make("help").stdout.splitlines()
    assert [line for line in lines if re.match(r"[A-Z]", line)] == [
        "Train and look",
        "Ask and serve",
        "On Ray",
        "Containers",
        "Develop",
    ]
    listed = [line for line in lines if line.startswith("  ")]
    assert len(listed) == len(TARGETS)
    assert {re.match(r"  \S+ +", line).end() for line in listed} == {19}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("target", "meant"), [("tarin", "train"), ("srve", "serve"), ("predict_test", "predict-test")]
)
def test_a_wrong_target_is_answered_with_the_nearest_one(target: str, meant: str) -> None:
    done = make(target)
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"No target {target}. Did you mean {meant}?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("DATSET=iris", "DATASET"),
        ("datasets=iris", "DATASET"),
        ("OPTION=--page x.html", "OPTIONS"),
        ("SETS=training.epochs=3 split.seed=1", "SET"),
        ("ARTEFACT_DIRS=x", "ARTEFACT_DIR"),
        ("JOB_DIR=x", "JOBS_DIR"),
    ],
)
def test_a_wrong_variable_is_answered_with_the_nearest_one(typed: str, meant: str) -> None:
    done = make("--dry-run", "train", typed)
    name = typed.partition("=")[0]
    assert done.returncode == 2
    assert done.stdout == ""
    assert f"No variable {name}. Did you mean {meant}?" in done.stderr


def test_a_variable_near_nothing_is_refused_too_with_the_way_round() -> None:
    done = make("--dry-run", "train", "QQQ=1")
    assert done.returncode == 2
    assert (
        "No variable QQQ. What the programs read from the environment goes before make"
        in done.stderr
    )


@pytest.mark.parametrize(
    "typed", ["CFLAGS=-O2", "MAKEFLAGS=", "TF_CPP_MIN_LOG_LEVEL=0", "DATASET_MIRROR=http://127.0.0.1", "CONDA=", "V=1"]
)  # fmt: skip
def test_what_other_programs_understand_does_not_disturb(typed: str) -> None:
    done = make("--dry-run", "train", typed)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("target", "settings"), [("serve", Settings), ("serve-jobs", JobsSettings)]
)
def test_every_setting_of_a_server_may_be_set_by_make(target: str, settings: type) -> None:
    fields = settings.model_fields  # type: ignore[attr-defined]
    names = [name.upper() for name in fields if name.upper() not in READERS]
    done = make("--dry-run", target, *(f"{name}=1" for name in names))
    assert (done.returncode, done.stderr) == (0, "")


def test_a_variable_without_effect_is_told_and_nothing_is_stopped() -> None:
    done = make("--dry-run", "serve", "DATASET=iris")
    assert done.returncode == 0
    assert done.stderr.startswith("WARNING: DATASET has no effect on serve. These read it: train ")


@pytest.mark.parametrize("variable", sorted(READERS))
def test_the_list_of_who_reads_a_variable_is_true(variable: str) -> None:
    blocks = dict(re.findall(r"^([a-z][a-z-]*):.*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE))
    assert set(READERS[variable]) <= set(blocks)
    also = r"|\$\(SETTINGS\)" if variable in ("SET", "DATASET") else ""
    pattern = re.compile(rf"\$\((?:if |or )?{variable}\b|\$\${variable}\b{also}")
    readers = {target for target, recipe in blocks.items() if pattern.search(recipe)}
    by_environment = {"WORKERS": {"serve", "serve-ray"}}
    assert readers | by_environment.get(variable, set()) == set(READERS[variable])
