"""Claims about the embedded dataset."""

import hashlib
import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from train.data import docstrings
from train.data.docstrings import read_docstrings

SMALL = {"click": "click", "pooch": "pooch", "jinja2": "jinja2"}


@pytest.fixture
def _few_libraries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(docstrings, "_LIBRARIES", SMALL)


def _make_library(folder: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    """Make a library `toylib` that can be found, and is the only one there is."""
    for name, source in files.items():
        file = folder / "toylib" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(docstrings, "_LIBRARIES", {"toylib": "toylib"})


@pytest.mark.usefixtures("_few_libraries")
def test_every_paragraph_is_labelled_with_the_library_that_it_is_from(tmp_path: Path) -> None:
    frame = read_docstrings(tmp_path)
    assert list(frame.columns) == ["paragraph", "library"]
    assert set(frame["library"]) == set(SMALL)
    nests = frame["library"][frame["paragraph"].str.contains("download", case=False)]
    assert nests.mode().tolist() == ["pooch"]


def test_collecting_in_another_process_gives_the_same_bytes(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib\nfrom train.data import docstrings\n"
        f"docstrings._LIBRARIES = {SMALL}\ndocstrings._MOST_PER_LIBRARY = 20\n"
        "docstrings.read_docstrings(pathlib.Path(sys.argv[1]))"
    )
    for seed in ("1", "2"):  # which decides the order of sets
        command = [sys.executable, "-c", code, str(tmp_path / seed)]
        subprocess.run(command, env=os.environ | {"PYTHONHASHSEED": seed}, timeout=60, check=True)
    (a,), (b,) = ((tmp_path / seed).iterdir() for seed in ("1", "2"))
    assert a.name == b.name
    assert a.read_bytes() == b.read_bytes()


@pytest.mark.usefixtures("_few_libraries")
def test_the_second_time_the_cache_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read_docstrings(tmp_path)
    monkeypatch.setattr(docstrings, "_sample", lambda name: pytest.fail("collected again"))
    assert read_docstrings(tmp_path).equals(first)


@pytest.mark.usefixtures("_few_libraries")
def test_another_set_of_versions_is_collected_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_docstrings(tmp_path)
    monkeypatch.setattr(docstrings, "_version", lambda name, distribution: "another")
    read_docstrings(tmp_path)
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.usefixtures("_few_libraries")
def test_no_library_gives_more_than_its_share(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = read_docstrings(tmp_path)
    monkeypatch.setattr(docstrings, "_MOST_PER_LIBRARY", 20)
    capped = read_docstrings(tmp_path / "capped")
    assert capped["library"].value_counts().to_dict() == dict.fromkeys(SMALL, 20)
    assert set(capped["paragraph"]) < set(whole["paragraph"])


def test_only_first_paragraphs_of_three_words_or_more_count_and_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = (
        '"""The first\n   paragraph.\n\nThe second paragraph."""\n'
        'class A:\n    """Say it once."""\n    def b(self):\n        """Say it once."""\n'
        'async def c():\n    """Too short."""\n'
        'def d():\n    "Not last, least."\n    """No docstring this."""\n'
    )
    _make_library(
        tmp_path, monkeypatch, {"__init__.py": source, "sub/m.py": '"""From below here."""'}
    )
    frame = read_docstrings(tmp_path / "cache")
    assert sorted(frame["paragraph"]) == [
        "From below here.",
        "Not last, least.",
        "Say it once.",
        "The first paragraph.",
    ]


def test_tests_and_what_is_vendored_and_what_does_not_parse_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    docstring = '"""This is {}."""'
    files = {
        f"{place}.py": docstring.format(f"from {place}")
        for place in ("__init__", "tests/a", "_vendor/b", "test_c", "sub/tests/d", "latest")
    }
    _make_library(tmp_path, monkeypatch, files | {"broken.py": "def ", "nul.py": '"""a b c"""\0'})
    frame = read_docstrings(tmp_path / "cache")
    assert sorted(frame["paragraph"]) == ["This is from __init__.", "This is from latest."]


def test_libraries_are_read_and_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _make_library(tmp_path, monkeypatch, {"__init__.py": '"""One two three."""\nraise SystemExit'})
    assert len(read_docstrings(tmp_path / "cache")) == 1


def test_a_collection_that_breaks_off_leaves_no_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(name: str) -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(docstrings, "_sample", interrupt)
    with pytest.raises(KeyboardInterrupt, match=r"^$"):
        read_docstrings(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", docstrings._LIBRARIES)
def test_every_library_comes_with_the_training_requirements(name: str) -> None:
    assert importlib.util.find_spec(name) is not None
    pinned = (Path(__file__).parents[1] / "requirements.txt").read_text(encoding="utf-8")
    distribution = docstrings._LIBRARIES[name]
    assert any(f"\n{candidate}==" in pinned for candidate in (distribution, f"{distribution}-cpu"))


def test_the_whole_of_it_is_large_enough_to_train_on(pytestconfig: pytest.Config) -> None:
    # Collecting takes some 20 s, once: pytest's own cache keeps it until the versions or the code change.
    code = hashlib.sha256(Path(docstrings.__file__).read_bytes()).hexdigest()[:12]
    assert pytestconfig.cache is not None
    frame = read_docstrings(pytestconfig.cache.mkdir(f"docstrings-{code}"))
    counts = frame["library"].value_counts()
    assert len(frame) >= 10_000
    assert len(counts) >= 10
    assert counts.max() <= 2_000
    assert counts.min() >= 5
    assert not frame.duplicated().any()
    assert json.loads(frame.to_json())  # every character of it can be written
