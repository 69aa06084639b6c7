"""Everything that is measured of a fitted model: metrics, baselines, and what there is to see of the test rows.

All of it is small enough for `metrics.json`, however many test rows there are.
"""

from typing import Any

from train.data.splits import Prepared
from train.evaluation import out_of_distribution, out_of_scope, reliability
from train.evaluation.answered import Answered
from train.evaluation.baselines import Baselines
from train.evaluation.curves import draw_curves
from train.evaluation.measures import evaluate, headline
from train.evaluation.mistakes import find_mistakes, find_suspects
from train.evaluation.significance import confidence_intervals
from train.evaluation.slices import columns_of, measure_slices
from train.models.decision import Values, default_decision
from train.models.family import FittedModel
from train.models.scope import Scope


def gather(
    prepared: Prepared,
    model: FittedModel,
    answered: Answered,
    baselines: Baselines,
    scope: Scope | None = None,
) -> dict[str, Any]:
    """Measure a model on the test rows, and gather the evidence beside the metrics.

    Args:
        prepared: What the model was fitted on.
        model: The fitted model.
        answered: Its answers to the test rows.
        baselines: What it has to beat, measured on the same rows.
        scope: What is within its scope, if that is told.

    Returns:
        The content of `metrics.json`, but for what a search, cross-validation or the exported model adds. If a
        threshold was chosen, `at_even_odds` has the headline metrics at the default one.
    """
    decision, default = answered.decision, default_decision(prepared)
    metrics = evaluate(answered)
    if decision.thresholds != default.thresholds:
        at_default = Answered(answered.truth, answered.outputs, default)
        metrics["at_even_odds"] = headline(evaluate(at_default))
    unknown_share = model.unknown_share(prepared.dataset, prepared.split.test)
    return {
        **metrics,
        "baselines": baselines,
        "confidence": confidence_intervals(answered),
        **reliability.assess(answered, model.uncalibrated(answered.outputs)),
        **inspect_rows(prepared, answered, unknown_share),
        "elsewhere": out_of_distribution.measure(model, prepared, decision, scope),
        **({} if scope is None else {"scope": out_of_scope.measure(scope, answered)}),
        "history": model.history,
    }


def inspect_rows(
    prepared: Prepared, answered: Answered, unknown_share: Values | None = None
) -> dict[str, Any]:
    """Look at the test rows as a person would: slice by slice, and at what is wrong.

    Args:
        prepared: What the model was fitted on; `evaluation.slices` names the columns that the test rows are sliced by.
        answered: The test rows.
        unknown_share: The share of unknown words of each test row, <float64>[num_rows]; None where it is not known.

    Returns:
        `slices`, `mistakes`, `suspects` and `curves`, as `measure_slices`, `find_mistakes`, `find_suspects` and
        `draw_curves` say; and `evidence`, what to know about them: the `least_rows` of a slice, how many slices are
        `too_small` or `not_shown`, and how many `mistakes` and `suspects` there are in all.
    """
    dataset, rows = prepared.dataset, prepared.split.test
    names = prepared.config.evaluation.slices
    columns = columns_of(dataset, rows, names, unknown_share)
    slices, about = measure_slices(answered, columns, chosen=bool(names))
    mistakes, num_mistakes = find_mistakes(dataset, rows, answered)
    suspects, num_suspects = find_suspects(dataset, rows, answered)
    return {
        "slices": slices,
        "mistakes": mistakes,
        "suspects": suspects,
        "curves": draw_curves(answered),
        "evidence": {**about, "mistakes": num_mistakes, "suspects": num_suspects},
    }
