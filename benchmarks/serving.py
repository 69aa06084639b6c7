"""The speed of serving, as a ratio to a constant Flask route on waitress and to FastAPI; start, memory and size.

Servers are measured twice: pinned to one core, with the load coming from the others, and free.

Use: python -m benchmarks.serving [--python PYTHON] [--artefact DIR] [--seconds S] [--rounds N] [--peer-python PYTHON]
"""

import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.load import Load, batches_for, bodies_for, http_post, run_load

CLIENTS = (1, 8, 32)


@contextmanager
def serving(
    command: Sequence[str], port: int, settings: dict[str, str], cores: Collection[int] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends, on some cores or on all; in the block it accepts connections."""
    environment = {**os.environ, **settings}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        if cores:
            os.sched_setaffinity(process.pid, cores)
        try:
            _wait_for(port, process)
            yield process
        finally:
            process.terminate()


def _wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except OSError:
            time.sleep(0.005)
        else:
            return
    raise click.ClickException(f"{process.args!r} does not listen on port {port}")


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


def _memory_mb(process: subprocess.Popen[bytes]) -> float:
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def _first_answer_s(command: Sequence[str], settings: dict[str, str]) -> tuple[float, float]:
    """Return seconds from process start to the first answer, and MB of memory after 2,000 more."""
    port = free_port()
    started = time.perf_counter()
    with serving(command, port, {**settings, "PORT": str(port)}) as process:
        requests = http_post("/predict", bodies_for(settings["ARTEFACT_DIR"]))
        run_load(port, requests[:1], clients=1, requests=1)
        elapsed = time.perf_counter() - started
        run_load(port, requests, clients=8, requests=2000)
        return elapsed, _memory_mb(process)


@dataclass(frozen=True)
class Comparison:
    """The results of a constant route and of a model with a number of clients, in the middle one of several rounds."""

    clients: int
    constant: Load
    model: Load
    # The model's requests per second divided by those of the constant route, the median of all rounds.
    ratio: float
    # The same model behind FastAPI and uvicorn, and the model's requests per second divided by its.
    peer: Load | None = None
    peer_ratio: float | None = None


def compare(
    python: str,
    artefact: str,
    seconds: float,
    rounds: int,
    cores: Collection[int] = (),
    peer_python: str | None = None,
) -> list[Comparison]:
    """Put load on servers, taking turns: a constant route, a model, and the peer if an interpreter has it.

    The servers may be kept to some cores.
    """
    settings = {"ARTEFACT_DIR": artefact, "LOG_REQUESTS": "true"}
    ports = [free_port() for _ in range(3 if peer_python else 2)]
    commands = [
        [python, "-m", "benchmarks.constant_app", str(ports[0]), "4"],
        [python, "-m", "predict", "serve"],
    ]
    if peer_python:
        commands.append([peer_python, "-m", "benchmarks.fastapi_app", artefact, str(ports[2])])
    requests = http_post("/predict", bodies_for(artefact))
    results = []
    with ExitStack() as running:
        for command, port in zip(commands, ports, strict=True):
            running.enter_context(serving(command, port, {**settings, "PORT": str(port)}, cores))
        for clients in CLIENTS:
            loads = [
                [run_load(port, requests, clients, seconds=seconds) for port in ports]
                for _ in range(rounds)
            ]
            ratios = [
                statistics.median(
                    each[1].requests_per_s / each[other].requests_per_s for each in loads
                )
                for other in range(len(ports))
            ]
            fixed, model, *peers = loads[len(loads) // 2]
            peer = (peers[0], ratios[2]) if peers else (None, None)
            results.append(Comparison(clients, fixed, model, ratios[0], *peer))
    return results


def compare_processes(python: str, artefact: str, seconds: float, rounds: int) -> None:
    """Print how much more two processes answer than one; the client takes its part of the same cores."""
    command = [python, "-m", "predict", "serve"]
    ports = [free_port(), free_port()]
    with ExitStack() as running:
        for workers, port in enumerate(ports, start=1):
            settings = {"ARTEFACT_DIR": artefact, "WORKERS": str(workers), "PORT": str(port)}
            running.enter_context(serving(command, port, settings))
        time.sleep(2)  # the parent listens before its processes have loaded
        for what, bodies, clients in (
            ("single requests", bodies_for(artefact), 32),
            ("batches of 20", batches_for(artefact, 20), 8),
        ):
            requests = http_post("/predict", bodies)
            pairs = [
                [run_load(port, requests, clients, seconds).requests_per_s for port in ports]
                for _ in range(rounds)
            ]
            ratio = statistics.median(two / one for one, two in pairs)
            one, two = pairs[len(pairs) // 2]
            print(f"{what:16} {one:8.0f}/s by one, {two:8.0f}/s by two: {ratio:.2f}")


def print_ratios(results: Sequence[Comparison]) -> None:
    """Print a row for each number of clients."""
    with_peer = any(result.peer for result in results)
    heading = (
        f"{'clients':>8}{'constant/s':>12}{'model/s':>10}{'ratio':>8}{'p50 ms':>9}{'p99 ms':>9}"
    )
    print(heading + (f"{'FastAPI/s':>11}{'ratio':>8}" if with_peer else ""))
    for result in results:
        row = (
            f"{result.clients:8}{result.constant.requests_per_s:12.0f}{result.model.requests_per_s:10.0f}"
            f"{result.ratio:8.2f}{result.model.p50_ms:9.2f}{result.model.p99_ms:9.2f}"
        )
        if result.peer:
            row += f"{result.peer.requests_per_s:11.0f}{result.peer_ratio:8.2f}"
        print(row)


def _has_peer(python: str) -> bool:
    done = subprocess.run(
        [python, "-c", "import fastapi, httptools, uvicorn, uvloop"], stderr=subprocess.DEVNULL
    )
    return done.returncode == 0


@click.command()
@click.option(
    "--python", default=sys.executable, help="The interpreter of the inference environment."
)
@click.option("--artefact", default="data/artefacts/latest", help="What to serve.")
@click.option("--seconds", default=2.0, help="How long each load lasts.")
@click.option("--rounds", default=5, help="How often each server is measured, taking turns.")
@click.option(
    "--peer-python", help="An interpreter that has FastAPI too; that of --python if none."
)
def main(python: str, artefact: str, seconds: float, rounds: int, peer_python: str | None) -> None:
    """Print a table: requests per second of a constant route and of a model, taking turns, and their ratio."""
    peer = peer_python or python
    if not _has_peer(peer):
        print(f"{peer} has no FastAPI with uvicorn: the comparison with it is left out. Install")
        print(
            "predict/requirements.txt and benchmarks/requirements.txt, and name it: --peer-python"
        )
        peer = ""
    settings = {"ARTEFACT_DIR": artefact, "LOG_REQUESTS": "true"}
    ours = [python, "-m", "predict", "serve"]
    starts = [_first_answer_s(ours, settings) for _ in range(5)]
    print(f"process start to first answer: {statistics.median(start for start, _ in starts):.2f} s")
    print(
        f"memory after 2,000 answers:    {statistics.median(memory for _, memory in starts):.0f} MB"
    )
    site_packages = Path(python).parent.parent / "lib"
    size = sum(file.lstat().st_size for file in site_packages.rglob("*") if file.is_file())
    print(f"site-packages:                 {size / 1e6:.0f} MB")
    print("\nservers on any core")
    print_ratios(compare(python, artefact, seconds, rounds, peer_python=peer))
    free = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(free) > 1:
        print("\nservers pinned to one core, the load on the others")
        os.sched_setaffinity(0, free[1:])
        print_ratios(compare(python, artefact, seconds, rounds, free[:1], peer))
        os.sched_setaffinity(0, free)
        print("\ntwo processes beside one, any core")
        compare_processes(python, artefact, seconds, rounds)
        print(flush=True)
        subprocess.run([python, "-m", "benchmarks.steps", artefact], check=True)


if __name__ == "__main__":
    main()
