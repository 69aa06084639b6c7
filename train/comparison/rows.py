"""The same labelled rows for two artefacts, as either takes them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from predict.contract.artefact import CONFIGURATION, Input, Metadata, Output, text_column
from predict.scoring.predictor import Predictor
from predict.wording import listed
from train.comparison.names import namer
from train.config import ConfigError, TrainConfig, load_config
from train.config.sections import ColumnConfig, Columns, Notation, SplitConfig
from train.data.catalogue import complete
from train.data.cleaning import clean
from train.data.dataset import Dataset
from train.data.parts import fetch_all
from train.data.sources import RawTable
from train.data.splits import Prepared, split_dataset
from train.errors import UserError
from train.models.decision import Decision
from train.progress import Progress, SilentProgress

# The sections on how a model is fitted: they do not matter here, and older versions wrote other keys there.
_NOT_OF_THE_ROWS = (
    *("model={}", "features={}", "text_features={}", "embeddings={}", "training={}"),
    *("imbalance={}", "decision={}", "evaluation={}", "behaviour=null", "search=null"),
)
# What decides which rows are left of a table, and in which order.
_OF_THE_ROWS = ("task", "columns", "where", "min_samples_per_label")

Rows = npt.NDArray[np.int64]


class CompareError(UserError):
    """Two artefacts that cannot be compared, or that are not as equal as they were said to be."""


@dataclass(frozen=True)
class Model:
    """An artefact that is loaded; `name` is what messages call it, A or B."""

    path: Path
    name: str
    predictor: Predictor
    # Its labels -> what they are called in the comparison; see `named_as`.
    label_names: Mapping[str, str] = field(default_factory=dict)

    @property
    def metadata(self) -> Metadata:
        """What its artefact says of it."""
        return self.predictor.metadata

    @cached_property
    def output(self) -> Output:
        """What it answers."""
        output, names = self.metadata.outputs[0], self.label_names
        if not names:
            return output
        return output.model_copy(
            update={
                "labels": [names[label] for label in output.labels],
                "thresholds": {names[key]: least for key, least in output.thresholds.items()},
            }
        )

    def named_as(self, labels: Iterable[str]) -> "Model":
        """Return the model with its labels as others write them: `True` of an older artefact is "true" now."""
        name_of = namer(labels)
        names = {label: name_of(label) for label in self.metadata.outputs[0].labels}
        return self if len(set(names.values())) < len(names) else replace(self, label_names=names)

    @cached_property
    def decision(self) -> Decision:
        """How it turns outputs into answers."""
        return Decision.of_output(self.output)


@dataclass(frozen=True)
class CommonRows:
    """The same rows, as either model takes them.

    Attributes:
        numbers: Their numbers in the cleaned dataset.
        truths: As an answer would give them.
        first: As the first model takes them.
        second: As the second one takes them.
        notes: What to know about them.
    """

    about: str
    numbers: Rows
    truths: list[Any]
    first: list[dict[str, Any]]
    second: list[dict[str, Any]]
    notes: list[str]

    def part(self, rows: list[int]) -> "CommonRows":
        """Return some of the rows."""
        truths, first, second = (
            [column[row] for row in rows] for column in (self.truths, self.first, self.second)
        )
        return replace(self, numbers=self.numbers[rows], truths=truths, first=first, second=second)


@dataclass(frozen=True)
class _Source:
    """The table that rows are taken from; `given` by somebody to compare on, or else that of a training run."""

    table: RawTable
    given: bool


class _Listener(SilentProgress):
    """Keeps the warnings of a reading, and passes on what else is said."""

    def __init__(self, progress: Progress) -> None:
        self.warnings: list[str] = []
        self._progress = progress

    def say(self, text: str) -> None:
        self._progress.say(text)

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def gather(
    first: Model, second: Model, data: Path | None, progress: Progress | None = None
) -> CommonRows:
    """Return the rows of a file, or the test split of what the first model was trained on.

    Args:
        first: Says how they are read.
        second: Is to answer them too.
        data: The file; None for the test split.
        progress: Is told how they were read. Warnings are among the notes, unless reading fails.

    Raises:
        CompareError: The inputs of the two do not fit the same rows, or the first one's rows cannot be read.
        UserError: The file cannot be read, or is not labelled.
    """
    config, progress = _config_of(first, data), progress or SilentProgress()
    listener = _Listener(progress)
    try:
        source = _Source(fetch_all(config, listener), data is not None)
        dataset = _read(source, first, config)
        numbers = np.arange(len(dataset)) if source.given else split_dataset(dataset, config).test
    except UserError as error:
        for warning in listener.warnings:
            progress.warn(warning)
        if data is not None:
            raise
        raise CompareError(
            f"{error}\n  This is what {first.path} was trained on. Give other rows with --data FILE."
        ) from None
    notes = list(listener.warnings)
    if source.given:
        for note in dataset.notes:
            progress.say(f"columns: {note}")
        notes += [f"columns: {warning}" for warning in dataset.warnings]
        notes += [f"rows left out, {why}: {count:,}" for why, count in dataset.dropped.items()]
    view = _view_of(second, source, config, dataset)
    return CommonRows(
        about=f"{dataset.name}, {'all rows' if source.given else 'test split'}",
        numbers=numbers,
        truths=[dataset.truth(number) for number in numbers],
        first=_instances_for(first, dataset, numbers, first),
        second=_instances_for(second, dataset, numbers, first, view),
        notes=[
            *notes,
            *_knowledge((first, second), source, view, numbers),
        ],
    )


def _config_of(model: Model, data: Path | None = None) -> TrainConfig:
    """Return the configuration that says how the rows of a model, or of a file for it, are read."""
    file = model.path / CONFIGURATION
    if data is None:
        return complete(load_config(file, _NOT_OF_THE_ROWS))
    try:
        stored = load_config(file, _NOT_OF_THE_ROWS)
    except ConfigError:  # its inputs are in the metadata anyway
        stored = TrainConfig(dataset=str(data))
    columns = stored.columns or Columns()
    return stored.model_copy(
        update={
            "dataset": str(data),
            "sha256": None,
            "task": model.metadata.task,
            "where": {},
            "min_samples_per_label": 1,
            "split": SplitConfig(),
            "columns": columns.model_copy(
                update={
                    "label": model.output.name,
                    "text": None,
                    "inputs": {
                        field.name: _column_of(field, columns) for field in model.metadata.inputs
                    },
                }
            ),
        }
    )


def _column_of(field: Input, columns: Columns) -> ColumnConfig:
    """Return a column with its type, written as in the file that the model was trained on."""
    own = columns.inputs.get(field.name)
    keys = (
        own.model_dump(include=set(Notation.model_fields)) if own and own.kind == field.type else {}
    )
    return ColumnConfig(type=field.type, **keys)


def _read(source: _Source, model: Model, config: TrainConfig) -> Dataset:
    table = source.table
    if source.given:  # the model has no use for other columns
        read = [*(field.name for field in model.metadata.inputs), str(_label_of(config))]
        names = [name for name in table.frame.columns if name in read]
        table = replace(table, frame=table.frame[names])
    return clean(table, config)


def _label_of(config: TrainConfig) -> str | None:
    return config.columns.label if config.columns else None


def _view_of(
    model: Model, source: _Source, config: TrainConfig, dataset: Dataset
) -> Dataset | None:
    """Return A's rows as another model's own configuration reads them; None if that gives other rows."""
    if not source.given and model.metadata.dataset.get("sha256") != source.table.sha256:
        return None
    try:
        own = _config_of(model, Path(source.table.name) if source.given else None)
        if source.given and own.columns and config.columns:  # the label is where A has it
            label = {
                key: getattr(config.columns, key)
                for key in ("label", "label_notation", "separator")
            }
            columns = own.columns.model_copy(update=label)
            own = own.model_copy(update={"columns": columns})
        as_split = own.split == config.split or (own.split.by_chance and config.split.by_chance)
        if as_split and all(getattr(own, key) == getattr(config, key) for key in _OF_THE_ROWS):
            return dataset
        view = _read(source, model, own)
    except UserError:
        return None
    same = view.label_names == dataset.label_names and np.array_equal(view.targets, dataset.targets)
    return view if same else None


def _instances_for(
    model: Model, dataset: Dataset, numbers: Rows, of: Model, view: Dataset | None = None
) -> list[dict[str, Any]]:
    """Return rows as a model takes them: from the columns of A, or else as the model itself reads the same rows."""
    inputs = {field.name: field.type for field in model.metadata.inputs}
    instances, types = dataset.instances(numbers), dataset.column_types
    if all(types.get(name) == type_ for name, type_ in inputs.items()):
        return project(instances, model)
    ours, theirs = text_column(types), text_column(inputs)
    if ours is not None and theirs is not None:
        return [{theirs: instance[ours]} for instance in instances]
    if view is not None and all(
        view.column_types.get(name) == type_ for name, type_ in inputs.items()
    ):
        return project(view.instances(numbers), model)
    lacking = [name for name in inputs if name not in types]
    differing = [
        f"{name} ({type_} for {model.name}, {types[name]} for {of.name})"
        for name, type_ in inputs.items()
        if name in types and types[name] != type_
    ]
    what = [f"{model.name} also reads {listed(lacking)}"] if lacking else []
    what += [f"columns have other types: {listed(differing)}"] if differing else []
    raise CompareError(
        f"the inputs of {of.path} (A) and {model.path} (B) do not fit: {'; '.join(what)}. "
        "Give rows that have the columns of both with --data FILE."
    )


def project(instances: list[dict[str, Any]], model: Model) -> list[dict[str, Any]]:
    """Return the part of each instance that a model reads, with the categories that it knows.

    Raises:
        KeyError: A part is not there.
    """
    known = {
        column.name: [*(column.categories or ()), *(column.seen_categories or ())]
        for column in model.metadata.inputs
    }
    name_of = {name: namer(categories) for name, categories in known.items() if categories}

    def value_of(name: str, value: Any) -> Any:
        return name_of[name](value) if name in name_of and isinstance(value, str) else value

    return [{name: value_of(name, instance[name]) for name in known} for instance in instances]


def _knowledge(
    models: tuple[Model, Model], source: _Source, view: Dataset | None, numbers: Rows
) -> list[str]:
    """Say which model may have been trained on some of the rows."""
    now = source.table.sha256
    then = [model.metadata.dataset.get("sha256") for model in models]
    if source.given:
        return [
            f"{model.name} was trained on this very file, and knows most of its rows"
            for model, sha256 in zip(models, then, strict=True)
            if sha256 == now
        ]
    notes = []
    if then[0] not in (None, now):
        notes.append(
            f"the data have changed since A was trained on them (SHA-256 {now[:12]}…, then {then[0][:12]}…): "
            "it may know some of these rows"
        )
    if then[1] != now:
        name = models[1].metadata.dataset.get("name", "unknown")
        notes.append(f"B was trained on other data ({name}): it may know some of these rows")
    else:
        notes += _overlap(models[1], view, numbers)
    return notes


def _overlap(second: Model, view: Dataset | None, numbers: Rows) -> list[str]:
    """Say how many of A's test rows B was trained on, because its split is another one."""
    if view is None:
        return ["B was trained on other rows of the same data: it may know some of these"]
    config = _config_of(second)
    known = Prepared(config, view, split_dataset(view, config)).known
    count = int(np.isin(numbers, known).sum())
    if not count:
        return []
    return [
        f"B was trained on {count:,} of these {len(numbers):,} rows because its split is another one: "
        "it looks better than it is"
    ]
