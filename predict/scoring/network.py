"""What a network in ONNX is made of, read from its bytes before onnxruntime sees them: a stranger may have written it.

Only what is asked here is read: the messages and fields of https://github.com/onnx/onnx/blob/main/onnx/onnx.in.proto
that lead to operations and to weights. The package onnx is 40 MB, which serving does without.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

# Operations of a network, those of functions counted each time that they are called. Tables of ours have three a
# column; onnxruntime takes 5 s to load as many as this.
MOST_OPERATIONS = 100_000

_Kind = Literal[
    "model", "training", "graph", "node", "attribute", "tensor", "sparse", "function", "entry"
]
# The fields that hold messages: kind of message -> number of the field -> kind of the message in it.
_MESSAGES: dict[_Kind, dict[int, _Kind]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "tensor": {13: "entry"},
    "sparse": {},
    "function": {7: "node", 11: "attribute"},
    "entry": {},
}
# The fields of a tensor that says where its weights are, and of a node and a function that say what it is.
_LOCATION_OF_DATA, _EXTERNAL = 14, 1
_NODE_KIND, _NODE_DOMAIN = 4, 7
_FUNCTION_NAME, _FUNCTION_DOMAIN = 1, 10
_ENTRY_KEY, _ENTRY_VALUE = 1, 2

# Trees of a forest are numbers and short names by the million, as fields 7, 8 and 9 of attributes: they are passed over
# in steps of many.
_LIST_ITEMS = re.compile(
    rb"(?:\x3d.{4}|\x40[\x80-\xff]{0,9}[\x00-\x7f]|\x4a(?:"
    + b"|".join(re.escape(bytes([size])) + rb".{%d}" % size for size in range(32))
    + rb")){1,1000}",
    re.DOTALL,
)

# A function: its domain and its name.
_Name = tuple[bytes, bytes]


@dataclass
class _Owner:
    """The operations of the network itself, or of a function."""

    operations: int = 0
    calls: Counter[_Name] = field(default_factory=Counter)


def external_files(content: bytes) -> list[str]:
    """Return the names of the files beside a network that hold weights of it.

    Raises:
        ValueError: It is no network, or more than a server takes on.
    """
    found = _Network()
    try:
        found.read(content)
    except IndexError:
        raise ValueError("no network in ONNX: it ends early") from None
    found.check_size()
    return sorted(found.files)


class _Network:
    def __init__(self) -> None:
        self.files: set[str] = set()
        self._main = _Owner()
        self._functions: dict[_Name, _Owner] = defaultdict(_Owner)

    def read(self, content: bytes) -> None:
        stack: list[tuple[_Kind, int, int, _Owner]] = [("model", 0, len(content), self._main)]
        while stack:
            kind, start, end, owner = stack.pop()
            messages = _MESSAGES[kind]
            if kind == "sparse":
                raise ValueError("sparse weights are not read; store them as dense ones")
            if kind == "function":
                owner = self._function(content, start, end)
            elif kind == "node":
                self._count(content, start, end, owner)
            elif kind == "tensor":
                self._find_files(content, start, end)
                continue
            for number, wire, at, after in _fields(content, start, end, kind == "attribute"):
                inner = messages.get(number)
                if inner is not None and wire == _BYTES:
                    stack.append((inner, at, after, owner))

    def check_size(self) -> None:
        """Raise ValueError if there are too many operations once every call has become those of its function."""
        total, calls = self._main.operations, self._main.calls
        while calls:
            of_next = Counter[_Name]()
            for name, count in calls.items():
                if name in self._functions:
                    total += count * self._functions[name].operations
                    for called, times in self._functions[name].calls.items():
                        of_next[called] += count * times
            _check_operations(total)
            calls = of_next

    def _function(self, content: bytes, start: int, end: int) -> _Owner:
        return self._functions[_name_in(content, start, end, _FUNCTION_DOMAIN, _FUNCTION_NAME)]

    def _count(self, content: bytes, start: int, end: int, owner: _Owner) -> None:
        owner.operations += 1
        _check_operations(owner.operations)
        owner.calls[_name_in(content, start, end, _NODE_DOMAIN, _NODE_KIND)] += 1

    def _find_files(self, content: bytes, start: int, end: int) -> None:
        is_external, names = False, list[bytes]()
        for number, wire, at, after in _fields(content, start, end):
            if number == _LOCATION_OF_DATA and wire == _VARINT:
                is_external = is_external or _varint(content, at)[0] == _EXTERNAL
            elif number in _MESSAGES["tensor"] and wire == _BYTES:
                texts = [
                    (which, content[first:last])
                    for which, _, first, last in _fields(content, at, after)
                ]
                if (_ENTRY_KEY, b"location") in texts:
                    names += [text for which, text in texts if which == _ENTRY_VALUE]
        if is_external and not names:
            raise ValueError("it has weights in a file without a name")
        self.files |= {name.decode(errors="replace") for name in names}


def _check_operations(count: int) -> None:
    if count > MOST_OPERATIONS:
        raise ValueError(f"it has more than {MOST_OPERATIONS:,} operations")


def _name_in(content: bytes, start: int, end: int, domain: int, name: int) -> _Name:
    """Return what a node calls, or how a function is called."""
    found = {domain: b"", name: b""}
    for number, wire, at, after in _fields(content, start, end):
        if number in found and wire == _BYTES:
            found[number] = content[at:after]
    return found[domain], found[name]


_VARINT, _EIGHT, _BYTES, _FOUR = 0, 1, 2, 5
_LONGEST_TAG = 5


def _fields(
    content: bytes, start: int, end: int, is_attribute: bool = False
) -> Iterator[tuple[int, int, int, int]]:
    """Yield the fields of a message: number, wire type, where the value begins and where it ends."""
    at = start
    while at < end:
        if is_attribute and (items := _LIST_ITEMS.match(content, at, end)):
            at = items.end()
            continue
        tag, after = _varint(content, at)
        if after - at > _LONGEST_TAG or tag >= 1 << 32 or tag < 8:
            raise ValueError("no network in ONNX: a field has no number")
        number, wire, at = tag >> 3, tag & 7, after
        if wire == _BYTES:
            size, at = _varint(content, at)
            after = at + size
        elif wire == _VARINT:
            _, after = _varint(content, at)
        elif wire in (_EIGHT, _FOUR):
            after = at + (8 if wire == _EIGHT else 4)
        else:
            raise ValueError(f"no network in ONNX: a field of type {wire}")
        if after > end:
            raise ValueError("no network in ONNX: a field ends after its message")
        yield number, wire, at, after
        at = after


def _varint(content: bytes, at: int) -> tuple[int, int]:
    """Return a number of variable length, and where it ends; IndexError if the content ends before."""
    value = content[at]
    if value < 0x80:
        return value, at + 1
    value &= 0x7F
    for place in range(1, 10):
        byte = content[at + place]
        value |= (byte & 0x7F) << (7 * place)
        if byte < 0x80:
            return value, at + place + 1
    raise ValueError("no network in ONNX: a number without end")
