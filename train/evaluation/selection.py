"""Fitting again and again: cross-validation, and a search for parameters."""

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import ParameterGrid, ParameterSampler

from predict.wording import did_you_mean, listed
from train.config import ConfigError, TrainConfig
from train.config.loading import with_values
from train.config.sections import SearchConfig
from train.data.splits import Prepared, Split, fold_rows, hold_out, labels_without
from train.errors import DatasetError, collected
from train.evaluation.answered import Answered
from train.evaluation.fits import Fit, Fits, one_by_one
from train.evaluation.measures import evaluate, headline
from train.evaluation.metrics import MAIN_METRICS, describe_metric, headline_keys
from train.models import choice, decision
from train.models.family import Rows
from train.progress import Progress, SilentProgress


def cross_validate(
    prepared: Prepared, progress: Progress, fits: Fits = one_by_one
) -> dict[str, Any]:
    """Fit and measure on each fold of the rows that are not for the test.

    Args:
        prepared: What is fitted, on other rows.
        progress: Is told of every fold.
        fits: Where the folds are fitted.

    Returns:
        `folds`, the single numbers of each, and their `mean` and `std` (with one degree of freedom less).
    """
    count = prepared.config.evaluation.folds
    results = []
    folds = (Fit(prepared.config, fold) for fold in _folds(prepared, count))
    with (
        closing(fits(_measure, prepared, folds)) as measured,
        progress.bar("folds", count) as fold_ended,
    ):
        for number, fold in enumerate(measured, start=1):
            results.append(fold)
            fold_ended()
            numbers = list(results[-1].items())[:3]
            shown = ", ".join(f"{name} {value:.4g}" for name, value in numbers)
            progress.say(f"cross-validation: fold {number}/{count}: {shown}{fold_ended.left()}")
    return {"folds": results, **_mean_and_std(results)}


def problems_of(prepared: Prepared) -> list[str]:
    """Return, before hours are spent, what keeps a fold or a trial from being made and measured."""
    settings, problems = prepared.config.search, list[str]()
    with collected(problems):
        _check_folds(prepared, prepared.config.evaluation.folds)
    if settings is None:
        return problems
    with collected(problems):
        _check_folds(prepared, settings.folds)
    metrics = headline_keys(prepared.dataset.kind, len(prepared.dataset.label_names))
    if settings.metric is not None and settings.metric not in metrics:
        hint = did_you_mean(settings.metric, metrics)
        problems.append(
            f"search.metric: expected one of {', '.join(metrics)}, got {settings.metric!r}.{hint}"
        )
    # What is wrong without a search as well is said once, and not for every trial.
    known = set(_problems_of_fit(prepared))
    for parameters in _candidates(settings):
        found = _problems_of_trial(prepared, parameters)
        problems += [f"search: {_shown(parameters)}: {why}" for why in found if why not in known]
    return problems


def search(
    prepared: Prepared, progress: Progress, fits: Fits = one_by_one
) -> tuple[Prepared, dict[str, Any]]:
    """Try parameters, and keep those that are best on rows not trained on; the test rows are not touched.

    Args:
        prepared: What is fitted, with the configuration of the search.
        progress: Is told of every trial.
        fits: Where the folds of the trials are fitted.

    Returns:
        The configuration with the best parameters and without a search; and what was tried: `metric`, `folds` and
        `trials`, the best first; by how much the best mean is too good for having been chosen (`optimism`), and the
        mean without it (`corrected`), which are None where a single fold leaves nothing to estimate them from.
    """
    settings = prepared.config.search
    assert settings is not None  # or there is nothing to search
    metric = settings.metric or MAIN_METRICS[prepared.dataset.kind].searched
    candidates = _candidates(settings)
    configs = [_uncalibrated(_with(prepared.config, parameters)) for parameters in candidates]
    trials = []
    with (
        closing(
            fits(_timed, prepared, _fits_of_trials(prepared, configs, settings.folds))
        ) as measured,
        progress.bar("fits", len(candidates) * settings.folds) as fit_ended,
    ):
        for number, parameters in enumerate(candidates, start=1):
            values, seconds = list[float](), 0.0
            for numbers, took_s in islice(measured, settings.folds):
                values.append(numbers[metric])
                seconds += took_s
                fit_ended()
            tried = _tried(values, seconds)
            trials.append({"parameters": parameters, **tried})
            progress.say(
                f"search: {number}/{len(candidates)}: {_shown(parameters)}: "
                f"{metric} {tried['mean']:.4g}{fit_ended.left()}"
            )
    sign = describe_metric(metric).sign
    trials.sort(key=lambda trial: -sign * trial["mean"])
    best = prepared.with_config(_with(prepared.config, trials[0]["parameters"]))
    found = {"metric": metric, "folds": settings.folds}
    found |= _without_optimism([trial["values"] for trial in trials], sign)
    progress.say(f"search: {_shown(trials[0]['parameters'])} is best: {_told(found, trials)}")
    return best, {**found, "trials": trials}


def _without_optimism(values: Sequence[Sequence[float]], sign: int) -> dict[str, float | None]:
    """Estimate by how much the mean of the best trial is too good, because it is the best of many.

    In each fold, the chosen trial is compared with the best one of that fold: Tibshirani & Tibshirani, "A bias
    correction for the minimum error rate in cross-validation", Annals of Applied Statistics 3 (2009).

    Args:
        values: The metric of every trial in every fold, [num_trials][num_folds], the chosen trial first.
        sign: 1 if more is better, -1 if less is.
    """
    by_fold = sign * np.asarray(values, np.float64)
    if by_fold.shape[1] < 2:
        return {"optimism": None, "corrected": None}
    optimism = float(np.mean(by_fold.max(axis=0) - by_fold[0]))
    return {"optimism": optimism, "corrected": float(np.mean(values[0])) - sign * optimism}


def _told(found: dict[str, Any], trials: Sequence[dict[str, Any]]) -> str:
    shown = f"{found['metric']} {trials[0]['mean']:.4g}"
    if len(trials) == 1:
        return shown
    if found["optimism"] is None:
        return f"{shown}, which is too good by an unknown amount: one fold does not tell (search.folds)"
    return (
        f"{shown}, or about {found['corrected']:.4g} without the luck of the best of {len(trials)}"
    )


def _problems_of_trial(prepared: Prepared, parameters: dict[str, Any]) -> list[str]:
    try:
        return _problems_of_fit(prepared.with_config(_with(prepared.config, parameters)))
    except ConfigError as error:
        return error.problems


def _problems_of_fit(prepared: Prepared) -> list[str]:
    return [*choice.problems_of(prepared), *decision.problems_of(prepared)]


def _uncalibrated(config: TrainConfig) -> TrainConfig:
    """Leave out what costs five more fits, and makes parameters that overfit look as good as the best ones."""
    return config.model_copy(update={"calibration": "none"})


def _with(config: TrainConfig, parameters: dict[str, Any]) -> TrainConfig:
    return with_values(config.model_copy(update={"search": None}), parameters)


def _shown(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def _fits_of_trials(
    prepared: Prepared, configs: Sequence[TrainConfig], count: int
) -> Iterator[Fit]:
    """Yield the folds of each trial, trial by trial; a single one is the validation rows."""
    split = prepared.split
    for config in configs:
        trial = prepared.with_config(config)
        folds = (
            [_fold(trial, split.train, split.validation)] if count == 1 else _folds(trial, count)
        )
        for fold in folds:
            yield Fit(config, fold)


def _tried(values: Sequence[float], seconds: float) -> dict[str, Any]:
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "values": values,
        "seconds": round(seconds, 3),
    }


def _candidates(settings: SearchConfig) -> list[dict[str, Any]]:
    grid = ParameterGrid(settings.parameters)
    if settings.method == "grid" or settings.trials >= len(grid):
        return list(grid)
    return list(ParameterSampler(settings.parameters, settings.trials, random_state=settings.seed))


def _folds(prepared: Prepared, count: int) -> Iterator[Split]:
    """Yield splits whose test rows are, in turn, a fold of all rows that are not for the real test."""
    seed = prepared.config.split.seed
    for known, held_out in fold_rows(prepared.dataset, prepared.known, count, seed):
        yield _fold(prepared, known, held_out)


def _check_folds(prepared: Prepared, count: int) -> None:
    rows = prepared.known
    labels = _labels_of(prepared, rows)
    rarest = len(rows) // 2 if labels is None else np.bincount(labels).min()
    if count > 1 and min(len(rows) // 2, rarest) < count:
        every = "two rows" if labels is None else "a row of every label"
        raise DatasetError(
            f"{prepared.dataset.name}: too few rows for {count} folds, each of which needs {every}. "
            "Lower the number of folds, or raise min_samples_per_label."
        )
    if count > 1:
        _check_divided_folds(prepared, count)


def _check_divided_folds(prepared: Prepared, count: int) -> None:
    """Raise DatasetError if groups or dates leave a fold without rows, or without a label to learn."""
    division = prepared.dataset.division
    if division.groups is None and division.times is None:
        return
    what = "groups" if division.times is None else "dates"
    if division.groups is not None:
        groups = len(np.unique(division.groups[prepared.known]))
        if groups < count:
            raise DatasetError(
                f"{prepared.dataset.name}: {groups} groups outside the test split are too few for {count} folds. "
                "Lower the number of folds."
            )
    for number, fold in enumerate(_folds(prepared, count), start=1):
        lacking = labels_without(prepared.dataset, fold.train)
        if not len(fold.test) or lacking:
            why = f"nothing to learn about the label {listed(lacking)}" if lacking else "no row"
            raise DatasetError(
                f"{prepared.dataset.name}: {count} folds by {what} leave fold {number} with {why}. "
                "Lower the number of folds, or set it to 0."
            )


def _labels_of(prepared: Prepared, rows: Rows) -> npt.NDArray[np.int64] | None:
    """Return the labels to stratify by; None where a row has no single one."""
    labels: npt.NDArray[np.int64] = prepared.dataset.targets[rows]
    return labels if prepared.dataset.kind == "label" else None


def _fold(prepared: Prepared, known: Rows, held_out: Rows) -> Split:
    """Return a split whose test rows are those held out; its validation rows come from the rows known."""
    shares = prepared.config.split
    share = shares.validation / (1 - shares.test_share)
    train, validation = hold_out(prepared.dataset, known, share, shares.seed, "validation")
    return Split(train, validation, held_out)


def _measure(prepared: Prepared) -> dict[str, float]:
    model = choice.fit(prepared, SilentProgress())
    chosen = decision.choose_decision(prepared, model.validation_outputs, model.factors)
    outputs = model.predict(prepared.dataset, prepared.split.test)
    return headline(evaluate(Answered(prepared.test_targets, outputs, chosen)))


def _timed(prepared: Prepared) -> tuple[dict[str, float], float]:
    started = time.perf_counter()
    return _measure(prepared), time.perf_counter() - started


def _mean_and_std(results: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    values = {name: [result[name] for result in results] for name in results[0]}
    return {
        "mean": {name: float(np.mean(column)) for name, column in values.items()},
        "std": {name: float(np.std(column, ddof=1)) for name, column in values.items()},
    }
