"""The loading of a configuration: YAML, overrides, the problems of all keys at once. The only importer of yaml."""

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from train.config.problems import ConfigError, describe
from train.config.sections import TrainConfig

# Keys that are about the dataset that a file names, and about no other.
_OF_THE_DATASET = (
    *("task", "columns", "where", "sha256", "encoding", "separator", "quotes", "sheet"),
    *("imbalance", "decision", "behaviour", "model", "features", "search"),
)
# What a search may change: anything that is read when a model is fitted.
_SEARCHED = (
    "model",
    "features",
    "imbalance",
    "decision",
    "text_features",
    "embeddings",
    "training",
)


# A section may be wrong only once a wrong key is left out of it; then it is left out too.
_MOST_ROUNDS = 4


@dataclass(frozen=True)
class Draft:
    """A configuration that may have problems.

    Attributes:
        place: Where it comes from, for messages.
        config: The configuration without the keys that have a problem; None if there is none.
        problems: What is wrong with it.
    """

    place: str
    config: TrainConfig | None
    problems: list[str]

    def checked(self) -> TrainConfig:
        """Return the configuration, or raise ConfigError with its problems."""
        if self.config is None or self.problems:
            raise ConfigError(*self.problems, place=self.place)
        return self.config


def load_config(
    file: Path, overrides: Sequence[str] = (), dataset: str | None = None
) -> TrainConfig:
    """Read and validate a configuration.

    Args:
        file: A YAML file.
        overrides: `section.key=value` strings, the value being YAML; they win over the file.
        dataset: Replaces the dataset, and drops what the file says about the rows of the old one.

    Raises:
        ConfigError: Not readable, not YAML, or with problems, all of which are listed.
    """
    return load_draft(file, overrides, dataset).checked()


def load_draft(file: Path, overrides: Sequence[str] = (), dataset: str | None = None) -> Draft:
    """Read a configuration as far as it can be read; see `load_config`.

    Raises:
        ConfigError: The file is not readable or not YAML, or an override has no `=` or is not YAML.
    """
    content = _read_yaml(file)
    if dataset is not None:
        content = _for_dataset(content, dataset)
    for override in overrides:
        _apply_override(content, override)
    return _draft(content, str(file))


def for_other_dataset(config: TrainConfig, dataset: str) -> TrainConfig:
    """Return a configuration for another dataset, without what it says about the rows of its own.

    >>> config = TrainConfig(dataset="titanic", where={"Pclass": 1})
    >>> other = for_other_dataset(config, "iris")
    >>> other.dataset, other.where
    ('iris', {})
    """
    return TrainConfig.model_validate(_for_dataset(config.model_dump(), dataset))


def with_values(config: TrainConfig, values: Mapping[str, Any]) -> TrainConfig:
    """Return a configuration with some keys (`section.key`) set to other values.

    Raises:
        ConfigError: A key is unknown, or does not take its value.

    >>> with_values(TrainConfig(dataset="iris"), {"training.epochs": 3}).training.epochs
    3
    """
    content = config.model_dump()
    for path, value in values.items():
        _set(content, path, value)
    return _draft(content, "search").checked()


def to_yaml(config: TrainConfig) -> str:
    """Return a configuration as a file that trains the same model again."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


# ---------------------------------------------------------------- validation


def _draft(content: dict[str, Any], place: str) -> Draft:
    config, errors = _validate(content)
    problems = [describe(error) for error in errors]
    for _ in range(_MOST_ROUNDS):
        for error in errors:
            _leave_out(content, error["loc"])
        config, errors = _validate(content)
    if config is not None:
        problems += _search_problems(config)
    return Draft(place, config, problems)


def _validate(content: Mapping[str, Any]) -> tuple[TrainConfig | None, Sequence[Any]]:
    try:
        return TrainConfig.model_validate(content), ()
    except ValidationError as error:
        return None, error.errors()


def _leave_out(content: dict[str, Any], location: Sequence[str | int]) -> None:
    """Remove what is at a location, or the last section on the way to it that is there."""
    section: Any = content
    for key, following in pairwise(location):
        inner = section.get(key) if isinstance(section, dict) else None
        if not (isinstance(inner, dict) and following in inner):
            section.pop(key, None)
            return
        section = inner
    if location:
        section.pop(location[-1], None)
    else:
        content.clear()


def _search_problems(config: TrainConfig) -> list[str]:
    """Try every value that a search would, before hours are spent on the first of them."""
    if config.search is None:
        return []
    parameters = config.search.parameters
    problems = [
        f"search.{path}: cannot be searched; expected a key of {', '.join(_SEARCHED)}, such as model.C."
        for path in parameters
        if path.partition(".")[0] not in _SEARCHED
    ]
    content = config.model_dump() | {"search": None}
    for path, values in parameters.items() if not problems else ():
        for value in values:
            tried = copy.deepcopy(content)
            for other, [first, *_] in parameters.items():
                _set(tried, other, first)
            _set(tried, path, value)
            problems += [f"search.{describe(error)}" for error in _validate(tried)[1]]
    return list(dict.fromkeys(problems))


# -------------------------------------------------------------------- values


def _for_dataset(content: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Leave out what a configuration says about the rows of its dataset, and name another one."""
    rest = {key: value for key, value in content.items() if key not in _OF_THE_DATASET}
    if isinstance(evaluation := rest.get("evaluation"), dict):
        rest["evaluation"] = {key: value for key, value in evaluation.items() if key == "folds"}
    return rest | {"dataset": dataset}


def _set(content: dict[str, Any], path: str, value: object) -> None:
    *sections, key = path.split(".")
    section = content
    for name in sections:
        if not isinstance(section.get(name), dict):
            section[name] = {}
        section = section[name]
    section[key] = value


# ---------------------------------------------------------------------- YAML


class _Loader(yaml.SafeLoader):
    """YAML as people expect it: a key given twice is an error, and 1e-3 is a number."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, (dict, list)):
                raise yaml.constructor.ConstructorError(
                    problem=f"expected a text as key, got {key!r}", problem_mark=key_node.start_mark
                )
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"the key {key!r} is given twice", problem_mark=key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _parse_yaml(text: str, place: str) -> Any:
    try:
        return yaml.load(text, _Loader)  # a SafeLoader
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError(f"{place}{line}: {error.problem or error}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{place}: {error}.") from None
    except ValueError as error:  # such as the date 2024-13-45
        raise ConfigError(f"{place}: a value cannot be read: {error}.") from None


def _read_yaml(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: not found. Copy conf/train-conf.yml.dist to it; `make train` does."
        ) from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"{file}: not UTF-8 text ({error.reason} at byte {error.start})."
        ) from None
    content = _parse_yaml(text, str(file))
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: expected keys and values, got {type(content).__name__}.")
    return content


def _apply_override(content: dict[str, Any], override: str) -> None:
    path, equals, text = override.partition("=")
    if not equals or not all(path.split(".")):
        raise ConfigError(
            f"--set {override}: expected section.key=value, such as training.epochs=3."
        )
    _set(content, path, _parse_yaml(text, f"--set {path}"))
