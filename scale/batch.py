"""Scoring whole folders with Ray Data: `map_batches` over a pool of predictors.

A file is cut into parts of the same number of rows. Each part is scored by some actor, which writes it under a name
that follows from the file's and the part's number. An actor that dies is replaced, and what it had not finished is
scored again under the same name: nothing is lost, and nothing is there twice.
"""

import json
import logging
import os
import pickle
import sys
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Any
from uuid import uuid4

import ray
from pyarrow import fs

from predict.batch.errors import BatchError
from predict.batch.formats import Format, format_of
from predict.batch.opening import opened
from predict.batch.parquet import ParquetFile
from predict.batch.run import CHUNK_ROWS, Options, plan_for
from predict.batch.scoring import Plan, Scored, Scorer
from predict.batch.tables import Chunk
from predict.contract.artefact import ArtefactError, load_artefact
from predict.scoring.predictor import Predictor
from predict.wording import counted

# Large enough for a file each, small enough for all actors to have work.
PART_ROWS = 16 * CHUNK_ROWS
# Files whose names begin like this are no data, as with Spark and Ray.
_NO_DATA = ("_", ".")
ERRORS, REPORT = "_errors", "_report.json"
_PARTIAL = ".partial"
# What Ray Data may hold of parts that wait; each is a block.
_BLOCK_BYTES = 1 << 20
_READER_CPUS = 0.5
_OURS = (ArtefactError, BatchError)


@dataclass(frozen=True)
class Place:
    """A folder or a file, on this machine or in an object store.

    Attributes:
        shown: As a person wrote it.
        filesystem: Where it is.
        path: What the filesystem calls it.
    """

    shown: str
    filesystem: fs.FileSystem
    path: str

    @classmethod
    def of(cls, name: str) -> "Place":
        """Find a place by a path or a URI, such as `s3://bucket/folder`; raise BatchError if nobody knows its kind."""
        try:
            filesystem, path = fs.FileSystem.from_uri(
                name if "://" in name else os.path.abspath(name)
            )
        except (OSError, ValueError, ImportError) as error:
            raise BatchError(f"{name}: cannot be reached: {error}.") from None
        return cls(name, filesystem, path.rstrip("/"))

    @property
    def is_local(self) -> bool:
        """Whether it is in a file system, where a folder can be renamed at once."""
        return isinstance(self.filesystem, fs.LocalFileSystem)

    def files(self) -> list[str]:
        """Return the names of all files of data, relative to this folder; of a file, its own.

        Raises:
            BatchError: There is nothing.
        """
        found = self.filesystem.get_file_info(self.path)
        if found.type == fs.FileType.File:
            return [""]
        if found.type == fs.FileType.NotFound:
            raise BatchError(f"{self.shown}: no such file or folder.")
        inside = self.filesystem.get_file_info(fs.FileSelector(self.path, recursive=True))
        names = [
            file.path[len(self.path) + 1 :] for file in inside if file.type == fs.FileType.File
        ]
        data = [
            name
            for name in sorted(names)
            if not any(part.startswith(_NO_DATA) for part in PurePosixPath(name).parts)
        ]
        if not data:
            raise BatchError(f"{self.shown}: the folder has no files.")
        return data

    def below(self, name: str) -> str:
        """Return the path of a file in it."""
        return f"{self.path}/{name}" if name else self.path


@dataclass(frozen=True)
class Report:
    """What a run has done: rows, how many of them were not scored, parts, and seconds."""

    rows: int
    failed: int
    parts: int
    seconds: float


def score_folder(
    artefact_dir: Path,
    given: str,
    output: str,
    options: Options,
    kind: str | None = None,
    num_cpus: float = 1,
) -> Report:
    """Score every row of every file of a folder. Ray must be running.

    Args:
        artefact_dir: The model, where every machine of the cluster can read it.
        given: A folder, or a file; a path or a URI.
        output: The folder that is written; it must not be there, or be empty.
        options: Those of `python -m predict file`; `workers` is the number of actors.
        kind: The format of what is written, such as `parquet`; None for that of each file.
        num_cpus: The cores that Ray keeps for each actor.

    Raises:
        BatchError: Something cannot be read, scored or written. `output` is not there then, if it is a local folder.
    """
    started = time.monotonic()
    source, target = Place.of(given), Place.of(output)
    files = source.files()
    for name in files:  # an unknown format is told before anything is scored
        format_of(name or source.path, name or source.shown)
    _prepare(source, target, options.overwrite)
    unfinished = replace(target, path=target.path + _PARTIAL) if target.is_local else target
    _empty(unfinished)
    job = _Job(artefact_dir.absolute(), source, unfinished, options, kind)
    try:
        report = _run(job, files, num_cpus, started)
        _write(unfinished, REPORT, json.dumps(vars(report)).encode())
    except BaseException:
        with suppress(OSError):
            unfinished.filesystem.delete_dir(unfinished.path)
        raise
    if target.is_local:
        os.replace(unfinished.path, target.path)
    return report


@dataclass(frozen=True)
class _Job:
    artefact_dir: Path
    source: Place
    target: Place
    options: Options
    kind: str | None


def _run(job: "_Job", files: Sequence[str], num_cpus: float, started: float) -> Report:
    context = ray.data.DataContext.get_current()
    context.target_max_block_size = _BLOCK_BYTES
    context.enable_progress_bars = False
    context.log_internal_stack_trace_to_stdout = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "The minimum number of concurrent actors")  # for fewer files
    workers = job.options.workers
    parts = (
        ray.data.from_items([{"file": name} for name in files], override_num_blocks=len(files))
        .map_batches(partial(_read, job), batch_size=1, batch_format="numpy", num_cpus=_READER_CPUS)
        .map_batches(
            _Actor,
            fn_constructor_args=[job],
            batch_size=1,
            batch_format="numpy",
            compute=ray.data.ActorPoolStrategy(size=workers),
            num_cpus=num_cpus,
        )
    )
    rows = failed = count = 0
    for part in parts.iter_rows():
        if part["problem"]:
            raise BatchError(part["problem"])
        rows, failed, count = rows + part["rows"], failed + part["failed"], count + 1
        _show(rows, time.monotonic() - started)
        most = job.options.max_errors
        if most is not None and failed > most:
            raise BatchError(
                f"{counted(failed, 'row')} of {rows:,} could not be scored, and --max-errors is {most:,}."
            )
    return Report(int(rows), int(failed), count, time.monotonic() - started)


def _show(rows: int, seconds: float) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{rows:,} rows, {rows / seconds:,.0f} a second ")


def _read(job: _Job, batch: dict[str, Any]) -> Iterator[dict[str, list[Any]]]:
    """Read files: each becomes parts, in their order.

    An error of ours becomes a part as well: Ray would log the traceback of an exception.
    """
    try:
        for name in batch["file"]:
            for part in _parts_of(job, name):
                yield {"part": [pickle.dumps(part, pickle.HIGHEST_PROTOCOL)]}
    except _OURS as error:
        yield {"part": [pickle.dumps(str(error))]}


def _parts_of(job: _Job, name: str) -> "Iterator[_Part]":
    metadata = load_artefact(job.artefact_dir).metadata
    place = job.source
    path, shown = place.below(name), f"{place.shown}/{name}" if name else place.shown
    kind = format_of(path, shown)
    output = _output_kind(kind, job.kind)
    named = name or place.path.rpartition("/")[2]
    with place.filesystem.open_input_file(path) as file:
        source = opened(file, shown, kind, job.options.wanted, metadata.file, CHUNK_ROWS)
        plan = replace(plan_for(metadata, source, shown, output, job.options), label=None)
        for number, chunks in enumerate(_parts(source.table.chunks())):
            yield _Part(_part_name(named, number, output), plan, chunks)


def _output_kind(kind: Format, wanted: str | None) -> Format:
    if wanted is None:
        return replace(kind, is_packed=False)
    return format_of(f"x.{wanted}", "--format")


@dataclass(frozen=True)
class _Part:
    name: str
    plan: Plan
    chunks: list[Chunk]


class _Actor:
    """Scores parts and writes them."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._predictor: Predictor | None = None
        self._plan: Plan | None = None
        self._scorer: Scorer | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        done, problem = list[Scored](), ""
        try:
            for part in map(pickle.loads, batch["part"]):
                if isinstance(part, str):
                    problem = part
                else:
                    done += self._score(part)
        except _OURS as error:
            problem = str(error)
        return {
            "rows": [sum(scored.rows for scored in done)],
            "failed": [sum(scored.failed for scored in done)],
            "problem": [problem],
        }

    def _score(self, part: _Part) -> list[Scored]:
        if self._predictor is None:
            self._predictor = Predictor.load(self._job.artefact_dir)
        if self._scorer is None or part.plan != self._plan:
            self._plan = part.plan
            self._scorer = Scorer(self._predictor, self._job.artefact_dir, part.plan)
        scored = [self._scorer.score(chunk) for chunk in part.chunks]
        pieces = [each.output for each in scored]
        target = self._job.target
        if errors := b"".join(each.errors for each in scored):
            _write(target, f"{ERRORS}/{part.name}.jsonl", errors)
        if part.plan.output.kind == "parquet":
            _write(target, part.name, _parquet(pieces))
        else:
            _write(target, part.name, self._scorer.encoder.header() + b"".join(pieces))
        return scored


def _parts(chunks: Iterable[Chunk]) -> Iterator[list[Chunk]]:
    part: list[Chunk] = []
    size = 0
    for chunk in chunks:
        # A view of a dictionary cannot be sent.
        part.append(chunk._replace(problems=dict(chunk.problems)))
        size += len(chunk.rows)
        if size >= PART_ROWS:
            yield part
            part, size = [], 0
    if part:
        yield part


def _part_name(name: str, number: int, kind: Format) -> str:
    """Return the name of a part.

    >>> _part_name("a/b.csv.gz", 3, Format(".jsonl", False))
    'a/b.csv.gz-00003.jsonl'
    """
    return f"{name.removesuffix(kind.suffix)}-{number:05}{kind.suffix}"


def _parquet(pieces: Sequence[bytes]) -> bytes:
    sink = BytesIO()
    file = ParquetFile(sink, Path("a part"))
    for piece in pieces:
        file.write(piece)
    file.close()
    return sink.getvalue()


def _write(place: Place, name: str, content: bytes) -> None:
    """Write a file as a whole, whatever ends this process meanwhile."""
    path = place.below(name)
    if not place.is_local:  # an object is there when all of it is
        with place.filesystem.open_output_stream(path) as stream:
            stream.write(content)
        return
    temporary = f"{path}.{uuid4().hex}"
    try:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        Path(temporary).write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):
            os.remove(temporary)
        raise BatchError(f"{place.shown}: cannot be written: {error.strerror}.") from None


def _prepare(source: Place, target: Place, overwrite: bool) -> None:
    """See that there is room for the output."""
    inside = f"{target.path}/".startswith(f"{source.path}/") or f"{source.path}/".startswith(
        f"{target.path}/"
    )
    if inside and source.filesystem.equals(target.filesystem):
        raise BatchError(
            f"{target.shown}: is within {source.shown}, or the other way round. Name another folder."
        )
    found = target.filesystem.get_file_info(target.path)
    if found.type == fs.FileType.File:
        raise BatchError(f"{target.shown}: a file. Name a folder.")
    if found.type == fs.FileType.NotFound:
        return
    if not target.filesystem.get_file_info(fs.FileSelector(target.path)):
        return
    if not overwrite:
        raise BatchError(f"{target.shown}: is not empty. Name another folder, or add --overwrite.")
    target.filesystem.delete_dir_contents(target.path)


def _empty(place: Place) -> None:
    """Make a folder, without what a run that was killed left there."""
    try:
        place.filesystem.delete_dir_contents(place.path, missing_dir_ok=True)
        place.filesystem.create_dir(place.path)
    except OSError as error:
        raise BatchError(f"{place.shown}: cannot be written: {error}.") from None
