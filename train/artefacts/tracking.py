"""The tracking of finished runs by MLflow and TensorBoard, both optional.

Both are imported only where they are used. What they are told is read from the artefact, which is complete before
anything here can fail.
"""

import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from predict.contract.artefact import CONFIGURATION, METADATA, METRICS
from train.config import load_config
from train.config.sections import TrackingConfig
from train.errors import UserError
from train.progress import Progress

# MLflow's limits: the length of a parameter's value, and how many parameters or metrics one request may hold.
_LONGEST_VALUE = 6000
_PARAMETERS_AT_ONCE = 100
_METRICS_AT_ONCE = 1000
_LONGEST_REASON = 300
# Without these, MLflow waits minutes for a server that is not there, and tells its makers about every use.
_MLFLOW_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class TrackingError(UserError):
    """A run cannot be tracked as configured. This is known before training."""


def check(config: TrackingConfig) -> None:
    """Find out, before training, whether a run could be tracked.

    Raises:
        TrackingError: MLflow or TensorBoard is not installed, or the address has a password in it.
    """
    mlflow = config.mlflow
    for name, place in config:
        if place is not None and not _is_installed(name):
            raise TrackingError(
                f"tracking.{name}: {name} is not installed here. Install it (.env/train/bin/pip install {name}), "
                f"or remove tracking.{name} from the configuration."
            )
    if mlflow is not None and _has_password(mlflow):
        raise TrackingError(
            "tracking.mlflow: there is a password in the address, which would be copied into every artefact. For a "
            "server, set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD in the environment; put a database "
            "behind `mlflow server`."
        )


def _is_installed(module: str) -> bool:
    spec = importlib.util.find_spec(module)
    # A folder of that name in the working directory has a spec too, but no file.
    return spec is not None and spec.origin is not None


def _has_password(address: str) -> bool:
    with suppress(ValueError):  # MLflow says what is wrong with it
        return urlsplit(address).password is not None
    return False


def track(
    artefact_dir: Path, config: TrackingConfig, progress: Progress, found_at: Path | None = None
) -> None:
    """Track a finished run; whatever goes wrong is only a warning, because the artefact is complete.

    Args:
        artefact_dir: What the run wrote.
        config: Where the run is tracked.
        progress: Is told where the run can be seen, or what went wrong.
        found_at: Where the artefact is going to be found, if it is moved afterwards.
    """
    place = (found_at or artefact_dir).resolve()
    mlflow, tensorboard = config.mlflow, config.tensorboard
    if mlflow is not None:
        _attempt("mlflow", lambda: _track_with_mlflow(artefact_dir, mlflow, place), progress)
    if tensorboard is not None:
        _attempt("tensorboard", lambda: _write_scalars(artefact_dir, tensorboard), progress)


def _attempt(name: str, action: Callable[[], str], progress: Progress) -> None:
    try:
        with progress.stage("tracking", name):
            progress.say(f"tracking: {name}: {action()}")
    except Exception as error:  # whatever a library raises, after hours of training
        reason = (str(error).splitlines() or [""])[0][:_LONGEST_REASON]
        progress.warn(
            f"tracking.{name}: {type(error).__name__}: {reason}. The artefact is complete nevertheless."
        )


def _read(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_bytes())
    return content


# -------------------------------------------------------------------- MLflow


def _track_with_mlflow(artefact_dir: Path, address: str, place: Path) -> str:
    """Make a run in the experiment named after the dataset: parameters, metrics, tags and all files."""
    for key, value in _MLFLOW_SETTINGS.items():
        os.environ.setdefault(key, value)
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    metadata = _read(artefact_dir / METADATA)
    created_ms = int(datetime.fromisoformat(metadata["created_at"]).timestamp() * 1000)
    # A client of our own, without the module's global state, touches nobody else's run.
    client = MlflowClient(tracking_uri=address)
    run = client.create_run(
        _experiment(client, metadata["dataset"]["name"]),
        start_time=created_ms - int(1000 * sum(metadata["durations_s"].values())),
        run_name=metadata["name"],
        tags=_tags(metadata, place),
    )
    run_id = run.info.run_id
    try:
        parameters = [Param(key, value) for key, value in parameters_of(artefact_dir)]
        for some in _in_batches(parameters, _PARAMETERS_AT_ONCE):
            client.log_batch(run_id, params=some)
        metrics = [
            Metric(key, value, created_ms, step)
            for key, value, step in _metrics(metadata, _read(artefact_dir / METRICS))
        ]
        for some in _in_batches(metrics, _METRICS_AT_ONCE):
            client.log_batch(run_id, metrics=some)
        client.log_artifacts(run_id, str(artefact_dir))
        client.set_terminated(run_id)
    except Exception:
        with suppress(Exception):  # the first failure is the one to hear of
            client.set_terminated(run_id, "FAILED")
        raise
    return f"run {run_id} in {address}"


def _in_batches(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _experiment(client: Any, dataset: str) -> str:
    known = client.get_experiment_by_name(dataset)
    identifier: str = known.experiment_id if known else client.create_experiment(dataset)
    return identifier


def _tags(metadata: Mapping[str, Any], place: Path) -> dict[str, str]:
    git = metadata.get("git") or {}
    tags = {
        "artefact": str(place),
        "task": metadata["task"],
        "dataset.sha256": metadata["dataset"]["sha256"],
        "mlflow.source.git.commit": git.get("commit"),
        "git.dirty": git.get("dirty"),
    }
    return {key: str(value) for key, value in tags.items() if value is not None}


def parameters_of(artefact_dir: Path) -> Iterator[tuple[str, str]]:
    """Yield (section.key, value) of the configuration of an artefact, without unset keys."""
    content = load_config(artefact_dir / CONFIGURATION).model_dump(mode="json")
    content.pop("tracking", None)
    yield from _flattened(content)


def _flattened(content: Mapping[str, Any], path: str = "") -> Iterator[tuple[str, str]]:
    for key, value in content.items():
        if isinstance(value, dict) and value:
            yield from _flattened(value, f"{path}{_as_name(key)}.")
        elif value not in (None, {}, []):
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield f"{path}{_as_name(key)}", text[:_LONGEST_VALUE]


def _as_name(text: str) -> str:
    """Return a name without the characters that MLflow refuses."""
    return "".join(c if c.isalnum() or c in "_-. /" else "_" for c in text).strip("/. ") or "_"


def _metrics(
    metadata: Mapping[str, Any], metrics: Mapping[str, Any]
) -> Iterator[tuple[str, float, int]]:
    """Yield (name, value, step): the headline metrics, the stages' seconds, and the losses epoch by epoch."""
    yield from ((name, value, 0) for name, value in metadata["metrics"].items())
    for stage, seconds in metadata["durations_s"].items():
        yield f"seconds.{_as_name(stage)}", seconds, 0
    for epoch, losses in enumerate(_history(metrics), start=1):
        yield from ((f"epoch.{name}", value, epoch) for name, value in losses.items())


def _history(metrics: Mapping[str, Any]) -> Sequence[Mapping[str, float]]:
    history: Sequence[Mapping[str, float]] = metrics.get("history") or []
    return history


# --------------------------------------------------------------- TensorBoard


def _write_scalars(artefact_dir: Path, folder: Path) -> str:
    """Write the losses epoch by epoch, and at the last epoch the metrics on the test split.

    They come from the history, after the run, so that no model needs a callback.
    """
    metadata, history = _read(artefact_dir / METADATA), _history(_read(artefact_dir / METRICS))
    if not history:
        return "nothing to draw: this model is not trained in epochs"
    from tensorboard.summary import Writer

    place = folder / metadata["name"]
    writer = Writer(str(place))
    try:
        for epoch, losses in enumerate(history, start=1):
            for name, value in losses.items():
                writer.add_scalar(f"epoch/{name}", value, step=epoch)
        for name, value in metadata["metrics"].items():
            writer.add_scalar(f"test/{name}", value, step=len(history))
    finally:
        writer.close()
    return f"{place}; see it with `tensorboard --logdir {folder}`"
