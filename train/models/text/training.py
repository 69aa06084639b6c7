"""The training of the text model: the wide head, batches and sparse updates of the deep one, and when to stop."""

import math
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from train.config.sections import TrainingConfig
from train.errors import UserError
from train.features.embeddings import Embeddings
from train.features.feature_table import Design
from train.features.text_design import TextDesign
from train.models.text.interruption import signals_deferred
from train.models.text.network import Heads, build_deep, deep_margins, first_vectors
from train.models.text.wide import fit_wide
from train.progress import Progress

# The batches of an epoch that are aimed at, and the sizes that are of use.
_BATCHES, _SMALLEST_BATCH, _LARGEST_BATCH = 100, 16, 128
# Adam's rate for the smallest batch; it grows with the root of the size.
_RATE = 0.001
# What the rate is multiplied by when the validation loss no longer falls.
_NEXT_RATE = 0.3
# A loss that falls by less has not fallen.
_LEAST_GAIN = 1e-4
# A validation loss this many times that before training is more than bad luck.
_DIVERGED = 10.0
# Of Adam, as Keras has them.
_BETA_1, _BETA_2, _EPSILON = 0.9, 0.999, 1e-7


class TrainingError(UserError):
    """Training went wrong in a way that the user can fix."""


@dataclass(frozen=True)
class Examples:
    """The texts to train on, or to measure on.

    Attributes:
        design: Sparse <float32>[num_texts, num_columns], their TF-IDF weights and what an encoder says of them.
        targets: <float32>[num_texts, num_labels], 1 for the labels that a text has.
        weights: <float32>[num_texts], how much each text counts.
    """

    design: Design
    targets: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.targets)

    def of(self, rows: npt.NDArray[np.int64]) -> "Examples":
        """Return some of the texts."""
        return Examples(self.design[rows], self.targets[rows], self.weights[rows])


@dataclass(frozen=True)
class Schedule:
    """How the deep head was fitted: what was in the configuration, or was chosen.

    Attributes:
        batch_size: Texts a step.
        rates: Adam's rate in each epoch.
    """

    batch_size: int
    rates: Sequence[float]


class Trainer:
    """Builds and fits the two heads, always in the same way."""

    def __init__(
        self,
        config: TrainingConfig,
        design: TextDesign,
        embeddings: Embeddings,
        num_labels: int,
        progress: Progress,
    ) -> None:
        self._config, self._progress = config, progress
        self._table_rows = len(design.table.idf)
        vectors = first_vectors(design.num_columns, embeddings, config.seed)
        self._deep = _Deep(vectors, num_labels, config)

    def choose(
        self, train: Examples, validation: Examples
    ) -> tuple[Heads, Schedule, list[dict[str, float]]]:
        """Fit new heads for as long as that is of use to the validation texts.

        When the validation loss no longer falls, training goes back to the best epoch and on with a lower rate, as
        often as `patience` says.

        Returns:
            The heads of the best epoch, how it was reached, and the losses of all epochs.

        Raises:
            TrainingError: A loss is not finite, or is far above what it was before training.
        """
        config, deep, random = self._config, self._deep.begin(), self._random()
        untrained = deep.loss(validation)
        batch_size = config.batch_size or _batch_size(len(train))
        rate = config.learning_rate or _RATE * math.sqrt(batch_size / _SMALLEST_BATCH)
        rates, history = list[float](), list[dict[str, float]]()
        best, least, lowered = deep.state(), math.inf, 0
        with signals_deferred() as deliver_signals:
            while len(history) < config.epochs and lowered <= config.patience:
                started, batches = time.perf_counter(), _batches(len(train), batch_size, random)
                with self._progress.bar("batches of an epoch", len(batches)) as advance:
                    loss = _epoch(deep, train, batches, rate, (advance, deliver_signals))
                measured = deep.loss(validation)
                _require(measured, "validation loss", _DIVERGED * untrained)
                history.append({"loss": loss, "validation_loss": measured})
                told = f"epoch {len(history)}: loss {loss:.4f}, validation loss {measured:.4f}"
                if measured < least - _LEAST_GAIN:
                    best, least = deep.state(), measured
                    rates.append(rate)
                else:
                    deep.restore(best)
                    rate, lowered = rate * _NEXT_RATE, lowered + 1
                    told += "; back to the best epoch"
                self._progress.say(f"{told}; {time.perf_counter() - started:.1f} s")
        deep.restore(best)
        return self._heads(train), Schedule(batch_size, rates), history

    def fit(self, train: Examples, schedule: Schedule) -> Heads:
        """Fit new heads by a schedule that was chosen before.

        Raises:
            TrainingError: A loss is not finite.
        """
        deep, random = self._deep.begin(), self._random()
        epochs = [_batches(len(train), schedule.batch_size, random) for _ in schedule.rates]
        with (
            self._progress.bar("batches", sum(map(len, epochs))) as advance,
            signals_deferred() as deliver_signals,
        ):
            for rate, batches in zip(schedule.rates, epochs, strict=True):
                _epoch(deep, train, batches, rate, (advance, deliver_signals))
        return self._heads(train)

    def _heads(self, train: Examples) -> Heads:
        config = self._config
        wide = fit_wide(
            train.design, train.targets, train.weights, config.wide_penalty, config.seed
        )
        return Heads(*wide, *self._deep.weights(), self._table_rows)

    def _random(self) -> np.random.Generator:
        return np.random.default_rng(self._config.seed)


def _batch_size(num_texts: int) -> int:
    """Return the power of two with which an epoch has about `_BATCHES` batches, within bounds.

    >>> _batch_size(460), _batch_size(2_000), _batch_size(100_000)
    (16, 16, 128)
    """
    size = 1 << round(math.log2(max(1, num_texts / _BATCHES)))
    return min(max(size, _SMALLEST_BATCH), _LARGEST_BATCH)


def _batches(
    num_texts: int, batch_size: int, random: np.random.Generator
) -> list[npt.NDArray[np.int64]]:
    order = random.permutation(num_texts)
    return np.split(order, range(batch_size, num_texts, batch_size))


def _epoch(
    deep: "_Deep",
    train: Examples,
    batches: Sequence[npt.NDArray[np.int64]],
    rate: float,
    after_each: Sequence[Callable[[], object]],
) -> float:
    """Train on every batch, and return the mean loss; raise TrainingError if it is not finite."""
    losses = []
    for batch in batches:
        losses.append(deep.step(train.of(np.sort(batch)), rate))
        for call in after_each:
            call()
    loss = float(np.average(losses, weights=[len(batch) for batch in batches]))
    _require(loss, "loss")
    return loss


def _require(loss: float, name: str, most: float = sys.float_info.max) -> None:
    """Raise TrainingError if a loss shows that training has diverged, also when it is not a number."""
    if not loss <= most:
        raise TrainingError(
            f"training diverged: the {name} is {loss:.3g}. Lower training.learning_rate."
        )


class _Deep:
    """The deep head while it is trained: the table of vectors, and the Keras network that reads their sum.

    Only the rows of a batch are updated, as Adam would (lazy Adam): a dense update of the whole table would take
    most of the time of an epoch.
    """

    def __init__(
        self, vectors: npt.NDArray[np.float32], num_labels: int, config: TrainingConfig
    ) -> None:
        keras.utils.set_random_seed(config.seed)
        self._keep = 1.0 - config.deep_dropout
        self._network = build_deep(vectors.shape[1], num_labels, config)
        self._table = tf.Variable(vectors)
        self._momentum, self._velocity = (tf.Variable(tf.zeros_like(vectors)) for _ in range(2))
        self._steps = tf.Variable(0.0)
        self._random = tf.random.Generator.from_seed(config.seed)
        self._optimizer = keras.optimizers.Adam(
            beta_1=_BETA_1, beta_2=_BETA_2, epsilon=_EPSILON, name="adam"
        )
        self._optimizer.build(self._network.trainable_variables)
        # Traced here and not at the first call: TensorFlow would warn of the fits of a search, as tracing "too often".
        self._step = tf.function(self._trace_step).get_concrete_function(
            tf.TensorSpec((None,), tf.int64),
            tf.TensorSpec((None, 2), tf.int64),
            tf.TensorSpec((None,), tf.float32),
            tf.TensorSpec((None, num_labels), tf.float32),
            tf.TensorSpec((None,), tf.float32),
            tf.TensorSpec((), tf.float32),
        )
        self._at_first = self.state()

    def begin(self) -> Self:
        """Forget all training."""
        self.restore(self._at_first)
        return self

    def state(self) -> list[npt.NDArray[Any]]:
        """Return everything that training changes."""
        return [variable.numpy() for variable in self._variables()]

    def restore(self, state: Sequence[npt.NDArray[Any]]) -> None:
        """Go back to a state."""
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def weights(self) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[np.float32]]]:
        """Return the table, and the weights of the network layer by layer."""
        return self._table.numpy(), self._network.get_weights()

    def step(self, batch: Examples, rate: float) -> float:
        """Train on a batch, and return its loss."""
        design = batch.design
        rows, columns = np.unique(design.indices, return_inverse=True)
        owners = np.repeat(np.arange(len(batch)), np.diff(design.indptr))
        where = np.stack([owners, columns], axis=1).astype(np.int64)
        given = (rows.astype(np.int64), where, design.data, batch.targets, batch.weights)
        return float(self._step(*map(tf.constant, given), tf.constant(rate, tf.float32)))

    def loss(self, examples: Examples) -> float:
        """Return the mean loss of examples, without dropout; not finite if training has diverged."""
        with np.errstate(over="ignore", invalid="ignore"):
            margins = deep_margins(examples.design, *self.weights())
            losses = np.square(np.maximum(0, 1 - (2 * examples.targets - 1) * margins)).sum(axis=1)
        return float(np.average(losses, weights=examples.weights))

    def _variables(self) -> list[Any]:
        mine = [self._table, self._momentum, self._velocity, self._steps, self._random.state]
        return [*mine, *self._network.variables, *self._optimizer.variables]

    def _trace_step(
        self, rows: Any, where: Any, values: Any, targets: Any, weights: Any, rate: Any
    ) -> Any:
        """Train on texts given as a sparse matrix of the rows that they have."""
        kept = self._random.uniform(tf.shape(values)) < self._keep
        values = tf.where(kept, values / self._keep, 0.0)
        shape = tf.stack([tf.shape(targets, tf.int64)[0], tf.size(rows, tf.int64)])
        vectors = tf.gather(self._table, rows)
        trained = self._network.trainable_variables
        with tf.GradientTape() as tape:
            tape.watch(vectors)
            summed = tf.sparse.sparse_dense_matmul(tf.SparseTensor(where, values, shape), vectors)
            margins = self._network(summed, training=True)
            missed = tf.maximum(0.0, 1.0 - (2.0 * targets - 1.0) * margins)
            # One-vs-rest squared hinge.
            loss = tf.reduce_mean(weights * tf.reduce_sum(tf.square(missed), axis=-1))
        gradient, *others = tape.gradient(loss, [vectors, *trained])
        self._optimizer.learning_rate.assign(rate)
        self._optimizer.apply_gradients(zip(others, trained, strict=True))
        self._update(rows, gradient, rate)
        return loss

    def _update(self, rows: Any, gradient: Any, rate: Any) -> None:
        steps = self._steps.assign_add(1.0)
        momentum = _BETA_1 * tf.gather(self._momentum, rows) + (1 - _BETA_1) * gradient
        velocity = _BETA_2 * tf.gather(self._velocity, rows) + (1 - _BETA_2) * gradient**2
        self._momentum.scatter_update(tf.IndexedSlices(momentum, rows))
        self._velocity.scatter_update(tf.IndexedSlices(velocity, rows))
        rate = rate * tf.sqrt(1 - _BETA_2**steps) / (1 - _BETA_1**steps)
        step = rate * momentum / (tf.sqrt(velocity) + _EPSILON)
        self._table.scatter_sub(tf.IndexedSlices(step, rows))
