"""Fixtures of the inference side: a tiny real artefact, and everything that is made of one."""

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from flask.testing import FlaskClient

from predict.hosting.models import Models
from predict.http.app import create_app
from predict.scoring.predictor import Predictor
from predict.settings import Settings
from predict.tests.processes import Process, close_connections
from predict.tests.tiny_artefact import write_tiny_artefact
from predict.tests.tiny_tables import TABLES, write_tiny_table

ROOT = Path(__file__).parents[2]
GOLDEN = Path(__file__).parent / "golden" / "format-1"
GOLDEN_SUMS = Path(__file__).parent / "golden" / "format-3"
GOLDEN_SCOPE = Path(__file__).parent / "golden" / "format-4"
GOLDEN_ENCODERS = {
    kind: Path(__file__).parent / "golden" / f"format-4-{kind}" for kind in ("static", "onnx")
}
GOLDEN_TABLES = Path(__file__).parent / "golden" / "format-2"


@pytest.fixture(scope="session")
def tiny_artefact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An artefact for all tests to read; who changes one takes `artefact_copy`."""
    return write_tiny_artefact(tmp_path_factory.mktemp("artefacts") / "tiny")


@pytest.fixture
def artefact_copy(tiny_artefact: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_artefact, tmp_path / "artefact"))


@pytest.fixture(scope="session")
def predictor(tiny_artefact: Path) -> Predictor:
    return Predictor.load(tiny_artefact)


@pytest.fixture(scope="session")
def two_text_predictor(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    directory = tmp_path_factory.mktemp("artefacts") / "two"
    return Predictor.load(write_tiny_artefact(directory, inputs=("title", "body")))


@pytest.fixture(scope="session")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An artefact for each kind of answer: `label`, `number` and `labels`; for all tests to read."""
    directory = tmp_path_factory.mktemp("tables")
    return {kind: write_tiny_table(directory / kind, table) for kind, table in TABLES.items()}


@pytest.fixture
def table_copy(tables: dict[str, Path], tmp_path: Path) -> Path:
    return Path(shutil.copytree(tables["label"], tmp_path / "artefact"))


@pytest.fixture(scope="session")
def passengers(tables: dict[str, Path]) -> Predictor:
    return Predictor.load(tables["label"])


@pytest.fixture(scope="session")
def houses(tables: dict[str, Path]) -> Predictor:
    return Predictor.load(tables["number"])


@pytest.fixture(scope="session")
def films(tables: dict[str, Path]) -> Predictor:
    return Predictor.load(tables["labels"])


@pytest.fixture(scope="session")
def client(predictor: Predictor) -> FlaskClient:
    settings = Settings(max_body_bytes=20_000, max_instances=50, log_requests=False)
    return create_app(Models.of(predictor), settings).test_client()


@pytest.fixture(autouse=True)
def _no_connection_is_left_open() -> Iterator[None]:
    yield
    close_connections()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Process]]:
    """Start `python ARGUMENTS` in an empty folder; whatever still runs afterwards is killed.

    Keyword arguments become environment variables; nothing else is inherited but what finds our package.
    """
    started: list[Process] = []

    def start_one(*arguments: object, read_errors: bool = True, **environ: object) -> Process:
        process = Process(
            [str(interpreter()), *map(str, arguments)],
            {key: str(value) for key, value in environ.items()},
            tmp_path,
            read_errors,
        )
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()


def interpreter() -> Path:
    """Return the Python that serves: that of the inference environment, where `make test` names it."""
    return ROOT / os.environ.get("PREDICT_PYTHON", sys.executable)
