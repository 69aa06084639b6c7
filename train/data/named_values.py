"""The labels and categories that a configuration names, in the form in which its dataset has them."""

from typing import Any

from predict.contract.canonical import canonical, form_of
from train.config import TrainConfig
from train.config.sections import BehaviourConfig
from train.data.dataset import Dataset


def with_known_values(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """Return the configuration with its labels and categories as the dataset writes them: "true" for `True`."""
    positive = _as_label(config.decision.positive, dataset)
    return config.model_copy(
        update={
            "decision": config.decision.model_copy(update={"positive": positive}),
            "behaviour": config.behaviour and _behaviour(config.behaviour, dataset),
        }
    )


def _behaviour(behaviour: BehaviourConfig, dataset: Dataset) -> BehaviourConfig:
    must_be = [_with_label(example, dataset) for example in behaviour.must_be]
    directions = [
        _with_label(direction, dataset).model_copy(
            update={"to": _as_category(direction.to, direction.column, dataset)}
        )
        for direction in behaviour.directions
    ]
    return behaviour.model_copy(update={"must_be": must_be, "directions": directions})


def _with_label(named: Any, dataset: Dataset) -> Any:
    return named.model_copy(update={"label": _as_label(named.label, dataset)})


def _as_label(label: str | None, dataset: Dataset) -> str | None:
    if label is None or label in dataset.label_names:
        return label
    return canonical(label, form_of(dataset.label_names))


def _as_category(category: str | None, column: str, dataset: Dataset) -> str | None:
    if category is None or dataset.column_types.get(column) != "category":
        return category
    return canonical(category, form_of(dataset.frame[column].unique().tolist()))
