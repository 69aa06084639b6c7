"""A new model against the newest artefact of the same rows: whether they can be compared, and whether it is worse."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from predict.contract.artefact import ArtefactError
from predict.scoring.inputs import InstanceError
from predict.scoring.predictor import Predictor
from predict.wording import listed
from train.artefacts.listing import find_runs, sort_runs
from train.comparison.answers import answer_rows
from train.comparison.rows import Model, project
from train.data.splits import Prepared
from train.evaluation.answered import Answered
from train.evaluation.metrics import (
    compared_metric,
    describe_metric,
    show_difference,
    show_metric,
    show_range,
)
from train.evaluation.significance import paired_differences
from train.models.decision import Decision

_NAMES_SHOWN = 5

Instances = list[dict[str, Any]]


def against_newest(
    prepared: Prepared, answered: Answered, dataset: Mapping[str, Any]
) -> tuple[bool, str, float] | None:
    """Compare a new model with the newest artefact that it can be compared with.

    Args:
        prepared: What the new model was fitted on.
        answered: Its answers to its test rows.
        dataset: What its metadata say about the dataset.

    Returns:
        What `against_latest` returns; None if there is no such artefact.
    """
    instances = prepared.dataset.instances(prepared.split.test)
    newest = newest_comparable(prepared.config.artefacts_dir, answered, instances, dataset)
    if newest is None:
        return None
    return against_latest(newest, answered, instances, dataset)


def against_latest(
    latest_dir: Path,
    answered: Answered,
    instances: Instances,
    dataset: Mapping[str, Any] | None = None,
) -> tuple[bool, str, float]:
    """Say whether a new model is not significantly worse than the newest artefact, on the new one's test rows.

    `compared_metric` says which metric decides.

    Args:
        latest_dir: The artefact that the new model shall replace.
        answered: The new model's test rows.
        instances: The same rows, as requests would send them.
        dataset: What the new metadata say about the dataset; with it, another dataset or split is noticed.

    Returns:
        Whether it is not worse, which also holds if the two cannot be compared fairly: another task, dataset or split,
        or other inputs or labels. Why. And by how much it is better, negative if it is worse, 0 without comparison.

    Raises:
        ArtefactError: `latest_dir` cannot be loaded.
    """
    latest, decision = _load(latest_dir, answered), answered.decision
    name = latest.metadata.name
    if reason := _why_not(latest, answered, instances, dataset or {}):
        return True, f"not comparable with {name}: {reason}", 0.0
    common = Decision(decision.kind, decision.label_names, positive=decision.positive)
    theirs = answer_rows(latest, project(instances, latest), answered.truth, common)
    ours = Answered(answered.truth, answered.outputs, common, answered.answers)
    differences = paired_differences(theirs, ours)
    key = compared_metric(decision.kind, len(decision.thresholds) == 1)
    key = key if key in differences else "accuracy"  # PR AUC needs rows of both labels
    difference, metric = differences[key], describe_metric(key)
    better = metric.sign * difference.difference
    why = (
        f"{metric.name} {show_metric(key, difference.second)}, {name} has {show_metric(key, difference.first)}: "
        f"{show_difference(key, difference.difference)}, "
        f"95 % interval {show_range(key, difference.low, difference.high)}"
    )
    return not (difference.significant and better < 0), why, better


def newest_comparable(
    artefacts_dir: Path, answered: Answered, instances: Instances, dataset: Mapping[str, Any]
) -> Path | None:
    """Return the newest artefact that a new model can be compared with; None if there is none.

    It has passed its gate, or had none, and answers the same question about the same rows: other datasets may have
    been trained on meanwhile.

    Args:
        artefacts_dir: Where artefacts are.
        answered: The new model's test rows.
        instances: The same rows, as requests would send them.
        dataset: What its metadata say about the dataset.
    """
    runs, _ = find_runs(artefacts_dir)
    for run in sort_runs(runs, "-time"):
        if run.gate == "failed" or run.dataset != dataset.get("name"):
            continue
        with suppress(ArtefactError):  # damaged: not for a comparison
            if not _why_not(_load(run.path, answered), answered, instances, dataset):
                return run.path
    return None


def _load(path: Path, answered: Answered) -> Model:
    """Load an artefact whose labels are called as those of the new model."""
    return Model(path, path.name, Predictor.load(path, limit_s=None)).named_as(answered.label_names)


def _why_not(
    latest: Model, answered: Answered, instances: Instances, dataset: Mapping[str, Any]
) -> str:
    """Return why a model cannot be compared with the newest one; nothing if it can."""
    output, theirs = latest.output, latest.metadata.dataset
    if output.kind != answered.kind:
        return f"it answers with {output.kind}, this one with {answered.kind}"
    if set(output.labels) != set(answered.label_names):
        return f"its labels are different ones ({listed(output.labels, _NAMES_SHOWN)})"
    for key, what in (
        ("name", "dataset"),
        ("sha256", "version of the dataset"),
        ("split", "split"),
    ):
        if key in dataset and key in theirs and dataset[key] != theirs[key]:
            name = f" ({theirs['name']})" if key == "name" else ""
            return f"it was trained on another {what}{name}"
    try:
        latest.predictor.check(project(instances, latest))
    except (InstanceError, KeyError):
        names = [field.name for field in latest.metadata.inputs]
        return f"it reads other inputs ({listed(names, _NAMES_SHOWN)})"
    return ""
