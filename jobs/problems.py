"""Errors as the client sees them: problem details (RFC 9457), in the shape that the inference server has."""

import logging
import sqlite3
from typing import Any

from flask import Flask, Response, request
from werkzeug.exceptions import HTTPException, NotFound

from jobs.uploads import TakenError, TooLargeError, UploadError
from predict.web.problems import http_problem, problem
from train.config import ConfigError
from train.errors import UserError

log = logging.getLogger("jobs")


def answer_errors_with_problems(app: Flask) -> None:
    """Register what answers each kind of exception."""
    app.register_error_handler(HTTPException, http_problem)
    app.register_error_handler(NotFound, _not_found)
    app.register_error_handler(
        ConfigError,
        lambda error: problem(422, " ".join(error.problems), list(map(_placed, error.problems))),
    )
    for kind, status in ((TakenError, 409), (TooLargeError, 413), (UploadError, 422)):
        app.register_error_handler(kind, _with_status(status))
    app.register_error_handler(UserError, _with_status(500))
    app.register_error_handler(OSError, _disk_problem)
    app.register_error_handler(sqlite3.OperationalError, _disk_problem)
    app.register_error_handler(Exception, _our_fault)


def _not_found(error: NotFound) -> Response:
    if error.description == NotFound.description:  # nobody has said what there is not
        error = NotFound("There is no such route; docs/how-to/jobs.md lists them.")
    return http_problem(error)


def _placed(told: str) -> dict[str, str]:
    """Split `place: what is wrong`."""
    place, _, message = told.partition(": ")
    return {"place": place, "message": message}


def _with_status(status: int) -> Any:
    return lambda error: problem(status, str(error))


def _disk_problem(error: Exception) -> Response:
    log.error("%s %s: %s", request.method, request.path, error)
    return problem(507, "Nothing can be written. The log of the service says why.")


def _our_fault(error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "The service failed on this request; its log says why.")
