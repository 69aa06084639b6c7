"""Claims that a scored file is measured as the evaluation of a run measures, chunk by chunk."""

from typing import Any

import numpy as np
import pytest

from predict.batch.evaluation import Measured, Sums, added
from predict.contract.artefact import Output
from predict.scoring.outputs import decode, to_rows
from train.evaluation.answered import Answered
from train.evaluation.measures import evaluate
from train.models.decision import Decision

ROWS = 200
OUTPUTS: dict[str, dict[str, Any]] = {
    "two labels": {"type": "label", "labels": ["no", "yes"], "thresholds": {"yes": 0.3}},
    "three labels": {"type": "label", "labels": ["a", "b", "c"], "unsure_below": 0.5},
    "a label that never occurs": {"type": "label", "labels": ["a", "b", "c", "never"]},
    "labels": {"type": "labels", "labels": ["a", "b", "c"], "thresholds": {"a": 0.5, "b": 0.9, "c": 0.2}},
    "number": {"type": "number", "interval": {"coverage": 0.9, "half_width": 0.8}},
    "number far from zero": {"type": "number"},
}  # fmt: skip


def made(case: str, output: Output) -> tuple[Any, Any]:
    """Return the truth as training has it, and what a model might put out."""
    rng = np.random.default_rng(len(case))
    if output.kind == "number":
        truth = rng.normal(1e6 if case.endswith("zero") else 0, 1, ROWS)
        return truth, (truth + rng.normal(0, 0.5, ROWS))[:, np.newaxis]
    raw = rng.random((ROWS, output.width))
    if output.kind == "labels":
        return rng.random((ROWS, output.width)) < 0.4, raw
    raw[0] = np.eye(output.width)[0]  # sure, and wrong
    truth = rng.integers(0, min(output.width, 3), ROWS)
    truth[0] = 1
    return truth, raw / raw.sum(axis=1, keepdims=True)


def as_truths(truth: Any, output: Output) -> list[Any]:
    if output.kind == "number":
        return list(truth.tolist())
    if output.kind == "label":
        return [output.labels[place] for place in truth]
    names = np.array(output.labels)
    return [frozenset(names[flags].tolist()) for flags in truth]


@pytest.mark.parametrize("case", OUTPUTS)
def test_the_metrics_of_a_file_are_those_of_a_run(case: str) -> None:
    output = Output.model_validate({"name": "y", **OUTPUTS[case]})
    truth, raw = made(case, output)
    expected = evaluate(Answered(truth, raw, Decision.of_output(output)))
    origin = 1e6 if case.endswith("zero") else 0.0
    measured = Measured(output, expected.get("positive_label"), origin)
    truths, sums = as_truths(truth, output), Sums()
    for start in range(0, ROWS, 37):
        part = raw[start : start + 37]
        predictions = decode(to_rows(part, output), part, output)
        sums = added(sums, measured.sums(truths[start : start + 37], predictions, part))
    found = measured.metrics(sums)
    assert found.pop("rows") == ROWS
    for name in (*measured.needs_all_rows, "thresholds"):
        expected.pop(name, None)
    assert found.keys() == expected.keys()
    for name, value in found.items():
        if name == "per_label":
            for label, scores in value.items():
                assert scores == pytest.approx(expected[name][label])
        else:
            assert value == expected[name] or value == pytest.approx(expected[name], rel=1e-9)
