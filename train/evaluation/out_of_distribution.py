"""How a model answers inputs it was not made for, such as random words: out of distribution.

A model has an answer to everything; what is measured is whether it is at least unsure of these. The cases are made
here, from the test rows and from what every Python brings with it: no network, and the same for the same seed.
"""

import importlib.util
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from train.data.dataset import Dataset
from train.data.docstrings import first_paragraphs
from train.data.splits import Prepared
from train.models.decision import Decision
from train.models.family import FittedModel, Outputs
from train.models.scope import Scope

_CASES = 200
# Modules of the standard library that read like prose, on several subjects. Their sources are read, not imported.
_MODULES = (
    *("argparse", "calendar", "difflib", "fractions", "heapq", "inspect", "mailbox", "pathlib"),
    *("random", "shutil", "socketserver", "statistics", "tarfile", "textwrap", "threading", "zipfile"),
)  # fmt: skip
# Characters of a sentence; the rest of a paragraph is cut off.
_LONGEST_SENTENCE = 300
# Numbers lie outside the training range by one to so many times its width.
_FARTHEST = 10.0

Values = npt.NDArray[Any]
Random = np.random.Generator


@dataclass(frozen=True)
class _Column:
    """An input of the test rows that are changed: its type, their values, and all values known from training."""

    type: str
    values: Values
    known: Values


def measure(
    model: FittedModel,
    prepared: Prepared,
    decision: Decision,
    scope: Scope | None = None,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Ask a model about inputs that are out of distribution.

    Args:
        model: The fitted model.
        prepared: What it was fitted on. Cases are made from the test rows, of which there is at least one.
        decision: How outputs become answers.
        scope: What is within the scope of the model, if the decision goes by it.
        seed: The seed of the cases.

    Returns:
        An entry for the test rows themselves, to compare with, and for each kind of case: `name`, `cases` and

        - `mean_score`, of the answers (of label sets, of the most probable label);
        - `unsure_share`, where answers can be unsure; `empty_share`, where no label may be given;
        - for a regression, instead, `mean_value` and `outside_share`, the share beyond the values known from training.

        A kind of case that a pipeline does not take has no entry, and an output that is not finite is left out.
    """
    random, dataset, test = np.random.default_rng(seed), prepared.dataset, prepared.split.test
    rows = random.choice(test, min(_CASES, len(test)), replace=False)
    columns = {
        name: _Column(
            column_type,
            dataset.frame[name].to_numpy()[rows],
            dataset.frame[name].to_numpy()[prepared.known],
        )
        for name, column_type in dataset.column_types.items()
    }
    known = dataset.targets[prepared.known]
    cases = [("test rows", {name: column.values for name, column in columns.items()})]
    cases += _make_cases(columns, random)
    return [
        {"name": name, **measured}
        for name, frame in cases
        if (measured := _ask(model, dataset, frame, decision, known, scope)) is not None
    ]


def _ask(
    model: FittedModel,
    dataset: Dataset,
    frame: Mapping[str, Values],
    decision: Decision,
    known: Values,
    scope: Scope | None,
) -> dict[str, Any] | None:
    asked = replace(dataset, frame=pd.DataFrame(frame))
    rows = np.arange(len(asked.frame))
    try:
        outputs = model.predict(asked, rows)
    except Exception:  # whatever a step of the user's pipeline makes of what it was not made for
        return None
    is_finite = np.isfinite(outputs).all(axis=1)
    if not is_finite.any():
        return None
    share = model.unknown_share(asked, rows)
    is_unknown = np.zeros(len(rows), bool) if share is None else share == 1
    familiarity = None if scope is None else scope.familiarity_of(asked, rows)[is_finite]
    described = _describe(outputs[is_finite], is_unknown[is_finite], familiarity, decision, known)
    return {"cases": int(is_finite.sum()), **described}


def _describe(
    outputs: Outputs,
    is_unknown: npt.NDArray[np.bool_],
    familiarity: Outputs | None,
    decision: Decision,
    known: Values,
) -> dict[str, float]:
    if decision.kind == "number":
        outside = (outputs < known.min()) | (outputs > known.max())
        return {"mean_value": float(outputs.mean()), "outside_share": float(outside.mean())}
    if decision.kind == "labels":
        is_empty = ~decision.answers(outputs).any(axis=1)
        return {
            "mean_score": float(outputs.max(axis=1).mean()),
            "empty_share": float(is_empty.mean()),
        }
    described = {"mean_score": float(decision.scores(outputs).mean())}
    if decision.can_be_unsure:
        sure = decision.is_sure(outputs, familiarity)
        described["unsure_share"] = float((is_unknown | ~sure).mean())
    return described


# --------------------------------------------------------------------- cases


_Maker = Callable[[_Column, Random], Values]


def _make_cases(
    columns: Mapping[str, _Column], random: Random
) -> Iterator[tuple[str, dict[str, Values]]]:
    """Yield every kind of case that fits the types of the columns, with its name."""
    types = {column.type for column in columns.values()}
    for name, (makers, needed) in _KINDS.items():
        if types <= makers.keys() and types & needed:
            yield (
                name,
                {key: makers[column.type](column, random) for key, column in columns.items()},
            )


def _as_array(values: list[str]) -> Values:
    return np.array(values, object)


def _random_texts(column: _Column, random: Random) -> Values:
    return _as_array([_random_words(random) for _ in column.values])


def _shuffled_texts(column: _Column, random: Random) -> Values:
    return _as_array([_shuffled(str(text), random) for text in column.values])


def _sentences(column: _Column, random: Random) -> Values:
    sentences = _as_array(standard_library_sentences())
    chosen: Values = random.choice(sentences, min(_CASES, len(sentences)), replace=False)
    return chosen


def _permuted(column: _Column, random: Random) -> Values:
    """Return values that there are; that they occur together is new."""
    return random.permutation(column.values)


def _far_numbers(column: _Column, random: Random) -> Values:
    known = np.zeros(1) if np.isnan(column.known).all() else column.known
    count, low, high = len(column.values), np.nanmin(known), np.nanmax(known)
    distance = (high - low or 1.0) * random.uniform(1, _FARTHEST, count)
    signs = random.choice([-1.0, 1.0], count)
    far: npt.NDArray[np.float64] = np.where(signs < 0, low, high) + signs * distance
    return far


def _far_dates(column: _Column, random: Random) -> Values:
    return _as_array([f"{year}-01-01" for year in random.integers(2500, 3000, len(column.values))])


_TABLE_TYPES = frozenset(("number", "category", "date"))
# Name -> what makes a case of a column of each type, and the types of which a column must be there.
_KINDS: dict[str, tuple[dict[str, _Maker], frozenset[str]]] = {
    "random words": ({"text": _random_texts}, frozenset(("text",))),
    "shuffled characters": ({"text": _shuffled_texts}, frozenset(("text",))),
    "sentences about Python": ({"text": _sentences}, frozenset(("text",))),
    "columns shuffled": (dict.fromkeys((*_TABLE_TYPES, "text"), _permuted), _TABLE_TYPES),
    "far outside": (
        {
            "number": _far_numbers,
            "date": _far_dates,
            "category": _random_texts,
            "text": _random_texts,
        },
        _TABLE_TYPES,
    ),
}


def _random_words(random: Random) -> str:
    lengths = random.integers(3, 10, random.integers(3, 13))
    letters = list(string.ascii_lowercase)
    return " ".join("".join(random.choice(letters, length)) for length in lengths)


def _shuffled(text: str, random: Random) -> str:
    """Change the places of all characters but the blanks."""
    places = [i for i, character in enumerate(text) if not character.isspace()]
    characters = list(text)
    for place, source in zip(places, random.permutation(places), strict=True):
        characters[place] = text[source]
    return "".join(characters)


def standard_library_sentences() -> list[str]:
    """Return distinct first paragraphs of docstrings of Python's own modules, in an order that says nothing else."""
    found = {text[:_LONGEST_SENTENCE] for file in _sources() for text in first_paragraphs(file)}
    return sorted(found)


def _sources() -> Iterator[Path]:
    for name in _MODULES:
        spec = importlib.util.find_spec(name)
        # A module that is gone from a later Python, or that comes without its source.
        if spec is not None and spec.origin is not None and Path(spec.origin).suffix == ".py":
            yield Path(spec.origin)
