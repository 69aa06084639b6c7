"""The models that are served, each under its name; any of them can be changed while the server answers."""

import logging
import os
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from predict.contract.artefact import METADATA, ArtefactError, load_artefact
from predict.scoring.predictor import Predictor
from predict.settings import DEFAULT_MODEL
from predict.wording import did_you_mean, listed

log = logging.getLogger("predict")


class HostingError(Exception):
    """Models that cannot be changed as somebody asked. The message says why and what to do."""


class UnknownModelError(HostingError):
    """No model has this name."""


@dataclass(frozen=True)
class Loaded:
    """A model that has answered its golden examples.

    A request takes one and is answered by it from its first instance to its last, whatever is loaded meanwhile.

    Attributes:
        predictor: What answers.
        directory: Where it was read, no link; None for a predictor that was made elsewhere.
        since: When it was loaded, in seconds since 1970.
    """

    predictor: Predictor
    directory: Path | None
    since: float

    @property
    def name(self) -> str:
        """The name of its artefact."""
        return self.predictor.metadata.name


@dataclass(frozen=True)
class Refusal:
    """An artefact that was not taken.

    Attributes:
        artefact: Its path.
        reason: What is wrong with it, and how to mend it.
        at: When, in seconds since 1970.
    """

    artefact: str
    reason: str
    at: float


@dataclass
class _Hosted:
    """What is known of one name."""

    # None for a name whose first artefact was refused.
    live: Loaded | None
    # Where the configuration says that it is, and what was there when we last looked.
    place: Path | None = None
    seen: tuple[object, ...] | None = None
    previous: Path | None = None
    refusal: Refusal | None = None


class Models:
    """Every model that is served. All methods may be called by several threads."""

    def __init__(self, places: Mapping[str, Path]) -> None:
        """Load a model for each name.

        Args:
            places: Name -> artefact directory, or a link to one. The default model is called `default`; where none
                is, it is the first.

        Raises:
            ArtefactError: One cannot be loaded, or does not answer as it did after training.
        """
        self._changing = threading.Lock()
        self._hosted: dict[str, _Hosted] = {}
        for name, place in places.items():
            seen = _what_is_at(place)
            self._hosted[name] = _Hosted(_load(place), place, seen)
        self._default = _default_of(self._hosted)

    @classmethod
    def of(cls, predictor: Predictor) -> Self:
        """Serve one predictor, which is loaded already, as the default model."""
        models = cls({})
        models._hosted = {DEFAULT_MODEL: _Hosted(Loaded(predictor, None, time.time()))}
        models._default = DEFAULT_MODEL
        return models

    @property
    def names(self) -> list[str]:
        """The names of the models, the default one included."""
        return list(self._hosted)

    @property
    def default(self) -> str:
        """The name of the model that answers where none is named."""
        return self._default

    def current(self, name: str | None = None) -> Loaded:
        """Return what answers now for a name, None being the default model.

        Raises:
            UnknownModelError: There is none.
        """
        hosted = self._of(self._default if name is None else name)
        if hosted.live is None:
            raise UnknownModelError(f"{name}: its artefact was refused; GET /models tells why.")
        return hosted.live

    def swap(self, name: str, path: Path) -> Loaded:
        """Load another artefact beside the one that answers, and let it answer from then on.

        Args:
            name: Of a model that is served.
            path: An artefact directory, or a link to one.

        Raises:
            UnknownModelError: There is no such model.
            ArtefactError: The artefact is not taken; the one before answers on, and `states` tells the reason.
        """
        with self._changing:
            return self._swap(name, path)

    def roll_back(self, name: str) -> Loaded:
        """Load the artefact that answered before the last change, and let it answer again.

        Raises:
            UnknownModelError: There is no such model.
            HostingError: Nothing answered before.
            ArtefactError: It cannot be loaded any more.
        """
        with self._changing:
            previous = self._of(name).previous
            if previous is None:
                raise HostingError(
                    f"{name}: no model answered before this one, so there is none to go back to."
                )
            return self._swap(name, previous)

    def follow(self, places: Mapping[str, Path], retry: bool = False) -> None:
        """Load what has changed at the places that the configuration names, such as a link that points elsewhere.

        What cannot be loaded is logged and left; a change that a person made by `swap` stays until its place changes.

        Args:
            places: As for a new object; a name that is new is added, and one that is gone is removed.
            retry: Whether to try again what was refused.
        """
        with self._changing:
            for name, place in places.items():
                self._follow(name, place, retry)
            # A new dictionary: whoever is reading the old one goes on reading it.
            kept = {name: hosted for name, hosted in self._hosted.items() if name in places}
            for name in self._hosted.keys() - kept.keys():
                log.info("model %s: not served any more", name)
            if kept:
                self._hosted, self._default = kept, _default_of(kept)

    def states(self) -> list[dict[str, Any]]:
        """Return what people want to know of each model, ready for JSON."""
        return [self._state(name, hosted) for name, hosted in self._hosted.items()]

    def _state(self, name: str, hosted: _Hosted) -> dict[str, Any]:
        state: dict[str, Any] = {"name": name, "default": name == self._default}
        if hosted.live is not None:
            metadata = hosted.live.predictor.metadata
            state |= {
                "artefact": metadata.name,
                "created_at": metadata.created_at,
                "task": metadata.task,
                "loaded_at": _utc(hosted.live.since),
            }
        if hosted.previous is not None:
            state["previous"] = hosted.previous.name
        if (refusal := hosted.refusal) is not None:
            at = _utc(refusal.at)
            state["refused"] = {"artefact": refusal.artefact, "reason": refusal.reason, "at": at}
        return state

    def _of(self, name: str) -> _Hosted:
        hosted = self._hosted.get(name)
        if hosted is None:
            known = self.names
            raise UnknownModelError(
                f"no model is called {name!r}.{did_you_mean(name, known)} Served: {listed(known)}."
            )
        return hosted

    def _swap(self, name: str, path: Path) -> Loaded:
        hosted = self._of(name)
        try:
            loaded = _load(path)
        except ArtefactError as error:
            hosted.refusal = Refusal(str(path), str(error), time.time())
            answers = "nothing answers" if hosted.live is None else f"{hosted.live.name} answers on"
            log.warning("model %s: an artefact is refused, %s: %s", name, answers, error)
            raise
        if hosted.live is not None:
            hosted.previous = hosted.live.directory
        hosted.live, hosted.refusal = loaded, None
        log.info("model %s: %s answers from now on (%s)", name, loaded.name, path)
        return loaded

    def _follow(self, name: str, place: Path, retry: bool) -> None:
        if name not in self._hosted:
            self._hosted = self._hosted | {name: _Hosted(None)}
        hosted, there = self._hosted[name], _what_is_at(place)
        changed = (place, there) != (hosted.place, hosted.seen)
        if changed or (retry and hosted.refusal is not None):
            hosted.place, hosted.seen = place, there
            with suppress(ArtefactError):  # it is logged, and `states` tells it
                self._swap(name, place)


def _load(path: Path) -> Loaded:
    artefact = load_artefact(path)
    return Loaded(Predictor(artefact), artefact.path, time.time())


def _what_is_at(place: Path) -> tuple[object, ...]:
    """Return what changes when another artefact is at a place: a link that moves, or a directory that is replaced."""
    directory = os.path.realpath(place)
    try:
        there = os.stat(os.path.join(directory, METADATA))
    except OSError:
        return (directory,)
    return (directory, there.st_ino, there.st_mtime_ns)


def _default_of(hosted: Mapping[str, object]) -> str:
    return DEFAULT_MODEL if DEFAULT_MODEL in hosted else next(iter(hosted), DEFAULT_MODEL)


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
