"""Tiny tables for the tests of table models, and datasets made without a file."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from train.config import TrainConfig
from train.config.sections import Columns
from train.data.dataset import Dataset
from train.data.splits import Prepared, Split

_PLANS = ("basic", "plus", "pro")


def make_table(count: int = 240, seed: int = 0) -> pd.DataFrame:
    """Return customers, of whom `left` says which left (a quarter or so) and `spent` how much they spent.

    There are missing numbers, categories and dates, divisors that are zero, a text and a date with times.
    """
    randomly = random.Random(seed)
    rows = []
    for number in range(count):
        age, visits = randomly.randint(18, 80), randomly.randint(0, 6)
        plan = randomly.choice(_PLANS)
        risk = 0.06 * (45 - age) + (1.5 if plan == "basic" else -0.5) + randomly.gauss(0, 0.5)
        said = randomly.choice(("please cancel my plan", "all is well", "I want to know more"))
        moment = f"2024-{1 + number % 12:02}-{1 + number % 28:02}T{number % 24:02}:30"
        rows.append(
            {
                "age": None if number % 11 == 0 else age,
                "visits": visits,
                "paid": round(visits * 9.9 + randomly.random(), 2),
                "plan": "" if number % 13 == 0 else plan,
                "since": "" if number % 17 == 0 else moment,
                "said": f"{said} {plan}",
                "left": "yes" if risk > 0.5 else "no",
                "spent": round(3 * age + 40 * visits + randomly.gauss(0, 5), 3),
            }
        )
    return pd.DataFrame(rows)


def write_table(file: Path, table: pd.DataFrame | None = None) -> Path:
    (make_table() if table is None else table).to_csv(file, index=False)
    return file


def table_config(folder: Path, dataset: Path | str, **changes: Any) -> TrainConfig:
    """Return the configuration for `left` by all columns but the text and `spent`."""
    content: dict[str, Any] = {
        "dataset": str(dataset),
        "columns": {"label": "left", "inputs": {"said": "ignore", "spent": "ignore"}},
        "model": {"pipeline": "linear"},
        "split": {"validation": 0.2},
        "data_dir": folder / "raw",
        "artefacts_dir": folder / "artefacts",
    }
    return TrainConfig.model_validate(content | changes)


def of_spent(**inputs: str) -> dict[str, Any]:
    """Return changes for a regression on `spent`."""
    columns = {"label": "spent", "inputs": {"said": "ignore", "left": "ignore", **inputs}}
    return {"task": "regression", "columns": columns}


def make_dataset(
    columns: Mapping[str, Sequence[Any]],
    targets: Sequence[Any],
    label_names: Sequence[str] = (),
    **more: Any,
) -> Dataset:
    """Return a dataset whose floats are numbers and whose strings are categories."""
    frame = pd.DataFrame(
        {
            name: np.asarray(values, object if isinstance(values[0], str) else np.float64)
            for name, values in columns.items()
        }
    )
    column_types = {name: "number" if frame[name].dtype == float else "category" for name in frame}
    return Dataset(
        name="made",
        source="",
        sha256="",
        frame=frame,
        column_types=column_types,
        columns=Columns(),
        targets=np.asarray(targets),
        label_names=list(label_names),
        rows_read=len(frame),
        **more,
    )


def split_of(count: int, validation: int, test: int) -> Split:
    """Return a split in the order of the rows: to train, to validate, to test."""
    rows = np.arange(count)
    known = count - test
    return Split(rows[: known - validation], rows[known - validation : known], rows[known:])


def parts(prepared: Prepared) -> tuple[TrainConfig, Dataset, Split]:
    """Return what `prepare` gives, one by one."""
    return prepared.config, prepared.dataset, prepared.split
