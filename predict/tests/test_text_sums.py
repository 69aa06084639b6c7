"""The sums of texts: parts, the table that is mapped, and what is kept of texts asked before."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from predict.contract.artefact import ROWS, SQUARES, VECTORS, ArtefactError
from predict.contract.features import FeatureSettings, Parts, TextFeatures
from predict.contract.text_table import TextTable
from predict.scoring import text_sums
from predict.scoring.predictor import Predictor
from predict.scoring.text_sums import TextSums
from predict.tests.tiny_artefact import SETTINGS, VOCABULARY, change_metadata

FEATURES = TextFeatures(SETTINGS, VOCABULARY)
TEXTS = [
    "how do I undo a commit",
    "svn",
    "",
    "zzzz qqqq",
    "a shell, a script",
    "C++ c++ C++",
    "第1场电影",
]


def table_of(features: TextFeatures) -> TextTable:
    """Return a table of small whole numbers, whose sums are exact in any order."""
    num_rows = features.num_token_ids + features.num_ngram_ids
    rows = np.arange(num_rows, dtype=np.int32)
    rows[[0, features.num_token_ids]] = 0
    squares = (np.arange(num_rows) % 7).astype(np.float32)
    vectors = (np.arange(num_rows)[:, None] % [5, 3, 11]).astype(np.float16)
    squares[0] = vectors[0] = 0
    return TextTable(rows, squares, vectors, features.num_token_ids)


def by_hand(features: TextFeatures, table: TextTable, text: str) -> np.ndarray:
    """Add up what each id of each part adds, one by one."""
    parts, sums = Parts(features), np.zeros((2, table.width), np.float32)
    for number in parts.of(text):
        for kind, start in enumerate((0, features.num_token_ids)):
            for id_ in np.frombuffer(parts.ids[number][kind], np.int32):
                row = table.rows[start + id_]
                sums[kind] += np.concatenate([[table.squares[row]], table.vectors[row]])
    return sums


def ids_of(text: str, features: TextFeatures = FEATURES) -> list[int]:
    """Return the token ids of all parts of a text."""
    parts = Parts(features)
    ids = b"".join([parts.ids[number].token_ids for number in parts.of(text)])
    return np.frombuffer(ids, np.int32).tolist()


# --------------------------------------------------------------------- parts


def test_a_text_has_its_words_and_its_pairs() -> None:
    svn, bash = FEATURES.vocabulary["svn"], FEATURES.vocabulary["bash"]
    first, second, pair = ids_of("svn bash")
    assert (first, second) == (svn, bash)
    assert FEATURES.first_pair_id <= pair < FEATURES.num_token_ids
    assert sorted(ids_of("bash svn")) != sorted(ids_of("svn bash"))


def test_a_pair_is_the_same_within_a_piece_and_between_two() -> None:
    assert sorted(ids_of("svn/bash")) == sorted(ids_of("svn bash")) == sorted(ids_of("svn — bash"))


def test_a_piece_and_a_pair_count_once_however_often_they_occur() -> None:
    assert len(ids_of("svn svn svn")) == 2  # and the pair of both
    assert sorted(ids_of("svn bash svn bash svn")) == sorted(
        [*ids_of("svn bash"), ids_of("bash svn")[-1]]
    )


def test_without_buckets_there_are_no_pairs_and_no_ngrams() -> None:
    features = TextFeatures(FeatureSettings(ngram_buckets=0, pair_buckets=0), VOCABULARY)
    parts = Parts(features)
    assert len(ids_of("svn bash svn/bash", features)) == 4
    assert not any(parts.ids[number].ngram_ids for number in parts.of("svn bash"))


@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_any_text_has_parts_whose_ids_are_in_range(text: str) -> None:
    parts = Parts(FEATURES)
    numbers = parts.of(text)
    assert numbers[0] == 0
    assert len(set(numbers)) == len(numbers) <= 2 * SETTINGS.max_tokens
    assert parts.of(text) == numbers
    ends = (FEATURES.num_token_ids, FEATURES.num_ngram_ids)
    for number in numbers:
        for ids, end in zip(parts.ids[number], ends, strict=True):
            assert all(0 < id_ < end for id_ in np.frombuffer(ids, np.int32))


# ---------------------------------------------------------------------- sums


@pytest.mark.parametrize("texts", [TEXTS, TEXTS[:1], [""], ["", "", "svn"]], ids=str)
def test_the_sums_are_those_of_every_id(texts: list[str]) -> None:
    table = table_of(FEATURES)
    sums = TextSums(FEATURES, table)
    for _ in range(2):  # computed, then remembered
        expected = [by_hand(FEATURES, table, text) for text in texts]
        np.testing.assert_array_equal(sums.of(texts), expected)


def test_what_is_forgotten_is_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_sums, "_FIRST_ROOM", 4)
    monkeypatch.setattr(text_sums, "_MOST_PARTS", 16)
    table = table_of(FEATURES)
    sums = TextSums(FEATURES, table)
    words = [f"w{number} v{number % 7}" for number in range(330)]
    texts = [" ".join(words[first : first + 30]) for first in range(0, 300, 10)]
    for text in texts:
        np.testing.assert_array_equal(sums.of([text])[0], by_hand(FEATURES, table, text))
        assert len(sums._kept) <= 16 + 2 * SETTINGS.max_tokens


def test_threads_get_the_same_sums(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_sums, "_FIRST_ROOM", 4)
    monkeypatch.setattr(text_sums, "_MOST_PARTS", 40)
    table = table_of(FEATURES)
    sums, texts = TextSums(FEATURES, table), [f"w{n} x{n % 3} svn y{n % 11}" for n in range(200)]
    expected = {text: by_hand(FEATURES, table, text) for text in texts}
    wrong: list[str] = []

    def ask(start: int) -> None:
        for text in texts[start:] + texts[:start]:
            if not np.array_equal(sums.of([text, "svn"])[0], expected[text]):
                wrong.append(text)

    threads = [threading.Thread(target=ask, args=(start,)) for start in (0, 50, 100, 150)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_nobody_waits_for_a_thread_that_is_at_it() -> None:
    table = table_of(FEATURES)
    sums = TextSums(FEATURES, table)
    with sums._lock:  # as a large batch holds it
        asked = threading.Thread(target=lambda: answers.append(sums.of(["svn bash"])), daemon=True)
        answers: list[np.ndarray] = []
        asked.start()
        asked.join(timeout=10)
    np.testing.assert_array_equal(answers[0][0], by_hand(FEATURES, table, "svn bash"))


# --------------------------------------------------------------------- files


def test_the_table_that_was_written_is_mapped(tmp_path: Path) -> None:
    table = table_of(FEATURES)
    table.write(tmp_path)
    read = TextTable.read(tmp_path, FEATURES)
    for name in ("rows", "squares", "vectors"):
        np.testing.assert_array_equal(getattr(read, name), getattr(table, name))
        assert isinstance(getattr(read, name), np.memmap)


def _save(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    return lambda directory: np.save(directory / name, change(np.load(directory / name)))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda directory: (directory / VECTORS).unlink(), r"vectors\.npy is not listed"),
        (lambda directory: (directory / ROWS).write_bytes(b"no array"), "Train again"),
        (lambda directory: (directory / ROWS).write_bytes(b""), "Train again"),
        (_save(ROWS, lambda rows: rows[:-1]), r"rows\.npy: expected int32 of shape \(\d+,\)"),
        (_save(ROWS, lambda rows: rows + 1), r"rows\.npy: expected rows from 0 to \d+"),
        (_save(ROWS, lambda rows: rows - 1), r"rows\.npy: expected rows from 0 to \d+"),
        (_save(ROWS, lambda rows: rows.astype(np.int64)), r"rows\.npy: expected int32"),
        (_save(SQUARES, lambda squares: squares[:-2]), r"vectors\.npy: expected float16 of shape"),
        (_save(SQUARES, lambda squares: squares[:, None]), r"squares\.npy: expected float32"),
        (_save(SQUARES, lambda squares: squares[:0]), r"squares\.npy: expected float32"),
        (
            _save(VECTORS, lambda vectors: vectors.astype(np.float32)),
            r"vectors\.npy: expected float16",
        ),
        (_save(VECTORS, lambda vectors: vectors[:, :, None]), r"vectors\.npy: expected float16"),
        (_save(VECTORS, lambda vectors: vectors[:, :-1]), r"example 0 cannot be answered"),
        (_save(VECTORS, lambda vectors: vectors * np.float16(0.5)), "is answered differently"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    artefact_copy: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(artefact_copy)
    change_metadata(artefact_copy)
    with pytest.raises(ArtefactError, match=message):
        Predictor.load(artefact_copy)


def test_an_array_of_python_objects_is_never_unpickled(artefact_copy: Path) -> None:
    np.save(artefact_copy / ROWS, np.array([print], dtype=object), allow_pickle=True)
    change_metadata(artefact_copy)
    with pytest.raises(ArtefactError, match="Train again"):
        Predictor.load(artefact_copy)
