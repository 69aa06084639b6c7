"""What serving loads, and what importing does: as little as possible."""

import ast
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from predict.tests.conftest import ROOT
from predict.tests.processes import Process

HEAVY = ("tensorflow", "keras", "gensim", "sklearn", "pandas", "scipy", "onnx", "train", "yaml")


def sources() -> list[Path]:
    """Return every module of `predict`, in whichever room, but not its tests."""
    files = sorted((ROOT / "predict").rglob("*.py"))
    return [file for file in files if "tests" not in file.relative_to(ROOT).parts]


def name_of(file: Path) -> str:
    """Return the dotted name of a module below `predict`: `scoring.predictor`."""
    return ".".join(file.relative_to(ROOT / "predict").with_suffix("").parts)


MODULES = [f"predict.{name_of(file)}" for file in sources() if file.stem != "__init__"]
# Libraries, and the modules that may import them. An import contract keeps Flask and werkzeug in predict.http.
HOMES = {
    "onnxruntime": {"scoring.session"},
    "waitress": {f"http.connections.{name}" for name in ("channel", "loop", "parsing", "tasks")},
    "prometheus_client": {"monitoring.metrics"},
    "click": {"__main__", "batch.command", "batch.progress", "command_line"},
    "pyarrow": {"batch.parquet"},
}


def imports_of(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (name.name.partition(".")[0] for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: a relative import"
            yield str(node.module).partition(".")[0]


def test_what_serves_loads_nothing_that_trains(start: Callable[..., Process]) -> None:
    script = (
        "import sys, predict.http.app, predict.http.server, predict.__main__;"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    process = start("-c", script)
    assert process.exit_code() == 0, process.errors
    assert process.output == "[]\n"


def test_a_server_that_has_answered_has_loaded_nothing_that_trains(
    start: Callable[..., Process], tiny_artefact: Path
) -> None:
    script = (
        "import sys; from pathlib import Path;"
        "from predict.http.app import create_app; from predict.hosting.models import Models;"
        "from predict.scoring.predictor import Predictor;"
        f"client = create_app(Models.of(Predictor.load(Path({str(tiny_artefact)!r})))).test_client();"
        "assert client.post('/predict', json={'text': 'svn'}).status_code == 200;"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    process = start("-c", script)
    assert process.exit_code() == 0, process.errors
    assert process.output == "[]\n"


@pytest.mark.parametrize(
    "file", sorted((ROOT / "predict").rglob("*.py")), ids=lambda file: file.stem
)
def test_nothing_in_predict_imports_train(file: Path) -> None:
    assert "train" not in set(imports_of(file))


def test_each_library_is_imported_where_it_belongs() -> None:
    found = {library: set() for library in HOMES}
    for file in sources():
        for library in HOMES.keys() & set(imports_of(file)):
            found[library].add(name_of(file))
    assert found == HOMES


def test_a_server_of_tables_has_loaded_nothing_that_trains_either(
    start: Callable[..., Process], tables: dict[str, Path]
) -> None:
    script = (
        "import sys; from pathlib import Path;"
        "from predict.http.app import create_app; from predict.hosting.models import Models;"
        "from predict.scoring.predictor import Predictor;"
        f"client = create_app(Models.of(Predictor.load(Path({str(tables['label'])!r})))).test_client();"
        "example = client.get('/predict/example').json;"
        "assert client.post('/predict', json=example).status_code == 200;"
        f"print(sorted(set({HEAVY!r}) & set(sys.modules)))"
    )
    process = start("-c", script)
    assert process.exit_code() == 0, process.errors
    assert process.output == "[]\n"


def test_importing_makes_no_file_configures_no_logging_and_starts_no_thread(
    start: Callable[..., Process], tmp_path: Path
) -> None:
    script = (
        f"import logging, signal, threading, {', '.join(MODULES)};"
        "assert not logging.root.handlers, logging.root.handlers;"
        "assert not logging.getLogger('predict').handlers;"
        "assert logging.getLogger('waitress.queue').level == logging.NOTSET;"
        "assert threading.active_count() == 1;"
        "assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL"
    )
    process = start("-c", script, ARTEFACT_DIR="nowhere", PORT="not a port")
    assert process.exit_code() == 0, process.errors
    assert process.output == process.errors == ""
    assert {file.suffix for file in tmp_path.rglob("*")} == {".out", ".err"}


def test_predict_needs_only_what_its_requirements_name() -> None:
    lines = (ROOT / "predict" / "requirements.in").read_text(encoding="utf-8").splitlines()
    named = {line.replace("-", "_") for line in lines if not line.startswith("#")}
    # Flask brings werkzeug, and pydantic its core. Who wants traces or Parquet installs what they need.
    named |= {"werkzeug", "pydantic_core", "predict", "opentelemetry", "pyarrow"}
    for file in sources():
        foreign = {name for name in imports_of(file) if name not in sys.stdlib_module_names}
        assert foreign <= named, f"{file.name}: {foreign - named}"
