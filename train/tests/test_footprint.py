"""What the command line loads before it has anything to compute: as little as possible."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from predict.tests.tiny_artefact import write_tiny_artefact

HEAVY = (
    *("tensorflow", "keras", "sklearn", "pandas", "scipy"),
    *("gensim", "matplotlib", "onnxruntime"),
)
# As `python -m train` is run, and then one more line: what it has loaded, and how it ended.
SCRIPT = f"""
import json, runpy, sys
try:
    runpy.run_module("train", run_name="__main__")
except SystemExit as ended:
    loaded = [name for name in {HEAVY!r} if name in sys.modules]
    print(json.dumps({{"code": ended.code, "loaded": loaded}}))
"""


def ending(*arguments: str | Path) -> dict[str, object]:
    command = [sys.executable, "-c", SCRIPT, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    content: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return content


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["rnus"], 2),
        (["datasets"], 0),
        (["prune", "--help"], 0),
        (["data", "--help"], 0),
    ],
)
def test_help_and_mistakes_load_nothing_that_computes(arguments: list[str], code: int) -> None:
    assert ending(*arguments) == {"code": code, "loaded": []}


@pytest.mark.parametrize(
    "arguments", [["runs", "--where", "size>0"], ["runs", "--json"], ["prune", "--keep", "0"]]
)
def test_artefacts_are_listed_without_what_makes_them(tmp_path: Path, arguments: list[str]) -> None:
    write_tiny_artefact(tmp_path / "artefacts" / "2026-01-01-12-00-00")
    ended = ending(*arguments, "--artefacts-dir", tmp_path / "artefacts")
    assert ended == {"code": 0, "loaded": []}


def test_only_a_page_loads_what_draws(tmp_path: Path) -> None:
    write_tiny_artefact(tmp_path / "artefacts" / "2026-01-01-12-00-00")
    page = ("--page", tmp_path / "page.html")
    ended = ending("runs", "--artefacts-dir", tmp_path / "artefacts", *page)
    assert "matplotlib" in ended["loaded"]
