"""The preparation of a run: from a configuration to a checked dataset and its split."""

from predict.wording import counted
from train.acceptance import behaviour, gate
from train.config import ConfigError, TrainConfig
from train.config.loading import Draft, for_other_dataset
from train.config.sections import Columns
from train.config.trust import Trust
from train.data.catalogue import complete
from train.data.cleaning import load_dataset
from train.data.dataset import Dataset
from train.data.leaks import warning_of
from train.data.named_values import with_known_values
from train.data.schema import summarise
from train.data.sources import UnreachableError
from train.data.splits import Prepared, split_dataset
from train.errors import UserError, collected
from train.evaluation import selection, slices
from train.models import choice, decision
from train.progress import Progress

# Each returns what is wrong with one part of a configuration, now that columns, labels and rows are known.
_CHECKS = (
    choice.problems_of,
    decision.problems_of,
    slices.problems_of,
    behaviour.problems_of,
    gate.problems_of,
    selection.problems_of,
)


def prepare(
    config: TrainConfig,
    progress: Progress,
    place: str = "configuration",
    trust: Trust | None = None,
) -> Prepared:
    """Load and split the dataset of a configuration, and check that it can be trained on.

    If the dataset cannot be reached, the `offline` dataset replaces it, with a warning.

    Args:
        config: What to train.
        progress: Is told what the dataset is.
        place: Where the configuration comes from, for messages.
        trust: Allows functions that the configuration names to run. Without it, they are not checked either.

    Returns:
        The dataset and its split, with the configuration filled in.

    Raises:
        DatasetError: The dataset cannot be trained on.
        ConfigError: The configuration does not fit the dataset; all problems are listed.
    """
    prepared = _load_and_split(config, progress, trust)
    if problems := problems_of(prepared):
        raise ConfigError(*problems, place=place)
    return prepared


def check(draft: Draft, progress: Progress, trust: Trust | None = None) -> Prepared:
    """List everything that is wrong with a configuration: its own problems, and those with its dataset.

    Functions that it names are checked, and so run, only with trust.

    Raises:
        ConfigError: It would not train; all problems are listed.
    """
    problems = list(draft.problems)
    if draft.config is None:
        raise ConfigError(*problems, place=draft.place)
    try:
        prepared = _load_and_split(draft.config, progress, trust)
        with progress.stage(
            "check", "the configuration against its dataset, and a fit on a few rows"
        ):
            problems += problems_of(prepared) or choice.problems_of_sample(prepared)
    except UserError as error:
        if not problems:
            raise
        problems += error.problems
    if problems:
        raise ConfigError(*problems, place=draft.place)
    return prepared


def problems_of(prepared: Prepared) -> list[str]:
    """Return everything that keeps a configuration from being trained on its dataset, or evaluated."""
    problems: list[str] = []
    for problems_of_part in _CHECKS:
        with collected(problems):
            problems += problems_of_part(prepared)
    return problems


def _load_and_split(config: TrainConfig, progress: Progress, trust: Trust | None) -> Prepared:
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
            config = complete(for_other_dataset(config, config.offline))
            dataset = _load(config, progress)
        config = config.model_copy(update=dataset.decided)
        declared = config.columns or Columns()
        if (dataset.columns.inputs, dataset.columns.label_notation) != (
            declared.inputs,
            declared.label_notation,
        ):
            # What was evident is part of what is written into the artefact.
            config = config.model_copy(update={"columns": dataset.columns})
        asked = with_known_values(config, dataset)
        config = choice.choose_pipeline(asked, dataset)
        prepared = Prepared(config, dataset, split_dataset(dataset, config), trust)
        _tell(prepared, progress)
        if about := choice.about_choice(asked, config, dataset):
            progress.say(f"model: {about}")
    return prepared


def _load(config: TrainConfig, progress: Progress) -> Dataset:
    if config.dataset == "docstrings":
        progress.say("dataset: reading the installed libraries; the first time takes half a minute")
    return load_dataset(config, progress)


def _tell(prepared: Prepared, progress: Progress) -> None:
    dataset, split = prepared.dataset, prepared.split
    labels = f" {len(dataset.label_names)} labels;" if dataset.label_names else ""
    progress.say(
        f"dataset: {dataset.rows_read:,} rows read, {len(dataset):,} kept,{labels} "
        f"{len(split.train):,} to train, {len(split.validation):,} to validate, {len(split.test):,} to test"
    )
    if dataset.division.about:
        progress.say(f"split: {dataset.division.about}")
    for warning in dataset.division.warnings:
        progress.warn(f"split: {warning}")
    if warning := warning_of(prepared.leaks):
        progress.warn(f"split: {warning}")
    if len(split.validation) < len(dataset.label_names) and dataset.kind == "label":
        progress.say(
            f"split: the {len(split.validation):,} validation rows are drawn by chance, for they are fewer than the "
            f"{len(dataset.label_names):,} labels"
        )
    for reason, count in dataset.dropped.items():
        progress.say(f"dataset: {counted(count, 'row')} dropped: {reason}")
    for line in summarise(dataset.column_types, dataset.ignored):
        progress.say(f"columns: {line}")
    for note in dataset.notes:
        progress.say(f"columns: {note}")
    for warning in (*dataset.warnings, *dataset.suspicions):
        progress.warn(f"columns: {warning}")
    if dataset.rare_labels:
        progress.say(f"dataset: {dataset.rare_labels:,} rare labels removed from their rows")
    if dataset.conflicts:
        progress.say(
            f"dataset: {dataset.conflicts} texts occur with more than one label, such as "
            f"{dataset.conflict_examples[0][:80]!r}"
        )
