"""The crew: all processes that serve, or the one there is. What concerns every process goes through it.

Processes talk in JSON over the connections of `multiprocessing`, in frames; nothing is pickled.
"""

import itertools
import logging
import threading
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Protocol

from predict.contract.artefact import ArtefactError
from predict.hosting.messages import ASK, DO, DONE, PREPARE, READY, TOLD, receive, send
from predict.hosting.models import Change, HostingError, Models, Standing, UnknownModelError

log = logging.getLogger("predict")

# Longer than the parent waits for all.
_PATIENCE_S = 200.0
_ERRORS: dict[str, type[Exception]] = {
    error.__name__: error for error in (ArtefactError, HostingError, UnknownModelError)
}

Handler = Callable[[Any], Any]


class Crew(Protocol):
    """What routes ask when something concerns every process."""

    def on(self, kind: str, handler: Handler) -> None:
        """Let a function answer questions of one kind; what it takes and returns must fit into JSON."""

    def ask(self, kind: str, content: Any = None) -> list[Any]:
        """Ask every process, this one included, and return the answers of those that have answered in time."""
        ...

    def change(self, change: Mapping[str, Any]) -> None:
        """Make a change of models in every process, or in none.

        Args:
            change: One of those that `predict.hosting.messages` makes.

        Raises:
            HostingError, ArtefactError: It cannot be made; see `Models`.
        """


def prepare(models: Models, change: Mapping[str, Any]) -> Change:
    """Take the first step of a change."""
    kind = change["do"]
    if kind == "swap":
        return models.swap(change["model"], Path(change["path"]))
    if kind == "roll_back":
        return models.roll_back(change["model"])
    if kind == "shadow":
        path = change["path"]
        return models.shadow(change["model"], None if path is None else Path(path))
    places, shadows = (
        {name: Path(path) for name, path in change[key].items()} for key in ("places", "shadows")
    )
    return models.follow(places, shadows, change["retry"])


class Alone:
    """The crew of one process."""

    def __init__(self, models: Models) -> None:
        self._models = models
        self._handlers: dict[str, Handler] = {}
        self._changing = threading.Lock()

    def on(self, kind: str, handler: Handler) -> None:
        """See `Crew`."""
        self._handlers[kind] = handler

    def ask(self, kind: str, content: Any = None) -> list[Any]:
        """See `Crew`."""
        return [self._handlers[kind](content)]

    def change(self, change: Mapping[str, Any]) -> None:
        """See `Crew`."""
        with self._changing:
            prepare(self._models, change)()


class Member:
    """A process among several, which a parent started; the parent hands on what one of them asks."""

    def __init__(
        self, models: Models, parent: Connection, parent_is_gone: Callable[[], None]
    ) -> None:
        """Join the crew.

        Args:
            models: Are changed as the parent says.
            parent: The connection with it.
            parent_is_gone: Is called, in a thread, when the parent has ended.
        """
        self._models, self._parent, self._parent_is_gone = models, parent, parent_is_gone
        self._handlers: dict[str, Handler] = {
            PREPARE: self._prepare,
            "commit": self._commit,
            "abort": self._abort,
        }
        self._prepared: Change | None = None
        self._sending = threading.Lock()
        self._numbers = itertools.count()
        self._asked: dict[int, SimpleQueue[Any]] = {}
        self._thread = threading.Thread(target=self._listen, name="crew", daemon=True)

    def start(self) -> None:
        """Tell the parent that this process can answer, and listen to it from then on."""
        self._send({"type": READY, "standing": self._models.standing()})
        self._thread.start()

    def on(self, kind: str, handler: Handler) -> None:
        """See `Crew`."""
        self._handlers[kind] = handler

    def ask(self, kind: str, content: Any = None) -> list[Any]:
        """See `Crew`."""
        replies: list[Any] = self._through_parent(kind, content)
        return replies

    def change(self, change: Mapping[str, Any]) -> None:
        """See `Crew`."""
        told = self._through_parent("change", dict(change))
        if told is not None:
            raise _ERRORS.get(told["error"], HostingError)(told["message"])

    def _through_parent(self, kind: str, content: Any) -> Any:
        number, answer = next(self._numbers), SimpleQueue[Any]()
        self._asked[number] = answer
        try:
            self._send({"type": ASK, "id": number, "kind": kind, "content": content})
            return answer.get(timeout=_PATIENCE_S)
        except (Empty, OSError):
            raise HostingError("The other processes of this server did not answer.") from None
        finally:
            del self._asked[number]

    def _listen(self) -> None:
        while (message := receive(self._parent)) is not None:
            if message["type"] == TOLD:
                if message["id"] in self._asked:  # else nobody waits any more
                    self._asked[message["id"]].put(message["content"])
            elif message["type"] == DO:
                reply = self._do(message["kind"], message["content"])
                self._send({"type": DONE, "id": message["id"], "reply": reply})
        self._parent_is_gone()

    def _do(self, kind: str, content: Any) -> Any:
        try:
            return {"value": self._handlers[kind](content)}
        except (ArtefactError, HostingError) as error:
            return {"error": type(error).__name__, "message": str(error)}
        except Exception as error:  # it must reach whoever asked, and this thread must go on
            log.exception("a question of the other processes failed: %s", kind)
            return {"error": HostingError.__name__, "message": f"{kind} failed: {error!r}"}

    def _prepare(self, change: Mapping[str, Any]) -> dict[str, str]:
        self._prepared = prepare(self._models, change)
        return dict(self._prepared.directories)

    def _commit(self, _: None) -> Standing:
        if self._prepared is not None:
            self._prepared()
        self._prepared = None
        return self._models.standing()

    def _abort(self, _: None) -> None:
        if self._prepared is not None:
            self._prepared.forget()
        self._prepared = None

    def _send(self, message: Mapping[str, Any]) -> None:
        with self._sending:
            send(self._parent, message)
