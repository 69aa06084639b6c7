"""Which family of models is for which dataset, and whether a configuration fits it."""

import importlib
from dataclasses import replace
from typing import cast

from train.config import ConfigError, ImbalanceConfig, TrainConfig
from train.data.dataset import Dataset
from train.data.splits import Prepared, Split, under_sample
from train.models.decision import problems_of
from train.models.family import Family, Fitted
from train.models.table.pipelines import WIDE_AND_DEEP
from train.progress import Progress

# Of fewer rows, a linear model makes more than trees do, as a rule.
_FEW_ROWS = 2000


def choose_pipeline(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """Fill in the pipeline, if the configuration leaves it to the columns."""
    if config.model.pipeline is not None:
        return config
    kinds = set(dataset.column_types.values())
    small = len(dataset) < _FEW_ROWS
    pipeline = "linear" if small or "text" in kinds else "hist_gradient_boosting"
    if kinds == {"text"} and config.task != "regression":
        pipeline = WIDE_AND_DEEP
    model = config.model.model_copy(update={"pipeline": pipeline})
    return config.model_copy(update={"model": model})


def family_of(config: TrainConfig) -> Family:
    """Return the module that fits what the configuration names."""
    # Imported only now: tensorflow takes seconds, and tables need none of it.
    name = "text" if config.model.pipeline == WIDE_AND_DEEP else "table"
    return cast(Family, importlib.import_module(f"train.models.{name}.model"))


def fit(dataset: Dataset, split: Split, config: TrainConfig, progress: Progress) -> Fitted:
    """Fit what the configuration names; of frequent labels, only as many training rows as it says."""
    train = under_sample(dataset, split.train, config)
    if len(train) < len(split.train):
        progress.say(f"imbalance: {len(train):,} of {len(split.train):,} training rows are used")
    model: Fitted = family_of(config).fit(dataset, replace(split, train=train), config, progress)
    return model


def check(dataset: Dataset, split: Split, config: TrainConfig) -> None:
    """Find out, without fitting, what can be known now that the columns and labels are.

    Raises:
        ConfigError: The model, the decision or the handling of imbalance does not fit the dataset.
        UnsupportedStepError: A step of the pipeline cannot be exported.
    """
    if problems := problems_of(Prepared(config, dataset, split)):
        raise ConfigError("\n  ".join(problems))
    if config.task != "classification" and config.imbalance != ImbalanceConfig():
        raise ConfigError(f"imbalance: only for task: classification, not for {config.task}.")
    if config.model.pipeline == WIDE_AND_DEEP:
        _check_text_model(dataset, config)
        return
    if config.task == "multilabel":
        raise ConfigError(
            f"task: multilabel is for the text model, not for model.pipeline: {config.model.pipeline}."
        )
    from train.models.table import model as table_model

    table_model.check(dataset, config)


def _check_text_model(dataset: Dataset, config: TrainConfig) -> None:
    others = [f"{name} ({kind})" for name, kind in dataset.column_types.items() if kind != "text"]
    if others or config.task == "regression":
        what = f"columns {', '.join(others)}" if others else "numbers as labels"
        raise ConfigError(
            f"model.pipeline: {WIDE_AND_DEEP} is for texts and labels, not for {what}. Choose linear."
        )
    if config.features or config.model.parameters:
        raise ConfigError(
            f"features and model.… are for tables; {WIDE_AND_DEEP} has the section training."
        )
    pretrained = config.embeddings.pretrained
    if pretrained is not None and not pretrained.is_file():
        raise ConfigError(f"embeddings.pretrained: {pretrained} is not a file.")
