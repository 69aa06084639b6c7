"""The content of `metrics.json`: everything that was measured of a model, for people and for later runs.

Serving does not read it. A run writes it; pages, comparisons, the gate and notebooks read it. Every part is optional: a
regression has no labels, and the artefacts of older versions have fewer parts.
"""

from math import isfinite
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from predict.contract.artefact import DAMAGED, MOST_SMALL_BYTES, ArtefactError, unreadable
from predict.contract.files import read_regular
from predict.wording import counted

Count = Annotated[int, Field(ge=0)]
Ends = Annotated[list[float], Field(min_length=2, max_length=2)]
# Metric -> value.
Numbers = dict[str, float]
# A label, a value, or a list of labels.
Answer = str | float | list[str]


class _Part(BaseModel):
    # Unknown keys are kept, as in the metadata. A number must be one: neither "0.9" nor true.
    model_config = ConfigDict(extra="allow", frozen=True, strict=True)


class LabelScores(_Part):
    """How well one label is found among the `support` rows that have it."""

    precision: float
    recall: float
    f1: float
    support: Count


class ThresholdScores(_Part):
    """What a threshold would bring."""

    threshold: float
    precision: float
    recall: float
    f1: float


class Bin(_Part):
    """The probabilities from `from` to `to`: their mean, and the share of them that came true."""

    start: float = Field(alias="from")
    end: float = Field(alias="to")
    rows: Count
    confidence: float
    accuracy: float


class Calibration(_Part):
    """Whether probabilities can be believed."""

    # The expected calibration error, and that of the probabilities before they were calibrated.
    ece: float
    ece_before: float | None = None
    bins: list[Bin]


class CoveragePoint(_Part):
    """How accurate the answers with at least a certain score are, and their share of all answers."""

    threshold: float
    coverage: float
    accuracy: float


class Slice(_Part):
    """A part of the test rows, by the value of a column. Its other keys are metrics; null has no meaning there."""

    column: str
    value: str
    rows: Count
    differs: Literal["worse", "better"] | None


class Mistake(_Part):
    """A wrong answer with its score, or a value with its error."""

    instance: dict[str, Any]
    truth: Answer
    answer: Answer
    # Only for a label, and for labels the probability of the wrong yes or no about `label`.
    score: float | None = None
    label: str | None = None
    # Only for a number: answer minus truth.
    error: float | None = None


class Suspect(_Part):
    """A test row whose label is probably wrong."""

    instance: dict[str, Any]
    # The label of the row with its probability, and the probable label with its score.
    given: str
    own: float
    probable: str
    score: float


class RocCurve(_Part):
    """The receiver operating characteristic of one label, or of all of them together."""

    label: str | None
    area: float
    false_positive_rate: list[float]
    true_positive_rate: list[float]


class PrecisionRecallCurve(_Part):
    """Precision against recall of one label, or of all of them together."""

    label: str | None
    average_precision: float
    positive_share: float
    recall: list[float]
    precision: list[float]


class Values(_Part):
    """True and predicted values of the same rows."""

    truth: list[float]
    value: list[float]


class Curves(_Part):
    """The points of the curves that this kind of answer has."""

    roc: RocCurve | None = None
    pr: PrecisionRecallCurve | None = None
    # Only for any number of labels: the scores at a threshold common to all.
    thresholds: list[ThresholdScores] = []
    # Only for a number.
    values: Values | None = None


class Evidence(_Part):
    """What the lists of slices, mistakes and suspects leave out."""

    # Rows that a slice needs, slices with fewer, and slices beyond those listed.
    least_rows: Count
    too_small: Count
    not_shown: Count
    # All of them, listed or not.
    mistakes: Count
    suspects: Count


class OutOfDistribution(_Part):
    """The answers to one kind of inputs that the model was not made for, or to test rows."""

    name: str
    cases: Count
    mean_score: float | None = None
    unsure_share: float | None = None
    empty_share: float | None = None
    mean_value: float | None = None
    outside_share: float | None = None


class OutOfScope(_Part):
    """How well rows of none of the labels are told."""

    # The share of the answers within the scope that is given up for it, as asked.
    given_up: float
    # Which labels were left out, how many rows of them were asked about, and how many rows of the other labels; None if
    # there are too few labels to leave any out.
    left_out: str | None = None
    out_of_scope_rows: Count | None = None
    in_scope_rows: Count | None = None
    # Of these rows: the area under the ROC curve; the share of those out of scope that is found; and the share that the
    # margin between the two most probable labels would find.
    auroc: float | None = None
    recall: float | None = None
    recall_of_margin: float | None = None
    # The label that means none of the labels, if there is one.
    none_label: str | None = None
    # The test rows of other labels: how many, the share that is given up, the accuracy of all, and of those kept.
    test_rows: Count | None = None
    test_given_up: float | None = None
    test_accuracy: float | None = None
    test_accuracy_kept: float | None = None
    # The test rows of that label: how many, and the share that is found.
    test_none_rows: Count | None = None
    test_none_found: float | None = None


class Epoch(_Part):
    """The losses of one epoch."""

    loss: float
    validation_loss: float | None = None


class Trial(_Part):
    """Parameters that a search tried, and the metric over its folds."""

    parameters: dict[str, Any]
    mean: float
    std: float | None
    # Fold by fold.
    values: list[float] = []
    seconds: float


class Search(_Part):
    """What a search tried, the best first."""

    metric: str
    folds: Count
    # By how much the mean of the best is too good for having been chosen, and that mean without it; None with one fold.
    optimism: float | None = None
    corrected: float | None = None
    trials: Annotated[list[Trial], Field(min_length=1)]


class CrossValidation(_Part):
    """The metrics of each fold, with their mean and standard deviation."""

    folds: list[Numbers]
    mean: Numbers
    std: Numbers


class Check(_Part):
    """A behavioural test: how many of its cases passed, and a few that did not."""

    name: str
    passed: Count
    cases: Count
    failures: list[str]

    @model_validator(mode="after")
    def _counts_its_cases(self) -> Self:
        if self.passed > self.cases:
            raise ValueError(f"{self.passed} of {self.cases} cases cannot have passed")
        return self


class Behaviour(_Part):
    """The behavioural tests; `pass_rate` is null if no test has a case."""

    pass_rate: float | None
    checks: list[Check]


class Verdict(_Part):
    """A condition of the gate, whether the model meets it, and why."""

    check: str
    # What was measured, or the difference from the latest model.
    value: float | None
    passed: bool
    why: str


class Metrics(_Part):
    """The content of `metrics.json`. Its other keys are the headline numbers."""

    positive_label: str | None = None
    thresholds: list[ThresholdScores] = []
    per_label: dict[str, LabelScores] = {}
    # Truth in rows, answers in columns.
    confusion_matrix: list[list[Count]] = []
    # The headline numbers at the default threshold, if another one was chosen.
    at_even_odds: Numbers | None = None
    # Name -> its headline numbers.
    baselines: dict[str, Numbers] = {}
    # Metric -> the ends of its 95 % confidence interval.
    confidence: dict[str, Ends] = {}
    calibration: Calibration | None = None
    coverage: list[CoveragePoint] = []
    slices: list[Slice] = []
    mistakes: list[Mistake] = []
    suspects: list[Suspect] = []
    curves: Curves = Curves()
    evidence: Evidence | None = None
    # Out of distribution.
    elsewhere: list[OutOfDistribution] = []
    # How well rows of none of the labels are told; None where that was not asked for.
    scope: OutOfScope | None = None
    history: list[Epoch] = []
    search: Search | None = None
    cross_validation: CrossValidation | None = None
    behaviour: Behaviour | None = None
    # None without a gate.
    gate: list[Verdict] | None = None

    @property
    def headline(self) -> Numbers:
        """The single numbers at the top, by name."""
        extra = self.model_extra or {}
        return {name: value for name, value in extra.items() if isinstance(value, float)}

    @model_validator(mode="after")
    def _has_finite_headline_numbers(self) -> Self:
        for name, value in self.headline.items():
            if not isfinite(value):
                raise ValueError(f"{name}: expected a finite number, got {value}")
        return self

    @model_validator(mode="after")
    def _has_a_square_confusion_matrix(self) -> Self:
        count = len(self.confusion_matrix)
        for row in self.confusion_matrix:
            if len(row) != count:
                expected = f"expected {counted(count, 'column')} a row, got {len(row)}"
                raise ValueError(f"confusion_matrix: {expected}")
        return self


def read_metrics(file: Path) -> Metrics:
    """Read `metrics.json`.

    Raises:
        ArtefactError: The file cannot be read, or its content does not fit `Metrics`.
    """
    try:
        return Metrics.model_validate_json(read_regular(file, MOST_SMALL_BYTES))
    except OSError as error:
        raise ArtefactError(f"{file}: cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        [first, *_] = error.errors()
        if first["type"] == "json_invalid":
            raise ArtefactError(f"{file}: not JSON ({first['msg']}). {DAMAGED}") from None
        raise unreadable(file, error) from None
