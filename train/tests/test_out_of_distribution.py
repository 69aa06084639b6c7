"""Claims about inputs from elsewhere: that they are such, the same each time, and that what is counted is served."""

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from train.config.trust import Trust
from train.data.dataset import Dataset
from train.data.splits import Prepared
from train.evaluation import out_of_distribution
from train.models import choice
from train.models.decision import Decision, default_decision
from train.models.table import model as table_model
from train.models.table.model import TableModel
from train.progress import SilentProgress
from train.run import prepare
from train.tests.conftest import Fitted
from train.tests.tables import of_spent, parts, table_config, write_table

SILENT = SilentProgress()


@pytest.fixture
def prepared(tmp_path: Path) -> Any:
    file = write_table(tmp_path / "t.csv")
    return lambda **changes: prepare(table_config(tmp_path, file, **changes), SILENT, trust=Trust())


def _measure(prepared: Prepared, **changes: Any) -> dict[str, dict[str, Any]]:
    model = choice.fit(prepared, SILENT)
    decision = dataclasses.replace(default_decision(prepared), **changes)
    found = out_of_distribution.measure(model, prepared, decision)
    return {each.pop("name"): each for each in found}


# --------------------------------------------------------------------- texts


@pytest.fixture(scope="module")
def of_texts(fitted: Fitted) -> list[dict[str, Any]]:
    decision = Decision("label", fitted.dataset.label_names, unsure_below=0.5)
    return out_of_distribution.measure(fitted.model, fitted.prepared, decision)


def test_texts_from_elsewhere_are_random_words_shuffled_characters_and_other_sentences(
    of_texts: list[dict[str, Any]],
) -> None:
    assert [each["name"] for each in of_texts] == [
        *("test rows", "random words", "shuffled characters", "sentences about Python")
    ]
    assert [each["cases"] for each in of_texts] == [60, 60, 60, 200]
    for each in of_texts:
        assert 1 / 3 <= each["mean_score"] <= 1
        assert 0 <= each["unsure_share"] <= 1


def test_texts_of_unknown_words_alone_are_unsure_whatever_their_score(
    of_texts: list[dict[str, Any]], fitted: Fitted
) -> None:
    [random_words] = [each for each in of_texts if each["name"] == "random words"]
    assert random_words["unsure_share"] == 1.0  # the vocabulary has none of them
    never = Decision("label", fitted.dataset.label_names, unsure_below=0.0)
    found = out_of_distribution.measure(fitted.model, fitted.prepared, never)
    shares = {each["name"]: each["unsure_share"] for each in found}
    assert (shares["random words"], shares["test rows"]) == (1.0, 0.0)


def test_where_nothing_is_ever_unsure_no_share_is_told(fitted: Fitted) -> None:
    decision = Decision("label", fitted.dataset.label_names)
    found = out_of_distribution.measure(fitted.model, fitted.prepared, decision)
    assert all(set(each) == {"name", "cases", "mean_score"} for each in found)


def test_the_same_seed_gives_the_same_cases_and_another_one_others(fitted: Fitted) -> None:
    decision = Decision("label", fitted.dataset.label_names)
    rest = (fitted.model, fitted.prepared, decision)
    assert out_of_distribution.measure(*rest, seed=1) == out_of_distribution.measure(*rest, seed=1)
    assert out_of_distribution.measure(*rest, seed=1) != out_of_distribution.measure(*rest, seed=2)


def test_it_takes_no_time_to_speak_of(fitted: Fitted) -> None:
    decision = Decision("label", fitted.dataset.label_names)
    started = time.process_time()
    out_of_distribution.measure(fitted.model, fitted.prepared, decision)
    assert time.process_time() - started < 4  # about one when nobody else is at work


def test_shuffled_characters_are_the_same_ones_and_blanks_stay() -> None:
    text = "How do I undo a commit?"
    shuffled = out_of_distribution._shuffled(text, np.random.default_rng(0))
    assert shuffled != text
    assert sorted(shuffled) == sorted(text)
    assert [i for i, c in enumerate(shuffled) if c == " "] == [
        i for i, c in enumerate(text) if c == " "
    ]


def test_the_standard_library_has_hundreds_of_sentences() -> None:
    sentences = out_of_distribution.standard_library_sentences()
    assert len(sentences) > 300
    assert len(set(sentences)) == len(sentences)
    assert all(len(sentence.split()) >= 3 and len(sentence) <= 300 for sentence in sentences)


# -------------------------------------------------------------------- tables


def test_rows_from_elsewhere_are_shuffled_columns_and_values_far_outside(prepared: Any) -> None:
    found = _measure(prepared(), unsure_below=0.7)
    assert list(found) == ["test rows", "columns shuffled", "far outside"]
    assert all(each["cases"] == 48 and 0 <= each["unsure_share"] <= 1 for each in found.values())


def test_of_a_number_it_is_told_how_many_answers_are_beyond_what_is_known(prepared: Any) -> None:
    found = _measure(prepared(**of_spent()))
    assert set(found["far outside"]) == {"cases", "mean_value", "outside_share"}
    # A linear model goes on for ever.
    assert found["test rows"]["outside_share"] < 0.1 < 0.6 < found["far outside"]["outside_share"]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[pd.DataFrame]:
    """What the model was asked about, in the order of the entries."""
    frames: list[pd.DataFrame] = []
    predict = TableModel.predict

    def remember(model: Any, dataset: Dataset, rows: Any) -> Any:
        frames.append(dataset.frame)
        return predict(model, dataset, rows)

    monkeypatch.setattr(TableModel, "predict", remember)
    return frames


def test_shuffled_columns_have_the_same_values_in_other_rows(
    prepared: Any, asked: list[pd.DataFrame]
) -> None:
    _measure(prepared())
    given, shuffled, _ = asked
    for name in given:
        assert sorted(map(str, given[name])) == sorted(map(str, shuffled[name]))
    assert not given.equals(shuffled)
    # Independently: two columns of one row do not stay together.
    pairs = set(zip(given["visits"], given["paid"], strict=True))
    assert len(pairs & set(zip(shuffled["visits"], shuffled["paid"], strict=True))) < len(given) / 2


def test_far_outside_nothing_is_what_training_saw(prepared: Any, asked: list[pd.DataFrame]) -> None:
    ready = prepared()
    _, dataset, split = parts(ready)
    _measure(ready)
    far = asked[2]
    known = dataset.frame.iloc[np.concatenate([split.train, split.validation])]
    for name, kind in dataset.column_types.items():
        if kind == "number":
            low, high = known[name].min(), known[name].max()
            distance = np.maximum(low - far[name], far[name] - high)
            assert (distance >= high - low).all()
            assert (far[name] < low).any()
            assert (far[name] > high).any()
        else:
            assert not set(far[name]) & set(known[name])


PICKY = """
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

def picky():
    return make_pipeline(
        make_column_transformer((OneHotEncoder(handle_unknown="error"), ["plan"])),
        LogisticRegression(),
    )
"""


def test_a_kind_of_case_that_a_pipeline_does_not_take_has_no_entry(
    prepared: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.py").write_text(PICKY)
    # What is exported must take unknown categories; what is measured may be anything.
    monkeypatch.setattr(table_model, "check_exportable", lambda pipeline: None)
    found = _measure(prepared(model={"pipeline": f"{tmp_path}/own.py:picky"}))
    assert list(found) == ["test rows", "columns shuffled"]
