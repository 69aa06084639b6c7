"""Claims about the body of POST /train."""

import json
from pathlib import Path
from typing import Any

import pytest

from jobs.orders import Order, read_order
from jobs.settings import JobsSettings
from train.config import ConfigError
from train.config.loading import draft_of


@pytest.fixture
def settings(tmp_path: Path) -> JobsSettings:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/mine.yml").write_text("dataset: iris\nmodel: {pipeline: 'mine.py:build'}\n")
    (tmp_path / "conf/plain.yml").write_text("dataset: iris\ntraining: {epochs: 7}\n")
    (tmp_path / "conf/.hidden.yml").write_text("dataset: iris\n")
    (tmp_path / "jobs/uploads").mkdir(parents=True)
    return JobsSettings(conf_dir=tmp_path / "conf", jobs_dir=tmp_path / "jobs")


def order(body: object, settings: JobsSettings) -> Order:
    return read_order(json.dumps(body).encode(), True, settings)


def trained(found: Order) -> Any:
    return draft_of(found.configuration, "order").checked()


def test_a_configuration_may_be_json_or_yaml(settings: JobsSettings) -> None:
    as_json = order({"dataset": "iris", "split": {"seed": 3}}, settings)
    as_yaml = read_order(b"dataset: iris\nsplit:\n  seed: 3\n", False, settings)
    assert as_json == as_yaml
    assert (trained(as_json).split.seed, as_json.name, as_json.promote) == (3, "iris", False)


def test_a_value_keeps_what_it_is_whichever_way_it_comes(settings: JobsSettings) -> None:
    text = 'tab\t, "quote", line\nbreak, \u2028, \x7f, 😀, 010: {}'
    where = {"a": text, "b": "010", "c": 1e-3, "d": True, "e": "null", "f": -2}
    assert trained(order({"dataset": "iris", "where": where}, settings)).where == where
    as_yaml = read_order(b"{dataset: iris, where: {store: 010, size: 1.50}}", False, settings)
    assert trained(as_yaml).where == {"store": "010", "size": 1.5}
    changed = order({"conf": "plain", "set": {"where": where}}, settings)
    assert trained(changed).where == where


def test_a_configuration_by_name_can_be_changed_key_by_key(settings: JobsSettings) -> None:
    found = order(
        {"conf": "plain", "set": {"training.seed": 5, "dataset": "wine"}, "promote": True}, settings
    )
    config = trained(found)
    assert (config.training.epochs, config.training.seed, config.dataset) == (7, 5, "wine")
    assert (found.name, found.promote, found.runs_code) == ("plain", True, False)


def test_code_that_the_operator_has_named_runs_and_no_other(settings: JobsSettings) -> None:
    assert order({"conf": "mine", "set": {"split.seed": 1}}, settings).runs_code
    with pytest.raises(ConfigError, match="os:system is code"):
        order({"conf": "mine", "set": {"model.pipeline": "os:system"}}, settings)
    with pytest.raises(ConfigError, match=r"mine.py:build is code"):
        order({"dataset": "iris", "model": {"pipeline": "mine.py:build"}}, settings)


def test_all_problems_are_told_at_once(settings: JobsSettings) -> None:
    body = {
        "dataset": "/etc/passwd",
        "training": {"epoch": 3, "batch_size": "many"},
        "data_dir": "elsewhere",
        "promote": "maybe",
    }
    with pytest.raises(ConfigError) as raised:
        order(body, settings)
    places = [problem.partition(": ")[0] for problem in raised.value.problems]
    assert sorted(places) == [
        *("data_dir", "dataset", "promote", "training.batch_size", "training.epoch"),
    ]


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "expected a configuration"),
        (b"[1]", "expected a configuration"),
        (b"{", "not JSON"),
        (b'{"dataset": "iris", "dataset": "wine"}', "a key is given twice"),
        (b"\xff\xfe", "not JSON"),
        (b"[" * 100_000, "body: nested too deeply."),
        (b'{"dataset": ' + b"9" * 5000 + b"}", "for integer string conversion)."),
        (b'{"conf": "nothing"}', "no configuration is called 'nothing'"),
        (b'{"conf": "plan"}', "Did you mean plain?"),
        (b'{"conf": "../plain"}', "no configuration is called"),
        (b'{"conf": ".hidden"}', "no configuration is called"),
        (b'{"conf": ["plain"]}', "conf: expected the name of a configuration. Known: mine, plain."),
        (b'{"conf": {"a": 1}}', "conf: expected the name of a configuration. Known: mine, plain."),
        (b'{"conf": "plain", "training": {"epochs": 3}}', "training: unknown key beside conf"),
        (b'{"conf": "plain", "set": [1]}', "set: expected keys and values"),
        (b'{"conf": "plain", "set": {"training.epoch": 3}}', "Did you mean epochs?"),
        (b'{"conf": "plain", "set": {"split.seed=1 #": 3}}', "set: expected keys such as"),
        (b'{"conf": "plain", "set": {" ": 3}}', "set: expected keys such as training.epochs, got ' '."),
        (b'{"conf": "plain", "set": {"dataset": "/etc/passwd"}}', "files from there are not allowed"),
        (b'{"dataset": "iris", "set": {"training.epochs": 3}}', "set: is for a configuration by name"),
        (b'{"dataset": "titanc"}', "Did you mean titanic?"),
        (b'{"promote": true}', "dataset: missing"),
        (json.dumps({"search": {"model.C": [1] * 6000}}).encode(), "at most 5,000"),
    ],
)  # fmt: skip
def test_a_bad_body_says_what_is_wrong(body: bytes, told: str, settings: JobsSettings) -> None:
    with pytest.raises(ConfigError) as raised:
        read_order(body, bool(body), settings)
    assert told in str(raised.value)


def test_yaml_that_multiplies_itself_is_refused(settings: JobsSettings) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(ConfigError, match="more than 50,000 values"):
        read_order("\n".join(lines).encode(), False, settings)
