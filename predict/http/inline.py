"""What an event loop may answer itself: small requests for a quick model that wait for nobody and compute little."""

from collections.abc import Callable
from urllib.parse import unquote_plus

# Answers that may wait for other processes, or for a model that is loaded.
METRICS = "/metrics"
_WAITING = (METRICS, "/admin/", "/drift", "/feedback", "/models")
# But for these, which begin like some of them and wait for nobody.
_NOT_WAITING = ("/models/", "/predict")
_EXPLAINED_PATH, _EXPLAIN = "/predict", "explain"


def may_wait(path: str) -> bool:
    """Return whether the answer to a path may wait for somebody.

    >>> may_wait("/models"), may_wait("/models/spam/predict"), may_wait("/predict")
    (True, False, False)
    """
    begin, end = _NOT_WAITING
    return path.startswith(_WAITING) and not (path.startswith(begin) and path.endswith(end))


def may_be_explained(path: str, query: str, body: Callable[[], bytes]) -> bool:
    """Return whether an explanation may be asked for, which may take a hundred times as long.

    It may wherever the address or the body has the word, be it in a text. One that is written with escapes is not seen.
    """
    if not path.endswith(_EXPLAINED_PATH):
        return False
    if query and _EXPLAIN in unquote_plus(query):
        return True
    return _EXPLAIN.encode() in body()
