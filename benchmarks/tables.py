"""The metrics, time and memory of training on every table that is available, and on a stand-in for `creditcard`.

Use: python -m benchmarks.tables [--python PYTHON]
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click
import numpy as np
import pandas as pd

from benchmarks.serving import compare, print_ratios
from predict.scoring.predictor import Predictor

CONFIGURATIONS = ("housing", "titanic", "breast-cancer", "iris", "wine", "diabetes")
METRICS = ("accuracy", "roc_auc", "pr_auc", "rmse", "r2")
MODELS = {
    "linear": "{pipeline: linear}",
    "hist_gradient_boosting": "{pipeline: hist_gradient_boosting, max_leaf_nodes: 8}",
}
_FRAUDS = 492
_ROWS = 284_807


def train(conf: str, folder: Path, *settings: str) -> tuple[dict[str, Any], float, float] | str:
    """Train as `make train` does; return metrics, seconds and peak memory in MB, or why that is impossible."""
    command = [sys.executable, "-m", "train", "run", "--conf", conf]
    options = [f"--set={setting}" for setting in (f"artefacts_dir={folder}", *settings)]
    started = time.perf_counter()
    with (folder / "log").open("w+", encoding="utf-8") as log:
        process = subprocess.Popen([*command, *options], stdout=log, stderr=log)
        _, status, usage = os.wait4(process.pid, 0)
        elapsed = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            log.seek(0)
            return log.read().strip().splitlines()[-1]
    metrics = json.loads((folder / "latest" / "metrics.json").read_text(encoding="utf-8"))
    return metrics, elapsed, usage.ru_maxrss / 1024


def write_stand_in(file: Path) -> None:
    """Write a table of the shape of `creditcard`: 284,807 rows, 30 numbers, 492 frauds shifted in eight of them."""
    random = np.random.default_rng(0)
    numbers = random.standard_t(5, (_ROWS, 28))
    is_fraud = np.zeros(_ROWS, int)
    is_fraud[random.choice(_ROWS, _FRAUDS, replace=False)] = 1
    numbers[is_fraud == 1, :8] += random.normal([-3, 2, -4, 3, -2, -1, -3, 1], 2, (_FRAUDS, 8))
    columns = {f"V{number + 1}": numbers[:, number] for number in range(28)}
    seconds = np.sort(random.integers(0, 172_800, _ROWS))
    amounts = random.lognormal(3, 1.7, _ROWS).round(2)
    pd.DataFrame({"Time": seconds, **columns, "Amount": amounts, "Class": is_fraud}).to_csv(
        file, index=False
    )


def batch_ms(artefact: Path, count: int) -> float:
    """Return how long `count` rows take to be checked, encoded, scored and turned into answers."""
    predictor = Predictor.load(artefact)
    examples = [example.instance for example in predictor.metadata.examples]
    random = np.random.default_rng(0)
    instances = [
        {name: value * random.normal(1, 0.1) for name, value in examples[i % len(examples)].items()}
        for i in range(count)
    ]
    times = []
    for _ in range(20):
        started = time.perf_counter()
        predictor.check(instances)
        predictor.predict(instances)
        times.append(time.perf_counter() - started)
    return statistics.median(times) * 1000


def _print_tables() -> None:
    print(f"{'':16}" + "".join(f"{name:>11}" for name in METRICS) + f"{'seconds':>11}{'MB':>8}")
    for name in CONFIGURATIONS:
        with tempfile.TemporaryDirectory() as folder:
            result = train(f"conf/{name}.yml", Path(folder))
        if isinstance(result, str):
            print(f"{name:16}left out: {result}")
            continue
        metrics, seconds, memory = result
        cells = [f"{metrics[key]:11.4f}" if key in metrics else f"{'-':>11}" for key in METRICS]
        print(f"{name:16}" + "".join(cells) + f"{seconds:11.1f}{memory:8.0f}")


def _print_stand_in(python: str, seconds: float, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "stand-in.csv"
        write_stand_in(table)
        print(f"\nstand-in for creditcard ({table.stat().st_size / 1e6:.0f} MB)")
        for pipeline, model in MODELS.items():
            target = Path(folder) / pipeline
            target.mkdir()
            settings = [f"dataset={table}", "columns.label=Class", f"model={model}"]
            result = train("conf/creditcard.yml", target, *settings)
            if isinstance(result, str):
                raise click.ClickException(result)
            metrics, elapsed, memory = result
            print(
                f"{pipeline}: {elapsed:.0f} s, {memory:.0f} MB; PR AUC {metrics['pr_auc']:.3f}, "
                f"recall {metrics['recall']:.3f} at precision {metrics['precision']:.3f}"
            )
            artefact = target / "latest"
            print(f"1,000 rows, without HTTP: {batch_ms(artefact, 1000):.1f} ms")
            print_ratios(compare(python, str(artefact), seconds, rounds))


@click.command()
@click.option(
    "--python", default=sys.executable, help="The interpreter of the inference environment."
)
@click.option("--seconds", default=2.0, help="How long each load lasts.")
@click.option("--rounds", default=5, help="How often each pair is measured, taking turns.")
def main(python: str, seconds: float, rounds: int) -> None:
    """Print a table of the shipped configurations; then the stand-in's training and serving."""
    _print_tables()
    _print_stand_in(python, seconds, rounds)


if __name__ == "__main__":
    main()
