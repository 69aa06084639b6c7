"""Writes an artefact of a table model as a run does, without what else a run finds out."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from predict.contract.artefact import CONFIGURATION, METRICS, REPORT
from predict.scoring.predictor import Predictor
from train.artefacts import writing as export
from train.artefacts.writing import Findings, golden_examples
from train.config import TrainConfig
from train.config.loading import to_yaml
from train.data.catalogue import complete
from train.data.cleaning import load_dataset
from train.data.dataset import Dataset
from train.data.splits import Split, split_dataset
from train.models.table import model as table_model
from train.progress import Progress

Ask = Callable[[Predictor, Dataset, Split], tuple[dict[str, Any], bool]]


def export_table(config: TrainConfig, ask: Ask) -> Path:
    """Fit and write; `ask` returns the metrics, and whether the model may become `latest`."""
    config = complete(config)
    dataset = load_dataset(config)
    split = split_dataset(dataset, config)
    model = table_model.fit(dataset, split, config, Progress(silent=True))
    [answer] = table_model.predict(model, dataset, split.test[:1])
    kind = "label" if dataset.label_names else "number"
    metadata = {
        "task": config.task,
        "outputs": [{"name": "answer", "type": kind, "labels": dataset.label_names}],
        "examples": golden_examples(
            dataset.instances(split.test[:1]), answer.reshape(1, -1), [None]
        ),
        "metrics": {"accuracy": 0.5},
        **table_model.describe(model, dataset, split),
    }

    def write_files(directory: Path) -> None:
        table_model.write(model, directory)
        (directory / CONFIGURATION).write_text(to_yaml(config), encoding="utf-8")

    def examine(predictor: Predictor) -> Findings:
        metrics, latest = ask(predictor, dataset, split)
        files = {METRICS: export.as_json(metrics), REPORT: "<!doctype html>"}
        return Findings({"gate": "passed" if latest else "failed"}, files, latest)

    export.prepare_artefacts_dir(config.artefacts_dir)
    return export.write_artefact(config.artefacts_dir, write_files, metadata, examine)
