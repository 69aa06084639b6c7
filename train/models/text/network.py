"""The network of the text model: the two heads that are trained, and the one network that is served."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnx
from keras import layers, ops
from onnx import helper
from onnx.numpy_helper import from_array, to_array

from predict.contract.encoder import ENCODED
from predict.contract.features import FIRST_WORD_ID
from predict.contract.text_table import LOG_PRIOR, SMALLEST_SQUARE, SUMS
from train.config.sections import TrainingConfig
from train.features.embeddings import Embeddings
from train.features.feature_table import Design, FeatureTable
from train.models.calibration import Calibration
from train.models.text.canonical import canonical
from train.models.text.interruption import signals_deferred

# The length of vectors that gensim does not give; those that it gives have a length of 1.
_RANDOM_LENGTH = 0.3

# Variable of the served network -> what the graph calls its value; see `HEAD`.
_PUT_OUT = {
    "encoder/kernel": "encoder_kernel",
    "hidden/kernel": "hidden_kernel",
    "hidden/bias": "hidden_bias",
    "margins/kernel": "kernel",
    "margins/bias": "bias",
}

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Heads:
    """The two trained heads of one table of features.

    A design has a column for every row of the table, and after them one for each number of an encoder's vectors.

    Attributes:
        wide: The weights of the linear one, <float32>[num_columns, num_labels].
        wide_bias: <float32>[num_labels].
        vectors: What the deep one adds up, <float32>[num_columns, vector_size].
        layers: The kernel and the bias of the deep one's hidden layer, then those of its output.
        table_rows: How many of the columns are rows of the table.
    """

    wide: Floats
    wide_bias: Floats
    vectors: Floats
    layers: Sequence[Floats]
    table_rows: int

    def rounded(self, table: FeatureTable) -> "Heads":
        """Return the heads with the rows that are served: weighted, in half precision."""
        weights, count = table.weights[:, np.newaxis], self.table_rows
        with np.errstate(invalid="ignore"):  # row 0 weighs nothing
            wide, vectors = (
                np.nan_to_num(
                    (weights * rows[:count]).astype(np.float16).astype(np.float32) / weights
                )
                for rows in (self.wide, self.vectors)
            )
        return replace(
            self,
            wide=np.vstack([wide, self.wide[count:]]),
            vectors=np.vstack([vectors, self.vectors[count:]]),
        )

    def served_vectors(self, calibration: Calibration) -> Floats:
        """Return what a server must add up of each row of the table, <float32>[table_rows, width]."""
        return self._read(calibration)[: self.table_rows]

    def encoder_kernel(self, calibration: Calibration) -> Floats:
        """Return what the numbers of an encoder's vector add to that sum, <float32>[encoder width, width]."""
        return self._read(calibration)[self.table_rows :]

    def _read(self, calibration: Calibration) -> Floats:
        return np.hstack([self.wide, self.vectors]) if calibration.deep_share else self.wide

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


def first_vectors(num_columns: int, embeddings: Embeddings, seed: int) -> npt.NDArray[np.float32]:
    """Return what the deep head starts from: gensim's vectors for words, and short random ones for all else."""
    width = embeddings.matrix.shape[1]
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((num_columns, width)) * (_RANDOM_LENGTH / math.sqrt(width))
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


def write_onnx(heads: Heads, calibration: Calibration, file: Path) -> None:
    """Write what is served, from the sums of a text to probabilities, as ONNX."""
    network = _served_network(heads, calibration)
    inputs = [
        keras.InputSpec(shape=(None, *given.shape[1:]), dtype="float32", name=given.name)
        for given in network.inputs
    ]
    signature = [inputs if len(inputs) > 1 else inputs[0]]
    with warnings.catch_warnings(), signals_deferred():
        # Keras's exporter uses numpy names that are gone.
        warnings.simplefilter("ignore", FutureWarning)
        network.export(str(file), format="onnx", verbose=False, input_signature=signature)
    exported = onnx.load(file)
    _put_out_weights(exported.graph, network, log_prior_of(calibration))
    # The exporter orders and names equal constants by chance.
    onnx.save(canonical(exported), file)


def _put_out_weights(
    graph: onnx.GraphProto, network: keras.Model, log_prior: Floats | None
) -> None:
    """Add the weights of the head to the outputs, for servers that compute single answers themselves."""
    constants = {to_array(item).tobytes(): item for item in graph.initializer}
    dense = [layer for layer in network.layers if isinstance(layer, layers.Dense)]
    weights = {
        _PUT_OUT[variable.path]: variable.numpy() for layer in dense for variable in layer.weights
    }
    if log_prior is not None:
        weights[LOG_PRIOR] = log_prior
    for name, weight in weights.items():
        constant = constants.get(weight.tobytes())
        if constant is None:  # the exporter leaves out biases of 0
            constant = from_array(weight, f"all of {name}")
            graph.initializer.append(constant)
        graph.node.append(helper.make_node("Identity", [constant.name], [name]))
        value = helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, constant.dims)
        graph.output.append(value)


def _served_network(heads: Heads, calibration: Calibration) -> keras.Model:
    """Build what is served from the weights of the trained heads: the sums of `TextTable` -> probabilities.

    If there is an encoder, its vectors are read too.

    The calibration is folded into the weights. The export checks that the probabilities stay the same.
    """
    (wide_share, deep_share), num_labels = calibration.factors(), heads.wide.shape[1]
    hidden_kernel, hidden_bias, kernel, deep_bias = heads.layers
    bias: npt.NDArray[Any] = deep_bias * deep_share + heads.wide_bias * wide_share
    bias = (bias + calibration.offsets).astype(np.float32)

    encoder_kernel = heads.encoder_kernel(calibration)
    sums = keras.Input((2, 1 + encoder_kernel.shape[1]), name=SUMS)
    of_length_one = sums[:, :, 1:] * ops.rsqrt(sums[:, :, :1] + SMALLEST_SQUARE)
    both, inputs = ops.sum(of_length_one, axis=1), [sums]
    if len(encoder_kernel):
        encoded = keras.Input((len(encoder_kernel),), name=ENCODED)
        inputs.append(encoded)
        added = layers.Dense(encoder_kernel.shape[1], use_bias=False, name="encoder")
        both = both + added(encoded)
        added.set_weights([encoder_kernel])
    wide = np.eye(num_labels, dtype=np.float32) * wide_share
    # One product for both heads: of the wide margins, of the sums of the deep head, and of its hidden units.
    read, kernels = [both], [wide]
    if deep_share:
        deep = both[:, num_labels:]
        hidden = layers.Dense(len(hidden_bias), activation="relu", name="hidden")
        read.append(hidden(deep))
        hidden.set_weights([hidden_kernel, hidden_bias])
        kernels.append(kernel * deep_share)
    margins = layers.Dense(num_labels, name="margins")
    scaled = margins(layers.Concatenate()(read) if deep_share else both)
    margins.set_weights([np.vstack(kernels), bias])
    if calibration.several:
        return keras.Model(inputs, ops.sigmoid(scaled))
    logarithms = ops.log_sigmoid(scaled)
    if (prior := log_prior_of(calibration)) is not None:
        logarithms = logarithms + prior
    return keras.Model(inputs, ops.softmax(logarithms))


def log_prior_of(calibration: Calibration) -> Floats | None:
    """Return what is added to the logarithms of probabilities, <float32>[num_labels]; None for nothing."""
    factors = calibration.prior_factors
    return None if factors is None else np.log(factors).astype(np.float32)
