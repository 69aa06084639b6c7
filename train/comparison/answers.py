"""The scoring layer: what two artefacts answer, in terms of the labels of both."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import METRICS, Output
from predict.scoring.inputs import InstanceError
from train.comparison.rows import CommonRows, CompareError, Model, Rows, listed
from train.evaluation.significance import Scored
from train.models.decision import Decision
from train.reporting.report import show_value


def check_tasks(first: Model, second: Model) -> None:
    """Raise CompareError unless both answer a label, labels, or a number."""
    kinds = first.output.type, second.output.type
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
    notes = [
        f"only {name} knows {listed(only)}: the other one is wrong in all rows of theirs"
        for name, only in (
            ("A", [label for label in ours if label not in shared]),
            ("B", [label for label in theirs if label not in shared]),
        )
        if only
    ]
    if not ours and first.name != second.name:
        notes.append(f"A predicts {first.name}, B {second.name}: the truth is A's")
    return [*ours, *(label for label in theirs if label not in shared)], notes


def targets_of(
    rows: CommonRows, names: Sequence[str]
) -> tuple[CommonRows, npt.NDArray[Any], list[str]]:
    """Return rows with a known truth, that truth as `evaluate` takes it, and what was left out."""
    if not names:
        return rows, np.array(rows.truths, np.float64), []
    places = {name: place for place, name in enumerate(names)}
    sets = [truth if isinstance(truth, list) else [truth] for truth in rows.truths]
    several = any(isinstance(truth, list) for truth in rows.truths)
    unknown = sorted({label for truth in sets for label in truth if label not in places})
    if several:
        targets = np.zeros((len(sets), len(names)), np.bool_)
        for row, truth in enumerate(sets):
            targets[row, [places[label] for label in truth if label in places]] = True
        note = f"labels that neither model knows do not count: {listed(unknown)}"
        return rows, targets, [note] if unknown else []
    kept = [row for row, [label] in enumerate(sets) if label in places]
    if not kept:
        raise CompareError(
            f"neither model knows any label of these rows: {listed(unknown)}. They know {listed(names)}."
        )
    note = f"rows left out, for neither model knows their label ({listed(unknown)}): {len(sets) - len(kept):,}"
    targets = np.array([places[rows.truths[row]] for row in kept])
    return _take(rows, kept), targets, [note] if unknown else []


def _take(rows: CommonRows, kept: list[int]) -> CommonRows:
    truths, first, second = (
        [found[row] for row in kept] for found in (rows.truths, rows.first, rows.second)
    )
    return replace(rows, places=rows.places[kept], truths=truths, first=first, second=second)


def score(model: Model, instances: list[dict[str, Any]], common: Decision) -> Scored:
    """Ask a model, and write what it says in terms of the labels of both."""
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
    output = model.output
    own = Decision(
        output.labels,
        output.type == "labels",
        output.thresholds,
        half_width=half_width(model),
    )
    answers = own.answers(outputs)
    if output.type == "number":
        return Scored(outputs, answers, own)
    places = np.array([common.label_names.index(label) for label in output.labels])
    return Scored(
        _spread(outputs, places, len(common.label_names)),
        _spread(answers, places, len(common.label_names)) if common.several else places[answers],
        replace(common, unsure_below=output.unsure_below),
    )


def _spread(columns: npt.NDArray[Any], places: Rows, width: int) -> npt.NDArray[Any]:
    """Put columns where they belong among `width` of them; the others are zeros."""
    spread = np.zeros((len(columns), width), columns.dtype)
    spread[:, places] = columns
    return spread


def positive_of(model: Model) -> str | None:
    """Return the label that precision and recall are about, as A's own evaluation has it."""
    try:
        content = json.loads((model.path / METRICS).read_bytes())
        label = content.get("positive_label")
    except (OSError, ValueError, AttributeError):
        label = None
    known = label in model.output.labels and len(model.output.labels) == 2
    return str(label) if known else next(iter(model.output.thresholds), None)


def decision_notes(first: Model, second: Model) -> list[str]:
    """Say how differently the two turn outputs into answers."""
    notes = []
    widths = half_width(first), half_width(second)
    if widths[0] != widths[1]:
        notes.append(f"prediction intervals differ: {shown_widths(*widths)}")
    ours, theirs = first.output, second.output
    if ours.type == "label" and ours.thresholds != theirs.thresholds:
        shown = [
            " and ".join(f"{label} from {least:.4g} on" for label, least in found.items())
            or "the most probable label"
            for found in (ours.thresholds, theirs.thresholds)
        ]
        notes.append(f"thresholds differ: A answers {shown[0]}, B {shown[1]}")
    if ours.unsure_below != theirs.unsure_below:
        notes.append(
            f"other answers are unsure: {shown_doubts(ours.unsure_below, theirs.unsure_below)}"
        )
    return notes


def half_width(model: Model) -> float | None:
    """Return what a model's prediction interval adds on either side of a value; None without."""
    return model.output.interval.half_width if model.output.interval else None


def shown_widths(*half_widths: float | None) -> str:
    """Return the prediction intervals of A and B as people read them."""
    shown = ["none" if width is None else f"± {show_value(width)}" for width in half_widths]
    return f"A {shown[0]}, B {shown[1]}"


def shown_doubts(*unsure_below: float | None) -> str:
    """Return the scores below which A and B are unsure, as people read them."""
    shown = ["never" if score is None else f"below {score:.4g}" for score in unsure_below]
    return f"A {shown[0]}, B {shown[1]}"
