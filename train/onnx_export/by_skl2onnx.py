"""The steps that skl2onnx converts exactly. Every conversion is compared with scikit-learn on sample rows."""

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
import skl2onnx
from onnx import ModelProto, compose, helper
from skl2onnx.common.data_types import DoubleTensorType
from sklearn.base import is_classifier
from sklearn.decomposition import PCA, IncrementalPCA, TruncatedSVD
from sklearn.discriminant_analysis import QuadraticDiscriminantAnalysis
from sklearn.naive_bayes import GaussianNB, MultinomialNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import Normalizer

from train.onnx_export.graph import ML_DOMAIN, OPSETS, Graph, Tensor

# Measured in double: within a relative 1e-9 of scikit-learn, also on rows far from all others. Other steps that
# skl2onnx knows and we do not convert have no graph in double that loads (AdaBoostRegressor, KNNImputer,
# GaussianProcessClassifier).
KINDS: frozenset[type] = frozenset(
    {
        GaussianNB,
        IncrementalPCA,
        KNeighborsClassifier,
        KNeighborsRegressor,
        MLPClassifier,
        MLPRegressor,
        MultinomialNB,
        Normalizer,
        PCA,
        QuadraticDiscriminantAnalysis,
        TruncatedSVD,
    }
)
# How far an answer may be from scikit-learn's, relative to it or, below 1, absolute.
_TOLERANCE = 1e-5
# What skl2onnx 1.20 knows; `OPSETS` still has the operators of that version.
_SKL2ONNX_OPSETS = {"": OPSETS[""], ML_DOMAIN: 3}


def convert(graph: Graph, model: Any, x: Tensor, method: str) -> Tensor:
    """Convert a step, and compare its answers to the graph's sample rows.

    Args:
        graph: Where the step goes.
        model: One of `KINDS`, fitted.
        x: What it reads, <double>[n, num_columns].
        method: The method that gives its answers: "transform", "predict" or "predict_proba".

    Raises:
        ValueError: skl2onnx does not know its settings, or the answers differ from scikit-learn's.
    """
    rows = _run(graph.to_model(x.name), graph.sample)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about columns without names, and the like
        expected = np.asarray(getattr(model, method)(rows), np.float64).reshape(len(rows), -1)
        try:
            converted = _converted(model, x.width)
            answers = _run(converted, {"x": rows})
        except Exception as error:  # whatever a converter of skl2onnx raises
            reason = (str(error).strip() or repr(error)).splitlines()[0][:200]
            raise ValueError(f"skl2onnx does not convert it ({reason})") from error
    difference = _difference(answers.reshape(expected.shape), expected)
    if not difference <= _TOLERANCE:
        raise ValueError(f"skl2onnx converts it wrongly (its answers differ by {difference:.1e})")
    return _inlined(graph, converted, x, expected.shape[1])


def _converted(model: Any, width: int) -> ModelProto:
    converted: ModelProto = skl2onnx.convert_sklearn(
        model,
        initial_types=[("x", DoubleTensorType([None, width]))],
        target_opset=_SKL2ONNX_OPSETS,
        options={id(model): {"zipmap": False}} if is_classifier(model) else None,
    )
    for node in converted.graph.node:
        if node.op_type == "MatMul":  # see Graph.multiply
            node.op_type = "Gemm"
    return converted


def _run(model: ModelProto, feeds: Any) -> npt.NDArray[np.float64]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4  # what fails here is no news
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    # The last output: a classifier's first one is the label.
    name = session.get_outputs()[-1].name
    inputs = {column.name: feeds[column.name] for column in session.get_inputs()}
    answers: npt.NDArray[np.float64] = session.run([name], inputs)[0]
    return answers


def _difference(answers: npt.NDArray[np.float64], expected: npt.NDArray[np.float64]) -> float:
    """Return the largest difference; NaN if one is where the other is not."""
    both_nan = np.isnan(answers) & np.isnan(expected)
    distance = np.abs(answers - expected) / np.maximum(1.0, np.abs(expected))
    return float(distance[~both_nan].max(initial=0.0))


def _inlined(graph: Graph, model: ModelProto, x: Tensor, width: int) -> Tensor:
    """Put a model of one input into the graph."""
    prefix = f"{graph.name()}_"
    inner = compose.add_prefix(model, prefix).graph
    graph.nodes.append(helper.make_node("Identity", [x.name], [f"{prefix}x"], prefix))
    graph.nodes.extend(inner.node)
    graph.constants.extend(inner.initializer)
    return Tensor(graph.to_double(inner.output[-1].name), width)
