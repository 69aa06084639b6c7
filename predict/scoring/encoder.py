"""Pretrained encoders at work: texts as vectors of length one. Training and serving both compute them here."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from predict.contract.arrays import map_array
from predict.contract.encoder import EncoderSettings
from predict.contract.wordpiece import WordPiece
from predict.scoring.session import RUN_LIMIT_S, Session, open_session

# <float32>[num_texts, width].
Encoded = npt.NDArray[np.float32]

_IDS, _MASK, _TYPES = "input_ids", "attention_mask", "token_type_ids"
# What a network calls the vector of a text, if it adds up those of its pieces itself.
_OF_TEXT = "sentence_embedding"


class Encoder(Protocol):
    """An encoder that is ready; several threads may ask at once."""

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return the vectors of texts, <float32>[num_texts, width], of length one, or 0 for a text without pieces."""
        ...


class StaticEncoder:
    """Adds up a vector for each piece of a text."""

    def __init__(self, pieces: WordPiece, vectors: npt.NDArray[np.float16]) -> None:
        """Take the vectors of pieces, <float16>[num_pieces, width].

        Raises:
            ValueError: There is not one for each piece.
        """
        expected = len(pieces.vocabulary)
        if vectors.dtype != np.float16 or vectors.ndim != 2 or len(vectors) != expected:
            raise ValueError(
                f"expected float16 of shape ({expected}, width), got {vectors.dtype} of shape {vectors.shape}"
            )
        # A mapped array costs some microseconds more whenever numpy makes a new one of it.
        self._pieces, self._vectors = pieces, vectors.view(np.ndarray)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """See `Encoder`."""
        sums = np.zeros((len(texts), self._vectors.shape[1]), np.float32)
        for row, text in enumerate(texts):
            if ids := self._pieces.ids(text):
                # Half precision would be added up in half precision.
                self._vectors.take(ids, axis=0).astype(np.float32).sum(axis=0, out=sums[row])
        return _of_length_one(sums)


class OnnxEncoder:
    """Asks a network that reads the pieces of a text in order, such as MiniLM. It takes milliseconds a text."""

    def __init__(self, pieces: WordPiece, session: Session) -> None:
        """Take a network with BERT's inputs.

        Raises:
            ValueError: It has other inputs, or no output of a vector a piece or a text.
        """
        self._pieces, self._session = pieces, session
        inputs = session.input_types
        if not {_IDS} <= inputs.keys() <= {_IDS, _MASK, _TYPES} or set(inputs.values()) != {
            "tensor(int64)"
        }:
            raise ValueError(
                f"expected the inputs {_IDS}, {_MASK} and {_TYPES} of int64, got {inputs}"
            )
        self._inputs = list(inputs)
        self._output = _OF_TEXT if _OF_TEXT in session.outputs else session.outputs[0]

    def encode(self, texts: Sequence[str]) -> Encoded:
        """See `Encoder`. The mean of the vectors of pieces, unless the network returns one of its own.

        Each text is asked alone: what a quantised network answers depends on what else is in its batch.
        """
        return np.concatenate([self.encode_ids([self._pieces.ids(text)]) for text in texts])

    def encode_ids(self, texts: Sequence[Sequence[int]]) -> Encoded:
        """Return the same for texts that are pieces already, as many in each, asked together."""
        ids = np.array(texts, np.int64)
        values = {_IDS: ids, _MASK: np.ones_like(ids), _TYPES: np.zeros_like(ids)}
        feeds = {name: values[name] for name in self._inputs}
        [output] = self._session.run([self._output], feeds)
        if output.ndim == 3 and output.shape[:2] == ids.shape:
            output = output.mean(axis=1)
        if output.ndim != 2 or len(output) != len(ids) or not output.size:
            raise ValueError(
                f"expected a vector for each piece or for the text, got an array of shape {output.shape}"
            )
        return _of_length_one(output.astype(np.float32))


def open_encoder(
    settings: EncoderSettings,
    directory: Path,
    read: Callable[[str], bytes] | None = None,
    limit_s: float | None = RUN_LIMIT_S,
) -> Encoder:
    """Return the encoder of an artefact, whose settings were read.

    Args:
        settings: Those of the artefact.
        directory: That of the artefact.
        read: Returns the content of one of its files; None: what is in the directory.
        limit_s: For each run of a network; None for none.

    Raises:
        ValueError: Its file is not what was written.
    """
    file = directory / settings.file
    if settings.kind == "static":
        return StaticEncoder(settings.pieces, map_array(file))
    content = file.read_bytes() if read is None else read(settings.file)
    return OnnxEncoder(settings.pieces, open_session(content, read, limit_s))


def _of_length_one(vectors: Encoded) -> Encoded:
    lengths = np.sqrt(np.square(vectors).sum(axis=1, keepdims=True))
    unit: Encoded = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 0)
    return unit
