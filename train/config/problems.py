"""The wording of a configuration's problems: each with its place, what was expected and what was given."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from functools import cache
from typing import Any

from predict.wording import closest, counted, shorten, suggestion
from train.config.paths import join_path
from train.config.sections import MOST_SHOWN, TrainConfig, shown
from train.errors import UserError


class ConfigError(UserError):
    """A configuration that cannot be used. The message lists every problem."""

    def __init__(self, *problems: str, place: str | None = None) -> None:
        """Gather problems in one message; with `place`, below a heading that counts them.

        >>> print(ConfigError("split.test: missing.", "dataset: missing.", place="conf/my.yml"))
        conf/my.yml: 2 problems
          split.test: missing.
          dataset: missing.
        """
        self._problems = list(dict.fromkeys(problems))
        heading = [] if place is None else [f"{place}: {counted(len(self._problems), 'problem')}"]
        super().__init__("\n  ".join([*heading, *self._problems]))

    @property
    def problems(self) -> list[str]:
        """See `UserError`."""
        return self._problems


def describe(problem: Mapping[str, Any]) -> str:
    """Word one of pydantic's problems with a configuration for people.

    >>> describe({"type": "extra_forbidden", "loc": ("training", "epoch"), "input": 3})
    'training.epoch: unknown key. Did you mean epochs?'
    >>> describe({"type": "int_type", "loc": ("training", "epochs"), "input": "many", "msg": ""})
    "training.epochs: expected a whole number of at least 1, got 'many'."
    """
    location, got = problem["loc"], problem["input"]
    parts = [shorten(str(part), MOST_SHOWN) for part in location]
    # The keys of a search are paths already.
    place = ".".join(parts) if location[:1] == ("search",) else join_path(parts)
    place = place.replace("search.parameters.", "search.", 1) or "configuration"
    if problem["type"] == "extra_forbidden":
        hint = _known_keys(str(location[-1]), _keys_at(location[:-1]))
        return f"{place}: unknown key.{hint}{_dotted(location)}"
    if problem["type"] == "missing" and location == ("dataset",):
        return "dataset: missing; give a catalogue name, a path or a URL (`make datasets` lists the names)."
    if problem["type"] == "missing" and location == ("search", "parameters"):
        return "search: nothing to try; give values, such as model.C: [0.1, 1, 10]."
    if problem["type"] == "missing":
        return f"{place}: missing."
    if location[-1:] == ("[key]",):
        section = place.removesuffix("[key]").rstrip(".")
        return f"{section}: expected a text as key, got {_shown(got)}. {_quoted(got)}".rstrip()
    if problem["type"] in ("too_short", "string_too_short", "string_pattern_mismatch"):
        return f"{place}: {problem['msg']}, got {_shown(got)}."
    if problem["type"] == "value_error":
        return f"{place}: {problem['ctx']['error']}."
    expected = _expectation(location) or problem["msg"]
    if problem["type"] == "finite_number":
        expected = expected.replace("a number", "a finite number")
    message = f"{place}: expected {expected}, got {_shown(got)}."
    if location[0] == "features" and (known := _sections_with(str(location[-1]))):
        return f"{message} Did you mean {known[0]}?"
    return f"{message} {_quoted(got) if expected == 'a text' else ''}".rstrip()


def _dotted(location: Sequence[str | int]) -> str:
    """Say how to write a column whose name has a dot, if a part of such a name may have become a key."""
    if location[:2] != ("columns", "inputs") or len(location) < 4:
        return ""
    name = join_path([".".join(map(str, location[2:]))])
    return f" A column with a dot in its name goes into quotes: columns.inputs.{name}."


def _shown(value: object) -> str:
    return str(value) if isinstance(value, date) else shown(value)


def _quoted(value: object) -> str:
    if value is None:
        return 'If the text is meant, quote it: "null".'
    return "Put it into quotes." if isinstance(value, (int, float, date)) else ""


def _known_keys(key: str, known: Sequence[str]) -> str:
    in_sections = _sections_with(key)
    if in_sections and closest(key, known) is None:
        return f" Did you mean {in_sections[0]}?"
    return suggestion(key, known, most=len(known))


def _sections_with(key: str) -> list[str]:
    """Return where the sections have a key, such as `training.epochs`."""
    return [
        f"{section}.{key}" for section in TrainConfig.model_fields if key in _keys_at((section,))
    ]


@cache
def _root_schema() -> dict[str, Any]:
    return TrainConfig.model_json_schema()


def _schema_at(location: Iterable[str | int]) -> dict[str, Any]:
    """Return the JSON schema of a place in the configuration; empty if there is none."""
    root = _root_schema()
    node: dict[str, Any] = root
    for part in location:
        named = node.get("properties", {}).get(part) or node.get("additionalProperties", {})
        node = named if isinstance(part, str) else node.get("items", {})
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
