"""The text model beside a strong linear one, on eight sets of texts of different shape.

Use: python -m benchmarks.shapes [NAME]... [--seeds 3] [--rows 10] [--set embeddings.encoder.model=…] [--distil 256]
The shapes are those of the catalogue's texts, of parts of them, and of docstrings labelled with their modules.
"""

import csv
import hashlib
import importlib.util
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import click
import numpy as np

from benchmarks import intents
from benchmarks.accuracy import CONF
from train.config import load_config
from train.config.loading import with_values
from train.data.cleaning import load_dataset
from train.data.docstrings import first_paragraphs
from train.data.splits import Prepared
from train.features import distilling
from train.models import choice
from train.models.text.family import fit_baselines
from train.preparation import prepare
from train.progress import SilentProgress

# A text and its label, and for some what the split goes by.
Rows = list[tuple[str, ...]]
_LIBRARIES = ("tensorflow", "scipy", "sklearn", "pandas", "numpy", "keras", "gensim", "pydantic", "rich")  # fmt: skip
_MODULES, _ROWS_PER_MODULE = 150, 80


def _catalogue(name: str) -> Rows:
    dataset = load_dataset(load_config(CONF, ["offline=null"], dataset=name))
    names = [dataset.label_names[label] for label in dataset.targets]
    return list(zip(dataset.texts(), names, strict=True))


def _some(rows: Iterable[tuple[str, ...]], start: int, count: int) -> Rows:
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
    "intents": lambda: [row[:2] for row in intents.make()],
    "intents, new phrases": lambda: [(text, label, phrase) for text, label, _, phrase in intents.make()],
    "intents, new ways": lambda: [
        (text, label, "test" if way.endswith("1") else "train") for text, label, way, _ in intents.make()
    ],
}  # fmt: skip
# How the split goes by the third column: a group is in one part, or it says the part.
_THIRD_COLUMN = {"intents, new phrases": "by", "intents, new ways": "column"}


def measure(
    name: str, seed: int, overrides: Sequence[str] = (), rows: int | None = None, width: int = 0
) -> tuple[float, float, str]:
    """Return the accuracy of the text model and of its baseline on the same test rows, and what to know of the fit.

    Args:
        name: One of `SHAPES`.
        seed: Of the split.
        overrides: Of the configuration.
        rows: How many of each label to train and validate on; None for all that are not test rows.
        width: Of a static encoder that is distilled of the network, which is not used then; 0 for none.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "texts.csv"
        with file.open("w", encoding="utf-8", newline="") as opened:
            shape, third = SHAPES[name](), _THIRD_COLUMN.get(name)
            csv.writer(opened).writerows([("text", "label", "third")[: len(shape[0])], *shape])
        known = [f"split.{third}=third"] if third else []
        config = load_config(CONF, [f"split.seed={seed}", *known, *overrides], str(file))
        prepared = _with_few(prepare(config, SilentProgress()), rows)
        if width:
            static = Path(folder) / "static"
            distilling.distil_to(static, prepared, width, SilentProgress())
            encoder = {"model": str(static / distilling.MODEL)}
            distilled = with_values(prepared.config, {"embeddings.encoder": encoder})
            prepared = prepared.with_config(distilled)
        started = time.perf_counter()
        model = choice.fit(prepared, SilentProgress())
        seconds = time.perf_counter() - started
        outputs = model.predict(prepared.dataset, prepared.split.test)
        [baseline] = fit_baselines(prepared)
    truth = prepared.test_targets
    ours, theirs = outputs.argmax(axis=1) == truth, baseline.answers == truth
    fit = model.describe(prepared)["model"]
    about = f"{fit['epochs']} epochs of {fit['batch_size']}, deep share {fit['deep_share']}, {seconds:.0f} s"
    about += f"; {len(prepared.dataset):,} texts, {len(prepared.dataset.label_names)} labels"
    return float(np.mean(ours)), float(np.mean(theirs)), about


def _with_few(prepared: Prepared, rows: int | None) -> Prepared:
    """Return the same test rows with so many others of each label, a fifth of which are validation rows."""
    if rows is None:
        return prepared
    known, split = np.random.default_rng(0).permutation(prepared.known), prepared.split
    labels = prepared.dataset.targets[known]
    few = np.concatenate([known[labels == label][:rows] for label in np.unique(labels)])
    held_out = np.arange(len(few)) % 5 == 4
    return prepared.with_split(replace(split, train=few[~held_out], validation=few[held_out]))


@click.command()
@click.argument("names", nargs=-1, metavar="[NAME]...")
@click.option("--seeds", default=3, show_default=True, help="How many splits to measure.")
@click.option("--rows", type=click.IntRange(5), help="Rows a label to train on; by default all.")
@click.option(
    "--set", "overrides", multiple=True, metavar="KEY=VALUE", help="Of the configuration."
)
@click.option(
    "--distil", default=0, metavar="WIDTH", help="Distil embeddings.encoder for each split."
)
def main(
    names: tuple[str, ...], seeds: int, rows: int | None, overrides: tuple[str, ...], distil: int
) -> None:
    """Print both accuracies for each shape and split, and their means."""
    for name in names or SHAPES:
        measured = [measure(name, seed, overrides, rows, distil) for seed in range(seeds)]
        for ours, theirs, about in measured:
            print(f"  {name:14} {ours:.4f} {theirs:.4f} {ours - theirs:+.4f}  {about}", flush=True)
        ours, theirs = np.mean([pair[:2] for pair in measured], axis=0)
        print(f"{name:16} {ours:.4f} {theirs:.4f} {ours - theirs:+.4f}", flush=True)


if __name__ == "__main__":
    main()
