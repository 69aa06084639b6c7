"""Requests: what a client may ask, and how it is read from a JSON body, a form or the address."""

import codecs
import json
import re
from typing import Annotated, Any, NoReturn

from flask import Request as FlaskRequest
from flask import request
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic_core import from_json
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import BadRequest, UnprocessableEntity, UnsupportedMediaType

from predict.wording import shorten

# Within a text they have a backslash before the quote, and are found as well: so many keys there are at most.
_ENDS_OF_KEYS = re.compile(rb'"[ \t\n\r]*:')
# Python knows more, and some of them take minutes for a megabyte.
_CODECS = frozenset(
    {
        *("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"),
        *("ascii", "iso8859-1", "iso8859-15", "cp1250", "cp1251", "cp1252", "shift_jis", "gb18030"),
    }
)
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


class Request(FlaskRequest):
    """A request whose forms have fields alone: a file would go to the disk, which may be read-only."""

    def _get_file_stream(self, *_: object, **__: object) -> NoReturn:
        raise UnsupportedMediaType("form: expected fields alone, got a file.")


def _as_whole(value: object) -> object:
    return int(value) if isinstance(value, float) and value.is_integer() else value


# A whole number above 0 as JSON Schema has it: 3.0 is 3.
_Count = Annotated[int, Field(ge=1), BeforeValidator(_as_whole)]


def _check_flag(value: object) -> object:
    if isinstance(value, str) and value not in ("true", "false"):
        raise ValueError(f"expected true or false, got {shorten(value)}")
    return value


# In an address or a form, pydantic alone would also take 0, on and other words.
_Flag = Annotated[bool, BeforeValidator(_check_flag)]


class PredictRequest(BaseModel):
    """The body of `/predict`: exactly one of `text`, `texts` and `instances`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str | None = None
    # Checking stops at the first wrong element, so that a long list of them is refused quickly.
    texts: list[str] | None = Field(default=None, min_length=1, fail_fast=True)
    instances: list[dict[str, Any]] | None = Field(default=None, min_length=1, fail_fast=True)
    top_k: _Count | None = None
    explain: _Flag | None = None
    # `/predict/example` gives it. It is not looked at, so that an example can be posted as it is.
    expected: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "PredictRequest":
        names = [name for name in ("text", "texts", "instances") if getattr(self, name) is not None]
        if len(names) != 1:
            got = " and ".join(names) or "none of them"
            raise ValueError(f"expected exactly one of text, texts and instances, got {got}")
        return self


class PredictOptions(BaseModel):
    """What the address may say beside a body."""

    model_config = ConfigDict(extra="forbid")

    top_k: int | None = Field(default=None, ge=1)
    explain: _Flag | None = None


# What stands in an address for the number of any example.
RANDOM = "random"


class ExampleRequest(BaseModel):
    """The parameters of `/predict/example`."""

    model_config = ConfigDict(extra="forbid")

    # Which example, counted from 0; None for any.
    number: Annotated[
        int | None, BeforeValidator(lambda value: None if value == RANDOM else value)
    ] = 0


def parse_predict_request(body: bytes) -> PredictRequest:
    """Read a JSON body.

    Raises:
        ValidationError: Its content is not what `/predict` takes.
        UnprocessableEntity: A key is there twice.
    """
    asked = PredictRequest.model_validate_json(body)
    keys = len(asked.model_fields_set) + sum(map(len, asked.instances or ()))
    # Every key ends with a quote and has a colon. Where there are no more of them than keys, none was there twice; and
    # looking at each takes longer than all the rest.
    if body.count(b":") != keys and len(_ENDS_OF_KEYS.findall(body)) != keys:
        _refuse_repeated_keys(body)
    return asked


def parse_json(body: bytes) -> Any:
    """Read JSON of any shape.

    Raises:
        BadRequest: It is not JSON; NaN and Infinity are not.
        UnprocessableEntity: A key is there twice in an object.
    """
    try:
        content = from_json(body, allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest(f"body: not JSON: {error}.") from None
    keys = _count_keys([content])
    if body.count(b":") != keys and len(_ENDS_OF_KEYS.findall(body)) != keys:
        _refuse_repeated_keys(body)
    return content


def read_predict_request() -> PredictRequest:
    """Read Flask's current request.

    Raises:
        ValidationError: Its content is not what `/predict` takes.
        BadRequest, UnsupportedMediaType, UnprocessableEntity: It is neither JSON nor a form, or is not written in the
            characters that it says; a field occurs twice.
    """
    if request.method in ("GET", "HEAD"):
        return PredictRequest.model_validate(_read_fields(request.args), strict=False)
    asked = _read_body()
    beside = PredictOptions.model_validate(_read_fields(request.args))
    options = beside.model_dump(exclude_none=True)
    for name in options:
        if getattr(asked, name) is not None:
            raise UnprocessableEntity(f"{name}: expected once, in the body or in the address.")
    return asked.model_copy(update=options) if options else asked


def read_example_request() -> ExampleRequest:
    """Read Flask's current request; raise ValidationError or UnprocessableEntity as above."""
    return ExampleRequest.model_validate(_read_fields(request.args))


def read_json(of_any_type: bool = False) -> bytes:
    """Return the JSON of Flask's current request as UTF-8 without a byte order mark.

    Args:
        of_any_type: Whether it is JSON whatever its type says.

    Raises:
        UnsupportedMediaType: The type is another, or nobody knows its charset.
        BadRequest: The bytes are not in that charset.
    """
    if request.mimetype != "application/json" and not of_any_type:
        got = request.mimetype or "none"
        raise UnsupportedMediaType(f"Content-Type: expected application/json or a form, got {got}.")
    body = request.get_data()
    charset = request.mimetype_params.get("charset") or json.detect_encoding(body)
    if (name := _codec(charset)) in ("utf-8", "utf-8-sig"):
        return body.removeprefix(codecs.BOM_UTF8)
    if name not in _CODECS:
        raise UnsupportedMediaType(
            f"Content-Type: charset {shorten(charset)!r} is not read; expected utf-8."
        )
    try:
        return body.decode(name).removeprefix("\ufeff").encode()
    except UnicodeError as error:
        raise BadRequest(f"body: not {shorten(charset)}: {error}.") from None


def _codec(charset: str) -> str | None:
    """Return what Python calls a charset; None if it does not know it."""
    try:
        return codecs.lookup(charset).name
    except (LookupError, ValueError):
        return None


def _read_body() -> PredictRequest:
    if request.mimetype not in _FORM_TYPES:
        return parse_predict_request(read_json())
    fields = _read_fields(request.form)
    # What curl says of a body if nobody tells it otherwise.
    if next(iter(fields), "").lstrip().startswith(("{", "[")):
        raise UnsupportedMediaType(
            "Content-Type: the body looks like JSON, but its type says that it is a form; send the header "
            "Content-Type: application/json."
        )
    return PredictRequest.model_validate(fields, strict=False)


def _read_fields(fields: MultiDict[str, str]) -> dict[str, str]:
    for name, values in fields.lists():
        if len(values) > 1:
            raise UnprocessableEntity(f"{shorten(name)}: expected once, got {len(values)} times.")
    return fields.to_dict()


def _count_keys(content: dict[str, Any] | list[Any]) -> int:
    keys, values = 0, content
    if isinstance(content, dict):
        keys, values = len(content), [*content.values()]
    for value in values:
        if isinstance(value, dict | list):
            keys += _count_keys(value)
    return keys


def _refuse_repeated_keys(body: bytes) -> None:
    # Numbers are not looked at: Python refuses whole numbers of thousands of digits.
    json.loads(body, object_pairs_hook=_check_pairs, parse_int=len, parse_float=len)


def _check_pairs(pairs: list[tuple[str, Any]]) -> None:
    if len(pairs) > 1 and len({key for key, _ in pairs}) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise UnprocessableEntity(
            f"{shorten(twice)}: expected once, got {keys.count(twice)} times in one object."
        )
