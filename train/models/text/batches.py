"""What both heads of the text model need to train on batches of sparse rows. No Keras here."""

import math
from copy import deepcopy
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy.sparse

from train.features.feature_table import Design

Floats = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

# The batches of an epoch that are aimed at, and the sizes that are of use; and from how many batches on larger ones
# are, which read the same rows of the table less often.
_BATCHES, _SMALLEST_BATCH, _LARGEST_BATCH = 100, 16, 128
_MOST_BATCHES = 2_500
# What Adagrad's sum of squares begins with, so that no row without a gradient divides by zero.
_SMALLEST_SQUARE = 1e-14


def batch_size(num_texts: int) -> int:
    """Return the power of two with which an epoch has about `_BATCHES` batches, within bounds.

    >>> batch_size(460), batch_size(2_000), batch_size(100_000), batch_size(800_000)
    (16, 16, 128, 256)
    """
    size = 1 << round(math.log2(max(1, num_texts / _BATCHES)))
    largest = max(_LARGEST_BATCH, 1 << round(math.log2(max(1, num_texts / _MOST_BATCHES))))
    return min(max(size, _SMALLEST_BATCH), largest)


def cut_into_batches(num_texts: int, size: int, random: np.random.Generator) -> list[Indices]:
    """Return the numbers of all texts by chance in batches, those of each batch in order."""
    order = random.permutation(num_texts)
    return [np.sort(batch) for batch in np.split(order, range(size, num_texts, size))]


def compact(indices: npt.NDArray[Any], data: Floats, ends: Any) -> tuple[Indices, Design]:
    """Return which columns a sparse matrix has, and the matrix of these columns alone.

    Args:
        indices: The columns of what there is, as scipy has it in a matrix by rows.
        data: What there is.
        ends: Where rows begin and end, <int>[num_rows + 1].
    """
    columns, places = np.unique(indices, return_inverse=True)
    matrix = scipy.sparse.csr_matrix((data, places, ends), (len(ends) - 1, len(columns)))
    return columns, matrix


class Rows:
    """Vectors that are trained, and how steep the loss was for each so far: Adagrad, with one rate a row.

    Duchi, Hazan and Singer (JMLR 2011): what is rarely met keeps its rate, what is often met settles.
    """

    def __init__(self, vectors: Floats) -> None:
        """Begin with a copy of vectors, <float32>[num_rows, any number]."""
        self.vectors = vectors.copy()
        # The sum of the mean squared gradients of each row.
        self._squares = np.full(len(vectors), _SMALLEST_SQUARE, np.float32)

    def copy(self) -> "Rows":
        """Return the same, to be kept."""
        return deepcopy(self)

    def update(self, rows: Indices, gradient: Floats, rate: float) -> None:
        """Take a step against the gradient of some rows, each once, <float32>[num_given, any number]."""
        self._squares[rows] += np.einsum("ij,ij->i", gradient, gradient) / gradient.shape[1]
        rates = np.float32(rate) / np.sqrt(self._squares[rows])
        self.vectors[rows] -= rates[:, np.newaxis] * gradient
