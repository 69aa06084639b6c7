"""The family of texts: what a run asks of it before TensorFlow is needed."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from predict.contract.features import TextFeatures
from predict.contract.words import tokenize
from predict.scoring.inputs import TextInputs
from train.data.schema import describe_inputs
from train.data.splits import Prepared
from train.features.corpus import no_words
from train.models.family import WIDE_AND_DEEP, Baseline, FittedModel
from train.progress import Progress

# Longer texts are cut for the model, but not for its baseline.
_MOST_PIECES = 100_000


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
    pretrained = config.embeddings.pretrained
    if pretrained is not None and not pretrained.is_file():
        problems.append(f"embeddings.pretrained: {pretrained} is not a file.")
    return problems


def problems_of_sample(prepared: Prepared) -> list[str]:
    """See `Family`. Only words are looked for: features and vectors take longer."""
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


def fit(prepared: Prepared, progress: Progress) -> FittedModel:
    """See `Family`."""
    from train.models.text import (
        model,
    )  # TensorFlow takes seconds to import, and a check does not need it

    return model.fit(prepared, progress)


def fit_baselines(prepared: Prepared) -> Sequence[Baseline]:
    """Fit TF-IDF of words and word pairs with scikit-learn's LinearSVC, one for each label of label sets."""
    dataset, known = prepared.dataset, prepared.known
    svm, targets = LinearSVC(random_state=0), dataset.targets[known]
    vectorizer = TfidfVectorizer(
        tokenizer=_all_tokens,
        token_pattern=None,
        lowercase=False,
        ngram_range=(1, 2),
        sublinear_tf=True,
    )
    model = make_pipeline(vectorizer, OneVsRestClassifier(svm) if targets.ndim == 2 else svm)
    model.fit(dataset.texts(known), targets.astype(np.int64))
    texts = dataset.texts(prepared.split.test)
    return [
        Baseline(
            "TF-IDF + linear SVM",
            answers=model.predict(texts).astype(targets.dtype),
            margins=model.decision_function(texts),
        )
    ]


def request_inputs(prepared: Prepared) -> TextInputs:
    """See `Family`. A text is never missing."""
    dataset, config = prepared.dataset, prepared.config
    every_row = np.arange(len(dataset))
    columns = describe_inputs(dataset.column_types, dataset.frame, every_row, dataset.columns)
    texts = [column.model_copy(update={"nullable": False}) for column in columns]
    return TextInputs(texts, TextFeatures(config.text_features, []))


def _all_tokens(text: str) -> list[str]:
    return tokenize(text, _MOST_PIECES)
