"""The HTTP application in front of table models, and the example that every model can be asked for."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st

from predict.contract.artefact import METADATA
from predict.hosting.models import Models
from predict.http.app import create_app
from predict.scoring.predictor import Predictor
from predict.settings import Settings
from predict.tests.conftest import GOLDEN
from predict.tests.test_app import FORM, JSON, check_problem, post
from predict.tests.tiny_tables import HOUSES, PASSENGER, TABLES

QUIET = Settings(log_requests=False)


@pytest.fixture(scope="module")
def clients(tables: dict[str, Path]) -> dict[str, FlaskClient]:
    """A client for each kind of answer, and one for texts."""
    paths = {**tables, "text": GOLDEN}
    apps = {
        kind: create_app(Models.of(Predictor.load(path)), QUIET) for kind, path in paths.items()
    }
    return {kind: app.test_client() for kind, app in apps.items()}


@pytest.fixture(scope="module")
def client(clients: dict[str, FlaskClient]) -> FlaskClient:
    return clients["label"]


def strictly(data: bytes) -> Any:
    """Parse JSON as the standard has it, without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(data, parse_constant=refuse)


@pytest.mark.parametrize("kind", list(TABLES))
def test_instances_are_answered_and_the_shortcut_answers_as_flask_does(
    tables: dict[str, Path], kind: str
) -> None:
    app = create_app(Models.of(Predictor.load(tables[kind])), QUIET)
    seen: list[str] = []
    app.before_request(lambda: seen.append("flask"))
    body = {"instances": TABLES[kind].instances}
    short = post(app.test_client(), body)
    assert (short.status_code, seen) == (200, [])
    whole = post(app.test_client(), body, "application/json; charset=utf-8")
    assert (short.data, seen) == (whole.data, ["flask"])
    keys = {"label": "label", "number": "value", "labels": "labels"}
    for prediction in strictly(short.data)["predictions"]:
        assert keys[kind] in prediction


def test_warnings_stand_in_the_answer_of_their_instance(client: FlaskClient) -> None:
    body = {"instances": [PASSENGER, PASSENGER | {"age": 99, "port": "X"}]}
    usual, unusual = post(client, body).get_json()["predictions"]
    assert "warnings" not in usual
    assert unusual["warnings"] == [
        {"field": "age", "message": "99 is above 80.5, the largest in training"},
        {"field": "port", "message": "'X' was not seen in training"},
    ]


@pytest.mark.parametrize(
    ("kind", "body", "detail"),
    [
        ("label", {"instances": [{}]}, r"^instances\.0\.age: missing; expected a number; "),
        (
            "label",
            {"instances": [PASSENGER] * 3 + [PASSENGER | {"age": None}]},
            r"^instances\.3\.age: expected a number, got null: it was never missing in training$",
        ),
        (
            "label",
            {"instances": [PASSENGER | {"fares": 1}]},
            r"^instances\.0\.fares: unknown field; did you mean fare\?$",
        ),
        ("label", {"text": "38"}, r"^text: this model takes instances with the fields age, fare"),
        ("label", {"text": ""}, r"^text: this model takes instances with the fields age, fare"),
        ("label", {"text": "{"}, r"^text: not JSON: EOF while parsing an object at line 1"),
        ("label", {"text": '{"age": 3,}'}, r"^text: not JSON: trailing comma at line 1 column 11"),
        ("label", {"text": "{}"}, r"^text\.age: missing; expected a number; "),
        (
            "label",
            {"texts": [json.dumps(PASSENGER), json.dumps(PASSENGER | {"age": "3"})]},
            r"^texts\.1\.age: expected a number, got a string$",
        ),
        ("label", {"text": "[" * 10_000}, "this model takes instances"),
        ("label", {"text": '{"age":' * 10_000}, "text: not JSON: "),
        ("label", {"text": '{"age":' + "9" * 10_000 + "}"}, "text: not JSON: "),
        (
            "number",
            {"instances": [HOUSES.instances[0]], "top_k": 2},
            "^top_k: this model answers a number, it has no labels to list$",
        ),
        (
            "number",
            {"instances": [HOUSES.instances[0], {"rooms": 1, "area": None}]},
            r"^instances\.1: the model has no finite answer to this instance",
        ),
        (
            "number",
            {"text": '{"rooms": 1e200, "area": 1}'},
            "^text: the model has no finite answer to this instance",
        ),
        ("number", {"instances": HOUSES.instances, "expected": []}, "^expected: Input should be"),
        ("number", {"instances": HOUSES.instances, "expected": "a"}, "^expected: Input should be"),
        ("number", {"expected": {}}, "expected exactly one of text, texts and instances"),
    ],
)
def test_a_bad_body_says_what_was_expected_and_where(
    clients: dict[str, FlaskClient], kind: str, body: dict[str, Any], detail: str
) -> None:
    problem = check_problem(post(clients[kind], body), 422)
    assert re.search(detail, problem["detail"]), problem["detail"]
    assert len(problem["detail"]) < 3_000


@pytest.mark.parametrize("number", [b"1e999", b"-1e999", b"NaN", b"Infinity", b"1" * 400])
def test_numbers_that_no_double_holds_are_refused(client: FlaskClient, number: bytes) -> None:
    body = json.dumps({"instances": [PASSENGER]}).encode().replace(b"38", number)
    problem = check_problem(post(client, body), 422)
    assert problem["errors"][0]["place"] == "instances.0.age"


def test_a_text_that_is_json_is_an_instance(client: FlaskClient) -> None:
    text = json.dumps(PASSENGER)
    expected = post(client, {"instances": [PASSENGER]}).data
    assert post(client, {"text": text}).data == expected
    assert post(client, {"texts": [f" \n{text} "]}).data == expected
    assert client.get("/predict", query_string={"text": text}).data == expected
    assert client.post("/predict", data={"text": text}, content_type=FORM).data == expected


def test_who_sends_a_text_gets_an_instance_to_copy(client: FlaskClient) -> None:
    detail = check_problem(post(client, {"text": "hello"}), 422)["detail"]
    copied = detail[detail.index("{") :]
    assert post(client, {"text": copied}).status_code == 200


def test_a_bare_text_is_told_the_shape_of_a_row_and_never_a_row(
    clients: dict[str, FlaskClient],
) -> None:
    detail = check_problem(post(clients["label"], {"text": "hello"}), 422)["detail"]
    shape = {"age": 0, "fare": 0, "heads": 0, "port": "…", "day": "2026-01-31", "note": "…"}
    shown = json.dumps(shape, ensure_ascii=False)
    assert detail.endswith(f"not a text; give one as JSON, of the shape {shown}")


@pytest.mark.parametrize("kind", [*TABLES, "text"])
@pytest.mark.parametrize("number", [0, 1])
def test_an_example_can_be_posted_as_it_is_and_is_answered_as_it_says(
    clients: dict[str, FlaskClient], kind: str, number: int
) -> None:
    response = clients[kind].get(f"/predict/example?number={number}")
    assert (response.status_code, response.content_type) == (200, JSON)
    example = strictly(response.data)
    assert example.keys() == {"instances", "expected"}
    answer = post(clients[kind], response.data)
    assert answer.status_code == 200
    assert answer.get_json()["predictions"] == example["expected"]["predictions"]
    if kind != "text":
        assert example["instances"] == [TABLES[kind].instances[number]]
        assert example["expected"]["truth"] == [TABLES[kind].truths[number]]


def test_without_a_number_it_is_the_first_example(client: FlaskClient) -> None:
    assert client.get("/predict/example").data == client.get("/predict/example?number=0").data


def test_a_random_example_is_one_of_them_and_not_always_the_same(client: FlaskClient) -> None:
    every = [client.get(f"/predict/example?number={number}").data for number in range(4)]
    seen = {client.get("/predict/example?number=random").data for _ in range(60)}
    assert seen <= set(every)
    assert len(seen) > 1


def test_the_truth_is_left_out_where_it_is_unknown(clients: dict[str, FlaskClient]) -> None:
    for kind, number in (("label", 3), ("text", 0)):
        example = clients[kind].get(f"/predict/example?number={number}").get_json()
        assert example["expected"].keys() == {"predictions"}


@pytest.mark.parametrize(
    ("query", "detail"),
    [
        ("number=4", "^number: expected 0 to 3, for there are 4 examples; got 4$"),
        ("number=-1", "^number: expected 0 to 3, for there are 4 examples; got -1$"),
        ("number=" + "9" * 30, "^number: expected 0 to 3, for there are 4 examples"),
        ("number=" + "9" * 5_000, "^number: "),
        ("number=one", "^number: Input should be a valid integer"),
        ("number=", "^number: Input should be a valid integer"),
        ("number=1&number=2", "^number: expected once, got 2 times"),
        ("nummer=1", "^nummer: unknown field$"),
    ],
)
def test_an_example_that_is_not_there_says_how_many_there_are(
    client: FlaskClient, query: str, detail: str
) -> None:
    problem = check_problem(client.get(f"/predict/example?{query}"), 422)
    assert re.search(detail, problem["detail"]), problem["detail"]


def test_only_get_asks_for_an_example(client: FlaskClient) -> None:
    check_problem(client.post("/predict/example"), 405)
    assert client.head("/predict/example").status_code == 200


def test_what_is_expected_is_not_looked_at(client: FlaskClient) -> None:
    body = {"instances": [PASSENGER]}
    answer = post(client, body)
    assert post(client, body | {"expected": {"what": ["ever"]}}).data == answer.data
    assert post(client, body | {"expected": None}).data == answer.data


@pytest.mark.parametrize("kind", [*TABLES, "text"])
def test_the_model_is_described_as_its_metadata_is_written(
    clients: dict[str, FlaskClient], tables: dict[str, Path], kind: str
) -> None:
    metadata = json.loads(({**tables, "text": GOLDEN}[kind] / METADATA).read_bytes())
    metadata["num_examples"] = len(metadata["examples"])
    for left_out in ("examples", "files", "checksum"):
        del metadata[left_out]
    assert clients[kind].get("/model").get_json() == metadata


def test_a_failed_body_is_validated_once(
    passengers: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = 0

    def check(instances: object, places: object) -> None:
        nonlocal times
        times += 1
        original(instances, places)

    original = passengers.check
    monkeypatch.setattr(passengers, "check", check)
    app: Flask = create_app(Models.of(passengers), QUIET)
    check_problem(post(app.test_client(), {"instances": [{}]}), 422)
    assert times == 1


def test_a_body_of_unknown_fields_is_refused_shortly(client: FlaskClient) -> None:
    body = {"text": "a", **{f"k{number}": 1 for number in range(50_000)}}
    response = post(client, body)
    detail = check_problem(response, 422)["detail"]
    assert detail == (
        "body: 50000 problems, most of them unknown fields; "
        "known: text, texts, instances, top_k, explain, expected"
    )


VALUES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.dates().map(str)
    | st.sampled_from(["C", "", " ", 10**400, -(10**308), 1e308])
)


class TestAnyInstance:
    """Whatever the instances are, the answer is JSON: predictions, or a problem and never a 500."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _ask(cls, clients: dict[str, FlaskClient]) -> None:
        cls.clients = clients

    @settings(deadline=None, max_examples=300)
    @given(st.sampled_from(list(TABLES)), st.data())
    def test_any_instance_is_answered_or_refused(self, kind: str, data: st.DataObject) -> None:
        good = dict(TABLES[kind].instances[0])
        fields = st.sampled_from([*good, "other"])
        changes = st.dictionaries(fields, VALUES, max_size=3)
        instances = [good | changed for changed in data.draw(st.lists(changes, max_size=3))]
        response = post(self.clients[kind], {"instances": instances})
        content = strictly(response.data)
        if response.status_code == 200:
            assert len(content["predictions"]) == len(instances)
        else:
            check_problem(response, 422)
