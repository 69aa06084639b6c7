"""The answers of two artefacts, in terms of the labels of both."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import METRICS, ArtefactError, Output
from predict.contract.metrics import read_metrics
from predict.scoring.inputs import InstanceError
from predict.wording import listed, readable
from train.comparison.names import namer
from train.comparison.rows import CommonRows, CompareError, Model, Rows
from train.evaluation.answered import Answered
from train.models.decision import Decision


def check_kinds(first: Model, second: Model) -> None:
    """Raise CompareError unless both answer with one label, with any number of labels, or with a number."""
    kinds = first.output.kind, second.output.kind
    if kinds[0] != kinds[1]:
        words = {"label": "one label", "labels": "any number of labels", "number": "a number"}
        raise CompareError(
            f"{first.path} (A) answers {words[kinds[0]]}, {second.path} (B) {words[kinds[1]]}: "
            "there is nothing to compare."
        )


def common_labels(first: Output, second: Output) -> tuple[list[str], list[str]]:
    """Return the labels of either model, A's first; and what to know of those that only one of them has."""
    ours, theirs = first.labels, second.labels
    shared = set(ours) & set(theirs)
    if len(shared) * 2 < min(len(ours), len(theirs)):
        raise CompareError(
            f"the labels do not fit: A answers {listed(ours)}; B answers {listed(theirs)}; "
            f"{len(shared)} of them are the same."
        )
    only_a = [label for label in ours if label not in shared]
    only_b = [label for label in theirs if label not in shared]
    notes = [
        f"only {name} knows {listed(only)}, so {other} is wrong on every row with "
        f"{'that label' if len(only) == 1 else 'these labels'}"
        for name, other, only in (("A", "B", only_a), ("B", "A", only_b))
        if only
    ]
    if not ours and first.name != second.name:
        notes.append(f"A predicts {first.name}, B {second.name}: the truth is A's")
    return [*ours, *only_b], notes


def targets_of(
    rows: CommonRows, names: Sequence[str]
) -> tuple[CommonRows, npt.NDArray[Any], list[str]]:
    """Return rows with a known truth, that truth as in `Answered`, and what was left out."""
    if not names:
        return rows, np.array(rows.truths, np.float64), []
    rows = replace(rows, truths=_named(rows.truths, names))
    index = {name: number for number, name in enumerate(names)}
    sets = [truth if isinstance(truth, list) else [truth] for truth in rows.truths]
    unknown = sorted({label for truth in sets for label in truth if label not in index})
    if any(isinstance(truth, list) for truth in rows.truths):
        targets = np.zeros((len(sets), len(names)), np.bool_)
        for row, truth in enumerate(sets):
            targets[row, [index[label] for label in truth if label in index]] = True
        note = f"labels that neither model knows do not count: {listed(unknown)}"
        return rows, targets, [note] if unknown else []
    known = [row for row, [label] in enumerate(sets) if label in index]
    if not known:
        raise CompareError(
            f"neither model knows any label of these rows: {listed(unknown)}. They know {listed(names)}."
        )
    note = f"rows left out because neither model knows their label ({listed(unknown)}): {len(sets) - len(known):,}"
    targets = np.array([index[rows.truths[row]] for row in known])
    return rows.part(known), targets, [note] if unknown else []


def _named(truths: list[Any], names: Sequence[str]) -> list[Any]:
    """Return labels, or lists of labels, by the names that the models know."""
    name_of = namer(names)
    return [
        sorted(set(map(name_of, truth))) if isinstance(truth, list) else name_of(truth)
        for truth in truths
    ]


def answer_rows(
    model: Model, instances: list[dict[str, Any]], targets: npt.NDArray[Any], common: Decision
) -> Answered:
    """Ask a model, and write its answers in terms of the labels of both.

    Args:
        model: It answers as its own artefact decides.
        instances: The rows.
        targets: Their truth, in terms of the labels of both.
        common: The labels of both, and which of them is positive.
    """
    outputs, own = _outputs(model, instances), model.decision
    if own.kind == "number":
        return Answered(targets, outputs, own)
    columns, width = _columns(own, common), len(common.label_names)
    answers = own.answers(outputs)
    return Answered(
        targets,
        _spread(outputs, columns, width),
        replace(common, unsure_below=own.unsure_below, familiar_from=own.familiar_from),
        _spread(answers, columns, width) if own.kind == "labels" else columns[answers],
        model.predictor.familiarity(instances),
    )


def _outputs(model: Model, instances: list[dict[str, Any]]) -> npt.NDArray[np.float64]:
    try:
        model.predictor.check(instances, "row {}".format)
    except InstanceError as error:
        raise CompareError(
            f"{model.path} ({model.name}) cannot take these rows: {error}."
        ) from None
    outputs = model.predictor.scores(instances)
    if not np.isfinite(outputs).all():
        row = int(np.flatnonzero(~np.isfinite(outputs).all(axis=1))[0])
        raise CompareError(f"{model.path} ({model.name}) has no finite answer to row {row}.")
    return outputs


def _columns(own: Decision, common: Decision) -> Rows:
    """Return where each label of a model is among the labels of both."""
    return np.array([common.label_names.index(label) for label in own.label_names])


def _spread(values: npt.NDArray[Any], columns: Rows, width: int) -> npt.NDArray[Any]:
    """Put columns where they belong among `width` of them; all other columns are zeros."""
    spread = np.zeros((len(values), width), values.dtype)
    spread[:, columns] = values
    return spread


def declared_positive(model: Model) -> str | None:
    """Return the label that precision and recall are about, as a model's own evaluation has it."""
    label = None
    with suppress(ArtefactError):  # an older version may have measured other things
        label = read_metrics(model.path / METRICS).positive_label
    known = label in model.output.labels and len(model.output.labels) == 2
    return label if known else model.decision.positive


def decision_notes(first: Model, second: Model) -> list[str]:
    """Say how differently the two turn outputs into answers."""
    notes = []
    ours, theirs = first.decision, second.decision
    if ours.half_width != theirs.half_width:
        shown = show_widths(ours.half_width, theirs.half_width)
        notes.append(f"prediction intervals differ: {shown}")
    if ours.kind == "label" and ours.thresholds != theirs.thresholds:
        answered = [
            " and ".join(f"{label} from {least:.4g} on" for label, least in thresholds.items())
            or "the most probable label"
            for thresholds in (ours.thresholds, theirs.thresholds)
        ]
        notes.append(f"thresholds differ: A answers {answered[0]}, B {answered[1]}")
    if _doubt(ours) != _doubt(theirs):
        shown = show_doubts(_doubt(ours), _doubt(theirs))
        notes.append(f"different answers are unsure: {shown}")
    return notes


def show_widths(*half_widths: float | None) -> str:
    """Return the prediction intervals of A and B as people read them."""
    shown = ["none" if width is None else f"± {readable(width)}" for width in half_widths]
    return f"A {shown[0]}, B {shown[1]}"


def show_doubts(*doubts: "Doubt") -> str:
    """Return when A and B are unsure, as people read it."""
    shown = [
        " or ".join(
            f"below {'a familiarity of ' * is_familiarity}{least:.4g}"
            for is_familiarity, least in enumerate(doubt)
            if least is not None
        )
        or "never"
        for doubt in doubts
    ]
    return f"A {shown[0]}, B {shown[1]}"


# The score and the familiarity below which an answer is unsure; None if none is for that.
Doubt = tuple[float | None, float | None]


def _doubt(decision: Decision) -> Doubt:
    return decision.unsure_below, decision.familiar_from
