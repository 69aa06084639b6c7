"""The choice of a family of models for a dataset, and what keeps it from being fitted."""

from math import sqrt
from typing import Any, cast

from train.config import TrainConfig
from train.config.sections import ImbalanceConfig
from train.data.dataset import Dataset
from train.data.splits import Prepared
from train.models.family import WIDE_AND_DEEP, Family, FittedModel
from train.models.scope import Scope
from train.models.table import family as table_family
from train.models.text import family as text_family
from train.progress import Progress

# On fewer rows, a linear model is better than trees, as a rule.
_FEW_ROWS = 2000
# Boosting grows a tree for every label in every round, and the time that a server takes to load them grows with the
# square of their number. docs/adr/0011-many-labels.md has the measurements.
_MOST_TREES, _LEAST_ROUNDS = 5000, 25
_BOOSTING, _USUAL_ROUNDS, _USUAL_RATE = "hist_gradient_boosting", 200, 0.1


def choose_pipeline(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """Fill in the pipeline that suits the dataset, unless the configuration names one.

    Boosting gets fewer rounds for many labels, unless the configuration or its search says something about them.
    """
    if config.model.pipeline is not None:
        return config
    small, has_text = len(dataset) < _FEW_ROWS, "text" in dataset.column_types.values()
    pipeline = "linear" if small or has_text else _BOOSTING
    if dataset.reads_only_texts and dataset.kind != "number":
        pipeline = WIDE_AND_DEEP
    parameters = _fewer_rounds(config, dataset) if pipeline == _BOOSTING else {}
    model = config.model.model_copy(update={"pipeline": pipeline, **parameters})
    return config.model_copy(update={"model": model})


def about_choice(asked: TrainConfig, chosen: TrainConfig, dataset: Dataset) -> str | None:
    """Return what a person should know about what `choose_pipeline` made of a configuration; mostly nothing."""
    if chosen.model.parameters == asked.model.parameters:
        return None
    parameters = chosen.model.parameters
    return (
        f"{chosen.model.pipeline} with {parameters['max_iter']} rounds and a learning rate of "
        f"{parameters['learning_rate']} instead of {_USUAL_ROUNDS} and {_USUAL_RATE}, because a round is "
        f"{len(dataset.label_names)} trees, one for every label (model.max_iter, model.learning_rate)"
    )


def _fewer_rounds(config: TrainConfig, dataset: Dataset) -> dict[str, Any]:
    """Return the parameters of boosting with many labels; none where the usual ones do, or something is declared."""
    rounds = max(_LEAST_ROUNDS, _MOST_TREES // max(len(dataset.label_names), 1))
    searched = config.search.parameters if config.search is not None else {}
    about_rounds = {"max_iter", "learning_rate"}
    declared = about_rounds & {*config.model.parameters}
    declared |= {"pipeline", *about_rounds} & {name.removeprefix("model.") for name in searched}
    if rounds >= _USUAL_ROUNDS or declared:
        return {}
    # Fewer steps must be longer, though not as much as they are fewer.
    rate = _USUAL_RATE * sqrt(_USUAL_ROUNDS / rounds)
    return {"max_iter": rounds, "learning_rate": round(rate, 2)}


def family_of(config: TrainConfig) -> Family:
    """Return the family of the configured pipeline."""
    family = text_family if config.model.pipeline == WIDE_AND_DEEP else table_family
    return cast(Family, family)


def problems_of(prepared: Prepared) -> list[str]:
    """Return, without fitting, what keeps the configured model from being fitted on the dataset."""
    config = prepared.config
    problems = family_of(config).problems_of(prepared)
    if config.task != "classification" and config.imbalance != ImbalanceConfig():
        problems.append(f"imbalance: only for task: classification, not for {config.task}.")
    return problems


def find_scope(prepared: Prepared, model: FittedModel, progress: Progress) -> Scope | None:
    """Find what tells instances of none of the labels, if the configuration asks for it."""
    if prepared.config.scope_aim is None:
        return None
    about = "labels are left out in turn, to see whether their rows are found"
    with progress.stage("scope", about):
        scope = family_of(prepared.config).find_scope(prepared, model, progress)
        scope.tell(progress)
    return scope


def problems_of_sample(prepared: Prepared) -> list[str]:
    """Return what a fit on a few rows shows to be wrong; it takes a second or two."""
    return family_of(prepared.config).problems_of_sample(prepared)


def fit(prepared: Prepared, progress: Progress) -> FittedModel:
    """Fit the configured model on the training rows, under-sampled if the configuration says so."""
    rows = prepared.split.train
    train = prepared.sampled(rows)
    if len(train) < len(rows):
        progress.say(f"imbalance: {len(train):,} of {len(rows):,} training rows are used")
    return family_of(prepared.config).fit(prepared.with_training_rows(train), progress)
