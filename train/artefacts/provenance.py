"""The provenance of a model: the rows, the versions, the machine and the commit that made it."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from predict import __version__
from train.config.sections import SplitConfig
from train.data.splits import Prepared

_PACKAGES = (
    "gensim",
    "keras",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "scikit-learn",
    "skl2onnx",
    "tensorflow",
    "tensorflow-cpu",
    "tf2onnx",
)


def describe_versions() -> dict[str, str]:
    """Return package -> version for what can change a result: this project, Python, the platform, and the libraries."""
    versions = {
        "capstone": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for name in _PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # TensorFlow goes by one of two names
    return versions


def describe_commit() -> dict[str, Any] | None:
    """Return the git commit of this code and whether the tree was dirty; None where nobody knows.

    An image has no checkout: there, CAPSTONE_REVISION says what it was built from.
    """
    folder = Path(__file__).parent

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
        return done.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        revision = os.environ.get("CAPSTONE_REVISION")
        return {"commit": revision, "dirty": None} if revision else None


def describe_dataset(prepared: Prepared, requested: str) -> dict[str, Any]:
    """Return what the metadata says about the rows: their source, which were dropped, how they were split."""
    config, dataset, split = prepared.config, prepared.dataset, prepared.split
    described: dict[str, Any] = {
        "name": dataset.name,
        "source": dataset.source,
        "sha256": dataset.sha256,
        "requested": requested,
        "rows_read": dataset.rows_read,
        "rows_kept": len(dataset),
        "rows_dropped": dataset.dropped,
        "duplicates": dataset.duplicates,
        "ignored_columns": dataset.ignored,
        "conflicting_texts": dataset.conflicts,
        "rare_labels": dataset.rare_labels,
        "split": {
            "train": len(split.train),
            "validation": len(split.validation),
            "test": len(split.test),
            "seed": config.split.seed,
            "own_test_split": dataset.division.way in ("own", "file", "column"),
            **_way(config.split),
        },
        "leaks": prepared.leaks.described(),
        "label_counts": dataset.label_counts(),
    }
    if not dataset.label_names:
        known = dataset.targets[prepared.known]
        described["target"] = {
            "minimum": float(known.min()),
            "mean": float(known.mean()),
            "maximum": float(known.max()),
        }
    return described


def _way(split: SplitConfig) -> dict[str, str]:
    """Return what says the parts of the rows, unless it is chance or the dataset itself."""
    ways = {
        "test_file": split.test_file,
        "column": split.column,
        "by": split.by,
        "by_time": split.by_time,
    }
    return {way: name for way, name in ways.items() if name is not None}
