"""Claims about writing an artefact: whole or not at all, and proven to answer as the trained model does."""

import errno
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predict.contract.artefact import METADATA, load_artefact, sha256_of
from predict.scoring.predictor import Predictor
from train.acceptance import behaviour, gate
from train.acceptance.equality import (
    check_equal,
    check_same_answers,
    check_same_labels,
    rows_to_verify,
)
from train.artefacts import folder as artefacts_folder
from train.artefacts import writing as export
from train.artefacts.folder import FolderError
from train.artefacts.writing import unfinished_artefact
from train.config.sections import ModelConfig
from train.data.splits import Prepared
from train.errors import ExportError
from train.models.family import Tolerance
from train.tests.exporting import export_table
from train.tests.tables import table_config, write_table

STAMP = re.compile(r"\d{4}(-\d\d){5}(-\d+)?")
TOLERANCE = Tolerance(relative=0.0, absolute=1e-5, same_labels=False)
_WRITTEN_BY_EXPORT = ("checksum", "format_version", "name", "created_at", "files")


@dataclass(frozen=True)
class Findings:
    """What is written once a model has been asked."""

    metadata: dict[str, Any] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    latest: bool = True


def write_artefact(
    artefacts_dir: Path,
    write_files: Callable[[Path], None],
    metadata: dict[str, Any],
    examine: Callable[[Predictor], Findings | None],
) -> Path:
    """Write an artefact as a run does."""
    with unfinished_artefact(artefacts_dir) as artefact:
        write_files(artefact.path)
        findings = examine(artefact.load(metadata)) or Findings()
        return artefact.finish({**metadata, **findings.metadata}, findings.files, findings.latest)


@pytest.fixture(scope="session")
def source(trained: Any) -> Path:
    """A whole artefact, whose files the tests here write again."""
    return trained.artefact_dir


@pytest.fixture
def metadata(source: Path) -> dict[str, Any]:
    content = json.loads((source / METADATA).read_bytes())
    return {key: value for key, value in content.items() if key not in _WRITTEN_BY_EXPORT}


@pytest.fixture
def write_files(source: Path) -> Callable[[Path], None]:
    def write(directory: Path) -> None:
        for file in source.iterdir():
            if file.name != METADATA:
                shutil.copy(file, directory)

    return write


@pytest.fixture
def artefacts_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "artefacts"
    artefacts_folder.prepare(folder)
    return folder


@pytest.fixture
def write(
    artefacts_dir: Path, write_files: Callable[[Path], None], metadata: dict[str, Any]
) -> Callable[[], Path]:
    return lambda: write_artefact(artefacts_dir, write_files, metadata, verify)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[datetime]:
    """The time, as export knows it; the tests set it."""
    now = [datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)]

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            return now[0]

    monkeypatch.setattr(export, "datetime", Clock)
    return now


def verify(predictor: Predictor) -> None:
    assert predictor.labels


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


# ------------------------------------------------------------------- writing


def test_an_artefact_is_named_by_the_second_and_is_the_latest(
    write: Callable[[], Path], artefacts_dir: Path
) -> None:
    before = datetime.now(UTC)
    artefact = write()
    written = datetime.strptime(artefact.name, "%Y-%m-%d-%H-%M-%S").replace(tzinfo=UTC)
    assert abs((written - before).total_seconds()) < 30
    assert names_in(artefacts_dir) == [artefact.name, "latest"]
    assert (artefacts_dir / "latest").readlink() == Path(artefact.name)  # relative: it may be moved
    loaded = load_artefact(artefacts_dir / "latest").metadata
    assert loaded.name == artefact.name
    assert loaded.created_at == written.isoformat()


def test_others_may_read_an_artefact(write: Callable[[], Path]) -> None:
    assert write().stat().st_mode & 0o055 == 0o055


def test_runs_in_the_same_second_get_names_of_their_own(
    write: Callable[[], Path], artefacts_dir: Path, clock: list[datetime]
) -> None:
    stamp = "2030-01-02-03-04-05"
    artefacts = [write() for _ in range(3)]
    assert [artefact.name for artefact in artefacts] == [stamp, f"{stamp}-2", f"{stamp}-3"]
    assert all(load_artefact(artefact).metadata.name == artefact.name for artefact in artefacts)
    assert (artefacts_dir / "latest").readlink() == Path(f"{stamp}-3")


def test_a_name_that_another_run_takes_meanwhile_is_not_overwritten(
    write: Callable[[], Path], artefacts_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = artefacts_dir / "2030-01-02-03-04-05"

    def names(folder: Path, created_at: datetime) -> Iterator[Path]:
        taken.mkdir()
        (taken / "theirs").touch()
        return iter([taken, artefacts_dir / "free"])

    monkeypatch.setattr(export, "free_names", names)
    assert write().name == "free"
    assert names_in(taken) == ["theirs"]
    assert load_artefact(artefacts_dir / "free").metadata.name == "free"


def test_the_latest_link_moves_only_after_verification(
    write: Callable[[], Path],
    write_files: Callable[[Path], None],
    metadata: dict[str, Any],
    artefacts_dir: Path,
) -> None:
    first = write()
    seen = []

    def look(predictor: Predictor) -> None:
        seen.append((artefacts_dir / "latest").readlink().name)
        seen.extend(name for name in names_in(artefacts_dir) if STAMP.fullmatch(name))

    second = write_artefact(artefacts_dir, write_files, metadata, look)
    assert seen == [first.name, first.name]
    assert (artefacts_dir / "latest").readlink().name == second.name


def test_nothing_looks_like_an_artefact_while_the_model_is_examined(
    write_files: Callable[[Path], None], metadata: dict[str, Any], artefacts_dir: Path
) -> None:
    def look(predictor: Predictor) -> None:
        [unfinished] = names_in(artefacts_dir)
        assert unfinished.startswith(".")
        assert METADATA not in names_in(artefacts_dir / unfinished)

    write_artefact(artefacts_dir, write_files, metadata, look)


def test_what_is_found_out_about_a_model_is_part_of_its_artefact(
    write_files: Callable[[Path], None], metadata: dict[str, Any], artefacts_dir: Path
) -> None:
    def examine(predictor: Predictor) -> Findings:
        instance = metadata["examples"][0]["instance"]
        [answer] = predictor.predict([instance])
        return Findings({"gate": "passed"}, {"metrics.json": export.as_json(answer)})

    artefact = load_artefact(write_artefact(artefacts_dir, write_files, metadata, examine))
    assert artefact.metadata.model_extra == {"gate": "passed"}
    text = (artefact.path / "metrics.json").read_text(encoding="utf-8")
    assert json.loads(text)["label"] in metadata["outputs"][0]["labels"]
    assert artefact.metadata.files["metrics.json"] == sha256_of(artefact.path / "metrics.json")


def test_metrics_and_report_may_be_written_after_the_model_was_asked(
    write_files: Callable[[Path], None], metadata: dict[str, Any], artefacts_dir: Path
) -> None:
    late = ("metrics.json", "report.html")

    def write_early(directory: Path) -> None:
        write_files(directory)
        for name in late:
            (directory / name).unlink()

    texts = dict.fromkeys(late, "é")
    artefact = write_artefact(artefacts_dir, write_early, metadata, lambda _: Findings({}, texts))
    assert [(artefact / name).read_bytes() for name in late] == ["é".encode()] * 2
    with pytest.raises(ExportError, match=r"metadata\.json does not list metrics\.json"):
        write_artefact(artefacts_dir, write_early, metadata, verify)


def test_metadata_that_no_server_reads_is_one_clear_line_and_leaves_nothing(
    write_files: Callable[[Path], None], metadata: dict[str, Any], artefacts_dir: Path
) -> None:
    metadata["metrics"] = {"log_loss": float("inf")}
    with pytest.raises(ExportError, match=r"metadata\.json: metrics\.log_loss: .* finite number"):
        write_artefact(artefacts_dir, write_files, metadata, verify)
    assert names_in(artefacts_dir) == []


# -------------------------------------------------------------------- latest


def _refuse(predictor: Predictor) -> Findings:
    return Findings(latest=False)


def test_a_model_that_may_not_become_the_latest_is_kept_all_the_same(
    write: Callable[[], Path],
    write_files: Callable[[Path], None],
    metadata: dict[str, Any],
    artefacts_dir: Path,
) -> None:
    refused = write_artefact(artefacts_dir, write_files, metadata, _refuse)
    assert names_in(artefacts_dir) == [refused.name]
    good = write()
    worse = write_artefact(artefacts_dir, write_files, metadata, _refuse)
    assert load_artefact(worse).metadata.name == worse.name
    assert names_in(artefacts_dir) == [refused.name, good.name, worse.name, "latest"]
    assert (artefacts_dir / "latest").readlink() == Path(good.name)
    assert [artefacts_folder.is_latest(artefact) for artefact in (refused, good, worse)] == [
        False,
        True,
        False,
    ]


def test_a_run_that_finishes_after_a_newer_one_does_not_move_the_latest_back(
    write: Callable[[], Path],
    artefacts_dir: Path,
    clock: list[datetime],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sync = export._sync
    others: list[Path] = []

    def slow_sync(directory: Path) -> None:
        if not others:  # the slow run has its name by now; a whole other run comes in between
            others.append(directory)
            clock[0] += timedelta(seconds=3)
            others.append(write())
        sync(directory)

    monkeypatch.setattr(export, "_sync", slow_sync)
    slow = write()
    assert names_in(artefacts_dir) == [slow.name, others[1].name, "latest"]
    assert slow.name < others[1].name
    assert (artefacts_dir / "latest").readlink() == Path(others[1].name)


@pytest.mark.parametrize(
    ("target", "moves"),
    [
        ("2030-01-02-03-04-04", True),
        ("2030-01-02-03-04-05", True),  # ours is the second of this second
        ("2030-01-02-03-04-05-10", False),
        ("2030-01-02-03-04-06", False),
        ("by-hand", True),  # a person has let it stand for something
        ("../elsewhere/2031-01-02-03-04-05", True),
        ("2031-01-01-00-00-00-gone", True),
    ],
)
def test_the_latest_moves_to_newer_names_alone(
    write: Callable[[], Path],
    artefacts_dir: Path,
    clock: list[datetime],
    target: str,
    moves: bool,
) -> None:
    (artefacts_dir / target).mkdir(parents=True)
    (artefacts_dir / "2030-01-02-03-04-05").mkdir(exist_ok=True)
    (artefacts_dir / "latest").symlink_to(target)
    artefact = write()
    assert artefact.name == "2030-01-02-03-04-05-2"
    assert (artefacts_dir / "latest").readlink() == Path(artefact.name if moves else target)


def test_the_latest_that_was_removed_is_no_newer_one(
    write: Callable[[], Path], artefacts_dir: Path, clock: list[datetime]
) -> None:
    (artefacts_dir / "latest").symlink_to("2031-01-01-00-00-00")
    assert artefacts_folder.is_latest(write())


def test_runs_move_the_latest_one_after_the_other(
    write: Callable[[], Path], artefacts_dir: Path
) -> None:
    descriptor = os.open(artefacts_dir, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # as another run has it
        thread = threading.Thread(target=write)
        thread.start()
        until = time.monotonic() + 10
        while not any(map(STAMP.fullmatch, names_in(artefacts_dir))) and time.monotonic() < until:
            time.sleep(0.01)
        thread.join(0.1)
        assert "latest" not in names_in(artefacts_dir)
    finally:
        os.close(descriptor)
    thread.join(10)
    assert "latest" in names_in(artefacts_dir)


def test_where_nothing_can_be_locked_the_latest_moves_all_the_same(
    write: Callable[[], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    assert artefacts_folder.is_latest(write())


def test_a_worse_model_is_stopped_by_its_gate_and_a_better_one_becomes_the_latest(
    tmp_path: Path,
) -> None:
    """From the fit to `latest`: the gate judges what the unfinished artefact answers, tests of behaviour included."""
    wanted = {"accuracy": ">=0.75", "behaviour": ">=0.9", "vs latest": "not significantly worse"}
    older = {"column": "age", "by": 5, "expect": "down", "label": "yes"}
    config = table_config(
        tmp_path,
        write_table(tmp_path / "t.csv"),
        evaluation={"gate": wanted},
        behaviour={"directions": [older]},
    )
    told: list[list[dict[str, Any]]] = []

    def ask(predictor: Predictor, prepared: Prepared) -> tuple[dict[str, Any], bool]:
        assert gate.problems_of(prepared) == behaviour.problems_of(prepared) == []
        instances = prepared.dataset.instances(prepared.split.test)
        answers = predictor.scores(instances).argmax(axis=1)
        metrics: dict[str, Any] = {"accuracy": float(np.mean(answers == prepared.test_targets))}
        metrics["behaviour"] = behaviour.measure(prepared, predictor)
        metrics["gate"] = gate.judge(config.evaluation.gate, metrics, lambda: None)
        told.append(metrics["gate"])
        return metrics, gate.passes(metrics["gate"])

    good = export_table(config, ask)
    weak = config.model_copy(
        update={"model": ModelConfig.model_validate({"pipeline": "linear", "C": 1e-6})}
    )
    worse = export_table(weak, ask)
    assert [[verdict["passed"] for verdict in verdicts] for verdicts in told] == [
        [True, True, True],
        [False, True, True],
    ]
    assert artefacts_folder.is_latest(good)
    assert not artefacts_folder.is_latest(worse)
    kept = load_artefact(worse)
    assert kept.metadata.model_extra == {"gate": "failed"}
    assert json.loads((worse / "metrics.json").read_bytes())["gate"] == told[1]
    assert re.fullmatch(r"0\.\d+ is not >= 0\.75", told[1][0]["why"])


# ------------------------------------------------------------------- failing


@pytest.mark.parametrize("place", ["write_files", "verify", "sync", "rename"])
@pytest.mark.parametrize("stop", [RuntimeError("stop"), KeyboardInterrupt("stop")])
def test_a_run_that_stops_anywhere_leaves_everything_as_it_was(
    write: Callable[[], Path],
    write_files: Callable[[Path], None],
    metadata: dict[str, Any],
    artefacts_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    stop: BaseException,
    place: str,
) -> None:
    before = write()

    def halt(*arguments: object) -> None:
        raise stop

    def write_half(directory: Path) -> None:
        write_files(directory)
        if place == "write_files":
            raise stop

    if place in ("sync", "rename"):
        monkeypatch.setattr(export, f"_{place}", halt)
    with pytest.raises(type(stop), match=r"^stop$"):
        write_artefact(artefacts_dir, write_half, metadata, halt if place == "verify" else verify)
    assert names_in(artefacts_dir) == [before.name, "latest"]
    assert (artefacts_dir / "latest").readlink().name == before.name
    monkeypatch.undo()
    assert load_artefact(write()).path.parent == artefacts_dir


def test_all_test_rows_are_compared_or_many_of_very_many() -> None:
    assert rows_to_verify(20_000).tolist() == list(range(20_000))
    some = rows_to_verify(50_000)
    assert len(some) == len(np.unique(some)) == 20_000
    assert (np.diff(some) > 0).all()
    assert some[-1] > 49_000


def test_a_model_that_is_refused_leaves_nothing_and_the_latest_alone(
    write: Callable[[], Path],
    write_files: Callable[[Path], None],
    metadata: dict[str, Any],
    artefacts_dir: Path,
) -> None:
    before = write()

    def refuse(predictor: Predictor) -> None:
        check_equal(np.zeros((1, 2)), np.full((1, 2), 2e-5), TOLERANCE)

    with pytest.raises(ExportError, match="differs from the trained one in 1 of 1 test rows"):
        write_artefact(artefacts_dir, write_files, metadata, refuse)
    assert names_in(artefacts_dir) == [before.name, "latest"]
    assert (artefacts_dir / "latest").readlink().name == before.name


def test_golden_examples_that_are_answered_differently_leave_nothing(
    write_files: Callable[[Path], None], metadata: dict[str, Any], artefacts_dir: Path
) -> None:
    answer = metadata["examples"][0]["answer"]
    metadata["examples"][0]["answer"] = [value + 0.01 for value in answer]
    expected = (
        "^the exported model is not what was trained: golden example 0 is answered differently .*"
        r"after training\. No artefact was written"
    )
    with pytest.raises(ExportError, match=expected):
        write_artefact(artefacts_dir, write_files, metadata, verify)
    assert names_in(artefacts_dir) == []


_KILLED = """
import json, pathlib, shutil, sys, time
from train.artefacts.writing import unfinished_artefact
source, artefacts_dir, place = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3]

def wait(*arguments):
    print("waiting", flush=True)
    time.sleep(60)

def write_files(directory):
    for file in source.iterdir():
        if file.name == "model.onnx" and place == "write_files":
            (directory / file.name).write_bytes(file.read_bytes()[:1000])
            wait()
        if file.name != "metadata.json":
            shutil.copy(file, directory)

metadata = json.loads((source / "metadata.json").read_text())
for key in ("checksum", "format_version", "name", "created_at", "files"):
    del metadata[key]
with unfinished_artefact(artefacts_dir) as artefact:
    write_files(artefact.path)
    artefact.load(metadata)
    wait()
"""


@pytest.mark.parametrize("place", ["write_files", "verify"])
def test_a_killed_run_leaves_no_directory_that_looks_like_an_artefact(
    source: Path, write: Callable[[], Path], artefacts_dir: Path, place: str
) -> None:
    before = write()
    command = [sys.executable, "-c", _KILLED, str(source), str(artefacts_dir), place]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "waiting\n"
        process.kill()
    visible = [name for name in names_in(artefacts_dir) if not name.startswith(".")]
    assert visible == [before.name, "latest"]
    assert (artefacts_dir / "latest").readlink().name == before.name
    after = write()
    assert (artefacts_dir / "latest").readlink().name == after.name


# --------------------------------------------------------- folders and disks


def _age(path: Path, hours: float) -> None:
    then = time.time() - hours * 3600
    os.utime(path, (then, then), follow_symlinks=False)


def test_what_killed_runs_left_is_removed_when_it_is_old(artefacts_dir: Path) -> None:
    for name, hours in (("old", 2.0), ("fresh", 0.5)):
        folder = artefacts_dir / f".unfinished-{name}"
        folder.mkdir()
        (folder / "model.onnx").touch()
        link = artefacts_dir / f".unfinished-{name}-latest"
        link.symlink_to("nowhere")
        _age(folder, hours)
        _age(link, hours)
    ours = artefacts_dir / "2020-01-01-00-00-00"
    ours.mkdir()
    _age(ours, 9999)
    artefacts_folder.prepare(artefacts_dir)
    assert names_in(artefacts_dir) == [".unfinished-fresh", ".unfinished-fresh-latest", ours.name]


def test_the_folder_is_made_with_its_parents_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    artefacts_folder.prepare(tmp_path / "a" / "b")
    assert names_in(tmp_path / "a" / "b") == []


@pytest.mark.parametrize("below", ["", "sub"])
def test_a_folder_that_cannot_be_written_is_one_clear_line(tmp_path: Path, below: str) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(
        FolderError, match=r"^\S+file\S*: cannot be written: .*set artefacts_dir to a folder"
    ):
        artefacts_folder.prepare(tmp_path / "file" / below)


@pytest.mark.parametrize("is_folder", [True, False])
def test_a_users_own_latest_is_refused_before_training_and_kept(
    tmp_path: Path, is_folder: bool
) -> None:
    artefacts_dir = tmp_path / "artefacts"
    latest = artefacts_dir / "latest"
    artefacts_dir.mkdir()
    latest.mkdir() if is_folder else latest.write_text("mine")
    with pytest.raises(FolderError, match=r"latest: is not a link, .* Rename what is there"):
        artefacts_folder.prepare(artefacts_dir)
    artefact = artefacts_dir / "2026-01-01-00-00-00"
    artefact.mkdir()
    with pytest.raises(FolderError, match="latest: is not a link"):  # made while the run was going
        artefacts_folder.point_latest_at(artefact)
    assert latest.is_dir() if is_folder else latest.read_text() == "mine"
    assert names_in(artefacts_dir) == [artefact.name, "latest"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_one_clear_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(FolderError, match="cannot be written: Permission denied"):
        artefacts_folder.prepare(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("name", ["model.onnx", "metrics.json", METADATA])
def test_a_full_disk_is_one_clear_line_and_leaves_nothing(
    artefacts_dir: Path, source: Path, metadata: dict[str, Any], name: str
) -> None:
    def write_files(directory: Path) -> None:
        (directory / name).symlink_to("/dev/full")
        for file in source.iterdir():
            if file.name != METADATA:
                (directory / file.name).write_bytes(file.read_bytes())

    # Reading /dev/full never ends, and it would be read for its checksum.
    real = export.sha256_of
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            export, "sha256_of", lambda file: "0" * 64 if file.is_symlink() else real(file)
        )
        with pytest.raises(
            FolderError, match="cannot be written: No space left on device"
        ) as caught:
            write_artefact(artefacts_dir, write_files, metadata, verify)
    assert "\n" not in str(caught.value)
    assert names_in(artefacts_dir) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_keras_says_so_too_when_the_disk_is_full(fitted: Any, tmp_path: Path) -> None:

    (tmp_path / "model.onnx").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left") as caught:
        fitted.model.write(tmp_path)
    assert caught.value.errno == errno.ENOSPC


def test_a_latest_that_is_not_a_link_is_not_removed(
    write: Callable[[], Path], artefacts_dir: Path
) -> None:
    (artefacts_dir / "latest").mkdir()
    with pytest.raises(FolderError, match="latest"):
        write()
    assert (artefacts_dir / "latest").is_dir()


# --------------------------------------------------------- proofs and examples


def test_equal_within_the_tolerance_returns_the_largest_difference() -> None:
    trained = np.array([[0.5, 0.5], [0.1, 0.9]])
    served = trained + np.array([[0, 9e-6], [-3e-6, 0]])
    assert check_equal(trained, served, TOLERANCE) == pytest.approx(9e-6)


@pytest.mark.parametrize("difference", [1.1e-5, -1.1e-5, 0.5, float("nan"), float("inf")])
def test_a_difference_above_the_tolerance_refuses_the_export(difference: float) -> None:
    trained = np.full((3, 2), 0.5)
    served = trained.copy()
    served[1, 1] += difference
    with pytest.raises(
        ExportError, match=r"in 1 of 3 test rows: \S+ instead of 0\.5 .*No artefact was written"
    ):
        check_equal(trained, served, TOLERANCE)


@pytest.mark.parametrize(("trained", "allowed"), [(1e6, 10.0), (-1e6, 10.0), (0.0, 1e-9)])
def test_of_large_numbers_a_share_may_differ(trained: float, allowed: float) -> None:
    tolerance = Tolerance(relative=1e-5, absolute=1e-9, same_labels=True)
    values = np.array([[trained]])
    check_equal(values, values + 0.99 * allowed, tolerance)
    with pytest.raises(ExportError, match="differs from the trained one"):
        check_equal(values, values - 1.01 * allowed, tolerance)


@pytest.mark.parametrize(
    ("decided", "served"),
    [
        (np.array([0, 1]), [{"label": "a"}, {"label": "b"}]),
        (
            np.array([[True, True], [False, False]]),
            [{"labels": [{"label": "b"}, {"label": "a"}]}, {"labels": []}],
        ),
    ],
)
def test_serving_has_to_decide_as_was_evaluated(decided: Any, served: list[Any]) -> None:
    check_same_answers(["a", "b"], decided, served)
    with pytest.raises(ExportError, match=r"gives another label .* in 2 of 2 test rows"):
        check_same_answers(["a", "b"], decided, served[::-1])


@pytest.mark.parametrize(
    ("trained", "served"),
    [
        (np.array([0, 1, 1]), np.array([0, 1, 0])),
        (np.array([[True, False], [True, True]]), np.array([[True, True], [True, True]])),
    ],
)
def test_every_label_is_that_of_training_unless_near_ties_may_differ(
    trained: Any, served: Any
) -> None:
    exact = Tolerance(relative=1e-5, absolute=1e-9, same_labels=True)
    assert check_same_labels(trained, trained.copy(), exact) == 0
    assert check_same_labels(trained, served, TOLERANCE) == 1
    with pytest.raises(ExportError, match=r"gives another label than the trained one in 1 of"):
        check_same_labels(trained, served, exact)


def test_a_value_is_no_decision() -> None:
    check_same_answers([], np.array([1.5]), [{"value": 2.5}])


def test_json_keeps_every_character_readable() -> None:
    assert export.as_json({"naïve": ["日本"]}) == '{\n  "naïve": [\n    "日本"\n  ]\n}\n'


def test_every_file_of_an_artefact_but_its_metadata_has_its_checksum(source: Path) -> None:
    listed = set(load_artefact(source).metadata.files)
    assert listed | {METADATA} == set(names_in(source))
