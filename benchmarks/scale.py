"""The time and the memory of a training run as the rows grow: generated short texts, the shipped configuration.

Use: python -m benchmarks.scale [--rows 10000]...
The texts have some ten words each. Their vocabulary grows with their number as that of real texts does, some words
are mistyped, and some labels are wrong.
"""

import csv
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import click
import numpy as np

from benchmarks.accuracy import CONF

_LABELS, _ROWS_AT_ONCE = 20, 50_000
_MEAN_WORDS = 10
# Of the words of a text, how many tell something of its label; of these, how many are another label's.
_TOPICAL, _MISLEADING = 0.25, 0.25
_WRONG_LABELS, _TYPOS = 0.05, 0.02
# Rank r has the frequency 1 / (1 + r / _COMMON) ** (1 + _TAIL): Mandelbrot's law. n words then have about
# n ** (1 / (1 + _TAIL)) different ones among them: Heaps' law.
_TAIL, _COMMON, _LAST_RANK = 0.5, 8.0, 10**9
_SYLLABLES = [a + b for a in "bcdfghjklmnprstvwz" for b in ("a", "e", "i", "o", "u", "er", "on")]


@cache
def _word(rank: int) -> str:
    """Return the word of a rank: the rarer, the longer."""
    syllables = []
    while True:
        rank, digit = divmod(rank, len(_SYLLABLES))
        syllables.append(_SYLLABLES[digit])
        if not rank:
            return "".join(syllables)
        rank -= 1


def _mistyped(word: str, place: int) -> str:
    """Return a word with two letters swapped, or with one left out."""
    place %= len(word)
    after = word[place + 1 : place + 2]
    return word[:place] + after + (word[place] if place % 2 else "") + word[place + 2 :]


def generate(rows: int, seed: int = 0) -> Iterator[tuple[str, str]]:
    """Yield texts and their labels; the first ones are the same however many there are."""
    random = np.random.default_rng(seed)
    for start in range(0, rows, _ROWS_AT_ONCE):
        lengths = 3 + random.poisson(_MEAN_WORDS - 3, _ROWS_AT_ONCE)
        labels = random.integers(_LABELS, size=_ROWS_AT_ONCE)
        total = int(lengths.sum())
        ranks = np.minimum(_COMMON * random.pareto(_TAIL, total), _LAST_RANK).astype(np.int64)
        topics = np.where(
            random.random(total) < _MISLEADING,
            random.integers(_LABELS, size=total),
            np.repeat(labels, lengths),
        )
        topical = random.random(total) < _TOPICAL
        # Every label has words of its own, and so do all together.
        ranks = ranks * (_LABELS + 1) + np.where(topical, topics + 1, 0)
        words = [_word(rank) for rank in ranks.tolist()]
        typos = np.flatnonzero(random.random(total) < _TYPOS)
        for place, where in zip(typos.tolist(), random.integers(64, size=len(typos)), strict=True):
            words[place] = _mistyped(words[place], int(where))
        wrong = random.random(_ROWS_AT_ONCE) < _WRONG_LABELS
        told = np.where(wrong, random.integers(_LABELS, size=_ROWS_AT_ONCE), labels).tolist()
        ends = np.cumsum(lengths).tolist()
        for number in range(min(_ROWS_AT_ONCE, rows - start)):
            text = words[ends[number] - int(lengths[number]) : ends[number]]
            yield " ".join(text), f"label {told[number]}"
        _word.cache_clear()


def measure(rows: int, options: tuple[str, ...] = ()) -> dict[str, Any]:
    """Train on generated texts as `make train` does, in a process of its own.

    Args:
        rows: How many texts.
        options: KEY=VALUE of the configuration.

    Returns:
        `seconds` in all, `stages` in seconds, `memory` of the largest process in bytes since this one began, `artefact`
        in bytes, and the metrics.

    Raises:
        click.ClickException: The run failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        file, artefacts = Path(folder, "texts.csv"), Path(folder, "artefacts")
        with file.open("w", newline="", encoding="utf-8") as opened:
            writer = csv.writer(opened)
            writer.writerow(["text", "label"])
            writer.writerows(generate(rows))
        command = [sys.executable, "-m", "train", "run", "--conf", str(CONF), "--dataset", str(file)]  # fmt: skip
        values = (f"artefacts_dir={artefacts}", "offline=null", *options)
        started = time.perf_counter()
        done = subprocess.run(command + [f"--set={value}" for value in values], check=False)
        seconds = time.perf_counter() - started
        if done.returncode:
            raise click.ClickException(f"the run on {rows:,} rows failed; see above.")
        artefact = (artefacts / "latest").resolve()
        metrics = json.loads((artefact / "metrics.json").read_text(encoding="utf-8"))
        metadata = json.loads((artefact / "metadata.json").read_text(encoding="utf-8"))
        size = sum(part.stat().st_size for part in artefact.rglob("*") if part.is_file())
    # Linux counts in kB, macOS in bytes.
    unit = 1 if sys.platform == "darwin" else 1024
    memory = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * unit
    return {
        "seconds": seconds,
        "stages": metadata["durations_s"],
        "memory": memory,
        "artefact": size,
        "model": metadata["model"],
        **metrics,
    }


@click.command()
@click.option("--rows", multiple=True, default=[10_000, 100_000, 1_000_000], show_default=True)
@click.option("--set", "options", multiple=True, metavar="KEY=VALUE", help="Of the configuration.")
def main(rows: tuple[int, ...], options: tuple[str, ...]) -> None:
    """Print times, memory, accuracy and size for each number of rows, from few to many."""
    for count in sorted(rows):
        result = measure(count, options)
        [*_, (name, baseline)] = result["baselines"].items()
        stages = "; ".join(f"{stage} {seconds:.1f}" for stage, seconds in result["stages"].items())
        print(
            f"{count:>9,} rows: {result['seconds']:.0f} s, {1e6 * result['seconds'] / count:.0f} µs a row; "
            f"{result['memory'] / 1e9:.2f} GB; accuracy {result['accuracy']:.4f}, log loss {result['log_loss']:.4f}; "
            f"{name} {baseline['accuracy']:.4f}; artefact {result['artefact'] / 1e6:.0f} MB\n"
            f"          seconds: {stages}\n"
            f"          {result['model']['epochs']} epochs of {result['model']['batch_size']}, "
            f"deep share {result['model']['deep_share']}, {result['model']['table_rows']:,} rows in the table",
            flush=True,
        )


if __name__ == "__main__":
    main()
