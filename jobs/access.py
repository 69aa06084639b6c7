"""Who may ask: keys, compared in constant time and never written anywhere; and no page of another site."""

from urllib.parse import urlsplit

from werkzeug.datastructures import Headers, WWWAuthenticate
from werkzeug.exceptions import Forbidden, HTTPException, Unauthorized

from jobs.settings import JobsSettings
from predict.web.keys import digests, is_one_of

# The page, which asks for a key itself, and what a container's health check asks.
_OPEN_PATHS = ("/", "/page.js", "/page.css", "/health")
_HERE = ("localhost", "127.0.0.1", "::1")


class Access:
    """Judges requests by their headers."""

    def __init__(self, settings: JobsSettings) -> None:
        """Read the keys.

        Raises:
            SettingsError: The file of keys cannot be read, or has none.
        """
        self._digests = digests(settings.api_keys, settings.api_keys_file, "API_KEYS_FILE")

    def has_key(self, authorization: str, api_key: str) -> bool:
        """Return whether a request has one of the keys; True if none is needed."""
        return not self._digests or is_one_of(self._digests, authorization, api_key)

    def refusal(self, path: str, headers: Headers) -> HTTPException | None:
        """Return why a request is refused; None if it may be answered.

        A browser sends requests for any page that it shows. Without keys, it alone could tell them from the
        operator's own: so they are refused by the headers that it adds, and by a name that leads here but is not ours.
        """
        host = headers.get("Host", "")
        origin = headers.get("Origin")
        if origin is not None and urlsplit(origin).netloc != host:
            return Forbidden("Pages of other sites may not ask this service.")
        elsewhere = headers.get("Sec-Fetch-Site", "none") not in ("none", "same-origin")
        if elsewhere and path != "/":  # a link may lead to the page
            return Forbidden("Pages of other sites may not ask this service.")
        if not self._digests and urlsplit(f"//{host}").hostname not in _HERE:
            return Forbidden("Without a key, this service answers as localhost alone.")
        authorization, api_key = headers.get("Authorization", ""), headers.get("X-API-Key", "")
        if path in _OPEN_PATHS or self.has_key(authorization, api_key):
            return None
        return Unauthorized(
            "Expected a key in the header Authorization: Bearer …, or X-API-Key.",
            www_authenticate=WWWAuthenticate("bearer", {"realm": "the jobs"}),
        )
