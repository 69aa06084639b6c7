"""The text model: Keras, wide and deep, on gensim vectors. The only importer of tensorflow and keras.

One table has a row for every word, word pair and character n-gram of the training texts. Two heads read
it, each trained with its own loss, and what is served blends them:

- wide: a linear model on TF-IDF weighted rows, strong where a single word gives the label away;
- deep: the same rows as vectors, those of words starting from gensim's, added up and passed through a
  hidden layer.

The one-vs-rest squared hinge loss is kinder to wrongly labelled examples than cross-entropy (see
docs/adr/0004); what `calibration` fits on validation turns its margins into probabilities. A row may have one
label, or any number of them: only the targets and the last step differ.
"""

import math
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import onnx
import tensorflow as tf
from keras import layers, ops

from predict.contract.artefact import FEATURES, MODEL
from predict.contract.features import FIRST_WORD_ID, TextFeatures
from train.config import TrainConfig
from train.data.dataset import Dataset
from train.data.splits import Split, under_sample
from train.errors import UserError
from train.evaluation.baselines import evaluate_text_baselines
from train.features.embeddings import Embeddings, build_embeddings
from train.features.feature_table import (
    ENCODED_AT_ONCE,
    SMALLEST_SQUARE,
    FeatureTable,
    build_table,
    encode_rows,
    largest_eigenvalue,
    pad_rows,
)
from train.models.calibration import Calibration, Margins, Probabilities, calibrate
from train.models.decision import Decision
from train.models.family import Rows, Tolerance
from train.models.text.canonical import canonical
from train.models.text.interruption import signals_deferred
from train.models.text.targets import as_yes_and_no, label_shares, loss_of_prior, sample_weights
from train.progress import Progress

# The spread of the vectors that gensim does not give, beside a length of 1 for those that it does.
_RANDOM_LENGTH = 0.3
# The learning rate falls linearly to this share of where it started.
_LAST_RATE = 0.02
# Of the rate at which plain gradient descent would start to diverge; a little is left for the noise of batches.
_STABLE_SHARE = 0.6
# A loss this many times that of knowing nothing is no bad luck.
_DIVERGED = 10.0


class TrainingError(UserError):
    """Training went wrong in a way that the user can mend."""


@dataclass(frozen=True)
class TextModel:
    """A fitted model and what is known of it."""

    heads: keras.Model
    scorer: "_Scorer"
    table: FeatureTable
    calibration: Calibration
    features: TextFeatures
    embedding_metadata: dict[str, Any]
    metadata: dict[str, Any]
    history: list[dict[str, float]]
    validation_outputs: Probabilities

    @property
    def tolerance(self) -> Tolerance:
        """Everything is computed in single precision, and small probabilities are differences of large numbers."""
        return Tolerance(relative=0.0, absolute=1e-5, same_labels=False)

    def uncalibrated(self, outputs: Probabilities) -> Probabilities:
        """See `Fitted`: the temperature turns margins into probabilities."""
        return self.calibration.uncalibrated(outputs)

    def unknown_share(self, dataset: Dataset, rows: Rows) -> Probabilities:
        """See `Fitted`."""
        vocabulary = self.features.vocabulary
        words = [self.features.tokens(text) for text in dataset.texts(rows)]
        return np.array(
            [
                1.0 - sum(map(vocabulary.__contains__, tokens)) / max(1, len(tokens))
                for tokens in words
            ]
        )


def fit(dataset: Dataset, split: Split, config: TrainConfig, progress: Progress) -> TextModel:
    """Fit on the training rows, choose epochs, blend and temperature on the validation rows, then refit on both.

    Vocabulary, IDF weights and gensim vectors come from the training and validation texts together, whose labels
    they do not see.

    Raises:
        TrainingError: The loss is not a number any more, or far above that of knowing nothing.
        EmbeddingError: Pretrained vectors cannot be read.
    """
    known = np.concatenate([split.train, split.validation])
    known_texts = dataset.texts(known)
    with progress.stage(
        "embeddings", f"gensim {config.embeddings.algorithm} on {len(known):,} texts"
    ):
        features, embeddings = _build_features(known_texts, config)
        progress.say(
            f"embeddings: {embeddings.metadata['vocabulary_size']:,} words, "
            f"{embeddings.metadata['vector_hits']:,} with a vector, {embeddings.metadata['vector_misses']:,} without"
        )
    with progress.stage("features", "words, word pairs and character n-grams to rows"):
        table = build_table(features, known_texts)
        rows = encode_rows(features, table, dataset.texts())
        progress.say(f"features: {len(table.idf):,} rows")
    targets = as_yes_and_no(dataset)
    weights = sample_weights(dataset, known, config)
    trainer = _Trainer(config, table, embeddings, progress)
    with progress.stage(
        "train", f"at most {config.training.epochs} epochs on {len(split.train):,} texts"
    ):
        heads, history = trainer.fit(
            _Batches(rows, targets, weights, split.train, config),
            _Batches(rows, targets, weights, split.validation, config),
        )
        best = 1 + int(np.argmin([epoch["validation_loss"] for epoch in history]))
        margins = _margins(_scorer(heads), [rows[i] for i in split.validation])
        calibration = calibrate(*margins, dataset.targets[split.validation])
        validation_outputs = calibration.probabilities(*margins)
        progress.say(
            f"train: best after epoch {best}; deep share {calibration.deep_share}, "
            f"temperature {calibration.temperature:.3f}"
        )
    refitted = under_sample(dataset, known, config)
    with progress.stage(
        "refit", f"{best} epochs on all {len(refitted):,} training and validation texts"
    ):
        heads, _ = trainer.fit(_Batches(rows, targets, weights, refitted, config), epochs=best)
    return TextModel(
        heads=heads,
        scorer=_scorer(heads),
        table=table,
        calibration=calibration,
        features=features,
        embedding_metadata=_describe_embedding(embeddings, features),
        metadata=_describe_model(table, best, calibration, config),
        history=history,
        validation_outputs=validation_outputs,
    )


def predict(model: TextModel, dataset: Dataset, rows: Rows) -> Probabilities:
    """Return <float64>[num_rows, num_labels], rows summing to 1 where each has exactly one label."""
    encoded = encode_rows(model.features, model.table, dataset.texts(rows))
    return model.calibration.probabilities(*_margins(model.scorer, encoded))


def write(model: TextModel, directory: Path) -> None:
    """Write `model.onnx` and `features.json`."""
    to_onnx(model, directory / MODEL)
    model.features.write(directory / FEATURES)


def describe(model: TextModel, dataset: Dataset, split: Split) -> Mapping[str, Any]:
    """Return what the metadata says of the model."""
    share = unknown_token_share(model, dataset.texts(split.test))
    return {
        "inputs": [{"name": name, "type": "text"} for name in dataset.column_types],
        "embedding": model.embedding_metadata | {"unknown_token_share": share},
        "model": model.metadata,
    }


def evaluate_baselines(
    dataset: Dataset, split: Split, config: TrainConfig, decision: Decision
) -> dict[str, dict[str, float]]:
    """Fit and measure what any text model has to beat."""
    return evaluate_text_baselines(dataset, split, decision)


def to_onnx(model: TextModel, file: Path) -> None:
    """Write the model, from feature ids to probabilities, as ONNX."""
    signature = [
        keras.InputSpec(shape=(None, None), dtype="int32", name=name)
        for name in ("token_ids", "ngram_ids")
    ]
    with warnings.catch_warnings(), signals_deferred():
        # Keras's exporter asks numpy for names that are gone.
        warnings.simplefilter("ignore", FutureWarning)
        network = _served_network(model.heads, model.table, model.calibration)
        network.export(str(file), format="onnx", verbose=False, input_signature=[signature])
    # The exporter orders and names equal constants by chance.
    onnx.save(canonical(onnx.load(file)), file)


def unknown_token_share(model: TextModel, texts: Sequence[str]) -> float:
    """Return the share of the texts' words that the vocabulary does not have."""
    vocabulary = model.features.vocabulary
    known = [token in vocabulary for text in texts for token in model.features.tokens(text)]
    return 1.0 - sum(known) / max(1, len(known))


# ------------------------------------------------------------------ features


def _build_features(texts: Sequence[str], config: TrainConfig) -> tuple[TextFeatures, Embeddings]:
    tokenizer = TextFeatures(config.text_features, [])
    embeddings = build_embeddings(
        [tokenizer.tokens(text) for text in texts], config.embeddings, config.training.seed
    )
    return TextFeatures(config.text_features, embeddings.vocabulary), embeddings


class _Batches(keras.utils.PyDataset):  # type: ignore[misc]  # keras has no types
    """Shuffled batches of texts of like length, padded to the longest of the batch."""

    def __init__(
        self,
        rows: Sequence[npt.NDArray[np.int32]],
        targets: npt.NDArray[np.float32],
        weights: npt.NDArray[np.float32],
        chosen: npt.NDArray[np.int64],
        config: TrainConfig,
    ) -> None:
        super().__init__()
        self._rows, self._targets, self._weights, self._chosen = rows, targets, weights, chosen
        self._lengths = np.array([len(rows[i]) for i in chosen])
        self._batch_size = config.training.batch_size
        self._random = np.random.default_rng(config.training.seed)
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
        # Keras takes the width of its first two batches for that of all, should the two be the same.
        if index == 1 and padded.shape[1] == max(1, *self._lengths[self._batches[0]]):
            padded = np.pad(padded, ((0, 0), (0, 1)))
        return padded, (target, target), (weight, weight)


# ------------------------------------------------------------------- network


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


def _build_heads(
    table: FeatureTable,
    embeddings: Embeddings,
    label_shares: npt.NDArray[np.float32],
    config: TrainConfig,
) -> keras.Model:
    """Build the network that is trained: rows -> margins of the wide and of the deep head."""
    training, width = config.training, embeddings.matrix.shape[1]
    random = np.random.default_rng(training.seed)
    vectors = random.standard_normal((len(table.idf), width)) * (_RANDOM_LENGTH / math.sqrt(width))
    found = embeddings.matrix[FIRST_WORD_ID:]
    has_vector = found.any(axis=1)
    vectors[1 : 1 + len(found)][has_vector] = found[has_vector]  # row 1 is the first word
    # What the squared hinge loss settles at without any evidence: a rare label needs some to be chosen.
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


def _served_network(
    heads: keras.Model, table: FeatureTable, calibration: Calibration
) -> keras.Model:
    """Build what is served from the weights of the trained heads: feature ids -> probabilities.

    The calibration is folded into the weights. That it gives the same probabilities is checked at export.
    """
    wide_share, deep_share = calibration.factors()
    wide, summed = heads.get_layer("wide").table.numpy(), heads.get_layer("deep").table.numpy()
    num_labels, vectors = wide.shape[1], np.hstack([wide * wide_share, summed])
    hidden, output = heads.get_layer("hidden"), heads.get_layer("output")
    kernel, bias = (weight * deep_share for weight in output.get_weights())
    bias, offsets = bias + heads.get_layer("prior").bias.numpy() * wide_share, calibration.offsets
    bias = bias if offsets is None else bias + offsets

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


# ------------------------------------------------------------------ training


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
        if self._trainable_variables[index].name == "wide_table":
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


class _Trainer:
    """Builds and fits the two heads, always in the same way."""

    def __init__(
        self, config: TrainConfig, table: FeatureTable, embeddings: Embeddings, progress: Progress
    ) -> None:
        self._config, self._table, self._embeddings, self._progress = (
            config,
            table,
            embeddings,
            progress,
        )

    def fit(
        self, train: _Batches, validation: _Batches | None = None, epochs: int | None = None
    ) -> tuple[keras.Model, list[dict[str, float]]]:
        """Fit new heads; with validation batches, stop early and go back to the best epoch."""
        training = self._config.training
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
                f"training diverged: the loss is {last:.3g}, and knowing nothing would cost {at_first:.3g}. "
                "Lower training.learning_rate and training.wide_learning_rate."
            )
        return heads, history

    def _compiled_heads(self, train: _Batches) -> keras.Model:
        training = self._config.training
        keras.utils.set_random_seed(training.seed)
        heads = _build_heads(self._table, self._embeddings, train.label_shares(), self._config)
        # The schedule is that of all epochs even where fewer are asked for: it is the one they were chosen under.
        rate = _LinearDecay(training.learning_rate, len(train) * training.epochs)
        ratio = train.stable_rate(self._table, training.wide_learning_rate) / training.learning_rate
        heads.compile(_SparseAdam(rate, ratio), loss=[_squared_hinge, _squared_hinge])
        return heads


class _Narrator(keras.callbacks.Callback):  # type: ignore[misc]
    """Tells how the epochs go, and keeps their losses."""

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


# ---------------------------------------------------------------- calibration


# Padded rows of ids -> the margins of both heads.
_Scorer = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def _scorer(heads: keras.Model) -> _Scorer:
    """Return a function that TensorFlow traces once, which takes longer than a few hundred texts."""
    any_batch = tf.TensorSpec((None, None), tf.int32)
    scorer: _Scorer = tf.function(
        lambda padded: heads(padded, training=False), input_signature=[any_batch]
    )
    return scorer


def _margins(scorer: _Scorer, rows: Sequence[npt.NDArray[np.int32]]) -> tuple[Margins, Margins]:
    """Return the margins of both heads for texts given as rows, <float32>[num_texts, num_labels] each."""
    starts = range(0, len(rows), ENCODED_AT_ONCE)
    with signals_deferred():
        batches = [
            scorer(tf.constant(pad_rows(rows[start : start + ENCODED_AT_ONCE]))) for start in starts
        ]
    wide, deep = zip(*batches, strict=True)
    return np.concatenate(wide), np.concatenate(deep)


# ------------------------------------------------------------------- metadata


def _describe_embedding(embeddings: Embeddings, features: TextFeatures) -> dict[str, Any]:
    settings = features.settings
    return embeddings.metadata | {
        "ngram_range": [settings.min_ngram, settings.max_ngram],
        "ngram_buckets": settings.ngram_buckets,
        "pair_buckets": settings.pair_buckets,
    }


def _describe_model(
    table: FeatureTable, epochs: int, calibration: Calibration, config: TrainConfig
) -> dict[str, Any]:
    return {
        "family": "text: wide and deep",
        "table_rows": len(table.idf),
        "hidden_size": config.training.hidden_size,
        "epochs": epochs,
        "deep_share": calibration.deep_share,
        "temperature": calibration.temperature,
    }
