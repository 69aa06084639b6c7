"""The speed of serving, as a ratio to a constant Flask route on waitress; start, memory and size.

Servers are measured twice: pinned to one core, with the load coming from the others, and free.

Use: python -m benchmarks.serving [--python PYTHON] [--artefact DIR] [--seconds S] [--rounds N]
"""

import json
import os
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.load import Load, http_post, run_load

CLIENTS = (1, 8, 32)
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
        requests = http_post("/predict", _bodies(settings["ARTEFACT_DIR"]))
        run_load(port, requests[:1], clients=1, requests=1)
        elapsed = time.perf_counter() - started
        run_load(port, requests, clients=8, requests=2000)
        return elapsed, _memory_mb(process)


def _body(text: str) -> bytes:
    return json.dumps({"text": text}).encode()


@dataclass(frozen=True)
class Comparison:
    """The results of a constant route and of a model with a number of clients, in the middle one of several rounds."""

    clients: int
    constant: Load
    model: Load
    # The model's requests per second divided by those of the constant route, the median of all rounds.
    ratio: float


def compare(
    python: str, artefact: str, seconds: float, rounds: int, cores: Collection[int] = ()
) -> list[Comparison]:
    """Put load on a constant route and on a model, taking turns; both servers may be kept to some cores."""
    settings = {"ARTEFACT_DIR": artefact, "LOG_REQUESTS": "true"}
    constant_port, our_port = free_port(), free_port()
    constant = [python, "-m", "benchmarks.constant_app", str(constant_port), "4"]
    ours = [python, "-m", "predict", "serve"]
    requests = http_post("/predict", _bodies(artefact))
    results = []
    with (
        serving(constant, constant_port, {}, cores),
        serving(ours, our_port, {**settings, "PORT": str(our_port)}, cores),
    ):
        for clients in CLIENTS:
            pairs = [
                [
                    run_load(port, requests, clients, seconds=seconds)
                    for port in (constant_port, our_port)
                ]
                for _ in range(rounds)
            ]
            ratio = statistics.median(
                model.requests_per_s / fixed.requests_per_s for fixed, model in pairs
            )
            fixed, model = pairs[len(pairs) // 2]
            results.append(Comparison(clients, fixed, model, ratio))
    return results


def print_ratios(results: Sequence[Comparison]) -> None:
    """Print a row for each number of clients."""
    print(f"{'clients':>8}{'constant/s':>12}{'model/s':>10}{'ratio':>8}{'p50 ms':>9}{'p99 ms':>9}")
    for result in results:
        print(
            f"{result.clients:8}{result.constant.requests_per_s:12.0f}{result.model.requests_per_s:10.0f}"
            f"{result.ratio:8.2f}{result.model.p50_ms:9.2f}{result.model.p99_ms:9.2f}"
        )


def _bodies(artefact: str) -> list[bytes]:
    """Return what to ask: questions for a model of one text, its own examples for any other."""
    metadata = json.loads((Path(artefact) / "metadata.json").read_bytes())
    if [column["type"] for column in metadata["inputs"]] == ["text"]:
        return [_body(text) for text in TEXTS]
    examples = [example["instance"] for example in metadata["examples"]]
    return [json.dumps({"instances": [instance]}).encode() for instance in examples]


@click.command()
@click.option(
    "--python", default=sys.executable, help="The interpreter of the inference environment."
)
@click.option("--artefact", default="data/artefacts/latest", help="What to serve.")
@click.option("--seconds", default=2.0, help="How long each load lasts.")
@click.option("--rounds", default=5, help="How often each pair is measured, taking turns.")
def main(python: str, artefact: str, seconds: float, rounds: int) -> None:
    """Print a table: requests per second of a constant route and of a model, taking turns, and their ratio."""
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
    print_ratios(compare(python, artefact, seconds, rounds))
    free = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    if len(free) > 1:
        print("\nservers pinned to one core, the load on the others")
        os.sched_setaffinity(0, free[1:])
        print_ratios(compare(python, artefact, seconds, rounds, free[:1]))


if __name__ == "__main__":
    main()
