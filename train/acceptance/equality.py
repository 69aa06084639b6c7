"""The equality of what is served and what was trained: outputs, labels and answers, on test rows: all, or many."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.scoring.outputs import Prediction
from predict.scoring.predictor import Predictor
from predict.wording import plural
from train.errors import ExportError
from train.evaluation.answered import Answered
from train.models.family import Outputs, Tolerance

# How far apart trained and served familiarity may be.
_CLOSE = 1e-3
# Of more test rows so many are compared, drawn by chance: what is exported wrongly differs in more than a few.
_MOST_ROWS = 20_000


def rows_to_verify(num_rows: int) -> npt.NDArray[np.int64]:
    """Return which of so many test rows are compared, in order."""
    if num_rows <= _MOST_ROWS:
        return np.arange(num_rows)
    return np.sort(np.random.default_rng(0).choice(num_rows, _MOST_ROWS, replace=False))


def verify(
    answered: Answered,
    predictor: Predictor,
    instances: Sequence[Mapping[str, Any]],
    tolerance: Tolerance,
) -> tuple[str, list[Prediction]]:
    """Compare what a predictor serves with what was trained.

    Args:
        answered: The trained model's answers to the rows of `rows_to_verify`.
        predictor: The exported model, loaded as a server loads it.
        instances: These rows, as requests would send them.
        tolerance: How far apart the two may be.

    Returns:
        A sentence that says how far apart they are, and what the predictor answers.

    Raises:
        ExportError: They are further apart.
    """
    outputs = predictor.scores(instances)
    difference = check_equal(answered.outputs, outputs, tolerance)
    answers, labels = answered.decision.answers(outputs), ""
    if answered.kind != "number":
        count = check_same_labels(answered.answers, answers, tolerance)
        labels = (
            f"; {count:,} {plural(count, 'label')} {plural(count, 'differs')}"
            if count
            else "; every label is the same"
        )
    predictions = predictor.predict(instances)
    check_same_answers(answered.label_names, answers, predictions)
    if answered.familiarity is not None:
        count = check_same_doubts(answered, predictions, predictor.familiarity(instances))
        labels += f"; {count:,} {plural(count, 'is')} unsure on one side alone" if count else ""
    rows = "the test rows"
    if len(outputs) == _MOST_ROWS:
        rows = f"{_MOST_ROWS:,} of the test rows"
    said = f"served and trained outputs differ by at most {difference:.1e} on {rows}{labels}"
    return said, predictions


def check_equal(trained: Outputs, served: Outputs, tolerance: Tolerance) -> float:
    """Return the largest difference between two <float64>[num_rows, num_outputs] arrays.

    Raises:
        ExportError: Some are further apart than allowed.
    """
    differences = np.abs(trained - served)
    allowed = tolerance.relative * np.abs(trained) + tolerance.absolute
    wrong = ~(differences <= allowed)  # also when it is not a number
    if wrong.any():
        row, column = np.argwhere(wrong)[0]
        raise ExportError(
            f"the exported model differs from the trained one in {wrong.any(axis=1).sum():,} of {len(trained):,} "
            f"test rows: {float(served[row, column])!r} instead of {float(trained[row, column])!r} in the first. "
            "No artefact was written. If the pipeline is your own, replace its steps one by one to find the wrong one."
        )
    return float(differences.max())


def check_same_labels(
    trained: npt.NDArray[Any], served: npt.NDArray[Any], tolerance: Tolerance
) -> int:
    """Count the rows where the exported model gives another label than the trained one.

    Args:
        trained: What `Decision.answers` makes of the trained model's outputs.
        served: What it makes of the exported model's outputs.
        tolerance: Whether any label may differ: outputs in single precision may, where two are nearly equal.

    Raises:
        ExportError: Some differ, and none may.
    """
    differ = (trained != served).reshape(len(trained), -1).any(axis=1)
    count = int(differ.sum())
    if count and tolerance.same_labels:
        raise ExportError(
            f"the exported model gives another label than the trained one in {count:,} of {len(trained):,} test "
            "rows. No artefact was written; please report this configuration."
        )
    return count


def check_same_doubts(
    answered: Answered,
    predictions: Sequence[Mapping[str, Any]],
    served: npt.NDArray[np.float64] | None,
) -> int:
    """Check that serving marks the answers as unsure that the evaluation counted as such, and count the exceptions.

    An answer may differ only where its familiarity is as good as the one from which on it is sure: that of texts is
    computed in single precision.

    Args:
        answered: The trained model's answers, with their familiarity.
        predictions: What `Predictor.predict` returns.
        served: What `Predictor.familiarity` returns.

    Raises:
        ExportError: Some differ.
    """
    assert answered.familiarity is not None
    assert answered.decision.familiar_from is not None
    unsure = np.array([prediction.get("unsure", False) for prediction in predictions])
    differ = unsure == answered.sure()
    close = np.abs(answered.familiarity - answered.decision.familiar_from) <= _CLOSE
    apart = 0 if served is None else int((~_equal(answered.familiarity, served)).sum())
    wrong = int((differ & ~close).sum())
    if served is None or apart or wrong:
        raise ExportError(
            f"the server is unsure of other answers than the evaluation in {wrong:,} of {len(unsure):,} test rows; "
            f"the familiarity of {apart:,} differs. No artefact was written; please report this configuration."
        )
    return int(differ.sum())


def _equal(trained: npt.NDArray[np.float64], served: npt.NDArray[np.float64]) -> Any:
    # Minus infinity, of a text of unknown words, is equal to itself.
    return np.isclose(trained, served, rtol=_CLOSE, atol=_CLOSE)


def check_same_answers(
    label_names: Sequence[str],
    decided: npt.NDArray[Any],
    predictions: Sequence[Mapping[str, Any]],
) -> None:
    """Check that serving gives the labels that were evaluated.

    Args:
        label_names: Empty for a regression, which has none.
        decided: What `Decision.answers` makes of the served outputs.
        predictions: What `Predictor.predict` returns.

    Raises:
        ExportError: Some differ.
    """
    if not label_names:
        return
    if decided.ndim == 2:
        served = [{label["label"] for label in answer["labels"]} for answer in predictions]
        expected = [{label_names[i] for i in np.flatnonzero(row).tolist()} for row in decided]
        wrong = sum(a != b for a, b in zip(expected, served, strict=True))
    else:
        wrong = sum(
            label_names[index] != answer["label"]
            for index, answer in zip(decided.tolist(), predictions, strict=True)
        )
    if wrong:
        raise ExportError(
            f"the server gives another label than the evaluation did in {wrong:,} of {len(decided):,} test rows. "
            "No artefact was written; please report this configuration."
        )
