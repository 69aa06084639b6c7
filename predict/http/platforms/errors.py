"""The shapes of the platforms' errors: what is an RFC 9457 problem everywhere else."""

from collections.abc import Callable
from typing import Any

from predict.settings import Settings

# The detail of a problem and its status -> the content of a platform's error.
_Shape = Callable[[str, int], dict[str, Any]]
# What our own routes tell apart, and the platforms do not.
_ONE_STATUS = {422: 400}
_ONE_STATUS_AND_TYPE = {422: 400, 415: 400}
# Names of mlflow/mlflow `mlflow/protos/databricks.proto`.
_MLFLOW_CODES = {
    400: "BAD_REQUEST",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    405: "ENDPOINT_NOT_FOUND",
    406: "BAD_REQUEST",
    413: "BAD_REQUEST",
    415: "BAD_REQUEST",
    503: "TEMPORARILY_UNAVAILABLE",
}


def _error(detail: str, status: int) -> dict[str, Any]:
    return {"error": detail}


def _message(detail: str, status: int) -> dict[str, Any]:
    return {"message": detail}


def _with_code(detail: str, status: int) -> dict[str, Any]:
    return {"error_code": _MLFLOW_CODES.get(status, "INTERNAL_ERROR"), "message": detail}


_Told = tuple[_Shape, dict[int, int]]
_PLAIN: _Told = (_error, _ONE_STATUS_AND_TYPE)
_BY_PATH: dict[str, _Told] = {
    "/v2": _PLAIN,
    "/invocations": (_with_code, _ONE_STATUS),
    "/ping": (_with_code, _ONE_STATUS),
    "/version": (_with_code, _ONE_STATUS),
    "/score": (_message, _ONE_STATUS),
    "/classify": _PLAIN,
}


class PlatformErrors:
    """Says what a problem becomes for a client of a platform."""

    def __init__(self, settings: Settings, our_rules: frozenset[str] = frozenset()) -> None:
        """Know the platforms' paths.

        Args:
            settings: Whether there are platforms, and the routes that Vertex AI has chosen.
            our_rules: Routes of our own, whose errors stay problems although Vertex AI has chosen them.
        """
        self._on = settings.platforms
        chosen = {settings.aip_health_route, settings.aip_predict_route} - our_rules
        self._by_path = {path: _PLAIN for path in chosen if path is not None} | _BY_PATH

    def of(self, method: str, path: str, status: int, detail: str) -> tuple[int, Any] | None:
        """Return the status and content of a platform's error; None if the path is none of a platform."""
        told = self._by_path.get(path)
        # A page is read with GET; Hugging Face's clients post.
        if path.startswith(("/v1/", "/v2/")) or (path == "/" and method == "POST"):
            told = _PLAIN
        if told is None or not self._on:
            return None
        shape, statuses = told
        status = statuses.get(status, status)
        return status, shape(detail, status)
