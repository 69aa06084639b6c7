"""The metadata of a model, except what is known only when the artefact is written."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from train.artefacts.provenance import describe_commit, describe_dataset, describe_versions
from train.data.dataset import Dataset
from train.data.splits import Prepared
from train.evaluation.answered import Answered
from train.models.family import FittedModel, Outputs

_EXAMPLES = 5
# Characters of an instance as JSON; longer ones are taken if there are too few short ones.
_LONGEST_EXAMPLE = 500


def describe(
    prepared: Prepared,
    model: FittedModel,
    answered: Answered,
    headline: Mapping[str, float],
    requested: str,
) -> dict[str, Any]:
    """Return the metadata of a model.

    Args:
        prepared: What it was fitted on.
        model: The fitted model.
        answered: Its answers to the test rows.
        headline: Its metrics on the test rows, single numbers only.
        requested: The dataset that the configuration names, which was perhaps replaced by `offline`.
    """
    config, dataset = prepared.config, prepared.dataset
    return {
        "task": config.task,
        "outputs": [
            answered.decision.describe(dataset.columns.label, dataset.unit) | _truth(dataset)
        ],
        "examples": _examples(prepared, answered.outputs),
        "metrics": dict(headline),
        **model.describe(prepared),
        "dataset": describe_dataset(prepared, requested),
        "seeds": {"split": config.split.seed, "training": config.training.seed},
        "versions": describe_versions(),
        "git": describe_commit(),
        **_file(dataset),
    }


def _truth(dataset: Dataset) -> dict[str, Any]:
    """Return how the file writes what is predicted, so that a file that is scored is measured alike."""
    columns, notation = dataset.columns, dataset.columns.notation_of_label
    keys: dict[str, Any] = {}
    if dataset.kind == "labels":
        return {"separator": columns.separator}
    if dataset.kind == "number":
        keys = {"decimal": notation.decimal, "thousands": notation.thousands}
    return {key: value for key, value in {**keys, "missing": columns.missing}.items() if value}


def _file(dataset: Dataset) -> dict[str, Any]:
    """Return how the file is written, if it is one of separated values."""
    if dataset.file is None:
        return {}
    columns, types = dataset.columns, dataset.column_types
    marks = {columns.notation_of(name).decimal for name in types if types[name] == "number"}
    if dataset.kind == "number":
        marks.add(columns.notation_of_label.decimal)
    decimal = "," if "," in marks else None
    file = dataset.file.model_copy(update={"decimal": decimal})
    return {"file": file.model_dump(exclude_defaults=True)}


def _examples(prepared: Prepared, outputs: Outputs) -> list[dict[str, Any]]:
    """Return a few test rows with the model's outputs, for every later load to replay, and with the truth."""
    dataset, test = prepared.dataset, prepared.split.test
    instances = dataset.instances(test)
    return [
        {
            "instance": instances[index],
            "answer": outputs[index].tolist(),
            "truth": dataset.truth(test[index]),
        }
        for index in _short_first(instances)[:_EXAMPLES]
    ]


def _short_first(instances: Sequence[Mapping[str, Any]]) -> list[int]:
    """Return the indices of instances: short ones in their order, then long ones."""
    is_long = [len(json.dumps(instance)) > _LONGEST_EXAMPLE for instance in instances]
    return sorted(range(len(instances)), key=is_long.__getitem__)
