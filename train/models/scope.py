"""The scope of a model: what tells instances of none of its labels, and how well. Both families share this.

Some labels are left out in turn; a model of the other labels is asked about their rows, which are out of its scope, and
about validation rows, which are within it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from sklearn.metrics import roc_auc_score

from predict.wording import counted, listed
from train.data.dataset import Dataset
from train.data.splits import Prepared
from train.models.decision import Values, problems_of_rows
from train.progress import Progress

Rows = npt.NDArray[np.int64]
Labels = npt.NDArray[np.int64]

# In how many groups the labels are left out: a fit each.
_GROUPS = 4
# Less than this share of what is out of scope is little.
_LITTLE = 0.5
# What people call the label that means none of the labels.
_NONE_NAMES = frozenset(
    (
        *("none", "none of these", "none of the above", "nothing", "n/a", "no intent", "fallback"),
        *("other", "others", "oos", "ood", "out of scope", "out of domain", "unknown"),
        *("unsupported", "irrelevant", "misc", "miscellaneous"),
    )
)


class Writable(Protocol):
    """What is served."""

    def write(self, directory: Path) -> None:
        """Write the file."""


@dataclass(frozen=True)
class Scope:
    """What is within the scope of a model.

    Attributes:
        familiarity: What is served.
        familiarity_of: Dataset, rows -> how familiar they are, <float64>[num_rows], as it will be served; minus
            infinity for texts of unknown words alone.
        familiar_from: A row that is less familiar is out of scope.
        evidence: How well that is told; see `predict.contract.metrics.OutOfScope`.
    """

    familiarity: Writable
    familiarity_of: Callable[[Dataset, Rows], Values]
    familiar_from: float
    evidence: dict[str, Any]

    def tell(self, progress: Progress) -> None:
        """Say what was found, and warn if it is little."""
        evidence = self.evidence
        if "recall" not in evidence:
            progress.say(
                f"scope: rows that are farther from the training rows than {1 - evidence['given_up']:.1%} of the "
                "validation rows are unsure"
            )
            return
        texts = f"{evidence['out_of_scope_rows']:,} rows of {evidence['left_out']}"
        progress.say(
            f"scope: {evidence['recall']:.1%} of {texts} are found out of scope where {evidence['given_up']:.1%} of "
            f"{counted(evidence['in_scope_rows'], 'other validation row')} "
            f"are given up (AUROC {evidence['auroc']:.3f})"
        )
        if evidence["recall"] < _LITTLE:
            progress.warn(
                "decision.unsure_below: little of what is out of scope is found, so an answer that is not unsure may "
                "be about something else. More rows a label help, and a larger given_up"
            )


@dataclass(frozen=True)
class Trial:
    """A group of labels that is left out.

    Attributes:
        kept: The labels that a model is fitted on, ascending.
        fit: Training rows with these labels.
        within: Validation rows with these labels.
        outside: Rows of none of them.
    """

    kept: Labels
    fit: Rows
    within: Rows
    outside: Rows


def problems_of(prepared: Prepared, fewest_labels: int) -> list[str]:
    """Return why it cannot be told what is out of scope.

    Args:
        prepared: The rows.
        fewest_labels: How many labels there must be beside one that means none of them, unless there is such a one.
    """
    aim, dataset = prepared.config.scope_aim, prepared.dataset
    if aim is None or dataset.kind != "label":
        return []  # the latter is told elsewhere
    names = dataset.label_names
    if aim.none_label is not None and aim.none_label not in names:
        return [
            f"decision.unsure_below.none_label: expected a label, got {aim.none_label!r}; labels: {listed(names)}."
        ]
    if aim.none_label is not None and len(names) < 3:
        return ["decision.unsure_below.none_label: there must be two more labels."]
    if aim.none_label is None and len(names) < fewest_labels:
        return [
            f"decision.unsure_below: auto leaves labels out to see whether their rows are found, which needs at least "
            f"{fewest_labels} labels; the dataset has {len(names)}. Give a score such as 0.6, or add rows of none of "
            "these labels, with a label of their own, and name it: {none_label: other}."
        ]
    return problems_of_rows(
        prepared,
        f"decision.unsure_below: giving up {aim.given_up:.3g} of the answers",
        round(1 / aim.given_up),
        "Give up more, or",
    )


def none_label(prepared: Prepared, progress: Progress) -> int | None:
    """Return the index of the label that means none of the labels, if one is declared; warn if one seems to."""
    aim, names = prepared.config.scope_aim, prepared.dataset.label_names
    assert aim is not None
    if aim.none_label is not None:
        return names.index(aim.none_label)
    for name in names:
        if " ".join(name.casefold().replace("_", " ").replace("-", " ").split()) in _NONE_NAMES:
            progress.warn(
                f"decision.unsure_below: the label {name!r} seems to mean none of the labels, and is taken for one of "
                f"them. If it does, write {{given_up: {aim.given_up:g}, none_label: {name}}}"
            )
    return None


def trials(prepared: Prepared, none: int | None, fewest_kept: int) -> Iterator[Trial]:
    """Yield groups of labels to leave out: each label once.

    Args:
        prepared: The rows.
        none: A label that means none of the labels; its rows are outside of every trial.
        fewest_kept: How many labels a model needs; with fewer, no other label than `none` is left out, and without
            that there is no trial.
    """
    targets, split = prepared.dataset.targets, prepared.split
    labels = np.setdiff1d(np.unique(targets[split.train]), [] if none is None else [none])
    order = np.random.default_rng(prepared.config.training.seed).permutation(labels)
    count = min(_GROUPS, len(labels))
    groups = np.array_split(order, count)
    if len(labels) - max(map(len, groups)) < fewest_kept:
        groups = [] if none is None else [labels[:0]]
    for left_out in groups:
        kept = np.setdiff1d(labels, left_out)

        def having(rows: Rows, some: Labels) -> Rows:
            found: Rows = rows[np.isin(targets[rows], some)]
            return found

        outside = left_out if none is None else np.append(left_out, none)
        yield Trial(
            kept,
            having(split.train, kept),
            having(split.validation, kept),
            having(prepared.known, outside),
        )


def lowest_familiar(within: Values, given_up: float) -> float:
    """Return the value that a share of the rows within the scope is below, halfway between those of two rows.

    >>> lowest_familiar(np.arange(20.0), 0.1)
    1.5
    """
    ranked = np.sort(within)
    below = int(len(ranked) * given_up)
    if not below:
        return float(ranked[0]) - 1e-6
    return float((ranked[below - 1] + ranked[below]) / 2)


def detection(within: Values, outside: Values, given_up: float) -> dict[str, float]:
    """Return `auroc`, and `recall`: the share of rows outside the scope that are less familiar than is given up."""
    if not len(outside) or not len(within):
        return {"auroc": 0.5, "recall": 0.0}
    truth = np.r_[np.ones(len(within)), np.zeros(len(outside))]
    # A text of unknown words alone is less familiar than any other.
    values = np.nan_to_num(np.r_[within, outside], neginf=-1e9)
    return {
        "auroc": float(roc_auc_score(truth, values)),
        "recall": float((outside < lowest_familiar(within, given_up)).mean()),
    }


def pooled(
    each: list[dict[str, float]], numbers_outside: list[int], names: tuple[str, ...]
) -> dict[str, float]:
    """Return the mean of what each trial found, by its number of rows outside the scope."""
    return {
        name: float(np.average([one[name] for one in each], weights=numbers_outside))
        for name in names
    }


def described(prepared: Prepared, none: int | None, tried: list[Trial]) -> dict[str, Any]:
    """Return the part of the evidence that both families share: on which rows it rests."""
    aim, names = prepared.config.scope_aim, prepared.dataset.label_names
    assert aim is not None
    if not tried:
        return {"given_up": aim.given_up}
    count = sum(len(names) - (none is not None) - len(trial.kept) for trial in tried)
    parts = [counted(count, "label") + " left out in turn"] if count else []
    parts += [] if none is None else [f"the label {names[none]!r}"]
    return {
        "given_up": aim.given_up,
        "left_out": " and of ".join(parts),
        "in_scope_rows": len(np.unique(np.concatenate([trial.within for trial in tried]))),
        "out_of_scope_rows": len(np.unique(np.concatenate([trial.outside for trial in tried]))),
        **({} if none is None else {"none_label": names[none]}),
    }
