"""The shortcut before Flask, whose routing costs more than the model's answer."""

from collections.abc import Callable, Iterable, Sequence
from io import BytesIO
from time import perf_counter
from typing import Any, NamedTuple
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from pydantic import ValidationError
from werkzeug.exceptions import HTTPException

from predict.http.content import JSON, Content
from predict.http.environment import ROUTE
from predict.http.failure import has_failed, leave_failure

_MODEL = "<model>"
# What most clients send that take whatever comes.
_ACCEPTS_JSON = ("*/*", JSON, None)


class Quick(NamedTuple):
    """A route that takes the shortcut.

    Attributes:
        rule: As Flask has it, with `<model>` or without.
        read: The body and the environment of a request -> what it asks.
        answer: The name of a model or None, what is asked, the environment, and the seconds that reading took -> the
            answer.
        negotiates: Whether an answer may be something else than JSON; a request that asks for it goes to Flask.
    """

    rule: str
    read: Callable[[bytes, WSGIEnvironment], Any]
    answer: Callable[[str | None, Any, WSGIEnvironment, float], Content]
    negotiates: bool = False


class Shortcut:
    """A WSGI application that answers a plain `POST` of JSON to some routes, and hands everything else to Flask.

    Errors go to Flask too, so that one place knows about errors.
    """

    def __init__(
        self, flask: WSGIApplication, routes: Sequence[Quick], max_body_bytes: int
    ) -> None:
        """Put the shortcut before an application.

        Args:
            flask: What answers everything else.
            routes: What is answered here.
            max_body_bytes: A larger body goes to Flask, which refuses it.
        """
        self._flask, self._max_body_bytes = flask, max_body_bytes
        self._exact = {quick.rule: quick for quick in routes if _MODEL not in quick.rule}
        # The parts of an address before and after the name of a model.
        self._by_model: list[tuple[str, str, Quick]] = []
        for quick in routes:
            if _MODEL in quick.rule:
                before, after = quick.rule.split(_MODEL)
                self._by_model.append((before, after, quick))

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a plain request; hand any other to Flask."""
        length = environ.get("CONTENT_LENGTH", "")
        if not (
            environ["REQUEST_METHOD"] == "POST"
            and environ.get("CONTENT_TYPE") == JSON
            and not environ["QUERY_STRING"]
            and length.isdecimal()
            and int(length) <= self._max_body_bytes
            and not has_failed(environ)
        ):
            return self._flask(environ, start_response)
        quick, model = self._find(environ["PATH_INFO"])
        if quick is None or (quick.negotiates and environ.get("HTTP_ACCEPT") not in _ACCEPTS_JSON):
            return self._flask(environ, start_response)
        environ[ROUTE] = quick.rule
        body = environ["wsgi.input"].read(int(length))
        started = perf_counter()
        try:
            asked = quick.read(body, environ)
        except (ValidationError, HTTPException):
            # Flask's way reads it again, in whatever characters it is written.
            environ["wsgi.input"] = BytesIO(body)
            return self._flask(environ, start_response)
        try:
            answer = quick.answer(model, asked, environ, perf_counter() - started)
        except Exception as error:
            environ["wsgi.input"] = BytesIO(body)
            leave_failure(environ, error)
            return self._flask(environ, start_response)
        start_response(
            "200 OK",
            [
                ("Content-Type", answer.type),
                ("Content-Length", str(len(answer.body))),
                *answer.headers,
            ],
        )
        return [answer.body]

    def _find(self, path: str) -> tuple[Quick | None, str | None]:
        """Return the route of an address, and the model that it names."""
        quick = self._exact.get(path)
        if quick is not None:
            return quick, None
        for before, after, named in self._by_model:
            end = len(path) - len(after)
            if path.startswith(before) and path.endswith(after) and end >= len(before):
                model = path[len(before) : end]
                if "/" not in model:
                    return named, model
        return None, None
