"""Claims about the gensim vectors."""

import gzip
import hashlib
import re
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gensim.models import FastText
from gensim.models.fasttext import save_facebook_model

from predict.contract.features import FIRST_WORD_ID
from train.config.sections import EmbeddingConfig
from train.features import embeddings as embeddings_module
from train.features.embeddings import Embeddings, build_embeddings
from train.features.pretrained import EmbeddingError, read_vectors
from train.progress import TerminalProgress

CORPUS = [["b", "a", "b"], ["c", "b"], ["a"], ["d"]] * 3
# Three numbers each, of lengths 3 and 5.
VECTORS = {"a": (1, 2, 2), "c": (0, 3, 4), "elsewhere": (9, 9, 9)}
LINES = "".join(f"{word} {x} {y} {z}\n" for word, (x, y, z) in VECTORS.items())


def build(seed: int = 0, pretrained: Path | None = None, **settings: Any) -> Embeddings:
    config = EmbeddingConfig(**({"vector_size": 4, "epochs": 2} | settings))
    return build_embeddings(CORPUS, config, seed, pretrained=pretrained)


def _binary(vectors: dict[str, tuple[int, ...]]) -> bytes:
    return b"%d 3\n" % len(vectors) + b"".join(
        word.encode() + b" " + struct.pack("<3f", *numbers) + b"\n"
        for word, numbers in vectors.items()
    )


FORMATS = {
    "glove.txt": LINES.encode(),
    "word2vec.txt": f"3 3\n{LINES}".encode(),
    "glove.txt.gz": gzip.compress(LINES.encode()),
    "word2vec.txt.gz": gzip.compress(f"3 3\n{LINES}".encode()),
    "word2vec.bin": _binary(VECTORS),
    "word2vec.bin.gz": gzip.compress(_binary(VECTORS)),
}


@pytest.mark.parametrize("algorithm", ["fasttext", "word2vec"])
def test_every_word_of_the_corpus_gets_a_vector(algorithm: str) -> None:
    embeddings = build(algorithm=algorithm)
    assert embeddings.vocabulary == ["b", "a", "c", "d"]
    assert embeddings.matrix.shape == (FIRST_WORD_ID + 4, 4)
    assert embeddings.matrix.dtype == np.float32
    assert not embeddings.matrix[:FIRST_WORD_ID].any()
    assert embeddings.matrix[FIRST_WORD_ID:].any(axis=1).all()


def test_words_stand_by_falling_count_and_then_by_the_alphabet() -> None:
    rearranged = build_embeddings(CORPUS[::-1], EmbeddingConfig(vector_size=4, epochs=1), 0)
    assert rearranged.vocabulary == build().vocabulary == ["b", "a", "c", "d"]


def test_the_vectors_have_a_mean_length_of_one() -> None:
    assert np.linalg.norm(build().matrix[FIRST_WORD_ID:], axis=1).mean() == pytest.approx(1)


def test_words_below_the_minimum_count_are_left_out() -> None:
    embeddings = build(min_count=6)
    assert embeddings.vocabulary == ["b", "a"]
    assert embeddings.metadata["vocabulary_size"] == 2


def test_of_too_many_words_the_most_frequent_ones_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("train.features.embeddings.MOST_WORDS", 3)
    assert build().vocabulary == ["b", "a", "c"]


def test_the_same_seed_gives_the_same_vectors_and_another_seed_others() -> None:
    once, again, other = (build(seed) for seed in (0, 0, 1))
    assert once.metadata["vectors_sha256"] == again.metadata["vectors_sha256"]
    assert once.metadata["vectors_sha256"] != other.metadata["vectors_sha256"]


@pytest.mark.parametrize("algorithm", ["fasttext", "word2vec"])
def test_the_vectors_of_a_larger_corpus_do_not_depend_on_timing(algorithm: str) -> None:
    # gensim hands words to its workers 10,000 at a time.
    corpus = np.random.default_rng(0).choice(list("abcdefgh"), (8000, 10)).tolist()
    config = EmbeddingConfig(vector_size=4, epochs=1, algorithm=algorithm)
    once, again = (build_embeddings(corpus, config, 0).metadata for _ in range(2))
    assert once["vectors_sha256"] == again["vectors_sha256"]


@pytest.mark.parametrize("algorithm", ["fasttext", "word2vec"])
@pytest.mark.parametrize(
    ("most", "epochs", "texts", "said"),
    [
        (42, 2, 12, ""),
        (41, 1, 12, "21 words are many: 1 epoch instead of 2, on all texts"),
        (21, 1, 12, "21 words are many: 1 epoch instead of 2, on all texts"),
        (10, 1, 5, "21 words are many: 1 epoch instead of 2, on 5 of the texts, drawn by chance"),
    ],
)
def test_of_many_words_fewer_are_trained_on_and_that_is_said(
    algorithm: str, most: int, epochs: int, texts: int, said: str, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(embeddings_module, "_MOST_WORDS", most)
    config = EmbeddingConfig(vector_size=4, epochs=2, algorithm=algorithm)
    once, again = (build_embeddings(CORPUS, config, 0, TerminalProgress()) for _ in range(2))
    assert (once.metadata["epochs"], once.metadata["trained_on_texts"]) == (epochs, texts)
    assert once.vocabulary == ["b", "a", "c", "d"]
    assert once.metadata["vectors_sha256"] == again.metadata["vectors_sha256"]
    told = capsys.readouterr().err
    assert said in told
    assert bool(said) == ("are many" in told)


def test_metadata_says_how_the_vectors_were_made() -> None:
    embeddings = build(window=3, algorithm="word2vec")
    assert embeddings.metadata.pop("gensim_version")
    assert embeddings.metadata == {
        "algorithm": "word2vec",
        "source": None,
        "vector_size": 4,
        "window": 3,
        "epochs": 2,
        "trained_on_texts": 12,
        "min_count": 1,
        "vocabulary_size": 4,
        "corpus_tokens": 21,
        "vector_hits": 4,
        "vector_misses": 0,
        "vectors_sha256": hashlib.sha256(embeddings.matrix.tobytes()).hexdigest(),
    }


@pytest.mark.parametrize("name", FORMATS)
def test_pretrained_vectors_are_looked_up_in_every_format(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(FORMATS[name])
    embeddings = build(pretrained=tmp_path / name)
    # Scaled by the mean length of the two that were found, 4; b and d have no vector.
    expected = np.array([[0, 0, 0], [1, 2, 2], [0, 3, 4], [0, 0, 0]]) / 4
    assert embeddings.vocabulary == ["b", "a", "c", "d"]
    assert not embeddings.matrix[:FIRST_WORD_ID].any()
    np.testing.assert_allclose(embeddings.matrix[FIRST_WORD_ID:], expected, rtol=1e-6)


def test_metadata_says_how_many_words_have_a_pretrained_vector(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text(LINES)
    metadata = build(pretrained=tmp_path / "v.txt").metadata
    assert (metadata["vector_hits"], metadata["vector_misses"]) == (2, 2)
    assert (metadata["algorithm"], metadata["source"]) == ("pretrained", str(tmp_path / "v.txt"))
    assert (metadata["vector_size"], metadata["window"], metadata["epochs"]) == (3, None, None)


def test_pretrained_vectors_without_a_word_of_ours_are_all_zero(tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("x 1 2 3\n")
    embeddings = build(pretrained=tmp_path / "v.txt")
    assert embeddings.metadata["vector_hits"] == 0
    assert not embeddings.matrix.any()


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("empty.txt", b"", "it is empty"),
        ("short.txt", b"9 3\na 1 2 2\n", "its header announces 9 vectors, and it has 1"),
        ("long.txt", b"1 3\na 1 2 2\nc 0 3 4\n", "its header announces 1 vectors, and it has 2"),
        ("ragged.txt", b"a 1 2 2\nc 0 3\n", "line 2: expected a word and 3 numbers, got 2 numbers"),
        (
            "wide.txt",
            b"x 1 2 2\nx 0 3 4 5\n",
            "line 2: expected a word and 3 numbers, got 4 numbers",
        ),
        (
            "other.txt",
            b"2 4\na 1 2 2\nc 0 3 4\n",
            "line 2: expected a word and 4 numbers, got 3 numbers",
        ),
        ("words.txt", b"a 1 2 2\nc 0 three 4\n", "line 2: could not convert string to float"),
        ("nan.txt", b"x nan 1 2\na 1 2 2\nc 0 NaN 4\n", "line 3: the vector of 'c' is not finite"),
        ("inf.txt", b"a 1 inf 2\n", "line 1: the vector of 'a' is not finite"),
        ("huge.txt", b"a 1 1e39 2\n", "line 1: the vector of 'a' is not finite"),
        ("page.txt", b"<html>\n<body>\n", "its first line has no numbers"),
        (
            "nothing.txt",
            b"0 0\n",
            "line 1: expected the number of vectors and that of their numbers, got '0 0'",
        ),
        (
            "latin.txt",
            b"b\xe9b\xe9 1 2 2\n",
            "line 1: not UTF-8: 'utf-8' codec can't decode byte 0xe9",
        ),
        ("cut.txt.gz", FORMATS["glove.txt.gz"][:-9], "Compressed file ended"),
        ("not.txt.gz", LINES.encode(), "Not a gzipped file"),
        ("not.bin", b"\x00\x01\x02", "its first line is no header of two numbers"),
        ("cut.bin", FORMATS["word2vec.bin"][:-9], "it ends within vector 3 of 3"),
        ("cutinword.bin", FORMATS["word2vec.bin"][:20], "it ends within vector 2 of 3"),
        (
            "more.bin",
            FORMATS["word2vec.bin"] + b"more",
            "it goes on after the 3 vectors of its header",
        ),
        (
            "wordless.bin",
            b"1 3\n" + b"x" * 20_000,
            "vector 1 of 1: its word is longer than 10,000 bytes",
        ),
        ("greedy.txt", b"99999999999 99999\na 1\n", "line 2: expected a word and 99999 numbers"),
        ("greedy.bin", b"99999999999 99999\na 1\n", "it ends within vector 1 of 99,999,999,999"),
        ("greedier.txt", b"2 99999999\na 1\n", "line 1: expected the number of vectors"),
    ],
)
def test_a_broken_file_of_vectors_says_which_and_what_was_expected(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(
        EmbeddingError,
        match=rf"^embeddings\.pretrained: .*{name}: cannot be read \(.*{re.escape(why)}.*\)\. Expected word2vec",
    ):
        build(pretrained=tmp_path / name)


def test_words_of_a_file_may_have_blanks_and_lines_may_end_in_one(tmp_path: Path) -> None:
    (tmp_path / "v.vec").write_bytes(
        b"at a b 1 2 3 \r\na\t1\t2\t2\n\n. . 1 2 3\n\xc2\xa0 1 2 3\nc 0 3 4"
    )
    embeddings = build(pretrained=tmp_path / "v.vec")
    assert embeddings.metadata["vector_hits"] == 2
    np.testing.assert_allclose(embeddings.matrix[FIRST_WORD_ID + 1], [0.25, 0.5, 0.5])


def test_of_a_repeated_word_the_first_vector_counts_and_that_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "v.txt").write_text("a 1 2 2\na 9 9 9\nx 1 1 1\nx 2 2 2\n")
    config = EmbeddingConfig(vector_size=4)
    embeddings = build_embeddings(CORPUS, config, 0, TerminalProgress(), tmp_path / "v.txt")
    np.testing.assert_allclose(embeddings.matrix[FIRST_WORD_ID + 1], np.array([1, 2, 2]) / 3)
    assert "WARNING: embeddings.pretrained" in (said := capsys.readouterr().err)
    assert "more than one vector for a; the first counts" in said


def test_only_the_vectors_of_words_that_are_asked_for_take_memory(tmp_path: Path) -> None:
    numbers = " ".join(["0.5"] * 300)
    with (tmp_path / "v.txt").open("w") as file:
        file.writelines(f"w{number} {numbers}\n" for number in range(20_000))
    tracemalloc.start()
    found = read_vectors(tmp_path / "v.txt", {"w7", "w19999", "none"})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert sorted(found.of) == ["w19999", "w7"]
    assert peak < 1_000_000  # the file has 24 MB


def test_a_model_of_fasttext_gives_every_word_a_vector(tmp_path: Path) -> None:
    corpus = [["apple", "apples", "pear"], ["pears", "apple"]] * 20
    trained = FastText(corpus, vector_size=4, min_count=1, bucket=50, epochs=1, workers=1, seed=0)
    save_facebook_model(trained, str(tmp_path / "m.bin"))
    config, corpus = EmbeddingConfig(vector_size=4), [["apple", "appletree"]]
    embeddings = build_embeddings(corpus, config, 0, pretrained=tmp_path / "m.bin")
    assert embeddings.metadata["vector_hits"] == 2
    (tmp_path / "cut.bin").write_bytes((tmp_path / "m.bin").read_bytes()[:100])
    with pytest.raises(
        EmbeddingError, match=r"cut\.bin: it begins as a model of fastText, and cannot be read"
    ):
        build(pretrained=tmp_path / "cut.bin")


def test_a_missing_file_of_vectors_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmbeddingError, match=r"no\.txt: cannot be read .*No such file"):
        build(pretrained=tmp_path / "no.txt")


@pytest.mark.parametrize("algorithm", ["fasttext", "word2vec"])
def test_a_minimum_count_that_no_word_reaches_is_named(algorithm: str) -> None:
    with pytest.raises(EmbeddingError, match=r"no word occurs at least 10 times .*min_count"):
        build(min_count=10, algorithm=algorithm)


def test_texts_without_any_word_are_refused() -> None:
    with pytest.raises(EmbeddingError, match="no word occurs at least 1 time in the texts"):
        build_embeddings([[], []], EmbeddingConfig(vector_size=4), 0)
