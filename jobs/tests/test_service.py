"""Claims about the service as a whole: a process of its own, asked over HTTP, whose jobs really train."""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from jobs.access import Access
from jobs.folder import Folder
from jobs.progress import read_progress
from jobs.settings import JobsSettings
from jobs.tests.conftest import ROOT, Service, lives, until
from predict.scoring.predictor import Predictor

BYTES = {"Content-Type": "application/octet-stream"}
Start = Callable[..., Service]

# Trains for much longer than any test waits.
SLOW = {"dataset": "wine", "search": {"model.C": [0.1 * n for n in range(1, 501)], "folds": 20}}


# ------------------------------------------------------------- the whole story


def test_an_upload_is_trained_promoted_and_served_with_its_report(start: Start) -> None:
    service = start(JOBS_SLOTS="2")
    numbers = [n * 37 % 120 / 10 for n in range(120)]
    rows = "\n".join(f"{n},{n * 3 % 7},{'high' if n > 6 else 'low'}" for n in numbers)
    uploaded = service.ask("POST", "/datasets?name=mine.csv", f"a,b,label\n{rows}\n", BYTES)
    assert uploaded.status == 201
    body = {"dataset": "uploads/mine.csv", "evaluation": {"gate": {"accuracy": ">=0.5"}}}
    passed = service.train(**body)
    body["evaluation"] = {"gate": {"accuracy": ">=0.5", "log_loss": "<0.00000001"}}
    failed = service.train(**body, promote=True)

    job = service.ended(passed)
    assert (job["state"], job["gate"], job["attempts"]) == ("succeeded", "passed", 1), job
    assert job["metrics"]["accuracy"] > 0.8
    assert job["log"][-1].endswith("done")
    other = service.ended(failed)
    assert (other["state"], other["gate"]) == ("succeeded", "failed"), other
    # Neither moves `latest` by itself: the one was not asked to, the other has failed its gate.
    assert service.artefacts() == sorted([job["artefact"], other["artefact"]])

    promoted = service.ask("POST", f"/jobs/{passed}/promote")
    assert (promoted.status, promoted.json) == (200, {"latest": job["artefact"]})
    link = service.folder / "artefacts/latest"
    assert os.readlink(link) == job["artefact"]
    predictor = Predictor.load(link)
    assert predictor.metadata.name == job["artefact"]
    assert service.ask("POST", f"/jobs/{failed}/promote").status == 409

    report = service.ask("GET", f"/jobs/{passed}/report")
    assert report.status == 200
    assert report.headers["Content-Security-Policy"].startswith("sandbox allow-scripts;")
    assert b"</html>" in report.body
    listed = service.ask("GET", "/jobs").json["jobs"]
    assert [each["id"] for each in listed] == [failed, passed]


def test_a_job_that_asks_for_it_becomes_latest_when_it_passes(start: Start) -> None:
    service = start()
    job = service.ended(service.train(conf="iris", set={"split.seed": 1}, promote=True))
    assert job["state"] == "succeeded", job
    assert service.artefacts() == [job["artefact"], "latest"]
    assert os.readlink(service.folder / "artefacts/latest") == job["artefact"]
    # A gate compares with what is promoted, though the run writes into a folder of its own.
    gate = {"evaluation.gate": {"vs latest": "not significantly worse"}, "split.seed": 1}
    other = service.ended(service.train(conf="iris", set=gate))
    assert other["gate"] == "passed"
    assert any(f"{job['artefact']} has" in line for line in other["log"])


def test_what_is_wrong_with_the_rows_is_why_a_job_failed(service: Service) -> None:
    service.ask("POST", "/datasets?name=short.csv", "a,label\n1,x\n2,y\n", BYTES)
    body = {"dataset": "uploads/short.csv", "evaluation": {"slices": ["c"]}, "where": {"d": 1}}
    job = service.ended(service.train(**body))
    assert (job["state"], job["artefact"]) == ("failed", None)
    assert job["problems"]
    log = service.ask("GET", f"/jobs/{job['id']}/log").body.decode()
    for told in (job["why"], "".join(job["log"]), "".join(job["problems"]), log):
        assert "uploads/short.csv" in told
        assert (
            str(service.folder) not in told
        )  # where the operator keeps it is not the client's business


# -------------------------------------------------------- cancelling and kills


def test_a_job_tells_how_far_it_is_and_can_be_cancelled(start: Start) -> None:
    # Had it to be killed, the test would wait too long.
    service = start(JOB_GRACE_S="1000")
    running, waiting = service.train(**SLOW), service.train()
    process = service.process_of(running)
    progress = until(lambda: (service.job(running)["progress"] or {}).get("steps"))
    assert progress["total"] == 500 * 20
    assert service.job(running)["progress"]["stage"] == "search"
    assert service.ask("DELETE", f"/jobs/{waiting}").json["state"] == "cancelled"
    assert service.ask("DELETE", f"/jobs/{running}").status == 202
    job = service.ended(running)
    assert (job["state"], job["why"]) == ("cancelled", "Somebody cancelled it.")
    assert not lives(process)
    assert service.artefacts() == []
    assert not (service.folder / "jobs" / running / "artefacts").exists()
    assert service.ask("DELETE", f"/jobs/{running}").status == 409


def test_a_job_that_is_killed_takes_nothing_with_it_and_can_be_retried(start: Start) -> None:
    service = start()
    killed = service.train(**SLOW)
    process = service.process_of(killed)
    os.kill(process, signal.SIGKILL)
    job = service.ended(killed)
    assert job["state"] == "failed"
    assert "SIGKILL" in job["why"]
    assert service.ask("GET", "/health").status == 200
    assert service.ask("POST", f"/jobs/{killed}/retry").status == 202
    until(lambda: service.job(killed)["state"] == "running")
    assert service.ask("POST", f"/jobs/{killed}/retry").status == 409
    service.ask("DELETE", f"/jobs/{killed}")
    assert service.ended(killed)["attempts"] == 2


@pytest.mark.parametrize("again", [False, True])
def test_a_server_that_is_killed_leaves_no_job_running_and_loses_none(
    start: Start, again: bool
) -> None:
    service = start(**({"RETRY_INTERRUPTED": "true"} if again else {}))
    running, waiting = service.train(**SLOW), service.train(**SLOW)
    process = service.process_of(running)
    service.end(signal.SIGKILL)
    service.start()  # which waits until the process before is gone
    assert not lives(process)
    if again:
        # The one that waited was first in the queue by then.
        until(lambda: service.job(waiting)["state"] == "running")
        assert service.job(running)["state"] == "queued"
    else:
        assert service.job(running)["state"] == "interrupted"
        until(lambda: service.job(waiting)["state"] == "running")
        assert service.ask("POST", f"/jobs/{running}/retry").status == 202
    assert service.artefacts() == []


def test_a_job_ends_by_itself_when_its_server_has_ended(start: Start) -> None:
    service = start()
    process = service.process_of(service.train(**SLOW))
    service.end(signal.SIGKILL)
    until(lambda: not lives(process), within_s=60)


def start_child(
    program: list[str], folder: Folder, lock: int, grace_s: str
) -> subprocess.Popen[bytes]:
    """Start the process of a job as its server does, printing to nobody."""
    return subprocess.Popen(
        [sys.executable, *program, str(folder.path), str(lock), grace_s, "no code"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        pass_fds=(lock,),
        start_new_session=True,
    )


def test_a_job_that_prints_to_nobody_notices_the_end_of_its_server_too(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "job")
    folder.begin(json.dumps(SLOW))
    with folder.locked() as lock:
        process = start_child(["-m", "jobs.child"], folder, lock, grace_s="60")
    assert process.stdin is not None
    until(lambda: (read_progress(folder.path) or {}).get("stage") == "search")
    process.stdin.close()
    assert process.wait(60) == 143
    assert folder.artefact() is None


@pytest.mark.parametrize(
    "run",
    [
        "ctypes.PyDLL(None).sleep(600)",  # native code that keeps the interpreter to itself
        "signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM]); time.sleep(600)",
        "sys.stdin.close(); os.closerange(0, 1); time.sleep(600)",
        "atexit._clear() or sys.modules.update(late=Late()) or sys.exit(0)",
    ],
    ids=["native", "signals held back", "input closed", "end of the interpreter"],
)
def test_a_job_ends_with_its_server_whatever_it_does(tmp_path: Path, run: str) -> None:
    folder = Folder(tmp_path / "job")
    folder.begin(json.dumps({"dataset": "iris"}))
    begun = tmp_path / "begun"
    program = (
        "import atexit, ctypes, os, pathlib, signal, sys, time\n"
        "import train.run\n"
        "from jobs import child\n"
        "class Late:\n"
        "    def __del__(self, sleep=time.sleep): sleep(600)\n"
        "def run(*arguments):\n"
        f"    pathlib.Path({str(begun)!r}).touch()\n"
        f"    {run}\n"
        "train.run.run = run\n"
        "child._run_as_program()\n"
    )
    with folder.locked() as lock:
        process = start_child(["-c", program], folder, lock, grace_s="0.5")
    assert process.stdin is not None
    try:
        until(begun.exists)
        process.stdin.close()
        process.wait(20)
        until(lambda: not _lives_in_group(process.pid), within_s=10)
    finally:
        if _lives_in_group(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _lives_in_group(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_server_that_is_stopped_interrupts_its_jobs_and_says_so(start: Start) -> None:
    service = start()
    running = service.train(**SLOW)
    process = service.process_of(running)
    assert service.end() == 0
    assert not lives(process)
    service.start()
    job = service.job(running)
    assert (job["state"], job["why"]) == ("interrupted", "The server was stopped while the job ran.")  # fmt: skip


def test_a_job_has_a_deadline_and_its_output_a_limit(start: Start) -> None:
    service = start(JOB_TIMEOUT_S="0.5", JOB_LOG_BYTES="10000")
    job = service.ended(service.train(**SLOW))
    assert job["state"] == "failed"
    assert job["why"] == "It was not done within 0.5 s (JOB_TIMEOUT_S)."


# ------------------------------------------------------------------ bad input


@pytest.mark.parametrize(
    ("method", "path", "body", "content_type", "status", "told"),
    [
        ("GET", "/jobs/nothing", None, None, 404, "There is no job 'nothing'"),
        ("GET", "/jobs/nothing/log", None, None, 404, "There is no job"),
        ("GET", "/jobs/nothing/report", None, None, 404, "There is no job"),
        ("DELETE", "/jobs/nothing", None, None, 404, "There is no job"),
        ("POST", "/jobs/nothing/retry", None, None, 404, "There is no job"),
        ("POST", "/jobs/nothing/promote", None, None, 404, "There is no job"),
        ("GET", "/jobs?state=Running", None, None, 404, "Did you mean running?"),
        ("GET", "/nothing", None, None, 404, "no such route"),
        ("PUT", "/jobs", b"", None, 405, ""),
        ("POST", "/train", b"dataset: iris", "text/plain", 415, "application/yaml"),
        ("POST", "/train", b"{", "application/json", 422, "not JSON"),
        ("POST", "/train", b"x" * 300_000, "application/json", 413, "larger than"),
        ("POST", "/train", b'{"dataset": "/etc/passwd"}', "application/json", 422, "not allowed"),
        ("POST", "/datasets?name=a.csv", b"--x", "multipart/form-data; boundary=x", 415, "--data-binary"),
        ("POST", "/datasets?name=a.csv", b"", "application/octet-stream", 422, "got nothing"),
        ("POST", "/datasets", b"a,b", "application/octet-stream", 422, "name: expected letters"),
        ("POST", "/datasets?name=../a.csv", b"a,b", "application/octet-stream", 422, "name: expected"),
        ("POST", "/datasets?name=.a.csv", b"a,b", "application/octet-stream", 422, "name: expected"),
        ("POST", "/datasets?name=a.py", b"a,b", "application/octet-stream", 422, "name: expected"),
        ("POST", "/datasets?name=a.parquet", b"a,b", "application/octet-stream", 422, "another kind"),
        ("POST", "/datasets?name=a.csv", b"PAR1....", "application/octet-stream", 422, "another kind"),
        ("POST", "/datasets?name=a.csv.gz", b"a,b", "application/octet-stream", 422, "another kind"),
    ],
)  # fmt: skip
def test_bad_input_gets_a_problem_that_says_what_was_expected(
    service: Service,
    method: str,
    path: str,
    body: bytes | None,
    content_type: str | None,
    status: int,
    told: str,
) -> None:
    headers = {"X-Request-ID": "mine"} | ({"Content-Type": content_type} if content_type else {})
    answer = service.ask(method, path, body, headers)
    assert (answer.status, answer.headers["X-Request-ID"]) == (status, "mine")
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert told in answer.json["detail"]


def test_five_problems_of_a_configuration_are_told_with_their_places(service: Service) -> None:
    body = {
        "dataset": "/etc/passwd",
        "training": {"epoch": 3, "batch_size": "many"},
        "tracking": {"tensorboard": "logs"},
        "data_dir": "elsewhere",
    }
    answer = service.ask("POST", "/train", body)
    assert answer.status == 422
    assert sorted(error["place"] for error in answer.json["errors"]) == [
        *("data_dir", "dataset", "tracking.tensorboard", "training.batch_size", "training.epoch"),
    ]


def test_a_queue_that_is_full_says_when_to_ask_again(start: Start) -> None:
    service = start(JOBS_QUEUE="1")
    service.process_of(service.train(**SLOW))
    service.train()
    answer = service.ask("POST", "/train", {"conf": "iris"})
    assert (answer.status, answer.headers["Retry-After"]) == (503, "60")
    # Before anything is read, which can take seconds.
    assert service.ask("POST", "/train", {"conf": "none"}).status == 503


# -------------------------------------------------------------------- uploads


def test_an_upload_is_never_written_over_another_one(service: Service) -> None:
    first = service.ask("POST", "/datasets?name=once.csv", b"a,label\n1,x\n", BYTES)
    digest = hashlib.sha256(b"a,label\n1,x\n").hexdigest()
    assert first.json == {"dataset": "uploads/once.csv", "size_bytes": 12, "sha256": digest}
    assert service.ask("POST", "/datasets?name=once.csv", b"a,label\n1,x\n", BYTES).status == 201
    assert service.ask("POST", "/datasets?name=once.csv", b"b,label\n", BYTES).status == 409
    kept = service.folder / "jobs/uploads"
    assert (kept / "once.csv").read_bytes() == b"a,label\n1,x\n"
    assert not list(kept.glob(".*"))
    listed = service.ask("GET", "/datasets").json["datasets"]
    assert {**first.json, "jobs": []} in listed


def test_an_upload_that_is_too_large_is_not_even_received(start: Start) -> None:
    service = start(MAX_UPLOAD_BYTES="1000", MAX_BODY_BYTES="500")
    assert service.ask("POST", "/datasets?name=a.csv", b"a" * 1000, BYTES).status == 201
    connection = HTTPConnection("127.0.0.1", service.port, timeout=10)
    connection.putrequest("POST", "/datasets?name=b.csv")
    connection.putheader("Content-Length", "1000000000000")
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


# ----------------------------------------------------------------- who may ask


def test_a_file_of_keys_has_one_a_line_and_a_key_may_have_blanks(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text("\n  two words \r\nother\n")
    access = Access(JobsSettings(api_keys_file=file))
    given = ("two words", "other", "two", "words")
    assert [access.has_key("", key) for key in given] == [True, True, False, False]


def test_a_key_is_needed_where_one_is_set_and_is_never_logged(start: Start) -> None:
    service = start(API_KEYS="first-key, second-key", HOST="0.0.0.0")
    for headers in ({}, {"X-API-Key": "third-key"}, {"Authorization": "Bearer first"}):
        answer = service.ask("GET", "/jobs", headers=headers)
        assert answer.status == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    for headers in ({"X-API-Key": "second-key"}, {"Authorization": "bearer first-key"}):
        assert service.ask("GET", "/jobs", headers=headers).status == 200
    for path in ("/", "/page.js", "/page.css", "/health"):
        assert service.ask("GET", path).status == 200
    large = service.ask("POST", "/datasets?name=a.csv", b"a" * 300_000, BYTES)
    assert large.status == 413  # a stranger may not even send it
    assert "key" not in (service.folder / "server.log").read_text().replace("'/jobs'", "")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example.org"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Host": "evil.example.org"},
    ],
)
def test_pages_of_other_sites_cannot_use_a_service_without_keys(
    service: Service, headers: dict[str, str]
) -> None:
    assert service.ask("POST", "/jobs/x/retry", headers=headers).status == 403
    assert service.ask("GET", "/jobs", headers=headers).status == 403


def test_every_answer_has_its_id_and_headers_that_shut_it_in(service: Service) -> None:
    for path, policy in (("/jobs", "default-src 'none'"), ("/", "script-src 'self'")):
        answer = service.ask("GET", path, headers={"X-Request-ID": "mine-1"})
        assert answer.headers["X-Request-ID"] == "mine-1"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert policy in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in service.ask("GET", "/").headers["Content-Security-Policy"]


def ends_with(message: str, tmp_path: Path, **settings: str) -> None:
    folders = {"JOBS_DIR": str(tmp_path / "jobs"), "ARTEFACTS_DIR": str(tmp_path / "artefacts")}
    environ: dict[str, Any] = {**os.environ, "DATA_DIR": str(tmp_path), "PORT": "0"}
    done = subprocess.run(
        [sys.executable, "-m", "jobs"],
        cwd=ROOT,
        env=environ | folders | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert message in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"HOST": "0.0.0.0"}, "HOST=0.0.0.0 lets other machines start training. Set API_KEYS"),
        ({"JOBS_SLOTS": "none"}, "JOBS_SLOTS: "),
        ({"API_KEYS": "a", "API_KEYS_FILE": "b"}, "give one of them"),
        ({"API_KEYS_FILE": "nothing"}, "API_KEYS_FILE: nothing cannot be read"),
        ({"ARTEFACTS_DIR": "/proc/artefacts"}, "must be folders that can be written"),
    ],
)
def test_settings_that_cannot_be_used_end_the_start_with_one_line(
    tmp_path: Path, settings: dict[str, str], message: str
) -> None:
    ends_with(message, tmp_path, **settings)


def test_two_servers_do_not_use_one_folder(start: Start, tmp_path: Path) -> None:
    start()
    ends_with("another server uses this folder", tmp_path)
