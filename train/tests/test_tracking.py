"""Claims about tracking: what is told of a run, and that nothing there can lose an artefact.

MLflow is stood in for by a module that remembers what it is told, in the shape of its client; the real one, and
TensorBoard, are asked where they are installed.
"""

import importlib.util
import json
import os
import sys
import types
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from predict.tests.tiny_artefact import change_metadata, write_tiny_artefact
from train.artefacts import tracking
from train.artefacts.tracking import TrackingError, check, parameters_of, track
from train.config import TrainConfig
from train.config.sections import TrackingConfig
from train.progress import SilentProgress, TerminalProgress
from train.run import run

HISTORY = [{"loss": 2.0, "validation_loss": 3.0}, {"loss": 1.0, "validation_loss": 2.0}]


@pytest.fixture
def artefact(tmp_path: Path) -> Path:
    path = write_tiny_artefact(tmp_path / "artefact")
    (path / "metrics.json").write_text(json.dumps({"accuracy": 1.0, "history": HISTORY}))
    (path / "train-conf.yml").write_text(
        "dataset: tiny\nmodel: {pipeline: linear, C: 3}\nfeatures: {'a & b': {ratio: [a, b]}}\n"
    )
    change_metadata(
        path,
        dataset={"name": "tiny", "sha256": "0" * 64},
        durations_s={"train": 1.5},
        git={"commit": "abc", "dirty": False},
    )
    return path


class Metric(NamedTuple):
    key: str
    value: float
    timestamp: int
    step: int


class Client:
    """Keeps what it is told; breaks off at `fails_at`."""

    def __init__(self, tracking_uri: str) -> None:
        self.uri = tracking_uri

    told: list[tuple[str, Any]]
    fails_at: str | None

    def _hear(self, what: str, content: Any) -> None:
        self.told.append((what, content))
        if what == self.fails_at:
            raise ConnectionError(f"no {what} today\nTraceback …")

    def get_experiment_by_name(self, name: str) -> None:
        self._hear("experiment", name)

    def create_experiment(self, name: str) -> str:
        return "7"

    def create_run(self, experiment: str, **about: Any) -> Any:
        self._hear("run", about)
        return types.SimpleNamespace(info=types.SimpleNamespace(run_id="r1"))

    def log_batch(self, run_id: str, metrics: Any = (), params: Any = ()) -> None:
        self._hear("metrics" if metrics else "params", [*metrics, *params])

    def log_artifacts(self, run_id: str, folder: str) -> None:
        self._hear("files", folder)

    def set_terminated(self, run_id: str, status: str = "FINISHED") -> None:
        self._hear("end", status)


@pytest.fixture
def mlflow(monkeypatch: pytest.MonkeyPatch) -> type[Client]:
    client = type("MlflowClient", (Client,), {"told": [], "fails_at": None})
    package, entities = types.ModuleType("mlflow"), types.ModuleType("mlflow.entities")
    package.MlflowClient = client  # type: ignore[attr-defined]
    entities.Metric, entities.Param = Metric, lambda key, value: (key, value)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", package)
    monkeypatch.setitem(sys.modules, "mlflow.entities", entities)
    for key in tracking._MLFLOW_SETTINGS:
        monkeypatch.setenv(key, "1")  # so that it is as it was afterwards
    return client


def told(client: type[Client], what: str) -> list[Any]:
    return [content for kind, content in client.told if kind == what]


def test_mlflow_is_told_parameters_metrics_tags_and_files(
    artefact: Path, mlflow: type[Client], capsys: pytest.CaptureFixture[str]
) -> None:
    track(artefact, TrackingConfig(mlflow="http://tracker"), TerminalProgress())
    assert told(mlflow, "experiment") == ["tiny"]
    [about] = told(mlflow, "run")
    assert about["run_name"] == "2026-01-02-03-04-05"
    assert about["tags"]["dataset.sha256"] == "0" * 64
    assert about["tags"]["mlflow.source.git.commit"] == "abc"
    parameters = dict(parameter for some in told(mlflow, "params") for parameter in some)
    assert parameters["model.C"] == "3"
    assert parameters["features.a _ b.ratio"] == '["a", "b"]'
    assert not {key for key in parameters if key.startswith("tracking")}
    [metrics] = told(mlflow, "metrics")
    values = {(metric.key, metric.step): metric.value for metric in metrics}
    assert values["accuracy", 0] == 1.0
    assert values["seconds.train", 0] == 1.5
    assert (values["epoch.loss", 1], values["epoch.loss", 2]) == (2.0, 1.0)
    assert told(mlflow, "files") == [str(artefact)]
    assert told(mlflow, "end") == ["FINISHED"]
    assert "tracking: mlflow: run r1 in http://tracker" in capsys.readouterr().err


def test_the_artefact_is_named_where_it_is_found_in_the_end(
    artefact: Path, mlflow: type[Client], tmp_path: Path
) -> None:
    track(artefact, TrackingConfig(mlflow="x"), SilentProgress())
    track(artefact, TrackingConfig(mlflow="x"), SilentProgress(), tmp_path / "published")
    places = [about["tags"]["artefact"] for about in told(mlflow, "run")]
    assert places == [str(artefact), str(tmp_path / "published")]


def test_a_run_of_a_job_names_the_folder_of_the_service(
    mlflow: type[Client], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tracking, "_is_installed", lambda name: True)
    config = TrainConfig(
        dataset="iris",
        artefacts_dir=tmp_path / "artefacts",
        tracking=TrackingConfig(mlflow="x"),
    )
    result = run(config, SilentProgress(), into=tmp_path / "job")
    [about] = told(mlflow, "run")
    assert about["tags"]["artefact"] == str(tmp_path / "artefacts" / result.artefact_dir.name)
    assert result.artefact_dir.parent == tmp_path / "job"


def test_many_parameters_go_in_as_many_requests_as_mlflow_needs(
    artefact: Path, mlflow: type[Client]
) -> None:
    more = ", ".join(f"p{number}: {number}" for number in range(250))
    (artefact / "train-conf.yml").write_text(f"dataset: tiny\nmodel: {{{more}}}\n")
    track(artefact, TrackingConfig(mlflow="x"), SilentProgress())
    sizes = [len(some) for some in told(mlflow, "params")]
    assert max(sizes) <= 100
    assert sum(sizes) == len(list(parameters_of(artefact))) > 250


@pytest.mark.parametrize("fails_at", ["experiment", "run", "params", "metrics", "files"])
def test_a_failing_server_is_a_warning_and_the_artefact_stays(
    artefact: Path, mlflow: type[Client], fails_at: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file.name: file.read_bytes() for file in artefact.iterdir()}
    mlflow.fails_at = fails_at
    track(artefact, TrackingConfig(mlflow="http://tracker"), TerminalProgress())
    said = capsys.readouterr().err
    assert f"WARNING: tracking.mlflow: ConnectionError: no {fails_at} today. The artefact" in said
    assert "Traceback" not in said
    assert {file.name: file.read_bytes() for file in artefact.iterdir()} == before
    expected = ["FAILED"] if fails_at in ("params", "metrics", "files") else []
    assert told(mlflow, "end") == expected


def test_a_server_that_is_not_there_is_not_waited_for_for_long(
    artefact: Path, mlflow: type[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "99")  # what somebody has set stays
    track(artefact, TrackingConfig(mlflow="x"), SilentProgress())
    assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "99"


@pytest.mark.parametrize("name", ["mlflow", "tensorboard"])
def test_what_is_not_installed_is_said_before_training(
    name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / name).mkdir()  # a folder of its runs, perhaps, is not the library
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    wanted = {"mlflow": None, "tensorboard": None, name: "somewhere"}
    with pytest.raises(
        TrackingError, match=rf"tracking\.{name}: {name} is not installed.*pip install {name}"
    ):
        check(TrackingConfig(**wanted))


def test_without_tracking_nothing_is_needed_and_nothing_imported(artefact: Path) -> None:
    check(TrackingConfig())
    track(artefact, TrackingConfig(), SilentProgress())
    assert "mlflow" not in sys.modules


@pytest.mark.parametrize("address", ["http://me:secret@host", "postgresql://me:secret@host/db"])
def test_a_password_in_the_address_is_refused_and_not_repeated(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tracking, "_is_installed", lambda _: True)
    with pytest.raises(TrackingError, match="a password in the address") as refused:
        check(TrackingConfig(mlflow=address))
    assert "secret" not in str(refused.value)
    check(TrackingConfig(mlflow="https://me@host"))
    check(TrackingConfig(mlflow="sqlite:///mlflow.db"))


def test_a_model_without_epochs_has_nothing_for_tensorboard(
    artefact: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (artefact / "metrics.json").write_text('{"history": []}')
    track(artefact, TrackingConfig(tensorboard=tmp_path / "logs"), TerminalProgress())
    assert "nothing to draw: this model is not trained in epochs" in capsys.readouterr().err
    assert not (tmp_path / "logs").exists()


@pytest.mark.skipif(importlib.util.find_spec("tensorboard") is None, reason="needs tensorboard")
def test_tensorboard_reads_the_losses_and_the_metrics(artefact: Path, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    track(artefact, TrackingConfig(tensorboard=tmp_path / "logs"), SilentProgress())
    events = EventAccumulator(str(tmp_path / "logs" / "2026-01-02-03-04-05"))
    events.Reload()
    losses = [
        (event.step, event.tensor_proto.float_val[0]) for event in events.Tensors("epoch/loss")
    ]
    assert losses == [(1, 2.0), (2, 1.0)]
    assert [event.step for event in events.Tensors("test/accuracy")] == [2]


@pytest.mark.skipif(importlib.util.find_spec("mlflow") is None, reason="needs mlflow")
def test_a_real_mlflow_database_has_the_run(
    artefact: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow import MlflowClient

    monkeypatch.chdir(tmp_path)  # where it puts files
    address = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    track(artefact, TrackingConfig(mlflow=address), SilentProgress())
    client = MlflowClient(tracking_uri=address)
    [run] = client.search_runs([client.get_experiment_by_name("tiny").experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.metrics["accuracy"] == 1.0
    assert run.data.params["model.C"] == "3"
