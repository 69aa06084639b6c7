"""The perturbations of an instance in behavioural tests: case, blanks, typos, words, one column."""

import random
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from train.config.sections import BehaviourConfig, Direction
from train.data.dataset import Dataset
from train.data.schema import is_missing

Instance = dict[str, Any]
# The instances that one instance is changed into; an unchanged one is not a case.
Change = Callable[[Instance], list[Instance]]

# A typo in a shorter word makes another word too easily.
_LONG_WORD = 5
_LETTERS = re.compile(rf"[^\W\d_]{{{_LONG_WORD},}}")


def invariances(behaviour: BehaviourConfig, dataset: Dataset) -> Iterator[tuple[str, Change]]:
    """Yield every change that must not change the answer, with its name."""
    texts = [name for name, kind in dataset.column_types.items() if kind == "text"]
    for name in behaviour.invariant_to:
        if name == "typos":
            yield name, partial(_with_typo, texts)
        else:
            yield name, partial(_rewritten, texts, _REWRITES[name])
    for first, second in behaviour.swaps:
        yield f"swap {first} / {second}", _swap(first, second, texts, dataset)


def _title(text: str) -> str:
    # Not str.title: it makes Don'T of don't.
    return re.sub(r"\S+", lambda word: word[0][0].upper() + word[0][1:].lower(), text)


_REWRITES: dict[str, Sequence[Callable[[str], str]]] = {
    "case": (str.lower, str.upper, _title),
    "spacing": (lambda text: text.replace(" ", "  "), lambda text: f"  {text}  "),
}


def _rewritten(
    texts: Sequence[str], rewrites: Sequence[Callable[[str], str]], instance: Instance
) -> list[Instance]:
    return [
        instance | {name: rewrite(instance[name]) for name in texts if instance[name]}
        for rewrite in rewrites
    ]


def _with_typo(texts: Sequence[str], instance: Instance) -> list[Instance]:
    """Swap two neighbouring letters within one longer word."""
    swappable = [
        (name, index)
        for name in texts
        for word in _LETTERS.finditer(instance[name])
        for index in range(word.start() + 1, word.end() - 1)
        if instance[name][index] != instance[name][index + 1]
    ]
    if not swappable:
        return []
    # Seeded by the texts, so that a text has the same typo whatever else is asked.
    name, index = random.Random("\n".join(instance[name] for name in texts)).choice(swappable)
    text = instance[name]
    typo = f"{text[:index]}{text[index + 1]}{text[index]}{text[index + 2 :]}"
    return [instance | {name: typo}]


def _swap(first: str, second: str, texts: Sequence[str], dataset: Dataset) -> Change:
    """Return the change that swaps two words: in texts, and in columns that have both as categories."""
    columns = columns_with(first, second, dataset)
    either, other = whole_words(first, second), {first: second, second: first}

    def change(instance: Instance) -> list[Instance]:
        in_texts = {
            name: either.sub(lambda word: _other_word(word[0], other), instance[name])
            for name in texts
        }
        in_columns = {name: other.get(instance[name], instance[name]) for name in columns}
        return [instance | in_texts | in_columns]

    return change


def whole_words(*words: str) -> re.Pattern[str]:
    """Return a pattern for whole words in any case; of words that begin alike it finds the longest.

    >>> whole_words("he", "she").findall("She said he saw the sea")
    ['She', 'he']
    """
    longest_first = sorted(map(re.escape, words), key=len, reverse=True)
    return re.compile(rf"(?<!\w)(?:{'|'.join(longest_first)})(?!\w)", re.IGNORECASE)


def _other_word(found: str, other: Mapping[str, str]) -> str:
    """Return the other word in the same case: Her for She, HER for SHE."""
    if found in other:
        return other[found]
    known = {word.casefold(): swapped for word, swapped in other.items()}
    word = known.get(found.casefold(), found)
    if found.isupper() and len(found) > 1:
        return word.upper()
    return word[0].upper() + word[1:] if found[0].isupper() else word.lower()


def as_moved(direction: Direction, instance: Instance) -> list[Instance]:
    """Change the column of a direction, if it has a value.

    >>> as_moved(Direction(column="rooms", by=1, expect="up"), {"rooms": 3, "district": "north"})
    [{'rooms': 4.0, 'district': 'north'}]
    """
    value = instance[direction.column]
    if value is None:
        return []
    moved = direction.to if direction.by is None else value + direction.by
    return [instance | {direction.column: moved}]


def categories_of(dataset: Dataset) -> dict[str, list[str]]:
    """Return column -> its categories, declared or found, for every column that has any."""
    by_column = {}
    for name, kind in dataset.column_types.items():
        if kind == "category":
            values = dataset.frame[name]
            declared = (
                dataset.columns.inputs[name].categories if name in dataset.columns.inputs else None
            )
            by_column[name] = declared or sorted(values[~is_missing(values)].unique().tolist())
    return by_column


def columns_with(first: str, second: str, dataset: Dataset) -> list[str]:
    """Return the columns that have both categories."""
    return [name for name, known in categories_of(dataset).items() if {first, second} <= set(known)]
