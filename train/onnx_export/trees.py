"""Converters of scikit-learn's trees, exact to the last bit: a value on a threshold goes the same way as in training.

Forests and gradient boosting compare <float32>x with a <float64> threshold, histogram gradient boosting
compares doubles; onnxruntime's TreeEnsemble compares whatever it is given as doubles.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import TensorProto, numpy_helper

from train.onnx_export.graph import ML_DOMAIN, Graph

# The mode of a node of TreeEnsemble: its true branch takes x <= split.
_LESS_OR_EQUAL = 0
_SUM = 1


@dataclass(frozen=True)
class Tree:
    """One tree; node 0 is its root. All arrays are [num_nodes]; `left < 0` marks a leaf."""

    left: npt.NDArray[np.int64]
    right: npt.NDArray[np.int64]
    features: npt.NDArray[np.int64]
    thresholds: npt.NDArray[np.float64]
    missing_goes_left: npt.NDArray[np.bool_]
    values: npt.NDArray[np.float64]  # what a leaf adds
    target: int  # the output column that it adds to


def convert_tree(graph: Graph, model: Any, x: str) -> str:
    """Convert DecisionTree and ExtraTree."""
    return _mean_of_trees(graph, [model], x)


def convert_forest(graph: Graph, model: Any, x: str) -> str:
    """Convert RandomForest and ExtraTrees."""
    return _mean_of_trees(graph, model.estimators_, x)


def gradient_boosting_scores(graph: Graph, model: Any, x: str) -> str:
    """Convert GradientBoosting up to its raw scores, [n, 1] or [n, num_labels]."""
    trees = [
        _sklearn_tree(estimator.tree_, model.learning_rate * estimator.tree_.value[:, 0, 0], target)
        for stage in model.estimators_
        for target, estimator in enumerate(stage)
    ]
    # The initial estimator is a constant, which any row gives: all others are refused. The function that turns its
    # answer into a score is private.
    initial = model._raw_predict_init(np.zeros((1, model.n_features_in_)))
    return graph.add("Add", _ensemble(graph, trees, _as_float32(graph, x)), initial)


def hist_gradient_boosting_scores(graph: Graph, model: Any, x: str) -> str:
    """Convert HistGradientBoosting up to its raw scores, [n, 1] or [n, num_labels]."""
    if model.is_categorical_ is not None:
        raise ValueError("it splits categories itself; put an encoder before it")
    # Its trees and the value that they are added to are private.
    trees = [
        _hist_tree(predictor, target)
        for stage in model._predictors
        for target, predictor in enumerate(stage)
    ]
    initial = np.asarray(model._baseline_prediction, np.float64).reshape(1, -1)
    return graph.add("Add", _ensemble(graph, trees, x), initial)


def _mean_of_trees(graph: Graph, estimators: Sequence[Any], x: str) -> str:
    """Average what the leaves hold: a value, or the probabilities of the labels."""
    held = [_values(estimator) for estimator in estimators]
    x = _as_float32(graph, x)
    if held[0].shape[1] == 1:
        trees = [
            _sklearn_tree(estimator.tree_, values[:, 0], 0)
            for estimator, values in zip(estimators, held, strict=True)
        ]
        return graph.add("Div", _ensemble(graph, trees, x), float(len(trees)))
    # A leaf of TreeEnsemble adds one number to one column: here, the number of its row in a table of all leaves.
    trees, leaves, first_row = [], [], 0
    for target, (estimator, values) in enumerate(zip(estimators, held, strict=True)):
        is_leaf = estimator.tree_.children_left < 0
        row_numbers = first_row + np.cumsum(is_leaf) - 1
        trees.append(_sklearn_tree(estimator.tree_, row_numbers, target))
        leaves.append(values[is_leaf])
        first_row += len(leaves[-1])
    rows = graph.add("Cast", _ensemble(graph, trees, x), to=TensorProto.INT64)  # (n, num_trees)
    votes = graph.add("Gather", np.vstack(leaves), rows)  # (n, num_trees, num_labels)
    total = graph.add("ReduceSum", votes, np.array([1]), keepdims=0)
    return graph.add("Div", total, float(len(trees)))


def _values(estimator: Any) -> npt.NDArray[np.float64]:
    """Return what nodes hold: <float64>[num_nodes, num_labels] probabilities, or [num_nodes, 1] values."""
    return np.asarray(estimator.tree_.value[:, 0, :], np.float64)


def _sklearn_tree(tree: Any, values: npt.NDArray[Any], target: int) -> Tree:
    return Tree(
        left=tree.children_left,
        right=tree.children_right,
        features=tree.feature,
        thresholds=tree.threshold,
        missing_goes_left=np.asarray(tree.missing_go_to_left, bool),
        values=np.asarray(values, np.float64),
        target=target,
    )


def _hist_tree(predictor: Any, target: int) -> Tree:
    nodes = predictor.nodes
    is_leaf = nodes["is_leaf"].astype(bool)
    return Tree(
        left=np.where(is_leaf, -1, nodes["left"].astype(np.int64)),
        right=np.where(is_leaf, -1, nodes["right"].astype(np.int64)),
        features=nodes["feature_idx"].astype(np.int64),
        thresholds=nodes["num_threshold"],
        missing_goes_left=nodes["missing_go_to_left"].astype(bool),
        values=nodes["value"],
        target=target,
    )


def _as_float32(graph: Graph, x: str) -> str:
    """Round to float32 and back, as scikit-learn's trees do before they compare."""
    return graph.to_double(graph.add("Cast", x, to=TensorProto.FLOAT))


def _ensemble(graph: Graph, trees: Sequence[Tree], x: str) -> str:
    """Add the node that sums up what the trees' leaves hold, [n, num_targets]."""
    nodes, leaf_values, leaf_targets, roots = _laid_out(trees)

    def tensor(values: npt.NDArray[Any], name: str) -> TensorProto:
        return numpy_helper.from_array(np.ascontiguousarray(values), name)

    return graph.add(
        "TreeEnsemble",
        x,
        domain=ML_DOMAIN,
        nodes_featureids=nodes["feature"].tolist(),
        nodes_splits=tensor(nodes["split"], "splits"),
        nodes_modes=tensor(np.full(len(nodes), _LESS_OR_EQUAL, np.uint8), "modes"),
        nodes_truenodeids=nodes["left"].tolist(),
        nodes_trueleafs=nodes["left_is_leaf"].tolist(),
        nodes_falsenodeids=nodes["right"].tolist(),
        nodes_falseleafs=nodes["right_is_leaf"].tolist(),
        nodes_missing_value_tracks_true=nodes["missing_goes_left"].tolist(),
        leaf_targetids=leaf_targets.tolist(),
        leaf_weights=tensor(leaf_values, "weights"),
        tree_roots=roots,
        n_targets=1 + max(tree.target for tree in trees),
        aggregate_function=_SUM,
        post_transform=0,
    )


_NODE = np.dtype(
    [
        ("feature", np.int64),
        ("split", np.float64),
        ("left", np.int64),  # a node, or where it is a leaf, a leaf
        ("left_is_leaf", np.int64),
        ("right", np.int64),
        ("right_is_leaf", np.int64),
        ("missing_goes_left", np.int64),
    ]
)


def _laid_out(
    trees: Sequence[Tree],
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64], npt.NDArray[np.int64], list[int]]:
    """Number the nodes and, apart from them, the leaves of all trees: nodes, values, targets and the roots."""
    nodes, values, targets, roots = [], [], [], []
    num_nodes = num_leaves = 0
    for tree in trees:
        leaves = tree.values[tree.left < 0]
        mine = _nodes(tree, num_nodes, num_leaves)
        nodes.append(mine)
        values.append(leaves)
        targets.append(np.full(len(leaves), tree.target, np.int64))
        roots.append(num_nodes)
        num_nodes, num_leaves = num_nodes + len(mine), num_leaves + len(leaves)
    return np.concatenate(nodes), np.concatenate(values), np.concatenate(targets), roots


def _nodes(tree: Tree, first_node: int, first_leaf: int) -> npt.NDArray[Any]:
    """Return a tree's inner nodes, <_NODE>[num_inner_nodes].

    A tree that is a single leaf gets a node both of whose branches are this leaf.
    """
    is_leaf = tree.left < 0
    if is_leaf[0]:
        return np.array([(0, 0.0, first_leaf, 1, first_leaf, 1, 0)], _NODE)
    ids = np.where(is_leaf, first_leaf + np.cumsum(is_leaf), first_node + np.cumsum(~is_leaf)) - 1
    inner = ~is_leaf
    left, right = tree.left[inner], tree.right[inner]
    nodes = np.empty(len(left), _NODE)
    nodes["feature"], nodes["split"] = tree.features[inner], tree.thresholds[inner]
    nodes["left"], nodes["left_is_leaf"] = ids[left], is_leaf[left]
    nodes["right"], nodes["right_is_leaf"] = ids[right], is_leaf[right]
    nodes["missing_goes_left"] = tree.missing_goes_left[inner]
    return nodes
