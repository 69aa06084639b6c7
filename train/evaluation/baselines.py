"""What any model has to beat, fitted on the same rows and measured on the same test rows."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from threading import Thread
from typing import Any

import numpy as np
import numpy.typing as npt

from train.data.splits import Prepared
from train.evaluation.answered import Answered
from train.evaluation.measures import (
    evaluate,
    headline,
    measure_hits,
    measure_label_sets,
    measure_labels,
    measure_ranking,
)
from train.models.choice import family_of
from train.models.decision import Decision, default_decision
from train.models.family import WIDE_AND_DEEP, Baseline, Outputs

Labels = npt.NDArray[np.int64]
Baselines = dict[str, dict[str, float]]


def baselines_beside(prepared: Prepared) -> Callable[[], Baselines]:
    """Measure the baselines of texts in a thread while the model is fitted, where most of it leaves a core idle.

    Returns:
        A function that waits for them and returns what `measure_baselines` does, or raises what that raised.
    """
    measure = partial(measure_baselines, prepared)
    # Warnings that are caught in two threads at once change the filters of the whole process: those of the fits for
    # tables and for label sets are caught.
    if prepared.config.model.pipeline != WIDE_AND_DEEP or prepared.dataset.kind != "label":
        return measure
    # Imports need the interpreter, as do the counts of the baselines: beside each other both take twice as long.
    family_of(prepared.config).load()
    measured: Future[Baselines] = Future()

    def work() -> None:
        try:
            measured.set_result(measure())
        except BaseException as error:  # it belongs to whoever asks for the result
            measured.set_exception(error)

    # A fit cannot be interrupted, and Ctrl-C shall not wait for it.
    Thread(target=work, name="baselines", daemon=True).start()
    return measured.result


def measure_baselines(prepared: Prepared) -> Baselines:
    """Measure the constant answer, and what the family of the model names, all by the default decision.

    Returns:
        Name -> metric -> value. A baseline without probabilities has no metric that needs them.
    """
    decision = default_decision(prepared)
    baselines = [_constant(prepared), *family_of(prepared.config).fit_baselines(prepared)]
    return {baseline.name: _measure(baseline, prepared, decision) for baseline in baselines}


def _constant(prepared: Prepared) -> Baseline:
    """Answer every row with what is usual in the rows known: the shares of the labels, or the mean."""
    dataset = prepared.dataset
    known = dataset.targets[prepared.known]
    usual = (
        np.bincount(known, minlength=len(dataset.label_names)) / len(known)
        if dataset.kind == "label"
        else np.atleast_1d(known.mean(axis=0))
    )
    name = "mean" if dataset.kind == "number" else "majority label"
    return Baseline(name, outputs=np.tile(usual, (len(prepared.split.test), 1)))


def _measure(baseline: Baseline, prepared: Prepared, decision: Decision) -> dict[str, Any]:
    truth = prepared.test_targets
    if baseline.outputs is not None:
        return headline(evaluate(Answered(truth, baseline.outputs, decision)))
    assert baseline.answers is not None  # one of the two is there
    if decision.kind == "labels":
        return measure_label_sets(truth, baseline.answers)
    measured: dict[str, Any] = measure_labels(truth, baseline.answers)
    if baseline.margins is not None and len(np.unique(truth)) == len(decision.label_names) == 2:
        measured |= _measure_positive(baseline.answers, baseline.margins, truth, decision)
    return measured


def _measure_positive(
    answers: Labels, margins: Outputs, truth: Labels, decision: Decision
) -> dict[str, float]:
    positive = decision.label_names.index(str(decision.positive))
    ranks = margins if positive == 1 else -margins
    return {
        **measure_ranking(truth == positive, ranks),
        **measure_hits(truth == positive, answers == positive),
    }
