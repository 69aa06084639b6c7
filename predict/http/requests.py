"""Requests: what a client may ask, and how it is read from a JSON body, a form or the address."""

from typing import Any

from flask import request
from pydantic import BaseModel, ConfigDict, Field, model_validator
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import UnprocessableEntity, UnsupportedMediaType

from predict.wording import shorten

_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")


class PredictRequest(BaseModel):
    """The body of `/predict`: exactly one of `text`, `texts` and `instances`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str | None = None
    # Checking stops at the first wrong element, so that a long list of them is refused quickly.
    texts: list[str] | None = Field(default=None, min_length=1, fail_fast=True)
    instances: list[dict[str, Any]] | None = Field(default=None, min_length=1, fail_fast=True)
    top_k: int | None = Field(default=None, ge=1)
    # `/predict/example` gives it. It is not looked at, so that an example can be posted as it is.
    expected: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "PredictRequest":
        names = [name for name in ("text", "texts", "instances") if getattr(self, name) is not None]
        if len(names) != 1:
            got = " and ".join(names) or "none of them"
            raise ValueError(f"expected exactly one of text, texts and instances, got {got}")
        return self


class ExampleRequest(BaseModel):
    """The parameters of `/predict/example`."""

    model_config = ConfigDict(extra="forbid")

    # Which example, counted from 0.
    number: int = 0


def read_predict_request() -> PredictRequest:
    """Read Flask's current request.

    Raises:
        ValidationError: Its content is not what `/predict` takes.
        UnsupportedMediaType, UnprocessableEntity: It is neither JSON nor a form; a field occurs twice.
    """
    if request.method in ("GET", "HEAD"):
        return PredictRequest.model_validate(_read_fields(request.args), strict=False)
    if request.mimetype == "application/json":
        return PredictRequest.model_validate_json(request.get_data())
    if request.mimetype in _FORM_TYPES:
        return PredictRequest.model_validate(_read_fields(request.form), strict=False)
    got = request.mimetype or "none"
    raise UnsupportedMediaType(f"Content-Type: expected application/json or a form, got {got}.")


def read_example_request() -> ExampleRequest:
    """Read Flask's current request; raise ValidationError or UnprocessableEntity as above."""
    return ExampleRequest.model_validate(_read_fields(request.args))


def _read_fields(fields: MultiDict[str, str]) -> dict[str, str]:
    for name, values in fields.lists():
        if len(values) > 1:
            raise UnprocessableEntity(f"{shorten(name)}: expected once, got {len(values)} times.")
    return fields.to_dict()
