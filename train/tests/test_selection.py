"""Claims about cross-validation and search, most of them with a family that only notes what it is asked."""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from sklearn.model_selection import KFold

from train.config import TrainConfig
from train.data.dataset import Dataset
from train.data.splits import Prepared, Split
from train.evaluation import selection
from train.evaluation.selection import _without_optimism, cross_validate, problems_of, search
from train.models import choice as families
from train.progress import Progress, SilentProgress
from train.run import prepare
from train.tests.tables import make_dataset, of_spent, parts, table_config, write_table

SILENT = SilentProgress()
ROWS = 60


def _config(**content: Any) -> TrainConfig:
    return TrainConfig.model_validate(
        {"dataset": "d", "task": "classification", "model": {"pipeline": "linear"}} | content
    )


def _dataset() -> Dataset:
    """Return 60 rows, of which 12 are `yes`."""
    targets = np.array([1, 0, 0, 0, 0] * 12)
    return make_dataset({"x": np.arange(ROWS, dtype=float).tolist()}, targets, ["no", "yes"])


def _split() -> Split:
    rows = np.random.default_rng(1).permutation(ROWS)
    return Split(np.sort(rows[:36]), np.sort(rows[36:45]), np.sort(rows[45:]))


@dataclass
class Notes:
    """A family that learns nothing, and what it was asked.

    Its probability of the truth is `sure`, or the higher the nearer `model.C` is to 3 and `model.max_iter` to 7.
    """

    fitted: list[Split] = field(default_factory=list)
    predicted: list[Any] = field(default_factory=list)
    validation_outputs: Any = None
    factors: Any = None

    def problems_of(self, prepared: Prepared) -> list[str]:
        return []

    def fit(self, prepared: Prepared, progress: Progress) -> Any:
        self.fitted.append(prepared.split)
        parameters = prepared.config.model.parameters
        off = abs(parameters.get("C", 3) - 3) + abs(parameters.get("max_iter", 7) - 7)
        self.sure = 0.9 - 0.05 * off
        return self

    def predict(self, dataset: Dataset, rows: Any) -> Any:
        self.predicted.append(rows)
        truth = np.eye(2)[dataset.targets[rows]]
        return np.where(truth == 1, self.sure, 1 - self.sure)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Notes:
    notes = Notes()
    monkeypatch.setattr(families, "family_of", lambda config: notes)
    return notes


# ---------------------------------------------------------- cross-validation


def test_folds_are_disjoint_stratified_and_all_rows_but_those_for_the_test(notes: Notes) -> None:
    dataset, split = _dataset(), _split()
    cross_validate(Prepared(_config(evaluation={"folds": 4}), dataset, split), SILENT)
    known = np.concatenate([split.train, split.validation])
    assert len(notes.predicted) == 4
    assert sorted(np.concatenate(notes.predicted)) == sorted(known)
    positive = dataset.targets[known].sum()
    for fold, fitted in zip(notes.predicted, notes.fitted, strict=True):
        assert abs(dataset.targets[fold].sum() - positive / 4) < 1
        assert sorted([*fitted.train, *fitted.validation, *fold]) == sorted(known)


@pytest.mark.parametrize("folds", [1, 3])
def test_the_rows_for_the_test_are_never_looked_at(notes: Notes, folds: int) -> None:
    dataset, split = _dataset(), _split()
    config = _config(
        evaluation={"folds": 3}, search={"folds": folds, "model.C": [1, 3], "metric": "accuracy"}
    )
    # Whatever is said of these rows would show: their label is none.
    dataset.targets[split.test] = 99
    search(Prepared(config, dataset, split), SILENT)
    cross_validate(Prepared(config, dataset, split), SILENT)
    seen = np.concatenate(
        [*notes.predicted, *(s.train for s in notes.fitted), *(s.validation for s in notes.fitted)]
    )
    assert not set(seen) & set(split.test)


def test_only_training_rows_are_under_sampled(notes: Notes) -> None:
    dataset, split = _dataset(), _split()
    config = _config(evaluation={"folds": 3}, imbalance={"under_sample": 1})
    cross_validate(Prepared(config, dataset, split), SILENT)
    for fold, fitted in zip(notes.predicted, notes.fitted, strict=True):
        counts = np.bincount(dataset.targets[fitted.train])
        assert counts[0] == counts[1]
        for rows in (fold, fitted.validation):
            assert np.bincount(dataset.targets[rows])[0] > np.bincount(dataset.targets[rows])[1]
    assert len(np.concatenate(notes.predicted)) == len(split.train) + len(split.validation)


def test_mean_and_deviation_are_those_of_the_folds() -> None:
    """Ridge on one column, done again by hand."""
    random = np.random.default_rng(0)
    x, noise = random.normal(size=ROWS), random.normal(size=ROWS)
    dataset, split = make_dataset({"x": x.tolist()}, 3 * x + noise), _split()
    config = _config(task="regression", evaluation={"folds": 3})
    result = cross_validate(Prepared(config, dataset, split), SILENT)
    known = np.concatenate([split.train, split.validation])
    expected = []
    for kept, held in KFold(3, shuffle=True, random_state=0).split(known):
        x_kept = x[known[kept], None]
        scaled = [
            (column - x_kept.mean()) / x_kept.std() for column in (x_kept, x[known[held], None])
        ]
        model = Ridge().fit(scaled[0], dataset.targets[known[kept]])
        errors = model.predict(scaled[1]) - dataset.targets[known[held]]
        expected.append(np.sqrt(np.mean(errors**2)))
    assert [fold["rmse"] for fold in result["folds"]] == pytest.approx(expected)
    assert result["mean"]["rmse"] == pytest.approx(np.mean(expected))
    assert result["std"]["rmse"] == pytest.approx(np.std(expected, ddof=1))
    assert (
        set(result["mean"]) == set(result["std"]) == {"rmse", "mae", "median_absolute_error", "r2"}
    )


def test_a_threshold_is_chosen_anew_in_every_fold(tmp_path: Path) -> None:
    dataset_file = write_table(tmp_path / "t.csv")
    config = table_config(
        tmp_path, dataset_file, decision={"aim": "recall>=0.9"}, evaluation={"folds": 2}
    )
    config, dataset, split = parts(prepare(config, SILENT))
    folds = cross_validate(Prepared(config, dataset, split), SILENT)["folds"]
    assert all(fold["recall"] > 0.8 for fold in folds)


@pytest.mark.parametrize(
    ("count", "targets", "label_names", "need"),
    [
        (13, [1, 0, 0, 0, 0] * 12, ["no", "yes"], "a row of every label"),
        (23, np.arange(60.0), [], "two rows"),
    ],
)
@pytest.mark.parametrize("section", ["evaluation", "search"])
def test_too_few_rows_for_the_folds_are_known_before_anything_is_fitted(
    section: str, count: int, targets: Any, label_names: list[str], need: str
) -> None:
    dataset = make_dataset({"x": [0.0] * ROWS}, targets, label_names)
    settings = {"folds": min(count, 20 if section == "search" else 100)}
    settings |= {"parameters": {"training.seed": [1]}} if section == "search" else {}
    task = "classification" if label_names else "regression"
    config = _config(task=task, **{section: settings})
    few = Split(_split().train[:30], _split().validation, _split().test)
    [problem] = problems_of(Prepared(config, dataset, few))
    assert re.search(f"too few rows for .* folds, each of which needs {need}", problem)


def test_as_many_folds_as_the_rarest_label_has_rows_are_let_pass(notes: Notes) -> None:
    dataset, split = _dataset(), _split()
    rarest = int(dataset.targets[np.concatenate([split.train, split.validation])].sum())
    config = _config(evaluation={"folds": rarest}, split={"validation": 0.2})
    assert problems_of(Prepared(config, dataset, split)) == []
    assert len(cross_validate(Prepared(config, dataset, split), SILENT)["folds"]) == rarest


# -------------------------------------------------------------------- search


@pytest.mark.parametrize("folds", [1, 3])
def test_a_grid_finds_the_best_of_all_combinations(notes: Notes, folds: int) -> None:
    settings = {"folds": folds, "model.C": [1, 3, 5], "model.max_iter": [5, 7, 9]}
    best, tried = search(Prepared(_config(search=settings), _dataset(), _split()), SILENT)
    assert best.config.model.parameters == {"C": 3, "max_iter": 7}
    assert best.config.search is None
    assert tried["metric"] == "log_loss"
    assert len(tried["trials"]) == 9
    first, *_, last = tried["trials"]
    assert first["parameters"] == {"model.C": 3, "model.max_iter": 7}
    assert first["mean"] == pytest.approx(-np.log(0.9))
    assert last["mean"] == pytest.approx(-np.log(0.7))
    assert [trial["mean"] for trial in tried["trials"]] == sorted(
        t["mean"] for t in tried["trials"]
    )
    assert (first["std"] is None) == (folds == 1)


def test_of_a_metric_that_is_no_error_more_is_better(notes: Notes) -> None:
    settings = {"metric": "accuracy", "folds": 1, "model.C": [14, 3]}  # 14: 0.35 of the truth
    best, tried = search(Prepared(_config(search=settings), _dataset(), _split()), SILENT)
    assert [trial["mean"] for trial in tried["trials"]] == [1.0, 0.0]
    assert best.config.model.parameters == {"C": 3}


def test_a_random_search_tries_as_many_as_it_is_told_and_none_twice(notes: Notes) -> None:
    settings = {
        "method": "random",
        "trials": 6,
        "folds": 1,
        "model.C": list(range(1, 8)),
        "model.max_iter": [6, 7, 8],
    }
    results = [
        search(Prepared(_config(search=settings | {"seed": seed}), _dataset(), _split()), SILENT)
        for seed in (1, 1, 2)
    ]
    tried = [{tuple(t["parameters"].items()) for t in result["trials"]} for _, result in results]
    assert [len(parameters) for parameters in tried] == [6, 6, 6]
    assert tried[0] == tried[1] != tried[2]


def test_a_random_search_of_no_more_than_all_is_a_grid(notes: Notes) -> None:
    settings = {"method": "random", "trials": 50, "folds": 1, "model.C": [1, 2, 3]}
    best, tried = search(Prepared(_config(search=settings), _dataset(), _split()), SILENT)
    assert len(tried["trials"]) == 3
    assert best.config.model.parameters["C"] == 3


def test_a_search_finds_the_penalty_that_noise_needs(tmp_path: Path) -> None:
    """Thirty columns of noise and 36 rows: a model without a penalty learns the noise by heart."""
    random = np.random.default_rng(0)
    columns = {f"x{i}": random.normal(size=ROWS).tolist() for i in range(30)}
    targets = (np.asarray(columns["x0"]) > 0).astype(int)
    dataset = make_dataset(columns, targets, ["no", "yes"])
    settings = {"folds": 3, "model.C": [1000.0, 0.1, 1e-9]}
    best, tried = search(Prepared(_config(search=settings), dataset, _split()), SILENT)
    assert best.config.model.parameters == {"C": 0.1}
    assert tried["trials"][-1]["parameters"] == {"model.C": 1000.0}


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"metric": "acuracy", "model.C": [1]}, "search.metric: expected .* got 'acuracy'. Did you mean"),
        ({"metric": "rmse", "model.C": [1]}, "search.metric: .* got 'rmse'"),
        ({"model.D": [1]}, "search: model.D=1: model.D: linear has no such parameter"),
        ({"model.C": [1, -1]}, "search: model.C=-1: model: The 'C' parameter of LogisticRegression must be"),
        ({"model.pipeline": ["linear", "lineer"]}, "Did you mean linear"),
        ({"model.pipeline": ["wide_and_deep"]}, "is for texts and labels, not for columns x"),
        ({"decision.aim": ["f1"], "decision.positive": ["si"]}, "search: .*decision.positive: expected one of"),
    ],
)  # fmt: skip
def test_a_search_that_cannot_be_made_is_refused_before_anything_is_fitted(
    settings: dict[str, Any], complaint: str
) -> None:
    [problem] = problems_of(Prepared(_config(search=settings), _dataset(), _split()))
    assert re.search(complaint, problem)


def test_a_search_that_can_be_made_is_let_pass() -> None:
    settings = {
        "metric": "f1",
        "model.C": [0.1, 1],
        "imbalance.class_weights": ["none", "balanced"],
        "decision.aim": ["f1", "recall>=0.9"],
    }
    assert problems_of(Prepared(_config(search=settings), _dataset(), _split())) == []


def test_the_optimism_of_the_best_is_its_distance_from_the_best_of_every_fold() -> None:
    """Three trials and three folds, done by hand: the chosen one is best in two folds."""
    losses = [[0.1, 0.2, 0.6], [0.2, 0.4, 0.6], [0.7, 0.5, 0.3]]
    found = _without_optimism(losses, -1)
    assert found == {"optimism": pytest.approx(0.1), "corrected": pytest.approx(0.4)}
    scores = [[0.9, 0.8, 0.4], [0.8, 0.6, 0.4], [0.3, 0.5, 0.7]]
    found = _without_optimism(scores, 1)
    assert found == {"optimism": pytest.approx(0.1), "corrected": pytest.approx(0.6)}
    assert _without_optimism(losses[:1], -1) == {"optimism": 0, "corrected": pytest.approx(0.3)}


class Lines(SilentProgress):
    """Keeps what is said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


def _guess(prepared: Prepared) -> dict[str, float]:
    """Measure answers that are luck; the seed is all that a trial can change."""
    rows = prepared.split.test
    random = np.random.default_rng([prepared.config.training.seed, *rows])
    truth = random.uniform(size=len(rows))  # the probability of the truth
    return {"accuracy": float(np.mean(truth > 0.5)), "log_loss": float(-np.mean(np.log(truth)))}


@pytest.mark.parametrize(("metric", "folds"), [("accuracy", 3), ("accuracy", 5), ("log_loss", 5)])
def test_labels_of_noise_are_nearer_to_chance_without_the_optimism(
    metric: str, folds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The best of sixteen that guess; on twenty tables, because one is a matter of luck."""
    monkeypatch.setattr(selection, "_measure", _guess)
    settings = {"metric": metric, "folds": folds, "training.seed": list(range(16))}
    chance = {"accuracy": 0.5, "log_loss": 1.0}[metric]  # 1: the mean of -log(u), u uniform
    best, corrected = [], []
    for seed in range(20):
        random, told = np.random.default_rng(seed), Lines()
        targets = random.permutation([0, 1] * (ROWS // 2))
        dataset = make_dataset({"x": [0.0] * ROWS}, targets, ["no", "yes"])
        config = _config(search=settings, split={"seed": seed})
        _, found = search(Prepared(config, dataset, _split()), told)
        assert (
            f"or about {found['corrected']:.4g} without the luck of the best of 16"
            in told.lines[-1]
        )
        best.append(found["trials"][0]["mean"])
        corrected.append(found["corrected"])
    optimism = abs(np.mean(best) - chance)
    assert optimism > 0.1
    assert abs(np.mean(corrected) - chance) < 0.5 * optimism


def test_one_fold_does_not_tell_how_optimistic_the_best_is(notes: Notes) -> None:
    told = Lines()
    config = _config(search={"folds": 1, "model.C": [1, 3]})
    _, found = search(Prepared(config, _dataset(), _split()), told)
    assert (found["optimism"], found["corrected"]) == (None, None)
    assert "too good by an unknown amount" in told.lines[-1]


def test_a_search_chooses_among_pipelines(tmp_path: Path) -> None:
    """The target is a product, which no linear model knows."""
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, ROWS * 3))
    dataset = make_dataset({"a": a.tolist(), "b": b.tolist()}, a * b)
    rows = np.arange(ROWS * 3)
    config = _config(
        task="regression", search={"folds": 2, "model.pipeline": ["linear", "random_forest"]}
    )
    best, tried = search(
        Prepared(config, dataset, Split(rows[:100], rows[100:150], rows[150:])), SILENT
    )
    assert best.config.model.pipeline == "random_forest"
    assert tried["metric"] == "rmse"


def test_what_is_searched_may_be_a_feature(tmp_path: Path) -> None:
    config = table_config(
        tmp_path,
        write_table(tmp_path / "t.csv"),
        features={"ages": {"bins": "age", "edges": [1]}},
        search={"folds": 2, "features.ages.edges": [[1.0], [30.0, 45.0]]},
        **of_spent(),
    )
    config, dataset, split = parts(prepare(config, SILENT))
    best, _ = search(Prepared(config, dataset, split), SILENT)
    assert best.config.features["ages"].edges is not None
