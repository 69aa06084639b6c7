"""Keys, compared in constant time and never written anywhere."""

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path

from pydantic import SecretStr

from predict.settings import SettingsError

_BEARER = "bearer "


def is_one_of(known: Sequence[bytes], authorization: str, key: str) -> bool:
    """Return whether a request has a key.

    Args:
        known: As `digests` returns them.
        authorization: The request's header `Authorization`; a bearer token there counts before `key`.
        key: Its header `X-API-Key`.
    """
    bears = authorization[: len(_BEARER)].lower() == _BEARER
    given = authorization[len(_BEARER) :].strip() if bears else key
    digest = hashlib.sha256(given.encode("latin-1", "replace")).digest()
    # Each is compared: the time must not tell which one was close. Digests hide the length as well.
    return any([hmac.compare_digest(digest, other) for other in known])


def digests(secrets: Sequence[SecretStr], file: Path | None, setting: str) -> list[bytes]:
    """Return the digests of keys: of those in a file, one a line, if there is a file.

    Raises:
        SettingsError: The file, which `setting` names, cannot be read or has no key.
    """
    keys = [secret.get_secret_value() for secret in secrets]
    if file is not None:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{setting}: {file} cannot be read: {error}.") from None
        keys = [line.strip() for line in lines if line.strip()]
        if not keys:
            raise SettingsError(f"{setting}: {file} has no key; expected one a line.")
    # A header reaches us as Latin-1, whatever it was: the bytes are what counts.
    return [hashlib.sha256(key.encode()).digest() for key in keys]
