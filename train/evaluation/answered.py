"""Rows with the truth and what a model answers: what every measure takes."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import Kind
from train.models.decision import Decision, Flags, Outputs, Values, positive_label


@dataclass(frozen=True, eq=False)
class Answered:
    """Rows with their truth and the outputs of a model.

    Attributes:
        truth: Label indices <int64>[num_rows], which labels a row has <bool>[num_rows, num_labels], or
            values <float64>[num_rows].
        outputs: Probabilities <float64>[num_rows, num_labels], or values <float64>[num_rows, 1].
        decision: How outputs become answers.
        other_answers: The answers of a model that has a decision of its own, in the form of `Decision.answers`; None:
            `decision` makes them.
        familiarity: How familiar the rows are to the model, <float64>[num_rows]; None where it does not tell.
    """

    truth: npt.NDArray[Any]
    outputs: Outputs
    decision: Decision
    other_answers: npt.NDArray[Any] | None = None
    familiarity: Values | None = None

    @cached_property
    def answers(self) -> npt.NDArray[Any]:
        """The answers, in the form of the truth."""
        if self.other_answers is not None:
            return self.other_answers
        return self.decision.answers(self.outputs)

    @property
    def kind(self) -> Kind:
        """The kind of answer."""
        return self.decision.kind

    @property
    def label_names(self) -> Sequence[str]:
        """The labels in the order of the outputs; none for numbers."""
        return self.decision.label_names

    @cached_property
    def positive(self) -> int | None:
        """The index of the positive label; None unless an answer is one of two labels."""
        if self.kind != "label" or len(self.label_names) != 2:
            return None
        name = positive_label(self.label_names, self.truth, self.decision.positive)
        return list(self.label_names).index(name)

    def part(self, rows: npt.NDArray[Any]) -> "Answered":
        """Return some of the rows; the positive label stays that of all rows."""
        decision = self.decision
        if self.positive is not None:
            decision = replace(decision, positive=self.label_names[self.positive])
        familiarity = None if self.familiarity is None else self.familiarity[rows]
        return Answered(
            self.truth[rows], self.outputs[rows], decision, self.answers[rows], familiarity
        )

    def right(self) -> Flags:
        """Return which rows are answered rightly, of label sets with all labels, <bool>[num_rows]."""
        right: Flags = (self.answers == self.truth).reshape(len(self.truth), -1).all(axis=1)
        return right

    def losses(self) -> Values:
        """Return how wrong each row is: 0 or 1, the share of wrong labels, or the absolute error."""
        if self.kind == "number":
            losses: Values = np.abs(self.truth - self.answers)
        else:
            wrong = self.truth != self.answers
            losses = wrong.mean(axis=1) if self.kind == "labels" else wrong.astype(np.float64)
        return losses

    def scores(self) -> Values:
        """Return the probability of each answer, <float64>[num_rows], as an answer shows it; for one label a row."""
        return self.decision.scores(self.outputs, self.answers)

    def sure(self) -> Flags:
        """Return which answers are not marked as unsure, <bool>[num_rows]; for one label a row."""
        return self.decision.is_sure(self.outputs, self.familiarity, self.answers)

    def claims(self) -> tuple[Outputs, Flags]:
        """Return probabilities that can be held against the truth, and which of them came true.

        - More than two labels: the score of the answer (Guo et al., ICML 2017).
        - Two labels: the probability of the positive one, from 0 to 1, as in scikit-learn's `calibration_curve` and in
          Naeini et al. (AAAI 2015). The score of the answer would hide which way a probability errs.
        - Label sets: every probability of every label.

        Returns:
            <float64>[num_rows, num_claims] and <bool>[num_rows, num_claims].
        """
        if self.kind == "labels":
            return self.outputs, self.truth
        if self.positive is not None:
            return self.outputs[:, [self.positive]], self.truth[:, np.newaxis] == self.positive
        return self.scores()[:, np.newaxis], self.right()[:, np.newaxis]
