"""The OpenAPI document: it has every route, and what the server answers is what it says."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from jsonschema import Draft202012Validator
from werkzeug.test import TestResponse

from predict import __version__
from predict.hosting.models import Models
from predict.http.app import create_app
from predict.http.descriptions import Description, described
from predict.http.openapi import path_of
from predict.http.schemas import content
from predict.settings import Settings
from predict.tests.conftest import GOLDEN_SCOPE, GOLDEN_TABLES
from predict.tests.tiny_artefact import write_tiny_artefact

Doc = dict[str, Any]
KINDS = ("label", "number", "labels")
QUIET = {"log_requests": False}


@pytest.fixture(scope="module")
def served() -> Flask:
    """All kinds of models in one server."""
    places = {kind: GOLDEN_TABLES / kind for kind in KINDS} | {"texts": GOLDEN_SCOPE}
    return create_app(Models(places), Settings(**QUIET, max_body_bytes=5_000, max_instances=5))


@pytest.fixture(scope="module")
def asked(served: Flask) -> FlaskClient:
    return served.test_client()


@pytest.fixture(scope="module")
def document(asked: FlaskClient) -> Doc:
    return read(asked)


def read(client: FlaskClient, **headers: str) -> Doc:
    answer = client.get("/openapi.json", headers=headers)
    assert answer.status_code == 200
    return json.loads(answer.data)


def test_the_document_tells_the_version_of_the_project(document: Doc) -> None:
    assert document["info"]["version"] == __version__


def client_of(*paths: Path, **settings: Any) -> FlaskClient:
    names = ["default", "second", "third"]
    places = dict(zip(names, paths, strict=False))
    return create_app(Models(places), Settings(**QUIET, **settings)).test_client()


def resolved(document: Doc, node: Doc) -> Doc:
    while "$ref" in node:
        found: Any = document
        for part in node["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        node = found
    return node


def check(document: Doc, path: str, answer: TestResponse) -> None:
    """Check that the document has an answer: its status, its type, its headers and its content."""
    operation = document["paths"][path][answer.request.method.lower()]
    assert str(answer.status_code) in operation["responses"], answer.data
    response = resolved(document, operation["responses"][str(answer.status_code)])
    assert answer.mimetype in response["content"]
    for name, header in response["headers"].items():
        if resolved(document, header).get("required"):
            assert name in answer.headers
    validate(document, response["content"][answer.mimetype]["schema"], answer.json)


def validate(document: Doc, schema: Doc, value: object) -> None:
    whole = {**schema, "components": document["components"]}
    errors = [error.message for error in Draft202012Validator(whole).iter_errors(value)]
    assert errors == []


def test_the_document_is_one_of_openapi_3_1(document: Doc) -> None:
    assert document["openapi"] == "3.1.0"
    validator = pytest.importorskip("openapi_spec_validator", reason="`make lock` names it")
    errors = validator.OpenAPIV31SpecValidator(document).iter_errors()
    assert [str(error) for error in errors] == []
    ids = [each["operationId"] for path in document["paths"].values() for each in path.values()]
    assert len(ids) == len(set(ids))


def test_every_route_is_in_the_document(served: Flask, document: Doc) -> None:
    methods: dict[str, set[str]] = {}
    for rule in served.url_map.iter_rules():
        methods.setdefault(path_of(rule.rule), set()).update(rule.methods - {"HEAD", "OPTIONS"})
    for path, expected in methods.items():
        paths = {path} | {path.replace("{model}", name) for name in ("texts", *KINDS)}
        described = [document["paths"][each] for each in paths if each in document["paths"]]
        assert described, f"{path} is missing in the document"
        for operations in described:
            assert {method.upper() for method in operations} == expected


def test_a_route_that_nobody_describes_is_there_with_its_path_and_its_methods(
    tiny_artefact: Path,
) -> None:
    app = create_app(Models({"default": tiny_artefact}), Settings(**QUIET))
    app.add_url_rule("/v2/<int:number>/<model>:x", "odd", lambda **_: "", methods=["POST"])

    @app.get("/classified")
    @described(Description("Elsewhere", errors={400: content({"type": "string"})}))
    def classified() -> str:
        """Say what it is."""
        return ""

    paths = read(app.test_client())["paths"]
    operation = paths["/v2/{number}/{model}:x"]["post"]
    assert "200" in operation["responses"]
    assert [each["name"] for each in operation["parameters"]] == ["number", "model"]
    assert paths["/classified"]["get"]["summary"] == "Say what it is"
    assert paths["/classified"]["get"]["tags"] == ["Elsewhere"]
    assert "application/json" in paths["/classified"]["get"]["responses"]["400"]["content"]


def test_routes_of_platforms_stand_under_their_names(document: Doc) -> None:
    tags = {
        "/v1/models": ("get", "KServe and TensorFlow Serving"),
        "/v2/models": ("get", "Open Inference Protocol"),
        "/v1/models/texts:predict": ("post", "KServe and TensorFlow Serving"),
        "/invocations": ("post", "SageMaker and MLflow"),
        "/score": ("post", "Azure ML"),
        "/": ("post", "Hugging Face"),
    }
    for path, (method, tag) in tags.items():
        operation = document["paths"][path][method]
        assert operation["tags"] == [tag]
        assert list(operation["responses"]["400"]["content"]) == ["application/json"]


@pytest.mark.parametrize("name", ["texts", *KINDS])
def test_examples_are_asked_and_answered_as_the_document_says(
    asked: FlaskClient, document: Doc, name: str
) -> None:
    path = f"/models/{name}/predict"
    body = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
    validate(document, body["schema"], body["example"])
    answer = asked.post(path, json=body["example"])
    check(document, path, answer)
    shown = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]
    assert shown["example"] == answer.json
    for number in range(4):
        example = asked.get(f"{path}/example?number={number}")
        check(document, f"{path}/example", example)
        if example.status_code == 200:
            validate(document, body["schema"], example.json)
    [instance] = body["example"]["instances"]
    as_text = {"text": instance.get("title") or json.dumps(instance)}
    check(document, path, asked.get(path, query_string=as_text))
    check(document, path, asked.post(path, data=as_text))


def test_warnings_and_unsure_answers_are_in_the_document(asked: FlaskClient, document: Doc) -> None:
    instance = {"age": 99, "fare": None, "heads": 1, "port": "X", "day": "2026-04-10", "note": ""}
    answer = asked.post("/models/label/predict", json={"instances": [instance]})
    assert "warnings" in answer.json["predictions"][0]
    check(document, "/models/label/predict", answer)
    answer = asked.post("/models/texts/predict", json={"text": "zzzz"})
    assert answer.json["predictions"][0]["unsure"] is True
    check(document, "/models/texts/predict", answer)


@pytest.mark.parametrize(
    ("status", "method", "path", "more"),
    [
        (400, "POST", "/predict", {"data": b"{", "content_type": "application/json"}),
        (422, "GET", "/models/label/predict/example", {"query_string": {"number": "x"}}),
        (413, "POST", "/predict", {"json": {"instances": [{}] * 6}}),
        (415, "POST", "/predict", {"data": b"x", "content_type": "text/plain"}),
        (422, "POST", "/predict", {"json": {"instances": [{"age": "old"}]}}),
        (404, "POST", "/feedback", {"json": {"request_id": "x", "truths": [1]}}),
        (403, "POST", "/admin/models/label", {"path_of": "/admin/models/{model}"}),
        (200, "GET", "/model", {}),
        (200, "GET", "/models", {}),
        (200, "GET", "/models/texts", {"path_of": "/models/{model}"}),
        (404, "GET", "/models/nobody", {"path_of": "/models/{model}"}),
        (200, "GET", "/health", {}),
        (200, "GET", "/ready", {}),
        (200, "GET", "/drift", {}),
        (200, "GET", "/models/labels/drift", {"path_of": "/models/{model}/drift"}),
        (200, "GET", "/openapi.json", {}),
    ],
)
def test_answers_are_what_the_document_says(
    asked: FlaskClient, document: Doc, status: int, method: str, path: str, more: Doc
) -> None:
    described_as = more.get("path_of", path)
    sent = {key: value for key, value in more.items() if key != "path_of"}
    answer = asked.open(path, method=method, **sent)
    assert answer.status_code == status
    check(document, described_as, answer)


def test_feedback_is_answered_as_the_document_says(asked: FlaskClient, document: Doc) -> None:
    asked.post("/models/texts/predict", json={"text": "svn"}, headers={"X-Request-ID": "mine"})
    told = {"request_id": "mine", "truths": ["svn"]}
    for status in (200, 409):
        answer = asked.post("/feedback", json=told)
        assert answer.status_code == status
        check(document, "/feedback", answer)


def test_an_administrator_is_answered_as_the_document_says() -> None:
    client = client_of(
        GOLDEN_TABLES / "label", admin_token="secret", models_dir=GOLDEN_TABLES, api_keys=["key"]
    )
    document = read(client, Authorization="Bearer key")
    path, admin = "/admin/models/{model}", {"X-API-Key": "secret"}
    for status, route, body in [
        (200, "", {"artefact": "number"}),
        (404, "", {"artefact": "nothing"}),
        (422, "", {"artefact": "../x"}),
        (200, "/rollback", None),
        (200, "/shadow", {"artefact": "labels"}),
    ]:
        answer = client.post(f"/admin/models/default{route}", json=body, headers=admin)
        assert answer.status_code == status, answer.data
        check(document, path + route, answer)
    check(document, path, client.post("/admin/models/default"))
    check(document, "/models", client.get("/models", headers={"X-API-Key": "key"}))
    check(document, "/predict", client.get("/predict?text=x"))  # without a key


def test_where_keys_are_set_the_document_needs_one_and_says_what_does() -> None:
    client = client_of(GOLDEN_SCOPE, api_keys=["key"])
    assert client.get("/openapi.json").status_code == 401
    paths = read(client, Authorization="Bearer key")["paths"]
    assert paths["/predict"]["post"]["security"] == [{"bearer": []}, {"key": []}]
    assert "401" in paths["/openapi.json"]["get"]["responses"]
    for path in ("/health", "/ready", "/docs", "/docs/{file}"):
        assert paths[path]["get"]["security"] == []
        assert client.get(path.replace("{file}", "start.js")).status_code == 200
    assert client.get("/docsx").status_code == 401


@pytest.mark.parametrize("hidden", ["show_model", "show_examples"])
def test_what_is_hidden_is_not_in_the_document(hidden: str) -> None:
    client = client_of(GOLDEN_TABLES / "label", **{hidden: False})
    text = client.get("/openapi.json").get_data(as_text=True)
    assert "Hello, World!" not in text
    assert ('"heads"' in text) == (hidden == "show_examples")
    document = json.loads(text)
    path = {"show_examples": "/predict/example", "show_model": "/drift"}[hidden]
    answer = client.get(path)
    assert answer.status_code == 404
    check(document, path, answer)


def test_the_document_follows_a_change_of_models(tmp_path: Path) -> None:
    link = tmp_path / "latest"
    link.symlink_to(GOLDEN_TABLES / "label")
    models = Models({"default": link})
    client = create_app(models, Settings(**QUIET)).test_client()
    before = read(client)
    assert "age" in before["components"]["schemas"]["default.Instance"]["properties"]
    models.swap("default", GOLDEN_TABLES / "number")()
    after = read(client)
    assert "area" in after["components"]["schemas"]["default.Instance"]["properties"]
    models.follow({"default": link, "more": GOLDEN_SCOPE})()
    assert "/models/more/predict" in read(client)["paths"]
    models.follow({"default": link})()
    assert "/models/more/predict" not in read(client)["paths"]


def test_the_document_is_made_once_for_the_same_models(
    tiny_artefact: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = []
    monkeypatch.setattr("predict.http.openapi.models_json_schema", counting(made))
    client = client_of(tiny_artefact)
    assert made == []  # not at the start
    assert read(client) == read(client)
    assert len(made) == 1


def counting(made: list[object]) -> Any:
    from pydantic.json_schema import models_json_schema

    def count(*arguments: Any, **more: Any) -> Any:
        made.append(arguments)
        return models_json_schema(*arguments, **more)

    return count


def test_a_name_whose_first_artefact_was_refused_has_a_path(
    tiny_artefact: Path, tmp_path: Path
) -> None:
    standing = {"default": [str(tiny_artefact), None, None], "bad": [None, None, None]}
    places = {"default": tiny_artefact, "bad": tmp_path}
    client = create_app(Models(places, standing=standing), Settings(**QUIET)).test_client()
    document = read(client)
    answer = client.post("/models/bad/predict", json={"text": "x"})
    assert answer.status_code == 503
    check(document, "/models/bad/predict", answer)


def test_texts_of_strangers_are_never_in_what_is_read_as_markdown(tmp_path: Path) -> None:
    evil = "<img src=x onerror=alert(1)> **bold**\u202egnp"
    client = client_of(write_tiny_artefact(tmp_path / "evil", (evil,), ("a", evil, "c")))
    document = read(client)
    assert evil in document["components"]["schemas"]["default.Instance"]["properties"]
    for told in described_in(document):
        assert "<img" not in told
        assert "\u202e" not in told


def described_in(node: object) -> list[str]:
    """Return the texts that a page may read as Markdown."""
    if isinstance(node, list):
        return [text for each in node for text in described_in(each)]
    if not isinstance(node, dict):
        return []
    own = [node[key] for key in ("description", "summary") if isinstance(node.get(key), str)]
    return own + [text for each in node.values() for text in described_in(each)]


def test_the_page_and_its_files_may_do_nothing_elsewhere(asked: FlaskClient) -> None:
    page = asked.get("/docs")
    assert page.status_code == 200
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    text = page.get_data(as_text=True)
    files = re.findall(r'(?:src|href)="(docs/[^"]+)"', text)
    assert len(files) == 4
    assert not re.search(r"https?://|<script>|<style| style=| on\w+=", text)
    for file in files:
        answer = asked.get(f"/{file}")
        assert answer.status_code == 200
        assert len(answer.headers.getlist("Content-Security-Policy")) == 1
        again = asked.get(f"/{file}", headers={"If-None-Match": answer.headers["ETag"]})
        assert again.status_code == 304
    assert asked.get("/docs/../app.py").status_code == 404
    assert asked.get("/docs/nothing.js").status_code == 404


def test_a_whole_number_may_have_a_point_as_in_json_schema(asked: FlaskClient) -> None:
    for top_k, status in [("2.0", 200), ("2.5", 422), ("true", 422), ("0.0", 422), ("1e400", 422)]:
        body = f'{{"text": "svn", "top_k": {top_k}}}'
        answer = asked.post("/models/texts/predict", data=body, content_type="application/json")
        assert answer.status_code == status, (top_k, answer.data)
