"""The training of the text model: the wide head, batches and sparse updates of the deep one, and when to stop."""

import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event
from typing import Any, Self

import keras
import numpy as np
import numpy.typing as npt
import scipy.sparse
import tensorflow as tf

from train.config.sections import TrainingConfig
from train.errors import UserError
from train.features.embeddings import Embeddings
from train.features.feature_table import Design
from train.features.text_design import TextDesign
from train.models.text.batches import Floats, Rows, batch_size, compact, cut_into_batches
from train.models.text.interruption import signals_deferred
from train.models.text.network import Heads, build_deep, deep_margins, first_vectors
from train.models.text.wide import MANY_TEXTS, fit_wide
from train.progress import Progress

# Adam's rate for batches of 16; it grows with the root of the size.
_RATE, _SIZE_OF_RATE = 0.001, 16
# What the rate is multiplied by when the validation loss no longer falls.
_NEXT_RATE = 0.3
# A loss that falls by less has not fallen.
_LEAST_GAIN = 1e-4
# A validation loss this many times that before training is more than bad luck.
_DIVERGED = 10.0
# The rate of the rows of the table is so many times that of the network: on 16,000 titles, the validation loss is
# the same from 3 to 6, and higher with 12.
_ROWS_RATE = 5.0


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

    def cut(self, place: int) -> tuple["Examples", "Examples"]:
        """Return the texts before a place, and the others."""
        first, second = (
            Examples(
                _rows_between(self.design, *ends),
                self.targets[slice(*ends)],
                self.weights[slice(*ends)],
            )
            for ends in ((0, place), (place, len(self)))
        )
        return first, second


def _rows_between(design: Design, start: int, end: int) -> Design:
    """Return some rows without a copy of what they hold, as scipy's slices make."""
    ends = design.indptr[start : end + 1]
    inside = slice(ends[0], ends[-1])
    parts = (design.data[inside], design.indices[inside], ends - ends[0])
    return scipy.sparse.csr_matrix(parts, (end - start, design.shape[1]), copy=False)


@dataclass(frozen=True)
class Schedule:
    """How the heads were fitted: what was in the configuration, or was chosen.

    Attributes:
        batch_size: Texts a step of the deep head.
        rates: Its rate in each epoch, that of Adam.
        wide_in_batches: How the wide head was fitted; see `fit_wide`.
    """

    batch_size: int
    rates: Sequence[float]
    wide_in_batches: bool = False


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
        untrained, in_batches = deep.loss(validation), len(train) >= MANY_TEXTS
        size = config.batch_size or batch_size(len(train))
        rate = config.learning_rate or _RATE * math.sqrt(size / _SIZE_OF_RATE)
        rates, history = list[float](), list[dict[str, float]]()
        best, least, lowered = deep.state(), math.inf, 0
        with self._wide_beside(train, in_batches) as wide, signals_deferred() as deliver_signals:
            while len(history) < config.epochs and lowered <= config.patience:
                started, batches = time.perf_counter(), cut_into_batches(len(train), size, random)
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
        return (
            Heads(*wide.result(), *deep.weights(), self._table_rows),
            Schedule(size, rates, in_batches),
            history,
        )

    def fit(self, train: Examples, schedule: Schedule) -> Heads:
        """Fit new heads by a schedule that was chosen before.

        Raises:
            TrainingError: A loss is not finite.
        """
        deep, random = self._deep.begin(), self._random()
        epochs = [cut_into_batches(len(train), schedule.batch_size, random) for _ in schedule.rates]
        with (
            self._wide_beside(train, schedule.wide_in_batches) as wide,
            self._progress.bar("batches", sum(map(len, epochs))) as advance,
            signals_deferred() as deliver_signals,
        ):
            for rate, batches in zip(schedule.rates, epochs, strict=True):
                _epoch(deep, train, batches, rate, (advance, deliver_signals))
        return Heads(*wide.result(), *deep.weights(), self._table_rows)

    @contextmanager
    def _wide_beside(
        self, train: Examples, in_batches: bool
    ) -> Iterator[Future[tuple[Floats, Floats]]]:
        """Fit the wide head in a thread: it needs no Python while it is fitted, and nothing of the deep head."""
        config, abandoned = self._config, Event()
        given = (train.design, train.targets, train.weights, config.wide_penalty, config.seed)
        with ThreadPoolExecutor(1, "wide") as pool:
            try:
                yield pool.submit(fit_wide, *given, in_batches, abandoned.is_set)
            except BaseException:
                abandoned.set()
                raise

    def _random(self) -> np.random.Generator:
        return np.random.default_rng(self._config.seed)


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
        losses.append(deep.step(train.of(batch), rate))
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

    Only the rows of a batch that dropout leaves are read and updated: a dense update of the whole table would take most
    of the time of an epoch.
    """

    def __init__(
        self, vectors: npt.NDArray[np.float32], num_labels: int, config: TrainingConfig
    ) -> None:
        keras.utils.set_random_seed(config.seed)
        self._keep, self._seed = 1.0 - config.deep_dropout, config.seed
        self._network = build_deep(vectors.shape[1], num_labels, config)
        self._first, self._rows = vectors, Rows(vectors)
        self._random = np.random.default_rng(config.seed)
        self._optimizer = keras.optimizers.Adam(name="adam")
        self._optimizer.build(self._network.trainable_variables)
        # Traced here and not at the first call: TensorFlow would warn of the fits of a search, as tracing "too often".
        self._step = tf.function(self._trace_step).get_concrete_function(
            tf.TensorSpec((None, vectors.shape[1]), tf.float32),
            tf.TensorSpec((None, num_labels), tf.float32),
            tf.TensorSpec((None,), tf.float32),
            tf.TensorSpec((), tf.float32),
        )
        self._at_first = self._network_state()

    def begin(self) -> Self:
        """Forget all training."""
        self._rows, self._random = Rows(self._first), np.random.default_rng(self._seed)
        self._restore_network(self._at_first)
        return self

    def state(self) -> tuple[Rows, list[npt.NDArray[Any]]]:
        """Return everything that training changes, but for the state of dropout."""
        return self._rows.copy(), self._network_state()

    def restore(self, state: tuple[Rows, list[npt.NDArray[Any]]]) -> None:
        """Go back to a state."""
        self._rows = state[0].copy()
        self._restore_network(state[1])

    def weights(self) -> tuple[npt.NDArray[np.float32], list[npt.NDArray[np.float32]]]:
        """Return the table, and the weights of the network layer by layer."""
        return self._rows.vectors, self._network.get_weights()

    def step(self, batch: Examples, rate: float) -> float:
        """Train on a batch, and return its loss."""
        design = batch.design
        # What dropout leaves out needs no row, no sum and no update.
        kept = self._random.random(len(design.data), np.float32) < self._keep
        ends = np.concatenate([[0], np.cumsum(kept)])[design.indptr]
        values = design.data[kept] / np.float32(self._keep)
        rows, weights = compact(design.indices[kept], values, ends)
        given = (weights @ self._rows.vectors[rows], batch.targets, batch.weights, rate)
        loss, gradient = self._step(*(tf.constant(value, tf.float32) for value in given))
        with np.errstate(
            over="ignore", invalid="ignore"
        ):  # the loss tells that training has diverged
            self._rows.update(rows, weights.T @ gradient.numpy(), _ROWS_RATE * rate)
        return float(loss)

    def loss(self, examples: Examples) -> float:
        """Return the mean loss of examples, without dropout; not finite if training has diverged."""
        with np.errstate(over="ignore", invalid="ignore"):
            margins = deep_margins(examples.design, *self.weights())
            losses = np.square(np.maximum(0, 1 - (2 * examples.targets - 1) * margins)).sum(axis=1)
        return float(np.average(losses, weights=examples.weights))

    def _network_state(self) -> list[npt.NDArray[Any]]:
        return [variable.numpy() for variable in self._variables()]

    def _restore_network(self, state: Sequence[npt.NDArray[Any]]) -> None:
        for variable, value in zip(self._variables(), state, strict=True):
            variable.assign(value)

    def _variables(self) -> list[Any]:
        return [*self._network.variables, *self._optimizer.variables]

    def _trace_step(self, summed: Any, targets: Any, weights: Any, rate: Any) -> Any:
        """Train the network on the sums of texts; return the loss and its gradient at the sums."""
        trained = self._network.trainable_variables
        with tf.GradientTape() as tape:
            tape.watch(summed)
            margins = self._network(summed, training=True)
            missed = tf.maximum(0.0, 1.0 - (2.0 * targets - 1.0) * margins)
            # One-vs-rest squared hinge.
            loss = tf.reduce_mean(weights * tf.reduce_sum(tf.square(missed), axis=-1))
        gradient, *others = tape.gradient(loss, [summed, *trained])
        self._optimizer.learning_rate.assign(rate)
        self._optimizer.apply_gradients(zip(others, trained, strict=True))
        return loss, gradient
