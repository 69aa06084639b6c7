"""The HTTP application: every answer is JSON, every error says what was expected, and none is a 500."""

import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from flask import Response
from flask.testing import FlaskClient
from hypothesis import given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from predict.hosting.models import Models
from predict.http.app import create_app
from predict.scoring.inputs import Instance
from predict.scoring.predictor import Answers, Places, Predictor
from predict.settings import Settings
from predict.tests.tiny_artefact import EXAMPLES, LABELS

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PROBLEM = "application/problem+json"
SECRET = "a text that is nobody's business"


def post(client: FlaskClient, body: object, content_type: str = JSON) -> TestResponse:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return client.post("/predict", data=data, content_type=content_type)


def check_problem(response: TestResponse, status: int) -> dict[str, Any]:
    """Check what every error has; return its body."""
    body = json.loads(response.data)
    assert response.status_code == body["status"] == status, body
    assert response.content_type == PROBLEM
    assert body["type"] == "about:blank"
    assert body["title"]
    assert body["detail"]
    return body


@pytest.fixture(scope="module")
def plain_flask(predictor: Predictor) -> FlaskClient:
    """The same application without the shortcut before Flask."""
    app = create_app(Models.of(predictor), Settings(log_texts=True, log_requests=False))
    return app.test_client()


@pytest.mark.parametrize(
    ("body", "count"),
    [
        ({"text": "svn"}, 1),
        ({"texts": ["svn", "bash", "qt"]}, 3),
        ({"instances": [{"title": "svn"}, {"title": "zzzz"}]}, 2),
        ({"text": "svn", "top_k": 1}, 1),
        ({"text": "svn", "top_k": None, "texts": None}, 1),
        ({"text": "svn", "top_k": 10**30}, 1),
        ({"text": "\0"}, 1),
        ({"text": "a\0b"}, 1),
        ({"text": "\u202eمرحبا שלום"}, 1),
        ({"text": "👩‍👩‍👧 🙂"}, 1),
        ({"text": "zzzz qqqq"}, 1),
        ({"text": "?!"}, 1),
        ({"text": "\ufeff"}, 1),
        ({"texts": ["svn"] * 50}, 50),
    ],
)
def test_good_bodies_are_answered_and_the_shortcut_answers_as_flask_does(
    client: FlaskClient, plain_flask: FlaskClient, body: dict[str, Any], count: int
) -> None:
    short, whole = post(client, body), post(plain_flask, body)
    assert short.status_code == whole.status_code == 200
    assert short.data == whole.data
    assert short.content_type == whole.content_type == JSON
    assert short.headers["Content-Length"] == whole.headers["Content-Length"]
    answer = short.get_json()
    assert answer["model"] == "2026-01-02-03-04-05"
    assert len(answer["predictions"]) == count
    for prediction in answer["predictions"]:
        assert prediction.keys() == {"label", "score", "probabilities"}
        assert len(prediction["probabilities"]) == min(body.get("top_k") or 3, 3)


def test_the_answer_is_the_predictors(client: FlaskClient, predictor: Predictor) -> None:
    expected = predictor.predict([{"title": text} for text in EXAMPLES])
    assert post(client, {"texts": EXAMPLES}).get_json()["predictions"] == expected


def test_a_plain_request_does_not_reach_flask(predictor: Predictor) -> None:
    app = create_app(Models.of(predictor), Settings(log_requests=False))
    seen: list[str] = []

    @app.after_request
    def note(response: Response) -> Response:
        seen.append("flask")
        return response

    assert post(app.test_client(), {"text": "svn"}).status_code == 200
    assert seen == []
    assert post(app.test_client(), {"text": ""}).status_code == 422
    assert seen == ["flask"]


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b'{"text": "svn"}', "application/json; charset=utf-8"),
        (b'{"text": "svn"}', "Application/JSON"),
        (b"text=svn", FORM),
        (b"text=svn&top_k=3", f"{FORM}; charset=utf-8"),
        (
            b'--x\r\nContent-Disposition: form-data; name="text"\r\n\r\nsvn\r\n--x--\r\n',
            "multipart/form-data; boundary=x",
        ),
    ],
)
def test_forms_and_parameters_of_the_content_type_are_understood(
    client: FlaskClient, plain_flask: FlaskClient, data: bytes, content_type: str
) -> None:
    expected = post(client, {"text": "svn"}).data
    assert post(client, data, content_type).data == expected
    assert post(plain_flask, data, content_type).data == expected


def test_a_text_in_the_address_is_answered(client: FlaskClient) -> None:
    expected = post(client, {"text": "c++ & svn", "top_k": 2}).data
    assert client.get("/predict?text=c%2B%2B+%26%20svn&top_k=2").data == expected


def nested(depth: int) -> bytes:
    return b'{"instances":[{"title":' + b"[" * depth + b"]" * depth + b"}]}"


@pytest.mark.parametrize(
    ("data", "status", "detail"),
    [
        (b"", 400, "body: Invalid JSON: EOF while parsing"),
        (b'{"text": "svn"', 400, "body: Invalid JSON: EOF while parsing an object"),
        (b"text=svn", 400, "body: Invalid JSON: expected"),
        (b'{"text": NaN', 400, "body: Invalid JSON"),
        (b'{"text": "a"} x', 400, "body: Invalid JSON: trailing characters"),
        (b'{"text": "\\ud800"}', 400, "body: Invalid JSON: .*hex escape"),
        (b'{"text": "\\udc00x"}', 400, "body: Invalid JSON: .*"),
        (b'{"text": "\xff"}', 400, "body: Invalid JSON: invalid unicode code point"),
        (b'{"text": "\xed\xa0\x80"}', 400, "body: Invalid JSON: invalid unicode code point"),
        (b"\xef\xbb\xbf{}", 422, "got none of them"),
        (b"\0", 400, "body: Invalid JSON"),
        (nested(150), 422, r"instances\.0\.title: expected a text, got a list"),
        (nested(9_000), 400, "body: Invalid JSON: recursion limit exceeded"),
        (b"[" * 19_000, 400, "body: Invalid JSON: recursion limit exceeded"),
        (b'["svn"]', 422, "body: Input should be an object"),
        (b'"svn"', 422, "body: Input should be an object"),
        (b"5", 422, "body: Input should be an object"),
        (b"null", 422, "body: Input should be an object"),
        (b"{}", 422, "expected exactly one of text, texts and instances, got none of them"),
        (b'{"text": null}', 422, "got none of them"),
        (b'{"text": "a", "texts": ["b"]}', 422, "exactly one .*, got text and texts"),
        (b'{"text": 5}', 422, "text: Input should be a valid string"),
        (b'{"text": ["svn"]}', 422, "text: Input should be a valid string"),
        (b'{"text": NaN}', 422, "text: Input should be a valid string"),
        (b'{"text": ""}', 422, "^text: empty text$"),
        (b'{"text": " \\n\\u3000"}', 422, "^text: empty text$"),
        (b'{"texts": "svn"}', 422, "texts: Input should be a valid array"),
        (b'{"texts": []}', 422, "texts: List should have at least 1 item"),
        (b'{"texts": ["a", 5]}', 422, r"texts\.1: Input should be a valid string"),
        (b'{"texts": ["a", ""]}', 422, r"^texts\.1: empty text$"),
        (b'{"texts": {"0": "a"}}', 422, "texts: Input should be a valid array"),
        (b'{"instances": {}}', 422, "instances: Input should be a valid array"),
        (b'{"instances": []}', 422, "instances: List should have at least 1 item"),
        (b'{"instances": ["svn"]}', 422, r"instances\.0: Input should be an object"),
        (b'{"instances": [null]}', 422, r"instances\.0: Input should be an object"),
        (b'{"instances": [{}]}', 422, r"instances\.0\.title: missing; expected a text"),
        (
            b'{"instances": [{"title": "a", "titles": 1}]}',
            422,
            r"instances\.0\.titles: unknown field; did you mean title\?",
        ),
        (b'{"instances": [{"title": 1e999}]}', 422, r"instances\.0\.title: expected a text"),
        (b'{"text": "a", "topk": 1}', 422, r"topk: unknown field; .*: {\"instances\": \[{…}\]}"),
        (b'{"text": "a", "top_k": 0}', 422, "top_k: Input should be greater than or equal to 1"),
        (b'{"text": "a", "top_k": -1}', 422, "top_k: Input should be greater than or equal to 1"),
        (b'{"text": "a", "top_k": "x"}', 422, "top_k: Input should be a valid integer"),
        (b'{"text": "a", "top_k": "1"}', 422, "top_k: Input should be a valid integer"),
        (b'{"text": "a", "top_k": 1.5}', 422, "top_k: Input should be a valid integer"),
        (b'{"text": "a", "top_k": true}', 422, "top_k: Input should be a valid integer"),
        (json.dumps({"texts": ["a"] * 51}).encode(), 413, "texts: expected at most 50, got 51"),
        (
            json.dumps({"instances": [{"title": "a"}] * 51}).encode(),
            413,
            "instances: expected at most 50, got 51",
        ),
        (json.dumps({"text": "a" * 20_000}).encode(), 413, "capacity limit"),
    ],
)
def test_a_bad_body_says_what_was_expected_and_where(
    client: FlaskClient, data: bytes, status: int, detail: str
) -> None:
    body = check_problem(post(client, data), status)
    assert re.search(detail, body["detail"]), body["detail"]
    if status != 413:
        assert body["detail"] == "; ".join(
            f"{error['place']}: {error['message']}" for error in body["errors"]
        )
    # Without the shortcut, as a content type with a parameter goes, it is the same.
    other = post(client, data, "application/json; charset=utf-8")
    assert (other.status_code, other.data) == (
        status,
        json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode(),
    )


@pytest.mark.parametrize(
    ("data", "content_type", "status", "detail"),
    [
        (
            b'{"text": "a"}',
            "text/plain",
            415,
            "expected application/json or a form, got text/plain",
        ),
        (b'{"text": "a"}', "", 415, "expected application/json or a form, got none"),
        (b"", "", 415, "got none"),
        (b'{"text": "a"}', "json", 415, "got json"),
        (b'{"text": "a"}', FORM, 415, "looks like JSON, .* Content-Type: application/json"),
        (b"", FORM, 422, "got none of them"),
        (b"text=", FORM, 422, "^text: empty text$"),
        (b"text=a&top_k=0", FORM, 422, "top_k: Input should be greater than or equal to 1"),
        (b"text=a&top_k=x", FORM, 422, "top_k: Input should be a valid integer"),
        (b"texts=a", FORM, 422, "texts: Input should be a valid list"),
        (b"text=" + b"a" * 20_000, FORM, 413, "capacity limit"),
        (b"nothing", "multipart/form-data", 422, "got none of them"),
        (b"nothing", "multipart/form-data; boundary=x", 422, "got none of them"),
    ],
)
def test_a_bad_form_or_content_type_says_what_was_expected(
    client: FlaskClient, data: bytes, content_type: str, status: int, detail: str
) -> None:
    body = check_problem(post(client, data, content_type), status)
    assert re.search(detail, body["detail"]), body["detail"]


@pytest.mark.parametrize(
    ("method", "path", "status", "detail"),
    [
        ("GET", "/predict", 422, "got none of them"),
        ("GET", "/predict?text=", 422, "^text: empty text$"),
        ("GET", "/predict?text=a&top_k=0", 422, "top_k: Input should be greater"),
        ("GET", "/predict?text=a&top_k=x", 422, "top_k: Input should be a valid integer"),
        ("GET", "/predict?texts=a", 422, "texts: Input should be a valid list"),
        ("GET", "/predict?instances=a", 422, "instances: Input should be a valid list"),
        ("GET", "/predict?q=a", 422, "q: unknown field; known: text, "),
        ("GET", "/nothing", 404, "not found"),
        ("GET", "/predict/", 404, "not found"),
        ("POST", "/nothing%0a%ff", 404, "not found"),
        ("GET", "/static/app.py", 404, "not found"),
        ("PUT", "/predict", 405, "not allowed"),
        ("DELETE", "/predict", 405, "not allowed"),
        ("POST", "/health", 405, "not allowed"),
    ],
)
def test_a_bad_address_or_method_says_what_is_wrong(
    client: FlaskClient, method: str, path: str, status: int, detail: str
) -> None:
    response = client.open(path, method=method)
    assert re.search(detail, check_problem(response, status)["detail"])
    assert ("Allow" in response.headers) == (status == 405)


def test_405_says_what_is_allowed(client: FlaskClient) -> None:
    assert set(client.put("/predict").headers["Allow"].split(", ")) >= {"GET", "POST"}
    assert "POST" not in client.put("/health").headers["Allow"]


def test_a_text_that_is_not_utf8_in_the_address_is_answered(client: FlaskClient) -> None:
    assert client.get("/predict?text=%ED%A0%80%ff%00").status_code == 200


def test_head_is_answered_as_get(client: FlaskClient) -> None:
    response = client.head("/predict?text=svn")
    assert response.status_code == 200
    assert response.data == b""


def test_a_bare_text_is_refused_where_a_model_has_more_inputs(
    two_text_predictor: Predictor,
) -> None:
    client = create_app(Models.of(two_text_predictor), Settings(log_requests=False)).test_client()
    for body in ({"text": "svn"}, {"texts": ["svn"]}):
        assert "fields title, body" in check_problem(post(client, body), 422)["detail"]
    good = {"instances": [{"title": "svn", "body": "commit"}]}
    assert post(client, good).get_json()["predictions"][0]["label"] == "svn"


def test_health_ready_and_model_describe_what_is_served(client: FlaskClient) -> None:
    assert client.get("/health").get_json() == {"status": "alive"}
    assert client.get("/ready").get_json() == {"status": "ready", "model": "2026-01-02-03-04-05"}
    model = client.get("/model").get_json()
    assert model["outputs"][0]["labels"] == list(LABELS)
    assert model["metrics"] == {"accuracy": 1.0}
    assert model["embedding"] == {"algorithm": "by hand — für Menschen 🙂"}
    assert client.get("/model").content_type == JSON


class Faulty(Predictor):
    """Loads as it should, and then fails on every instance."""

    broken = False

    def answer(
        self, instances: Sequence[Instance], top_k: int | None = None, places: Places = str
    ) -> Answers:
        if self.broken:
            raise RuntimeError(f"no memory at 0x1234 for {instances}")
        return super().answer(instances, top_k, places)


@pytest.fixture
def faulty(tiny_artefact: Path) -> FlaskClient:
    predictor = Faulty.load(tiny_artefact)
    predictor.broken = True
    return create_app(Models.of(predictor), Settings(log_requests=False)).test_client()


@pytest.mark.parametrize("content_type", [JSON, "application/json; charset=utf-8"])
def test_our_fault_is_logged_and_its_details_are_not_told(
    faulty: FlaskClient, caplog: pytest.LogCaptureFixture, content_type: str
) -> None:
    with caplog.at_level(logging.INFO):
        response = post(faulty, {"text": "svn"}, content_type)
    body = check_problem(response, 500)
    assert body["detail"] == "The server failed on this request; its log says why."
    assert b"0x1234" not in response.data
    assert b"Traceback" not in response.data
    [record] = caplog.records
    assert record.levelname == "ERROR"
    assert record.getMessage() == "POST /predict failed"
    assert record.exc_info is not None
    assert "0x1234" in str(record.exc_info[1])


def ask_everything(client: FlaskClient) -> int:
    """Ask in every way with SECRET in it; return how often."""
    bodies = [{"text": SECRET}, {"texts": [SECRET, ""]}, {"instances": [{"title": SECRET}]}]
    for body in bodies:
        for content_type in (JSON, "application/json; charset=utf-8", "text/plain"):
            post(client, body, content_type)
    client.post("/predict", data={"text": SECRET})
    client.get("/predict", query_string={"text": SECRET})
    return 3 * len(bodies) + 2


def test_a_request_is_one_line_in_the_log_and_its_text_is_not(
    predictor: Predictor, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        count = ask_everything(create_app(Models.of(predictor)).test_client())
    lines = capsys.readouterr().err.splitlines()
    pattern = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d INFO (GET|POST) '/predict' (200|415|422) \d+\.\d ms [0-9a-f]{24}"
    assert len(lines) == count
    assert all(re.fullmatch(pattern, line) for line in lines), lines
    assert SECRET not in caplog.text


def test_a_line_break_in_the_path_does_not_make_a_second_line(
    predictor: Predictor, capsys: pytest.CaptureFixture[str]
) -> None:
    create_app(Models.of(predictor)).test_client().get("/a%0a%0d%1b%e2%80%a8b")
    [line] = capsys.readouterr().err.splitlines()
    assert r"/a\n\r\x1b" in line


def test_no_request_is_logged_where_nobody_wants_it(
    predictor: Predictor, capsys: pytest.CaptureFixture[str]
) -> None:
    ask_everything(create_app(Models.of(predictor), Settings(log_requests=False)).test_client())
    assert capsys.readouterr().err == ""


def test_texts_are_logged_where_somebody_asked_for_it(
    predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Models.of(predictor), Settings(log_texts=True, log_requests=False))
    with caplog.at_level(logging.INFO):
        count = ask_everything(app.test_client())
    assert len(caplog.records) == count
    assert caplog.text.count("nobody") == count


def test_a_line_break_in_a_logged_text_does_not_make_a_second_line(
    predictor: Predictor, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(Models.of(predictor), Settings(log_texts=True, log_requests=False))
    with caplog.at_level(logging.INFO):
        post(app.test_client(), b"\n2026-01-01 00:00:00 INFO forged\n")
    assert all("\n" not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("name", ["x" * 15_000, "title" * 3_000])
def test_the_answer_to_a_long_field_name_is_short(client: FlaskClient, name: str) -> None:
    assert len(post(client, {"instances": [{"title": "a", name: 1}]}).data) < 5_000


ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["text", "texts", "instances", "top_k", "title"]) | st.text(max_size=5),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
NEARLY_RIGHT = st.fixed_dictionaries(
    {},
    optional={
        "text": st.text(max_size=20) | ANY_JSON,
        "texts": st.lists(st.text(max_size=9), max_size=4) | ANY_JSON,
        "instances": st.lists(st.fixed_dictionaries({"title": ANY_JSON}) | ANY_JSON, max_size=4),
        "top_k": st.integers(-1, 5) | ANY_JSON,
    },
)


class TestAnyBody:
    """Whatever is posted, the answer is an answer or a problem, and never a 500."""

    @pytest.fixture(autouse=True, scope="class")
    @classmethod
    def _ask(cls, client: FlaskClient) -> None:
        cls.client = client

    @settings(deadline=None, max_examples=120)
    @given(ANY_JSON | NEARLY_RIGHT)
    def test_any_json_is_answered_or_refused(self, body: object) -> None:
        response = post(self.client, body)
        if response.status_code != 200:
            check_problem(response, response.status_code)
        assert response.status_code in {200, 400, 422}

    @settings(deadline=None, max_examples=100)
    @given(st.binary(max_size=50), st.sampled_from([JSON, FORM, "multipart/form-data; boundary=x"]))
    def test_any_bytes_are_answered_or_refused(self, body: bytes, content_type: str) -> None:
        response = post(self.client, body, content_type)
        if response.status_code != 200:
            check_problem(response, response.status_code)
        # A form that begins as JSON does has the wrong type.
        assert response.status_code in {200, 400, 422} or body.lstrip()[:1] in (b"{", b"[")


def test_a_log_that_nobody_reads_any_more_does_not_stop_the_answers(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone:
        def write(self, line: str) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("sys.stderr", Gone())
    client = create_app(Models.of(predictor), Settings()).test_client()
    assert post(client, {"text": "svn"}).status_code == 200
