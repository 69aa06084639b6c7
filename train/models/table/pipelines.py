"""The pipelines of tables, by name: built-in ones, and functions of the user's own."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sklearn.base import BaseEstimator, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from predict.wording import did_you_mean, suggestion
from train.config import ConfigError
from train.config.sections import ModelConfig
from train.config.trust import Trust
from train.models.family import WIDE_AND_DEEP
from train.models.table.users_code import called, load_function

# Categories of a column that have a column of their own in a dense table; the rare ones share the last. With 1,000
# categories, 80,000 rows and 50 rounds of boosting, 255 took 593 MB and 147 s at a ROC AUC of 0.869, and 100 took
# 373 MB and 77 s at 0.867.
_MOST_CATEGORIES = 100

# The most frequent character n-grams of a text column. On five sets of texts, 50,000 were no better than 10,000.
_MOST_CHARACTER_NGRAMS = 10_000


@dataclass(frozen=True)
class TableShape:
    """What a built-in pipeline must know about a table: its columns by type, the task, and the seed."""

    numbers: list[str]
    categories: list[str]
    texts: list[str]
    task: str
    seed: int


def build_pipeline(model: ModelConfig, shape: TableShape, trust: Trust | None = None) -> Pipeline:
    """Make the unfitted pipeline that a configuration names; a function of the user's only with trust.

    Raises:
        ConfigError: There is no such pipeline, it does not take these parameters or columns, or the user's
            function does not return a pipeline.
    """
    name = model.pipeline or ""
    if ":" in name:
        return _checked(name, _call_users_function(name, model.parameters, trust), shape.task)
    if name not in _BUILT_IN:
        hint = did_you_mean(name, [*_BUILT_IN, WIDE_AND_DEEP])
        raise ConfigError(
            f"model.pipeline: expected one of {', '.join([*_BUILT_IN, WIDE_AND_DEEP])}, "
            f'or "package.module:function" or "path/to/file.py:function", got {name!r}.{hint}'
        )
    build = _BUILT_IN[name][shape.task]
    if shape.texts and name != "linear":
        raise ConfigError(
            f"model.pipeline: {name} does not read texts ({', '.join(shape.texts)}): choose linear, "
            "or leave the column out (columns.inputs: {… : ignore})."
        )
    _check_parameters(name, build, model.parameters, given=1)
    built: Pipeline = called(name, lambda: build(shape, **model.parameters))
    return built


def _logistic(shape: TableShape, C: float = 1.0, max_iter: int = 2000) -> Pipeline:
    return make_pipeline(_scaled(shape), LogisticRegression(C=C, max_iter=max_iter))


def _ridge(shape: TableShape, alpha: float = 1.0) -> Pipeline:
    return make_pipeline(_scaled(shape), Ridge(alpha=alpha))


def _random_forest(
    shape: TableShape,
    n_estimators: int = 200,
    max_depth: int | None = None,
    min_samples_leaf: int = 3,
    max_features: float | str = "sqrt",
) -> Pipeline:
    forest = RandomForestRegressor if shape.task == "regression" else RandomForestClassifier
    return make_pipeline(
        _encoded(shape, impute=True),
        forest(
            n_estimators=n_estimators,
            max_depth=max_depth,
            min_samples_leaf=min_samples_leaf,
            max_features=max_features,
            random_state=shape.seed,
        ),
    )


def _hist_gradient_boosting(
    shape: TableShape,
    learning_rate: float = 0.1,
    max_iter: int = 200,
    max_leaf_nodes: int = 31,
    min_samples_leaf: int = 20,
    # Without any, a leaf of few rare labels makes steps that ruin all that was learned before.
    l2_regularization: float = 5.0,
) -> Pipeline:
    boosting = (
        HistGradientBoostingRegressor
        if shape.task == "regression"
        else HistGradientBoostingClassifier
    )
    # Trees send missing numbers to a side of their own: there is nothing to impute.
    return make_pipeline(
        _encoded(shape, impute=False),
        boosting(
            learning_rate=learning_rate,
            max_iter=max_iter,
            max_leaf_nodes=max_leaf_nodes,
            min_samples_leaf=min_samples_leaf,
            l2_regularization=l2_regularization,
            random_state=shape.seed,
        ),
    )


_BUILT_IN: dict[str, dict[str, Callable[..., Pipeline]]] = {
    "linear": {"classification": _logistic, "regression": _ridge},
    "random_forest": {"classification": _random_forest, "regression": _random_forest},
    "hist_gradient_boosting": {
        "classification": _hist_gradient_boosting,
        "regression": _hist_gradient_boosting,
    },
}


def _scaled(shape: TableShape) -> ColumnTransformer:
    """Numbers imputed and scaled, categories one-hot, texts as TF-IDF of words, word pairs and characters."""
    numbers = make_pipeline(
        SimpleImputer(strategy="median", keep_empty_features=True), StandardScaler()
    )
    return _transformer(shape, numbers, sparse=bool(shape.texts))


def _encoded(shape: TableShape, impute: bool) -> ColumnTransformer:
    """Numbers as they are, categories one-hot."""
    numbers = SimpleImputer(strategy="median", keep_empty_features=True)
    return _transformer(shape, numbers if impute else "passthrough", sparse=False)


def _transformer(
    shape: TableShape, numbers: BaseEstimator | str, sparse: bool
) -> ColumnTransformer:
    # Trees read a dense table. With a sparse one there is no need to leave anything out.
    categories = (
        OneHotEncoder(handle_unknown="ignore", sparse_output=True)
        if sparse
        else OneHotEncoder(
            handle_unknown="infrequent_if_exist",
            max_categories=_MOST_CATEGORIES,
            sparse_output=False,
        )
    )
    parts: list[tuple[str, Any, Any]] = [
        ("numbers", numbers, shape.numbers),
        ("categories", categories, shape.categories),
    ]
    for number, name in enumerate(shape.texts):
        parts += [(f"text {number}", _words(), name), (f"characters {number}", _characters(), name)]
    return ColumnTransformer([part for part in parts if part[2]])


def _words() -> TfidfVectorizer:
    # The words come normalised, with a blank between them.
    return TfidfVectorizer(
        lowercase=False, token_pattern=r"\S+", ngram_range=(1, 2), sublinear_tf=True
    )


def _characters() -> TfidfVectorizer:
    """What words share: 500 titles with 20 labels are right 77 % of the time with them, 69 % without."""
    return TfidfVectorizer(
        lowercase=False,
        analyzer="char",
        ngram_range=(1, 3),
        sublinear_tf=True,
        max_features=_MOST_CHARACTER_NGRAMS,
    )


# ------------------------------------------------------------ the user's own


def _call_users_function(name: str, parameters: Mapping[str, Any], trust: Trust | None) -> object:
    function = load_function(name, trust)
    _check_parameters(name, function, parameters, given=0)
    return called(name, lambda: function(**parameters))


def _checked(name: str, pipeline: object, task: str) -> Pipeline:
    """Return what the user's function returned; raise ConfigError unless it is a pipeline for the task."""
    if not isinstance(pipeline, Pipeline):
        hint = " Wrap it: make_pipeline(…)." if hasattr(pipeline, "predict") else ""
        raise ConfigError(
            f"model.pipeline: {name} returned a {type(pipeline).__name__}, "
            f"expected an unfitted sklearn.pipeline.Pipeline.{hint}"
        )
    steps = pipeline.steps
    if not steps or not all(isinstance(step, tuple) and len(step) == 2 for step in steps):
        raise ConfigError(
            f"model.pipeline: {name} returned a pipeline whose steps are not pairs of a name and an estimator. "
            "make_pipeline(first, second) returns such a pipeline."
        )
    last = steps[-1][1]
    wrong = is_classifier if task == "regression" else is_regressor
    if hasattr(last, "fit") and wrong(last):
        kinds = ["a classifier", "a regressor"]
        is_one, needed = kinds if task == "regression" else reversed(kinds)
        raise ConfigError(
            f"model.pipeline: {name} ends with {type(last).__name__}, {is_one}; task: {task} needs {needed}."
        )
    return pipeline


def _check_parameters(
    name: str, function: Callable[..., Any], parameters: Mapping[str, Any], given: int
) -> None:
    """Raise ConfigError for each parameter that a function does not have; the first `given` are ours."""
    known = _parameters_of(function)[given:]
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in known):
        return
    names = [parameter.name for parameter in known]
    problems = []
    for key in parameters:
        if key not in names:
            hint = suggestion(key, names, most=len(names))
            problems.append(f"model.{key}: {name} has no such parameter.{hint}")
    problems += [
        f"model.{parameter.name}: missing; {name} needs it."
        for parameter in known
        if parameter.default is parameter.empty
        and parameter.kind is not parameter.VAR_POSITIONAL
        and parameter.name not in parameters
    ]
    if problems:
        raise ConfigError(*problems)


def _parameters_of(function: Callable[..., Any]) -> list[inspect.Parameter]:
    try:
        return list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # some of what is written in C does not say
        return []
