"""The feature table of a text model: which features have a row, and the weights of texts. No Keras here."""

from collections.abc import Sequence
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


def build_table(features: TextFeatures, texts: Sequence[str]) -> FeatureTable:
    """Give a row to every feature that is frequent enough, and weigh it by its inverse document frequency."""
    tokens, ngrams = map(_document_frequencies, _count(features, texts))
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
    # As in scikit-learn's TfidfTransformer(smooth_idf=True).
    idf[token_rows[token_kept], 0] = np.log((1 + len(texts)) / (1 + tokens[token_kept])) + 1
    idf[ngram_rows[ngram_kept], 1] = np.log((1 + len(texts)) / (1 + ngrams[ngram_kept])) + 1
    return FeatureTable(token_rows.astype(np.int32), ngram_rows.astype(np.int32), idf)


def weigh(features: TextFeatures, table: FeatureTable, texts: Sequence[str]) -> Design:
    """Return the TF-IDF weights of texts, as a server sums them up: tokens and n-grams each of about length 1.

    The square of a length is taken as the sum of the squared weights of all occurrences, so that it too is a sum over
    the parts of a text.

    Returns:
        A sparse <float32>[num_texts, num_rows] matrix; a text without rows has none.
    """
    design: Design = scipy.sparse.csr_matrix((len(texts), len(table.idf)), dtype=np.float32)
    all_rows = (table.token_rows, table.ngram_rows)
    for counts, rows, idf in zip(_count(features, texts), all_rows, table.idf.T, strict=True):
        ids = np.flatnonzero(rows)
        to_rows = scipy.sparse.csr_matrix(
            (idf[rows[ids]], (ids, rows[ids])), shape=(len(rows), len(idf)), dtype=np.float32
        )
        weights = counts @ to_rows
        squares = counts @ np.square(idf[rows], dtype=np.float64)
        lengths = scipy.sparse.diags((1 / np.sqrt(squares + SMALLEST_SQUARE)).astype(np.float32))
        design = design + lengths @ weights
    return design.tocsr()


def _count(features: TextFeatures, texts: Sequence[str]) -> tuple[Design, Design]:
    """Count the ids of tokens and of n-grams in the parts of texts, sparse <float32>[num_texts, num_ids] each."""
    parts = Parts(features)
    of_texts = _ones([parts.of(text) for text in texts], len(parts.ids))
    counts = (
        of_texts @ _ones([np.frombuffer(part[kind], np.int32) for part in parts.ids], num_ids)
        for kind, num_ids in enumerate((features.num_token_ids, features.num_ngram_ids))
    )
    tokens, ngrams = counts
    return tokens, ngrams


def _ones(rows: Sequence[Any], width: int) -> Design:
    """Return a sparse <float32>[num_rows, width] matrix of how often each row has a column."""
    starts = np.cumsum([0, *map(len, rows)])
    columns = np.concatenate([*rows, np.zeros(0, np.int64)]).astype(np.int64)
    matrix = scipy.sparse.csr_matrix(
        (np.ones(len(columns), np.float32), columns, starts), shape=(len(rows), width)
    )
    matrix.sum_duplicates()
    return matrix


def _document_frequencies(counts: Design) -> npt.NDArray[np.int64]:
    frequencies: npt.NDArray[np.int64] = np.bincount(counts.indices, minlength=counts.shape[1])
    return frequencies
