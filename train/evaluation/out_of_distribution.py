"""The evaluation layer: how a model answers to what is none of its business, such as random words.

A model has an answer to everything; whether it is at least unsure of these is measured. The cases are made up here,
from the test rows and from what every Python brings with it: no network, and the same for the same seed.
"""

import importlib.util
import string
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from train.data.dataset import Dataset
from train.data.docstrings import first_paragraphs
from train.data.splits import Split
from train.models.decision import Decision
from train.models.family import Family, Fitted, Outputs

_CASES = 200
# Of the standard library: what reads like prose, of several subjects. Their sources are read, not imported.
_MODULES = (
    *("argparse", "calendar", "difflib", "fractions", "heapq", "inspect", "mailbox", "pathlib"),
    *("random", "shutil", "socketserver", "statistics", "tarfile", "textwrap", "threading", "zipfile"),
)  # fmt: skip
# Of characters; the rest of a paragraph is cut off.
_LONGEST_SENTENCE = 300
# Numbers from one to so many times as far outside as training's are apart.
_FARTHEST = 10.0

# Columns by name, as in `Dataset.frame`.
Frame = dict[str, npt.NDArray[Any]]
Random = np.random.Generator


def measure(
    family: Family,
    model: Fitted,
    dataset: Dataset,
    split: Split,
    decision: Decision,
    seed: int = 0,
) -> list[dict[str, Any]]:
    """Ask a model about inputs from elsewhere.

    Args:
        family: The module that has fitted the model.
        model: The fitted model.
        dataset: What it was trained on. Cases are made from the test rows.
        split: Which rows are which. At least one is for the test.
        decision: How outputs become answers.
        seed: Of the cases.

    Returns:
        An entry for the test rows themselves, to compare with, and for each kind of case: `name`, `cases` and

        - `mean_score`, of the answers (of several labels at once, of the most probable one);
        - `unsure_share`, where answers can be unsure; `empty_share` where several labels, and so none, can be given;
        - for a regression, instead, `mean_value` and `outside_share`, the share beyond the values known from training.

        A kind of case that a pipeline does not take has no entry, and an output that is not finite is left out.
    """
    random = np.random.default_rng(seed)
    test = random.choice(split.test, min(_CASES, len(split.test)), replace=False)
    given = {name: dataset.frame[name].to_numpy()[test] for name in dataset.column_types}
    is_text = set(dataset.column_types.values()) == {"text"}
    made = _texts(given, random) if is_text else _tables(given, dataset, split, random)
    cases = {"test rows": given, **made}
    return [
        {"name": name, **found}
        for name, columns in cases.items()
        if (found := _ask(family, model, dataset, split, decision, columns)) is not None
    ]


def _ask(
    family: Family,
    model: Fitted,
    dataset: Dataset,
    split: Split,
    decision: Decision,
    columns: Frame,
) -> dict[str, Any] | None:
    asked = replace(dataset, frame=pd.DataFrame(columns))
    rows = np.arange(len(asked.frame))
    try:
        outputs = family.predict(model, asked, rows)
    except (
        Exception
    ):  # whatever a step of the user's pipeline makes of what it has not been made for
        return None
    is_finite = np.isfinite(outputs).all(axis=1)
    if not is_finite.any():
        return None
    share = model.unknown_share(asked, rows)
    unknown = np.zeros(len(rows), bool) if share is None else share == 1
    found = {"cases": int(is_finite.sum())}
    return found | _describe(
        outputs[is_finite], unknown[is_finite], decision, _known_values(dataset, split)
    )


def _describe(
    outputs: Outputs, unknown: npt.NDArray[np.bool_], decision: Decision, known: Outputs
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
    found = {"mean_score": float(decision.scores(outputs).mean())}
    if decision.unsure_below is not None:
        found["unsure_share"] = float((unknown | ~decision.is_sure(outputs)).mean())
    return found


def _known_values(dataset: Dataset, split: Split) -> Outputs:
    values: Outputs = dataset.targets[np.concatenate([split.train, split.validation])]
    return values


# --------------------------------------------------------------------- texts


def _texts(given: Frame, random: Random) -> dict[str, Frame]:
    sentences = standard_library_sentences()
    chosen = random.choice(len(sentences), min(_CASES, len(sentences)), replace=False)
    return {
        "random words": _of_each(given, lambda texts: [_random_words(random) for _ in texts]),
        "shuffled characters": _of_each(
            given, lambda texts: [_shuffled(str(text), random) for text in texts]
        ),
        "sentences about Python": _of_each(given, lambda _: [sentences[i] for i in chosen]),
    }


def _of_each(
    given: Mapping[str, npt.NDArray[Any]], make: Callable[[npt.NDArray[Any]], list[str]]
) -> Frame:
    return {name: np.array(make(texts), object) for name, texts in given.items()}


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


# -------------------------------------------------------------------- tables


def _tables(given: Frame, dataset: Dataset, split: Split, random: Random) -> dict[str, Frame]:
    known = dataset.frame.iloc[np.concatenate([split.train, split.validation])]
    return {
        # Each value is one that there is; that they stand together is not.
        "columns shuffled": {name: random.permutation(values) for name, values in given.items()},
        "far outside": {
            name: _far_outside(
                known[name].to_numpy(), dataset.column_types[name], len(values), random
            )
            for name, values in given.items()
        },
    }


def _far_outside(
    values: npt.NDArray[Any], kind: str, count: int, random: Random
) -> npt.NDArray[Any]:
    """Return `count` values of a column that are none of those known."""
    if kind == "number":
        low, high = np.nanmin(values), np.nanmax(values)
        distance = (high - low or 1.0) * random.uniform(1, _FARTHEST, count)
        signs = random.choice([-1.0, 1.0], count)
        far: npt.NDArray[np.float64] = np.where(signs < 0, low, high) + signs * distance
        return far
    if kind == "date":
        years = random.integers(2500, 3000, count)
        return np.array([f"{year}-01-01" for year in years], object)
    return np.array([_random_words(random) for _ in range(count)], object)
