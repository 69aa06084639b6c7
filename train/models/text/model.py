"""The text model: wide and deep, on gensim vectors.

One table has a row for every word, word pair and character n-gram of the training texts. Two heads read
it, and what is served blends them:

- wide: linear support vector machines on TF-IDF weighted rows, strong where a single word gives the label away;
- deep: the same rows as vectors, those of words starting from gensim's, added up and passed through a
  hidden layer.

The one-vs-rest squared hinge loss of both is kinder to wrongly labelled examples than cross-entropy (see
docs/adr/0004); `calibration`, fitted on the validation rows, turns their margins into probabilities. A row may have
one label, or any number of them: only the targets and the last step differ.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from predict.contract.artefact import FEATURES, MODEL
from predict.contract.features import TextFeatures
from predict.wording import counted
from train.config import TrainConfig
from train.data import files
from train.data.dataset import Dataset
from train.data.schema import describe_inputs
from train.data.splits import Prepared
from train.features.embeddings import Embeddings, build_embeddings
from train.features.encoder import PretrainedEncoder
from train.features.feature_table import FeatureTable, build_table
from train.features.text_design import TextDesign
from train.models.calibration import Calibration, Probabilities, calibrate
from train.models.family import Rows, Tolerance
from train.models.imbalance import factors_of
from train.models.text.network import Heads, write_onnx
from train.models.text.targets import as_yes_and_no, sample_weights
from train.models.text.training import Examples, Schedule, Trainer
from train.progress import Progress


@dataclass(frozen=True)
class TextModel:
    """A fitted model and its metadata; see `FittedModel`."""

    heads: Heads
    design: TextDesign
    calibration: Calibration
    embedding_metadata: dict[str, Any]
    metadata: dict[str, Any]
    history: list[dict[str, float]]
    validation_outputs: Probabilities

    @property
    def tolerance(self) -> Tolerance:
        """Everything is computed in single precision, and small probabilities are differences of large numbers."""
        return Tolerance(relative=0.0, absolute=1e-5, same_labels=False)

    @property
    def factors(self) -> Probabilities | None:
        """See `FittedModel`."""
        return self.calibration.prior_factors

    def predict(self, dataset: Dataset, rows: Rows) -> Probabilities:
        """Return <float64>[num_rows, num_labels], rows summing to 1 where each has exactly one label."""
        design = self.design.of(dataset.texts(rows))
        return self.calibration.probabilities(*self.heads.margins(design))

    def uncalibrated(self, outputs: Probabilities) -> Probabilities | None:
        """See `FittedModel`. The margins of exactly one label are no probabilities before."""
        return self.calibration.uncalibrated(outputs)

    def unknown_share(self, dataset: Dataset, rows: Rows) -> Probabilities:
        """See `FittedModel`."""
        unknown, total = self._count_words(dataset.texts(rows)).T
        shares: Probabilities = np.where(total, unknown / np.maximum(1, total), 1.0)
        return shares

    def write(self, directory: Path) -> None:
        """Write `model.onnx`, `features.json`, the files of the table and those of an encoder."""
        write_onnx(self.heads, self.calibration, directory / MODEL)
        self.design.table.served(self.heads.served_vectors(self.calibration)).write(directory)
        self.design.features.write(directory / FEATURES)
        if self.design.encoder is not None:
            self.design.encoder.write(directory)

    def describe(self, prepared: Prepared) -> Mapping[str, Any]:
        """See `FittedModel`."""
        dataset = prepared.dataset
        unknown, total = self._count_words(dataset.texts(prepared.split.test)).sum(axis=0).tolist()
        share = unknown / total if total else 1.0
        columns = describe_inputs(
            dataset.column_types, dataset.frame, prepared.known, dataset.columns
        )
        return {
            "inputs": [column.model_dump(exclude_defaults=True) for column in columns],
            "embedding": self.embedding_metadata | {"unknown_token_share": share},
            "model": self.metadata,
        }

    def _count_words(self, texts: Sequence[str]) -> Rows:
        """Return the unknown words and all words of each text, <int64>[num_texts, 2]."""
        features = self.design.features
        vocabulary, tokens_of = features.vocabulary, features.tokens
        counts = [
            (sum(token not in vocabulary for token in tokens), len(tokens))
            for tokens in map(tokens_of, texts)
        ]
        return np.array(counts, np.int64).reshape(-1, 2)


def fit(prepared: Prepared, progress: Progress) -> TextModel:
    """Fit on the training rows, choose epochs, blend and temperature on the validation rows, then refit on both.

    Vocabulary, IDF weights and gensim vectors come from the training and validation texts together, without their
    labels.

    Raises:
        TrainingError: A loss is not finite, or is far above what it was before training.
        EmbeddingError: Pretrained vectors, or an encoder, cannot be read.
        DatasetError: Their file is not there.
    """
    config, dataset, split = prepared.config, prepared.dataset, prepared.split
    training, known = config.training, prepared.known
    known_texts = dataset.texts(known)
    about = f"gensim {config.embeddings.algorithm} on {len(known):,} texts"
    with progress.stage("embeddings", about):
        features, embeddings = _build_features(known_texts, config, progress)
        progress.say(
            f"embeddings: {embeddings.metadata['vocabulary_size']:,} words, "
            f"{embeddings.metadata['vector_hits']:,} with a vector, {embeddings.metadata['vector_misses']:,} without"
        )
    encoder = _open_encoder(prepared, progress)
    with progress.stage("features", "words, word pairs and character n-grams to rows"):
        table, weights = build_table(features, known_texts)
        design = TextDesign(features, table, encoder)
        columns = design.join(weights, known_texts)
        progress.say(f"features: {len(table.idf):,} rows")
    balanced = config.imbalance.class_weights == "balanced"
    counting = sample_weights(dataset, known, balanced)[known]
    examples = Examples(columns, as_yes_and_no(dataset, known), counting)
    trainer = Trainer(training, design, embeddings, len(dataset.label_names), progress)
    with progress.stage("train", f"a wide and a deep head on {len(split.train):,} texts"):
        train, validation = examples.cut(len(split.train))
        heads, schedule, history = trainer.choose(train, validation)
        margins = heads.margins(validation.design)
        factors = factors_of(prepared, split.train)
        calibration = calibrate(*margins, dataset.targets[split.validation], factors)
        validation_outputs = calibration.probabilities(*margins)
        progress.say(
            f"train: {counted(len(schedule.rates), 'epoch')} of batches of {schedule.batch_size}; "
            f"the wide head {_how_wide(schedule)}; deep share {calibration.deep_share}, "
            f"temperature {calibration.temperature:.3f}"
        )
    # The rows of the dataset are other ones than those of the design.
    refitted = np.flatnonzero(np.isin(known, prepared.sampled(known)))
    needed = schedule.rates if calibration.deep_share else ()
    again = f"the same {counted(len(needed), 'epoch')}" if needed else "the wide head alone"
    with progress.stage("refit", f"{again} on all {len(refitted):,} training and validation texts"):
        repeated = replace(schedule, rates=needed)
        again_on = examples if len(refitted) == len(known) else examples.of(refitted)
        heads = trainer.fit(again_on, repeated).rounded(table)
    return TextModel(
        heads=heads,
        design=design,
        calibration=calibration,
        embedding_metadata=_describe_embedding(embeddings, design),
        metadata=_describe_model(table, schedule, calibration, config),
        history=history,
        validation_outputs=validation_outputs,
    )


def _build_features(
    texts: Sequence[str], config: TrainConfig, progress: Progress
) -> tuple[TextFeatures, Embeddings]:
    tokenizer = TextFeatures(config.text_features, [])
    one: dict[str, str] = {}  # of equal words, one is kept
    corpus = [[one.setdefault(word, word) for word in tokenizer.tokens(text)] for text in texts]
    pretrained = config.embeddings.pretrained
    file = files.find(pretrained, "embeddings.pretrained", config, progress) if pretrained else None
    embeddings = build_embeddings(corpus, config.embeddings, config.training.seed, progress, file)
    return TextFeatures(config.text_features, embeddings.vocabulary), embeddings


def _open_encoder(prepared: Prepared, progress: Progress) -> PretrainedEncoder | None:
    """Return the pretrained encoder, once it has read every text; None if there is none."""
    config, texts = prepared.config, prepared.dataset.texts()
    if config.embeddings.encoder is None:
        return None
    about = f"{config.embeddings.encoder.model.file} on {counted(len(texts), 'text')}"
    with progress.stage("encoder", about):
        encoder = PretrainedEncoder(config, config.embeddings.encoder, progress)
        encoder.encode(texts)
        progress.say(f"encoder: {encoder.metadata['kind']}, {encoder.width} numbers a text")
    return encoder


def _describe_embedding(embeddings: Embeddings, design: TextDesign) -> dict[str, Any]:
    settings = design.features.settings
    return embeddings.metadata | {
        "ngram_range": [settings.min_ngram, settings.max_ngram],
        "ngram_buckets": settings.ngram_buckets,
        "pair_buckets": settings.pair_buckets,
        **({} if design.encoder is None else {"encoder": design.encoder.metadata}),
    }


def _how_wide(schedule: Schedule) -> str:
    return "in batches" if schedule.wide_in_batches else "to its optimum"


def _describe_model(
    table: FeatureTable, schedule: Schedule, calibration: Calibration, config: TrainConfig
) -> dict[str, Any]:
    factors = calibration.prior_factors
    return {
        "family": "text: wide and deep",
        "table_rows": len(table.idf),
        "hidden_size": config.training.hidden_size,
        "wide_penalty": config.training.wide_penalty,
        "wide_fitted": _how_wide(schedule),
        "epochs": len(schedule.rates),
        "batch_size": schedule.batch_size,
        "learning_rates": list(schedule.rates),
        "deep_share": calibration.deep_share,
        "temperature": calibration.temperature,
        **({} if factors is None else {"prior_factors": factors.tolist()}),
    }
