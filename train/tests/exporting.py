"""Writes an artefact of a table model as a run does, without what else a run finds out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from predict.contract.artefact import CONFIGURATION, METRICS, REPORT
from predict.scoring.predictor import Predictor
from train.artefacts import folder
from train.artefacts.writing import as_json, unfinished_artefact
from train.config import TrainConfig
from train.config.loading import to_yaml
from train.data.catalogue import complete
from train.data.cleaning import load_dataset
from train.data.splits import Prepared, split_dataset
from train.models.table import model as table_model
from train.progress import SilentProgress

Ask = Callable[[Predictor, Prepared], tuple[dict[str, Any], bool]]


def export_table(config: TrainConfig, ask: Ask) -> Path:
    """Fit and write; `ask` returns the metrics, and whether the model may become `latest`."""
    config = complete(config)
    dataset = load_dataset(config)
    prepared = Prepared(config, dataset, split_dataset(dataset, config))
    model = table_model.fit(prepared, SilentProgress())
    first = prepared.split.test[:1]
    [instance] = dataset.instances(first)
    metadata = {
        "task": config.task,
        "outputs": [{"name": "answer", "type": dataset.kind, "labels": dataset.label_names}],
        "examples": [{"instance": instance, "answer": model.predict(dataset, first)[0].tolist()}],
        "metrics": {"accuracy": 0.5},
        **model.describe(prepared),
    }
    folder.prepare(config.artefacts_dir)
    with unfinished_artefact(config.artefacts_dir) as artefact:
        model.write(artefact.path)
        (artefact.path / CONFIGURATION).write_text(to_yaml(config), encoding="utf-8")
        metrics, latest = ask(artefact.load(metadata), prepared)
        files = {METRICS: as_json(metrics), REPORT: "<!doctype html>"}
        return artefact.finish(
            {**metadata, "gate": "passed" if latest else "failed"}, files, latest
        )
