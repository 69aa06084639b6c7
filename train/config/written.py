"""The YAML of a configuration: the core schema of YAML 1.2, and each value together with how it was written.

The only importer of yaml. In YAML 1.1, which PyYAML speaks, `010` is eight, `no` is false and `12:30` is 750. Here
`010` is ten where a number is expected, and the text 010 where a text or a category is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

from train.config.problems import ConfigError

# Far more than any configuration has: what aliases multiply counts as often as it is used.
_MOST_CHARACTERS = 2_000_000
_MOST_VALUES = 50_000
_DEEPEST = 40

_TAG = "tag:yaml.org,2002:"
# https://yaml.org/spec/1.2.2/#103-core-schema; and `<<`, which is of YAML 1.1 and in use.
_PLAIN = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    "float": (
        r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
    "merge": (r"<<", ["<"]),
}


@dataclass(frozen=True)
class Written:
    """A value that is not a text, and the text that it was written as."""

    value: int | float | bool | None
    text: str


def parse(text: str, place: str) -> Any:
    """Return dicts, lists, texts and `Written` values. Keys are texts, as they were written.

    Raises:
        ConfigError: It is not YAML, has a key twice, or is larger or deeper than a configuration can be.

    >>> parse("{010: no, b: 010, c: '1'}", "example")
    {'010': 'no', 'b': Written(value=10, text='010'), 'c': '1'}
    """
    if len(text) > _MOST_CHARACTERS:
        raise ConfigError(
            f"{place}: {len(text):,} characters are too many for a configuration; at most {_MOST_CHARACTERS:,}."
        )
    try:
        node = _Loader(text).get_single_node()
        return Written(None, "") if node is None else _Reading(place).read(node)
    except yaml.MarkedYAMLError as error:
        raise ConfigError(
            f"{place}{_line(error.problem_mark)}: {error.problem or error}."
        ) from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{place}: {' '.join(str(error).split())}.") from None


def dump(content: object) -> str:
    """Return YAML that `parse` reads as the same content; readers of YAML 1.1 do as well."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)


class _Loader(Reader, Scanner, Parser, Composer, BaseResolver):
    def __init__(self, text: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = self._nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._depth += 1
        self._nodes += 1
        mark: yaml.Mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self._depth > _DEEPEST:
            raise yaml.MarkedYAMLError(
                problem=f"nested deeper than {_DEEPEST} levels", problem_mark=mark
            )
        _check_count(self._nodes, mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:
        """Write everything where it is used."""
        return True


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    # In other styles PyYAML writes the line breaks of Unicode as they are, and folds them when it reads.
    style = '"' if len(text.splitlines()) > 1 or text.splitlines() != [text] else None
    return dumper.represent_scalar(f"{_TAG}str", text, style=style)


_Dumper.add_representer(str, _represent_text)
for _name, (_pattern, _first) in _PLAIN.items():
    for _class in (_Loader, _Dumper):
        _class.add_implicit_resolver(f"{_TAG}{_name}", re.compile(rf"(?:{_pattern})\Z"), _first)


class _Reading:
    """The reading of one document, which counts what it has read."""

    def __init__(self, place: str) -> None:
        self._place = place
        self._read, self._depth = 0, 0

    def read(self, node: yaml.Node) -> Any:
        self._read += 1
        _check_count(self._read, node.start_mark)
        if self._depth > _DEEPEST:
            raise _error("an alias leads into itself", node)
        if not node.tag.startswith(_TAG) or node.tag.removeprefix(_TAG) not in _CONSTRUCTED:
            raise _error(f"the tag {node.tag!r} is not for a configuration", node)
        self._depth += 1
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node)
            if isinstance(node, yaml.SequenceNode):
                return [self.read(item) for item in node.value]
            assert isinstance(node, yaml.ScalarNode)  # there is no other kind
            return self._scalar(node)
        finally:
            self._depth -= 1

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        own: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                raise _error(f"expected a text as key, got {_shown(key_node)}", key_node)
            key = key_node.value
            if key_node.tag == f"{_TAG}merge":
                for source in self._merged(value_node):
                    merged = source | merged
                continue
            if key in own:
                raise _error(f"the key {key[:200]!r} is given twice", key_node)
            own[key] = self.read(value_node)
        return merged | own

    def _merged(self, node: yaml.Node) -> Iterator[dict[str, Any]]:
        for source in node.value if isinstance(node, yaml.SequenceNode) else [node]:
            if not isinstance(source, yaml.MappingNode):
                raise _error("expected keys and values to merge", source)
            yield self.read(source)

    def _scalar(self, node: yaml.ScalarNode) -> object:
        text, kind = node.value, node.tag.removeprefix(_TAG)
        if kind in ("str", "merge"):
            return text
        try:
            return Written(_value(kind, text), text)
        except (KeyError, ValueError):
            raise _error(f"a value cannot be read as {kind}: {text[:200]!r}", node) from None


_CONSTRUCTED = (*_PLAIN, "str", "seq", "map")


def _value(kind: str, text: str) -> int | float | bool | None:
    if kind == "null":
        return None
    if kind == "bool":
        return {"true": True, "false": False}[text.lower()]
    if kind == "int":
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        return int(text[2:] if base != 10 else text, base)
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


def _check_count(count: int, mark: yaml.Mark) -> None:
    if count > _MOST_VALUES:
        raise yaml.MarkedYAMLError(
            problem=f"more than {_MOST_VALUES:,} values, those that aliases repeat included",
            problem_mark=mark,
        )


def _error(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.MarkedYAMLError(problem=problem, problem_mark=node.start_mark)


def _shown(node: yaml.Node) -> str:
    return "a list" if isinstance(node, yaml.SequenceNode) else "keys and values"


def _line(mark: yaml.Mark | None) -> str:
    return f", line {mark.line + 1}" if mark else ""
