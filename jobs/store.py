"""The queue of jobs, as one table of SQLite. Each change of a state is one statement, so no two workers get one job."""

import json
import os
import sqlite3
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

QUEUED, RUNNING = "queued", "running"
SUCCEEDED, FAILED, CANCELLED, INTERRUPTED = "succeeded", "failed", "cancelled", "interrupted"
STATES = (QUEUED, RUNNING, SUCCEEDED, FAILED, CANCELLED, INTERRUPTED)

_TABLE = """
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,               -- of the configuration, or of the dataset
    configuration TEXT NOT NULL,      -- the YAML that is trained
    runs_code INTEGER NOT NULL,       -- whether it names functions that the operator has listed
    promote INTEGER NOT NULL,         -- whether `latest` moves to it if it passes its gate
    state TEXT NOT NULL,
    cancelling INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    created_at REAL NOT NULL,         -- seconds since 1970
    queued_at REAL NOT NULL,
    started_at REAL,
    ended_at REAL,
    artefact TEXT,                    -- its name in the folder of artefacts
    gate TEXT,                        -- passed, failed, or nothing
    metrics TEXT,                     -- JSON
    why TEXT,                         -- it did not succeed
    promoted INTEGER NOT NULL DEFAULT 0  -- whether `latest` was ever led to its artefact
)
"""
_ROOM = "(SELECT count(*) FROM jobs WHERE state = 'queued') < :most"
_LONGEST_WAIT_S = 30.0


@dataclass(frozen=True)
class Job:
    """One row: a configuration that is to be trained, and what became of it."""

    number: int
    id: str
    name: str
    configuration: str
    runs_code: bool
    promote: bool
    state: str
    cancelling: bool
    attempts: int
    created_at: float
    queued_at: float
    started_at: float | None
    ended_at: float | None
    artefact: str | None
    gate: str | None
    metrics: dict[str, float] | None
    why: str | None
    promoted: bool


@dataclass(frozen=True)
class Outcome:
    """How a job ended."""

    state: str
    why: str | None = None
    artefact: str | None = None
    gate: str | None = None
    metrics: dict[str, float] | None = None


class Store:
    """The jobs on the disk; for any number of threads and processes."""

    def __init__(self, file: Path) -> None:
        """Open the database, and make the table if there is none."""
        self._file = file
        with closing(self._connect()) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(_TABLE)
            _bring_up_to_date(connection)

    def add(
        self, name: str, configuration: str, runs_code: bool, promote: bool, most: int
    ) -> Job | None:
        """Queue a job; None if `most` are waiting already."""
        now = time.time()
        return self._one(
            "INSERT INTO jobs (id, name, configuration, runs_code, promote, state, created_at, queued_at) "
            f"SELECT :id, :name, :configuration, :runs_code, :promote, 'queued', :now, :now WHERE {_ROOM} RETURNING *",
            id=os.urandom(6).hex(),
            name=name,
            configuration=configuration,
            runs_code=runs_code,
            promote=promote,
            now=now,
            most=most,
        )

    def claim(self) -> Job | None:
        """Let the job that has waited longest run; None if none waits."""
        return self._one(
            "UPDATE jobs SET state = 'running', started_at = :now, attempts = attempts + 1 "
            "WHERE number = (SELECT number FROM jobs WHERE state = 'queued' ORDER BY queued_at, number LIMIT 1) "
            "RETURNING *",
            now=time.time(),
        )

    def finish(self, id: str, outcome: Outcome) -> Job | None:
        """End a job that runs; None if it does not run."""
        values = asdict(outcome) | {"metrics": json.dumps(outcome.metrics)}
        return self._one(
            "UPDATE jobs SET state = :state, why = :why, artefact = :artefact, gate = :gate, metrics = :metrics, "
            "ended_at = :now, cancelling = 0 WHERE id = :id AND state = 'running' RETURNING *",
            id=id,
            now=time.time(),
            **values,
        )

    def note_artefact(self, id: str, artefact: str) -> None:
        """Keep the name that the artefact of a running job is about to get."""
        self._one(
            "UPDATE jobs SET artefact = :artefact WHERE id = :id AND state = 'running' RETURNING *",
            id=id,
            artefact=artefact,
        )

    def cancel(self, id: str) -> Job | None:
        """Cancel a job that waits, or ask for the end of one that runs; None if it has ended."""
        return self._one(
            "UPDATE jobs SET cancelling = (state = 'running'), "
            "ended_at = CASE state WHEN 'queued' THEN :now END, "
            "state = CASE state WHEN 'queued' THEN 'cancelled' ELSE state END "
            "WHERE id = :id AND state IN ('queued', 'running') RETURNING *",
            id=id,
            now=time.time(),
        )

    def retry(self, id: str, most: int) -> Job | None:
        """Queue a job again that ended without an artefact; None if it did not, or `most` are waiting already."""
        return self._one(
            "UPDATE jobs SET state = 'queued', queued_at = :now, started_at = NULL, ended_at = NULL, why = NULL, "
            "artefact = NULL, gate = NULL, metrics = NULL, cancelling = 0 "
            f"WHERE id = :id AND state IN ('failed', 'cancelled', 'interrupted') AND {_ROOM} RETURNING *",
            id=id,
            now=time.time(),
            most=most,
        )

    def get(self, id: str) -> Job | None:
        """Return a job; None if there is none of that id."""
        return self._one("SELECT * FROM jobs WHERE id = :id", id=id)

    def newest(self, most: int, state: str | None = None) -> list[Job]:
        """Return the newest jobs, perhaps of one state."""
        return self._all(
            "SELECT * FROM jobs WHERE :state IS NULL OR state = :state ORDER BY number DESC LIMIT :most",
            state=state,
            most=most,
        )

    def waiting(self) -> int:
        """Return how many jobs wait."""
        with closing(self._connect()) as connection:
            statement = "SELECT count(*) FROM jobs WHERE state = 'queued'"
            return int(connection.execute(statement).fetchone()[0])

    def running(self) -> list[Job]:
        """Return the jobs that run, or ran when the server before was killed."""
        return self._all("SELECT * FROM jobs WHERE state = 'running' ORDER BY number")

    def all(self) -> list[Job]:
        """Return all jobs."""
        return self._all("SELECT * FROM jobs ORDER BY number")

    def ended_before(self, moment: float) -> list[Job]:
        """Return the jobs that ended before a moment (seconds since 1970)."""
        return self._all("SELECT * FROM jobs WHERE ended_at < :moment", moment=moment)

    def note_promoted(self, id: str) -> None:
        """Keep that `latest` is about to lead to the artefact of a job."""
        self._one("UPDATE jobs SET promoted = 1 WHERE id = :id RETURNING *", id=id)

    def remove(self, id: str) -> None:
        """Forget a job that has ended."""
        self._one(
            "DELETE FROM jobs WHERE id = :id AND state NOT IN ('queued', 'running') RETURNING *",
            id=id,
        )

    def _one(self, statement: str, **values: Any) -> Job | None:
        return next(iter(self._all(statement, **values)), None)

    def _all(self, statement: str, **values: Any) -> list[Job]:
        with closing(self._connect()) as connection:
            # To its end: a statement that returns rows takes effect when they are fetched.
            return [_job(row) for row in connection.execute(statement, values).fetchall()]

    def _connect(self) -> sqlite3.Connection:
        # Without an isolation level each statement is a transaction.
        connection = sqlite3.connect(self._file, timeout=_LONGEST_WAIT_S, isolation_level=None)
        connection.row_factory = sqlite3.Row
        return connection


def _bring_up_to_date(connection: sqlite3.Connection) -> None:
    connection.execute("BEGIN IMMEDIATE")  # another process may do the same
    columns = [row["name"] for row in connection.execute("PRAGMA table_info(jobs)")]
    if "promoted" not in columns:
        connection.execute("ALTER TABLE jobs ADD COLUMN promoted INTEGER NOT NULL DEFAULT 0")
        # Nobody has noted it: each of them may be what is served.
        connection.execute("UPDATE jobs SET promoted = 1 WHERE state = 'succeeded'")
    connection.execute("COMMIT")


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    for key in ("runs_code", "promote", "cancelling", "promoted"):
        values[key] = bool(values[key])
    values["metrics"] = json.loads(values["metrics"] or "null")
    return Job(**values)
