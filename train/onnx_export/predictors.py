"""Converters of scikit-learn's estimators that stand on their own: linear models, trees, boosting, support vectors.

Each takes the graph, a fitted estimator and its input, <double>[n, num_columns], and returns probabilities,
<double>[n, num_labels] in the order of `classes_`, values, <double>[n, 1], or raw scores, as its table says.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from sklearn import discriminant_analysis, ensemble, linear_model, svm, tree

from train.onnx_export.graph import Graph
from train.onnx_export.trees import (
    convert_forest,
    convert_tree,
    gradient_boosting_scores,
    hist_gradient_boosting_scores,
)

Predictor = Callable[[Graph, Any, str], str]

_LINEAR_REGRESSORS: tuple[type, ...] = (
    linear_model.ARDRegression,
    linear_model.BayesianRidge,
    linear_model.ElasticNet,
    linear_model.ElasticNetCV,
    linear_model.GammaRegressor,
    linear_model.HuberRegressor,
    linear_model.Lars,
    linear_model.LarsCV,
    linear_model.Lasso,
    linear_model.LassoCV,
    linear_model.LassoLars,
    linear_model.LassoLarsCV,
    linear_model.LassoLarsIC,
    linear_model.LinearRegression,
    linear_model.OrthogonalMatchingPursuit,
    linear_model.OrthogonalMatchingPursuitCV,
    linear_model.PoissonRegressor,
    linear_model.QuantileRegressor,
    linear_model.Ridge,
    linear_model.RidgeCV,
    linear_model.SGDRegressor,
    linear_model.TheilSenRegressor,
    linear_model.TweedieRegressor,
    svm.LinearSVR,
)
_LINEAR_CLASSIFIERS: tuple[type, ...] = (
    discriminant_analysis.LinearDiscriminantAnalysis,
    linear_model.LogisticRegression,
    linear_model.LogisticRegressionCV,
    linear_model.Perceptron,
    linear_model.RidgeClassifier,
    linear_model.RidgeClassifierCV,
    linear_model.SGDClassifier,
    svm.LinearSVC,
)


def both_labels(graph: Graph, positive: str) -> str:
    """Return the probabilities of two labels from that of the second, [n, 1] -> [n, 2]."""
    return graph.side_by_side([graph.add("Sub", 1.0, positive), positive])


def softmax(graph: Graph, scores: str) -> str:
    """Turn scores into probabilities, [n, num_labels]."""
    return graph.add("Softmax", scores, axis=1)


def most_probable(graph: Graph, probabilities: str, num_labels: int) -> str:
    """Return 1 for the most probable label (the first of several) and 0 for all others, [n, num_labels]."""
    index = graph.add("ArgMax", probabilities, axis=1, keepdims=1)
    return graph.to_double(graph.add("Equal", index, np.arange(num_labels)[np.newaxis]))


# -------------------------------------------------------------------- linear


def _linear_scores(graph: Graph, model: Any, x: str) -> str:
    """Return x @ coef + intercept, [n, 1] where it has one column."""
    coefficients = np.atleast_2d(np.asarray(model.coef_, np.float64))
    intercept = np.broadcast_to(np.asarray(model.intercept_, np.float64), len(coefficients))
    return graph.multiply(x, coefficients.T, intercept)


def _linear_regressor(graph: Graph, model: Any, x: str) -> str:
    scores = _linear_scores(graph, model, x)
    return graph.add("Exp", scores) if _has_log_link(model) else scores


def _has_log_link(model: Any) -> bool:
    """Return whether a regressor fits the logarithm of the value."""
    if isinstance(model, linear_model.TweedieRegressor):
        return bool(model.link == "log" or (model.link == "auto" and model.power > 0))
    if isinstance(model, ensemble.HistGradientBoostingRegressor):
        return model.loss in ("gamma", "poisson")
    return isinstance(model, linear_model.GammaRegressor | linear_model.PoissonRegressor)


def _linear_classifier(graph: Graph, model: Any, x: str) -> str:
    scores = _linear_scores(graph, model, x)
    if len(model.classes_) == 2:
        return both_labels(graph, graph.sigmoid(scores))
    return softmax(graph, scores)


def _sgd_classifier(graph: Graph, model: Any, x: str) -> str:
    scores = _linear_scores(graph, model, x)
    if model.loss == "log_loss":
        shares = graph.sigmoid(scores)
    else:  # modified_huber: from -1 .. 1 to 0 .. 1
        clipped = graph.add("Max", graph.add("Min", scores, 1.0), -1.0)
        shares = graph.add("Div", graph.add("Add", clipped, 1.0), 2.0)
    if len(model.classes_) == 2:
        return both_labels(graph, shares)
    return graph.share_of_row(shares, of_empty=1 / len(model.classes_))


# ------------------------------------------------------------------ boosting


def _boosted_regressor(scores_of: Predictor, graph: Graph, model: Any, x: str) -> str:
    scores = scores_of(graph, model, x)
    return graph.add("Exp", scores) if _has_log_link(model) else scores


def _boosted_classifier(scores_of: Predictor, graph: Graph, model: Any, x: str) -> str:
    scores = scores_of(graph, model, x)
    if len(model.classes_) > 2:
        return softmax(graph, scores)
    if model.loss == "exponential":
        scores = graph.add("Mul", scores, 2.0)
    return both_labels(graph, graph.sigmoid(scores))


# ----------------------------------------------------------- support vectors


def _support_vector_regressor(graph: Graph, model: Any, x: str) -> str:
    """Convert the kernel exp(-gamma * |x - v|²), with |x|² - 2xv + |v|² for the distance, as libsvm does."""
    vectors = np.asarray(model.support_vectors_, np.float64)
    lengths = graph.add("Add", graph.sum_rows(x, "ReduceSumSquare"), (vectors**2).sum(axis=1))
    products = graph.multiply(x, 2 * vectors.T)  # (n, num_vectors)
    distances = graph.add("Sub", lengths, products)
    # What gamma "scale" came to is private.
    similarities = graph.add("Exp", graph.add("Mul", distances, -float(model._gamma)))
    return graph.multiply(similarities, model.dual_coef_.T, model.intercept_)


# To raw scores: what `decision_function` gives, [n, 1] for two labels and [n, num_labels] for more.
SCORES: dict[type, Predictor] = {
    ensemble.GradientBoostingClassifier: gradient_boosting_scores,
    ensemble.HistGradientBoostingClassifier: hist_gradient_boosting_scores,
    **dict.fromkeys(_LINEAR_CLASSIFIERS, _linear_scores),
}

# To probabilities or values.
PREDICTORS: dict[type, Predictor] = {
    **dict.fromkeys(_LINEAR_REGRESSORS, _linear_regressor),
    discriminant_analysis.LinearDiscriminantAnalysis: _linear_classifier,
    ensemble.ExtraTreesClassifier: convert_forest,
    ensemble.ExtraTreesRegressor: convert_forest,
    ensemble.GradientBoostingClassifier: partial(_boosted_classifier, gradient_boosting_scores),
    ensemble.GradientBoostingRegressor: partial(_boosted_regressor, gradient_boosting_scores),
    ensemble.HistGradientBoostingClassifier: partial(
        _boosted_classifier, hist_gradient_boosting_scores
    ),
    ensemble.HistGradientBoostingRegressor: partial(
        _boosted_regressor, hist_gradient_boosting_scores
    ),
    ensemble.RandomForestClassifier: convert_forest,
    ensemble.RandomForestRegressor: convert_forest,
    linear_model.LogisticRegression: _linear_classifier,
    linear_model.LogisticRegressionCV: _linear_classifier,
    linear_model.SGDClassifier: _sgd_classifier,
    svm.NuSVR: _support_vector_regressor,
    svm.SVR: _support_vector_regressor,
    tree.DecisionTreeClassifier: convert_tree,
    tree.DecisionTreeRegressor: convert_tree,
    tree.ExtraTreeClassifier: convert_tree,
    tree.ExtraTreeRegressor: convert_tree,
}
