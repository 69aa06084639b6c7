"""The HTTP application: `create_app(models)` and its routes. Nothing happens at import."""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter
from wsgiref.types import WSGIApplication, WSGIEnvironment

from flask import Flask, Response, request
from werkzeug.exceptions import NotFound
from werkzeug.middleware.proxy_fix import ProxyFix

from predict.hosting.crew import Alone, Crew
from predict.hosting.models import Models, NoModelError, combined
from predict.http import operations
from predict.http.admin import add_admin_routes
from predict.http.answering import Answering
from predict.http.content import Content
from predict.http.descriptions import described
from predict.http.docs import add_docs
from predict.http.environment import ROUTE
from predict.http.failure import raise_failure
from predict.http.front import Front
from predict.http.keys import ADMIN_PATH, Keys
from predict.http.load import Load
from predict.http.monitoring import ROUTES, add_monitoring_routes
from predict.http.openapi import METADATA_LEFT_OUT, add_openapi_route
from predict.http.pages import add_page
from predict.http.platforms.routes import add_platform_routes
from predict.http.problems import answer_errors_with_problems
from predict.http.request_log import RequestLog, log_body
from predict.http.requests import (
    PredictRequest,
    Request,
    parse_predict_request,
    read_example_request,
    read_predict_request,
)
from predict.http.responses import json_response
from predict.http.shortcut import Quick, Shortcut
from predict.http.tracing import traced
from predict.monitoring.metrics import Metrics
from predict.settings import Settings
from predict.web.problems import problem

Layer = Callable[[WSGIApplication], WSGIApplication]


def create_app(
    models: Models,
    settings: Settings | None = None,
    crew: Crew | None = None,
    load: Load | None = None,
) -> Flask:
    """Make the application that serves models.

    Args:
        models: Loaded models. Each request asks which one is current.
        settings: Limits, keys and logging; the defaults if None.
        crew: All processes that serve these models; None if this is the only one.
        load: What the server counts; an idle one if None.

    Raises:
        SettingsError: A file of keys cannot be read; the packages of OpenTelemetry are not there.
    """
    settings, crew, load = settings or Settings(), crew or Alone(models), load or Load()
    app = Flask("predict", static_folder=None)
    app.request_class = Request
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    app.config["MAX_FORM_MEMORY_SIZE"] = settings.max_body_bytes
    answer = Answering(models, settings)
    keys = Keys(settings)
    app.before_request(lambda: _begin(keys))
    crew.on("states", lambda _: models.states())
    _add_routes(app, models, settings, answer, crew, load)
    add_admin_routes(app, models, settings, crew)
    quick = [*_quick(answer), *add_platform_routes(app, models, settings, answer, load)]
    add_page(app, settings, keys.needed)
    add_openapi_route(app, models, settings, keys)
    add_docs(app)
    metrics = Metrics([*(rule.rule for rule in app.url_map.iter_rules()), *ROUTES], load.numbers)
    models.listeners.append(metrics.reloaded)
    add_monitoring_routes(app, models, settings, metrics, crew)
    answer_errors_with_problems(app)
    if settings.log_texts:
        app.before_request(log_body)
    for layer in _layers(settings, keys, quick, metrics):
        app.wsgi_app = layer(app.wsgi_app)  # type: ignore[assignment, method-assign]
    return app


def _begin(keys: Keys) -> None:
    if request.url_rule is not None:
        request.environ[ROUTE] = rule = request.url_rule.rule
        # By the route, whatever the address looked like to those who judged it before.
        if rule.startswith(ADMIN_PATH) and (refusal := keys.refusal_of_admin(request.environ)):
            raise refusal
    raise_failure(request.environ)


def _quick(answer: Answering) -> list[Quick]:
    """Return our own routes that take the shortcut."""

    def read(body: bytes, _: WSGIEnvironment) -> PredictRequest:
        return parse_predict_request(body)

    def answered(
        model: str | None, asked: PredictRequest, environ: WSGIEnvironment, parse_s: float
    ) -> Content:
        return Content(answer(model, asked, environ, parse_s))

    return [Quick(rule, read, answered) for rule in ("/predict", "/models/<model>/predict")]


def _layers(
    settings: Settings, keys: Keys, quick: Sequence[Quick], metrics: Metrics
) -> Iterator[Layer]:
    """Yield what is put around Flask, from the inside out."""
    if not settings.log_texts:  # a body is logged inside Flask
        yield lambda flask: Shortcut(flask, quick, settings.max_body_bytes)
    yield lambda inner: Front(inner, settings, keys, metrics)
    if settings.log_requests:
        yield lambda inner: RequestLog(inner, sys.stderr, settings.log_format == "json")
    if settings.open_telemetry:
        yield traced
    if hops := settings.trusted_proxies:
        yield lambda inner: ProxyFix(inner, hops, hops, hops, x_prefix=hops)


def _add_routes(
    app: Flask, models: Models, settings: Settings, answer: Answering, crew: Crew, load: Load
) -> None:
    @described(operations.predict)
    def predict(model: str | None = None) -> Response:
        started = perf_counter()
        asked = read_predict_request()
        body = answer(model, asked, request.environ, perf_counter() - started)
        return Response(body, content_type="application/json")

    @described(operations.example)
    def example(model: str | None = None) -> Response:
        if not settings.show_examples:
            raise NotFound("Examples are switched off here (SHOW_EXAMPLES).")
        number, predictor = read_example_request().number, models.current(model).predictor
        if number is None:
            number = random.randrange(len(predictor.metadata.examples))
        return json_response(predictor.example(number))

    @described(operations.metadata)
    def metadata(model: str | None = None) -> Response:
        if not settings.show_model:
            raise NotFound("The metadata of models is switched off here (SHOW_MODEL).")
        shown = models.current(model).predictor.metadata
        body = shown.model_dump(exclude=set(METADATA_LEFT_OUT), exclude_unset=True)
        return json_response({**body, "num_examples": len(shown.examples)})

    @described(operations.every_model)
    def every_model() -> Response:
        if not settings.show_model:
            return json_response({"models": [{"name": name} for name in models.names]})
        return json_response({"models": combined(crew.ask("states"))})

    @described(operations.HEALTH)
    def health() -> Response:
        return json_response({"status": "alive"})

    @described(operations.READY)
    def ready() -> Response:
        if why := load.why_not_ready():
            return problem(503, why)
        try:
            # A model is there only once it has answered its golden examples as after training.
            return json_response({"status": "ready", "model": models.current().name})
        except NoModelError as error:
            return problem(503, str(error))

    for_each_model: dict[str, Callable[..., Response]] = {
        "/predict": predict,
        "/predict/example": example,
    }
    for path, view in for_each_model.items():
        methods = ["GET", "POST"] if view is predict else ["GET"]
        app.add_url_rule(path, view_func=view, methods=methods)
        app.add_url_rule(f"/models/<model>{path}", view_func=view, methods=methods)
    app.add_url_rule("/model", view_func=metadata)
    app.add_url_rule("/models/<model>", view_func=metadata)
    app.add_url_rule("/models", view_func=every_model)
    app.add_url_rule("/health", view_func=health)
    app.add_url_rule("/ready", view_func=ready)
