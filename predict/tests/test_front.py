"""What meets every request: ids, keys, compressed bodies, origins, and the headers of every answer."""

import gzip
import json
import logging
import re
import tracemalloc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from predict.hosting.models import Models
from predict.http.app import create_app
from predict.scoring.predictor import Predictor
from predict.settings import Settings, SettingsError
from predict.tests.test_app import FORM, JSON, check_problem, post

TEXT = {"text": "svn"}
RAW = json.dumps(TEXT).encode()
Serve = Callable[..., FlaskClient]


@pytest.fixture
def serve(predictor: Predictor) -> Serve:
    def serve_with(**settings: Any) -> FlaskClient:
        settings = {"log_requests": False, **settings}
        return create_app(Models.of(predictor), Settings.model_validate(settings)).test_client()

    return serve_with


# ------------------------------------------------------------------ identity


@pytest.mark.parametrize("path", ["/predict", "/nothing", "/health"])
def test_every_answer_has_the_id_of_its_request(client: FlaskClient, path: str) -> None:
    headers = {"X-Request-ID": "order-7:a/b"}
    response = client.post(path, json=TEXT, headers=headers)
    assert response.headers["X-Request-ID"] == "order-7:a/b"


@pytest.mark.parametrize("bad", ["", "a b", "a\tb", "é", "a" * 129, '"', "<b>"])
def test_a_request_without_a_usable_id_gets_a_new_one(client: FlaskClient, bad: str) -> None:
    ids = [post_with(client, {"X-Request-ID": bad}).headers["X-Request-ID"] for _ in range(2)]
    assert all(re.fullmatch("[0-9a-f]{24}", name) for name in ids)
    assert ids[0] != ids[1]


@pytest.mark.parametrize(
    ("trace", "passed_on"),
    [
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", True),
        ("00-00000000000000000000000000000000-00f067aa0ba902b7-01", False),
        ("00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01", False),
        ("00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01", False),
        ("hello", False),
    ],
)
def test_a_trace_is_passed_on_if_it_is_one(
    client: FlaskClient, trace: str, passed_on: bool
) -> None:
    headers = post_with(client, {"traceparent": trace}).headers
    assert headers.get("traceparent") == (trace if passed_on else None)


def test_every_answer_tells_a_browser_to_be_careful(client: FlaskClient) -> None:
    for response in (post(client, TEXT), post(client, {}), client.get("/health")):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert response.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]


def post_with(client: FlaskClient, headers: Mapping[str, str], data: bytes = RAW) -> Any:
    return client.post("/predict", data=data, content_type=JSON, headers=dict(headers))


# ---------------------------------------------------------------------- logs


def test_a_line_of_the_log_has_the_id_of_its_request(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    post_with(serve(log_requests=True), {"X-Request-ID": "order-7"})
    assert re.search(r"INFO POST '/predict' 200 [\d.]+ ms order-7$", capfd.readouterr().err.strip())


def test_a_log_of_objects_has_one_a_request(
    serve: Serve, capfd: pytest.CaptureFixture[str]
) -> None:
    client = serve(log_requests=True, log_format="json")
    trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    post_with(client, {"X-Request-ID": "order-7", "traceparent": trace})
    client.get("/a%0ab%22")
    asked, missed = map(json.loads, capfd.readouterr().err.splitlines())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", asked.pop("time"))
    assert asked.pop("ms") > 0
    assert asked == {
        "level": "INFO",
        "request_id": "order-7",
        "traceparent": trace,
        "method": "POST",
        "path": "/predict",
        "status": 200,
        "model": "default",
        "instances": 1,
    }
    assert (missed["path"], missed["status"]) == ('/a\nb"', 404)


# ---------------------------------------------------------------------- keys

KEYED = {"api_keys": "first-key, zweiter-schlüssel", "admin_token": "the-admin"}


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer first-key"},
        {"authorization": "bearer  first-key "},
        {"X-API-Key": "first-key"},
        {"X-API-Key": "zweiter-schlüssel".encode().decode("latin-1")},
    ],
)
def test_a_key_opens_what_is_closed_without(serve: Serve, headers: dict[str, str]) -> None:
    assert post_with(serve(**KEYED), headers).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer first"},
        {"Authorization": "Bearer first-key, zweiter"},
        {"Authorization": "Basic first-key"},
        {"Authorization": "first-key"},
        {"X-API-Key": ""},
        {"X-API-Key": "FIRST-KEY"},
        {"X-API-Key": "the-admin"},
    ],
)
@pytest.mark.parametrize("path", ["/predict", "/model", "/models", "/predict/example", "/nothing"])
def test_without_a_key_nothing_is_told(serve: Serve, headers: dict[str, str], path: str) -> None:
    response = serve(**KEYED).post(path, json=TEXT, headers=headers)
    check_problem(response, 401)
    assert response.headers["WWW-Authenticate"] == 'Bearer realm="the models"'


def test_a_key_in_the_address_is_neither_taken_nor_logged(
    serve: Serve, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.DEBUG):
        client = serve(**KEYED, log_requests=True, log_texts=True)
        check_problem(client.get("/predict?text=svn&api_key=first-key"), 401)
        good = {"X-API-Key": "first-key"}
        check_problem(client.get("/predict?text=svn&key=first-key", headers=good), 422)
        assert client.post("/predict", json=TEXT, headers=good).status_code == 200
    captured = capfd.readouterr()
    assert "first-key" not in caplog.text + captured.out + captured.err


@pytest.mark.parametrize("path", ["/health", "/ready"])
def test_a_load_balancer_needs_no_key(serve: Serve, path: str) -> None:
    assert serve(**KEYED).get(path).status_code == 200


def test_keys_are_read_from_a_file(serve: Serve, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("\ufefffirst\r\n\n second \n", encoding="utf-8")
    client = serve(api_keys_file=file)
    for key in ("first", "second"):
        assert post_with(client, {"X-API-Key": key}).status_code == 200
    assert post_with(client, {"X-API-Key": ""}).status_code == 401


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "cannot be read"), (b"\n \n", "has no key"), (b"\xff", "cannot be read")],
)
def test_a_bad_file_of_keys_is_told_at_the_start(
    serve: Serve, tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "keys").write_bytes(content)
    with pytest.raises(SettingsError, match=rf"API_KEYS_FILE: .*keys {message}"):
        serve(api_keys_file=tmp_path / "keys")


# -------------------------------------------------------------------- bodies


@pytest.mark.parametrize(
    ("data", "content_type"),
    [
        (b"\xef\xbb\xbf" + RAW, JSON),
        (b"\xef\xbb\xbf" + RAW, f"{JSON}; charset=utf-8"),
        (RAW.decode().encode("utf-16"), JSON),
        (RAW.decode().encode("utf-16-be"), JSON),
        (RAW.decode().encode("utf-16"), f"{JSON}; charset=UTF-16"),
        (RAW, f"{JSON}; charset=latin-1"),
    ],
)
def test_other_characters_than_utf_8_are_read(
    client: FlaskClient, data: bytes, content_type: str
) -> None:
    assert post(client, data, content_type).data == post(client, TEXT).data


@pytest.mark.parametrize(
    ("data", "charset", "status", "detail"),
    [
        (RAW, "klingon", 415, "charset 'klingon' is not read; expected utf-8"),
        (RAW, "hex", 415, "charset 'hex' is not read"),
        (b'{"text": "\xff"}', "ascii", 400, "body: not ascii: "),
        (RAW, "utf-16", 400, "body: "),
        (RAW, "punycode", 415, "charset 'punycode' is not read"),
    ],
)
def test_characters_that_cannot_be_read_are_refused(
    client: FlaskClient, data: bytes, charset: str, status: int, detail: str
) -> None:
    body = check_problem(post(client, data, f"{JSON}; charset={charset}"), status)
    assert detail in body["detail"]


@pytest.mark.parametrize(
    ("packed", "content_type"),
    [
        (gzip.compress(RAW), JSON),
        (gzip.compress(RAW[:5]) + gzip.compress(RAW[5:]), JSON),
        (gzip.compress(b"text=svn"), FORM),
    ],
)
@pytest.mark.parametrize("encoding", ["gzip", " GZIP"])
def test_a_compressed_body_is_read(
    client: FlaskClient, packed: bytes, content_type: str, encoding: str
) -> None:
    headers = {"Content-Encoding": encoding}
    response = client.post("/predict", data=packed, content_type=content_type, headers=headers)
    assert response.data == post(client, TEXT).data


@pytest.mark.parametrize(
    ("packed", "encoding", "status", "detail"),
    [
        (b"x", "br", 415, "expected gzip or none, got br"),
        (b"x", "gzip, gzip", 415, "got gzip, gzip"),
        (RAW, "gzip", 400, "not gzip"),
        (gzip.compress(RAW)[:-9], "gzip", 400, "it ends too early"),
        (gzip.compress(RAW)[:-1] + b"x", "gzip", 400, "not gzip"),
        (gzip.compress(RAW) + b"more", "gzip", 400, "not gzip"),
        (gzip.compress(b" " * 10**7), "gzip", 413, "at most 20000 bytes when decompressed"),
        (gzip.compress(b" " * 15_000) * 2, "gzip", 413, "at most 20000 bytes"),
        (b"", "gzip", 400, "body: Invalid JSON: EOF"),
        (gzip.compress(b"") * 17, "gzip", 400, "it has more than 16 parts"),
    ],
)
def test_a_badly_compressed_body_is_refused(
    client: FlaskClient, packed: bytes, encoding: str, status: int, detail: str
) -> None:
    response = post_with(client, {"Content-Encoding": encoding}, packed)
    assert detail in check_problem(response, status)["detail"]


def test_a_bomb_is_not_unpacked(client: FlaskClient) -> None:
    bomb = gzip.compress(bytes(50_000_000))
    tracemalloc.start()
    try:
        check_problem(post_with(client, {"Content-Encoding": "gzip"}, bomb), 413)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("body", "twice"),
    [
        (b'{"text": "a", "text": "b"}', "text"),
        (b'{"text": "a:b", "text": "b"}', "text"),
        (b'{"text": "a", "top_k": 1, "top_k": 2}', "top_k"),
        (b'{"instances": [{"title": "a", "title": "b"}]}', "title"),
        (b'{"instances": [{"title": "a"}, {"title": "a", "ti\\u0074le": "b"}]}', "title"),
        (b'{"text": "a", "expected": {"x": 1, "x": %b}}' % (b"9" * 4000), "x"),
    ],
)
def test_a_key_that_is_there_twice_is_named(client: FlaskClient, body: bytes, twice: str) -> None:
    detail = check_problem(post(client, body), 422)["detail"]
    assert detail == f"{twice}: expected once, got 2 times in one object."


def test_colons_in_texts_are_no_keys(client: FlaskClient) -> None:
    for body in ({"text": 'a: "b": c'}, {"texts": ["a:", "b"]}, {"instances": [{"title": "::"}]}):
        assert post(client, body).status_code == 200


def test_the_address_may_say_how_many_labels_are_listed(client: FlaskClient) -> None:
    asked = client.post("/predict?top_k=1", json=TEXT)
    assert asked.data == post(client, {**TEXT, "top_k": 1}).data
    for path, body, detail in (
        ("/predict?top_k=1", {**TEXT, "top_k": 1}, "in the body or in the address"),
        ("/predict?top_k=0", TEXT, "top_k: Input should be greater"),
        ("/predict?topk=1", TEXT, "topk: unknown field"),
    ):
        assert detail in check_problem(client.post(path, json=body), 422)["detail"]


def test_a_file_in_a_form_is_refused_and_never_written(
    client: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.TemporaryFile", None)
    monkeypatch.setattr("tempfile.SpooledTemporaryFile", None)
    part = (
        b'--x\r\nContent-Disposition: form-data; name="text"; filename="a"\r\n\r\n%b\r\n--x--\r\n'
    )
    response = post(client, part % (b"svn" * 3_000), "multipart/form-data; boundary=x")
    assert "expected fields alone, got a file" in check_problem(response, 415)["detail"]


# ------------------------------------------------------------------- origins


@pytest.mark.parametrize(
    ("allowed", "origin", "answered"),
    [
        ("", "https://a.example", None),
        ("https://a.example", "https://a.example", "https://a.example"),
        ("https://b.example, https://a.example", "https://a.example", "https://a.example"),
        ("https://a.example", "https://a.example.org", None),
        ("https://a.example", "null", None),
        ("*", "https://c.example", "https://c.example"),
    ],
)
def test_pages_of_other_origins_ask_only_where_they_may(
    serve: Serve, allowed: str, origin: str, answered: str | None
) -> None:
    client = serve(cors_origins=allowed or [], api_keys="k")
    asked = {"Origin": origin, "X-API-Key": "k"}
    response = post_with(client, asked)
    assert response.status_code == 200  # it is the browser that keeps the answer from the page
    assert response.headers.get("Access-Control-Allow-Origin") == answered
    # A browser asks before, and without a key.
    before = {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-api-key",
    }
    preflight = client.options("/predict", headers=before)
    assert preflight.headers.get("Access-Control-Allow-Origin") == answered
    if answered:
        assert preflight.status_code == 204
        assert preflight.headers["Access-Control-Allow-Headers"] == "x-api-key"
        assert preflight.headers["Vary"] == "Origin"


# ------------------------------------------------------------------ switches


def test_what_shows_rows_and_paths_can_be_switched_off(serve: Serve) -> None:
    client = serve(show_examples=False, show_model=False)
    for path in ("/predict/example", "/models/default/predict/example"):
        assert "SHOW_EXAMPLES" in check_problem(client.get(path), 404)["detail"]
    for path in ("/model", "/models/default"):
        assert "SHOW_MODEL" in check_problem(client.get(path), 404)["detail"]
    assert client.get("/models").json == {"models": [{"name": "default"}]}
    assert post(client, TEXT).status_code == 200


def test_headers_of_proxies_are_believed_only_where_there_are_some(serve: Serve) -> None:
    forwarded = {"X-Forwarded-Prefix": "/here", "X-Forwarded-Proto": "https"}
    for proxies, url in ((0, "http://localhost/"), (1, "https://localhost/here/")):
        client = serve(trusted_proxies=proxies)
        with client:
            client.get("/health", headers=forwarded)
            from flask import request

            assert request.url_root == url


# -------------------------------------------------------------------- models


def test_a_batch_beyond_the_rows_in_flight_is_asked_to_come_again(
    serve: Serve, predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, whole = serve(max_rows_in_flight=5), predictor.answer
    seen = []

    def ask_meanwhile(*arguments: Any) -> Any:
        if not seen:
            seen.append(None)
            seen[0] = post(client, {"texts": ["svn"] * 3})
            seen.append(post(client, {"texts": ["svn"] * 2}))
            seen.append(post(client, TEXT))
        return whole(*arguments)

    monkeypatch.setattr(predictor, "answer", ask_meanwhile)
    assert post(client, {"texts": ["svn"] * 3}).status_code == 200
    refused, fits, single = seen
    check_problem(refused, 503)
    assert refused.headers["Retry-After"] == "1"
    assert (fits.status_code, single.status_code) == (200, 200)
    monkeypatch.undo()
    # A batch alone may be larger; and what was taken is given back.
    assert post(client, {"texts": ["svn"] * 6}).status_code == 200


def test_the_answer_to_a_large_batch_is_that_to_small_ones(predictor: Predictor) -> None:
    app = create_app(Models.of(predictor), Settings(log_requests=False))
    texts = [f"svn {number}" for number in range(1_201)]
    whole = post(app.test_client(), {"texts": texts}).json
    assert whole["model"] == "2026-01-02-03-04-05"
    assert whole["predictions"] == predictor.predict([{"title": text} for text in texts])
