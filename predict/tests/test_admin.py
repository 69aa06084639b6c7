"""The routes of administrators: closed unless a token is set, and a change is whole or is not made."""

import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder, TestResponse

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
    assert change(client, "spam", {"artefact": "new"}).json == {
        "name": "spam",
        "artefact": "new",
        "directory": "new",
    }
    assert answering(client) == {"default": "old", "spam": "new"}
    assert change(client, "spam/rollback").json == {
        "name": "spam",
        "artefact": "old",
        "directory": "old",
    }
    assert answering(client) == {"default": "old", "spam": "old"}


@pytest.mark.parametrize(
    ("path", "body", "status", "detail"),
    [
        ("spam", {"artefact": "damaged"}, 422, "model.onnx was changed after training"),
        ("spam", {"artefact": "neww"}, 404, "MODELS_DIR has no directory neww. Did you mean new?"),
        ("spam", {"artefact": "../artefacts/new"}, 422, "artefact: expected a plain name"),
        ("spam", {"artefact": "/etc"}, 422, "artefact: expected a plain name"),
        ("spam", {"artefact": ".."}, 422, "artefact: expected a plain name"),
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


def test_no_spelling_of_the_address_does_without_the_token(artefacts: Path) -> None:
    client = serve(artefacts, models_dir=artefacts, admin_token="the-admin", api_keys="a-key")
    application = client.application.wsgi_app
    body = b'{"artefact": "new"}'
    for spelled in ("admin/models/spam", "//admin/models/spam", "/admin/models/spam"):
        environ = EnvironBuilder(
            "/", method="POST", data=body, content_type=JSON, headers={"X-API-Key": "a-key"}
        ).get_environ()
        status, answer = ask_as(application, {**environ, "PATH_INFO": spelled})
        assert status in ("401 UNAUTHORIZED", "404 NOT FOUND", "308 PERMANENT REDIRECT"), answer
    assert answering(client) == {"default": "old", "spam": "old"}


def ask_as(application: Any, environ: dict[str, Any]) -> tuple[str, bytes]:
    statuses: list[str] = []
    answer = b"".join(application(environ, lambda status, *_: statuses.append(status)))
    return statuses[-1], answer


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


def packed(folder: Path, name: str) -> bytes:
    with io.BytesIO() as archive:
        with tarfile.open(fileobj=archive, mode="w:gz") as tar:
            for file in sorted((folder / name).iterdir()):
                tar.add(file, file.name)
        return archive.getvalue()


def upload(
    client: FlaskClient, archive: bytes, content_type: str = "application/gzip"
) -> TestResponse:
    return client.post("/admin/models/spam", data=archive, content_type=content_type, headers=TOKEN)


def test_an_artefact_is_uploaded_and_stays_for_later(artefacts: Path, client: FlaskClient) -> None:
    told = upload(client, packed(artefacts, "new")).json
    assert answering(client) == {"default": "old", "spam": "new"}
    [directory] = artefacts.glob("uploaded-*")
    assert told == {"name": "spam", "artefact": "new", "directory": directory.name}
    change(client, "spam/rollback")
    assert change(client, "spam", {"artefact": directory.name}).json["artefact"] == "new"


@pytest.mark.parametrize(
    ("make", "status", "detail"),
    [
        (lambda folder: packed(folder, "damaged"), 422, "model.onnx was changed after training"),
        (lambda folder: packed(folder, "new")[:-100], 422, "Pack the folder of an artefact again"),
        (lambda folder: b"nothing of the kind", 422, "neither"),
        (lambda folder: b"", 422, "neither"),
        (lambda folder: bytes(3_000_001), 413, "capacity limit"),
    ],
)
def test_a_bad_upload_is_refused_and_leaves_nothing_behind(
    artefacts: Path, make: Callable[[Path], bytes], status: int, detail: str
) -> None:
    settings = {"models_dir": artefacts, "admin_token": "the-admin", "max_upload_bytes": 3_000_000}
    client, before = serve(artefacts, **settings), sorted(artefacts.iterdir())
    assert detail in check_problem(upload(client, make(artefacts)), status)["detail"]
    assert sorted(artefacts.iterdir()) == before
    assert client.get("/models/spam").json["name"] == "old"


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
