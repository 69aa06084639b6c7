"""Claims about `train-conf.yml`."""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from train.config import ConfigError, TrainConfig, load_config
from train.config.loading import for_other_dataset, load_draft, to_yaml, with_values
from train.config.meant import settle
from train.config.sections import Columns
from train.config.written import parse

WriteConf = Callable[[str], Path]


def test_a_dataset_is_all_that_must_be_given(write_conf: WriteConf) -> None:
    assert load_config(write_conf("dataset: sms-spam")) == TrainConfig(dataset="sms-spam")


def test_all_problems_are_reported_at_once_each_with_its_place(write_conf: WriteConf) -> None:
    file = write_conf(
        "embedings: 3\n"
        "text_features: {max_tokens: lots}\n"
        "split: {test: 1.5}\n"
        "training: {epoch: 3, batch_size: many}\n"
        "columns: {inputs: {age: {type: numbr, minimum: low}, sex: {categories: []}}}\n"
        "features: {per_room: {ratio: [a]}, age_group: {bins: age}}\n"
        "decision: {aim: 3}\n"
        "evaluation: {folds: 1}\n"
        "imbalance: {under_sample: 0.5}\n"
        "search: {model.C: 3, method: gridd}\n"
    )
    with pytest.raises(ConfigError, match="problems") as caught:
        load_config(file)
    first, *problems = str(caught.value).splitlines()
    assert first == f"{file}: 16 problems"
    assert sorted(line.strip() for line in problems) == [
        "columns.inputs.age.minimum: expected a number, got 'low'.",
        "columns.inputs.age.type: expected one of number, category, text, date, ignore, got 'numbr'.",
        "columns.inputs.sex.categories: Value should have at least 1 item after validation, not 0, got [].",
        "dataset: missing; give a catalogue name, a path or a URL (`make datasets` lists the names).",
        'decision.aim: expected none, f1, "recall>=0.9", "precision>=0.9" or {cost: {fp: 1, fn: 50}}, got 3.',
        "embedings: unknown key. Did you mean embeddings?",
        "evaluation: folds must be 0 for none, or at least 2.",
        "features.age_group: bins and edges belong together, such as {bins: age, edges: [18, 65]}.",
        "features.per_room.ratio: List should have at least 2 items after validation, not 1, got ['a'].",
        "imbalance.under_sample: expected a number of at least 1, got 0.5.",
        "search.method: expected one of grid, random, got 'gridd'.",
        "search.model.C: expected a list, got 3.",
        "split.test: expected a number above 0 and below 1, or a file of test rows, got 1.5.",
        "text_features.max_tokens: expected a whole number of at least 1 and of at most 10000, got 'lots'.",
        "training.batch_size: expected a whole number of at least 1, got 'many'.",
        "training.epoch: unknown key. Did you mean epochs?",
    ]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("dataset_: b", "dataset_: unknown key. Did you mean dataset?"),
        ("zzz: 1", "zzz: unknown key. Known: task, dataset, offline,"),
        ("task: clustering", "task: expected one of classification, regression, multilabel, got 'clustering'."),
        ("sha256: ABC", "sha256: String should match pattern '^[0-9a-f]{64}$', got 'ABC'."),
        ("encoding: 8", "encoding: expected a text, got 8. Put it into quotes."),
        ("separator: ';;'", "separator: expected one character such as ; or | or tab, got ';;'"),
        ("quotes: never", "quotes: expected one of auto, enclose, literal"),
        ("where: [a]", "where: expected keys and values, got ['a']."),
        ("where: {a: null}", "where.a: expected a text, a number, true or false, got None."),
        ("where: {a: ~}", 'where.a: expected a text, a number, true or false, got None. If the text'),
        ("where: {a.b: [1]}", 'where."a.b": expected a text, a number, true or false, got [1].'),
        ("columns: {inputs: {a: {b: number}}}",
         'columns.inputs.a.b: unknown key. Known: decimal, thousands, unit, missing, date_format, timezone, '
         'type, minimum, maximum, categories, max_missing. '
         'A column with a dot in its name goes into quotes: columns.inputs."a.b".'),
        ("min_samples_per_label: 0", "min_samples_per_label: expected a whole number of at least 1, got 0."),
        ("columns: {texts: a}", "columns.texts: unknown key. Did you mean text?"),
        ("columns: {text: []}", "columns.text: Value should have at least 1 item after validation, not 0, got []."),
        ("columns: {text: [a, [2]]}", "columns.text.1: expected a text, got [2]."),
        ("columns: {separator: ''}", "columns.separator: String should have at least 1 character, got ''."),
        ("columns: {text: [a], label: a}", "columns: 'a' is the label (columns.label) and cannot be an input."),
        ("columns: {inputs: {label: number}}", "columns: 'label' is the label (columns.label) and cannot be an"),
        ("columns: {text: [a], inputs: {a: number}}", "columns: 'a' is in text, but number in inputs."),
        ("columns: {inputs: [age]}", "columns.inputs: expected keys and values, got ['age']."),
        ("columns: {inputs: {age: }}", "columns.inputs.age: expected keys and values, got None."),
        ("columns: {inputs: {age: numbr}}", "columns.inputs.age.type: expected one of number, category, text,"),
        ("columns: {inputs: {age: {mimimum: 1}}}", "columns.inputs.age.mimimum: unknown key. Did you mean minimum?"),
        ("columns: {inputs: {age: {minimum: .inf}}}", "columns.inputs.age.minimum: expected a finite number, got"),
        ("columns: {inputs: {age: {minimum: 3, maximum: 1}}}", "columns.inputs.age: minimum 3 is above maximum 1."),
        ("columns: {inputs: {age: {type: date, minimum: 3}}}", "columns.inputs.age: minimum and maximum are for a"),
        ("columns: {inputs: {age: {minimum: 3, categories: [a]}}}", "columns.inputs.age: categories are for type:"),
        ("columns: {inputs: {age: {type: ignore, max_missing: 0}}}", "columns.inputs.age: max_missing is not for a"),
        ("columns: {inputs: {age: {max_missing: 2}}}", "columns.inputs.age.max_missing: expected a number of at"),
        ("columns: {inputs: {age: {categories: [1, '1']}}}", "columns.inputs.age: categories: one is given twice."),
        ("columns: {inputs: {age: {categories: [null]}}}", "columns.inputs.age.categories.0: expected a text, got"),
        ("split: {seed: -1}", "split.seed: expected a whole number of at least 0, got -1."),
        ("split: {test: 0}", "split.test: expected a number above 0 and below 1, or a file of test rows, got 0."),
        ("split: {test: true}", "split.test: expected a number above 0 and below 1, or a file of test rows, got True."),
        ("split: {test: 0.6, validation: 0.4}", "split: test and validation must leave rows to train on"),
        ("split:", "split: expected keys and values, got None."),
        ("text_features: {max_token: 9}", "text_features.max_token: unknown key. Did you mean max_tokens?"),
        ("text_features: {ngram_buckets: -1}", "text_features.ngram_buckets: expected a whole number of at least 0"),
        ("features: {max_tokens: 9}", "features.max_tokens: expected keys and values, got 9. Did you mean"),
        ("features: [a]", "features: expected keys and values, got ['a']."),
        ("features: {'': {ratio: [a, b]}}", "features: expected a text as key, got ''."),
        ("features: {x: {}}", "features.x: expected exactly one of ratio, cross, bins, date, got none."),
        ("features: {x: {ratio: [a, b], bins: a}}", "features.x: expected exactly one of ratio, cross, bins, date,"),
        ("features: {x: {cross: [a]}}", "features.x.cross: List should have at least 2 items after validation, not"),
        ("features: {x: {bins: a, edges: [2, 1]}}", "features.x: edges must ascend."),
        ("features: {x: {bins: a, edges: [1, 1]}}", "features.x: edges must ascend."),
        ("features: {x: {bins: a, edges: [.nan]}}", "features.x.edges.0: expected a finite number, got nan."),
        ("features: {x: {date: d}}", "features.x: date and part belong together, such as {date: sold_on, part:"),
        ("features: {x: {date: d, part: weak}}", "features.x.part: expected one of year, month, day, weekday,"),
        ("model: linear", "model: expected keys and values, got 'linear'."),
        ("model: {pipeline: ''}", "model.pipeline: String should have at least 1 character, got ''."),
        ("imbalance: {class_weights: yes}", "imbalance.class_weights: expected one of none, balanced, got 'yes'."),
        ("imbalance: {under_sample: .inf}", "imbalance.under_sample: expected a finite number of at least 1, got inf."),
        ("decision: {aim: accuracy}", "decision.aim: expected none, f1,"),
        ("decision: {aim: recall>=2}", "decision.aim: expected none, f1,"),
        ("decision: {aim: {cost: {fp: 1}}}", "decision.aim: expected none, f1,"),
        ("decision: {aim: {cost: {fp: 1, fn: -1}}}", "decision.aim: expected none, f1,"),
        ("decision: {aims: f1}", "decision.aims: unknown key. Did you mean aim?"),
        ("evaluation: {folds: 101}", "evaluation.folds: expected a whole number of at least 0 and of at most 100,"),
        ("evaluation: {interval: 90}", "evaluation.interval: expected a number above 0 and below 1, got 90."),
        ("search: {}", "search: nothing to try; give values, such as model.C: [0.1, 1, 10]."),
        ("search: [a]", "search: expected keys and values, got ['a']."),
        ("search: {model.C: []}", "search.model.C: List should have at least 1 item after validation, not 0, got []."),
        ("search: {model.C: [1], parameters: 3}", "search.parameters: expected keys and values, got 3."),
        ("search: {model.C: [1], parameters: null}", "search.parameters: expected keys and values, got None."),
        ("search: {model.C: [1], trials: 0}", "search.trials: expected a whole number of at least 1, got 0."),
        ("search: {parameters: {C: [1]}}", "search.C: cannot be searched; expected a key of model, features,"),
        ("search: {split.seed: [1]}", "search.split.seed: cannot be searched; expected a key of model, features,"),
        ("search: {dataset.name: [a]}", "search.dataset.name: cannot be searched"),
        ("search: {columns.label: [a]}", "search.columns.label: cannot be searched"),
        ("search: {search.method: [grid]}", "search.search.method: cannot be searched"),
        ("search: {training.epochs.x: [1]}", "search.training.epochs: expected a whole number of at least 1, got"),
        ("search: {training.epoch: [1]}", "search.training.epoch: unknown key. Did you mean epochs?"),
        ("search: {training.epochs: [1, 0]}", "search.training.epochs: expected a whole number of at least 1, got 0."),
        ("embeddings: {algorithm: glove}", "embeddings.algorithm: expected one of fasttext, word2vec, got 'glove'."),
        ("embeddings: {vector_size: 2.5}", "embeddings.vector_size: expected a whole number of at least 1"),
        ("embeddings: {pretrained: 5}", "embeddings.pretrained: expected a path, got 5. Put it into quotes."),
        ("training: {epochs: 1.0}", "training.epochs: expected a whole number of at least 1, got 1.0."),
        ("training: {learning_rate: 0}", "training.learning_rate: expected a number above 0, got 0."),
        ("training: {learning_rate: .nan}", "training.learning_rate: expected a finite number above 0, got nan."),
        ("training: {deep_dropout: 1}", "training.deep_dropout: expected a number of at least 0 and below 1, got 1."),
        ("training: {learning_rate: .inf}", "training.learning_rate: expected a finite number above 0, got inf."),
        ("training: {class_weights: balanced}", "training.class_weights: unknown key. Did you mean"),
        ("data_dir: 3", "data_dir: expected a path, got 3. Put it into quotes."),
        ("data_dir: [a]", "data_dir: expected a path, got ['a']."),
        ("data_dir: ~", "data_dir: expected a path, got nothing. Leave the key out for its default."),
        ("artefacts_dir: ' '", "artefacts_dir: expected a path, got nothing. Leave the key out"),
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
        ("dataset: {{ name }}", "line 1: expected a text as key, got keys and values"),
        ("dataset: a\n[b]: c", "line 2: expected a text as key, got a list"),
        ("dataset: !!python/name:os.system",
         "line 1: the tag 'tag:yaml.org,2002:python/name:os.system' is not for a configuration"),
        ("dataset: !!int x", "line 1: a value cannot be read as int: 'x'"),
        ("dataset: !!binary aGk=", "line 1: the tag 'tag:yaml.org,2002:binary' is not for a configuration"),
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
        ("training.epochs=2024-13-45", "training.epochs: expected a whole number of at least 1, got '2024-13-45'"),
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


@pytest.mark.parametrize(
    "aim",
    ["none", "null", "~", "f1", "recall>=0.9", "precision >= 1.0", "{cost: {fp: 0, fn: 2.5}}"],
)
def test_every_way_to_say_an_aim_is_read(write_conf: WriteConf, aim: str) -> None:
    config = load_config(write_conf(f"dataset: a\ndecision: {{aim: {aim}}}"))
    assert config.keeps_validation is (aim not in ("none", "null", "~"))


def test_a_tilde_in_a_path_is_the_home(
    write_conf: WriteConf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load_config(write_conf("dataset: a\nartefacts_dir: ~/models"))
    assert config.artefacts_dir == tmp_path / "models"


def test_an_interval_needs_validation_rows_of_its_own() -> None:
    assert not TrainConfig(dataset="a").keeps_validation
    assert TrainConfig.model_validate(
        {"dataset": "a", "evaluation": {"interval": 0.9}}
    ).keeps_validation


def test_categories_and_labels_may_be_written_as_numbers(write_conf: WriteConf) -> None:
    config = load_config(
        write_conf(
            "dataset: a\ncolumns: {inputs: {x: {categories: [1, 2, b]}}}\ndecision: {positive: 1}"
        )
    )
    assert config.columns is not None
    assert config.columns.inputs["x"].categories == ["1", "2", "b"]
    assert config.decision.positive == "1"


@pytest.mark.parametrize(
    ("declared", "kind"),
    [("date", "date"), ("{minimum: 0}", "number"), ("{maximum: 0}", "number"),
     ("{categories: [a]}", "category"), ("{max_missing: 0}", None)],
)  # fmt: skip
def test_what_is_declared_of_a_column_says_its_type(
    write_conf: WriteConf, declared: str, kind: str | None
) -> None:
    config = load_config(write_conf(f"dataset: a\ncolumns: {{inputs: {{x: {declared}}}}}"))
    assert config.columns is not None
    assert config.columns.inputs["x"].kind == kind


def test_whatever_else_is_said_of_the_model_is_a_parameter_of_its_pipeline(
    write_conf: WriteConf,
) -> None:
    config = load_config(write_conf("dataset: a\nmodel: {pipeline: linear, C: 0.5, parameters: 2}"))
    assert config.model.pipeline == "linear"
    assert config.model.parameters == {"C": 0.5, "parameters": 2}


@pytest.mark.parametrize(
    "section",
    [
        "{model.C: [0.1, 1], training.seed: [0]}",
        "{parameters: {model.C: [0.1, 1], training.seed: [0]}}",
        "{parameters: {training.seed: [0]}, model.C: [0.1, 1]}",
        "{model: {C: [0.1, 1]}, training: {seed: [0]}}",
    ],
)
def test_a_search_may_be_written_with_dots_or_in_layers(
    write_conf: WriteConf, section: str
) -> None:
    config = load_config(write_conf(f"dataset: a\nsearch: {section}"))
    assert config.search is not None
    assert config.search.parameters == {"model.C": [0.1, 1], "training.seed": [0]}


def test_a_search_can_be_set_on_the_command_line(write_conf: WriteConf) -> None:
    config = load_config(write_conf("dataset: a"), ["search.model.C=[1,2]", "search.folds=2"])
    assert config.search is not None
    assert (config.search.folds, config.search.parameters) == (2, {"model.C": [1, 2]})


def test_all_values_that_a_search_cannot_try_are_reported_at_once(write_conf: WriteConf) -> None:
    file = write_conf(
        "dataset: a\nsearch: {training.epochs: [0, 1, many], embeddings.windw: [3, 5]}"
    )
    with pytest.raises(ConfigError, match="3 problems") as caught:
        load_config(file)
    assert set(str(caught.value).splitlines()) == {
        f"{file}: 3 problems",
        "  search.training.epochs: expected a whole number of at least 1, got 0.",
        "  search.training.epochs: expected a whole number of at least 1, got 'many'.",
        "  search.embeddings.windw: unknown key. Did you mean window?",
    }


def test_values_of_a_search_may_be_good_only_together(write_conf: WriteConf) -> None:
    together = "{text_features.min_ngram: [7, 8], text_features.max_ngram: [8, 9]}"
    config = load_config(write_conf(f"dataset: a\nsearch: {together}"))
    assert config.search is not None


def test_values_replace_those_of_a_configuration_and_nothing_else() -> None:
    config = TrainConfig.model_validate({"dataset": "a", "model": {"C": 1}, "where": {"x": 1}})
    changed = with_values(config, {"model.C": 2, "model.penalty": "l1", "columns.label": "tag"})
    assert changed.model.parameters == {"C": 2, "penalty": "l1"}
    assert changed.columns is not None
    assert changed.columns.label == "tag"
    assert changed.where == {"x": 1}
    assert config.model.parameters == {"C": 1}
    with pytest.raises(ConfigError, match=r"training\.epoch: unknown key\. Did you mean epochs"):
        with_values(config, {"training.epoch": 3})


OF_THE_OLD_DATASET = f"""
dataset: a.csv
task: regression
sha256: {"a" * 64}
encoding: latin-1
columns: {{text: [x]}}
where: {{y: 1}}
imbalance: {{under_sample: 3}}
decision: {{aim: f1, positive: b}}
evaluation: {{interval: 0.9, folds: 3}}
model: {{pipeline: linear, alpha: 1}}
features: {{r: {{ratio: [a, b]}}}}
search: {{model.alpha: [1, 2]}}
offline: docstrings
"""


def test_another_dataset_drops_what_the_file_says_of_the_one_it_replaces(
    write_conf: WriteConf,
) -> None:
    file = write_conf(OF_THE_OLD_DATASET)
    kept = {"dataset": "b.csv", "offline": "docstrings", "evaluation": {"folds": 3}}
    assert load_config(file, dataset="b.csv") == TrainConfig.model_validate(kept)
    assert for_other_dataset(load_config(file), "b.csv") == TrainConfig.model_validate(kept)


def test_overrides_describe_the_dataset_that_replaces(write_conf: WriteConf) -> None:
    file = write_conf("dataset: a.csv\ncolumns: {text: [x]}")
    config = load_config(file, ["columns.label=topic"], dataset="b.csv")
    assert config.columns == Columns(label="topic")


def test_what_is_written_trains_the_same_again(write_conf: WriteConf) -> None:
    config = load_config(
        write_conf(OF_THE_OLD_DATASET + "training: {learning_rate: 1e-7}\n"),
        [
            "embeddings.pretrained=v.txt",
            "columns.text=[é, b]",
            "decision.aim={cost: {fp: 1, fn: 5}}",
            "columns.inputs.n={minimum: -1, max_missing: 0.5}",
            "columns.inputs.c={categories: [1, b]}",
            "where.a='01'",
            "where.c=true",
            "where.d=1.5",
        ],
    )
    assert load_config(write_conf(to_yaml(config))) == config


NAMES = st.text("abé {}:#'\"-.0", min_size=1, max_size=5)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)


@given(
    where=st.dictionaries(NAMES, NAMES | NUMBERS | st.integers() | st.booleans(), max_size=3),
    inputs=st.dictionaries(NAMES.map("x{}".format), st.sampled_from(["number", "date", "ignore"])),
    values=st.lists(NUMBERS | NAMES | st.none(), min_size=1, max_size=3),
    aim=st.sampled_from([None, "none", "f1", "recall>=0.25", {"cost": {"fp": 0.1, "fn": 3}}]),
)
def test_any_configuration_is_the_same_after_it_was_written_and_read(
    where: dict[str, Any], inputs: dict[str, str], values: list[Any], aim: object
) -> None:
    content = {
        "dataset": "a",
        "where": where,
        "columns": {"inputs": inputs},
        "decision": {"aim": aim},
        "model": {"value": values[0]},
        "search": {"model.value": values},
    }
    config = TrainConfig.model_validate(content)
    assert TrainConfig.model_validate(settle(parse(to_yaml(config), ""))) == config


def test_the_written_configuration_has_every_default_filled_in() -> None:
    written = to_yaml(TrainConfig(dataset="a"))
    for key in ("validation: 0.08", "ngram_buckets: 262144", "artefacts_dir: data/artefacts"):
        assert key in written


def test_a_draft_keeps_what_is_right_beside_what_is_wrong(
    write_conf: Callable[[str], Path],
) -> None:
    file = write_conf(
        "dataset: a.csv\ntraining: {epoch: 3, batch_size: 8}\nsplit: {test: 0.9, validation: 0.9}\n"
        "columns: {inputs: {age: {type: numbr, max_missing: 0.5}}}\nsearch: {model.C: [1], folds: 0}\n"
        "decision: {aim: f2}\nbehaviour: {must_be: [{text: a}], invariant_to: [case]}\n"
    )
    draft = load_draft(file)
    assert len(draft.problems) == 6
    config = draft.config
    assert config is not None
    assert (config.training.batch_size, config.split.test) == (8, 0.2)
    assert config.search is not None
    assert config.search.folds == 3
    assert config.columns is not None
    assert config.columns.inputs["age"].max_missing == 0.5
    assert config.decision.aim is None
    assert config.behaviour is not None
    assert config.behaviour.invariant_to == ["case"]


@pytest.mark.parametrize("content", ["{}", "dataset: 1", "dataset: ''", "training: {epochs: 1}"])
def test_nothing_can_be_drafted_without_a_dataset(
    content: str, write_conf: Callable[[str], Path]
) -> None:
    draft = load_draft(write_conf(content))
    assert draft.config is None
    assert len(draft.problems) == 1


# ------------------------------------------------------- what was written


@pytest.mark.parametrize(
    ("written", "value"),
    [("10", 10), ("010", 10), ("+7", 7), ("0x1F", 31), ("0o17", 15), ("-3", -3), ("1e3", 1000.0), (".5", 0.5),
     ("2.", 2.0), ("-.inf", float("-inf")), ("true", True), ("FALSE", False), ("~", None), ("null", None), ("", None),
     ("no", "no"), ("Yes", "Yes"), ("off", "off"), ("y", "y"), ("1_0", "1_0"), ("12:30", "12:30"),
     ("190:20:30", "190:20:30"), ("0b11", "0b11"), ("2024-01-01", "2024-01-01"), ("nan", "nan"), ("=", "="),
     ("'10'", "10"), ("!!str 10", "10"), ("0o8", "0o8"), ("1e", "1e"), ("10\n\n", 10)],
)  # fmt: skip
def test_values_are_those_of_yaml_1_2(write_conf: WriteConf, written: str, value: object) -> None:
    config = load_config(write_conf(f"dataset: a\nmodel:\n  x: {written}\n"))
    assert config.model.parameters == {"x": value}
    assert type(config.model.parameters["x"]) is type(value)
    if "\n" not in written:
        config = load_config(write_conf("dataset: a"), [f"model.x={written}"])
        assert config.model.parameters == {"x": value}


@pytest.mark.parametrize(
    "written", ["010", "no", "NO", "true", "True", "1.50", "1e3", "0x8", "1_0", "12:30", "+1", "-0", ".5", "2024-01-01"]
)  # fmt: skip
def test_where_a_text_is_meant_it_is_as_it_was_written(write_conf: WriteConf, written: str) -> None:
    config = load_config(
        write_conf(
            f"dataset: a\n"
            f"columns: {{label: {written}x, text: [{written}y],\n"
            f"  inputs: {{{written}: {{categories: [{written}, z]}}}}}}\n"
            f"decision: {{positive: {written}}}\n"
            f"evaluation: {{slices: [{written}]}}\n"
            f"features: {{f: {{cross: [{written}, b]}}, g: {{bins: {written}, edges: [1]}}}}\n"
            f"behaviour: {{must_be: [{{text: {written}, label: {written}}}], swaps: [[{written}, b]],\n"
            f"  directions: [{{column: {written}, to: {written}, label: {written}, expect: up}}]}}\n"
            f"search: {{decision.positive: [{written}, b]}}\n"
        )
    )
    assert config.columns is not None
    assert config.columns.inputs[written].categories == [written, "z"]
    assert config.decision.positive == written
    assert config.evaluation.slices == [written]
    assert config.features["f"].cross == [written, "b"]
    assert config.features["g"].bins == written
    assert config.behaviour is not None
    assert (config.behaviour.must_be[0].text, config.behaviour.must_be[0].label) == (
        written,
        written,
    )
    assert config.behaviour.swaps == [[written, "b"]]
    [direction] = config.behaviour.directions
    assert (direction.column, direction.to, direction.label) == (written, written, written)
    assert config.search is not None
    assert config.search.parameters == {"decision.positive": [written, "b"]}


@pytest.mark.parametrize(
    ("written", "value"),
    [("010", "010"), ("007.5", "007.5"), ("0x8", "0x8"), ("+8", "+8"), ("8", 8), ("-8", -8), ("1.50", 1.5),
     ("0.5", 0.5), ("true", True), ("True", True), ("no", "no"),
     ("1_0", "1_0"), ("12:30", "12:30"), ("2024-01-01", "2024-01-01"),
     ("1e3", "where.a: 1e3 may be a number or a text. Write 1000, or quote it: \"1e3\"."), ("'1e3'", "1e3")],
)  # fmt: skip
def test_the_cells_that_rows_must_have_are_numbers_only_if_written_so(
    write_conf: WriteConf, written: str, value: object
) -> None:
    file = write_conf(f"dataset: a\nwhere: {{a: {written}}}")
    if isinstance(value, str) and value.startswith("where.a"):
        with pytest.raises(ConfigError, match=re.escape(value)):
            load_config(file)
        with pytest.raises(ConfigError, match=re.escape(value)):
            load_config(write_conf("dataset: a"), [f"where.a={written}"])
    else:
        assert load_config(file).where == {"a": value}
        assert type(load_config(file).where["a"]) is type(value)


@pytest.mark.parametrize(
    ("written", "value"),
    [("010", "010"), ("True", "True"), ("true", True), ("1e3", 1000.0), ("1.50", 1.5), ("8", 8), ("~", None),
     ("no", "no")],
)  # fmt: skip
def test_the_cells_of_an_example_are_numbers_only_if_written_so(
    write_conf: WriteConf, written: str, value: object
) -> None:
    must_be = f"[{{instance: {{a: {written}}}, label: x}}]"
    config = load_config(write_conf(f"dataset: a\nbehaviour: {{must_be: {must_be}}}"))
    assert config.behaviour is not None
    assert config.behaviour.must_be[0].instance == {"a": value}


STRANGE = [
    *("010", "no", "1e3", "null", "~", "2024-01-01", "", " ", "=", "<<", "0o7", "0x8", "1_0", "12:30", "- a", "a: b"),
    *("true", "True", ".inf", "!x", "&a", "*a", "#", "'", '"', "\n", "a\n", "\t", "\x1b[2J", "\x85", "\u2028"),
    *("\ufeff", "1e", "+", "-", ".", "1.", "y", "off", "%", "@", "`", "|", ">", "?", "{}", "[]", "---", "..."),
]  # fmt: skip
TEXTS = st.sampled_from(STRANGE) | st.text(
    st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100
)
KEYS = TEXTS.filter(bool)


@settings(deadline=None)
@given(text=TEXTS.filter(lambda text: bool(text.strip())), key=KEYS, other=TEXTS)
def test_any_text_is_the_same_after_it_was_written_and_read(
    text: str, key: str, other: str
) -> None:
    content = {
        "dataset": key,
        "where": {key: text, "b": other},
        "columns": {"label": f"{key}\n", "inputs": {key: {"categories": [text]}}},
        "decision": {"positive": text},
        "evaluation": {"slices": [text, other]},
        "features": {key: {"cross": [text, other]}},
        "behaviour": {
            "must_be": [{"instance": {key: text, "n": None, "b": True, "i": 3}, "label": text}],
            "swaps": [[text, other]],
            "directions": [{"column": key, "to": text, "label": other, "expect": "up"}],
        },
        "model": {"x": text, "y": [other, {key: text}]},
        "search": {"parameters": {"decision.positive": [text, other], "model.x": [text, 1, None]}},
    }
    config = TrainConfig.model_validate(content)
    again = TrainConfig.model_validate(settle(parse(to_yaml(config), "")))
    assert again == config
    assert again.model_dump_json() == config.model_dump_json()


def test_anchors_and_merges_still_work(write_conf: WriteConf) -> None:
    config = load_config(
        write_conf(
            "dataset: a\ncolumns:\n  inputs:\n    a: &n {type: number, minimum: 0}\n"
            "    b: {<<: *n, maximum: 3}\n    c: *n\n"
        )
    )
    assert config.columns is not None
    b, c = config.columns.inputs["b"], config.columns.inputs["c"]
    assert (b.minimum, b.maximum, c.minimum, c.maximum) == (0, 3, 0, None)


# ------------------------------------------------------------------ bounds

LAUGHS = "a0: &a0 [lol]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12)
)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (LAUGHS, "more than 50,000 values, those that aliases repeat included"),
        ("dataset: " + "[" * 500 + "]" * 500, "line 1: nested deeper than 40 levels"),
        ("dataset: " + "[" * 100_000, "line 1: nested deeper than 40 levels"),
        ("dataset: " + "{a: " * 500, "line 1: nested deeper than 40 levels"),
        ("a: &a [*a]", "an alias leads into itself"),
        ("dataset: " + "x" * 10_000_000, "10,000,009 characters are too many for a configuration"),
        ("dataset: [" + "a, " * 60_000 + "]", "more than 50,000 values"),
        (f"dataset: {'9' * 5000}", "a value cannot be read as int"),
        ("dataset: [" + "x" * 1_000_000 + "]", "dataset: expected a text, got ['xxx"),
        ("? " + "x" * 1_000_000 + "\n: 1", "xxx…: unknown key"),
        ("training: {epochs: " + "x" * 1_000_000 + "}", "expected a whole number of at least 1, got 'xxx"),
        ("decision: {aim: " + "x" * 1_000_000 + "}", 'or {cost: {fp: 1, fn: 50}}, got \'xxx'),
        ("where: {a: [" + "x" * 1_000_000 + "]}", "true or false, got ['xxx"),
        ("\n".join(f"k{n}: 1" for n in range(20_000)), "… and 19,901 more."),
        ("dataset: a\nsearch: {? " + ".".join(["a"] * 200_000) + " : [1]}", "cannot be searched"),
        ("columns: {label: " + "x" * 1_000_000 + ", text: [" + "x" * 1_000_000 + "]}", "characters are too many"),
    ],
)  # fmt: skip
def test_what_is_far_too_much_is_refused_at_once(
    write_conf: WriteConf, text: str, complaint: str
) -> None:
    started = time.perf_counter()
    with pytest.raises(ConfigError, match=re.escape(complaint)) as caught:
        load_config(write_conf(text))
    assert time.perf_counter() - started < 10
    assert all(len(line) < 1000 for line in str(caught.value).splitlines())


# ------------------------------------------------------------ names with dots


@pytest.mark.parametrize(
    ("override", "where"),
    [
        ('where."a.b"=1', {"a.b": 1}),
        ("where.'a.b'=1", {"a.b": 1}),
        ('where."a=b"=x=y', {"a=b": "x=y"}),
        (r'where."say \"hi\""=1', {'say "hi"': 1}),
        ("where.it's=1", {"it's": 1}),
        ("where.price per room=1", {"price per room": 1}),
        ('where."a"b=1', {'"a"b': 1}),
    ],
)
def test_a_name_with_a_dot_is_set_in_quotes(
    write_conf: WriteConf, override: str, where: dict[str, Any]
) -> None:
    assert load_config(write_conf("dataset: a"), [override]).where == where


def test_an_error_shows_a_name_with_a_dot_as_it_can_be_set(write_conf: WriteConf) -> None:
    file = write_conf("dataset: a")
    with pytest.raises(ConfigError, match=r'columns\.inputs\."a\.b"\.type: expected one of number'):
        load_config(file, ['columns.inputs."a.b"=numbr'])
    with pytest.raises(ConfigError, match=r'goes into quotes: columns\.inputs\."a\.b"\.'):
        load_config(file, ["columns.inputs.a.b=number"])


def test_a_search_key_may_name_a_column_with_a_dot(write_conf: WriteConf) -> None:
    features = 'features: {"a.b": {bins: x, edges: [1]}}'
    file = write_conf(f"dataset: a\n{features}\nsearch: {{'features.\"a.b\".edges': [[1], [2]]}}")
    config = load_config(file)
    assert config.search is not None
    [(path, values)] = config.search.parameters.items()
    assert with_values(config, {path: values[1]}).features["a.b"].edges == [2]
    nested = load_config(
        write_conf(f"dataset: a\n{features}"), ['search.features."a.b".edges=[[1], [2]]']
    )
    assert nested.search == config.search
