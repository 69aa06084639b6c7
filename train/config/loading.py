"""The loading of a configuration: YAML, overrides, the problems of all keys at once."""

import copy
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from predict.wording import shorten
from train.config.meant import settle
from train.config.paths import join_path, split_override, split_path
from train.config.problems import ConfigError, describe
from train.config.sections import MOST_SHOWN, TrainConfig
from train.config.written import Written, dump, parse

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
# Problems that are worded; nobody reads more, and each looks for what was meant.
_MOST_PROBLEMS = 100


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
    _find_files(content, file.parent)
    if dataset is not None:
        content = _for_dataset(content, dataset)
    for override in overrides:
        _apply_override(content, override)
    draft = _draft_of_written(content, str(file))
    if draft.config is not None:
        draft.config.remember_folder(file.parent)
    return draft


def _find_files(content: dict[str, Any], folder: Path) -> None:
    """Let a dataset or a test file that is not in the working directory be that of the configuration's folder."""
    split = content.get("split")
    for section, key in ((content, "dataset"), (split if isinstance(split, dict) else {}, "test")):
        name = section.get(key)
        if isinstance(name, str) and os.path.splitext(name)[1] and not os.path.exists(name):
            beside = os.path.join(folder, name)
            if os.path.isfile(beside):
                section[key] = beside


def draft_of(text: str, place: str) -> Draft:
    """Read a configuration from its text as far as it can be read; `place` is for messages."""
    return _draft_of_written(_keys_of(text, place), place)


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
        _set(content, split_path(path), value)
    return _draft(content, "search").checked()


def to_yaml(config: TrainConfig) -> str:
    """Return a configuration as a file that trains the same model again."""
    return dump(config.model_dump(mode="json"))


# ---------------------------------------------------------------- validation


def _draft_of_written(content: object, place: str) -> Draft:
    try:
        settled = settle(content)
    except ConfigError as error:
        raise ConfigError(*error.problems, place=place) from None
    return _draft(settled, place)


def _draft(content: dict[str, Any], place: str) -> Draft:
    config, errors = _validate(content)
    problems = [describe(error) for error in errors[:_MOST_PROBLEMS]]
    if len(errors) > _MOST_PROBLEMS:
        problems.append(f"… and {len(errors) - _MOST_PROBLEMS:,} more.")
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
        f"search.{shorten(path, MOST_SHOWN)}: cannot be searched; "
        f"expected a key of {', '.join(_SEARCHED)}, such as model.C."
        for path in parameters
        if split_path(path)[0] not in _SEARCHED
    ]
    content = config.model_dump() | {"search": None}
    for path, values in parameters.items() if not problems else ():
        for value in values:
            tried = copy.deepcopy(content)
            for other, [first, *_] in parameters.items():
                _set(tried, split_path(other), first)
            _set(tried, split_path(path), value)
            problems += [f"search.{describe(error)}" for error in _validate(tried)[1]]
    return list(dict.fromkeys(problems))


# -------------------------------------------------------------------- values


def _for_dataset(content: Mapping[str, Any], dataset: str) -> dict[str, Any]:
    """Leave out what a configuration says about the rows of its dataset, and name another one."""
    rest = {key: value for key, value in content.items() if key not in _OF_THE_DATASET}
    if isinstance(evaluation := rest.get("evaluation"), dict):
        rest["evaluation"] = {key: value for key, value in evaluation.items() if key == "folds"}
    if isinstance(split := rest.get("split"), dict):
        rest["split"] = {
            key: value for key, value in split.items() if _suits_any_dataset(key, value)
        }
    return rest | {"dataset": dataset}


def _suits_any_dataset(key: str, value: object) -> bool:
    """Return whether a key of `split` is about no column and no file."""
    return key not in ("column", "by", "by_time") and not (key == "test" and isinstance(value, str))


def _set(content: dict[str, Any], names: Sequence[str], value: object) -> None:
    *sections, key = names
    section = content
    for name in sections:
        if not isinstance(section.get(name), dict):
            section[name] = {}
        section = section[name]
    section[key] = value


# ---------------------------------------------------------------------- files


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
    return _keys_of(text, str(file))


def _keys_of(text: str, place: str) -> dict[str, Any]:
    content = parse(text, place)
    if not isinstance(content, dict):
        got = content.value if isinstance(content, Written) else content
        raise ConfigError(f"{place}: expected keys and values, got {type(got).__name__}.")
    return content


def _apply_override(content: dict[str, Any], override: str) -> None:
    parts = split_override(override)
    if parts is None or not all(parts[0]):
        raise ConfigError(
            f"--set {shorten(override, MOST_SHOWN)}: expected section.key=value, such as training.epochs=3."
        )
    names, text = parts
    _set(content, names, parse(text, f"--set {shorten(join_path(names), MOST_SHOWN)}"))
