"""The computed columns: those declared under `features`, and the parts of dates."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import chain, count
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from predict.contract.artefact import Derived, Input, column_types
from predict.contract.columns import model_columns
from predict.wording import closest
from train.config import ConfigError
from train.config.sections import FeatureConfig
from train.data.dataset import Dataset

# What a column of dates becomes when no feature uses it.
_DATE_PARTS = ("year", "month", "day", "weekday")
_TIME_PARTS = ("hour",)


def derive(dataset: Dataset, features: Mapping[str, FeatureConfig]) -> list[Derived]:
    """Return the columns to compute: those declared, and the parts of dates that no declared one uses.

    Raises:
        ConfigError: A feature needs a column that is not there, or one of another type.
    """
    derived = [_derived(name, feature) for name, feature in features.items()]
    used = {column for made in derived for column in made.of}
    for name, kind in dataset.column_types.items():
        if kind == "date" and name not in used:
            has_time = any("T" in date or " " in date for date in dataset.frame[name].unique())
            parts = _DATE_PARTS + (_TIME_PARTS if has_time else ())
            taken = {*dataset.column_types, *(made.name for made in derived[len(features) :])}
            derived += [
                Derived(name=_free(f"{name} {part}", taken), kind="date_part", of=[name], part=part)
                for part in parts
            ]
    if problems := list(_unknown_columns(dataset, derived)):
        raise ConfigError(*problems)
    try:
        types_of_all(dataset, derived)
    except ValueError as error:
        raise ConfigError(f"features: {error}.") from None
    return derived


def _free(name: str, taken: Collection[str]) -> str:
    """Return a name, with a number after it if a column has it already.

    >>> _free("sold year", ["sold year", "sold year 2"])
    'sold year 3'
    """
    numbered = (f"{name} {number}" for number in count(2))
    return next(free for free in chain([name], numbered) if free not in taken)


def types_of_all(dataset: Dataset, derived: Sequence[Derived]) -> dict[str, Any]:
    """Return the type of every column, inputs and derived ones, by name.

    Raises:
        ValueError: Names are not distinct, or a column is not made of earlier columns of the right types.
    """
    inputs = [Input(name=name, type=kind) for name, kind in dataset.column_types.items()]
    return dict(column_types(inputs, derived))


def compute_columns(
    dataset: Dataset,
    inputs: Sequence[Input],
    derived: Sequence[Derived],
    rows: npt.NDArray[np.int64],
) -> pd.DataFrame:
    """Return the columns that a pipeline reads, as serving computes them, for rows of a dataset."""
    raw = {name: dataset.frame[name].to_numpy()[rows] for name in dataset.column_types}
    columns = model_columns(raw, inputs, derived)
    return pd.DataFrame(
        {name: pd.Series(values, dtype=values.dtype) for name, values in columns.items()}
    )


def _derived(name: str, feature: FeatureConfig) -> Derived:
    if feature.ratio is not None:
        return Derived(name=name, kind="ratio", of=feature.ratio)
    if feature.cross is not None:
        return Derived(name=name, kind="cross", of=feature.cross)
    if feature.bins is not None:
        return Derived(name=name, kind="bins", of=[feature.bins], edges=feature.edges)
    return Derived(name=name, kind="date_part", of=[str(feature.date)], part=feature.part)


def _unknown_columns(dataset: Dataset, derived: Sequence[Derived]) -> Iterator[str]:
    """Name every column that a feature needs and that is not there, with a hint."""
    known = list(dataset.column_types)
    for made in derived:
        for column in made.of:
            if column not in known:
                yield f"features.{made.name}: no column {column!r}.{_hint(column, known, dataset)}"
        known.append(made.name)


def _hint(column: str, known: Sequence[str], dataset: Dataset) -> str:
    if why := dataset.ignored.get(column):
        return f" It is ignored: {why}; see columns.inputs."
    close = closest(column, known)
    return f" Did you mean {close!r}?" if close else f" Known: {', '.join(known)}."
