"""Converters of scikit-learn's transformers: scaling, imputing, encoding and selecting.

Each takes the graph, a fitted step and the table that it reads, and returns the table that it makes.
"""

import copy
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from onnx import TensorProto
from sklearn.feature_extraction.text import CountVectorizer, TfidfTransformer, TfidfVectorizer
from sklearn.feature_selection import (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.preprocessing import (
    Binarizer,
    FunctionTransformer,
    KBinsDiscretizer,
    MaxAbsScaler,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    QuantileTransformer,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from train.onnx_export.graph import ML_DOMAIN, Graph, Table, Tensor, columns, joined, single_columns
from train.onnx_export.words import count_vectorizer, tfidf_transformer, tfidf_vectorizer

Transformer = Callable[[Graph, Any, Table], Table]

SELECTORS: tuple[type, ...] = (
    RFE,
    RFECV,
    GenericUnivariateSelect,
    SelectFdr,
    SelectFpr,
    SelectFromModel,
    SelectFwe,
    SelectKBest,
    SelectPercentile,
    SequentialFeatureSelector,
    VarianceThreshold,
)


def interpolate(
    graph: Graph, column: str, xs: npt.NDArray[np.float64], ys: npt.NDArray[np.float64]
) -> str:
    """Interpolate as numpy.interp does, [n, 1] -> [n, 1]; where an x occurs twice, the later y counts."""
    widths = np.diff(xs)
    slopes = np.divide(np.diff(ys), widths, out=np.zeros_like(widths), where=widths != 0)
    reached = graph.add("LessOrEqual", xs[np.newaxis], column)  # (n, 1) -> (n, num_xs)
    count = graph.sum_rows(graph.add("Cast", reached, to=TensorProto.INT64))
    # Index 0 is left of all xs. There the line is flat, as it is right of all xs.
    index = graph.add("Squeeze", count, np.array([1]))

    def at_index(values: npt.NDArray[np.float64]) -> str:
        return graph.add("Gather", values.reshape(-1, 1), index)

    distance = graph.add("Sub", column, at_index(np.array([xs[0], *xs])))
    rise = graph.add("Mul", distance, at_index(np.array([0.0, *slopes, 0.0])))
    return graph.add("Add", rise, at_index(np.array([ys[0], *ys])))


# ------------------------------------------------------------------- numbers


def _numbers(
    convert: Callable[[Graph, Any, str], str], graph: Graph, step: Any, table: Table
) -> Table:
    """Apply a converter that keeps the number of columns."""
    matrix = joined(graph, table)
    return Table((Tensor(convert(graph, step, matrix.name), matrix.width),))


def _standard_scaler(graph: Graph, step: Any, x: str) -> str:
    if step.mean_ is not None and step.with_mean:
        x = graph.add("Sub", x, step.mean_)
    return graph.add("Div", x, step.scale_) if step.scale_ is not None else x


def _robust_scaler(graph: Graph, step: Any, x: str) -> str:
    if step.with_centering:
        x = graph.add("Sub", x, step.center_)
    return graph.add("Div", x, step.scale_) if step.with_scaling else x


def _min_max_scaler(graph: Graph, step: Any, x: str) -> str:
    x = graph.add("Add", graph.add("Mul", x, step.scale_), step.min_)
    if not step.clip:
        return x
    lowest, highest = (float(bound) for bound in step.feature_range)
    return _clip(graph, x, lowest, highest)


def _clip(graph: Graph, x: str, lowest: float, highest: float) -> str:
    # Not the operator Clip, which need not keep NaN.
    x = graph.add("Where", graph.add("Less", x, lowest), lowest, x)
    return graph.add("Where", graph.add("Greater", x, highest), highest, x)


def _max_abs_scaler(graph: Graph, step: Any, x: str) -> str:
    x = graph.add("Div", x, step.scale_)
    return _clip(graph, x, -1.0, 1.0) if getattr(step, "clip", False) else x


def _binarizer(graph: Graph, step: Any, x: str) -> str:
    return graph.to_double(graph.add("Greater", x, float(step.threshold)))


def _power_transformer(graph: Graph, step: Any, x: str) -> str:
    convert = _box_cox if step.method == "box-cox" else _yeo_johnson
    powers = [
        convert(graph, graph.take_columns(x, [position]), float(power))
        for position, power in enumerate(step.lambdas_)
    ]
    x = graph.side_by_side(powers)
    # The scaler after it is private.
    return _standard_scaler(graph, step._scaler, x) if step.standardize else x


def _box_cox(graph: Graph, x: str, power: float) -> str:
    """Return (x ** power - 1) / power, or its limit at 0, log(x)."""
    if abs(power) < np.spacing(1.0):
        return graph.add("Log", x)
    return graph.add("Div", graph.add("Sub", graph.add("Pow", x, power), 1.0), power)


def _yeo_johnson(graph: Graph, x: str, power: float) -> str:
    above = graph.add("Add", graph.add("Max", x, 0.0), 1.0)
    below = graph.add("Sub", 1.0, graph.add("Min", x, 0.0))
    mirrored = graph.add("Neg", _box_cox(graph, below, 2 - power))
    is_negative = graph.add("Less", x, 0.0)
    return graph.add("Where", is_negative, mirrored, _box_cox(graph, above, power))


def _quantile_transformer(graph: Graph, step: Any, x: str) -> str:
    uniform = [
        _uniform(graph, graph.take_columns(x, [position]), quantiles, step.references_)
        for position, quantiles in enumerate(step.quantiles_.T)
    ]
    return graph.side_by_side(uniform)


def _uniform(
    graph: Graph,
    x: str,
    quantiles: npt.NDArray[np.float64],
    references: npt.NDArray[np.float64],
) -> str:
    """Interpolate from both sides, and take the middle where quantiles repeat."""
    upwards = interpolate(graph, x, quantiles, references)
    negative = graph.add("Neg", x)
    downwards = interpolate(graph, negative, -quantiles[::-1], -references[::-1])
    y = graph.add("Mul", graph.add("Sub", upwards, downwards), 0.5)
    y = graph.add("Where", graph.add("Equal", x, float(quantiles[-1])), 1.0, y)
    return graph.add("Where", graph.add("Equal", x, float(quantiles[0])), 0.0, y)


def _k_bins_discretizer(graph: Graph, step: Any, table: Table) -> Table:
    tensors = []
    for column, edges in zip(single_columns(graph, table), step.bin_edges_, strict=True):
        inner = np.asarray(edges[1:-1], np.float64)[np.newaxis]
        passed = graph.add("LessOrEqual", inner, column.name)  # (n, 1) -> (n, num_edges)
        number = graph.sum_rows(graph.to_double(passed))
        if step.encode == "ordinal":
            tensors.append(Tensor(number, 1))
            continue
        bins = np.arange(len(edges) - 1.0)[np.newaxis]
        tensors.append(Tensor(graph.to_double(graph.add("Equal", number, bins)), bins.size))
    return Table(tuple(tensors))


def _polynomial_features(graph: Graph, step: Any, table: Table) -> Table:
    """Multiply columns: the i-th factor of every product at once, a column of ones where there are fewer."""
    matrix = joined(graph, table)
    powers = step.powers_  # (num_products, num_columns)
    is_one = graph.add("Equal", graph.take_columns(matrix.name, [0]), 0.0)
    ones = graph.add("Where", is_one, 1.0, 1.0)
    x = graph.side_by_side([matrix.name, ones])
    factors = [np.repeat(np.arange(matrix.width), power) for power in powers]
    degree = max(1, *(len(factor) for factor in factors))
    padded = np.array(
        [
            np.pad(factor, (0, degree - len(factor)), constant_values=matrix.width)
            for factor in factors
        ]
    )
    product = graph.take_columns(x, padded[:, 0])
    for position in range(1, degree):
        product = graph.add("Mul", product, graph.take_columns(x, padded[:, position]))
    return Table((Tensor(product, len(powers)),))


def _selector(graph: Graph, step: Any, table: Table) -> Table:
    return columns(graph, Table(table.tensors), step.get_support(indices=True).tolist())


def _unchanged(graph: Graph, step: Any, table: Table) -> Table:
    return table


# ------------------------------------------------------------ missing values


def _simple_imputer(graph: Graph, step: Any, table: Table) -> Table:
    filled = []
    for column, value in zip(single_columns(graph, table), step.statistics_, strict=True):
        if step.keep_empty_features or not _is_nan(value):
            filled.append(_fill(graph, step, column, value))
    if step.indicator_ is not None:
        filled.extend(_missing_indicator(graph, step.indicator_, table).tensors)
    return Table(tuple(filled))


def _fill(graph: Graph, step: Any, column: Tensor, value: Any) -> Tensor:
    missing = _is_missing(graph, column, step.missing_values)
    if missing is None:
        return column
    constant = np.array(str(value), object) if column.kind == "text" else float(value)
    return Tensor(graph.add("Where", missing, constant, column.name), 1, column.kind)


def _is_missing(graph: Graph, column: Tensor, missing_values: Any) -> str | None:
    """Return <bool>[n, 1], or None where nothing can be: a text is never NaN, nor a number a text."""
    if column.kind == "text":
        if not isinstance(missing_values, str):
            return None
        return graph.add("Equal", column.name, np.array([missing_values], object))
    if _is_nan(missing_values):
        return graph.add("IsNaN", column.name)
    if isinstance(missing_values, str) or missing_values is None:
        return None
    return graph.add("Equal", column.name, float(missing_values))


def _missing_indicator(graph: Graph, step: Any, table: Table) -> Table:
    parts, flags = single_columns(graph, table), []
    for position in step.features_:
        column = parts[position]
        missing = _is_missing(graph, column, step.missing_values)
        if missing is None:
            never = graph.add("Equal", column.name, column.name)
            missing = graph.add("Not", graph.add("Or", never, np.array(True)))
        flags.append(Tensor(graph.to_double(missing), 1))
    return Table(tuple(flags))


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and bool(np.isnan(value))


# ---------------------------------------------------------------- categories


def _one_hot_encoder(graph: Graph, step: Any, table: Table) -> Table:
    sparse = copy.copy(step).set_params(sparse_output=True)
    encoded = _encode_categories(sparse, step).tocsr()
    # Private, but the public names are one list of all columns, without those that are dropped or merged.
    widths = step._n_features_outs
    ends = np.cumsum(widths)
    infrequent = getattr(step, "infrequent_categories_", [None] * len(ends))
    tensors = []
    for column, known, rare, end, width in zip(
        single_columns(graph, table),
        step.categories_,
        infrequent,
        ends,
        widths,
        strict=True,
    ):
        # Per category the output column that is 1, -1 for none.
        block = encoded[: len(known), end - width : end]
        hot = np.full(len(known), -1)
        rows, outputs = block.nonzero()
        hot[rows] = outputs
        unknown = -1
        if step.handle_unknown in ("infrequent_if_exist", "warn") and rare is not None:
            unknown = int(hot[list(known).index(rare[0])])
        index = _category_index(graph, column, known, hot, unknown)
        outputs = np.arange(width)[np.newaxis]
        tensors.append(Tensor(graph.to_double(graph.add("Equal", index, outputs)), int(width)))
    return Table(tuple(tensors))


def _ordinal_encoder(graph: Graph, step: Any, table: Table) -> Table:
    encoded = np.asarray(_encode_categories(step, step), np.float64)
    unknown = np.full((1, len(step.categories_)), step.unknown_value, np.float64)
    return _looked_up(graph, step, table, encoded, unknown, width=1)


def _target_encoder(graph: Graph, step: Any, table: Table) -> Table:
    encoded = np.asarray(_encode_categories(step, step), np.float64)
    means = np.atleast_1d(np.asarray(step.target_mean_, np.float64))
    unknown = np.tile(means, len(step.categories_))[np.newaxis]
    return _looked_up(graph, step, table, encoded, unknown, width=len(means))


def _looked_up(
    graph: Graph,
    step: Any,
    table: Table,
    encoded: npt.NDArray[np.float64],
    unknown: npt.NDArray[np.float64],
    width: int,
) -> Table:
    """Look up every category's row of `encoded`, `width` columns for each column of the table."""
    tensors = []
    for number, (column, known) in enumerate(
        zip(single_columns(graph, table), step.categories_, strict=True)
    ):
        mine = slice(number * width, (number + 1) * width)
        rows = np.vstack([encoded[: len(known), mine], unknown[:, mine]])
        index = _category_index(graph, column, known, np.arange(len(known)), len(known))
        row = graph.add("Squeeze", index, np.array([1]))
        tensors.append(Tensor(graph.add("Gather", rows, row), width))
    return Table(tuple(tensors))


def _encode_categories(encoder: Any, fitted: Any) -> Any:
    """Ask the encoder itself: row i has the codes of every column's i-th category, or of its last one."""
    names = getattr(fitted, "feature_names_in_", None)
    most = max(len(known) for known in fitted.categories_)
    asked = pd.DataFrame(
        {
            number if names is None else names[number]: pd.Series(
                known[np.minimum(np.arange(most), len(known) - 1)], dtype=known.dtype
            )
            for number, known in enumerate(fitted.categories_)
        }
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return encoder.transform(asked if names is not None else asked.to_numpy())


def _category_index(
    graph: Graph,
    column: Tensor,
    known: npt.NDArray[Any],
    indices: npt.NDArray[np.int64],
    unknown: int,
) -> str:
    """Return <int64>[n, 1], the index of each value's category."""
    if column.kind == "text":
        pairs = [
            (category, int(index))
            for category, index in zip(known, indices, strict=True)
            if isinstance(category, str)
        ]
        return graph.add(
            "LabelEncoder",
            column.name,
            domain=ML_DOMAIN,
            keys_strings=[category for category, _ in pairs],
            values_int64s=[index for _, index in pairs],
            default_int64=unknown,
        )
    numbers = np.asarray(known, np.float64)[np.newaxis]
    matches = graph.add("Equal", column.name, numbers)  # (n, 1) -> (n, num_categories)
    if np.isnan(numbers).any():
        is_missing = graph.add("IsNaN", column.name)
        matches = graph.add("Or", matches, graph.add("And", is_missing, np.isnan(numbers)))
    above = graph.add("Where", matches, (indices - unknown)[np.newaxis], np.array([[0]]))
    return graph.add("Add", graph.sum_rows(above), np.array([[unknown]]))


TRANSFORMERS: dict[type, Transformer] = {
    Binarizer: partial(_numbers, _binarizer),
    CountVectorizer: count_vectorizer,
    FunctionTransformer: _unchanged,
    KBinsDiscretizer: _k_bins_discretizer,
    MaxAbsScaler: partial(_numbers, _max_abs_scaler),
    MinMaxScaler: partial(_numbers, _min_max_scaler),
    MissingIndicator: _missing_indicator,
    OneHotEncoder: _one_hot_encoder,
    OrdinalEncoder: _ordinal_encoder,
    PolynomialFeatures: _polynomial_features,
    PowerTransformer: partial(_numbers, _power_transformer),
    QuantileTransformer: partial(_numbers, _quantile_transformer),
    RobustScaler: partial(_numbers, _robust_scaler),
    SimpleImputer: _simple_imputer,
    StandardScaler: partial(_numbers, _standard_scaler),
    TargetEncoder: _target_encoder,
    TfidfTransformer: tfidf_transformer,
    TfidfVectorizer: tfidf_vectorizer,
    **dict.fromkeys(SELECTORS, _selector),
}
