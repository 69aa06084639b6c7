"""The fits of a search and of a cross-validation as tasks of Ray, on all machines of a cluster."""

from collections import deque
from collections.abc import Callable, Generator, Iterable

import ray

from train.data.splits import Prepared
from train.errors import UserError
from train.evaluation.fits import Fit, Result, measure_elsewhere

# Of each core, so that none waits for the next fit to be described.
_FITS_AHEAD = 2


def on_ray(
    measure: Callable[[Prepared], Result], prepared: Prepared, fits: Iterable[Fit]
) -> Generator[Result]:
    """Run fits as tasks of a core each; see `train.evaluation.fits.Fits`. Ray must be running.

    Ray tries a fit again whose process or machine has ended meanwhile.
    """
    known = ray.put(prepared)  # once, and not with each task
    task = ray.remote(num_cpus=1)(_measured)
    ahead = max(1, int(_FITS_AHEAD * ray.cluster_resources().get("CPU", 1)))
    waiting = deque[ray.ObjectRef]()
    try:
        for fit in fits:
            waiting.append(task.remote(measure, known, fit))
            if len(waiting) >= ahead:
                yield _raised(ray.get(waiting.popleft()))
        while waiting:
            yield _raised(ray.get(waiting.popleft()))
    finally:
        for unfinished in waiting:
            ray.cancel(unfinished, force=True)


def _measured(
    measure: Callable[[Prepared], Result], prepared: Prepared, fit: Fit
) -> Result | UserError:
    try:
        return measure_elsewhere(measure, prepared, fit)
    except UserError as error:
        return error  # raised, Ray would log its traceback


def _raised(result: Result | UserError) -> Result:
    if isinstance(result, UserError):
        raise result
    return result
