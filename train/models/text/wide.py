"""The wide head of the text model: one linear model a label. No Keras here."""

import warnings
from collections.abc import Callable

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from train.features.feature_table import Design
from train.models.text.batches import Floats, Rows, batch_size, compact, cut_into_batches

# liblinear goes on until no dual variable's gradient is larger. On 16,000 titles, margins then differ from those of
# scikit-learn's 1e-4 by 0.0006 at most.
_TOLERANCE = 0.01
# From so many texts on, they are fitted in batches; see docs/adr/0004.
MANY_TEXTS = 10_000
# Adagrad's rate in each epoch.
_RATES = (0.03, 0.03, 0.03, 0.01)


def fit_wide(
    design: Design,
    targets: Floats,
    weights: Floats,
    penalty: float,
    seed: int,
    in_batches: bool = False,
    abandoned: Callable[[], bool] = lambda: False,
) -> tuple[Floats, Floats]:
    """Fit a linear support vector machine for each label, against all other labels.

    liblinear fits them until nothing changes any more; in batches, the texts are read four times.

    Args:
        design: The weights of the texts, sparse <float32>[num_texts, num_rows].
        targets: 1 for the labels that a text has, else 0, <float32>[num_texts, num_labels].
        weights: How much each text counts, <float32>[num_texts].
        penalty: scikit-learn's C: the larger, the closer to the training texts.
        seed: Of the order in which texts are visited.
        in_batches: Which of the two; for `MANY_TEXTS`, batches are as good or better, and take less time.
        abandoned: Is asked between batches whether nobody waits for the result any more.

    Returns:
        Weights <float32>[num_rows, num_labels] and biases <float32>[num_labels]; a margin of 1 is a clear yes.
    """
    if in_batches:
        return _fit_by_batches(design, targets, weights, penalty, seed, abandoned)
    return _fit_to_the_optimum(design, targets, weights, penalty, seed)


def _fit_by_batches(
    design: Design,
    targets: Floats,
    weights: Floats,
    penalty: float,
    seed: int,
    abandoned: Callable[[], bool],
) -> tuple[Floats, Floats]:
    num_texts, num_labels = targets.shape
    random, size = np.random.default_rng(seed), batch_size(num_texts)
    wide = Rows(np.zeros((design.shape[1], num_labels), np.float32))
    bias, only = Rows(np.zeros((1, num_labels), np.float32)), np.zeros(1, np.int64)
    decay = np.float32(1 / (penalty * num_texts))
    for rate in _RATES:
        for batch in cut_into_batches(num_texts, size, random):
            if abandoned():
                break
            some = design[batch]
            rows, own = compact(some.indices, some.data, some.indptr)
            signs, vectors = 2 * targets[batch] - 1, wide.vectors[rows]
            missed = np.maximum(0, 1 - signs * (own @ vectors + bias.vectors))
            slopes = (-2 / len(batch)) * weights[batch, np.newaxis] * missed * signs
            wide.update(rows, own.T @ slopes + decay * vectors, rate)
            bias.update(only, slopes.sum(axis=0, keepdims=True), rate)
    return wide.vectors, bias.vectors[0]


def _fit_to_the_optimum(
    design: Design, targets: Floats, weights: Floats, penalty: float, seed: int
) -> tuple[Floats, Floats]:
    num_labels = targets.shape[1]
    # The answer to a label that no text has is a clear no.
    wide, bias = (
        np.zeros((design.shape[1], num_labels), np.float32),
        -np.ones(num_labels, np.float32),
    )
    if (targets.sum(axis=1) == 1).all():
        # All labels at once: scikit-learn then reads the texts once, and not once a label.
        answers = targets.argmax(axis=1)
        asked = [(np.unique(answers), answers)]
    else:
        asked = [(np.array([label]), targets[:, label]) for label in range(num_labels)]
    for labels, answers in asked:
        if answers.min() == answers.max():
            bias[labels] = 1 if len(asked) == 1 or answers.all() else -1
            continue
        model = LinearSVC(C=penalty, tol=_TOLERANCE, random_state=seed)
        with warnings.catch_warnings():
            # What is nearly the optimum is as good.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(design, answers, sample_weight=weights)
        yes, biases = model.coef_.T, model.intercept_
        if len(labels) == 2:  # scikit-learn only says how much the second one is meant
            yes, biases = np.hstack([-yes, yes]), np.array([-biases[0], biases[0]])
        wide[:, labels], bias[labels] = yes, biases
    return wide, bias
