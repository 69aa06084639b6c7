"""All artefacts of a folder: found, filtered, sorted, shown as a table, as JSON or as a page, and pruned."""

import fnmatch
import json
import operator
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.table import Table

from predict.contract.artefact import (
    METADATA,
    METRICS,
    READ_VERSIONS,
    ArtefactError,
    Metadata,
    load_artefact,
)
from predict.settings import SettingsError, load_settings
from train.errors import UserError
from train.evaluation.metrics import METRIC_NAMES, show_metric
from train.reporting import pages

LATEST = "latest"
# What every training run clears away when it is old; see `train.artefacts.writing.prepare_artefacts_dir`.
_GOING = ".unfinished-pruned-"
# The metrics of a task that the table has room for.
_MAIN_METRICS = {
    "classification": ("accuracy", "log_loss"),
    "regression": ("rmse", "r2"),
    "multilabel": ("micro_f1", "macro_f1"),
}
_TEXT_KEYS = ("time", "name", "dataset", "task", "model", "gate")
_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
_CONDITION = re.compile(r"\s*([\w-]+?)\s*(>=|<=|!=|=|>|<)\s*(.*?)\s*")
_AGE = re.compile(r"(\d+) *(h|d|w)")
_HOURS = {"h": 1, "d": 24, "w": 168}
_UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9}


class RunsError(UserError):
    """Artefacts cannot be listed, filtered or pruned as asked. The message says what would do."""


@dataclass(frozen=True)
class Run:
    """What is known of an artefact without loading its model."""

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
    # passed or failed; None for a run that had none.
    gate: str | None
    failed_checks: tuple[str, ...]
    latest: bool
    # Files and folders that no run wrote, and that nobody but their owner should remove.
    additions: tuple[str, ...]

    def value(self, key: str) -> str | float | None:
        """Return what the run has under a key to sort or filter by; None if it has nothing there."""
        if key == "size":
            return self.size_bytes
        if key in _TEXT_KEYS:
            text: str | None = getattr(self, key)
            return text
        return self.metrics.get(key)


@dataclass(frozen=True)
class Other:
    """Something in the folder that is no artefact, or a damaged one."""

    path: Path
    reason: str


# --------------------------------------------------------------------- found


def find_runs(artefacts_dir: Path, verify: bool = False) -> tuple[list[Run], list[Other]]:
    """Look at everything in a folder of artefacts; what is hidden and links are passed over.

    Args:
        artefacts_dir: What `artefacts_dir` is in the configuration.
        verify: Compare the bytes of every file with the metadata too, which takes a second a gigabyte.

    Returns:
        The artefacts and the rest, both in the order of their names.

    Raises:
        RunsError: There is no such folder.
    """
    latest = (artefacts_dir / LATEST).resolve()
    runs, others = [], []
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
            others.append(Other(path, str(error)))
    return runs, others


def _read_run(path: Path, latest: Path, verify: bool) -> Run:
    if not path.is_dir():
        raise RunsError("not a directory")
    try:
        metadata = _read_metadata(path)
        metrics = _read_json(path / METRICS)
        sizes = {file.name: _size_of(file) for file in path.iterdir()}
    except OSError as error:
        raise RunsError(f"{Path(error.filename).name} cannot be read ({error.strerror})") from None
    if missing := [name for name in metadata.files if name not in sizes]:
        raise RunsError(f"damaged: {', '.join(missing)} missing")
    if verify:
        _verify(path)
    gate = metrics.get("gate")
    try:
        failed = tuple(str(check["check"]) for check in gate or () if not check["passed"])
    except (KeyError, TypeError):
        raise RunsError(f"damaged: {METRICS}: the gate is not what a run writes") from None
    return Run(
        path=path,
        name=path.name,
        time=metadata.created_at,
        dataset=str(metadata.dataset.get("name", "?")),
        task=metadata.task,
        model=_model_of(metadata),
        metrics=dict(metadata.metrics),
        size_bytes=sum(sizes.values()),
        gate=("failed" if failed else "passed") if gate else None,
        failed_checks=failed,
        latest=path.resolve() == latest,
        additions=tuple(sorted(set(sizes) - {METADATA, *metadata.files})),
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
    if content.get("format_version") not in READ_VERSIONS:
        raise RunsError(f"format_version {content.get('format_version')!r} cannot be read here")
    try:
        return Metadata.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RunsError(f"damaged: {METADATA}: {place}: {first['msg']}") from None


def _read_json(file: Path) -> dict[str, Any]:
    try:
        content = json.loads(file.read_bytes())
    except (ValueError, RecursionError):
        raise RunsError(f"damaged: {file.name} is not JSON") from None
    if not isinstance(content, dict):
        raise RunsError(f"damaged: {file.name} is not what a run writes")
    return content


def _verify(path: Path) -> None:
    try:
        load_artefact(path)
    except ArtefactError as error:
        reason = str(error).removeprefix(f"{path}: ").removeprefix(f"{path}/").partition(". ")[0]
        raise RunsError(f"damaged: {reason}") from None


def _size_of(path: Path) -> int:
    if path.is_dir() and not path.is_symlink():
        return sum(_size_of(inner) for inner in path.iterdir())
    return path.lstat().st_size


# --------------------------------------------------------- filtered and sorted


def filter_runs(runs: Sequence[Run], conditions: Sequence[str]) -> list[Run]:
    """Return the runs that meet every condition.

    Args:
        runs: From `find_runs`.
        conditions: `key=value` with wildcards in the value, `key!=value`, or `key>=value` and the like for
            metrics, size (`size>50MB`) and time (`time>=2025-01-31`). A run without a metric meets none.

    Raises:
        RunsError: A condition is malformed, or no run has such a key.
    """
    kept = list(runs)
    for condition in conditions:
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise RunsError(
                f"--where {condition}: expected KEY=VALUE, such as dataset=titanic or accuracy>=0.9."
            )
        key, sign, wanted = match.groups()
        _check_key("--where", key, runs)
        meets = _condition(key, sign, wanted)
        kept = [run for run in kept if (value := run.value(key)) is not None and meets(value)]
    return kept


def _condition(key: str, sign: str, wanted: str) -> Callable[[Any], bool]:
    compare = _OPERATORS[sign]
    if key not in _TEXT_KEYS:
        number = _read_number(key, wanted)
        return lambda value: compare(value, number)
    if sign in ("=", "!="):
        return lambda value: fnmatch.fnmatchcase(value, wanted) == (sign == "=")
    if key != "time":
        raise RunsError(f"--where {key}{sign}{wanted}: {key} is a text; expected = or !=.")
    return lambda value: compare(value, wanted)


def _read_number(key: str, text: str) -> float:
    match = re.fullmatch(r"(.*?)\s*([kMG]B)?", text)
    assert match is not None  # anything matches
    try:
        return float(match[1]) * _UNITS[match[2] or ""]
    except ValueError:
        raise RunsError(f"--where {key}: expected a number, got {text!r}.") from None


def sort_runs(runs: Sequence[Run], key: str = "-time") -> list[Run]:
    """Return the runs by a key, from small to large; `-key` is from large to small. Those without it come last.

    Raises:
        RunsError: No run has such a key.
    """
    name = key.removeprefix("-")
    _check_key("--sort", name, runs)
    known = [run for run in runs if run.value(name) is not None]
    known.sort(key=lambda run: (run.value(name), run.name), reverse=key.startswith("-"))
    return known + [run for run in runs if run.value(name) is None]


def metric_names(runs: Sequence[Run]) -> list[str]:
    """Return the metrics that any of the runs has, in the order in which people want to see them."""
    found = {name for run in runs for name in run.metrics}
    return [name for name in METRIC_NAMES if name in found] + sorted(found - set(METRIC_NAMES))


def _check_key(option: str, key: str, runs: Sequence[Run]) -> None:
    known = [*_TEXT_KEYS, "size", *metric_names(runs)]
    if runs and key not in known:
        raise RunsError(f"{option}: no run has {key!r}. Known: {', '.join(known)}.")


# --------------------------------------------------------------------- shown


def table_of(runs: Sequence[Run], also: Sequence[str] = ()) -> Table:
    """Return the runs as a table for the terminal, with the main metrics of their tasks and `also` others."""
    wanted = {name for run in runs for name in _MAIN_METRICS[run.task]} | set(also)
    names = [name for name in metric_names(runs) if name in wanted]
    table = Table(box=None, pad_edge=False)
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
    """Return a number of bytes as people read it: 999 B, 12.3 kB, 73.1 MB."""
    for unit, size in reversed(_UNITS.items()):
        if unit and size_bytes >= size:
            return f"{size_bytes / size:#.3g} {unit}".replace(". ", " ")
    return f"{size_bytes} B"


def to_json(runs: Sequence[Run], others: Sequence[Other]) -> str:
    """Return runs and others as JSON for programs: `{"runs": [...], "others": [{"path", "reason"}]}`."""
    content = {"runs": [asdict(run) for run in runs], "others": [asdict(item) for item in others]}
    return json.dumps(content, indent=2, ensure_ascii=False, default=str)


def render_page(runs: Sequence[Run], others: Sequence[Other], metric: str | None = None) -> str:
    """Return one HTML page, needing nothing from elsewhere: the table, and a metric over time by dataset.

    Args:
        runs: In the order of the table.
        others: Are listed below it.
        metric: What is drawn; by default the first that most of the runs have.

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
        others=others,
        metric=metric,
        charts=_charts(runs, metric) if metric else [],
        metrics=names,
        names=METRIC_NAMES,
        show_metric=show_metric,
        show_size=show_size,
    )


_WIDTH, _HEIGHT, _MARGIN = 480, 150, 62


def _charts(runs: Sequence[Run], metric: str) -> list[dict[str, Any]]:
    """Return what the template draws: a chart a dataset, for what is good on one is bad on another."""
    drawn = sorted((run for run in runs if metric in run.metrics), key=lambda run: run.time)
    datasets = list(dict.fromkeys(run.dataset for run in drawn))
    return [
        _chart(dataset, [run for run in drawn if run.dataset == dataset], metric)
        for dataset in datasets
    ]


def _chart(dataset: str, runs: Sequence[Run], metric: str) -> dict[str, Any]:
    """Place the points of a chart. Runs come in bursts, so they stand at equal distances, not at their times."""
    values = [run.metrics[metric] for run in runs]
    low, high = min(values), max(values)
    span, room = (high - low) or 1.0, _WIDTH - _MARGIN - 16
    step = room / max(1, len(runs) - 1)

    def y(value: float) -> float:
        return (
            round(_HEIGHT - 14 - (value - low) / span * (_HEIGHT - 28), 1) if high > low else 75.0
        )

    points = [
        {"run": run, "x": round(_MARGIN + 8 + step * place, 1), "y": y(value), "value": value}
        for place, (run, value) in enumerate(zip(runs, values, strict=True))
    ]
    lines = [{"y": y(value), "value": value} for value in dict.fromkeys((low, high))]
    return {"dataset": dataset, "points": points, "lines": lines}


# -------------------------------------------------------------------- pruned


@dataclass(frozen=True)
class Rules:
    """Which runs may go: those that meet every rule that is given, and one must be."""

    # The newest so many stay.
    keep: int | None = None
    older_than: timedelta | None = None
    # Only those that failed their gate.
    failed: bool = False


@dataclass(frozen=True)
class Pruning:
    """What a prune would remove, and what it will not although the rules would let it."""

    goes: list[Run]
    stays: list[Other]

    @property
    def frees_bytes(self) -> int:
        """How much space there will be."""
        return sum(run.size_bytes for run in self.goes)


def read_age(text: str) -> timedelta:
    """Turn 12h, 30d or 8w into a length of time.

    Raises:
        RunsError: It is none of these.
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise RunsError(
            f"--older-than {text}: expected hours, days or weeks, such as 12h, 30d or 8w."
        )
    return timedelta(hours=int(match[1]) * _HOURS[match[2]])


def plan_prune(
    runs: Sequence[Run], rules: Rules, protected: Mapping[Path, str], now: datetime | None = None
) -> Pruning:
    """Choose what goes.

    Args:
        runs: Those that may go at all, perhaps filtered.
        rules: All of them must be met.
        protected: From `protected_paths`.
        now: For tests.

    Raises:
        RunsError: No rule is given.
    """
    if rules == Rules():
        raise RunsError("--prune: say which may go: --keep N, --older-than 30d or --failed.")
    now = now or datetime.now(UTC)
    goes, stays = [], []
    for place, run in enumerate(sort_runs(runs, "-time")):
        young = rules.older_than is not None and now - _moment(run) < rules.older_than
        if (
            (rules.keep is not None and place < rules.keep)
            or young
            or (rules.failed and run.gate != "failed")
        ):
            continue
        if reason := _reason_to_stay(run, protected):
            stays.append(Other(run.path, reason))
        else:
            goes.append(run)
    return Pruning(goes, stays)


def _moment(run: Run) -> datetime:
    try:
        moment = datetime.fromisoformat(run.time)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)  # of unknown age: not old
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _reason_to_stay(run: Run, protected: Mapping[Path, str]) -> str | None:
    if reason := protected.get(run.path.resolve()):
        return reason
    if run.additions:
        return f"holds what no run wrote: {', '.join(run.additions)}"
    return None


def protected_paths(
    artefacts_dir: Path, settings_file: Path, environ: Mapping[str, str] = os.environ
) -> dict[Path, str]:
    """Return the artefacts that must stay, resolved, with the reason: links lead to them, or they are served.

    Args:
        artefacts_dir: Every link in it counts, `latest` and those that people made.
        settings_file: `conf/predict.conf`; its ARTEFACT_DIR counts, as does the environment's.
        environ: Environment variables.

    Raises:
        RunsError: The settings cannot be read, so nobody knows what is served.
    """
    protected = {
        link.resolve(): f"{link.name} points to it"
        for link in artefacts_dir.iterdir()
        if link.is_symlink()
    }
    try:
        # A file that is not there serves what the defaults say.
        served = load_settings(settings_file if settings_file.exists() else None, {}).artefact_dir
    except SettingsError as error:
        raise RunsError(f"--prune: what is served is not to be known: {error}") from None
    places = {settings_file.resolve().parent.parent / served: str(settings_file)}
    places |= {Path(served): str(settings_file)}
    if environ.get("ARTEFACT_DIR"):
        places[Path(environ["ARTEFACT_DIR"])] = "ARTEFACT_DIR in the environment"
    for place, who in places.items():
        for path in (place.resolve(), *place.resolve().parents):
            protected.setdefault(path, f"served: {who} names it")
    return protected


def prune(pruning: Pruning, protected: Callable[[], Mapping[Path, str]]) -> list[Run]:
    """Remove the runs of a plan, each whole or not at all.

    A run first gets a hidden name, so that a prune that is killed leaves no half artefact; the next training
    run clears away what is left under such names.

    Args:
        pruning: From `plan_prune`.
        protected: Asked again before each removal, for a training run may have moved `latest` meanwhile.

    Returns:
        Those that were removed.

    Raises:
        RunsError: One cannot be removed; those before it are gone.
    """
    removed = []
    for run in pruning.goes:
        if run.path.resolve() in protected():
            continue
        hidden = run.path.with_name(f"{_GOING}{run.name}")
        try:
            run.path.rename(hidden)
            shutil.rmtree(hidden)
        except FileNotFoundError:
            continue  # somebody else has removed it
        except OSError as error:
            raise RunsError(f"{run.path}: cannot be removed: {error.strerror}.") from None
        removed.append(run)
    return removed
