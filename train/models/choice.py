"""The choice of a family of models for a dataset, and what keeps it from being fitted."""

from typing import cast

from train.config import TrainConfig
from train.config.sections import ImbalanceConfig
from train.data.dataset import Dataset
from train.data.splits import Prepared
from train.models.family import WIDE_AND_DEEP, Family, FittedModel
from train.models.table import family as table_family
from train.models.text import family as text_family
from train.progress import Progress

# On fewer rows, a linear model is better than trees, as a rule.
_FEW_ROWS = 2000


def choose_pipeline(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """Fill in the pipeline that suits the dataset, unless the configuration names one."""
    if config.model.pipeline is not None:
        return config
    small, has_text = len(dataset) < _FEW_ROWS, "text" in dataset.column_types.values()
    pipeline = "linear" if small or has_text else "hist_gradient_boosting"
    if dataset.reads_only_texts and dataset.kind != "number":
        pipeline = WIDE_AND_DEEP
    model = config.model.model_copy(update={"pipeline": pipeline})
    return config.model_copy(update={"model": model})


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
