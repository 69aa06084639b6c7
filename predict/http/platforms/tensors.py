"""Tensors of the Open Inference Protocol, as JSON or as bytes behind it: their shapes, types and values."""

import base64
import binascii
import struct
from collections.abc import Mapping, Sequence
from math import isnan, prod
from typing import Any, NamedTuple

import numpy as np
from werkzeug.exceptions import UnprocessableEntity

from predict.scoring.values import kind_of
from predict.wording import counted, listed, shorten

BYTES, FLOAT, FLAG = "BYTES", "FP64", "BOOL"
_FLOATS = {"FP16": "<f2", "FP32": "<f4", FLOAT: "<f8"}
_WHOLE = {
    **{f"INT{bits}": f"<i{bits // 8}" for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": f"<u{bits // 8}" for bits in (8, 16, 32, 64)},
}
_DTYPES = {FLAG: "?", **_FLOATS, **_WHOLE}
_DATATYPES = (BYTES, *_DTYPES)
# What MLServer's codecs say of a tensor's content, and what they say beside that of what we read.
_BASE64 = "base64"
_CONTENT_TYPES = (None, "str", "np", "pd", "datetime", _BASE64)
_LENGTH = struct.Struct("<I")


class Tensor(NamedTuple):
    """A tensor: its name, its shape, and its values in row-major order. A missing one is None."""

    name: str
    shape: tuple[int, ...]
    values: list[Any]


def read_tensor(
    given: Mapping[str, Any], place: str, binary: bytes | None, content_type: str | None
) -> Tensor:
    """Read one tensor of a request.

    Args:
        given: `name`, `shape`, `datatype`, and `data` unless it has bytes of its own; perhaps `parameters`.
        place: Its name in a message.
        binary: The values, if they are not in `data`.
        content_type: What the request says of all its tensors' content.

    Raises:
        UnprocessableEntity: Something does not fit. A value is never converted, but for NaN, which is a missing number.
    """
    name, shape, datatype = given.get("name"), given.get("shape"), given.get("datatype")
    if not isinstance(name, str):
        raise UnprocessableEntity(f"{place}.name: expected a string, got {kind_of(name)}.")
    if not isinstance(shape, list) or not all(type(size) is int and size >= 0 for size in shape):
        raise UnprocessableEntity(f"{place}.shape: expected a list of whole numbers.")
    if datatype not in _DATATYPES:
        known = listed(_DATATYPES, len(_DATATYPES))
        got = repr(shorten(datatype)) if isinstance(datatype, str) else kind_of(datatype)
        raise UnprocessableEntity(f"{place}.datatype: expected one of {known}, got {got}.")
    content_type = _parameters(given, place).get("content_type", content_type)
    if content_type not in _CONTENT_TYPES:
        raise UnprocessableEntity(
            f"{place}.parameters.content_type: expected one of {listed(_CONTENT_TYPES[1:])}, "
            f"got {shorten(str(content_type))!r}."
        )
    if binary is None:
        values = _flat(given.get("data"), shape, f"{place}.data")
        _check_values(values, datatype, f"{place}.data")
    else:
        values = _from_bytes(binary, datatype, place)
    if len(values) != prod(shape):
        raise UnprocessableEntity(
            f"{place}: expected {counted(prod(shape), 'value')} for the shape {shape}, got {len(values)}."
        )
    if datatype in _FLOATS:
        values = [None if value is None or isnan(value) else float(value) for value in values]
    if content_type == _BASE64:
        values = [_from_base64(value, f"{place}.data") for value in values]
    return Tensor(name, tuple(shape), values)


def rows_of(tensors: Sequence[Tensor]) -> list[Any]:
    """Return a row for each index of the first axis.

    Each tensor is a column, of the shape [n] or [n, 1]; or there is one tensor alone of the shape [n, k], whose rows
    are lists of k values.

    Raises:
        UnprocessableEntity: The shapes are others, the tensors have different lengths, or there are none.
    """
    if not tensors:
        raise UnprocessableEntity("inputs: expected at least one tensor, got none.")
    length = tensors[0].shape[0] if tensors[0].shape else 0
    seen: set[str] = set()
    for number, tensor in enumerate(tensors):
        place, shape = f"inputs.{number}", tensor.shape
        if tensor.name in seen:
            raise UnprocessableEntity(f"{place}.name: {shorten(tensor.name)!r} is there twice.")
        seen.add(tensor.name)
        is_table = len(shape) == 2 and (shape[1] == 1 or (len(tensors) == 1 and shape[1] > 0))
        if len(shape) != 1 and not is_table:
            raise UnprocessableEntity(
                f"{place}.shape: expected [n] or [n, 1] for one column, or [n, columns] of one tensor alone, "
                f"got {list(shape)}."
            )
        if shape[0] != length:
            raise UnprocessableEntity(
                f"{place}.shape: expected {counted(length, 'row')}, as the first tensor has, got {shape[0]}."
            )
    if not length:
        raise UnprocessableEntity("inputs.0.shape: expected at least one row, got none.")
    values = tensors[0].values
    if (width := len(values) // length) > 1:
        return [values[start : start + width] for start in range(0, len(values), width)]
    names = [tensor.name for tensor in tensors]
    columns = [tensor.values for tensor in tensors]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def to_bytes(values: Sequence[Any], datatype: str) -> bytes:
    """Write values as the extension for binary data does."""
    if datatype != BYTES:
        return np.array(values, _DTYPES[datatype]).tobytes()
    texts = [value.encode() for value in values]
    return b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def _parameters(given: Mapping[str, Any], place: str) -> Mapping[str, Any]:
    parameters = given.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise UnprocessableEntity(f"{place}.parameters: expected an object.")
    return parameters


def _flat(data: Any, shape: Sequence[int], place: str) -> list[Any]:
    """Return data in row-major order, whether it is flat or nested as its shape says."""
    if not isinstance(data, list):
        raise UnprocessableEntity(f"{place}: expected a list, got {kind_of(data)}.")
    for size in shape[1:]:
        if not any(isinstance(part, list) for part in data):
            break
        if not all(isinstance(part, list) and len(part) == size for part in data):
            raise UnprocessableEntity(f"{place}: it is nested otherwise than the shape says.")
        data = [value for part in data for value in part]
    return list(data)


def _check_values(values: Sequence[Any], datatype: str, place: str) -> None:
    if datatype == BYTES:
        fits, expected = _is_text, "strings"
    elif datatype == FLAG:
        fits, expected = _is_flag, "booleans"
    elif datatype in _FLOATS:
        fits, expected = _is_number, "numbers"
    else:
        limits = np.iinfo(_WHOLE[datatype])
        least, most = int(limits.min), int(limits.max)
        expected = f"whole numbers from {least} to {most}"

        def fits(value: Any) -> bool:
            return type(value) is int and least <= value <= most

    for number, value in enumerate(values):
        if value is not None and not fits(value):
            raise UnprocessableEntity(
                f"{place}.{number}: expected {expected} for {datatype}, got {_shown(value)}."
            )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _shown(value: Any) -> str:
    return shorten(repr(value)) if isinstance(value, int | float) else kind_of(value)


def _from_bytes(binary: bytes, datatype: str, place: str) -> list[Any]:
    if datatype == BYTES:
        return _texts_of(binary, place)
    dtype = np.dtype(_DTYPES[datatype])
    if len(binary) % dtype.itemsize:
        raise UnprocessableEntity(
            f"{place}: {len(binary)} bytes are no whole number of {datatype} values."
        )
    values: list[Any] = np.frombuffer(binary, dtype).tolist()
    return values


def _texts_of(binary: bytes, place: str) -> list[str]:
    """Read texts, each after its length in four bytes."""
    texts, start = [], 0
    while start < len(binary):
        begin = start + _LENGTH.size
        length = _LENGTH.unpack_from(binary, start)[0] if begin <= len(binary) else -1
        start = begin + length
        if length < 0 or start > len(binary):
            raise UnprocessableEntity(f"{place}: its bytes end within a value.")
        try:
            texts.append(binary[begin:start].decode())
        except UnicodeDecodeError:
            raise UnprocessableEntity(f"{place}: value {len(texts)} is not UTF-8.") from None
    return texts


def _from_base64(value: Any, place: str) -> str | None:
    try:
        return None if value is None else base64.b64decode(value, validate=True).decode()
    except (binascii.Error, TypeError, ValueError):
        raise UnprocessableEntity(f"{place}: expected texts in base64.") from None
