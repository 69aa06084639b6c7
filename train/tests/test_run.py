"""Claims about a whole run: one small one was made for real, and its artefact is looked at here."""

import json
from pathlib import Path
from typing import Any

import pytest

from predict.predictor import Predictor
from train.config import TrainConfig, load_config
from train.provenance import describe_commit
from train.run import RunResult
from train.tests.conftest import Fitted


@pytest.fixture(scope="module")
def metadata(trained: RunResult) -> dict[str, Any]:
    return json.loads((trained.artefact_dir / "metadata.json").read_bytes())


def test_an_artefact_has_every_file_of_the_contract(trained: RunResult) -> None:
    assert {file.name for file in trained.artefact_dir.iterdir()} == {
        "metadata.json",
        "model.onnx",
        "features.json",
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
                    "label_counts"),
        ("dataset.split", "train validation test seed own_test_split"),
        ("seeds", "split training"),
        ("versions", "python platform gensim keras numpy onnx onnxruntime pandas scikit-learn tf2onnx"),
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
    assert metadata["inputs"] == [{"name": "text", "type": "text"}]
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
    assert config.model_copy(update=same) == fitted.config
    assert isinstance(config, TrainConfig)


def test_metrics_are_finite_numbers_in_strict_json_beside_their_baselines(
    trained: RunResult,
) -> None:
    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is not JSON")

    text = (trained.artefact_dir / "metrics.json").read_text(encoding="utf-8")
    metrics = json.loads(text, parse_constant=refuse)
    assert metrics == trained.metrics
    assert set(metrics["baselines"]) == {"majority label", "TF-IDF + linear SVM"}
    assert metrics["accuracy"] > metrics["baselines"]["majority label"]["accuracy"]
    assert sum(map(sum, metrics["confusion_matrix"])) == 60


def test_the_served_predictor_answers_as_was_measured(trained: RunResult, fitted: Fitted) -> None:
    predictor = Predictor.load(trained.artefact_dir)
    texts = fitted.test_texts()
    answers = predictor.predict(predictor.check_texts(texts))
    truth = [fitted.dataset.label_names[i] for i in fitted.dataset.labels[fitted.split.test]]
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
    assert f"<td>accuracy</td><td>{trained.metrics['accuracy']:.4f}</td>" in page
    assert "fruit" in page
