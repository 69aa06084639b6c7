"""Claims about what is removed: what is old and unneeded, whole or not at all, and never what may be served."""

import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.app import create_app
from jobs.orders import read_order
from jobs.retention import InUseError, Retention
from jobs.settings import JobsSettings
from jobs.store import SUCCEEDED, Job, Outcome, Store
from jobs.tests.conftest import ROOT, Service
from jobs.worker import Slots

LATER = time.time() + 10 * 24 * 3600

_KILLED = """
import os, shutil, sys
from pathlib import Path
from jobs.retention import Retention
from jobs.settings import JobsSettings
from jobs.store import Store
folder = Path(sys.argv[1])
settings = JobsSettings(jobs_dir=folder / "jobs", artefacts_dir=folder / "artefacts", jobs_keep_days=1)
end = lambda *_, **__: os.kill(os.getpid(), 9)
owner, name = {"Path": (Path, "rename"), "shutil": (shutil, "rmtree"), "Store": (Store, "remove")}[sys.argv[2]]
done = getattr(owner, name)
setattr(owner, name, (lambda *given: (done(*given), end())) if sys.argv[3] == "after" else end)
Retention(Store(folder / "jobs/jobs.sqlite"), settings).sweep(float(sys.argv[4]))
"""


@pytest.fixture
def settings(tmp_path: Path) -> JobsSettings:
    settings = JobsSettings(
        jobs_dir=tmp_path / "jobs", artefacts_dir=tmp_path / "artefacts", jobs_keep_days=1
    )
    for folder in (settings.uploads_dir, settings.artefacts_dir):
        folder.mkdir(parents=True)
    return settings


@pytest.fixture
def store(settings: JobsSettings) -> Store:
    return Store(settings.jobs_dir / "jobs.sqlite")


def ended(store: Store, settings: JobsSettings, artefact: str, dataset: str = "iris") -> Job:
    queued = store.add(dataset, f"dataset: {dataset}", False, False, 100)
    assert queued is not None
    store.claim()
    job = store.finish(queued.id, Outcome(SUCCEEDED, artefact=artefact))
    assert job is not None
    for folder in (settings.artefacts_dir / artefact, settings.jobs_dir / job.id):
        folder.mkdir()
        (folder / "file").write_text("content")
    return job


def test_an_old_job_goes_with_its_artefact_but_not_what_was_promoted_or_is_latest(
    store: Store, settings: JobsSettings
) -> None:
    old, promoted, latest = (ended(store, settings, name) for name in ("old", "served", "newest"))
    (settings.artefacts_dir / "by-hand").mkdir()
    (settings.artefacts_dir / "latest").symlink_to("newest")
    store.note_promoted(promoted.id)
    waiting = store.add("iris", "dataset: iris", False, False, 100)
    assert waiting is not None
    retention = Retention(store, settings)
    retention.sweep(time.time())
    assert len(store.all()) == 4
    retention.sweep(LATER)
    assert [job.id for job in store.all()] == [promoted.id, latest.id, waiting.id]
    assert sorted(os.listdir(settings.artefacts_dir)) == ["by-hand", "latest", "newest", "served"]
    assert not (settings.jobs_dir / old.id).exists()


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("step", ["Path", "shutil", "Store"])
def test_a_removal_that_is_killed_is_done_by_the_next_one(
    store: Store, settings: JobsSettings, step: str, moment: str
) -> None:
    job = ended(store, settings, "old")
    arguments = [str(settings.jobs_dir.parent), step, moment, str(LATER)]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *arguments], cwd=ROOT, check=False)
    assert killed.returncode == -9
    assert (store.get(job.id) is None) == ((step, moment) == ("Store", "after"))
    artefact = settings.artefacts_dir / "old"
    assert not artefact.exists() or (artefact / "file").exists()
    Retention(store, settings).sweep(LATER)
    assert store.all() == []
    assert os.listdir(settings.artefacts_dir) == []
    assert not (settings.jobs_dir / job.id).exists()


def test_an_upload_stays_as_long_as_a_job_names_it(store: Store, settings: JobsSettings) -> None:
    for name in ("a.csv", "a.csv.gz", "alone.csv"):
        (settings.uploads_dir / name).write_text("x")
    waiting = store.add("a", f"dataset: {settings.uploads_dir / 'a.csv'}", False, False, 100)
    assert waiting is not None
    retention = Retention(store, settings)
    retention.sweep(LATER)
    assert os.listdir(settings.uploads_dir) == ["a.csv"]
    with pytest.raises(InUseError, match=rf"a\.csv: job {waiting.id} needs it"):
        retention.remove_upload("a.csv")
    store.cancel(waiting.id)
    assert retention.remove_upload("a.csv")
    assert not retention.remove_upload("a.csv")


def test_an_upload_in_use_is_found_however_its_path_is_written(tmp_path: Path) -> None:
    settings = JobsSettings(jobs_dir=tmp_path / f"a folder: it's {'long ' * 20}#é")
    settings.uploads_dir.mkdir(parents=True)
    for name in ("a.csv", "a.csv.gz"):
        (settings.uploads_dir / name).write_text("x")
    order = read_order(b"dataset: uploads/a.csv", False, settings)
    store = Store(settings.jobs_dir / "jobs.sqlite")
    waiting = store.add(order.name, order.configuration, False, False, 100)
    assert waiting is not None
    assert str(settings.uploads_dir) not in waiting.configuration
    assert Retention(store, settings).users() == {"a.csv": [waiting], "a.csv.gz": []}


def test_reading_a_large_configuration_keeps_nobody_waiting_and_its_upload_is_looked_for_again(
    settings: JobsSettings, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    (settings.uploads_dir / "a.csv").write_text("x")
    retention, slots = Retention(store, settings), Slots(store, settings)
    ask = create_app(store, slots, retention, settings).test_client()

    def read(*given: Any) -> Any:
        order = read_order(*given)
        assert not retention.lock.locked()
        assert ask.delete("/datasets/a.csv").status_code == 204  # meanwhile
        return order

    monkeypatch.setattr("jobs.app.read_order", read)
    answer = ask.post("/train", json={"dataset": "uploads/a.csv"})
    assert answer.status_code == 422
    assert "uploads/a.csv: there is no such upload" in answer.json["detail"]
    assert store.all() == []


def test_what_a_table_of_before_has_not_noted_counts_as_promoted(
    store: Store, settings: JobsSettings
) -> None:
    job = ended(store, settings, "old")
    file = settings.jobs_dir / "jobs.sqlite"
    with sqlite3.connect(file) as connection:
        connection.execute("ALTER TABLE jobs DROP COLUMN promoted")
    connection.close()
    again = Store(file)
    Retention(again, settings).sweep(LATER)
    assert [kept.promoted for kept in again.all()] == [True]
    assert (settings.artefacts_dir / str(job.artefact)).exists()


def test_uploads_are_listed_with_their_users_and_removed_when_none_is_left(
    start: Callable[..., Service],
) -> None:
    service = start()
    body = "a,b,label\n" + "".join(f"{n},{n % 7},{'x' if n % 2 else 'y'}\n" for n in range(100))
    kind = {"Content-Type": "application/octet-stream"}
    sent = service.ask("POST", "/datasets?name=mine.csv", body, kind).json
    search = {"model.C": [0.1 * n for n in range(1, 501)], "folds": 20}
    id = service.train(dataset="uploads/mine.csv", search=search)
    assert service.ask("GET", "/datasets").json == {"datasets": [{**sent, "jobs": [id]}]}
    refused = service.ask("DELETE", "/datasets/mine.csv")
    assert (refused.status, id in refused.json["detail"]) == (409, True)
    service.ask("DELETE", f"/jobs/{id}")
    service.ended(id)
    assert service.ask("DELETE", "/datasets/mine.csv").status == 204
    assert service.ask("DELETE", "/datasets/mine.csv").status == 404
    for name in ("..%2Fjobs.sqlite", "jobs.sqlite", "..%2F..%2Fx.csv"):
        assert service.ask("DELETE", f"/datasets/{name}").status == 404
    assert service.ask("GET", "/datasets").json == {"datasets": []}
