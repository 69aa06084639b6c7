"""The scope of a table model: how far a row may be from the training rows."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from sklearn.cluster import MiniBatchKMeans

from predict.contract.familiarity import RowFamiliarity
from train.data.dataset import Dataset
from train.data.splits import Prepared
from train.features.derived import compute_columns, types_of_all
from train.models import scope
from train.models.decision import Values
from train.models.scope import Rows, Scope
from train.models.table.model import TableModel
from train.progress import Progress

# Typical rows that are kept, and rows that they are looked for among.
_MOST_PROTOTYPES, _MOST_ROWS = 1_024, 20_000
# Rows of one of two labels are much like those of the other: they say nothing of what is outside of both.
FEWEST_LABELS, _FEWEST_KEPT = 2, 2
# Categories of a column that are told apart; to the rest, rarer ones, a row is as near as to a new one.
_MOST_CATEGORIES = 200

Columns = Mapping[str, npt.NDArray[np.object_]]


def find_scope(prepared: Prepared, model: TableModel, progress: Progress) -> Scope:
    """Choose how near a row must be to the training rows, so that as many validation rows as asked are given up.

    Labels are left out in turn to see how many of their rows are found. A distance has nothing to fit, so that this
    changes nothing. No pipeline is fitted.
    """
    aim, dataset, split = prepared.config.scope_aim, prepared.dataset, prepared.split
    assert aim is not None
    none = scope.none_label(prepared, progress)
    tried = list(scope.trials(prepared, none, _FEWEST_KEPT))
    random = np.random.default_rng(prepared.config.training.seed)
    is_none = np.zeros(len(dataset), bool) if none is None else dataset.targets == none

    def familiarity_of(familiarity: RowFamiliarity, asked: Dataset, rows: Rows) -> Values:
        return familiarity.of_columns(_columns(asked, model, rows))

    judged = []
    with progress.bar("groups of labels left out", len(tried)) as advance:
        for trial in tried:
            near = _fit(prepared, model, trial.fit, random)
            within, outside = (
                familiarity_of(near, dataset, rows) for rows in (trial.within, trial.outside)
            )
            judged.append(scope.detection(within, outside, aim.given_up))
            advance()
    numbers = [len(trial.outside) for trial in tried]
    familiarity = _fit(prepared, model, split.train[~is_none[split.train]], random)
    within = familiarity_of(familiarity, dataset, split.validation[~is_none[split.validation]])
    return Scope(
        familiarity,
        lambda asked, rows: familiarity_of(familiarity, asked, rows),
        scope.lowest_familiar(within, aim.given_up),
        scope.described(prepared, none, tried)
        | (scope.pooled(judged, numbers, ("auroc", "recall")) if tried else {}),
    )


def _columns(dataset: Dataset, model: TableModel, rows: Rows) -> Columns:
    frame = compute_columns(dataset, model.inputs, model.derived, rows)
    return {str(name): frame[name].to_numpy() for name in frame}


def _fit(
    prepared: Prepared, model: TableModel, rows: Rows, random: np.random.Generator
) -> RowFamiliarity:
    """Choose typical rows: all if they are few, else the centres of k-means."""
    if len(rows) > _MOST_ROWS:
        rows = np.sort(random.choice(rows, _MOST_ROWS, replace=False))
    types = types_of_all(prepared.dataset, model.derived)
    columns = _columns(prepared.dataset, model, rows)
    numbers = [name for name in columns if types[name] == "number"]
    categories = [name for name in columns if types[name] == "category"]
    values = np.array([columns[name] for name in numbers], np.float64).reshape(len(numbers), -1)
    means, scales = _standard(values)
    seen = [_most_frequent(columns[name]) for name in categories]
    empty = RowFamiliarity(
        np.array(numbers, np.str_),
        means,
        scales,
        np.array(categories, np.str_),
        np.array([value for each in seen for value in each], np.str_),
        np.repeat(np.arange(len(seen)), [len(each) for each in seen]).astype(np.int64),
        np.zeros((0, 0), np.float32),
    )
    encoded = np.unique(empty.encode(columns), axis=0)
    if len(encoded) > _MOST_PROTOTYPES:
        # To begin with random rows is as good here, and faster.
        means_of = MiniBatchKMeans(
            _MOST_PROTOTYPES, init="random", max_iter=10, n_init=1, random_state=0
        )
        encoded = means_of.fit(encoded).cluster_centers_
    return RowFamiliarity(
        empty.numbers, means, scales, empty.categories, empty.seen, empty.column_of_seen,
        encoded.astype(np.float32),
    )  # fmt: skip


def _standard(values: Values) -> tuple[Values, Values]:
    """Return the mean and the standard deviation of columns of numbers, <float64>[num_numbers] each."""
    is_known = np.isfinite(values)
    counts = np.maximum(is_known.sum(axis=1), 1)
    means = np.where(is_known, values, 0).sum(axis=1) / counts
    gaps = np.where(is_known, values - means[:, np.newaxis], 0)
    scales = np.sqrt(np.square(gaps).sum(axis=1) / counts)
    return means, np.where((scales > 0) & np.isfinite(scales), scales, 1.0)


def _most_frequent(values: npt.NDArray[np.object_]) -> Sequence[str]:
    found, counts = np.unique(values.astype(np.str_), return_counts=True)
    most: list[str] = found[np.argsort(-counts, kind="stable")[:_MOST_CATEGORIES]].tolist()
    return most
