"""Claims about files that are scored: what is written, what fails alone, what stops a run, and what goes on."""

import csv
import gzip
import io
import json
import os
import random
import resource
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from predict.__main__ import main
from predict.contract.metrics import Metrics
from predict.scoring.predictor import Predictor
from predict.settings import Settings
from predict.tests.conftest import GOLDEN_TABLES, ROOT, interpreter
from predict.tests.processes import Process
from predict.tests.tiny_tables import FILMS, HOUSES, PASSENGERS, TABLES, write_tiny_table

Start = Callable[..., Process]
TEXTS = ["how do I undo a commit", "a shell script, please", 'a "Qt" widget', "zzzz"]


@pytest.fixture
def run(
    tiny_artefact: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Callable[..., Result]:
    """Score a file in an empty folder; an artefact may be named."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.chdir(tmp_path)

    def score(*arguments: object, artefact: Path = tiny_artefact) -> Result:
        environ = {"ARTEFACT_DIR": str(artefact)}
        return CliRunner().invoke(main, ["file", *map(str, arguments)], env=environ)

    return score


def texts_csv(rows: int = len(TEXTS)) -> str:
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["id", "title"])
    writer.writerows([i, TEXTS[i % len(TEXTS)]] for i in range(rows))
    return sink.getvalue()


def table_of(text: str, **dialect: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text), **dialect))


# ---------------------------------------------------------------- what is written


def test_each_row_is_written_as_it_stands_with_the_answer_that_the_predictor_gives(
    run: Callable[..., Result], predictor: Predictor, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(texts_csv())
    assert run("in.csv", "out.csv").exit_code == 0
    written = (tmp_path / "out.csv").read_text()
    copied = [line for line in texts_csv().splitlines()]
    for before, after in zip(copied, written.splitlines(), strict=True):
        assert after.startswith(before + ",")
    answers = predictor.predict([{"title": text} for text in TEXTS])
    for row, answer in zip(table_of(written), answers, strict=True):
        assert row["predicted_label"] == answer["label"]
        assert float(row["predicted_score"]) == answer["score"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


ROWS = {"label": PASSENGERS.instances, "number": HOUSES.instances, "labels": FILMS.instances}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "ndjson.gz", "csv.gz"])
def test_an_answer_of_each_kind_is_the_same_in_each_format(
    run: Callable[..., Result], tables: dict[str, Path], kind: str, suffix: str, tmp_path: Path
) -> None:
    lines = [json.dumps(row) for row in ROWS[kind]]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    result = run("in.jsonl", f"out.{suffix}", "--probabilities" if kind != "number" else "--overwrite",
                 artefact=tables[kind])  # fmt: skip
    assert result.exit_code == 0, result.stderr
    raw = (tmp_path / f"out.{suffix}").read_bytes()
    text = (gzip.decompress(raw) if suffix.endswith(".gz") else raw).decode()
    answers = Predictor.load(tables[kind]).predict(ROWS[kind])
    is_json = "json" in suffix
    rows: list[dict[str, Any]] = (
        [json.loads(line) for line in text.splitlines()]
        if is_json
        else table_of(text, delimiter="\t" if suffix == "tsv" else ",")
    )
    assert len(rows) == len(answers)
    for row, answer, given in zip(rows, answers, ROWS[kind], strict=True):
        value = {name: cell if is_json else read_cell(cell) for name, cell in row.items()}
        if is_json:
            assert {name: row[name] for name in given} == given
        if kind == "label":
            assert row["predicted_label"] == answer["label"]
            assert value["predicted_score"] == answer["score"]
        elif kind == "number":
            assert value["predicted_value"] == answer["value"]
            assert [value["predicted_low"], value["predicted_high"]] == answer["interval"]
        else:
            assert value["predicted_labels"] == [one["label"] for one in answer["labels"]] or (
                value["predicted_labels"] == "" and not answer["labels"]
            )
        assert (value["predicted_warnings"] or []) == answer.get("warnings", [])
        if kind != "number":
            assert value["predicted_probabilities"] == answer["probabilities"]


def read_cell(cell: str) -> Any:
    try:
        return json.loads(cell)
    except ValueError:
        return cell


def test_an_object_is_copied_as_it_stands(run: Callable[..., Result], tmp_path: Path) -> None:
    line = '{ "title":"svn",  "n": 1.10, "deep": {"a": [1e3]} }'
    (tmp_path / "in.jsonl").write_text(f"{line}\n")
    assert run("in.jsonl", "out.jsonl").exit_code == 0
    assert (tmp_path / "out.jsonl").read_text().startswith(line[:-2] + ", ")


def test_a_label_that_needs_quotation_marks_has_them(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    passengers = PASSENGERS.metadata["outputs"][0]
    outputs = [passengers | {"labels": ['no, "never"', "yes\nyes"], "thresholds": {}}]
    artefact = write_tiny_table(tmp_path / "artefact", PASSENGERS, outputs=outputs)
    fields = list(PASSENGERS.instances[0])
    with (tmp_path / "in.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, fields)
        writer.writeheader()
        writer.writerows(PASSENGERS.instances[:3])
    assert run("in.csv", "out.csv", artefact=artefact).exit_code == 0
    with (tmp_path / "out.csv").open(newline="") as file:
        answered = [row["predicted_label"] for row in csv.DictReader(file)]
    assert set(answered) <= {'no, "never"', "yes\nyes"}
    assert len(answered) == 3


def test_the_decimal_mark_is_that_of_the_training_file(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    inputs = [{**HOUSES.metadata["inputs"][0], "decimal": ","}, HOUSES.metadata["inputs"][1]]
    file = {"separator": ";", "decimal": ","}
    artefact = write_tiny_table(tmp_path / "artefact", HOUSES, inputs=inputs, file=file)
    (tmp_path / "in.csv").write_text("rooms;area\n3,5;90\n")
    assert run("in.csv", "out.csv", artefact=artefact).exit_code == 0
    [row] = table_of((tmp_path / "out.csv").read_text(), delimiter=";")
    assert (row["rooms"], row["predicted_value"], row["predicted_low"]) == ("3,5", "273,5", "261,0")


def test_top_k_lists_the_most_probable_labels(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(texts_csv(1))
    assert run("in.csv", "out.jsonl", "--top-k", 2).exit_code == 0
    row = json.loads((tmp_path / "out.jsonl").read_text())
    assert next(iter(row["predicted_probabilities"])) == row["predicted_label"]
    assert len(row["predicted_probabilities"]) == 2


def test_older_artefacts_score_files_too(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("minutes,studio\n90,A\n")
    assert run("in.csv", "out.csv", artefact=GOLDEN_TABLES / "labels").exit_code == 0
    [row] = table_of((tmp_path / "out.csv").read_text())
    assert json.loads(row["predicted_labels"]) == ["drama", "war"]


@pytest.mark.parametrize(
    ("content", "arguments"),
    [
        ("id,title\n1,svn\n".encode("utf-16"), []),
        ("\ufeffid,title\n1,svn\n".encode(), []),
        ("id,title\n1,svn \u00e4\n".encode("cp1252"), ["--encoding", "cp1252"]),
        (b"sep=;\nid;title\n1;svn\n", []),
        (b"id|title\n1|svn\n", []),
        (b"id#title\n1#svn\n", ["--separator", "#"]),
        (b'id,title\n1,"svn" commit\n', ["--quotes", "literal"]),
        (b"id,title\r\n1,svn\r\n", []),
    ],
)
def test_a_file_is_read_however_it_is_written(
    run: Callable[..., Result], content: bytes, arguments: list[str], tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_bytes(content)
    result = run("in.csv", "out.jsonl", *arguments)
    assert result.exit_code == 0, result.stderr
    assert json.loads((tmp_path / "out.jsonl").read_text())["predicted_label"] == "svn"
    assert run("in.csv", "out.csv", *arguments).exit_code == 0
    rows = (tmp_path / "out.csv").read_text(encoding="utf-8-sig").splitlines()
    assert len(rows) == 2
    assert "predicted_label" in rows[0]


def test_a_pipe_is_read_and_written(start: Start, tiny_artefact: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [str(interpreter()), "-m", "predict", "file", "--format", "csv", "-", "-"],
        input=b"title,n\nsvn,1\n,2\n",
        capture_output=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "ARTEFACT_DIR": str(tiny_artefact)},
        timeout=60,
    )
    assert done.returncode == 3
    [row] = table_of(done.stdout.decode())
    assert (row["predicted_label"], row["n"]) == ("svn", "1")
    [line, *_] = done.stderr.decode().splitlines()
    assert json.loads(line)["row"] == {"title": "", "n": "2"}


def test_a_file_without_rows_has_a_header(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,title\n")
    assert run("in.csv", "out.csv").exit_code == 0
    header = "id,title,predicted_label,predicted_score,predicted_warnings\n"
    assert (tmp_path / "out.csv").read_text() == header


# ---------------------------------------------------------------------- bad rows


def test_bad_rows_fail_alone(
    run: Callable[..., Result], tables: dict[str, Path], tmp_path: Path
) -> None:
    rows = ["3,90", "many,1", "3", "3,90,1", "", "1e999,2", " 4 ,n/a", '"5","20"', '6,"7']
    (tmp_path / "in.csv").write_text("\n".join(["rooms,area", *rows]))
    result = run("in.csv", "out.csv", artefact=tables["number"])
    assert result.exit_code == 3
    assert "7 rows could not be scored: out.csv.errors.jsonl" not in result.stderr
    written = table_of((tmp_path / "out.csv").read_text())
    assert [row["rooms"] for row in written] == ["3", "5"]
    errors = [
        json.loads(line) for line in (tmp_path / "out.csv.errors.jsonl").read_text().splitlines()
    ]
    assert [error["line"] for error in errors] == [3, 4, 5, 7, 8, 10]
    problems = {error["line"]: error["problems"][0] for error in errors}
    assert problems[3] == {"place": "rooms", "message": "expected a number, got 'many'"}
    assert problems[5]["message"].startswith("expected 2 fields (separated by ','), got 3")
    assert problems[7] == {"place": "rooms", "message": "expected a finite number"}
    assert "no finite answer" in problems[8]["message"]
    assert "none closes it" in problems[10]["message"]
    assert errors[0]["row"] == {"rooms": "many", "area": "1"}
    assert errors[1]["row"] == ["3"]


def test_bad_lines_fail_alone(run: Callable[..., Result], tmp_path: Path) -> None:
    lines = [
        b'{"title": "svn"}',
        b'{"title": 1',
        b"[1]",
        b'{"title": "a", "title": "b"}',
        b'{"title": ["a"]}',
        b'{"title": "\\ud800"}',
        b'{"title": "\xe4"}',
        b"",
        b"{}",
        *[b'{"title": "svn"}'] * 1_024,
        b'{"title": "a", "predicted_label": 1}',
    ]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(lines))
    assert run("in.jsonl", "out.jsonl").exit_code == 3
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 1_025
    errors = (tmp_path / "out.jsonl.errors.jsonl").read_text().splitlines()
    assert [json.loads(line)["line"] for line in errors] == [2, 3, 4, 5, 6, 7, 9, 1_034]


def test_more_bad_rows_than_allowed_stop_the_run(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text("id,title\n1,\n2,\n3,svn\n")
    assert run("in.csv", "out.csv", "--max-errors", 2).exit_code == 3
    result = run("in.csv", "other.csv", "--max-errors", 1)
    assert result.exit_code == 1
    assert "Error: 2 rows of 3 could not be scored, and --max-errors is 1." in result.stderr
    assert not (tmp_path / "other.csv").exists()


def test_errors_of_an_earlier_run_do_not_stay(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,title\n1,\n")
    assert run("in.csv", "out.csv").exit_code == 3
    (tmp_path / "in.csv").write_text("id,title\n1,svn\n")
    assert run("in.csv", "out.csv", "--overwrite").exit_code == 0
    assert not (tmp_path / "out.csv.errors.jsonl").exists()


# ------------------------------------------------------------------ what stops a run

GOOD = b"id,title\n1,svn\n"


@pytest.mark.parametrize(
    ("name", "content", "arguments", "message"),
    [
        ("in.csv", b"", [], "in.csv: the file is empty."),
        ("in.csv", b"\n \n", [], "in.csv: the file is empty."),
        ("in.jsonl", b"", [], "in.jsonl: the file is empty."),
        ("in.jsonl", b'[{"title": "a"}]', [], "in.jsonl: an array, not JSON Lines."),
        ("in.csv", gzip.compress(GOOD), [], "in.csv: a gzip file, not .csv. Add .gz to its name."),
        ("in.csv.gz", GOOD, [], "in.csv.gz: not a gzip file."),
        ("in.csv.gz", gzip.compress(GOOD)[:-9], [], "in.csv.gz: not a complete gzip"),
        ("in.csv", b"PAR1....PAR1", [], "in.csv: a Parquet file. Rename it to .parquet."),
        ("in.csv", b"PK\x03\x04", [], "in.csv: a ZIP archive or an Excel workbook."),
        ("in.csv", b"<!DOCTYPE html><p>", [], "in.csv: this is a web page, not .csv."),
        ("in.csv", b"id,title\n1,\0\n", [], "in.csv, line 2: a NUL byte; this is not a text file."),
        ("in.csv", GOOD.decode().encode("utf-16-le"), [], "set --encoding utf-16-le."),
        ("in.csv", b"id,titles\n1,a\n", [], "in.csv: no column 'title', which the model reads. Did you mean titles?"),
        ("in.jsonl", b'{"text": "a"}', [], "in.jsonl: no column 'title', which the model reads."),
        ("in.csv", b"title,title\na,b\n", [], "in.csv: more than one column is called title."),
        ("in.csv", b"title,predicted_label\na,b\n", [], "names already: predicted_label. Set --prefix."),
        ("in.csv", b"id,t\xe4tle\n", [], "in.csv, line 1: byte 0xe4 is not of the file's encoding. Set --encoding"),
        ("in.txt", GOOD, [], "in.txt: unknown format; expected .csv, .tsv"),
        ("in.json", GOOD, [], "in.json: unknown format;"),
        ("in.parquet.gz", GOOD, [], "in.parquet.gz: Parquet is packed already; leave out .gz."),
        ("in.csv", GOOD, ["--encoding", "klingon"], "--encoding: Python does not know 'klingon'."),
        ("in.csv", GOOD, ["--metrics", "m.json"], "--metrics: in.csv has no column 'tag'"),
        ("in.csv", GOOD, ["--errors", "out.csv"], "--errors: out.csv is OUT already. Name another file."),
        ("in.csv", GOOD, ["--errors", "./in.csv"], "--errors: in.csv is IN already."),
        ("in.csv", GOOD, ["--metrics", "in.csv"], "--metrics: in.csv is IN already."),
        ("in.csv", GOOD, ["--prefix", ""], "--prefix: expected at least a character"),
        ("in.csv", b'id,title\n1,"' + b"x" * (1 << 25), [], "in.csv, line 2: a line of more than"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_scored_is_one_clear_line(
    run: Callable[..., Result],
    name: str,
    content: bytes,
    arguments: list[str],
    message: str,
    tmp_path: Path,
) -> None:
    (tmp_path / name).write_bytes(content)
    result = run(name, "out.csv", *arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_several_problems_are_told_together(
    run: Callable[..., Result], tables: dict[str, Path]
) -> None:
    result = run("-", "out.parquet", "--resume", "--top-k", 1, artefact=tables["number"])
    assert result.exit_code == 1
    assert result.stderr.count("--") == 3
    assert "--top-k: this model answers a number" in result.stderr


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("in.csv", "in.csv: would be written over as"),
        ("link.csv", "in.csv: would be written over as"),
        ("hard.csv", "in.csv: would be written over as"),
        ("folder/../in.csv", "in.csv: would be written over as"),
        ("there.csv", "there.csv exists. Name another file, or replace it with --overwrite."),
        ("folder.csv", "folder.csv: a directory. Name a file in it."),
        ("nowhere/out.csv", "nowhere/out.csv: cannot be written: No such file or directory."),
        ("fifo.csv", "fifo.csv: not a regular file. Write to - and redirect that."),
        ("out.xlsx", "out.xlsx: unknown format;"),
    ],
)
def test_a_target_that_cannot_be_written_is_one_clear_line(
    run: Callable[..., Result], output: str, message: str, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_bytes(GOOD)
    (tmp_path / "link.csv").symlink_to("in.csv")
    (tmp_path / "hard.csv").hardlink_to(tmp_path / "in.csv")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "there.csv").write_text("mine")
    os.mkfifo(tmp_path / "fifo.csv")
    before = sorted(path.name for path in tmp_path.iterdir())
    result = run("in.csv", output)
    assert result.exit_code == 1
    assert f"Error: {message}" in result.stderr
    assert result.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before
    assert (tmp_path / "in.csv").read_bytes() == GOOD
    assert (tmp_path / "there.csv").read_text() == "mine"


def test_a_file_is_replaced_only_when_it_is_asked_for(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_bytes(GOOD)
    (tmp_path / "real.csv").write_text("old")
    (tmp_path / "out.csv").symlink_to("real.csv")
    assert run("in.csv", "out.csv", "--overwrite").exit_code == 0
    assert (tmp_path / "out.csv").is_symlink()
    assert "svn" in (tmp_path / "real.csv").read_text()


def test_a_full_disk_leaves_nothing_half_written_and_the_run_can_go_on(
    tiny_artefact: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(texts_csv(20_000))

    def score(*arguments: str, most_bytes: int = resource.RLIM_INFINITY) -> Any:
        return subprocess.run(
            [str(interpreter()), "-m", "predict", "file", "in.csv", "out.csv", *arguments],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PYTHONPATH": str(ROOT), "ARTEFACT_DIR": str(tiny_artefact)},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, most_bytes)),
            timeout=60,
        )

    done = score(most_bytes=300_000)
    assert done.returncode == 1
    assert "Error: out.csv: cannot be written: File too large." in done.stderr
    assert "--resume goes on from there." in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out.csv").exists()
    assert score("--resume").returncode == 0
    assert len((tmp_path / "out.csv").read_text().splitlines()) == 20_001
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.csv"]


# ------------------------------------------------------------- killed, and going on


def bad_and_good(rows: int) -> str:
    """Return rows of which some are bad, and some have line ends in them."""
    texts = [*TEXTS, "", "two\nlines svn", "x" * 40]
    sink = io.StringIO()
    writer = csv.writer(sink, lineterminator="\n")
    writer.writerow(["id", "title", "tag"])
    for i in range(rows):
        writer.writerow(
            [i, texts[i % len(texts)], ["svn", "bash", "qt"][i % 3]][: 2 + (i % 97 > 0)]
        )
    return sink.getvalue()


@pytest.mark.parametrize("suffix", ["csv", "jsonl.gz"])
def test_a_run_that_is_killed_again_and_again_ends_with_the_same_bytes(
    start: Start, tiny_artefact: Path, suffix: str, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(bad_and_good(60_000))
    command = ["-m", "predict", "file", "in.csv"]
    environ = {"ARTEFACT_DIR": tiny_artefact}
    whole = start(*command, f"whole.{suffix}", "--metrics", "whole.json", **environ)
    assert whole.exit_code(60) == 3, whole.errors
    began = time.monotonic()
    chosen = random.Random(suffix)
    killed = 0
    for attempt in range(200):
        assert time.monotonic() - began < 120
        workers = 1 + attempt % 2
        process = start(
            *command, f"out.{suffix}", "--resume", "--metrics", "out.json", "--workers", workers, **environ
        )  # fmt: skip
        time.sleep(chosen.uniform(0.3, 2.0))
        if killed < 10 and process.running:
            process.send(signal.SIGKILL)
            process.exit_code()
            killed += 1
            if not (tmp_path / f"out.{suffix}").exists() or list(tmp_path.glob("out.*.partial*")):
                continue  # else it was killed when all was done
        else:
            assert process.exit_code(60) == 3, process.errors
        break
    assert killed > 0
    for end in ("", ".errors.jsonl"):
        found, expected = (tmp_path / f"{name}.{suffix}{end}" for name in ("out", "whole"))
        assert found.read_bytes() == expected.read_bytes()
    assert (tmp_path / "out.json").read_bytes() == (tmp_path / "whole.json").read_bytes()
    assert not list(tmp_path.glob("*.partial*"))


def killed_run(start: Start, artefact: Path, tmp_path: Path) -> list[str]:
    """Return the command of a run that was killed after its first state."""
    (tmp_path / "in.csv").write_text(texts_csv(400_000))
    process = start("-m", "predict", "file", "in.csv", "out.csv", ARTEFACT_DIR=artefact)
    deadline = time.monotonic() + 30
    while not (tmp_path / "out.csv.partial.state").exists():
        assert time.monotonic() < deadline, process.errors
        assert process.running, process.errors
        time.sleep(0.02)
    process.kill()
    return ["in.csv", "out.csv", "--resume"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("input", "the input's size, the input's time"),
        ("touched", "since the last run, the input's time changed"),
        ("options", "since the last run, the options changed"),
        ("model", "since the last run, the model changed"),
        ("damaged", "not what a run leaves"),
        ("cut", "shorter than the last run left it"),
    ],
)
def test_a_run_of_something_else_is_not_continued(
    run: Callable[..., Result],
    start: Start,
    artefact_copy: Path,
    tiny_artefact: Path,
    change: str,
    message: str,
    tmp_path: Path,
) -> None:
    command = killed_run(start, tiny_artefact, tmp_path)
    artefact = tiny_artefact
    if change == "input":
        (tmp_path / "in.csv").write_text(texts_csv(5))
    elif change == "touched":
        os.utime(tmp_path / "in.csv", (1, 1))
    elif change == "options":
        command.append("--probabilities")
    elif change == "model":
        metadata = (artefact_copy / "metadata.json").read_text()
        from predict.contract.artefact import serialise_metadata

        content = {**json.loads(metadata), "name": "another"}
        content.pop("checksum")
        (artefact_copy / "metadata.json").write_bytes(serialise_metadata(content))
        artefact = artefact_copy
    elif change == "damaged":
        (tmp_path / "out.csv.partial.state").write_text("{")
    else:
        (tmp_path / "out.csv.partial").write_text("id")
    result = run(*command, artefact=artefact)
    assert result.exit_code == 1
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "out.csv").exists()


def test_two_runs_do_not_write_the_same_file(
    run: Callable[..., Result], start: Start, tiny_artefact: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(texts_csv(400_000))
    process = start("-m", "predict", "file", "in.csv", "out.csv", ARTEFACT_DIR=tiny_artefact)
    deadline = time.monotonic() + 30
    while not (tmp_path / "out.csv.partial.state").exists():
        assert time.monotonic() < deadline, process.errors
        time.sleep(0.02)
    result = run("in.csv", "out.csv")
    assert result.exit_code == 1
    assert "Error: out.csv: another run is writing it." in result.stderr
    assert process.running


def test_several_processes_write_what_one_writes(
    run: Callable[..., Result], start: Start, tiny_artefact: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(bad_and_good(10_000))
    assert run("in.csv", "one.csv", "--metrics", "one.json").exit_code == 3
    process = start(
        *("-m", "predict", "file", "in.csv", "two.csv", "--workers", 2, "--metrics", "two.json"),
        ARTEFACT_DIR=tiny_artefact,
    )
    assert process.exit_code(60) == 3, process.errors
    for end in ("csv", "csv.errors.jsonl", "json"):
        assert (tmp_path / f"one.{end}").read_bytes() == (tmp_path / f"two.{end}").read_bytes()


def test_a_killed_worker_is_one_clear_line_and_loses_no_row(
    start: Start, tiny_artefact: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(texts_csv(400_000))
    command = ["-m", "predict", "file", "in.csv", "out.csv"]
    process = start(*command, "--workers", 2, ARTEFACT_DIR=tiny_artefact)
    deadline = time.monotonic() + 30
    while not (tmp_path / "out.csv.partial.state").exists():
        assert time.monotonic() < deadline, process.errors
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    workers = [
        int(pid) for pid in children if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    ]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    assert process.exit_code(60) == 1
    assert "Error: a worker process died, perhaps for want of memory." in process.errors
    assert "--resume goes on from there." in process.errors
    assert "Traceback" not in process.errors
    assert not (tmp_path / "out.csv").exists()


def test_workers_end_with_their_parent(start: Start, tiny_artefact: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(texts_csv(400_000))
    process = start(
        "-m", "predict", "file", "in.csv", "out.csv", "--workers", 2, ARTEFACT_DIR=tiny_artefact
    )
    deadline = time.monotonic() + 30
    while not (tmp_path / "out.csv.partial.state").exists():
        assert time.monotonic() < deadline, process.errors
        time.sleep(0.02)
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    process.kill()
    while any(is_running(int(pid)) for pid in children):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


# ---------------------------------------------------------------------- the truth


def test_answers_are_measured_where_the_truth_is_there(
    run: Callable[..., Result], tmp_path: Path
) -> None:
    rows = ["svn,svn", "bash,bash", "qt,svn", "svn,", "svn,cobol"]
    (tmp_path / "in.csv").write_text("\n".join(["title,tag", *rows]))
    result = run("in.csv", "out.csv", "--metrics", "m.json")
    assert result.exit_code == 0, result.stderr
    metrics = json.loads((tmp_path / "m.json").read_text())
    assert metrics["rows"] == 4
    assert metrics["accuracy"] == 0.5
    assert metrics["unknown_labels"] == {"cobol": 1}
    assert metrics["per_label"]["svn"] == {
        "precision": 1 / 2, "recall": 1 / 2, "f1": 1 / 2, "support": 2,
    }  # fmt: skip
    assert "measured on 4 rows with a truth:\n  accuracy               0.5000\n" in result.stdout
    assert "1 row with labels unknown to the model count as wrong, such as 'cobol'" in result.stdout
    Metrics.model_validate(metrics)


def test_values_are_measured_in_their_notation(run: Callable[..., Result], tmp_path: Path) -> None:
    outputs = [{**HOUSES.metadata["outputs"][0], "decimal": ",", "missing": ["-9"]}]
    artefact = write_tiny_table(tmp_path / "artefact", HOUSES, outputs=outputs)
    rows = ["3;90;274,5", "1;20;60", "1;20;-9", "1;20;?"]
    (tmp_path / "in.csv").write_text("\n".join(["rooms;area;price", *rows]))
    result = run("in.csv", "out.csv", "--metrics", "m.json", artefact=artefact)
    assert result.exit_code == 0, result.stderr
    metrics = json.loads((tmp_path / "m.json").read_text())
    assert metrics["rows"] == 2
    assert metrics["mae"] == pytest.approx((1.5 + 1) / 2)
    assert metrics["interval_coverage"] == 1.0
    assert "not measured: median absolute error, which need all rows at once" in result.stdout


def test_memory_does_not_grow_with_the_file(
    start: Start, tiny_artefact: Path, tmp_path: Path
) -> None:
    peaks = []
    script = (
        "import resource, sys; from predict.__main__ import main\n"
        "try: main(['file', 'in.csv', 'out.csv', '--overwrite'])\n"
        "finally: print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    for rows in (5_000, 100_000):
        (tmp_path / "in.csv").write_text(texts_csv(rows))
        process = start("-c", script, ARTEFACT_DIR=tiny_artefact)
        assert process.exit_code(60) == 0, process.errors
        peaks.append(int(process.output))
    assert peaks[1] < peaks[0] + 10_000  # kB


# ------------------------------------------------------------------------ Parquet


def test_parquet_without_pyarrow_says_how_to_get_it(
    start: Start, tiny_artefact: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(texts_csv())
    script = (
        "import sys; sys.modules['pyarrow'] = None; from predict.__main__ import main;"
        "main(['file', 'in.csv', 'out.parquet'])"
    )
    process = start("-c", script, ARTEFACT_DIR=tiny_artefact)
    assert process.exit_code(60) == 1
    assert "pip install --requirement predict/requirements-parquet.txt" in process.errors
    assert process.errors.count("\n") == 1


def test_parquet_is_read_and_written_with_its_types(
    run: Callable[..., Result], tables: dict[str, Path], tmp_path: Path
) -> None:
    arrow = pytest.importorskip("pyarrow", reason="Parquet is optional")
    parquet = pytest.importorskip("pyarrow.parquet")
    from datetime import date
    from decimal import Decimal

    count = 2_500
    table = arrow.table(
        {
            "age": arrow.array([Decimal("38.5")] * count),
            "fare": arrow.array([None, 71.25] * (count // 2)),
            "heads": arrow.array([2] * count, arrow.int8()),
            "port": arrow.array(["C"] * count).dictionary_encode(),
            "day": arrow.array([date(2026, 4, 10)] * count),
            "note": arrow.array(["Hello"] * (count - 1) + [""]),
            "when": arrow.array([1] * count, arrow.timestamp("ns")),
        }
    )
    parquet.write_table(table, tmp_path / "in.parquet", row_group_size=700)
    result = run("in.parquet", "out.parquet", artefact=tables["label"])
    assert result.exit_code == 0, result.stderr
    written = parquet.read_table(tmp_path / "out.parquet")
    assert written.select(table.column_names).equals(table)
    assert written["predicted_label"].to_pylist()[0] in ("no", "yes")
    assert run("in.parquet", "out.csv", artefact=tables["label"]).exit_code == 0
    rows = table_of((tmp_path / "out.csv").read_text())
    assert [row["predicted_label"] for row in rows] == written["predicted_label"].to_pylist()
    assert (rows[0]["age"], rows[0]["day"], rows[0]["fare"]) == ("38.5", "2026-04-10", "")


def test_other_formats_become_parquet(run: Callable[..., Result], tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="Parquet is optional")
    (tmp_path / "in.csv").write_text(bad_and_good(3_000))
    assert run("in.csv", "out.csv").exit_code == 3
    assert run("in.csv", "out.parquet").exit_code == 3
    frame = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    with (tmp_path / "out.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["predicted_label"] for row in frame] == [row["predicted_label"] for row in rows]
    assert [row["title"] for row in frame] == [row["title"] for row in rows]
    errors = [tmp_path / f"out.{suffix}.errors.jsonl" for suffix in ("csv", "parquet")]
    assert errors[0].read_bytes() == errors[1].read_bytes()


def test_what_is_not_parquet_is_one_clear_line(run: Callable[..., Result], tmp_path: Path) -> None:
    pytest.importorskip("pyarrow", reason="Parquet is optional")
    (tmp_path / "in.parquet").write_bytes(GOOD)
    result = run("in.parquet", "out.csv")
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: in.parquet: not a Parquet file (")
    assert result.stderr.count("\n") == 1
