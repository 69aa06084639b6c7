"""Servers for the tests that ask as users do. Nothing here needs more than pytest and the standard library."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from predict.tests.processes import Process

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "predict/tests/golden"
# By name: a text's label, a table's label, number and labels.
ARTEFACTS = {
    "text": GOLDEN / "format-3",
    "label": GOLDEN / "format-2/label",
    "number": GOLDEN / "format-2/number",
    "labels": GOLDEN / "format-2/labels",
}

Serve = Callable[..., int]


@pytest.fixture(scope="session")
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Serve one of ARTEFACTS, once with the same settings; return the port.

    Keyword arguments are settings: `serve("text", API_KEYS="a")`.
    """
    started: dict[tuple[object, ...], Process] = {}
    python = ROOT / os.environ.get("PREDICT_PYTHON", ".env/predict/bin/python")

    def serve_one(artefact: str, **settings: object) -> int:
        key = artefact, *sorted(settings.items())
        if key not in started:
            environ = {"ARTEFACT_DIR": str(ARTEFACTS[artefact]), "PORT": "0"}
            environ |= {name: str(value) for name, value in settings.items()}
            command = [str(python), "-m", "predict", "serve"]
            started[key] = Process(command, environ, tmp_path_factory.mktemp("server"))
        return started[key].port()

    yield serve_one
    for process in started.values():
        process.kill()
