"""The models that are served, each under its name; any of them can be changed while the server answers.

A change has two steps. The first loads what is new beside what answers, and may fail. The second makes it answer, and
cannot fail, so that several processes can make the same change together.
"""

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

from predict.contract.artefact import ArtefactError, load_artefact
from predict.hosting.shadow import Shadow, told
from predict.monitoring.monitor import ModelMonitor
from predict.scoring.predictor import Predictor
from predict.settings import DEFAULT_MODEL
from predict.wording import did_you_mean, iso_time, listed, shorten

log = logging.getLogger("predict")

# Is told of a change: the name of the model, and `loaded` or `refused`.
Note = Callable[[str, str], object]
Watch = Callable[[Predictor], ModelMonitor]
# By name: the directories of the model that answers, of the one before and of the shadow.
Standing = Mapping[str, Sequence[str | None]]


class HostingError(Exception):
    """Models that cannot be changed as somebody asked. The message says why and what to do."""


class UnknownModelError(HostingError):
    """No model has this name."""


class NoModelError(HostingError):
    """A name is served, but nothing answers for it yet."""


@dataclass(frozen=True)
class Change:
    """A change that is prepared; called, it is made.

    Attributes:
        directories: What it lets answer, or score in a shadow, by a name for each. Processes that prepare the same
            change compare them.
        make: Makes it.
        forget: Is called instead where it is not to be made.
    """

    directories: Mapping[str, str]
    make: Callable[[], object]
    forget: Callable[[], object] = lambda: None

    def __call__(self) -> None:
        """Make it."""
        self.make()


@dataclass(frozen=True)
class Loaded:
    """A model that has answered its golden examples.

    A request takes one and is answered by it from its first instance to its last, whatever is loaded meanwhile.

    Attributes:
        predictor: What answers.
        directory: Where it was read, no link; None for a predictor that was made elsewhere.
        since: When it was loaded, in seconds since 1970.
        monitor: What is seen of its answers.
        shadow: Another model that scores the same in the background, if there is one.
    """

    predictor: Predictor
    directory: Path | None
    since: float
    monitor: ModelMonitor
    shadow: Shadow | None = None

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
class _Place:
    """Where the configuration says that something is, and what was there when we last looked."""

    path: Path | None = None
    there: object = None
    # Whether that could not be loaded.
    refused: bool = False

    def moved_to(self, path: Path | None) -> bool:
        """Look, and return whether something else is there now."""
        before, there = (self.path, self.there), None if path is None else _what_is_at(path)
        self.path, self.there = path, there
        return before != (path, there)


class _Hosted:
    """What is known of one name."""

    def __init__(self) -> None:
        # None for a name whose first artefact was refused.
        self.live: Loaded | None = None
        self.place, self.shadow_place = _Place(), _Place()
        self.previous: Path | None = None
        self.refusal: Refusal | None = None


def _watch(predictor: Predictor) -> ModelMonitor:
    return ModelMonitor(predictor.metadata, predictor.unknown_shares)


class Models:
    """Every model that is served. All methods may be called by several threads."""

    def __init__(
        self,
        places: Mapping[str, Path],
        shadows: Mapping[str, Path] | None = None,
        standing: Standing | None = None,
        watch: Watch = _watch,
    ) -> None:
        """Load a model for each name.

        Args:
            places: Name -> artefact directory, or a link to one. The default model is called `default`; where none
                is, it is the first.
            shadows: The same for models that score beside those of the same names.
            standing: What `standing` of another process returns that serves the same: it is served here too, instead
                of what is at the places, and what that process has refused is not tried.
            watch: Makes the monitor of a model that is loaded.

        Raises:
            ArtefactError: One cannot be loaded, or does not answer as it did after training.
            UnknownModelError: A shadow has no model beside it.
        """
        self._changing = threading.Lock()
        # Are told of every attempt to change a model.
        self.listeners: list[Note] = []
        self._watch = watch
        self._hosted: dict[str, _Hosted] = {name: _Hosted() for name in places}
        self._default = _default_of(self._hosted)
        for name, hosted in self._hosted.items():
            hosted.place.moved_to(places[name])
            if standing is None:
                hosted.live = self._load(places[name])
        for name, place in (shadows or {}).items():
            hosted = self._of(name)
            hosted.shadow_place.moved_to(place)
            if standing is None:
                self._prepare_shadow(hosted, name, place)()
        if standing is not None:
            self._take_over(standing)

    def _take_over(self, standing: Standing) -> None:
        for name, hosted in self._hosted.items():
            live, previous, shadow = standing.get(name, (None, None, None))
            if live is None:
                reason = "The other processes of this server have refused it; their log tells why."
                hosted.refusal = Refusal(str(hosted.place.path), reason, time.time())
                hosted.place.refused = True
                continue
            hosted.live = self._load(Path(live))
            hosted.previous = None if previous is None else Path(previous)
            if shadow is not None:
                self._prepare_shadow(hosted, name, Path(shadow))()

    @classmethod
    def of(cls, predictor: Predictor) -> Self:
        """Serve one predictor, which is loaded already, as the default model."""
        models = cls({})
        hosted = _Hosted()
        hosted.live = Loaded(predictor, None, time.time(), _watch(predictor))
        models._hosted = {DEFAULT_MODEL: hosted}
        return models

    @property
    def names(self) -> list[str]:
        """The names of the models, the default one included."""
        return list(self._hosted)

    @property
    def loaded_names(self) -> list[str]:
        """The names for which a model answers: all, but for one whose first artefact was refused."""
        return [name for name, hosted in self._hosted.items() if hosted.live is not None]

    @property
    def default(self) -> str:
        """The name of the model that answers where none is named."""
        return self._default

    def current(self, name: str | None = None) -> Loaded:
        """Return what answers now for a name, None being the default model.

        Raises:
            UnknownModelError, NoModelError: There is none.
        """
        hosted = self._of(self._default if name is None else name)
        if hosted.live is None:
            raise NoModelError(
                f"{name or self._default}: its artefact was refused; GET /models tells why."
            )
        return hosted.live

    def require(self, name: str) -> None:
        """Raise UnknownModelError unless the name is served, whether or not something answers for it yet."""
        self._of(name)

    def swap(self, name: str, path: Path) -> Change:
        """Load another artefact beside the one that answers.

        Args:
            name: Of a model that is served.
            path: An artefact directory, or a link to one.

        Returns:
            The change that lets it answer.

        Raises:
            UnknownModelError: There is no such model.
            ArtefactError: The artefact is not taken; the one before answers on, and `states` tells the reason.
        """
        with self._changing:
            return self._prepare(self._of(name), name, path)

    def roll_back(self, name: str) -> Change:
        """Load the artefact that answered before the last change; return the change that lets it answer again.

        Raises:
            UnknownModelError: There is no such model.
            HostingError: Nothing answered before.
            ArtefactError: It cannot be loaded any more.
        """
        with self._changing:
            hosted = self._of(name)
            if hosted.previous is None:
                raise HostingError(
                    f"{name}: no model answered before this one, so there is none to go back to."
                )
            return self._prepare(hosted, name, hosted.previous)

    def shadow(self, name: str, path: Path | None) -> Change:
        """Load an artefact that is to score beside a model; return the change that lets it. None ends the shadow.

        Raises:
            UnknownModelError: There is no such model.
            ArtefactError: The artefact is not taken.
        """
        with self._changing:
            return self._prepare_shadow(self._of(name), name, path)

    def follow(
        self,
        places: Mapping[str, Path],
        shadows: Mapping[str, Path] | None = None,
        retry: bool = False,
    ) -> Change:
        """Load what has changed at the places that the configuration names, such as a link that points elsewhere.

        What cannot be loaded is logged and left; a change that a person made stays until its place changes.

        Args:
            places: As for a new object; a name that is new is added, and one that is gone is removed.
            shadows: The same.
            retry: Whether to try again what was refused.

        Returns:
            The change that lets all of it answer.
        """
        with self._changing:
            kept = {name: self._hosted.get(name) or _Hosted() for name in places}
            changes, looked_at = list[Change](), list[_Place]()
            for name, hosted in kept.items():
                place, shadow = places[name], (shadows or {}).get(name)
                for at, path, prepare in (
                    (hosted.place, place, partial(self._prepare, hosted, name, place)),
                    (
                        hosted.shadow_place,
                        shadow,
                        partial(self._prepare_shadow, hosted, name, shadow),
                    ),
                ):
                    if at.moved_to(path) or (retry and at.refused):
                        looked_at.append(at)
                        at.refused = True
                        with suppress(ArtefactError):  # it is logged, and `states` tells it
                            changes.append(prepare())
                            at.refused = False

        def make() -> None:
            for change in changes:
                change()
            if kept:
                for name in self._hosted.keys() - kept.keys():
                    log.info("model %s: not served any more", name)
                    _end_shadow(self._hosted[name])
                # A new dictionary: whoever is reading the old one goes on reading it.
                self._hosted, self._default = kept, _default_of(kept)

        def forget() -> None:
            for place in looked_at:
                place.there = None  # so that the next look finds it new

        directories = {
            key: value for change in changes for key, value in change.directories.items()
        }
        return Change(directories, make, forget)

    def standing(self) -> Standing:
        """Return the directories of the model that answers, of the one before and of the shadow, by name."""
        return {name: _directories_of(hosted) for name, hosted in self._hosted.items()}

    def states(self) -> list[dict[str, Any]]:
        """Return what is known of each model, in this process; `combined` makes of it what people want to know."""
        return [self._state(name, hosted) for name, hosted in self._hosted.items()]

    def _state(self, name: str, hosted: _Hosted) -> dict[str, Any]:
        state: dict[str, Any] = {"name": name, "default": name == self._default}
        if hosted.live is not None:
            metadata = hosted.live.predictor.metadata
            state |= {
                "artefact": metadata.name,
                "directory": "" if hosted.live.directory is None else hosted.live.directory.name,
                "created_at": metadata.created_at,
                "task": metadata.task,
                "loaded_at": iso_time(hosted.live.since),
            }
            if hosted.live.shadow is not None:
                state["shadow"] = hosted.live.shadow.counts()
        if hosted.previous is not None:
            state["previous"] = hosted.previous.name
        if (refusal := hosted.refusal) is not None:
            at = iso_time(refusal.at)
            state["refused"] = {"artefact": refusal.artefact, "reason": refusal.reason, "at": at}
        return state

    def _of(self, name: str) -> _Hosted:
        hosted = self._hosted.get(name)
        if hosted is None:
            known = self.names
            raise UnknownModelError(
                f"no model is called {shorten(name)!r}.{did_you_mean(name, known)} Served: {listed(known)}."
            )
        return hosted

    def _prepare(self, hosted: _Hosted, name: str, path: Path) -> Change:
        loaded = self._load_or_refuse(hosted, name, path)

        def make() -> None:
            if hosted.live is not None:
                hosted.previous = hosted.live.directory
            shadow = None if hosted.live is None else hosted.live.shadow
            hosted.live, hosted.refusal = replace(loaded, shadow=shadow), None
            log.info("model %s: %s answers from now on (%s)", name, loaded.name, path)
            self._tell(name, "loaded")

        return Change({name: str(loaded.directory)}, make)

    def _prepare_shadow(self, hosted: _Hosted, name: str, path: Path | None) -> Change:
        loaded = None if path is None else self._load_or_refuse(hosted, name, path)
        shadow = None if loaded is None else Shadow(loaded.predictor, loaded.directory)

        def make() -> None:
            if hosted.live is None:
                return
            _end_shadow(hosted)
            hosted.live, hosted.refusal = replace(hosted.live, shadow=shadow), None
            if shadow is not None:
                shadow.start()
                log.info("model %s: %s scores in its shadow from now on", name, shadow.name)

        directory = "" if loaded is None else str(loaded.directory)
        return Change({f"the shadow of {name}": directory}, make)

    def _load_or_refuse(self, hosted: _Hosted, name: str, path: Path) -> Loaded:
        try:
            return self._load(path)
        except ArtefactError as error:
            hosted.refusal = Refusal(str(path), str(error), time.time())
            answers = "nothing answers" if hosted.live is None else f"{hosted.live.name} answers on"
            log.warning("model %s: an artefact is refused, %s: %s", name, answers, error)
            self._tell(name, "refused")
            raise

    def _tell(self, name: str, result: str) -> None:
        for listener in self.listeners:
            listener(name, result)

    def _load(self, path: Path) -> Loaded:
        artefact = load_artefact(path)
        predictor = Predictor(artefact)
        return Loaded(predictor, artefact.path, time.time(), self._watch(predictor))


def combined(states: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Return what people want to know of each model, of what the processes know that serve it."""
    combined = []
    for state in states[0]:
        if "shadow" in state:
            same = [other for each in states for other in each if other["name"] == state["name"]]
            counts = [other["shadow"] for other in same if "shadow" in other]
            state = {**state, "shadow": told(counts)}
        combined.append(state)
    return combined


def _directories_of(hosted: _Hosted) -> list[str | None]:
    live, shadow = hosted.live, None if hosted.live is None else hosted.live.shadow
    found = (
        None if live is None else live.directory,
        hosted.previous,
        None if shadow is None else shadow.directory,
    )
    return [None if path is None else str(path) for path in found]


def _end_shadow(hosted: _Hosted) -> None:
    if hosted.live is not None and hosted.live.shadow is not None:
        hosted.live.shadow.stop()


def _what_is_at(place: Path) -> object:
    """Return what changes when another artefact is at a place: a link that moves, or any file that is written."""
    directory = os.path.realpath(place)
    try:
        with os.scandir(directory) as files:
            seen = [(file.name, file.inode(), file.stat().st_mtime_ns) for file in files]
    except OSError:
        seen = []
    return directory, sorted(seen)


def _default_of(hosted: Mapping[str, object]) -> str:
    return DEFAULT_MODEL if DEFAULT_MODEL in hosted else next(iter(hosted), DEFAULT_MODEL)
