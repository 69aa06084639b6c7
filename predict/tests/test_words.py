"""Words: what one is in every script, and that look-alikes are one."""

import subprocess
import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from predict.contract.words import TOKENIZERS, tokenize

normalise = TOKENIZERS[2].normalise


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("C++ or C# or F#", ["c++", "or", "c#", "or", "f#"]),
        ("ASP.NET on .NET", ["asp.net", "on", ".net"]),
        ("Node.js: don't, don’t", ["node.js", "don't", "don’t"]),
        ("(svn), [git]; `bash`!", ["svn", "git", "bash"]),
        ("v1.2.3 e.g. snake_case", ["v1.2.3", "e.g", "snake_case"]),
        ("ﬁle Ｑｔ STRASSE Straße", ["file", "qt", "strasse", "strasse"]),
        ("a\u00a0b\u2003c\td\ne", ["a", "b", "c", "d", "e"]),
        ("привет مرحبا 소프트웨어", ["привет", "مرحبا", "소프트웨어"]),
        ("?! ... £", []),
        ("", []),
    ],
)
def test_words_are_kept_whole_and_folded(text: str, words: list[str]) -> None:
    assert tokenize(text, max_pieces=100) == words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("第1场电影 好看!", ["第", "1", "场", "电", "影", "好", "看"]),
        ("コンピュータを使う ｶﾀｶﾅ", ["コンピュータ", "を", "使", "う", "カタカナ"]),
        ("ภาษาง่าย", ["ภ", "า", "ษ", "า", "ง่", "า", "ย"]),
        ("日本語C++テスト", ["日", "本", "語", "c++", "テスト"]),
        ("မာန်", ["မာ", "န်"]),
    ],
)
def test_a_script_without_blanks_has_a_word_for_each_character(text: str, words: list[str]) -> None:
    assert tokenize(text, max_pieces=100) == words


@pytest.mark.parametrize(
    "text", ["मैंने हिन्दी में लिखा", "বাংলা ভাষা", "தமிழ் மொழி", "مَرْحَبًا", "שָׁלוֹם"], ids=ascii
)
def test_combining_marks_belong_to_their_word(text: str) -> None:
    assert tokenize(text, max_pieces=100) == [normalise(word) for word in text.split()]


def test_each_emoji_is_a_word_with_its_skin_or_flag() -> None:
    assert tokenize("👍🏽😀😀 I❤️NY 🇩🇪🇫🇷", max_pieces=100) == [
        *("👍🏽", "😀", "😀", "i", "❤", "ny", "🇩🇪", "🇫🇷")
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("été", unicodedata.normalize("NFD", "été")),
        ("Việt", unicodedata.normalize("NFD", "Việt")),
        ("한국어", unicodedata.normalize("NFD", "한국어")),
        ("ecommerce", "e\u00adcom\u200bmerce"),
        ("❤", "❤\ufe0f"),
        ("میخواهم", "می\u200cخواهم"),
        ("ǰ", "J̌"),
    ],
    ids=ascii,
)
def test_what_looks_the_same_is_the_same(one: str, other: str) -> None:
    assert one != other
    assert normalise(one) == normalise(other)
    assert tokenize(one, max_pieces=100) == tokenize(other, max_pieces=100)


def test_an_artefact_that_does_not_say_has_the_words_that_it_was_trained_with() -> None:
    assert tokenize("你好 न्ज़ 🙂", max_pieces=100, version=1) == ["你好", "न", "ज"]
    assert tokenize("e\u00adcom", max_pieces=100, version=1) == ["e", "com"]


@pytest.mark.parametrize("text", ["İstanbul", "ΣΊΣΥΦΟΣ", "ŉ", "K", "plain ASCII Text"])
@pytest.mark.parametrize("version", TOKENIZERS)
def test_normalising_twice_changes_nothing(text: str, version: int) -> None:
    normalise = TOKENIZERS[version].normalise
    assert normalise(normalise(text)) == normalise(text)


@given(st.text(st.characters(max_codepoint=127)))
def test_the_fast_road_for_ascii_leads_to_the_same_place(text: str) -> None:
    for normalise, words in TOKENIZERS.values():
        assert normalise(text) == normalise(text + "é").removesuffix("é")
        assert words(normalise(text)) == words(normalise(text) + " é")[:-1]


@given(st.text(st.characters(exclude_categories=()), max_size=300))
def test_every_text_has_words_that_stay_what_they_are(text: str) -> None:
    for word in tokenize(text, max_pieces=100):
        assert tokenize(word, max_pieces=100) == [word]


def test_ascii_needs_no_tables_of_unicode() -> None:
    code = "import sys; from predict.contract.words import tokenize; tokenize('a b', 9); print('regex' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"
