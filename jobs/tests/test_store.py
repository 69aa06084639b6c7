"""Claims about the queue: a job has one state, and one worker."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from jobs.store import CANCELLED, FAILED, QUEUED, RUNNING, SUCCEEDED, Job, Outcome, Store
from jobs.tests.conftest import ROOT

_CLAIM_ALL = """
import sys
from pathlib import Path
from jobs.store import Store
store = Store(Path(sys.argv[1]))
while (job := store.claim()) is not None:
    print(job.id)
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "jobs.sqlite")


def added(store: Store, most: int = 1000) -> Job:
    job = store.add("iris", "dataset: iris", runs_code=False, promote=False, most=most)
    assert job is not None
    return job


def test_several_processes_never_claim_the_same_job(store: Store, tmp_path: Path) -> None:
    ids = [added(store).id for _ in range(100)]
    command = [sys.executable, "-c", _CLAIM_ALL, str(tmp_path / "jobs.sqlite")]

    def claim_all(_: int) -> list[str]:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
        return done.stdout.split()

    with ThreadPoolExecutor(4) as pool:
        claimed = [id for some in pool.map(claim_all, range(4)) for id in some]
    assert sorted(claimed) == sorted(ids)


def test_the_job_that_has_waited_longest_is_claimed_first(store: Store) -> None:
    first, second, third = added(store), added(store), added(store)
    store.cancel(first.id)
    store.retry(first.id, 1000)
    claimed: Iterator[Job | None] = iter(store.claim, None)
    assert [job.id for job in claimed if job] == [second.id, third.id, first.id]


def test_a_queue_takes_no_more_than_it_may_hold(store: Store) -> None:
    one, two = added(store, most=2), added(store, most=2)
    assert store.add("iris", "dataset: iris", runs_code=False, promote=False, most=2) is None
    store.cancel(one.id)
    added(store, most=2)
    assert store.retry(one.id, most=2) is None
    store.cancel(two.id)
    assert store.retry(one.id, most=2) is not None


def test_a_job_changes_only_from_the_states_that_it_may(store: Store) -> None:
    job = added(store)
    assert store.finish(job.id, Outcome(SUCCEEDED)) is None  # it does not run
    assert store.retry(job.id, 9) is None
    claimed = store.claim()
    assert claimed is not None
    assert (claimed.state, claimed.attempts) == (RUNNING, 1)
    cancelling = store.cancel(job.id)
    assert cancelling is not None
    assert (cancelling.state, cancelling.cancelling) == (RUNNING, True)
    ended = store.finish(job.id, Outcome(FAILED, "because", metrics={"accuracy": 0.5}))
    assert ended is not None
    assert (ended.why, ended.metrics, ended.cancelling) == ("because", {"accuracy": 0.5}, False)
    assert store.cancel(job.id) is None
    assert store.finish(job.id, Outcome(SUCCEEDED)) is None
    again = store.retry(job.id, 9)
    assert again is not None
    assert (again.state, again.why, again.metrics) == (QUEUED, None, None)
    cancelled = store.cancel(job.id)
    assert cancelled is not None
    assert cancelled.state == CANCELLED
    assert store.claim() is None
