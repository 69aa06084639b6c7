"""A Serve application that answers as the plain server does: the same routes, the same answers and the same errors.

`build` is what `serve run scale.serve:build` calls. Replicas do not know each other: each loads the models that its
`user_config` names, which has the keys of `conf/predict.conf`, and follows it when that changes.
"""

import asyncio
import logging
import os
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field
from ray import serve

from predict.hosting.crew import Alone
from predict.hosting.messages import followed
from predict.hosting.models import HostingError, Models
from predict.hosting.watching import following
from predict.http.app import create_app
from predict.http.load import Load
from predict.http.log_stream import logging_without_waiting
from predict.http.serving import is_quick, watched
from predict.scoring.predictor import EXAMPLE_TOLERANCE, Predictor
from predict.settings import DEFAULT_FILE, Settings, SettingsError, check_settings, load_settings
from predict.wording import iso_time
from scale.asgi import Adapter, Served

log = logging.getLogger("predict")

# The deployment's name, for `deployments:` in a file of Serve's.
DEPLOYMENT = "Predict"
# What Ray shows to everyone who reaches its dashboard must not have them.
_SECRETS = ("api_keys", "admin_token")
# Where a replica listens, and how many there are, Ray decides.
_NOT_OF_REPLICAS = ("host", "port", "workers")
# What of the settings are models; the rest are limits, keys and switches of the application.
_MODELS = {"artefact_dir", "models", "shadows"}
_RETRY_AFTER_S = 1
_FIRST_LOAD_TRIES = 2


class Scaling(BaseModel):
    """What `build` takes: `serve run scale.serve:build max_replicas=4`, or `args:` in a file of Serve's.

    Attributes:
        conf: A file of settings like `conf/predict.conf`, which becomes the first `user_config`; `""` for none, where
            `user_config` is written elsewhere.
        min_replicas: How few replicas there may be; by default WORKERS of the settings.
        max_replicas: How many there may be; by default no more than that.
        target_ongoing_requests: How many requests a replica should have at once, where their number changes.
        max_ongoing_requests: How many it may have at once; more of them wait before it.
        max_queued_requests: How many may wait before it; Serve refuses one beyond with 503 and Retry-After.
        num_cpus: The cores that Ray keeps for each replica.
    """

    model_config = ConfigDict(extra="forbid")

    conf: str = str(DEFAULT_FILE)
    min_replicas: int | None = Field(default=None, ge=0)
    max_replicas: int | None = Field(default=None, ge=1)
    target_ongoing_requests: float = Field(default=8, gt=0)
    max_ongoing_requests: int = Field(default=64, ge=1)
    max_queued_requests: int = Field(default=512, ge=-1)
    num_cpus: float = Field(default=1, ge=0)

    def replicas(self, settings: Settings) -> tuple[int, int]:
        """Return how few and how many replicas there may be, with what the settings say where nothing else does."""
        fewest = settings.workers if self.min_replicas is None else self.min_replicas
        return fewest, max(fewest, 1) if self.max_replicas is None else self.max_replicas


def build(scaling: Scaling) -> serve.Application:
    """Make the application.

    Raises:
        SettingsError: The file of settings is missing or wrong, or has secrets, which Ray would show.
    """
    settings = load_settings(Path(scaling.conf)) if scaling.conf else Settings()
    return application(settings, scaling, user_config(settings) if scaling.conf else None)


def application(
    settings: Settings, scaling: Scaling, config: Mapping[str, Any] | None
) -> serve.Application:
    """Make the application that serves what `config`, the first `user_config`, names."""
    fewest, most = scaling.replicas(settings)
    numbers: dict[str, Any] = {"num_replicas": most}
    if fewest < most:
        target = scaling.target_ongoing_requests
        numbers = {
            "autoscaling_config": {
                "min_replicas": fewest,
                "max_replicas": most,
                "target_ongoing_requests": target,
            }
        }
    deployment = serve.deployment(
        serve.ingress()(Replica),
        name=DEPLOYMENT,
        user_config=config,
        max_ongoing_requests=scaling.max_ongoing_requests,
        max_queued_requests=scaling.max_queued_requests,
        backpressure_config={"status_code": 503, "retry_after_s": _RETRY_AFTER_S},
        graceful_shutdown_wait_loop_s=0.5,
        graceful_shutdown_timeout_s=settings.drain_timeout_s,
        health_check_period_s=10,
        health_check_timeout_s=30,
        max_constructor_retry_count=_FIRST_LOAD_TRIES,
        ray_actor_options={"num_cpus": scaling.num_cpus},
        # Our own log has a line a request, if anybody wants one.
        logging_config={"enable_access_log": False, "log_level": "WARNING"},
        **numbers,
    )
    return deployment.bind()


def user_config(settings: Settings, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """Return settings as a `user_config`, with absolute paths.

    Args:
        settings: Those that were read.
        environ: The variables that replicas inherit; secrets may be there.

    Raises:
        SettingsError: They have secrets.
    """
    shown = [name.upper() for name in _SECRETS if name in settings.model_fields_set]
    shown = [key for key in shown if not environ.get(key)]
    if shown:
        raise SettingsError(
            f"{' and '.join(shown)}: Ray shows settings to everyone who reaches its dashboard. "
            f"Give {shown[0]}_FILE, which every replica can read, or the environment variable."
        )
    given = settings.model_fields_set - {*_SECRETS, *_NOT_OF_REPLICAS}
    values = {name: getattr(settings, name) for name in given | {"artefact_dir"}}
    if "artefact_dir" not in given and settings.models:
        del values["artefact_dir"]
    return {name.upper(): _absolute(value) for name, value in sorted(values.items())}


def _absolute(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value.absolute())  # a link stays one, so that it is seen to move
    if isinstance(value, dict):
        return {name: _absolute(path) for name, path in value.items()}
    return value


class Replica:
    """One replica. Serve calls its methods in the event loop that answers requests."""

    def __init__(self) -> None:
        """Load nothing yet: `reconfigure` says what."""
        self._adapter = Adapter()
        self._hosting: _Hosting | None = None
        self._following = asyncio.Lock()

    async def __serve_build_asgi_app__(self) -> Adapter:
        """Return what answers, as `serve.ingress` wants it."""
        return self._adapter

    async def reconfigure(self, user_config: Mapping[str, Any]) -> None:
        """Serve what a `user_config` names, the first one or another.

        An error would take down a service that answers, so only the first one raises. Later the models before answer
        on; the log and `GET /models` tell why.

        Raises:
            ArtefactError, SettingsError, ServerError: The first one cannot be served.
        """
        async with self._following:
            hosting = self._hosting
            if hosting is None:
                settings = _read(user_config)
                hosting = await asyncio.to_thread(_Hosting, settings)
                self._adapter.serve(hosting.served(settings))
                self._hosting = hosting
                return
            try:
                served = await asyncio.to_thread(hosting.follow, _read(user_config))
                if served is not None:
                    self._adapter.serve(served)
            except Exception as error:
                known = isinstance(error, SettingsError)
                log.warning("user_config is refused: %s", error, exc_info=not known)
                hosting.refused(str(error))

    async def check_health(self) -> None:
        """Let every model answer an example; raise if one does not answer as it did when it was loaded."""
        if self._hosting is None:
            raise RuntimeError("No user_config names an artefact (docs/how-to/scale.md).")
        await asyncio.to_thread(self._hosting.check)

    def __del__(self) -> None:
        """Let the log be written."""
        if self._hosting is not None:
            self._hosting.close()


def _read(user_config: Mapping[str, Any]) -> Settings:
    # What is written here wins over the environment: that is the same for all, and this is what somebody changes.
    beside = {key: value for key, value in os.environ.items() if key not in user_config}
    return check_settings(user_config, "user_config", beside)


class _Crew(Alone):
    """The crew of one replica, whose routes change nothing: the other replicas would not learn of it."""

    def __init__(self, models: Models) -> None:
        super().__init__(models)
        self.refusal: dict[str, str] | None = None

    def change(self, change: Mapping[str, Any]) -> None:
        """See `Crew`."""
        raise HostingError(
            "This replica does not know the others, and a change here would be one of many models. "
            "Name the artefact in user_config, which reaches all of them."
        )

    def ask(self, kind: str, content: Any = None) -> list[Any]:
        """See `Crew`."""
        answers = super().ask(kind, content)
        if kind == "states" and self.refusal is not None:
            answers[0] = [{"refused": self.refusal, **state} for state in answers[0]]
        return answers


class _Hosting:
    """The models of a replica and the application around them."""

    def __init__(self, settings: Settings) -> None:
        """Load the models.

        Raises:
            ArtefactError, SettingsError, ServerError: They cannot be served.
        """
        self._settings, self._stack = settings, ExitStack()
        # Of the other tools of Ray there is nothing to write to; so lines go where Ray collects them.
        self._stack.enter_context(logging_without_waiting(settings.log_format == "json"))
        try:
            name = serve.get_replica_context().replica_id.unique_id
            watch = self._stack.enter_context(watched(settings, name))
            self._models = Models(settings.places, settings.shadows, watch=watch)
        except BaseException:
            self._stack.close()
            raise
        self._crew, self._changing = _Crew(self._models), Alone(self._models)
        self._quick = is_quick(self._models)
        self._load = Load()
        self._examples: WeakKeyDictionary[Predictor, npt.NDArray[np.float64]] = WeakKeyDictionary()
        if settings.watch_s:
            self._stack.enter_context(
                following(self._look, lambda: self._settings, settings.watch_s)
            )

    def served(self, settings: Settings) -> Served:
        """Make the application anew; its counters begin at nothing.

        Raises:
            SettingsError: A file of keys cannot be read.
        """
        models = self._models
        before = len(models.listeners)
        app = create_app(models, settings, self._crew, self._load)
        # Without those of the application before.
        models.listeners[:] = [self._reconsider, *models.listeners[before:]]
        return Served(app, settings, lambda: self._quick, self._load)

    def follow(self, settings: Settings) -> Served | None:
        """Serve other settings; return another application where they are not about models alone.

        Raises:
            SettingsError: A file of keys cannot be read; nothing is changed.
        """
        changed = settings.model_dump(exclude=_MODELS) != self._settings.model_dump(exclude=_MODELS)
        served = self.served(settings) if changed else None
        self._settings = settings
        self._crew.refusal = None
        self._look(settings, True)
        return served

    def refused(self, reason: str) -> None:
        """Tell in `GET /models` why a `user_config` was not taken."""
        at = iso_time(time.time())
        self._crew.refusal = {"artefact": "user_config", "reason": reason, "at": at}

    def check(self) -> None:
        """Let every model answer its first example; raise RuntimeError if the answer is another than before."""
        for name in self._models.loaded_names:
            predictor = self._models.current(name).predictor
            if not predictor.metadata.examples:
                continue
            answer = predictor.scores([predictor.metadata.examples[0].instance])
            first = self._examples.setdefault(predictor, answer)
            if not np.allclose(answer, first, rtol=EXAMPLE_TOLERANCE, atol=EXAMPLE_TOLERANCE):
                raise RuntimeError(f"{name}: its first example is answered otherwise than before.")

    def close(self) -> None:
        """End the threads, and write what is still to be logged."""
        self._stack.close()

    def _look(self, settings: Settings, retry: bool) -> None:
        self._changing.change(followed(settings, retry))

    def _reconsider(self, model: str, result: str) -> None:
        self._quick = is_quick(self._models)
