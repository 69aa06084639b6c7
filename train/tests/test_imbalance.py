"""Claims about weights and under-sampling: probabilities are right in spite of them, and rare labels are found."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from predict.scoring.predictor import Predictor
from train.data.splits import Prepared
from train.evaluation.answered import Answered
from train.evaluation.reliability import assess
from train.models import choice
from train.models.calibration import Calibration, calibrate, prior_factors
from train.models.decision import choose_decision
from train.models.table.model import TableModel
from train.progress import SilentProgress
from train.run import prepare, run
from train.tests.conftest import Fitted, server_of
from train.tests.tables import table_config

SILENT = SilentProgress()
BALANCED = {"class_weights": "balanced"}
SAMPLED = {"under_sample": 2}


def _claims(count: int, labels: tuple[str, ...]) -> pd.DataFrame:
    """Return rows of which some 6 % have a rare label."""
    random = np.random.default_rng(3)
    x, y = random.standard_normal((2, count))
    hint = x + 0.8 * random.standard_normal(count)
    label = np.where(hint > 2.0, labels[-1], labels[0])
    if len(labels) > 2:
        label = np.where((label == labels[0]) & (y > 0.4), labels[1], label)
    return pd.DataFrame({"x": x.round(4), "y": y.round(4), "claim": label})


def _prepared(
    folder: Path, labels: tuple[str, ...] = ("fine", "fraud"), **changes: Any
) -> Prepared:
    _claims(3000, labels).to_csv(folder / "claims.csv", index=False)
    columns = {"columns": {"label": "claim"}}
    return prepare(table_config(folder, folder / "claims.csv", **columns, **changes), SILENT)


def _answered(prepared: Prepared) -> tuple[TableModel, Answered]:
    model: Any = choice.fit(prepared, SILENT)
    outputs = model.predict(prepared.dataset, prepared.split.test)
    decision = choose_decision(prepared, model.validation_outputs, model.factors)
    return model, Answered(prepared.test_targets, outputs, decision)


PIPELINES = [
    {"pipeline": "linear"},
    {"pipeline": "random_forest", "n_estimators": 30},
    {"pipeline": "hist_gradient_boosting", "max_iter": 20},
]


@pytest.mark.parametrize("model", PIPELINES, ids=lambda model: model["pipeline"])
@pytest.mark.parametrize("imbalance", [BALANCED, SAMPLED, BALANCED | SAMPLED])
def test_probabilities_are_right_in_spite_of_weights(
    tmp_path: Path, model: dict[str, Any], imbalance: dict[str, Any]
) -> None:
    fitted, answered = _answered(_prepared(tmp_path, model=model, imbalance=imbalance))
    error = assess(answered, fitted.uncalibrated(answered.outputs))["calibration"]
    assert error["ece_before"] > 0.04
    assert error["ece"] < 0.03
    positive = answered.outputs[:, 1]
    assert positive.mean() == pytest.approx(answered.truth.mean(), abs=0.02)


@pytest.mark.parametrize("labels", [("fine", "fraud"), ("fine", "late", "fraud")])
@pytest.mark.parametrize("calibration", ["none", "temperature"])
def test_answers_remain_those_of_the_weighted_model(
    tmp_path: Path, labels: tuple[str, ...], calibration: str
) -> None:
    prepared = _prepared(tmp_path, labels, imbalance=BALANCED, calibration=calibration)
    model, answered = _answered(prepared)
    weighted = model.uncalibrated(answered.outputs)
    assert weighted is not None
    assert (answered.answers == weighted.argmax(axis=1)).all()
    rare = prepared.dataset.label_names.index("fraud")
    found = answered.answers[answered.truth == rare] == rare
    plain = _prepared(tmp_path, labels, imbalance=BALANCED, decision={"aim": "none"})
    _, most_probable = _answered(plain)
    without = most_probable.answers[answered.truth == rare] == rare
    assert not most_probable.decision.thresholds
    assert found.mean() > without.mean() + 0.2


def test_what_is_served_finds_the_rare_one_of_three_labels(tmp_path: Path) -> None:
    prepared = _prepared(tmp_path, ("fine", "late", "fraud"), imbalance=BALANCED)
    _, answered = _answered(prepared)
    artefact = run(prepared.config, SILENT).artefact_dir
    predictor = Predictor.load(artefact)
    instances = prepared.dataset.instances(prepared.split.test)
    served = [prediction["label"] for prediction in predictor.predict(instances)]
    names = prepared.dataset.label_names
    assert served == [names[answer] for answer in answered.answers]


def test_without_weights_nothing_is_corrected(tmp_path: Path) -> None:
    model, answered = _answered(_prepared(tmp_path))
    assert model.factors is None
    assert "prior_factors" not in model.metadata
    assert not answered.decision.thresholds


def test_a_label_that_was_not_fitted_on_stays_improbable() -> None:
    factors = prior_factors(np.array([0.5, 0.4, 0.1]), np.array([0.5, 0.5, 0.0]))
    assert factors.tolist() == pytest.approx([5 / 9, 4 / 9, 0.0])


# --------------------------------------------------------------------- texts


def test_margins_of_weighted_texts_become_right_probabilities() -> None:
    """The margins are those of a model that sees the two labels equally often, and one of them is rare."""
    random = np.random.default_rng(0)
    labels = (random.random(4000) < 0.06).astype(np.int64)
    evidence = random.normal(2.0 * labels - 1, 1.0)
    margins = np.stack([-evidence, evidence], axis=1).astype(np.float32)
    half = slice(0, 2000)
    shares = np.array([0.94, 0.06])
    factors = prior_factors(shares, np.array([0.5, 0.5]))
    fitted = calibrate(margins[half], margins[half], labels[half], factors)
    said = fitted.probabilities(margins[2000:], margins[2000:])
    assert said[:, 1].mean() == pytest.approx(labels[2000:].mean(), abs=0.01)
    right = 1 / (1 + np.exp(-(2 * evidence[2000:] + np.log(0.06 / 0.94))))
    assert np.abs(said[:, 1] - right).mean() < 0.01
    # Without the factors it is those of the weighted model that are answered.
    weighted = said / np.asarray(fitted.prior_factors)
    assert (weighted.argmax(axis=1) == (evidence[2000:] > 0)).all()


def test_the_correction_is_part_of_the_exported_text_model(fitted: Fitted, tmp_path: Path) -> None:
    names = fitted.dataset.label_names
    factors = np.arange(1.0, len(names) + 1) ** 2
    calibration = Calibration(0.5, 1.5, prior_factors=factors / factors.sum())
    model = fitted.model.__class__(**{**vars(fitted.model), "calibration": calibration})
    model.write(tmp_path)
    rows = np.arange(20)
    texts = fitted.dataset.texts(rows)
    served = server_of(model, tmp_path)(texts)
    np.testing.assert_allclose(served, model.predict(fitted.dataset, rows), rtol=0, atol=1e-5)
    assert np.abs(served - fitted.probabilities(texts)).max() > 0.05
