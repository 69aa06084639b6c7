"""Claims about splits by a file, a column, groups and dates."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from train.artefacts.provenance import describe_dataset
from train.config import ConfigError, TrainConfig
from train.config.loading import for_other_dataset, load_config
from train.config.sections import SplitConfig
from train.data.cleaning import load_dataset
from train.data.dataset import Dataset
from train.data.parts import hold_out_groups, hold_out_newest
from train.data.splits import Prepared, Split, fold_rows, split_dataset
from train.errors import DatasetError
from train.evaluation.selection import _folds, cross_validate, problems_of
from train.models import choice
from train.models.table.model import TableModel
from train.models.table.model import _folds as calibration_folds
from train.preparation import prepare
from train.progress import SilentProgress
from train.run import run
from train.tests.conftest import make_rows, tiny_config, write_csv
from train.tests.tables import make_table, table_config, write_table


def make_people(count: int = 300, people: int = 40, seed: int = 0) -> pd.DataFrame:
    """Return the rows of `make_table` with a person and a day each."""
    table = make_table(count, seed)
    random = np.random.default_rng(seed)
    table["user_id"] = [f"u{number}" for number in random.integers(people, size=count)]
    days = pd.Timestamp("2024-01-01") + pd.to_timedelta(random.integers(200, size=count), "D")
    table["bought_on"] = days.strftime("%Y-%m-%d")
    return table


def load(folder: Path, table: pd.DataFrame, **split: Any) -> tuple[Dataset, Split, TrainConfig]:
    config = table_config(folder, write_table(folder / "d.csv", table), split=split)
    dataset = load_dataset(config)
    return dataset, split_dataset(dataset, config), config


class Told(SilentProgress):
    """Remembers what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.warned: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def warn(self, text: str) -> None:
        self.warned.append(text)


# ------------------------------------------------------------- configuration


@pytest.mark.parametrize(
    ("split", "problem"),
    [
        ({"column": "a", "by": "b"}, "column and by each say which rows are the test"),
        ({"test": "t.csv", "by_time": "b"}, r"test \(a file\) and by_time each say"),
        ({"test": "0.2"}, "Write a share without quotes"),
        ({"test": 1.5}, "expected a number above 0 and below 1, or a file of test rows"),
        ({"test": ""}, "expected a number above 0 and below 1, or a file of test rows"),
        ({"test": 0.6, "validation": 0.5}, "their sum must be below 1"),
    ],
)
def test_an_impossible_split_is_refused(split: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        SplitConfig.model_validate(split)


def test_several_wrong_keys_of_a_split_are_one_list(write_conf: Any) -> None:
    file = write_conf("dataset: d.csv\nsplit: {test: 2, validation: 3, colum: part}\n")
    with pytest.raises(ConfigError) as error:
        load_config(file)
    assert [problem.partition(":")[0] for problem in error.value.problems] == [
        "split.test",
        "split.validation",
        "split.colum",
    ]


def test_another_dataset_keeps_shares_but_no_columns_and_no_file() -> None:
    config = TrainConfig.model_validate(
        {"dataset": "a.csv", "split": {"test": "t.csv", "validation": 0.3, "seed": 4}}
    )
    assert for_other_dataset(config, "iris").split == SplitConfig(validation=0.3, seed=4)
    config = TrainConfig.model_validate({"dataset": "a.csv", "split": {"by": "user", "test": 0.3}})
    assert for_other_dataset(config, "iris").split == SplitConfig(test=0.3)


# --------------------------------------------------------------------- a file


def write_parts(folder: Path, train: pd.DataFrame, test: pd.DataFrame) -> TrainConfig:
    file = write_table(folder / "test.csv", test)
    return table_config(
        folder,
        write_table(folder / "train.csv", train),
        split={"test": str(file), "validation": 0.25},
    )


def test_the_rows_of_a_test_file_are_the_test_split(tmp_path: Path) -> None:
    table = make_table(240)
    config = write_parts(tmp_path, table[:200], table[200:])
    prepared = prepare(config, SilentProgress())
    assert prepared.split.test.tolist() == list(range(200, 240))
    assert len(prepared.split.validation) == 50  # of the training rows
    served = prepared.dataset.frame["visits"].iloc[prepared.split.test].tolist()
    assert served == table["visits"][200:].astype(float).tolist()
    described = describe_dataset(prepared, "d.csv")["split"]
    assert described["own_test_split"] is True
    assert described["test_file"] == str(tmp_path / "test.csv")


def test_the_columns_of_a_test_file_may_be_in_another_order(tmp_path: Path) -> None:
    table = make_table(240)
    test = table[200:][sorted(table.columns, reverse=True)].assign(more="x")
    told = Told()
    prepared = prepare(write_parts(tmp_path, table[:200], test), told)
    assert "more" not in prepared.dataset.frame
    assert any("left out of" in line and "1 column 'more'" in line for line in told.warned)
    assert prepared.dataset.frame["plan"].iloc[200:].tolist() == table["plan"][200:].tolist()


def test_a_test_file_needs_the_columns_that_are_used(tmp_path: Path) -> None:
    table = make_table(240)
    ignored = table[200:].drop(columns=["said", "spent"])
    assert (
        len(prepare(write_parts(tmp_path, table[:200], ignored), SilentProgress()).split.test) == 40
    )
    config = write_parts(tmp_path, table[:200], table[200:].rename(columns={"visits": "visit"}))
    with pytest.raises(DatasetError, match=r"has no column 'visits', which.*Did you mean visit\?"):
        load_dataset(config)
    config = write_parts(tmp_path, table[:200], table[200:].drop(columns="left"))
    with pytest.raises(DatasetError, match="Without labels nothing can be measured"):
        load_dataset(config)


def test_labels_that_occur_only_in_the_test_file_are_told(tmp_path: Path) -> None:
    table = make_table(240)
    test = table[200:].assign(left=["maybe"] * 3 + table["left"][203:].tolist())
    told = Told()
    prepared = prepare(write_parts(tmp_path, table[:200], test), told)
    assert prepared.dataset.label_names == ["no", "yes"]
    assert len(prepared.split.test) == 37
    assert prepared.dataset.dropped == {"label only in the test rows": 3}
    assert any("1 label only in the test rows: 'maybe'. 3 rows" in line for line in told.warned)


def test_rare_labels_are_counted_in_the_rows_to_learn_from(tmp_path: Path) -> None:
    table = make_table(240)
    table.loc[[0, 1, 230, 231, 232], "left"] = "maybe"
    dataset = load_dataset(write_parts(tmp_path, table[:200], table[200:]))
    assert dataset.dropped == {"label with fewer than 5 rows": 5}


def test_a_test_file_that_is_no_test_file_is_refused(tmp_path: Path) -> None:
    table = make_table(60)
    config = write_parts(tmp_path, table, table)
    with pytest.raises(DatasetError, match="is the same file as"):
        load_dataset(config)
    for test, problem in (("nothing.csv", "is no file"), ("iris", "is the name of a dataset")):
        changed = config.model_copy(update={"split": SplitConfig(test=test)})
        with pytest.raises(DatasetError, match=problem):
            load_dataset(changed)


def test_labels_of_texts_that_only_the_test_file_has_are_left_out(tmp_path: Path) -> None:
    train, test = make_rows(60), make_rows(60, seed=1)
    test[0] = ("a text on something else", "news")
    config = tiny_config(
        tmp_path,
        write_csv(tmp_path / "train.csv", train),
        split={"test": str(write_csv(tmp_path / "test.csv", test)), "validation": 0.3},
    )
    prepared = prepare(config, SilentProgress())
    assert "news" not in prepared.dataset.label_names
    assert len(prepared.split.test) == 59


# ------------------------------------------------------------------- a column


def test_a_column_says_the_part_of_each_row(tmp_path: Path) -> None:
    table = make_table(90)
    table["part"] = [" Train", "TEST", "validation", "train"] * 22 + ["train", "test"]
    dataset, split, _ = load(tmp_path, table, column="part")
    assert split.test.tolist() == [*range(1, 90, 4)]
    assert split.validation.tolist() == [*range(2, 88, 4)]
    assert "part" not in dataset.column_types
    assert "for the test" in dataset.ignored["part"]


def test_without_validation_rows_in_the_column_they_come_from_training(tmp_path: Path) -> None:
    table = make_table(100)
    table["part"] = ["train"] * 80 + ["test"] * 20
    _, split, _ = load(tmp_path, table, column="part", validation=0.25)
    assert len(split.validation) == 20
    assert split.test.tolist() == [*range(80, 100)]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["train", "val", "test"], r"'val' in 20 rows \(write validation\), the first in row 2"),
        (["train", "", "test"], "'' in 20 rows"),
        (["train", "train", "validation"], "no row of part is test"),
        (["Dev", "train", "test"], r"'dev' in 20 rows \(write validation\)"),
    ],
)
def test_other_values_in_the_column_are_named(
    tmp_path: Path, values: list[str], problem: str
) -> None:
    table = make_table(60).assign(part=values * 20)
    with pytest.raises(DatasetError, match=problem):
        load(tmp_path, table, column="part")


def test_problems_of_a_split_with_its_dataset_are_listed(tmp_path: Path) -> None:
    table = make_people(60)
    for split, problem in (
        ({"column": "part"}, "no column 'part'"),
        ({"by": "user"}, "Did you mean user_id"),
        ({"by_time": "left"}, "'left' is the label"),
    ):
        with pytest.raises(DatasetError, match=f"1 problem\n  split.*{problem}"):
            load(tmp_path, table, **split)
    config = table_config(
        tmp_path,
        write_table(tmp_path / "d.csv", table),
        split={"column": "plan"},
        columns={"label": "left", "inputs": {"plan": "category"}},
    )
    with pytest.raises(DatasetError, match="cannot be an input"):
        load_dataset(config)


# --------------------------------------------------------------------- groups


def assert_no_group_straddles(dataset: Dataset, parts: list[Any]) -> None:
    groups = [set(dataset.division.groups[part].tolist()) for part in parts]
    for number, group in enumerate(groups):
        assert group
        assert not any(group & other for other in groups[number + 1 :])


def test_no_group_is_in_two_parts(tmp_path: Path) -> None:
    table = make_people()
    dataset, split, _ = load(tmp_path, table, by="user_id", test=0.3, validation=0.15)
    assert_no_group_straddles(dataset, [split.train, split.validation, split.test])
    users = table["user_id"].to_numpy()
    assert not set(users[split.test]) & set(users[split.train])
    assert len(split.test) == pytest.approx(90, abs=6)
    assert len(split.validation) == pytest.approx(45, abs=6)
    assert "user_id" not in dataset.column_types
    shares = [np.mean(dataset.targets[part]) for part in (split.train, split.test)]
    assert shares[0] == pytest.approx(shares[1], abs=0.03)  # stratified as far as possible


def test_a_group_column_that_is_declared_is_an_input(tmp_path: Path) -> None:
    file = write_table(tmp_path / "d.csv", make_people())
    columns = {"label": "left", "inputs": {"user_id": "category", "said": "ignore"}}
    config = table_config(tmp_path, file, split={"by": "user_id"}, columns=columns)
    dataset = load_dataset(config)
    assert dataset.column_types["user_id"] == "category"
    assert dataset.division.groups is not None


def test_a_missing_group_is_a_group_of_its_own_and_told(tmp_path: Path) -> None:
    table = make_people()
    table.loc[:9, "user_id"] = ""
    dataset, _, _ = load(tmp_path, table, by="user_id")
    assert len(set(dataset.division.groups[:10].tolist())) == 10
    assert dataset.division.warnings == (
        "10 rows without a value in user_id: each is a group of its own",
    )


def test_too_few_groups_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="user_id has 2 groups"):
        load(tmp_path, make_people(people=2), by="user_id")


def test_folds_respect_groups(tmp_path: Path) -> None:
    dataset, split, config = load(tmp_path, make_people(), by="user_id")
    prepared = Prepared(config, dataset, split)
    held = []
    for fold in _folds(prepared, 4):
        parts = [fold.train, fold.validation, fold.test]
        assert_no_group_straddles(dataset, parts)
        held += fold.test.tolist()
    assert sorted(held) == sorted(prepared.known.tolist())


def test_more_folds_than_groups_are_a_problem(tmp_path: Path) -> None:
    dataset, split, config = load(tmp_path, make_people(people=5), by="user_id")
    evaluation = config.evaluation.model_copy(update={"folds": 5})
    prepared = Prepared(config.model_copy(update={"evaluation": evaluation}), dataset, split)
    assert any("too few for 5 folds" in problem for problem in problems_of(prepared))


def test_a_label_stays_to_learn_from_if_groups_allow_it() -> None:
    groups = np.repeat(np.arange(12), 10)
    labels = np.zeros(120, np.int64)
    labels[:20] = 1  # only in two groups
    for seed in range(20):
        held = hold_out_groups(groups, labels, 0.25, seed)
        assert (labels[~held] == 1).any()


def test_groups_of_one_label_each_are_refused_with_a_reason(tmp_path: Path) -> None:
    table = make_people(people=3)
    table["user_id"] = table["left"].map({"yes": "a", "no": "b"})
    table.loc[:5, "user_id"] = "c"
    with pytest.raises(DatasetError, match=r"no training row has the label|at least two labels"):
        load(tmp_path, table, by="user_id")


# ----------------------------------------------------------------------- time


def test_the_newest_rows_are_the_test(tmp_path: Path) -> None:
    table = make_people()
    dataset, split, _ = load(tmp_path, table, by_time="bought_on", test=0.2, validation=0.1)
    days = table["bought_on"].to_numpy()
    assert days[split.train].max() < days[split.validation].min()
    assert days[split.validation].max() < days[split.test].min()  # ties stay on one side
    assert len(split.test) == pytest.approx(60, abs=4)
    assert len(split.validation) == pytest.approx(30, abs=4)
    assert (
        dataset.division.about == f"by bought_on: the test rows begin with {days[split.test].min()}"
    )


def test_rows_without_a_date_are_trained_on_and_told(tmp_path: Path) -> None:
    table = make_people()
    table.loc[:6, "bought_on"] = ["", "NA", "?", "", "", "", ""]
    dataset, split, _ = load(tmp_path, table, by_time="bought_on")
    assert set(range(7)) <= set(split.train.tolist())
    assert "7 rows without a value in bought_on" in dataset.division.warnings[0]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["in May"], r"300 rows hold something else, the first is row 1: 'in May'"),
        (
            ["03/04/2024", "04/05/2024"],
            "'03/04/2024' is a date in more than one way: set date_format",
        ),
        (["2024-01-01"], "there is one moment only"),
        ([""], "there are no dates only"),
    ],
)
def test_dates_that_cannot_be_ordered_are_refused(
    tmp_path: Path, values: list[str], problem: str
) -> None:
    with pytest.raises(DatasetError, match=problem):
        load(tmp_path, make_people().assign(bought_on=(values * 300)[:300]), by_time="bought_on")


def test_times_and_zones_and_numbers_are_ordered(tmp_path: Path) -> None:
    moments = [f"2024-05-{1 + n // 20:02}T{n % 20:02}:00:00+02:00" for n in range(299)]
    table = make_people(300).assign(bought_on=[*moments, "2025-01-01"])
    _, split, _ = load(tmp_path, table, by_time="bought_on")
    assert split.test.tolist() == [*range(240, 300)]
    table["bought_on"] = [f"{number / 10}" for number in range(300)]  # 9.9 is before 10.0
    _, split, _ = load(tmp_path, table, by_time="bought_on")
    assert split.test.tolist() == [*range(240, 300)]


def test_dates_that_are_written_in_another_way_are_ordered(tmp_path: Path) -> None:
    table = make_people()
    dates = pd.to_datetime(table["bought_on"])
    _, expected, _ = load(tmp_path, table, by_time="bought_on")
    _, split, _ = load(
        tmp_path, table.assign(bought_on=dates.dt.strftime("%d.%m.%Y")), by_time="bought_on"
    )
    assert split.test.tolist() == expected.test.tolist()
    file = write_table(tmp_path / "d.csv", table.assign(bought_on=dates.dt.strftime("%m/%d/%Y")))
    ignored = {"said": "ignore", "spent": "ignore"}
    declared = {**ignored, "bought_on": {"type": "date", "date_format": "%m/%d/%Y"}}
    columns = {"label": "left", "inputs": declared}
    config = table_config(tmp_path, file, columns=columns, split={"by_time": "bought_on"})
    assert split_dataset(load_dataset(config), config).test.tolist() == expected.test.tolist()


def test_folds_are_in_the_order_of_time(tmp_path: Path) -> None:
    table = make_people()
    dataset, split, config = load(tmp_path, table, by_time="bought_on")
    prepared = Prepared(config, dataset, split)
    days = table["bought_on"].to_numpy()
    for fold in _folds(prepared, 3):
        assert days[fold.train].max() < days[fold.validation].min()
        assert days[fold.validation].max() < days[fold.test].min()
        assert len(fold.test) > 30


def test_folds_by_time_that_lack_a_label_are_refused(tmp_path: Path) -> None:
    table = make_people().sort_values("bought_on")
    table["left"] = ["no"] * 150 + ["yes", "no"] * 75
    dataset, split, config = load(tmp_path, table, by_time="bought_on")
    evaluation = config.evaluation.model_copy(update={"folds": 4})
    prepared = Prepared(config.model_copy(update={"evaluation": evaluation}), dataset, split)
    [problem] = problems_of(prepared)
    assert "4 folds by dates leave fold 1 with nothing to learn about the label yes" in problem


def test_ties_that_are_most_rows_go_where_the_share_is_nearest() -> None:
    times = np.array([1.0] * 10 + [2.0] * 89 + [3.0])
    assert hold_out_newest(times, 0.2).sum() == 1


# ---------------------------------------------------------------- altogether


@pytest.mark.parametrize("split", [{"by": "user_id"}, {"by_time": "bought_on"}])
def test_a_run_says_how_it_was_split_and_repeats_it(tmp_path: Path, split: dict[str, str]) -> None:
    from train.comparison import rows
    from train.reproduce import reproduce

    file = write_table(tmp_path / "d.csv", make_people())
    config = table_config(
        tmp_path, file, split={**split, "validation": 0.15}, evaluation={"folds": 2}
    )
    told = Told()
    artefact = run(config, told).artefact_dir
    metadata = json.loads((artefact / "metadata.json").read_bytes())
    [(key, name)] = split.items()
    assert metadata["dataset"]["split"][key] == name
    assert metadata["dataset"]["split"]["own_test_split"] is False
    assert any(line.startswith(f"split: by {name}") for line in told.said)
    assert name in re.sub("<[^>]*>", "", (artefact / "report.html").read_text().split("<nav>")[0])
    again = reproduce(artefact, SilentProgress())
    assert again.reproduced
    model = rows.Model(artefact, "A", rows.Predictor.load(artefact))
    common = rows.gather(model, model, None)
    prepared = prepare(config, SilentProgress())
    assert common.numbers.tolist() == prepared.split.test.tolist()
    assert not common.notes


def test_shares_give_the_rows_that_they_gave_before(tmp_path: Path) -> None:
    from sklearn.model_selection import train_test_split

    dataset, split, config = load(tmp_path, make_table(), validation=0.1)
    _, test = train_test_split(
        np.arange(240), test_size=0.2, random_state=0, stratify=dataset.targets
    )
    assert split.test.tolist() == test.tolist()
    folds = list(fold_rows(dataset, Prepared(config, dataset, split).known, 3, 0))
    assert len(folds) == 3
    assert set(describe_dataset(Prepared(config, dataset, split), "d")["split"]) == {
        *("train", "validation", "test", "seed", "own_test_split")
    }


def test_cross_validation_by_time_is_measured(tmp_path: Path) -> None:
    dataset, split, config = load(tmp_path, make_people(), by_time="bought_on")
    evaluation = config.evaluation.model_copy(update={"folds": 2})
    model = config.model.model_copy(update={"pipeline": "linear"})
    config = config.model_copy(
        update={"evaluation": evaluation, "model": model, "task": "classification"}
    )
    measured = cross_validate(Prepared(config, dataset, split), SilentProgress())
    assert len(measured["folds"]) == 2


@pytest.mark.parametrize("split", [{"by": "period"}, {"by_time": "period"}])
def test_the_temperature_is_fitted_on_rows_held_out_as_the_dataset_is_split(
    tmp_path: Path, split: dict[str, str]
) -> None:
    """Every period has a label of its own, which tells nothing of the next period."""
    random = np.random.default_rng(0)
    periods = np.repeat(np.arange(40), 30)
    labels = np.where(
        random.integers(2, size=40)[periods] ^ (random.random(1200) < 0.2), "yes", "no"
    )
    table = pd.DataFrame({"period": periods, "left": labels})
    file = write_table(tmp_path / "d.csv", table)

    def temperature(split: dict[str, str]) -> float:
        config = table_config(
            tmp_path,
            file,
            columns={"label": "left", "inputs": {"period": {"type": "number"}}},
            split=split,
            model={"pipeline": "random_forest"},
        )
        prepared = prepare(config, SilentProgress())
        model = choice.fit(prepared, SilentProgress())
        assert isinstance(model, TableModel)
        assert model.temperature is not None
        return model.temperature

    assert temperature({}) < 2
    assert temperature(split) > 2.5


def test_calibration_begins_with_the_newest_rows_and_keeps_every_label(tmp_path: Path) -> None:
    table = make_people().sort_values("bought_on", ignore_index=True)
    table["left"] = ["no"] * 100 + ["yes", "no"] * 100
    dataset, split, config = load(tmp_path, table, by_time="bought_on")
    prepared = Prepared(config, dataset, split)
    rows, days = prepared.known, table["bought_on"].to_numpy()
    folds = calibration_folds(prepared, rows)
    assert 0 < len(folds) < 5  # what is known before the oldest ones has one label only
    newest = [days[rows[held]].max() for _, held in folds]
    assert newest == sorted(newest, reverse=True)
    for known, held in folds:
        assert days[rows[known]].max() < days[rows[held]].min()
        assert set(dataset.targets[rows[known]]) == {0, 1}


def test_no_calibration_is_told_if_no_older_row_has_a_label(tmp_path: Path) -> None:
    table = make_people().sort_values("bought_on", ignore_index=True)
    table["left"] = ["no"] * 210 + ["yes", "no"] * 45
    file = write_table(tmp_path / "d.csv", table)
    config = table_config(
        tmp_path, file, split={"by_time": "bought_on"}, model={"pipeline": "linear"}
    )
    told = Told()
    model = choice.fit(prepare(config, told), told)
    assert isinstance(model, TableModel)
    assert model.temperature is None
    assert any(warning.startswith("calibrate: skipped") for warning in told.warned)
