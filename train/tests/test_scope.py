"""Claims about the scope of a model: what is left out, where the line is drawn, and that the server draws the same."""

import dataclasses
import json
import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from predict.contract.artefact import FAMILIARITY, METRICS
from predict.contract.familiarity import TextFamiliarity
from predict.contract.metrics import read_metrics
from predict.scoring.predictor import Predictor
from train.acceptance.equality import check_same_doubts
from train.config import ConfigError
from train.config.loading import with_values
from train.data.splits import Prepared, Split
from train.errors import ExportError
from train.evaluation.answered import Answered
from train.models import scope
from train.models.decision import Decision
from train.preparation import prepare
from train.progress import SilentProgress
from train.run import RunResult, run
from train.tests.conftest import tiny_config
from train.tests.encoders import publish_network
from train.tests.tables import make_dataset, table_config, write_table

TOPICS = {
    "fruit": "apple pear plum cherry grape melon",
    "metal": "iron copper zinc silver gold tin",
    "bird": "robin crow heron swan eagle finch",
    "tool": "hammer saw drill wrench chisel pliers",
    "dance": "tango waltz polka samba rumba foxtrot",
    "fabric": "linen cotton velvet silk denim tweed",
    "planet": "mars venus saturn neptune jupiter mercury",
    "cheese": "gouda brie cheddar feta edam stilton",
}
COMMON = [
    "the",
    "a",
    "my",
    "this",
    "that",
    "please",
    "find",
    "show",
    "me",
    "about",
    "one",
    "some",
    "of",
    "for",
    "with",
]


def make_texts(labels: Any, count: int = 40, seed: int = 0) -> list[tuple[str, str]]:
    chance = random.Random(seed)
    return [
        (" ".join([*chance.sample(COMMON, 4), *chance.sample(TOPICS[label].split(), 2)]), label)
        for label in labels
        for _ in range(count)
    ]


def write_texts(file: Path, rows: list[tuple[str, str]]) -> Path:
    pd.DataFrame(rows, columns=["text", "label"]).drop_duplicates("text").to_csv(file, index=False)
    return file


def config_of(folder: Path, rows: list[tuple[str, str]], **unsure_below: Any) -> Any:
    file = write_texts(folder / "texts.csv", rows)
    return tiny_config(
        folder,
        file,
        decision={"unsure_below": unsure_below or "auto"},
        training={"epochs": 1},
        split={"validation": 0.15},
    )


KNOWN, STRANGE = list(TOPICS)[:6], list(TOPICS)[6:]


@pytest.fixture(scope="module")
def of_texts(tmp_path_factory: pytest.TempPathFactory) -> RunResult:
    """A model of six of eight topics."""
    folder = tmp_path_factory.mktemp("scope")
    return run(config_of(folder, make_texts(KNOWN)), SilentProgress())


def test_what_an_encoder_says_is_part_of_the_familiarity_that_is_served(tmp_path: Path) -> None:
    random_state = np.random.default_rng(0)
    words = {
        word: tuple((np.eye(6)[number] + random_state.normal(scale=0.2, size=6)).tolist())
        for number, label in enumerate(KNOWN)
        for word in TOPICS[label].split()
    }
    config = config_of(tmp_path, make_texts(KNOWN))
    encoder = {"model": str(publish_network(tmp_path / "published", words))}
    # The run compares what is served with what was trained, answer by answer.
    directory = run(
        with_values(config, {"embeddings.encoder": encoder}), SilentProgress()
    ).artefact_dir
    familiarity = TextFamiliarity.read(directory, 6)
    assert familiarity.encoder.shape == (6, 6)
    assert np.abs(familiarity.encoder).max() > 0.1


# ------------------------------------------------------------------ left out


def _prepared(labels: int = 9, none: str | None = None, rows: int = 180) -> Prepared:
    names = [f"l{number}" for number in range(labels)]
    dataset = make_dataset({"x": [0.0] * rows}, np.arange(rows) % labels, names)
    aim = {"given_up": 0.05} | ({} if none is None else {"none_label": none})
    config = table_config(Path("/nowhere"), "x.csv", decision={"unsure_below": aim})
    every = np.arange(rows)
    return Prepared(config, dataset, Split(every[:100], every[100:140], every[140:]))


def test_each_label_is_left_out_once_and_its_rows_are_outside_and_nowhere_else() -> None:
    prepared = _prepared()
    tried, left_out = list(scope.trials(prepared, None, 3)), []
    for trial in tried:
        targets = prepared.dataset.targets
        assert set(targets[trial.fit]) == set(targets[trial.within]) == set(trial.kept.tolist())
        known = prepared.known
        assert set(trial.outside) == set(known[~np.isin(targets[known], trial.kept)])
        assert not set(trial.fit) & set(trial.within)
        assert not set(np.concatenate([trial.fit, trial.outside])) & set(prepared.split.test)
        left_out += sorted(set(targets[trial.outside]))
    assert sorted(left_out) == list(range(9))


def test_a_label_that_means_none_of_the_labels_is_outside_of_every_trial() -> None:
    prepared = _prepared(none="l4")
    for trial in scope.trials(prepared, 4, 3):
        assert 4 not in trial.kept
        assert 4 in prepared.dataset.targets[trial.outside]


def test_with_two_labels_beside_it_only_that_one_is_outside() -> None:
    prepared = _prepared(3, none="l0")
    [trial] = scope.trials(prepared, 0, 3)
    assert set(prepared.dataset.targets[trial.outside]) == {0}
    assert list(scope.trials(_prepared(3), None, 3)) == []


@pytest.mark.parametrize("given_up", [0.01, 0.05, 0.2])
def test_as_much_is_given_up_as_asked(given_up: float) -> None:
    values = np.random.default_rng(0).standard_normal(400)
    assert (values < scope.lowest_familiar(values, given_up)).mean() == pytest.approx(given_up)


def test_what_is_found_is_counted_as_by_hand() -> None:
    within, outside = np.arange(1.0, 21.0), np.array([0.0, 1.2, 5.5, -np.inf])
    # 1 of 20 is given up: the line is at 1.5; three of four are below.
    found = scope.detection(within, outside, 0.05)
    # Of 80 pairs, 75 - 0 = 74 are in order: 5.5 is above five, 1.2 above one.
    assert found == {"auroc": pytest.approx(74 / 80), "recall": 0.75}


@pytest.mark.parametrize(
    ("prepared", "fewest", "complaint"),
    [
        (_prepared(4), 5, r"needs at least 5 labels; the dataset has 4\. Give a score such as 0\.6, or"),
        (_prepared(none="oos"), 5, r"none_label: expected a label, got 'oos'; labels: l0, l1"),
        (_prepared(2, none="l0"), 2, r"none_label: there must be two more labels"),
    ],
)  # fmt: skip
def test_a_scope_that_cannot_be_told_is_refused(
    prepared: Prepared, fewest: int, complaint: str
) -> None:
    [problem] = scope.problems_of(prepared, fewest)
    assert re.search(complaint, problem)


def test_too_few_validation_rows_to_give_up_one_are_refused(tmp_path: Path) -> None:
    config = config_of(tmp_path, make_texts(KNOWN, 10), given_up=0.01)
    with pytest.raises(
        ConfigError, match=r"0\.01 of the answers needs at least 100 validation row"
    ):
        prepare(config, SilentProgress())


class _Warnings(SilentProgress):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str) -> None:
        self.warnings.append(text)


@pytest.mark.parametrize(
    ("name", "is_told"), [("Out-of-Scope", True), ("other", True), ("otter", False)]
)
def test_a_label_that_seems_to_mean_none_of_the_labels_is_told(name: str, is_told: bool) -> None:
    prepared, told = _prepared(), _Warnings()
    names = [name, *prepared.dataset.label_names[1:]]
    dataset = dataclasses.replace(prepared.dataset, label_names=names)
    assert scope.none_label(dataclasses.replace(prepared, dataset=dataset), told) is None
    assert [f"none_label: {name}" in warning for warning in told.warnings] == [True] * is_told


# --------------------------------------------------------------------- texts


def test_texts_of_labels_that_the_model_does_not_know_are_unsure(of_texts: RunResult) -> None:
    predictor = Predictor.load(of_texts.artefact_dir)

    def unsure(labels: list[str]) -> float:
        instances = [{"text": text} for text, _ in make_texts(labels, seed=9)]
        return float(
            np.mean([answer.get("unsure", False) for answer in predictor.predict(instances)])
        )

    assert unsure(STRANGE) >= 0.9
    assert unsure(KNOWN) <= 0.15


def test_the_metrics_tell_what_was_found_and_what_it_costs(of_texts: RunResult) -> None:
    found = read_metrics(of_texts.artefact_dir / METRICS).scope
    assert found is not None
    assert found.left_out == "6 labels left out in turn"
    assert found.recall is not None
    assert found.auroc is not None
    assert found.recall >= 0.8
    assert found.auroc >= 0.9
    assert found.test_given_up == pytest.approx(of_texts.metrics["unsure_share"])
    assert found.test_accuracy_kept == pytest.approx(of_texts.metrics["accuracy_when_sure"])
    page = (of_texts.artefact_dir / "report.html").read_text(encoding="utf-8")
    assert 'id="scope"' in page
    assert f"{100 * found.recall:.1f} %" in page


def test_served_answers_are_unsure_where_the_evaluation_counted_them(of_texts: RunResult) -> None:
    predictor = Predictor.load(of_texts.artefact_dir)
    least = predictor.metadata.outputs[0].familiar_from
    instances = [{"text": text} for text, _ in make_texts(TOPICS, seed=5)]
    values = predictor.familiarity(instances)
    assert values is not None
    assert least is not None
    unsure = [answer.get("unsure", False) for answer in predictor.predict(instances)]
    assert unsure == (values < least).tolist()
    alone = [predictor.familiarity([instance])[0] for instance in instances]  # type: ignore[index]
    np.testing.assert_allclose(alone, values, atol=1e-5)


def test_a_label_of_the_data_for_none_of_these_is_used(tmp_path: Path) -> None:
    rows = make_texts(KNOWN[:3]) + [(text, "other") for text, _ in make_texts(KNOWN[3:], 15)]
    result = run(config_of(tmp_path, rows, given_up=0.1, none_label="other"), SilentProgress())
    found = result.metrics["scope"]
    assert (found["none_label"], found["left_out"]) == ("other", "the label 'other'")
    assert found["test_none_found"] >= 0.8
    predictor = Predictor.load(result.artefact_dir)
    strange = [{"text": text} for text, _ in make_texts(STRANGE, seed=9)]
    assert np.mean([answer.get("unsure", False) for answer in predictor.predict(strange)]) >= 0.7


# -------------------------------------------------------------------- tables


def test_a_row_far_outside_is_unsure_and_the_report_counts_it(tmp_path: Path) -> None:
    config = table_config(
        tmp_path, write_table(tmp_path / "t.csv"), decision={"unsure_below": "auto"}
    )
    result = run(config, SilentProgress())
    predictor, metrics = Predictor.load(result.artefact_dir), result.metrics
    assert (result.artefact_dir / FAMILIARITY).is_file()
    [far] = [each for each in metrics["elsewhere"] if each["name"] == "far outside"]
    assert far["unsure_share"] == 1.0
    assert metrics["unsure_share"] <= 0.2
    assert "recall" not in metrics["scope"]  # one of two labels says nothing of the other
    instance = predictor.metadata.examples[0].instance
    [near, away] = predictor.predict([instance, instance | {"age": 4000}])
    assert "unsure" not in near
    assert away["unsure"] is True
    assert json.loads((result.artefact_dir / METRICS).read_bytes())["scope"]["given_up"] == 0.05


def test_rows_of_labels_that_are_left_out_are_found_where_they_are_apart(tmp_path: Path) -> None:
    chance = np.random.default_rng(0)
    centres = chance.standard_normal((6, 4)) * 8
    table = pd.DataFrame(
        np.repeat(centres, 50, axis=0) + chance.standard_normal((300, 4)), columns=list("abcd")
    )
    table["label"] = np.repeat([f"c{number}" for number in range(6)], 50)
    table.to_csv(tmp_path / "clouds.csv", index=False)
    config = table_config(
        tmp_path,
        tmp_path / "clouds.csv",
        columns={"label": "label"},
        decision={"unsure_below": {"given_up": 0.05}},
    )
    found = run(config, SilentProgress()).metrics["scope"]
    assert found["recall"] >= 0.9
    assert found["out_of_scope_rows"] == found["in_scope_rows"] + len(table) * 0.6


# ------------------------------------------------------------------ equality


def test_a_server_that_is_unsure_of_other_answers_is_told() -> None:
    decision = Decision("label", ["a", "b"], familiar_from=0.5)
    outputs, familiarity = np.full((3, 2), 0.5), np.array([0.1, 0.9, 0.5001])
    answered = Answered(np.zeros(3, int), outputs, decision, familiarity=familiarity)
    right: list[dict[str, Any]] = [{"unsure": True}, {}, {}]
    assert check_same_doubts(answered, right, familiarity) == 0
    assert check_same_doubts(answered, [{"unsure": True}, {}, {"unsure": True}], familiarity) == 1
    with pytest.raises(ExportError, match="unsure of other answers than the evaluation in 1 of 3"):
        check_same_doubts(answered, [{}, {}, {}], familiarity)
    with pytest.raises(ExportError, match="the familiarity of 1 differs"):
        check_same_doubts(answered, right, np.array([0.1, 0.9, 0.6]))
