"""The rounds of boosting and the trees of forests, counted while they are fitted."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from joblib import parallel_config
from joblib.parallel import SequentialBackend
from sklearn.ensemble import (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

from train.progress import Progress

_BOOSTING = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
_FORESTS = (
    ExtraTreesClassifier,
    ExtraTreesRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
# From here on, scikit-learn's `early_stopping="auto"` stops early.
_STOPS_EARLY_ABOVE = 10_000


@contextmanager
def rounds_counted(pipeline: Pipeline, num_rows: int, progress: Progress) -> Iterator[None]:
    """Show how far a pipeline's fit is that runs in this context, if its last step can be watched from outside.

    The fit itself does nothing that it would not do unwatched, so its numbers are the same to the last bit.
    """
    last = pipeline.steps[-1][1]
    if isinstance(last, _BOOSTING):
        auto = last.early_stopping == "auto"
        may_stop = num_rows > _STOPS_EARLY_ABOVE if auto else last.early_stopping
        name = "rounds or fewer" if may_stop else "rounds"
        with progress.bar(name, last.max_iter, _rounds_of(last)):
            yield
    elif isinstance(last, _FORESTS) and last.n_jobs in (None, 1):
        watching = _Watching()
        with (
            parallel_config(backend=watching),
            progress.bar("trees", last.n_estimators, watching.count),
        ):
            yield
    else:
        yield


def _rounds_of(boosting: Any) -> Callable[[], int]:
    def count() -> int:
        try:
            return int(boosting.n_iter_)  # grows while it is fitted
        except (NotFittedError, AttributeError):
            return 0

    return count


class _Watching(SequentialBackend):  # type: ignore[misc]  # joblib has no types
    """The backend that a forest of one job has anyway, which knows whose jobs it does."""

    _parallel: Any = None

    def configure(self, n_jobs: int = 1, parallel: Any = None, **options: Any) -> int:
        self._parallel = parallel
        configured: int = super().configure(n_jobs, parallel, **options)
        return configured

    def count(self) -> int:
        """Return how many jobs have ended."""
        return 0 if self._parallel is None else int(self._parallel.n_completed_tasks)
