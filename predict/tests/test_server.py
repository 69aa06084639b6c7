"""The real server, in a process of its own, asked over real sockets."""

import contextlib
import http.client
import json
import re
import select
import signal
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from predict.tests.processes import Process, ask, connect, read_answer

Start = Callable[..., Process]

POST = b"POST /predict HTTP/1.1\r\nHost: x\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n"
NO_CHUNKS = b"0\r\n\r\n"

# The server of this package around an application that does what its path says.
ODD_SCRIPT = """
import json, logging, sqlite3, sys, time
from predict.http import server
from predict.http.connections import limits
from predict.http.listening import listen
from predict.http.load import Load
from predict.http.log_stream import logging_without_waiting
from predict.settings import Settings

ENDLESS = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
settings, quick, constants = json.loads(sys.argv[1]), sys.argv[2] == "quick", json.loads(sys.argv[3])
for name, value in constants.items():
    assert hasattr(limits, name)
    setattr(limits, name, value)
load = Load()

def odd(environ, start_response):
    what, body = environ["PATH_INFO"][1:], environ["wsgi.input"].read()
    if what == "health":
        body = json.dumps(vars(load)).encode()
    elif what == "endless":
        logging.info("answering %s", what)
        sqlite3.connect(":memory:").execute(ENDLESS).fetchall()
    elif what.startswith("compute"):
        until = time.thread_time() + float(what[7:])
        while time.thread_time() < until:
            pass
    elif what.startswith("large"):
        body = b"x" * int(what[5:])
    elif what == "environ":
        left_out = ("wsgi.", "REMOTE_PORT", "waitress.", "predict.")
        body = repr(sorted((k, v) for k, v in environ.items() if not k.startswith(left_out)) + [body]).encode()
        environ["HTTP_LEFT_BEHIND"] = "by this request"
    elif what == "fail":
        raise ValueError("a line\\n2026-11-20 10:00:00 INFO forged")
    else:
        logging.info("answering %s", environ["PATH_INFO"])
        time.sleep(float(what))
    start_response("200 OK", [("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
    return [body]

with logging_without_waiting():
    it = server.Server(odd, Settings(**settings), listen("127.0.0.1", 0), quick, load)
    logging.info("serving it on http://127.0.0.1:%d", it.port)
    it.run()
    logging.info("stopped")
"""


@pytest.fixture
def serve(start: Start, tiny_artefact: Path, tmp_path: Path) -> Start:
    """Start `python -m predict serve` on a free port."""
    (tmp_path / "empty.conf").touch()

    def serve_one(**environ: object) -> Process:
        own = {"ARTEFACT_DIR": tiny_artefact, "PORT": 0}
        return start("-m", "predict", "--conf", "empty.conf", "serve", **{**own, **environ})

    return serve_one


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory, tiny_artefact: Path) -> Iterator[int]:
    """The port of a server that all tests may ask and none may stop."""
    from predict.tests.conftest import interpreter

    process = Process(
        [str(interpreter()), "-m", "predict", "serve"],
        {"ARTEFACT_DIR": str(tiny_artefact), "PORT": "0"},
        tmp_path_factory.mktemp("server"),
    )
    yield process.port()
    assert process.running
    process.kill()


def start_odd(
    start: Start, model: str = "slow", constants: object = None, **settings: object
) -> Process:
    """Start the server of the script above, with other constants of `limits`."""
    return start("-c", ODD_SCRIPT, json.dumps(settings), model, json.dumps(constants or {}))


def talk(
    port: int, request: bytes, timeout_s: float = 10
) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Send bytes over a new connection; return status, headers and content of the answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout_s) as client:
        client.sendall(request)
        response = http.client.HTTPResponse(client)
        response.begin()
        return response.status, response.headers, response.read()


def get(port: int, path: str, timeout_s: float = 10) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Get a path over a new connection."""
    return talk(port, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode(), timeout_s)


def memory_mb(process: Process) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def send_slowly(port: int, body: bytes) -> tuple[http.client.HTTPConnection, bytes]:
    """Start a request; return its connection and the half of its body that is still to be sent."""
    connection = connect(port)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body[:5])
    return connection, body[5:]


def refuses_connections(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return True
    return False


def wait_until(condition: Callable[[], bool], timeout_s: float = 5) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_server_answers_over_one_connection_again_and_again(port: int) -> None:
    connection = connect(port)
    for text, label in (("undo a commit in svn", "svn"), ("a bash script", "bash")):
        status, answer = ask(connection, {"text": text})
        assert status == 200
        assert answer["predictions"][0]["label"] == label
    status, answer = ask(connection, {"text": ""})
    assert (status, answer["detail"]) == (422, "text: empty text")
    # A body too large to be answered by the main loop itself.
    status, answer = ask(connection, {"texts": ["svn"] * 5_000})
    assert (status, len(answer["predictions"])) == (200, 5_000)
    connection.request("GET", "/ready")
    assert read_answer(connection.getresponse())[0] == 200


def test_clients_at_the_same_time_get_their_own_answers(port: int) -> None:
    words = {"svn": "svn", "bash": "bash", "widget": "qt"}
    wrong: list[object] = []

    def ask_often(word: str, label: str) -> None:
        connection = connect(port)
        for number in range(30):
            # Some small, some large enough for a worker thread.
            body = {"texts": [f"{word} {number}"] * (1 if number % 3 else 400)}
            status, answer = ask(connection, body)
            labels = {prediction["label"] for prediction in answer["predictions"]}
            if status != 200 or labels != {label}:
                wrong.append((word, status, labels))

    threads = [threading.Thread(target=ask_often, args=pair) for pair in [*words.items()] * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert wrong == []


def test_pipelined_requests_are_answered_in_order(port: int) -> None:
    requests = b""
    sizes = (1, 300, 1, 1, 300, 1)
    for size in sizes:
        body = json.dumps({"texts": ["svn commit"] * size}).encode()
        requests += (
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(requests)
        answers = client.makefile("rb")
        for size in sizes:
            assert answers.readline() == b"HTTP/1.1 200 OK\r\n"
            length = int(http.client.parse_headers(answers)["Content-Length"])
            assert len(json.loads(answers.read(length))["predictions"]) == size


def test_a_header_and_its_answer_arrive_together(port: int) -> None:
    body = b'{"text": "svn commit"}'
    request = (
        b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        for _ in range(20):
            client.sendall(request)
            header, _, answer = client.recv(65_536).partition(b"\r\n\r\n")
            assert b"Content-Length: %d\r\n" % len(answer) in header + b"\r\n"
            assert json.loads(answer)["predictions"][0]["label"] == "svn"


@pytest.mark.parametrize(
    ("request_bytes", "status", "detail"),
    [
        (b"nonsense\r\n\r\n", 400, ""),
        (b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", 400, "Invalid header"),
        (b"get / HTTP/1.1\r\nHost: x\r\n\r\n", 400, "Malformed HTTP method"),
        (b"\x16\x03\x01\x02\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""),
        (POST + b"Content-Length: -1\r\n\r\n", 400, "Content-Length is invalid"),
        (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "Length"),
        (POST + b"Content-Length: 1\r\nContent-Length: 1\r\n\r\n0", 400, "Length"),
        (POST + b"Content-Length: " + b"9" * 5_000 + b"\r\n\r\n", 400, ""),
        (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501, "not supported"),
        (POST + CHUNKED + b"\r\nzz\r\n", 400, ""),
        (POST + CHUNKED + b"Content-Length: 4\r\n\r\n" + NO_CHUNKS, 400, "expected one of them"),
        (POST + b"Content-length:4\r\n" + CHUNKED + b"\r\n" + NO_CHUNKS, 400, "one of them"),
        (POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n" + NO_CHUNKS, 400, "chunked once"),
        (POST + CHUNKED + CHUNKED + b"\r\n" + NO_CHUNKS, 400, "chunked once"),
        (POST + b"Transfer-Encoding:\r\n\r\n" + NO_CHUNKS, 400, "chunked once"),
        (POST + b"Host: y\r\n\r\n", 400, "Host: expected once, got 2 times"),
        (b"GET /health HTTP/1.1\r\n\r\n", 400, "Host: expected once, got 0 times"),
        (b"GET /health HTTP/1.1\r\nHost: x\r\nX: a\r\n b\r\n\r\n", 400, "on another line"),
        (b"GET /health HTTP/2.0\r\nHost: x\r\n\r\n", 400, "HTTP version"),
        (b"GET /health\r\n\r\n", 400, "HTTP version"),
        (
            b"POST /predict HTTP/1.0\r\nConnection: keep-alive\r\n" + CHUNKED + b"\r\n" + NO_CHUNKS,
            400,
            "not known to HTTP/1.0",
        ),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 300_000, 431, "max_header"),
        (POST + b"Content-Length: 10000000\r\n\r\n", 413, "at most 1000000 bytes"),
        (
            POST + CHUNKED + b"\r\n" + b"8000\r\n%b\r\n" % (b" " * 0x8000) * 31,
            413,
            "at most 1000000 bytes",
        ),
    ],
)
def test_what_is_not_http_or_too_large_is_answered_with_a_problem(
    port: int, request_bytes: bytes, status: int, detail: str
) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request_bytes + b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        response = http.client.HTTPResponse(client)
        response.begin()
        got, problem = read_answer(response)
        assert response.headers["Connection"] == "close"
        assert response.headers["X-Request-ID"]
        assert client.recv(1) == b""  # what comes after it is not looked at
    assert got == problem["status"] == status
    assert problem["title"]
    assert detail in problem["detail"]


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_ten_megabytes_can_read_why_they_were_refused(
    port: int, chunked: bool
) -> None:
    for _ in range(5):
        connection = connect(port)
        body = (b" " * 100_000 for _ in range(100)) if chunked else b" " * 10_000_000
        connection.request(
            "POST",
            "/predict",
            body,
            {"Content-Type": "application/json"},
            encode_chunked=chunked,
        )
        status, problem = read_answer(connection.getresponse())
        assert (status, problem["status"]) == (413, 413)


def test_a_chunked_body_is_understood(port: int) -> None:
    connection = connect(port)
    chunks = iter([b'{"text": ', b'"svn commit"', b"}"])
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/predict", chunks, headers, encode_chunked=True)
    status, answer = read_answer(connection.getresponse())
    assert (status, answer["predictions"][0]["label"]) == (200, "svn")


def test_a_body_of_just_the_limit_is_answered_and_one_byte_more_is_not(serve: Start) -> None:
    connection = connect(serve(MAX_BODY_BYTES=100).port())
    body = {"text": "a" * (100 - len('{"text": ""}') - 1)}
    assert len(json.dumps(body)) == 99
    assert ask(connection, body)[0] == 200
    body["text"] += "aa"
    assert ask(connection, body)[0] == 413


def test_a_body_of_exactly_the_limit_is_answered(serve: Start) -> None:
    connection = connect(serve(MAX_BODY_BYTES=100).port())
    body = {"text": "a" * (100 - len('{"text": ""}'))}
    assert ask(connection, body)[0] == 200


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_server_stops_at_once_whoever_keeps_a_connection_open(
    serve: Start, number: signal.Signals
) -> None:
    server = serve()
    port = server.port()
    _never_asked, asked = connect(port), connect(port)
    assert ask(asked, {"text": "svn"})[0] == 200
    started = time.monotonic()
    server.send(number)
    assert server.exit_code() == 0
    assert time.monotonic() - started < 3
    assert "Traceback" not in server.errors


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_that_is_still_being_sent_gets_its_answer(
    serve: Start, number: signal.Signals
) -> None:
    server = serve()
    port = server.port()
    body = json.dumps({"text": "svn commit"}).encode()
    slow, rest = send_slowly(port, body)
    assert ask(connect(port), {"text": "a"})[0] == 200  # so the server has seen the slow one too
    server.send(number)
    wait_until(lambda: refuses_connections(port))
    time.sleep(0.3)
    assert server.running
    slow.send(rest)
    status, answer = read_answer(slow.getresponse())
    assert (status, answer["predictions"][0]["label"]) == (200, "svn")
    assert server.exit_code() == 0
    assert "unfinished" not in server.errors


def test_a_large_answer_that_is_read_slowly_is_sent_to_its_end(serve: Start) -> None:
    server = serve(MAX_INSTANCES=100_000)
    connection = connect(server.port())
    connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    body = json.dumps({"texts": ["svn"] * 60_000}).encode()
    connection.request("POST", "/predict", body, {"Content-Type": "application/json"})
    server.wait_for("'/predict' 200")
    server.send(signal.SIGTERM)
    time.sleep(0.2)
    status, answer = read_answer(connection.getresponse())
    assert (status, len(answer["predictions"])) == (200, 60_000)
    assert server.exit_code() == 0


# A quick model's small requests are answered by the main loop itself, which then gets the signal.
@pytest.mark.parametrize("model", ["slow", "quick"])
def test_a_request_that_is_being_answered_gets_its_whole_answer(start: Start, model: str) -> None:
    server = start_odd(start, model, max_wait_s=5)
    port = server.port()
    connections = [connect(port) for _ in range(3)]
    body = b"x" * 100_000
    for connection in connections:
        connection.request("POST", "/0.3", body if connection is connections[0] else b"x")
    server.wait_for(r"answering /0\.3")
    server.send(signal.SIGTERM)
    assert [len(connection.getresponse().read()) for connection in connections] == [100_000, 1, 1]
    assert server.exit_code() == 0
    assert "stopped" in server.errors


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_does_not_keep_the_main_loop_from_other_clients(
    start: Start, chunked: bool
) -> None:
    server = start_odd(start, "quick")
    large, small = connect(server.port()), connect(server.port())
    body = iter([b"x" * 5_000]) if chunked else b"x" * 5_000
    large.request("POST", "/1", body, encode_chunked=chunked)
    server.wait_for("answering /1")
    started = time.monotonic()
    small.request("GET", "/0")
    assert small.getresponse().status == 200
    assert time.monotonic() - started < 0.7
    assert len(large.getresponse().read()) == 5_000


def test_what_takes_longer_than_the_drain_timeout_is_given_up_with_a_warning(start: Start) -> None:
    server = start_odd(start, drain_timeout_s=0.3)
    connection = connect(server.port())
    connection.request("GET", "/30")
    server.wait_for("answering /30")
    server.send(signal.SIGTERM)
    assert server.exit_code() == 0
    assert "stopping with 1 request unfinished after 0 s" in server.errors


def test_the_second_ctrl_c_does_not_wait(start: Start) -> None:
    server = start_odd(start)
    connection = connect(server.port())
    connection.request("GET", "/30")
    server.wait_for("answering /30")
    server.send(signal.SIGINT)
    time.sleep(0.2)
    assert server.running
    server.send(signal.SIGINT)
    assert server.exit_code(timeout_s=3) != 0


def test_connections_that_were_waiting_when_the_signal_came_are_answered(serve: Start) -> None:
    server = serve()
    port = server.port()
    assert ask(connect(port), {"text": "a"})[0] == 200  # so it is ready for signals
    server.send(signal.SIGSTOP)
    connections = [connect(port, timeout_s=5) for _ in range(8)]
    for connection in connections:
        connection.request(
            "POST", "/predict", b'{"text":"svn"}', {"Content-Type": "application/json"}
        )
    server.send(signal.SIGTERM)
    server.send(signal.SIGCONT)
    assert [read_answer(one.getresponse())[0] for one in connections] == [200] * 8
    assert server.exit_code() == 0


def test_idle_connections_shut_nobody_out_and_do_not_delay_the_stop(serve: Start) -> None:
    server = serve()
    port = server.port()
    for _ in range(150):
        connect(port)
    assert ask(connect(port, timeout_s=3), {"text": "svn"})[0] == 200
    started = time.monotonic()
    server.send(signal.SIGTERM)
    assert server.exit_code() == 0
    assert time.monotonic() - started < 3


def test_busy_clients_do_not_keep_it_from_stopping(serve: Start) -> None:
    server = serve(DRAIN_TIMEOUT_S=10)
    port = server.port()
    ends: list[str] = []

    def ask_until_told_to_stop() -> None:
        connection = connect(port)
        while True:
            connection.request(
                "POST", "/predict", b'{"text": "svn"}', {"Content-Type": "application/json"}
            )
            response = connection.getresponse()
            assert response.status == 200
            response.read()
            if response.headers["Connection"] == "close":
                ends.append("told")
                return

    clients = [threading.Thread(target=ask_until_told_to_stop) for _ in range(4)]
    for client in clients:
        client.start()
    time.sleep(0.3)
    started = time.monotonic()
    server.send(signal.SIGTERM)
    assert server.exit_code() == 0
    assert time.monotonic() - started < 5
    for client in clients:
        client.join()
    assert ends == ["told"] * 4


def test_a_large_body_needs_no_temporary_file(
    start: Start, tiny_artefact: Path, tmp_path: Path
) -> None:
    (tmp_path / "empty.conf").touch()
    script = (
        "import tempfile; tempfile.tempdir = '/nowhere'\n"
        "from predict.__main__ import main; main(['--conf', 'empty.conf', 'serve'])"
    )
    server = start("-c", script, ARTEFACT_DIR=tiny_artefact, PORT=0)
    texts = ["svn commit " * 5] * 10_000
    status, answer = ask(connect(server.port()), {"texts": texts})
    assert status == 200
    assert len(answer["predictions"]) == 10_000
    assert "Traceback" not in server.errors
    assert "exception" not in server.errors


@pytest.mark.parametrize("target", ["http://[::1/health", "//[/health"])
def test_a_request_target_that_is_none_is_a_bad_request(port: int, target: str) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
        connection.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert read_answer(response)[0] in (400, 404)


@pytest.mark.parametrize("kind", ["label", "number", "labels"])
def test_a_table_is_served_over_real_sockets_small_and_large(
    serve: Start, tables: dict[str, Path], kind: str
) -> None:
    connection = connect(serve(ARTEFACT_DIR=tables[kind]).port())
    connection.request("GET", "/predict/example")
    status, example = read_answer(connection.getresponse())
    assert status == 200
    status, answer = ask(connection, example)
    assert (status, answer["predictions"]) == (200, example["expected"]["predictions"])
    # Too large for the main loop.
    status, answer = ask(connection, {"instances": example["instances"] * 1_500})
    assert status == 200
    assert answer["predictions"] == example["expected"]["predictions"] * 1_500
    status, answer = ask(connection, {"instances": [{}]})
    assert status == 422


def test_a_probe_on_a_new_connection_is_answered_while_many_connections_ask_at_once(
    start: Start,
) -> None:
    port = start_odd(start, "quick").port()
    statuses: Counter[int] = Counter()
    slowest, until = [0.0], time.monotonic() + 2

    def ask_again_and_again() -> None:
        connections = [connect(port) for _ in range(25)]
        while time.monotonic() < until:
            for connection in connections:
                connection.request("GET", "/compute0.004")
            for connection in connections:
                response = connection.getresponse()
                content = response.read()
                statuses[response.status] += 1
                if response.status == 503:
                    assert response.headers["Retry-After"] == "1"
                    assert response.headers["Content-Type"] == "application/problem+json"
                    assert json.loads(content)["status"] == 503

    threads = [threading.Thread(target=ask_again_and_again) for _ in range(4)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    while time.monotonic() < until:
        started = time.monotonic()
        assert get(port, "/health")[0] == 200
        slowest.append(time.monotonic() - started)
    for thread in threads:
        thread.join()
    assert set(statuses) == {200, 503}
    assert len(slowest) > 10
    assert max(slowest) < 0.25
    assert json.loads(get(port, "/health")[2])["refused"] == statuses[503]


def test_requests_wait_for_a_worker_thread_no_longer_than_they_may(start: Start) -> None:
    port = start_odd(start, threads=1).port()
    for _ in range(3):
        assert get(port, "/0")[0] == 200
    at_work = connect(port)
    at_work.request("GET", "/3")
    started = time.monotonic()
    status, headers, _ = get(port, "/0")
    assert (status, headers["Retry-After"]) == (503, "1")
    assert time.monotonic() - started < 2
    assert get(port, "/health", timeout_s=1)[0] == 200
    assert at_work.getresponse().status == 200


ASKED = {
    "X-Request-ID": "order-7",
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "Origin": "https://shop.example",
}


def test_what_the_application_never_sees_is_answered_with_the_same_headers(start: Start) -> None:
    full = start_odd(start, constants={"MOST_CONNECTIONS": 0}, cors_origins=[ASKED["Origin"]])
    given = "".join(f"{name}: {value}\r\n" for name, value in ASKED.items()).encode()
    too_large = POST + b"Content-Length: 10000000\r\n"
    for request, status in ((b"GET /0 HTTP/1.1\r\nHost: x\r\n", 503), (too_large, 413)):
        got, headers, _ = talk(full.port(), request + given + b"\r\n")
        assert got == status
        assert headers["X-Request-ID"] == ASKED["X-Request-ID"]
        assert headers["traceparent"] == ASKED["traceparent"]
        assert headers["Access-Control-Allow-Origin"] == ASKED["Origin"]
        assert headers["X-Content-Type-Options"] == "nosniff"


def test_a_rejected_request_is_logged_with_its_id_and_counted(serve: Start) -> None:
    server = serve()
    request = POST + b"X-Request-ID: order-7\r\nContent-Length: 10000000\r\n\r\n"
    assert talk(server.port(), request)[0] == 413
    server.wait_for("INFO 'POST' '/predict' rejected: 413 .* order-7\n")
    assert b"capstone_rejected_total 1.0" in get(server.port(), "/metrics")[2]


def test_a_model_that_turns_slow_leaves_the_main_loop(start: Start) -> None:
    server = start_odd(start, "quick")
    port = server.port()
    assert get(port, "/compute0.2")[0] == 200
    server.wait_for("an answer took [0-9]+ ms: worker threads answer small requests too for 1 s")
    slow = connect(port)
    slow.request("GET", "/0.9")
    server.wait_for("answering /0.9")
    started = time.monotonic()
    assert get(port, "/0")[0] == 200
    assert time.monotonic() - started < 0.5
    assert slow.getresponse().status == 200


def test_a_request_that_takes_too_long_is_given_up_and_others_go_on(start: Start) -> None:
    server = start_odd(start, request_timeout_s=0.5)
    port = server.port()
    started = time.monotonic()
    status, headers, _ = get(port, "/endless")
    assert (status, headers["Connection"]) == (503, "close")
    assert time.monotonic() - started < 3
    assert get(port, "/0")[0] == 200
    server.send(signal.SIGTERM)
    assert server.exit_code(timeout_s=4) == 0


def test_a_process_whose_main_thread_is_inside_a_model_can_be_stopped(start: Start) -> None:
    server = start_odd(start, "quick", drain_timeout_s=0.2, drain_grace_s=0)
    connection = connect(server.port())
    connection.request("GET", "/endless")
    server.wait_for("answering endless")
    server.send(signal.SIGTERM)
    assert server.exit_code(timeout_s=6) == 1
    assert "though a request is still being answered" in server.errors


def test_clients_that_do_not_read_are_refused_more_and_closed(start: Start) -> None:
    constants = {
        "MOST_ANSWER_BYTES": 10_000_000,
        "READING_TIMEOUT_S": 1.5,
        "READING_TIMEOUT_UNDER_PRESSURE_S": 1.5,
    }
    server = start_odd(start, constants=constants)
    port = server.port()
    before = memory_mb(server)
    clients = [connect(port) for _ in range(40)]
    for client in clients:
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        client.request("GET", "/large4000000")
    time.sleep(1)
    assert json.loads(get(port, "/health")[2])["refused"] > 10
    assert memory_mb(server) - before < 80
    assert get(port, "/large4000000")[0] == 503
    assert get(port, "/0")[0] == 503
    wait_until(lambda: get(port, "/0")[0] == 200, timeout_s=8)
    status, _, content = get(port, "/large4000000")
    assert (status, len(content)) == (200, 4_000_000)


def test_large_requests_are_refused_while_others_hold_too_much(start: Start) -> None:
    server = start_odd(start, constants={"MOST_REQUEST_BYTES": 1_000_000})
    port = server.port()
    held = [send_slowly(port, b"x" * 900_000) for _ in range(2)]
    for connection, rest in held:
        connection.send(rest[:400_000])
    time.sleep(0.3)
    status, headers, _ = talk(
        port, POST.replace(b"predict", b"0") + b"Content-Length: 500000\r\n\r\n" + b"x" * 500_000
    )
    assert (status, headers["Retry-After"], headers["Connection"]) == (503, "1", "close")
    assert get(port, "/0")[0] == 200
    for connection, _ in held:
        connection.close()
    assert (
        talk(
            port,
            POST.replace(b"predict", b"0") + b"Content-Length: 500000\r\n\r\n" + b"x" * 500_000,
        )[0]
        == 200
    )


def test_connections_that_send_slowly_give_way(start: Start) -> None:
    port = start_odd(
        start, constants={"MOST_CONNECTIONS": 50, "SLOW_AFTER_S": 0.1, "MAKE_ROOM": 5}
    ).port()
    asked = connect(port)
    asked.request("GET", "/0")
    asked.getresponse().read()
    slow = [connect(port) for _ in range(49)]
    for connection in slow:
        connection.sock.sendall(b"GET /0 HT")
    time.sleep(0.3)
    for _ in range(20):
        assert get(port, "/health", timeout_s=1)[0] == 200
        assert get(port, "/0", timeout_s=1)[0] == 200
    asked.request("GET", "/0")  # who has asked before is the last to go
    assert asked.getresponse().status == 200


def test_places_are_kept_for_probes_when_all_connections_are_busy(start: Start) -> None:
    server = start_odd(start, constants={"MOST_CONNECTIONS": 4}, threads=4)
    port = server.port()
    busy = [connect(port) for _ in range(4)]
    for connection in busy:
        connection.request("GET", "/1.5")
    time.sleep(0.3)
    status, headers, _ = get(port, "/0", timeout_s=1)
    assert (status, headers["Connection"]) == (503, "close")
    status, headers, _ = get(port, "/health", timeout_s=1)
    assert (status, headers["Connection"]) == (200, "close")
    assert [connection.getresponse().status for connection in busy] == [200] * 4


@pytest.mark.parametrize(
    "sent", [b"GET /0 HTTP/1.1\r\nHost: x", POST + b"Content-Length: 9\r\n\r\n1"]
)
def test_a_request_that_arrives_too_slowly_is_told_so(start: Start, sent: bytes) -> None:
    port = start_odd(start, constants={"HEADERS_TIMEOUT_S": 1, "BODY_TIMEOUT_S": 1}).port()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(sent)
        until = time.monotonic() + 4
        with contextlib.suppress(OSError):
            while time.monotonic() < until:  # that something arrives now and then is no excuse
                time.sleep(0.2)
                client.sendall(b"1" if b"Length" in sent and time.monotonic() > until else b"")
                if select.select([client], [], [], 0)[0]:
                    break
        assert time.monotonic() < until
        assert b" 408 REQUEST TIMEOUT\r\n" in client.recv(1_000)


def test_the_server_goes_on_and_stops_though_nobody_reads_its_log(
    start: Start, tiny_artefact: Path
) -> None:
    server = start("-m", "predict", "serve", read_errors=False, ARTEFACT_DIR=tiny_artefact, PORT=0)
    port = server.port()
    connection = connect(port)
    path = "/" + "x" * 1_900
    for _ in range(60):  # 120 kB of lines, of which the pipe takes 64
        connection.request("GET", path)
        read_answer(connection.getresponse())
    assert ask(connection, {"text": "svn"})[0] == 200
    server.send(signal.SIGTERM)
    assert server.exit_code(timeout_s=5) == 0


@pytest.mark.parametrize("log_texts", [False, True])
def test_no_request_forges_a_log_line(serve: Start, log_texts: bool) -> None:
    server = serve(LOG_TEXTS=log_texts)
    port = server.port()
    forged = "%0a2026-11-20%2010:00:00%20INFO%20forged%1b[2J%c2%85"
    get(port, f"/{forged}?{forged}")
    talk(
        port,
        f"POST /predict?x={forged} HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\na\nINFO\x1b".encode(),
    )
    server.wait_for("/predict'.* 415")
    lines = [line for line in server.errors.splitlines() if "serving" not in line]
    assert lines
    assert all(
        re.match(r"[-0-9]+ [:0-9]+ (INFO|WARNING|ERROR) (GET|POST) '", line) for line in lines
    )
    assert "\x1b" not in server.errors
    assert "\x85" not in server.errors


def test_a_failure_is_logged_without_forged_lines(start: Start) -> None:
    server = start_odd(start, "quick")
    status, _, _ = get(server.port(), "/fail%0aINFO%20forged")
    assert status == 500
    status, _, _ = get(server.port(), "/fail")
    assert status == 500
    server.wait_for("ValueError: a line.*\n")
    lines = server.errors.splitlines()
    assert all(re.match(r"  |[-0-9]+ [:0-9]+ (INFO|WARNING|ERROR) ", line) for line in lines)
    assert not any(re.match(r"[-0-9]+ [:0-9]+ INFO forged", line) for line in lines)


def test_a_stopping_server_takes_connections_for_a_while_and_says_that_it_is_not_ready(
    serve: Start,
) -> None:
    server = serve(DRAIN_GRACE_S=1.5)
    port = server.port()
    assert get(port, "/ready")[0] == 200
    server.send(signal.SIGTERM)
    wait_until(lambda: get(port, "/ready")[0] == 503)
    assert b"The server is stopping." in get(port, "/ready")[2]
    assert get(port, "/health")[0] == 200
    body = b'{"text": "svn"}'
    request = POST + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
        len(body),
        body,
    )
    status, headers, _ = talk(port, request)
    assert (status, headers["Connection"]) == (200, "close")
    assert server.exit_code(timeout_s=5) == 0


def test_a_server_that_stops_loses_no_request_of_clients_that_connect_again_and_again(
    serve: Start,
) -> None:
    server = serve()
    port = server.port()
    ends: list[str] = []

    def ask_over_new_connections() -> None:
        while True:
            try:
                connection = connect(port)
            except ConnectionRefusedError:
                ends.append("refused")
                return
            try:
                ends.append(str(ask(connection, {"text": "svn"})[0]))
            except OSError as error:
                ends.append(repr(error))
            connection.close()

    threads = [threading.Thread(target=ask_over_new_connections) for _ in range(6)]
    for thread in threads:
        thread.start()
    time.sleep(0.3)
    server.send(signal.SIGTERM)
    for thread in threads:
        thread.join(10)
    assert server.exit_code() == 0
    assert set(ends) == {"200", "refused"}
    assert ends.count("refused") == 6


@pytest.mark.parametrize("pieces", [1, 2, 200])
def test_a_header_block_means_the_same_the_first_time_and_later(start: Start, pieces: int) -> None:
    port = start_odd(start, "quick").port()
    answers = set()
    for body in (b"one", b"two", b"one", b"two"):
        request = (
            b"POST /environ?a=b%%20c HTTP/1.1\r\nHost: x:1\r\nX-Own: 1\r\nX-Own: 2\r\n"
            b"X-Forwarded-For: 1.2.3.4\r\nForwarded: for=1.2.3.4\r\nContent-Length: %d\r\n\r\n%b"
            % (len(body), body)
        )
        size = -(-len(request) // pieces)
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for start_at in range(0, len(request), size):
                client.sendall(request[start_at : start_at + size])
                time.sleep(0.05 if pieces == 2 else 0)
            response = http.client.HTTPResponse(client)
            response.begin()
            answers.add(response.read())
    assert len(answers) == 2
    first = answers.pop().decode()
    assert "('HTTP_X_OWN', '1, 2')" in first
    assert "('QUERY_STRING', 'a=b%20c')" in first
    assert "1.2.3.4" not in first


def test_a_client_that_expects_to_be_told_to_continue_is_told(port: int) -> None:
    body = b'{"text": "svn commit"}'
    expecting = (
        POST + b"Content-Type: application/json\r\nExpect: 100-continue\r\n"
        b"Content-Length: %d\r\n\r\n" % len(body)
    )
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(expecting)
            assert client.recv(1_000) == b"HTTP/1.1 100 Continue\r\n\r\n"
            client.sendall(body)
            assert client.recv(10_000).startswith(b"HTTP/1.1 200 OK\r\n")
    for _ in range(2):  # nor does it hurt who does not wait
        status, _, _ = talk(port, expecting + body)
        assert status == 200


def test_the_refusal_of_a_head_request_has_no_body(start: Start) -> None:
    port = start_odd(start, constants={"MOST_CONNECTIONS": 0}).port()
    with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
        client.sendall(b"HEAD /0 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b"".join(iter(lambda: client.recv(1_000), b"")).endswith(b"\r\n\r\n")
