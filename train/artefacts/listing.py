"""The list of all artefacts in a folder: reading, filtering and sorting it; its table, its JSON and its page."""

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from predict.contract.artefact import (
    KIND_OF_TASK,
    METADATA,
    METRICS,
    MOST_METADATA_BYTES,
    READ_VERSIONS,
    ArtefactError,
    Metadata,
    load_artefact,
)
from predict.contract.files import read_regular
from predict.contract.metrics import read_metrics
from predict.wording import counted
from train.acceptance.conditions import Condition
from train.artefacts.folder import LATEST
from train.errors import UserError
from train.evaluation.metrics import MAIN_METRICS, METRIC_NAMES, in_order, show_metric
from train.reporting import pages
from train.terminal import PlainTable

_TEXT_KEYS = ("time", "name", "dataset", "task", "model", "gate")
_KEY_AND_CONDITION = re.compile(r"\s*([\w-]+)(.*)")
_SIZES = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}


class RunsError(UserError):
    """Artefacts cannot be listed, filtered or sorted as asked. The message says what is possible."""


@dataclass(frozen=True)
class Run:
    """What is known about an artefact without loading its model."""

    path: Path
    name: str
    # UTC, ISO 8601.
    time: str
    dataset: str
    task: str
    model: str
    # The headline metrics on the test split.
    metrics: dict[str, float]
    size_bytes: int
    # passed or failed; None for a run without a gate.
    gate: str | None
    failed_checks: tuple[str, ...]
    latest: bool
    # Files and folders that no run wrote, and that only their owner should remove.
    additions: tuple[str, ...]
    # Of the project that wrote it; None before there was one.
    version: str | None

    def value(self, key: str) -> str | float | None:
        """Return what the run has under a key to sort or filter by; None if it has nothing there."""
        if key == "size":
            return self.size_bytes
        if key in _TEXT_KEYS:
            text: str | None = getattr(self, key)
            return text
        return self.metrics.get(key)


@dataclass(frozen=True)
class Unreadable:
    """Something in the folder that cannot be read as an artefact: it is damaged, or something else."""

    path: Path
    reason: str


# ------------------------------------------------------------------- reading


def find_runs(artefacts_dir: Path, verify: bool = False) -> tuple[list[Run], list[Unreadable]]:
    """Look at everything in a folder of artefacts except links and what is hidden.

    Args:
        artefacts_dir: What `artefacts_dir` is in the configuration.
        verify: Compare the bytes of every file with the metadata too, which takes a second a gigabyte.

    Returns:
        The artefacts, and what cannot be read as one, both in the order of their names.

    Raises:
        RunsError: There is no such folder.
    """
    latest = (artefacts_dir / LATEST).resolve()
    runs, unreadable = [], []
    try:
        entries = sorted(artefacts_dir.iterdir())
    except OSError as error:
        raise RunsError(
            f"{artefacts_dir}: cannot be listed: {error.strerror}. Run `make train`, or name the folder "
            "with --artefacts-dir."
        ) from None
    for path in entries:
        if path.name.startswith(".") or path.is_symlink():
            continue
        try:
            runs.append(_read_run(path, latest, verify))
        except RunsError as error:
            unreadable.append(Unreadable(path, str(error)))
    return runs, unreadable


def _read_run(path: Path, latest: Path, verify: bool) -> Run:
    if not path.is_dir():
        raise RunsError("not a directory")
    try:
        metadata = _read_metadata(path)
        with _as_damaged(path):
            verdicts = read_metrics(path / METRICS).gate or []
        sizes = {file.name: _size_of(file) for file in path.iterdir()}
    except OSError as error:
        raise RunsError(f"{Path(error.filename).name} cannot be read ({error.strerror})") from None
    if missing := [name for name in metadata.files if name not in sizes]:
        raise RunsError(f"damaged: {', '.join(missing)} missing")
    if verify:
        with _as_damaged(path):
            load_artefact(path)
    failed = tuple(verdict.check for verdict in verdicts if not verdict.passed)
    return Run(
        path=path,
        name=path.name,
        time=metadata.created_at,
        dataset=str(metadata.dataset.get("name", "?")),
        task=metadata.task,
        model=_model_of(metadata),
        metrics=dict(metadata.metrics),
        size_bytes=sum(sizes.values()),
        gate=("failed" if failed else "passed") if verdicts else None,
        failed_checks=failed,
        latest=path.resolve() == latest,
        additions=tuple(sorted(set(sizes) - {METADATA, *metadata.files})),
        version=metadata.versions.get("capstone"),
    )


def _model_of(metadata: Metadata) -> str:
    # The family of texts is `text: wide and deep`, that of tables `table: scikit-learn pipeline`.
    family = str(metadata.model.get("family", "?"))
    return str(metadata.model.get("pipeline", family.rpartition(": ")[2]))


def _read_metadata(path: Path) -> Metadata:
    """Read metadata as far as a list needs it: `load_artefact` would read the whole model as well."""
    if not (path / METADATA).exists():
        raise RunsError(f"not an artefact: {METADATA} is missing")
    content = _read_json(path / METADATA)
    version = content.get("format_version")
    if type(version) is not int or version not in READ_VERSIONS:
        raise RunsError(f"format_version {version!r} cannot be read here")
    try:
        return Metadata.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RunsError(f"damaged: {METADATA}: {place}: {first['msg']}") from None


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(read_regular(file, MOST_METADATA_BYTES))
    except (ValueError, RecursionError):
        raise RunsError(f"damaged: {file.name} is not JSON") from None
    if not isinstance(content, dict):
        raise RunsError(f"damaged: {file.name} is not what a run writes")
    return content


@contextmanager
def _as_damaged(path: Path) -> Iterator[None]:
    """Say in a word or two what is wrong with an artefact."""
    try:
        yield
    except ArtefactError as error:
        reason = str(error).removeprefix(f"{path}: ").removeprefix(f"{path}/").partition(". ")[0]
        raise RunsError(f"damaged: {reason.removesuffix('.')}") from None


def _size_of(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(_size_of(inner) for inner in path.iterdir())
    return path.lstat().st_size


# ------------------------------------------------------ filtering and sorting


def filter_runs(runs: Sequence[Run], conditions: Sequence[str]) -> list[Run]:
    """Return the runs that meet every condition.

    Args:
        runs: From `find_runs`.
        conditions: `key=value` with wildcards in the value, `key!=value`, or `key>=value` and the like for
            metrics, size (`size>50MB`) and time (`time>=2025-01-31`). A run without the metric does not meet it.

    Raises:
        RunsError: A condition is malformed, or no run has such a key.
    """
    chosen = list(runs)
    for text in conditions:
        key, condition = _read_condition(text)
        _check_key("--where", key, runs)
        _check_condition(key, condition)
        values = [(run, run.value(key)) for run in chosen]
        chosen = [run for run, value in values if value is not None and condition.meets(value)]
    return chosen


def _read_condition(text: str) -> tuple[str, Condition]:
    match = _KEY_AND_CONDITION.fullmatch(text)
    condition = match and Condition.parse(match[2], _SIZES)
    if match is None or condition is None:
        raise RunsError(
            f"--where {text}: expected KEY=VALUE, such as dataset=titanic or accuracy>=0.9."
        )
    return match[1], condition


def _check_condition(key: str, condition: Condition) -> None:
    is_text = key in _TEXT_KEYS
    if not is_text and condition.number is None:
        raise RunsError(f"--where {key}: expected a number, got {condition.limit!r}.")
    if is_text and key != "time" and condition.sign not in ("=", "!="):
        shown = f"{key}{condition.sign}{condition.limit}"
        raise RunsError(f"--where {shown}: {key} is a text; expected = or !=.")


def sort_runs(runs: Sequence[Run], key: str = "-time") -> list[Run]:
    """Sort runs by a key from small to large, or by `-key` from large to small. Runs without it come last.

    Raises:
        RunsError: No run has such a key.
    """
    name = key.removeprefix("-")
    _check_key("--sort", name, runs)
    known = [run for run in runs if run.value(name) is not None]
    known.sort(key=lambda run: (run.value(name), run.name), reverse=key.startswith("-"))
    return known + [run for run in runs if run.value(name) is None]


def metric_names(runs: Sequence[Run]) -> list[str]:
    """Return the metrics that any of the runs has, the most important first."""
    return in_order(name for run in runs for name in run.metrics)


def _check_key(option: str, key: str, runs: Sequence[Run]) -> None:
    known = [*_TEXT_KEYS, "size", *metric_names(runs)]
    if runs and key not in known:
        raise RunsError(f"{option}: no run has {key!r}. Known: {', '.join(known)}.")


# ------------------------------------------------------------------- showing


def table_of(runs: Sequence[Run], also: Sequence[str] = ()) -> PlainTable:
    """Return the runs as a table for the terminal, with the main metrics of their tasks and those in `also`."""
    shown = {name for run in runs for name in MAIN_METRICS[KIND_OF_TASK[run.task]].listed} | set(
        also
    )
    names = [name for name in metric_names(runs) if name in shown]
    table = PlainTable()
    table.add_column("time (UTC)", no_wrap=True)
    for heading in ("dataset", "task", "model"):
        table.add_column(heading, overflow="fold")
    for heading in (*names, "size"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("gate", ""):
        table.add_column(heading)
    for run in runs:
        cells = [show_metric(name, run.metrics.get(name)) for name in names]
        about = (run.name, run.dataset.rsplit("/", 1)[-1], run.task, run.model)
        size, gate = show_size(run.size_bytes), run.gate or "-"
        table.add_row(*about, *cells, size, gate, LATEST if run.latest else "")
    return table


def show_size(size_bytes: int) -> str:
    """Return a number of bytes as people read it.

    >>> show_size(999), show_size(12_345), show_size(159_000_000)
    ('999 B', '12.3 kB', '159 MB')
    """
    for unit, size in reversed(_SIZES.items()):
        if unit and size_bytes >= size:
            return f"{size_bytes / size:#.3g} {unit}".replace(". ", " ")
    return f"{size_bytes} B"


def to_json(runs: Sequence[Run], unreadable: Sequence[Unreadable]) -> str:
    """Return the list as JSON for programs: `{"runs": [...], "others": [{"path", "reason"}]}`."""
    content = {"runs": list(map(asdict, runs)), "others": list(map(asdict, unreadable))}
    return json.dumps(content, indent=2, ensure_ascii=False, default=str)


def render_page(
    runs: Sequence[Run], unreadable: Sequence[Unreadable], metric: str | None = None
) -> str:
    """Return one self-contained HTML page: the table, and for each dataset a metric over time.

    Args:
        runs: In the order of the table.
        unreadable: What is listed below the table.
        metric: The metric that is drawn; by default the first that most of the runs have.

    Raises:
        RunsError: No run has the metric.
    """
    names = metric_names(runs)
    if metric is not None and runs and metric not in names:
        raise RunsError(f"--metric: no run has {metric!r}. Known: {', '.join(names)}.")
    counts = {name: sum(name in run.metrics for run in runs) for name in names}
    metric = metric or max(names, key=lambda name: counts[name], default=None)
    return pages.render_page(
        "runs.html",
        runs=runs,
        unreadable=unreadable,
        metric=metric,
        pictures=_pictures(runs, metric) if metric else [],
        metrics=names,
        names=METRIC_NAMES,
        show_metric=show_metric,
        show_size=show_size,
    )


def _pictures(runs: Sequence[Run], metric: str) -> list[dict[str, str]]:
    """Draw a metric run by run, in a picture for each dataset: a good value on one is bad on another."""
    by_dataset: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.time):
        if metric in run.metrics:
            by_dataset.setdefault(run.dataset, []).append(run)
    return [
        {"dataset": dataset, "svg": _picture(dataset, drawn, metric)}
        for dataset, drawn in by_dataset.items()
    ]


def _picture(dataset: str, runs: Sequence[Run], metric: str) -> str:
    from train.reporting import plots  # matplotlib takes longer to load than a list to print

    ends = runs if len(runs) == 1 else (runs[0], runs[-1])
    shown = ", ".join(f"{show_metric(metric, run.metrics[metric])} at {run.name}" for run in ends)
    name = METRIC_NAMES.get(metric, metric)
    return plots.metric_by_run(
        [run.metrics[metric] for run in runs],
        [run.time[:10] for run in runs],
        failed=[run.gate == "failed" for run in runs],
        latest=[run.latest for run in runs],
        title=f"{name} of {counted(len(runs), 'run')} on {dataset}: {shown}",
    )
