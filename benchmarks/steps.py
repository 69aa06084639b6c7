"""Where the time of one request goes: the server's event loop in this process, asked by one connection.

Use: python -m benchmarks.steps ARTEFACT
"""

import gc
import io
import os
import socket
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import click

from benchmarks.load import bodies_for, http_post
from predict.hosting.models import Models
from predict.http.app import create_app
from predict.http.connections.loop import EventLoop
from predict.scoring.predictor import Predictor
from predict.settings import Settings

_ROUNDS = 60


class _Timed:
    """A function, and how long it took since somebody last looked."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function, self.elapsed_s = function, 0.0

    def __call__(self, *arguments: Any) -> Any:
        started = time.perf_counter()
        result = self._function(*arguments)
        self.elapsed_s = time.perf_counter() - started
        return result


@click.command()
@click.argument("artefact", type=Path)
def main(artefact: Path) -> None:
    """Print the microseconds of a request and its steps, each the mean over requests of their least disturbed time."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    predictor = Predictor.load(artefact)
    model = _Timed(predictor.answer)
    setattr(predictor, "answer", model)  # noqa: B010  # mypy knows it as a method
    settings, log, sys.stderr = Settings(log_requests=True), sys.stderr, io.StringIO()
    flask = create_app(Models.of(predictor), settings)
    sys.stderr = log

    def call(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return flask(environ, start_response)

    app = _Timed(call)
    loop = EventLoop(app, socket.create_server(("127.0.0.1", 0)), settings, inline=True)
    client = socket.create_connection(("127.0.0.1", loop.port))
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    loop.poll(timeout_s=0.1)
    gc.collect()
    gc.freeze()
    client.setblocking(False)
    requests = http_post("/predict", bodies_for(str(artefact)))
    best = [[float("inf")] * 3] * len(requests)
    for _ in range(_ROUNDS):
        for index, request in enumerate(requests):
            client.sendall(request)
            started = time.perf_counter()
            while not _has_answer(client):
                loop.poll(timeout_s=1)
            times = (time.perf_counter() - started, app.elapsed_s, model.elapsed_s)
            best[index] = list(map(min, best[index], times))
    whole, ours, models = (sum(times) / len(best) * 1e6 for times in zip(*best, strict=True))
    client.close()
    loop.end_threads()
    print(f"a request, asked before: {whole:.0f} µs on one core")
    for name, took in (
        ("sockets, HTTP and WSGI (waitress)", whole - ours),
        ("validation, JSON and the log", ours - models),
        ("the model", models),
    ):
        print(f"  {name:34}{took:6.0f} µs{took / whole:7.0%}")


def _has_answer(client: socket.socket) -> bool:
    try:
        return bool(client.recv(1 << 20))
    except BlockingIOError:
        return False


if __name__ == "__main__":
    main()
