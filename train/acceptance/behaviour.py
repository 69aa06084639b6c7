"""Behavioural tests of a model, declared in the configuration and asked through the predictor as a client would.

After CheckList (Ribeiro et al., ACL 2020): examples whose answer is known, changes that must not change the
answer, and changes that must not move it the wrong way.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import text_column
from predict.scoring.inputs import InstanceError
from predict.scoring.predictor import Predictor
from predict.wording import listed, shorten, suggestion
from train.acceptance.perturbations import (
    Change,
    Instance,
    as_moved,
    categories_of,
    columns_with,
    invariances,
    whole_words,
)
from train.config.sections import Direction, MustBe
from train.data.dataset import Dataset
from train.data.splits import Prepared
from train.models.choice import family_of

# What is compared: a label, a list of labels in alphabetical order, or a value; None where there is no answer.
Answer = str | list[str] | float | None

# Rows that each test asks about.
_MOST_ROWS = 200
_SEED = 0
# A value has stayed if it moved by less than this share of the standard deviation of the target in training.
_SAME_VALUE = 0.05
# Absolute for probabilities, relative for values above 1. Sums in single precision round differently in another batch.
_TOLERANCE = 1e-6

_SHOWN, _LONGEST = 5, 60


@dataclass(frozen=True)
class _Case:
    """One question of a test: whether the answer passed, and how to show it."""

    passed: bool
    shown: str


def measure(prepared: Prepared, predictor: Predictor) -> dict[str, Any]:
    """Run the behavioural tests that a configuration declares, once `problems_of` has found nothing wrong.

    Invariances and directions are asked of up to 200 test rows that the change concerns, always the same ones. The
    label or labels answered must stay; a value may move by a twentieth of the target's standard deviation.

    Returns:
        `checks`, a dict each: `name`, `cases`, `passed` (how many of them) and `failures` (a few, to be read);
        and `pass_rate`, the mean over the checks of the share that passed, so that a few examples count as much as
        an invariance with hundreds of cases. Checks without cases do not count; None if no check has any.
    """
    behaviour, dataset = prepared.config.behaviour, prepared.dataset
    assert behaviour is not None  # or there is nothing to measure
    rows = np.random.default_rng(_SEED).permutation(prepared.split.test)
    same = partial(_is_same, by=_SAME_VALUE * _spread(prepared))
    checks = []
    if behaviour.must_be:
        checks.append(_summed("must be", _ask_examples(behaviour.must_be, predictor)))
    for name, change in invariances(behaviour, dataset):
        pairs = _changed(dataset, rows, change)
        checks.append(_summed(name, _ask_pairs(pairs, predictor, same)))
    for direction in behaviour.directions:
        pairs = _changed(dataset, rows, partial(as_moved, direction))
        checks.append(_summed(_name(direction), _ask_direction(direction, pairs, predictor)))
    rates = [check["passed"] / check["cases"] for check in checks if check["cases"]]
    return {"pass_rate": float(np.mean(rates)) if rates else None, "checks": checks}


def problems_of(prepared: Prepared) -> list[str]:
    """Return what is wrong with the behavioural tests of a configuration for its dataset."""
    behaviour, dataset = prepared.config.behaviour, prepared.dataset
    if behaviour is None:
        return []
    problems = _example_problems(behaviour.must_be, prepared)
    if behaviour.invariant_to and "text" not in dataset.column_types.values():
        problems.append(("invariant_to", "the dataset has no column of texts."))
    for index, pair in enumerate(behaviour.swaps):
        problems += [(f"swaps.{index}", why) for why in _swap_problems(pair, dataset)]
    for index, direction in enumerate(behaviour.directions):
        problems += [
            (f"directions.{index}.{key}", why)
            for key, why in _direction_problems(direction, dataset)
        ]
    return [f"behaviour.{place}: {why}" for place, why in problems]


# ----------------------------------------------------------------- examples


def _ask_examples(examples: Sequence[MustBe], predictor: Predictor) -> Iterator[_Case]:
    for example in examples:
        instance = example.instance or {predictor.metadata.inputs[0].name: example.text}
        shown = _json(instance) if example.text is None else repr(shorten(example.text))
        [answer] = _answers([instance], predictor)
        expected = _range(example) if example.label is None else example.label
        passed = _is_as_expected(answer, example)
        yield _Case(passed, f"{shown} -> {_said(answer)}, expected {expected}")


def _is_as_expected(answer: Answer, example: MustBe) -> bool:
    if isinstance(answer, list):
        return example.label in answer
    if isinstance(answer, float):
        low = -np.inf if example.minimum is None else example.minimum
        high = np.inf if example.maximum is None else example.maximum
        return bool(low <= answer <= high)
    return answer is not None and answer == example.label


def _range(example: MustBe) -> str:
    if example.maximum is None:
        return f"{example.minimum:g} or more"
    if example.minimum is None:
        return f"{example.maximum:g} or less"
    return f"{example.minimum:g} to {example.maximum:g}"


# -------------------------------------------------------------- invariances


def _ask_pairs(
    pairs: Sequence[tuple[Instance, Instance]],
    predictor: Predictor,
    same: Callable[[Answer, Answer], bool],
) -> Iterator[_Case]:
    firsts = _answers([before for before, _ in pairs], predictor)
    seconds = _answers([after for _, after in pairs], predictor)
    for (before, after), said, then in zip(pairs, firsts, seconds, strict=True):
        shown = [_difference(before, after), _difference(after, before)]
        rest = {name: value for name, value in before.items() if value == after[name]}
        yield _Case(
            same(said, then),
            f"{shown[0]} -> {_said(said)}, {shown[1]} -> {_said(then)}{_with(rest)}",
        )


def _is_same(before: Answer, after: Answer, by: float) -> bool:
    if isinstance(before, float) and isinstance(after, float):
        return abs(before - after) <= by
    return before is not None and before == after


def _spread(prepared: Prepared) -> float:
    """Return the standard deviation of the values trained on; 0 where there are labels."""
    targets = prepared.dataset.targets[prepared.split.train]
    return float(targets.std()) if prepared.dataset.kind == "number" else 0.0


# --------------------------------------------------------------- directions


def _ask_direction(
    direction: Direction, pairs: Sequence[tuple[Instance, Instance]], predictor: Predictor
) -> Iterator[_Case]:
    if not pairs:
        return
    output = 0 if direction.label is None else predictor.labels.index(direction.label)
    firsts = predictor.scores([before for before, _ in pairs])[:, output]
    seconds = predictor.scores([after for _, after in pairs])[:, output]
    sign = 1 if direction.expect == "up" else -1
    what = "" if direction.label is None else f"{direction.label} "
    for (before, after), said, then in zip(pairs, firsts.tolist(), seconds.tolist(), strict=True):
        tolerance = _TOLERANCE * max(1.0, abs(said))
        change = f"{_plain(before[direction.column])} -> {_plain(after[direction.column])}"
        rest = {name: value for name, value in before.items() if name != direction.column}
        yield _Case(
            sign * (then - said) >= -tolerance,
            f"{direction.column} {change}: {what}{said:.6g} -> {then:.6g}{_with(rest)}",
        )


def _name(direction: Direction) -> str:
    change = f"to {direction.to}" if direction.by is None else f"by {direction.by:+g}"
    what = "value" if direction.label is None else direction.label
    return f"{direction.column} {change}: {what} {direction.expect}"


# ------------------------------------------------------- asking and showing


def _changed(
    dataset: Dataset, rows: npt.NDArray[np.int64], change: Change
) -> list[tuple[Instance, Instance]]:
    """Return the first rows that a change alters, before and after it; one row may change in many ways."""
    concerned = (pairs for row in _instances(dataset, rows) if (pairs := _pairs(row, change)))
    return [pair for pairs in islice(concerned, _MOST_ROWS) for pair in pairs]


def _pairs(instance: Instance, change: Change) -> list[tuple[Instance, Instance]]:
    different = {json.dumps(after): after for after in change(instance) if after != instance}
    return [(instance, after) for after in different.values()]


def _instances(dataset: Dataset, rows: npt.NDArray[np.int64]) -> Iterator[Instance]:
    for start in range(0, len(rows), _MOST_ROWS):  # the first are enough as a rule
        yield from dataset.instances(rows[start : start + _MOST_ROWS])


def _answers(instances: Sequence[Instance], predictor: Predictor) -> list[Answer]:
    """Return what a client would get; None for an error."""
    if not instances:
        return []
    try:
        predictor.check(instances)
        return [_answer(prediction) for prediction in predictor.predict(instances)]
    except InstanceError:
        if len(instances) == 1:
            return [None]
        return [answer for instance in instances for answer in _answers([instance], predictor)]


def _answer(prediction: Mapping[str, Any]) -> Answer:
    if "labels" in prediction:
        return sorted(label["label"] for label in prediction["labels"])
    answer: str | float = prediction["label"] if "label" in prediction else prediction["value"]
    return answer


def _summed(name: str, cases: Iterable[_Case]) -> dict[str, Any]:
    asked = list(cases)
    failures = [case.shown for case in asked if not case.passed]
    return {
        "name": name,
        "passed": len(asked) - len(failures),
        "cases": len(asked),
        "failures": failures[:_SHOWN],
    }


def _said(answer: Answer) -> str:
    if answer is None:
        return "no answer: the model refuses it"
    if isinstance(answer, list):
        return ", ".join(answer) or "no label"
    return answer if isinstance(answer, str) else f"{answer:.6g}"


def _difference(instance: Instance, other: Instance) -> str:
    """Show what differs in an instance: the text if it is one text, else the columns."""
    different = {name: value for name, value in instance.items() if value != other[name]}
    shown = {
        name: repr(_around(value, other[name]) if isinstance(value, str) else value)
        for name, value in different.items()
    }
    if len(instance) == 1:
        return "".join(shown.values())
    return ", ".join(f"{name} {value}" for name, value in shown.items())


def _around(text: str, other: object) -> str:
    """Cut a long text to where it first differs from another one."""
    pairs = zip(text, str(other), strict=False)
    first = next((i for i, (ours, theirs) in enumerate(pairs) if ours != theirs), 0)
    start = max(0, first - _LONGEST // 2) if len(text) > _LONGEST else 0
    return f"{'…' if start else ''}{shorten(text[start:])}"


def _with(rest: Mapping[str, Any]) -> str:
    return f", with {_json(rest)}" if rest else ""


def _plain(value: object) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)  # no 0.30000000000000004


def _json(instance: Mapping[str, Any]) -> str:
    return shorten(json.dumps(instance, ensure_ascii=False))


# ---------------------------------------------------------------- checking


Problem = tuple[str, str]


def _example_problems(examples: Sequence[MustBe], prepared: Prepared) -> list[Problem]:
    if not examples:
        return []
    dataset = prepared.dataset
    inputs = family_of(prepared.config).request_inputs(prepared)
    text_field = text_column(dataset.column_types)
    problems = []
    for index, example in enumerate(examples):
        place = f"must_be.{index}"
        if example.instance is not None:
            wrong = inputs.problems_of(example.instance)
            wrong += _unseen(example.instance, dataset) if not wrong else []
            problems += [(f"{place}.instance.{field}", f"{why}.") for field, why in wrong]
        elif text_field is None:
            columns = ", ".join(dataset.column_types)
            problems.append((f"{place}.text", f"the columns are {columns}; give an instance."))
        else:
            wrong = inputs.problems_of({text_field: example.text})
            problems += [(f"{place}.text", f"{why}.") for _, why in wrong]
        problems += [(f"{place}.{key}", why) for key, why in _answer_problems(example, dataset)]
    return problems


def _unseen(instance: Instance, dataset: Dataset) -> list[Problem]:
    """Return the cells of an example that no row has: they test nothing that was learned."""
    problems = []
    for name, categories in categories_of(dataset).items():
        value = instance[name]
        text = json.dumps(value) if isinstance(value, bool) else str(value or "").strip()
        if text and text not in map(str.strip, categories):
            quotes = "" if isinstance(value, str) else " A text goes into quotes."
            hint = suggestion(text, categories).rstrip(".?")
            problems.append((name, f"no row has the category {text!r}.{quotes}{hint}"))
    return problems


def _answer_problems(example: MustBe, dataset: Dataset) -> list[Problem]:
    low, high = example.minimum, example.maximum
    if dataset.label_names and example.label is None:
        return [("label", "missing; a minimum and a maximum are for task: regression.")]
    if dataset.label_names:
        return _label_problems(example.label, dataset)
    if example.label is not None:
        return [("label", "this is a regression; give a minimum, a maximum or both.")]
    if low is not None and high is not None and low > high:
        return [("minimum", f"{low:g} is above the maximum, {high:g}.")]
    return []


def _label_problems(label: str | None, dataset: Dataset) -> list[Problem]:
    names = dataset.label_names
    if label is None and names:
        return [("label", f"missing; say whose probability is meant: {listed(names)}.")]
    if label is not None and not names:
        return [("label", "this is a regression, which has no labels.")]
    if label is not None and label not in names:
        return [("label", f"no label {label!r}.{suggestion(label, names)}")]
    return []


def _swap_problems(pair: Sequence[str], dataset: Dataset) -> list[str]:
    first, second = pair
    if not (first.strip() and second.strip()):
        return ["expected two words, got an empty one."]
    if first == second:
        return [f"{first!r} is given twice."]
    if columns_with(first, second, dataset):
        return []
    texts = [dataset.frame[name] for name, kind in dataset.column_types.items() if kind == "text"]

    def in_texts(*words: str) -> bool:
        pattern = whole_words(words[0], words[-1]).pattern
        return any(column.str.contains(pattern, case=False, regex=True).any() for column in texts)

    for name, categories in categories_of(dataset).items():
        for known, other in (pair, reversed(pair)):
            if known in categories and not in_texts(other):
                hint = suggestion(other, categories)
                return [f"{name} has the category {known!r}, and no {other!r}.{hint}"]
    if in_texts(first, second):
        return []
    return [f"no text has {first!r} or {second!r}, and no column has both as categories."]


def _direction_problems(direction: Direction, dataset: Dataset) -> list[Problem]:
    name = direction.column
    problems = _label_problems(direction.label, dataset)
    kind = dataset.column_types.get(name)
    if kind is None:
        why = dataset.ignored.get(name)
        hint = f" It is ignored: {why}; see columns.inputs." if why else ""
        return [
            (
                "column",
                f"no column {name!r}.{hint or suggestion(name, list(dataset.column_types))}",
            ),
            *problems,
        ]
    if direction.by is not None:
        return [*_by_problems(direction, kind), *problems]
    if kind != "category":
        return [("to", f"is for a category; {name} is a {kind}."), *problems]
    categories = categories_of(dataset)[name]
    if direction.to not in categories:
        problems.insert(
            0, ("to", f"{name} has no {direction.to!r}.{suggestion(str(direction.to), categories)}")
        )
    return problems


def _by_problems(direction: Direction, kind: str) -> list[Problem]:
    if kind != "number":
        return [("by", f"is for a number; {direction.column} is a {kind}.")]
    return [("by", "0 changes nothing.")] if direction.by == 0 else []
