"""Who may ask, and who may change models: keys, compared in constant time and never written anywhere."""

from collections.abc import Mapping, Sequence
from wsgiref.types import WSGIEnvironment

from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import Forbidden, HTTPException, Unauthorized

from predict.http.probes import Probes
from predict.settings import Settings
from predict.web.keys import digests, is_one_of

# Pages for people are the same for everybody, hold nothing of a model and ask for the key themselves. What is sent to
# the same address needs one.
PAGE_PATH, PAGE_FILES = "/", "/page/"
DOCS_PATH, DOCS_FILES = "/docs", "/docs/"
_READING = ("GET", "HEAD")
ADMIN_PATH = "/admin/"


class Keys:
    """The keys of clients and of administrators."""

    def __init__(self, settings: Settings) -> None:
        """Read the keys.

        Raises:
            SettingsError: A file of keys cannot be read, or has none.
        """
        self._clients = digests(settings.api_keys, settings.api_keys_file, "API_KEYS_FILE")
        token = [] if settings.admin_token is None else [settings.admin_token]
        # What a load balancer asks, which has no key.
        self._open = Probes(settings)
        self._admins = digests(token, settings.admin_token_file, "ADMIN_TOKEN_FILE")

    @property
    def needed(self) -> bool:
        """Whether an ordinary request needs a key."""
        return bool(self._clients)

    def needs_key(self, method: str, path: str) -> bool:
        """Return whether an ordinary request needs a key."""
        if not self._clients:
            return False
        is_page = path in (PAGE_PATH, DOCS_PATH) or path.startswith((PAGE_FILES, DOCS_FILES))
        return not ((path in self._open or is_page) and method in _READING)

    def may_upload(self, path: str, headers: Mapping[str, str]) -> bool:
        """Return whether a request, of which only the headers are there, may have a body as large as an artefact.

        Args:
            path: Of the request.
            headers: As waitress names them: `AUTHORIZATION`.
        """
        given = headers.get("AUTHORIZATION", ""), headers.get("X_API_KEY", "")
        return path.startswith(ADMIN_PATH) and is_one_of(self._admins, *given)

    def refusal_of_admin(self, environ: WSGIEnvironment) -> HTTPException | None:
        """Return why a request may not change models; None if it may."""
        if not self._admins:
            return Forbidden(
                "Nobody may change models here: no ADMIN_TOKEN is set in the server's settings."
            )
        return None if _has_one(self._admins, environ) else _unauthorized("the admin token")

    def refusal(self, environ: WSGIEnvironment) -> HTTPException | None:
        """Return why a request is refused; None if it may be answered."""
        # As the router reads it, which adds a slash and takes some away.
        path = "/" + environ["PATH_INFO"].lstrip("/")
        if path.startswith(ADMIN_PATH):
            return self.refusal_of_admin(environ)
        if not self.needs_key(environ["REQUEST_METHOD"], path) or _has_one(self._clients, environ):
            return None
        return _unauthorized("a key")


def _unauthorized(what: str) -> Unauthorized:
    return Unauthorized(
        f"Expected {what} in the header Authorization: Bearer …, or X-API-Key.",
        www_authenticate=WWWAuthenticate("bearer", {"realm": "the models"}),
    )


def _has_one(known: Sequence[bytes], environ: WSGIEnvironment) -> bool:
    authorization, key = environ.get("HTTP_AUTHORIZATION", ""), environ.get("HTTP_X_API_KEY", "")
    return is_one_of(known, authorization, key)
