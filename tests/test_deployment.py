"""Claims about what deploys the services: the compose file, the dashboard, and the schedule fit what they are about."""

import ast
import json
import re
import runpy
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from jobs.settings import JobsSettings
from jobs.tests.conftest import Service
from predict.contract.profile import Dimension, Profile
from predict.hosting.models import Models
from predict.http.app import create_app
from predict.scoring.predictor import Predictor
from predict.settings import Settings
from predict.tests.tiny_artefact import change_metadata, write_tiny_artefact

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
# Keys of a service that the Compose Specification has and that are used here.
KEYS = {
    *("image", "init", "profiles", "command", "entrypoint", "environment", "volumes", "ports", "depends_on"),
    *("read_only", "cap_drop", "security_opt", "tmpfs", "restart", "stop_grace_period"),
}  # fmt: skip
OUR_IMAGES = {f"capstone-{file.suffix[1:]}" for file in ROOT.glob("Dockerfile.*")}


# -------------------------------------------------------------------- compose


def test_the_compose_file_has_the_keys_of_its_specification_and_no_other() -> None:
    assert set(COMPOSE) == {"name", "x-shut-in", "services", "volumes"}
    for name, service in SERVICES.items():
        assert set(service) <= KEYS, name
        assert service["image"], name


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_one_of_ours_or_pinned_by_its_version(name: str) -> None:
    image = SERVICES[name]["image"]
    assert image in OUR_IMAGES or re.fullmatch(r"[\w./-]+:v?\d+\.\d+\.\d+", image)


@pytest.mark.parametrize("name", SERVICES)
def test_a_port_is_reached_from_this_machine_alone_and_is_nobody_elses(name: str) -> None:
    ports = [port for service in SERVICES.values() for port in service["ports"]]
    own = [port.split(":")[1] for port in ports]
    assert len(set(own)) == len(own)
    for port in SERVICES[name]["ports"]:
        assert re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port)


@pytest.mark.parametrize("name", ["jobs", "predict"])
def test_a_port_of_ours_is_the_one_that_the_image_listens_on(name: str) -> None:
    listens = re.findall(r"^EXPOSE (\d+)$", (ROOT / f"Dockerfile.{name}").read_text(), re.MULTILINE)
    assert [port.split(":")[2] for port in SERVICES[name]["ports"]] == listens


def test_every_volume_and_every_file_of_the_compose_file_is_there() -> None:
    used = set()
    for service in SERVICES.values():
        for volume in service["volumes"]:
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), volume
                assert volume.endswith(":ro")
            else:
                used.add(source)
        for other in service.get("depends_on", ()):
            assert other in SERVICES
    assert used == set(COMPOSE["volumes"])


@pytest.mark.parametrize(("name", "known"), [("jobs", JobsSettings), ("predict", Settings)])
def test_a_setting_of_our_services_is_one_that_they_know(
    name: str, known: type[JobsSettings | Settings]
) -> None:
    assert {key.lower() for key in SERVICES[name]["environment"]} <= set(known.model_fields)


def test_what_the_compose_file_serves_is_what_the_jobs_promote() -> None:
    [volume] = SERVICES["jobs"]["volumes"]
    place = Path(volume.split(":")[1])
    artefacts = Path("/app") / JobsSettings().artefacts_dir
    served = Path(SERVICES["predict"]["environment"]["ARTEFACT_DIR"])
    assert served == Path("/data") / artefacts.relative_to(place) / "latest"


def test_without_keys_no_service_that_needs_them_starts() -> None:
    for name in ("jobs", "predict"):
        assert ":?" in SERVICES[name]["environment"]["API_KEYS"]


# ----------------------------------------------------------- what is watched


@pytest.fixture(scope="module")
def exported() -> set[str]:
    """Return the names of the samples that a real server exports."""
    predictor = Predictor.load(ROOT / "predict/tests/golden/format-4")
    client = create_app(Models.of(predictor), Settings(log_requests=False)).test_client()
    text = client.get("/metrics").get_data(as_text=True)
    names = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE):
        endings = ("_bucket", "_sum", "_count") if kind == "histogram" else ("",)
        names |= {name + ending for ending in endings}
    return names


@pytest.fixture(scope="module")
def labels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, set[str]]:
    """Return the labels of each sample that a server exports which has answered, and been told the truth."""
    directory = write_tiny_artefact(tmp_path_factory.mktemp("watched") / "artefact")
    lengths = Dimension(of="input", name="title", edges=[3.0], missing=True, counts=[500, 500, 0])
    profile = Profile(rows=1_000, dimensions=[lengths])
    change_metadata(directory, profile=profile.model_dump(mode="json", exclude_none=True))
    models = Models.of(Predictor.load(directory))
    client = create_app(models, Settings(log_requests=False)).test_client()
    for count in range(200):
        sent = {"X-Request-ID": str(count)}
        answer = client.post("/predict", json={"text": "svn"}, headers=sent).json
        truth = {"request_id": str(count), "truths": [answer["predictions"][0]["label"]]}
        assert client.post("/feedback", json=truth).status_code < 300
    text = client.get("/metrics").get_data(as_text=True)
    found: dict[str, set[str]] = {}
    for name, some in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        found.setdefault(name, set()).update(re.findall(r'(\w+)="', some))
    return found


def _expressions() -> Iterator[tuple[str, str]]:
    dashboard = json.loads((DEPLOY / "grafana/dashboards/capstone.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


@pytest.mark.parametrize(("title", "expression"), list(_expressions()))
def test_a_panel_shows_what_the_server_exports(
    title: str, expression: str, exported: set[str]
) -> None:
    names = re.findall(r"\b(?:capstone|process)_\w+", expression)
    assert names
    assert set(names) <= exported, title
    assert expression.count("(") == expression.count(")")


@pytest.mark.parametrize(("title", "expression"), list(_expressions()))
def test_a_panel_asks_for_labels_that_the_metrics_have(
    title: str, expression: str, labels: dict[str, set[str]]
) -> None:
    asked = {
        label.strip()
        for group in re.findall(r"\bby \(([^)]*)\)", expression)
        for label in group.split(",")
    }
    asked |= set(re.findall(r"[{,](\w+)=~?\"", expression))
    names = re.findall(r"\b(?:capstone|process)_\w+", expression)
    for name in names:
        assert asked <= labels[name], (title, name)


def test_the_dashboard_has_panels_that_do_not_overlap_and_the_source_that_is_provisioned() -> None:
    dashboard = json.loads((DEPLOY / "grafana/dashboards/capstone.json").read_text())
    places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
    assert len(set(places)) == len(places) == len({panel["id"] for panel in dashboard["panels"]})
    provisioned = DEPLOY / "grafana/provisioning/datasources/prometheus.yml"
    [source] = yaml.safe_load(provisioned.read_text())["datasources"]
    for panel in dashboard["panels"]:
        assert {target["datasource"]["uid"] for target in panel["targets"]} == {source["uid"]}
    assert source["url"].removeprefix("http://").split(":")[0] in SERVICES


def test_prometheus_asks_a_service_that_is_there() -> None:
    asked = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text())
    [job] = asked["scrape_configs"]
    [target] = job["static_configs"][0]["targets"]
    name, port = target.split(":")
    assert SERVICES[name]["ports"][0].endswith(f":{port}")
    file = job["authorization"]["credentials_file"]
    assert f">{file}" in SERVICES["prometheus"]["command"][0]


# ---------------------------------------------------------------- the schedule


def test_the_schedule_asks_the_service_for_a_configuration_that_its_image_has() -> None:
    environment = SERVICES["airflow"]["environment"]
    address = urlsplit(environment["CAPSTONE_JOBS_URL"])
    assert f"127.0.0.1:{address.port}:{address.port}" in SERVICES[address.hostname or ""]["ports"]
    [name] = re.findall(r":-([\w-]+)\}", environment["CAPSTONE_CONF"])
    assert (
        f"conf/{name}.yml.dist /build/app/conf/{name}.yml"
        in (ROOT / "Dockerfile.train").read_text()
    )
    source = (DEPLOY / "airflow/capstone_train.py").read_text()
    assert set(re.findall(r"""["'](CAPSTONE_\w+)""", source)) == {
        key for key in environment if key.startswith("CAPSTONE_")
    }


def test_the_schedule_queues_a_job_and_waits_for_its_end(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    ast.parse((DEPLOY / "airflow/capstone_train.py").read_text())
    tasks: dict[str, Any] = {}

    def task(function: Any = None, **options: Any) -> Any:
        if function is None:
            return task
        tasks[function.__name__] = function
        return lambda *arguments: None

    # Airflow itself is not among the libraries of the project: what it is asked for stands in.
    sdk = ModuleType("airflow.sdk")
    sdk.__dict__.update(dag=lambda **options: lambda function: function, task=task)
    monkeypatch.setitem(sys.modules, "airflow", ModuleType("airflow"))
    monkeypatch.setitem(sys.modules, "airflow.sdk", sdk)
    runpy.run_path(str(DEPLOY / "airflow/capstone_train.py"))

    service = Service(tmp_path, {"API_KEYS": "the-key"}).start()
    try:
        for key in SERVICES["airflow"]["environment"].keys() - {"AIRFLOW__CORE__LOAD_EXAMPLES"}:
            monkeypatch.setenv(key, "")
        monkeypatch.setenv("CAPSTONE_JOBS_URL", f"http://127.0.0.1:{service.port}")
        monkeypatch.setenv("CAPSTONE_JOBS_KEY", "the-key")
        monkeypatch.setenv("CAPSTONE_CONF", "iris")
        artefact = tasks["wait"](tasks["queue"]())
        assert (tmp_path / "artefacts/latest").resolve().name == artefact
    finally:
        service.end()
