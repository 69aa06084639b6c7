"""Answers that are made of JSON."""

from typing import Any

from flask import Response
from pydantic_core import to_json


def json_response(body: Any) -> Response:
    """Return an answer with a body of JSON."""
    return Response(to_json(body), content_type="application/json")
