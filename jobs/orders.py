"""What a client asks to be trained: the body of POST /train, read and judged as a whole."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from jobs import guard
from jobs.settings import JobsSettings
from predict.wording import listed, printable, suggestion
from train.config import ConfigError
from train.config.loading import Draft, draft_of, load_draft, to_yaml
from train.config.trust import functions_named
from train.config.written import Written, parse

# The service's own; all other keys are of the configuration.
_CONF, _SET, _PROMOTE = "conf", "set", "promote"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_ENDING = ".yml"
# Each value of a search is validated, which takes a millisecond.
_MOST_VALUES = 5_000


@dataclass(frozen=True)
class Order:
    """A configuration that may be trained.

    Attributes:
        name: Of the configuration in `conf_dir`, or of the dataset.
        configuration: YAML, with all its keys.
        runs_code: Whether it names functions, all of which the operator has listed.
        promote: Whether `latest` is to move if the gate is passed.
        uploads: The names of the uploads that it reads, by key.
    """

    name: str
    configuration: str
    runs_code: bool
    promote: bool
    uploads: dict[str, str]


def names_of_configurations(settings: JobsSettings) -> list[str]:
    """Return the names of the operator's configurations."""
    files = settings.conf_dir.glob(f"*{_ENDING}")
    return sorted(file.stem for file in files if file.is_file() and _NAME.fullmatch(file.stem))


def read_order(body: bytes, is_json: bool, settings: JobsSettings) -> Order:
    """Read a body: a configuration, or `{"conf": NAME, "set": {KEY: VALUE}}`; both with `"promote": true` if wanted.

    Args:
        body: JSON or YAML.
        is_json: Which of them.
        settings: What may be named.

    Raises:
        ConfigError: All that is wrong with it.
    """
    content = _content_of(body, is_json)
    problems: list[str] = []
    promote = _promote(content, problems)
    if _CONF in content:
        name, draft, base = _named(content, problems, settings)
    else:
        if _SET in content:
            problems.append("set: is for a configuration by name; expected conf beside it.")
        keys = {key: value for key, value in content.items() if key not in (_PROMOTE, _SET)}
        draft = draft_of(_as_yaml(keys), "body")
        name, base = "", []
    if draft is not None:
        problems += draft.problems
    if draft is not None and draft.config is not None:
        # What a configuration of the operator names is allowed by being there.
        problems += [
            problem for problem in guard.problems_of(draft.config, settings) if problem not in base
        ]
    if problems or draft is None or draft.config is None:
        raise ConfigError(*problems)
    config = guard.settled(draft.config, settings)
    runs_code = bool(functions_named(config))
    named = guard.uploads_of(draft.config)
    return Order(name or draft.config.dataset, to_yaml(config), runs_code, promote, named)


def _content_of(body: bytes, is_json: bool) -> dict[str, Any]:
    try:
        text = body.decode("utf-8-sig")
        if is_json:
            text = _as_yaml(json.loads(text, object_pairs_hook=_once))
    except RecursionError:
        raise ConfigError("body: nested too deeply.") from None
    except ValueError as error:
        # Python says of a long number how a programmer raises its limit.
        why = str(error).partition(": value has ")[0]
        what = "JSON" if is_json else "UTF-8 text"
        raise ConfigError(f"body: not {what} ({why}).") from None
    content = parse(text, "body")
    if not isinstance(content, dict):
        raise ConfigError(
            'body: expected a configuration, such as {"dataset": "iris"}, or the name of one: {"conf": "titanic"}.'
        )
    if (count := _count(content)) > _MOST_VALUES:
        raise ConfigError(f"body: {count:,} values; expected at most {_MOST_VALUES:,}.")
    return content


def _count(content: object) -> int:
    if isinstance(content, dict):
        return sum(map(_count, content.values()))
    return sum(map(_count, content)) if isinstance(content, list) else 1


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(content := dict(pairs)) < len(pairs):
        raise ValueError("a key is given twice")
    return content


def _promote(content: Mapping[str, Any], problems: list[str]) -> bool:
    promote = _plain(content.get(_PROMOTE, False))
    if not isinstance(promote, bool):
        problems.append(f"{_PROMOTE}: expected true or false, got {promote!r}.")
    return promote is True


def _named(
    content: Mapping[str, Any], problems: list[str], settings: JobsSettings
) -> tuple[str, Draft | None, list[str]]:
    """Return the name of a configuration, what it is with the changes, and what the guard says without them."""
    name = _plain(content[_CONF])
    known = names_of_configurations(settings)
    for key in content:
        if key not in (_CONF, _SET, _PROMOTE):
            problems.append(f"{key}: unknown key beside conf. To override it: set: {{{key}: …}}.")
    overrides = list(_overrides(content.get(_SET, {}), problems))
    if not isinstance(name, str):
        problems.append(f"{_CONF}: expected the name of a configuration. Known: {listed(known)}.")
        return "", None, []
    if name not in known:
        problems.append(f"{_CONF}: no configuration is called {name!r}.{suggestion(name, known)}")
        return "", None, []
    file = settings.conf_dir / f"{name}{_ENDING}"
    base = load_draft(file).config
    draft = load_draft(file, overrides)
    return name, draft, [] if base is None else guard.problems_of(base, settings)


def _overrides(changes: object, problems: list[str]) -> Iterator[str]:
    if not isinstance(changes, dict):
        problems.append(f'{_SET}: expected keys and values, such as {{"training.epochs": 3}}.')
        return
    for key, value in changes.items():
        if "=" in key or not key.strip():
            problems.append(f"{_SET}: expected keys such as training.epochs, got {key[:100]!r}.")
        else:
            yield f"{key}={_as_yaml(value)}"


def _as_yaml(content: object) -> str:
    """Return YAML that reads as what was parsed: values as they were written, texts in quotes."""
    if isinstance(content, dict):
        parts = (f"{_as_yaml(key)}: {_as_yaml(value)}" for key, value in content.items())
        return f"{{{', '.join(parts)}}}"
    if isinstance(content, list):
        return f"[{', '.join(map(_as_yaml, content))}]"
    if isinstance(content, Written):
        return content.text or "null"
    # YAML takes some characters for line breaks that JSON does not.
    return printable(json.dumps(content, ensure_ascii=False))


def _plain(value: object) -> object:
    return value.value if isinstance(value, Written) else value
