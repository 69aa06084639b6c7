"""The conversion of any step: steps that hold other steps (pipelines, ensembles) here, the rest in other modules."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn import calibration, ensemble, model_selection
from sklearn.base import is_classifier
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.isotonic import IsotonicRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import FeatureUnion, Pipeline

from train.errors import UserError
from train.onnx_export import by_skl2onnx
from train.onnx_export.graph import Graph, Table, Tensor, columns, joined
from train.onnx_export.predictors import PREDICTORS, SCORES, both_labels, most_probable, softmax
from train.onnx_export.transformers import TRANSFORMERS, interpolate


class UnsupportedStepError(UserError):
    """A step of a pipeline cannot be exported as ONNX."""


@dataclass(frozen=True)
class Step:
    """A fitted step, its path in the pipeline, and what it reads."""

    model: Any
    path: tuple[str, ...]
    table: Table  # what it reads

    def inner(self, model: Any, name: str | None = None) -> "Step":
        """Return an inner step that reads what this one reads."""
        path = self.path if name is None else (*self.path, name)
        return replace(self, model=model, path=path)


def describe(path: Sequence[str], model: Any) -> str:
    """Name a step, as in `preprocess -> cat -> encoder: TargetEncoder`."""
    return f"{' -> '.join(path)}: {type(model).__name__}" if path else type(model).__name__


def refusal(step: Step, reason: str) -> UnsupportedStepError:
    """Return the error that says why a step cannot be exported."""
    return UnsupportedStepError(f"{describe(step.path, step.model)} cannot be exported: {reason}.")


def transformed(graph: Graph, step: Step) -> Table:
    """Convert a step that transforms.

    Raises:
        UnsupportedStepError: It has no converter.
    """
    kind = type(step.model)
    if kind in _TRANSFORMERS:
        return _TRANSFORMERS[kind](graph, step)
    with _named(step):
        if kind in TRANSFORMERS:
            return TRANSFORMERS[kind](graph, step.model, step.table)
        return Table((by_skl2onnx.convert(graph, step.model, _matrix(graph, step), "transform"),))


def predicted(graph: Graph, step: Step) -> str:
    """Convert a step that predicts: probabilities [n, num_labels], or values [n, 1].

    Raises:
        UnsupportedStepError: It has no converter.
    """
    kind = type(step.model)
    if kind in _PREDICTORS:
        return _PREDICTORS[kind](graph, step)
    with _named(step):
        matrix = _matrix(graph, step)
        if kind in PREDICTORS:
            return PREDICTORS[kind](graph, step.model, matrix.name)
        method = "predict_proba" if is_classifier(step.model) else "predict"
        return by_skl2onnx.convert(graph, step.model, matrix, method).name


def scored(graph: Graph, step: Step) -> str:
    """Convert a classifier up to its raw scores, [n, 1] for two labels and [n, num_labels] for more."""
    if isinstance(step.model, Pipeline):
        return scored(graph, _last_step(graph, step))
    if type(step.model) not in SCORES:
        raise refusal(step, "the scores of its decision_function have no converter")
    with _named(step):
        return SCORES[type(step.model)](graph, step.model, _matrix(graph, step).name)


def is_known(kind: type) -> bool:
    """Return whether we or skl2onnx have a converter for a step."""
    ours = (_TRANSFORMERS, _PREDICTORS, TRANSFORMERS, PREDICTORS, SCORES)
    return any(kind in known for known in ours) or kind in by_skl2onnx.KINDS


@contextmanager
def _named(step: Step) -> Iterator[None]:
    """Name the step that a converter refuses."""
    try:
        yield
    except ValueError as error:
        raise refusal(step, str(error)) from None


def _matrix(graph: Graph, step: Step) -> Tensor:
    """Return the numbers that a step reads."""
    matrix = joined(graph, step.table)
    if matrix.kind == "text":
        raise ValueError("it reads text; put an encoder before it")
    return matrix


# ---------------------------------------------------------------- containers


def _pipeline(graph: Graph, step: Step) -> Table:
    return transformed(graph, _last_step(graph, step))


def _predicting_pipeline(graph: Graph, step: Step) -> str:
    return predicted(graph, _last_step(graph, step))


def _last_step(graph: Graph, step: Step) -> Step:
    """Convert all steps of a pipeline but the last, and return that one."""
    at = step
    steps = [item for item in step.model.steps if item[1] not in (None, "passthrough")]
    if not steps:
        raise refusal(step, "it has no steps")
    for name, model in steps[:-1]:
        inner = replace(at, model=model, path=(*step.path, name))
        at = replace(at, table=transformed(graph, inner))
    name, model = steps[-1]
    return replace(at, model=model, path=(*step.path, name))


def _column_transformer(graph: Graph, step: Step) -> Table:
    tensors: list[Tensor] = []
    for name, model, _ in step.model.transformers_:
        # Private, but `transformers_` has the columns as the user wrote them: names, positions, a slice, a mask.
        indices = step.model._transformer_to_input_indices[name]
        if (isinstance(model, str) and model == "drop") or len(indices) == 0:
            continue
        table = columns(graph, step.table, _positions(step, indices))
        if not isinstance(model, str):
            table = transformed(graph, Step(model, (*step.path, name), table))
        weights = step.model.transformer_weights or {}
        tensors.extend(_weighted(graph, table, weights.get(name)))
    return Table(tuple(tensors))


def _positions(step: Step, indices: Sequence[int]) -> list[int]:
    """Return where the columns that a step knows by number are in its table."""
    if step.table.names is None or not hasattr(step.model, "feature_names_in_"):
        return [int(index) for index in indices]
    return [step.table.names.index(step.model.feature_names_in_[index]) for index in indices]


def _feature_union(graph: Graph, step: Step) -> Table:
    tensors: list[Tensor] = []
    for name, model in step.model.transformer_list:
        if isinstance(model, str) and model == "drop":
            continue
        inner = step.inner(model, name)
        table = step.table if isinstance(model, str) else transformed(graph, inner)
        weights = step.model.transformer_weights or {}
        tensors.extend(_weighted(graph, table, weights.get(name)))
    return Table(tuple(tensors))


def _weighted(graph: Graph, table: Table, weight: float | None) -> list[Tensor]:
    if weight is None:
        return list(table.tensors)
    return [
        replace(tensor, name=graph.add("Mul", tensor.name, float(weight)))
        for tensor in table.tensors
    ]


# --------------------------------------------------- estimators of estimators


def _inner_predictor(attribute: str, graph: Graph, step: Step) -> str:
    return predicted(graph, step.inner(getattr(step.model, attribute), attribute.rstrip("_")))


def _voting(graph: Graph, step: Step) -> str:
    voting = [number for number, (_, model) in enumerate(step.model.estimators) if model != "drop"]
    votes = [
        predicted(graph, step.inner(model, step.model.estimators[number][0]))
        for number, model in zip(voting, step.model.estimators_, strict=True)
    ]
    weights = step.model.weights
    return graph.mean(votes, None if weights is None else [weights[number] for number in voting])


def _stacking(graph: Graph, step: Step) -> str:
    names = [name for name, model in step.model.estimators if not isinstance(model, str)]
    methods = [method for method in step.model.stack_method_ if method is not None]
    tensors = []
    for name, model, method in zip(names, step.model.estimators_, methods, strict=True):
        tensors.append(_stacked(graph, step.inner(model, name), method, step.model))
    if step.model.passthrough:
        tensors.extend(step.table.tensors)
    final = replace(
        step.inner(step.model.final_estimator_, "final_estimator"),
        table=Table(tuple(tensors)),
    )
    return predicted(graph, final)


def _stacked(graph: Graph, step: Step, method: str, stack: Any) -> Tensor:
    """Return what one estimator of a stack gives to the last one."""
    if not is_classifier(stack):
        return Tensor(predicted(graph, step), 1)
    width = len(stack.classes_)
    if method == "decision_function":
        return Tensor(scored(graph, step), 1 if width == 2 else width)
    if method != "predict_proba":
        raise refusal(step, f"a stack reads its {method}; use an estimator with predict_proba")
    probabilities = predicted(graph, step)
    if width == 2:
        return Tensor(graph.take_columns(probabilities, [1]), 1)
    return Tensor(probabilities, width)


def _bagging(graph: Graph, step: Step) -> str:
    votes = []
    for model, features in zip(
        step.model.estimators_, step.model.estimators_features_, strict=True
    ):
        if is_classifier(model) and not hasattr(model, "predict_proba"):
            raise refusal(step, "its estimator has no predict_proba")
        table = columns(graph, Table(step.table.tensors), features)
        inner = replace(step.inner(model, "estimator"), table=table)
        vote = predicted(graph, inner)
        if is_classifier(model):
            vote = _spread(graph, vote, model.classes_, len(step.model.classes_))
        votes.append(vote)
    return graph.mean(votes)


def _spread(
    graph: Graph, probabilities: str, indices: npt.NDArray[np.int64], num_labels: int
) -> str:
    """Put the probabilities of some labels into the columns of all labels; the rest are 0."""
    if len(indices) == num_labels:
        return probabilities
    where = np.zeros((len(indices), num_labels))
    where[np.arange(len(indices)), np.asarray(indices, np.int64)] = 1
    return graph.multiply(probabilities, where)


def _ada_boost_classifier(graph: Graph, step: Step) -> str:
    model, num_labels = step.model, len(step.model.classes_)
    votes = []
    for inner, weight in zip(model.estimators_, model.estimator_weights_, strict=False):
        vote = predicted(graph, step.inner(inner, "estimator"))
        vote = most_probable(graph, vote, len(inner.classes_))
        where = np.searchsorted(model.classes_, inner.classes_)
        vote = _spread(graph, vote, where, num_labels)
        # The label voted for gets the weight, and all others share its negative.
        share = float(weight) / (num_labels - 1)
        votes.append(graph.add("Sub", graph.add("Mul", vote, float(weight) + share), share))
    scale = float(model.estimator_weights_.sum()) * (num_labels - 1)
    total = votes[0] if len(votes) == 1 else graph.add("Sum", *votes)
    return softmax(graph, graph.add("Div", total, scale))


def _calibrated(graph: Graph, step: Step) -> str:
    parts = [_calibrated_part(graph, step, part) for part in step.model.calibrated_classifiers_]
    return graph.mean(parts)


def _calibrated_part(graph: Graph, step: Step, part: Any) -> str:
    inner, num_labels = step.inner(part.estimator, "estimator"), len(part.classes)
    has_scores = hasattr(part.estimator, "decision_function")
    scores = scored(graph, inner) if has_scores else predicted(graph, inner)
    if part.method == "temperature":
        return _tempered(graph, step, scores, part, has_scores)
    if not has_scores and len(part.estimator.classes_) == 2:
        scores = graph.take_columns(scores, [1])
    where = np.searchsorted(part.classes, part.estimator.classes_)
    shares = [
        _calibrate(graph, graph.take_columns(scores, [position]), calibrator)
        for position, calibrator in enumerate(part.calibrators)
    ]
    if num_labels == 2:
        return both_labels(graph, shares[0])
    spread = _spread(graph, graph.side_by_side(shares), where, num_labels)
    return graph.share_of_row(spread, of_empty=1 / num_labels)


def _calibrate(graph: Graph, score: str, calibrator: Any) -> str:
    if isinstance(calibrator, IsotonicRegression):
        xs = np.asarray(calibrator.X_thresholds_, np.float64)
        return interpolate(graph, score, xs, np.asarray(calibrator.y_thresholds_, np.float64))
    line = graph.add("Add", graph.add("Mul", score, float(calibrator.a_)), float(calibrator.b_))
    return graph.sigmoid(graph.add("Neg", line))


def _tempered(graph: Graph, step: Step, scores: str, part: Any, has_scores: bool) -> str:
    if not has_scores or len(part.estimator.classes_) != len(part.classes):
        raise refusal(step, 'its method "temperature" has no converter here; use "sigmoid"')
    if len(part.classes) == 2:
        scores = graph.side_by_side([graph.add("Neg", scores), scores])
    return softmax(graph, graph.add("Mul", scores, float(part.calibrators[0].beta_)))


def _one_vs_rest(graph: Graph, step: Step) -> str:
    shares = [
        graph.take_columns(predicted(graph, step.inner(model, "estimator")), [1])
        for model in step.model.estimators_
    ]
    if len(shares) == 1:
        return both_labels(graph, shares[0])
    return graph.share_of_row(graph.side_by_side(shares))


# What undoes a function that was applied to the target before training.
INVERSES: Mapping[Any, tuple[tuple[str, Sequence[float]], ...]] = {
    np.exp: (("Exp", ()),),
    np.expm1: (("Exp", ()), ("Sub", (1.0,))),
    np.square: (("Pow", (2.0,)),),
    np.exp2: (("Mul", (float(np.log(2)),)), ("Exp", ())),
    np.sqrt: (("Sqrt", ()),),
    np.log: (("Log", ()),),
    np.log1p: (("Add", (1.0,)), ("Log", ())),
}


def _transformed_target(graph: Graph, step: Step) -> str:
    y = predicted(graph, step.inner(step.model.regressor_, "regressor"))
    if step.model.transformer is None:
        for operator, operands in INVERSES.get(step.model.inverse_func, ()):
            y = graph.add(operator, y, *operands)
        return y
    transformer = step.model.transformer_
    # These transformers are straight lines: two points determine them.
    start, end = transformer.inverse_transform(np.array([[0.0], [1.0]])).ravel()
    return graph.add("Add", graph.add("Mul", y, float(end - start)), float(start))


_TRANSFORMERS: dict[type, Callable[[Graph, Step], Table]] = {
    ColumnTransformer: _column_transformer,
    FeatureUnion: _feature_union,
    Pipeline: _pipeline,
}
_PREDICTORS: dict[type, Callable[[Graph, Step], str]] = {
    calibration.CalibratedClassifierCV: _calibrated,
    ensemble.AdaBoostClassifier: _ada_boost_classifier,
    ensemble.BaggingClassifier: _bagging,
    ensemble.BaggingRegressor: _bagging,
    ensemble.StackingClassifier: _stacking,
    ensemble.StackingRegressor: _stacking,
    ensemble.VotingClassifier: _voting,
    ensemble.VotingRegressor: _voting,
    model_selection.FixedThresholdClassifier: partial(_inner_predictor, "estimator_"),
    model_selection.GridSearchCV: partial(_inner_predictor, "best_estimator_"),
    model_selection.RandomizedSearchCV: partial(_inner_predictor, "best_estimator_"),
    model_selection.TunedThresholdClassifierCV: partial(_inner_predictor, "estimator_"),
    OneVsRestClassifier: _one_vs_rest,
    Pipeline: _predicting_pipeline,
    TransformedTargetRegressor: _transformed_target,
}
