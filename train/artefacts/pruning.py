"""Pruning: the rules for which artefacts may go, what is protected in any case, and the removal itself."""

import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from predict.settings import SettingsError, load_settings
from train.artefacts.folder import UNFINISHED
from train.artefacts.listing import Run, sort_runs
from train.errors import UserError

# Every training run clears away old folders of this name; see `train.artefacts.folder.prepare`.
_HIDDEN_PREFIX = f"{UNFINISHED}pruned-"
_AGE = re.compile(r"(\d+) *(h|d|w)")
_HOURS = {"h": 1, "d": 24, "w": 168}


class PruneError(UserError):
    """Artefacts cannot be removed as asked. The message says what is possible."""


@dataclass(frozen=True)
class Rules:
    """The rules for which runs may go: a run must meet all that are set, and at least one must be."""

    # This many of the newest stay.
    keep: int | None = None
    older_than: timedelta | None = None
    # Only runs that failed their gate.
    failed: bool = False

    def allow(self, run: Run, newer: int, now: datetime) -> bool:
        """Return whether a run may go; `newer` is the number of runs that are newer."""
        return (
            (self.keep is None or newer >= self.keep)
            and (self.older_than is None or now - _moment(run) >= self.older_than)
            and (not self.failed or run.gate == "failed")
        )


@dataclass(frozen=True)
class Plan:
    """What a prune would remove, and what stays although the rules would let it go."""

    to_remove: list[Run]
    # Path -> why it stays.
    protected: dict[Path, str]


def read_age(text: str) -> timedelta:
    """Turn 12h, 30d or 8w into a length of time.

    Raises:
        PruneError: It is none of these.

    >>> read_age("8w").days
    56
    """
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise PruneError(
            f"--older-than {text}: expected hours, days or weeks, such as 12h, 30d or 8w."
        )
    return timedelta(hours=int(match[1]) * _HOURS[match[2]])


def plan_prune(
    runs: Sequence[Run], rules: Rules, protected: Mapping[Path, str], now: datetime | None = None
) -> Plan:
    """Choose what goes.

    Args:
        runs: The candidates.
        rules: A run must meet all of them.
        protected: From `protected_paths`.
        now: For tests.

    Raises:
        PruneError: There is no rule.
    """
    if rules == Rules():
        raise PruneError(
            "Nothing says which artefacts may go. Add --keep N, --older-than 30d or --failed; "
            "with --keep 0 all may."
        )
    now = now or datetime.now(UTC)
    to_remove, protected_runs = [], {}
    for newer, run in enumerate(sort_runs(runs, "-time")):
        if not rules.allow(run, newer, now):
            continue
        if reason := _reason_to_stay(run, protected):
            protected_runs[run.path] = reason
        else:
            to_remove.append(run)
    return Plan(to_remove, protected_runs)


def _moment(run: Run) -> datetime:
    try:
        moment = datetime.fromisoformat(run.time)
    except ValueError:
        return datetime.max.replace(tzinfo=UTC)  # an unknown age is not old
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _reason_to_stay(run: Run, protected: Mapping[Path, str]) -> str | None:
    if reason := protected.get(run.path.resolve()):
        return reason
    if run.additions:
        return f"has files that no run wrote: {', '.join(run.additions)}"
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
        PruneError: The settings cannot be read, so it is unknown what is served.
    """
    protected = {
        link.resolve(): f"{link.name} points to it"
        for link in artefacts_dir.iterdir()
        if link.is_symlink()
    }
    try:
        # Without the file, the defaults say what is served.
        served = load_settings(settings_file if settings_file.exists() else None, {}).artefact_dir
    except SettingsError as error:
        raise PruneError(f"It is unknown which artefact is served: {error}") from None
    served_paths = {settings_file.resolve().parent.parent / served: str(settings_file)}
    served_paths |= {Path(served): str(settings_file)}
    if environ.get("ARTEFACT_DIR"):
        served_paths[Path(environ["ARTEFACT_DIR"])] = "ARTEFACT_DIR in the environment"
    for served_path, who in served_paths.items():
        for path in (served_path.resolve(), *served_path.resolve().parents):
            protected.setdefault(path, f"served: {who} names it")
    return protected


def prune(plan: Plan, protected: Callable[[], Mapping[Path, str]]) -> list[Run]:
    """Remove the runs of a plan, each whole or not at all.

    A run first gets a hidden name, so that a prune that is killed leaves no half artefact; the next training
    run clears away what is left under such names.

    Args:
        plan: From `plan_prune`.
        protected: Called again before each removal: a training run may have moved `latest` meanwhile.

    Returns:
        The removed runs.

    Raises:
        PruneError: One cannot be removed; those before it are gone.
    """
    removed = []
    for run in plan.to_remove:
        if run.path.resolve() in protected():
            continue
        hidden = run.path.with_name(f"{_HIDDEN_PREFIX}{run.name}")
        try:
            run.path.rename(hidden)
            shutil.rmtree(hidden)
        except FileNotFoundError:
            continue  # somebody else has removed it
        except OSError as error:
            raise PruneError(f"{run.path}: cannot be removed: {error.strerror}.") from None
        removed.append(run)
    return removed
