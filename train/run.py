"""The whole story of a training run on one screen."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from predict.artefact import CONFIGURATION, FEATURES, METRICS, MODEL, REPORT
from predict.predictor import Predictor
from train import export
from train.catalogue import CATALOGUE
from train.config import ConfigError, TrainConfig
from train.dataset import Dataset, Split, UnreachableError, load_dataset, split_dataset
from train.evaluation import evaluate_baselines, evaluate_classification, headline
from train.progress import Progress
from train.provenance import describe_commit, describe_versions
from train.report import render_report

_GOLDEN_EXAMPLES = 5
_GOLDEN_LENGTH = 500


@dataclass(frozen=True)
class RunResult:
    """What a person wants to know at the end."""

    artefact_dir: Path
    metrics: dict[str, Any]


def run(config: TrainConfig, progress: Progress) -> RunResult:
    """Train what a configuration says, and write the artefact.

    Raises:
        ConfigError, DatasetError, EmbeddingError, ExportError: with nothing left behind.
    """
    # Here and not above: tensorflow takes seconds to import, and `check` needs none of it.
    from train import text_model

    export.prepare_artefacts_dir(config.artefacts_dir)
    dataset, split = prepare(config, progress)
    names = dataset.label_names

    model = text_model.fit(dataset, split, config, progress)

    with progress.stage("evaluate", f"{len(split.test):,} test rows, and two baselines"):
        test_texts, test_labels = dataset.texts(split.test), dataset.labels[split.test]
        probabilities = text_model.predict_proba(model, test_texts)
        metrics = evaluate_classification(test_labels, probabilities, names)
        fitted_on = np.concatenate([split.train, split.validation])
        metrics["baselines"] = evaluate_baselines(
            dataset.texts(fitted_on), dataset.labels[fitted_on], test_texts, test_labels
        )
        metrics["history"] = model.history

    instances = [_instance(dataset, row) for row in split.test]
    # Every load replays them: short ones will do.
    golden = sorted(range(len(test_texts)), key=lambda i: len(test_texts[i]) > _GOLDEN_LENGTH)[
        :_GOLDEN_EXAMPLES
    ]
    metadata = {
        "task": config.task,
        "inputs": [{"name": column, "type": "text"} for column in dataset.columns.text],
        "outputs": [{"name": dataset.columns.label, "type": "label", "labels": names}],
        "examples": export.golden_examples([instances[i] for i in golden], probabilities[golden]),
        "metrics": headline(metrics),
        "embedding": model.embedding_metadata
        | {"unknown_token_share": text_model.unknown_token_share(model, test_texts)},
        "model": model.metadata,
        "dataset": _describe_dataset(dataset, split, config),
        "seeds": {"split": config.split.seed, "training": config.training.seed},
        "versions": describe_versions(),
        "git": describe_commit(),
    }

    def write_files(directory: Path) -> None:
        text_model.to_onnx(model, directory / MODEL)
        model.features.write(directory / FEATURES)
        (directory / CONFIGURATION).write_text(config.to_yaml(), encoding="utf-8")
        export.write_json(directory / METRICS, metrics)
        (directory / REPORT).write_text(
            render_report(metadata, metrics, config.to_yaml()), encoding="utf-8"
        )

    def verify(predictor: Predictor) -> None:
        difference = export.check_equal(probabilities, predictor.scores(instances))
        progress.say(f"export: served and trained probabilities differ by at most {difference:.1e}")

    with progress.stage("export", "to ONNX, then read back and asked as a server would"):
        metadata["durations_s"] = dict(progress.durations_s)
        artefact_dir = export.write_artefact(config.artefacts_dir, write_files, metadata, verify)
    return RunResult(artefact_dir, metrics)


def prepare(config: TrainConfig, progress: Progress) -> tuple[Dataset, Split]:
    """Load and split the dataset of a configuration; fall back on its `offline` dataset, and say so loudly.

    Raises:
        ConfigError, DatasetError: It cannot be trained on.
    """
    pretrained = config.embeddings.pretrained
    if pretrained is not None and not pretrained.is_file():
        raise ConfigError(f"embeddings.pretrained: {pretrained} is not a file.")
    with progress.stage("dataset", config.dataset):
        try:
            dataset = _load(config, progress)
        except UnreachableError as error:
            if config.offline is None:
                raise
            progress.warn(f"{error}")
            progress.warn(
                f"training on the dataset {config.offline!r} instead (`offline:` in the configuration)"
            )
            dataset = _load(config, progress, config.offline)
        split = split_dataset(dataset, config)
        _tell(dataset, split, progress)
    return dataset, split


def _load(config: TrainConfig, progress: Progress, name: str | None = None) -> Dataset:
    entry = CATALOGUE.get(name or config.dataset)
    if entry is not None and not entry.files:
        progress.say(
            "dataset: read from the libraries installed here; the first time takes half a minute"
        )
    return load_dataset(config, name)


def _tell(dataset: Dataset, split: Split, progress: Progress) -> None:
    progress.say(
        f"dataset: {dataset.rows_read:,} rows read, {len(dataset.rows):,} kept, {len(dataset.label_names)} labels; "
        f"{len(split.train):,} to train, {len(split.validation):,} to validate, {len(split.test):,} to test"
    )
    for reason, count in dataset.dropped.items():
        progress.say(f"dataset: {count:,} rows dropped: {reason}")
    if dataset.conflicts:
        progress.say(
            f"dataset: {dataset.conflicts} texts stand under more than one label, such as "
            f"{dataset.conflict_examples[0][:80]!r}"
        )


def _instance(dataset: Dataset, row: int) -> dict[str, str]:
    """Return a row as a request would send it."""
    return dict(zip(dataset.columns.text, dataset.rows[row], strict=True))


def _describe_dataset(dataset: Dataset, split: Split, config: TrainConfig) -> dict[str, Any]:
    return {
        "name": dataset.name,
        "source": dataset.source,
        "sha256": dataset.sha256,
        "requested": config.dataset,
        "rows_read": dataset.rows_read,
        "rows_kept": len(dataset.rows),
        "rows_dropped": dataset.dropped,
        "conflicting_texts": dataset.conflicts,
        "split": {
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
            "seed": config.split.seed,
            "own_test_split": dataset.own_test is not None,
        },
        "label_counts": dataset.label_counts(),
    }
