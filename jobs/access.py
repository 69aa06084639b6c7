"""Who may ask: keys, compared in constant time and never written anywhere; and no page of another site."""

import hashlib
import hmac
from urllib.parse import urlsplit

from werkzeug.datastructures import Headers, WWWAuthenticate
from werkzeug.exceptions import Forbidden, HTTPException, Unauthorized

from jobs.settings import JobsSettings
from predict.settings import SettingsError

# The page, which asks for a key itself, and what a container's health check asks.
_OPEN_PATHS = ("/", "/page.js", "/page.css", "/health")
_HERE = ("localhost", "127.0.0.1", "::1")
_SCHEME = "bearer "


class Access:
    """Judges requests by their headers."""

    def __init__(self, settings: JobsSettings) -> None:
        """Read the keys.

        Raises:
            SettingsError: The file of keys cannot be read, or has none.
        """
        keys = [key.get_secret_value() for key in settings.api_keys]
        if (file := settings.api_keys_file) is not None:
            try:
                keys = file.read_text(encoding="utf-8-sig").split()
            except (OSError, UnicodeDecodeError) as error:
                raise SettingsError(f"API_KEYS_FILE: {file} cannot be read: {error}.") from None
            if not keys:
                raise SettingsError(f"API_KEYS_FILE: {file} has no key; expected one a line.")
        self._digests = [hashlib.sha256(key.encode()).digest() for key in keys]

    def has_key(self, authorization: str, api_key: str) -> bool:
        """Return whether a request has one of the keys; True if none is needed."""
        bearer = authorization[: len(_SCHEME)].lower() == _SCHEME
        given = authorization[len(_SCHEME) :].strip() if bearer else api_key
        digest = hashlib.sha256(given.encode("latin-1", "replace")).digest()
        # All of them are compared: the time must not tell which was close.
        return (
            any([hmac.compare_digest(digest, known) for known in self._digests])
            or not self._digests
        )

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
