"""Pretrained encoders: read from the files that a configuration names, and asked about each text once."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file

from predict.contract.artefact import sha256_of
from predict.contract.encoder import LICENCE, NETWORK, PIECES, EncoderKind, EncoderSettings
from predict.contract.wordpiece import WordPiece
from predict.scoring.encoder import Encoded, Encoder, OnnxEncoder, StaticEncoder
from predict.scoring.session import open_session
from predict.wording import counted, listed
from train.config import TrainConfig
from train.config.sections import EncoderConfig
from train.data import files
from train.errors import DatasetError
from train.features.pretrained import EmbeddingError
from train.features.wordpiece_files import read_wordpiece
from train.progress import Progress

T = TypeVar("T")

_KEY = "embeddings.encoder"
_TOKENIZERS = ("tokenizer.json", "vocab.txt")
# What a file of static vectors calls them: model2vec's name, and PyTorch's.
_VECTORS = ("embeddings", "embedding.weight", "embeddings.weight")
# Texts that are asked before the progress is told, and texts that are worth a file.
_BATCH, _MANY = 32, 500
# How many texts of a cache are asked again, to see that it is what this encoder says here.
_TRIED = 3


class PretrainedEncoder:
    """An encoder as an artefact has it, which remembers the texts that it was asked about.

    Attributes:
        pieces: What it makes of a text.
        width: How many numbers the vector of a text has.
        metadata: What the artefact keeps about it.
    """

    def __init__(self, config: TrainConfig, encoder: EncoderConfig, progress: Progress) -> None:
        """Find the files of an encoder, and make of them what a server reads.

        Raises:
            DatasetError: A file is not there.
            EmbeddingError: The files are not those of an encoder that can be served.
        """
        self._progress, self._cache = progress, config.data_dir / "encoded"
        self._licence: bytes | None = None
        model = files.find(encoder.model, f"{_KEY}.model", config, progress)
        tokenizer = _find_tokenizer(encoder, model, config, progress)
        self._model = model
        try:
            is_network = model.suffix == ".onnx"
            self.pieces = read_wordpiece(tokenizer, encoder.max_tokens, bare=not is_network)
            # The vectors of a static encoder; None for a network.
            self._static = None if is_network else _read_vectors(model, self.pieces)
            self._encoder: Encoder = (
                OnnxEncoder(self.pieces, open_session(model.read_bytes(), limit_s=None))
                if self._static is None
                else StaticEncoder(self.pieces, self._static)
            )
            [first] = self._encoder.encode(["a"])
        except EmbeddingError:
            raise
        except Exception as error:  # onnxruntime's own exceptions share no narrower base
            raise EmbeddingError(f"{_KEY}: {model}: {error}") from None
        self.width = len(first)
        self._rows: dict[str, int] = {}
        self._vectors: Encoded = np.zeros((0, self.width), np.float32)
        self.metadata: dict[str, Any] = {
            "kind": self._kind,
            "source": encoder.model.file,
            "sha256": sha256_of(model),
            "tokenizer_sha256": sha256_of(tokenizer),
            "width": self.width,
            "max_tokens": encoder.max_tokens,
            "licence": self._find_licence(encoder, model, config),
        }

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return the vectors of texts, <float32>[num_texts, width]; those asked before are remembered."""
        new = [text for text in dict.fromkeys(texts) if text not in self._rows]
        if new:
            start = len(self._rows)
            self._vectors = np.vstack([self._vectors, self._ask(new)])
            self._rows |= {text: start + number for number, text in enumerate(new)}
        vectors: Encoded = self._vectors[[self._rows[text] for text in texts]]
        return vectors

    def encode_pieces(self, texts: Sequence[Sequence[int]]) -> Encoded:
        """Return what a network makes of texts that are ids of pieces already, <float32>[num_texts, width].

        Raises:
            EmbeddingError: The encoder is no network.
        """
        encoder = self._encoder
        if not isinstance(encoder, OnnxEncoder):
            raise EmbeddingError(
                f"{_KEY}.model: expected a network (.onnx) to distil; {self.metadata['source']} is static already."
            )
        # The network takes texts of one length at once, and they are its price.
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        groups = (list(group) for _, group in groupby(order, lambda number: len(texts[number])))
        batches = [batch for group in groups for batch in _batches(group)]
        vectors = np.empty((len(texts), self.width), np.float32)
        found = _in_threads(
            lambda batch: encoder.encode_ids([texts[number] for number in batch]),
            batches,
            self._progress,
        )
        vectors[order] = np.concatenate(found)
        return vectors

    def write(self, directory: Path) -> None:
        """Write the encoder's files into an artefact.

        Raises:
            EmbeddingError: The network is not what it was.
        """
        settings = EncoderSettings(
            kind=self._kind,
            wordpiece=self.pieces.settings,
            vocabulary=list(self.pieces.vocabulary),
        )
        settings.write(directory)
        if self._static is not None:
            np.save(directory / PIECES, self._static, allow_pickle=False)
        else:
            shutil.copyfile(self._model, directory / NETWORK)
            if sha256_of(directory / NETWORK) != self.metadata["sha256"]:
                raise EmbeddingError(f"{_KEY}.model: {self._model} was changed during the run.")
        self.write_licence(directory / LICENCE)

    def write_licence(self, file: Path) -> None:
        """Write the licence text, if there is one."""
        if self._licence is not None:
            file.write_bytes(self._licence)

    @property
    def _kind(self) -> EncoderKind:
        return "onnx" if self._static is None else "static"

    def _find_licence(self, encoder: EncoderConfig, model: Path, config: TrainConfig) -> str | None:
        """Keep the licence text of the encoder, and return what it is called."""
        if encoder.licence is not None:
            file = files.find(encoder.licence, f"{_KEY}.licence", config, self._progress)
            self._licence = file.read_bytes()
            return encoder.licence.file
        licence = files.licence_of(encoder.model, model)
        if licence is None or licence.text is None:
            known = f" ({licence.about})" if licence else ""
            self._progress.warn(
                f"{_KEY}: no licence text lies beside {encoder.model.file}{known}, so the artefact has none. "
                f"Set {_KEY}.licence to a file with it"
            )
        else:
            self._licence = licence.text.encode()
        return licence.about if licence else None

    def _ask(self, texts: Sequence[str]) -> Encoded:
        """Encode texts that are not remembered. What takes long is kept in a file, and found there again."""
        if self._static is not None:
            return self._encoder.encode(texts)
        if len(texts) < _MANY:
            return self._ask_in_threads(texts)
        digest = hashlib.sha256()
        identity = ("sha256", "tokenizer_sha256", "max_tokens")
        for part in (*(str(self.metadata[key]) for key in identity), *texts):
            digest.update(part.encode("utf-8", "surrogatepass") + b"\0")
        file = self._cache / f"{digest.hexdigest()[:32]}.npy"
        vectors = self._kept(file, texts)
        if vectors is None:
            vectors = self._ask_in_threads(texts)
            _save(file, vectors)
        return vectors

    def _ask_in_threads(self, texts: Sequence[str]) -> Encoded:
        return np.concatenate(_in_threads(self._encoder.encode, _batches(texts), self._progress))

    def _kept(self, file: Path, texts: Sequence[str]) -> Encoded | None:
        """Return the vectors that a file has of texts, unless they are not what this encoder says."""
        try:
            vectors: Encoded = np.load(file, allow_pickle=False)
        except (OSError, ValueError, EOFError):  # not there, or cut short
            return None
        tried = np.linspace(0, len(texts) - 1, _TRIED).astype(int)
        if vectors.shape != (len(texts), self.width) or not np.array_equal(
            vectors[tried], self._encoder.encode([texts[row] for row in tried])
        ):
            return None
        self._progress.say(
            f"encoder: {counted(len(texts), 'text')} encoded before, in {self._cache}"
        )
        return vectors


def _batches(items: Sequence[T]) -> list[Sequence[T]]:
    return [items[start : start + _BATCH] for start in range(0, len(items), _BATCH)]


def _in_threads(
    encode: Callable[[Sequence[T]], Encoded], batches: Sequence[Sequence[T]], progress: Progress
) -> list[Encoded]:
    """Encode batches of texts on every core, in order; the result is the same as on one."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found, pool = [], ThreadPoolExecutor(cores)
    try:
        with progress.bar("batches of texts", len(batches)) as advance:
            for vectors in pool.map(encode, batches):
                found.append(vectors)
                advance()
    finally:  # whoever interrupts does not wait for the rest
        pool.shutdown(cancel_futures=True)
    return found


def _find_tokenizer(
    encoder: EncoderConfig, model: Path, config: TrainConfig, progress: Progress
) -> Path:
    if encoder.tokenizer is not None:
        return files.find(encoder.tokenizer, f"{_KEY}.tokenizer", config, progress)
    for name in _TOKENIZERS:
        if (model.parent / name).is_file():
            return model.parent / name
    raise EmbeddingError(
        f"{_KEY}.tokenizer: neither {' nor '.join(_TOKENIZERS)} lies beside {encoder.model.file}. Name the file."
    )


def _read_vectors(file: Path, pieces: WordPiece) -> npt.NDArray[np.float16]:
    """Read the vectors of word pieces as model2vec keeps them, <float16>[num_pieces, width].

    Its `mapping`, if there is one, says which vector a piece has, and `weights` what that is multiplied by.

    Raises:
        EmbeddingError: They are something else, or do not fit the pieces.
    """
    try:
        tensors: Mapping[str, npt.NDArray[Any]] = load_file(file)
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise EmbeddingError(
            f"{_KEY}.model: {file}: cannot be read as safetensors of numbers ({error})."
        ) from None
    name = next((name for name in _VECTORS if name in tensors), None)
    count = len(pieces.vocabulary)
    if name is None or tensors[name].ndim != 2:
        raise EmbeddingError(
            f"{_KEY}.model: {file}: expected a matrix called {_VECTORS[0]!r}, as model2vec has it, "
            f"got {listed(sorted(tensors))}."
        )
    vectors = tensors[name]
    if "mapping" in tensors:
        vectors = vectors[tensors["mapping"]]
    vectors = vectors.astype(np.float32)
    if "weights" in tensors:
        vectors = vectors * tensors["weights"].astype(np.float32)[:, np.newaxis]
    if len(vectors) != count:
        raise EmbeddingError(
            f"{_KEY}: {file} has {len(vectors):,} vectors, its tokenizer {count:,} pieces. They belong to two models."
        )
    if not np.isfinite(vectors).all():
        raise EmbeddingError(f"{_KEY}.model: {file}: a number is not finite.")
    vectors[pieces.settings.unknown] = 0  # it says nothing of a text
    # A text's vector has a length of one, so that a factor changes nothing; half precision has few numbers near 0.
    largest = float(np.abs(vectors).max(initial=0.0)) or 1.0
    return (vectors / largest).astype(np.float16)


def _save(file: Path, vectors: Encoded) -> None:
    """Write vectors into a file, whole or not at all."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=file.parent, suffix=".part")
        with os.fdopen(handle, "wb") as opened:
            np.save(opened, vectors, allow_pickle=False)
        os.replace(name, file)
    except OSError as error:
        raise DatasetError(
            f"{file}: cannot be written: {error.strerror}. Set data_dir to a folder that can be."
        ) from None
