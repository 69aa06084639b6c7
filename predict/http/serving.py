"""Serving, in one process or in several; what each needs is imported where it is needed.

The parent of several processes needs neither Flask nor onnxruntime.
"""

import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from predict.hosting.messages import FAILED, followed, send
from predict.hosting.watching import following
from predict.http.listening import listen
from predict.http.log_stream import logging_unless_full, logging_without_waiting
from predict.http.workers import Workers
from predict.settings import Settings, SettingsError

if TYPE_CHECKING:
    from predict.hosting.crew import Crew
    from predict.hosting.models import Models, Watch
    from predict.http.server import Server
    from predict.scoring.predictor import Predictor

log = logging.getLogger("predict")


def serve(settings: Settings, read: Callable[[], Settings]) -> None:
    """Serve until a signal asks to stop.

    Args:
        settings: What to serve, where and how.
        read: Reads the settings again, to see whether other models are named.

    Raises:
        ServerError: The address cannot be listened on, or a process cannot start.
        ArtefactError: A model cannot be loaded.
        SettingsError: A file of keys cannot be read.
    """
    if settings.workers == 1:
        _serve_alone(settings, read)
    else:
        _serve_by_several(settings, read)


def _serve_alone(settings: Settings, read: Callable[[], Settings]) -> None:
    from predict.hosting.crew import Alone
    from predict.hosting.models import Models

    with logging_without_waiting(settings.log_format == "json"):
        models = Models(settings.places, settings.shadows, watch=_watch_of(settings))
        crew = Alone(models)
        # Nobody is let in before there is an answer.
        listening = listen(settings.host, settings.port)
        server = _server(models, settings, crew, listening)
        _announce(settings, listening, models.directories())

        def follow(new: Settings, retry: bool) -> None:
            crew.change(followed(new, retry))

        with following(follow, read, settings.watch_s) as watcher:
            signal.signal(signal.SIGHUP, lambda *_: watcher.wake())
            finished = server.run()
    if not finished:
        os._exit(0)


def _serve_by_several(settings: Settings, read: Callable[[], Settings]) -> None:
    listening = listen(settings.host, settings.port)
    named = settings  # what the settings name by now

    def follow(new: Settings, retry: bool) -> Mapping[str, Any]:
        nonlocal named
        named = new
        return followed(new, retry)

    def work(parent: Connection, instead: Mapping[str, Path], number: int) -> None:
        with logging_without_waiting(settings.log_format == "json"):
            finished = _work(settings, named, listening, parent, instead, number)
        if not finished:
            os._exit(0)

    with logging_unless_full(settings.log_format == "json"):
        workers = Workers(settings, listening, work, follow, read)
        workers.run(lambda directories: _announce(settings, listening, directories))


def _work(
    settings: Settings,
    named: Settings,
    listening: socket.socket,
    parent: Connection,
    instead: Mapping[str, Path],
    number: int,
) -> bool:
    """Serve as one of several processes; return whether it ended in order."""
    from predict.contract.artefact import ArtefactError
    from predict.hosting.crew import Member
    from predict.hosting.models import HostingError, Models
    from predict.monitoring.prediction_log import PredictionLogError

    try:
        watch = _watch_of(settings, number)
        models = Models(named.places, named.shadows, instead, watch)
        # Without a parent nobody can change or stop this process in order.
        crew = Member(models, parent, lambda: os.kill(os.getpid(), signal.SIGTERM))
        server = _server(models, settings, crew, listening, shared=True)
    except (ArtefactError, HostingError, PredictionLogError, SettingsError) as error:
        send(parent, {"type": FAILED, "content": str(error)})
        raise SystemExit(1) from None
    crew.start()
    return server.run()


def _server(
    models: "Models",
    settings: Settings,
    crew: "Crew",
    listening: socket.socket,
    shared: bool = False,
) -> "Server":
    from predict.http.app import create_app
    from predict.http.keys import Keys
    from predict.http.load import Load
    from predict.http.server import QUICK_MODEL_S, Server

    slowest = max(models.current(name).predictor.seconds_per_instance for name in models.names)
    load = Load()
    app = create_app(models, settings, crew, load)
    may_upload = Keys(settings).may_upload
    return Server(app, settings, listening, slowest < QUICK_MODEL_S, load, shared, may_upload)


def _watch_of(settings: Settings, number: int = 0) -> "Watch":
    """Return what makes the monitors of models; each of several processes has a log of predictions of its own."""
    from predict.monitoring.monitor import ModelMonitor
    from predict.monitoring.prediction_log import PredictionLog

    log_of_predictions, file = None, settings.log_predictions
    if file is not None:
        if number:
            file = file.with_name(f"{file.stem}-{number}{file.suffix}")
        limits = settings.log_predictions_bytes, settings.log_predictions_files
        log_of_predictions = PredictionLog(file, settings.log_predictions_inputs, *limits)

    def watch(predictor: "Predictor") -> ModelMonitor:
        to_count = predictor.metadata, predictor.unknown_shares
        return ModelMonitor(*to_count, log_of_predictions, settings.feedback_requests)

    return watch


def _announce(settings: Settings, listening: socket.socket, directories: Mapping[str, str]) -> None:
    places = settings.places
    served = [f"{Path(directories[name]).name} ({place})" for name, place in places.items()]
    if len(places) > 1:
        served = [f"{name}: {what}" for name, what in zip(places, served, strict=True)]
    by = f", by {settings.workers} processes" if settings.workers > 1 else ""
    port = listening.getsockname()[1]
    log.info("serving %s on http://%s:%d%s", ", ".join(served), settings.host, port, by)
