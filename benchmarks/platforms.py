"""The speed of the platforms' routes, as a ratio to our own `/predict` of the same server, one text a request.

Use: python -m benchmarks.platforms [--python PYTHON] [--artefact DIR] [--seconds S] [--rounds N]
"""

import json
import os
import statistics
import sys
from collections.abc import Callable

import click

from benchmarks.load import TEXTS, http_post, run_load
from benchmarks.serving import free_port, serving

CLIENTS = (1, 8)
# Path -> text -> the body that asks about it.
BODIES: dict[str, Callable[[str], object]] = {
    "/predict": lambda text: {"text": text},
    "/v1/models/default:predict": lambda text: {"instances": [text]},
    "/v2/models/default/infer": lambda text: {
        "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": [text]}]
    },
    "/invocations": lambda text: {"inputs": [text]},
    "/score": lambda text: {"data": [text]},
    "/": lambda text: {"inputs": text},
}


@click.command()
@click.option(
    "--python", default=sys.executable, help="The interpreter of the inference environment."
)
@click.option("--artefact", default="data/artefacts/latest", help="A model of one text.")
@click.option("--seconds", default=2.0, help="How long each load lasts.")
@click.option("--rounds", default=5, help="How often each route is measured, taking turns.")
def main(python: str, artefact: str, seconds: float, rounds: int) -> None:
    """Print requests per second of each route, and the median of its ratio to /predict; the server has one core."""
    free = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, free[1:] or free)
    port = free_port()
    settings = {"ARTEFACT_DIR": artefact, "LOG_REQUESTS": "true", "PORT": str(port)}
    requests = {
        path: http_post(path, [json.dumps(body(text)).encode() for text in TEXTS])
        for path, body in BODIES.items()
    }
    with serving([python, "-m", "predict", "serve"], port, settings, free[:1]):
        for clients in CLIENTS:
            loads = [
                {
                    path: run_load(port, asked, clients, seconds).requests_per_s
                    for path, asked in requests.items()
                }
                for _ in range(rounds)
            ]
            print(f"{'clients':>8}{'requests/s':>12}{'ratio':>8}  route")
            for path in BODIES:
                rate = statistics.median(load[path] for load in loads)
                ratio = statistics.median(load[path] / load["/predict"] for load in loads)
                print(f"{clients:8}{rate:12.0f}{ratio:8.2f}  {path}")


if __name__ == "__main__":
    main()
