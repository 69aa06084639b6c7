"""The table model: a scikit-learn pipeline on columns, built-in or the user's own."""

import time
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, TargetEncoder
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.class_weight import compute_sample_weight
from sklearn.utils.validation import has_fit_parameter

from predict.contract.artefact import MODEL, Derived, Input, Kind
from predict.wording import listed
from train.config import ConfigError, TrainConfig
from train.config.sections import ModelConfig
from train.data.dataset import Dataset
from train.data.schema import describe_inputs
from train.data.splits import Prepared, fold_places
from train.errors import UserError, collected
from train.features.derived import compute_columns, derive, types_of_all
from train.models.calibration import (
    SMALLEST_PROBABILITY,
    fit_temperature,
    fit_temperature_and_prior,
    tempered,
    untempered,
)
from train.models.family import Outputs, Rows, Tolerance
from train.models.imbalance import factors_of
from train.models.table.limits import unknown_columns, with_something_known
from train.models.table.pipelines import TableShape, build_pipeline
from train.models.table.rounds import rounds_counted
from train.onnx_export import check_exportable, to_onnx
from train.progress import Progress, each_about

# Rows on which the exporter may compare.
_ROWS_COMPARED = 200
# Probabilities are calibrated on rows held out in turn, until enough of them have another label than the most frequent
# one. With the 79 frauds of one fold among 45,569 transactions the temperature was 0.79, with those of all five 0.90.
_FOLDS = 5
_ENOUGH_HELD_OUT = 1000
# Columns that a message lists.
_SHOWN = 12
# A check fits on so many rows, and on two of every label at least.
_ROWS_TRIED = 300
# Numbers from here on overflow in float32, or in squares.
_LARGE = 1e19
_ENCODERS = (CountVectorizer, OneHotEncoder, OrdinalEncoder, TargetEncoder)


class FitError(UserError):
    """A pipeline that cannot be fitted on this table."""


@dataclass(frozen=True)
class TableModel:
    """A fitted pipeline, and the columns that it reads; see `FittedModel`."""

    pipeline: Pipeline
    inputs: list[Input]
    derived: list[Derived]
    num_labels: int
    validation_outputs: Outputs | None
    metadata: dict[str, Any]
    sample: pd.DataFrame
    # What the logarithms of the probabilities are divided by; None: nothing.
    temperature: float | None
    # What undoes weights and under-sampling, <float64>[num_labels]; None: there were none.
    factors: Outputs | None = None

    @property
    def history(self) -> list[dict[str, float]]:
        """There are no epochs."""
        return []

    @property
    def tolerance(self) -> Tolerance:
        """Everything is computed in double precision."""
        return Tolerance(relative=1e-5, absolute=1e-9, same_labels=True)

    def predict(self, dataset: Dataset, rows: Rows) -> Outputs:
        """Return probabilities, <float64>[num_rows, num_labels], or values, <float64>[num_rows, 1]."""
        frame = compute_columns(dataset, self.inputs, self.derived, rows)
        outputs = _outputs(self.pipeline, frame, dataset.kind)
        if self.temperature is None and self.factors is None:
            return outputs
        return tempered(outputs, self.temperature or 1.0, self.factors)

    def uncalibrated(self, outputs: Outputs) -> Outputs | None:
        """See `FittedModel`."""
        if self.temperature is None and self.factors is None:
            return None
        return untempered(outputs, self.temperature or 1.0, self.factors)

    def unknown_share(self, dataset: Dataset, rows: Rows) -> Outputs | None:
        """See `FittedModel`."""
        return None

    def write(self, directory: Path) -> None:
        """Write `model.onnx`."""
        file = directory / MODEL
        temperature = (
            1.0 if self.temperature is None and self.factors is not None else self.temperature
        )
        to_onnx(self.pipeline, self.sample, file, temperature, SMALLEST_PROBABILITY, self.factors)

    def describe(self, prepared: Prepared) -> Mapping[str, Any]:
        """See `FittedModel`."""
        return {
            "inputs": [column.model_dump(exclude_defaults=True) for column in self.inputs],
            "derived": [column.model_dump(exclude_defaults=True) for column in self.derived],
            "model": self.metadata,
        }


def fit(prepared: Prepared, progress: Progress) -> TableModel:
    """Fit a pipeline on the training rows; on the validation rows as well unless something is chosen on them.

    Raises:
        ConfigError: A feature or the pipeline cannot be made, or a step cannot be exported.
        FitError: The pipeline does not take the table.
    """
    config, dataset = prepared.config, prepared.dataset
    derived = derive(dataset, config.features)
    pipeline = build(prepared, derived)
    rows = _rows_to_fit(prepared)
    inputs = describe_inputs(dataset.column_types, dataset.frame, rows, dataset.columns)
    with progress.stage("train", f"{config.model.pipeline} on {len(rows):,} rows"):
        frame = compute_columns(dataset, inputs, derived, rows)
        if unknown := unknown_columns(frame):
            progress.say(
                f"train: no value is known among these rows, so nothing is learned from {listed(unknown, _SHOWN)}"
            )
        started = time.perf_counter()
        with _warnings_told(progress), rounds_counted(pipeline, len(rows), progress):
            _fit(pipeline, frame, dataset.targets[rows], config)
        fit_s = time.perf_counter() - started
    temperature, factors = _calibration(pipeline, frame, prepared, rows, fit_s, progress)
    model = TableModel(
        pipeline=pipeline,
        inputs=inputs,
        derived=derived,
        num_labels=len(dataset.label_names),
        validation_outputs=None,
        metadata=_describe_pipeline(pipeline, config.model, len(rows))
        | ({} if temperature is None else {"temperature": temperature})
        | ({} if factors is None else {"prior_factors": factors.tolist()}),
        sample=frame.iloc[:_ROWS_COMPARED],
        temperature=temperature,
        factors=factors,
    )
    if not config.keeps_validation:
        return model
    return replace(model, validation_outputs=model.predict(dataset, prepared.split.validation))


def build(prepared: Prepared, derived: list[Derived]) -> Pipeline:
    """Make the unfitted pipeline that a configuration names, for a dataset with its derived columns.

    Raises:
        ConfigError: It cannot be made, has parameters of a wrong type or range, takes no weights although some are
            configured, or has a step that cannot be exported.
    """
    config, types = prepared.config, types_of_all(prepared.dataset, derived)

    def of(kind: str) -> list[str]:
        return [name for name, column_type in types.items() if column_type == kind]

    shape = TableShape(
        numbers=of("number"),
        categories=of("category"),
        texts=of("text"),
        task=str(config.task),
        seed=config.training.seed,
    )
    pipeline = build_pipeline(config.model, shape, prepared.trust)
    problems: list[str] = []
    with collected(problems):
        check_exportable(pipeline)
    problems += [*_wrong_values(pipeline), *_missing_weights(pipeline, config)]
    if problems:
        raise ConfigError(*problems)
    return pipeline


# ------------------------------------------------------------------- fitting


def _rows_to_fit(prepared: Prepared) -> Rows:
    """Return the training rows, and the validation rows as well if nothing is chosen on them."""
    config, dataset, rows = prepared.config, prepared.dataset, prepared.split.train
    if not config.keeps_validation:
        rows = prepared.sampled(prepared.known)
    if dataset.label_names:
        counts = np.bincount(dataset.targets[rows], minlength=len(dataset.label_names))
        lacking = [
            name for name, count in zip(dataset.label_names, counts, strict=True) if not count
        ]
        if lacking:
            raise FitError(
                f"{dataset.name}: no training row has the label {', '.join(lacking[:10])}: it occurs only in the "
                "dataset's own test split. Leave it out with `where`, or raise min_samples_per_label."
            )
    return rows


def _missing_weights(pipeline: Pipeline, config: TrainConfig) -> Iterator[str]:
    last = pipeline.steps[-1][1]
    if config.imbalance.class_weights != "none" and not has_fit_parameter(last, "sample_weight"):
        yield (
            f"imbalance.class_weights: the last step of the pipeline, {type(last).__name__}, takes no weights. "
            "Use imbalance.under_sample, or another model."
        )


def _wrong_values(pipeline: Pipeline) -> Iterator[str]:
    """Say what is wrong with each step that has a parameter of a wrong type or range."""
    for step in [pipeline, *pipeline.get_params(deep=True).values()]:
        try:
            if isinstance(step, BaseEstimator):
                step._validate_params()  # what every `fit` begins with
        except InvalidParameterError as error:
            yield f"model: {error}"


def _fit(
    pipeline: Pipeline, frame: pd.DataFrame, targets: npt.NDArray[Any], config: TrainConfig
) -> None:
    options = {}
    if config.imbalance.class_weights == "balanced":
        weight = compute_sample_weight("balanced", targets)
        options[f"{pipeline.steps[-1][0]}__sample_weight"] = weight
    try:
        pipeline.fit(with_something_known(pipeline, frame), targets, **options)
    except Exception as error:  # whatever a step of the user's pipeline makes of the table
        raise _told(error, "fitted on this table", pipeline, frame) from error


def _told(error: Exception, what: str, pipeline: Pipeline, frame: pd.DataFrame) -> FitError:
    """Return what a step of a pipeline has to say about a table, with what may help."""
    shown = [f"{name} ({_type_of(frame[name])})" for name in frame]
    reason = str(error).strip().partition("\n")[0].removesuffix(".")
    steps = pipeline.get_params(deep=True).values()
    advice = [f"Its columns are: {listed(shown, _SHOWN)}."]
    if not all(frame[name].dtype == float for name in frame) and not _has(steps, _ENCODERS):
        advice.append("Texts need an encoder (OneHotEncoder, TfidfVectorizer) before the model.")
    numbers = frame.select_dtypes("number")
    if numbers.isna().any(axis=None) and not _has(steps, (SimpleImputer,)):
        advice.append(
            "Missing numbers are NaN: they need a SimpleImputer unless the model takes them."
        )
    if "infinity" in reason or "NaN" in reason:
        largest = numbers.abs().max()
        if len(largest.dropna()) and largest.max() > _LARGE:
            advice.append(f"{largest.idxmax()} has a number as large as {largest.max():.6g}.")
    return FitError(
        f"model: the pipeline cannot be {what}: {type(error).__name__}: {reason}.\n  {' '.join(advice)}"
    )


def _has(steps: Iterable[object], kinds: tuple[type, ...]) -> bool:
    return any(isinstance(step, kinds) for step in steps)


def problems_of_sample(prepared: Prepared) -> list[str]:
    """Fit on a few rows, with a few trees or iterations, and answer some test rows; return what goes wrong.

    What goes wrong on a few rows of many is tried on all of them before it counts.
    """
    problems: list[str] = []
    with collected(problems):
        rows = _rows_to_fit(prepared)
        few = _few_of_each_label(prepared.dataset, rows)
        try:
            _try(prepared, few)
        except FitError:
            if len(few) == len(rows):
                raise
            _try(prepared, rows)
    return problems


def _few_of_each_label(dataset: Dataset, rows: Rows) -> Rows:
    if dataset.kind != "label":
        return rows[:_ROWS_TRIED]
    each = max(2, _ROWS_TRIED // len(dataset.label_names))
    place = pd.Series(dataset.targets[rows]).groupby(dataset.targets[rows]).cumcount()
    few: Rows = rows[place.to_numpy() < each]
    return few


def _try(prepared: Prepared, rows: Rows) -> None:
    dataset, config = prepared.dataset, prepared.config
    derived = derive(dataset, config.features)
    pipeline = build(prepared, derived)
    last = pipeline.steps[-1][1]
    few = {name: 2 for name in ("max_iter", "n_estimators") if name in last.get_params(deep=False)}
    last.set_params(**few)
    inputs = describe_inputs(dataset.column_types, dataset.frame, rows, dataset.columns)
    asked = prepared.split.test[:_ROWS_TRIED]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        _fit(
            pipeline,
            compute_columns(dataset, inputs, derived, rows),
            dataset.targets[rows],
            config,
        )
        _outputs(pipeline, compute_columns(dataset, inputs, derived, asked), dataset.kind)


def _outputs(pipeline: Pipeline, frame: pd.DataFrame, kind: Kind) -> Outputs:
    """Return what a fitted pipeline answers, before calibration."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about unseen categories; the server has its own
            if kind == "number":
                return np.asarray(pipeline.predict(frame), np.float64).reshape(len(frame), 1)
            return np.asarray(pipeline.predict_proba(frame), np.float64)
    except (
        Exception
    ) as error:  # whatever a step of the user's pipeline makes of rows that it has not seen
        raise _told(error, "asked about rows that it was not fitted on", pipeline, frame) from error


def _calibration(
    pipeline: Pipeline,
    frame: pd.DataFrame,
    prepared: Prepared,
    rows: Rows,
    fit_s: float,
    progress: Progress,
) -> tuple[float | None, Outputs | None]:
    """Fit the temperature, and the factors that undo `imbalance`; None where there is nothing to do."""
    factors, targets = factors_of(prepared, rows), prepared.dataset.targets[rows]
    held_out = _for_calibration(pipeline, frame, prepared, rows, fit_s, progress)
    if held_out is None:
        return None, factors
    held, probabilities = held_out
    if factors is None:
        temperature = fit_temperature(probabilities, targets[held])
    else:
        weights = (
            prepared.label_shares / np.maximum(np.bincount(targets, minlength=len(factors)), 1)
        )[targets[held]]
        temperature, factors = fit_temperature_and_prior(
            probabilities, targets[held], factors, weights
        )
    progress.say(f"calibrate: temperature {temperature:.3f}, from {len(held):,} held-out rows")
    return temperature, factors


def _for_calibration(
    pipeline: Pipeline,
    frame: pd.DataFrame,
    prepared: Prepared,
    rows: Rows,
    fit_s: float,
    progress: Progress,
) -> tuple[Rows, Outputs] | None:
    """Return rows held out of further fits of the pipeline, and its outputs for them.

    No row is lost to it. Rows held out for good would be: 72 of 712 cost `titanic` more log loss (0.442 instead of
    0.419) than calibration gains. An offset for every label beside it gains nothing on new rows.

    Returns:
        None where there is nothing to calibrate; and, with a warning, where calibration fails.
    """
    config = prepared.config
    if config.calibration == "none" or not prepared.dataset.label_names:
        return None
    folds = _folds(prepared, rows)
    if not folds:
        progress.warn(
            "calibrate: skipped, because the rows cannot be held out as they are split: what is left lacks a label."
        )
        return None
    about = f"a temperature, on rows held out of further fits{each_about(fit_s)}"
    with progress.stage("calibrate", about):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # the fit on all rows has shown them
                return _held_out(
                    pipeline, frame, prepared.dataset.targets[rows], folds, config, progress
                )
        except Exception as error:  # whatever a step of the user's pipeline makes of fewer rows
            reason = str(error).strip().partition("\n")[0].removesuffix(".")
            progress.warn(
                f"calibrate: skipped, because the pipeline does not work on fewer rows: {reason}. "
                "Set calibration: none, or choose parameters that fit fewer rows."
            )
            return None


def _folds(prepared: Prepared, rows: Rows) -> list[tuple[Rows, Rows]]:
    """Return the folds, as places in `rows`, that a temperature may be fitted on; no more of them than are needed.

    With times the newest fold comes first: its fit knows nearly as many rows as the one on all rows, and what the
    model is asked about is newer yet.
    """
    dataset, targets = prepared.dataset, prepared.dataset.targets[rows]
    division, count = dataset.division, min(_FOLDS, int(np.bincount(targets).min()))
    if division.groups is not None:
        count = min(count, len(np.unique(division.groups[rows])))
    if division.times is not None:  # a rare label needs no row in every stretch
        count = _FOLDS
    if count < 2:
        return []
    folds = list(fold_places(dataset, rows, count, prepared.config.training.seed))
    if division.times is not None:
        folds.reverse()
    labels = len(np.unique(targets))
    usable = [
        (rest, fold)
        for rest, fold in folds
        if len(fold) and len(np.unique(targets[rest])) == labels
    ]
    return _as_many_as_needed(usable, targets)


def _held_out(
    pipeline: Pipeline,
    frame: pd.DataFrame,
    targets: npt.NDArray[np.int64],
    folds: list[tuple[Rows, Rows]],
    config: TrainConfig,
    progress: Progress,
) -> tuple[Rows, Outputs]:
    """Return the held-out rows of all folds, and their outputs when fitted without that fold."""
    outputs: list[Outputs] = []
    with progress.bar("fits", len(folds)) as fit_ended:
        for rest, fold in folds:
            refitted = clone(pipeline)
            _fit(refitted, frame.iloc[rest], targets[rest], config)
            outputs.append(np.asarray(refitted.predict_proba(frame.iloc[fold]), np.float64))
            fit_ended()
    return np.concatenate([fold for _, fold in folds]), np.concatenate(outputs)


def _as_many_as_needed(
    folds: Iterable[tuple[Rows, Rows]], targets: npt.NDArray[np.int64]
) -> list[tuple[Rows, Rows]]:
    """Return the first folds, until enough of their rows have another label than the most frequent one."""
    needed: list[tuple[Rows, Rows]] = []
    for rest, fold in folds:
        needed.append((rest, fold))
        counts = np.bincount(targets[np.concatenate([held for _, held in needed])])
        if counts.sum() - counts.max() >= _ENOUGH_HELD_OUT:
            break
    return needed


def _type_of(values: "pd.Series[Any]") -> str:
    return "number" if values.dtype == float else "text"


@contextmanager
def _warnings_told(progress: Progress) -> Iterator[None]:
    """Show each warning of scikit-learn once, as a line of progress."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    for message in dict.fromkeys(
        f"{warning.category.__name__}: {str(warning.message).splitlines()[0]}"
        for warning in caught
        if not issubclass(
            warning.category, RuntimeWarning
        )  # numpy's, about what is dealt with here
    ):
        progress.warn(f"train: {message}")


def _describe_pipeline(pipeline: Pipeline, model: ModelConfig, num_rows: int) -> dict[str, Any]:
    return {
        "family": "table: scikit-learn pipeline",
        "pipeline": model.pipeline,
        "parameters": model.parameters,
        "steps": [f"{name}: {type(step).__name__}" for name, step in pipeline.steps],
        "fitted_on_rows": num_rows,
    }
