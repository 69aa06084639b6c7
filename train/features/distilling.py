"""Distillation: from a network that takes milliseconds a text to a vector for each word piece, which are added up.

Each piece is asked alone, as model2vec does (Tulkens and van Dongen, 2024). To the network's own pieces come the words
of the training texts that it would cut up, and every piece is weighed by its inverse document frequency in them.
"""

import json
import os
import shutil
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from sklearn.decomposition import PCA

from predict.contract.artefact import reads_only_texts
from predict.contract.wordpiece import WordPiece
from predict.wording import counted
from train.data.splits import Prepared
from train.errors import UserError
from train.features.encoder import PretrainedEncoder
from train.features.feature_table import inverse_frequencies
from train.progress import Progress

# A word that one text alone has teaches next to nothing; more words than these make the file large.
_LEAST_TEXTS, _MOST_WORDS = 2, 50_000


MODEL = "model.safetensors"


@dataclass(frozen=True)
class StaticModel:
    """A static encoder.

    Attributes:
        pieces: Its word pieces.
        vectors: <float32>[num_pieces, width].
        weights: What each vector is multiplied by, <float32>[num_pieces].
        metadata: What `config.json` says beside what model2vec asks for.
    """

    pieces: WordPiece
    vectors: npt.NDArray[np.float32]
    weights: npt.NDArray[np.float32]
    metadata: dict[str, Any]


def distil_to(directory: Path, prepared: Prepared, width: int, progress: Progress) -> None:
    """Make a static encoder of the one that a configuration names, and write it into a new directory.

    Raises:
        UserError: The configuration names no network, or its dataset has other columns than texts; or the directory
            cannot be written.
    """
    config = prepared.config
    if config.embeddings.encoder is None:
        raise UserError(
            "distill: the configuration names no encoder. Set embeddings.encoder.model to a network (.onnx)."
        )
    if not reads_only_texts(prepared.dataset.column_types):
        raise UserError("distill: an encoder reads texts, and this dataset has other columns.")
    encoder = PretrainedEncoder(config, config.embeddings.encoder, progress)
    model = distil(encoder, prepared.dataset.texts(prepared.known), width, progress)
    write_static(model, encoder, directory)


def distil(
    encoder: PretrainedEncoder, texts: Sequence[str], width: int, progress: Progress
) -> StaticModel:
    """Make a static encoder of a network.

    Args:
        encoder: The network.
        texts: The training texts, whose words are added and whose frequencies count.
        width: Numbers of a vector, at most; principal components are kept.
        progress: Is told how far it is.

    Raises:
        EmbeddingError: The encoder is static already.
    """
    own, around = encoder.pieces, encoder.pieces.settings
    with progress.stage("distil", f"the word pieces of {counted(len(texts), 'text')}"):
        words = _new_words(own, texts)
        settings = around.model_copy(update={"first": None, "last": None})
        pieces = WordPiece(settings, [*own.vocabulary, *words])
        alone = [[number] for number in range(len(own.vocabulary))]
        alone += [own.ids_of_word(word) for word in words]
        ends = (around.first, around.last)
        first, last = ([] if end is None else [end] for end in ends)
        vectors = encoder.encode_pieces([[*first, *ids, *last] for ids in alone])
        progress.say(f"distil: {len(own.vocabulary):,} pieces and {len(words):,} words")
    components = min(width, *vectors.shape)
    if components < vectors.shape[1]:
        vectors = PCA(components, svd_solver="covariance_eigh").fit_transform(vectors)
    frequencies = np.zeros(len(pieces.vocabulary))
    for text in texts:
        frequencies[list(set(pieces.ids(text)))] += 1
    weights = inverse_frequencies(frequencies, len(texts))
    about = {"distilled_from": encoder.metadata, "texts": len(texts), "added_words": len(words)}
    return StaticModel(pieces, vectors.astype(np.float32), weights.astype(np.float32), about)


def write_static(model: StaticModel, encoder: PretrainedEncoder, directory: Path) -> None:
    """Write a static encoder as model2vec does, whole or not at all, with the licence of what it was made of.

    Raises:
        UserError: The directory is there already, or cannot be written.
    """
    require_new(directory)
    try:
        directory.parent.mkdir(parents=True, exist_ok=True)
        unfinished = Path(tempfile.mkdtemp(prefix=".unfinished-", dir=directory.parent))
    except OSError as error:
        raise UserError(f"--out {directory}: cannot be written: {error.strerror}.") from None
    try:
        unfinished.chmod(0o755)
        tensors = {"embeddings": model.vectors, "weights": model.weights}
        save_file(tensors, unfinished / MODEL)
        (unfinished / MODEL).chmod(0o644)
        _write_json(unfinished / "tokenizer.json", _tokenizer(model.pieces))
        config = {
            "model_type": "model2vec",
            "normalize": True,
            "hidden_dim": model.vectors.shape[1],
        }
        _write_json(unfinished / "config.json", config | model.metadata)
        encoder.write_licence(unfinished / "LICENSE")
        unfinished.rename(directory)
    except OSError as error:
        raise UserError(f"--out {directory}: cannot be written: {error.strerror}.") from None
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)  # gone already when all went well


def require_new(directory: Path) -> None:
    """Raise UserError if a directory is there already."""
    if os.path.lexists(directory):
        raise UserError(
            f"--out {directory} is there already, and is not overwritten. Name another."
        )


def _new_words(pieces: WordPiece, texts: Sequence[str]) -> list[str]:
    """Return the words of several texts that are more than one piece, the most frequent first."""
    counts = Counter(word for text in texts for word in set(pieces.words(text)))
    found = [
        (-count, word)
        for word, count in counts.items()
        if count >= _LEAST_TEXTS and len(pieces.ids_of_word(word)) > 1
    ]
    return [word for _, word in sorted(found)[:_MOST_WORDS]]


def _tokenizer(pieces: WordPiece) -> dict[str, Any]:
    """Return the content of a `tokenizer.json` of Hugging Face's `tokenizers`."""
    settings, unknown = pieces.settings, list(pieces.vocabulary)[pieces.settings.unknown]
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [
            {
                "id": settings.unknown,
                "content": unknown,
                "single_word": False,
                "lstrip": False,
                "rstrip": False,
                "normalized": False,
                "special": True,
            }
        ],
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": settings.separate_chinese,
            "strip_accents": settings.strip_accents,
            "lowercase": settings.lowercase,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": None,
        "decoder": {"type": "WordPiece", "prefix": settings.prefix, "cleanup": True},
        "model": {
            "type": "WordPiece",
            "unk_token": unknown,
            "continuing_subword_prefix": settings.prefix,
            "max_input_chars_per_word": settings.longest_word,
            "vocab": pieces.vocabulary,
        },
    }


def _write_json(file: Path, content: object) -> None:
    file.write_text(json.dumps(content, ensure_ascii=False, indent=2), encoding="utf-8")
