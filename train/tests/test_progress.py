"""Claims about what a waiting person is told: that a stage still runs, and how long it takes yet."""

import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.ensemble import (
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from train import progress as telling
from train.config.loading import to_yaml
from train.config.sections import EmbeddingConfig
from train.evaluation.selection import cross_validate, search
from train.features.embeddings import build_embeddings
from train.models.table import model as table_model
from train.models.table.rounds import rounds_counted
from train.preparation import prepare
from train.progress import SilentProgress, Steps, TerminalProgress, each_about
from train.tests.tables import table_config, write_table


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Take a silence of 0.1 s for one of 5 s, and see that no heartbeat is left."""
    monkeypatch.setattr(telling, "_FIRST_SILENCE_S", 0.1)
    monkeypatch.setattr(telling, "_LOOK_EVERY_S", 0.005)
    yield
    assert "heartbeat" not in [thread.name for thread in threading.enumerate()]


class Clock:
    """A clock that is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(telling.time, "perf_counter", lambda: self.now)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


class Seen(SilentProgress):
    """Keeps the steps that are shown."""

    def __init__(self) -> None:
        self.steps: list[Steps] = []

    @contextmanager
    def bar(self, name: str, total: int, count: Callable[[], int] | None = None) -> Iterator[Steps]:
        self.steps.append(Steps(name, total, count))
        yield self.steps[-1]


# ------------------------------------------------------------------ stages


def test_a_silent_stage_says_ever_more_rarely_that_it_still_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with TerminalProgress().stage("train", "something"):
        time.sleep(1.0)  # at 0.1, 0.3 and 0.7 s; the next one would be at 1.5 s
    first, *beats = capsys.readouterr().err.splitlines()
    assert first.endswith("] train: something")
    assert len(beats) == 3
    assert all(re.fullmatch(r"\[ *\d\.\d s\] train: \d s so far", beat) for beat in beats)


def test_a_stage_that_speaks_is_not_interrupted(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress()
    with progress.stage("train", "something"):
        for number in range(10):
            time.sleep(0.03)
            progress.say(f"epoch {number}")
    assert "so far" not in capsys.readouterr().err


@pytest.mark.parametrize("ends_with", [ValueError, KeyboardInterrupt, SystemExit])
def test_a_stage_that_fails_says_nothing_any_more(
    ends_with: type[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    progress = TerminalProgress()
    with pytest.raises(ends_with, match="stop"), progress.stage("train", "something"):
        raise ends_with("stop")
    capsys.readouterr()
    time.sleep(0.15)
    assert capsys.readouterr().err == ""


def test_only_the_innermost_stage_speaks(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress()
    with progress.stage("outer", "a"), progress.stage("inner", "b"):
        time.sleep(0.25)
        said = capsys.readouterr().err
    assert "inner: 0 s so far" in said
    assert "outer: 0 s" not in said


_NEVER_FITTED = """
import sys, time
from train import progress
from train.__main__ import _run_as_program
from train.models.table import model

progress._FIRST_SILENCE_S = 0.2
model._fit = lambda *_: time.sleep(60)
_run_as_program()
"""


@pytest.mark.parametrize(("stop", "exit_code"), [(signal.SIGINT, 1), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_whose_fit_is_silent(
    tmp_path: Path, stop: signal.Signals, exit_code: int
) -> None:
    (tmp_path / "conf.yml").write_text(
        to_yaml(table_config(tmp_path, write_table(tmp_path / "t.csv")))
    )
    command = [sys.executable, "-c", _NEVER_FITTED, "run", "--conf", str(tmp_path / "conf.yml")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        said = ""
        while "train: 0 s so far" not in said:
            said = process.stderr.readline()
            assert said, "it ended early"
        process.send_signal(stop)
        _, err = process.communicate(timeout=20)
    assert process.returncode == exit_code
    assert "Traceback" not in err
    assert not list((tmp_path / "artefacts").iterdir())


# ------------------------------------------------------------------- steps


def test_an_estimate_is_that_of_the_steps_that_have_ended(clock: Clock) -> None:
    steps = Steps("folds", 5)
    clock.now += 9
    assert steps.left_s() is None
    clock.now += 1
    steps()
    assert steps.left_s() == pytest.approx(40)
    clock.now += 4
    assert steps.left_s() == pytest.approx(36)
    assert steps.left() == "; about 36 s to go at this rate"


def test_a_step_that_takes_longer_than_those_before_it_raises_the_estimate(clock: Clock) -> None:
    steps = Steps("fits", 3)
    clock.now += 10
    steps()
    clock.now += 50  # so two take 60 s, and the third would take 30 s more
    assert steps.left_s() == pytest.approx(30)
    steps()
    clock.now += 40  # the last one is late, and nobody knows by how much
    assert steps.left_s() is None
    assert steps.left() == ""


def test_steps_counted_elsewhere_are_timed_from_the_first_on(clock: Clock) -> None:
    """A minute goes by before the first round, in which an encoder is fitted."""
    done = 0
    steps = Steps("rounds", 21, lambda: done)
    clock.now += 60
    done = 1
    steps.look()
    assert steps.left_s() is None
    clock.now += 10
    done = 11
    steps.look()
    assert steps.left_s() == pytest.approx(10)


def test_a_few_seconds_are_not_worth_a_word(clock: Clock) -> None:
    steps = Steps("folds", 3)
    clock.now += 2
    steps()
    assert steps.left_s() == pytest.approx(4)
    assert steps.left() == each_about(4) == ""
    assert each_about(41.3) == ", each about 41 s"
    assert each_about(400) == ", each about 7 min"


def test_a_stage_says_how_many_steps_have_ended(capsys: pytest.CaptureFixture[str]) -> None:
    progress = TerminalProgress()
    with progress.stage("calibrate", "folds"), progress.bar("fits", 40) as fit_ended:
        for _ in range(2):
            time.sleep(0.06)
            fit_ended()
        time.sleep(0.02)
    _, beat = capsys.readouterr().err.splitlines()
    assert re.search(r"calibrate: 0 s so far; 1 of 40 fits, about \d s to go at this rate$", beat)


def test_a_terminal_has_a_bar_instead_of_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    progress, counted = TerminalProgress(), iter(range(1, 1000))
    with progress.stage("train", "x"), progress.bar("rounds", 1000, lambda: next(counted)) as bar:
        time.sleep(0.3)
        assert bar.done > 5
    assert "so far" not in capsys.readouterr().err


# ------------------------------------------------------------ watched models


@pytest.mark.parametrize(
    ("model", "name", "total"),
    [
        (HistGradientBoostingClassifier(max_iter=12, random_state=0), "rounds", 12),
        (
            HistGradientBoostingClassifier(max_iter=12, early_stopping=True, random_state=0),
            "rounds or fewer",
            12,
        ),
        (RandomForestClassifier(15, random_state=0), "trees", 15),
        (ExtraTreesRegressor(15, random_state=0, n_jobs=1), "trees", 15),
    ],
)
def test_rounds_and_trees_are_counted_and_change_nothing(model: Any, name: str, total: int) -> None:
    random = np.random.default_rng(0)
    x, y = random.normal(size=(400, 4)), random.integers(0, 3, 400)
    watched, alone = make_pipeline(clone(model)), make_pipeline(clone(model))
    seen = Seen()
    with rounds_counted(watched, len(x), seen):
        assert [steps.look() for steps in seen.steps] == [None]
        assert seen.steps[0].done == 0
        watched.fit(x, y)
        seen.steps[0].look()
    [steps] = seen.steps
    assert (steps.name, steps.total) == (name, total)
    fitted = alone.fit(x, y)
    assert steps.done == getattr(fitted[-1], "n_iter_", total)
    method = "predict" if isinstance(model, ExtraTreesRegressor) else "predict_proba"
    assert (getattr(fitted, method)(x) == getattr(watched, method)(x)).all()
    assert fitted[-1].get_params() == watched[-1].get_params()


def test_a_large_table_may_stop_boosting_early() -> None:
    seen, pipeline = Seen(), make_pipeline(HistGradientBoostingClassifier())
    for rows in (10_000, 10_001):
        with rounds_counted(pipeline, rows, seen):
            pass
    assert [steps.name for steps in seen.steps] == ["rounds", "rounds or fewer"]


@pytest.mark.parametrize("model", [LogisticRegression(), RandomForestClassifier(n_jobs=2)])
def test_other_models_are_left_alone(model: Any) -> None:
    seen = Seen()
    with rounds_counted(make_pipeline(model), 100, seen):
        pass
    assert seen.steps == []


@pytest.mark.parametrize("algorithm", ["fasttext", "word2vec"])
def test_the_epochs_of_word_vectors_are_counted(algorithm: str) -> None:
    seen = Seen()
    config = EmbeddingConfig.model_validate(
        {"algorithm": algorithm, "epochs": 3, "vector_size": 4, "min_count": 1}
    )
    build_embeddings([["a", "b"], ["a"]] * 5, config, 0, seen)
    assert [(steps.name, steps.total, steps.done) for steps in seen.steps] == [("epochs", 3, 3)]


def test_folds_and_trials_and_calibration_are_counted(tmp_path: Path) -> None:
    """Three folds; two trials of two folds; and calibration on five folds of few rows."""
    changes = {"evaluation": {"folds": 3}, "search": {"folds": 2, "model.C": [1, 2]}}
    prepared = prepare(
        table_config(tmp_path, write_table(tmp_path / "t.csv"), **changes), SilentProgress()
    )
    seen = Seen()
    cross_validate(prepared, seen)
    best, _ = search(prepared, seen)
    table_model.fit(best, seen)
    counted = [(steps.name, steps.total, steps.done) for steps in seen.steps]
    assert counted == [("folds", 3, 3), ("fits", 4, 4), ("fits", 5, 5)]
