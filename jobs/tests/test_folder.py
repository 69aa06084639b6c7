"""Claims about what is in a job's folder, and what a start makes of it after a kill at any step."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.folder import Folder
from jobs.settings import JobsSettings
from jobs.store import CANCELLED, INTERRUPTED, QUEUED, SUCCEEDED, Store
from jobs.tests.conftest import ROOT
from jobs.worker import Slots
from predict.scoring.predictor import Predictor
from train.artefacts.folder import UNFINISHED

GOLDEN = ROOT / "predict/tests/golden/format-4"


def test_of_what_a_job_prints_the_end_is_kept(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    for number in range(2000):
        folder.add_to_log(f"line {number}\n".encode(), 1000)
    lines = folder.log().splitlines()
    assert len(folder.log()) <= 1000 + len("line 1999\n")
    assert (lines[0], lines[-1]) == ("[... earlier lines are left out ...]", "line 1999")
    assert lines[1:] == [f"line {n}" for n in range(2000 - len(lines) + 1, 2000)]


def test_a_process_that_goes_on_without_its_server_is_ended(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    script = (
        "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "os.pwrite(int(sys.argv[1]), f'{os.getpid()}\\n'.encode(), 0); print(flush=True); time.sleep(60)"
    )
    with folder.locked() as lock:
        command = [sys.executable, "-c", script, str(lock)]
        process = subprocess.Popen(
            command, pass_fds=(lock,), start_new_session=True, stdout=subprocess.PIPE
        )
    with process:
        try:
            assert process.stdout is not None
            process.stdout.readline()
            folder.end_orphans(grace_s=0.3)
            assert process.wait(5) == -signal.SIGKILL
        finally:
            process.kill()
    folder.end_orphans(grace_s=0.3)  # now there is none


class Killed:
    """A job that ran when its server was killed, and what was there then."""

    def __init__(self, tmp_path: Path, **settings: object) -> None:
        self.settings = JobsSettings.model_validate(
            {"jobs_dir": tmp_path / "jobs", "artefacts_dir": tmp_path / "artefacts", **settings}
        )
        for folder in (self.settings.jobs_dir, self.settings.artefacts_dir):
            folder.mkdir()
        self.store = Store(self.settings.jobs_dir / "jobs.sqlite")
        self.store.add("iris", "dataset: iris", runs_code=False, promote=True, most=9)
        job = self.store.claim()
        assert job is not None
        self.job, self.slots = job, Slots(self.store, self.settings)
        self.folder = self.slots.folder_of(job)
        self.folder.begin(job.configuration)
        self.folder.artefacts.mkdir()
        self.created = json.loads((GOLDEN / "metadata.json").read_bytes())["created_at"]
        self.name = self.created[:19].replace("T", "-").replace(":", "-")

    def write(self) -> Path:
        return Path(shutil.copytree(GOLDEN, self.folder.artefacts / self.name))

    def move(self) -> None:
        self.write().rename(self.settings.artefacts_dir / self.name)

    def start(self) -> tuple[str, list[str]]:
        """Start a server again that takes no other job; return the state of the job, and what artefacts there are."""
        for job in self.store.running():
            self.slots.settle_interrupted(job)
        found = self.store.get(self.job.id)
        assert found is not None
        assert self.folder.artefact() is None
        for path in self.settings.artefacts_dir.iterdir():
            Predictor.load(path)
        return found.state, sorted(path.name for path in self.settings.artefacts_dir.iterdir())


@pytest.fixture
def killed(tmp_path: Path) -> Killed:
    return Killed(tmp_path)


def test_a_job_that_had_not_finished_its_artefact_is_interrupted(killed: Killed) -> None:
    (killed.folder.artefacts / f"{UNFINISHED}x").mkdir()
    assert killed.start() == (INTERRUPTED, [])
    assert not killed.folder.artefacts.exists()


def test_it_is_queued_again_once_if_the_operator_says_so(tmp_path: Path) -> None:
    killed = Killed(tmp_path, retry_interrupted=True)
    assert killed.start() == (QUEUED, [])
    killed.store.claim()
    assert killed.start() == (INTERRUPTED, [])


@pytest.mark.parametrize("noted", [False, True])
def test_an_artefact_that_was_whole_is_published_and_promoted(killed: Killed, noted: bool) -> None:
    killed.write()
    if noted:
        killed.store.note_artefact(killed.job.id, killed.name)
    assert killed.start() == (SUCCEEDED, [killed.name, "latest"])


@pytest.mark.parametrize("cancelling", [False, True])
def test_an_artefact_that_was_published_is_not_published_twice(
    killed: Killed, cancelling: bool
) -> None:
    killed.store.note_artefact(killed.job.id, killed.name)
    killed.move()
    if cancelling:  # too late
        killed.store.cancel(killed.job.id)
    assert killed.start() == (SUCCEEDED, [killed.name, "latest"])


def test_an_artefact_whose_name_somebody_took_gets_another_one(killed: Killed) -> None:
    killed.store.note_artefact(killed.job.id, killed.name)
    killed.move()
    killed.write()
    assert killed.start() == (SUCCEEDED, [killed.name, f"{killed.name}-2", "latest"])
    latest = killed.settings.artefacts_dir / "latest"
    assert os.readlink(latest) == Predictor.load(latest).metadata.name == f"{killed.name}-2"


def test_what_was_cancelled_before_it_was_published_is_gone(killed: Killed) -> None:
    killed.write()
    killed.store.cancel(killed.job.id)
    assert killed.start() == (CANCELLED, [])
