"""Word pieces: the ids of Hugging Face's `tokenizers`, and bounds for texts that are long."""

import json
from pathlib import Path

import pytest

from predict.contract.wordpiece import WordPiece, WordPieceSettings

# Texts with the ids that `tokenizers` gave them, by a vocabulary of some 150 pieces.
GOLDEN = json.loads((Path(__file__).parent / "golden" / "wordpiece.json").read_bytes())


def pieces_of(lowercase: bool = True, max_tokens: int = GOLDEN["max_tokens"]) -> WordPiece:
    settings = WordPieceSettings(
        lowercase=lowercase,
        strip_accents=lowercase,
        unknown=1,
        first=2,
        last=3,
        max_tokens=max_tokens,
    )
    return WordPiece(settings, GOLDEN["vocabulary"])


@pytest.mark.parametrize("lowercase", [True, False])
def test_the_ids_are_those_of_the_library_that_encoders_are_published_with(lowercase: bool) -> None:
    pieces = pieces_of(lowercase)
    cases = [(text, ids) for folded, text, ids in GOLDEN["cases"] if folded == lowercase]
    assert len(cases) > 150
    assert [(text, pieces.ids(text)) for text, _ in cases] == cases


@pytest.mark.parametrize("text", ["ab\0c", "a\x07b\x7fc", "\0abc"])
def test_control_characters_are_not_there(text: str) -> None:
    assert pieces_of().ids(text) == pieces_of().ids("abc")


def test_a_command_to_the_model_is_words_if_it_comes_in_a_text() -> None:
    pieces = pieces_of()
    assert pieces.ids("[SEP]").count(3) == 1


@pytest.mark.parametrize(
    "text",
    ["ab " * 400_000, "ab" * 500_000, "日" * 300_000, "!" * 300_000, "\u00ad" * 300_000 + "ab"],
)
def test_of_a_long_text_only_the_beginning_is_read(text: str) -> None:
    pieces = pieces_of(max_tokens=8)
    # A word of more than a hundred letters is one unknown piece; what nobody sees is none.
    assert pieces.ids(text) == pieces.ids(text[:2_000])
    assert len(pieces.ids(text)) <= 8


@pytest.mark.parametrize(
    ("vocabulary", "unknown", "message"),
    [
        (["a", "b", "a"], 0, "a word piece occurs twice"),
        (["a", "b"], 2, "expected ids below 2"),
    ],
)
def test_a_vocabulary_that_does_not_fit_is_refused(
    vocabulary: list[str], unknown: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        WordPiece(WordPieceSettings(unknown=unknown), vocabulary)
