"""Claims about the pipeline that is chosen where a configuration names none."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from train.config import TrainConfig
from train.data.dataset import Dataset
from train.models.choice import about_choice, choose_pipeline
from train.preparation import prepare
from train.progress import TerminalProgress
from train.tests.tables import make_dataset, table_config


def _config(**content: Any) -> TrainConfig:
    return TrainConfig.model_validate({"dataset": "d", **content})


def _dataset(labels: int, rows: int = 2000) -> Dataset:
    names = [f"label {number}" for number in range(labels)]
    targets = np.arange(rows) % max(labels, 1)
    return make_dataset({"x": np.arange(rows, dtype=float).tolist()}, targets, names)


@pytest.mark.parametrize(
    ("labels", "rounds", "rate"),
    [(26, 192, 0.1), (50, 100, 0.14), (100, 50, 0.2), (200, 25, 0.28), (1000, 25, 0.28)],
)
def test_many_labels_have_fewer_and_longer_rounds(labels: int, rounds: int, rate: float) -> None:
    asked, dataset = _config(), _dataset(labels)
    chosen = choose_pipeline(asked, dataset)
    assert chosen.model.pipeline == "hist_gradient_boosting"
    assert chosen.model.parameters == {"max_iter": rounds, "learning_rate": rate}
    about = about_choice(asked, chosen, dataset)
    assert about is not None
    assert f"{rounds} rounds and a learning rate of {rate} instead of 200 and 0.1" in about
    assert f"{labels} trees" in about


@pytest.mark.parametrize(
    ("content", "labels"),
    [
        ({}, 2),
        ({}, 25),
        ({"task": "regression"}, 0),
        ({"model": {"pipeline": "hist_gradient_boosting"}}, 300),
        ({"model": {"max_iter": 300}}, 300),
        ({"model": {"learning_rate": 0.05}}, 300),
        ({"search": {"model.max_iter": [10, 300]}}, 300),
        ({"search": {"model.pipeline": ["linear", "hist_gradient_boosting"]}}, 300),
    ],
)
def test_few_labels_and_what_is_declared_stay_as_they_are(
    content: dict[str, Any], labels: int
) -> None:
    asked, dataset = _config(**content), _dataset(labels)
    chosen = choose_pipeline(asked, dataset)
    assert chosen.model.pipeline == "hist_gradient_boosting"
    assert chosen.model.parameters == asked.model.parameters
    assert about_choice(asked, chosen, dataset) is None


def test_few_rows_of_many_labels_are_for_a_linear_model() -> None:
    chosen = choose_pipeline(_config(), _dataset(300, rows=1999))
    assert (chosen.model.pipeline, chosen.model.parameters) == ("linear", {})


def test_a_run_says_that_it_takes_fewer_rounds_and_keeps_them_in_its_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pd.DataFrame({"x": np.arange(2000) / 7, "left": [f"l{i % 40}" for i in range(2000)]})
    table.to_csv(tmp_path / "t.csv", index=False)
    config = table_config(tmp_path, tmp_path / "t.csv", columns={"label": "left"}, model={})
    prepared = prepare(config, TerminalProgress())
    assert prepared.config.model.parameters == {"max_iter": 125, "learning_rate": 0.13}
    assert "model: hist_gradient_boosting with 125 rounds" in capsys.readouterr().err
