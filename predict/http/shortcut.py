"""The shortcut before Flask, whose routing costs more than the model's answer."""

from collections.abc import Iterable
from io import BytesIO
from time import perf_counter
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from pydantic import ValidationError
from werkzeug.exceptions import UnprocessableEntity

from predict.http.answering import Answering
from predict.http.environment import ROUTE
from predict.http.failure import has_failed, leave_failure
from predict.http.requests import parse_predict_request

_MODELS, _PREDICT = "/models/", "/predict"
PREDICT_BY_NAME = "/models/<model>/predict"


class Shortcut:
    """A WSGI application that answers a plain `POST` to predict, and hands everything else to Flask.

    Errors go to Flask too, so that one place knows about errors.
    """

    def __init__(
        self,
        flask: WSGIApplication,
        answer: Answering,
        max_body_bytes: int,
    ) -> None:
        """Put the shortcut before an application.

        Args:
            flask: What answers everything else.
            answer: Turns a request into the JSON of its answer.
            max_body_bytes: A larger body goes to Flask, which refuses it.
        """
        self._flask, self._answer, self._max_body_bytes = flask, answer, max_body_bytes

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a plain request; hand any other to Flask."""
        path, length = environ["PATH_INFO"], environ.get("CONTENT_LENGTH", "")
        if not (
            path.endswith(_PREDICT)
            and environ["REQUEST_METHOD"] == "POST"
            and environ.get("CONTENT_TYPE") == "application/json"
            and not environ["QUERY_STRING"]
            and length.isdecimal()
            and int(length) <= self._max_body_bytes
            and not has_failed(environ)
        ):
            return self._flask(environ, start_response)
        model, route = None, _PREDICT
        if path != _PREDICT:
            model = path.removeprefix(_MODELS).removesuffix(_PREDICT)
            if path != f"{_MODELS}{model}{_PREDICT}":
                return self._flask(environ, start_response)
            route = PREDICT_BY_NAME
        environ[ROUTE] = route
        body = environ["wsgi.input"].read(int(length))
        started = perf_counter()
        try:
            asked = parse_predict_request(body)
        except (ValidationError, UnprocessableEntity):
            # Flask's way reads it again, in whatever characters it is written.
            environ["wsgi.input"] = BytesIO(body)
            return self._flask(environ, start_response)
        try:
            answer = self._answer(model, asked, environ, perf_counter() - started)
        except Exception as error:
            environ["wsgi.input"] = BytesIO(body)
            leave_failure(environ, error)
            return self._flask(environ, start_response)
        start_response(
            "200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))]
        )
        return [answer]
