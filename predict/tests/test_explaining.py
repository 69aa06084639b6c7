"""Explanations: contributions that add up where they can, and say what they are where they cannot."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from predict.contract.artefact import Metadata
from predict.contract.columns import bin_names
from predict.contract.features import TextFeatures
from predict.contract.text_table import TextTable
from predict.contract.words import TOKENIZERS, Version, tokenize
from predict.hosting.models import Models
from predict.http.app import create_app
from predict.scoring import explaining
from predict.scoring.by_words import Reader, Words, without
from predict.scoring.inputs import InstanceError
from predict.scoring.places import place_pieces
from predict.scoring.predictor import Predictor
from predict.scoring.text_head import TextHead
from predict.scoring.text_sums import TextSums
from predict.scoring.typical import typical_values
from predict.settings import Settings
from predict.tests.conftest import GOLDEN, GOLDEN_ENCODERS, GOLDEN_SUMS
from predict.tests.processes import Process, connect, read_answer
from predict.tests.test_app import check_problem, post
from predict.tests.test_server import serve as serve
from predict.tests.test_text_sums import table_of
from predict.tests.tiny_artefact import (
    SETTINGS,
    VOCABULARY,
    change_metadata,
    write_tiny_artefact,
)
from predict.tests.tiny_tables import FILMS, HOUSES, PASSENGER, PASSENGERS, write_tiny_table

# Words, stretches without any, two words in one stretch, one in two stretches, and what normalisation lengthens,
# shortens, composes and removes.
TEXTS = [
    "how do I undo a commit",
    "svn svn bash svn",
    "svn/bash SVN, bash!",
    "!!! ?! svn ?!",
    "ﬁx the İndex of cafe\u0301s so\u00adon ㍿",
    "🙂🙂 👩‍👩‍👧 第1场电影 " + "电" * 50,
    "?!",
    "x " * 40,
]
FEATURES = TextFeatures(SETTINGS, VOCABULARY)


def explain(predictor: Predictor, instance: Mapping[str, Any], seconds: float = 9) -> Any:
    """Return the one explanation of an instance, as JSON has it."""
    predictor.check([instance])
    predictions = predictor.predict([instance])
    [explanation] = predictor.explainer.explain([instance], predictions, seconds)
    return json.loads(json.dumps(explanation, allow_nan=False))


def contributions_of(explanation: Any) -> dict[str, float]:
    return {one["field"]: one["contribution"] for one in explanation["contributions"]}


def unexplained(explanation: Any) -> float:
    found = sum(one["contribution"] for one in explanation["contributions"])
    return float(abs(explanation["base"] + found - explanation["total"]))


# --------------------------------------------------------------------- where words are


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("How do I", [("how", "How"), ("do", "do"), ("i", "I")]),
        ("the ﬁx of ﬁx", [("the", "the"), ("fix", "ﬁx"), ("of", "of"), ("fix", "ﬁx")]),
        ("İstanbul İ?", [("i̇stanbul", "İstanbul"), ("i̇", "İ")]),
        ("cafe\u0301/ok", [("café", "cafe\u0301"), ("ok", "ok")]),
        ("a\u0301\u0302b, c", [("á\u0302b", "a\u0301\u0302b"), ("c", "c")]),
        ("so\u00adft", [("soft", "so\u00adft")]),
        ("👨‍👩‍👧a🙂", [("👨", "👨"), ("👩", "👩"), ("👧", "👧"), ("a", "a"), ("🙂", "🙂")]),
        ("看电影 ok", [("看", "看"), ("电", "电"), ("影", "影"), ("ok", "ok")]),
        ("ＡＢＣ/½", [("abc", "ＡＢＣ"), ("1", "½"), ("2", "½")]),
        ("c++, .NET!", [("c++", "c++"), (".net", ".NET")]),
    ],
)
def test_words_are_where_they_were_typed(text: str, expected: list[tuple[str, str]]) -> None:
    words = [word for piece in place_pieces(text, 100, 2) for word in piece.words]
    found = [(word.word, text[word.start : word.end]) for word in words]
    assert found == expected


@given(st.text(max_size=90), st.sampled_from([1, 2]))
def test_placed_words_are_those_that_the_model_reads(text: str, tokenizer: Version) -> None:
    words = [word for piece in place_pieces(text, 9, tokenizer) for word in piece.words]
    assert [word.word for word in words] == tokenize(text, 9, tokenizer)
    starts = [word.start for word in words]
    assert starts == sorted(starts)
    normalise = TOKENIZERS[tokenizer].normalise
    for word in words:
        assert 0 <= word.start < word.end <= len(text)
        assert word.word in normalise(text[word.start : word.end])


def test_words_of_several_fields_are_where_they_are_in_their_field(
    two_text_predictor: Predictor,
) -> None:
    instance = {"title": "undo  ﬁx", "body": "a\ncommit"}
    explanation = explain(two_text_predictor, instance)
    found = [
        (one["word"], instance[one["field"]][one["start"] : one["end"]])
        for one in explanation["contributions"]
    ]
    assert found == [("undo", "undo"), ("fix", "ﬁx"), ("a", "a"), ("commit", "commit")]


# --------------------------------------------------------------------- texts whose margin is a sum


def linear_words(
    fields: Sequence[str] = ("title",), table: TextTable | None = None
) -> tuple[Words, TextTable]:
    """Return the words of a model with one linear head, whose weights are small whole numbers."""
    table = table or table_of(FEATURES)
    width = table.vectors.shape[1]
    kernel = np.arange(width * 2).reshape(width, 2).astype(np.float32) - 2
    head = TextHead({"kernel": kernel, "bias": np.array([0.5, -1.5], np.float32)}, False)
    return Words(fields, Reader(FEATURES, TextSums(FEATURES, table), head), 2), table


def test_the_contribution_of_a_word_is_what_its_ids_add_by_hand() -> None:
    words, table = linear_words()
    parts, (bias, margin, added) = words.sum_of({"title": "svn zzz svn"}, 1) or ((), (0, 0, []))
    # Pieces svn and zzz, and the pairs of both: each counts once.
    pieces = {typed: FEATURES.piece(typed) for typed in ("svn", "zzz")}
    [svn], [zzz] = pieces["svn"].words, pieces["zzz"].words
    weights = np.arange(len(table.vectors[0]) * 2).reshape(-1, 2)[:, 1] - 2.0
    pairs = [FEATURES.pair_id(svn, zzz), FEATURES.pair_id(zzz, svn)]

    def worth(ids: Sequence[Any], start: int = 0) -> tuple[float, float]:
        rows = [table.rows[start + one] for one in ids]
        adds = sum(float(table.vectors[row].astype(float) @ weights) for row in rows)
        return adds, sum(float(table.squares[row]) for row in rows)

    ngrams = {
        typed: worth(np.frombuffer(piece.ngram_ids, np.int32), FEATURES.num_token_ids)
        for typed, piece in pieces.items()
    }
    tokens = {"svn": worth([svn.id]), "zzz": worth([zzz.id]), "pairs": worth(pairs)}
    by_words = 1 / np.sqrt(sum(square for _, square in tokens.values()))
    by_ngrams = 1 / np.sqrt(sum(square for _, square in ngrams.values()))
    of_zzz = by_words * (tokens["zzz"][0] + tokens["pairs"][0] / 2) + by_ngrams * ngrams["zzz"][0]
    of_svn = by_words * (tokens["svn"][0] + tokens["pairs"][0] / 2) + by_ngrams * ngrams["svn"][0]
    assert bias == -1.5
    assert [part.word for part in parts] == ["svn", "zzz", "svn"]
    assert added[1] == pytest.approx(of_zzz)
    assert added[0] + added[2] == pytest.approx(of_svn)
    assert margin == pytest.approx(-1.5 + of_zzz + of_svn, rel=1e-5)


def test_what_characters_add_is_shared_by_the_words_according_to_their_length() -> None:
    table = table_of(FEATURES)
    table.vectors[: FEATURES.num_token_ids] = 0
    words, _ = linear_words(table=table)
    _, (_, _, [svn, commit]) = words.sum_of({"title": "svn/commit"}, 1) or ((), (0, 0, [0, 0]))
    assert commit == pytest.approx(2 * svn)
    assert svn


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("place", [0, 1])
def test_the_contributions_of_words_add_up_to_the_margin(text: str, place: int) -> None:
    words, _ = linear_words()
    found = words.sum_of({"title": text}, place)
    assert found is not None
    parts, (bias, margin, added) = found
    assert bias + sum(added) == pytest.approx(margin, rel=1e-5, abs=1e-4)
    ends = [part.end for part in parts]
    # Parts do not overlap, so that a page can mark each.
    assert all(part.start >= end for part, end in zip(parts[1:], ends, strict=False))


@given(st.lists(st.text(max_size=60), min_size=2, max_size=2))
def test_contributions_add_up_whatever_is_typed(texts: list[str]) -> None:
    words, _ = linear_words(["title", "body"])
    found = words.sum_of({"title": texts[0], "body": texts[1]}, 0)
    assert found is not None
    bias, margin, added = found[1]
    assert bias + sum(added) == pytest.approx(margin, rel=1e-4, abs=1e-3)


def test_a_head_with_a_hidden_layer_or_an_encoder_is_no_sum() -> None:
    words, table = linear_words()
    width = table.vectors.shape[1]
    one = np.ones((width + 2, 2), np.float32)
    hidden = {
        "hidden_kernel": np.ones((width - 2, 2), np.float32),
        "hidden_bias": np.ones(2, np.float32),
    }
    deep = TextHead({"kernel": one, "bias": one[0], **hidden}, False)
    encoder = TextHead({"kernel": one[:width], "bias": one[0], "encoder_kernel": one[:, :1]}, False)
    for head in (deep, encoder):
        reader = replace(words._reader, head=head)
        assert Words(["title"], reader, 2).sum_of({"title": "svn"}, 0) is None


# --------------------------------------------------------------------- texts without a word


@pytest.mark.parametrize(
    "artefact", [GOLDEN, GOLDEN_SUMS, *GOLDEN_ENCODERS.values()], ids=lambda path: path.name
)
def test_a_word_contributes_what_leaving_it_out_changes(artefact: Path) -> None:
    predictor = Predictor.load(artefact)
    text = "how do I undo a commit"
    explanation = explain(predictor, {"title": text})
    assert (explanation["method"], explanation["unit"]) == ("occlusion", "log_odds")
    place = predictor.labels.index(explanation["of"])

    def log_odds(text: str) -> float:
        probability = predictor.scores([{"title": text}])[0, place]
        return float(np.log(probability / (1 - probability)))

    assert explanation["total"] == pytest.approx(log_odds(text), abs=1e-4)
    assert explanation["base"] == pytest.approx(log_odds(""), abs=1e-4)
    contributions = {one["word"]: one["contribution"] for one in explanation["contributions"]}
    for left_out in ("commit", "how", "a"):
        rest = " ".join(word for word in text.split() if word != left_out)
        assert contributions[left_out] == pytest.approx(log_odds(text) - log_odds(rest), abs=1e-4)
    assert max(contributions, key=lambda word: contributions[word]) == "commit"
    assert explanation["evaluations"] == 2 + 6
    assert explanation["complete"]


def test_what_is_left_out_does_not_join_its_neighbours() -> None:
    words, _ = linear_words()
    [_, smile, _] = words.parts_of({"title": "sv🙂n"})
    assert without({"title": "sv🙂n"}, smile) == {"title": "sv n"}


def test_neighbours_in_a_long_text_are_left_out_together(tmp_path: Path) -> None:
    write_tiny_artefact(tmp_path)
    change_metadata(tmp_path, inputs=[{"name": "title", "type": "text", "tokenizer": 2}])
    reading = Predictor.load(tmp_path)
    text = "电影院" * 300
    [*contributions] = explain(reading, {"title": text})["contributions"]
    assert 200 < len(contributions) <= 256
    # They are side by side, up to where the model stops reading: 32 stretches of 40 characters.
    assert contributions[0]["start"] == 0
    assert [one["end"] for one in contributions[:-1]] == [one["start"] for one in contributions[1:]]
    assert contributions[-1]["end"] == 900


def test_what_a_model_does_not_read_takes_no_place_of_what_is_left_out(
    predictor: Predictor,
) -> None:
    read = "how do " * 16  # 32 words
    explanation = explain(predictor, {"title": f"{read} svn svn"})
    alone = explain(predictor, {"title": read})
    for one, other in zip(explanation["contributions"], alone["contributions"], strict=True):
        assert one == other


# --------------------------------------------------------------------- tables


def test_a_column_contributes_its_weight_times_what_it_differs_by(
    films: Predictor, houses: Predictor
) -> None:
    # The typical film has 0 minutes and studio A; each golden example is one of two.
    drama = explain(films, {"minutes": 90, "studio": "B"})
    assert drama["of"] == "war"
    assert (drama["method"], drama["unit"]) == ("linear", "log_odds")
    assert contributions_of(drama) == pytest.approx(
        {"minutes": -0.25 * 0.02 * 90, "studio": -0.25 * (-5.0 - 1.0)}, abs=1e-5
    )
    assert unexplained(drama) < 1e-5
    house = explain(houses, {"rooms": 5, "area": 100})
    assert (house["method"], house["unit"], "of" in house) == ("linear", "value", False)
    assert contributions_of(house) == pytest.approx({"rooms": 4.0, "area": 3 * (100 - 20)})
    assert (house["base"], house["total"]) == pytest.approx((61.0, 305.0))
    assert [one["reference"] for one in house["contributions"]] == [1, 20]


def of_three_labels(directory: Path) -> Predictor:
    output = {"name": "genre", "type": "label", "labels": ["drama", "comedy", "war"]}
    table = replace(
        FILMS,
        metadata={**FILMS.metadata, "task": "classification", "outputs": [output]},
        activation="Softmax",
        truths=[None, None],
    )
    return Predictor.load(write_tiny_table(directory, table))


def test_of_three_labels_the_centred_logarithms_add_up(tmp_path: Path) -> None:
    explanation = explain(of_three_labels(tmp_path), {"minutes": 90, "studio": "B"})
    assert (explanation["method"], explanation["unit"]) == ("linear", "centred_log_ratio")
    assert explanation["of"] == "war"
    factor = -0.25 - (1.0 + 0.5 - 0.25) / 3
    assert contributions_of(explanation) == pytest.approx(
        {"minutes": factor * 0.02 * 90, "studio": factor * (-5.0 - 1.0)}, abs=1e-5
    )
    assert unexplained(explanation) < 1e-5


def test_a_model_that_is_no_sum_is_not_said_to_be_one(passengers: Predictor) -> None:
    # One column alone differs from what is typical, and so the contributions happen to add up.
    explanation = explain(passengers, PASSENGER)
    assert unexplained(explanation) < 1e-5
    assert (explanation["method"], explanation["unit"]) == ("occlusion", "log_odds")
    assert contributions_of(explanation)["note"] == pytest.approx(0.25 + 0.05, abs=1e-5)


def test_derived_columns_follow_what_they_are_made_of(passengers: Predictor) -> None:
    explanation = explain(passengers, PASSENGER | {"age": 2, "day": "2026-01-10"})
    worth = PASSENGERS.strings["age_group"]
    young, grown, _ = (worth[name] for name in bin_names([18, 60.5]))
    crossed = PASSENGERS.strings["port_and_group"]["C|[18, 60.5)"]
    found = contributions_of(explanation)
    assert found["age"] == pytest.approx(-0.01 * (2 - 38) + young - grown - crossed, abs=1e-5)
    assert found["day"] == pytest.approx(0.02 * (1 - 4), abs=1e-5)
    assert found["fare"] == found["heads"] == 0


def test_what_has_no_finite_answer_is_left_out(houses: Predictor, tmp_path: Path) -> None:
    houses = Predictor.load(write_tiny_table(tmp_path, HOUSES))
    houses.explainer._typical["area"] = None  # which this model cannot take
    explanation = explain(houses, {"rooms": 5, "area": 100})
    assert explanation["base"] is None
    assert contributions_of(explanation) == pytest.approx({"rooms": 4.0})
    assert (explanation["method"], explanation["complete"]) == ("occlusion", False)


@pytest.mark.parametrize("minutes", [1e4, -1e4, 1e300, -1e300])
@pytest.mark.parametrize("kind", ["labels", "label"])
def test_extreme_scores_have_finite_explanations(
    films: Predictor, tmp_path: Path, minutes: float, kind: str
) -> None:
    predictor = films if kind == "labels" else of_three_labels(tmp_path)
    explanation = explain(predictor, {"minutes": minutes, "studio": "A"})
    assert np.isfinite([explanation["base"], explanation["total"]]).all()
    assert np.isfinite(list(contributions_of(explanation).values())).all()
    assert abs(explanation["total"]) > 15


# --------------------------------------------------------------------- typical values


def columns(*inputs: dict[str, Any], rows: Sequence[Sequence[Any]], **more: Any) -> Metadata:
    """Return metadata of golden examples with the given values."""
    names = [column["name"] for column in inputs]
    examples = [{"instance": dict(zip(names, row, strict=True)), "answer": [0.0]} for row in rows]
    return Metadata.model_validate(
        {
            "format_version": 2,
            "name": "x",
            "created_at": "",
            "task": "regression",
            "inputs": inputs,
            "outputs": [{"name": "y", "type": "number"}],
            "examples": examples,
            "metrics": {},
            "files": {},
            "checksum": "0" * 64,
            **more,
        }
    )


AGE = {"name": "age", "type": "number", "nullable": True}
PORT = {"name": "port", "type": "category", "nullable": True, "categories": ["C", "3"]}
DAY = {"name": "day", "type": "date", "nullable": True, "date_format": "%d.%m.%Y"}
NOTE = {"name": "note", "type": "text"}


def test_without_a_profile_golden_examples_tell_what_is_typical() -> None:
    rows = [
        [3, 3, "02.01.2026", "a"],
        [None, "3", "01.12.2025", "b"],
        [50.5, "C", "30.01.2026", "c"],
        [1, "3", "", "d"],
    ]
    typical = typical_values(columns(AGE, PORT, DAY, NOTE, rows=rows))
    assert typical == {"age": 3, "port": "3", "day": "02.01.2026", "note": ""}
    assert typical_values(columns(AGE, rows=[[None]])) == {"age": None}


@pytest.mark.parametrize(
    ("of_age", "of_port", "expected"),
    [
        # Half of the rows are below 30; 3 has a bin of its own.
        ([10, 10, 20, 0], [5, 9, 1, 0], {"age": 30, "port": "3"}),
        ([2, 30, 8, 0], [9, 5, 1, 0], {"age": 3, "port": "C"}),
        ([2, 10, 8, 21], [9, 5, 1, 16], {"age": None, "port": None}),
    ],
)
def test_a_profile_tells_what_is_typical_of_the_test_rows(
    of_age: list[int], of_port: list[int], expected: dict[str, Any]
) -> None:
    edges = [3.0, 30.0] if expected["age"] == 30 else [3.0, np.nextafter(3.0, 4.0)]
    dimensions = [
        {"of": "input", "name": "age", "edges": edges, "missing": True, "counts": of_age},
        {"of": "input", "name": "port", "values": ["C", "3"], "missing": True, "counts": of_port},
    ]
    profile = {"rows": 40, "dimensions": dimensions}
    metadata = columns(AGE, PORT, rows=[[99, "C"]], profile=profile)
    assert typical_values(metadata) == expected


# --------------------------------------------------------------------- limits


def test_time_that_runs_out_leaves_contributions_out(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    explainer = predictor.explainer
    score = explainer._score

    def slowly(instances: Sequence[Any]) -> Any:
        time.sleep(0.02 * len(instances))
        return score(instances)

    monkeypatch.setattr(explainer, "_score", slowly)
    started = time.perf_counter()
    explanation = explain(predictor, {"title": "how do I undo a commit " * 5}, seconds=0.2)
    assert time.perf_counter() - started < 0.4
    assert not explanation["complete"]
    assert explanation["evaluations"] == 2 + len(explanation["contributions"]) < 12
    assert explanation["contributions"][0]["word"] == "how"
    # Two instances share the time.
    predictions = predictor.predict([{"title": "a b c d e f"}] * 2)
    both = explainer.explain([{"title": "a b c d e f"}] * 2, predictions, 0.2)
    assert [bool(one["contributions"]) for one in both] == [True, True]


def test_a_text_that_is_too_long_is_refused(predictor: Predictor) -> None:
    most = explaining.MOST_CHARACTERS
    predictor.explainer.check([{"title": "x" * most}], "texts.{}".format)
    with pytest.raises(InstanceError, match=r"texts\.1: expected at most 10,000 .* got 10,001"):
        predictor.explainer.check([{"title": "x"}, {"title": "x" * (most + 1)}], "texts.{}".format)


# --------------------------------------------------------------------- HTTP


@pytest.mark.parametrize("path", ["/predict", "/models/default/predict"])
def test_an_explanation_is_asked_for_in_the_address_a_form_or_the_body(
    client: FlaskClient, path: str
) -> None:
    text = "undo a commit"
    plain = client.post(path, json={"text": text}).json
    answers = [
        client.get(path, query_string={"text": text, "explain": "true"}),
        client.post(f"{path}?explain=true", json={"text": text}),
        client.post(path, json={"text": text, "explain": True}),
        client.post(path, data={"text": text, "explain": "true"}),
        client.post(f"{path}?explain=true", json={"texts": [text]}),
        client.post(f"{path}?explain=true", json={"instances": [{"title": text}]}),
    ]
    for answer in answers:
        assert answer.status_code == 200
        [prediction] = answer.json["predictions"]
        explanation = prediction.pop("explanation")
        assert [prediction] == plain["predictions"]
        assert explanation["of"] == "svn"
        assert [one["word"] for one in explanation["contributions"]] == ["undo", "a", "commit"]
    assert client.post(f"{path}?explain=false", json={"text": text}).json == plain
    assert client.post(path, json={"text": text, "explain": False}).json == plain


@pytest.mark.parametrize(
    ("address", "body", "status", "said"),
    [
        (
            "/predict?explain=maybe",
            {"text": "a"},
            422,
            "explain: expected true or false, got maybe",
        ),
        ("/predict?explain=1", {"text": "a"}, 422, "explain: expected true or false, got 1"),
        ("/predict?explain=", {"text": "a"}, 422, "explain: "),
        ("/predict?explain=true&explain=true", {"text": "a"}, 422, "explain: expected once, got 2"),
        ("/predict?explain=true", {"text": "a", "explain": True}, 422, "in the body or in the add"),
        ("/predict", {"text": "a", "explain": "true"}, 422, "explain: "),
        ("/predict", {"text": "a", "explain": 1}, 422, "explain: "),
        ("/predict?explained=true", {"text": "a"}, 422, "explained: unknown field"),
        ("/predict?explain=true", {"texts": ["a"] * 11}, 413, "texts: expected at most 10 to expl"),
        ("/predict?explain=true", {"texts": ["a", "x" * 10_001]}, 422, "texts.1: expected at most"),
        (
            "/predict?explain=true",
            {"instances": [{"title": "x" * 10_001}]},
            422,
            "instances.0: exp",
        ),
    ],
)
def test_what_cannot_be_explained_is_refused(
    client: FlaskClient, address: str, body: object, status: int, said: str
) -> None:
    answer = client.post(address, json=body)
    assert said in check_problem(answer, status)["detail"]


def test_ten_thousand_rows_and_a_megabyte_are_refused_with_the_limit(predictor: Predictor) -> None:
    client = create_app(Models.of(predictor), Settings(log_requests=False)).test_client()
    rows = client.post("/predict?explain=true", json={"texts": ["a"] * 10_000})
    assert check_problem(rows, 413)["detail"] == "texts: expected at most 10 to explain, got 10000."
    text = client.post("/predict?explain=true", json={"text": "word " * 199_000})
    assert "at most 10,000 characters" in check_problem(text, 422)["detail"]


def test_explanations_may_be_switched_off(predictor: Predictor) -> None:
    settings = Settings(max_explained=0, log_requests=False)
    client = create_app(Models.of(predictor), settings).test_client()
    answer = post(client, {"text": "svn", "explain": True})
    assert "MAX_EXPLAINED" in check_problem(answer, 422)["detail"]


@pytest.mark.parametrize("hidden", ["show_examples", "show_model"])
def test_references_are_hidden_where_rows_or_models_are(passengers: Predictor, hidden: str) -> None:
    body = {"instances": [PASSENGER], "explain": True}
    for shown in (True, False):
        settings = Settings(log_requests=False, **{hidden: shown})  # type: ignore[arg-type]
        answer = post(create_app(Models.of(passengers), settings).test_client(), body)
        contributions = answer.json["predictions"][0]["explanation"]["contributions"]
        assert all(("reference" in one) == shown for one in contributions)


def test_rows_of_an_explanation_are_not_counted(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    models = Models.of(predictor)
    observed: list[Any] = []
    monitor = models.current().monitor
    monkeypatch.setattr(monitor, "observe", lambda *given: observed.append(given))
    client = create_app(models, Settings(log_requests=False)).test_client()
    assert post(client, {"text": "undo a commit", "explain": True}).status_code == 200
    [(_, instances, predictions)] = observed
    assert instances == [{"title": "undo a commit"}]
    assert [list(one) for one in predictions] == [["label", "score", "probabilities"]]
    assert 'capstone_instances_total{model="default"} 1.0' in client.get("/metrics").text


def test_the_main_loop_explains_nothing(serve: Callable[..., Process]) -> None:
    connection = connect(serve().port())

    def ask_at(path: str, body: bytes) -> tuple[int, Any]:
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        return read_answer(connection.getresponse())

    # It refuses what it did not see to be for a worker thread; so whatever is explained was left to one.
    for _ in range(3):  # its headers are known from the second time on
        status, answer = ask_at("/predict", b'{"text": "svn", "expl\\u0061in": true}')
        assert status == 422
        assert "without escapes" in answer["detail"]
        for path, body in [
            ("/predict", b'{"text": "svn", "explain": true}'),
            ("/predict?explain=true", b'{"text": "svn"}'),
            ("/models/default/predict?%65xplain=true", b'{"text": "svn"}'),
        ]:
            status, answer = ask_at(path, body)
            assert status == 200
            assert "explanation" in answer["predictions"][0]
