"""A search and a cross-validation as tasks of Ray, by real runs of the command."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from predict.tests.conftest import ROOT
from scale.tests.processes import kill_one
from train.tests.tables import make_table, write_table

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None, reason="this Python has no Ray (`make test-scale` adds it)"
)

_PIPELINES = "search.model.pipeline=[linear, hist_gradient_boosting, random_forest]"


def train(folder: Path, *command: str, artefacts: str) -> subprocess.Popen[str]:
    conf = folder / "conf.yml"
    conf.write_text(
        f"dataset: {folder / 't.csv'}\n"
        "columns: {label: left, inputs: {said: ignore, spent: ignore}}\n"
        f"data_dir: {folder / 'raw'}\n"
        "evaluation: {folds: 3}\n",
        encoding="utf-8",
    )
    given = ["--conf", str(conf), "--set", f"artefacts_dir={folder / artefacts}"]
    return subprocess.Popen(
        [sys.executable, "-m", *command, *given, "--set", _PIPELINES],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def measured(artefacts: Path) -> tuple[Any, Any]:
    metrics = json.loads((artefacts / "latest" / "metrics.json").read_text())
    for trial in metrics["search"]["trials"]:
        del trial["seconds"]
    return metrics["search"], metrics["cross_validation"]


def test_the_winner_and_the_folds_are_those_of_one_process_though_one_of_rays_is_killed(
    tmp_path: Path,
) -> None:
    write_table(tmp_path / "t.csv", make_table(2_000))
    here = train(tmp_path, "train", "run", artefacts="here")
    here.communicate(timeout=300)
    assert here.returncode == 0
    on_ray = train(tmp_path, "scale", "train", artefacts="on-ray")
    assert kill_one("_measured", on_ray.pid)
    errors = on_ray.communicate(timeout=300)[1]
    assert on_ray.returncode == 0, errors
    assert measured(tmp_path / "on-ray") == measured(tmp_path / "here")


def test_what_cannot_be_trained_is_one_line(tmp_path: Path) -> None:
    process = train(tmp_path, "scale", "train", artefacts="on-ray")  # there is no t.csv
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    assert "Traceback" not in errors
    assert "t.csv" in errors.strip().splitlines()[-1]
