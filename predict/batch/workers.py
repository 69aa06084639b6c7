"""The processes that score chunks: this one alone, or several beside it."""

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from multiprocessing.connection import wait
from pathlib import Path
from threading import Thread

from predict.batch.errors import BatchError
from predict.batch.scoring import Plan, Scored, Scorer
from predict.batch.tables import Chunk
from predict.scoring.predictor import Predictor

# So many chunks a worker wait, or have been scored and wait to be written.
_IN_FLIGHT = 3


def score_here(chunks: Iterator[Chunk], scorer: Scorer) -> Iterator[Scored]:
    """Score chunks in this process."""
    return map(scorer.score, chunks)


@contextmanager
def scoring_beside(
    chunks: Iterator[Chunk], artefact_dir: Path, plan: Plan, workers: int
) -> Iterator[Iterator[Scored]]:
    """Score chunks in other processes, and give the results in order; a few chunks at most are in flight.

    Raises:
        BatchError: A process died.
    """
    # Nothing that this process has, such as threads and locks, is inherited.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, context, _begin, (artefact_dir, plan))
    try:
        yield _in_order(pool, chunks, _IN_FLIGHT * workers)
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _in_order(pool: ProcessPoolExecutor, chunks: Iterator[Chunk], most: int) -> Iterator[Scored]:
    waiting: deque[Future[Scored]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_score, chunk))
            if len(waiting) >= most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise BatchError(
            "a worker process died, perhaps for want of memory. Start fewer (--workers)."
        ) from None


# ------------------------------------------------------------ in another process

_place: tuple[Path, Plan] | None = None
_scorer: Scorer | None = None


def _begin(artefact_dir: Path, plan: Plan) -> None:
    global _place
    _place = (artefact_dir, plan)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Without it, a process whose parent was killed would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)


def _score(chunk: Chunk) -> Scored:
    global _scorer
    if _scorer is None:  # not in `_begin`, whose errors reach nobody
        assert _place is not None
        artefact_dir, plan = _place
        _scorer = Scorer(Predictor.load(artefact_dir), artefact_dir, plan)
    return _scorer.score(chunk)
