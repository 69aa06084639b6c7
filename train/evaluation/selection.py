"""The evaluation layer: fitting again and again. Cross-validation, and a search for parameters."""

import difflib
import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import KFold, ParameterGrid, ParameterSampler, StratifiedKFold

from train.config import ConfigError, SearchConfig, TrainConfig
from train.data.dataset import Dataset
from train.data.sources import DatasetError
from train.data.splits import Prepared, Split, split_rows
from train.evaluation.answered import Answered
from train.evaluation.measures import evaluate, headline
from train.evaluation.metrics import METRICS, headline_keys
from train.models import choice as families
from train.models.decision import choose_decision
from train.models.family import Rows
from train.progress import Progress

# What a search looks at unless it is told.
_METRIC = {"classification": "log_loss", "regression": "rmse", "multilabel": "micro_f1"}


def cross_validate(
    dataset: Dataset, split: Split, config: TrainConfig, progress: Progress
) -> dict[str, Any]:
    """Fit and measure on each fold of the rows that are not for the test.

    Returns:
        `folds`, the single numbers of each, and their `mean` and `std` (with one degree of freedom less).
    """
    count = config.evaluation.folds
    results = []
    for number, fold in enumerate(_folds(dataset, split, count, config), start=1):
        results.append(_measure(dataset, fold, config))
        shown = ", ".join(f"{name} {value:.4g}" for name, value in list(results[-1].items())[:3])
        progress.say(f"cross-validation: fold {number}/{count}: {shown}")
    return {"folds": results, **_mean_and_std(results)}


def check_selection(dataset: Dataset, split: Split, config: TrainConfig) -> None:
    """Find out, before hours are spent, whether every fold and every trial can be made and measured.

    Raises:
        ConfigError: There is no such metric; a key that is no parameter; a value that does not fit.
        DatasetError: There are too few rows for the folds.
        UnsupportedStepError: A step of some trial's pipeline cannot be exported.
    """
    settings = config.search
    _check_folds(dataset, split, config.evaluation.folds)
    if settings is None:
        return
    _check_folds(dataset, split, settings.folds)
    metrics = headline_keys(dataset.kind, len(dataset.label_names))
    if settings.metric is not None and settings.metric not in metrics:
        close = difflib.get_close_matches(settings.metric, metrics, n=1)
        hint = f" Did you mean {close[0]}?" if close else ""
        raise ConfigError(
            f"search.metric: expected one of {', '.join(metrics)}, got {settings.metric!r}.{hint}"
        )
    for parameters in _candidates(settings):
        try:
            families.check(dataset, split, _with(config, parameters))
        except ConfigError as error:
            raise ConfigError(f"search: {_shown(parameters)}: {error}") from None


def search(
    dataset: Dataset, split: Split, config: TrainConfig, progress: Progress
) -> tuple[TrainConfig, dict[str, Any]]:
    """Try parameters, and keep those that are best on rows not trained on; the test rows are not touched.

    Returns:
        The configuration with the best parameters and without a search; and what was tried: `metric`, `folds`
        and `trials`, the best first.
    """
    settings = config.search
    assert settings is not None  # or there is nothing to search
    metric = settings.metric or _METRIC[str(config.task)]
    candidates = _candidates(settings)
    trials = []
    for number, parameters in enumerate(candidates, start=1):
        trial = _uncalibrated(_with(config, parameters))
        tried = _try(dataset, split, trial, settings.folds, metric)
        trials.append({"parameters": parameters, **tried})
        progress.say(
            f"search: {number}/{len(candidates)}: {_shown(parameters)}: {metric} {tried['mean']:.4g}"
        )
    trials.sort(key=lambda trial: trial["mean"] * -METRICS[metric].sign)
    best = _with(config, trials[0]["parameters"])
    return best, {"metric": metric, "folds": settings.folds, "trials": trials}


def _uncalibrated(config: TrainConfig) -> TrainConfig:
    """Leave out what costs five more fits, and makes parameters that fit too closely look as good as others."""
    return config.model_copy(update={"calibration": "none"})


def _with(config: TrainConfig, parameters: dict[str, Any]) -> TrainConfig:
    return config.model_copy(update={"search": None}).with_values(parameters)


def _shown(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in parameters.items())


def _try(
    dataset: Dataset, split: Split, config: TrainConfig, count: int, metric: str
) -> dict[str, Any]:
    started = time.perf_counter()
    folds = (
        [_fold(dataset, split.train, split.validation, config)]
        if count == 1
        else _folds(dataset, split, count, config)
    )
    values = [_measure(dataset, fold, config)[metric] for fold in folds]
    return {
        "mean": float(np.mean(values)),
        "std": float(np.std(values, ddof=1)) if len(values) > 1 else None,
        "seconds": round(time.perf_counter() - started, 3),
    }


def _candidates(settings: SearchConfig) -> list[dict[str, Any]]:
    grid = ParameterGrid(settings.parameters)
    if settings.method == "grid" or settings.trials >= len(grid):
        return list(grid)
    return list(ParameterSampler(settings.parameters, settings.trials, random_state=settings.seed))


def _folds(dataset: Dataset, split: Split, count: int, config: TrainConfig) -> Iterator[Split]:
    """Yield splits whose test rows are, in turn, a fold of all rows that are not for the real test."""
    rows = np.concatenate([split.train, split.validation])
    labels = _labels_of(dataset, rows)
    kind = KFold if labels is None else StratifiedKFold
    splitter = kind(n_splits=count, shuffle=True, random_state=config.split.seed)
    for kept, held in splitter.split(rows, labels):
        yield _fold(dataset, rows[kept], rows[held], config)


def _check_folds(dataset: Dataset, split: Split, count: int) -> None:
    rows = np.concatenate([split.train, split.validation])
    labels = _labels_of(dataset, rows)
    rarest = len(rows) // 2 if labels is None else np.bincount(labels).min()
    if count > 1 and min(len(rows) // 2, rarest) < count:
        every = "two rows" if labels is None else "a row of every label"
        raise DatasetError(
            f"{dataset.name}: too few rows for {count} folds, each of which needs {every}. "
            "Lower the number of folds, or raise min_samples_per_label."
        )


def _labels_of(dataset: Dataset, rows: Rows) -> npt.NDArray[np.int64] | None:
    """Return the labels to stratify by; None where a row has no single one."""
    labels: npt.NDArray[np.int64] = dataset.targets[rows]
    return labels if dataset.label_names and labels.ndim == 1 else None


def _fold(dataset: Dataset, known: Rows, held: Rows, config: TrainConfig) -> Split:
    """Return a split whose test rows are those held out, its validation rows being taken from the others."""
    share = config.split.validation / (1 - config.split.test)
    train, validation = split_rows(dataset, known, share, config.split.seed, "validation")
    return Split(train, validation, held)


def _measure(dataset: Dataset, split: Split, config: TrainConfig) -> dict[str, float]:
    model = families.fit(dataset, split, config, Progress(silent=True))
    decision = choose_decision(Prepared(config, dataset, split), model.validation_outputs)
    outputs = families.family_of(config).predict(model, dataset, split.test)
    return headline(evaluate(Answered(dataset.targets[split.test], outputs, decision)))


def _mean_and_std(results: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    values = {name: [result[name] for result in results] for name in results[0]}
    return {
        "mean": {name: float(np.mean(column)) for name, column in values.items()},
        "std": {name: float(np.std(column, ddof=1)) for name, column in values.items()},
    }
