"""Claims about files that programs elsewhere read: workflows, Dependabot's configuration, environments of conda.

Each is read here by a parser of theirs, so that a typing error is found although none of these programs can be reached.
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from rattler import Channel, MatchSpec

ROOT = Path(__file__).parent.parent
GITHUB = ROOT / ".github"
WORKFLOWS = sorted((GITHUB / "workflows").glob("*.yml"))
ENVIRONMENTS = sorted(
    str(path.relative_to(ROOT))
    for folder in (".", "*", "tests/*")
    for path in ROOT.glob(f"{folder}/environment*.yml")
)

# --------------------------------------------------------------------- GitHub


def complaints(schema: str, *files: Path) -> str:
    """Return what a schema that comes with check-jsonschema has to say; empty if the files fit."""
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, *map(str, files)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return done.stdout + done.stderr if done.returncode else ""


def test_what_github_reads_is_as_its_schemas_say() -> None:
    assert len(WORKFLOWS) == 2
    assert complaints("vendor.github-workflows", *WORKFLOWS) == ""
    assert complaints("vendor.dependabot", GITHUB / "dependabot.yml") == ""


@pytest.mark.parametrize(
    ("schema", "name", "right", "wrong"),
    [
        ("vendor.github-workflows", "workflows/ci.yml", "timeout-minutes", "timeout-minuts"),
        ("vendor.github-workflows", "workflows/ci.yml", "contents: read", "contents: reed"),
        ("vendor.dependabot", "dependabot.yml", "interval: weekly", "interval: weakly"),
        ("vendor.dependabot", "dependabot.yml", "patterns:", "pattern:"),
    ],
)
def test_a_misspelling_is_found(
    schema: str, name: str, right: str, wrong: str, tmp_path: Path
) -> None:
    text = (GITHUB / name).read_text()
    assert right in text
    planted = tmp_path / "planted.yml"
    planted.write_text(text.replace(right, wrong, 1))
    assert wrong.partition(":")[0] in complaints(schema, planted)


def jobs() -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    for file in WORKFLOWS:
        workflow = yaml.safe_load(file.read_text())
        for name, job in workflow["jobs"].items():
            yield f"{file.stem}/{name}", workflow, job


JOBS = {name: (workflow, job) for name, workflow, job in jobs()}


@pytest.mark.parametrize("name", JOBS)
def test_a_job_ends_by_itself_and_may_read_alone_unless_it_runs_nothing_of_ours(name: str) -> None:
    workflow, job = JOBS[name]
    assert 0 < job["timeout-minutes"] <= 120
    assert workflow["permissions"] == {"contents": "read"}
    assert "group" in workflow["concurrency"]
    commands = "\n".join(step.get("run", "") for step in job["steps"])
    if "permissions" in job:
        assert not re.search(r"^\s*(make|pip|python|\.ci/)", commands, re.MULTILINE)
    else:
        [checkout] = [step for step in job["steps"] if "checkout" in step.get("uses", "")]
        assert checkout["with"]["persist-credentials"] is False
    # What somebody else writes, such as a title, never becomes part of a script.
    assert "${{" not in commands


def test_an_action_is_pinned_to_one_commit_whose_version_stands_beside_it() -> None:
    used = [line for file in WORKFLOWS for line in re.findall(r"uses: (.*)", file.read_text())]
    assert len(used) > 5
    pins: dict[str, set[str]] = {}
    for line in used:
        found = re.fullmatch(r"(actions/[\w-]+)@([0-9a-f]{40} # v\d+\.\d+\.\d+)", line)
        assert found, line
        pins.setdefault(found[1], set()).add(found[2])
    assert all(len(versions) == 1 for versions in pins.values()), pins


@pytest.mark.parametrize("name", JOBS)
def test_what_a_job_runs_is_there(name: str) -> None:
    targets = set(re.findall(r"^\.PHONY: (\S+)$", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for step in JOBS[name][1]["steps"]:
        for line in step.get("run", "").splitlines():
            if line.startswith("make "):
                asked = {word for word in line.split()[1:] if "=" not in word}
                assert asked <= targets | {"docs"}, line
            elif line.startswith(".ci/"):
                assert (ROOT / line).exists()


def test_all_images_are_built() -> None:
    [line] = [
        step["run"]
        for step in JOBS["ci/images"][1]["steps"]
        if "image-train" in step.get("run", "")
    ]
    assert {word.replace("image-", "Dockerfile.") for word in line.split()[1:]} == {
        file.name for file in ROOT.glob("Dockerfile.*")
    }


def test_dependabot_looks_into_every_folder_with_pins() -> None:
    updates = yaml.safe_load((GITHUB / "dependabot.yml").read_text())["updates"]
    [libraries] = [update for update in updates if update["package-ecosystem"] == "pip"]
    folders = {
        f"/{file.parent.relative_to(ROOT)}".removesuffix(".")
        for folder in (".", "*", "tests/*")
        for file in ROOT.glob(f"{folder}/requirements*.txt")
    }
    assert set(libraries["directories"]) == folders
    # `make lock` renews them all; a bot would renew one file at a time.
    assert libraries["open-pull-requests-limit"] == 0


# ---------------------------------------------------------------------- conda


def problems_of(text: str, folder: Path) -> list[str]:
    """Return what keeps conda from making an environment, as far as can be told without its channels."""
    environment = yaml.safe_load(text)
    found = [
        f"unknown key {key}"
        for key in sorted(set(environment) - {"name", "channels", "dependencies"})
    ]
    if not re.fullmatch(r"[a-z][a-z-]*", str(environment.get("name"))):
        found.append("no name")
    channels = environment.get("channels", [])
    # `nodefaults` is no channel: it leaves out those that conda would add.
    if channels != ["conda-forge", "nodefaults"]:
        found.append(f"channels {channels}")
    found += [f"channel {name}" for name in channels[:1] if Channel(name).name != name]
    names = []
    for entry in environment.get("dependencies", []):
        if isinstance(entry, dict):
            found += [f"unknown section {key}" for key in set(entry) - {"pip"}]
            found += _problems_of_pip(entry.get("pip") or [], folder)
            continue
        try:
            spec = MatchSpec(entry, strict=True)
        except Exception as error:  # py-rattler's own have no common class
            found.append(f"{entry}: {error}")
            continue
        names.append(spec.name.normalized if spec.name else "*")
        if names[-1] == "python" and str(spec.version) not in ("3.11.*", "3.12.*", "3.13.*"):
            found.append(f"{entry}: not a Python that the project supports")
    # Nothing else comes from a channel, so any other name is a misspelling.
    if names != ["python", "pip"]:
        found.append(f"packages {names}")
    return found


def _problems_of_pip(lines: list[Any], folder: Path) -> Iterator[str]:
    if not lines:
        yield "nothing for pip"
    for line in lines:
        option, _, name = str(line).partition(" ")
        if option != "-r":
            yield f"{line}: not a file of pins"
        elif not (folder / name).is_file():
            yield f"{line}: no such file"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_conda_can_read_every_environment(name: str) -> None:
    assert problems_of((ROOT / name).read_text(), (ROOT / name).parent) == []


def test_every_environment_that_make_hands_to_conda_is_read_here() -> None:
    named = set(re.findall(r"\S*environment[\w-]*\.yml", (ROOT / "Makefile").read_text()))
    assert named == set(ENVIRONMENTS)


@pytest.mark.parametrize(
    ("right", "wrong", "problem"),
    [
        ("name: capstone", "name: 3", "no name"),
        ("conda-forge", "conda-froge", "channels"),
        ("channels:", "chanels:", "unknown key chanels"),
        ("dependencies:", "dependancies:", "unknown key dependancies"),
        ("python=3.11", "pyhton=3.11", "packages"),
        ("python=3.11", "python=3..11", "malformed version"),
        ("python=3.11", "python=>3.11", "unable to parse version spec"),
        ("python=3.11", "python=3.1", "not a Python that the project supports"),
        ("- pip:", "- pips:", "unknown section pips"),
        ("-r requirements", "-r requirments", "no such file"),
        ("-r requirements", "- requirements", "not a file of pins"),
    ],
)
def test_an_error_in_an_environment_is_found(right: str, wrong: str, problem: str) -> None:
    text = (ROOT / "environment.yml").read_text().partition("name:")
    written = text[1] + text[2]
    assert right in written
    assert problem in "; ".join(problems_of(written.replace(right, wrong, 1), ROOT))
