"""Claims about the numbers behind `/metrics`, and about all that is seen of one model."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from predict.contract.artefact import Metadata
from predict.contract.profile import Dimension, Profile
from predict.monitoring.metrics import LATENCY_EDGES, Metrics, Watched, render
from predict.monitoring.monitor import ModelMonitor, report
from predict.monitoring.prediction_log import PredictionLog
from predict.monitoring.snapshots import merged
from predict.scoring.predictor import Predictor
from predict.tests.processes import Process

ROUTES = ("/predict", "/health")


def samples(text: bytes) -> dict[tuple[str, ...], float]:
    """Return name and labels -> value of everything in a text of Prometheus."""
    return {
        (sample.name, *(f"{key}={value}" for key, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }  # fmt: skip


def shown(metrics: Metrics, *models: Watched) -> dict[tuple[str, ...], float]:
    return samples(render(metrics.snapshot(), models)[0])


def test_requests_are_counted_by_route_method_and_status() -> None:
    metrics = Metrics(ROUTES)
    for _ in range(3):
        metrics.record("/predict", "POST", 200, 0.001)
    metrics.record("/predict", "POST", 422, 0.001)
    metrics.record("/../../etc", "BREW", 404, 0.001)
    found = shown(metrics)
    by_status = {
        key[-1]: value for key, value in found.items() if key[0] == "capstone_requests_total"
    }
    assert by_status == {"status=200": 3, "status=422": 1, "status=404": 1}
    assert found["capstone_requests_total", "method=other", "route=other", "status=404"] == 1


def test_steps_have_a_histogram_each_as_far_as_they_were_taken() -> None:
    metrics = Metrics(ROUTES)
    metrics.record("/predict", "POST", 200, 0.004, "spam", 2, (None, 0.0001, 0.002, 0.00011))
    metrics.record("/predict", "POST", 200, 99.0, "spam", 3, (None, 0.0001, None, 0.3))
    metrics.record("/health", "GET", 200, 0.0001)
    found = shown(metrics)

    def bucket(name: str, edge: str, *labels: str) -> float:
        return found[(f"capstone_{name}_duration_seconds_bucket", f"le={edge}", *labels)]

    assert [
        bucket("request", edge, "route=/predict") for edge in ("0.0025", "0.005", "10.0", "+Inf")
    ] == [0, 1, 1, 2]
    assert (
        bucket("step", "0.0001", "model=spam", "step=parse") == 2
    )  # an edge is part of its bucket
    assert found["capstone_step_duration_seconds_count", "model=spam", "step=encode"] == 1
    assert found["capstone_step_duration_seconds_sum", "model=spam", "step=score"] == pytest.approx(
        0.30011
    )
    assert found["capstone_instances_total", "model=spam"] == 5
    assert not any("step=wait" in key for key in found)


def test_a_stranger_cannot_make_the_list_of_labels_long() -> None:
    metrics = Metrics(ROUTES)
    for count in range(1_000):
        metrics.record(f"/{count}", f"M{count}", 404, 0.1, f"model {count}", 1)
        metrics.reloaded(f"model {count}", "refused")
    snapshot = metrics.snapshot()
    assert list(snapshot["requests"].values()) == [1_000]
    assert len(snapshot["instances"]) == 101
    assert sum(snapshot["reloads"].values()) == 1_000


def test_what_the_server_says_of_its_load_is_shown() -> None:
    metrics = Metrics(ROUTES, lambda: {"queue_depth": 3, "shed_total": 2})
    metrics.reloaded("spam", "loaded")
    found = shown(metrics)
    assert found["capstone_queue_depth",] == 3
    assert found["capstone_shed_total",] == 2
    assert found["capstone_reloads_total", "model=spam", "result=loaded"] == 1


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
def test_the_numbers_of_processes_add_up_but_for_the_time_of_their_start() -> None:
    metrics = Metrics(ROUTES, lambda: {"queue_depth": 3})
    metrics.record("/predict", "POST", 200, 0.02, "spam", 1, (0.001, None, None, None))
    one = json.loads(json.dumps(metrics.snapshot()))
    [(_, process)] = one["processes"].items()
    two = {**one, "processes": {"2": {**process, "process_start_time_seconds": 5.0}}}
    found = samples(render(merged([one, two]))[0])
    assert found["process_start_time_seconds",] == 5
    assert (
        found["process_resident_memory_bytes",]
        == 2 * process["process_resident_memory_bytes"]
        > 1e7
    )
    assert found["capstone_queue_depth",] == 6
    assert found["capstone_requests_total", "method=POST", "route=/predict", "status=200"] == 2
    assert found["capstone_step_duration_seconds_sum", "model=spam", "step=wait"] == 0.002
    assert found["capstone_request_duration_seconds_count", "route=/predict"] == 2
    assert len(one["durations"]["/predict"]["counts"]) == len(LATENCY_EDGES) + 1


@pytest.fixture
def watched(predictor: Predictor) -> tuple[Metadata, ModelMonitor]:
    dimensions = [
        Dimension(of="input", name="title", edges=[3.0], missing=True, counts=[500, 500, 0])
    ]
    profile = Profile(rows=1_000, dimensions=dimensions)
    metadata = predictor.metadata.model_copy(update={"profile": profile})
    return metadata, ModelMonitor(metadata, predictor.unknown_shares)


def test_a_model_is_shown_with_its_answers_its_drift_and_its_feedback(
    predictor: Predictor,
    watched: tuple[Metadata, ModelMonitor],
) -> None:
    metadata, monitor = watched
    instances = [{"title": "svn"}]
    predictions = predictor.predict(instances)
    for count in range(200):
        monitor.observe(str(count), instances, predictions)
    label = predictions[0]["label"]
    other = next(each for each in predictor.labels if each != label)
    for count in range(100):
        monitor.give(str(count), [label if count % 4 else other])
    snapshot = json.loads(json.dumps(monitor.snapshot()))
    found = shown(Metrics(ROUTES), Watched("spam", metadata, snapshot))
    of_model = (f"artefact={metadata.name}", "model=spam")
    assert found["capstone_predictions_total", of_model[0], f"label={label}", of_model[1]] == 200
    assert found["capstone_score_bucket", of_model[0], "le=+Inf", of_model[1]] == 200
    assert found["capstone_drift_dimensions", *of_model, "verdict=drift"] == 1
    assert found["capstone_feedback_answers", *of_model, "window=recent"] == 100
    assert (
        found["capstone_live_metric", of_model[0], "metric=accuracy", of_model[1], "window=recent"]
        == 0.75
    )
    psi = found[
        "capstone_drift_psi",
        of_model[0],
        "dimension=title",
        of_model[1],
        "of=input",
        "window=recent",
    ]
    body = report(metadata, snapshot)
    assert body["model"] == metadata.name
    assert (body["verdict"], body["dimensions"][0]["recent"]["psi"]) == ("drift", psi)
    assert body["feedback"]["since_loaded"]["accuracy"] == 0.75


def test_a_model_that_nobody_asked_is_shown_too(watched: tuple[Metadata, ModelMonitor]) -> None:
    metadata, monitor = watched
    models = [Watched("spam", metadata, monitor.snapshot())]
    text, content_type = render(
        Metrics(ROUTES).snapshot(), models, "application/openmetrics-text; version=1.0.0"
    )
    assert content_type.startswith("application/openmetrics-text")
    families = {family.name for family in open_metrics(text.decode())}
    assert {"capstone_model", "capstone_predictions", "capstone_score"} <= families


def test_predictions_and_feedback_reach_the_log(predictor: Predictor, tmp_path: Path) -> None:
    log = PredictionLog(tmp_path / "log.jsonl")
    monitor = ModelMonitor(predictor.metadata, log=log)
    instances = [{"title": "svn"}]
    monitor.observe("one", instances, predictor.predict(instances))
    monitor.give("one", [predictor.labels[0]])
    log.close()
    lines = (tmp_path / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == ["one", "one"]


def test_who_serves_imports_prometheus_when_somebody_looks(start: Callable[..., Process]) -> None:
    script = (
        "import sys; from predict.monitoring.metrics import Metrics, render;"
        "metrics = Metrics(['/predict']); metrics.record('/predict', 'GET', 200, .1);"
        "assert 'prometheus_client' not in sys.modules"
    )
    process = start("-c", script)
    assert process.exit_code() == 0, process.errors
