"""The process of one job: trains what its folder says, tells how far it is, and ends when its server has ended."""

import os
import select
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

from jobs.folder import Folder
from jobs.progress import NotedProgress
from predict.contract.artefact import ArtefactError
from predict.wording import printable, replace_unknown_characters
from train.config import load_config
from train.config.trust import Trust
from train.errors import UserError
from train.terminal import settle_tensorflow

_NOTE_EVERY_S = 0.5
_LOOK_EVERY_S = 0.2
_ENDED_BY_SIGTERM = 143
# Of -1000 to 1000: where memory runs out, the system ends a job rather than its server.
_FIRST_TO_GO = "500"


def main(folder: Folder, runs_code: bool) -> int:
    """Train what a folder says, and return the exit code.

    Args:
        folder: Of the job; standard input is a pipe that its server holds, and file 3 and up may be its lock.
        runs_code: Whether the functions that the configuration names may run.
    """
    signal.signal(signal.SIGTERM, _end)
    with suppress(OSError):  # only Linux has it
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    progress = NotedProgress(folder.path)
    threading.Thread(target=_note, args=(progress,), name="notes", daemon=True).start()
    try:
        config = load_config(folder.configuration)
        settle_tensorflow()
        from train.run import run

        run(config, progress, "configuration", Trust() if runs_code else None, folder.artefacts)
    except (ArtefactError, UserError) as error:
        folder.note_problems(error.problems if isinstance(error, UserError) else [str(error)])
        sys.stderr.write(printable(f"Error: {error}\n"))
        return 1
    progress.say("done")
    return 0


def _end(number: int, frame: FrameType | None) -> Any:
    # Once: what is unfinished is being removed then.
    signal.signal(number, signal.SIG_IGN)
    sys.exit(_ENDED_BY_SIGTERM)


def _note(progress: NotedProgress) -> None:
    """Note how far the run is, for as long as it runs."""
    while True:
        with suppress(OSError):  # a full disk; the run finds out
            progress.note()
        time.sleep(_NOTE_EVERY_S)


def _tether(lock: int, grace_s: float) -> None:
    """Start a process that waits until the server has ended, and then ends this one and all that it started.

    A thread could not: it needs the interpreter, which native code may hold for as long as it likes, and it ends
    before the libraries of a process that ends.
    """
    run = os.getpid()
    if os.fork():
        return
    # It must not keep the job's lock or output; and what ends the job in order leaves it time to see to that.
    os.close(lock)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)
    os.dup2(silent, 2)
    # Nothing is ever written to the pipe: it can be read from when nobody holds its other end any more.
    while os.getppid() == run and not select.select([0], [], [], _LOOK_EVERY_S)[0]:
        pass
    ends = time.monotonic() + grace_s
    if os.getppid() == run:
        os.kill(run, signal.SIGTERM)
    while os.getppid() == run and time.monotonic() < ends:
        time.sleep(_LOOK_EVERY_S)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _run_as_program() -> None:
    replace_unknown_characters()
    place, lock, grace_s, runs_code = sys.argv[1:]
    # First of all, so that the next server knows whom to end; and nothing that a run starts holds the lock.
    os.set_inheritable(int(lock), False)
    os.pwrite(int(lock), f"{os.getpid()}\n".encode(), 0)
    _tether(int(lock), float(grace_s))
    try:
        code = main(Folder(Path(place)), runs_code == "code")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    sys.stderr.flush()
    if code and "tensorflow" in sys.modules:
        os._exit(code)  # its threads crash an interpreter that is being taken down
    sys.exit(code)


if __name__ == "__main__":
    _run_as_program()
