"""Texts as padded rows of ids: what `model.onnx` of text models reads that were written in formats 1 and 2.

A text becomes two rows of ids, 0 being padding in both:

- `token_ids`: the ids of its words, then those of adjacent word pairs;
- `ngram_ids`: the ids of its character n-grams.

Every id counts once, however often it occurs.
"""

from array import array
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from predict.contract.features import TextFeatures

Ids = npt.NDArray[np.int32]


def encode(features: TextFeatures, texts: Sequence[str]) -> dict[str, Ids]:
    """Turn texts into padded rows of ids.

    Args:
        features: Those of the model.
        texts: As typed. At least one.

    Returns:
        `token_ids` and `ngram_ids`, each <int32>[num_texts, longest row]; every id once, 0 being padding.
    """
    token_rows, ngram_rows = [], []
    for text in texts:
        pieces = features.pieces(text)
        words = [word for piece in pieces for word in piece.words]
        pairs = [pair for two in pairwise(words) if (pair := features.pair_id(*two)) is not None]
        ids = dict.fromkeys([word.id for word in words] + pairs)
        token_rows.append(array("i", ids).tobytes())
        ngram_rows.append(_distinct(b"".join([piece.ngram_ids for piece in pieces])))
    return {"token_ids": _pad(token_rows), "ngram_ids": _pad(ngram_rows)}


def _distinct(row: bytes) -> bytes:
    ids = np.sort(np.frombuffer(row, np.int32))
    first = np.ones(len(ids), bool)
    np.not_equal(ids[1:], ids[:-1], out=first[1:])
    return ids[first].tobytes()


def _pad(rows: Sequence[bytes]) -> Ids:
    # At least one column: a row without ids is all padding.
    width = max(4, *map(len, rows)) if rows else 4
    joined = b"".join([row.ljust(width, b"\0") for row in rows])
    return np.frombuffer(joined, dtype=np.int32).reshape(len(rows), width // 4)
