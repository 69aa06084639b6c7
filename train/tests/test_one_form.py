"""A value means the same in file, configuration and request: claims about whole runs on tables."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from predict.contract.artefact import load_artefact
from predict.scoring.predictor import Predictor
from train.comparison.compare import compare
from train.config import TrainConfig
from train.config.loading import load_config
from train.config.sections import NumberNotation
from train.data.cleaning import load_dataset
from train.errors import DatasetError
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


def test_a_notation_is_kept_in_the_artefact_and_requests_may_use_it(tmp_path: Path) -> None:
    table = {
        "day": [f"{1 + i % 28}/{1 + i % 12:02}/2024" for i in range(80)],
        "shop": ["a", "b", "--", "a"] * 20,
        "paid": [f"{1 + i % 7},{i % 10}" for i in range(80)],
        "y": ["u", "v"] * 40,
    }
    config = configured(tmp_path, table, columns={"label": "y", "missing": ["--"]})
    result = run(config, SilentProgress())
    inputs = load_config(result.artefact_dir / "train-conf.yml").columns.inputs
    assert (inputs["day"].date_format, inputs["paid"].decimal) == ("%d/%m/%Y", ",")
    predictor = Predictor(load_artefact(result.artefact_dir))
    rows = [{"day": day, "shop": shop, "paid": 3.5} for day, shop in
            [("28/02/2024", "--"), ("2024-02-28", None), ("2024-02-28T00:00", "")]]  # fmt: skip
    said = answers(predictor, *rows)
    assert said == [said[0]] * 3
    assert "warnings" not in said[0]
    [(place, message)] = predictor._inputs.problems_of(rows[0] | {"day": "02-28-2024"})
    assert (place, message.endswith("or as %d/%m/%Y writes it, got '02-28-2024'")) == ("day", True)


def test_offsets_in_requests_are_converted_to_the_zone_of_the_file(tmp_path: Path) -> None:
    days = [f"2024-{1 + i % 12:02}-{1 + i % 28:02}T{i % 24:02}:30+02:00" for i in range(80)]
    predictor = trained(tmp_path, {"at": days, "y": ["u", "v"] * 40})
    moments = [
        "2024-05-01T01:30+02:00",
        "2024-04-30T23:30Z",
        "2024-04-30T23:30+00:00",
        "2024-05-01T01:30",
    ]
    said = answers(predictor, *({"at": moment} for moment in moments))
    assert said == [said[0]] * 4
    problems = predictor._inputs.problems_of({"at": "9999-12-31T23:30-10:00"})
    assert [place for place, _ in problems] == ["at"]


def test_a_regression_reads_its_target_as_it_is_written(tmp_path: Path) -> None:
    prices = [f"{1 + i % 9},{i % 10}{i % 10}" for i in range(80)]
    table = {"x": [i % 11 for i in range(80)], "y": prices}
    dataset = load_dataset(configured(tmp_path, table, task="regression"))
    assert dataset.targets[:2].tolist() == [1.0, 2.11]


def european(number: float) -> str:
    return f"{number:,.2f} €".translate(str.maketrans(",.", ".,"))


def test_the_evident_notation_of_a_target_is_said_kept_and_its_unit_served(tmp_path: Path) -> None:
    """Another file, in which nothing is evident, is compared in the notation of the first."""
    amounts = [1000.5 + 37.25 * (i % 11) for i in range(80)]
    table = {"x": [i % 11 for i in range(80)], "y": list(map(european, amounts))}
    config = configured(tmp_path, table, task="regression")
    prepared = prepare(config, SilentProgress())
    [note] = prepared.dataset.notes
    assert note == (
        'y: read with decimal: ",", thousands: ".", unit: "€" (columns.label_notation): '
        "'1.000,50 €' is 1000.5, and answers are such numbers, in €"
    )
    result = run(config, SilentProgress())
    kept = load_config(result.artefact_dir / "train-conf.yml").columns
    assert kept.label_notation == NumberNotation(decimal=",", thousands=".", unit="€")
    artefact = load_artefact(result.artefact_dir)
    assert artefact.metadata.outputs[0].unit == "€"
    assert "a number in €" in (result.artefact_dir / "report.html").read_text()
    assert answers(Predictor(artefact), {"x": 0})[0]["value"] == pytest.approx(1000.5, abs=10)
    other = tmp_path / "other.csv"
    pd.DataFrame({"x": [0, 4], "y": ["1.001", "1.149"]}).to_csv(other, index=False)
    found = compare(result.artefact_dir, result.artefact_dir, other)
    assert found.metrics["mae"].first < 10


@pytest.mark.parametrize(
    ("columns", "unit", "target"),
    [
        ({"label_notation": {"unit": "%"}}, "%", 45.5),
        ({"unit": "%"}, "%", 45.5),
        ({"unit": "kg", "label_notation": {"decimal": ".", "unit": "%"}}, "%", 45.5),
    ],
)
def test_a_declared_notation_of_a_target_is_taken(
    tmp_path: Path, columns: dict[str, Any], unit: str, target: float
) -> None:
    table = {"x": [i % 11 for i in range(80)], "y": [f"{45.5 + i % 7}%" for i in range(80)]}
    config = configured(tmp_path, table, task="regression", columns={"label": "y", **columns})
    dataset = load_dataset(config)
    assert (dataset.targets[0], dataset.unit, dataset.notes) == (target, unit, ())


def test_a_unit_that_the_target_does_not_have_is_not_claimed(tmp_path: Path) -> None:
    table = {"x": [f"{i % 11} kg" for i in range(80)], "y": range(80)}
    columns = {"label": "y", "unit": "kg"}
    assert (
        load_dataset(configured(tmp_path, table, task="regression", columns=columns)).unit is None
    )


def test_a_target_that_may_be_written_in_two_ways_is_not_guessed(tmp_path: Path) -> None:
    table = {"x": [i % 11 for i in range(80)], "y": [f"1,{100 + i}" for i in range(80)]}
    with pytest.raises(DatasetError, match=r"set thousands: .* in columns\.label_notation"):
        load_dataset(configured(tmp_path, table, task="regression"))
    columns = {"label": "y", "label_notation": {"thousands": ","}}
    config = configured(tmp_path, table, task="regression", columns=columns)
    assert load_dataset(config).targets[0] == 1100


def test_a_written_quantity_is_not_taken_for_classes(tmp_path: Path) -> None:
    table = {"x": [i % 11 for i in range(300)], "y": [european(1000.5 + i) for i in range(300)]}
    with pytest.raises(DatasetError, match="y is a number with 300 different values"):
        load_dataset(configured(tmp_path, table))
