"""Claims about familiarity: what is near and what is far, and that a server heeds it, one by one and together."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predict.contract.artefact import FAMILIARITY, ArtefactError
from predict.contract.encoder import ENCODED
from predict.contract.familiarity import RowFamiliarity, TextFamiliarity
from predict.contract.text_table import SUMS
from predict.scoring.predictor import Predictor
from predict.tests.conftest import GOLDEN_SCOPE
from predict.tests.tiny_artefact import change_metadata, tiny_familiarity
from predict.tests.tiny_tables import PASSENGER

TEXTS = ("how do I undo a commit", "zzzz", "commit zzzz", "how do i", "commit foo bar baz")
# Two of them have no word that says something, one has none at all, and one has too many unknown ones.
UNSURE = [False, True, False, True, True]


def as_instances(texts: Any) -> list[dict[str, str]]:
    return [{"title": text} for text in texts]


def unsure(predictor: Predictor, instances: Any) -> list[bool]:
    return [answer.get("unsure", False) for answer in predictor.predict(instances)]


@pytest.fixture
def scope_copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(GOLDEN_SCOPE, tmp_path / "artefact"))


# --------------------------------------------------------------------- texts


def test_the_golden_artefact_of_format_4_is_unsure_of_the_same_texts_alone_and_together() -> None:
    predictor = Predictor.load(GOLDEN_SCOPE)
    assert unsure(predictor, as_instances(TEXTS)) == UNSURE
    assert [unsure(predictor, as_instances([text]))[0] for text in TEXTS] == UNSURE
    many = as_instances(TEXTS * 300)  # more than are scored at once
    assert unsure(predictor, many) == UNSURE * 300


def test_the_familiarity_is_told_of_each_text_and_minus_infinity_where_no_word_is_known() -> None:
    predictor = Predictor.load(GOLDEN_SCOPE)
    values = predictor.familiarity(as_instances(TEXTS * 300))
    assert values is not None
    expected = [1.2425, -np.inf, 0.3915, 0.0954, -0.5877] * 300
    np.testing.assert_allclose(values, expected, atol=1e-4)


def test_a_model_without_familiarity_tells_none(predictor: Predictor) -> None:
    assert predictor.familiarity(as_instances(TEXTS)) is None


def test_the_familiarity_of_texts_is_worked_out_from_margins_as_by_hand() -> None:
    familiarity = TextFamiliarity(
        columns=np.array([0, 2]),  # the second label means none of the labels
        bias=np.array([0.5, -1.0], np.float32),
        directions=np.array([[0.6, 0.8], [0.0, 1.0]], np.float32),
        weights=np.array([1.0, 10.0, 100.0, 1000.0, 0.25]),
        encoder=np.zeros((0, 3), np.float32),
        width=3,
    )
    margins = np.array([[3.0, 99.0, 4.0], [0.0, 99.0, 0.0]], np.float32)
    values = familiarity.of_margins(margins, np.array([0.0, 0.5]))
    # The largest margin is 3.5; the cosine to the first direction is 1; the length is 5.
    np.testing.assert_allclose(values, [3.5 + 10 + 500 + 0.25, 0.5 + 500 + 0.25], rtol=1e-6)


def test_what_an_encoder_adds_to_the_margins_counts_alone_and_together() -> None:
    random = np.random.default_rng(0)
    arrays = {
        "bias": random.normal(size=2),
        "directions": random.normal(size=(2, 2)),
        "encoder": random.normal(size=(4, 3)),
    }
    familiarity = TextFamiliarity(
        columns=np.array([0, 2]),
        weights=random.normal(size=5),
        width=3,
        **{name: array.astype(np.float32) for name, array in arrays.items()},
    )
    sums = random.uniform(1, 2, (6, 2, 5)).astype(np.float32)
    feeds = {SUMS: sums, ENCODED: random.normal(size=(6, 4)).astype(np.float32)}
    shares = random.random(6).tolist()
    words = (sums[:, :, 1:4] / np.sqrt(sums[:, :, :1])).sum(axis=1)
    margins = words + feeds[ENCODED] @ familiarity.encoder
    expected = familiarity.of_margins(margins, np.array(shares))
    assert not np.allclose(expected, familiarity.of_margins(words, np.array(shares)), atol=0.1)
    np.testing.assert_allclose(familiarity.of(feeds, shares), expected, rtol=1e-4)
    for row in range(6):
        alone = {name: array[row : row + 1] for name, array in feeds.items()}
        np.testing.assert_allclose(
            familiarity.of(alone, shares[row : row + 1]), expected[row], rtol=1e-4
        )


def test_a_familiarity_is_the_same_after_it_was_written_and_read(tmp_path: Path) -> None:
    written = tiny_familiarity(3)
    written.write(tmp_path)
    read, margins = TextFamiliarity.read(tmp_path, 3), np.arange(6, dtype=np.float32).reshape(2, 3)
    shares = np.array([0.0, 0.25])
    np.testing.assert_array_equal(
        read.of_margins(margins, shares), written.of_margins(margins, shares)
    )


# -------------------------------------------------------------------- tables


ROWS = RowFamiliarity(
    numbers=np.array(["age"]),
    means=np.array([40.0]),
    scales=np.array([10.0]),
    categories=np.array(["port"]),
    seen=np.array(["C", "S"]),
    column_of_seen=np.array([0, 0]),
    prototypes=np.array([[-1, 0, np.sqrt(0.5), 0, 0], [1, 0, 0, np.sqrt(0.5), 0]], np.float32),
)


@pytest.mark.parametrize(
    ("age", "port", "distance"),
    [
        (30, "C", 0.0),
        (50, "S", 0.0),
        (80, "S", 3.0),
        (30, "S", 1.0),  # another category
        (30, "X", np.sqrt(9.5)),  # a category that nobody has seen
        (np.nan, "C", np.sqrt(2)),  # missing, and as if it were the mean
        (1e308, "C", 1e6),
        (-np.inf, "C", 1e6),
    ],
)
def test_a_row_is_as_familiar_as_it_is_near_to_a_typical_one(
    age: float, port: str, distance: float
) -> None:
    columns = {"age": np.array([[age]]), "port": np.array([[port]], object)}
    assert ROWS.of_columns(columns)[0] == pytest.approx(-distance, rel=1e-5, abs=1e-3)


def _with_rows(directory: Path, rows: RowFamiliarity, **changes: Any) -> Path:
    rows.write(directory)
    output = {"name": "survived", "type": "label", "labels": ["no", "yes"], "familiar_from": -2.5}
    change_metadata(directory, outputs=[output | changes])
    return directory


def test_a_row_far_from_the_training_rows_is_unsure_whatever_its_score(table_copy: Path) -> None:
    predictor = Predictor.load(_with_rows(table_copy, ROWS))
    far = PASSENGER | {"age": 99}
    new = PASSENGER | {"port": "X"}
    instances = [PASSENGER, far, new, PASSENGER]
    assert unsure(predictor, instances) == [False, True, True, False]
    assert unsure(predictor, [far]) == [True]
    assert predictor.predict([far])[0]["warnings"]


def test_a_column_may_count_that_the_graph_does_not_read(table_copy: Path) -> None:
    # `heads` is an input that only a derived column reads.
    heads = RowFamiliarity(
        numbers=np.array(["heads"]),
        means=np.array([2.0]),
        scales=np.array([1.0]),
        categories=np.array([], np.str_),
        seen=np.array([], np.str_),
        column_of_seen=np.array([], np.int64),
        prototypes=np.zeros((1, 2), np.float32),
    )
    predictor = Predictor.load(_with_rows(table_copy, heads))
    instances = [PASSENGER | {"heads": count} for count in (2, 5, 4)]
    assert unsure(predictor, instances) == [False, True, False]
    np.testing.assert_allclose(predictor.familiarity(instances), [0, -3, -2])


# ------------------------------------------------------------------- refused


def _without_file(directory: Path) -> None:
    (directory / FAMILIARITY).unlink()
    change_metadata(directory)


def _with_arrays(**arrays: Any) -> Callable[[Path], None]:
    def change(directory: Path) -> None:
        np.savez(directory / FAMILIARITY, **arrays)
        change_metadata(directory)

    return change


def _no_archive(directory: Path) -> None:
    (directory / FAMILIARITY).write_bytes(b"PK\x03\x04 and no more")
    change_metadata(directory)


RIGHT = {
    "columns": np.arange(3),
    "bias": np.zeros(3, np.float32),
    "directions": np.eye(3, dtype=np.float32),
    "weights": np.zeros(5),
    "encoder": np.zeros((0, 3), np.float32),
}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_file, rf"{FAMILIARITY} is not listed among the files\. Train again"),
        (_no_archive, rf"{FAMILIARITY}: no archive of arrays .*Train again"),
        (_with_arrays(columns=np.arange(3)), rf"{FAMILIARITY}: expected .*, got \['columns'\]"),
        (_with_arrays(**RIGHT | {"weights": np.zeros(4)}), r"weights: expected .*, got float64 of shape \(4,\)"),
        (_with_arrays(**RIGHT | {"bias": np.zeros(2, np.float32)}), r"bias: expected float32 of shape \(3,\)"),
        (_with_arrays(**RIGHT | {"columns": np.arange(1, 4)}), r"columns: expected labels from 0 to 2"),
    ],
)  # fmt: skip
def test_a_familiarity_that_does_not_fit_is_refused(
    scope_copy: Path, damage: Callable[[Path], None], message: str
) -> None:
    damage(scope_copy)
    with pytest.raises(ArtefactError, match=message):
        Predictor.load(scope_copy)
