"""The story of a training run, from a configuration to an artefact, on one screen."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from predict.contract.artefact import CONFIGURATION, METRICS, REPORT
from predict.scoring.predictor import Predictor
from train.acceptance import behaviour, equality, gate
from train.artefacts import folder, tracking
from train.artefacts.description import describe
from train.artefacts.writing import as_json, unfinished_artefact
from train.comparison.latest import against_newest
from train.config import ConfigError, TrainConfig
from train.config.loading import to_yaml
from train.config.trust import Trust, functions_named, would_run
from train.data.splits import Prepared
from train.evaluation import evidence
from train.evaluation.answered import Answered
from train.evaluation.baselines import Baselines, baselines_beside
from train.evaluation.fits import Fits, one_by_one
from train.evaluation.measures import headline
from train.evaluation.profile import profile_of
from train.evaluation.selection import cross_validate, search
from train.models import choice
from train.models.decision import choose_decision
from train.models.family import FittedModel
from train.models.scope import Scope
from train.preparation import prepare
from train.progress import Progress, Stopwatch, each_about
from train.reporting.report import render_report


@dataclass(frozen=True)
class RunResult:
    """What a person wants to know at the end."""

    artefact_dir: Path
    metrics: dict[str, Any]
    # Whether a plain text is a request to it.
    reads_one_text: bool
    # The conditions of the gate that it does not meet.
    failed: list[str] = field(default_factory=list)


def run(
    config: TrainConfig,
    progress: Progress,
    place: str = "configuration",
    trust: Trust | None = None,
    into: Path | None = None,
    fits: Fits = one_by_one,
) -> RunResult:
    """Train what a configuration says, and write the artefact.

    Args:
        config: What to train.
        progress: Is told how it goes.
        place: Where the configuration comes from, for messages.
        trust: Allows functions that the configuration names to run.
        into: The folder in which the artefact is written, instead of `artefacts_dir`, whose `latest` stays then; a
            tracker is told of the place in `artefacts_dir` all the same, to which the caller moves it.
        fits: Where the fits of a search and of a cross-validation run.

    Raises:
        UserError: Something that the user can fix; no artefact is left then.
    """
    if trust is None and functions_named(config):
        raise ConfigError(f"{would_run(config)}, which nothing allows.", place=place)
    artefacts_dir = config.artefacts_dir if into is None else into
    folder.prepare(artefacts_dir)
    tracking.check(config.tracking)
    watch = Stopwatch(progress)
    prepared, searched = _search(prepare(config, watch, place, trust), watch, fits)
    baselines = baselines_beside(prepared)
    started = time.perf_counter()
    model = choice.fit(prepared, watch)
    fit_s = time.perf_counter() - started
    scope = choice.find_scope(prepared, model, watch)
    answered, metrics = _evaluate(prepared, model, scope, baselines, watch)
    if folds := prepared.config.evaluation.folds:
        with watch.stage("cross-validation", f"{folds} folds{each_about(fit_s)}"):
            metrics["cross_validation"] = cross_validate(prepared, watch, fits)
    metrics["search"] = searched
    metadata = describe(prepared, model, answered, headline(metrics), config.dataset)
    with (
        watch.stage("export", "to ONNX, then read back and asked as a server would"),
        unfinished_artefact(artefacts_dir) as artefact,
    ):
        model.write(artefact.path)
        if scope is not None:
            scope.familiarity.write(artefact.path)
        configuration = to_yaml(prepared.config)
        (artefact.path / CONFIGURATION).write_text(configuration, encoding="utf-8")
        predictor = artefact.load(metadata)
        some = equality.rows_to_verify(len(prepared.split.test))
        instances = prepared.dataset.instances(prepared.split.test[some])
        compared, predictions = equality.verify(
            answered.part(some), predictor, instances, model.tolerance
        )
        watch.say(f"export: {compared}")
        unknown = predictor.unknown_shares(instances)
        profile = profile_of(predictor.metadata, instances, predictions, unknown)
        metadata["profile"] = profile.model_dump(exclude_none=True)
        metrics |= _accept(prepared, answered, metrics, metadata["dataset"], predictor, watch)
        verdicts = metrics.get("gate", [])
        metadata["durations_s"] = dict(watch.durations_s)
        if verdicts:
            metadata["gate"] = "passed" if gate.passes(verdicts) else "failed"
        page = render_report(metadata, metrics, configuration)
        files = {METRICS: as_json(metrics), REPORT: page}
        to_be_latest = into is None and gate.passes(verdicts)
        artefact_dir = artefact.finish(metadata, files, latest=to_be_latest)
    if to_be_latest and not folder.is_latest(artefact_dir):
        progress.warn("export: `latest` does not move: a newer run has finished meanwhile")
    found_at = config.artefacts_dir / artefact_dir.name
    tracking.track(artefact_dir, prepared.config.tracking, progress, found_at)
    failed = [verdict["check"] for verdict in verdicts if not verdict["passed"]]
    return RunResult(artefact_dir, metrics, predictor.text_field is not None, failed)


def _search(
    prepared: Prepared, progress: Progress, fits: Fits
) -> tuple[Prepared, dict[str, Any] | None]:
    if prepared.config.search is None:
        return prepared, None
    with progress.stage("search", "which parameters are best on held-out rows"):
        return search(prepared, progress, fits)


def _evaluate(
    prepared: Prepared,
    model: FittedModel,
    scope: Scope | None,
    baselines: Callable[[], Baselines],
    progress: Progress,
) -> tuple[Answered, dict[str, Any]]:
    test = prepared.split.test
    decision = choose_decision(prepared, model.validation_outputs, model.factors)
    if scope is not None:
        decision = replace(decision, familiar_from=scope.familiar_from)
    decision.tell(progress)
    with progress.stage("evaluate", f"{len(test):,} test rows, and the baselines"):
        outputs = model.predict(prepared.dataset, test)
        familiarity = None if scope is None else scope.familiarity_of(prepared.dataset, test)
        answered = Answered(prepared.test_targets, outputs, decision, familiarity=familiarity)
        metrics = evidence.gather(prepared, model, answered, baselines(), scope)
    return answered, metrics


def _accept(
    prepared: Prepared,
    answered: Answered,
    metrics: Mapping[str, Any],
    described: Mapping[str, Any],
    predictor: Predictor,
    progress: Progress,
) -> dict[str, Any]:
    """Return the results of the behavioural tests and of the gate, as far as any are declared."""
    accepted: dict[str, Any] = {}
    if prepared.config.behaviour is not None:
        accepted["behaviour"] = behaviour.measure(prepared, predictor)
        for check in accepted["behaviour"]["checks"]:
            count = f"{check['passed']:,} of {check['cases']:,}"
            progress.say(f"behaviour: {check['name']}: {count} passed")
    if conditions := prepared.config.evaluation.gate:
        newest = partial(against_newest, prepared, answered, described)
        accepted["gate"] = gate.judge(conditions, {**metrics, **accepted}, newest)
        for verdict in accepted["gate"]:
            tell = progress.say if verdict["passed"] else progress.warn
            tell(f"gate: {verdict['check']}: {verdict['why']}")
    return accepted
