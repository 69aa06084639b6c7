"""The family of texts: what a run asks of it before TensorFlow is needed."""

import warnings
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pandas as pd
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from predict.contract.features import TextFeatures
from predict.contract.words import tokenize
from predict.scoring.inputs import TextInputs
from train.config import TrainConfig
from train.data import files
from train.data.dataset import Dataset
from train.data.schema import describe_inputs
from train.data.splits import Prepared, Rows
from train.errors import collected
from train.features.corpus import no_words
from train.features.encoder import PretrainedEncoder
from train.models import scope
from train.models.family import WIDE_AND_DEEP, Baseline, FittedModel
from train.models.text.scope import FEWEST_LABELS
from train.models.text.scope import find_scope as find_scope
from train.progress import Progress, SilentProgress

ENCODER_FILES = (".onnx", ".safetensors")
BASELINE = "TF-IDF words and characters + linear SVM"
# What suits most sets of texts; see docs/adr/0004.
_PENALTY = 0.3
# Nearly as scikit-learn's own pattern, which would leave nothing of texts of emoji.
_ANY_WORD = r"\w+|[^\w\s]+"
# Rows that the baseline is fitted on: its n-grams and its time grow faster than the rows.
_MOST_ROWS_OF_BASELINE, _FEWEST_OF_A_LABEL = 50_000, 20


def problems_of(prepared: Prepared) -> list[str]:
    """See `Family`."""
    config, dataset = prepared.config, prepared.dataset
    problems = []
    wrong = [f"{name} ({kind})" for name, kind in dataset.column_types.items() if kind != "text"]
    if wrong or config.task == "regression":
        what = f"columns {', '.join(wrong)}" if wrong else "numbers as labels"
        problems.append(
            f"model.pipeline: {WIDE_AND_DEEP} is for texts and labels, not for {what}. Choose linear."
        )
    if config.features or config.model.parameters:
        problems.append(
            f"features and model.… are for tables; {WIDE_AND_DEEP} is set up in the section training."
        )
    return problems + _problems_of_files(config) + scope.problems_of(prepared, FEWEST_LABELS)


def _problems_of_files(config: TrainConfig) -> list[str]:
    """Return which files of pretrained models are not there; nothing is downloaded."""
    problems = list[str]()
    named, encoder = (
        {"embeddings.pretrained": config.embeddings.pretrained},
        config.embeddings.encoder,
    )
    if encoder is not None:
        of_encoder = {
            "model": encoder.model,
            "tokenizer": encoder.tokenizer,
            "licence": encoder.licence,
        }
        named |= {f"embeddings.encoder.{key}": source for key, source in of_encoder.items()}
        if not encoder.model.file.endswith(ENCODER_FILES):
            problems.append(
                f"embeddings.encoder.model: {encoder.model.file}: expected a network (.onnx), or vectors of word "
                "pieces (.safetensors)."
            )
    for key, source in named.items():
        if source is not None and not source.is_url:
            with collected(problems):
                files.find(source, key, config)
    return problems


def problems_of_sample(prepared: Prepared) -> list[str]:
    """See `Family`. An encoder is opened, and words are looked for: features and vectors take longer."""
    config, problems = prepared.config, list[str]()
    if config.embeddings.encoder is not None:
        with collected(problems):
            PretrainedEncoder(config, config.embeddings.encoder, SilentProgress())
    return problems + _problems_of_words(prepared)


def _problems_of_words(prepared: Prepared) -> list[str]:
    least, settings = prepared.config.embeddings.min_count, prepared.config.text_features
    if prepared.config.embeddings.pretrained is not None:
        return []
    counts: Counter[str] = Counter()
    for row in prepared.known:
        [text] = prepared.dataset.texts(np.array([row]))
        tokens = tokenize(text, settings.max_tokens)
        counts.update(tokens)
        if any(counts[token] >= least for token in tokens):
            return []
    return [no_words(least)]


def load() -> None:
    """See `Family`: TensorFlow takes seconds to import."""
    from train.models.text import model as model


def fit(prepared: Prepared, progress: Progress) -> FittedModel:
    """See `Family`."""
    from train.models.text import model

    return model.fit(prepared, progress)


def fit_baselines(prepared: Prepared) -> Sequence[Baseline]:
    """Fit what is hard to beat: scikit-learn's TF-IDF and LinearSVC, one for each label of label sets.

    Its words and pairs are scikit-learn's own, its characters those within words. Of many rows it gets some, and its
    name says so.
    """
    dataset, known = prepared.dataset, _some(prepared.known, prepared.dataset)
    of_some = len(known) < len(prepared.known)
    svm, targets = LinearSVC(C=_PENALTY, random_state=0), dataset.targets[known]
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=_ANY_WORD)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    model = make_pipeline(
        make_union(words, characters), OneVsRestClassifier(svm) if targets.ndim == 2 else svm
    )
    with warnings.catch_warnings():
        # That all texts have a label, or none, is a lesson as well.
        warnings.filterwarnings("ignore", r"Label .* is present in all training examples")
        model.fit(dataset.texts(known), targets.astype(np.int64))
    texts = dataset.texts(prepared.split.test)
    return [
        Baseline(
            f"{BASELINE}, on {len(known):,} rows" if of_some else BASELINE,
            answers=model.predict(texts).astype(targets.dtype),
            margins=model.decision_function(texts),
        )
    ]


def _some(rows: Rows, dataset: Dataset) -> Rows:
    """Return rows for the baseline, drawn by chance if there are many; a few of every label at least."""
    if len(rows) <= _MOST_ROWS_OF_BASELINE:
        return rows
    rows = np.random.default_rng(0).permutation(rows)
    if dataset.kind == "labels":
        return np.sort(rows[:_MOST_ROWS_OF_BASELINE])
    labels = pd.Series(dataset.targets[rows])
    of_label = labels.groupby(labels)
    share = _MOST_ROWS_OF_BASELINE / len(rows)
    most = np.maximum(_FEWEST_OF_A_LABEL, share * of_label.transform("size"))
    return np.sort(rows[(of_label.cumcount() < most).to_numpy()])


def request_inputs(prepared: Prepared) -> TextInputs:
    """See `Family`. A text is never missing."""
    dataset, config = prepared.dataset, prepared.config
    every_row = np.arange(len(dataset))
    columns = describe_inputs(dataset.column_types, dataset.frame, every_row, dataset.columns)
    texts = [column.model_copy(update={"nullable": False}) for column in columns]
    return TextInputs(texts, TextFeatures(config.text_features, []))
