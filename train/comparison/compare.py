"""The evaluation layer: two artefacts on the same rows, both asked as a server would ask them."""

import difflib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import ArtefactError
from predict.scoring.inputs import InstanceError
from predict.scoring.predictor import Predictor
from train.artefacts.listing import find_runs, sort_runs
from train.comparison.answers import (
    check_tasks,
    common_labels,
    decision_notes,
    half_width,
    positive_of,
    score,
    shown_doubts,
    shown_widths,
    targets_of,
)
from train.comparison.rows import CommonRows, CompareError, Model, Rows, gather, listed, project
from train.evaluation.measures import ERRORS
from train.evaluation.significance import (
    Difference,
    Scored,
    label_differences,
    mcnemar,
    paired_differences,
)
from train.models.decision import Decision
from train.progress import Progress, SilentProgress
from train.reporting.report import METRIC_NAMES, show_metric

# A label that only one model knows has no probability in the other one.
_OF_ALL_PROBABILITIES = ("log_loss", "ranking_precision", "ece")
_EXAMPLES = 5
_BOTH_RIGHT, _BOTH_WRONG, _AS_CLOSE = "both right", "both wrong", "as close"
_ONE_IS_BETTER = ("only A right", "only B right", "A closer", "B closer")

Answers = npt.NDArray[Any]


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


@dataclass(frozen=True)
class LabelDifference:
    """How well both models tell one label."""

    label: str
    support: int
    f1: Difference


@dataclass(frozen=True)
class Change:
    """A row to which the models answer differently: the row in the file or split, and both answers."""

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
        metrics: Metric -> both values and their difference, B less A.
        p_value: Of McNemar's test; None for a regression.
        agreement: The share of rows with the same answer; None for a regression.
        tally: Who is right (of a regression: closer) -> rows.
        labels: The F1 of each, those that changed most first.
        changed: As in `tally` -> a few such rows, the most different answers first.
        largest_difference: Between two outputs for the same row.
        scale: The largest value of a regression, 1 for probabilities.
        other_answers: Rows with different answers; of a regression 0, for its answers are its outputs.
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
    a: Path,
    b: Path,
    data: Path | None = None,
    *,
    examples: int = _EXAMPLES,
    progress: Progress | None = None,
) -> Comparison:
    """Score two artefacts on the same rows.

    Args:
        a: An artefact directory.
        b: Another one, whose inputs fit the same rows.
        data: A labelled file with A's columns; None: the test split of what A was trained on.
        examples: How many changed rows to keep of each kind.
        progress: What tells a person who waits.

    Raises:
        CompareError: Their inputs, labels or tasks do not fit each other.
        ArtefactError: One of them cannot be loaded.
        UserError: The rows cannot be read.
    """
    progress = progress or SilentProgress()
    with progress.stage("load", f"{a} (A) and {b} (B)"):
        first, second = Model(a, "A", Predictor.load(a)), Model(b, "B", Predictor.load(b))
    check_tasks(first, second)
    names, notes = common_labels(first.output, second.output)
    with progress.stage("dataset", str(data or first.metadata.dataset.get("name", a))):
        rows = gather(first, second, data)
    rows, targets, unknown = targets_of(rows, names)
    notes = [*rows.notes, *notes, *unknown, *decision_notes(first, second)]
    with progress.stage("score", f"{len(rows.first):,} rows with both"):
        decision = Decision(names, first.output.type == "labels", positive=positive_of(first))
        scored = score(first, rows.first, decision), score(second, rows.second, decision)
    with progress.stage("compare", "on resampled rows"):
        differences = paired_differences(targets, *scored)
        if set(first.output.labels) != set(second.output.labels):
            differences = {
                name: found
                for name, found in differences.items()
                if name not in _OF_ALL_PROBABILITIES
            }
        return _conclude(
            (first, second), rows, targets, scored, differences, notes, examples=examples
        )


def _conclude(
    models: tuple[Model, Model],
    rows: CommonRows,
    targets: npt.NDArray[Any],
    scored: tuple[Scored, Scored],
    differences: dict[str, Difference],
    notes: list[str],
    examples: int,
) -> Comparison:
    first, second = scored
    names = first.decision.label_names
    kinds, leads = _kinds_of(targets, first, second)
    apart = _differ(first.answers, second.answers) if names else np.zeros(len(targets), bool)
    right = [~_differ(model.answers, targets) for model in scored]
    return Comparison(
        a=_side(models[0]),
        b=_side(models[1]),
        data=rows.about,
        rows=len(targets),
        task=models[0].metadata.task,
        metrics=differences,
        p_value=mcnemar(*right) if names else None,
        agreement=float(1 - apart.mean()) if names else None,
        tally={kind: int(found.sum()) for kind, found in kinds.items()},
        labels=_label_changes(targets, first, second) if names else [],
        changed={
            kind: _changes(rows, scored, np.flatnonzero(found), leads, examples)
            for kind, found in kinds.items()
            if kind in _ONE_IS_BETTER
        },
        largest_difference=float(np.abs(first.outputs - second.outputs).max()),
        scale=1.0 if names else float(np.abs(first.outputs).max()),
        other_answers=int(apart.sum()),
        notes=notes,
    )


def check_equivalent(comparison: Comparison, tolerance: float) -> str:
    """Return a line that says how equal two models are.

    Args:
        comparison: Of the two.
        tolerance: How far apart two probabilities may be; of a regression as a share of the largest value.

    Raises:
        CompareError: They are further apart, or answer otherwise.
    """
    found, allowed = comparison.largest_difference, tolerance * comparison.scale
    problems = []
    if not found <= allowed:
        problems.append(f"their outputs differ by up to {found:.3g}, {allowed:.3g} is allowed")
    if comparison.other_answers:
        problems.append(f"{comparison.other_answers:,} answers are others")
    widths = comparison.a.half_width, comparison.b.half_width
    if not _close(*widths, allowed):
        problems.append(f"their intervals are others ({shown_widths(*widths)})")
    doubts = comparison.a.unsure_below, comparison.b.unsure_below
    if not _close(*doubts, allowed):
        problems.append(f"other answers are unsure ({shown_doubts(*doubts)})")
    if problems:
        raise CompareError(
            f"{comparison.a.path} and {comparison.b.path} are not equal: {'; '.join(problems)} "
            f"({comparison.rows:,} rows)."
        )
    same = "; every answer is the same" if comparison.labels else ""
    return f"equal: outputs differ by at most {found:.1e}, {allowed:.1e} is allowed{same} ({comparison.rows:,} rows)"


def _close(one: float | None, other: float | None, allowed: float) -> bool:
    """Return whether two numbers, each of which may be missing, are equal but for what is allowed."""
    if one is None or other is None:
        return one is other
    return abs(one - other) <= allowed


def find_artefact(name: str, artefacts_dir: Path) -> Path:
    """Return an artefact directory by its path, or by its name below `artefacts_dir` (`latest` is one).

    Raises:
        CompareError: There is none.
    """
    for path in (Path(name), artefacts_dir / name):
        if path.is_dir():
            return path
    there = artefacts_dir.iterdir() if artefacts_dir.is_dir() else ()
    known = sorted((path.name for path in there if not path.name.startswith(".")), reverse=True)
    close = difflib.get_close_matches(name, known, n=1)
    hint = f"Did you mean {close[0]}?" if close else f"There are: {listed(known, 5)}."
    hint = hint if known else "There are none: run `make train` first."
    raise CompareError(f"{name}: neither a directory nor an artefact in {artefacts_dir}. {hint}")


def against_latest(
    latest_dir: Path,
    instances: list[dict[str, Any]],
    targets: npt.NDArray[Any],
    outputs: npt.NDArray[np.float64],
    decision: Decision,
    dataset: Mapping[str, Any] | None = None,
) -> tuple[bool, str, float]:
    """Say whether a new model is not significantly worse than the newest artefact, on the new one's test rows.

    What is compared is the accuracy; PR AUC where a threshold was chosen, for an aim shifts the accuracy by
    intent; of several labels the micro F1, of a number RMSE.

    Args:
        latest_dir: The artefact that the new model shall replace.
        instances: The new model's test rows, as requests would send them.
        targets: Their truth; see `evaluate`.
        outputs: What the new model says of them.
        decision: How that becomes answers.
        dataset: What the new metadata says of its dataset; with it, another dataset or split is noticed.

    Returns:
        Whether it is not worse; also if the two cannot be compared fairly: another task, dataset or split, or
        other inputs or labels. Why. And by how much it is better, negative if it is worse, 0 without comparison.

    Raises:
        ArtefactError: `latest_dir` cannot be loaded.
    """
    latest = Model(latest_dir, latest_dir.name, Predictor.load(latest_dir))
    name = latest.metadata.name
    if reason := _why_not(latest, instances, decision, dataset or {}):
        return True, f"not comparable with {name}: {reason}", 0.0
    names = list(decision.label_names)
    common = Decision(names, decision.several, positive=decision.positive)
    theirs = score(latest, project(instances, latest), common)
    ours = Scored(outputs, decision.answers(outputs), common)
    found = paired_differences(targets, theirs, ours)
    metric = _main_metric(decision)
    metric = metric if metric in found else "accuracy"  # PR AUC needs rows of both labels
    difference = found[metric]
    shown, better = METRIC_NAMES[metric], sign(metric) * difference.difference
    passed = not (difference.significant and better < 0)
    why = (
        f"{shown} {show_metric(metric, difference.second)}, {name} has {show_metric(metric, difference.first)}: "
        f"{signed(metric, difference.difference)}, 95 % interval {shown_range(metric, difference)}"
    )
    return passed, why, better


def newest_comparable(
    artefacts_dir: Path,
    instances: list[dict[str, Any]],
    decision: Decision,
    dataset: Mapping[str, Any],
) -> Path | None:
    """Return the newest artefact that a new model can be held against; None if there is none.

    It has passed its gate, or had none, and answers the same question of the same rows: other datasets may have
    been trained on meanwhile.

    Args:
        artefacts_dir: Where artefacts are.
        instances: The new model's test rows, as requests would send them.
        decision: How its outputs become answers.
        dataset: What its metadata says of its dataset.
    """
    runs, _ = find_runs(artefacts_dir)
    for run in sort_runs(runs, "-time"):
        if run.gate == "failed" or run.dataset != dataset.get("name"):
            continue
        with suppress(ArtefactError):  # damaged: not for a comparison
            model = Model(run.path, run.name, Predictor.load(run.path))
            if not _why_not(model, instances, decision, dataset):
                return run.path
    return None


def _why_not(
    latest: Model,
    instances: list[dict[str, Any]],
    decision: Decision,
    dataset: Mapping[str, Any],
) -> str:
    """Return why a model cannot be compared with the newest one; nothing if it can."""
    kind = "labels" if decision.several else "label" if decision.label_names else "number"
    theirs = latest.metadata.dataset
    if latest.output.type != kind:
        return f"it answers with {latest.output.type}, this one with {kind}"
    if set(latest.output.labels) != set(decision.label_names):
        return f"its labels are others ({listed(latest.output.labels, 5)})"
    for key, what in (
        ("name", "dataset"),
        ("sha256", "version of the dataset"),
        ("split", "split"),
    ):
        if key in dataset and key in theirs and dataset[key] != theirs[key]:
            other = f" ({theirs['name']})" if key == "name" else ""
            return f"it was trained on another {what}{other}"
    try:
        latest.predictor.check(project(instances, latest))
    except (InstanceError, KeyError):
        return f"it reads other inputs ({listed([one.name for one in latest.metadata.inputs], 5)})"
    return ""


def _main_metric(decision: Decision) -> str:
    if not decision.label_names:
        return "rmse"
    if decision.several:
        return "micro_f1"
    return "pr_auc" if decision.thresholds else "accuracy"


def _differ(one: Answers, other: Answers) -> npt.NDArray[np.bool_]:
    differ: npt.NDArray[np.bool_] = (one != other).reshape(len(one), -1).any(axis=1)
    return differ


def _kinds_of(
    targets: npt.NDArray[Any], first: Scored, second: Scored
) -> tuple[dict[str, npt.NDArray[np.bool_]], npt.NDArray[np.float64]]:
    """Return which rows are of which kind, and how much one model is ahead of the other in each."""
    if not first.decision.label_names:
        ours, theirs = np.abs(first.answers - targets), np.abs(second.answers - targets)
        kinds = {"A closer": ours < theirs, "B closer": theirs < ours, _AS_CLOSE: ours == theirs}
        return kinds, np.abs(ours - theirs)
    right, also = ~_differ(first.answers, targets), ~_differ(second.answers, targets)
    kinds = {
        _BOTH_RIGHT: right & also,
        "only A right": right & ~also,
        "only B right": also & ~right,
        _BOTH_WRONG: ~right & ~also,
    }
    return kinds, np.abs(first.outputs - second.outputs).sum(axis=1)


def _label_changes(
    targets: npt.NDArray[Any], first: Scored, second: Scored
) -> list[LabelDifference]:
    names = first.decision.label_names
    support = (
        targets.sum(axis=0) if targets.ndim == 2 else np.bincount(targets, minlength=len(names))
    )
    found = label_differences(targets, first, second)
    changes = map(LabelDifference, names, support.tolist(), found)
    return sorted(changes, key=lambda change: -abs(change.f1.difference))


def _changes(
    rows: CommonRows,
    scored: tuple[Scored, Scored],
    found: Rows,
    leads: npt.NDArray[np.float64],
    most: int,
) -> list[Change]:
    order = found[np.argsort(-leads[found], kind="stable")][:most].tolist()
    return [
        Change(
            int(rows.places[row]),
            rows.first[row],
            rows.truths[row],
            *(_answer(model, row) for model in scored),
        )
        for row in order
    ]


def _answer(model: Scored, row: int) -> Any:
    """Return an answer as JSON and people have it."""
    names = model.decision.label_names
    if not names:
        return float(model.answers[row])
    if model.decision.several:
        return [names[place] for place in np.flatnonzero(model.answers[row]).tolist()]
    place = int(model.answers[row])
    return {"label": names[place], "score": round(float(model.outputs[row, place]), 6)}


def _side(model: Model) -> Side:
    described = model.metadata.model
    return Side(
        path=str(model.path),
        name=model.metadata.name,
        created_at=model.metadata.created_at,
        dataset=str(model.metadata.dataset.get("name", "unknown")),
        model=str(described.get("pipeline") or described.get("family") or "unknown"),
        thresholds=model.output.thresholds,
        half_width=half_width(model),
        unsure_below=model.output.unsure_below,
    )


def as_json(comparison: Comparison) -> dict[str, Any]:
    """Return everything as JSON has it."""
    return asdict(comparison)


def sign(metric: str) -> int:
    """Return 1 for a metric of which more is better, -1 for one of which less is."""
    return -1 if metric in ERRORS else 1


def signed(metric: str, value: float) -> str:
    """Return a difference as people read it, with its sign."""
    shown = show_metric(metric, abs(value))
    return f"{'-' if value < 0 and shown.strip('0.') else '+'}{shown}"


def shown_range(metric: str, found: Difference) -> str:
    """Return the interval of a difference."""
    return f"{signed(metric, found.low)} to {signed(metric, found.high)}"
