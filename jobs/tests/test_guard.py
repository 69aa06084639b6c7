"""Claims about what a configuration of a request may name."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from jobs import guard
from jobs.settings import JobsSettings
from train.config import TrainConfig
from train.config.loading import draft_of

SHA = "0" * 64

# Every key of a configuration, by the section that it is in. What is guarded has a row below that is refused; all the
# rest reads and writes nothing and runs nothing: it is a number, a choice, or a name of a column, label or value.
GUARDED = {
    "dataset", "offline", "split.test", "max_dataset_bytes", "data_dir", "artefacts_dir",
    "model.pipeline", "tracking.mlflow", "tracking.tensorboard", "search.parameters",
    "embeddings.pretrained.file", "embeddings.encoder.model.file",
    "embeddings.encoder.tokenizer.file", "embeddings.encoder.licence.file",
}  # fmt: skip
HARMLESS = {
    "": "task sha256 encoding separator quotes sheet where min_samples_per_label calibration",
    "columns": "label separator text missing date_format timezone decimal thousands unit",
    "columns.label_notation": "decimal thousands unit",
    "columns.inputs.*": "decimal thousands unit missing date_format timezone type minimum maximum "
    "categories max_missing",
    "split": "validation seed column by by_time",
    "imbalance": "class_weights under_sample",
    "decision": "positive",
    "decision.aim.cost": "fp fn",
    "decision.unsure_below": "accuracy given_up none_label",
    "evaluation": "folds interval gate slices",
    "behaviour": "invariant_to swaps",
    "behaviour.must_be": "instance text label minimum maximum",
    "behaviour.directions": "column expect by to label",
    "search": "method trials folds metric seed",
    "features.*": "ratio cross bins edges date part",
    "text_features": "max_tokens min_ngram max_ngram ngram_buckets pair_buckets fold_digits",
    "embeddings": "algorithm vector_size window min_count epochs",
    "embeddings.pretrained": "sha256",
    "embeddings.encoder": "max_tokens",
    "embeddings.encoder.model": "sha256",
    "embeddings.encoder.tokenizer": "sha256",
    "embeddings.encoder.licence": "sha256",
    "training": "epochs batch_size learning_rate wide_penalty hidden_size deep_dropout hidden_dropout patience seed",
}  # fmt: skip


def keys_of(node: Mapping[str, Any], definitions: Mapping[str, Any], place: str) -> Iterator[str]:
    """Yield the path of every key that leads to no further keys; `*` is a name of the user's."""
    if "$ref" in node:
        node = definitions[node["$ref"].rsplit("/", 1)[1]]
    found = list(_inner_keys(node, definitions, place))
    for option in (*node.get("anyOf", ()), *filter(None, [node.get("items")])):
        if isinstance(option, Mapping):
            found += [key for key in keys_of(option, definitions, place) if key != place]
    yield from found or [place]


def _inner_keys(
    node: Mapping[str, Any], definitions: Mapping[str, Any], place: str
) -> Iterator[str]:
    for key, inner in node.get("properties", {}).items():
        yield from keys_of(inner, definitions, f"{place}.{key}".lstrip("."))
    more = node.get("additionalProperties")
    if isinstance(more, Mapping) and "$ref" in more:
        yield from keys_of(more, definitions, f"{place}.*")


def test_every_key_of_a_configuration_is_known_to_be_harmless_or_guarded() -> None:
    schema = TrainConfig.model_json_schema()
    known = {
        f"{section}.{key}".lstrip(".") for section, keys in HARMLESS.items() for key in keys.split()
    }
    assert set(keys_of(schema, schema["$defs"], "")) == known | GUARDED


@pytest.fixture
def settings(tmp_path: Path) -> JobsSettings:
    (tmp_path / "jobs/uploads").mkdir(parents=True)
    (tmp_path / "jobs/uploads/mine.csv").touch()
    (tmp_path / "jobs/uploads/.unfinished-x.csv").touch()
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed/rows.csv").touch()
    (tmp_path / "allowed-not/").mkdir()
    (tmp_path / "secret.csv").touch()
    (tmp_path / "allowed/link.csv").symlink_to(tmp_path / "secret.csv")
    return JobsSettings(
        jobs_dir=tmp_path / "jobs",
        allow_folders=[tmp_path / "allowed"],
        allow_hosts=["data.example.org"],
        allow_packages=["vectors"],
        allow_pipelines=["mine.py:build"],
    )


def problems(text: str, settings: JobsSettings, tmp_path: Path) -> list[str]:
    draft = draft_of(text.replace("TMP", str(tmp_path)), "body")
    assert draft.config is not None
    assert not draft.problems
    return guard.problems_of(draft.config, settings)


REFUSED = [
    ("dataset", "dataset: /etc/passwd"),
    ("dataset", "dataset: ~/rows.csv"),
    ("dataset", "dataset: rows.csv"),
    ("dataset", "dataset: TMP/secret.csv"),
    ("dataset", "dataset: TMP/allowed/../secret.csv"),
    ("dataset", "dataset: TMP/allowed/link.csv"),
    ("dataset", "dataset: TMP/allowed"),
    ("dataset", "dataset: TMP/allowed-not/rows.csv"),
    ("dataset", 'dataset: "a\\0b.csv"'),
    ("dataset", "dataset: uploads/other.csv"),
    ("dataset", "dataset: uploads/../secret.csv"),
    ("dataset", "dataset: uploads/.unfinished-x.csv"),
    ("dataset", "dataset: uploads/sub/mine.csv"),
    ("dataset", "dataset: https://evil.example.org/rows.csv"),
    ("dataset", "dataset: https://data.example.org.evil.org/rows.csv"),
    ("dataset", "dataset: https://data.example.org@evil.org/rows.csv"),
    ("dataset", "dataset: https://data.example.org:8080/rows.csv"),
    ("dataset", "dataset: ftp://data.example.org/rows.csv"),
    ("dataset", "dataset: file:///etc/passwd"),
    ("dataset", "dataset: http:/rows.csv"),
    ("dataset", "dataset: http://[/rows.csv"),
    ("offline", "{dataset: iris, offline: /etc/passwd}"),
    ("split.test", "{dataset: iris, split: {test: /etc/passwd}}"),
    ("split.test", "{dataset: iris, split: {test: titanic}}"),
    ("max_dataset_bytes", "{dataset: iris, max_dataset_bytes: 2000000001}"),
    ("data_dir", "{dataset: iris, data_dir: elsewhere}"),
    ("artefacts_dir", "{dataset: iris, artefacts_dir: elsewhere}"),
    ("model.pipeline", '{dataset: iris, model: {pipeline: "os:system"}}'),
    ("model.pipeline", '{dataset: iris, model: {pipeline: "mine.py:other"}}'),
    ("model.pipeline", '{dataset: iris, search: {model.pipeline: [linear, "os:system"]}}'),
    ("model.pipeline", '{dataset: iris, search: {parameters: {model: [{pipeline: "os:system"}]}}}'),
    ("search.parameters", """{dataset: iris, search: {'"model".pipeline': ["os:system"]}}"""),
    ("search.parameters", "{dataset: sms-spam, search: {embeddings.pretrained: [/etc/passwd]}}"),
    ("search.parameters", "{dataset: sms-spam, search: {parameters: {embeddings: [{pretrained: /etc/passwd}]}}}"),
    ("search.parameters", "{dataset: sms-spam, search: {'\"embeddings\".pretrained': [/etc/passwd]}}"),
    ("tracking.mlflow", "{dataset: iris, tracking: {mlflow: /srv/elsewhere}}"),
    ("tracking.mlflow", "{dataset: iris, tracking: {mlflow: http://evil.example.org}}"),
    ("tracking.tensorboard", "{dataset: iris, tracking: {tensorboard: logs}}"),
    ("embeddings.pretrained.file", "{dataset: sms-spam, embeddings: {pretrained: /etc/passwd}}"),
    ("embeddings.pretrained.file", "{dataset: sms-spam, embeddings: {pretrained: uploads/mine.csv}}"),
    (
        "embeddings.pretrained.file",
        f"{{dataset: sms-spam, embeddings: {{pretrained: {{file: 'https://evil.org/v', sha256: '{SHA}'}}}}}}",
    ),
    ("embeddings.pretrained.file", "{dataset: sms-spam, embeddings: {pretrained: 'package:os/x'}}"),
    *(
        (
            f"embeddings.encoder.{key}.file",
            f"{{dataset: sms-spam, embeddings: {{encoder: {{model: TMP/allowed/m.onnx, {key}: {file}}}}}}}",
        )
        for key in ("tokenizer", "licence")
        for file in ("/etc/passwd", "'package:vectors_not/x'")
    ),
    (
        "embeddings.encoder.model.file",
        "{dataset: sms-spam, embeddings: {encoder: {model: 'package:json/m.onnx'}}}",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("key", "text"), REFUSED)
def test_what_reaches_out_is_refused_with_the_key_and_the_reason(
    key: str, text: str, settings: JobsSettings, tmp_path: Path
) -> None:
    [problem] = problems(text, settings, tmp_path)
    told = "search" if key == "search.parameters" else key.removesuffix(".file")
    assert told in problem


def test_an_address_is_no_file_of_an_allowed_folder(
    settings: JobsSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path / "allowed")
    assert not problems("dataset: rows.csv", settings, tmp_path)
    assert problems("dataset: http:/rows.csv", settings, tmp_path)
    assert problems("dataset: file:///rows.csv", settings, tmp_path)


def test_every_guarded_key_has_a_row_that_is_refused() -> None:
    assert {key for key, _ in REFUSED} == GUARDED


@pytest.mark.parametrize(
    "text",
    [
        "dataset: iris",
        "{dataset: stackoverflow, offline: docstrings}",
        "dataset: uploads/mine.csv",
        "dataset: TMP/allowed/rows.csv",
        "dataset: https://data.example.org/rows.csv",
        "{dataset: uploads/mine.csv, split: {test: uploads/mine.csv}}",
        '{dataset: iris, model: {pipeline: "mine.py:build"}}',
        "{dataset: iris, search: {model.C: [0.1, 1]}}",
        "{dataset: sms-spam, embeddings: {pretrained: 'package:vectors/v.txt'}}",
        "{dataset: sms-spam, search: {embeddings.vector_size: [32, 64]}}",
        "{dataset: sms-spam, search: {embeddings.encoder.model: [TMP/allowed/a, TMP/allowed/b], "
        "embeddings.encoder.max_tokens: [64]}}",
    ],
)
def test_what_is_listed_or_reaches_nothing_is_allowed(
    text: str, settings: JobsSettings, tmp_path: Path
) -> None:
    assert not problems(text, settings, tmp_path)


def test_the_folders_are_those_of_the_service_and_uploads_get_their_path(
    settings: JobsSettings,
) -> None:
    config = guard.settled(TrainConfig(dataset="uploads/mine.csv"), settings)
    assert config.dataset == str(settings.uploads_dir.resolve() / "mine.csv")
    assert config.artefacts_dir == settings.artefacts_dir.resolve()
    assert config.data_dir == settings.data_dir.resolve()
