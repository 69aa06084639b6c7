"""Problem details (RFC 9457), the body of every error."""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from flask import Response
from pydantic_core import to_json
from werkzeug.exceptions import HTTPException

PROBLEM_TYPE = "application/problem+json"
# What an exception of werkzeug says beside its text.
_KEPT_HEADERS = ("allow", "retry-after", "www-authenticate")


def body_of(status: int, detail: str, errors: Sequence[dict[str, str]] = ()) -> bytes:
    """Return the JSON of an answer; `errors` are `{"place": …, "message": …}` dicts."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = list(errors)
    return to_json(body)


def problem(status: int, detail: str, errors: Sequence[dict[str, str]] = ()) -> Response:
    """Build an answer; see `body_of`."""
    return Response(body_of(status, detail, errors), status, content_type=PROBLEM_TYPE)


def http_problem(error: HTTPException) -> Response:
    """Build the answer to an exception of werkzeug."""
    response = problem(error.code or 500, error.description or "")
    for key, value in error.get_headers():
        if key.lower() in _KEPT_HEADERS:
            response.headers[key] = value
    return response
