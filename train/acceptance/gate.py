"""The gate: what a model has to reach to become `latest`. Conditions on the metrics, checked before training."""

import difflib
import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from predict.contract.artefact import ArtefactError
from predict.scoring.inputs import InstanceError
from train.config import ConfigError, TrainConfig
from train.data.dataset import Dataset
from train.errors import UserError
from train.evaluation.metrics import describe_metric, headline_keys, keys_of

# passed, why, and how much better than `latest` the model is.
AgainstLatest = Callable[[], tuple[bool, str, float]]
Verdict = dict[str, Any]

BEHAVIOUR = "behaviour"
VS_LATEST = "vs latest"
NOT_WORSE = "not significantly worse"

_IN_FOLDS = " in folds"
_PER_LABEL = "per_label."
_OF_A_LABEL = ("precision", "recall", "f1")

_CONDITION = re.compile(r"(>=|<=|>|<) *(-?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}


def judge(
    gate: Mapping[str, str],
    metrics: Mapping[str, Any],
    against_latest: AgainstLatest | None,
) -> list[Verdict]:
    """Hold the metrics of a run against a gate that `check` has let pass.

    Args:
        gate: Metric -> condition, as configured.
        metrics: As in `metrics.json`, `behaviour` included.
        against_latest: Compares the model with `latest`, and is only called if the gate asks; None: there is
            no `latest` yet.

    Returns:
        One dict a condition, in order: `check` (the condition), `value` (what was measured; of `vs latest` the
        difference; None where there is nothing), `passed` and `why`. What was not measured has not passed.
    """
    return [
        _judge_latest(against_latest)
        if name == VS_LATEST
        else _judge_metric(name, condition, _value(name, metrics))
        for name, condition in gate.items()
    ]


def passes(verdicts: Sequence[Verdict]) -> bool:
    """Return whether every condition is met; also if there is none."""
    return all(verdict["passed"] for verdict in verdicts)


def check(config: TrainConfig, dataset: Dataset) -> None:
    """Raise ConfigError, with all problems, if the gate asks for what a run of this configuration does not measure."""
    known = _known(config, dataset)
    problems = []
    for name, condition in config.evaluation.gate.items():
        place = f"evaluation.gate.{name}"
        if name not in known:
            problems.append(f"{place}: {_unknown(name, known, config, dataset)}")
        if name not in known and condition == NOT_WORSE:
            continue  # the condition is right, for what was meant
        if why := _condition_problem(name, condition):
            problems.append(f"{place}: {why}")
    if problems:
        raise ConfigError("\n  ".join(problems))


# ------------------------------------------------------------------ judging


def _judge_metric(name: str, condition: str, value: float | None) -> Verdict:
    sign, number = _parse(condition)
    shown = f"{name} {sign} {number}"
    if value is None or math.isnan(value):
        return _verdict(shown, None, False, f"{name} was not measured")

    def meets(found: float) -> bool:
        return _OPERATORS[sign](found, float(number))

    passed, short = meets(value), f"{value:.4g}"
    measured = short if meets(float(short)) == passed else repr(value)  # 0.89999 is not 0.9
    return _verdict(
        shown, value, passed, f"{measured} {'is' if passed else 'is not'} {sign} {number}"
    )


def _judge_latest(against_latest: AgainstLatest | None) -> Verdict:
    shown = f"{VS_LATEST}: {NOT_WORSE}"
    if against_latest is None:
        return _verdict(
            shown, None, True, "not compared: there is no good artefact of the same rows yet"
        )
    try:
        passed, why, difference = against_latest()
    except (ArtefactError, InstanceError, UserError) as error:
        # The model is trained by now: it is kept, and a person decides.
        why = f"cannot be compared with it: {error} To start anew, remove the link or set artefacts_dir."
        return _verdict(shown, None, False, why)
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
    """Return a metric by the name that the gate has for it."""
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


def _known(config: TrainConfig, dataset: Dataset) -> list[str]:
    """Return what a run of this configuration measures, as the gate calls it."""
    names = dataset.label_names
    headline = headline_keys(dataset.kind, len(names))
    known = [*headline]
    if names:
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


def _unknown(name: str, known: Sequence[str], config: TrainConfig, dataset: Dataset) -> str:
    if name == BEHAVIOUR:
        return "there are no behavioural tests; declare some in the section behaviour."
    if name.endswith(_IN_FOLDS) and not config.evaluation.folds:
        return "there is no cross-validation; set evaluation.folds, such as 5."
    if name in keys_of("interval") and not dataset.label_names:
        return "there are no intervals; set evaluation.interval, such as 0.9."
    if name in keys_of("unsure") and dataset.label_names:
        return "no answer is unsure; set decision.unsure_below, such as 0.6."
    if name in keys_of("two labels") and dataset.kind == "label":
        return f"is for two labels; the dataset has {len(dataset.label_names)}."
    close = difflib.get_close_matches(name, known, n=1)
    if close:
        return f"unknown metric. Did you mean {close[0]}?"
    short = [metric for metric in known if not metric.startswith(_PER_LABEL)]
    if len(short) < len(known):
        label = dataset.label_names[0]
        short.append(f"{_PER_LABEL}<label>.recall, such as {_PER_LABEL}{label}.recall")
    return f"unknown metric. Known: {', '.join(short)}."


def _condition_problem(name: str, condition: str) -> str | None:
    if name == VS_LATEST:
        right = condition == NOT_WORSE
        return None if right else f'expected "{NOT_WORSE}", got {condition!r}.'
    if not _CONDITION.fullmatch(condition.strip()):
        return f'expected one of >=, <=, > and < and a number, such as ">=0.9", got {condition!r}.'
    sign, number = _parse(condition)
    limit = float(number)
    least, most = describe_metric(name.removesuffix(_IN_FOLDS)).bounds
    if limit > most == 1:
        return f'no value is above 1, got {condition!r}; for 90 % write "{sign}0.9".'
    if limit < least:
        return f"no value is below 0, got {condition!r}."
    return None


def _parse(condition: str) -> tuple[str, str]:
    """Return the operator, and the number as it was written."""
    match = _CONDITION.fullmatch(condition.strip())
    if match is None:
        raise ValueError(f"no condition: {condition!r}")  # `check` lets none pass
    return match[1], match[2]
