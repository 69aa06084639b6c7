"""The whole story of a training run on one screen."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from predict.contract.artefact import CONFIGURATION, METRICS, REPORT
from predict.scoring.predictor import Predictor
from predict.wording import readable
from train.acceptance import behaviour, gate
from train.artefacts import tracking
from train.artefacts import writing as export
from train.artefacts.provenance import describe_commit, describe_dataset, describe_versions
from train.comparison import latest as newest
from train.config import ConfigError, TrainConfig
from train.data.catalogue import complete
from train.data.cleaning import load_dataset
from train.data.dataset import Dataset
from train.data.schema import summarise
from train.data.sources import UnreachableError
from train.data.splits import Prepared, Split, split_dataset
from train.evaluation import evidence, reliability, slices
from train.evaluation import out_of_distribution as elsewhere
from train.evaluation.answered import Answered
from train.evaluation.measures import evaluate, headline
from train.evaluation.selection import check_selection, cross_validate, search
from train.evaluation.significance import confidence_intervals
from train.models import choice as families
from train.models.decision import Decision, choose_decision, default_decision
from train.models.family import Family, Fitted, Outputs
from train.progress import Progress
from train.reporting.report import render_report

_GOLDEN_EXAMPLES = 5
_GOLDEN_LENGTH = 500
_NAMES_SHOWN = 5


@dataclass(frozen=True)
class RunResult:
    """What a person wants to know at the end."""

    artefact_dir: Path
    metrics: dict[str, Any]
    # Whether its input is one text, which can be asked about as it is.
    reads_one_text: bool
    # The conditions of the gate that are not met.
    failed: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Trained:
    """What there is to export: a model, what it was trained on, and how it turned out."""

    config: TrainConfig
    dataset: Dataset
    split: Split
    family: Family
    model: Fitted
    decision: Decision
    # Of the test rows.
    outputs: Outputs
    metrics: dict[str, Any]
    # The test rows, as requests would send them.
    instances: list[dict[str, Any]]


def run(config: TrainConfig, progress: Progress) -> RunResult:
    """Train what a configuration says, and write the artefact.

    Raises:
        UserError: Of whichever room; nothing is left behind then.
    """
    export.prepare_artefacts_dir(config.artefacts_dir)
    tracking.check_tracking(config.tracking.mlflow, config.tracking.tensorboard)
    requested = config.dataset
    config, dataset, split = prepare(config, progress)
    config, searched = _search(dataset, split, config, progress)
    family = families.family_of(config)
    model = families.fit(dataset, split, config, progress)
    decision = _decide(dataset, split, config, model.validation_outputs, progress)
    with progress.stage("evaluate", f"{len(split.test):,} test rows, and the baselines"):
        outputs = family.predict(model, dataset, split.test)
        metrics = _measure(dataset, split, config, outputs, decision)
        metrics |= _gather(dataset, split, config, model, outputs, decision)
        metrics |= {"history": model.history, "search": searched}
    if config.evaluation.folds:
        with progress.stage("cross-validation", f"{config.evaluation.folds} folds"):
            metrics["cross_validation"] = cross_validate(dataset, split, config, progress)
    instances = dataset.instances(split.test)
    trained = _Trained(config, dataset, split, family, model, decision, outputs, metrics, instances)
    artefact_dir = _export(trained, requested, progress)
    tracking.track(artefact_dir, config.tracking.mlflow, config.tracking.tensorboard, progress)
    failed = [verdict["check"] for verdict in metrics.get("gate", []) if not verdict["passed"]]
    return RunResult(artefact_dir, metrics, list(dataset.column_types.values()) == ["text"], failed)


def prepare(config: TrainConfig, progress: Progress) -> tuple[TrainConfig, Dataset, Split]:
    """Load and split the dataset of a configuration; fall back on its `offline` dataset, and say so loudly.

    Returns:
        The configuration, with what the dataset says of itself filled in; the dataset; and its split.

    Raises:
        ConfigError, DatasetError, UnsupportedStepError: It cannot be trained on.
    """
    with progress.stage("dataset", config.dataset):
        config = complete(config)
        try:
            dataset = _load(config, progress)
        except UnreachableError as error:
            if config.offline is None:
                raise
            progress.warn(f"{error}")
            progress.warn(
                f"training on the dataset {config.offline!r} instead (`offline:` in the configuration)"
            )
            config = complete(config.for_other_dataset(config.offline))
            dataset = _load(config, progress)
        config = families.choose_pipeline(config, dataset)
        split = split_dataset(dataset, config)
        _tell(dataset, split, progress)
        families.check(dataset, split, config)
        if problems := slices.problems_of(Prepared(config, dataset, split)):
            raise ConfigError("\n  ".join(problems))
        behaviour.check(config, dataset)
        gate.check(config, dataset)
        check_selection(dataset, split, config)
    return config, dataset, split


# ------------------------------------------------------------------- dataset


def _load(config: TrainConfig, progress: Progress) -> Dataset:
    if config.dataset == "docstrings":
        progress.say(
            "dataset: read from the libraries installed here; the first time takes half a minute"
        )
    return load_dataset(config)


def _tell(dataset: Dataset, split: Split, progress: Progress) -> None:
    labels = f" {len(dataset.label_names)} labels;" if dataset.label_names else ""
    progress.say(
        f"dataset: {dataset.rows_read:,} rows read, {len(dataset):,} kept,{labels or ''} "
        f"{len(split.train):,} to train, {len(split.validation):,} to validate, {len(split.test):,} to test"
    )
    for reason, count in dataset.dropped.items():
        progress.say(f"dataset: {count:,} rows dropped: {reason}")
    if set(dataset.column_types.values()) != {"text"}:
        for line in summarise(dataset.column_types, dataset.ignored):
            progress.say(f"columns: {line}")
    if dataset.rare_labels:
        progress.say(f"dataset: {dataset.rare_labels:,} labels taken off rows for being too rare")
    if dataset.conflicts:
        progress.say(
            f"dataset: {dataset.conflicts} texts stand under more than one label, such as "
            f"{dataset.conflict_examples[0][:80]!r}"
        )


# ------------------------------------------------- search, decision, measures


def _search(
    dataset: Dataset, split: Split, config: TrainConfig, progress: Progress
) -> tuple[TrainConfig, dict[str, Any] | None]:
    if config.search is None:
        return config, None
    with progress.stage("search", "which parameters are best on rows not trained on"):
        return search(dataset, split, config, progress)


def _decide(
    dataset: Dataset,
    split: Split,
    config: TrainConfig,
    validation_outputs: Outputs | None,
    progress: Progress,
) -> Decision:
    decision = choose_decision(Prepared(config, dataset, split), validation_outputs)
    if decision.half_width is not None:
        progress.say(
            f"decision: the true value lies within ± {readable(decision.half_width)} "
            f"for {100 * (decision.coverage or 0):.4g} % of such rows"
        )
    for label, threshold in list(decision.thresholds.items())[:_NAMES_SHOWN]:
        progress.say(f"decision: {label} from a probability of {threshold:.4g} on")
    if decision.unsure_below is not None:
        progress.say(f"decision: unsure below a score of {decision.unsure_below:.4g}")
    if decision.unsure_missed:
        progress.warn(
            "decision.unsure_below: no score makes the validation answers that accurate; "
            "using the score where they are most accurate"
        )
    if decision.missed:
        more = f" and {len(decision.missed) - _NAMES_SHOWN} more" * (
            len(decision.missed) > _NAMES_SHOWN
        )
        progress.warn(
            "decision.aim: not to be reached on the validation rows for "
            f"{', '.join(decision.missed[:_NAMES_SHOWN])}{more}"
        )
    return decision


def _measure(
    dataset: Dataset, split: Split, config: TrainConfig, outputs: Outputs, decision: Decision
) -> dict[str, Any]:
    """Measure the model on the test rows, also at the default threshold if another was chosen; and the baselines."""
    truth, default = dataset.targets[split.test], default_decision(Prepared(config, dataset, split))
    metrics = evaluate(Answered(truth, outputs, decision))
    if decision.thresholds != default.thresholds:
        metrics["at_even_odds"] = headline(evaluate(Answered(truth, outputs, default)))
    family = families.family_of(config)
    metrics["baselines"] = family.evaluate_baselines(dataset, split, config, default)
    return metrics


def _gather(
    dataset: Dataset,
    split: Split,
    config: TrainConfig,
    model: Fitted,
    outputs: Outputs,
    decision: Decision,
) -> dict[str, Any]:
    """Gather the evidence beside the metrics: how sure they are, where they are lower, what is wrong with the rows."""
    prepared, family = Prepared(config, dataset, split), families.family_of(config)
    answered = Answered(prepared.test_targets, outputs, decision)
    return {
        "confidence": confidence_intervals(answered),
        **reliability.assess(answered, model.uncalibrated(outputs)),
        **evidence.gather(prepared, answered, model.unknown_share(dataset, split.test)),
        "elsewhere": elsewhere.measure(family, model, dataset, split, decision),
    }


# -------------------------------------------------------------------- export


def _export(trained: _Trained, requested: str, progress: Progress) -> Path:
    """Write the artefact, prove that it answers as the trained model does, and let the gate judge it."""
    metadata = _describe(trained, requested)
    configuration = trained.config.to_yaml()

    def write_files(directory: Path) -> None:
        trained.family.write(trained.model, directory)
        (directory / CONFIGURATION).write_text(configuration, encoding="utf-8")

    def examine(predictor: Predictor) -> export.Findings:
        _verify(trained, predictor, progress)
        trained.metrics.update(_judge(trained, metadata["dataset"], predictor, progress))
        more: dict[str, Any] = {"durations_s": dict(progress.durations_s)}
        passed = gate.passes(trained.metrics.get("gate", []))
        if "gate" in trained.metrics:
            more["gate"] = "passed" if passed else "failed"
        page = render_report({**metadata, **more}, trained.metrics, configuration)
        files = {METRICS: export.as_json(trained.metrics), REPORT: page}
        return export.Findings(more, files, latest=passed)

    with progress.stage("export", "to ONNX, then read back and asked as a server would"):
        artefact_dir = export.write_artefact(
            trained.config.artefacts_dir, write_files, metadata, examine
        )
    if gate.passes(trained.metrics.get("gate", [])) and not export.is_latest(artefact_dir):
        progress.warn("export: `latest` stays where it is: a newer run has finished meanwhile")
    return artefact_dir


def _judge(
    trained: _Trained, described: dict[str, Any], predictor: Predictor, progress: Progress
) -> dict[str, Any]:
    """Return what the model's behaviour is, and what the gate says of it all; nothing of what is not declared."""
    found: dict[str, Any] = {}
    config, dataset, split = trained.config, trained.dataset, trained.split
    if config.behaviour is not None:
        found["behaviour"] = behaviour.measure(config.behaviour, predictor, dataset, split)
        for check in found["behaviour"]["checks"]:
            count = f"{check['passed']:,} of {check['cases']:,}"
            progress.say(f"behaviour: {check['name']}: {count} as they should be")
    if config.evaluation.gate:
        metrics = {**trained.metrics, **found}
        asks = gate.VS_LATEST in config.evaluation.gate
        against_latest = _against_latest(trained, described) if asks else None
        found["gate"] = gate.judge(config.evaluation.gate, metrics, against_latest)
        for verdict in found["gate"]:
            tell = progress.say if verdict["passed"] else progress.warn
            tell(f"gate: {verdict['check']}: {verdict['why']}")
    return found


def _against_latest(trained: _Trained, described: dict[str, Any]) -> gate.AgainstLatest | None:
    """Return what compares the model with the newest good one of the same rows; None if there is none yet."""
    instances, targets = trained.instances, trained.dataset.targets[trained.split.test]
    answered = Answered(targets, trained.outputs, trained.decision)
    latest = newest.newest_comparable(trained.config.artefacts_dir, answered, instances, described)
    if latest is None:
        return None
    return lambda: newest.against_latest(latest, answered, instances, described)


def _verify(trained: _Trained, predictor: Predictor, progress: Progress) -> None:
    served = predictor.scores(trained.instances)
    difference = export.check_equal(trained.outputs, served, trained.model.tolerance)
    answers = trained.decision.answers(served)
    others = ""
    if trained.dataset.label_names:
        before = trained.decision.answers(trained.outputs)
        count = export.check_same_labels(before, answers, trained.model.tolerance)
        others = f"; {count} labels are others" if count else "; every label is the same"
    export.check_same_answers(
        trained.dataset.label_names, answers, predictor.predict(trained.instances)
    )
    progress.say(
        f"export: served and trained outputs differ by at most {difference:.1e} on the test rows{others}"
    )


def _describe(trained: _Trained, requested: str) -> dict[str, Any]:
    """Return the metadata, but for what is known only when it is written."""
    config, dataset, split = trained.config, trained.dataset, trained.split
    golden = _golden(trained.instances)
    return {
        "task": config.task,
        "outputs": [trained.decision.describe(dataset.columns.label)],
        "examples": export.golden_examples(
            [trained.instances[i] for i in golden],
            trained.outputs[golden],
            [dataset.truth(split.test[i]) for i in golden],
        ),
        "metrics": headline(trained.metrics),
        **trained.family.describe(trained.model, dataset, split),
        "dataset": describe_dataset(dataset, split, requested, config),
        "seeds": {"split": config.split.seed, "training": config.training.seed},
        "versions": describe_versions(),
        "git": describe_commit(),
    }


def _golden(instances: list[dict[str, Any]]) -> list[int]:
    """Choose examples that every load will replay: short ones will do."""
    lengths = [len(json.dumps(instance)) for instance in instances]
    order = sorted(range(len(instances)), key=lambda i: lengths[i] > _GOLDEN_LENGTH)
    return order[:_GOLDEN_EXAMPLES]
