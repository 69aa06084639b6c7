"""Claims about `make demo`: it tells a story, leaves everything of the user's alone, and stops what it started."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def tour(folder: Path, *options: str) -> list[str]:
    python = os.environ.get("PREDICT_PYTHON", sys.executable)
    command = [sys.executable, "-m", "scripts.demo", "--predict-python", python]
    return [*command, "--folder", str(folder), *options]


def answers(url: str) -> bool:
    try:
        urllib.request.urlopen(f"{url}/ready", timeout=5).close()
    except (urllib.error.URLError, ConnectionError):
        return False
    return True


def address_in(text: str) -> str:
    found = re.search(r"http://127\.0\.0\.1:\d+", text)
    assert found, text
    return found[0]


def test_the_tour_goes_from_training_to_drift_and_stops_its_server(tmp_path: Path) -> None:
    before = sorted((ROOT / "conf").iterdir())
    environment = os.environ | {"ARTEFACT_DIR": "nowhere", "PORT": "1"}
    done = subprocess.run(
        tour(tmp_path / "demo"),
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert re.findall(r"^(\d)\. ", done.stdout, re.MULTILINE) == list("123456")
    for part in (
        "accuracy",
        "report.html",
        "truth:",
        "predicted_label",
        "live accuracy: ",
        ": drift: ",
    ):
        assert part in done.stdout
    assert not answers(address_in(done.stdout))
    assert sorted((ROOT / "conf").iterdir()) == before
    assert {path.name for path in tmp_path.iterdir()} <= {"demo", "raw"}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_a_tour_that_is_ended_half_way_leaves_no_server_and_can_begin_anew(
    tmp_path: Path, end: signal.Signals
) -> None:
    with subprocess.Popen(
        tour(tmp_path),
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        while "page: " not in said:
            line = process.stdout.readline()
            assert line, said
            said += line
        another = subprocess.run(
            tour(tmp_path), cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert another.returncode == 1
        assert "another tour uses this folder" in another.stderr
        process.send_signal(end)
        rest, _ = process.communicate(timeout=30)
    assert process.returncode == (1 if end == signal.SIGINT else -end)
    assert "Traceback" not in rest
    if end != signal.SIGKILL or sys.platform == "linux":
        until = time.monotonic() + 10
        while answers(address_in(said)) and time.monotonic() < until:
            time.sleep(0.1)
        assert not answers(address_in(said))
    # The folder is free again.
    wrong = subprocess.run(
        tour(tmp_path, "--predict-python", "/bin/false"),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert wrong.stderr.startswith("Error: -m predict --conf failed")
