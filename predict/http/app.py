"""The HTTP application: `create_app(predictor)` and its routes. Nothing happens at import."""

import sys
from collections.abc import Sequence
from typing import Any

from flask import Flask, Response, request
from pydantic_core import to_json
from werkzeug.exceptions import RequestEntityTooLarge

from predict.http.load import Load
from predict.http.problems import answer_errors_with_problems, problem
from predict.http.request_log import RequestLog, log_body
from predict.http.requests import PredictRequest, read_example_request, read_predict_request
from predict.http.shortcut import Shortcut, raise_failure
from predict.scoring.inputs import Instance
from predict.scoring.predictor import Places, Predictor
from predict.settings import Settings


def create_app(
    predictor: Predictor, settings: Settings | None = None, load: Load | None = None
) -> Flask:
    """Make the application that serves one model.

    Args:
        predictor: A loaded model; it has already answered its golden examples.
        settings: Limits and logging; the defaults if None.
        load: What the server counts; an idle one if None.
    """
    settings = settings or Settings()
    app = Flask("predict", static_folder=None)
    app.config["MAX_CONTENT_LENGTH"] = settings.max_body_bytes
    answer = _Answer(predictor, settings.max_instances)
    _add_routes(app, predictor, answer, load or Load())
    answer_errors_with_problems(app)
    if settings.log_texts:
        app.before_request(log_body)
    else:
        shortcut = Shortcut(app.wsgi_app, answer, settings.max_body_bytes)
        app.wsgi_app = shortcut  # type: ignore[method-assign]
    if settings.log_requests:
        app.wsgi_app = RequestLog(app.wsgi_app, sys.stderr)  # type: ignore[method-assign]
    return app


class _Answer:
    """A validated request -> the JSON of its answer."""

    def __init__(self, predictor: Predictor, max_instances: int) -> None:
        self._predictor, self._max_instances = predictor, max_instances

    def __call__(self, asked: PredictRequest) -> bytes:
        instances, places = self._instances_of(asked)
        predictions = self._predictor.predict(instances, asked.top_k, places)
        return to_json({"predictions": predictions, "model": self._predictor.metadata.name})

    def _instances_of(self, asked: PredictRequest) -> tuple[Sequence[Instance], Places]:
        """Return the checked instances, and how a message names each of them."""
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
        most = self._max_instances
        if count > most:
            raise RequestEntityTooLarge(f"{place}: expected at most {most}, got {count}.")


def _the_text(index: int) -> str:
    return "text"


def _add_routes(app: Flask, predictor: Predictor, answer: _Answer, load: Load) -> None:
    name = predictor.metadata.name

    @app.route("/predict", methods=["GET", "POST"])
    def predict() -> Response:
        raise_failure(request.environ)
        return Response(answer(read_predict_request()), content_type="application/json")

    @app.get("/predict/example")
    def example() -> Response:
        return _json(predictor.example(read_example_request().number))

    @app.get("/health")
    def health() -> Response:
        return _json({"status": "alive"})

    @app.get("/ready")
    def ready() -> Response:
        if why := load.why_not_ready():
            return problem(503, why)
        # A predictor exists only once it has answered its golden examples as after training.
        return _json({"status": "ready", "model": name})

    @app.get("/model")
    def model() -> Response:
        left_out = {"files", "checksum", "examples"}
        return _json(predictor.metadata.model_dump(exclude=left_out, exclude_unset=True))


def _json(body: Any) -> Response:
    return Response(to_json(body), content_type="application/json")
