"""The network of the text model: the two heads that are trained, and the one network that is served."""

import math
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf
from keras import layers, ops

from predict.contract.features import FIRST_WORD_ID
from train.config.sections import TrainingConfig
from train.features.embeddings import Embeddings
from train.features.feature_table import SMALLEST_SQUARE, FeatureTable
from train.models.calibration import Calibration
from train.models.text.canonical import canonical
from train.models.text.interruption import signals_deferred

# The length of vectors that gensim does not give; those that it gives have a length of 1.
_RANDOM_LENGTH = 0.3
WIDE_TABLE = "wide_table"


def build_heads(
    table: FeatureTable,
    embeddings: Embeddings,
    label_shares: npt.NDArray[np.float32],
    training: TrainingConfig,
) -> keras.Model:
    """Build the network that is trained: rows -> margins of the wide and of the deep head."""
    width = embeddings.matrix.shape[1]
    random = np.random.default_rng(training.seed)
    vectors = random.standard_normal((len(table.idf), width)) * (_RANDOM_LENGTH / math.sqrt(width))
    words = embeddings.matrix[FIRST_WORD_ID:]
    has_vector = words.any(axis=1)
    vectors[1 : 1 + len(words)][has_vector] = words[has_vector]  # row 1 is the first word
    # Where the squared hinge loss settles without evidence: a rare label needs some to be chosen.
    prior, num_labels = 2 * label_shares - 1, len(label_shares)

    rows = keras.Input((None,), dtype="int32", name="rows")
    weights = _Weigh(table.idf)(rows)
    wide_weights = layers.Dropout(training.wide_dropout, seed=training.seed + 1)(weights)
    deep_weights = layers.Dropout(training.deep_dropout, seed=training.seed + 2)(weights)
    wide = _WeightedSum(np.zeros((len(table.idf), num_labels), np.float32), name="wide")(
        rows, wide_weights
    )
    summed = _WeightedSum(vectors.astype(np.float32), name="deep")(rows, deep_weights)
    hidden = layers.Dense(training.hidden_size, activation="relu", name="hidden")(summed)
    hidden = layers.Dropout(training.hidden_dropout, seed=training.seed + 3)(hidden)
    deep = layers.Dense(num_labels, name="output")(layers.Concatenate()([summed, hidden]))
    return keras.Model(rows, [_Bias(prior, name="prior")(wide), deep])


def write_onnx(
    heads: keras.Model, table: FeatureTable, calibration: Calibration, file: Path
) -> None:
    """Write what is served, from feature ids to probabilities, as ONNX."""
    signature = [
        keras.InputSpec(shape=(None, None), dtype="int32", name=name)
        for name in ("token_ids", "ngram_ids")
    ]
    with warnings.catch_warnings(), signals_deferred():
        # Keras's exporter uses numpy names that are gone.
        warnings.simplefilter("ignore", FutureWarning)
        network = _served_network(heads, table, calibration)
        network.export(str(file), format="onnx", verbose=False, input_signature=[signature])
    # The exporter orders and names equal constants by chance.
    onnx.save(canonical(onnx.load(file)), file)


def _served_network(
    heads: keras.Model, table: FeatureTable, calibration: Calibration
) -> keras.Model:
    """Build what is served from the weights of the trained heads: feature ids -> probabilities.

    The calibration is folded into the weights. The export checks that the probabilities stay the same.
    """
    wide_share, deep_share = calibration.factors()
    wide, summed = heads.get_layer("wide").table.numpy(), heads.get_layer("deep").table.numpy()
    num_labels, vectors = wide.shape[1], np.hstack([wide * wide_share, summed])
    hidden, output = heads.get_layer("hidden"), heads.get_layer("output")
    kernel, bias = (weight * deep_share for weight in output.get_weights())
    bias, offsets = bias + heads.get_layer("prior").bias.numpy() * wide_share, calibration.offsets
    bias = bias if offsets is None else bias + offsets
    if calibration.prior_factors is not None:
        bias = bias + np.log(calibration.prior_factors)

    token_ids = keras.Input((None,), dtype="int32", name="token_ids")
    ngram_ids = keras.Input((None,), dtype="int32", name="ngram_ids")
    pooled = layers.Add()(
        [
            _BagOfRows(table.token_rows, table.idf[:, 0], vectors)(token_ids),
            _BagOfRows(table.ngram_rows, table.idf[:, 1], vectors)(ngram_ids),
        ]
    )
    deep = pooled[:, num_labels:]
    served_hidden = layers.Dense(hidden.units, activation="relu")
    served_output = layers.Dense(num_labels)
    margins = served_output(layers.Concatenate()([deep, served_hidden(deep)]))
    served_hidden.set_weights(hidden.get_weights())
    served_output.set_weights([kernel, bias])
    to_probabilities = layers.Softmax() if offsets is None else layers.Activation("sigmoid")
    return keras.Model(
        [token_ids, ngram_ids], to_probabilities(layers.Add()([margins, pooled[:, :num_labels]]))
    )


# -------------------------------------------------------------------- layers


def _constant(value: npt.NDArray[Any]) -> Any:
    return lambda shape, dtype=None: ops.convert_to_tensor(value, dtype=dtype)


class _Weigh(layers.Layer):  # type: ignore[misc]
    """Rows -> TF-IDF weights, (batch, length) -> (batch, length); tokens and n-grams each of length 1."""

    def __init__(self, idf: npt.NDArray[np.float32]) -> None:
        super().__init__()
        self._initial = idf

    def build(self, shape: Any) -> None:
        self.idf = self.add_weight(
            shape=self._initial.shape, initializer=_constant(self._initial), trainable=False
        )

    def call(self, rows: Any) -> Any:
        weights = ops.take(self.idf, rows, axis=0)  # (batch, length, 2)
        weights = weights * ops.rsqrt(
            ops.sum(weights * weights, axis=1, keepdims=True) + SMALLEST_SQUARE
        )
        return ops.sum(weights, axis=2)


class _WeightedSum(layers.Layer):  # type: ignore[misc]
    """Rows and their weights -> the weighted sum of their vectors, (batch, length) x 2 -> (batch, width)."""

    def __init__(self, vectors: npt.NDArray[np.float32], name: str) -> None:
        super().__init__(name=name)
        self._initial = vectors

    def build(self, *shapes: Any) -> None:
        self.table = self.add_weight(
            shape=self._initial.shape,
            initializer=_constant(self._initial),
            name=f"{self.name}_table",
        )

    def call(self, rows: Any, weights: Any) -> Any:
        # tf.gather on the variable itself, not ops.take: its gradient touches only the rows of the batch.
        return ops.einsum("bl,bln->bn", weights, tf.gather(self.table.value, rows))


class _Bias(layers.Layer):  # type: ignore[misc]
    def __init__(self, initial: npt.NDArray[np.float32], name: str) -> None:
        super().__init__(name=name)
        self._initial = initial

    def build(self, shape: Any) -> None:
        self.bias = self.add_weight(shape=self._initial.shape, initializer=_constant(self._initial))

    def call(self, margins: Any) -> Any:
        return margins + self.bias


class _BagOfRows(layers.Layer):  # type: ignore[misc]
    """Feature ids -> the sum of their rows' vectors over the length of the weights, (batch, length) -> (batch, width).

    What `_Weigh` and `_WeightedSum` compute for one kind of feature, in the fewest operations: the vectors are
    multiplied by their weights beforehand, and the squared weights are summed up as one column more.
    """

    def __init__(
        self,
        rows: npt.NDArray[np.int32],
        weights: npt.NDArray[np.float32],
        vectors: npt.NDArray[np.float32],
    ) -> None:
        super().__init__()
        kept = np.unique(rows)
        self._rows = np.searchsorted(kept, rows).astype(np.int32)
        weights = weights[kept, np.newaxis]
        self._table = np.hstack([weights * weights, weights * vectors[kept]]).astype(np.float32)

    def call(self, ids: Any) -> Any:
        # tf.gather: ops.take would first look for negative indices.
        summed = tf.reduce_sum(tf.gather(self._table, tf.gather(self._rows, ids)), axis=1)
        return summed[:, 1:] * tf.math.rsqrt(summed[:, :1] + SMALLEST_SQUARE)
