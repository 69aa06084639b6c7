"""A load on a server: a number of clients repeat the same requests, and the answers are counted."""

import json
import selectors
import socket
import time
from dataclasses import dataclass
from pathlib import Path

TEXTS = [
    f"{verb} {noun} in {place}"
    for verb in ("how to undo", "best way to sort", "cannot find", "why is")
    for noun in (
        "a commit",
        "the list of files",
        "my cell range",
        "an entity mapping",
        "two arrays",
    )
    for place in ("bash", "Excel 2007", "an SVN repository", "Hibernate", "my Qt widget", "ASP.NET")
]


@dataclass(frozen=True)
class Load:
    """The result of a load."""

    requests_per_s: float
    p50_ms: float
    p99_ms: float


def bodies_for(artefact: str) -> list[bytes]:
    """Return what to ask: questions for a model of one text, its own examples for any other."""
    metadata = json.loads((Path(artefact) / "metadata.json").read_bytes())
    if [column["type"] for column in metadata["inputs"]] == ["text"]:
        return [json.dumps({"text": text}).encode() for text in TEXTS]
    examples = [example["instance"] for example in metadata["examples"]]
    return [json.dumps({"instances": [instance]}).encode() for instance in examples]


def batches_for(artefact: str, size: int) -> list[bytes]:
    """Return the same, many in one request."""
    asked = [json.loads(body) for body in bodies_for(artefact)]
    if "text" in asked[0]:
        many = [asked[number % len(asked)]["text"] for number in range(size)]
        return [json.dumps({"texts": many}).encode()]
    rows = [asked[number % len(asked)]["instances"][0] for number in range(size)]
    return [json.dumps({"instances": rows}).encode()]


def http_post(path: str, bodies: list[bytes]) -> list[bytes]:
    """Return JSON bodies as whole HTTP/1.1 requests."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: "
    return [head.encode() + str(len(body)).encode() + b"\r\n\r\n" + body for body in bodies]


def run_load(
    port: int, bodies: list[bytes], clients: int, seconds: float = 60.0, requests: int = 1_000_000
) -> Load:
    """Keep `clients` connections to 127.0.0.1 busy, each with one request at a time, until either limit is reached.

    One thread and bare sockets: the client must cost as little as possible, because it runs on the same cores.
    """
    selector = selectors.DefaultSelector()
    connections = [_Connection(port, bodies, offset) for offset in range(clients)]
    for connection in connections:
        selector.register(connection.socket, selectors.EVENT_READ, connection)
    started = time.perf_counter()
    for connection in connections:
        connection.send()
    while (
        time.perf_counter() - started < seconds
        and sum(len(c.latencies) for c in connections) < requests
    ):
        for key, _ in selector.select(timeout=1):
            key.data.receive()
    elapsed = time.perf_counter() - started
    latencies = sorted(value for connection in connections for value in connection.latencies)
    for connection in connections:
        connection.socket.close()
    p50, p99 = (latencies[int(share * (len(latencies) - 1))] for share in (0.5, 0.99))
    return Load(len(latencies) / elapsed, p50 * 1000, p99 * 1000)


class _Connection:
    def __init__(self, port: int, requests: list[bytes], offset: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.latencies: list[float] = []
        self._requests, self._next = requests, offset
        self._received = b""

    def send(self) -> None:
        self._sent = time.perf_counter()
        self.socket.sendall(self._requests[self._next % len(self._requests)])
        self._next += 1

    def receive(self) -> None:
        self._received += self.socket.recv(65536)
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        if not head.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(f"expected 200, got {self._received[:500]!r}")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) >= length:
            self.latencies.append(time.perf_counter() - self._sent)
            self._received = b""
            self.send()
