"""Where the fits of a search and of a cross-validation run: one after another, or several at once in processes."""

import os
import threading
import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from typing import Protocol, TypeVar

from joblib import Parallel, delayed
from joblib.externals.loky import get_reusable_executor

from train.config import TrainConfig
from train.data.splits import Prepared, Split
from train.errors import UserError
from train.terminal import settle_tensorflow

Result = TypeVar("Result")

# How often a process looks whether its parent is still there.
_LOOK_EVERY_S = 1.0


@dataclass(frozen=True)
class Fit:
    """A fit that does not depend on any other: what is configured, and on which rows it learns and is measured."""

    config: TrainConfig
    split: Split

    def of(self, prepared: Prepared) -> Prepared:
        """Return what is fitted."""
        return prepared.with_config(self.config).with_split(self.split)


class Fits(Protocol):
    """Runs fits; where, changes nothing of what they result in but the rounding of other numbers of threads."""

    def __call__(
        self, measure: Callable[[Prepared], Result], prepared: Prepared, fits: Iterable[Fit]
    ) -> Generator[Result]:
        """Yield what `measure` returns for each fit, in their order. To close the generator ends what still runs.

        Args:
            measure: Fits and measures; a function of a module, so that another process can import it.
            prepared: The dataset, which all fits share.
            fits: Taken a few at a time, because their rows take memory.

        Raises:
            UserError: That of a fit, or a process did not live to the end.
        """
        ...


def one_by_one(
    measure: Callable[[Prepared], Result], prepared: Prepared, fits: Iterable[Fit]
) -> Generator[Result]:
    """Run fits in this process; see `Fits`."""
    for fit in fits:
        yield measure(fit.of(prepared))


def in_processes(workers: int) -> Fits:
    """Return what runs several fits at once, each in a process of its own with its share of the cores."""

    def run(
        measure: Callable[[Prepared], Result], prepared: Prepared, fits: Iterable[Fit]
    ) -> Generator[Result]:
        # Rows stay in memory: what is mapped from a file cannot be written to, which some fits want.
        parallel = Parallel(workers, return_as="generator", batch_size=1, max_nbytes=None)
        try:
            yield from parallel(
                delayed(_measure_below)(os.getpid(), measure, prepared, fit) for fit in fits
            )
        except BrokenProcessPool:
            raise UserError(
                "A process of a fit has ended before the fit had, as one does that the system stops for want of "
                "memory. Ask for fewer of them (--workers)."
            ) from None
        finally:
            # They would wait for more to do, with the libraries of a fit in their memory.
            get_reusable_executor().shutdown(wait=True, kill_workers=True)

    return run


def measure_elsewhere(
    measure: Callable[[Prepared], Result], prepared: Prepared, fit: Fit
) -> Result:
    """Run a fit in a process that was made for it."""
    settle_tensorflow()
    return measure(fit.of(prepared))


def _measure_below(
    parent: int, measure: Callable[[Prepared], Result], prepared: Prepared, fit: Fit
) -> Result:
    _end_without(parent)
    return measure_elsewhere(measure, prepared, fit)


@cache
def _end_without(parent: int) -> None:
    """Let this process end soon after its parent, which may have been killed without a word."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_EVERY_S)
        os._exit(1)

    threading.Thread(target=watch, name="parent", daemon=True).start()
