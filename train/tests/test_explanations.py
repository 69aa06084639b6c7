"""Explanations of models that were trained here, beside what their own weights say."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from predict.contract.artefact import MODEL
from predict.contract.text_table import HEAD, SUMS, TextTable
from predict.scoring.by_words import Reader, Words
from predict.scoring.predictor import Predictor
from predict.scoring.session import open_session
from predict.scoring.text_head import TextHead
from predict.scoring.text_sums import TextSums
from train.data.splits import Prepared
from train.features.derived import compute_columns
from train.models.calibration import Calibration
from train.models.table import model as table_model
from train.models.table.model import TableModel
from train.models.text.network import write_onnx
from train.progress import SilentProgress
from train.tests.conftest import Fitted
from train.tests.exporting import export_table
from train.tests.tables import of_spent, table_config, write_table

Floats = npt.NDArray[np.float64]

ROWS = range(8)
OF_PLAN = {"columns": {"label": "plan", "inputs": {"said": "ignore", "spent": "ignore"}}}


@dataclass(frozen=True)
class Trained:
    """A model of a table as it was fitted, and as it is served."""

    model: TableModel
    predictor: Predictor
    prepared: Prepared

    def instance(self, row: int) -> dict[str, Any]:
        """Return a row of the test split."""
        [instance] = self.prepared.dataset.instances(self.prepared.split.test[row : row + 1])
        return dict(instance)

    def explain(self, row: int) -> dict[str, Any]:
        instance = self.instance(row)
        predictions = self.predictor.predict([instance])
        [explanation] = self.predictor.explainer.explain([instance], predictions, 9)
        return explanation

    def transformed(self, row: int, **changes: Any) -> Floats:
        """Return a row, with some other values, as the last step of the pipeline reads it."""
        dataset, rows = self.prepared.dataset, self.prepared.split.test[row : row + 1]
        frame = dataset.frame.copy()
        for name, value in changes.items():
            empty = np.nan if dataset.column_types[name] == "number" else ""
            frame[name] = empty if value is None else value
        model = self.model
        columns = compute_columns(replace(dataset, frame=frame), model.inputs, model.derived, rows)
        read = model.pipeline[:-1].transform(columns)
        return np.asarray(read.toarray() if hasattr(read, "toarray") else read)[0]


def train(folder: Path, **changes: Any) -> Trained:
    found: list[tuple[Predictor, Prepared]] = []

    def ask(predictor: Predictor, prepared: Prepared) -> tuple[dict[str, Any], bool]:
        found.append((predictor, prepared))
        return {"accuracy": 0.5}, True

    export_table(table_config(folder, write_table(folder / "t.csv"), **changes), ask)
    [(predictor, prepared)] = found
    return Trained(table_model.fit(prepared, SilentProgress()), predictor, prepared)


@pytest.mark.parametrize(
    ("changes", "unit"),
    [({}, "log_odds"), (OF_PLAN, "centred_log_ratio"), (of_spent(), "value")],
    ids=["two labels", "three labels", "value"],
)
def test_contributions_are_the_coefficients_times_the_distance_from_what_is_typical(
    tmp_path: Path, changes: dict[str, Any], unit: str
) -> None:
    trained = train(tmp_path, **changes)
    last, labels = trained.model.pipeline[-1], trained.predictor.labels
    # Ridge has one row of coefficients, and so has a logistic regression of two labels: that of the second one.
    weights = np.atleast_2d(getattr(last, "regressor_", last).coef_)
    for row in ROWS:
        explanation = trained.explain(row)
        assert (explanation["method"], explanation["unit"]) == ("linear", unit)
        assert [one["field"] for one in explanation["contributions"]] == [
            column.name for column in trained.model.inputs
        ]
        if unit == "centred_log_ratio":
            own = weights[labels.index(explanation["of"])] - weights.mean(axis=0)
        else:
            own = -weights[0] if explanation.get("of") in labels[:1] else weights[0]
        own = own / (trained.model.temperature or 1.0)
        whole = trained.transformed(row)
        typical = {one["field"]: one["reference"] for one in explanation["contributions"]}
        for one in explanation["contributions"]:
            without = trained.transformed(row, **{one["field"]: one["reference"]})
            assert one["contribution"] == pytest.approx(float((whole - without) @ own), abs=1e-5)
        base = float((whole - trained.transformed(row, **typical)) @ own)
        assert explanation["total"] - explanation["base"] == pytest.approx(base, abs=1e-5)
    assert any(one["contribution"] for one in explanation["contributions"])


def test_a_forest_is_explained_by_leaving_out(tmp_path: Path) -> None:
    model = {"pipeline": "random_forest", "n_estimators": 10}
    trained = train(tmp_path, model=model)
    methods = {trained.explain(row)["method"] for row in ROWS}
    assert methods == {"occlusion"}


def test_columns_that_are_combined_are_explained_by_leaving_out(tmp_path: Path) -> None:
    ratio = {"each": {"ratio": ["paid", "visits"]}}
    trained = train(tmp_path, features=ratio)
    assert {trained.explain(row)["method"] for row in ROWS} == {"occlusion"}


def test_the_words_of_a_text_add_up_to_the_margin_of_the_linear_model(
    fitted: Fitted, tmp_path: Path
) -> None:
    temperature, offset = 0.5, -1.0
    model = replace(fitted.model, calibration=Calibration(0.0, temperature, offset))
    write_onnx(model.heads, model.calibration, tmp_path / MODEL)
    model.design.table.served(model.heads.served_vectors(model.calibration)).write(tmp_path)
    features = model.design.features
    session = open_session((tmp_path / MODEL).read_bytes())
    names = [name for name in HEAD if name in session.outputs]
    nothing = np.zeros((1, *session.input_shapes[SUMS][1:]), np.float32)
    weights = dict(zip(names, session.run(names, {SUMS: nothing}), strict=True))
    sums = TextSums(features, TextTable.read(tmp_path, features))
    words = Words(["text"], Reader(features, sums, TextHead(weights, False)), 2)
    texts = [*fitted.test_texts()[:10], "apple", "apple APPLE banana!! ?", "!!", "zzz 电影"]
    margins = model.heads.margins(model.design.of(texts))[0].astype(np.float64)
    for text, of_labels in zip(texts, margins / temperature + offset, strict=True):
        for place, expected in enumerate(of_labels):
            found = words.sum_of({"text": text}, place)
            assert found is not None
            bias, margin, added = found[1]
            assert margin == pytest.approx(expected, abs=1e-4)
            assert bias == pytest.approx(
                float(model.heads.wide_bias[place]) / temperature + offset, abs=1e-5
            )
            assert bias + sum(added) == pytest.approx(expected, abs=1e-4)
    # A word of a topic speaks for its label.
    places = {name: at for at, name in enumerate(fitted.dataset.label_names)}
    parts, (_, _, added) = words.sum_of({"text": "how do i use the violin"}, places["music"]) or ()
    assert parts[added.index(max(added))].word == "violin"
