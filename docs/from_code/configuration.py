"""Every key of the configurations: types, limits and defaults from the models, words from the `.dist` manuals.

A key that a manual has no words for is told by the comment above its field.
"""

import inspect
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import BaseModel

from jobs.settings import JobsSettings
from predict.contract.features import FeatureSettings
from predict.settings import Settings
from train.config import TrainConfig, sections

from .markdown import code, prose, table

_ROOT = Path(__file__).parents[2]
_NAMES = {
    "boolean": "true or false",
    "integer": "whole number",
    "null": "nothing",
    "number": "number",
    "object": "mapping",
    "string": "text",
}
_LIMITS = {
    "minimum": "from {}",
    "exclusiveMinimum": "above {}",
    "maximum": "to {}",
    "exclusiveMaximum": "below {}",
}
_KEY = re.compile(r"(?P<indent> *)(?P<key>\w+):(?P<rest>.*)")


class _Key(NamedTuple):
    """One row: a key with dots, its type in words, and its default as a manual writes it."""

    path: str
    kind: str
    default: str


# ----------------------------------------------------------------- the models


def _keys(schema: Mapping[str, Any], definitions: Mapping[str, Any], path: str) -> Iterator[_Key]:
    required = schema.get("required", ())
    for name, field in schema.get("properties", {}).items():
        here = f"{path}{name}"
        inner = _sections_of(field, definitions)
        default = "required" if name in required else _shown(field.get("default"))
        if not inner or not _is_section_alone(field):
            yield _Key(here, _kind(field, definitions), default)
        for suffix, section in inner:
            yield from _keys(section, definitions, f"{here}{suffix}.")


def _is_section_alone(field: Mapping[str, Any]) -> bool:
    """Whether a field is a section and nothing else, so that its keys say it all."""
    rest = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]
    return len(rest) == 1 and "$ref" in rest[0]


def _sections_of(
    field: Mapping[str, Any], definitions: Mapping[str, Any]
) -> list[tuple[str, dict[str, Any]]]:
    """Return the sections in a field, each with what stands after the field's name in their keys."""
    found = []
    for each in field.get("anyOf", [field]):
        for suffix, inside in (
            ("", each),
            ("[]", each.get("items", {})),
            (".NAME", each.get("additionalProperties", {})),
        ):
            if isinstance(inside, dict) and "$ref" in inside:
                found.append((suffix, definitions[inside["$ref"].rpartition("/")[2]]))
    return found


def _kind(field: Mapping[str, Any], definitions: Mapping[str, Any]) -> str:
    if "anyOf" in field:
        kinds = [_kind(each, definitions) for each in field["anyOf"] if each.get("type") != "null"]
        return " or ".join(dict.fromkeys(kinds))
    if "$ref" in field:
        section = definitions[field["$ref"].rpartition("/")[2]]
        return f"mapping with {', '.join(map(code, section['properties']))}"
    if "enum" in field or "const" in field:
        return ", ".join(code(_shown(value)) for value in field.get("enum", [field.get("const")]))
    if field.get("type") == "array":
        inside = _kind(field.get("items", {}), definitions)
        return f"list of {inside}" if inside else "list"
    inside = field.get("additionalProperties")
    if field.get("type") == "object" and isinstance(inside, dict) and inside:
        return f"mapping of names to {_kind(inside, definitions)}"
    kind = {"path": "path", "password": "secret text"}.get(
        str(field.get("format")), _NAMES.get(str(field.get("type")), "")
    )
    limits = [words.format(f"{field[name]:,}") for name, words in _LIMITS.items() if name in field]
    return ", ".join([" ".join([kind, *limits])] if limits else [kind])


def _shown(value: object) -> str:
    if value is None or value == "":
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _comments(*models: type[BaseModel]) -> dict[str, str]:
    """Return what the comment above each field of models says, by the field's name."""
    told: dict[str, str] = {}
    for model in models:
        words: list[str] = []
        for line in inspect.getsource(model).splitlines():
            if match := re.fullmatch(r"    # (.+)", line):
                words.append(match[1])
            else:
                if (match := re.match(r"    (\w+): ", line)) and words:
                    told[match[1]] = " ".join(words)
                words = []
    return told


# ----------------------------------------------------------------- train-conf.yml


def manual_of_train(paths: set[str]) -> dict[str, str]:
    """Return what `conf/train-conf.yml.dist` says of each key.

    Args:
        paths: The keys and sections that there are, with dots.
    """
    told: dict[str, str] = {}
    above: list[str] = []
    open_sections: list[tuple[int, str]] = []
    current: str | None = None
    for line in _read("conf/train-conf.yml.dist"):
        bare = re.sub(r"^( *)# ?", r"\1", line) if line.lstrip().startswith("#") else line
        match = _KEY.match(bare)
        if match:
            indent = len(match["indent"])
            open_sections = [each for each in open_sections if each[0] < indent]
            parent = f"{open_sections[-1][1]}." if open_sections else ""
            path = f"{parent}{match['key']}"
            if path in paths:
                open_sections.append((indent, path))
                value, _, comment = match["rest"].partition("# ")
                if comment.startswith("or "):  # it begins with the value that is written
                    comment = f"{value.strip()} {comment}"
                words = " ".join(filter(None, [*above, comment.strip()]))
                told[path] = "; ".join(filter(None, [told.get(path), words]))
                above, current = [], path
                continue
        if re.match(r"#? {3,}# ", line) or (current and re.match(r" +# ", bare)):
            if current:
                told[current] += " " + bare.strip().removeprefix("# ")
        elif re.match(r"# ?\S", line):
            above.append(bare.strip())
        elif bare.startswith("  ") and match:
            current = None  # an example of a value
        else:
            above, current = [], None
    return {path: words.strip() for path, words in told.items() if words.strip()}


def configuration_keys() -> list[_Key]:
    """Return every key of `train-conf.yml`, in the order of the models."""
    schema = TrainConfig.model_json_schema()
    return list(_keys(schema, schema["$defs"], ""))


def told_of_configuration() -> dict[str, str]:
    """Return what is said of each key of `train-conf.yml`, by its path."""
    keys = [key.path for key in configuration_keys()]
    parents = {path.rpartition(".")[0] for path in keys} | {path.partition(".")[0] for path in keys}
    manual = manual_of_train({*keys, *parents} - {""})
    models = [
        each
        for each in vars(sections).values()
        if isinstance(each, type) and issubclass(each, BaseModel) and each is not BaseModel
    ]
    models.append(FeatureSettings)
    of_sections = {
        path: _comments(*[base for each in found for base in each.__mro__[::-1] if base in models])
        for path, found in _models_of(TrainConfig).items()
    }
    told = {}
    for path in keys:
        section, _, name = path.rpartition(".")
        told[path] = manual.get(path) or of_sections.get(section, {}).get(name, "")
    # What is said of all columns holds for one column and for the label.
    for path in keys:
        if not told[path] and path.startswith("columns."):
            told[path] = told.get(f"columns.{path.rpartition('.')[2]}", "")
    return told | {f"{section}:": words for section, words in manual.items() if section in parents}


def _models_of(model: type[BaseModel], path: str = "") -> dict[str, list[type[BaseModel]]]:
    """Return the models of each section by its path: several where a key may be one of them."""
    found = {path: [model]}
    for name, field in model.model_fields.items():
        for inner, suffix in _models_in(field.annotation):
            for place, models in _models_of(inner, f"{path}.{name}{suffix}".lstrip(".")).items():
                found[place] = [*found.get(place, []), *models]
    return found


def _models_in(kind: Any, suffix: str = "") -> Iterator[tuple[type[BaseModel], str]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield kind, suffix
    inside = {list: "[]", dict: ".NAME"}.get(getattr(kind, "__origin__", None), suffix)
    for argument in getattr(kind, "__args__", ()):
        yield from _models_in(argument, inside)


def configuration_table() -> str:
    """Return the keys of `train-conf.yml`: a table for each section."""
    told = told_of_configuration()
    by_section: dict[str, list[_Key]] = {}
    for key in configuration_keys():
        by_section.setdefault(key.path.partition(".")[0] if "." in key.path else "", []).append(key)
    parts = []
    for section, keys in sorted(by_section.items(), key=lambda each: each[0] != ""):
        parts.append(f"## {f'`{section}`' if section else 'At the top level'}\n")
        if section:
            parts.append(_section_words(section) + "\n")
            parts.append(prose(told.get(f"{section}:", "")) + "\n")
        rows = [[code(k.path), k.kind, code(k.default), prose(told[k.path])] for k in keys]
        parts.append(_keys_table(rows))
    return "\n".join(parts)


def _section_words(section: str) -> str:
    models = _models_of(TrainConfig).get(section, ())
    return prose(" ".join(inspect.getdoc(model) or "" for model in models))


def _keys_table(rows: list[list[str]]) -> str:
    return table(["key", "values", "default", "meaning"], rows)


# ----------------------------------------------------------------- settings


def manual_of_predict() -> dict[str, str]:
    """Return what `conf/predict.conf.dist` says of each setting; those below one comment share it."""
    told: dict[str, str] = {}
    words: list[str] = []
    for line in _read("conf/predict.conf.dist"):
        if match := re.match(r"#?([A-Z_]+)=", line):
            told[match[1].lower()] = " ".join(words)
        elif line.startswith("# "):
            words.append(line[2:])
        else:
            words = []
    return told


def manual_of_jobs() -> dict[str, str]:
    """Return what the table of `docs/how-to/jobs.md` says of each setting; those of one row share it."""
    told: dict[str, str] = {}
    for line in _read("docs/how-to/jobs.md"):
        if match := re.fullmatch(r"\| (`[A-Z_]+`(?:, `[A-Z_]+`)*) \|[^|]*\|(.*)\|", line):
            words = match[2].replace("](operating.md)", "](../how-to/operating.md)").strip()
            told |= {name.lower(): words for name in re.findall(r"[A-Z_]+", match[1])}
    return told


def _settings_table(model: type[BaseModel], manual: Mapping[str, str]) -> str:
    schema, comments = model.model_json_schema(), _comments(model)
    return _keys_table(
        [
            [code(k.path.upper()), k.kind, code(k.default), prose(manual.get(k.path) or comments.get(k.path, ""))]
            for k in _keys(schema, schema.get("$defs", {}), "")
        ]
    )  # fmt: skip


def predict_settings_table() -> str:
    """Return every setting of the server."""
    return _settings_table(Settings, manual_of_predict())


def jobs_settings_table() -> str:
    """Return every setting of the jobs service."""
    return _settings_table(JobsSettings, manual_of_jobs())


def _read(name: str) -> list[str]:
    return (_ROOT / name).read_text(encoding="utf-8").splitlines()
