"""The checks before training: which steps and settings cannot be exported, and what to use instead."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sklearn import calibration, ensemble, neighbors, neural_network, preprocessing, svm
from sklearn.base import is_classifier, is_regressor
from sklearn.compose import TransformedTargetRegressor
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from sklearn.pipeline import Pipeline

from train.onnx_export.containers import INVERSES, UnsupportedStepError, describe, is_known
from train.onnx_export.predictors import SCORES
from train.onnx_export.transformers import SELECTORS

_NO_STEP = (None, "passthrough", "drop")
# What to use instead of classifiers without probabilities.
_WITHOUT_PROBABILITIES: dict[type, str] = {
    svm.LinearSVC: "Use LogisticRegression, or CalibratedClassifierCV around it.",
    ensemble.VotingClassifier: 'Set voting to "soft".',
}


def check_exportable(pipeline: Pipeline) -> None:
    """Check, before any training, that a pipeline can become ONNX.

    Args:
        pipeline: Fitted or not.

    Raises:
        UnsupportedStepError: It cannot; the message names every step at fault, and what to use instead.
    """
    problems = [*_problems(pipeline, ()), *_problems_of_final(pipeline)]
    if problems:
        head = "the pipeline cannot be exported as ONNX"
        count = f"{len(problems)} problems" if len(problems) > 1 else "1 problem"
        raise UnsupportedStepError("\n  ".join([f"{head}: {count}", *problems]))


def _problems(step: Any, path: tuple[str, ...]) -> Iterator[str]:
    """Yield what is wrong with a step and with the steps that it holds."""
    if isinstance(step, type) or not hasattr(step, "get_params"):
        yield f"{describe(path, step)} is not an estimator of scikit-learn."
        return
    if not is_known(type(step)):
        yield f"{describe(path, step)} has no converter. {_alternative(step)}"
        return
    reason = _wrong_settings(step)
    if reason is not None:
        yield f"{describe(path, step)} {reason}"
    for name, child in _children(step):
        yield from _problems(child, (*path, name))


def _children(step: Any) -> Iterator[tuple[str, Any]]:
    """Yield the steps that a step holds and whose work is part of the exported one."""
    if isinstance(step, SELECTORS):
        return  # the estimator that chose the columns stays behind
    settings = step.get_params(deep=False)
    children = [
        (item[0], item[1])
        for setting in ("steps", "transformers", "transformer_list", "estimators")
        for item in settings.get(setting) or ()
    ]
    children += [
        (setting, settings.get(setting))
        for setting in ("remainder", "estimator", "final_estimator", "regressor")
    ]
    for name, child in children:
        if child is not None and not (isinstance(child, str) and child in _NO_STEP):
            yield name, child


def _alternative(step: Any) -> str:
    if hasattr(step, "predict"):
        kind = "Classifier" if is_classifier(step) else "Regressor"
        linear = "LogisticRegression" if is_classifier(step) else "Ridge"
        return f"Use HistGradientBoosting{kind}, RandomForest{kind} or {linear}."
    return (
        "For numbers use StandardScaler, PowerTransformer or KBinsDiscretizer; for categories OneHotEncoder, "
        "OrdinalEncoder or TargetEncoder; for text TfidfVectorizer."
    )


def _problems_of_final(pipeline: Pipeline) -> Iterator[str]:
    """Yield what is wrong with the last step: it must predict, and a classifier must give probabilities."""
    name, final = pipeline.steps[-1]
    described = describe((name,), final) if final not in _NO_STEP else f"{name}: {final}"
    if isinstance(final, ensemble.StackingClassifier | ensemble.StackingRegressor):
        # Unfitted, it does not say what it can do.
        final = final.final_estimator
        if final is None:
            return
    if isinstance(final, Pipeline):
        yield from (f"{name} -> {problem}" for problem in _problems_of_final(final))
    elif not hasattr(final, "predict") or not (is_classifier(final) or is_regressor(final)):
        yield f"{described} is the last step, but neither a classifier nor a regressor. Add one after it."
    elif is_known(type(final)) and is_classifier(final) and not hasattr(final, "predict_proba"):
        yield f"{described} gives no probabilities. {_probabilities_from(final)}"


def _probabilities_from(final: Any) -> str:
    known = _WITHOUT_PROBABILITIES.get(type(final))
    if known is not None:
        return known
    if "loss" in final.get_params(deep=False):
        return 'Set loss to "log_loss".'
    return "Use LogisticRegression, or CalibratedClassifierCV around it."


# ------------------------------------------------------------------ settings


def _wrong_settings(step: Any) -> str | None:
    """Return what is wrong with a step's settings and what to set instead, None if it can be converted exactly."""
    check = _CHECKS.get(type(step))
    return check(step) if check else None


# What splits blank-separated tokens at the blanks and nowhere else.
_WHOLE_TOKENS = (r"\S+", r"(?u)\S+", r"[^ ]+", r"(?u)[^ ]+", r"\S\S*", r"(\S+)", r"([^ ]+)")


def _check_vectorizer(step: Any) -> str | None:
    settings: Sequence[tuple[str, bool, str]] = (
        ("vocabulary", step.vocabulary is None, "null"),
        ("analyzer", step.analyzer in ("word", "char"), '"word" or "char"'),
        (
            "token_pattern",
            step.analyzer == "char" or step.token_pattern in _WHOLE_TOKENS,
            r'"\S+"',
        ),
        ("lowercase", not step.lowercase, "false (the text that it gets is normalised already)"),
        ("preprocessor", step.preprocessor is None, "null"),
        ("tokenizer", step.tokenizer is None, "null"),
        ("strip_accents", step.strip_accents is None, "null"),
        (
            "stop_words",
            step.stop_words is None,
            "null (or use max_df, which drops the most frequent)",
        ),
    )
    wrong = [f"{name} to {value}" for name, is_right, value in settings if not is_right]
    return f"counts differently in ONNX. Set {', '.join(wrong)}." if wrong else None


def _check_one_hot(step: Any) -> str | None:
    if step.handle_unknown == "error":
        return (
            "raises an error for an unseen category, which a served model must not. "
            'Set handle_unknown to "ignore" or "infrequent_if_exist".'
        )
    return None


def _check_ordinal(step: Any) -> str | None:
    if step.handle_unknown == "error":
        return (
            "raises an error for an unseen category, which a served model must not. "
            'Set handle_unknown to "use_encoded_value" and unknown_value to -1.'
        )
    return None


def _check_function(step: Any) -> str | None:
    if step.func is not None:
        return (
            "calls a Python function, which ONNX cannot hold. Use PowerTransformer, StandardScaler or "
            "KBinsDiscretizer, or compute the column before training."
        )
    return None


def _check_quantile(step: Any) -> str | None:
    if step.output_distribution != "uniform":
        return 'has no converter for output_distribution "normal". Set it to "uniform", or use PowerTransformer.'
    return None


def _check_target(model: TransformedTargetRegressor) -> str | None:
    linear = (preprocessing.MinMaxScaler, preprocessing.RobustScaler, preprocessing.StandardScaler)
    if model.transformer is not None:
        if type(model.transformer) in linear and not getattr(model.transformer, "clip", False):
            return None
        return "has a transformer without a converter. Use StandardScaler, or func and inverse_func of numpy."
    if model.inverse_func is None or any(model.inverse_func is known for known in INVERSES):
        return None
    names = ", ".join(f"numpy.{function.__name__}" for function in INVERSES)
    return (
        f"calls a Python function to undo the transformation. Set inverse_func to one of {names}."
    )


def _check_calibrated(model: calibration.CalibratedClassifierCV) -> str | None:
    inner = model.estimator
    while isinstance(inner, Pipeline):
        inner = inner.steps[-1][1]
    if inner is None:  # LinearSVC
        return None
    if hasattr(inner, "decision_function"):
        if type(inner) in SCORES:
            return None
        return (
            f"reads the decision_function of {type(inner).__name__}, which has no converter. Put it around LinearSVC, "
            "LogisticRegression, RandomForestClassifier or HistGradientBoostingClassifier."
        )
    if model.method == "temperature":
        return f'has no converter for method "temperature" around {type(inner).__name__}. Set it to "sigmoid".'
    return None


def _check_boosting(model: Any) -> str | None:
    if model.init not in (None, "zero"):
        return 'starts from another estimator, which has no converter. Leave init out, or set it to "zero".'
    return None


def _check_neighbours(model: Any) -> str | None:
    if model.weights != "uniform":
        return 'can be exported only with weights "uniform".'
    return None


def _check_several_scores(model: Any) -> str | None:
    """Check what a stack reads from its classifiers."""
    if not is_classifier(model):
        return None
    silent = [
        f"{name}: {type(inner).__name__}"
        for name, inner in model.estimators
        if not isinstance(inner, str | Pipeline)
        and not hasattr(inner, "predict_proba")
        and type(inner) not in (*SCORES, ensemble.StackingClassifier)
    ]
    if model.stack_method in ("auto", "predict_proba") and not silent:
        return None
    return 'needs estimators with predict_proba, and stack_method "predict_proba" or "auto".'


def _check_histograms(model: Any) -> str | None:
    if model.categorical_features is None or isinstance(model.categorical_features, str):
        return None  # "from_dtype" finds none: there is text and there are numbers
    return (
        "splits categories itself, which has no converter. Leave categorical_features out, and put a OneHotEncoder "
        "or an OrdinalEncoder before it."
    )


def _check_network(model: Any) -> str | None:
    if model.loss != "squared_error":
        return f'has no converter for loss "{model.loss}". Set it to "squared_error", or use PoissonRegressor.'
    return None


def _check_support_vectors(model: Any) -> str | None:
    if model.kernel != "rbf":
        return 'has no converter for this kernel. Set kernel to "rbf", or use Ridge.'
    return None


_CHECKS: Mapping[type, Callable[[Any], str | None]] = {
    calibration.CalibratedClassifierCV: _check_calibrated,
    CountVectorizer: _check_vectorizer,
    ensemble.GradientBoostingClassifier: _check_boosting,
    ensemble.GradientBoostingRegressor: _check_boosting,
    ensemble.HistGradientBoostingClassifier: _check_histograms,
    ensemble.HistGradientBoostingRegressor: _check_histograms,
    ensemble.StackingClassifier: _check_several_scores,
    neighbors.KNeighborsClassifier: _check_neighbours,
    neighbors.KNeighborsRegressor: _check_neighbours,
    neural_network.MLPRegressor: _check_network,
    preprocessing.FunctionTransformer: _check_function,
    preprocessing.OneHotEncoder: _check_one_hot,
    preprocessing.OrdinalEncoder: _check_ordinal,
    preprocessing.QuantileTransformer: _check_quantile,
    svm.NuSVR: _check_support_vectors,
    svm.SVR: _check_support_vectors,
    TfidfVectorizer: _check_vectorizer,
    TransformedTargetRegressor: _check_target,
}
