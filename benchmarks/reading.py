"""The seconds and memory of reading a made-up table of a million rows, beside pandas.

Use: python -m benchmarks.reading [--rows ROWS]
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pandas as pd

from train.config import TrainConfig
from train.data.cleaning import load_dataset
from train.data.sources import fetch
from train.progress import SilentProgress

_ROWS = 1_000_000
_SEED = 0


def write_table(file: Path, rows: int) -> None:
    """Write six numbers, two categories, a date and a label that the first number decides, in ten columns."""
    random = np.random.default_rng(_SEED)
    numbers = (random.random((rows, 6)) * 100).round(4)
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(366, size=rows), "D")
    table = pd.DataFrame(
        {
            **{f"n{column}": numbers[:, column] for column in range(6)},
            "c1": random.choice(list("abcde"), rows),
            "c2": random.choice(["north", "south"], rows),
            "when": days.strftime("%Y-%m-%d"),
            "label": np.where(numbers[:, 0] + random.normal(0, 20, rows) > 50, "yes", "no"),
        }
    )
    table.to_csv(file, index=False)


def seconds_of(read: Callable[[], object]) -> float:
    """Return the wall seconds of the faster of two calls, so that imports and a cold file do not count."""
    times = []
    for _ in range(2):
        started = time.perf_counter()
        read()
        times.append(time.perf_counter() - started)
    return min(times)


def check(conf: Path) -> tuple[float, float, float]:
    """Run `train check` by itself; return wall seconds, user seconds and peak memory in MB.

    Raises:
        ClickException: It finds a problem.
    """
    command = [sys.executable, "-m", "train", "check", "--conf", str(conf)]
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(f"{' '.join(command)} ended with {process.returncode}.")
    return time.perf_counter() - started, usage.ru_utime, usage.ru_maxrss / 1024


@click.command()
@click.option("--rows", default=_ROWS, show_default=True, type=click.IntRange(min=1000))
def main(rows: int) -> None:
    """Print how long a made-up table takes to be read and checked, beside pandas."""
    with tempfile.TemporaryDirectory() as folder:
        file, conf = Path(folder, "table.csv"), Path(folder, "table.yml")
        write_table(file, rows)
        conf.write_text(f"dataset: {file}\ncolumns: {{label: label}}\n", encoding="utf-8")
        config = TrainConfig.model_validate({"dataset": str(file), "columns": {"label": "label"}})
        by_pandas = seconds_of(lambda: pd.read_csv(file, engine="pyarrow"))
        silent = SilentProgress()
        measured = {
            "pandas.read_csv(engine='pyarrow')": by_pandas,
            "reading": seconds_of(lambda: fetch(config, silent)),
            "reading, types, cleaning": seconds_of(lambda: load_dataset(config, silent)),
        }
        wall, user, peak = check(conf)
        size = file.stat().st_size / 1e6
    click.echo(f"{rows:,} rows x 10 columns, {size:.0f} MB; load {os.getloadavg()[0]:.1f}\n")
    for name, seconds in measured.items():
        click.echo(f"{name:34} {seconds:6.2f} s  {seconds / by_pandas:5.1f} x pandas")
    click.echo(f"{'check, by itself':34} {wall:6.2f} s, {user:.2f} s of it user, {peak:,.0f} MB")


if __name__ == "__main__":
    main()
