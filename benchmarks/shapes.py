"""The text model beside a strong linear one, on eight sets of texts of different shape.

Use: python -m benchmarks.shapes [NAME]... [--seeds 3]
The shapes are those of the catalogue's texts, of parts of them, and of docstrings labelled with their modules.
"""

import csv
import hashlib
import importlib.util
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import click
import numpy as np

from benchmarks.accuracy import CONF
from train.config import load_config
from train.config.loading import with_values
from train.data.cleaning import load_dataset
from train.data.docstrings import first_paragraphs
from train.models import choice
from train.models.text.family import fit_baselines
from train.preparation import prepare
from train.progress import SilentProgress

Rows = list[tuple[str, str]]
_LIBRARIES = ("tensorflow", "scipy", "sklearn", "pandas", "numpy", "keras", "gensim", "pydantic", "rich")  # fmt: skip
_MODULES, _ROWS_PER_MODULE = 150, 80


def _catalogue(name: str) -> Rows:
    dataset = load_dataset(load_config(CONF, ["offline=null"], dataset=name))
    names = [dataset.label_names[label] for label in dataset.targets]
    return list(zip(dataset.texts(), names, strict=True))


def _some(rows: Iterable[tuple[str, str]], start: int, count: int) -> Rows:
    """Return some rows in an order that says nothing."""
    ordered = sorted(rows, key=lambda row: hashlib.sha256(row[0].encode()).digest())
    return ordered[start : start + count]


def _by_module() -> Rows:
    """Return docstrings of the 150 modules that have most of them, at most 80 each."""
    modules: dict[str, dict[str, None]] = defaultdict(dict)
    for library in _LIBRARIES:
        spec = importlib.util.find_spec(library)
        for folder in map(Path, (spec.submodule_search_locations or []) if spec else []):
            for file in sorted(folder.rglob("*.py")):
                parts = file.relative_to(folder).with_suffix("").parts
                if "tests" not in parts:
                    name = ".".join((library, *parts[:2]))
                    modules[name] |= dict.fromkeys(first_paragraphs(file))
    most = sorted(modules, key=lambda name: (-len(modules[name]), name))[:_MODULES]
    rows = {name: [(text, name) for text in modules[name]] for name in most}
    return [row for name in most for row in _some(rows[name], 0, _ROWS_PER_MODULE)]


SHAPES: dict[str, Callable[[], Rows]] = {
    "titles, 500": lambda: _some(_catalogue("stackoverflow"), 0, 500),
    "titles, 2,000": lambda: _some(_catalogue("stackoverflow"), 500, 2_000),
    "titles, 8,000": lambda: _some(_catalogue("stackoverflow"), 2_500, 8_000),
    "titles": lambda: _catalogue("stackoverflow"),
    "messages": lambda: _catalogue("sms-spam"),
    "two libraries": lambda: [row for row in _catalogue("docstrings") if row[1] in ("numpy", "scipy")],
    "libraries": lambda: _catalogue("docstrings"),
    "150 modules": _by_module,
}  # fmt: skip


def measure(name: str, seed: int) -> tuple[float, float, str]:
    """Return the accuracy of the text model and of its baseline on the same test rows, and what to know of the fit."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.csv"
        with file.open("w", encoding="utf-8", newline="") as opened:
            csv.writer(opened).writerows([("text", "label"), *SHAPES[name]()])
        config = with_values(load_config(CONF, dataset=str(file)), {"split.seed": seed})
        prepared = prepare(config, SilentProgress())
        started = time.perf_counter()
        model = choice.fit(prepared, SilentProgress())
        seconds = time.perf_counter() - started
        [baseline] = fit_baselines(prepared)
    outputs, truth = model.predict(prepared.dataset, prepared.split.test), prepared.test_targets
    ours, theirs = outputs.argmax(axis=1) == truth, baseline.answers == truth
    known = model.describe(prepared)["model"]
    about = f"{known['epochs']} epochs of {known['batch_size']}, deep share {known['deep_share']}, {seconds:.0f} s"
    about += f"; {len(prepared.dataset):,} texts, {len(prepared.dataset.label_names)} labels"
    return float(np.mean(ours)), float(np.mean(theirs)), about


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--seeds", default=3, show_default=True, help="How many splits to measure.")
def main(names: tuple[str, ...], seeds: int) -> None:
    """Print both accuracies for each shape and split, and their means."""
    for name in names or SHAPES:
        measured = [measure(name, seed) for seed in range(seeds)]
        for ours, theirs, about in measured:
            print(f"  {name:14} {ours:.4f} {theirs:.4f} {ours - theirs:+.4f}  {about}", flush=True)
        ours, theirs = np.mean([pair[:2] for pair in measured], axis=0)
        print(f"{name:16} {ours:.4f} {theirs:.4f} {ours - theirs:+.4f}", flush=True)


if __name__ == "__main__":
    main()
