"""The feature table of a text model: which features have a row, and the weights of texts. No Keras here."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from predict.contract.features import FIRST_WORD_ID, UNKNOWN_ID, TextFeatures

# scipy has no types: a sparse matrix in rows.
Design = Any

# Texts encoded at once: bounds the memory of the padded ids.
ENCODED_AT_ONCE = 256
# Added before a root, for texts without features.
SMALLEST_SQUARE = 1e-9
# A hashed feature that only one of many texts has teaches next to nothing, and most features are of that kind. Words
# are kept: gensim knows more about them.
_MIN_TEXTS_PER_HASHED_FEATURE, _MANY_TEXTS = 2, 10_000


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


def build_table(features: TextFeatures, texts: Sequence[str]) -> FeatureTable:
    """Give a row to every feature that is frequent enough, and weigh it by its inverse document frequency."""
    token_counts = np.zeros(features.first_pair_id + features.settings.pair_buckets, np.int64)
    ngram_counts = np.zeros(1 + features.settings.ngram_buckets, np.int64)
    for start in range(0, len(texts), ENCODED_AT_ONCE):
        encoded = features.encode(texts[start : start + ENCODED_AT_ONCE])
        token_counts += document_frequencies(encoded["token_ids"], len(token_counts))
        ngram_counts += document_frequencies(encoded["ngram_ids"], len(ngram_counts))
    least = _MIN_TEXTS_PER_HASHED_FEATURE if len(texts) >= _MANY_TEXTS else 1
    needed = np.full(len(token_counts), least)
    needed[FIRST_WORD_ID : features.first_pair_id] = (
        0  # every word has a row, and in the order of its id
    )
    token_kept = token_counts >= needed
    ngram_kept = ngram_counts >= least
    # Padding and unknown words say nothing.
    token_kept[: UNKNOWN_ID + 1] = ngram_kept[0] = False
    token_rows = np.where(token_kept, np.cumsum(token_kept), 0)
    ngram_rows = np.where(ngram_kept, token_kept.sum() + np.cumsum(ngram_kept), 0)
    idf = np.zeros((1 + token_kept.sum() + ngram_kept.sum(), 2), np.float32)
    # As in scikit-learn's TfidfTransformer(smooth_idf=True).
    idf[token_rows[token_kept], 0] = np.log((1 + len(texts)) / (1 + token_counts[token_kept])) + 1
    idf[ngram_rows[ngram_kept], 1] = np.log((1 + len(texts)) / (1 + ngram_counts[ngram_kept])) + 1
    return FeatureTable(token_rows.astype(np.int32), ngram_rows.astype(np.int32), idf)


def document_frequencies(ids: npt.NDArray[np.int32], size: int) -> npt.NDArray[np.int64]:
    """Count the rows of <int32>[num_texts, length] in which every id occurs, <int64>[size].

    >>> document_frequencies(np.array([[1, 1, 2], [2, 3, 3]], np.int32), size=4).tolist()
    [0, 1, 2, 1]
    """
    ordered = np.sort(ids, axis=1)
    first = np.diff(ordered, axis=1, prepend=-1) != 0
    return np.bincount(ordered[first], minlength=size)


def weigh(features: TextFeatures, table: FeatureTable, texts: Sequence[str]) -> Design:
    """Return the TF-IDF weights of texts: tokens and n-grams each of length 1.

    Returns:
        A sparse <float32>[num_texts, num_rows] matrix; a text without rows has none.
    """
    parts = [
        _weigh(features, table, texts[start : start + ENCODED_AT_ONCE])
        for start in range(0, len(texts), ENCODED_AT_ONCE)
    ]
    empty = scipy.sparse.csr_matrix((0, len(table.idf)), dtype=np.float32)
    return scipy.sparse.vstack([empty, *parts], format="csr", dtype=np.float32)


def _weigh(features: TextFeatures, table: FeatureTable, texts: Sequence[str]) -> Design:
    encoded = features.encode(texts)
    kinds = (table.token_rows[encoded["token_ids"]], table.ngram_rows[encoded["ngram_ids"]])
    rows = np.concatenate(kinds, axis=1)
    weights = np.concatenate(
        [_of_length_one(table.idf[kind, column]) for column, kind in enumerate(kinds)], axis=1
    )
    owners, places = np.nonzero(rows)
    values = (weights[owners, places], (owners, rows[owners, places]))
    return scipy.sparse.csr_matrix(values, shape=(len(texts), len(table.idf)), dtype=np.float32)


def _of_length_one(weights: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    squares = np.square(weights).sum(axis=1, keepdims=True, dtype=np.float32)
    of_length_one: npt.NDArray[np.float32] = weights / np.sqrt(squares + SMALLEST_SQUARE)
    return of_length_one
