"""What `train-conf.yml` may say: typed, validated, every problem reported at once. The only importer of yaml."""

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    model_validator,
)

from predict.features import FeatureSettings
from train.errors import UserError

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
LoosePath = Annotated[Path, Strict(False)]
Scalar = str | int | float | bool


class ConfigError(UserError):
    """A configuration that cannot be used. The message lists every problem with its place."""


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Columns(_Section):
    """Which columns of the dataset are what."""

    text: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)] = ["text"]
    label: str = "label"


class SplitConfig(_Section):
    """Shares of all rows; training gets the rest. A dataset with a test split of its own keeps it."""

    test: Share = 0.2
    validation: Share = 0.08
    seed: Annotated[int, Field(ge=0)] = 0

    @model_validator(mode="after")
    def _leaves_something(self) -> "SplitConfig":
        if self.test + self.validation >= 1:
            raise ValueError(
                "test and validation must leave rows to train on; their sum must be below 1"
            )
        return self


class EmbeddingConfig(_Section):
    """The gensim vectors that the Keras embedding starts from."""

    algorithm: Literal["fasttext", "word2vec"] = "fasttext"
    vector_size: Annotated[int, Field(ge=1, le=1024)] = 64
    window: Count = 5
    min_count: Count = 1
    epochs: Count = 10
    pretrained: LoosePath | None = None


class TrainingConfig(_Section):
    """How the Keras model is fitted."""

    epochs: Count = 6
    batch_size: Count = 128
    # Of Adam, for the deep part; and of SGD, for the wide one.
    learning_rate: Positive = 0.004
    wide_learning_rate: Positive = 10.0
    hidden_size: Count = 128
    wide_dropout: Rate = 0.3
    deep_dropout: Rate = 0.5
    hidden_dropout: Rate = 0.5
    patience: Count = 2
    class_weights: Literal["none", "balanced"] = "none"
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class TrainConfig(_Section):
    """The whole of `train-conf.yml`, defaults filled in."""

    task: Literal["classification"] = "classification"
    dataset: Annotated[str, Field(min_length=1)]
    offline: str | None = None
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    encoding: str = "utf-8"
    columns: Columns | None = None
    where: dict[str, Scalar] = {}
    min_samples_per_label: Count = 5
    split: SplitConfig = SplitConfig()
    features: FeatureSettings = FeatureSettings()
    embeddings: EmbeddingConfig = EmbeddingConfig()
    training: TrainingConfig = TrainingConfig()
    data_dir: LoosePath = Path("data/raw")
    artefacts_dir: LoosePath = Path("data/artefacts")

    def to_yaml(self) -> str:
        """Return the configuration as a file that trains the same model again."""
        return yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


def load_config(
    file: Path, overrides: Sequence[str] = (), dataset: str | None = None
) -> TrainConfig:
    """Read and validate a configuration.

    Args:
        file: A YAML file.
        overrides: `section.key=value` strings, the value being YAML; they win over the file.
        dataset: Replaces the dataset, and with it what the file says of that dataset's rows.

    Raises:
        ConfigError: Not readable, not YAML, or with problems, all of which are listed.
    """
    content = _read_yaml(file)
    if dataset is not None:
        # columns, where and sha256 in the file describe the dataset that is being replaced.
        for key in ("columns", "where", "sha256"):
            content.pop(key, None)
        content["dataset"] = dataset
    for override in overrides:
        _apply_override(content, override)
    try:
        return TrainConfig.model_validate(content)
    except ValidationError as error:
        problems = [_describe(problem) for problem in error.errors()]
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    raise ConfigError("\n  ".join([f"{file}: {count}", *problems]))


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
    keys = path.split(".")
    if not equals or not all(keys):
        raise ConfigError(
            f"--set {override}: expected section.key=value, such as training.epochs=3."
        )
    section = content
    for key in keys[:-1]:
        if not isinstance(section.get(key), dict):
            section[key] = {}
        section = section[key]
    section[keys[-1]] = _parse_yaml(text, f"--set {path}")


def _describe(problem: Mapping[str, Any]) -> str:
    location = problem["loc"]
    place = ".".join(map(str, location)) or "configuration"
    if problem["type"] == "extra_forbidden":
        return f"{place}: unknown key.{_suggestion(str(location[-1]), _keys_at(location[:-1]))}"
    if problem["type"] == "missing" and location == ("dataset",):
        return "dataset: missing; give a catalogue name, a path or a URL (`make datasets` lists the names)."
    if problem["type"] == "missing":
        return f"{place}: missing."
    if problem["type"] in ("too_short", "string_too_short", "string_pattern_mismatch"):
        return f"{place}: {problem['msg']}, got {problem['input']!r}."
    if problem["type"] == "value_error":
        return f"{place}: {problem['ctx']['error']}."
    return (
        f"{place}: expected {_expectation(location) or problem['msg']}, got {problem['input']!r}."
    )


def _suggestion(key: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(key, names, n=1)
    return f" Did you mean {close[0]}?" if close else f" Known: {', '.join(names)}."


def _schema_at(location: Sequence[str | int]) -> dict[str, Any]:
    """Return the JSON schema of a place in the configuration; empty if there is none."""
    root = TrainConfig.model_json_schema()
    node: dict[str, Any] = root
    for part in location:
        node = (
            node.get("properties", {}).get(part, {})
            if isinstance(part, str)
            else node.get("items", {})
        )
        options = [option for option in node.get("anyOf", []) if option.get("type") != "null"]
        node = options[0] if len(options) == 1 else node
        if "$ref" in node:
            node = root["$defs"][node["$ref"].rsplit("/", 1)[1]]
    return node


def _keys_at(location: Sequence[str | int]) -> list[str]:
    return list(_schema_at(location).get("properties", {}))


def _expectation(location: Sequence[str | int]) -> str:
    schema = _schema_at(location)
    if "enum" in schema:
        return "one of " + ", ".join(map(str, schema["enum"]))
    if "const" in schema:
        return str(schema["const"])
    kinds = {
        "integer": "a whole number",
        "number": "a number",
        "string": "a text",
        "boolean": "true or false",
        "array": "a list",
        "object": "keys and values",
    }
    bounds = {
        "exclusiveMinimum": "above",
        "minimum": "of at least",
        "exclusiveMaximum": "below",
        "maximum": "of at most",
    }
    limits = [f"{word} {schema[key]:g}" for key, word in bounds.items() if key in schema]
    return " ".join([kinds.get(schema.get("type", ""), ""), " and ".join(limits)]).strip()
