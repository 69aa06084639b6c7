"""The embedded dataset: first paragraphs of the docstrings of installed libraries, labelled with the library.

It needs no network. The sources are read with `ast`, never imported, and the result is the same for the
same pinned versions.
"""

import ast
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

# Import name -> distribution name, where the two differ; all of them come with the training requirements.
_LIBRARIES = {
    "click": "click",
    "flask": "flask",
    "gensim": "gensim",
    "grpc": "grpcio",
    "h5py": "h5py",
    "jinja2": "jinja2",
    "joblib": "joblib",
    "keras": "keras",
    "narwhals": "narwhals",
    "numpy": "numpy",
    "pandas": "pandas",
    "pydantic": "pydantic",
    "pygments": "pygments",
    "rich": "rich",
    "scipy": "scipy",
    "sklearn": "scikit-learn",
    "tensorflow": "tensorflow",
    "urllib3": "urllib3",
    "werkzeug": "werkzeug",
}
_MOST_PER_LIBRARY = 2_000
_FEWEST_WORDS = 3
_RECIPE = 1  # raise when what is collected changes: the cache is made anew
_NOT_THEIRS = {"tests", "test", "testing", "_vendor", "vendor", "externals", "__pycache__"}
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def read_docstrings(cache_dir: Path) -> pd.DataFrame:
    """Return columns `paragraph` and `library`; collected once per set of versions, then read from `cache_dir`."""
    file = cache_dir / f"docstrings-{_versions_key()}.json"
    if not file.exists():
        cache_dir.mkdir(parents=True, exist_ok=True)
        rows = [(text, name) for name in _LIBRARIES for text in _sample(name)]
        unfinished = file.with_suffix(f".{os.getpid()}")
        unfinished.write_text(json.dumps(rows), encoding="utf-8")
        unfinished.replace(file)
    try:
        rows = json.loads(file.read_text(encoding="utf-8"))
    except ValueError:  # damaged: collect them again
        file.unlink()
        return read_docstrings(cache_dir)
    return pd.DataFrame(rows, columns=["paragraph", "library"], dtype=str)


def _versions_key() -> str:
    versions = [f"{name}=={_version(name, package)}" for name, package in _LIBRARIES.items()]
    return hashlib.sha256(f"{_RECIPE} {versions}".encode()).hexdigest()[:12]


def _version(name: str, distribution: str) -> str:
    # TensorFlow's wheel has another name for machines without a GPU.
    for candidate in (distribution, f"{distribution}-cpu"):
        try:
            return importlib.metadata.version(candidate)
        except importlib.metadata.PackageNotFoundError:
            continue
    return f"{name} is not installed"


def _sample(name: str) -> list[str]:
    """Return up to `_MOST_PER_LIBRARY` distinct paragraphs of a library, in an order that says nothing."""
    texts = {text for file in _sources(name) for text in first_paragraphs(file)}
    return sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())[
        :_MOST_PER_LIBRARY
    ]


def _sources(name: str) -> Iterator[Path]:
    spec = importlib.util.find_spec(name)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for file in Path(folder).rglob("*.py"):
            inside = file.relative_to(folder)
            if not _NOT_THEIRS.intersection(inside.parts) and not file.name.startswith("test_"):
                yield file


def first_paragraphs(file: Path) -> Iterator[str]:
    """Yield the first paragraph, on one line, of every docstring in a file; none for a file that is not Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in other people's code
            tree = ast.parse(file.read_bytes())
    except SyntaxError:  # a template, or a source for another Python
        return
    for node in ast.walk(tree):
        docstring = ast.get_docstring(node) if isinstance(node, _DOCUMENTED) else None
        words = docstring.split("\n\n")[0].split() if docstring else []
        if len(words) >= _FEWEST_WORDS:
            yield " ".join(words)
