"""The family of tables: what a run asks of it."""

from collections.abc import Sequence

import numpy as np

from predict.contract.artefact import Derived
from predict.scoring.inputs import TableInputs
from train.config.sections import DecisionConfig, EvaluationConfig, ModelConfig
from train.data.schema import describe_inputs
from train.data.splits import Prepared
from train.errors import collected
from train.features.derived import derive
from train.models import scope
from train.models.family import Baseline, FittedModel
from train.models.table import model
from train.models.table.limits import too_large
from train.models.table.scope import FEWEST_LABELS
from train.models.table.scope import find_scope as find_scope
from train.models.table.users_code import locate
from train.progress import Progress, SilentProgress


def problems_of(prepared: Prepared) -> list[str]:
    """See `Family`. The pipeline is built, and not fitted; a function of the user's only with trust."""
    config = prepared.config
    if config.task == "multilabel":
        return [
            f"task: multilabel is for the text model, not for model.pipeline: {config.model.pipeline}."
        ]
    problems = _problems_of_scope(prepared)
    if config.embeddings.encoder is not None:
        problems.append(
            f"embeddings.encoder: only the text model reads it, not model.pipeline: {config.model.pipeline}. "
            "Take it out."
        )
    derived: list[Derived] = []
    with collected(problems):
        derived = derive(prepared.dataset, config.features)
    name = config.model.pipeline or ""
    if ":" in name and prepared.trust is None:
        with collected(problems):
            locate(name, trust=None)
        return problems
    with collected(problems):
        model.build(prepared, derived)
    if ":" not in name and not problems:
        problems += too_large(prepared.dataset, derived, name)
    return problems


def _problems_of_scope(prepared: Prepared) -> list[str]:
    if prepared.config.scope_aim is not None and prepared.dataset.reads_only_texts:
        return [
            "decision.unsure_below: auto needs numbers, categories or dates; for texts model.pipeline: wide_and_deep."
        ]
    return scope.problems_of(prepared, FEWEST_LABELS)


def problems_of_sample(prepared: Prepared) -> list[str]:
    """See `Family`."""
    if ":" in (prepared.config.model.pipeline or "") and prepared.trust is None:
        return []
    return model.problems_of_sample(prepared)


def load() -> None:
    """See `Family`: a check needs the same libraries."""


def fit(prepared: Prepared, progress: Progress) -> FittedModel:
    """See `Family`."""
    return model.fit(prepared, progress)


def fit_baselines(prepared: Prepared) -> Sequence[Baseline]:
    """Fit a linear model of the same columns, unless the model is one itself."""
    config = prepared.config
    if config.model.pipeline == "linear":
        return []
    plain = {
        "model": ModelConfig(pipeline="linear"),
        "decision": DecisionConfig(),
        "evaluation": EvaluationConfig(),
        "calibration": "none",
    }
    linear = prepared.with_config(config.model_copy(update=plain))
    name = "logistic regression" if prepared.dataset.label_names else "ridge regression"
    fitted = model.fit(linear, SilentProgress())
    return [Baseline(name, outputs=fitted.predict(prepared.dataset, prepared.split.test))]


def request_inputs(prepared: Prepared) -> TableInputs:
    """See `Family`."""
    dataset = prepared.dataset
    every_row = np.arange(len(dataset))
    columns = describe_inputs(dataset.column_types, dataset.frame, every_row, dataset.columns)
    return TableInputs(columns, [], {})
