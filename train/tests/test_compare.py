"""Claims about comparisons: of small models trained for real, and of tiny ones whose answers can be told by hand."""

import json
import re
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from predict.contract.artefact import ArtefactError
from predict.scoring.predictor import Predictor
from predict.tests.tiny_artefact import change_metadata, write_rest, write_tiny_artefact
from train.artefacts import folder as artefacts_folder
from train.artefacts.folder import FolderError
from train.comparison.compare import (
    Comparison,
    as_json,
    check_equivalent,
    compare,
)
from train.comparison.latest import against_latest
from train.comparison.report import render_page, show, verdict
from train.comparison.rows import CompareError
from train.config.loading import to_yaml
from train.data.catalogue import complete
from train.data.cleaning import load_dataset
from train.data.splits import Prepared, split_dataset
from train.errors import DatasetError, UserError
from train.evaluation.answered import Answered
from train.evaluation.measures import evaluate
from train.evaluation.significance import Difference, mcnemar
from train.models.choice import choose_pipeline
from train.models.decision import Decision, choose_decision
from train.models.table import model as table_model
from train.progress import SilentProgress, TerminalProgress
from train.tests.conftest import make_rows, write_csv
from train.tests.tables import make_table, of_spent, table_config, write_table

GOLDEN = Path("predict/tests/golden")
NASTY = "<script>alert(1)</script>"

_SECONDS = count(10)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compare")


@pytest.fixture(scope="module")
def table(folder: Path) -> Path:
    return write_table(folder / "table.csv", make_table(400))


def _train(folder: Path, file: Path, **changes: Any) -> Path:
    """Train a model and write an artefact, without the report and what else a run gathers."""
    config = complete(table_config(folder, file, **changes))
    dataset = load_dataset(config)
    config = choose_pipeline(config, dataset)
    split = split_dataset(dataset, config)
    prepared = Prepared(config, dataset, split)
    model = table_model.fit(prepared, SilentProgress())
    outputs = model.predict(dataset, split.test)
    decision = choose_decision(prepared, model.validation_outputs, model.factors)
    directory = folder / "artefacts" / f"2026-01-01-00-00-{next(_SECONDS)}"
    directory.mkdir(parents=True)
    model.write(directory)
    truth = dataset.truth(split.test[0])
    examples = [
        {"instance": instance, "answer": output.tolist(), "truth": truth}
        for instance, output in zip(dataset.instances(split.test[:2]), outputs[:2], strict=True)
    ]
    split_of = {"seed": config.split.seed}
    metadata = {
        "name": directory.name,
        "task": config.task,
        "outputs": [decision.describe(dataset.columns.label)],
        "examples": examples,
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "split": split_of},
        **model.describe(prepared),
    }
    write_rest(directory, metadata)
    metrics = evaluate(Answered(prepared.test_targets, outputs, decision))
    (directory / "metrics.json").write_text(json.dumps(metrics))
    (directory / "train-conf.yml").write_text(to_yaml(config))
    change_metadata(directory)
    latest = directory.parent / "latest"
    latest.unlink(missing_ok=True)
    latest.symlink_to(directory.name)
    return directory


@pytest.fixture(scope="module")
def left(folder: Path, table: Path) -> Path:
    return _train(folder, table)


@pytest.fixture(scope="module")
def trees(folder: Path, table: Path) -> Path:
    """Other columns, one of them of another type, and a threshold."""
    inputs = {"said": "ignore", "spent": "number", "visits": "category", "age": "ignore"}
    return _train(
        folder,
        table,
        columns={"label": "left", "inputs": inputs},
        model={"pipeline": "random_forest", "n_estimators": 20},
        decision={"aim": "f1"},
    )


@pytest.fixture(scope="module")
def spent(folder: Path, table: Path) -> Path:
    return _train(folder, table, **of_spent(), evaluation={"interval": 0.8})


@pytest.fixture(scope="module")
def spent_trees(folder: Path, table: Path) -> Path:
    model = {"pipeline": "hist_gradient_boosting", "max_iter": 5}
    return _train(folder, table, **of_spent(), model=model)


def _texts(folder: Path, file: Path, **changes: Any) -> Path:
    columns = {"label": "label", "inputs": {"text": "text"}}
    return _train(folder, file, **{"columns": columns, "split": {}, **changes})


@pytest.fixture(scope="module")
def topics(folder: Path) -> Path:
    return write_csv(folder / "topics.csv", make_rows(300))


@pytest.fixture(scope="module")
def linear_topics(folder: Path, topics: Path) -> Path:
    return _texts(folder, topics)


@pytest.fixture(scope="module")
def found(left: Path, trees: Path) -> Comparison:
    return compare(left, trees)


def _metrics(artefact: Path) -> dict[str, Any]:
    return json.loads((artefact / "metrics.json").read_bytes())


def _test_rows(artefact: Path) -> tuple[Any, Any]:
    """Return the dataset of an artefact and its test rows."""
    from train.config import load_config

    config = load_config(artefact / "train-conf.yml")
    dataset = load_dataset(config)
    return dataset, split_dataset(dataset, config).test


def _terminal(comparison: Comparison) -> str:
    console = Console(width=120, highlight=False)
    with console.capture() as captured:
        console.print(show(comparison))
    return captured.get()


# ---------------------------------------------------------------- what comes out


def test_the_metrics_are_those_of_each_run(left: Path, trees: Path, found: Comparison) -> None:
    ours, theirs = _metrics(left), _metrics(trees)
    for name in ("accuracy", "macro_f1", "log_loss", "roc_auc", "pr_auc", "precision", "f1"):
        difference = found.metrics[name]
        assert (difference.first, difference.second) == pytest.approx((ours[name], theirs[name]))
        assert difference.difference == pytest.approx(theirs[name] - ours[name])


def test_agreement_and_mcnemar_are_about_the_served_answers(
    left: Path, trees: Path, found: Comparison
) -> None:
    dataset, rows = _test_rows(left)
    said = [
        [answer["label"] for answer in Predictor.load(path).predict(instances)]
        for path, instances in (
            (left, dataset.instances(rows)),
            (trees, _test_rows(trees)[0].instances(rows)),
        )
    ]
    truth = [dataset.truth(row) for row in rows]
    right = [np.array([a == b for a, b in zip(of, truth, strict=True)]) for of in said]
    assert found.agreement == pytest.approx(np.mean([a == b for a, b in zip(*said, strict=True)]))
    assert found.p_value == mcnemar(*right)
    assert found.tally == {
        "both right": (right[0] & right[1]).sum(),
        "only A right": (right[0] & ~right[1]).sum(),
        "only B right": (~right[0] & right[1]).sum(),
        "both wrong": (~right[0] & ~right[1]).sum(),
    }


def test_examples_that_changed_are_of_their_kind(left: Path, found: Comparison) -> None:
    dataset, rows = _test_rows(left)
    assert set(found.changed) == {"only A right", "only B right"}
    for kind, better, worse in (("only A right", "a", "b"), ("only B right", "b", "a")):
        changes = found.changed[kind]
        assert 0 < len(changes) == min(5, found.tally[kind])
        for change in changes:
            assert getattr(change, better)["label"] == change.truth == dataset.truth(change.row)
            assert getattr(change, worse)["label"] != change.truth
            assert change.instance == dataset.instances(np.array([change.row]))[0]
            assert change.row in rows


def test_labels_stand_with_the_largest_change_first(
    left: Path, trees: Path, found: Comparison
) -> None:
    changes = [abs(label.f1.difference) for label in found.labels]
    assert changes == sorted(changes, reverse=True)
    for label in found.labels:
        expected = [_metrics(path)["per_label"][label.label] for path in (left, trees)]
        assert label.support == expected[0]["support"]
        assert (label.f1.first, label.f1.second) == pytest.approx(
            (expected[0]["f1"], expected[1]["f1"])
        )


def test_a_threshold_that_only_one_has_is_noted(found: Comparison) -> None:
    assert any(note.startswith("thresholds differ: A answers the most pro") for note in found.notes)


def test_numbers_are_compared_by_their_errors(spent: Path, spent_trees: Path) -> None:
    found = compare(spent, spent_trees)
    assert (found.p_value, found.agreement, found.labels) == (None, None, [])
    for name in ("rmse", "mae", "median_absolute_error", "r2"):
        assert found.metrics[name].first == pytest.approx(_metrics(spent)[name])
        assert found.metrics[name].second == pytest.approx(_metrics(spent_trees)[name])
    assert verdict("rmse", found.metrics["rmse"]) == "A is better"
    assert sum(found.tally.values()) == found.rows == 80
    leads = [
        abs(change.b - change.truth) - abs(change.a - change.truth)
        for change in found.changed["A closer"]
    ]
    assert leads == sorted(leads, reverse=True)
    assert leads[-1] > 50
    assert any(note.startswith("prediction intervals differ: A ±") for note in found.notes)
    assert "interval_coverage" not in found.metrics


def test_a_text_model_and_a_table_model_are_compared(
    trained: Any, tiny_csv: Path, tmp_path: Path
) -> None:
    table_model = _texts(tmp_path, tiny_csv)
    found = compare(trained.artefact_dir, table_model)
    assert found.metrics["accuracy"].first == pytest.approx(trained.metrics["accuracy"])
    assert found.metrics["accuracy"].second == pytest.approx(_metrics(table_model)["accuracy"])
    assert found.notes == []


def test_any_number_of_labels_a_row(tmp_path: Path) -> None:
    """A gives drama where it is likely, B never; the second row has a label that neither knows."""
    never = tmp_path / "never"
    shutil.copytree(GOLDEN / "format-2" / "labels", never)
    outputs = json.loads((never / "metadata.json").read_bytes())["outputs"]
    outputs[0]["thresholds"]["drama"] = 1.0
    change_metadata(never, outputs=outputs)
    films = [("90", "A", "drama,war"), ("0", "B", "opera"), ("90", "A", "war")]
    file = write_csv(tmp_path / "films.csv", films, ("minutes", "studio", "genres"))
    found = compare(GOLDEN / "format-2" / "labels", never, file)
    assert found.agreement == pytest.approx(1 / 3)
    assert found.tally == {"both right": 0, "only A right": 1, "only B right": 1, "both wrong": 1}
    [change] = found.changed["only A right"]
    assert (change.truth, change.a, change.b) == (["drama", "war"], ["drama", "war"], ["war"])
    assert "labels that neither model knows do not count: opera" in found.notes


# ------------------------------------------------------------------------ names


def _as_before(artefact: Path, names: dict[str, str]) -> Path:
    """Return a copy of an artefact from when labels were kept as the file wrote them."""
    older = artefact.parent.parent / "older" / artefact.name
    shutil.copytree(artefact, older)
    metadata = json.loads((older / "metadata.json").read_bytes())
    [output], examples = metadata["outputs"], metadata["examples"]
    output["labels"] = [names[label] for label in output["labels"]]
    output["thresholds"] = {
        names[label]: least for label, least in output.get("thresholds", {}).items()
    }
    examples = [example | {"truth": names[example["truth"]]} for example in examples]
    metrics = json.loads((older / "metrics.json").read_bytes())
    metrics["positive_label"] = names[metrics["positive_label"]]
    (older / "metrics.json").write_text(json.dumps(metrics))
    change_metadata(older, outputs=[output], examples=examples)
    return older


@pytest.mark.parametrize(
    ("written", "names"),
    [
        (("False", "True"), {"false": "False", "true": "True"}),
        (("1.0", "2.0"), {"1": "1.0", "2": "2.0"}),
    ],
)
def test_labels_of_an_older_artefact_are_those_of_the_rows(
    tmp_path: Path, written: tuple[str, str], names: dict[str, str]
) -> None:
    table = make_table(240)
    table["left"] = [written[left == "yes"] for left in table["left"]]
    file = write_table(tmp_path / "table.csv", table)
    newer = _train(tmp_path, file, decision={"aim": "f1", "positive": list(names)[1]})
    older = _as_before(newer, names)
    for a, b, data in (
        (older, newer, None), (newer, older, None), (older, older, None), (older, older, file),
    ):  # fmt: skip
        found = compare(a, b, data)
        assert check_equivalent(found, 1e-12)
        assert found.metrics["accuracy"].first > 0.7
        assert not any("neither model" in note or "only" in note for note in found.notes)
    dataset, rows = _test_rows(newer)
    answered = _answers_of(newer, dataset, rows)
    about = {"name": dataset.name, "sha256": dataset.sha256}
    same, why, better = against_latest(older, answered, dataset.instances(rows), about)
    assert (same, better) == (True, 0)
    assert "not comparable" not in why


def _answers_of(artefact: Path, dataset: Any, rows: Any) -> Answered:
    predictor = Predictor.load(artefact)
    decision = Decision.of_output(predictor.metadata.outputs[0])
    return Answered(dataset.targets[rows], predictor.scores(dataset.instances(rows)), decision)


def test_a_file_that_lacks_a_value_is_read_as_the_model_knows_it(tmp_path: Path) -> None:
    """With `maybe`, True is a word; in a file without, it is a truth value. It is the same label and category."""
    word = {"yes": "True", "no": "False"}
    table = make_table(240)[["age", "left"]]
    table["left"] = table["left"].map(word)
    table["again"] = table["left"].where(table.index % 9 > 0, "maybe")
    table.loc[table.index % 11 == 0, "left"] = "maybe"
    columns = {"label": "left"}
    model = _train(tmp_path, write_table(tmp_path / "t.csv", table), columns=columns)
    assert Predictor.load(model).labels == ["False", "True", "maybe"]
    truths = table[(table["left"] != "maybe") & (table["again"] != "maybe")]
    found = compare(model, model, write_table(tmp_path / "part.csv", truths))
    assert (found.rows, found.tally["both right"]) == (len(truths), len(truths))
    assert not any("left out" in note for note in found.notes)


# --------------------------------------------------------------------- warnings


def test_what_was_odd_about_the_file_is_noted(
    left: Path, table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = make_table(100)
    rows["visits"] = ["9007199254740993", *rows["visits"].astype(str)[1:]]
    rows.to_csv(file := tmp_path / "other.csv", index=False, sep=";")
    found = compare(left, left, file)
    notes = " ".join(found.notes)
    assert "the fields are read as separated by ';'" in notes
    assert "columns: visits: 1 value cannot be kept exactly in a number" in notes
    file.write_text("a;b\n1;2\n")
    with pytest.raises(UserError, match="no column 'age'"):
        compare(left, left, file, progress=TerminalProgress())
    assert "WARNING: " in capsys.readouterr().err


# --------------------------------------------------------------------- equality


def test_a_model_equals_itself(left: Path) -> None:
    found = compare(left, left)
    assert check_equivalent(found, 1e-12).startswith("equal: outputs differ by at most 0.0e+00")
    assert found.agreement == 1
    assert not any(difference.significant for difference in found.metrics.values())


def test_models_that_differ_are_not_equal(found: Comparison) -> None:
    with pytest.raises(CompareError, match=r"are not equal: their outputs differ by up to 0\.\d+"):
        check_equivalent(found, 1e-5)


def test_equal_probabilities_with_other_answers_are_not_equal(found: Comparison) -> None:
    close = replace(found, largest_difference=1e-7, other_answers=2)
    with pytest.raises(CompareError, match="not equal: 2 answers differ"):
        check_equivalent(close, 1e-5)


def test_what_is_no_number_is_not_equal(found: Comparison) -> None:
    with pytest.raises(CompareError, match="differ by up to nan"):
        check_equivalent(replace(found, largest_difference=float("nan"), other_answers=0), 1e-5)


def test_numbers_may_differ_by_a_share_of_the_largest(spent: Path) -> None:
    found = compare(spent, spent)
    assert found.scale > 100
    check_equivalent(replace(found, largest_difference=found.scale * 0.9e-5), 1e-5)
    with pytest.raises(CompareError, match="their outputs differ by"):
        check_equivalent(replace(found, largest_difference=found.scale * 1.1e-5), 1e-5)


def test_another_interval_is_not_equal(spent: Path) -> None:
    found = compare(spent, spent)
    without = replace(found, b=replace(found.b, half_width=None))
    with pytest.raises(CompareError, match=r"their intervals differ \(A ± [\d.]+, B none\)"):
        check_equivalent(without, 1e-5)


def test_other_doubts_are_not_equal(tmp_path: Path) -> None:
    never = write_tiny_artefact(tmp_path / "never")
    often = write_tiny_artefact(
        tmp_path / "often",
        outputs=[
            {"name": "tag", "type": "label", "labels": ["svn", "bash", "qt"], "unsure_below": 0.9}
        ],
    )
    file = write_csv(tmp_path / "rows.csv", [("commit", "svn"), ("echo", "qt")], ("title", "tag"))
    found = compare(never, often, file)
    assert "different answers are unsure: A never, B below 0.9" in found.notes
    with pytest.raises(CompareError, match=r"not equal: different answers are unsure \(A never"):
        check_equivalent(found, 1e-5)


# -------------------------------------------------------------------- which rows


def test_rows_that_the_other_model_was_trained_on_are_counted(
    folder: Path, table: Path, left: Path
) -> None:
    other = _train(folder, table, split={"validation": 0.2, "seed": 5})
    dataset, rows = _test_rows(left)
    split = split_dataset(dataset, table_config(folder, table, split={"seed": 5}))
    count = len(set(rows) - set(split.test))
    [note] = compare(left, other).notes
    assert note.startswith(
        f"B was trained on {count} of these 80 rows because its split is another"
    )


def test_data_that_changed_since_are_noted(tmp_path: Path) -> None:
    file = write_table(tmp_path / "t.csv")
    artefact = _train(tmp_path, file)
    write_table(file, make_table(300, seed=9))
    notes = compare(artefact, artefact).notes
    assert notes[0].startswith("the data have changed since A was trained on them (SHA-256 ")
    assert notes[1].startswith("B was trained on other data")


def test_a_model_of_other_columns_and_types_reads_the_same_rows(
    left: Path, trees: Path, found: Comparison
) -> None:
    assert found.rows == 80
    assert not any("trained on" in note for note in found.notes)
    assert compare(trees, left).metrics["accuracy"].first == found.metrics["accuracy"].second


def test_a_labelled_file_can_be_given(left: Path, trees: Path, tmp_path: Path) -> None:
    table = make_table(60, seed=4).assign(more="x y z", left=lambda t: t["left"])
    table.loc[:2, "left"] = "maybe"
    file = write_table(tmp_path / "new.csv", table)
    found = compare(left, trees, file)
    assert found.rows == 57
    expected = Predictor.load(left).predict(
        [change.instance for change in found.changed["only A right"]]
    )
    assert [answer["label"] for answer in expected] == [
        change.truth for change in found.changed["only A right"]
    ]
    [note] = [note for note in found.notes if "left out" in note]
    assert note == "rows left out because neither model knows their label (maybe): 3"


def test_a_file_that_a_model_was_trained_on_is_noted(left: Path, table: Path) -> None:
    notes = compare(left, left, table).notes
    assert "A was trained on this very file, and knows most of its rows" in notes


def test_format_1_is_compared_on_a_file(tmp_path: Path) -> None:
    """Its own text is called title, the other one's question."""
    other = write_tiny_artefact(tmp_path / "other", inputs=("question",))
    rows = [("undo a commit", "svn"), ("a shell script", "bash"), ("a shell script now", "svn")]
    file = write_csv(tmp_path / "rows.csv", rows, ("title", "tag"))
    found = compare(GOLDEN / "format-1", other, file)
    assert found.metrics["accuracy"].first == pytest.approx(2 / 3)
    assert check_equivalent(found, 1e-2)


def test_a_configuration_of_an_older_version_still_says_which_rows(
    linear_topics: Path, tmp_path: Path
) -> None:
    older = tmp_path / "older"
    shutil.copytree(linear_topics, older)
    conf = older / "train-conf.yml"
    text = conf.read_text().replace("training:\n", "training:\n  dropout: 0.3\n")
    conf.write_text(text.replace("\nfeatures: {}", "\nfeatures:\n  max_tokens: 256"))
    change_metadata(older)
    assert compare(older, linear_topics).agreement == 1


def test_a_label_that_only_one_model_knows_is_noted(folder: Path, linear_topics: Path) -> None:
    file = write_csv(folder / "two.csv", make_rows(200, ["music", "tools"], seed=1))
    found = compare(linear_topics, _texts(folder, file))
    assert "only A knows fruit, so B is wrong on every row with that label" in found.notes
    labels = {label.label: label.f1 for label in found.labels}
    assert (labels["fruit"].second, labels["fruit"].significant) == (0, True)
    assert labels["music"].second > 0.6
    assert "log_loss" not in found.metrics
    for change in found.changed["only B right"]:
        assert change.b["score"] > 0.5


def test_the_label_that_gained_most_comes_first(
    folder: Path, topics: Path, linear_topics: Path
) -> None:
    file = write_csv(folder / "others.csv", make_rows(200, ["music", "tools"], seed=1))
    gained, *_ = compare(_texts(folder, file), linear_topics, topics).labels
    assert gained.label == "fruit"
    assert gained.f1.difference > 0.7


# ------------------------------------------------------------------------ errors


def test_a_label_and_a_number_cannot_be_compared(left: Path, spent: Path) -> None:
    with pytest.raises(CompareError, match=r"\(A\) answers one label, .*\(B\) a number"):
        compare(left, spent)


def test_other_labels_cannot_be_compared(left: Path, linear_topics: Path) -> None:
    with pytest.raises(
        CompareError, match="A answers no, yes; B answers fruit, music, tools; 0 of"
    ):
        compare(left, linear_topics)


def test_other_inputs_cannot_be_compared(left: Path, tmp_path: Path) -> None:
    labels = {"yes": "no", "no": "yes"}
    other = make_table(200, seed=3).rename(columns={"paid": "cost"})
    other["left"] = other["left"].map(labels)
    elsewhere = _train(tmp_path, write_table(tmp_path / "other.csv", other))
    with pytest.raises(CompareError, match=r"do not fit: B also reads cost\. Give rows that have"):
        compare(left, elsewhere)


def test_columns_of_other_types_cannot_be_compared(left: Path, tmp_path: Path) -> None:
    other = make_table(200, seed=3)
    other["visits"] = "v" + other["visits"].astype(str)
    elsewhere = _train(tmp_path, write_table(tmp_path / "other.csv", other))
    with pytest.raises(
        CompareError, match=r"have other types: visits \(category for B, number for A\)"
    ):
        compare(left, elsewhere)


def test_rows_that_are_gone_say_what_else_can_be_given(tmp_path: Path) -> None:
    file = write_table(tmp_path / "gone.csv")
    artefact = _train(tmp_path, file)
    file.unlink()
    with pytest.raises(
        CompareError, match=r"gone\.csv' is neither (.|\n)*Give other rows with --data FILE"
    ):
        compare(artefact, artefact)


def test_a_file_without_the_columns_is_refused(left: Path, topics: Path) -> None:
    with pytest.raises(DatasetError, match=r"topics\.csv: .*age"):
        compare(left, left, topics)


def test_rows_that_a_model_cannot_take_are_named(left: Path, tmp_path: Path) -> None:
    file = tmp_path / "new.csv"
    write_table(file, make_table(50).assign(paid=""))
    with pytest.raises(UserError, match=r"cannot take these rows: row 0\.paid: "):
        compare(left, left, file)


def test_labels_that_nobody_knows_are_refused(left: Path, tmp_path: Path) -> None:
    table = make_table(50)
    table["left"] = np.where(table["left"] == "yes", "oui", "non")
    with pytest.raises(CompareError, match="neither model knows any label of these rows: non, oui"):
        compare(left, left, write_table(tmp_path / "new.csv", table))


def test_artefacts_are_found_by_path_and_by_name(left: Path) -> None:
    parent = left.parent
    assert artefacts_folder.find(str(left), Path("nowhere")) == left
    assert artefacts_folder.find(left.name, parent) == left
    assert artefacts_folder.find("latest", parent) == parent / "latest"
    with pytest.raises(FolderError, match=f"Did you mean {left.name[:8]}"):
        artefacts_folder.find(left.name[:-1] + "x", parent)
    for name in ("x", "x" * 300):
        with pytest.raises(
            FolderError,
            match=r"neither a directory nor an artefact in .*There are none: run `make train` first",
        ):
            artefacts_folder.find(name, Path("nowhere"))


# ---------------------------------------------------------------------- for people


def test_the_terminal_shows_metrics_labels_and_changed_rows(found: Comparison) -> None:
    text = _terminal(found)
    assert text.startswith(f"A: {found.a.path} ")
    for name in found.metrics:
        assert f"\n{name} " in text
    for part in (
        "B - A",
        "95 % interval",
        "McNemar's exact test: p = ",
        "F1 of",
        "only A right, such as",
    ):
        assert part in text


def test_the_terminal_takes_brackets_for_what_they_are(found: Comparison) -> None:
    assert "[bold]" in _terminal(replace(found, notes=["[bold]"]))


def test_the_page_needs_nothing_from_elsewhere_and_is_not_fooled(found: Comparison) -> None:
    change = replace(found.changed["only A right"][0], instance={"text": NASTY}, truth=NASTY)
    page = render_page(replace(found, notes=[NASTY], changed={"only A right": [change]}))
    assert NASTY not in page
    assert page.count("&lt;script&gt;") == 3
    for foreign in ("<script", "<link", "src=", "url(", "http://", "https://"):
        assert foreign not in page
    for name in ("accuracy", "macro F1", "ROC AUC"):
        assert f"<td>{name}</td>" in page


def test_the_page_of_numbers_has_no_labels(spent: Path, spent_trees: Path) -> None:
    page = render_page(compare(spent, spent_trees))
    assert "A closer" in page
    assert "Labels" not in page


def test_everything_is_json(found: Comparison) -> None:
    content = json.loads(json.dumps(as_json(found), allow_nan=False))
    assert content["metrics"]["accuracy"]["second"] == found.metrics["accuracy"].second
    assert content["changed"]["only A right"][0]["truth"] in ("yes", "no")


@pytest.mark.parametrize(
    ("metric", "low", "high", "said"),
    [
        ("accuracy", 0.1, 0.2, "B is better"),
        ("accuracy", -0.2, -0.1, "A is better"),
        ("rmse", 0.1, 0.2, "A is better"),
        ("accuracy", -0.1, 0.2, "within chance"),
        ("interval_coverage", 0.1, 0.2, "differs"),
    ],
)
def test_a_verdict_knows_which_way_is_better(
    metric: str, low: float, high: float, said: str
) -> None:
    middle = (low + high) / 2
    difference = Difference(0.5, 0.5 + middle, middle, low, high, low > 0 or high < 0)
    assert verdict(metric, difference) == said


# ------------------------------------------------------------------ against latest


def _new(artefact: Path) -> tuple[Answered, Any, dict[str, Any]]:
    """Return what a run knows about a new model, which is that of an artefact."""
    dataset, rows = _test_rows(artefact)
    predictor = Predictor.load(artefact)
    instances = dataset.instances(rows)
    decision = Decision.of_output(predictor.metadata.outputs[0])
    answered = Answered(dataset.targets[rows], predictor.scores(instances), decision)
    return answered, instances, predictor.metadata.dataset


def test_the_same_model_is_not_worse_than_the_latest(left: Path) -> None:
    passed, why, better = against_latest(left, *_new(left))
    assert (passed, better) == (True, 0)
    assert why.startswith(f"accuracy 0.{_new_accuracy(left)}, {left.name} has 0.")


def _new_accuracy(artefact: Path) -> str:
    return f"{_metrics(artefact)['accuracy']:.4f}"[2:]


def test_a_worse_model_does_not_pass(left: Path) -> None:
    answered, *rest = _new(left)
    worse = replace(answered, outputs=answered.outputs[:, ::-1])
    passed, why, better = against_latest(left, worse, *rest)
    assert not passed
    assert better < 0
    assert "95 % interval -" in why


def test_a_model_that_is_worse_by_chance_passes(left: Path) -> None:
    answered, *rest = _new(left)
    assert answered.right()[0]
    wrong = answered.outputs.copy()
    wrong[0] = wrong[0, ::-1]
    passed, _, better = against_latest(left, replace(answered, outputs=wrong), *rest)
    assert (passed, better) == (True, pytest.approx(-1 / 80))


def test_a_much_better_model_passes(left: Path) -> None:
    answered, *rest = _new(left)
    sure = np.eye(2)[answered.truth] * 0.8 + 0.1
    passed, _, better = against_latest(left, replace(answered, outputs=sure), *rest)
    assert passed
    assert better > 0


def test_numbers_are_held_against_the_latest_by_their_rmse(spent: Path) -> None:
    answered, *rest = _new(spent)
    worse = replace(answered, outputs=answered.outputs + 100)
    passed, why, better = against_latest(spent, worse, *rest)
    assert not passed
    assert better < 0
    assert why.startswith("RMSE ")


def test_with_a_threshold_the_ranking_counts(trees: Path) -> None:
    assert against_latest(trees, *_new(trees))[1].startswith("PR AUC ")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"name": "other.csv"}, r"it was trained on another dataset \(.*table\.csv\)"),
        ({"sha256": "0" * 64}, "it was trained on another version of the dataset"),
        ({"split": {"seed": 3}}, "it was trained on another split"),
    ],
)
def test_a_latest_of_other_rows_is_not_comparable(
    left: Path, changes: dict[str, Any], reason: str
) -> None:
    answered, instances, described = _new(left)
    worse = replace(answered, outputs=answered.outputs[:, ::-1])  # would not pass
    passed, why, better = against_latest(left, worse, instances, described | changes)
    assert (passed, better) == (True, 0)
    assert why.startswith(f"not comparable with {left.name}: ")
    assert re.search(reason, why)


def test_a_latest_of_another_kind_is_not_comparable(
    left: Path, spent: Path, trees: Path, linear_topics: Path
) -> None:
    new = _new(left)[:-1]
    for other, reason in (
        (spent, "it answers with number, this one with label"),
        (linear_topics, "its labels are different ones (fruit, music, tools)"),
        (trees, "it reads other inputs (visits, paid, plan, since, spent)"),
    ):
        passed, why, _ = against_latest(other, *new)
        assert (passed, why) == (True, f"not comparable with {other.name}: {reason}")


def test_a_damaged_latest_is_an_error(left: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged"
    shutil.copytree(left, damaged)
    (damaged / "report.html").write_text("")
    with pytest.raises(ArtefactError, match=r"report\.html was changed"):
        against_latest(damaged, *_new(left))


def test_without_a_declared_positive_label_it_is_the_rarer_one(tmp_path: Path) -> None:
    table = make_table()
    table["left"] = table["left"].map({"yes": "gone", "no": "stays"})
    artefact = _train(tmp_path, write_table(tmp_path / "t.csv", table))
    declared, positive = compare(artefact, artefact).metrics, _metrics(artefact)["positive_label"]
    (artefact / "metrics.json").write_text("{}")
    change_metadata(artefact)
    metrics = compare(artefact, artefact).metrics
    assert positive == "gone"
    for name in ("recall", "precision", "pr_auc", "ece"):
        assert metrics[name].first == declared[name].first
