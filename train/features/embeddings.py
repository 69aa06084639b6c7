"""gensim vectors for the words of a corpus. The only importer of gensim."""

import hashlib
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gensim
import numpy as np
import numpy.typing as npt
from gensim.models import FastText, KeyedVectors, Word2Vec
from gensim.models.callbacks import CallbackAny2Vec

from predict.contract.features import FIRST_WORD_ID
from train.config.sections import EmbeddingConfig
from train.errors import UserError
from train.features.corpus import no_words
from train.progress import Progress, SilentProgress

Matrix = npt.NDArray[np.float32]

# gensim hashes n-grams into this many rows; what is exported are whole-word vectors only.
_FASTTEXT_BUCKETS = 50_000


class EmbeddingError(UserError):
    """Vectors that cannot be read or do not fit."""


@dataclass(frozen=True)
class Embeddings:
    """Vectors for a vocabulary.

    Attributes:
        vocabulary: Words by falling frequency; word i has id `FIRST_WORD_ID + i`.
        matrix: <float32>[FIRST_WORD_ID + num_words, vector_size]; the rows of padding, of unknown
            words and of words without a vector are zero; the mean length of all other rows is 1.
        metadata: What the artefact keeps about them.
    """

    vocabulary: list[str]
    matrix: Matrix
    metadata: dict[str, Any]


def build_embeddings(
    corpus: Sequence[Sequence[str]],
    config: EmbeddingConfig,
    seed: int,
    progress: Progress | None = None,
) -> Embeddings:
    """Train vectors on a tokenised corpus, or look its words up in pretrained ones.

    Args:
        corpus: Texts as lists of tokens.
        config: Algorithm and sizes; `pretrained` names a file in word2vec or GloVe text format, or in
            word2vec binary format (ending in .bin), also gzipped.
        seed: Makes the vectors reproducible; one worker trains them.
        progress: Is told how far training is.

    Raises:
        EmbeddingError: The pretrained file cannot be read.
    """
    counts = Counter(token for tokens in corpus for token in tokens)
    if config.pretrained is None and max(counts.values(), default=0) < config.min_count:
        raise EmbeddingError(no_words(config.min_count))
    # By falling count, then alphabetically: the order does not depend on that of the rows.
    vocabulary = sorted(
        (w for w, n in counts.items() if n >= config.min_count), key=lambda w: (-counts[w], w)
    )
    vectors = (
        _read_pretrained(config.pretrained)
        if config.pretrained
        else _train(corpus, config, seed, progress or SilentProgress())
    )
    with_vector = [word for word in vocabulary if word in vectors]
    matrix = np.zeros((FIRST_WORD_ID + len(vocabulary), vectors.vector_size), np.float32)
    for index, word in enumerate(vocabulary, FIRST_WORD_ID):
        if word in vectors:
            matrix[index] = vectors[word]
    if matrix.any():  # else there is no length to scale
        matrix /= np.linalg.norm(matrix, axis=1).sum() / len(with_vector)
    return Embeddings(
        vocabulary, matrix, _describe(config, vectors, corpus, vocabulary, with_vector, matrix)
    )


class _Epochs(CallbackAny2Vec):  # type: ignore[misc]  # gensim has no types
    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended

    def on_epoch_end(self, model: object) -> None:
        self._ended()


def _train(
    corpus: Sequence[Sequence[str]],
    config: EmbeddingConfig,
    seed: int,
    progress: Progress,
) -> KeyedVectors:
    # More than one worker would make the result depend on their timing.
    options: dict[str, Any] = {
        "sentences": corpus,
        "vector_size": config.vector_size,
        "window": config.window,
        "min_count": config.min_count,
        "epochs": config.epochs,
        "sg": 1,
        "seed": seed,
        "workers": 1,
    }
    with progress.bar("epochs", config.epochs) as epoch_ended:
        options["callbacks"] = [_Epochs(epoch_ended)]
        if config.algorithm == "fasttext":
            return FastText(bucket=_FASTTEXT_BUCKETS, min_n=3, max_n=5, **options).wv
        return Word2Vec(**options).wv


def _read_pretrained(path: Path) -> KeyedVectors:
    try:
        if ".bin" in path.suffixes:
            vectors = KeyedVectors.load_word2vec_format(str(path), binary=True)
        else:
            vectors = KeyedVectors.load_word2vec_format(str(path), no_header=not _has_header(path))
        if not vectors.vector_size:
            raise ValueError("its first line has no numbers")
        return vectors
    except (OSError, ValueError, EOFError, TypeError, MemoryError, zlib.error) as error:
        raise EmbeddingError(
            f"embeddings.pretrained: {path}: cannot be read ({error}). "
            "Expected word2vec or GloVe text format, or word2vec binary format in a file ending in .bin."
        ) from None


def _has_header(path: Path) -> bool:
    """word2vec's text format starts with a line of two numbers; GloVe's starts with the first word."""
    from smart_open import open as open_any  # also gzipped, as gensim reads it

    with open_any(str(path), "rb") as file:
        return len(file.readline().split()) == 2


def _describe(
    config: EmbeddingConfig,
    vectors: KeyedVectors,
    corpus: Sequence[Sequence[str]],
    vocabulary: Sequence[str],
    with_vector: Sequence[str],
    matrix: Matrix,
) -> dict[str, Any]:
    trained = config.pretrained is None
    return {
        "algorithm": config.algorithm if trained else "pretrained",
        "source": None if trained else str(config.pretrained),
        "gensim_version": gensim.__version__,
        "vector_size": int(vectors.vector_size),
        "window": config.window if trained else None,
        "epochs": config.epochs if trained else None,
        "min_count": config.min_count,
        "vocabulary_size": len(vocabulary),
        "corpus_tokens": sum(map(len, corpus)),
        "vector_hits": len(with_vector),
        "vector_misses": len(vocabulary) - len(with_vector),
        "vectors_sha256": hashlib.sha256(matrix.tobytes()).hexdigest(),
    }
