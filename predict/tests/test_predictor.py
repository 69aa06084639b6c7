"""The predictor: what it answers, and what it says of instances that it cannot take."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from predict.contract.artefact import FEATURES, METADATA, MODEL, ArtefactError
from predict.contract.words import most_characters
from predict.scoring.inputs import InstanceError, stretches
from predict.scoring.predictor import Predictor
from predict.tests.tiny_artefact import (
    EXAMPLES,
    LABELS,
    SETTINGS,
    change_metadata,
    write_tiny_artefact,
)
from predict.tests.tiny_tables import PASSENGER, TABLES

TEXTS = ["how do I undo a commit", "zzzz", "a shell script in svn", "?", "c++ " * 100, "Qt", "é"]


def as_instances(texts: list[str]) -> list[dict[str, str]]:
    return [{"title": text} for text in texts]


def test_known_words_decide(predictor: Predictor) -> None:
    answers = predictor.predict(as_instances(list(EXAMPLES[:3])))
    assert [answer["label"] for answer in answers] == ["svn", "bash", "qt"]


def test_probabilities_are_sorted_and_sum_to_one(predictor: Predictor) -> None:
    for answer in predictor.predict(as_instances(TEXTS)):
        values = list(answer["probabilities"].values())
        assert set(answer["probabilities"]) == set(LABELS)
        assert values == sorted(values, reverse=True)
        assert sum(values) == pytest.approx(1, abs=3e-6)
        assert answer["label"] == next(iter(answer["probabilities"]))
        assert answer["score"] == values[0]


def test_probabilities_belong_to_the_labels_in_their_order(predictor: Predictor) -> None:
    [answer] = predictor.predict([{"title": EXAMPLES[0]}])
    [scores] = predictor.scores([{"title": EXAMPLES[0]}])
    for label, score in zip(LABELS, scores, strict=True):
        assert answer["probabilities"][label] == pytest.approx(score, abs=1e-6)


@pytest.mark.parametrize(("top_k", "count"), [(1, 1), (2, 2), (3, 3), (99, 3), (None, 3)])
def test_top_k_lists_the_most_probable_labels(
    predictor: Predictor, top_k: int | None, count: int
) -> None:
    [whole] = predictor.predict([{"title": "svn"}])
    [answer] = predictor.predict([{"title": "svn"}], top_k)
    assert list(answer["probabilities"].items()) == list(whole["probabilities"].items())[:count]
    assert answer["label"] == whole["label"]


@pytest.fixture(scope="module")
def doubting(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    """The tiny model, of which answers below 0.5 are unsure."""
    output = {"name": "tag", "type": "label", "labels": list(LABELS), "unsure_below": 0.5}
    directory = tmp_path_factory.mktemp("artefacts") / "doubting"
    return Predictor.load(write_tiny_artefact(directory, outputs=[output]))


def test_a_text_of_unknown_words_alone_is_unsure_whatever_its_score(
    doubting: Predictor, predictor: Predictor, tmp_path: Path
) -> None:
    never = {"name": "tag", "type": "label", "labels": list(LABELS), "unsure_below": 0}
    strict = Predictor.load(write_tiny_artefact(tmp_path, outputs=[never]))
    texts = ["zzzz", "svn zzzz", "?!", "zzzz qqqq svn", "zzzz qqqq xxxx", "é", "how"]
    unsure = [answer.get("unsure", False) for answer in strict.predict(as_instances(texts))]
    assert unsure == [True, False, True, False, True, True, False]
    assert not any("unsure" in answer for answer in predictor.predict(as_instances(texts)))
    # And with a limit, whatever has a lower score.
    for answer, unknown in zip(doubting.predict(as_instances(texts)), unsure, strict=True):
        assert answer.get("unsure", False) == (unknown or answer["score"] < 0.5)


def test_unsure_texts_are_told_one_by_one_among_thousands(doubting: Predictor) -> None:
    texts = ["svn commit" if number % 7 else f"zzz{number}" for number in range(1001)]
    answers = doubting.predict(as_instances(texts))
    assert [number for number, answer in enumerate(answers) if answer.get("unsure")] == [
        *range(0, 1001, 7)
    ]


def test_a_row_of_a_table_is_unsure_for_its_score_alone(table_copy: Path) -> None:
    output = {"name": "survived", "type": "label", "labels": ["no", "yes"], "unsure_below": 0.7}
    change_metadata(table_copy, outputs=[output])
    passengers = Predictor.load(table_copy)
    for answer in passengers.predict(TABLES["label"].instances):
        assert answer.get("unsure", False) == (answer["score"] < 0.7)
    strange = PASSENGER | {"port": "X", "note": "zzzz"}
    output["unsure_below"] = 0.0
    change_metadata(table_copy, outputs=[output])
    assert "unsure" not in Predictor.load(table_copy).predict([strange])[0]


def test_one_instance_alone_gets_the_answer_that_it_gets_in_a_batch(predictor: Predictor) -> None:
    together = predictor.scores(as_instances(TEXTS))
    assert together.shape == (len(TEXTS), len(LABELS))
    alone = [predictor.scores([instance])[0] for instance in as_instances(TEXTS)]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


def test_thousands_of_instances_are_answered_in_order(predictor: Predictor) -> None:
    texts = [f"{TEXTS[number % len(TEXTS)]} {number * 7919}" for number in range(3001)]
    together = predictor.scores(as_instances(texts))
    alone = [predictor.scores([instance])[0] for instance in as_instances(texts)]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-6)


@settings(deadline=None, max_examples=50)
@given(st.text(st.characters(exclude_categories=()), max_size=200))
def test_every_text_has_probabilities(text: str) -> None:
    # hypothesis must not share a fixture that tests may change: the golden artefact is as good.
    scores = golden_predictor().scores([{"title": text}])
    assert np.isfinite(scores).all()
    assert scores.sum() == pytest.approx(1, abs=1e-5)


def golden_predictor(loaded: dict[str, Predictor] = {}) -> Predictor:  # noqa: B006  # loaded once
    if not loaded:
        loaded["golden"] = Predictor.load(Path(__file__).parent / "golden" / "format-1")
    return loaded["golden"]


def test_a_bare_text_stands_for_the_one_text_input(predictor: Predictor) -> None:
    assert predictor.check_texts(["a", "b"]) == [{"title": "a"}, {"title": "b"}]


def test_a_bare_text_is_refused_where_a_model_has_more_inputs(
    two_text_predictor: Predictor,
) -> None:
    message = (
        r"^texts\.0: this model takes instances with the fields title, body, not a text; "
        r'give one as JSON, of the shape {"title": "…", "body": "…"}$'
    )
    with pytest.raises(InstanceError, match=message):
        two_text_predictor.check_texts(["svn"])


def test_several_text_inputs_count_together(two_text_predictor: Predictor) -> None:
    both, title, body = two_text_predictor.scores(
        [
            {"title": "svn", "body": "commit"},
            {"title": "svn", "body": ""},
            {"title": "", "body": "commit"},
        ]
    )
    assert both[0] > max(title[0], body[0]) > 0.5
    # The order of the metadata counts, not that of the instance.
    swapped = two_text_predictor.scores([{"body": "commit", "title": "svn"}])[0]
    np.testing.assert_array_equal(both, swapped)


GOOD = {"title": "svn"}


@pytest.mark.parametrize(
    ("instances", "problems"),
    [
        ([{}], [("instances.0.title", "missing; expected a text")]),
        ([GOOD, {"title": None}], [("instances.1.title", "expected a text, got null")]),
        ([{"title": 5}], [("instances.0.title", "expected a text, got a number")]),
        ([{"title": 0.5}], [("instances.0.title", "expected a text, got a number")]),
        ([{"title": True}], [("instances.0.title", "expected a text, got a boolean")]),
        ([{"title": ["svn"]}], [("instances.0.title", "expected a text, got a list")]),
        ([{"title": {}}], [("instances.0.title", "expected a text, got an object")]),
        ([{"title": ""}], [("instances.0.title", "empty text")]),
        ([{"title": " \n\u3000"}], [("instances.0.title", "empty text")]),
        ([GOOD, GOOD, "svn"], [("instances.2", "expected an object, got a string")]),
        ([None], [("instances.0", "expected an object, got null")]),
        ([[GOOD]], [("instances.0", "expected an object, got a list")]),
        (
            [{"titles": "svn"}],
            [
                ("instances.0.title", "missing; expected a text"),
                ("instances.0.titles", "unknown field; did you mean title?"),
            ],
        ),
        ([GOOD | {"age": 3}], [("instances.0.age", "unknown field; known: title")]),
        (
            [{"title": 1}, {"title": 2}],
            [(f"instances.{place}.title", "expected a text, got a number") for place in (0, 1)],
        ),
    ],
)
def test_problems_of_instances_have_a_place_and_say_what_was_expected(
    predictor: Predictor, instances: list[object], problems: list[tuple[str, str]]
) -> None:
    with pytest.raises(InstanceError, match="instances") as caught:
        predictor.check(instances)
    assert caught.value.problems == problems


@pytest.mark.parametrize("text", ["", " ", "\t\n", "\u2003"])
def test_an_empty_text_is_refused_with_its_place(predictor: Predictor, text: str) -> None:
    with pytest.raises(InstanceError, match=r"^texts\.1: empty text$"):
        predictor.check_texts(["svn", text])


def test_only_the_first_ten_problems_are_listed(predictor: Predictor) -> None:
    with pytest.raises(InstanceError, match=r"instances\.9") as caught:
        predictor.check([{}] * 1000)
    assert len(caught.value.problems) == 10
    with pytest.raises(InstanceError, match=r"texts\.9") as caught:
        predictor.check_texts([""] * 1000)
    assert len(caught.value.problems) == 10


def test_a_model_that_is_none_is_refused(artefact_copy: Path) -> None:
    (artefact_copy / MODEL).write_bytes(b"not a model")
    change_metadata(artefact_copy)
    with pytest.raises(ArtefactError, match=r"model\.onnx: no network in ONNX.*\. Train again"):
        Predictor.load(artefact_copy)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"settings": {}, "vocabulary": 5}',
        b'{"settings": {}, "vocabulary": [[]]}',
        b'{"settings": {"max_tokens": -1}, "vocabulary": []}',
        b'{"settings": {"later": 1}, "vocabulary": []}',
    ],
)
def test_features_that_are_none_are_refused(artefact_copy: Path, content: bytes) -> None:
    (artefact_copy / FEATURES).write_bytes(content)
    change_metadata(artefact_copy)
    with pytest.raises(
        ArtefactError, match=r"features\.json: not what this server reads \([\s\S]*\)\. Train again"
    ):
        Predictor.load(artefact_copy)


def test_a_text_model_without_features_is_refused(artefact_copy: Path) -> None:
    (artefact_copy / FEATURES).unlink()
    change_metadata(artefact_copy)
    with pytest.raises(
        ArtefactError, match=r"model\.onnx: it reads 'sums', .*features\.json is not listed"
    ):
        Predictor.load(artefact_copy)


@pytest.mark.parametrize("answer", [[], [1.0], [0.3, 0.3, 0.4, 0.0], [0.4, 0.3, 0.3]])
def test_an_example_with_another_answer_is_refused(
    artefact_copy: Path, answer: list[float]
) -> None:
    examples = [{"instance": {"title": "svn"}, "answer": answer}]
    change_metadata(artefact_copy, examples=examples)
    with pytest.raises(ArtefactError, match="golden example 0 is answered differently"):
        Predictor.load(artefact_copy)


@pytest.mark.parametrize("instance", [{"titles": "svn"}, {"title": 5}, {}])
def test_an_example_that_the_model_cannot_take_is_refused(
    artefact_copy: Path, instance: dict[str, object]
) -> None:
    change_metadata(artefact_copy, examples=[{"instance": instance, "answer": [1.0, 0.0, 0.0]}])
    with pytest.raises(ArtefactError, match=r"artefact.*example"):
        Predictor.load(artefact_copy)


@pytest.mark.parametrize("labels", [["svn", "bash"], [*LABELS, "more"], ["svn", "svn", "bash"], []])
def test_labels_that_are_not_the_models_are_refused(artefact_copy: Path, labels: list[str]) -> None:
    change_metadata(artefact_copy, outputs=[{"name": "tag", "type": "label", "labels": labels}])
    with pytest.raises(ArtefactError, match="labels"):
        Predictor.load(artefact_copy)


def test_a_model_that_fails_on_its_examples_is_refused(artefact_copy: Path) -> None:
    features = json.loads((artefact_copy / FEATURES).read_bytes())
    features["settings"]["ngram_buckets"] = 1000  # more than the table has ids
    (artefact_copy / FEATURES).write_text(json.dumps(features), encoding="utf-8")
    change_metadata(artefact_copy)
    with pytest.raises(ArtefactError, match=r"artefact"):
        Predictor.load(artefact_copy)


@pytest.mark.parametrize("name", [METADATA, FEATURES])
def test_deeply_nested_json_is_refused(artefact_copy: Path, name: str) -> None:
    (artefact_copy / name).write_bytes(b"[" * 200_000)
    if name != METADATA:
        change_metadata(artefact_copy)
    with pytest.raises(ArtefactError, match=name):
        Predictor.load(artefact_copy)


def test_one_long_text_does_not_make_a_batch_of_long_rows(predictor: Predictor) -> None:
    texts = ["a"] * 300 + [" ".join(f"w{i}" for i in range(5_000))] + ["b"] * 300
    sizes = [len(feeds["sums"]) for feeds, _ in predictor._inputs.batches(as_instances(texts))]
    assert (sum(sizes), max(sizes)) == (601, 256)
    # The long one stands in the third batch, which is small therefore.
    assert sizes[2] * most_characters(SETTINGS.max_tokens) <= 25_000
    alone = predictor.scores(as_instances([texts[300]]))
    assert predictor.scores(as_instances(texts))[300] == pytest.approx(alone[0], abs=1e-6)


@given(st.lists(st.integers(0, 10_000), min_size=1, max_size=600))
def test_stretches_take_every_text_once_and_bound_their_area(lengths: list[int]) -> None:
    ends = list(stretches(lengths))
    assert [length for start, end in ends for length in lengths[start:end]] == lengths
    for start, end in ends:
        assert 1 <= end - start <= 256
        assert end - start == 1 or (end - start) * max(lengths[start:end]) <= 25_000


def test_columns_that_the_graph_does_not_know_are_refused(table_copy: Path) -> None:
    inputs = json.loads((table_copy / METADATA).read_bytes())["inputs"]
    renamed = [column | {"name": column["name"].replace("note", "notes")} for column in inputs]
    change_metadata(table_copy, inputs=renamed)
    with pytest.raises(ArtefactError, match=r"model\.onnx: it reads 'note', but .* Train again"):
        Predictor.load(table_copy)


def test_a_graph_that_knows_another_type_is_refused(table_copy: Path) -> None:
    inputs = json.loads((table_copy / METADATA).read_bytes())["inputs"]
    inputs[3] = {"name": "port", "type": "number"}
    metadata = json.loads((table_copy / METADATA).read_bytes())
    derived = [column for column in metadata["derived"] if column["kind"] != "cross"]
    derived.append(
        {"name": "port_and_group", "kind": "cross", "of": ["age_group", "age_group"]},
    )
    change_metadata(table_copy, inputs=inputs, derived=derived)
    with pytest.raises(
        ArtefactError, match=r"it reads port as tensor\(string\), expected tensor\(double\)"
    ):
        Predictor.load(table_copy)


def test_text_features_beside_other_columns_are_refused(table_copy: Path) -> None:
    (table_copy / FEATURES).write_text("{}", encoding="utf-8")
    change_metadata(table_copy)
    with pytest.raises(ArtefactError, match=r"features\.json is for models that read text alone"):
        Predictor.load(table_copy)


def test_a_graph_with_another_number_of_outputs_is_refused(table_copy: Path) -> None:
    change_metadata(table_copy, task="regression", outputs=[{"name": "survived", "type": "number"}])
    with pytest.raises(ArtefactError, match=r"array of shape \(1, 2\), expected \(1, 1\)"):
        Predictor.load(table_copy)


@pytest.mark.parametrize("kind", ["label", "number", "labels"])
def test_a_table_that_answers_differently_than_after_training_is_refused(
    tables: dict[str, Path], tmp_path: Path, kind: str
) -> None:
    artefact = Path(shutil.copytree(tables[kind], tmp_path / kind))
    examples = json.loads((artefact / METADATA).read_bytes())["examples"]
    answer = examples[1]["answer"]
    largest = max(abs(value) for each in examples for value in each["answer"])
    for share, is_refused in ((0.5e-4, False), (2e-4, True)):
        # Of probabilities as it is, of numbers as a share of the largest one.
        examples[1]["answer"] = [answer[0] + share * (largest if kind == "number" else 1)]
        examples[1]["answer"] += answer[1:]
        change_metadata(artefact, examples=examples)
        if is_refused:
            with pytest.raises(ArtefactError, match="golden example 1 is answered differently"):
                Predictor.load(artefact)
        else:
            Predictor.load(artefact)


def test_small_numbers_are_replayed_as_closely_as_large_ones(
    tables: dict[str, Path], tmp_path: Path
) -> None:
    artefact = Path(shutil.copytree(tables["number"], tmp_path / "small"))
    instance = {"rooms": 0.001, "area": 0.001}
    for answer, is_refused in ((0.004, False), (0.0041, True)):
        change_metadata(artefact, examples=[{"instance": instance, "answer": [answer]}])
        if is_refused:
            with pytest.raises(ArtefactError, match="is answered differently"):
                Predictor.load(artefact)
        else:
            Predictor.load(artefact)


def test_an_example_without_a_finite_answer_is_refused(
    tables: dict[str, Path], tmp_path: Path
) -> None:
    artefact = Path(shutil.copytree(tables["number"], tmp_path / "nan"))
    examples = [{"instance": {"rooms": 1, "area": None}, "answer": [1.0]}]
    change_metadata(artefact, examples=examples)
    with pytest.raises(ArtefactError, match="is answered differently"):
        Predictor.load(artefact)


def test_thresholds_and_intervals_do_not_change_what_is_replayed(table_copy: Path) -> None:
    outputs = json.loads((table_copy / METADATA).read_bytes())["outputs"]
    outputs[0]["thresholds"] = {"no": 0.99}
    change_metadata(table_copy, outputs=outputs)
    Predictor.load(table_copy)


def test_a_text_that_may_be_null_counts_as_empty(artefact_copy: Path) -> None:
    inputs = [{"name": "title", "type": "text", "nullable": True}]
    change_metadata(artefact_copy, inputs=inputs)
    with pytest.raises(InstanceError, match=r"^instances\.0\.title: empty text$"):
        Predictor.load(artefact_copy).check([{"title": None}])


def test_one_of_several_texts_may_be_null(tmp_path: Path) -> None:
    inputs = [
        {"name": "title", "type": "text"},
        {"name": "body", "type": "text", "nullable": True},
    ]
    directory = write_tiny_artefact(tmp_path, inputs=("title", "body"))
    change_metadata(directory, inputs=inputs)
    predictor = Predictor.load(directory)
    null, empty = {"title": "svn", "body": None}, {"title": "svn", "body": ""}
    predictor.check([null, empty])
    np.testing.assert_array_equal(predictor.scores([null]), predictor.scores([empty]))
    with pytest.raises(InstanceError, match=r"^instances\.0\.title: expected a text, got null$"):
        predictor.check([{"title": None, "body": "a"}])
    with pytest.raises(
        InstanceError, match=r"^instances\.0\.body: missing; expected a text or null$"
    ):
        predictor.check([{"title": "a"}])


def test_only_a_model_of_a_single_text_has_a_text_field(
    predictor: Predictor, two_text_predictor: Predictor, passengers: Predictor
) -> None:
    assert predictor.text_field == "title"
    assert two_text_predictor.text_field is passengers.text_field is None
    assert two_text_predictor.metadata.input_types == {"title": "text", "body": "text"}
