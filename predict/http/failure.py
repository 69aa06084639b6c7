"""Exceptions on their way to Flask: what is met before it is left with the request, and raised inside it.

So one place alone makes answers of errors.
"""

from wsgiref.types import WSGIEnvironment

_FAILURE = "predict.failure"


def leave_failure(environ: WSGIEnvironment, failure: Exception) -> None:
    """Leave an exception with a request."""
    environ[_FAILURE] = failure


def has_failed(environ: WSGIEnvironment) -> bool:
    """Return whether one was left."""
    return _FAILURE in environ


def raise_failure(environ: WSGIEnvironment) -> None:
    """Raise the exception that was left with a request, if there was one."""
    failure: Exception | None = environ.pop(_FAILURE, None)
    if failure is not None:
        try:
            raise failure
        finally:
            del failure  # or its traceback would keep it, and the body with it, until the next garbage collection
