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
_ENDED_BY_SIGTERM = 143
# Of -1000 to 1000: where memory runs out, the system ends a job rather than its server.
_FIRST_TO_GO = "500"


def main(folder: Folder, grace_s: float, runs_code: bool) -> int:
    """Train what a folder says, and return the exit code.

    Args:
        folder: Of the job; standard input is a pipe that its server holds, and file 3 and up may be its lock.
        grace_s: The time that it has to end in order.
        runs_code: Whether the functions that the configuration names may run.
    """
    signal.signal(signal.SIGTERM, _end)
    with suppress(OSError):  # only Linux has it
        Path("/proc/self/oom_score_adj").write_text(_FIRST_TO_GO)
    progress = NotedProgress(folder.path)
    arguments = (progress, grace_s)
    threading.Thread(target=_watch, args=arguments, name="tether", daemon=True).start()
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


def _watch(progress: NotedProgress, grace_s: float) -> None:
    """Note how far the run is until the server has ended; then end this process, and all that it started."""
    # Nothing is ever written to the pipe: it can be read from when nobody holds its other end any more.
    while not select.select([sys.stdin], [], [], _NOTE_EVERY_S)[0]:
        with suppress(OSError):  # a full disk; the run finds out
            progress.note()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(grace_s)
    os.killpg(os.getpgrp(), signal.SIGKILL)


def _run_as_program() -> None:
    replace_unknown_characters()
    place, lock, grace_s, runs_code = sys.argv[1:]
    # First of all, so that the next server knows whom to end; and nothing that a run starts holds the lock.
    os.set_inheritable(int(lock), False)
    os.pwrite(int(lock), f"{os.getpid()}\n".encode(), 0)
    try:
        code = main(Folder(Path(place)), float(grace_s), runs_code == "code")
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    sys.stderr.flush()
    if code and "tensorflow" in sys.modules:
        os._exit(code)  # its threads crash an interpreter that is being taken down
    sys.exit(code)


if __name__ == "__main__":
    _run_as_program()
