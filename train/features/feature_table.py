"""The feature table of a text model: which features have a row, their weights, and texts as rows. No Keras here."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy.sparse

from predict.contract.features import FIRST_WORD_ID, UNKNOWN_ID, TextFeatures

Rows = npt.NDArray[np.int32]

# Texts encoded at once: bounds the memory of the padded ids.
ENCODED_AT_ONCE = 256
# Added before a root, for texts without features.
SMALLEST_SQUARE = 1e-9
# A hashed feature that only one text has teaches nothing. Words are kept: gensim knows more about them.
_MIN_TEXTS_PER_HASHED_FEATURE = 2
_POWER_ITERATIONS = 20


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
    needed = np.full(len(token_counts), _MIN_TEXTS_PER_HASHED_FEATURE)
    needed[FIRST_WORD_ID : features.first_pair_id] = (
        0  # every word has a row, and in the order of its id
    )
    token_kept = token_counts >= needed
    ngram_kept = ngram_counts >= _MIN_TEXTS_PER_HASHED_FEATURE
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


def encode_rows(
    features: TextFeatures, table: FeatureTable, texts: Sequence[str]
) -> list[npt.NDArray[np.int32]]:
    """Return for each text the rows of the table that it has, <int32>[varying]."""
    rows: list[npt.NDArray[np.int32]] = []
    for start in range(0, len(texts), ENCODED_AT_ONCE):
        encoded = features.encode(texts[start : start + ENCODED_AT_ONCE])
        padded = np.concatenate(
            [table.token_rows[encoded["token_ids"]], table.ngram_rows[encoded["ngram_ids"]]], axis=1
        )
        rows += [row[row > 0] for row in padded]
    return rows


def pad_rows(rows: Sequence[npt.NDArray[np.int32]]) -> npt.NDArray[np.int32]:
    """Return <int32>[num_texts, longest], padded with 0.

    >>> pad_rows([np.array([5, 6], np.int32), np.array([7], np.int32)]).tolist()
    [[5, 6], [7, 0]]
    """
    padded = np.zeros((len(rows), max(1, *map(len, rows)) if rows else 1), np.int32)
    for target, row in zip(padded, rows, strict=True):
        target[: len(row)] = row
    return padded


def largest_eigenvalue(
    table: FeatureTable, rows: Sequence[Rows], weights: npt.NDArray[np.float32]
) -> float:
    """Return how strongly texts point in one common direction, by power iteration.

    It is the largest eigenvalue of the mean of x xᵀ over the TF-IDF vectors x of the texts, which are of length
    1 for tokens and for n-grams: near 0 for texts that have little in common, near 2 for copies of one text.

    Args:
        table: The weights of the rows.
        rows: One array of rows a text.
        weights: <float32>[num_texts], how much each text counts.
    """
    lengths = np.array([len(text) for text in rows])
    owner = np.repeat(np.arange(len(rows)), lengths)
    indices = np.concatenate([*rows, np.zeros(0, np.int32)])
    idf = table.idf[indices]
    squares = np.zeros((len(rows), idf.shape[1]))
    np.add.at(squares, owner, idf * idf)
    values = (idf / np.sqrt(squares[owner] + SMALLEST_SQUARE)).sum(axis=1) * np.sqrt(weights)[owner]
    matrix = scipy.sparse.csr_matrix((values, (owner, indices)), shape=(len(rows), len(table.idf)))
    vector, eigenvalue = np.ones(len(table.idf)), 0.0
    for _ in range(_POWER_ITERATIONS):
        vector = matrix.T @ (matrix @ vector) / len(rows)
        eigenvalue = float(np.linalg.norm(vector))
        if not eigenvalue:  # no text has any row
            break
        vector /= eigenvalue
    return eigenvalue
