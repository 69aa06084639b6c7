"""The gate: the conditions that a model must meet to become `latest`. They are checked before training."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from predict.contract.artefact import ArtefactError
from predict.scoring.inputs import InstanceError
from predict.wording import did_you_mean
from train.acceptance.conditions import Condition
from train.data.splits import Prepared
from train.errors import UserError
from train.evaluation.metrics import describe_metric, headline_keys, keys_of

# Compares the model with the newest artefact of the same rows: whether it passed, why, and how much better it is; None
# if there is no such artefact.
AgainstNewest = Callable[[], tuple[bool, str, float] | None]
Verdict = dict[str, Any]

BEHAVIOUR = "behaviour"
VS_LATEST = "vs latest"
NOT_WORSE = "not significantly worse"

_IN_FOLDS = " in folds"
_PER_LABEL = "per_label."
_OF_A_LABEL = ("precision", "recall", "f1")
# Two measured numbers are hardly ever equal.
_BOUNDS = (">=", "<=", ">", "<")


def judge(
    gate: Mapping[str, str],
    metrics: Mapping[str, Any],
    against_newest: AgainstNewest,
) -> list[Verdict]:
    """Judge the metrics of a run by a gate in which `problems_of` has found nothing wrong.

    Args:
        gate: Metric -> condition, as configured.
        metrics: As in `metrics.json`, `behaviour` included.
        against_newest: Compares the model with the newest good artefact; called only if the gate asks for it.

    Returns:
        One dict a condition, in order: `check` (the condition), `value` (what was measured; for `vs latest` the
        difference; None where there is nothing), `passed` and `why`. What was not measured does not pass.

    >>> [verdict] = judge({"accuracy": ">=0.9"}, {"accuracy": 0.875}, lambda: None)
    >>> verdict["passed"], verdict["why"]
    (False, '0.875 is not >= 0.9')
    """
    return [
        _judge_newest(against_newest)
        if name == VS_LATEST
        else _judge_metric(name, condition, _value(name, metrics))
        for name, condition in gate.items()
    ]


def passes(verdicts: Sequence[Verdict]) -> bool:
    """Return whether every condition is met, as is the case if there is none."""
    return all(verdict["passed"] for verdict in verdicts)


def problems_of(prepared: Prepared) -> list[str]:
    """Return what is wrong with the gate: its conditions, and metrics that a run of this configuration lacks."""
    known, problems = _known(prepared), []
    for name, condition in prepared.config.evaluation.gate.items():
        place = f"evaluation.gate.{name}"
        if name not in known:
            problems.append(f"{place}: {_unknown(name, known, prepared)}")
        if name not in known and condition == NOT_WORSE:
            continue  # the condition is right for the metric that was meant
        if why := _condition_problem(name, condition):
            problems.append(f"{place}: {why}")
    return problems


# ------------------------------------------------------------------ judging


def _judge_metric(name: str, condition: str, value: float | None) -> Verdict:
    bound = Condition.parse(condition)
    assert bound is not None  # `problems_of` has seen to it
    limit = f"{bound.sign} {bound.limit}"
    shown = f"{name} {limit}"
    if value is None or math.isnan(value):
        return _verdict(shown, None, False, f"{name} was not measured")

    passed, short = bound.meets(value), f"{value:.4g}"
    measured = short if bound.meets(float(short)) == passed else repr(value)  # 0.89999 is not 0.9
    return _verdict(shown, value, passed, f"{measured} {'is' if passed else 'is not'} {limit}")


def _judge_newest(against_newest: AgainstNewest) -> Verdict:
    shown = f"{VS_LATEST}: {NOT_WORSE}"
    try:
        compared = against_newest()
    except (ArtefactError, InstanceError, UserError) as error:
        # The model is trained by now: it is kept, and a person decides.
        why = f"cannot be compared with it: {error} To start anew, remove the link or set artefacts_dir."
        return _verdict(shown, None, False, why)
    if compared is None:
        why = "not compared: there is no good artefact of the same rows yet"
        return _verdict(shown, None, True, why)
    passed, why, difference = compared
    return _verdict(shown, difference, passed, why)


def _verdict(shown: str, value: float | None, passed: bool, why: str) -> Verdict:
    finite = value is not None and math.isfinite(value)
    return {
        "check": shown,
        "value": float(value) if value is not None and finite else None,  # JSON has no infinity
        "passed": bool(passed),
        "why": why,
    }


def _value(name: str, metrics: Mapping[str, Any]) -> float | None:
    """Return a metric by its name in the gate."""
    if name.endswith(_IN_FOLDS):
        path = ["cross_validation", "mean", name.removesuffix(_IN_FOLDS)]
    elif name.startswith(_PER_LABEL):  # a label may have dots in it
        path = ["per_label", *name.removeprefix(_PER_LABEL).rsplit(".", 1)]
    else:
        path = [BEHAVIOUR, "pass_rate"] if name == BEHAVIOUR else [name]
    value: Any = metrics
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return None if value is None else float(value)


# ----------------------------------------------------------------- checking


def _known(prepared: Prepared) -> list[str]:
    """Return the names, in the gate, of what a run of this configuration measures."""
    config, names = prepared.config, prepared.dataset.label_names
    headline = headline_keys(prepared.dataset.kind, len(names))
    known = [*headline]
    known += [f"{_PER_LABEL}{name}.{metric}" for name in names for metric in _OF_A_LABEL]
    if names and config.decision.unsure_below is not None:
        known += keys_of("unsure")
    if config.evaluation.interval is not None:
        known += keys_of("interval")
    if config.evaluation.folds:
        known += [f"{metric}{_IN_FOLDS}" for metric in headline]
    if config.behaviour is not None:
        known.append(BEHAVIOUR)
    return [*known, VS_LATEST]


def _unknown(name: str, known: Sequence[str], prepared: Prepared) -> str:
    kind, names = prepared.dataset.kind, prepared.dataset.label_names
    if name == BEHAVIOUR:
        return "there are no behavioural tests; declare some in the section behaviour."
    if name.endswith(_IN_FOLDS) and not prepared.config.evaluation.folds:
        return "there is no cross-validation; set evaluation.folds, such as 5."
    if name in keys_of("interval") and kind == "number":
        return "there are no intervals; set evaluation.interval, such as 0.9."
    if name in keys_of("unsure") and kind != "number":
        return "no answer is unsure; set decision.unsure_below, such as 0.6."
    if name in keys_of("two labels") and kind == "label":
        return f"is for two labels; the dataset has {len(names)}."
    if close := did_you_mean(name, known):
        return f"unknown metric.{close}"
    short = [metric for metric in known if not metric.startswith(_PER_LABEL)]
    if names:
        short.append(f"{_PER_LABEL}<label>.recall, such as {_PER_LABEL}{names[0]}.recall")
    return f"unknown metric. Known: {', '.join(short)}."


def _condition_problem(name: str, condition: str) -> str | None:
    if name == VS_LATEST:
        right = condition == NOT_WORSE
        return None if right else f'expected "{NOT_WORSE}", got {condition!r}.'
    bound = Condition.parse(condition)
    if bound is None or bound.sign not in _BOUNDS or bound.number is None:
        return f'expected one of >=, <=, > and < and a number, such as ">=0.9", got {condition!r}.'
    metric = name.removesuffix(_IN_FOLDS)
    lowest, highest = describe_metric(metric).bounds
    if bound.number > highest:
        return f'no value is above 1, got {condition!r}; for 90 % write "{bound.sign}0.9".'
    if bound.number < lowest:
        return f"no value is below 0, got {condition!r}."
    return None
