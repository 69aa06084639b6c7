"""Claims about repeating runs: the same again is recognised, and so is every reason for something else."""

import json
import random
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper
from rich.console import Console

from predict.contract.artefact import ArtefactError, Metadata
from predict.contract.text_table import SUMS
from predict.tests.tiny_artefact import change_metadata
from train.config import TrainConfig, load_config
from train.errors import UserError
from train.models.text.canonical import canonical, canonical_bytes
from train.progress import SilentProgress
from train.reproduce import (
    Line,
    Reproduction,
    ReproductionError,
    _compare_causes,
    _compare_commits,
    _compare_metrics,
    _repeatable,
    reproduce,
    table_of,
    verdict,
)
from train.run import RunResult, run
from train.tests.tables import make_table, of_spent, table_config, write_table

CLEAN = {"commit": "a" * 40, "dirty": False}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    config = table_config(folder, write_table(folder / "table.csv"), offline="wine")
    return run(config, SilentProgress()).artefact_dir


@pytest.fixture
def artefact(original: Path, tmp_path: Path) -> Path:
    """The artefact with a dataset of its own, both of which a test may change."""
    data = shutil.copy(original.parent.parent / "table.csv", tmp_path / "table.csv")
    path = Path(shutil.copytree(original, tmp_path / "artefacts" / original.name))
    conf = path / "train-conf.yml"
    conf.write_text(conf.read_text().replace(str(original.parent.parent / "table.csv"), str(data)))
    metadata = json.loads((path / "metadata.json").read_bytes())
    change_metadata(path, dataset=metadata["dataset"] | {"name": str(data)})
    return path


def again(artefact: Path, keep: Path | None = None) -> Reproduction:
    return reproduce(artefact, SilentProgress(), keep)


def outcomes(reproduction: Reproduction) -> dict[str, bool | None]:
    lines = (*reproduction.results, *reproduction.files, *reproduction.causes)
    return {line.what: line.same for line in lines}


def shown(reproduction: Reproduction) -> str:
    console = Console(width=200, highlight=False)
    with console.capture() as captured:
        console.print(table_of(reproduction))
    return captured.get()


def test_the_same_run_again_gives_the_same_and_leaves_nothing(
    artefact: Path, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))
    reproduction = again(artefact)
    same = outcomes(reproduction)
    del same["commit"]  # this repository may have changes
    assert set(same.values()) == {True}
    assert list(same)[-6:] == ["model.onnx", "dataset", "split", "held-out examples", "seeds", "versions"]  # fmt: skip
    assert reproduction.reproduced
    assert verdict(reproduction) == "reproduced: metrics and predictions are the same."
    assert sorted(tmp_path.rglob("*")) == before


def test_a_regression_is_reproduced_too(tmp_path: Path) -> None:
    config = table_config(tmp_path, write_table(tmp_path / "table.csv"), **of_spent())
    assert again(run(config, SilentProgress()).artefact_dir).reproduced


def test_a_text_model_is_reproduced_though_its_constants_stand_in_another_order(
    trained: RunResult,
) -> None:
    same = outcomes(again(trained.artefact_dir))
    assert same["answers to 60 test rows"]
    assert same["model.onnx"]
    assert same["features.json"]


def test_other_data_are_found_to_be_the_reason(artefact: Path) -> None:
    table = make_table()
    table.loc[:40, "left"] = "no"
    write_table(artefact.parent.parent / "table.csv", table)
    reproduction = again(artefact)
    same = outcomes(reproduction)
    assert not reproduction.reproduced
    assert (same["dataset"], same["seeds"], same["versions"]) == (False, True, True)
    assert re.search("not reproduced: .* differ.*What else differs: dataset", verdict(reproduction))


def test_rows_that_do_not_fit_the_stored_model_are_no_traceback(artefact: Path) -> None:
    table = make_table().rename(columns={"visits": "calls"})
    write_table(artefact.parent.parent / "table.csv", table)
    reproduction = again(artefact)
    assert not reproduction.reproduced
    assert "the rows do not fit the model" in shown(reproduction)


def of(artefact: Path, **changes: Any) -> Metadata:
    metadata = Metadata.model_validate_json((artefact / "metadata.json").read_bytes())
    return metadata.model_copy(update=changes)


def test_another_library_version_is_named_with_both(artefact: Path) -> None:
    metadata = of(artefact)
    versions = metadata.versions | {"scikit-learn": "0.1", "gone": "2"}
    causes = {
        line.what: line for line in _compare_causes(of(artefact, versions=versions), metadata)
    }
    line = causes["scikit-learn"]
    assert (line.stored, line.again, line.same) == ("0.1", metadata.versions["scikit-learn"], False)
    assert (causes["gone"].stored, causes["gone"].again) == ("2", "-")
    assert "versions" not in causes


def test_other_metrics_are_shown_with_both_values(artefact: Path) -> None:
    metrics = json.loads((artefact / "metrics.json").read_bytes())
    metrics["accuracy"] += 0.001
    (artefact / "metrics.json").write_text(json.dumps(metrics))
    change_metadata(artefact, git=CLEAN)
    reproduction = again(artefact)
    line = reproduction.results[0]
    assert not line.same
    assert line.stored == f"accuracy {metrics['accuracy']:.8g}"
    assert line.again == f"accuracy {metrics['accuracy'] - 0.001:.8g}"
    assert re.search(r"\d+ metrics differ\. What else differs: .*commit", verdict(reproduction))


def test_what_only_one_version_measures_is_not_compared_nor_what_is_not_repeated() -> None:
    stored = {"accuracy": 0.5, "of old": {"a": 1}, "search": {"mean": 3}, "gate": [{"value": 1}]}
    stored["baselines"] = {"majority label": {}}
    again = {"accuracy": 0.5, "ece": 0.1, "search": None, "gate": []}
    again["baselines"] = {"majority label": {"ece": 0.1}}
    line = _compare_metrics(stored, again)
    assert (line.what, line.stored, line.same) == ("1 metrics", "accuracy 0.5", True)


@pytest.mark.parametrize(
    ("stored", "again", "same"),
    [
        ({"a": 0.5}, {"a": 0.5 + 1e-7}, True),
        ({"a": 0.5}, {"a": 0.5 + 1e-5}, False),
        ({"a": 5e6}, {"a": 5e6 + 1}, True),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [1, 2, 3]}}, False),
        ({"a": "svn"}, {"a": "qt"}, False),
        ({"a": None}, {"a": 0.0}, False),
    ],
)
def test_metrics_are_the_same_if_no_person_could_tell_them_apart(
    stored: Any, again: Any, same: bool
) -> None:
    assert _compare_metrics(stored, again).same is same


@pytest.mark.parametrize(
    ("git", "expected"),
    [
        (None, False),
        ({"commit": "b" * 40, "dirty": False}, False),
        (CLEAN, True),
        (CLEAN | {"dirty": True}, False),
    ],
)
def test_the_code_is_the_same_only_if_the_commit_says_all(
    artefact: Path, git: Any, expected: bool
) -> None:
    line = _compare_commits(of(artefact, git=git), of(artefact, git=CLEAN))
    assert line.same is expected


def test_changes_that_were_not_committed_leave_it_open(artefact: Path) -> None:
    metadata = of(artefact, git=CLEAN | {"dirty": True})
    line = _compare_commits(metadata, metadata)
    assert line.same is None
    assert line.stored == "aaaaaaaaaaaa, with uncommitted changes"
    reproduction = Reproduction([Line("5 metrics", "", "", False)], [], [line], None)
    assert verdict(reproduction) == (
        "not reproduced: 5 metrics differ. What else differs: commit (perhaps)."
    )
    assert "unknown" in shown(reproduction)


def test_the_new_artefact_can_be_kept(artefact: Path, tmp_path: Path) -> None:
    reproduction = again(artefact, tmp_path / "kept")
    assert reproduction.artefact_dir is not None
    assert reproduction.artefact_dir.parent == tmp_path / "kept"
    with pytest.raises(
        ReproductionError, match="there are artefacts in it, whose `latest` would move"
    ):
        again(artefact, tmp_path / "kept")


def test_a_damaged_artefact_is_not_repeated(artefact: Path) -> None:
    (artefact / "model.onnx").write_bytes(b"")
    with pytest.raises(ArtefactError, match=r"model\.onnx was changed after training"):
        again(artefact)


def test_data_that_are_gone_are_an_error_and_no_other_data_are_taken(artefact: Path) -> None:
    assert load_config(artefact / "train-conf.yml").offline == "wine"
    (artefact.parent.parent / "table.csv").unlink()
    with pytest.raises(UserError, match=r"table\.csv"):
        again(artefact)


def test_a_repetition_has_no_gate_no_tracking_and_no_other_dataset(tmp_path: Path) -> None:
    content = {
        "dataset": "wine",
        "offline": "iris",
        "evaluation": {"gate": {"vs latest": "better"}},
    }
    if "tracking" in TrainConfig.model_fields:
        content["tracking"] = {"mlflow": "http://tracker"}
    config = _repeatable(TrainConfig.model_validate(content), tmp_path)
    assert config == TrainConfig(dataset="wine", artefacts_dir=tmp_path)


# ----------------------------------------------------------------- canonical


def shuffled(model: onnx.ModelProto, seed: int) -> onnx.ModelProto:
    """Return the same model with other names, its constants in another order, and one that nobody needs."""
    result = onnx.ModelProto()
    result.CopyFrom(model)
    constants = list(result.graph.initializer)
    random.Random(seed).shuffle(constants)
    kept = {value.name for value in (*model.graph.input, *model.graph.output)}
    for constant in constants:
        constant.name = f"{constant.name}/{seed}"
    for node in result.graph.node:
        for names in (node.input, node.output):
            names[:] = [name if name in kept or not name else f"{name}/{seed}" for name in names]
    del result.graph.initializer[:]
    result.graph.initializer.extend(constants)
    result.graph.initializer.append(
        helper.make_tensor("unused", onnx.TensorProto.FLOAT, [1], [1.0])
    )
    return result


def test_a_canonical_model_has_the_same_bytes_whatever_its_constants_are_called(
    trained: RunResult,
) -> None:
    model = onnx.load(trained.artefact_dir / "model.onnx")
    one, other = shuffled(model, 1), shuffled(model, 2)
    onnx.checker.check_model(one)
    assert one.SerializeToString() != other.SerializeToString()
    assert canonical_bytes(one) == canonical_bytes(other) == canonical_bytes(model)
    assert canonical_bytes(canonical(model)) == canonical_bytes(model)


def test_a_canonical_model_answers_as_before(trained: RunResult) -> None:
    model = onnx.load(trained.artefact_dir / "model.onnx")
    changed = canonical(model)
    onnx.checker.check_model(changed)
    shape = (4, *(size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim[1:]))
    sums = np.random.default_rng(0).random(shape, np.float32)
    answers = [
        onnxruntime.InferenceSession(each.SerializeToString()).run(None, {SUMS: sums})[0]
        for each in (model, changed)
    ]
    assert np.array_equal(*answers)


def test_other_weights_are_not_canonically_the_same(original: Path) -> None:
    model = onnx.load(original / "model.onnx")
    changed = onnx.load(original / "model.onnx")
    weights = next(tensor for tensor in changed.graph.initializer if len(tensor.raw_data) >= 8)
    weights.raw_data = bytes([weights.raw_data[0] ^ 1]) + weights.raw_data[1:]
    assert canonical_bytes(model) != canonical_bytes(changed)
