"""The training of the text model: batches, losses, sparse updates, early stopping; and the margins of trained heads."""

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf
from keras import ops

from train.config.sections import TrainingConfig
from train.errors import UserError
from train.features.embeddings import Embeddings
from train.features.feature_table import (
    ENCODED_AT_ONCE,
    FeatureTable,
    largest_eigenvalue,
    pad_rows,
)
from train.models.calibration import Margins
from train.models.text.interruption import signals_deferred
from train.models.text.network import WIDE_TABLE, build_heads
from train.models.text.targets import label_shares, loss_of_prior
from train.progress import Progress

# The learning rate falls linearly to this share of where it started.
_LAST_RATE = 0.02
# The rate for the wide part is at most this share of the one at which plain gradient descent starts to diverge; the
# rest is left for the noise of batches.
_STABLE_SHARE = 0.6
# A loss this many times that of the label shares alone is more than bad luck.
_DIVERGED = 10.0


class TrainingError(UserError):
    """Training went wrong in a way that the user can fix."""


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """Shuffled batches of texts of like length, padded to the longest of the batch."""

    def __init__(
        self,
        rows: Sequence[npt.NDArray[np.int32]],
        targets: npt.NDArray[np.float32],
        weights: npt.NDArray[np.float32],
        chosen: npt.NDArray[np.int64],
        config: TrainingConfig,
    ) -> None:
        super().__init__()
        self._rows, self._targets, self._weights, self._chosen = rows, targets, weights, chosen
        self._lengths = np.array([len(rows[i]) for i in chosen])
        self._batch_size = config.batch_size
        self._random = np.random.default_rng(config.seed)
        self.on_epoch_end()

    def label_shares(self) -> npt.NDArray[np.float32]:
        """Return the weighted share of every label, <float32>[num_labels]."""
        return label_shares(self._targets[self._chosen], self._weights[self._chosen])

    def stable_rate(self, table: FeatureTable, most: float) -> float:
        """Return a rate for the wide part's SGD, at most `most`, with which its steps do not overshoot.

        Gradient descent on a squared loss diverges above a rate of 1 / largest eigenvalue. A batch has a larger
        one than all texts: its own texts, of squared length 2, make up much of it.
        """
        weights = self._weights[self._chosen]
        overall = largest_eigenvalue(table, [self._rows[i] for i in self._chosen], weights)
        of_one_batch = overall + 2 * float(weights.max()) / self._batch_size
        return min(most, _STABLE_SHARE / of_one_batch)

    def on_epoch_end(self) -> None:
        """Shuffle again, for the next epoch."""
        # Sorted by length within stretches of eight batches: little padding, and still shuffled.
        order, stretch = self._random.permutation(len(self._chosen)), 8 * self._batch_size
        for start in range(0, len(order), stretch):
            part = order[start : start + stretch]
            order[start : start + stretch] = part[np.argsort(self._lengths[part], kind="stable")]
        self._batches = np.split(order, range(self._batch_size, len(order), self._batch_size))
        self._random.shuffle(self._batches)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        chosen = self._chosen[self._batches[index]]
        target, weight = self._targets[chosen], self._weights[chosen]
        padded = pad_rows([self._rows[i] for i in chosen])
        # If its first two batches have the same width, Keras expects it of all.
        if index == 1 and padded.shape[1] == max(1, *self._lengths[self._batches[0]]):
            padded = np.pad(padded, ((0, 0), (0, 1)))
        return padded, (target, target), (weight, weight)


class Trainer:
    """Builds and fits the two heads, always in the same way."""

    def __init__(
        self,
        config: TrainingConfig,
        table: FeatureTable,
        embeddings: Embeddings,
        progress: Progress,
    ) -> None:
        self._config, self._table, self._embeddings, self._progress = (
            config,
            table,
            embeddings,
            progress,
        )

    def fit(
        self, train: Batches, validation: Batches | None = None, epochs: int | None = None
    ) -> tuple[keras.Model, list[dict[str, float]]]:
        """Fit new heads; with validation batches, stop early and go back to the best epoch."""
        training = self._config
        total = epochs or training.epochs
        history: list[dict[str, float]] = []
        callbacks: list[keras.callbacks.Callback] = [keras.callbacks.TerminateOnNaN()]
        if validation is not None:
            callbacks.append(
                keras.callbacks.EarlyStopping(
                    "val_loss", patience=training.patience, restore_best_weights=True
                )
            )
        with (
            self._progress.bar("batches", total * len(train)) as advance,
            signals_deferred() as deliver_signals,
        ):
            callbacks.append(_Narrator(self._progress, total, history, advance, deliver_signals))
            heads = self._compiled_heads(train)
            heads.fit(
                train,
                validation_data=validation,
                epochs=total,
                shuffle=False,
                verbose=0,
                callbacks=callbacks,
            )
        last = history[-1]["loss"] if history else math.nan
        at_first = 2 * loss_of_prior(train.label_shares())  # two heads
        if not last <= _DIVERGED * at_first:  # also when it is not a number
            raise TrainingError(
                f"training diverged: the loss is {last:.3g}, that of the label shares alone would be {at_first:.3g}. "
                "Lower training.learning_rate and training.wide_learning_rate."
            )
        return heads, history

    def _compiled_heads(self, train: Batches) -> keras.Model:
        training = self._config
        keras.utils.set_random_seed(training.seed)
        heads = build_heads(self._table, self._embeddings, train.label_shares(), self._config)
        # The schedule is that of all epochs even if fewer are asked for: they were chosen under it.
        rate = _LinearDecay(training.learning_rate, len(train) * training.epochs)
        ratio = train.stable_rate(self._table, training.wide_learning_rate) / training.learning_rate
        heads.compile(_SparseAdam(rate, ratio), loss=[_squared_hinge, _squared_hinge])
        return heads


# Padded rows of ids -> the margins of both heads.
Scorer = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def make_scorer(heads: keras.Model) -> Scorer:
    """Return a function that TensorFlow traces once: tracing takes longer than scoring a few hundred texts."""
    any_batch = tf.TensorSpec((None, None), tf.int32)
    scorer: Scorer = tf.function(
        lambda padded: heads(padded, training=False), input_signature=[any_batch]
    )
    return scorer


def score_margins(scorer: Scorer, rows: Sequence[npt.NDArray[np.int32]]) -> tuple[Margins, Margins]:
    """Return the margins of both heads for texts given as rows, <float32>[num_texts, num_labels] each."""
    starts = range(0, len(rows), ENCODED_AT_ONCE)
    with signals_deferred():
        batches = [
            scorer(tf.constant(pad_rows(rows[start : start + ENCODED_AT_ONCE]))) for start in starts
        ]
    wide, deep = zip(*batches, strict=True)
    return np.concatenate(wide), np.concatenate(deep)


# ------------------------------------------------------- updates and losses


class _SparseAdam(keras.optimizers.Adam):  # type: ignore[misc]
    """Adam that updates only the rows of a batch in a table: plain SGD for the wide one, lazy Adam for the deep one.

    A dense update of the whole tables would take most of the time of an epoch. The wide table is a linear
    model, for which Adam's steps along rare features are too long.
    """

    def __init__(self, learning_rate: Any, wide_ratio: float) -> None:
        super().__init__(learning_rate, name="sparse_adam")
        self._wide_ratio = wide_ratio

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        if not isinstance(gradient, tf.IndexedSlices):
            super().update_step(gradient, variable, learning_rate)
            return
        table = variable if isinstance(variable, tf.Variable) else variable.value
        indices = tf.reshape(gradient.indices, [-1])
        values = tf.reshape(gradient.values, [-1, variable.shape[-1]])
        index = self._get_variable_index(variable)
        if self._trainable_variables[index].name == WIDE_TABLE:
            table.scatter_sub(tf.IndexedSlices(learning_rate * self._wide_ratio * values, indices))
            return
        momentum, velocity = self._momentums[index].value, self._velocities[index].value
        step = tf.cast(self.iterations + 1, tf.float32)
        indices, positions = tf.unique(indices)
        values = tf.math.unsorted_segment_sum(values, positions, tf.size(indices))
        m = self.beta_1 * tf.gather(momentum, indices) + (1 - self.beta_1) * values
        v = self.beta_2 * tf.gather(velocity, indices) + (1 - self.beta_2) * values * values
        momentum.scatter_update(tf.IndexedSlices(m, indices))
        velocity.scatter_update(tf.IndexedSlices(v, indices))
        rate = (
            learning_rate * tf.sqrt(1 - tf.pow(self.beta_2, step)) / (1 - tf.pow(self.beta_1, step))
        )
        table.scatter_sub(tf.IndexedSlices(rate * m / (tf.sqrt(v) + self.epsilon), indices))


class _LinearDecay(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    def __init__(self, start: float, steps: int) -> None:
        self._start, self._steps = start, steps

    def __call__(self, step: Any) -> Any:
        return self._start * ops.maximum(1 - ops.cast(step, "float32") / self._steps, _LAST_RATE)

    def get_config(self) -> dict[str, Any]:
        return {"start": self._start, "steps": self._steps}


def _squared_hinge(target: Any, margins: Any) -> Any:
    """Sum the one-vs-rest squared hinge losses over the labels; targets are 0 or 1.

    Shapes: (batch, num_labels) x 2 -> (batch,).
    """
    return ops.sum(ops.square(ops.maximum(0.0, 1.0 - (2.0 * target - 1.0) * margins)), axis=-1)


class _Narrator(keras.callbacks.Callback):  # type: ignore[misc]
    """Shows how the epochs go, and keeps their losses."""

    def __init__(
        self,
        progress: Progress,
        total: int,
        history: list[dict[str, float]],
        advance: Callable[[], None],
        deliver_signals: Callable[[], None],
    ) -> None:
        super().__init__()
        self._progress, self._total, self._history = progress, total, history
        self._advance, self._deliver_signals = advance, deliver_signals

    def on_train_begin(self, logs: Any = None) -> None:
        self._started = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        self._advance()
        self._deliver_signals()

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        self._deliver_signals()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        logs = logs or {}
        losses = {"loss": float(logs["loss"])}
        if "val_loss" in logs:
            losses["validation_loss"] = float(logs["val_loss"])
        self._history.append(losses)
        done = epoch + 1
        per_epoch = (time.perf_counter() - self._started) / done
        told = ", ".join(f"{name.replace('_', ' ')} {value:.4f}" for name, value in losses.items())
        left = (
            f"about {per_epoch * (self._total - done):.0f} s to go"
            if done < self._total
            else "last epoch"
        )
        self._progress.say(
            f"epoch {done}/{self._total}: {told}; {per_epoch:.1f} s an epoch, {left}"
        )
