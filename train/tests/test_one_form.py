"""A value means the same in file, configuration and request: claims about whole runs on tables."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from predict.contract.artefact import load_artefact
from predict.scoring.predictor import Predictor
from train.config import TrainConfig
from train.data.cleaning import load_dataset
from train.preparation import prepare
from train.progress import SilentProgress
from train.run import run


def configured(folder: Path, table: Any, **settings: Any) -> TrainConfig:
    """Return a configuration for a table, which is written as CSV, or as it is to the file that `name` says."""
    name = settings.pop("name", "d.csv")
    file = folder / name
    if name.endswith(".csv"):
        pd.DataFrame(table).to_csv(file, index=False)
    elif name.endswith(".parquet"):
        pd.DataFrame(table).to_parquet(file, index=False)
    else:
        pd.DataFrame(table).to_json(file, orient="records", lines=True)
    return TrainConfig.model_validate(
        {
            "dataset": str(file),
            "columns": {"label": "y"},
            "model": {"pipeline": "linear"},
            "data_dir": folder / "raw",
            "artefacts_dir": folder / "artefacts",
            **settings,
        }
    )


def trained(folder: Path, table: Any, **settings: Any) -> Predictor:
    result = run(configured(folder, table, **settings), SilentProgress())
    return Predictor(load_artefact(result.artefact_dir))


def answers(predictor: Predictor, *instances: dict[str, Any]) -> list[Any]:
    predictor.check(instances)
    return predictor.predict(instances)


HOMES = {
    "income": [i // 2 for i in range(80)],
    "home": ["True", "False"] * 40,
    "y": ["True", "False"] * 40,
}


@pytest.mark.parametrize("written", [HOMES["home"], ["TRUE", "false"] * 40, [True, False] * 40])
@pytest.mark.parametrize("name", ["d.csv", "d.jsonl"])
def test_a_boolean_is_the_same_in_file_configuration_and_request(
    tmp_path: Path, written: list[Any], name: str
) -> None:
    behaviour = {
        "must_be": [{"instance": {"income": 3, "home": True}, "label": "True"}],
        "directions": [{"column": "home", "to": True, "expect": "up", "label": True}],
    }
    predictor = trained(
        tmp_path,
        HOMES | {"home": written, "y": written},
        name=name,
        behaviour=behaviour,
        decision={"positive": "TRUE"},
        evaluation={"gate": {"behaviour": ">=1"}},
    )
    asked = [{"income": 3, "home": value} for value in (True, "TRUE", "true", "True")]
    said = answers(predictor, *asked)
    assert said == [said[0]] * 4
    assert said[0]["label"] == "true"
    assert "warnings" not in said[0]
    assert answers(predictor, {"income": 3, "home": False})[0]["label"] == "false"


@pytest.mark.parametrize("value", [True, "True", "TRUE", "true"])
def test_where_takes_every_way_of_writing_a_boolean(tmp_path: Path, value: Any) -> None:
    table = HOMES | {"income": [i % 9 for i in range(80)], "y": ["a", "a", "b", "b"] * 20}
    assert len(load_dataset(configured(tmp_path, table, where={"home": value}))) == 40


def test_whole_numbers_that_pandas_wrote_beside_gaps_are_the_same_categories(
    tmp_path: Path,
) -> None:
    grades = [None if i % 10 == 0 else 1 + i % 2 for i in range(80)]  # written as 1.0 and 2.0
    table = {"grade": grades, "x": [i / 7 for i in range(80)], "y": ["a", "b"] * 40}
    columns = {"label": "y", "inputs": {"grade": "category"}}
    predictor = trained(tmp_path, table, columns=columns)
    said = answers(predictor, *({"grade": grade, "x": 1} for grade in (1, 1.0, "1", "1.0")))
    assert said == [said[0]] * 4
    assert "warnings" not in said[0]


def test_a_postcode_keeps_its_zero_and_a_label_too(tmp_path: Path) -> None:
    table = {
        "zip": ["02134", "10001"] * 40,
        "x": [i % 9 for i in range(80)],
        "y": ["007", "013"] * 40,
    }
    predictor = trained(tmp_path, table)
    said = answers(predictor, {"zip": "02134", "x": 1}, {"zip": "10001", "x": 1})
    assert [answer["label"] for answer in said] == ["007", "013"]
    assert all("warnings" not in answer for answer in said)


@pytest.mark.parametrize("name", ["d.csv", "d.jsonl", "d.parquet"])
def test_long_numbers_stay_exact_as_categories_and_as_labels(tmp_path: Path, name: str) -> None:
    ids = pd.array([2**53, 2**53 + 1, None, 2**53 + 1] * 20, dtype="Int64")
    table = pd.DataFrame({"shop": ids, "x": [i % 9 for i in range(80)], "y": ids})
    columns = {"label": "y", "inputs": {"shop": "category"}}
    predictor = trained(tmp_path, table, name=name, columns=columns)
    assert predictor.labels == [str(2**53), str(2**53 + 1)]
    asked = [{"shop": 2**53, "x": 1}, {"shop": 2**53 + 1, "x": 1}, {"shop": str(2**53), "x": 1}]
    said = answers(predictor, *asked)
    assert [answer["label"] for answer in said] == [str(2**53), str(2**53 + 1), str(2**53)]
    assert all("warnings" not in answer for answer in said)


def test_the_configuration_in_the_artefact_names_values_as_the_dataset_has_them(
    tmp_path: Path,
) -> None:
    config = configured(tmp_path, HOMES, decision={"positive": "True"})
    assert prepare(config, SilentProgress()).config.decision.positive == "true"
