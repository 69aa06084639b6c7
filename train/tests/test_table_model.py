"""Claims about table models: what they are fitted on, what they derive, and that serving computes the same."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from predict.contract.artefact import MODEL
from predict.scoring.predictor import Predictor
from train.config import ConfigError, TrainConfig
from train.config.trust import Trust
from train.data.splits import Prepared
from train.evaluation.answered import Answered
from train.evaluation.baselines import measure_baselines
from train.evaluation.measures import evaluate
from train.features.derived import compute_columns, derive
from train.models import choice as families
from train.models.decision import Decision, default_decision
from train.models.table import model as table_model
from train.models.table.model import FitError, TableModel
from train.progress import SilentProgress, TerminalProgress
from train.run import prepare, run
from train.tests.tables import (
    make_dataset,
    make_table,
    of_spent,
    parts,
    split_of,
    table_config,
    write_table,
)

SILENT = SilentProgress()


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("table") / "t.csv")


@pytest.fixture
def prepared(tmp_path: Path, table: Path) -> Callable[..., Prepared]:
    return lambda **changes: prepare(
        table_config(tmp_path, table, **changes), SILENT, trust=Trust()
    )


def _fit(prepared: Prepared) -> TableModel:
    model: Any = families.fit(prepared, SILENT)
    assert isinstance(model, TableModel)
    return model


# ------------------------------------------------------------ which rows


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, False),
        ({"decision": {"aim": "none"}}, False),
        ({"decision": {"aim": "f1"}}, True),
        ({"decision": {"unsure_below": 0.7}}, False),
        ({"decision": {"unsure_below": {"accuracy": 0.7}}}, True),
        (of_spent(), False),
        (of_spent() | {"evaluation": {"interval": 0.9}}, True),
    ],
)
def test_validation_rows_are_fitted_on_unless_something_is_chosen_on_them(
    prepared: Callable[..., Prepared], changes: dict[str, Any], kept: bool
) -> None:
    config, dataset, split = parts(prepared(**changes))
    model = _fit(Prepared(config, dataset, split, Trust()))
    known = len(split.train) + (0 if kept else len(split.validation))
    assert model.metadata["fitted_on_rows"] == known
    assert (model.validation_outputs is not None) == kept
    if model.validation_outputs is not None:
        expected = model.predict(dataset, split.validation)
        np.testing.assert_array_equal(model.validation_outputs, expected)


@pytest.mark.parametrize("aim", ["none", "f1"])
def test_neither_the_test_rows_nor_kept_validation_rows_change_the_model(aim: str) -> None:
    random = np.random.default_rng(0)
    x, targets = random.normal(size=60), np.array([0, 1] * 30)
    config = TrainConfig.model_validate(
        {"dataset": "d", "task": "classification", "model": {"pipeline": "linear"}, "decision": {"aim": aim}}
    )  # fmt: skip
    split = split_of(60, validation=12, test=12)
    unseen = split.test if aim == "none" else np.concatenate([split.validation, split.test])
    coefficients = []
    for shift in (0.0, 99.0):
        moved = x.copy()
        moved[unseen] += shift
        dataset = make_dataset({"x": moved.tolist()}, targets, ["no", "yes"])
        model = _fit(Prepared(config, dataset, split, Trust()))
        coefficients.append([model.pipeline[-1].coef_, model.pipeline[-1].intercept_])
        assert model.inputs[0].maximum == pytest.approx(np.delete(moved, unseen).max())
    assert coefficients[0][0] == coefficients[1][0]
    assert coefficients[0][1] == coefficients[1][1]


@pytest.mark.parametrize("aim", ["none", "f1"])
def test_rows_of_frequent_labels_are_left_out_of_the_fit_alone(
    prepared: Callable[..., Prepared], aim: str
) -> None:
    config, dataset, split = parts(prepared(decision={"aim": aim}, imbalance={"under_sample": 1.5}))
    known = split.train if aim == "f1" else np.concatenate([split.train, split.validation])
    rare = int(dataset.targets[known].sum())
    assert rare / len(known) < 0.35
    assert _fit(Prepared(config, dataset, split, Trust())).metadata["fitted_on_rows"] == rare + int(
        1.5 * rare
    )
    # What is chosen, measured and told is about all rows.
    assert len(split.train) + len(split.validation) + len(split.test) == len(dataset)


def test_the_positive_label_is_the_rarer_one_although_both_are_sampled_alike(
    tmp_path: Path,
) -> None:
    random = np.random.default_rng(0)
    targets = np.array([0, 1, 1, 1] * 30)  # the rarer one comes first in the alphabet
    frame = pd.DataFrame(
        {"x": targets + random.normal(size=120), "label": np.array(["lost", "won"])[targets]}
    )
    config = TrainConfig.model_validate(
        {
            "dataset": str(write_table(tmp_path / "t.csv", frame)),
            "imbalance": {"under_sample": 1},
            "artefacts_dir": tmp_path / "artefacts",
        }
    )
    assert run(config, SILENT).metrics["positive_label"] == "lost"


def test_class_weights_change_the_fit(prepared: Callable[..., Prepared]) -> None:
    shares = {}
    for weights in ("none", "balanced"):
        config, dataset, split = parts(prepared(imbalance={"class_weights": weights}))
        model = _fit(Prepared(config, dataset, split, Trust()))
        outputs = model.uncalibrated(model.predict(dataset, split.test))
        assert outputs is not None
        shares[weights] = outputs[:, 1].mean()
    # Left alone, the mean probability is about the share of the label; balanced, about a half.
    share = dataset.targets.mean()
    assert shares["none"] == pytest.approx(share, abs=0.08)
    assert shares["balanced"] > share + 0.08


def test_weights_and_samples_go_together(prepared: Callable[..., Prepared]) -> None:
    both = prepared(imbalance={"class_weights": "balanced", "under_sample": 1}, calibration="none")
    sampled = prepared(imbalance={"under_sample": 1}, calibration="none")
    _, dataset, split = parts(both)
    # Of labels that are as frequent, each weighs one.
    np.testing.assert_allclose(
        _fit(both).predict(dataset, split.test),
        _fit(sampled).predict(dataset, split.test),
        atol=1e-4,
    )


OWN = """
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.manifold import TSNE

def good(C=1.0):
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    encoded = make_column_transformer(
        (numbers, ["age", "visits"]), (OneHotEncoder(handle_unknown="ignore"), ["plan"])
    )
    return make_pipeline(encoded, LogisticRegression(C=C))

def neighbours():
    return make_pipeline(SimpleImputer(), KNeighborsClassifier())

def strings():
    return make_pipeline(LogisticRegression())

def missing():
    return make_pipeline(make_column_transformer(("passthrough", ["age"])), LogisticRegression())

def no_such_column():
    return make_pipeline(make_column_transformer(("passthrough", ["aeg"])), LogisticRegression())

def margins():
    return make_pipeline(SimpleImputer(), LinearSVC())

def many_neighbours():
    columns = make_column_transformer((SimpleImputer(), ["age", "paid"]))
    return make_pipeline(columns, KNeighborsClassifier(n_neighbors=180))

def stopped_early():
    columns = make_column_transformer((SimpleImputer(), ["age", "paid"]))
    return make_pipeline(columns, LogisticRegression(max_iter=1))
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own.py"
    file.write_text(OWN)
    return file


def test_a_model_that_takes_no_weights_is_refused_before_anything_is_fitted(
    prepared: Callable[..., Prepared], own: Path
) -> None:
    with pytest.raises(
        ConfigError,
        match=r"class_weights: the last step .* KNeighborsClassifier, takes no weights. Use imbalance",
    ):
        prepared(model={"pipeline": f"{own}:neighbours"}, imbalance={"class_weights": "balanced"})


def test_a_label_that_only_the_tests_own_split_has_is_told(tmp_path: Path) -> None:
    dataset = make_dataset({"x": np.arange(20.0).tolist()}, [0, 1] * 9 + [2, 2], ["a", "b", "c"])
    config = TrainConfig.model_validate(
        {"dataset": "d", "task": "classification", "model": {"pipeline": "linear"}}
    )
    with pytest.raises(
        FitError, match=r"no training row has the label c: it occurs only in .*own test split\."
    ):
        _fit(Prepared(config, dataset, split_of(20, 4, 2)))


# --------------------------------------------------------------- calibration


@pytest.fixture
def fits(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """On how many rows a pipeline was fitted, in turn."""
    sizes: list[int] = []
    fit = table_model._fit

    def remember(pipeline: Any, frame: pd.DataFrame, targets: Any, config: TrainConfig) -> None:
        sizes.append(len(frame))
        fit(pipeline, frame, targets, config)

    monkeypatch.setattr(table_model, "_fit", remember)
    return sizes


def test_the_temperature_is_that_of_rows_held_out_and_no_row_is_lost(
    prepared: Callable[..., Prepared], fits: list[int]
) -> None:
    config, dataset, split = parts(prepared())
    known = len(split.train) + len(split.validation)
    model = _fit(Prepared(config, dataset, split, Trust()))
    assert fits[0] == model.metadata["fitted_on_rows"] == known
    assert len(fits) == 6
    assert sum(known - size for size in fits[1:]) == known
    assert model.metadata["temperature"] == model.temperature
    assert model.temperature is not None
    # Underfitted: half of what it is sure of, it does not say.
    few = prepared(model={"pipeline": "hist_gradient_boosting", "max_iter": 3})
    colder = _fit(few).temperature
    assert colder is not None
    assert colder < 0.8


def test_a_temperature_changes_probabilities_and_no_answer(
    prepared: Callable[..., Prepared],
) -> None:
    model = {"pipeline": "hist_gradient_boosting", "max_iter": 3}
    config, dataset, split = parts(prepared(model=model))
    scaled, plain = (
        _fit(Prepared(config, dataset, split, Trust())),
        _fit(prepared(model=model, calibration="none")),
    )
    assert plain.temperature is None
    assert "temperature" not in plain.metadata
    outputs = scaled.predict(dataset, split.test)
    before = plain.predict(dataset, split.test)
    assert np.abs(outputs - before).max() > 0.05
    assert (outputs.argmax(axis=1) == before.argmax(axis=1)).all()
    np.testing.assert_allclose(scaled.uncalibrated(outputs), before, rtol=1e-9)
    assert plain.uncalibrated(before) is None


def test_probabilities_of_new_rows_are_better_than_without(tmp_path: Path) -> None:
    file = write_table(tmp_path / "t.csv", make_table(1200))
    losses = {}
    for calibration in ("none", "temperature"):
        model = {"pipeline": "hist_gradient_boosting", "max_iter": 10}
        changes = {"model": model, "calibration": calibration}
        config, dataset, split = parts(prepare(table_config(tmp_path, file, **changes), SILENT))
        outputs = _fit(Prepared(config, dataset, split, Trust())).predict(dataset, split.test)
        decision = Decision("label", dataset.label_names)
        metrics = evaluate(Answered(dataset.targets[split.test], outputs, decision))
        losses[calibration] = metrics["log_loss"]
    assert losses["temperature"] < losses["none"] - 0.01


def test_of_many_rows_only_as_many_are_held_out_as_are_needed(
    tmp_path: Path, fits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(table_model, "_ENOUGH_HELD_OUT", 20)
    config, dataset, split = parts(
        prepare(table_config(tmp_path, write_table(tmp_path / "t.csv")), SILENT)
    )
    _fit(Prepared(config, dataset, split, Trust()))
    # A fifth of the rows has some ten of the rarer label.
    rarer = dataset.targets[np.concatenate([split.train, split.validation])].sum()
    assert len(fits) - 1 == int(np.ceil(20 / (rarer / 5))) == 2


def test_a_number_has_no_temperature(prepared: Callable[..., Prepared], fits: list[int]) -> None:
    model = _fit(prepared(**of_spent()))
    assert (model.temperature, len(fits)) == (None, 1)
    assert model.uncalibrated(np.ones((1, 1))) is None


def test_a_pipeline_that_fewer_rows_break_is_left_uncalibrated_with_a_warning(
    prepared: Callable[..., Prepared],
    own: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    config, dataset, split = parts(prepared(model={"pipeline": f"{own}:many_neighbours"}))
    model: Any = table_model.fit(Prepared(config, dataset, split, Trust()), TerminalProgress())
    assert model.temperature is None
    [warning] = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert "calibrate: skipped" in warning
    assert "n_neighbors" in warning
    assert "Set calibration: none" in warning


@pytest.mark.parametrize(
    "pipeline",
    [
        {"pipeline": "linear"},
        {"pipeline": "random_forest", "n_estimators": 10},
        {"pipeline": "hist_gradient_boosting", "max_iter": 5},
    ],
)
@pytest.mark.parametrize("temperature", [0.3, 4.0])
def test_a_temperature_is_exact_in_the_exported_model(
    prepared: Callable[..., Prepared], tmp_path: Path, pipeline: dict[str, Any], temperature: float
) -> None:
    """Also where all trees agree, and where a line is so sure that a probability is nearly none."""
    config, dataset, split = parts(prepared(model=pipeline, calibration="none"))
    model = replace(_fit(Prepared(config, dataset, split, Trust())), temperature=temperature)
    extreme = dataset.frame.copy()
    extreme.loc[extreme.index[:50], "age"] *= 1000
    asked = replace(dataset, frame=extreme)
    rows = np.arange(len(extreme))
    expected = model.predict(asked, rows)
    assert np.isfinite(np.log(expected)).all()
    model.write(tmp_path)
    session = onnxruntime.InferenceSession(
        str(tmp_path / MODEL), providers=["CPUExecutionProvider"]
    )
    frame = compute_columns(asked, model.inputs, model.derived, rows)
    columns = {each.name: frame[each.name].to_numpy() for each in session.get_inputs()}
    feeds = {name: values.reshape(-1, 1) for name, values in columns.items()}
    [served] = session.run(None, feeds)
    np.testing.assert_allclose(served, expected, rtol=1e-6, atol=1e-12)


# ------------------------------------------------- pipelines that do not fit


@pytest.mark.parametrize(
    ("function", "complaint"),
    [
        ("strings", "ValueError: could not convert string to float.*plan .text.*OneHotEncoder"),
        ("missing", "ValueError: Input X contains NaN.*age .number.*SimpleImputer"),
        ("no_such_column", "age .number., visits .number."),
    ],
)
def test_a_pipeline_that_does_not_take_the_table_is_told_what_the_table_is(
    prepared: Callable[..., Prepared], own: Path, function: str, complaint: str
) -> None:
    ready = prepared(model={"pipeline": f"{own}:{function}"})
    with pytest.raises(FitError, match=re.compile(complaint, re.DOTALL)) as caught:
        _fit(ready)
    assert len(str(caught.value).splitlines()) == 2


def test_a_table_of_many_columns_is_not_listed_in_full() -> None:
    columns: dict[str, Any] = {f"column {i}": [1.0, float("nan")] * 10 for i in range(200)}
    dataset = make_dataset(columns, [0, 1] * 10, ["a", "b"])
    frame = dataset.frame
    config = TrainConfig(dataset="d")
    pipeline = table_model.Pipeline([("dummy", DummyClassifier(strategy="constant", constant=7))])
    with pytest.raises(FitError, match=r"column 11 .number. and 188 more") as caught:
        table_model._fit(pipeline, frame, dataset.targets, config)
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"model": {"pipeline": "own.py:margins"}}, ConfigError,
         "cannot be exported as ONNX: 1 problem\n  linearsvc: LinearSVC"),
        ({"model": {"pipeline": "linear", "C": -1}}, ConfigError, "model: The 'C' parameter of LogisticRegression"),
        ({"model": {"pipeline": "random_forest", "n_estimators": "many", "max_depth": 0}}, ConfigError,
         "(?s)'max_depth' parameter|'n_estimators' parameter"),
        ({"model": {"pipeline": "wide_and_deep"}}, ConfigError, "is for texts and labels, not for columns age .number"),
        ({"task": "multilabel"}, ConfigError, "multilabel is for the text model, not for model.pipeline: linear"),
        (of_spent() | {"imbalance": {"class_weights": "balanced"}}, ConfigError, "imbalance: only for task: class"),
    ],
)  # fmt: skip
def test_what_cannot_be_fitted_is_known_before_anything_is_fitted(
    prepared: Callable[..., Prepared],
    own: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    error: type[Exception],
    complaint: str,
) -> None:
    monkeypatch.chdir(own.parent)
    with pytest.raises(error, match=complaint):
        prepared(**changes)


def test_a_warning_of_scikit_learn_is_one_line(
    prepared: Callable[..., Prepared], own: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config, dataset, split = parts(prepared(model={"pipeline": f"{own}:stopped_early"}))
    table_model.fit(Prepared(config, dataset, split, Trust()), TerminalProgress())
    warnings = [line for line in capsys.readouterr().err.splitlines() if "WARNING" in line]
    assert len(warnings) == 1
    assert "train: ConvergenceWarning: lbfgs failed to converge" in warnings[0]


# ------------------------------------------------------------------ features

FEATURES: dict[str, Any] = {
    "per visit": {"ratio": ["paid", "visits"]},  # some have none
    "ages": {"bins": "age", "edges": [30, 45]},
    "who": {"cross": ["plan", "ages"]},
    "share of age": {"ratio": ["per visit", "age"]},
    "month": {"date": "since", "part": "month"},
    "at": {"date": "since", "part": "minute"},
}


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"pipeline": "linear"}},
        {"model": {"pipeline": "random_forest", "n_estimators": 5}},
        {"model": {"pipeline": "hist_gradient_boosting", "max_iter": 5}, "calibration": "none"},
        of_spent() | {"model": {"pipeline": "linear"}},
        of_spent() | {"model": {"pipeline": "hist_gradient_boosting", "max_iter": 5}},
    ],
)
def test_features_are_the_same_when_served(
    tmp_path: Path, table: Path, changes: dict[str, Any]
) -> None:
    """Also for rows with what no training row had: a run compares its own test rows, this asks for more."""
    config = table_config(tmp_path, table, features=FEATURES, **changes)
    artefact = run(config, SILENT).artefact_dir
    config, dataset, split = parts(prepare(config, SILENT))
    model = _fit(Prepared(config, dataset, split, Trust()))
    strange: dict[str, list[Any]] = {
        "age": [None, 30, 29.999, 44, 45, 1e9, -5, None],
        "visits": [0, 0, None, 3, 1, 2, 2, None],
        "paid": [10, 0, 5, None, 3, 1e-300, 7, None],
        "plan": ["", "unheard of", "pro", "basic", "", "plus", "Pro", ""],
        "since": [
            "",
            "2024-02-29",
            "1999-12-31T23:59:59",
            "2030-06-01T10",
            "2024-01-01 08:15",
            "",
            "2024-03-31T00:00",
            "",
        ],
    }
    frame = pd.DataFrame({
        name: np.array(values, np.float64 if name in ("age", "visits", "paid") else object)
        for name, values in strange.items()
    })  # fmt: skip
    asked = replace(dataset, frame=frame[list(dataset.column_types)])
    rows = np.arange(len(frame))
    expected = model.predict(asked, rows)
    predictor = Predictor.load(artefact)
    instances = asked.instances(rows)
    for instance in instances:
        if instance["visits"] is None or instance["paid"] is None:
            instance["visits"], instance["paid"] = (
                0,
                0,
            )  # they were never missing: the server refuses that
    asked.frame["visits"] = [instance["visits"] for instance in instances]
    asked.frame["paid"] = [float(instance["paid"]) for instance in instances]
    expected = model.predict(asked, rows)
    predictor.check(instances)
    np.testing.assert_allclose(predictor.scores(instances), expected, rtol=1e-5, atol=1e-9)
    if config.task == "classification":
        assert len(np.unique(expected[:, 1])) > 2


def test_a_date_of_which_nothing_is_declared_becomes_its_parts(
    prepared: Callable[..., Prepared],
) -> None:
    model = _fit(prepared())
    parts = ["year", "month", "day", "weekday", "hour"]
    assert [made.name for made in model.derived] == [f"since {part}" for part in parts]
    assert list(model.sample) == ["age", "visits", "paid", "plan", *(f"since {p}" for p in parts)]


def test_a_part_of_a_date_takes_no_name_that_a_column_has(tmp_path: Path) -> None:
    frame = make_table()
    frame["since year"] = frame["since"].str[:4]
    frame["since day"], frame["since day 2"] = frame["age"], frame["visits"]
    file = write_table(tmp_path / "t.csv", frame)
    _, dataset, _ = parts(prepare(table_config(tmp_path, file), SILENT))
    names = {made.part: made.name for made in derive(dataset, {})}
    assert (names["year"], names["day"], names["month"]) == (
        "since year 2",
        "since day 3",
        "since month",
    )


def test_a_date_without_times_has_no_hour_and_a_declared_part_is_the_only_one(
    tmp_path: Path,
) -> None:
    frame = make_table()
    frame["since"] = frame["since"].str[:10]
    file = write_table(tmp_path / "t.csv", frame)
    _, dataset, _ = parts(prepare(table_config(tmp_path, file), SILENT))
    assert [made.part for made in derive(dataset, {})] == [
        "year",
        "month",
        "day",
        "weekday",
    ]
    features = table_config(tmp_path, file, features={"m": FEATURES["month"]}).features
    assert [made.name for made in derive(dataset, features)] == ["m"]


@pytest.mark.parametrize(
    ("features", "complaint"),
    [
        ({"r": {"ratio": ["paid", "vists"]}}, "features.r: no column 'vists'. Did you mean 'visits'"),
        ({"r": {"ratio": ["paid", "zzz"]}}, "features.r: no column 'zzz'. Known: age, visits"),
        ({"r": {"ratio": ["paid", "said"]}}, "features.r: no column 'said'. It is ignored: as declared; see"),
        ({"r": {"ratio": ["paid", "left"]}}, "features.r: no column 'left'"),
        ({"b": {"bins": "agee", "edges": [1]}, "d": {"date": "sinc", "part": "day"}}, "features.b: .*\n  features.d: "),
        ({"late": {"cross": ["plan", "ages"]}, "ages": {"bins": "age", "edges": [9]}}, "late: no column 'ages'"),
        ({"r": {"ratio": ["paid", "plan"]}}, "features: .*r: of: a ratio is made of type number, but plan is"),
        ({"c": {"cross": ["plan", "age"]}}, "features: .*c: of: a cross is made of type category, but age is a number"),
        ({"d": {"date": "plan", "part": "day"}}, "features: .*d: of: a date_part is made of type date"),
        ({"age": {"ratio": ["paid", "visits"]}}, "features: .*age"),
        ({"since month": {"ratio": ["paid", "visits"]}}, "features: .*since month"),
    ],
)  # fmt: skip
def test_a_wrong_feature_is_named(
    prepared: Callable[..., Prepared], features: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(ConfigError, match=complaint):
        prepared(features=features)


# ----------------------------------------------------------------- baselines


def test_the_baselines_are_the_share_of_each_label_and_a_linear_model(
    prepared: Callable[..., Prepared],
) -> None:
    model = {"pipeline": "random_forest", "n_estimators": 5}
    config, dataset, split = parts(prepared(model=model, decision={"aim": "f1"}))
    default = default_decision(Prepared(config, dataset, split, Trust()))
    baselines = measure_baselines(Prepared(config, dataset, split, Trust()))
    assert list(baselines) == ["majority label", "logistic regression"]
    known = np.concatenate([split.train, split.validation])
    share = dataset.targets[known].mean()
    truth = dataset.targets[split.test]
    losses = np.where(truth == 1, -np.log(share), -np.log(1 - share))
    assert baselines["majority label"]["log_loss"] == pytest.approx(losses.mean())
    assert baselines["majority label"]["accuracy"] == pytest.approx(1 - truth.mean())
    linear = prepared(calibration="none")
    outputs = _fit(linear).predict(dataset, split.test)
    assert baselines["logistic regression"] == pytest.approx(
        {
            k: v
            for k, v in evaluate(Answered(truth, outputs, default)).items()
            if isinstance(v, float)
        }
    )


def test_the_baselines_of_a_number_are_the_mean_and_a_linear_model(
    prepared: Callable[..., Prepared],
) -> None:
    model = {"pipeline": "random_forest", "n_estimators": 5}
    config, dataset, split = parts(prepared(**(of_spent() | {"model": model})))
    baselines = measure_baselines(Prepared(config, dataset, split, Trust()))
    assert list(baselines) == ["mean", "ridge regression"]
    known = dataset.targets[np.concatenate([split.train, split.validation])]
    mistakes = np.abs(dataset.targets[split.test] - known.mean())
    assert baselines["mean"]["mae"] == pytest.approx(mistakes.mean())
    assert baselines["ridge regression"]["rmse"] < 0.5 * baselines["mean"]["rmse"]


def test_a_linear_model_is_not_its_own_baseline(
    prepared: Callable[..., Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    config, dataset, split = parts(prepared())
    monkeypatch.setattr(table_model, "fit", lambda *_: pytest.fail("fitted"))
    baselines = measure_baselines(Prepared(config, dataset, split, Trust()))
    assert list(baselines) == ["majority label"]


# ------------------------------------------------------------- end to end


def test_a_pipeline_of_ones_own_is_trained_exported_and_served(
    tmp_path: Path, table: Path, own: Path
) -> None:
    config = table_config(tmp_path, table, model={"pipeline": f"{own}:good", "C": 0.5})
    result = run(config, SILENT, trust=Trust())
    predictor = Predictor.load(result.artefact_dir)
    instance = {"age": 20, "visits": 1, "paid": 9.9, "plan": "basic", "since": None}
    predictor.check([instance, instance | {"age": 75, "plan": "pro"}])
    young, old = predictor.predict([instance, instance | {"age": 75, "plan": "pro"}])
    assert (young["label"], old["label"]) == ("yes", "no")
    assert predictor.metadata.model["pipeline"] == f"{own}:good"
    assert predictor.metadata.model["parameters"] == {"C": 0.5}


# ----------------------------------------------------------- texts of any script


@pytest.mark.parametrize(
    ("liked", "disliked"),
    [
        ("第{}场电影很好看", "第{}场电影很难看"),
        ("ตอนที่{}ดูสนุก", "ตอนที่{}น่าเบื่อ"),
        ("भाग {} अच्छी है", "भाग {} बुरी है"),
        ("part {} 👍🏽", "part {} 👎🏽"),
        ("part{}enjoyable", "part{}unbearable"),
    ],
    ids=["Chinese", "Thai", "Hindi", "emoji", "within words"],
)
def test_a_text_column_is_read_in_every_script(tmp_path: Path, liked: str, disliked: str) -> None:
    file = tmp_path / "seen.csv"
    rows = [f"{said.format(n)},{n % 7},{said == liked}" for n in range(60) for said in (liked, disliked)]  # fmt: skip
    file.write_text("\n".join(["comment,seats,label", *rows]), encoding="utf-8")
    config = table_config(
        tmp_path, file, columns={"label": "label", "inputs": {"comment": "text"}}
    )  # fmt: skip
    result = run(config, SILENT)
    assert result.metrics["accuracy"] == 1.0
    predictor = Predictor.load(result.artefact_dir)
    asked = predictor.check_texts([f'{{"comment": "{liked.format(99)}", "seats": 3}}'])
    assert predictor.predict(asked)[0]["label"] == "true"
