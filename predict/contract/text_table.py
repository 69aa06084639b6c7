"""The table of a text model: what each feature adds to the sums that the model reads.

Training writes it as three files. Serving maps them into memory, which workers then share.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from predict.contract.arrays import map_array
from predict.contract.artefact import ROWS, SQUARES, VECTORS
from predict.contract.features import Part, TextFeatures

# What is added to a sum of squares before its root is taken: a text may have no features.
SMALLEST_SQUARE = 1e-9
# The input of `model.onnx`.
SUMS = "sums"
# The weights of the head, which `model.onnx` puts out after the answer: a server computes single answers itself. Those
# of an encoder's vectors, of the hidden layer and of the prior are missing where there is none.
LOG_PRIOR = "log_prior"
HEAD = ("encoder_kernel", "hidden_kernel", "hidden_bias", "kernel", "bias", LOG_PRIOR)

Sums = npt.NDArray[np.float32]


@dataclass(frozen=True)
class TextTable:
    """The rows of features, and what they add.

    A text becomes two sums, of its words and pairs and of its n-grams: the sum of `squares`, then that of `vectors`.

    Attributes:
        rows: The row of each id, <int32>[first pair id + pair buckets + 1 + ngram buckets]: of token ids, then of
            n-gram ids; 0 for those without one.
        squares: <float32>[num_rows], the squared weight of each; 0 for row 0.
        vectors: <float16>[num_rows, width], the weighted vector of each; 0 for row 0.
    """

    rows: npt.NDArray[np.int32]
    squares: npt.NDArray[np.float32]
    vectors: npt.NDArray[np.float16]
    # How many of `rows` are those of token ids.
    num_token_ids: int

    @property
    def width(self) -> int:
        """How many numbers a sum has."""
        return 1 + int(self.vectors.shape[1])

    def write(self, directory: Path) -> None:
        """Write the three files."""
        for name, array in self._files().items():
            np.save(directory / name, array, allow_pickle=False)

    @classmethod
    def read(cls, directory: Path, features: TextFeatures) -> Self:
        """Map the three files of an artefact into memory.

        Raises:
            ValueError: They do not fit one another, or the features.
        """
        rows, squares, vectors = (map_array(directory / name) for name in (ROWS, SQUARES, VECTORS))
        table = cls(rows, squares, vectors, features.num_token_ids)
        num_rows = squares.size
        expected = {
            ROWS: (np.int32, (features.num_token_ids + features.num_ngram_ids,)),
            SQUARES: (np.float32, (num_rows,)),
            VECTORS: (np.float16, (num_rows, *vectors.shape[1:2])),
        }
        for name, array in table._files().items():
            dtype, shape = expected[name]
            if array.dtype != dtype or array.shape != shape or not array.size:
                raise ValueError(
                    f"{name}: expected {np.dtype(dtype)} of shape {shape}, got {array.dtype} of shape {array.shape}"
                )
        if not 0 <= int(rows.min()) <= int(rows.max()) < num_rows:
            raise ValueError(f"{ROWS}: expected rows from 0 to {num_rows - 1}")
        return table

    def sums_of(self, parts: Sequence[Part]) -> Sums:
        """Return what each part adds, <float32>[num_parts, 2, width]: by its tokens and by its n-grams.

        Args:
            parts: At least one.
        """
        sums = np.empty((len(parts), 2, self.width), np.float32)
        for kind, start in enumerate((0, self.num_token_ids)):
            # Every part begins with the id 0, whose row is empty: a sum of nothing would be that of its successor.
            ids = [b"\0\0\0\0" + part[kind] for part in parts]
            rows = self.rows[np.frombuffer(b"".join(ids), np.int32) + start]
            starts = np.cumsum([0, *(len(part) // 4 for part in ids[:-1])])
            sums[:, kind, 0] = np.add.reduceat(self.squares[rows], starts)
            sums[:, kind, 1:] = np.add.reduceat(
                self.vectors[rows].astype(np.float32), starts, axis=0
            )
        return sums

    def _files(self) -> dict[str, npt.NDArray[Any]]:
        return {ROWS: self.rows, SQUARES: self.squares, VECTORS: self.vectors}
