"""Errors as the client sees them: problem details (RFC 9457), in the shape that the inference server has."""

import json
import logging
import sqlite3
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException

from jobs.uploads import TakenError, TooLargeError, UploadError
from train.config import ConfigError
from train.errors import UserError

PROBLEM_TYPE = "application/problem+json"
_KEPT_HEADERS = ("allow", "retry-after", "www-authenticate")

log = logging.getLogger("jobs")


def problem(status: int, detail: str, places: Sequence[str] = ()) -> Response:
    """Build an answer; each of `places` is `place: what is wrong`."""
    return Response(body_of(status, detail, places), status, content_type=PROBLEM_TYPE)


def body_of(status: int, detail: str, places: Sequence[str] = ()) -> str:
    """Return the JSON of an answer."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if places:
        parts = (text.partition(": ") for text in places)
        body["errors"] = [{"place": place, "message": message} for place, _, message in parts]
    return json.dumps(body, ensure_ascii=False) + "\n"


def answer_errors_with_problems(app: Flask) -> None:
    """Register what answers each kind of exception."""
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(
        ConfigError, lambda error: problem(422, " ".join(error.problems), error.problems)
    )
    for kind, status in ((TakenError, 409), (TooLargeError, 413), (UploadError, 422)):
        app.register_error_handler(kind, _with_status(status))
    app.register_error_handler(UserError, _with_status(500))
    app.register_error_handler(OSError, _disk_problem)
    app.register_error_handler(sqlite3.OperationalError, _disk_problem)
    app.register_error_handler(Exception, _our_fault)


def _with_status(status: int) -> Any:
    return lambda error: problem(status, str(error))


def _http_problem(error: HTTPException) -> Response:
    response = problem(error.code or 500, error.description or "")
    for key, value in error.get_headers():
        if key.lower() in _KEPT_HEADERS:
            response.headers[key] = value
    return response


def _disk_problem(error: Exception) -> Response:
    log.error("%s %s: %s", request.method, request.path, error)
    return problem(507, "Nothing can be written. The log of the service says why.")


def _our_fault(error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "The service failed on this request; its log says why.")
