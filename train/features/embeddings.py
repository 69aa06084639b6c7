"""gensim vectors for the words of a corpus. The only importer of gensim."""

import hashlib
import struct
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gensim
import numpy as np
import numpy.typing as npt
from gensim.models import FastText, Word2Vec
from gensim.models.callbacks import CallbackAny2Vec
from gensim.models.fasttext import load_facebook_vectors

from predict.contract.features import FIRST_WORD_ID, MOST_WORDS
from predict.wording import counted, listed
from train.config.sections import EmbeddingConfig
from train.features.corpus import no_words
from train.features.pretrained import EmbeddingError, WordVectors, open_unpacked, read_vectors
from train.progress import Progress, SilentProgress

Matrix = npt.NDArray[np.float32]
# Texts as their words.
Corpus = Sequence[Sequence[str]]

# Words that gensim reads in all epochs together, at most: half a minute of fastText. On 16,000 titles, three epochs of
# 133,000 words give as good a deep head as ten.
_MOST_WORDS = 3_000_000

# gensim hashes n-grams into this many rows; what is exported are whole-word vectors only.
_FASTTEXT_BUCKETS = 50_000
# What a model of fastText, with n-grams beside its words, begins with.
_FASTTEXT_MAGIC = struct.pack("<i", 793_712_314)


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
    corpus: Corpus,
    config: EmbeddingConfig,
    seed: int,
    progress: Progress | None = None,
    pretrained: Path | None = None,
) -> Embeddings:
    """Train vectors on a tokenised corpus, or look its words up in pretrained ones.

    Args:
        corpus: Texts as lists of tokens.
        config: Algorithm and sizes.
        seed: Makes the vectors reproducible; one worker trains them.
        progress: Is told how far training is.
        pretrained: A file in word2vec or GloVe text format, or in word2vec binary format (ending in .bin), also
            gzipped; or a model of fastText (.bin), whose n-grams give every word a vector. None: vectors are trained.

    Raises:
        EmbeddingError: The pretrained file cannot be read.
    """
    counts = Counter(token for tokens in corpus for token in tokens)
    if pretrained is None and max(counts.values(), default=0) < config.min_count:
        raise EmbeddingError(no_words(config.min_count))
    # By falling count, then alphabetically: the order does not depend on that of the rows.
    vocabulary = sorted(
        (w for w, n in counts.items() if n >= config.min_count), key=lambda w: (-counts[w], w)
    )[:MOST_WORDS]
    progress, pace = progress or SilentProgress(), {}
    if pretrained:
        vectors = _look_up(pretrained, vocabulary, progress)
    else:
        texts, paced = _pace(corpus, config, seed, progress)
        vectors = _train(texts, vocabulary, paced, seed, progress)
        pace = {"epochs": paced.epochs, "trained_on_texts": len(texts)}
    with_vector = [word for word in vocabulary if word in vectors.of]
    matrix = np.zeros((FIRST_WORD_ID + len(vocabulary), vectors.size), np.float32)
    for index, word in enumerate(vocabulary, FIRST_WORD_ID):
        if word in vectors.of:
            matrix[index] = vectors.of[word]
    if matrix.any():  # else there is no length to scale
        matrix /= np.linalg.norm(matrix, axis=1).sum() / len(with_vector)
    described = _describe(config, pretrained, vectors, corpus, vocabulary, with_vector, matrix)
    return Embeddings(vocabulary, matrix, described | pace)


def _pace(
    corpus: Corpus, config: EmbeddingConfig, seed: int, progress: Progress
) -> tuple[Corpus, EmbeddingConfig]:
    """Return the texts to train on, and how: less where that would be too many words, which is said."""
    num_words = sum(map(len, corpus))
    epochs = min(config.epochs, max(1, _MOST_WORDS // num_words))
    share = min(1.0, _MOST_WORDS / num_words / epochs)
    if share < 1:
        chosen = np.random.default_rng(seed).permutation(len(corpus))[: int(share * len(corpus))]
        corpus = [corpus[row] for row in np.sort(chosen).tolist()]
    if share < 1 or epochs < config.epochs:
        on = f"{len(corpus):,} of the texts, drawn by chance" if share < 1 else "all texts"
        progress.say(
            f"embeddings: {num_words:,} words are many: {counted(epochs, 'epoch')} instead of {config.epochs}, on {on}"
        )
    # A word is as frequent among fewer texts as its share of them.
    least = max(1, int(config.min_count * share))
    return corpus, config.model_copy(update={"epochs": epochs, "min_count": least})


class _Epochs(CallbackAny2Vec):  # type: ignore[misc]  # gensim has no types
    def __init__(self, ended: Callable[[], None]) -> None:
        self._ended = ended

    def on_epoch_end(self, model: object) -> None:
        self._ended()


def _train(
    corpus: Corpus,
    vocabulary: Sequence[str],
    config: EmbeddingConfig,
    seed: int,
    progress: Progress,
) -> WordVectors:
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
            vectors = FastText(bucket=_FASTTEXT_BUCKETS, min_n=3, max_n=5, **options).wv
        else:
            vectors = Word2Vec(**options).wv
    # fastText has a vector for every word, word2vec for those of its texts.
    known = {word: vectors[word] for word in vocabulary if word in vectors}
    return WordVectors(vectors.vector_size, known)


def _look_up(path: Path, vocabulary: Sequence[str], progress: Progress) -> WordVectors:
    if not _is_fasttext(path):
        found = read_vectors(path, dict.fromkeys(vocabulary))
        if found.repeated:
            twice = listed(found.repeated)
            progress.warn(
                f"embeddings.pretrained: {path}: more than one vector for {twice}; the first counts"
            )
        return found
    try:
        vectors = load_facebook_vectors(str(path))
    except (OSError, ValueError, EOFError, NotImplementedError, struct.error, zlib.error) as error:
        raise EmbeddingError(
            f"embeddings.pretrained: {path}: it begins as a model of fastText, and cannot be read ({error}). "
            "Copy it again, or take its .vec file."
        ) from None
    # A word that it was not trained on is the mean of its n-grams.
    return WordVectors(vectors.vector_size, {word: vectors[word] for word in vocabulary})


def _is_fasttext(path: Path) -> bool:
    if ".bin" not in path.suffixes or not path.is_file():
        return False
    try:
        with open_unpacked(path) as file:
            return file.read(4) == _FASTTEXT_MAGIC
    except (OSError, EOFError, zlib.error):  # reading it says why
        return False


def _describe(
    config: EmbeddingConfig,
    pretrained: Path | None,
    vectors: WordVectors,
    corpus: Corpus,
    vocabulary: Sequence[str],
    with_vector: Sequence[str],
    matrix: Matrix,
) -> dict[str, Any]:
    trained = pretrained is None
    return {
        "algorithm": config.algorithm if trained else "pretrained",
        "source": None if trained else str(pretrained),
        "gensim_version": gensim.__version__,
        "vector_size": vectors.size,
        "window": config.window if trained else None,
        "epochs": None,
        "trained_on_texts": None,
        "min_count": config.min_count,
        "vocabulary_size": len(vocabulary),
        "corpus_tokens": sum(map(len, corpus)),
        "vector_hits": len(with_vector),
        "vector_misses": len(vocabulary) - len(with_vector),
        "vectors_sha256": hashlib.sha256(matrix.tobytes()).hexdigest(),
    }
