"""Claims about where fits run: in this process or in several, the results are the same, and nothing stays behind."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from train.config import ConfigError
from train.data.splits import Prepared
from train.errors import UserError
from train.evaluation.fits import Fit, Fits, in_processes, one_by_one
from train.evaluation.selection import cross_validate, search
from train.progress import SilentProgress
from train.run import prepare
from train.tests.tables import table_config, write_table

SILENT = SilentProgress()


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    config = table_config(
        tmp_path,
        write_table(tmp_path / "t.csv"),
        search={"model.pipeline": ["linear", "hist_gradient_boosting"]},
        evaluation={"folds": 3},
    )
    return prepare(config, SILENT)


def fits_of(prepared: Prepared, count: int) -> Iterator[Fit]:
    for _ in range(count):
        yield Fit(prepared.config, prepared.split)


def without_seconds(tried: dict[str, Any]) -> Any:
    trials = [{**trial, "seconds": None} for trial in tried["trials"]]
    return {**tried, "trials": trials}


def test_a_search_and_folds_in_processes_are_the_same_to_the_last_digit(prepared: Prepared) -> None:
    best, tried = search(prepared, SILENT)
    in_two, tried_in_two = search(prepared, SILENT, in_processes(2))
    assert in_two.config == best.config
    assert without_seconds(tried_in_two) == without_seconds(tried)
    assert all(trial["seconds"] > 0 for trial in tried_in_two["trials"])
    assert cross_validate(best, SILENT, in_processes(2)) == cross_validate(best, SILENT)


def pid_of(prepared: Prepared) -> int:
    time.sleep(0.2)
    return os.getpid()


def test_processes_end_with_the_fits(prepared: Prepared) -> None:
    pids = set(in_processes(2)(pid_of, prepared, fits_of(prepared, 6)))
    assert len(pids) == 2
    assert os.getpid() not in pids
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def nothing(prepared: Prepared) -> None:
    time.sleep(0.02)


@pytest.mark.parametrize("fits", [one_by_one, in_processes(2)])
def test_fits_are_described_a_few_at_a_time(prepared: Prepared, fits: Fits) -> None:
    described = 0

    def counted() -> Iterator[Fit]:
        nonlocal described
        for fit in fits_of(prepared, 30):
            described += 1
            yield fit

    with closing(fits(nothing, prepared, counted())) as measured:
        next(measured)
        assert described <= 10
        assert len(list(measured)) == 29


def refuse(prepared: Prepared) -> None:
    raise ConfigError("model.C: too small.", "model.D: too large.", place="conf/my.yml")


def test_an_error_of_a_fit_is_the_one_that_it_would_be_here(prepared: Prepared) -> None:
    told = []
    for fits in (one_by_one, in_processes(2)):
        with pytest.raises(UserError) as caught:
            list(fits(refuse, prepared, fits_of(prepared, 3)))
        told.append((type(caught.value), str(caught.value), caught.value.problems))
    assert told[0] == told[1]


def end_suddenly(prepared: Prepared) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def test_a_process_that_is_killed_is_told_in_a_line(prepared: Prepared) -> None:
    with pytest.raises(UserError, match=r"want of memory.*--workers"):
        list(in_processes(2)(end_suddenly, prepared, fits_of(prepared, 3)))


_RUN = """
import os, sys
from pathlib import Path
from train.evaluation.fits import in_processes
from train.progress import SilentProgress
from train.run import prepare
from train.tests import test_fits
from train.tests.tables import table_config
config = table_config(Path(sys.argv[1]), sys.argv[1] + "/t.csv")
prepared = prepare(config, SilentProgress())
fits = test_fits.fits_of(prepared, 100)
for pid in in_processes(2)(test_fits.pid_of, prepared, fits):
    print(pid, flush=True)
"""


def test_processes_end_when_the_one_that_asked_is_killed(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv")
    command = [sys.executable, "-c", _RUN, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        pids = {int(process.stdout.readline()) for _ in range(8)}
        process.kill()
    assert len(pids) == 2
    deadline = time.monotonic() + 20
    while any(Path(f"/proc/{pid}").exists() for pid in pids):
        assert time.monotonic() < deadline
        time.sleep(0.1)
