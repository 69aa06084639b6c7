"""A comparison of two artefacts on the same rows, both asked as a server would ask them."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from predict.scoring.predictor import Predictor
from predict.wording import counted, plural
from train.comparison.answers import (
    answer_rows,
    check_kinds,
    common_labels,
    decision_notes,
    declared_positive,
    show_doubts,
    show_widths,
    targets_of,
)
from train.comparison.rows import CommonRows, CompareError, Model, Rows, gather
from train.evaluation.answered import Answered
from train.evaluation.metrics import describe_metric
from train.evaluation.significance import (
    Difference,
    label_differences,
    mcnemar,
    paired_differences,
)
from train.models.decision import Decision, Flags, Values
from train.progress import Progress, SilentProgress

# Changed rows of each kind that are shown.
_EXAMPLES = 5
_ONE_IS_BETTER = ("only A right", "only B right", "A closer", "B closer")


@dataclass(frozen=True)
class Side:
    """One of the two artefacts, for people."""

    path: str
    name: str
    created_at: str
    dataset: str
    model: str
    thresholds: dict[str, float]
    # What a prediction interval adds on either side of a value; None without.
    half_width: float | None
    # Answers with a lower score are marked as unsure; None if none ever is.
    unsure_below: float | None
    # Answers to what is less familiar are marked as unsure; None if none is for that.
    familiar_from: float | None


@dataclass(frozen=True)
class LabelDifference:
    """How well both models recognise one label."""

    label: str
    support: int
    f1: Difference


@dataclass(frozen=True)
class Change:
    """A row that the models answer differently: its number in the cleaned file or dataset, and both answers."""

    row: int
    instance: dict[str, Any]
    truth: Any
    a: Any
    b: Any


@dataclass(frozen=True)
class Comparison:
    """What came out.

    Attributes:
        data: Which rows.
        metrics: Metric -> both values and their difference, B minus A.
        p_value: The result of McNemar's test; None for a regression.
        agreement: The share of rows with the same answer; None for a regression.
        tally: Who is right (in a regression: closer) -> rows.
        labels: The F1 of each label, those that changed most first.
        changed: As in `tally` -> a few such rows, the most different answers first.
        largest_difference: The largest difference between two outputs for the same row.
        scale: The largest value of a regression, 1 for probabilities.
        other_answers: Rows with different answers; 0 for a regression, whose answers are its outputs.
        notes: What to know before believing it.
    """

    a: Side
    b: Side
    data: str
    rows: int
    task: str
    metrics: dict[str, Difference]
    p_value: float | None
    agreement: float | None
    tally: dict[str, int]
    labels: list[LabelDifference]
    changed: dict[str, list[Change]]
    largest_difference: float
    scale: float
    other_answers: int
    notes: list[str]


def compare(
    a: Path, b: Path, data: Path | None = None, *, progress: Progress | None = None
) -> Comparison:
    """Score two artefacts on the same rows.

    Args:
        a: An artefact directory.
        b: Another one, whose inputs fit the same rows.
        data: A labelled file with A's columns; None: the test split of what A was trained on.
        progress: Tells a person who waits what is happening.

    Raises:
        CompareError: Their inputs, labels or tasks do not fit each other.
        ArtefactError: One of them cannot be loaded.
        UserError: The rows cannot be read.
    """
    progress = progress or SilentProgress()
    with progress.stage("load", f"{a} (A) and {b} (B)"):
        first, second = (
            Model(path, name, Predictor.load(path, limit_s=None))
            for path, name in ((a, "A"), (b, "B"))
        )
        second = second.named_as(first.output.labels)
    check_kinds(first, second)
    names, notes = common_labels(first.output, second.output)
    with progress.stage("dataset", str(data or first.metadata.dataset.get("name", a))):
        rows = gather(first, second, data, progress)
    rows, targets, unknown = targets_of(rows, names)
    notes = [*rows.notes, *notes, *unknown, *decision_notes(first, second)]
    with progress.stage("score", f"{len(rows.first):,} rows with both"):
        decision = Decision(first.output.kind, names, positive=declared_positive(first))
        ours = answer_rows(first, rows.first, targets, decision)
        theirs = answer_rows(second, rows.second, targets, decision)
    with progress.stage("compare", "on resampled rows"):
        return _conclude((first, second), rows, (ours, theirs), notes)


def _conclude(
    models: tuple[Model, Model],
    rows: CommonRows,
    answered: tuple[Answered, Answered],
    notes: list[str],
) -> Comparison:
    first, second = answered
    has_labels = first.kind != "number"
    tally, leads = _tally(first, second)
    differ = _differ(first, second) if has_labels else np.zeros(1, bool)
    return Comparison(
        a=_side(models[0]),
        b=_side(models[1]),
        data=rows.about,
        rows=len(first.truth),
        task=models[0].metadata.task,
        metrics=_metric_differences(models, first, second),
        p_value=mcnemar(first.right(), second.right()) if has_labels else None,
        agreement=float(1 - differ.mean()) if has_labels else None,
        tally={group: int(member.sum()) for group, member in tally.items()},
        labels=_label_changes(first, second) if has_labels else [],
        changed={
            group: _changes(rows, answered, np.flatnonzero(member), leads)
            for group, member in tally.items()
            if group in _ONE_IS_BETTER
        },
        largest_difference=float(np.abs(first.outputs - second.outputs).max()),
        scale=1.0 if has_labels else float(np.abs(first.outputs).max()),
        other_answers=int(differ.sum()),
        notes=notes,
    )


def _metric_differences(
    models: tuple[Model, Model], first: Answered, second: Answered
) -> dict[str, Difference]:
    """Compare the metrics; a label that only one model knows has no probability in the other one."""
    differences = paired_differences(first, second)
    if set(models[0].output.labels) == set(models[1].output.labels):
        return differences
    return {
        key: difference
        for key, difference in differences.items()
        if not describe_metric(key).needs_all_probabilities
    }


def check_equivalent(comparison: Comparison, tolerance: float) -> str:
    """Return a line that says how equal two models are.

    Args:
        comparison: What came out for the two.
        tolerance: How far apart two probabilities may be; in a regression as a share of the largest value.

    Raises:
        CompareError: Their outputs are further apart, or their answers differ.
    """
    difference, allowed = comparison.largest_difference, tolerance * comparison.scale
    problems = []
    if not difference <= allowed:
        problems.append(f"their outputs differ by up to {difference:.3g}, {allowed:.3g} is allowed")
    if comparison.other_answers:
        differ = plural(comparison.other_answers, "differs")
        problems.append(f"{counted(comparison.other_answers, 'answer')} {differ}")
    widths = comparison.a.half_width, comparison.b.half_width
    if not _close(*widths, allowed):
        problems.append(f"their intervals differ ({show_widths(*widths)})")
    a, b = comparison.a, comparison.b
    same_scores = _close(a.unsure_below, b.unsure_below, allowed)
    if not same_scores or not _close(a.familiar_from, b.familiar_from, allowed):
        doubts = [(side.unsure_below, side.familiar_from) for side in (a, b)]
        problems.append(f"different answers are unsure ({show_doubts(*doubts)})")
    if problems:
        raise CompareError(
            f"{comparison.a.path} and {comparison.b.path} are not equal: {'; '.join(problems)} "
            f"({counted(comparison.rows, 'row')})."
        )
    same = "; every answer is the same" if comparison.labels else ""
    return (
        f"equal: outputs differ by at most {difference:.1e}, {allowed:.1e} is allowed{same} "
        f"({counted(comparison.rows, 'row')})"
    )


def _close(one: float | None, other: float | None, allowed: float) -> bool:
    """Return whether two numbers, each of which may be missing, are equal but for what is allowed."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= allowed


def _differ(first: Answered, second: Answered) -> Flags:
    differ: Flags = (first.answers != second.answers).reshape(len(first.answers), -1).any(axis=1)
    return differ


def _tally(first: Answered, second: Answered) -> tuple[dict[str, Flags], Values]:
    """Return who is right, or closer, in which rows, and how much one model is ahead of the other in each."""
    if first.kind == "number":
        ours, theirs = first.losses(), second.losses()
        closer = {"A closer": ours < theirs, "B closer": theirs < ours, "as close": ours == theirs}
        return closer, np.abs(ours - theirs)
    right, also = first.right(), second.right()
    tally = {
        "both right": right & also,
        "only A right": right & ~also,
        "only B right": also & ~right,
        "both wrong": ~right & ~also,
    }
    return tally, np.abs(first.outputs - second.outputs).sum(axis=1)


def _label_changes(first: Answered, second: Answered) -> list[LabelDifference]:
    names, truth = first.label_names, first.truth
    support = truth.sum(axis=0) if truth.ndim == 2 else np.bincount(truth, minlength=len(names))
    changes = map(LabelDifference, names, support.tolist(), label_differences(first, second))
    return sorted(changes, key=lambda change: -abs(change.f1.difference))


def _changes(
    rows: CommonRows, answered: tuple[Answered, Answered], chosen: Rows, leads: Values
) -> list[Change]:
    order = chosen[np.argsort(-leads[chosen], kind="stable")][:_EXAMPLES].tolist()
    return [
        Change(
            int(rows.numbers[row]),
            rows.first[row],
            rows.truths[row],
            *(_answer(model, row) for model in answered),
        )
        for row in order
    ]


def _answer(model: Answered, row: int) -> Any:
    """Return an answer as JSON and people have it."""
    names = model.label_names
    if model.kind == "number":
        return float(model.answers[row])
    if model.kind == "labels":
        return [names[label] for label in np.flatnonzero(model.answers[row]).tolist()]
    label = int(model.answers[row])
    return {"label": names[label], "score": round(float(model.outputs[row, label]), 6)}


def _side(model: Model) -> Side:
    described = model.metadata.model
    return Side(
        path=str(model.path),
        name=model.metadata.name,
        created_at=model.metadata.created_at,
        dataset=str(model.metadata.dataset.get("name", "unknown")),
        model=str(described.get("pipeline") or described.get("family") or "unknown"),
        thresholds=model.output.thresholds,
        half_width=model.decision.half_width,
        unsure_below=model.output.unsure_below,
        familiar_from=model.output.familiar_from,
    )


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return everything as JSON has it."""
    return asdict(comparison)
