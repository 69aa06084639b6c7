"""What scoring a made-up file of short texts costs, beside `Predictor.predict` in a loop.

Use: python -m benchmarks.batch --artefact DIR [--rows ROWS] [--python PYTHON]

The artefact reads one text. The texts are 5 to 12 words of its vocabulary, the more frequent ones more often.
"""

import csv
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from random import Random

import click

from predict.contract.artefact import FEATURES, load_artefact, text_column

_ROWS = 1_000_000
# The loop is given as many rows at once as the command takes.
_AT_ONCE = 1_024
_LOOP = """
import csv, sys, time
from itertools import islice
from pathlib import Path
from predict.scoring.predictor import Predictor

predictor = Predictor.load(Path(sys.argv[1]))
rows, seconds, of_cpu = 0, 0.0, 0.0
with open(sys.argv[2], newline="", encoding="utf-8") as file:
    reader = csv.DictReader(file)
    while some := list(islice(reader, int(sys.argv[3]))):
        instances = [{predictor.text_field: row[predictor.text_field]} for row in some]
        started, cpu = time.perf_counter(), time.process_time()
        predictor.predict(instances)
        seconds += time.perf_counter() - started
        of_cpu += time.process_time() - cpu
        rows += len(some)
print(rows / seconds, of_cpu)
"""


def write_texts(file: Path, artefact_dir: Path, rows: int) -> None:
    """Write a CSV of ids and texts."""
    artefact = load_artefact(artefact_dir)
    field = text_column(artefact.metadata.input_types)
    if field is None:
        raise click.ClickException(f"{artefact_dir}: expected a model that reads a single text.")
    words = json.loads(artefact.read(FEATURES))["vocabulary"]
    random = Random(0)
    weights = list(accumulate(1 / rank for rank in range(1, len(words) + 1)))
    with file.open("w", newline="", encoding="utf-8") as target:
        writer = csv.writer(target, lineterminator="\n")
        writer.writerow(["id", field])
        for number in range(rows):
            chosen = random.choices(words, cum_weights=weights, k=random.randint(5, 12))
            writer.writerow([number, " ".join(chosen)])


def run(command: list[str], artefact_dir: Path) -> tuple[str, float, int]:
    """Run a command; return its output, the processor's seconds and the megabytes of its largest process."""
    environ = {**os.environ, "ARTEFACT_DIR": str(artefact_dir)}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environ
    ) as process:
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise click.ClickException(
            f"{' '.join(command)} ended with {process.returncode}:\n{output}"
        )
    return output, used.ru_utime + used.ru_stime, used.ru_maxrss // 1024


def said_speed(output: str) -> float:
    """Return the rows a second of the last line of a run."""
    return float(output.strip().splitlines()[-1].split(", ")[-1].split()[0].replace(",", ""))


@click.command()
@click.option("--artefact", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--rows", default=_ROWS, show_default=True)
@click.option("--python", default=sys.executable, help="The Python that serves.")
@click.option("--rounds", default=1, show_default=True, help="The best one counts.")
def main(artefact: Path, rows: int, python: str, rounds: int) -> None:
    """Print speed, processor time and memory of the loop, and of the command with one and with two workers."""
    with tempfile.TemporaryDirectory() as folder:
        file, out = Path(folder) / "in.csv", Path(folder) / "out.csv"
        write_texts(file, artefact, rows)
        print(f"{rows:,} rows, {file.stat().st_size >> 20} MB, {os.cpu_count()} cores", flush=True)
        best: dict[str, float] = {}
        for _ in range(rounds):
            for name, speed, cpu, memory in _measured(python, artefact, file, out):
                best[name] = max(best.get(name, 0.0), speed)
                print(
                    f"{name:<24} {speed:>9,.0f} rows a second, {cpu:>7.1f} s of CPU, {memory:>5} MB",
                    flush=True,
                )
        loop, one, two = best["loop"], best["one worker"], best["two workers"]
        print(
            f"the loop beside one worker: {loop / one:.2f}; two workers beside one: {two / one:.2f}"
        )
        shutil.rmtree(folder, ignore_errors=True)


def _measured(
    python: str, artefact: Path, file: Path, out: Path
) -> Iterator[tuple[str, float, float, int]]:
    output, _, memory = run(
        [python, "-c", _LOOP, str(artefact), str(file), str(_AT_ONCE)], artefact
    )
    speed, cpu = map(float, output.split())
    yield "loop", speed, cpu, memory
    for workers, name in ((1, "one worker"), (2, "two workers")):
        command = [python, "-m", "predict", "file", str(file), str(out), "--overwrite"]
        output, cpu, memory = run([*command, "--workers", str(workers)], artefact)
        yield name, said_speed(output), cpu, memory


if __name__ == "__main__":
    main()
