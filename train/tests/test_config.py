"""Claims about `train-conf.yml`."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from train.config import ConfigError, TrainConfig, load_config

WriteConf = Callable[[str], Path]


def test_a_dataset_is_all_that_must_be_given(write_conf: WriteConf) -> None:
    assert load_config(write_conf("dataset: sms-spam")) == TrainConfig(dataset="sms-spam")


def test_all_problems_are_reported_at_once_each_with_its_place(write_conf: WriteConf) -> None:
    file = write_conf(
        "embedings: 3\n"
        "features: {max_tokens: lots}\n"
        "split: {test: 1.5}\n"
        "training: {epoch: 3, batch_size: many}\n"
    )
    with pytest.raises(ConfigError, match="problems") as caught:
        load_config(file)
    first, *problems = str(caught.value).splitlines()
    assert first == f"{file}: 6 problems"
    assert sorted(line.strip() for line in problems) == [
        "dataset: missing; give a catalogue name, a path or a URL (`make datasets` lists the names).",
        "embedings: unknown key. Did you mean embeddings?",
        "features.max_tokens: expected a whole number of at least 1 and of at most 10000, got 'lots'.",
        "split.test: expected a number above 0 and below 1, got 1.5.",
        "training.batch_size: expected a whole number of at least 1, got 'many'.",
        "training.epoch: unknown key. Did you mean epochs?",
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("dataset_: b", "dataset_: unknown key. Did you mean dataset?"),
        ("zzz: 1", "zzz: unknown key. Known: task, dataset, offline,"),
        ("task: clustering", "task: expected classification, got 'clustering'."),
        ("sha256: ABC", "sha256: String should match pattern '^[0-9a-f]{64}$', got 'ABC'."),
        ("encoding: 8", "encoding: expected a text, got 8."),
        ("where: [a]", "where: expected keys and values, got ['a']."),
        ("min_samples_per_label: 0", "min_samples_per_label: expected a whole number of at least 1, got 0."),
        ("columns: {texts: a}", "columns.texts: unknown key. Did you mean text?"),
        ("columns: {text: []}", "columns.text: Value should have at least 1 item after validation, not 0, got []."),
        ("columns: {text: [a, 2]}", "columns.text.1: expected a text, got 2."),
        ("split: {seed: -1}", "split.seed: expected a whole number of at least 0, got -1."),
        ("split: {test: 0}", "split.test: expected a number above 0 and below 1, got 0."),
        ("split: {test: true}", "split.test: expected a number above 0 and below 1, got True."),
        ("split: {test: 0.6, validation: 0.4}", "split: test and validation must leave rows to train on"),
        ("split:", "split: expected keys and values, got None."),
        ("features: {max_token: 9}", "features.max_token: unknown key. Did you mean max_tokens?"),
        ("features: {ngram_buckets: -1}", "features.ngram_buckets: expected a whole number of at least 0"),
        ("embeddings: {algorithm: glove}", "embeddings.algorithm: expected one of fasttext, word2vec, got 'glove'."),
        ("embeddings: {vector_size: 2.5}", "embeddings.vector_size: expected a whole number of at least 1"),
        ("embeddings: {pretrained: 5}", "embeddings.pretrained: expected a text, got 5."),
        ("training: {epochs: 1.0}", "training.epochs: expected a whole number of at least 1, got 1.0."),
        ("training: {learning_rate: 0}", "training.learning_rate: expected a number above 0, got 0."),
        ("training: {learning_rate: .nan}", "training.learning_rate: expected a number above 0, got nan."),
        ("training: {deep_dropout: 1}", "training.deep_dropout: expected a number of at least 0 and below 1, got 1."),
        ("training: {class_weights: yes}", "training.class_weights: expected one of none, balanced, got True."),
        ("data_dir: 3", "data_dir: expected a text, got 3."),
    ],
)  # fmt: skip
def test_a_bad_value_says_its_place_what_was_expected_and_what_was_got(
    write_conf: WriteConf, line: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=rf": 1 problem\n  {re.escape(complaint)}"):
        load_config(write_conf(f"dataset: a\n{line}\n"))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("dataset: [a", r"line 1: expected ',' or ']', but got '<stream end>'"),
        ("dataset: a\nsplit:\n\ttest: 0.1", r"line 3: found character '\t' that cannot start any token"),
        ("dataset: a\n---\ndataset: b", "line 2: but found another document"),
        ("dataset: a\ndataset: b", "line 2: the key 'dataset' is given twice"),
        ("dataset: a\nsplit:\n  test: 0.1\n  seed: 1\n  test: 0.2", "line 5: the key 'test' is given twice"),
        ("dataset: {{ name }}", "line 1: expected a text as key, got {'name': None}"),
        ("dataset: a\n[b]: c", "line 2: expected a text as key, got ['b']"),
        ("dataset: !!python/name:os.system", "line 1: could not determine a constructor for the tag"),
        ("dataset: 2024-13-45", "a value cannot be read: month must be in 1..12"),
        ("dataset: a\x01", "unacceptable character #x0001"),
        ("", "expected keys and values, got NoneType"),
        ("- a\n- b", "expected keys and values, got list"),
        ("just words", "expected keys and values, got str"),
    ],
)  # fmt: skip
def test_a_file_that_is_not_yaml_of_keys_and_values_names_the_line(
    write_conf: WriteConf, text: str, complaint: str
) -> None:
    file = write_conf(text)
    with pytest.raises(ConfigError, match=re.escape(complaint)) as caught:
        load_config(file)
    assert str(caught.value).startswith(str(file))


def test_a_missing_file_names_the_one_to_copy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no\.yml: not found\. Copy conf/train-conf\.yml\.dist"):
        load_config(tmp_path / "no.yml")


def test_a_folder_is_not_a_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


def test_a_file_that_is_not_utf8_says_so(tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_bytes(b"dataset: b\xe9b\xe9")
    with pytest.raises(ConfigError, match=r"not UTF-8 text \(.* at byte 10\)"):
        load_config(tmp_path / "c.yml")


@pytest.mark.parametrize(
    ("written", "value"),
    [("1e-3", 0.001), ("2E+1", 20.0), ("5.e-1", 0.5), ("0.25", 0.25), ("3", 3.0)],
)
def test_numbers_are_read_as_people_write_them(
    write_conf: WriteConf, written: str, value: float
) -> None:
    config = load_config(write_conf(f"dataset: a\ntraining: {{learning_rate: {written}}}"))
    assert config.training.learning_rate == value


def test_a_word_that_only_starts_like_a_number_stays_a_word(write_conf: WriteConf) -> None:
    assert load_config(write_conf("dataset: 1e5x")).dataset == "1e5x"


def test_one_text_column_may_stand_without_a_list(write_conf: WriteConf) -> None:
    config = load_config(write_conf("dataset: a\ncolumns: {text: title, label: tag}"))
    assert config.columns is not None
    assert config.columns.text == ["title"]


def test_overrides_win_over_the_file_and_the_last_one_over_the_others(
    write_conf: WriteConf,
) -> None:
    file = write_conf("dataset: a\ntraining: {epochs: 9, seed: 4}")
    config = load_config(
        file, ["training.epochs=3", "training.epochs=5", "split.test=1e-1", "columns.text=[a, b]"]
    )
    assert (config.training.epochs, config.training.seed) == (5, 4)
    assert config.split.test == 0.1
    assert config.columns is not None
    assert config.columns.text == ["a", "b"]


@pytest.mark.parametrize(
    ("override", "complaint"),
    [
        ("training.epochs", "--set training.epochs: expected section.key=value, such as training.epochs=3."),
        ("=3", "--set =3: expected section.key=value"),
        ("training..epochs=3", "--set training..epochs=3: expected section.key=value"),
        ("training.epochs=[", "--set training.epochs, line 1: expected the node content"),
        ("training.epochs=2024-13-45", "--set training.epochs: a value cannot be read: month must be"),
        ("training.epoch=3", "training.epoch: unknown key. Did you mean epochs?"),
        ("training.epochs=", "training.epochs: expected a whole number of at least 1, got None."),
        ("dataset.name=x", "dataset: expected a text, got {'name': 'x'}."),
    ],
)  # fmt: skip
def test_a_bad_override_says_what_is_wrong_with_it(
    write_conf: WriteConf, override: str, complaint: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(complaint)):
        load_config(write_conf("dataset: a"), [override])


def test_another_dataset_drops_what_the_file_says_of_the_one_it_replaces(
    write_conf: WriteConf,
) -> None:
    file = write_conf(
        f"dataset: a.csv\nsha256: {'0' * 64}\ncolumns: {{text: [x]}}\nwhere: {{y: 1}}\noffline: docstrings"
    )
    config = load_config(file, dataset="b.csv")
    assert config == TrainConfig(dataset="b.csv", offline="docstrings")


def test_overrides_describe_the_dataset_that_replaces(write_conf: WriteConf) -> None:
    file = write_conf("dataset: a.csv\ncolumns: {text: [x]}")
    config = load_config(file, ["columns.label=topic"], dataset="b.csv")
    assert config.columns is not None
    assert config.columns.model_dump() == {"text": ["text"], "label": "topic"}


def test_what_is_written_trains_the_same_again(write_conf: WriteConf) -> None:
    config = load_config(
        write_conf("dataset: données.csv\nwhere: {a: '01', b: 1, c: true}"),
        ["embeddings.pretrained=v.txt", "training.learning_rate=1e-7", "columns.text=[é, b]"],
    )
    assert load_config(write_conf(config.to_yaml())) == config


def test_the_written_configuration_has_every_default_filled_in() -> None:
    written = TrainConfig(dataset="a").to_yaml()
    for key in ("validation: 0.08", "ngram_buckets: 262144", "artefacts_dir: data/artefacts"):
        assert key in written
