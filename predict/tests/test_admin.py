"""The routes of administrators: closed unless a token is set, and a change is whole or is not made."""

import json
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from predict.hosting.models import Models
from predict.http.app import create_app
from predict.settings import Settings
from predict.tests.test_app import JSON, check_problem
from predict.tests.test_hosting import artefacts as artefacts

TOKEN = {"Authorization": "Bearer the-admin"}


@pytest.fixture
def client(artefacts: Path) -> FlaskClient:
    return serve(artefacts, models_dir=artefacts, admin_token="the-admin", api_keys="a-key")


def serve(artefacts: Path, **settings: Any) -> FlaskClient:
    models = Models({"default": artefacts / "old", "spam": artefacts / "old"})
    settings = {"log_requests": False, **settings}
    return create_app(models, Settings.model_validate(settings)).test_client()


def change(client: FlaskClient, path: str, body: object = None) -> TestResponse:
    data = b"" if body is None else json.dumps(body).encode()
    return client.post(f"/admin/models/{path}", data=data, content_type=JSON, headers=TOKEN)


def test_an_artefact_is_named_and_the_one_before_comes_back(client: FlaskClient) -> None:
    assert change(client, "spam", {"artefact": "new"}).json == {"name": "spam", "artefact": "new"}
    assert answering(client) == {"default": "old", "spam": "new"}
    assert change(client, "spam/rollback").json == {"name": "spam", "artefact": "old"}
    assert answering(client) == {"default": "old", "spam": "old"}


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("spam", {"artefact": "damaged"}, 422, "model.onnx was changed after training"),
        ("spam", {"artefact": "nothing"}, 422, "does not exist"),
        ("spam", {"artefact": "../artefacts/new"}, 422, "artefact: String should match"),
        ("spam", {"artefact": "/etc"}, 422, "artefact: String should match"),
        ("spam", {"artefact": ".."}, 422, "artefact: String should match"),
        ("spam", {"artefact": 5}, 422, "artefact: Input should be a valid string"),
        ("spam", {}, 422, "artefact: Field required"),
        ("spam", {"artefact": "new", "model": "x"}, 422, "model: unknown field"),
        ("spam", None, 400, "Invalid JSON"),
        ("spma", {"artefact": "new"}, 404, "no model is called 'spma'. Did you mean spam?"),
        ("spam/rollback", None, 409, "no model answered before"),
        ("spma/rollback", None, 404, "no model is called 'spma'"),
    ],
)
def test_what_cannot_be_done_says_why_and_changes_nothing(
    client: FlaskClient, path: str, body: object, status: int, detail: str
) -> None:
    assert detail in check_problem(change(client, path, body), status)["detail"]
    assert answering(client) == {"default": "old", "spam": "old"}


def test_a_refused_artefact_is_told_to_whoever_looks(client: FlaskClient) -> None:
    change(client, "spam", {"artefact": "damaged"})
    [default, spam] = client.get("/models", headers={"X-API-Key": "a-key"}).json["models"]
    assert "refused" not in default
    assert "model.onnx was changed" in spam["refused"]["reason"]


@pytest.mark.parametrize("path", ["spam", "spam/rollback", "nothing", "spam/other"])
@pytest.mark.parametrize(
    "headers", [{}, {"X-API-Key": "a-key"}, {"Authorization": "Bearer the-admi"}]
)
def test_the_key_of_a_client_changes_nothing(
    client: FlaskClient, path: str, headers: dict[str, str]
) -> None:
    body = {"artefact": "new"}
    check_problem(client.post(f"/admin/models/{path}", json=body, headers=headers), 401)
    assert answering(client) == {"default": "old", "spam": "old"}


@pytest.mark.parametrize("path", ["spam", "spam/rollback", "spam/other"])
def test_nobody_changes_anything_where_no_token_is_set(artefacts: Path, path: str) -> None:
    client = serve(artefacts, models_dir=artefacts)
    for headers in ({}, TOKEN, {"Authorization": "Bearer "}):
        response = client.post(f"/admin/models/{path}", json={"artefact": "new"}, headers=headers)
        assert "no ADMIN_TOKEN is set" in check_problem(response, 403)["detail"]


def test_without_a_folder_no_artefact_can_be_named(artefacts: Path) -> None:
    client = serve(artefacts, admin_token="the-admin")
    detail = check_problem(change(client, "spam", {"artefact": "new"}), 409)["detail"]
    assert "set MODELS_DIR" in detail


def test_each_model_has_its_own_routes(client: FlaskClient) -> None:
    change(client, "spam", {"artefact": "new"})
    key = {"X-API-Key": "a-key"}
    for path, model in (("/predict", "old"), ("/models/spam/predict", "new")):
        for ask in ({"json": {"text": "svn"}}, {"data": {"text": "svn"}}):
            assert client.post(path, headers=key, **ask).json["model"] == model  # type: ignore[arg-type]
        example = client.get(f"{path}/example", headers=key).json
        assert client.post(path, json=example, headers=key).status_code == 200
    assert client.get("/models/spam", headers=key).json["name"] == "new"
    for path in ("/models/spma/predict", "/models//predict", "/models/a/b/predict"):
        check_problem(client.post(path, json={"text": "svn"}, headers=key), 404)


def answering(client: FlaskClient) -> dict[str, str]:
    models = client.get("/models", headers={"X-API-Key": "a-key"}).json["models"]
    return {model["name"]: model["artefact"] for model in models}
