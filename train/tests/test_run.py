"""Claims about a whole run: one small one was made for real, and its artefact is looked at here."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from predict.contract.artefact import Metadata, load_artefact
from predict.contract.metrics import read_metrics
from predict.scoring.predictor import Predictor
from train.artefacts.provenance import describe_commit
from train.artefacts.writing import ExportError
from train.config import ConfigError, TrainConfig, load_config
from train.config.trust import Trust
from train.data.splits import Prepared
from train.evaluation.selection import search
from train.models.table.model import FitError, TableModel
from train.progress import SilentProgress, TerminalProgress
from train.run import RunResult, prepare, run
from train.tests.conftest import TOPICS, Fitted, make_rows, tiny_config, write_csv
from train.tests.tables import make_table, of_spent, parts, table_config, write_table


@pytest.fixture(scope="module")
def metadata(trained: RunResult) -> dict[str, Any]:
    return json.loads((trained.artefact_dir / "metadata.json").read_bytes())


def test_an_artefact_has_every_file_of_the_contract(trained: RunResult) -> None:
    assert {file.name for file in trained.artefact_dir.iterdir()} == {
        "metadata.json",
        "model.onnx",
        "features.json",
        "rows.npy",
        "squares.npy",
        "vectors.npy",
        "metrics.json",
        "train-conf.yml",
        "report.html",
    }


@pytest.mark.parametrize(
    ("place", "keys"),
    [
        ("", "format_version name created_at task inputs outputs examples metrics embedding model "
             "dataset seeds versions git durations_s files checksum"),
        ("embedding", "algorithm gensim_version vector_size window min_count ngram_range ngram_buckets "
                      "pair_buckets vocabulary_size corpus_tokens epochs unknown_token_share vectors_sha256 source "
                      "vector_hits vector_misses"),
        ("dataset", "name source sha256 requested rows_read rows_kept rows_dropped conflicting_texts split "
                    "label_counts duplicates ignored_columns rare_labels"),
        ("dataset.split", "train validation test seed own_test_split"),
        ("seeds", "split training"),
        ("versions", "capstone python platform gensim keras numpy onnx onnxruntime pandas scikit-learn tf2onnx"),
        ("durations_s", "dataset embeddings features train refit evaluate"),
        ("metrics", "accuracy macro_f1 log_loss"),
        ("files", "model.onnx features.json metrics.json train-conf.yml report.html"),
    ],
)  # fmt: skip
def test_metadata_has_every_key_of_the_contract(
    metadata: dict[str, Any], place: str, keys: str
) -> None:
    part = metadata
    for name in filter(None, place.split(".")):
        part = part[name]
    assert set(keys.split()) <= set(part)


def test_metadata_describes_what_was_trained_on(metadata: dict[str, Any], tiny_csv: Path) -> None:
    dataset = metadata["dataset"]
    assert (dataset["name"], dataset["requested"]) == (str(tiny_csv), str(tiny_csv))
    assert (dataset["rows_read"], dataset["rows_kept"], dataset["rows_dropped"]) == (300, 300, {})
    assert dataset["label_counts"] == {"fruit": 100, "music": 100, "tools": 100}
    assert dataset["split"] == {
        "train": 216,
        "validation": 24,
        "test": 60,
        "seed": 0,
        "own_test_split": False,
    }
    assert metadata["inputs"] == [{"name": "text", "type": "text", "tokenizer": 2}]
    assert metadata["outputs"] == [
        {"name": "label", "type": "label", "labels": ["fruit", "music", "tools"]}
    ]
    # Every text has a number that no other has, in words of which some 2 in 8 are unknown therefore.
    assert 0.05 < metadata["embedding"]["unknown_token_share"] < 0.4


def test_the_configuration_in_an_artefact_trains_the_same_again(
    trained: RunResult, fitted: Fitted
) -> None:
    config = load_config(trained.artefact_dir / "train-conf.yml")
    same = {"artefacts_dir": fitted.config.artefacts_dir, "data_dir": fitted.config.data_dir}
    known = {
        key: getattr(config, key) for key in ("task", "model", "columns")
    }  # filled in by a run
    assert config.model_copy(update=same) == fitted.config.model_copy(update=known)
    assert isinstance(config, TrainConfig)


def test_metrics_are_finite_numbers_in_strict_json_beside_their_baselines(
    trained: RunResult,
) -> None:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    text = (trained.artefact_dir / "metrics.json").read_text(encoding="utf-8")
    metrics = json.loads(text, parse_constant=refuse)
    assert metrics == trained.metrics
    read = read_metrics(trained.artefact_dir / "metrics.json")
    assert read.headline == load_artefact(trained.artefact_dir).metadata.metrics
    assert read.model_dump(mode="json", by_alias=True, exclude_unset=True) == metrics
    assert set(metrics["baselines"]) == {
        "majority label",
        "TF-IDF words and characters + linear SVM",
    }
    assert metrics["accuracy"] > metrics["baselines"]["majority label"]["accuracy"]
    assert sum(map(sum, metrics["confusion_matrix"])) == 60


def test_the_served_predictor_answers_as_was_measured(trained: RunResult, fitted: Fitted) -> None:
    predictor = Predictor.load(trained.artefact_dir)
    texts = fitted.test_texts()
    answers = predictor.predict(predictor.check_texts(texts))
    truth = [fitted.dataset.truth(i) for i in fitted.split.test]
    right = [answer["label"] == label for answer, label in zip(answers, truth, strict=True)]
    assert sum(right) / len(right) == pytest.approx(trained.metrics["accuracy"])


def test_golden_examples_are_the_first_test_texts(metadata: dict[str, Any], fitted: Fitted) -> None:
    instances = [example["instance"] for example in metadata["examples"]]
    assert instances == [{"text": text} for text in fitted.test_texts()[:5]]


def test_a_revision_that_was_built_into_an_image_stands_for_the_commit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")  # no git
    monkeypatch.delenv("CAPSTONE_REVISION", raising=False)
    assert describe_commit() is None
    monkeypatch.setenv("CAPSTONE_REVISION", "abc123")
    assert describe_commit() == {"commit": "abc123", "dirty": None}


def test_the_page_shows_what_was_measured(trained: RunResult) -> None:
    page = (trained.artefact_dir / "report.html").read_text(encoding="utf-8")
    assert f"<strong>{trained.metrics['accuracy']:.4f}</strong>" in page
    assert "fruit" in page


# ------------------------------------------------------- tables, of every task


@pytest.fixture(scope="module")
def run_table(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunResult]:
    """Return a function that makes a whole run on the tiny table."""
    file = write_table(tmp_path_factory.mktemp("table") / "t.csv")

    def run_it(**changes: Any) -> RunResult:
        return run(
            table_config(tmp_path_factory.mktemp("run"), file, **changes), TerminalProgress()
        )

    return run_it


def test_a_run_may_write_apart_from_the_artefacts_that_it_is_compared_with(tmp_path: Path) -> None:
    config = table_config(tmp_path, write_table(tmp_path / "t.csv"))
    result = run(config, SilentProgress(), into=tmp_path / "apart")
    assert [path.name for path in (tmp_path / "apart").iterdir()] == [result.artefact_dir.name]
    assert result.artefact_dir.parent == tmp_path / "apart"


def _metadata(result: RunResult) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((result.artefact_dir / "metadata.json").read_bytes())
    Metadata.model_validate(content)
    return content


@pytest.fixture(scope="module")
def with_threshold(run_table: Callable[..., RunResult]) -> RunResult:
    return run_table(
        decision={"aim": "recall>=0.9"},
        imbalance={"class_weights": "balanced", "under_sample": 2},
        evaluation={"folds": 3},
        search={"model.C": [0.01, 1], "imbalance.under_sample": [1.0, 2.0], "folds": 2},
        features={"per visit": {"ratio": ["paid", "visits"]}},
    )


def test_a_table_with_a_threshold_is_answered_by_it(with_threshold: RunResult) -> None:
    metadata = _metadata(with_threshold)
    [(label, threshold)] = metadata["outputs"][0]["thresholds"].items()
    assert label == with_threshold.metrics["positive_label"] == "yes"
    predictor = Predictor.load(with_threshold.artefact_dir)
    for number in range(5):
        example = predictor.example(number)
        [answer] = example["expected"]["predictions"]
        assert answer["label"] == ("yes" if answer["probabilities"]["yes"] >= threshold else "no")
        assert example["expected"]["truth"][0] in ("yes", "no")
    assert set(with_threshold.metrics["at_even_odds"]) >= {"precision", "recall", "f1"}


def test_a_search_ends_in_a_configuration_with_the_best_and_no_search(
    with_threshold: RunResult,
) -> None:
    best = with_threshold.metrics["search"]["trials"][0]["parameters"]
    assert len(with_threshold.metrics["search"]["trials"]) == 4
    config = load_config(with_threshold.artefact_dir / "train-conf.yml")
    assert config.search is None
    assert config.model.parameters == {"C": best["model.C"]}
    assert config.imbalance.under_sample == best["imbalance.under_sample"]
    assert _metadata(with_threshold)["model"]["parameters"] == {"C": best["model.C"]}


def test_the_configuration_of_a_table_trains_the_same_again(
    with_threshold: RunResult, tmp_path: Path
) -> None:
    config = load_config(
        with_threshold.artefact_dir / "train-conf.yml", [f"artefacts_dir={tmp_path}"]
    )
    again = run(config, SilentProgress()).metrics
    for key in ("search", "cross_validation"):
        again.pop(key)
    expected = {key: with_threshold.metrics[key] for key in again}
    assert again == expected


def test_cross_validation_is_in_the_metrics_beside_the_test_split(
    with_threshold: RunResult,
) -> None:
    found = with_threshold.metrics["cross_validation"]
    assert len(found["folds"]) == 3
    recalls = [fold["recall"] for fold in found["folds"]]
    assert found["mean"]["recall"] == pytest.approx(np.mean(recalls))
    assert found["std"]["recall"] == pytest.approx(np.std(recalls, ddof=1))


def test_the_schema_says_what_training_saw(with_threshold: RunResult) -> None:
    age, visits, paid, plan, since = _metadata(with_threshold)["inputs"]
    assert (age["type"], age["nullable"], age["minimum"] >= 18, age["maximum"] <= 80) == (
        *("number", True),
        *(True, True),
    )
    assert 0.02 < age["missing_share"] < 0.2
    assert (visits["minimum"], visits["maximum"], "nullable" in visits) == (0, 6, False)
    assert paid["type"] == "number"
    assert plan["categories"] == ["basic", "plus", "pro"]
    assert (since["type"], since["nullable"]) == ("date", True)
    derived = [column["name"] for column in _metadata(with_threshold)["derived"]]
    assert derived == ["per visit", *(f"since {p}" for p in ("year", "month", "day", "weekday", "hour"))]  # fmt: skip


def test_metrics_and_metadata_of_a_table_are_strict_json(with_threshold: RunResult) -> None:
    for name in ("metrics.json", "metadata.json"):
        text = (with_threshold.artefact_dir / name).read_text(encoding="utf-8")
        json.loads(text, parse_constant=lambda constant: pytest.fail(f"{constant} is not JSON"))
    metrics = json.loads((with_threshold.artefact_dir / "metrics.json").read_bytes())
    assert metrics == with_threshold.metrics


def test_a_regression_answers_with_an_interval_and_has_nothing_at_even_odds(
    run_table: Callable[..., RunResult],
) -> None:
    result = run_table(**of_spent(), evaluation={"interval": 0.8})
    output = _metadata(result)["outputs"][0]
    assert output["interval"]["coverage"] == 0.8
    half_width = output["interval"]["half_width"]
    predictor = Predictor.load(result.artefact_dir)
    [answer] = predictor.example(0)["expected"]["predictions"]
    ends = [answer["value"] - half_width, answer["value"] + half_width]
    assert answer["interval"] == pytest.approx(ends)
    assert "at_even_odds" not in result.metrics
    assert set(result.metrics["baselines"]) == {"mean"}
    assert 0.6 < result.metrics["interval_coverage"] <= 1


def test_a_table_with_a_text_reads_its_words(run_table: Callable[..., RunResult]) -> None:
    columns = {"label": "plan", "inputs": {"left": "ignore", "said": "text"}}
    result = run_table(columns=columns, model={})
    assert _metadata(result)["model"]["pipeline"] == "linear"
    assert (
        result.metrics["accuracy"] > 0.6
    )  # the last word of the text is right a little more often than not
    predictor = Predictor.load(result.artefact_dir)
    instance = predictor.example(0)["instances"][0]
    answers = predictor.predict(
        [instance | {"said": said} for said in ("PRO!", "basic", "basic ;-)")]
    )
    assert answers[1] == answers[2] != answers[0]
    assert not result.reads_one_text


def test_texts_may_have_a_pipeline_instead_of_the_text_model(
    tiny_csv: Path, tmp_path: Path
) -> None:
    config = tiny_config(tmp_path, tiny_csv, model={"pipeline": "linear"})
    result = run(config, SilentProgress())
    assert result.reads_one_text
    assert result.metrics["accuracy"] > 0.8
    predictor = Predictor.load(result.artefact_dir)
    [answer] = predictor.predict(predictor.check_texts(["play the Violin"]))
    assert answer["label"] == "music"


def test_several_labels_a_row_have_a_threshold_each(tmp_path: Path) -> None:
    rows = [
        (f"{first} {second}", ", ".join(sorted({topic_1, topic_2})))
        for topic_1, words_1 in TOPICS.items()
        for topic_2, words_2 in TOPICS.items()
        for first in words_1.split()[:5]
        for second in words_2.split()[:5]
    ]
    file = write_csv(tmp_path / "t.csv", [*rows, ("nothing of all this", "")])
    result = run(tiny_config(tmp_path, file, task="multilabel"), SilentProgress())
    metadata = _metadata(result)
    [output] = metadata["outputs"]
    assert (output["type"], output["labels"]) == ("labels", ["fruit", "music", "tools"])
    assert set(output["thresholds"]) == set(output["labels"])
    assert result.metrics["micro_f1"] > result.metrics["baselines"]["majority label"]["micro_f1"]
    predictor = Predictor.load(result.artefact_dir)
    example = predictor.example(0)
    assert isinstance(example["expected"]["truth"][0], list)
    given = example["expected"]["predictions"][0]["labels"]
    assert all(label["score"] >= output["thresholds"][label["label"]] - 1e-6 for label in given)


def test_a_search_tries_text_models_too(tmp_path: Path) -> None:
    file = write_csv(tmp_path / "t.csv", make_rows(120))
    settings = {"folds": 1, "metric": "accuracy", "training.epochs": [1, 2]}
    config = tiny_config(tmp_path, file, search=settings)
    config, dataset, split = parts(prepare(config, SilentProgress()))
    best, tried = search(Prepared(config, dataset, split), SilentProgress())
    first, second = tried["trials"]
    assert best.config.training.epochs == first["parameters"]["training.epochs"]
    assert first["mean"] >= second["mean"] > 0.3


@pytest.mark.parametrize(
    ("changes", "error", "complaint"),
    [
        ({"search": {"metric": "acc", "model.C": [1]}}, ConfigError, "search.metric"),
        (of_spent() | {"evaluation": {"interval": 0.99}}, ConfigError, "needs at least 99 validation rows"),
        ({"model": {"pipeline": "own.py:wrong"}}, FitError, "could not convert string to float"),
        ({"model": {"pipeline": "own.py:wrong"}, "evaluation": {"folds": 2}}, FitError, "could not convert"),
    ],
)  # fmt: skip
def test_a_run_that_fails_leaves_nothing(
    run_table: Callable[..., RunResult],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    error: type[Exception],
    complaint: str,
) -> None:
    (tmp_path / "own.py").write_text(
        "from sklearn.linear_model import LogisticRegression\nfrom sklearn.pipeline import make_pipeline\n"
        "def wrong(): return make_pipeline(LogisticRegression())\n"
    )
    monkeypatch.chdir(tmp_path)
    file = write_table(tmp_path / "t.csv")
    with pytest.raises(error, match=complaint):
        run(table_config(tmp_path, file, **changes), TerminalProgress(), trust=Trust())
    assert not list((tmp_path / "artefacts").iterdir())


@pytest.mark.parametrize(
    ("by", "complaint"),
    [
        (1e-4, r"differs from the trained one in \d+ of 48 test rows"),
        (
            0.1,
            "^the exported model is not what was trained: golden example 0 is answered differently",
        ),
    ],
)
def test_a_model_that_is_served_otherwise_is_no_artefact(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: float, complaint: str
) -> None:
    real = TableModel.predict
    monkeypatch.setattr(TableModel, "predict", lambda *args: real(*args) * (1 - by) + by / 2)
    config = table_config(tmp_path, write_table(tmp_path / "t.csv"))
    with pytest.raises(ExportError, match=complaint):
        run(config, SilentProgress())
    assert not list((tmp_path / "artefacts").iterdir())


def test_a_tiny_regression_has_finite_metrics_or_none(tmp_path: Path) -> None:
    frame = make_table(5)[["age", "visits", "spent"]].fillna(30)
    config = table_config(
        tmp_path,
        write_table(tmp_path / "t.csv", frame),
        task="regression",
        columns={"label": "spent"},
    )
    assert "r2" not in run(config, SilentProgress()).metrics  # of a single test row
