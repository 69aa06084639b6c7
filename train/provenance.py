"""Where a model comes from: the versions, the machine and the commit that made it."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

_PACKAGES = (
    "gensim",
    "keras",
    "numpy",
    "onnx",
    "onnxruntime",
    "pandas",
    "scikit-learn",
    "tensorflow",
    "tensorflow-cpu",
    "tf2onnx",
)


def describe_versions() -> dict[str, str]:
    """Return package -> version for what can change a result, with Python and the platform."""
    versions = {"python": platform.python_version(), "platform": platform.platform()}
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
