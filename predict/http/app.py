"""The HTTP application: routes and errors. `create_app(predictor)` makes it; nothing happens at import."""

import contextlib
import logging
import sys
import time
from collections.abc import Iterable, Sequence
from http import HTTPStatus
from io import BytesIO
from typing import Any, TextIO
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import to_json
from werkzeug.datastructures import MultiDict
from werkzeug.exceptions import (
    HTTPException,
    RequestEntityTooLarge,
    UnprocessableEntity,
    UnsupportedMediaType,
)

from predict.scoring.inputs import Instance, InstanceError
from predict.scoring.predictor import Places, Predictor
from predict.scoring.values import shorten
from predict.settings import Settings

PROBLEM_TYPE = "application/problem+json"
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
_ERRORS_SHOWN = 10
_MOST_ERRORS = 1_000
# Where the shortcut leaves what went wrong, for Flask to report.
_FAILURE = "predict.failure"
LOG_TIME = "%Y-%m-%d %H:%M:%S"

log = logging.getLogger("predict")


class PredictRequest(BaseModel):
    """What `/predict` is asked: exactly one of `text`, `texts` and `instances`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str | None = None
    # The first element that is wrong will do: a long list of them should not take long.
    texts: list[str] | None = Field(default=None, min_length=1, fail_fast=True)
    instances: list[dict[str, Any]] | None = Field(default=None, min_length=1, fail_fast=True)
    top_k: int | None = Field(default=None, ge=1)
    # What `/predict/example` says of the answer. It is not looked at: an example can be posted as it is.
    expected: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> "PredictRequest":
        given = [name for name in ("text", "texts", "instances") if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none of them"
            raise ValueError(f"expected exactly one of text, texts and instances, got {got}")
        return self


class ExampleRequest(BaseModel):
    """What `/predict/example` is asked."""

    model_config = ConfigDict(extra="forbid")

    # Which example, from 0.
    number: int = 0


def create_app(predictor: Predictor, settings: Settings | None = None) -> Flask:
    """Make the application that serves one model.

    Args:
        predictor: A loaded model; it has already answered its golden examples.
        settings: Limits and logging; the defaults if None.
    """
    settings = settings or Settings()
    app = Flask("predict", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    answer = _Answer(predictor, settings)
    _add_routes(app, predictor, answer)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(InstanceError, _instance_problem)
    app.register_error_handler(ValidationError, _request_problem)
    app.register_error_handler(Exception, _our_fault)
    if settings.log_texts:
        app.before_request(_log_body)
    else:
        app.wsgi_app = _Shortcut(app.wsgi_app, answer, settings)  # type: ignore[method-assign]
    if settings.log_requests:
        app.wsgi_app = _RequestLog(app.wsgi_app, sys.stderr)  # type: ignore[method-assign]
    return app


class _Answer:
    """A validated request -> the JSON of its answer."""

    def __init__(self, predictor: Predictor, settings: Settings) -> None:
        self._predictor, self._settings = predictor, settings

    def __call__(self, asked: PredictRequest) -> bytes:
        instances, places = self._instances_of(asked)
        predictions = self._predictor.predict(instances, asked.top_k, places)
        return to_json({"predictions": predictions, "model": self._predictor.metadata.name})

    def _instances_of(self, asked: PredictRequest) -> tuple[Sequence[Instance], Places]:
        """Return the instances, checked, and how to call each of them in a message."""
        places: Places
        if asked.text is not None:
            places = _the_text
            return self._predictor.check_texts([asked.text], places), places
        if asked.texts is not None:
            self._check_count(len(asked.texts), "texts")
            places = "texts.{}".format
            return self._predictor.check_texts(asked.texts, places), places
        assert asked.instances is not None  # PredictRequest has seen to it
        self._check_count(len(asked.instances), "instances")
        places = "instances.{}".format
        self._predictor.check(asked.instances, places)
        return asked.instances, places

    def _check_count(self, count: int, place: str) -> None:
        most = self._settings.max_instances
        if count > most:
            raise RequestEntityTooLarge(f"{place}: expected at most {most}, got {count}.")


def _the_text(index: int) -> str:
    return "text"


class _Shortcut:
    """Answers a plain `POST /predict` before Flask, whose routing costs more than the model's answer.

    Whatever is not plain goes on to Flask, and every error too: there is one place that knows about errors.
    """

    def __init__(self, flask: WSGIApplication, answer: _Answer, settings: Settings) -> None:
        self._flask, self._answer, self._most_bytes = flask, answer, settings.max_body_bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH", "")
        if not (
            environ["PATH_INFO"] == "/predict"
            and environ["REQUEST_METHOD"] == "POST"
            and environ.get("CONTENT_TYPE") == "application/json"
            and length.isdecimal()
            and int(length) <= self._most_bytes
        ):
            return self._flask(environ, start_response)
        body = environ["wsgi.input"].read(int(length))
        try:
            answer = self._answer(PredictRequest.model_validate_json(body))
        except Exception as error:
            environ["wsgi.input"] = BytesIO(body)
            environ[_FAILURE] = error
            return self._flask(environ, start_response)
        start_response(
            "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
        )
        return [answer]


class _RequestLog:
    """Writes one line a request: when, what was asked, the status, how long it took.

    It writes by itself, for the logging module would take ten times as long as the whole line (30 µs, a
    fifth of an answer).
    """

    def __init__(self, application: WSGIApplication, stream: TextIO) -> None:
        self._application, self._write = application, stream.write

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        started = time.perf_counter()

        def start_and_log(status: str, *more: Any) -> Any:
            elapsed_ms = (time.perf_counter() - started) * 1000
            # The path as Python writes it: a line break in it must not look like another line.
            asked = f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']!r}"
            # A log that nobody reads any more is no reason not to answer.
            with contextlib.suppress(OSError, ValueError):
                self._write(
                    f"{time.strftime(LOG_TIME)} INFO {asked} {status[:3]} {elapsed_ms:.1f} ms\n"
                )
            return start_response(status, *more)

        return self._application(environ, start_and_log)


def problem(status: int, detail: str, errors: Sequence[dict[str, str]] = ()) -> Response:
    """Build an RFC 9457 answer; `errors` are `{"place": …, "message": …}` dicts."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = list(errors)
    return Response(to_json(body), status, content_type=PROBLEM_TYPE)


def _add_routes(app: Flask, predictor: Predictor, answer: _Answer) -> None:
    name = predictor.metadata.name

    @app.route("/predict", methods=["GET", "POST"])
    def predict() -> Response:
        _raise_failure(request.environ)
        return Response(answer(_read_request()), content_type="application/json")

    @app.get("/predict/example")
    def example() -> Response:
        asked = ExampleRequest.model_validate(_read_fields(request.args))
        return _json(predictor.example(asked.number))

    @app.get("/health")
    def health() -> Response:
        return _json({"status": "alive"})

    @app.get("/ready")
    def ready() -> Response:
        # A predictor exists only when its golden examples were answered as after training.
        return _json({"status": "ready", "model": name})

    @app.get("/model")
    def model() -> Response:
        left_out = {"files", "checksum", "examples"}
        return _json(predictor.metadata.model_dump(exclude=left_out, exclude_unset=True))


def _raise_failure(environ: WSGIEnvironment) -> None:
    failure: Exception | None = environ.pop(_FAILURE, None)
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # or its traceback would keep it, and the body with it, until the next garbage collection


def _json(body: Any) -> Response:
    return Response(to_json(body), content_type="application/json")


def _read_request() -> PredictRequest:
    if request.method in ("GET", "HEAD"):
        return PredictRequest.model_validate(_read_fields(request.args), strict=False)
    if request.mimetype == "application/json":
        return PredictRequest.model_validate_json(request.get_data())
    if request.mimetype in _FORM_TYPES:
        return PredictRequest.model_validate(_read_fields(request.form), strict=False)
    got = request.mimetype or "none"
    raise UnsupportedMediaType(f"Content-Type: expected application/json or a form, got {got}.")


def _read_fields(fields: MultiDict[str, str]) -> dict[str, str]:
    for name, values in fields.lists():
        if len(values) > 1:
            raise UnprocessableEntity(f"{shorten(name)}: expected once, got {len(values)} times.")
    return fields.to_dict()


def _http_problem(error: HTTPException) -> Response:
    response = problem(error.code or 500, error.description or "")
    for key, value in error.get_headers():
        if key.lower() == "allow":
            response.headers[key] = value
    return response


def _instance_problem(error: InstanceError) -> Response:
    errors = [{"place": place, "message": message} for place, message in error.problems]
    return problem(422, str(error), errors)


def _request_problem(error: ValidationError) -> Response:
    if (count := error.error_count()) > _MOST_ERRORS:  # to list them takes longer than to find them
        known = ", ".join(PredictRequest.model_fields)
        return problem(422, f"body: {count} problems, most of them unknown fields; known: {known}")
    first = error.errors(include_url=False, include_context=False)[:_ERRORS_SHOWN]
    status = 400 if first[0]["type"] == "json_invalid" else 422
    errors = [
        {
            "place": ".".join(shorten(str(part)) for part in item["loc"]) or "body",
            "message": item["msg"],
        }
        for item in first
    ]
    detail = "; ".join(f"{item['place']}: {item['message']}" for item in errors)
    return problem(status, detail, errors)


def _our_fault(error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "The server failed on this request; its log says why.")


def _log_body() -> None:
    # As Python writes it: a line break in a text must not look like another line.
    log.info("%s %s %r", request.method, request.full_path, request.get_data(as_text=True))
