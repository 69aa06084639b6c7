"""The HTTP application: routes and errors. `create_app(predictor)` makes it; nothing happens at import."""

import logging
import time
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, g, request
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import to_json
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge, UnsupportedMediaType

from predict.predictor import Instance, InstanceError, Predictor
from predict.settings import Settings

PROBLEM_TYPE = "application/problem+json"
_FORM_TYPES = ("application/x-www-form-urlencoded", "multipart/form-data")
_ERRORS_SHOWN = 10

log = logging.getLogger("predict")


class PredictRequest(BaseModel):
    """What `/predict` is asked: exactly one of `text`, `texts` and `instances`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    text: str | None = None
    texts: list[str] | None = Field(default=None, min_length=1)
    instances: list[dict[str, Any]] | None = Field(default=None, min_length=1)
    top_k: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def _exactly_one(self) -> "PredictRequest":
        given = [name for name in ("text", "texts", "instances") if getattr(self, name) is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none of them"
            raise ValueError(f"expected exactly one of text, texts and instances, got {got}")
        return self


def create_app(predictor: Predictor, settings: Settings | None = None) -> Flask:
    """Make the application that serves one model.

    Args:
        predictor: A loaded model; it has already answered its golden examples.
        settings: Limits and logging; the defaults if None.
    """
    settings = settings or Settings()
    app = Flask("predict", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    _add_routes(app, predictor, settings)
    app.register_error_handler(HTTPException, _http_problem)
    app.register_error_handler(InstanceError, _instance_problem)
    app.register_error_handler(ValidationError, _request_problem)
    app.register_error_handler(Exception, _our_fault)
    if settings.log_requests:
        app.before_request(_start_clock)
        app.after_request(_log_request)
    return app


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


def _add_routes(app: Flask, predictor: Predictor, settings: Settings) -> None:
    name = predictor.metadata.name

    @app.route("/predict", methods=["GET", "POST"])
    def predict() -> Response:
        asked = _read_request()
        instances = _instances_of(asked, predictor, settings)
        predictions = predictor.predict(instances, asked.top_k)
        return _json({"predictions": predictions, "model": name})

    @app.get("/health")
    def health() -> Response:
        return _json({"status": "alive"})

    @app.get("/ready")
    def ready() -> Response:
        # A predictor exists only when its golden examples were answered as after training.
        return _json({"status": "ready", "model": name})

    @app.get("/model")
    def model() -> Response:
        return _json(predictor.metadata.model_dump(exclude={"files", "checksum"}))


def _json(body: Any) -> Response:
    return Response(to_json(body), content_type="application/json")


def _read_request() -> PredictRequest:
    if request.method == "GET":
        return PredictRequest.model_validate(request.args.to_dict(), strict=False)
    if request.mimetype == "application/json":
        return PredictRequest.model_validate_json(request.get_data(cache=False))
    if request.mimetype in _FORM_TYPES:
        return PredictRequest.model_validate(request.form.to_dict(), strict=False)
    got = request.mimetype or "none"
    raise UnsupportedMediaType(f"Content-Type: expected application/json or a form, got {got}.")


def _instances_of(asked: PredictRequest, predictor: Predictor, settings: Settings) -> Sequence[Instance]:
    if asked.text is not None:
        instances, place = [predictor.instance_of(asked.text)], "text"
    elif asked.texts is not None:
        _check_count(len(asked.texts), "texts", settings)
        instances, place = [predictor.instance_of(text) for text in asked.texts], "texts"
    else:
        assert asked.instances is not None  # PredictRequest has seen to it
        _check_count(len(asked.instances), "instances", settings)
        instances, place = list(asked.instances), "instances"
    predictor.check(instances, place)
    return instances


def _check_count(count: int, place: str, settings: Settings) -> None:
    if count > settings.max_instances:
        raise RequestEntityTooLarge(f"{place}: expected at most {settings.max_instances}, got {count}.")


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
    first = error.errors(include_url=False, include_context=False)[:_ERRORS_SHOWN]
    status = 400 if first[0]["type"] == "json_invalid" else 422
    errors = [
        {"place": ".".join(map(str, item["loc"])) or "body", "message": item["msg"]} for item in first
    ]
    detail = "; ".join(f"{item['place']}: {item['message']}" for item in errors)
    return problem(status, detail, errors)


def _our_fault(error: Exception) -> Response:
    log.error("%s %s failed", request.method, request.path, exc_info=error)
    return problem(500, "The server failed on this request; its log says why.")


def _start_clock() -> None:
    g.started = time.perf_counter()


def _log_request(response: Response) -> Response:
    elapsed_ms = (time.perf_counter() - g.started) * 1000
    log.info("%s %s %d %.1f ms", request.method, request.path, response.status_code, elapsed_ms)
    return response
