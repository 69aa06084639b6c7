"""Errors as the client sees them: problem details (RFC 9457), and which exception becomes which."""

import logging
from collections.abc import Sequence

from flask import Flask, Response, request
from pydantic import ValidationError
from pydantic_core import ErrorDetails
from werkzeug.exceptions import HTTPException

from predict.contract.artefact import ArtefactError
from predict.hosting.models import HostingError, NoModelError, UnknownModelError
from predict.http.requests import PredictRequest
from predict.scoring.errors import ModelError, TimeLimitError
from predict.scoring.inputs import InstanceError
from predict.web.problems import http_problem, problem
from predict.wording import listed, shorten

_ERRORS_SHOWN = 10
_MOST_ERRORS = 1_000

log = logging.getLogger("predict")


def answer_errors_with_problems(app: Flask) -> None:
    """Register what answers each kind of exception."""
    app.register_error_handler(HTTPException, http_problem)
    app.register_error_handler(InstanceError, _instance_problem)
    app.register_error_handler(ValidationError, _request_problem)
    app.register_error_handler(UnknownModelError, lambda error: problem(404, str(error)))
    app.register_error_handler(NoModelError, lambda error: problem(503, str(error)))
    app.register_error_handler(HostingError, lambda error: problem(409, str(error)))
    app.register_error_handler(ArtefactError, lambda error: problem(422, str(error)))
    app.register_error_handler(ModelError, _model_problem)
    app.register_error_handler(Exception, _our_fault)


def problem_of_places(problems: Sequence[Sequence[str]]) -> Response:
    """Build the answer to content that is wrong in some places: (place, message) pairs."""
    errors = [{"place": place, "message": message} for place, message in problems]
    return problem(422, "; ".join(f"{place}: {message}" for place, message in problems), errors)


def _instance_problem(error: InstanceError) -> Response:
    return problem_of_places(error.problems)


def _request_problem(error: ValidationError) -> Response:
    if (count := error.error_count()) > _MOST_ERRORS:  # listing them takes longer than finding them
        known = listed(list(PredictRequest.model_fields))
        return problem(422, f"body: {count} problems, most of them unknown fields; known: {known}")
    first = error.errors(include_url=False, include_context=False)[:_ERRORS_SHOWN]
    status = 400 if first[0]["type"] == "json_invalid" else 422
    errors = [
        {
            "place": ".".join(shorten(str(part)) for part in item["loc"]) or "body",
            "message": _message_of(item, error.title),
        }
        for item in first
    ]
    detail = "; ".join(f"{item['place']}: {item['message']}" for item in errors)
    return problem(status, detail, errors)


def _message_of(item: ErrorDetails, model: str) -> str:
    if item["type"] == "string_pattern_mismatch":
        return "expected a plain name: letters, digits, dots, dashes and underscores"
    if item["type"] != "extra_forbidden":
        return item["msg"].removeprefix("Value error, ")
    if model != PredictRequest.__name__:
        return "unknown field"
    known = listed(list(PredictRequest.model_fields))
    # The mistake that is made most: a row of a table as it is.
    return f'unknown field; known: {known}. An instance goes into a list: {{"instances": [{{…}}]}}'


def _model_problem(error: ModelError) -> Response:
    log.error("%s %s: %s", request.method, request.path, error)
    return problem(503 if isinstance(error, TimeLimitError) else 500, f"{error}.")


def _our_fault(error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "The server failed on this request; its log says why.")
