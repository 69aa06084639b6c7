"""Tiny encoders as people publish them: for words of the tests' topics, and for words that no training text has."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from safetensors.numpy import save_file

from predict.tests.tiny_encoder import network_of, vectors_of, vocabulary_of
from train.tests.conftest import TOPICS

# Nothing of these is in a training text, nor an n-gram of theirs.
STRANGERS = {"fruit": "ξξξ", "music": "ψψψ", "tools": "жжж"}


def words_of_topics() -> dict[str, tuple[float, ...]]:
    """Return a vector for each word: the number of its topic, and little else."""
    random = np.random.default_rng(0)
    words = {}
    for number, (topic, text) in enumerate(TOPICS.items()):
        for word in [*text.split(), STRANGERS[topic]]:
            vector = random.normal(scale=0.1, size=4)
            vector[number] += 1
            words[word] = tuple(vector.tolist())
    return words


def tokenizer_json(vocabulary: list[str], **changes: Any) -> str:
    content: dict[str, Any] = {
        "normalizer": {
            "type": "BertNormalizer",
            "clean_text": True,
            "handle_chinese_chars": True,
            "strip_accents": None,
            "lowercase": True,
        },
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "model": {
            "type": "WordPiece",
            "unk_token": "[UNK]",
            "continuing_subword_prefix": "##",
            "max_input_chars_per_word": 100,
            "vocab": {piece: number for number, piece in enumerate(vocabulary)},
        },
    }
    return json.dumps(content | changes)


def publish_static(folder: Path, words: dict[str, tuple[float, ...]] | None = None) -> Path:
    """Write a static encoder in the layout of model2vec, and return the file of its vectors."""
    words = words or words_of_topics()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(tokenizer_json(vocabulary_of(words)), encoding="utf-8")
    (folder / "LICENSE").write_text("Do what you like.\n", encoding="utf-8")
    save_file({"embeddings": vectors_of(words)}, folder / "model.safetensors")
    return folder / "model.safetensors"


def publish_network(folder: Path, words: dict[str, tuple[float, ...]] | None = None) -> Path:
    """Write an encoder as ONNX, with BERT's `vocab.txt`, and return its file."""
    words = words or words_of_topics()
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = "".join(f"{piece}\n" for piece in vocabulary_of(words))
    (folder / "vocab.txt").write_text(vocabulary, encoding="utf-8")
    onnx.save(network_of(vectors_of(words)), folder / "model.onnx")
    return folder / "model.onnx"
