"""Claims about releases: what is refused, what a release changes, and that nothing is left half done."""

import os
import re
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from predict import __version__
from scripts.release import notes

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
PYTHONS = ["3.11", "3.12", "3.13"]

CHANGES = """# Changelog

## [Unreleased]

### Added

- A door.

## [0.9.0] - 2026-01-02

### Fixed

- A window.
"""
SOURCE = '"""A package."""\n\n__version__ = "0.9.0"\n'


@dataclass(frozen=True)
class Repository:
    """A repository of its own, with a release 0.9.0 and something to release."""

    folder: Path

    def git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def write(self, name: str, text: str, *, commit: bool = True) -> None:
        (self.folder / name).parent.mkdir(exist_ok=True)
        (self.folder / name).write_text(text, encoding="utf-8")
        if commit:
            self.git("add", name)
            self.git("commit", "--quiet", "--message", f"Write {name}")

    def start(self, version: str, *check: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "scripts.release", version, "--", *check],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def release(self, version: str = "1.0.0", *check: str) -> tuple[int, str]:
        """Return the exit code and what was said on standard error."""
        running = self.start(version, *(check or ("true",)))
        _, said = running.communicate(timeout=60)
        return running.returncode, said

    def state(self) -> tuple[str, ...]:
        """Return all that a release may change."""
        files = (self.folder / "CHANGELOG.md", self.folder / "predict/__init__.py")
        texts = [file.read_text(encoding="utf-8") if file.exists() else "" for file in files]
        seen = (
            ["rev-parse", "HEAD"],
            ["branch", "--show-current"],
            ["tag"],
            ["status", "--porcelain"],
        )
        return (*texts, *(self.git(*arguments) for arguments in seen))


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "A maintainer")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "maintainer@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    made = Repository(tmp_path)
    made.git("init", "--quiet", "--initial-branch=main")
    made.write("predict/__init__.py", SOURCE)
    made.write("CHANGELOG.md", CHANGES)
    made.git("tag", "--annotate", "v0.9.0", "--message", "Capstone 0.9.0")
    return made


def test_a_release_is_a_commit_with_version_and_date_and_a_tag_with_the_notes(
    repository: Repository,
) -> None:
    before = repository.git("rev-parse", "HEAD")
    code, said = repository.release("1.0.0", "test", "-f", "CHANGELOG.md")
    assert (code, said) == (0, "")
    today = time.strftime("%Y-%m-%d")
    heading = f"## [Unreleased]\n\n## [1.0.0] - {today}\n\n### Added"
    assert (repository.folder / "CHANGELOG.md").read_text() == CHANGES.replace(
        "## [Unreleased]\n\n### Added", heading
    )
    assert '__version__ = "1.0.0"\n' in (repository.folder / "predict/__init__.py").read_text()
    assert repository.git("status", "--porcelain") == ""
    assert repository.git("log", "--format=%s", f"{before}..main") == "Release 1.0.0"
    assert repository.git("cat-file", "-t", "v1.0.0") == "tag"
    assert repository.git("rev-parse", "v1.0.0^{commit}") == repository.git("rev-parse", "main")
    told = repository.git("tag", "--list", "--format=%(contents)", "v1.0.0")
    assert told == "Capstone 1.0.0\n\n### Added\n\n- A door."


def test_the_next_release_needs_something_new(repository: Repository) -> None:
    assert repository.release("1.0.0")[0] == 0
    code, said = repository.release("1.0.1")
    assert code == 1
    assert "has no entry under '## [Unreleased]'" in said


@pytest.mark.parametrize(
    ("version", "written", "reason"),
    [
        ("", None, r"A version is three numbers, such as 1\.2\.0; got ''"),
        ("v1.0.0", None, r"got 'v1\.0\.0'"),
        ("1.0", None, "three numbers"),
        ("1.0.00", None, "three numbers"),
        ("0.9.0", None, r"0\.9\.0 is not newer than the last release, 0\.9\.0"),
        ("0.10.0-rc1", None, "three numbers"),
        ("0.8.9", None, "not newer"),
        ("1.0.0", ("a file", "new"), r"1 file is not committed, such as .*a file"),
        (
            "1.0.0",
            ("CHANGELOG.md", CHANGES + "- More.\n"),
            r"1 file is not committed, such as CHANGELOG\.md",
        ),
    ],
)
def test_what_cannot_be_released_is_one_line_and_changes_nothing(
    repository: Repository, version: str, written: tuple[str, str] | None, reason: str
) -> None:
    if written is not None:
        repository.write(*written, commit=False)
    before = repository.state()
    code, said = repository.release(version, "touch", "checked")
    assert code == 1
    assert re.search(reason, said)
    assert said.count("\n") == 1
    assert repository.state() == before
    assert not (repository.folder / "checked").exists()


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("CHANGELOG.md", CHANGES.replace("- A door.\n", ""), "there is nothing to release"),
        ("CHANGELOG.md", CHANGES.replace("[Unreleased]", "[Next]"), r"needs the heading '## \[Unreleased\]' once"),
        ("CHANGELOG.md", CHANGES.replace("0.9.0", "1.0.0"), r"has a section 1\.0\.0 already"),
        ("predict/__init__.py", '"""A package."""\n', "needs one line __version__"),
    ],
)  # fmt: skip
def test_files_that_do_not_fit_are_named(
    repository: Repository, name: str, text: str, reason: str
) -> None:
    repository.write(name, text)
    before = repository.state()
    code, said = repository.release()
    assert code == 1
    assert re.search(f"^{re.escape(name)} .*{reason}", said)
    assert said.count("\n") == 1
    assert repository.state() == before


def test_another_branch_releases_nothing(repository: Repository) -> None:
    repository.git("switch", "--quiet", "--create", "a-feature")
    assert repository.release() == (
        1,
        "A release is made on the branch main, and this is a-feature.\n",
    )
    repository.git("switch", "--quiet", "--detach")
    assert (
        repository.release()[1] == "A release is made on the branch main, and this is no branch.\n"
    )


def test_ten_is_newer_than_nine(repository: Repository) -> None:
    assert repository.release("0.10.0")[0] == 0
    repository.write("CHANGELOG.md", CHANGES)
    assert "last release, 0.10.0." in repository.release("0.9.1")[1]


@pytest.mark.parametrize(
    ("check", "reason"),
    [
        (["false"], "The check failed: false. Mend what it names; nothing was changed."),
        (["no-such-command"], "The check cannot be run"),
        (["touch", "left"], "The repository changed while it was checked."),
        (["git", "commit", "--quiet", "--allow-empty", "-m", "more"], "The repository changed while"),
    ],
)  # fmt: skip
def test_a_check_that_fails_releases_nothing(
    repository: Repository, check: list[str], reason: str
) -> None:
    before = repository.state()[:2]
    code, said = repository.release("1.0.0", *check)
    assert code == 1
    assert said.startswith(reason)
    assert repository.state()[:2] == before
    assert repository.git("tag") == "v0.9.0"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_it_is_checked_ends_the_check_and_changes_nothing(
    repository: Repository, number: signal.Signals
) -> None:
    before = repository.state()
    child = repository.folder / ".git/child"
    running = repository.start(
        "1.0.0", "sh", "-c", f'echo $$ >"{child}.new"; mv "{child}.new" "{child}"; exec sleep 60'
    )
    while not child.exists():
        assert running.poll() is None
        time.sleep(0.01)
    running.send_signal(number)
    _, said = running.communicate(timeout=30)
    assert running.returncode == 1
    assert said == f"Stopped by {number.name}; nothing was changed.\n"
    with pytest.raises(ProcessLookupError):
        os.kill(int(child.read_text()), 0)
    assert repository.state() == before


@pytest.mark.parametrize("failing", ["commit", "tag"])
def test_what_fails_at_the_end_is_taken_back(
    repository: Repository, failing: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    before = repository.state()
    # A git of its own fails at that command, and at no other.
    folder = tmp_path_factory.mktemp("git")
    real = subprocess.run(
        ["which", "git"], capture_output=True, text=True, check=True
    ).stdout.strip()
    (folder / "git").write_text(
        f'#!/bin/sh\ncase "$*" in *" {failing} "*--message*) echo "fatal: no space left" >&2; exit 128;; esac\n'
        f'exec {real} "$@"\n'
    )
    (folder / "git").chmod(0o755)
    path = os.environ["PATH"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{folder}:{path}")
        assert repository.release() == (1, f"git {failing} failed: fatal: no space left\n")
    assert repository.state() == before


def test_hooks_of_commits_do_not_hold_a_release_up(repository: Repository) -> None:
    hook = repository.folder / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    assert repository.release() == (0, "")


def test_make_release_checks_style_tests_and_documents() -> None:
    command = [
        "make",
        "-C",
        str(ROOT),
        "--dry-run",
        "--no-print-directory",
        "release",
        "VERSION=1.2.3",
    ]
    planned = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    [line] = [line for line in planned.splitlines() if "scripts.release" in line]
    assert re.search(r"-m scripts\.release '1\.2\.3' -- make lint test docs$", line)


# ------------------------------------------------------------------ changelog


def test_the_changelog_has_sections_by_version_newest_first() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    first, *rest = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert first == "[Unreleased]"
    found = [
        re.fullmatch(r"\[(\d+)\.(\d+)\.(\d+)\] - (\d{4}-\d\d-\d\d)", heading) for heading in rest
    ]
    assert None not in found
    released = [(tuple(map(int, match.groups()[:3])), match[4]) for match in found if match]
    assert released == sorted(released, reverse=True)
    current = tuple(map(int, re.findall(r"\d+", __version__)))
    assert all(version <= current for version, _ in released)


def test_a_section_of_the_changelog_has_each_kind_once() -> None:
    kinds = {"Added", "Changed", "Deprecated", "Removed", "Fixed", "Security"}
    for section in (ROOT / "CHANGELOG.md").read_text().split("\n## ")[1:]:
        headings = re.findall(r"^### (.*)$", section, re.MULTILINE)
        assert set(headings) <= kinds
        assert len(set(headings)) == len(headings)


def test_notes_are_those_of_one_version() -> None:
    assert notes(CHANGES, "Unreleased") == "### Added\n\n- A door."
    assert notes(CHANGES, "0.9.0") == "### Fixed\n\n- A window."
    assert notes(CHANGES, "0.9") == ""


# ------------------------------------------------------------------- metadata


def test_the_version_is_written_in_one_place() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", __version__)
    assert PROJECT["dynamic"] == ["version"]
    assert "version" not in PROJECT


def test_every_place_that_names_the_pythons_names_the_same() -> None:
    assert PROJECT["requires-python"] == ">=3.11,<3.14"
    prefix = "Programming Language :: Python :: "
    named = [
        name.removeprefix(prefix) for name in PROJECT["classifiers"] if name.startswith(prefix)
    ]
    assert named == PYTHONS
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == PYTHONS
    assert "(3, 11) <= sys.version_info[:2] <= (3, 13)" in (ROOT / "Makefile").read_text()
    assert "Python 3.11 to 3.13" in (ROOT / "README.md").read_text()


def test_whoever_installs_the_folder_is_told_that_it_runs_from_there() -> None:
    system = PYPROJECT["build-system"]
    assert system["requires"] == []
    for hook in ("build_wheel", "build_editable", "build_sdist"):
        code = f"import {system['build-backend']} as backend; backend.{hook}('.')"
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT / system["backend-path"][0],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        )
        assert done.returncode == 1
        assert "runs from its folder and is not installed" in done.stderr
        assert "Traceback" not in done.stderr
