"""What a search takes one by one, in two processes, and as tasks of Ray, where there is one.

Use: python -m benchmarks.search [--rows ROWS]

A made-up table of numbers; `linear`, of which each fit has one core, and boosting, of which it has all.
"""

import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path

import click
import numpy as np
import pandas as pd

from train.config import TrainConfig
from train.evaluation.fits import Fits, in_processes, one_by_one
from train.evaluation.selection import search
from train.preparation import prepare
from train.progress import SilentProgress

_COLUMNS = 30
_TRIALS = {
    "linear": {"model.C": [0.01, 0.03, 0.1, 0.3, 1, 3]},
    "hist_gradient_boosting": {"model.learning_rate": [0.02, 0.05, 0.1, 0.2, 0.3, 0.5]},
}


def write_table(file: Path, rows: int) -> None:
    """Write a table of numbers and a label of three, which they tell in part."""
    random = np.random.default_rng(0)
    numbers = random.normal(size=(rows, _COLUMNS)).round(4)
    scores = numbers @ random.normal(size=(_COLUMNS, 3)) + random.gumbel(size=(rows, 3)) * 3
    table = pd.DataFrame(numbers, columns=[f"x{number}" for number in range(_COLUMNS)])
    table["label"] = np.array(["low", "middle", "high"])[scores.argmax(axis=1)]
    table.to_csv(file, index=False)


def _ways(stack: ExitStack) -> Iterator[tuple[str, Fits]]:
    yield "one by one", one_by_one
    yield "two processes", in_processes(2)
    if find_spec("ray") is not None:
        from scale.cluster import joined_ray
        from scale.search import on_ray

        stack.enter_context(joined_ray())
        yield "Ray", on_ray


@click.command()
@click.option("--rows", default=40_000, show_default=True)
@click.option("--rounds", default=2, show_default=True, help="The best one counts.")
def main(rows: int, rounds: int) -> None:
    """Print the seconds of 18 fits in each way, and how far apart what they find is."""
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        write_table(folder / "t.csv", rows)
        ways = list(_ways(stack))
        for pipeline, parameters in _TRIALS.items():
            config = {
                "dataset": str(folder / "t.csv"),
                "columns": {"label": "label"},
                "model": {"pipeline": pipeline},
                "search": parameters,
                "data_dir": str(folder),
            }
            prepared = prepare(TrainConfig.model_validate(config), SilentProgress())
            seconds, found = dict[str, float](), []
            for _ in range(rounds):
                for way, fits in ways:
                    started = time.perf_counter()
                    _, tried = search(prepared, SilentProgress(), fits)
                    took = time.perf_counter() - started
                    seconds[way] = min(took, seconds.get(way, took))
                    trials = sorted(tried["trials"], key=lambda trial: str(trial["parameters"]))
                    found.append(np.array([trial["values"] for trial in trials]))
            told = ", ".join(
                f"{way} {took:.1f} s ({took / seconds['one by one']:.2f})"
                for way, took in seconds.items()
            )
            apart = max(float(np.abs(values - found[0]).max()) for values in found)
            print(f"{pipeline}: {told}; the values differ by {apart:.1e} at most", flush=True)


if __name__ == "__main__":
    main()
