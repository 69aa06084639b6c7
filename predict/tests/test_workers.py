"""Several processes on one port, and one that changes its models: real processes, asked over real sockets."""

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest

from predict.hosting.messages import DONE, PREPARE, followed, receive, rolled_back, send
from predict.http.sharing import Shares
from predict.http.workers import Workers, _Worker
from predict.settings import Settings
from predict.tests.processes import Process, ask, connect, read_answer
from predict.tests.test_admin import packed
from predict.tests.test_hosting import artefacts as artefacts
from predict.tests.test_hosting import point
from predict.tests.waiting import wait_until

Start = Callable[..., Process]


@pytest.fixture
def serve(start: Start, artefacts: Path, tmp_path: Path) -> Start:
    (tmp_path / "empty.conf").touch()

    def serve_some(
        workers: int = 2, conf: Path = tmp_path / "empty.conf", **environ: object
    ) -> Process:
        environ = {"PORT": 0, "ARTEFACT_DIR": artefacts / "latest", "WATCH_S": 0.1, **environ}
        given = {"MODELS_DIR": artefacts, "ADMIN_TOKEN": "t", "WORKERS": workers, **environ}
        return start("-m", "predict", "--conf", conf, "serve", **given)

    return serve_some


@pytest.fixture(params=[1, 2])
def served(request: pytest.FixtureRequest, serve: Start) -> Iterator[Process]:
    process = serve(request.param)
    process.port()
    yield process
    assert "Traceback" not in process.errors


def model_of(port: int) -> str:
    status, answer = ask(connect(port), {"text": "svn"})
    assert status == 200
    return str(answer["model"])


def models_of(port: int, times: int = 12) -> set[str]:
    """Return which artefacts answer on fresh connections, which the processes take as they can."""
    return {model_of(port) for _ in range(times)}


def change(port: int, path: str, body: object = None) -> tuple[int, object]:
    connection = connect(port)
    headers = {"Authorization": "Bearer t", "Content-Type": "application/json"}
    connection.request("POST", f"/admin/models/{path}", json.dumps(body), headers)
    return read_answer(connection.getresponse())


def children_of(process: Process) -> list[int]:
    listed = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text()
    return [int(pid) for pid in listed.split()]


def is_running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"  # ended, and nobody has asked how


def test_a_change_is_made_by_all_processes_together_and_taken_back(served: Process) -> None:
    port = served.port()
    assert models_of(port) == {"old"}
    assert change(port, "default", {"artefact": "new"}) == (
        200,
        {"name": "default", "artefact": "new", "directory": "new"},
    )
    assert models_of(port) == {"new"}
    status, problem = change(port, "default", {"artefact": "damaged"})
    assert (status, models_of(port)) == (422, {"new"})
    assert "was changed after training" in str(problem)
    assert change(port, "default/rollback")[0] == 200
    assert models_of(port) == {"old"}


@pytest.mark.parametrize("workers", [1, 2])
def test_an_upload_may_be_larger_than_a_request_for_an_administrator_alone(
    serve: Start, artefacts: Path, workers: int
) -> None:
    port = serve(workers, MAX_BODY_BYTES=1_000).port()
    archive = packed(artefacts, "new")
    assert len(archive) > 2_000
    answers = []
    for token in ("no", "t"):
        connection = connect(port)
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/gzip"}
        connection.request("POST", "/admin/models/default", archive, headers)
        answers.append(read_answer(connection.getresponse()))
    assert [status for status, _ in answers] == [413, 200]
    assert models_of(port) == {"new"}


def test_no_answer_is_lost_or_mixed_while_models_change_under_load(served: Process) -> None:
    port, done = served.port(), threading.Event()
    seen: Counter[tuple[str, str]] = Counter()

    def keep_asking() -> int:
        connection, count = connect(port), 0
        while not done.is_set():
            status, answer = ask(connection, {"texts": ["svn", "bash"]})
            assert status == 200
            labels = "".join(prediction["label"] for prediction in answer["predictions"])
            seen[(answer["model"], labels)] += 1
            count += 1
        return count

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(keep_asking) for _ in range(4)]
        for number in range(20):
            assert change(port, "default", {"artefact": ("new", "old")[number % 2]})[0] == 200
        done.set()
        assert sum(future.result() for future in asking) == sum(seen.values()) > 20
    assert set(seen) == {("old", "svnbash"), ("new", "SVNBASH")}


def test_a_link_that_moves_is_followed_by_all(served: Process, artefacts: Path) -> None:
    port = served.port()
    point(artefacts / "latest", "damaged")
    served.wait_for("an artefact is refused, old answers on")
    point(artefacts / "latest", "new")
    wait_until(lambda: model_of(port) == "new")
    wait_until(lambda: models_of(port) == {"new"})


@pytest.mark.parametrize("workers", [1, 2])
def test_a_configuration_that_changes_is_followed_at_a_signal(
    serve: Start, artefacts: Path, tmp_path: Path, workers: int
) -> None:
    conf = tmp_path / "own.conf"
    conf.write_text(f"MODELS=spam={artefacts / 'old'}\n", encoding="utf-8")
    process = serve(workers, conf, WATCH_S=0, ARTEFACT_DIR="")
    port = process.port()
    conf.write_text(f"MODELS=spam={artefacts / 'new'}\nTHREADS=x\n", encoding="utf-8")
    process.send(signal.SIGHUP)
    process.wait_for("the old one stays: .*THREADS: Input should be a valid integer")
    conf.write_text(f"MODELS=spam={artefacts / 'new'}\n", encoding="utf-8")
    process.send(signal.SIGHUP)
    wait_until(lambda: models_of(port) == {"new"})
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0


def test_a_process_that_dies_is_replaced_and_answers_as_the_others_do(serve: Start) -> None:
    process = serve()
    port = process.port()
    change(port, "default", {"artefact": "new"})
    first, second = children_of(process)
    os.kill(first, signal.SIGKILL)
    process.wait_for(f"process {first} ended with -9")
    wait_until(lambda: len(children_of(process)) == 2 and first not in children_of(process))
    assert second in children_of(process)
    process.wait_for(f"process {first} ended with -9")
    # The new one alone answers: it serves what all do, not what its configuration says.
    os.kill(second, signal.SIGSTOP)
    try:
        assert models_of(port) == {"new"}
    finally:
        os.kill(second, signal.SIGCONT)
    # It knows as well what answered before.
    assert change(port, "default/rollback")[0] == 200
    assert models_of(port) == {"old"}


def test_connections_are_shared_out(serve: Start) -> None:
    process = serve()
    port = process.port()
    before = [sockets_of(pid) for pid in children_of(process)]
    for _ in range(10):
        assert ask(connect(port), {"text": "svn"})[0] == 200
    more = [
        sockets_of(pid) - first for pid, first in zip(children_of(process), before, strict=True)
    ]
    assert sum(more) >= 10
    assert min(more) >= 3


def sockets_of(pid: int) -> int:
    links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(link.startswith("socket:") for link in links)


def test_who_has_more_connections_leaves_the_next_to_the_rest_for_a_while() -> None:
    shares = Shares(3)
    first, second = shares.of(1), shares.of(2)
    first.note(5)
    assert first.pause_s() == 0  # nobody else takes any
    second.note(2)
    assert first.pause_s() > 0 == second.pause_s()
    first.note(500)
    assert first.pause_s() <= 0.02
    second.note(450)
    assert first.pause_s() == 0  # near enough
    first.note(5)
    second.note(0)
    shares.leave(2)
    assert first.pause_s() == 0


def test_all_may_be_asked_at_once(serve: Start) -> None:
    """Each question goes through the parent, which must not wait for a process that waits for it."""
    process = serve()
    port, done = process.port(), time.monotonic() + 2

    def keep_asking() -> int:
        count = 0
        while time.monotonic() < done:
            connection = connect(port)
            connection.request("GET", "/models")
            assert read_answer(connection.getresponse())[0] == 200
            count += 1
        return count

    with ThreadPoolExecutor(6) as pool:
        asking = [pool.submit(keep_asking) for _ in range(6)]
        assert sum(future.result() for future in asking) > 20
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0


def test_a_process_that_hangs_holds_nobody_and_the_parent_can_be_stopped(serve: Start) -> None:
    process = serve(DRAIN_TIMEOUT_S=0.2)
    process.port()
    first, second = children_of(process)
    os.kill(second, signal.SIGSTOP)
    try:
        process.send(signal.SIGHUP)  # the parent asks both
        process.send(signal.SIGTERM)
        assert process.exit_code(timeout_s=10) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(second, signal.SIGCONT)
    assert not is_running(first)


def test_each_process_logs_its_predictions_in_a_file_of_its_own(
    serve: Start, tmp_path: Path
) -> None:
    process = serve(LOG_PREDICTIONS="p.jsonl")
    port = process.port()
    models_of(port)
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0
    files = sorted(tmp_path.glob("p*.jsonl"))
    assert [file.name for file in files] == ["p-1.jsonl", "p-2.jsonl"]
    # What waited to be written when it stopped is there.
    assert sum(len(file.read_text().splitlines()) for file in files) == 12


@pytest.mark.parametrize("target", ["admin/models/default", "http:admin/models/default"])
def test_a_target_that_is_no_path_is_no_request(served: Process, target: str) -> None:
    with socket.create_connection(("127.0.0.1", served.port()), 10) as connection:
        body = b'{"artefact": "new"}'
        head = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(f"{head}Content-Type: application/json\r\n\r\n".encode() + body)
        assert connection.recv(4096).startswith(b"HTTP/1.1 400 ")
    assert models_of(served.port()) == {"old"}


def test_all_end_in_order(serve: Start) -> None:
    process = serve()
    port, children = process.port(), children_of(process)
    connection = connect(port)
    assert ask(connection, {"text": "svn"})[0] == 200
    process.send(signal.SIGTERM)
    assert process.exit_code() == 0
    assert not any(map(is_running, children))
    assert "did not stop" not in process.errors


def test_no_process_outlives_its_parent(serve: Start) -> None:
    process = serve()
    process.port()
    children = children_of(process)
    process.send(signal.SIGKILL)
    wait_until(lambda: not any(map(is_running, children)))


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"ARTEFACT_DIR": "nothing"}, "Error: nothing does not exist"),
        ({"API_KEYS_FILE": "nothing"}, "Error: API_KEYS_FILE: nothing cannot be read"),
        ({"SHADOWS": "spam=x"}, "Error: SHADOWS: spam is none of the models. Known: default."),
    ],
)
@pytest.mark.parametrize("workers", [1, 2])
def test_what_cannot_start_says_why_in_one_line(
    serve: Start, workers: int, environ: dict[str, str], message: str
) -> None:
    process = serve(workers, **environ)
    assert process.exit_code() == 1
    assert process.errors.startswith(message)
    assert process.errors.count("\n") == 1


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ({"error": "ArtefactError", "message": "no room"}, "no room"),
        ({"value": {"default": "another"}}, "did not load the same"),
        ({"value": {}}, "did not load the same"),
    ],
)
def test_what_one_process_cannot_load_no_process_changes_to(
    second: dict[str, Any], message: str
) -> None:
    told: list[list[str]] = [[], []]
    prepared = [{"value": {"default": "new"}}, second]
    parent = Workers(Settings(workers=2), None, None, followed, Settings)  # type: ignore[arg-type]

    def work(connection: Connection, number: int) -> None:
        while (asked := receive(connection)) is not None:
            told[number].append(asked["kind"])
            reply = prepared[number] if asked["kind"] == PREPARE else {"value": None}
            send(connection, {"type": DONE, "id": asked["id"], "reply": reply})

    ends = [Pipe() for _ in told]
    parent._workers = [_Worker(0, 0, ours, ready=True) for ours, _ in ends]
    with ThreadPoolExecutor(2) as pool:
        for number, (_, theirs) in enumerate(ends):
            pool.submit(work, theirs, number)
        problem = parent._change(rolled_back("default"))
        for end in (parent._wakes, parent._wake, *(ours for ours, _ in ends)):
            end.close()
    assert problem is not None
    assert message in problem["message"]
    assert told == [[PREPARE, "abort"]] * 2


def test_the_parent_loads_neither_a_model_nor_what_answers(start: Start) -> None:
    heavy = ("flask", "waitress", "onnxruntime")
    script = f"import sys, predict.__main__, predict.http.serving; print(set({heavy!r}) & set(sys.modules))"
    process = start("-c", script)
    assert process.exit_code() == 0, process.errors
    assert process.output == "set()\n"
