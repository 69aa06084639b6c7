"""The whole tour on embedded data: train, report, ask, serve, score a file, drift, feedback; `make demo` runs it.

It writes into one folder, which the next tour empties, and touches neither conf/ nor data/artefacts. The server stops
with it: on Ctrl-C or, where nobody watches, at once.
"""

import csv
import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

from predict.command_line import TERMINATED
from predict.settings import Settings

ROOT = Path(__file__).parent.parent
CONFIGURATIONS = {"docstrings": "train-conf.yml.dist"}
EMBEDDED = ("breast-cancer", "diabetes", "docstrings", "iris", "wine")
_READY_WITHIN_S = 60.0
_REQUESTS = 20
# Of each of the few rows, in a request.
_CHANGED_ROWS = 20
_TERMINATE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of <sys/prctl.h>
# No proxy leads to this machine.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class DemoError(click.ClickException):
    """Something that ends the tour, in one line."""


@click.command()
@click.option("--predict-python", required=True, help="The Python of the environment that serves.")
@click.option(
    "--dataset",
    type=click.Choice(EMBEDDED),
    default="iris",
    show_default=True,
    help="What is trained on.",
)
@click.option(
    "--folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("data/demo"),
    show_default=True,
    help="Where everything goes; what an earlier tour wrote there is removed.",
)
def main(predict_python: str, dataset: str, folder: Path) -> None:
    """Show the whole tour on embedded data."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    folder = folder.absolute()
    try:
        with _alone_in(folder):
            _tour(predict_python, dataset, folder)
    except KeyboardInterrupt:
        raise DemoError("Interrupted. Everything is stopped; `make demo` begins anew.") from None


def _tour(python: str, dataset: str, folder: Path) -> None:
    started = time.monotonic()
    watched = sys.stdin.isatty() and sys.stdout.isatty()
    _tell(f"1. Train on {dataset}, which needs no network. The log: {folder}/train.log")
    artefact = _train(dataset, folder)
    _tell(f"2. The report, with intervals and mistakes: {artefact / 'report.html'}")

    conf = folder / "predict.conf"
    conf.write_text(f"ARTEFACT_DIR={artefact}\nPORT=0\nSHOW_EXAMPLES=true\n", encoding="utf-8")
    _tell("3. Ask it about a row that it has not seen.")
    asked = json.loads(_output([python, "-m", "predict", "--conf", conf, "example"]))
    _say(f"row:    {_short(asked['instances'][0])}")
    _say(f"answer: {_answer(asked['expected']['predictions'][0])}")
    _say(f"truth:  {asked['expected']['truth'][0]}")

    _tell("4. Serve it.")
    with _server(python, conf, folder) as url:
        _say(f"page:   {url}/    routes: {url}/docs")
        _tell("5. Score a file: each row with its answer.")
        rows, truths = _examples(url)
        _score(python, conf, folder, rows)
        _tell("6. Ask as traffic does, tell what was true, and let the rows change.")
        _watch(url, rows, truths)
        _tell(
            f"The tour took {time.monotonic() - started:.0f} s. Everything is in {folder}; it can be removed."
        )
        if watched:
            webbrowser.open(f"{url}/")  # does nothing where there is none
            _tell(f"Try the page at {url}/ now. Ctrl-C stops the server.")
            with suppress(KeyboardInterrupt):
                signal.pause()
    _tell("The server is stopped. Your own file: make data DATASET=mine.csv")


# --------------------------------------------------------------------- steps


def _train(dataset: str, folder: Path) -> Path:
    conf = ROOT / "conf" / CONFIGURATIONS.get(dataset, f"{dataset}.yml")
    command = [sys.executable, "-m", "train", "run", "--conf", conf, "--dataset", dataset]
    settings = [f"artefacts_dir={folder / 'artefacts'}", f"data_dir={folder.parent / 'raw'}"]
    if dataset in CONFIGURATIONS:  # texts take longest
        settings.append("training.epochs=3")
    for setting in settings:
        command += ["--set", setting]
    log = folder / "train.log"
    with log.open("w", encoding="utf-8") as opened:
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=opened, text=True, check=False
        )
    if done.returncode:
        last = log.read_text(encoding="utf-8").splitlines()[-1:]
        raise DemoError(f"The training failed ({done.returncode}): {' '.join(last)}")
    for line in done.stdout.splitlines():
        if line.strip() and not line.startswith(("artefact:", "next:")):
            _say(line.rstrip())
    return (folder / "artefacts" / "latest").resolve()


def _examples(url: str) -> tuple[list[dict[str, Any]], list[Any]]:
    """Return the held-out rows that the server knows, and what is true of them."""
    count = _ask(f"{url}/model")["num_examples"]
    shown = [_ask(f"{url}/predict/example?number={number}") for number in range(count)]
    rows = [each["instances"][0] for each in shown]
    return rows, [each["expected"]["truth"][0] for each in shown]


def _score(python: str, conf: Path, folder: Path, rows: Sequence[dict[str, Any]]) -> None:
    given, scored = folder / "new.csv", folder / "scored.csv"
    with given.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.DictWriter(opened, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    _output([python, "-m", "predict", "--conf", conf, "file", "--overwrite", given, scored])
    for line in scored.read_text(encoding="utf-8").splitlines()[:3]:
        _say(line[:110])
    _say(f"… {len(rows)} rows in {scored}")


def _watch(url: str, rows: Sequence[dict[str, Any]], truths: Sequence[Any]) -> None:
    for number in range(_REQUESTS):
        _ask(f"{url}/predict", {"instances": list(rows)}, {"X-Request-ID": f"demo-{number}"})
        _ask(f"{url}/feedback", {"request_id": f"demo-{number}", "truths": list(truths)})
    live = _ask(f"{url}/drift")["feedback"]["recent"]
    for name, interval in live.items():
        if name.endswith("_interval"):
            metric = name.removesuffix("_interval")
            low, high = interval
            _say(
                f"live {metric.replace('_', ' ')}: {live[metric]:.2f}, between {low:.2f} and {high:.2f}"
            )
    changed = [{name: _changed(value) for name, value in row.items()} for row in rows]
    for _ in range(_REQUESTS):
        _ask(f"{url}/predict", {"instances": changed * _CHANGED_ROWS})
    report = _ask(f"{url}/drift")
    drifted = [each["name"] for each in report["dimensions"] if each["verdict"] == "drift"]
    _say(
        f"after rows that are three times as large: {report['verdict']}{': ' if drifted else ''}{', '.join(drifted)}"
    )
    _say(f"all of it: {url}/drift; for Prometheus: {url}/metrics")


def _changed(value: Any) -> Any:
    return value * 3 if isinstance(value, int | float) else f"{value} {value} {value}"


# ----------------------------------------------------------------- processes


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Empty the folder, and hold it: nothing is left of the lock, however this process ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as error:
        raise DemoError(f"{folder}: cannot be written: {error.strerror}.") from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(f"{folder}: another tour uses this folder. Stop it first.") from None
        shutil.rmtree(folder / "artefacts", ignore_errors=True)
        for name in ("train.log", "server.log", "predict.conf", "new.csv", "scored.csv"):
            (folder / name).unlink(missing_ok=True)
        yield


@contextmanager
def _server(python: str, conf: Path, folder: Path) -> Iterator[str]:
    """Serve on a free port of this machine while the block runs, and yield the address."""
    log = folder / "server.log"
    with log.open("w", encoding="utf-8") as opened:
        command = [python, "-m", "predict", "--conf", str(conf), "serve"]
        # A group of its own: Ctrl-C is for the tour, which then stops the server.
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=_environment(),
            stdout=opened,
            stderr=opened,
            start_new_session=True,
            preexec_fn=_end_with_parent,
        )
    try:
        yield _address(process, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _end_with_parent() -> None:
    """Let the kernel stop the server if the tour is killed; elsewhere than on Linux the server then stays."""
    prctl = getattr(ctypes.CDLL(None), "prctl", None)
    if prctl is not None:
        prctl(_TERMINATE_WITH_PARENT, signal.SIGTERM)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    ends = time.monotonic() + _READY_WITHIN_S
    while time.monotonic() < ends and process.poll() is None:
        said = log.read_text(encoding="utf-8")
        _, found, rest = said.partition("http://127.0.0.1:")
        port = (
            "".join(character for character in rest.split()[0] if character.isdigit())
            if found and rest.strip()
            else ""
        )
        if port:
            url = f"http://127.0.0.1:{port}"
            with suppress(OSError):
                _OPENER.open(f"{url}/ready", timeout=5).close()
                return url
        time.sleep(0.1)
    last = log.read_text(encoding="utf-8").splitlines()[-1:]
    raise DemoError(f"The server did not start: {' '.join(last) or 'it said nothing'}. See {log}.")


def _environment() -> dict[str, str]:
    """Return the environment without settings of a server: those of the tour are in its own file."""
    settings = {name.upper() for name in Settings.model_fields}
    return {key: value for key, value in os.environ.items() if key not in settings}


def _output(command: Sequence[str | Path]) -> str:
    done = subprocess.run(
        [*map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        env=_environment(),
    )
    if done.returncode:
        raise DemoError(f"{' '.join(map(str, command[1:4]))} failed: {done.stderr.strip()}")
    return done.stdout


def _ask(url: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        url, data, {"Content-Type": "application/json", **(headers or {})}
    )
    try:
        with _OPENER.open(request, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        raise DemoError(
            f"{url}: {error.code} {error.read().decode(errors='replace')[:200]}"
        ) from None
    except OSError as error:
        raise DemoError(f"{url}: no answer: {error}") from None


# --------------------------------------------------------------------- words


def _short(instance: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in list(instance.items())[:6])[:110]


def _answer(prediction: dict[str, Any]) -> str:
    if "label" in prediction:
        return f"{prediction['label']}, probability {prediction['score']:.3f}"
    return json.dumps(prediction)[:110]


def _tell(line: str) -> None:
    click.secho(f"\n{line}", bold=True)


def _say(line: str) -> None:
    click.echo(f"   {line}")


if __name__ == "__main__":
    main(prog_name="make demo")
