"""The feature table of a text model: which features have a row, and the weights of texts. No Keras here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from predict.contract.features import FIRST_WORD_ID, UNKNOWN_ID, Parts, TextFeatures
from predict.contract.text_table import SMALLEST_SQUARE, TextTable

# scipy has no types: a sparse matrix in rows.
Design = Any

# A hashed feature that only one of many texts has teaches next to nothing, and most features are of that kind. Words
# are kept: gensim knows more about them.
_MIN_TEXTS_PER_HASHED_FEATURE, _MANY_TEXTS = 2, 10_000
# Texts whose parts are in memory at once: 100 MB for short ones.
_TEXTS_AT_ONCE = 1 << 15


@dataclass(frozen=True)
class FeatureTable:
    """Which row of the model's table every feature id has; 0 for those without one.

    Attributes:
        token_rows: <int32>[first pair id + pair buckets], of words and word pairs.
        ngram_rows: <int32>[1 + ngram buckets], of character n-grams.
        idf: <float32>[num_rows, 2]; column 0 weighs words and pairs, column 1 n-grams, zero elsewhere.
    """

    token_rows: npt.NDArray[np.int32]
    ngram_rows: npt.NDArray[np.int32]
    idf: npt.NDArray[np.float32]

    @property
    def weights(self) -> npt.NDArray[np.float32]:
        """The weight of each row, of whichever kind, <float32>[num_rows]."""
        weights: npt.NDArray[np.float32] = self.idf.sum(axis=1)
        return weights

    def served(self, vectors: npt.NDArray[np.float32]) -> TextTable:
        """Return what a server adds up, given a vector <float32>[num_rows, width] for each row."""
        weighted = self.weights[:, np.newaxis] * vectors
        rows = np.concatenate([self.token_rows, self.ngram_rows])
        return TextTable(
            rows, np.square(self.weights), weighted.astype(np.float16), len(self.token_rows)
        )


def build_table(features: TextFeatures, texts: Sequence[str]) -> tuple[FeatureTable, Design]:
    """Give a row to every feature that is frequent enough, and weigh it by its inverse document frequency.

    Returns:
        The table, and what `weigh` returns for the texts, which are read only once.
    """
    counts = list(_count(features, texts))
    tokens, ngrams = _document_frequencies(counts, features)
    least = _MIN_TEXTS_PER_HASHED_FEATURE if len(texts) >= _MANY_TEXTS else 1
    needed = np.full(len(tokens), least)
    # Every word has a row, and in the order of its id.
    needed[FIRST_WORD_ID : features.first_pair_id] = 0
    token_kept, ngram_kept = tokens >= needed, ngrams >= least
    # Padding and unknown words say nothing.
    token_kept[: UNKNOWN_ID + 1] = ngram_kept[0] = False
    token_rows = np.where(token_kept, np.cumsum(token_kept), 0)
    ngram_rows = np.where(ngram_kept, token_kept.sum() + np.cumsum(ngram_kept), 0)
    idf = np.zeros((1 + token_kept.sum() + ngram_kept.sum(), 2), np.float32)
    idf[token_rows[token_kept], 0] = inverse_frequencies(tokens[token_kept], len(texts))
    idf[ngram_rows[ngram_kept], 1] = inverse_frequencies(ngrams[ngram_kept], len(texts))
    table = FeatureTable(token_rows.astype(np.int32), ngram_rows.astype(np.int32), idf)
    return table, _weigh_all(table, counts)


def inverse_frequencies(counts: npt.NDArray[Any], num_texts: int) -> npt.NDArray[np.float64]:
    """Return the weight of what so many of all texts have, as scikit-learn's TfidfTransformer(smooth_idf=True) does."""
    weights: npt.NDArray[np.float64] = np.log((1 + num_texts) / (1 + counts)) + 1
    return weights


def weigh(features: TextFeatures, table: FeatureTable, texts: Sequence[str]) -> Design:
    """Return the TF-IDF weights of texts, as a server sums them up: tokens and n-grams each of about length 1.

    The square of a length is taken as the sum of the squared weights of all occurrences, so that it too is a sum over
    the parts of a text.

    Returns:
        A sparse <float32>[num_texts, num_rows] matrix; a text without rows has none.
    """
    return _weigh_all(table, list(_count(features, texts)))


def _weigh_all(table: FeatureTable, counts: list[Design]) -> Design:
    """Return the weights of all counts, which are given up one by one: those of many texts take gigabytes."""
    weighed: list[Design] = [scipy.sparse.csr_matrix((0, len(table.idf)), dtype=np.float32)]
    for place, some in enumerate(counts):
        weighed.append(_weigh(table, some))
        counts[place] = None
    if len(weighed) == 2:
        return weighed[1]
    # `scipy.sparse.vstack` would make more copies.
    data = np.concatenate([some.data for some in weighed])
    indices = np.concatenate([some.indices for some in weighed])
    lengths = np.concatenate([np.diff(some.indptr) for some in weighed])
    return _matrix(data, indices, lengths, len(table.idf))


def _weigh(table: FeatureTable, counts: Design) -> Design:
    """Return the weights of the texts whose ids are counted, sparse <float32>[num_texts, num_rows]."""
    rows = np.concatenate([table.token_rows, table.ngram_rows])[counts.indices]
    # What is of one text and of one kind has one length.
    lengths_of = np.repeat(np.arange(0, 2 * counts.shape[0], 2), np.diff(counts.indptr))
    lengths_of += counts.indices >= len(table.token_rows)
    weights = table.weights[rows]
    squares = np.bincount(
        lengths_of, counts.data * np.square(weights, dtype=np.float64), 2 * counts.shape[0]
    )
    weights *= counts.data
    weights *= (1 / np.sqrt(squares + SMALLEST_SQUARE)).astype(np.float32)[lengths_of]
    has_row = rows > 0
    lengths = np.bincount(lengths_of[has_row] // 2, minlength=counts.shape[0])
    return _matrix(weights[has_row], rows[has_row], lengths, len(table.idf))


def _count(features: TextFeatures, texts: Sequence[str]) -> Iterator[Design]:
    """Count the ids in the parts of texts, some texts at a time: the parts of all would take gigabytes.

    Yields:
        Sparse <float32>[num_texts, num_token_ids + num_ngram_ids]; the ids of n-grams come after those of tokens.
    """
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        parts = Parts(features)
        numbers = [parts.of(text) for text in texts[start : start + _TEXTS_AT_ONCE]]
        of_texts = _ones(np.concatenate(numbers), [len(own) for own in numbers], len(parts.ids))
        yield of_texts @ _ids_of(parts, features)


def _ids_of(parts: Parts, features: TextFeatures) -> Design:
    """Return how often each part has an id, as `_count` does for texts."""
    joined = np.frombuffer(b"".join(kind for part in parts.ids for kind in part), np.int32)
    lengths = np.array([len(kind) // 4 for part in parts.ids for kind in part])
    starts = np.tile(np.array([0, features.num_token_ids], np.int32), len(parts.ids))
    width = features.num_token_ids + features.num_ngram_ids
    return _ones(joined + np.repeat(starts, lengths), lengths.reshape(-1, 2).sum(axis=1), width)


def _ones(columns: npt.NDArray[Any], lengths: Any, width: int) -> Design:
    """Return a sparse <float32>[num_rows, width] matrix of how often each row has a column."""
    matrix = _matrix(np.ones(len(columns), np.float32), columns, lengths, width)
    matrix.sum_duplicates()
    return matrix


def _matrix(data: npt.NDArray[np.float32], columns: Any, lengths: Any, width: int) -> Design:
    """Return a sparse matrix, given what its rows have and how much each has."""
    ends = np.concatenate([[0], np.cumsum(lengths)])
    return scipy.sparse.csr_matrix((data, columns, ends), shape=(len(lengths), width))


def _document_frequencies(
    counts: Sequence[Design], features: TextFeatures
) -> list[npt.NDArray[np.int64]]:
    """Return in how many texts each token id is, and each n-gram id."""
    frequencies = np.zeros(features.num_token_ids + features.num_ngram_ids, np.int64)
    for some in counts:
        frequencies += np.bincount(some.indices, minlength=len(frequencies))
    return np.split(frequencies, [features.num_token_ids])
