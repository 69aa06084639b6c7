"""The metadata of a model, except what is known only when the artefact is written."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from train.artefacts.provenance import describe_commit, describe_dataset, describe_versions
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
        "outputs": [answered.decision.describe(dataset.columns.label, dataset.unit)],
        "examples": _examples(prepared, answered.outputs),
        "metrics": dict(headline),
        **model.describe(prepared),
        "dataset": describe_dataset(prepared, requested),
        "seeds": {"split": config.split.seed, "training": config.training.seed},
        "versions": describe_versions(),
        "git": describe_commit(),
    }


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
