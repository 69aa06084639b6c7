"""The files of a pretrained encoder in an artefact: `encoder.json`, and its vectors or its model.

An encoder turns a whole text into a vector of length one, which the text model reads beside the sums of its words.
There are two kinds: `static` adds up a vector for each word piece, `onnx` is a network that reads the pieces in order.
"""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from predict.contract.wordpiece import WordPiece, WordPieceSettings

ENCODER = "encoder.json"
# Of a static encoder, <float16>[num_pieces, width]; of an ONNX one, the network.
PIECES, NETWORK = "pieces.npy", "encoder.onnx"
# The licence under which the encoder was published.
LICENCE = "ENCODER-LICENSE.txt"
# The input of `model.onnx` that takes the vectors of texts, <float32>[num_texts, width].
ENCODED = "encoded"

EncoderKind = Literal["static", "onnx"]


class EncoderSettings(BaseModel):
    """The content of `encoder.json`."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: EncoderKind
    wordpiece: WordPieceSettings
    # By id.
    vocabulary: Annotated[list[str], Field(min_length=1, max_length=1_000_000)]

    @property
    def pieces(self) -> WordPiece:
        """What turns texts into ids."""
        return WordPiece(self.wordpiece, self.vocabulary)

    @property
    def file(self) -> str:
        """The file with the vectors, or with the network."""
        return PIECES if self.kind == "static" else NETWORK

    @classmethod
    def read(cls, directory: Path) -> Self:
        """Read `encoder.json`; see `parse`."""
        return cls.parse((directory / ENCODER).read_bytes())

    @classmethod
    def parse(cls, content: bytes) -> Self:
        """Take the content of `encoder.json`; raise ValueError if it is not what was written."""
        return cls.model_validate_json(content)

    def write(self, directory: Path) -> None:
        """Write `encoder.json`."""
        (directory / ENCODER).write_text(self.model_dump_json(), encoding="utf-8")
