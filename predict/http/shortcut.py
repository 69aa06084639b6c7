"""The shortcut before Flask, whose routing costs more than the model's answer."""

from collections.abc import Callable, Iterable
from io import BytesIO
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from predict.http.requests import PredictRequest

# Where the shortcut leaves the exception that Flask is to report.
_FAILURE = "predict.failure"


class Shortcut:
    """A WSGI application that answers a plain `POST /predict` and hands everything else to Flask.

    Errors go to Flask too, so that one place knows about errors.
    """

    def __init__(
        self,
        flask: WSGIApplication,
        answer: Callable[[PredictRequest], bytes],
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
        length = environ.get("CONTENT_LENGTH", "")
        if not (
            environ["PATH_INFO"] == "/predict"
            and environ["REQUEST_METHOD"] == "POST"
            and environ.get("CONTENT_TYPE") == "application/json"
            and length.isdecimal()
            and int(length) <= self._max_body_bytes
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


def raise_failure(environ: WSGIEnvironment) -> None:
    """Raise the exception that the shortcut met with this request, if there was one."""
    failure: Exception | None = environ.pop(_FAILURE, None)
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # or its traceback would keep it, and the body with it, until the next garbage collection
