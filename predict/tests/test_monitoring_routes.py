"""What an operator sees inside: /metrics, /drift and /feedback, over HTTP and over several processes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from prometheus_client.parser import text_string_to_metric_families

from predict.hosting.models import Models
from predict.http import monitoring
from predict.http.app import create_app
from predict.settings import Settings
from predict.tests.processes import Process, ask, connect
from predict.tests.test_app import check_problem, post
from predict.tests.test_hosting import artefacts as artefacts
from predict.tests.test_workers import serve as serve
from predict.tests.waiting import wait_until


@pytest.fixture
def client(artefacts: Path) -> FlaskClient:
    models = Models({"default": artefacts / "old", "spam": artefacts / "new"})
    settings = Settings(log_requests=False, admin_token="t", models_dir=artefacts)  # type: ignore[arg-type]
    return create_app(models, settings).test_client()


def samples_of(text: str) -> dict[tuple[str, ...], float]:
    """Return the numbers of an exposition by name and values of labels."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def metrics_of(client: FlaskClient) -> dict[tuple[str, ...], float]:
    response = client.get("/metrics")
    assert response.content_type.startswith("text/plain")
    return samples_of(response.text)


def count(samples: dict[tuple[str, ...], float], name: str, *values: str) -> float:
    """Add up the samples of a name whose labels have these values among them."""
    return sum(
        value
        for key, value in samples.items()
        if key[0] == f"capstone_{name}" and set(values) <= set(key)
    )


def test_requests_are_counted_by_route_and_status(client: FlaskClient) -> None:
    post(client, {"text": "svn"})
    post(client, {"texts": ["svn", "bash"]})
    client.post("/models/spam/predict", json={"text": "svn"})
    client.get("/predict?text=svn")
    post(client, {"text": 5})
    client.get("/nothing/%0a")
    client.get("/nothing/else")
    samples = metrics_of(client)
    assert count(samples, "requests_total", "/predict", "POST", "200") == 2
    assert count(samples, "requests_total", "/predict", "GET", "200") == 1
    assert count(samples, "requests_total", "/predict", "POST", "422") == 1
    assert count(samples, "requests_total", "/models/<model>/predict", "POST", "200") == 1
    assert count(samples, "requests_total", "other", "404") == 2
    assert count(samples, "requests_total", "/metrics") == 0
    assert count(metrics_of(client), "requests_total", "/metrics", "200") == 1
    for step in ("parse", "encode", "score"):
        assert count(samples, "step_duration_seconds_count", "default", step) == 3
        assert count(samples, "step_duration_seconds_count", "spam", step) == 1


def test_what_models_answer_and_what_is_loaded_is_counted(client: FlaskClient) -> None:
    post(client, {"texts": ["svn", "svn", "bash"]})
    token = {"Authorization": "Bearer t"}
    for artefact in ("damaged", "new"):
        client.post("/admin/models/spam", json={"artefact": artefact}, headers=token)
    samples = metrics_of(client)
    assert count(samples, "predictions_total", "default", "svn") == 2
    assert count(samples, "predictions_total", "default", "bash") == 1
    assert count(samples, "reloads_total", "spam", "refused") == 1
    assert count(samples, "reloads_total", "spam", "loaded") == 1
    assert count(samples, "model_info", "spam", "new") == 1


def test_drift_is_told_of_each_model(client: FlaskClient) -> None:
    post(client, {"texts": ["svn", "bash"]})
    assert client.get("/drift").json["model"] == "old"
    assert client.get("/models/spam/drift").json["model"] == "new"
    check_problem(client.get("/models/spma/drift"), 404)


def test_a_process_that_still_has_another_artefact_is_not_added_up(artefacts: Path) -> None:
    models, before = (Models({"default": artefacts / name}) for name in ("new", "old"))
    for each, text in ((models, "svn"), (before, "bash")):
        create_app(each, Settings(log_requests=False)).test_client().get(f"/predict?text={text}")
    seen = [monitoring._watched(each) for each in (before, models)]
    labels = monitoring._combined(models, "default", seen).snapshot["windows"]["labels"]
    assert labels == {"SVN": 1, "BASH": 0, "QT": 0}


def answered(client: FlaskClient, name: str, texts: list[str], path: str = "/predict") -> None:
    response = client.post(path, json={"texts": texts}, headers={"X-Request-ID": name})
    assert response.status_code == 200


def test_what_was_true_becomes_live_accuracy(client: FlaskClient) -> None:
    answered(client, "a", ["svn", "bash", "qt"])
    answered(client, "b", ["svn"], "/models/spam/predict")
    given = {"request_id": "a", "truths": ["svn", "qt", None]}
    assert client.post("/feedback", json=given).json == {"request_id": "a", "known": 2}
    assert client.post("/feedback", json={"request_id": "b", "truths": ["SVN"]}).json["known"] == 1
    told = client.get("/drift").json["feedback"]["since_loaded"]
    assert told["accuracy"] == 0.5
    assert client.get("/models/spam/drift").json["feedback"]["since_loaded"]["accuracy"] == 1


@pytest.mark.parametrize(
    ("body", "status", "detail"),
    [
        ({"request_id": "z", "truths": ["svn"]}, 404, "request_id: "),
        ({"request_id": "b", "truths": ["svn"], "model": "spam"}, 404, "request_id: "),
        ({"request_id": "b", "truths": ["svn"], "model": "spma"}, 404, "no model is called"),
        ({"request_id": "a", "truths": ["svn"]}, 409, "was given before"),
        ({"request_id": "b", "truths": ["svn", "qt"]}, 422, "truths: expected 1"),
        ({"request_id": "b", "truths": ["svm"]}, 422, "truths.0: "),
        ({"request_id": "b", "truths": [5]}, 422, "truths.0: "),
        ({"request_id": "b", "truths": []}, 422, "truths: List should have at least 1 item"),
        ({"request_id": "", "truths": ["svn"]}, 422, "request_id: String should have at least 1"),
        ({"request_id": "b"}, 422, "truths: Field required"),
        ({"request_id": "b", "truths": ["svn"], "label": "x"}, 422, "label: unknown field"),
        ("no JSON", 400, "Invalid JSON"),
    ],
)
def test_feedback_that_fits_no_answer_says_why_and_counts_nothing(
    client: FlaskClient, body: object, status: int, detail: str
) -> None:
    answered(client, "a", ["svn"])
    answered(client, "b", ["svn"])
    assert client.post("/feedback", json={"request_id": "a", "truths": ["svn"]}).status_code == 200
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    response = client.post("/feedback", data=data, content_type="application/json")
    assert detail in check_problem(response, status)["detail"]
    assert client.get("/drift").json["feedback"]["since_loaded"]["answers"] == 1


def test_of_several_answers_to_one_id_the_newest_is_meant_or_the_one_of_a_model(
    client: FlaskClient,
) -> None:
    answered(client, "a", ["svn"])
    answered(client, "a", ["svn"], "/models/spam/predict")
    for given, status in (
        ({"truths": ["SVN"]}, 200),
        ({"truths": ["svn"], "model": "default"}, 200),
        ({"truths": ["SVN"]}, 409),
    ):
        body = {"request_id": "a", **given}
        assert client.post("/feedback", json=body).status_code == status
    for path in ("/drift", "/models/spam/drift"):
        assert client.get(path).json["feedback"]["since_loaded"]["answers"] == 1


def test_drift_is_hidden_where_models_are(artefacts: Path) -> None:
    settings = Settings(show_model=False, log_requests=False)
    client = create_app(Models({"default": artefacts / "old"}), settings).test_client()
    assert "SHOW_MODEL" in check_problem(client.get("/drift"), 404)["detail"]


@pytest.mark.parametrize("path", ["/metrics", "/drift", "/feedback"])
def test_they_need_a_key_where_requests_do(artefacts: Path, path: str) -> None:
    settings = Settings.model_validate({"api_keys": "k", "log_requests": False})
    client = create_app(Models({"default": artefacts / "old"}), settings).test_client()
    check_problem(client.get(path), 401)
    assert client.get(path, headers={"X-API-Key": "k"}).status_code in (200, 405)


def test_the_numbers_of_all_processes_are_added_up(serve: Callable[..., Process]) -> None:
    process = serve(2)
    port = process.port()
    ids = []
    for _ in range(30):  # on connections of their own, so that both processes answer
        connection = connect(port)
        assert ask(connection, {"text": "svn"})[0] == 200
        connection.request("GET", "/health")
        response = connection.getresponse()
        response.read()
        connection.request(
            "POST", "/predict", b'{"text": "bash"}', {"Content-Type": "application/json"}
        )
        response = connection.getresponse()
        ids.append(response.headers["X-Request-ID"])
        response.read()

    def get(path: str) -> str:
        connection = connect(port)
        connection.request("GET", path)
        return connection.getresponse().read().decode()

    def tell(body: dict[str, Any]) -> int:
        connection = connect(port)
        connection.request(
            "POST", "/feedback", json.dumps(body), {"Content-Type": "application/json"}
        )
        return connection.getresponse().status

    wait_until(lambda: count(samples_of(get("/metrics")), "predictions_total", "svn") == 30)
    samples = samples_of(get("/metrics"))
    assert count(samples, "requests_total", "/predict", "200") == 60
    # Whichever process has answered, the truth finds it.
    assert [tell({"request_id": name, "truths": ["bash"]}) for name in ids] == [200] * 30
    assert [tell({"request_id": name, "truths": ["bash"]}) for name in ids[:3]] == [409] * 3
    assert tell({"request_id": "nobody's", "truths": ["bash"]}) == 404
    assert json.loads(get("/drift"))["feedback"]["since_loaded"]["answers"] == 30
