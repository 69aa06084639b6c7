"""Ray beside what does without it: Serve flag by flag, changes of the model and kills under load, and Data.

Use: python -m benchmarks.ray WHAT --python PYTHON --scale-python PYTHON [--artefact DIR], where WHAT is serve, pinned,
swap, kill, data or actors.
"""

import json
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from http.client import HTTPException
from pathlib import Path
from typing import Any

import click

from benchmarks.load import TEXTS, bodies_for, http_post, run_load
from benchmarks.serving import free_port, serving

CLIENTS = (1, 8, 32)
_SAME_LOOP = {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0"}
_BUFFER = {"RAY_SERVE_REQUEST_PATH_LOG_BUFFER_SIZE": "1000", "RAY_SERVE_LOG_TO_STDERR": "0"}
_ALL = {"RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"}
_OWN_THREAD = {"RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "1"}
# What each is: options of `python -m scale serve`, and what Ray reads.
VARIANTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "Python proxy": ([], {}),
    "Python proxy, one loop": ([], _SAME_LOOP),
    "Python proxy, optimized": ([], {**_ALL, "RAY_SERVE_ENABLE_DIRECT_INGRESS": "0"}),
    "HAProxy": (["--haproxy"], _OWN_THREAD),
    "HAProxy, log buffered": (["--haproxy"], {**_OWN_THREAD, **_BUFFER}),
    "HAProxy, one loop": (["--haproxy"], _SAME_LOOP),
    "HAProxy, optimized": (["--haproxy"], {**_SAME_LOOP, **_ALL}),
}


@contextmanager
def on_ray(
    python: str,
    artefact: str,
    options: list[str],
    environ: Mapping[str, str],
    cores: Collection[int] = (),
) -> Iterator[tuple[subprocess.Popen[bytes], int, Path]]:
    """Serve on Ray until the block ends; give its process, its port and its file of settings."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        conf = Path(folder) / "predict.conf"
        lines = f"ARTEFACT_DIR={artefact}\nPORT={port}\nWATCH_S=0.2\n"
        conf.write_text(lines, encoding="utf-8")
        command = [python, "-m", "scale", "--conf", str(conf), "serve", *options]
        with subprocess.Popen(
            command,
            env={**os.environ, "RAY_USAGE_STATS_ENABLED": "0", **environ},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            preexec_fn=(lambda: os.sched_setaffinity(0, cores)) if cores else None,
        ) as process:
            try:
                _wait_until_ready(port, process)
                yield process, port, conf
            finally:
                process.terminate()


def _wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline and process.poll() is None:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=2).close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise click.ClickException(f"{process.args!r} does not serve")


def compare(
    python: str,
    scale_python: str,
    artefact: str,
    seconds: float,
    rounds: int,
    names: Collection[str],
    cores: Collection[int] = (),
) -> None:
    """Print what each way of serving on Ray answers, and its ratio to the plain server, taking turns with it."""
    requests = http_post("/predict", bodies_for(artefact))
    print(f"{'':26}" + "".join(f"{clients:>7} clients, ratio" for clients in CLIENTS))
    plain_port = free_port()
    settings = {"ARTEFACT_DIR": artefact, "PORT": str(plain_port)}
    with serving([python, "-m", "predict", "serve"], plain_port, settings, cores):
        for name in names:
            options, environ = VARIANTS[name]
            cells = []
            with on_ray(scale_python, artefact, options, environ, cores) as (_, port, _):
                run_load(port, requests, 8, seconds=1)
                for clients in CLIENTS:
                    pairs = [
                        [
                            run_load(each, requests, clients, seconds=seconds).requests_per_s
                            for each in (plain_port, port)
                        ]
                        for _ in range(rounds)
                    ]
                    ray = statistics.median(pair[1] for pair in pairs)
                    ratio = statistics.median(pair[1] / pair[0] for pair in pairs)
                    cells.append(f"{ray:9.0f}/s {ratio:9.2f}  ")
            print(f"{name:26}" + "".join(cells), flush=True)


class Asking:
    """Clients that ask again and again, each on a connection of its own every time, and note what they get."""

    def __init__(self, port: int, body: bytes, clients: int) -> None:
        """Prepare them."""
        self._address, self._body = f"http://127.0.0.1:{port}/predict", body
        self.got: Counter[str] = Counter()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(clients)]

    def __enter__(self) -> "Asking":
        """Begin."""
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """End, when the last answers are there."""
        self._ended.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._ended.is_set():
            request = urllib.request.Request(
                self._address, self._body, {"Content-Type": "application/json"}
            )
            try:
                with urllib.request.urlopen(request, timeout=30) as answer:
                    self.got[f"200 by {json.load(answer)['model']}"] += 1
            except urllib.error.HTTPError as error:
                kind = error.headers.get("Content-Type", "").partition(";")[0]
                self.got[f"{error.code} {kind}"] += 1
                error.close()
            except (OSError, ValueError, HTTPException) as error:
                self.got[f"no answer: {type(error).__name__}"] += 1


def _tell(what: str, asking: Asking) -> None:
    print(f"{what}: " + ", ".join(f"{count:,} × {name}" for name, count in asking.got.items()))


def change_under_load(scale_python: str, artefact: str, haproxy: bool) -> None:
    """Change to a good artefact, to a damaged one and back, with 8 clients that ask meanwhile."""
    body = bodies_for(artefact)[0]
    options = ["--haproxy"] if haproxy else []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        good = Path(shutil.copytree(Path(artefact).resolve(), folder / "good"))
        bad = Path(shutil.copytree(good, folder / "bad"))
        (bad / "model.onnx").write_bytes(b"damaged")
        _, port, conf = stack.enter_context(on_ray(scale_python, artefact, options, {}))
        asking = stack.enter_context(Asking(port, body, 8))
        lines = conf.read_text(encoding="utf-8").splitlines()[1:]
        for to in (good, bad, good, bad, Path(artefact)):
            time.sleep(4)
            conf.write_text("\n".join([f"ARTEFACT_DIR={to}", *lines]) + "\n", encoding="utf-8")
        time.sleep(4)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/models") as answer:
            [model] = json.load(answer)["models"]
    print("in the end:", {key: model.get(key) for key in ("directory", "refused")})
    _tell("two good changes, two bad ones, and one back", asking)


def kill_under_load(scale_python: str, artefact: str, haproxy: bool, replicas: int) -> None:
    """Kill a replica ten times at random moments, with 8 clients that ask meanwhile."""
    options = [f"--min-replicas={replicas}", f"--max-replicas={replicas}", "--num-cpus=0.5"]
    options += ["--haproxy"] if haproxy else []
    with ExitStack() as stack:
        process, port, _ = stack.enter_context(on_ray(scale_python, artefact, options, {}))
        with Asking(port, bodies_for(artefact)[0], 8) as asking:
            back = []
            for _ in range(10):
                time.sleep(random.uniform(3, 6))
                while not (found := _processes("ray::ServeReplica", process.pid)):
                    time.sleep(0.1)
                os.kill(random.choice(found), signal.SIGKILL)
                killed = time.monotonic()
                while len(_processes("ray::ServeReplica", process.pid)) < replicas:
                    time.sleep(0.05)
                back.append(time.monotonic() - killed)
            time.sleep(5)
    print(f"another process after {statistics.median(back):.1f} s, {max(back):.1f} at most")
    _tell(f"{replicas} replicas, one killed ten times", asking)


def _processes(title: str, ancestor: int) -> list[int]:
    """Return the processes of a title among the descendants of one."""
    parents: dict[int, int] = {}
    titled: list[int] = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            status = (folder / "stat").read_text(encoding="ascii", errors="replace")
            parents[int(folder.name)] = int(status.rpartition(")")[2].split()[1])
            if (folder / "cmdline").read_bytes().startswith(title.encode()):
                titled.append(int(folder.name))
        except OSError:  # it has ended
            continue

    def is_below(pid: int) -> bool:
        while pid in parents and pid != ancestor:
            pid = parents[pid]
        return pid == ancestor

    return [pid for pid in titled if is_below(pid)]


def write_texts(path: Path, rows: int) -> None:
    """Write a CSV of short texts."""
    words = sorted({word for text in TEXTS for word in text.split()})
    chosen = random.Random(0)
    with path.open("w", encoding="utf-8") as file:
        file.write("id,title\n")
        for number in range(rows):
            file.write(f"{number},{' '.join(chosen.choices(words, k=8))}\n")


def compare_batches(python: str, scale_python: str, artefact: str, rows: int, rounds: int) -> None:
    """Print rows a second of the file command with two processes, and of Ray Data with two actors; and the memory."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given = folder / "in"
        given.mkdir()
        write_texts(given / "texts.csv", rows)
        environ = {**os.environ, "ARTEFACT_DIR": artefact, "RAY_USAGE_STATS_ENABLED": "0"}
        one = [python, "-m", "predict", "file", "--workers", "2", str(given / "texts.csv")]
        two = [scale_python, "-m", "scale", "predict", "--workers", "2", str(given)]
        for number in range(rounds):
            for what, command in (
                ("file", [*one, str(folder / f"{number}.csv")]),
                ("Ray Data", [*two, str(folder / f"{number}")]),
            ):
                started = time.monotonic()
                told, memory_mb = _run_and_watch(command, environ)
                elapsed = time.monotonic() - started
                print(
                    f"{what:10}{told.strip().splitlines()[-1]}; {rows / elapsed:,.0f} a second with the start; "
                    f"{memory_mb:.0f} MB at most",
                    flush=True,
                )
        print("the same bytes:", _joined(folder / "0") == (folder / "0.csv").read_bytes())


def _joined(folder: Path) -> bytes:
    """Return the parts of the only file of a folder as one file."""
    parts = [part.read_bytes() for part in sorted(folder.glob("texts-*.csv"))]
    header = parts[0].partition(b"\n")[0] + b"\n"
    return header + b"".join(part.removeprefix(header) for part in parts)


def kill_actors(python: str, scale_python: str, artefact: str, rows: int) -> None:
    """Kill one of two actors ten times at random moments, and compare what they write with the file command's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        given, expected, scored = folder / "in", folder / "expected.csv", folder / "out"
        given.mkdir()
        write_texts(given / "texts.csv", rows)
        environ = {**os.environ, "ARTEFACT_DIR": artefact, "RAY_USAGE_STATS_ENABLED": "0"}
        whole = [python, "-m", "predict", "file", str(given / "texts.csv"), str(expected)]
        subprocess.run(whole, env=environ, stderr=subprocess.DEVNULL, check=True)
        command = [scale_python, "-m", "scale", "predict", "--workers", "2"]
        with subprocess.Popen(
            [*command, str(given), str(scored)], env=environ, stderr=subprocess.PIPE, text=True
        ) as process:
            killed = 0
            while killed < 10 and process.poll() is None:
                found = _processes("ray::MapWorker", process.pid)
                if found:
                    time.sleep(random.uniform(0.2, 3))
                    with suppress(ProcessLookupError):
                        os.kill(random.choice(found), signal.SIGKILL)
                        killed += 1
                time.sleep(0.1)
            assert process.stderr is not None
            told = process.stderr.read().strip().splitlines()[-1]
        print(f"{killed} kills of actors; {told}; exit code {process.returncode}")
        print("the same bytes:", _joined(scored) == expected.read_bytes())


def _run_and_watch(command: list[str], environ: dict[str, str]) -> tuple[str, float]:
    """Run a command; return what it says, and the most memory that it and all below it took, in MB."""
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            command, env=environ, stderr=errors, stdout=subprocess.DEVNULL
        ) as process:
            most = 0.0
            while process.poll() is None:
                most = max(most, _memory_mb(process.pid))
                time.sleep(1)
        errors.seek(0)
        said = errors.read().decode()
    if process.returncode:
        raise click.ClickException(said)
    return said, most


def _memory_mb(pid: int) -> float:
    """Return the memory of a process and all below it; what they share counts once."""
    total = 0
    for each in {pid, *_processes("", pid)}:
        try:
            rollup = Path(f"/proc/{each}/smaps_rollup").read_text(encoding="ascii")
        except OSError:
            continue
        total += int(rollup.split("\nPss:")[1].split()[0])
    return total / 1024


@click.command()
@click.argument("what", type=click.Choice(["serve", "pinned", "swap", "kill", "data", "actors"]))
@click.option("--python", default=sys.executable, help="The interpreter that serves.")
@click.option("--scale-python", required=True, help="The one that has Ray.")
@click.option("--artefact", default="data/artefacts/latest")
@click.option("--seconds", default=2.0, help="How long each load lasts.")
@click.option("--rounds", default=3)
@click.option("--rows", default=1_000_000)
@click.option("--variant", multiple=True, type=click.Choice(list(VARIANTS)))
def main(
    what: str,
    python: str,
    scale_python: str,
    artefact: str,
    seconds: float,
    rounds: int,
    rows: int,
    variant: tuple[str, ...],
) -> None:
    """Measure one of: serve, pinned (to one core), swap, kill (replicas), data, actors (killed)."""
    names: Any = variant or VARIANTS
    if what == "serve":
        compare(python, scale_python, artefact, seconds, rounds, names)
    elif what == "pinned":
        free = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, free[1:])
        compare(python, scale_python, artefact, seconds, rounds, names, free[:1])
    elif what == "swap":
        for haproxy in (False, True):
            print("HAProxy" if haproxy else "Python proxy")
            change_under_load(scale_python, artefact, haproxy)
    elif what == "kill":
        for haproxy, replicas in ((False, 2), (True, 2), (False, 1), (True, 1)):
            print("HAProxy" if haproxy else "Python proxy")
            kill_under_load(scale_python, artefact, haproxy, replicas)
    elif what == "actors":
        kill_actors(python, scale_python, artefact, rows)
    else:
        compare_batches(python, scale_python, artefact, rows, rounds)


if __name__ == "__main__":
    main()
