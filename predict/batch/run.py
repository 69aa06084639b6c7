"""The story: a file is opened, its rows are scored and written chunk by chunk, and what was measured is told."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from predict.batch.answers import AnswerColumns
from predict.batch.errors import BatchError, as_batch_error
from predict.batch.formats import PIPE, Format, format_of
from predict.batch.opening import Source, Wanted, open_source
from predict.batch.progress import Progress
from predict.batch.scoring import Plan, Scored, Scorer
from predict.batch.separated import SeparatedTable
from predict.batch.tables import Chunk
from predict.batch.target import FileTarget, ParquetTarget, StreamTarget, Target
from predict.batch.workers import score_here, scoring_beside
from predict.contract.artefact import Metadata
from predict.scoring.predictor import Predictor
from predict.wording import counted, did_you_mean, listed

# As many rows as are handled at once. The model takes fewer texts at a time, in stretches of like lengths.
CHUNK_ROWS = 1_024
# Of a file, so much tells whether it is the same.
_HEAD_BYTES = 1 << 20
_NAMES_SHOWN = 20


@dataclass(frozen=True)
class Options:
    """What a person may choose; see `python -m predict file --help`."""

    kind: str | None = None
    wanted: Wanted = field(default_factory=Wanted)
    prefix: str = "predicted_"
    probabilities: bool = False
    top_k: int | None = None
    errors: Path | None = None
    metrics: Path | None = None
    max_errors: int | None = None
    overwrite: bool = False
    resume: bool = False
    workers: int = 1


@dataclass(frozen=True)
class Report:
    """What a run has done.

    Attributes:
        rows: How many rows were read, and `failed` of them not scored.
        seconds: How long this run took, and for how many rows, `rows_now`: a continued one had fewer.
        rows_now: See `seconds`.
        errors: The file of bad rows; None if there is none.
        metrics: What was measured; None without a truth.
        not_measured: Metrics that need all rows at once.
    """

    rows: int
    failed: int
    seconds: float
    rows_now: int
    errors: Path | None
    metrics: dict[str, Any] | None
    not_measured: Sequence[str]


def score_file(
    predictor: Predictor, artefact_dir: Path, given: str, output: str, options: Options
) -> Report:
    """Score every row of a file.

    Args:
        predictor: The model.
        artefact_dir: Where it is, for other processes to load it.
        given: The file that is read; a dash for standard input.
        output: The file that is written; a dash for standard output.
        options: What was chosen.

    Raises:
        BatchError: The file is not scored to its end. What was written under the name of `output` before stays.
    """
    _check_options(given, output, predictor.metadata, options)
    kind, output_kind = _formats(given, output, options)
    source = open_source(given, kind, options.wanted, predictor.metadata.file, CHUNK_ROWS)
    with source:
        return _score(predictor, artefact_dir, source, given, output, output_kind, options)


def _score(
    predictor: Predictor,
    artefact_dir: Path,
    source: Source,
    given: str,
    output: str,
    output_kind: Format,
    options: Options,
) -> Report:
    plan = plan_for(predictor.metadata, source, output, output_kind, options)
    scorer = Scorer(predictor, artefact_dir, plan)
    with _target(given, output, source, predictor.metadata, plan, options) as target:
        before = target.done.rows
        with Progress(source) as progress:
            if not target.done.is_whole:
                _write_all(source, scorer, artefact_dir, plan, target, progress, options)
        done = target.done
        measured = None if plan.label is None else scorer.measured.metrics(done.sums)
        if options.metrics is not None:
            _write_metrics(options.metrics, measured or {})
        # Last of all: a kill before it leaves something to go on with.
        target.finish()
        return Report(
            rows=done.rows,
            failed=done.failed,
            seconds=progress.seconds,
            rows_now=done.rows - before,
            errors=_errors_file(target, options) if done.failed else None,
            metrics=measured,
            not_measured=scorer.measured.needs_all_rows,
        )


def _errors_file(target: Target, options: Options) -> Path | None:
    return target.errors_path if isinstance(target, FileTarget) else options.errors


def _write_all(
    source: Source,
    scorer: Scorer,
    artefact_dir: Path,
    plan: Plan,
    target: Target,
    progress: Progress,
    options: Options,
) -> None:
    if not target.done.chunks:
        target.write_header(scorer.encoder.header())
    chunks = source.table.chunks()
    # The rows that are done are read once more: where a row begins depends on those before it.
    for _ in islice(chunks, target.done.chunks):
        pass
    with _scored(chunks, scorer, artefact_dir, plan, options.workers) as results:
        for scored in results:
            target.write(scored)
            progress.add(scored.rows)
            _check_errors(target, options)
    if not target.done.chunks:
        target.write(scorer.score(Chunk([], [], [])))


def _write_metrics(path: Path, metrics: dict[str, Any]) -> None:
    temporary = path.with_name(f"{path.name}.partial")
    with as_batch_error(path, "written"):
        temporary.write_text(
            json.dumps(metrics, indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )
        os.replace(temporary, path)


@contextmanager
def _scored(
    chunks: Iterator[Chunk], scorer: Scorer, artefact_dir: Path, plan: Plan, workers: int
) -> Iterator[Iterator[Scored]]:
    if workers == 1:
        yield score_here(chunks, scorer)
        return
    with scoring_beside(chunks, artefact_dir, plan, workers) as results:
        yield results


def _check_errors(target: Target, options: Options) -> None:
    failed, most = target.done.failed, options.max_errors
    if most is not None and failed > most:
        raise BatchError(
            f"{counted(failed, 'row')} of {target.done.rows:,} could not be scored, and --max-errors is {most:,}."
        )


@contextmanager
def _target(
    given: str,
    output: str,
    source: Source,
    metadata: Metadata,
    plan: Plan,
    options: Options,
) -> Iterator[Target]:
    """Open what is written; if a run ends early, say in its message what is left."""
    target: Target
    if output == PIPE:
        target = StreamTarget(options.errors)
    else:
        is_parquet = plan.output.kind == "parquet"
        can_resume = not is_parquet and source.size is not None
        if options.resume and not can_resume:
            raise BatchError(
                f"--resume: {source.shown} is no regular file, so it cannot be read again."
            )
        identity = _identity(given, metadata, plan, options) if can_resume else None
        of_kind = ParquetTarget if is_parquet else FileTarget
        target = of_kind(Path(output), options.errors, identity)
        _refuse_same(given, target)
    try:
        if isinstance(target, FileTarget):
            target.open(options.resume, options.overwrite)
        yield target
    except BatchError as error:
        raise BatchError(f"{error}{target.leave()}") from None
    except BaseException:
        target.leave()
        raise
    finally:
        target.close()


# ------------------------------------------------------------- before anything


def _check_options(given: str, output: str, metadata: Metadata, options: Options) -> None:
    """Raise BatchError with everything that does not fit together."""
    problems = []
    if metadata.outputs[0].kind == "number":
        names = {"--probabilities": options.probabilities, "--top-k": options.top_k}
        problems += [
            f"{name}: this model answers a number, it has no labels to list"
            for name, is_set in names.items()
            if is_set
        ]
    if options.resume:
        for name in (given, output):
            if name == PIPE:
                problems.append("--resume: a pipe cannot be read or written again from the middle")
        if output.lower().endswith(".parquet"):
            problems.append("--resume: a Parquet file cannot be continued; write .csv or .jsonl")
    if not options.prefix:
        problems.append("--prefix: expected at least a character")
    problems += _same_twice(
        {"OUT": output, "--errors": options.errors, "--metrics": options.metrics}, given
    )
    if problems:
        raise BatchError("\n".join(dict.fromkeys(problems)))


def _same_twice(written: Mapping[str, Path | str | None], given: str) -> list[str]:
    """Say which files would be written over another one."""
    seen = {} if given == PIPE else {os.path.realpath(given): "IN"}
    problems = []
    for name, path in written.items():
        if path is None or path == PIPE:
            continue
        earlier = seen.setdefault(os.path.realpath(path), name)
        if earlier != name and (earlier, name) != ("IN", "OUT"):  # which links may hide, too
            problems.append(f"{name}: {path} is {earlier} already. Name another file.")
    return problems


def _formats(given: str, output: str, options: Options) -> tuple[Format, Format]:
    named = None if options.kind is None else format_of(f"x.{options.kind.lstrip('.')}", "--format")
    if given == PIPE and named is None:
        raise BatchError("-: what comes from standard input? Say --format csv, tsv or jsonl.")
    kind = named if named is not None else format_of(given, given)
    if output != PIPE:
        return kind, format_of(output, output)
    if kind.kind == "parquet":
        raise BatchError("-: Parquet is not written to a pipe. Name a file.")
    return kind, Format(kind.suffix, is_packed=False)


def plan_for(
    metadata: Metadata, source: Source, output: str, kind: Format, options: Options
) -> Plan:
    """Return what a worker must know of a file; raise BatchError if the model does not fit its columns."""
    table = source.table
    columns = table.columns
    _require_columns(source, metadata)
    answer = metadata.outputs[0]
    probabilities = options.probabilities or options.top_k is not None
    names = AnswerColumns(answer, options.prefix, probabilities).names
    if taken := [name for name in names if name in columns]:
        raise BatchError(
            f"{source.shown}: has columns of the answer's names already: {listed(taken)}. Set --prefix."
        )
    dialect = table.dialect if isinstance(table, SeparatedTable) else None
    separator = kind.separator
    copies = False
    if dialect is not None and kind.kind == "separated":
        # A .csv of semicolons stays one; as .tsv it gets tabs.
        separator = dialect.separator if kind.suffix == source.format.suffix else separator
        copies = separator == dialect.separator
    if options.metrics is not None and answer.name not in columns:
        raise BatchError(
            f"--metrics: {source.shown} has no column {answer.name!r}, which would tell the truth."
            f"{did_you_mean(answer.name, columns)}"
        )
    return Plan(
        columns=tuple(columns),
        of_objects=table.of_objects,
        output=kind,
        output_name=output,
        separator=separator,
        is_literal=copies and dialect is not None and dialect.quotes == "literal",
        header=table.header if isinstance(table, SeparatedTable) else None,
        copies=copies,
        has_mark=source.has_mark and kind.kind == "separated",
        prefix=options.prefix,
        probabilities=probabilities,
        top_k=options.top_k,
        label=answer.name if answer.name in columns else None,
    )


def _require_columns(source: Source, metadata: Metadata) -> None:
    columns = source.table.columns
    if twice := [name for name in dict.fromkeys(columns) if columns.count(name) > 1]:
        raise BatchError(
            f"{source.shown}: more than one column is called {listed(twice)}. Rename or remove one."
        )
    missing = [column.name for column in metadata.inputs if column.name not in columns]
    if not missing:
        return
    others = [name for name in columns if name not in metadata.input_types]
    hints = "".join(did_you_mean(name, others) for name in missing[:1])
    what = f"no column {listed(list(map(repr, missing)), _NAMES_SHOWN)}, which the model reads"
    raise BatchError(f"{source.shown}: {what}.{hints} Columns: {listed(columns, _NAMES_SHOWN)}.")


def _refuse_same(given: str, target: FileTarget) -> None:
    """Refuse to write over the file that is read, by whatever name."""
    if given == PIPE:
        return
    for path in target.paths:
        same = os.path.realpath(path) == os.path.realpath(given)
        if same or (path.exists() and os.path.samefile(path, given)):
            raise BatchError(
                f"{given}: would be written over as {path}. Name another file to write."
            )


def _identity(given: str, metadata: Metadata, plan: Plan, options: Options) -> dict[str, Any]:
    """Return what must be the same for a run to be continued."""
    with as_batch_error(given, "read"), open(given, "rb") as file:
        found, head = os.fstat(file.fileno()), file.read(_HEAD_BYTES)
    return {
        "the input's size": found.st_size,
        "the input's time": found.st_mtime_ns,
        "the input's content": hashlib.sha256(head).hexdigest(),
        "the model": metadata.checksum,
        "the options": [repr(replace(plan, output_name="")), repr(options.wanted), CHUNK_ROWS],
    }
