"""The files of published tokenizers, read as the word pieces that a server knows; see `predict.contract.wordpiece`."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from predict.contract.wordpiece import WordPiece, WordPieceSettings

# What BERT's vocabularies call the unknown piece, and what stands before and after a text.
_UNKNOWN, _FIRST, _LAST = "[UNK]", "[CLS]", "[SEP]"
_EXPECTED = (
    "Expected WordPiece, as BERT has it: a tokenizer.json, or a vocab.txt with a piece a line"
)


def read_wordpiece(file: Path, max_tokens: int, bare: bool) -> WordPiece:
    """Read `tokenizer.json` of Hugging Face's `tokenizers`, or BERT's `vocab.txt`.

    Args:
        file: One that ends in .json is the first.
        max_tokens: The pieces of a text that are read.
        bare: Whether nothing stands before and after the pieces of a text.

    Raises:
        ValueError: It is something else. The message says what was expected.
    """
    try:
        text = file.read_text(encoding="utf-8")
        vocabulary, found = (
            _of_json(json.loads(text)) if file.suffix == ".json" else _of_lines(text)
        )
        ends = {"first": _FIRST, "last": _LAST}
        around = {} if bare else {end: vocabulary.index(piece) for end, piece in ends.items()}
        settings = WordPieceSettings(**found | around, max_tokens=max_tokens)
        return WordPiece(settings, vocabulary)
    except (OSError, ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ValueError(f"{file}: {why}. {_EXPECTED}.") from None


def _of_lines(text: str) -> tuple[list[str], dict[str, Any]]:
    vocabulary = text.split("\n")
    while vocabulary and not vocabulary[-1]:
        vocabulary.pop()
    vocabulary = [piece.removesuffix("\r") for piece in vocabulary]
    # A vocabulary that tells capitals apart has some, beside those in square brackets.
    lowercase = all(piece == piece.lower() or piece.startswith("[") for piece in vocabulary)
    settings = {"lowercase": lowercase, "strip_accents": lowercase}
    return vocabulary, settings | {"unknown": vocabulary.index(_UNKNOWN)}


def _of_json(content: Any) -> tuple[list[str], dict[str, Any]]:
    model, normalizer = content["model"], content["normalizer"] or {}
    kinds = {
        "model": model.get("type", "WordPiece"),
        "normalizer": normalizer.get("type"),
        "pre_tokenizer": (content["pre_tokenizer"] or {}).get("type"),
    }
    expected = {
        "model": "WordPiece",
        "normalizer": "BertNormalizer",
        "pre_tokenizer": "BertPreTokenizer",
    }
    for part, kind in expected.items():
        if kinds[part] != kind:
            raise ValueError(f"its {part} is {kinds[part]}, not {kind}")
    ids: dict[str, int] = model["vocab"]
    vocabulary = sorted(ids, key=ids.__getitem__)
    if sorted(ids.values()) != list(range(len(ids))):
        raise ValueError("the ids of its vocabulary are not 0, 1, 2 …")
    lowercase, strip = normalizer["lowercase"], normalizer["strip_accents"]
    return vocabulary, {
        "lowercase": lowercase,
        "strip_accents": lowercase if strip is None else strip,
        "separate_chinese": normalizer["handle_chinese_chars"],
        "prefix": model["continuing_subword_prefix"],
        "longest_word": model["max_input_chars_per_word"],
        "unknown": ids[model["unk_token"]],
    }
