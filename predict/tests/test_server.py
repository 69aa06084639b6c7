"""The real server, in a process of its own, asked over real sockets."""

import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from predict.tests.processes import Process, ask, connect, read_answer

Start = Callable[..., Process]

# The server of this package around an application that takes its time.
SLOW_SCRIPT = """
import logging, sys, time
from predict.http.listening import listen
from predict.http.server import Server
from predict.settings import Settings

def slow(environ, start_response):
    body = environ["wsgi.input"].read()
    logging.info("answering %s", environ["PATH_INFO"])
    time.sleep(float(environ["PATH_INFO"][1:]))
    start_response("200 OK", [("Content-Length", str(len(body))), ("Content-Type", "text/plain")])
    return [body]

logging.basicConfig(level=logging.INFO)
server = Server(slow, Settings(drain_timeout_s=float(sys.argv[1])), listen("127.0.0.1", 0), sys.argv[2] == "quick")
logging.info("serving it on http://127.0.0.1:%d", server.port)
server.run()
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


def start_slow(start: Start, drain_timeout_s: float = 20, model: str = "slow") -> Process:
    return start("-c", SLOW_SCRIPT, drain_timeout_s, model)


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
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400, "Invalid header"),
        (b"get / HTTP/1.1\r\n\r\n", 400, "Malformed HTTP method"),
        (b"\x16\x03\x01\x02\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""),
        (b"POST /predict HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400, "Content-Length is invalid"),
        (
            b"POST /predict HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            400,
            "Length",
        ),
        (b"POST /predict HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "not supported"),
        (b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400, ""),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 300_000, 431, "max_header"),
        (b"POST /predict HTTP/1.1\r\nContent-Length: 10000000\r\n\r\n", 413, "max_body"),
        (
            b"POST /predict HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            + b"8000\r\n%b\r\n" % (b" " * 0x8000) * 31,
            413,
            "max_body",
        ),
    ],
)
def test_what_is_not_http_or_too_large_is_answered_with_a_problem(
    port: int, request_bytes: bytes, status: int, detail: str
) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(request_bytes)
        response = http.client.HTTPResponse(client)
        response.begin()
        got, problem = read_answer(response)
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
    server = start_slow(start, model=model)
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
    server = start_slow(start, model="quick")
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
    server = start_slow(start, drain_timeout_s=0.3)
    connection = connect(server.port())
    connection.request("GET", "/30")
    server.wait_for("answering /30")
    server.send(signal.SIGTERM)
    assert server.exit_code() == 0
    assert "stopping with 1 request unfinished after 0 s" in server.errors


def test_the_second_ctrl_c_does_not_wait(start: Start) -> None:
    server = start_slow(start)
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
