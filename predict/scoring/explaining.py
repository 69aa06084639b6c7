"""Explanations: what each word of a text, or each column of a row, contributed to an answer.

Where a model is a sum over them, the contributions add up to what it says. Elsewhere each is left out in turn, and its
contribution is what that changes.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import chain, islice, pairwise
from math import floor, isfinite, log10
from time import perf_counter
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import Metadata
from predict.scoring.by_words import Reader, Words, without
from predict.scoring.inputs import Instance, InstanceError
from predict.scoring.outputs import Prediction, Raw
from predict.scoring.typical import typical_values, unusual_values
from predict.scoring.values import PROBLEMS_SHOWN

# Of the texts of an instance together.
MOST_CHARACTERS = 10_000
# Rows are scored for so long, and so many of them, before the time is looked at.
_TURN_S = 0.02
_MOST_ROWS = 256
# How far contributions may be from adding up, as a share of the largest number: some models have single precision.
_TOLERANCE = 1e-5
# Golden examples, and rows times columns each time, on which a model of a table shows whether it is a sum over these.
_MOST_PROBES, _MOST_PROBED = 5, 200_000
# A probability that is nearer to 0 or 1 may have been cut off there.
_NEARLY_CERTAIN = 1e-6
_DIGITS_OF_LOG_ODDS = 6

Explanation = dict[str, Any]
# Instances -> the raw output of a model, one row each.
Score = Callable[[Sequence[Instance]], Raw]
Floats = npt.NDArray[np.float64]

Method = Literal["linear", "occlusion"]
# What is explained: the value that a model answers; of a probability p, log(p / (1 - p)); the logarithm of a
# probability, less the mean logarithm over all labels; or the log odds of a label as it is judged by itself, before the
# probabilities of all labels are made to sum to 1.
Unit = Literal["value", "log_odds", "centred_log_ratio", "one_vs_rest_log_odds"]


class _Parts(NamedTuple):
    """What an answer is explained by, and the instances without it.

    Attributes:
        named: The part of an explanation that says which word or column it is, for each.
        whole: The instance.
        base: The instance without any of them.
        differing: The indexes of those without which the instance is another one.
        without: Index -> the instance without that one.
    """

    named: Sequence[dict[str, Any]]
    whole: Instance
    base: Instance
    differing: Sequence[int]
    without: Callable[[int], Instance]


class _Found(NamedTuple):
    """The numbers of an explanation; a contribution is None where there is none, or no time for it."""

    method: Method
    unit: Unit
    base: float
    total: float
    contributions: Sequence[float | None]
    evaluations: int
    # Digits after the point that tell something.
    digits: int = _DIGITS_OF_LOG_ODDS


class Explainer:
    """Explains the answers of one model; several threads may ask at once."""

    def __init__(self, metadata: Metadata, score: Score, reader: Reader | None) -> None:
        """Take a model.

        Args:
            metadata: Of its artefact.
            score: What scores instances.
            reader: How it reads texts; None for a model of a table.
        """
        self._metadata, self._output, self._score = metadata, metadata.outputs[0], score
        first, fields = metadata.inputs[0], list(metadata.input_types)
        self._words = None if reader is None else Words(fields, reader, first.tokenizer)
        # Whether a model of a table is a sum over its columns; None if nobody has asked.
        self._is_sum: bool | None = None

    def check(self, instances: Sequence[Instance], places: Callable[[int], str]) -> None:
        """Raise InstanceError if a text is too long to be explained.

        Args:
            instances: They have passed the checks of the predictor.
            places: Index -> the name of that instance in a message.
        """
        problems = []
        for index, instance in enumerate(instances):
            length = sum(len(value) for value in instance.values() if isinstance(value, str))
            if length > MOST_CHARACTERS:
                most = f"expected at most {MOST_CHARACTERS:,} characters, to explain the answer"
                problems.append((places(index), f"{most}; got {length:,}"))
        if problems:
            raise InstanceError(problems[:PROBLEMS_SHOWN])

    def explain(
        self, instances: Sequence[Instance], predictions: Sequence[Prediction], seconds: float
    ) -> list[Explanation]:
        """Return an explanation of each answer; docs/explanation/explanations.md says what is in it.

        Args:
            instances: They have passed `check`.
            predictions: The answers to them.
            seconds: For all of them together. What is begun is finished, and each is begun.
        """
        until = perf_counter() + seconds
        explanations = []
        for index, (instance, prediction) in enumerate(zip(instances, predictions, strict=True)):
            now = perf_counter()
            share_s = max(0.0, until - now) / (len(instances) - index)
            explanations.append(self._explain(instance, prediction, now, now + share_s))
        return explanations

    def _explain(
        self, instance: Instance, prediction: Prediction, started: float, until: float
    ) -> Explanation:
        label = _label_of(prediction)
        place = 0 if label is None else self._output.labels.index(label)
        if self._words is None:
            named, found = self._by_columns(instance, place, until)
        else:
            named, found = self._by_words(self._words, instance, place, until)
        contributions = [
            {**part, "contribution": _rounded(value, found.digits)}
            for part, value in zip(named, found.contributions, strict=True)
            if value is not None
        ]
        return {
            **({} if label is None else {"of": label}),
            "method": found.method,
            "unit": found.unit,
            "base": _rounded(found.base, found.digits),
            "total": _rounded(found.total, found.digits),
            "contributions": contributions,
            "evaluations": found.evaluations,
            "seconds": round(perf_counter() - started, 6),
            "complete": len(contributions) == len(named),
        }

    def _by_words(
        self, words: Words, instance: Instance, place: int, until: float
    ) -> tuple[Sequence[dict[str, Any]], _Found]:
        if (exactly := words.sum_of(instance, place)) is not None:
            parts, (bias, margin, added) = exactly
            unit: Unit = "log_odds" if self._output.kind == "labels" else "one_vs_rest_log_odds"
            found = _Found("linear", unit, bias, margin, added, evaluations=1)
            return [part._asdict() for part in parts], found
        parts = words.stretches_of(instance)
        texts = words.read_of(instance, parts)
        apart = _Parts(
            named=[part._asdict() for part in parts],
            whole=texts,
            base=dict.fromkeys(texts, ""),
            differing=range(len(parts)),
            without=lambda index: without(texts, parts[index]),
        )
        raw, rows = self._score_each(apart, until)
        return apart.named, self._found("occlusion", raw, rows, place)

    def _by_columns(
        self, instance: Instance, place: int, until: float
    ) -> tuple[Sequence[dict[str, Any]], _Found]:
        parts, now = self._columns_of(instance, self._typical), perf_counter()
        # The first time, it takes a while to find out, which leaves some for the rest.
        may_add_up = self._may_add_up(now + (until - now) / 2)
        raw, rows = self._score_each(parts, until)
        if may_add_up and None not in rows:
            found = self._found("linear", raw, rows, place)
            if self._adds_up(found):
                return parts.named, found
        return parts.named, self._found("occlusion", raw, rows, place)

    def _score_each(self, parts: _Parts, until: float) -> tuple[Raw, list[int | None]]:
        """Score an instance, then its base, then what is left without each part, as far as time allows.

        Returns:
            The raw output, and the row in it for each part: 0 if it is no other instance, None if time ran out.
        """
        changed = map(parts.without, parts.differing)
        raw = self._score_until(until, chain([parts.whole, parts.base], changed))
        rows: list[int | None] = [0] * len(parts.named)
        for row, index in enumerate(parts.differing, 2):
            rows[index] = row if row < len(raw) else None
        return raw, rows

    def _score_until(self, until: float, instances: Iterable[Instance]) -> Raw:
        """Return the raw output of the first two instances, and of as many others as time allows."""
        waiting, started = iter(instances), perf_counter()
        outputs, scored = [self._score([*islice(waiting, 2)])], 2
        while (now := perf_counter()) < until:
            count = int(min(_TURN_S, until - now) * scored / max(now - started, 1e-6))
            if not (chosen := [*islice(waiting, max(1, min(_MOST_ROWS, count)))]):
                break
            outputs.append(self._score(chosen))
            scored += len(chosen)
        return np.concatenate(outputs)

    def _found(self, method: Method, raw: Raw, rows: Sequence[int | None], place: int) -> _Found:
        """Return the numbers of an explanation by what `_score_each` returned."""
        unit, values = self._values(raw, place, method)
        # The difference of two numbers may be larger than any.
        with np.errstate(over="ignore", invalid="ignore"):
            changes = (values[0] - values).tolist()
        total, base = values[:2].tolist()
        digits = _DIGITS_OF_LOG_ODDS if unit != "value" else _digits_of((total, base), raw)
        contributions = [
            None if row is None or not isfinite(changes[row]) else changes[row] for row in rows
        ]
        return _Found(method, unit, base, total, contributions, len(values), digits)

    def _values(self, raw: Raw, place: int, method: Method) -> tuple[Unit, Floats]:
        """Return raw output in the unit in which it is explained, <float64>[num_rows]."""
        output = self._output
        if output.kind == "number":
            return "value", raw[:, 0].astype(np.float64)
        if method == "linear" and output.kind == "label" and len(output.labels) > 2:
            return "centred_log_ratio", _centred_log_ratios(raw)[:, place]
        return "log_odds", _log_odds(raw, place, sums_to_one=output.kind == "label")

    # What only models of tables have.

    @cached_property
    def _typical(self) -> dict[str, Any]:
        return typical_values(self._metadata)

    def _columns_of(self, instance: Instance, base: Instance) -> _Parts:
        names = list(self._typical)
        return _Parts(
            named=[{"field": name, "reference": base[name]} for name in names],
            whole=instance,
            base=base,
            differing=[at for at, name in enumerate(names) if instance[name] != base[name]],
            without=lambda index: {**instance, names[index]: base[names[index]]},
        )

    def _adds_up(self, found: _Found) -> bool:
        known = [value for value in found.contributions if value is not None]
        if len(known) < len(found.contributions) or not isfinite(found.base):
            return False
        error = found.base + sum(known) - found.total
        return abs(error) <= self._most_error(np.array([found.base, found.total, *known]))

    def _most_error(self, values: Floats) -> float:
        # A value has a scale of its own; log odds near 0 are differences of larger numbers.
        least = 0.0 if self._output.kind == "number" else 1.0
        return _TOLERANCE * max(least, float(np.abs(values).max()))

    def _may_add_up(self, until: float) -> bool:
        """Return whether the model is a sum over its columns wherever it is tried: between rows that differ in many."""
        if self._is_sum is None:
            examples = [example.instance for example in self._metadata.examples[:_MOST_PROBES]]
            pairs = [(row, self._typical) for row in (*unusual_values(self._metadata), *examples)]
            pairs += pairwise(examples)
            found: set[bool | None] = set()
            for row, base in pairs[: _MOST_PROBED // (2 * len(self._typical) ** 2)]:
                found.add(self._is_sum_between(row, base, until))
                if False in found:
                    break
                if perf_counter() >= until:
                    return False
            self._is_sum = True in found and False not in found
        return self._is_sum

    def _is_sum_between(self, instance: Instance, base: Instance, until: float) -> bool | None:
        """Return whether each column adds the same on the way from one row to another, and back.

        None if that is not told: by fewer than two columns, in too little time, or where a probability may have been
        cut off at its ends.
        """
        parts, names = self._columns_of(instance, base), list(self._typical)
        count = len(parts.differing)
        added_rows = ({**base, names[at]: instance[names[at]]} for at in parts.differing)
        rows = chain([instance, base], map(parts.without, parts.differing), added_rows)
        raw = self._score_until(until, rows)
        if len(raw) < 2 + 2 * count:
            return None
        if not np.isfinite(raw).all():
            return None
        values = self._all_values(raw)
        taken, added = values[0] - values[2 : 2 + count], values[2 + count :] - values[1]
        most = self._most_error(values)
        unexplained = np.abs(taken.sum(axis=0) - (values[0] - values[1])).max()
        if max(np.abs(taken - added).max(initial=0.0), unexplained) > most:
            return None if self._output.labels and _is_nearly_certain(raw) else False
        num_telling = int((np.abs(taken).max(axis=1, initial=0.0) > most).sum())
        return True if num_telling >= min(2, len(names)) else None

    def _all_values(self, raw: Raw) -> Floats:
        """Return raw output in the units of a linear explanation, <float64>[num_rows, num_outputs]."""
        if self._output.kind == "label":
            return _centred_log_ratios(raw)
        columns = [self._values(raw, place, "linear")[1] for place in range(raw.shape[1])]
        return np.stack(columns, axis=1)


def _label_of(prediction: Prediction) -> str | None:
    """Return the label that is explained: the answered one, the most probable of several; None for a number."""
    if "label" in prediction:
        label: str = prediction["label"]
        return label
    return next(iter(prediction.get("probabilities", ())), None)


def _centred_log_ratios(raw: Raw) -> Floats:
    logarithms = _logarithms(raw)
    centred: Floats = logarithms - logarithms.mean(axis=1, keepdims=True)
    return centred


def _log_odds(raw: Raw, place: int, sums_to_one: bool) -> Floats:
    kind = np.finfo(raw.dtype)
    if sums_to_one:
        # What 1 - p would be if p had all its digits.
        rest = np.delete(raw, place, axis=1).astype(np.float64).sum(axis=1)
        least = kind.tiny
    else:
        rest, least = 1 - raw[:, place].astype(np.float64), kind.epsneg
    odds: Floats = _logarithms(raw[:, place]) - np.log(np.maximum(rest, least))
    return odds


def _logarithms(probabilities: Raw) -> Floats:
    """Return logarithms, that of 0 being the one of the smallest number."""
    tiny = np.finfo(probabilities.dtype).tiny
    logarithms: Floats = np.log(np.maximum(probabilities.astype(np.float64), tiny))
    return logarithms


def _is_nearly_certain(raw: Raw) -> bool:
    return bool(min(raw.min(), 1 - raw.max()) < _NEARLY_CERTAIN)


def _digits_of(values: Sequence[float], raw: Raw) -> int:
    """Return how many digits after the point tell something of values, of the type that they were computed in."""
    largest = max((abs(value) for value in values if isfinite(value)), default=0.0)
    before = floor(log10(largest)) + 1 if largest else 0
    return int(np.finfo(raw.dtype).precision) - before


def _rounded(value: float, digits: int) -> float | None:
    """Round a number for JSON, which has no infinite ones; -0.0 becomes 0.0."""
    return round(value, digits) + 0.0 if isfinite(value) else None
