"""Claims about how `make` sets up its environments. Stubs play Python and conda; nothing is installed."""

import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parent.parent

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="needs make")

TRAINING = ("train", "check", "datasets", "report", "compare", "runs", "reproduce")
DEVELOPING = ("test", "lint", "format", "lock", "jupyter", "test-notebooks", "benchmark")

# What is asked of Python.
VENV = "-m venv .env/train"
TRAIN_PINS = "-m pip install --disable-pip-version-check --require-hashes --requirement train/requirements.txt"
MORE_PINS = TRAIN_PINS.replace("train/requirements", "requirements-dev")
READY, DEVELOP = ".env/train/ready", ".env/train/ready-to-develop"

# Each notes its arguments, talks as much as an installer does, and fails when it is asked for the word in FAIL.
_TALKS = """#!/bin/sh
echo "$*" >>calls
echo "WARNING: $* is noisy" >&2
case "$*" in *"${FAIL:-nothing}"*) echo "ERROR: no network" >&2; exit 1;; esac
"""
_PYTHON = _TALKS + """[ "$2" != venv ] || { mkdir -p "$3/bin"; cp "$0" "$3/bin/python"; }\n"""
_CONDA = _TALKS + """[ "$2" != create ] || mkdir -p "$5/bin" "$5/conda-meta"\n"""


@dataclass(frozen=True)
class Checkout:
    """A copy of what `make` reads when it sets up an environment, in a folder with a blank in its name."""

    folder: Path

    def make(
        self, target: str, *options: str, conda: bool = False, fail: str = "nothing"
    ) -> subprocess.CompletedProcess[str]:
        stubs = f"{self.folder}/stubs of"
        variables = [f"PYTHON={stubs}/python", f"CONDA={stubs}/conda" if conda else "CONDA="]
        command = ["make", "-C", str(self.folder), "--no-print-directory", *variables]
        return subprocess.run(
            [*command, *options, target],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin", "FAIL": fail},
        )

    def calls(self) -> list[str]:
        """Return what the stubs were asked for since the last time."""
        log = self.folder / "calls"
        lines = log.read_text().splitlines() if log.exists() else []
        log.unlink(missing_ok=True)
        return lines

    def stamps(self) -> set[str]:
        return {str(path.relative_to(self.folder)) for path in self.folder.glob(".env/*/ready*")}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    folder = tmp_path / "a copy"
    names = ["Makefile", "requirements-dev.txt", "environment.yml"]
    names += [
        f"{side}/{file}"
        for side in ("train", "predict", "tests/conformance")
        for file in ("requirements.txt", "environment.yml")
    ]
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    shutil.copytree(ROOT / "conf", folder / "conf")
    for name, text in (("python", _PYTHON), ("conda", _CONDA)):
        stub = folder / "stubs of" / name
        stub.parent.mkdir(exist_ok=True)
        stub.write_text(text)
        stub.chmod(0o755)
    return Checkout(folder)


@pytest.mark.parametrize("target", TRAINING)
def test_to_train_is_to_install_what_trains_and_no_tools(checkout: Checkout, target: str) -> None:
    planned = checkout.make(target, "--dry-run").stdout
    assert TRAIN_PINS in planned
    assert "requirements-dev.txt" not in planned


@pytest.mark.parametrize("target", DEVELOPING)
def test_to_develop_is_to_install_the_tools_on_top_of_what_trains(
    checkout: Checkout, target: str
) -> None:
    planned = checkout.make(target, "--dry-run").stdout
    assert -1 < planned.find(TRAIN_PINS) < planned.find(MORE_PINS)


def test_setting_up_says_one_line_and_keeps_the_rest_in_a_log(checkout: Checkout) -> None:
    done = checkout.make(READY)
    assert done.returncode == 0
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert re.fullmatch(
        r"setting up \.env/train for training .*minutes, about .* GB, once; log: \.env/train\.log",
        line,
    )
    assert "is noisy" in (checkout.folder / ".env/train.log").read_text()
    assert checkout.stamps() == {READY}
    assert checkout.make(READY).stderr == ""


def test_the_tools_come_into_the_environment_that_is_there(checkout: Checkout) -> None:
    checkout.make(READY)
    assert checkout.calls() == [VENV, TRAIN_PINS]
    done = checkout.make(DEVELOP)
    assert len(done.stderr.splitlines()) == 1
    assert checkout.calls() == [MORE_PINS]
    assert checkout.stamps() == {READY, DEVELOP}


def test_several_environments_can_be_set_up_at_once(checkout: Checkout) -> None:
    done = checkout.make(DEVELOP, ".env/predict/ready", "--jobs=2")
    assert len(done.stderr.splitlines()) == 3
    calls = checkout.calls()
    assert len(calls) == 5
    assert [call for call in calls if "predict" not in call] == [VENV, TRAIN_PINS, MORE_PINS]
    assert checkout.stamps() == {READY, DEVELOP, ".env/predict/ready"}


@pytest.mark.parametrize(
    ("newer", "calls"),
    [
        ("train/requirements.txt", [VENV, TRAIN_PINS, MORE_PINS]),
        ("requirements-dev.txt", [MORE_PINS]),
        ("predict/requirements.txt", []),
    ],
)
def test_newer_pins_renew_what_was_made_from_them(
    checkout: Checkout, newer: str, calls: list[str]
) -> None:
    checkout.make(DEVELOP)
    checkout.calls()
    left = checkout.folder / ".env/train/installed by hand"
    left.touch()
    checkout.make(DEVELOP, f"--what-if={newer}")
    assert checkout.calls() == calls
    assert left.exists() == (VENV not in calls)


@pytest.mark.parametrize(
    ("fail", "stamps", "again"),
    [
        ("venv", set(), [VENV, TRAIN_PINS, MORE_PINS]),
        ("train/requirements.txt", set(), [VENV, TRAIN_PINS, MORE_PINS]),
        ("requirements-dev.txt", {READY}, [MORE_PINS]),
    ],
)
def test_a_set_up_that_fails_shows_the_end_of_its_log_and_is_done_again(
    checkout: Checkout, fail: str, stamps: set[str], again: list[str]
) -> None:
    done = checkout.make(DEVELOP, fail=fail)
    assert done.returncode != 0
    assert "setting up .env/train failed; the end of .env/train.log:" in done.stderr
    assert "ERROR: no network" in done.stderr
    assert ("apt install python3-venv" in done.stderr) == (fail == "venv")
    assert checkout.stamps() == stamps
    checkout.calls()
    assert checkout.make(DEVELOP).returncode == 0
    assert checkout.calls() == again
    assert checkout.stamps() == {READY, DEVELOP}


def test_the_clients_of_platforms_have_an_environment_of_their_own(checkout: Checkout) -> None:
    planned = checkout.make("test-conformance", "--dry-run").stdout
    assert "--requirement tests/conformance/requirements.txt" in planned
    assert "--requirement predict/requirements.txt" in planned
    assert TRAIN_PINS not in planned
    assert checkout.make(".env/conformance/ready").returncode == 0
    assert checkout.stamps() == {".env/conformance/ready"}


def test_conda_makes_the_environment_and_adds_to_it(checkout: Checkout) -> None:
    assert checkout.make(DEVELOP, conda=True).returncode == 0
    assert checkout.calls() == [
        "env create --quiet --prefix .env/train --file train/environment.yml",
        "env update --quiet --prefix .env/train --file environment.yml",
    ]
    assert checkout.stamps() == {READY, DEVELOP}


@pytest.mark.parametrize("fail", ["env create", "env update"])
def test_conda_failing_shows_the_end_of_its_log(checkout: Checkout, fail: str) -> None:
    done = checkout.make(DEVELOP, conda=True, fail=fail)
    assert done.returncode != 0
    assert "ERROR: no network" in done.stderr
    assert DEVELOP not in checkout.stamps()


def test_a_conda_that_has_come_since_leaves_an_environment_of_pip_to_pip(
    checkout: Checkout,
) -> None:
    checkout.make(READY)
    checkout.calls()
    checkout.make(DEVELOP, conda=True)
    assert checkout.calls() == [MORE_PINS]


def test_without_python_and_conda_make_says_which_it_needs(checkout: Checkout) -> None:
    done = checkout.make(READY, "PYTHON=")
    assert done.returncode != 0
    assert "No Python of 3.11 to 3.13 found." in done.stderr
    assert "setting up" not in done.stderr
    assert not (checkout.folder / ".env").exists()


# ---------------------------------------------------------------------- pins


def pins(name: str) -> set[str]:
    return set(re.findall(r"^[\w.-]+==[^\\]+", (ROOT / name).read_text(), re.MULTILINE))


def test_ray_serves_and_trains_with_the_pins_of_what_serves_and_trains() -> None:
    for name in ("predict", "train"):
        on_ray = pins(
            "scale/requirements.txt" if name == "predict" else "scale/requirements-train.txt"
        )
        assert pins(f"{name}/requirements.txt") <= on_ray
    versions = [
        {pin for pin in pins(name) if pin.startswith("ray==")}
        for name in ("scale/requirements.txt", "scale/requirements-train.txt")
    ]
    assert versions[0] == versions[1]


@pytest.mark.parametrize("name", ["train/requirements.txt", "predict/requirements.txt"])
def test_to_add_the_tools_changes_no_pin_of_what_trains_or_serves(name: str) -> None:
    assert len(pins(name)) > 10
    assert pins(name) <= pins("requirements-dev.txt")


@pytest.mark.parametrize(
    ("asked", "locked"),
    [
        ("requirements-dev.in", "requirements-dev.txt"),
        ("train/requirements.in", "train/requirements.txt"),
        ("predict/requirements.in", "predict/requirements.txt"),
        ("predict/requirements-parquet.in", "predict/requirements-parquet.txt"),
        ("scale/requirements.in", "scale/requirements.txt"),
        ("scale/requirements-train.in", "scale/requirements-train.txt"),
        ("tests/conformance/requirements.in", "tests/conformance/requirements.txt"),
    ],
)
def test_every_library_that_is_asked_for_is_pinned(asked: str, locked: str) -> None:
    names = {pin.partition("==")[0] for pin in pins(locked)}
    for line in re.findall(r"^\w[\w-]*", (ROOT / asked).read_text(), re.MULTILINE):
        assert line in names, f"{line} of {asked}: run `make lock`"


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("environment.yml", "requirements-dev.txt"),
        ("train/environment.yml", "requirements.txt"),
        ("predict/environment.yml", "requirements.txt"),
        ("scale/environment.yml", "requirements.txt"),
        ("scale/environment-train.yml", "requirements-train.txt"),
        ("tests/conformance/environment.yml", "requirements.txt"),
    ],
)
def test_conda_installs_the_pins_that_pip_would(name: str, requirements: str) -> None:
    *_, by_pip = yaml.safe_load((ROOT / name).read_text())["dependencies"]
    assert by_pip == {"pip": [f"-r {requirements}"]}


def test_every_environment_that_a_file_names_is_one_that_make_makes() -> None:
    names = [ROOT / "Makefile", ROOT / ".pre-commit-config.yaml", ROOT / "environment.yml"]
    names += [*ROOT.glob("*/environment.yml"), ROOT / "tests/conformance/environment.yml"]
    names += [ROOT / "train/artefacts/tracking.py"]
    names += [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *ROOT.glob("docs/**/*.md")]
    for name in names:
        for environment in re.findall(r"\.env/(\w+)", name.read_text()):
            assert environment in ("train", "predict", "scale", "conformance"), name
