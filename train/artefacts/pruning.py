"""Pruning: the rules for which artefacts may go, what is protected whatever they say, and the removal itself."""

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

# What every training run clears away when it is old; see `train.artefacts.writing.prepare_artefacts_dir`.
_HIDDEN_PREFIX = f"{UNFINISHED}pruned-"
_AGE = re.compile(r"(\d+) *(h|d|w)")
_HOURS = {"h": 1, "d": 24, "w": 168}


class PruneError(UserError):
    """Artefacts cannot be removed as asked. The message says what would do."""


@dataclass(frozen=True)
class Rules:
    """Which runs may go: those that meet every rule there is, and there must be one."""

    # The newest so many stay.
    keep: int | None = None
    older_than: timedelta | None = None
    # Only those that failed their gate.
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
    """What a prune would remove, and what it will not although the rules would let it."""

    to_remove: list[Run]
    # Path -> why it stays.
    protected: dict[Path, str]


def read_age(text: str) -> timedelta:
    """Turn 12h, 30d or 8w into a length of time.

    Raises:
        PruneError: It is none of these.
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
        runs: Those that may go at all, perhaps filtered.
        rules: All of them must be met.
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
        PruneError: The settings cannot be read, so nobody knows what is served.
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
        raise PruneError(f"It cannot be told which artefact is served: {error}") from None
    places = {settings_file.resolve().parent.parent / served: str(settings_file)}
    places |= {Path(served): str(settings_file)}
    if environ.get("ARTEFACT_DIR"):
        places[Path(environ["ARTEFACT_DIR"])] = "ARTEFACT_DIR in the environment"
    for place, who in places.items():
        for path in (place.resolve(), *place.resolve().parents):
            protected.setdefault(path, f"served: {who} names it")
    return protected


def prune(plan: Plan, protected: Callable[[], Mapping[Path, str]]) -> list[Run]:
    """Remove the runs of a plan, each whole or not at all.

    A run first gets a hidden name, so that a prune that is killed leaves no half artefact; the next training
    run clears away what is left under such names.

    Args:
        plan: From `plan_prune`.
        protected: Asked again before each removal, for a training run may have moved `latest` meanwhile.

    Returns:
        Those that were removed.

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
