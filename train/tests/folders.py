"""Folders of artefacts for tests: four tiny ones, of four days, with names, metrics and gates of their own."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from predict.tests.tiny_artefact import write_metadata
from train.artefacts.listing import Run, find_runs

NASTY = "<script>alert(1)</script>"


def fill_folder(artefacts: Path, tiny: Path) -> Path:
    """Add four artefacts; the newest is `latest`, the one before it failed its gate."""
    add(artefacts, tiny, 1, "titanic", {"accuracy": 0.8, "log_loss": 0.5})
    add(artefacts, tiny, 2, "titanic", {"accuracy": 0.9, "log_loss": 0.3}, gate=True)
    add(artefacts, tiny, 3, NASTY, {"accuracy": 0.7, "log_loss": 0.6}, gate=False)
    add(artefacts, tiny, 4, "housing", {"rmse": 45_489.0, "r2": 0.84}, "hist_gradient_boosting")
    (artefacts / "latest").symlink_to("2026-01-04-12-00-00")
    return artefacts


def add(
    artefacts: Path,
    tiny: Path,
    day: int,
    dataset: str,
    metrics: Mapping[str, float],
    pipeline: str | None = None,
    gate: bool | None = None,
) -> Path:
    path = artefacts / f"2026-01-{day:02}-12-00-00"
    shutil.copytree(tiny, path)
    if gate is not None:
        check = {"check": "accuracy", "value": 0.7, "passed": gate, "why": ">=0.8"}
        (path / "metrics.json").write_text(json.dumps({"gate": [check]}))
    metadata = json.loads((path / "metadata.json").read_bytes())
    del metadata["files"]
    family = {"family": "text: wide and deep"}
    changes = {
        "name": path.name,
        "created_at": f"2026-01-{day:02}T12:00:00+00:00",
        "metrics": dict(metrics),
        "dataset": {"name": dataset},
        "model": {"pipeline": pipeline} if pipeline else family,
    }
    write_metadata(path, metadata | changes)
    return path


def read_runs(folder: Path) -> list[Run]:
    return find_runs(folder)[0]


def days(listed: list[Run]) -> list[int]:
    return [int(run.name[8:10]) for run in listed]
