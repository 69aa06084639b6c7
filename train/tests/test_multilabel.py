"""Claims about the text model where a row may have several labels, or none: one small run was made for real."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from scipy.special import expit, logit

from predict.scoring.predictor import Predictor
from train.config import TrainConfig
from train.models.calibration import Calibration, calibrate
from train.models.text.targets import as_yes_and_no
from train.progress import SilentProgress
from train.run import RunResult, run
from train.tests.conftest import TOPICS, Fitted, fit, tiny_config, write_csv

LABELS = ["fruit", "music", "tools"]
BOTH = "how do i violin piano hammer drill"


def make_sets(count: int) -> list[tuple[str, str]]:
    """Return (text, tags): any number of topics, each in two of its words; "tools" half as often as the others."""
    randomly, rows = random.Random(0), []
    for number in range(count):
        topics = [x for x in LABELS if randomly.random() < (0.25 if x == "tools" else 0.5)]
        words = [word for x in topics for word in randomly.choices(TOPICS[x].split(), k=2)]
        words += ["how", "do", "i", f"n{number}"]
        randomly.shuffle(words)
        rows.append((" ".join(words), ", ".join(topics)))
    return rows


@pytest.fixture(scope="session")
def sets_config(tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    folder = tmp_path_factory.mktemp("multilabel")
    return tiny_config(
        folder,
        write_csv(folder / "sets.csv", make_sets(300), header=("text", "tags")),
        task="multilabel",
        columns={"text": "text", "label": "tags"},
        training={"epochs": 4},
    )


@pytest.fixture(scope="session")
def fitted_sets(sets_config: TrainConfig) -> Fitted:
    """The model, as `text_model.fit` returns it."""
    return fit(sets_config)


@pytest.fixture(scope="session")
def trained_sets(sets_config: TrainConfig) -> RunResult:
    """The result of a whole run, artefact and all."""
    return run(sets_config, SilentProgress())


@pytest.fixture(scope="module")
def predictor(trained_sets: RunResult) -> Predictor:
    return Predictor.load(trained_sets.artefact_dir)


def served(predictor: Predictor, *texts: str) -> Any:
    return predictor.scores([{"text": text} for text in texts])


# ------------------------------------------------------------------- targets


def test_rows_with_no_label_one_or_several_are_all_trained_on(fitted_sets: Fitted) -> None:
    targets = as_yes_and_no(fitted_sets.dataset, np.arange(len(fitted_sets.dataset)))
    assert targets.dtype == np.float32
    assert set(targets.sum(axis=1)) == {0, 1, 2, 3}
    np.testing.assert_array_equal(targets == 1, fitted_sets.dataset.targets)


# --------------------------------------------------------------- calibration


def draw(rows: int, slope: float, offsets: list[float], seed: int = 0) -> tuple[Any, Any, Any]:
    """Return margins of both heads, of which the deep one is noise, and labels drawn by the probabilities."""
    random_ = np.random.default_rng(seed)
    wide, deep = random_.normal(size=(2, rows, len(offsets))).astype(np.float32)
    given = random_.random(wide.shape) < expit(slope * wide + offsets)
    return wide, deep, given


def test_calibration_finds_the_slope_and_the_offsets_that_labels_were_drawn_by() -> None:
    calibration = calibrate(*draw(20_000, 4.0, [-2.0, 0.0, -1.0]))
    assert calibration.deep_share == 0
    assert 1 / calibration.temperature == pytest.approx(4, rel=0.05)
    assert calibration.offsets == pytest.approx([-2, 0, -1], abs=0.1)


def test_calibration_takes_the_head_that_knows_more() -> None:
    wide, deep, given = draw(2000, 4.0, [-1.0, 0.0])
    assert calibrate(deep, wide, given).deep_share == 0.75


def test_a_label_of_few_rows_stays_near_the_others() -> None:
    wide, deep, given = draw(40, 4.0, [-1.0] * 12)
    given[:, 0] = False  # by chance, the first label has no row at all
    offsets = calibrate(wide, deep, given).offsets
    assert offsets is not None
    assert -3 < offsets[0] - offsets[1:].mean() < 0


@pytest.mark.parametrize("value", [False, True])
def test_a_label_that_all_or_none_of_the_rows_have_is_calibrated_to_something_finite(
    value: bool,
) -> None:
    wide, deep, given = draw(30, 4.0, [0.0])
    given[:] = value
    calibration = calibrate(wide, deep, given)
    assert np.abs(calibration.offsets).max() <= 10
    probabilities = calibration.probabilities(wide, deep)
    assert np.isfinite(logit(probabilities)).all()
    assert (probabilities > 0.9 if value else probabilities < 0.1).all()


def test_probabilities_are_those_of_scaled_margins_label_by_label() -> None:
    calibration = Calibration(0.25, 0.5, np.array([1.0, -1.0]), several=True)
    wide, deep = np.array([[1, -1000]], np.float32), np.array([[-1, 0]], np.float32)
    # (0.75 x 1 - 0.25 x 1) / 0.5 + 1 = 2
    np.testing.assert_allclose(calibration.probabilities(wide, deep), [[1 / (1 + np.exp(-2)), 0]])


# ---------------------------------------------------------------- the exported


def test_exported_and_trained_probabilities_of_label_sets_agree(
    fitted_sets: Fitted, predictor: Predictor
) -> None:
    texts = [*fitted_sets.test_texts(), "ξψω ζζζ", "?!", "apple " * 500, BOTH]
    trained = fitted_sets.probabilities(texts)
    np.testing.assert_allclose(served(predictor, *texts), trained, rtol=0, atol=1e-5)


def test_the_exported_model_ends_with_a_sigmoid(trained_sets: RunResult) -> None:
    graph = onnx.load(trained_sets.artefact_dir / "model.onnx").graph
    output = graph.output[0]
    last = next(node for node in graph.node if output.name in node.output)
    while last.op_type == "Identity":
        last = next(node for node in graph.node if last.input[0] in node.output)
    assert last.op_type == "Sigmoid"
    assert "Softmax" not in {node.op_type for node in graph.node}
    assert output.type.tensor_type.shape.dim[1].dim_value == len(LABELS)


def test_a_text_may_have_two_labels_or_none(predictor: Predictor) -> None:
    assert predictor.labels == LABELS
    both, fruit, nothing = served(predictor, BOTH, "how do i melon cherry", "how do i")
    assert both[1:].min() > 0.5 > both[0]
    assert fruit[0] > 0.5 > fruit[1:].max()
    assert nothing.max() < 0.5


def test_probabilities_are_about_as_often_right_as_they_say(fitted_sets: Fitted) -> None:
    probabilities = fitted_sets.model.validation_outputs
    given = fitted_sets.dataset.targets[fitted_sets.split.validation]
    assert probabilities.shape == given.shape
    assert probabilities.mean(axis=0) == pytest.approx(given.mean(axis=0), abs=0.1)


# ------------------------------------------------------------------- the run


def test_every_label_gets_a_threshold_unless_it_is_told_otherwise(predictor: Predictor) -> None:
    [output] = predictor.metadata.outputs
    assert (predictor.metadata.task, output.type) == ("multilabel", "labels")
    assert set(output.thresholds) == set(LABELS)


def test_a_run_on_label_sets_is_measured_beside_the_baselines(trained_sets: RunResult) -> None:
    metrics = trained_sets.metrics
    for scores in (
        metrics,
        metrics["baselines"]["TF-IDF words and characters + linear SVM"],
        metrics["baselines"]["majority label"],
    ):
        assert {"micro_f1", "macro_f1", "subset_accuracy", "hamming_loss"} <= set(scores)
    assert metrics["micro_f1"] > 0.9
    assert metrics["micro_f1"] > metrics["baselines"]["majority label"]["micro_f1"]


def test_the_same_seed_gives_the_same_metrics_of_label_sets(
    fitted_sets: Fitted, trained_sets: RunResult
) -> None:
    assert fitted_sets.model.history == trained_sets.metrics["history"]


def test_one_label_that_a_row_has_or_has_not_is_enough(tmp_path: Path) -> None:
    rows = [(text, "fruit" if "fruit" in tags else "") for text, tags in make_sets(120)]
    config = tiny_config(
        tmp_path,
        write_csv(tmp_path / "one.csv", rows),
        task="multilabel",
        training={"epochs": 1},
    )
    fitted = fit(config)
    assert fitted.dataset.label_names == ["fruit"]
    yes, no = fitted.probabilities(["apple banana cherry", "hammer drill"])
    assert yes.shape == (1,)
    assert yes > no
