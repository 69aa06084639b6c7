"""What runs on Ray, by real processes: a service whose models change, and folders whose scoring is interrupted."""

import json
import os
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from predict.tests.conftest import ROOT, interpreter, tiny_artefact  # noqa: F401  # a fixture
from scale.tests.processes import kill_one
from scale.tests.services import Service, needs_ray, scale_python

pytestmark = needs_ray


@pytest.fixture(scope="module")
def service(
    tiny_artefact: Path,  # noqa: F811
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    with Service(tmp_path_factory.mktemp("service"), tiny_artefact) as service:
        yield service


def ask(service: Service, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{service.port}{path}",
        data,
        {"Content-Type": "application/json", **headers},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def changed(artefact: Path, folder: Path) -> Path:
    """Return the same artefact elsewhere."""
    return Path(shutil.copytree(artefact, folder / "another"))


def test_a_change_of_user_config_swaps_the_model_and_a_bad_one_is_told_and_not_taken(
    service: Service,
    tiny_artefact: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    def model() -> dict[str, Any]:
        [model] = ask(service, "/models")[1]["models"]
        return dict(model)

    service.become({"artefact_dir": changed(tiny_artefact, tmp_path)})
    assert model()["directory"] == "another"
    service.become({"artefact_dir": tmp_path / "nothing"})
    assert model()["directory"] == "another"
    assert "does not exist" in model()["refused"]["reason"]
    assert ask(service, "/predict", {"text": "svn"})[0] == 200
    service.become({"artefact_dir": tiny_artefact})
    assert "refused" not in model()


def test_limits_and_keys_change_with_user_config(
    service: Service,
    tiny_artefact: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("first", encoding="utf-8")
    service.become({"artefact_dir": tiny_artefact, "api_keys_file": keys, "max_instances": 2})
    assert ask(service, "/model")[0] == 401
    key = {"X-API-Key": "first"}
    assert ask(service, "/predict", {"texts": ["svn"] * 3}, **key)[0] == 413
    service.become({"artefact_dir": tiny_artefact, "api_keys_file": tmp_path / "none"})
    assert ask(service, "/model", **key)[0] == 200  # the keys before are still those that count
    [model] = ask(service, "/models", **key)[1]["models"]
    assert "API_KEYS_FILE" in model["refused"]["reason"]
    service.become({"artefact_dir": tiny_artefact})
    assert ask(service, "/model")[0] == 200


def test_an_administrator_changes_nothing_in_one_replica_alone(
    service: Service,
    tiny_artefact: Path,  # noqa: F811
    tmp_path: Path,
) -> None:
    token = tmp_path / "token"
    token.write_text("secret", encoding="utf-8")
    settings = {"admin_token_file": token, "models_dir": tiny_artefact.parent}
    service.become({"artefact_dir": tiny_artefact, **settings})
    asked = {"artefact": tiny_artefact.name}
    status, problem = ask(service, "/admin/models/default", asked, Authorization="Bearer secret")
    assert (status, "user_config" in problem["detail"]) == (409, True)
    assert ask(service, "/admin/models/default", asked)[0] == 401


def run_scale(folder: Path, *arguments: object, **settings: object) -> Any:
    conf = folder / "predict.conf"
    conf.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return subprocess.Popen(
        [scale_python(), "-m", "scale", "--conf", conf, *map(str, arguments)],
        env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(folder)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_what_cannot_be_served_at_first_is_one_line(
    tmp_path: Path,
    tiny_artefact: Path,  # noqa: F811
) -> None:
    for settings, why in (
        ({"ARTEFACT_DIR": tmp_path / "none"}, "does not exist"),
        ({"ARTEFACT_DIR": tiny_artefact, "API_KEYS": "k"}, "API_KEYS: Ray shows settings"),
    ):
        process = run_scale(tmp_path, "serve", **settings)
        errors = process.communicate(timeout=120)[1]
        assert process.returncode == 1
        last = errors.strip().splitlines()[-1]
        assert last.startswith("Error: "), errors
        assert why in last
        assert "Traceback" not in last


def write_rows(folder: Path, rows: int) -> Path:
    folder.mkdir()
    lines = [f"{number},svn commit {number}" for number in range(rows)]
    lines[5], lines[rows - 2] = "5,", "6,too,many"
    (folder / "a.csv").write_text("id,title\n" + "\n".join(lines) + "\n", encoding="utf-8")
    (folder / "b.jsonl").write_text('{"title": "a shell script", "n": 1}\n', encoding="utf-8")
    return folder


def test_a_folder_is_scored_as_its_files_are_though_an_actor_is_killed(
    tmp_path: Path,
    tiny_artefact: Path,  # noqa: F811
) -> None:
    given = write_rows(tmp_path / "in", 200_000)
    process = run_scale(
        tmp_path, "predict", given, tmp_path / "out", "--workers", 2, ARTEFACT_DIR=tiny_artefact
    )
    assert kill_one("MapWorker", process.pid)
    errors = process.communicate(timeout=240)[1]
    assert process.returncode == 3, errors
    report = json.loads((tmp_path / "out" / "_report.json").read_text())
    assert (report["rows"], report["failed"]) == (200_001, 2)
    for name, suffix in (("a", "csv"), ("b", "jsonl")):
        expected = tmp_path / f"expected-{name}.{suffix}"
        subprocess.run(
            [interpreter(), "-m", "predict", "file", given / f"{name}.{suffix}", expected],
            env={"PYTHONPATH": str(ROOT), "ARTEFACT_DIR": str(tiny_artefact)},
            stderr=subprocess.DEVNULL,
        )
        whole = expected.read_bytes()
        header = whole.partition(b"\n")[0] + b"\n" if suffix == "csv" else b""
        parts = sorted((tmp_path / "out").glob(f"{name}-*.{suffix}"))
        assert header + b"".join(part.read_bytes()[len(header) :] for part in parts) == whole
    bad = sorted((tmp_path / "out" / "_errors").glob("a-*"))
    expected_bad = (tmp_path / "expected-a.csv.errors.jsonl").read_bytes()
    assert b"".join(part.read_bytes() for part in bad) == expected_bad
    assert not list(tmp_path.glob("*.partial"))


def test_a_folder_that_cannot_be_scored_leaves_nothing_and_says_why_in_one_line(
    tmp_path: Path,
    tiny_artefact: Path,  # noqa: F811
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("text\nsvn\n", encoding="utf-8")
    arguments = ("predict", tmp_path / "in", tmp_path / "out")
    process = run_scale(tmp_path, *arguments, ARTEFACT_DIR=tiny_artefact)
    errors = process.communicate(timeout=120)[1]
    assert process.returncode == 1
    last = errors.strip().splitlines()[-1]
    assert last.startswith("Error: "), errors
    assert "no column 'title', which the model reads" in last
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("out*"))
