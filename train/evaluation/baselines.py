"""The evaluation layer: what any text model has to beat, fitted and measured on the same split."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from predict.contract.features import tokenize
from train.data.dataset import Dataset
from train.data.splits import Split
from train.evaluation.measures import (
    measure_hits,
    measure_label_sets,
    measure_labels,
    measure_ranking,
)
from train.models.decision import Decision, positive_label

MAJORITY = "majority label"
LINEAR = "TF-IDF + linear SVM"


def evaluate_text_baselines(
    dataset: Dataset, split: Split, decision: Decision
) -> dict[str, dict[str, float]]:
    """Fit and measure the majority label, and TF-IDF with a linear model.

    The vectors are those of words and word pairs; the linear model is scikit-learn's LinearSVC, which gives
    no probabilities, hence no log loss. With several labels a row there is one for each of them.
    """
    fitted_on = np.concatenate([split.train, split.validation])
    known, truth = dataset.targets[fitted_on], dataset.targets[split.test]
    svm = LinearSVC(random_state=0)
    linear = make_pipeline(
        TfidfVectorizer(
            tokenizer=_all_tokens,
            token_pattern=None,
            lowercase=False,
            ngram_range=(1, 2),
            sublinear_tf=True,
        ),
        OneVsRestClassifier(svm) if decision.kind == "labels" else svm,
    ).fit(dataset.texts(fitted_on), known.astype(np.int64))
    texts = dataset.texts(split.test)
    answers = {
        MAJORITY: _majority(known, truth),
        LINEAR: linear.predict(texts).astype(known.dtype),
    }
    measure = measure_label_sets if decision.kind == "labels" else measure_labels
    scores = {name: measure(truth, said) for name, said in answers.items()}
    names = dataset.label_names
    if len(names) == 2 and decision.kind == "label" and len(np.unique(truth)) == 2:
        positive = names.index(positive_label(names, truth, decision.positive))
        margins = linear.decision_function(texts) * (1 if positive == 1 else -1)
        for name, ranks in ((MAJORITY, np.zeros(len(truth))), (LINEAR, margins)):
            scores[name] |= measure_ranking(truth == positive, ranks)
            scores[name] |= measure_hits(truth == positive, answers[name] == positive)
    return scores


def _majority(known: npt.NDArray[Any], truth: npt.NDArray[Any]) -> npt.NDArray[Any]:
    if known.ndim == 2:  # of several labels, those that most rows have
        return np.tile(known.mean(axis=0) >= 0.5, (len(truth), 1))
    return np.full(len(truth), np.bincount(known).argmax())


def _all_tokens(text: str) -> list[str]:
    return tokenize(text, max_pieces=100_000)
