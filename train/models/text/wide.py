"""The wide head of the text model: one linear model a label, fitted until it no longer changes. No Keras here."""

import warnings

import numpy as np
import numpy.typing as npt
from sklearn.exceptions import ConvergenceWarning
from sklearn.svm import LinearSVC

from train.features.feature_table import Design

Floats = npt.NDArray[np.float32]


def fit_wide(
    design: Design, targets: Floats, weights: Floats, penalty: float, seed: int
) -> tuple[Floats, Floats]:
    """Fit a linear support vector machine for each label, against all other labels.

    Args:
        design: The weights of the texts, sparse <float32>[num_texts, num_rows].
        targets: 1 for the labels that a text has, else 0, <float32>[num_texts, num_labels].
        weights: How much each text counts, <float32>[num_texts].
        penalty: scikit-learn's C: the larger, the closer to the training texts.
        seed: Of the order in which texts are visited.

    Returns:
        Weights <float32>[num_rows, num_labels] and biases <float32>[num_labels]; a margin of 1 is a clear yes.
    """
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
        model = LinearSVC(C=penalty, random_state=seed)
        with warnings.catch_warnings():
            # What is nearly the optimum is as good.
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(design, answers, sample_weight=weights)
        yes, biases = model.coef_.T, model.intercept_
        if len(labels) == 2:  # scikit-learn only says how much the second one is meant
            yes, biases = np.hstack([-yes, yes]), np.array([-biases[0], biases[0]])
        wide[:, labels], bias[labels] = yes, biases
    return wide, bias
