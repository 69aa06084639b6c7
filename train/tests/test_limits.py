"""Claims about tables that pipelines cannot take: what is said of them, and that a check says it first."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from train.__main__ import main
from train.config import ConfigError
from train.config.loading import to_yaml
from train.config.trust import Trust
from train.models import choice
from train.progress import SilentProgress, TerminalProgress
from train.run import prepare, run
from train.tests.tables import table_config

SILENT = SilentProgress()
PIPELINES = ("linear", "random_forest", "hist_gradient_boosting")


def _table(count: int = 120) -> pd.DataFrame:
    random = np.random.default_rng(1)
    x = random.standard_normal(count).round(3)
    label = np.where(x + 0.5 * random.standard_normal(count) > 0, "yes", "no")
    return pd.DataFrame({"x": x, "c": np.resize(["a", "b"], count), "label": label})


def _config(folder: Path, table: pd.DataFrame, pipeline: str, **changes: Any) -> Any:
    table.to_csv(folder / "t.csv", index=False)
    changes = {"columns": {"label": "label"}, "split": {}} | changes
    few = {} if pipeline == "linear" or ":" in pipeline else FEW[pipeline]
    return table_config(folder, folder / "t.csv", model={"pipeline": pipeline, **few}, **changes)


FEW = {"random_forest": {"n_estimators": 3}, "hist_gradient_boosting": {"max_iter": 3}}


def _check(folder: Path, config: Any) -> str:
    file = folder / "conf.yml"
    file.write_text(to_yaml(config), encoding="utf-8")
    done = CliRunner().invoke(main, ["check", "--conf", str(file), "--trust-code"])
    assert (done.exit_code == 0) == ("would train" in done.output)
    return done.output


@pytest.mark.parametrize(
    ("pipeline", "value", "is_refused"),
    [
        ("random_forest", 1e39, True),
        ("random_forest", -3.5e38, True),
        ("random_forest", 3.3e38, False),
        ("linear", 1.7976931348623157e308, True),
        ("linear", 1e200, True),
        ("linear", 1e39, False),
        ("hist_gradient_boosting", 1e200, True),
        ("hist_gradient_boosting", 1e39, False),
    ],
)
def test_a_number_that_overflows_is_named_with_its_row_before_any_fit(
    tmp_path: Path, pipeline: str, value: float, is_refused: bool
) -> None:
    table = _table()
    table.loc[3, "label"] = ""  # a row that is dropped still counts
    table.loc[77, "x"] = value
    config = _config(tmp_path, table, pipeline)
    output = _check(tmp_path, config)
    if not is_refused:
        assert "would train" in output
        run(config, SILENT)
        return
    expected = f"x: too large a number for model.pipeline: {pipeline}"
    assert expected in output
    assert "row 78 has" in output
    with pytest.raises(ConfigError, match=expected):
        prepare(config, SILENT)


def test_a_ratio_and_a_target_can_overflow_as_well(tmp_path: Path) -> None:
    table = _table().assign(small=1e-120, y=lambda table: table["x"])
    table.loc[9, "x"], table.loc[11, "y"] = 1e100, -1e300
    config = _config(
        tmp_path,
        table,
        "linear",
        task="regression",
        columns={"label": "y", "inputs": {"small": "number"}},
        features={"share": {"ratio": ["x", "small"]}},
    )
    with pytest.raises(ConfigError, match=r"share: too large .*row 10 has 1e\+220") as failure:
        prepare(config, SILENT)
    assert "y: too large a number to be predicted: row 12 has -1e+300" in str(failure.value)


@pytest.mark.parametrize("pipeline", PIPELINES)
@pytest.mark.parametrize("known", [1, 2])
def test_a_column_without_a_known_value_is_said_and_teaches_nothing(
    tmp_path: Path,
    pipeline: str,
    known: int,
    capsys: pytest.CaptureFixture[str],
    recwarn: pytest.WarningsRecorder,
) -> None:
    table = _table().assign(bonus=np.nan)
    table.loc[: known - 1, "bonus"] = np.arange(known)
    config = _config(tmp_path, table, pipeline, evaluation={"folds": 5})
    prepared = prepare(config, SILENT)
    # The rows with a value are all for the test.
    rows = prepared.split
    moved = np.concatenate([rows.test[rows.test >= known], rows.train[rows.train >= known]])
    split = type(rows)(moved[20:], rows.validation[rows.validation >= known], moved[:20])
    model = choice.fit(prepared.with_split(split), TerminalProgress())
    said = capsys.readouterr().err
    assert said.count("nothing is learned from bonus") == 1
    assert "WARNING" not in said
    everything = np.arange(len(table))
    asked = prepared.dataset
    unknown = asked.frame.assign(bonus=np.nan)
    outputs = model.predict(asked, everything)
    blind = model.predict(type(asked)(**{**vars(asked), "frame": unknown}), everything)
    np.testing.assert_allclose(outputs, blind)
    run(config, SILENT)
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


OWN = """
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.tree import DecisionTreeClassifier

def encoded():
    return make_column_transformer(
        (make_pipeline(SimpleImputer(keep_empty_features=True), StandardScaler()), ["x"]),
        (OneHotEncoder(handle_unknown="ignore"), ["c"]),
    )

def overflowing():
    return make_pipeline(encoded(), LogisticRegression())

def tree():
    numbers = make_column_transformer((SimpleImputer(), ["x"]))
    return make_pipeline(numbers, DecisionTreeClassifier())

def bare():
    return make_pipeline(LogisticRegression())

def many():
    return make_pipeline(encoded(), KNeighborsClassifier(500))
"""


def _own(folder: Path, name: str) -> str:
    file = folder / "own.py"
    file.write_text(OWN, encoding="utf-8")
    return f"{file}:{name}"


def test_advice_fits_the_pipeline_at_hand(tmp_path: Path) -> None:
    table = _table()
    table.loc[77, "x"] = 1e200
    output = _check(tmp_path, _config(tmp_path, table, _own(tmp_path, "overflowing")))
    assert "x has a number as large as 1e+200" in output
    assert "SimpleImputer" not in output
    assert "OneHotEncoder" not in output
    output = _check(tmp_path, _config(tmp_path, table, _own(tmp_path, "bare")))
    assert "Texts need an encoder (OneHotEncoder" in output
    assert "SimpleImputer" not in output


def test_a_row_that_only_the_test_has_is_one_line(tmp_path: Path) -> None:
    table = _table()
    config = _config(
        tmp_path,
        table,
        _own(tmp_path, "tree"),
        columns={"label": "label", "inputs": {"c": "ignore"}},
    )
    prepared = prepare(config, SILENT, trust=Trust())
    table.loc[prepared.split.test[0], "x"] = 1e39
    table.to_csv(tmp_path / "t.csv", index=False)
    output = _check(tmp_path, config)
    assert "the pipeline cannot be asked about rows that it was not fitted on" in output
    assert "x has a number as large as 1e+39" in output


def test_what_fails_on_a_few_rows_is_tried_on_all(tmp_path: Path) -> None:
    config = _config(tmp_path, _table(900), _own(tmp_path, "many"))
    assert "would train" in _check(tmp_path, config)
    assert "n_neighbors" in _check(tmp_path, _config(tmp_path, _table(), _own(tmp_path, "many")))


@pytest.mark.parametrize(("text", "trains"), [("?! ...", False), ("good ?!", True)])
def test_a_check_looks_for_words(tmp_path: Path, text: str, trains: bool) -> None:
    labels = ["yes", "no"] * 30
    texts = pd.DataFrame({"text": [f"{text}{'!' * n}" for n in range(60)], "label": labels})
    texts.to_csv(tmp_path / "t.csv", index=False)
    config = table_config(
        tmp_path, tmp_path / "t.csv", columns={"label": "label", "text": ["text"]}, model={}
    )
    output = _check(tmp_path, config)
    assert ("would train" in output) is trains
    assert ("no word occurs at least 1 time" in output) is not trains
    both = texts.assign(x=range(60))
    both.to_csv(tmp_path / "t.csv", index=False)
    columns = {"label": "label", "inputs": {"text": "text", "x": "number"}}
    output = _check(tmp_path, table_config(tmp_path, tmp_path / "t.csv", columns=columns))
    assert ("would train" in output) is trains
