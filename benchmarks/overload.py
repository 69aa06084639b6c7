"""A server that is asked for more than it can answer: what its clients get, probes on new connections, and memory.

Use: python -m benchmarks.overload [--python PYTHON] [--artefact DIR] [--seconds S] [--times N] [--stops N]
"""

import multiprocessing
import os
import selectors
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter, deque
from collections.abc import Sequence
from multiprocessing.pool import AsyncResult
from pathlib import Path

import click

from benchmarks.load import bodies_for, http_post, run_load
from benchmarks.serving import free_port, serving

# Busy connections, and those over which requests are sent when they are due.
_BUSY, _SPARE = 512, 900
_PROBE = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"


class _Client:
    """One connection with at most one request at a time."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._received, self.sent = b"", 0.0

    def send(self, request: bytes) -> None:
        self.sent = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> str | None:
        """Return the status once the answer is whole; "lost" if the connection ends before."""
        try:
            data = self.socket.recv(65_536)
        except OSError:
            data = b""
        if not data:
            return "lost"
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator or len(body) < int(
            head.lower().split(b"content-length:")[1].split(b"\r\n")[0]
        ):
            return None
        self._received = b""
        return head[9:12].decode("ascii")


class Answers:
    """Statuses, and the milliseconds from when a request was sent to its answer."""

    def __init__(self) -> None:
        self.statuses: Counter[str] = Counter()
        self.latencies: dict[str, list[float]] = {}

    def add(self, status: str, seconds: float) -> None:
        """Count an answer."""
        self.statuses[status] += 1
        self.latencies.setdefault(status, []).append(seconds * 1000)

    def print(self, title: str, seconds: float) -> None:
        """Print a row for each status."""
        print(title)
        for status, count in sorted(self.statuses.items()):
            values = sorted(self.latencies[status])
            p50, p99 = (values[int(share * (len(values) - 1))] for share in (0.5, 0.99))
            print(
                f"  {status:6}{count:9}{count / seconds:9.0f}/s   p50 {p50:7.1f} ms   p99 {p99:7.1f} ms"
                f"   max {values[-1]:7.1f} ms"
            )


def ask_at_rate(port: int, requests: Sequence[bytes], per_s: float, seconds: float) -> Answers:
    """Send requests when they are due, whether those before are answered or not, over `_SPARE` connections.

    Latencies count from the sending. Where this process cannot keep up with the rate, fewer are sent, which shows in
    the sum of the answers.
    """
    answers, selector = Answers(), selectors.DefaultSelector()
    idle: deque[_Client] = deque()
    for _ in range(_SPARE):
        client = _Client(port)
        selector.register(client.socket, selectors.EVENT_READ, client)
        idle.append(client)
    started = time.perf_counter()
    sent, now = 0, started
    while now - started < seconds + 2 and (now - started < seconds or len(idle) < _SPARE):
        while idle and started + sent / per_s <= now and now - started < seconds:
            idle.popleft().send(requests[sent % len(requests)])
            sent += 1
        for key, _ in selector.select(timeout=0.0005):
            if (status := key.data.receive()) is not None:
                answers.add(status, time.perf_counter() - key.data.sent)
                if status == "lost":
                    selector.unregister(key.fileobj)
                    selector.register((new := _Client(port)).socket, selectors.EVENT_READ, new)
                    idle.append(new)
                else:
                    idle.append(key.data)
        now = time.perf_counter()
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    return answers


def keep_busy(port: int, requests: Sequence[bytes], seconds: float) -> Answers:
    """Keep `_BUSY` connections busy, each with one request at a time."""
    answers, selector = Answers(), selectors.DefaultSelector()
    started = now = time.perf_counter()
    for number in range(_BUSY):
        client = _Client(port)
        selector.register(client.socket, selectors.EVENT_READ, client)
        client.send(requests[number % len(requests)])
    while now - started < seconds:
        for key, _ in selector.select(timeout=0.1):
            if (status := key.data.receive()) is not None:
                now = time.perf_counter()
                answers.add(status, now - key.data.sent)
                key.data.send(requests[answers.statuses.total() % len(requests)])
        now = time.perf_counter()
    for key in list(selector.get_map().values()):
        key.data.socket.close()
    return answers


def probe(port: int, seconds: float) -> list[float]:
    """Ask `/health` over a new connection ten times a second; return the milliseconds, infinite if it failed."""
    took, until = [], time.perf_counter() + seconds
    while time.perf_counter() < until:
        started = time.perf_counter()
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                connection.sendall(_PROBE)
                healthy = connection.recv(1000).startswith(b"HTTP/1.1 200")
        except OSError:
            healthy = False
        took.append((time.perf_counter() - started) * 1000 if healthy else float("inf"))
        time.sleep(0.1)
    return took


def stop_under_load(
    command: Sequence[str], settings: dict[str, str], requests: Sequence[bytes]
) -> Counter[str]:
    """Stop a server while clients ask, each request over a new connection; return how these ended.

    A request is lost if its connection was made and it got no answer. A refused connection ends a client.
    """
    port, ends = free_port(), Counter[str]()
    with serving(command, port, {**settings, "PORT": str(port)}) as process:
        selector, clients = selectors.DefaultSelector(), 16
        for number in range(clients):
            client = _Client(port)
            selector.register(client.socket, selectors.EVENT_READ, client)
            client.send(requests[number % len(requests)])
        stop_at, stopped = time.perf_counter() + 0.5, False
        while clients:
            if not stopped and time.perf_counter() > stop_at:
                process.terminate()
                stopped = True
            for key, _ in selector.select(timeout=0.1):
                if (status := key.data.receive()) is None:
                    continue
                ends[status] += 1
                selector.unregister(key.fileobj)
                key.data.socket.close()
                try:
                    client = _Client(port)
                except ConnectionRefusedError:
                    ends["refused"] += 1
                    clients -= 1
                    continue
                except OSError:
                    ends["reset"] += 1
                    clients -= 1
                    continue
                selector.register(client.socket, selectors.EVENT_READ, client)
                client.send(requests[ends.total() % len(requests)])
    return ends


def _memory_mb(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def _print_probes(
    probes: "AsyncResult[list[float]]", memory_mb: float, process: subprocess.Popen[bytes]
) -> None:
    took = probes.get(30)
    late = sum(value > 100 for value in took)
    print(
        f"  probes on new connections: {len(took)}, median {statistics.median(took):.1f} ms, worst {max(took):.1f} ms,"
        f" {late} later than 100 ms"
    )
    print(f"  memory: {memory_mb:.0f} MB before, {_memory_mb(process):.0f} MB after")


@click.command()
@click.option(
    "--python", default=sys.executable, help="The interpreter of the inference environment."
)
@click.option("--artefact", default="data/artefacts/latest", help="What to serve.")
@click.option("--seconds", default=10.0, help="How long each load lasts.")
@click.option("--times", default=2.0, help="How much more is asked than the server can answer.")
@click.option("--stops", default=0, help="How often a server is stopped under load.")
def main(python: str, artefact: str, seconds: float, times: float, stops: int) -> None:
    """Print what a server answers that is asked for more than it can answer."""
    requests, command = (
        http_post("/predict", bodies_for(artefact)),
        [python, "-m", "predict", "serve"],
    )
    settings = {"ARTEFACT_DIR": artefact, "LOG_REQUESTS": "true"}
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_setaffinity") else []
    if len(cores) > 1:
        os.sched_setaffinity(0, cores[1:])
    port = free_port()
    with (
        multiprocessing.get_context("spawn").Pool(1) as pool,
        serving(command, port, {**settings, "PORT": str(port)}, cores[:1]) as process,
    ):
        pool.apply(probe, (port, 0.1))
        capacity = run_load(port, requests, clients=8, seconds=3).requests_per_s
        print(f"8 clients, one request at a time: {capacity:.0f}/s")
        memory = _memory_mb(process)
        probes = pool.apply_async(probe, (port, seconds))
        asked = ask_at_rate(port, requests, capacity * times, seconds)
        asked.print(
            f"{capacity * times:.0f} requests a second, {times:g} times as many, for {seconds:g} s",
            seconds,
        )
        _print_probes(probes, memory, process)
        probes = pool.apply_async(probe, (port, seconds))
        keep_busy(port, requests, seconds).print(
            f"{_BUSY} connections that ask again at once", seconds
        )
        _print_probes(probes, memory, process)
    ends: Counter[str] = Counter()
    for _ in range(stops):
        ends += stop_under_load(command, settings, requests)
    if stops:
        print(f"stopped {stops} times under load: {dict(sorted(ends.items()))}")


if __name__ == "__main__":
    main()
