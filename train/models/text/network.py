"""The network of the text model: the two heads that are trained, and the one network that is served."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf
from keras import layers

from predict.contract.features import FIRST_WORD_ID
from train.config.sections import TrainingConfig
from train.features.embeddings import Embeddings
from train.features.feature_table import SMALLEST_SQUARE, Design, FeatureTable
from train.models.calibration import Calibration
from train.models.text.canonical import canonical
from train.models.text.interruption import signals_deferred

# The length of vectors that gensim does not give; those that it gives have a length of 1.
_RANDOM_LENGTH = 0.3

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Heads:
    """The two trained heads of one table of features.

    Attributes:
        wide: The weights of the linear one, <float32>[num_rows, num_labels].
        wide_bias: <float32>[num_labels].
        vectors: What the deep one adds up, <float32>[num_rows, vector_size].
        layers: The kernel and the bias of the deep one's hidden layer, then those of its output.
    """

    wide: Floats
    wide_bias: Floats
    vectors: Floats
    layers: Sequence[Floats]

    def margins(self, design: Design) -> tuple[Floats, Floats]:
        """Return the margins of both heads for the weights of texts, <float32>[num_texts, num_labels] each."""
        wide: Floats = design @ self.wide + self.wide_bias
        return wide, deep_margins(design, self.vectors, self.layers)


def deep_margins(design: Design, vectors: Floats, weights: Sequence[Floats]) -> Floats:
    """Return what the network of `build_deep` says of texts, without dropout, <float32>[num_texts, num_labels]."""
    hidden_kernel, hidden_bias, kernel, bias = weights
    summed: Floats = design @ vectors
    hidden = np.maximum(0, summed @ hidden_kernel + hidden_bias)
    margins: Floats = np.hstack([summed, hidden]) @ kernel + bias
    return margins


def first_vectors(
    table: FeatureTable, embeddings: Embeddings, seed: int
) -> npt.NDArray[np.float32]:
    """Return what the deep head starts from: gensim's vectors for words, and short random ones for all else."""
    width = embeddings.matrix.shape[1]
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((len(table.idf), width)) * (_RANDOM_LENGTH / math.sqrt(width))
    words = embeddings.matrix[FIRST_WORD_ID:]
    has_vector = words.any(axis=1)
    vectors[1 : 1 + len(words)][has_vector] = words[has_vector]  # row 1 is the first word
    return vectors.astype(np.float32)


def build_deep(width: int, num_labels: int, training: TrainingConfig) -> keras.Model:
    """Build the network of the deep head: a hidden layer beside a skip connection."""
    summed = keras.Input((width,), name="summed")
    hidden = layers.Dense(training.hidden_size, activation="relu", name="hidden")(summed)
    hidden = layers.Dropout(training.hidden_dropout, seed=training.seed + 3)(hidden)
    margins = layers.Dense(num_labels, name="output")(layers.Concatenate()([summed, hidden]))
    return keras.Model(summed, margins)


def write_onnx(heads: Heads, table: FeatureTable, calibration: Calibration, file: Path) -> None:
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


def _served_network(heads: Heads, table: FeatureTable, calibration: Calibration) -> keras.Model:
    """Build what is served from the weights of the trained heads: feature ids -> probabilities.

    The calibration is folded into the weights. The export checks that the probabilities stay the same.
    """
    wide_share, deep_share = calibration.factors()
    num_labels, vectors = heads.wide.shape[1], np.hstack([heads.wide * wide_share, heads.vectors])
    hidden_kernel, hidden_bias, kernel, deep_bias = heads.layers
    kernel = kernel * deep_share
    bias: npt.NDArray[Any] = deep_bias * deep_share + heads.wide_bias * wide_share
    offsets = calibration.offsets
    if offsets is not None:
        bias = bias + offsets
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
    served_hidden = layers.Dense(len(hidden_bias), activation="relu")
    served_output = layers.Dense(num_labels)
    margins = served_output(layers.Concatenate()([deep, served_hidden(deep)]))
    served_hidden.set_weights([hidden_kernel, hidden_bias])
    served_output.set_weights([kernel, bias])
    to_probabilities = layers.Softmax() if offsets is None else layers.Activation("sigmoid")
    return keras.Model(
        [token_ids, ngram_ids], to_probabilities(layers.Add()([margins, pooled[:, :num_labels]]))
    )


# -------------------------------------------------------------------- layers


class _BagOfRows(layers.Layer):  # type: ignore[misc]
    """Feature ids -> the sum of their rows' vectors over the length of the weights, (batch, length) -> (batch, width).

    What a product with `feature_table.weigh` gives for one kind of feature, in the fewest operations: the vectors are
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
