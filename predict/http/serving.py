"""Serving, in one process or in several; what each needs is imported where it is needed.

The parent of several processes needs neither Flask nor onnxruntime.
"""

import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING

from predict.hosting.messages import FAILED, followed, send
from predict.hosting.watching import following
from predict.http.listening import ServerError, listen
from predict.http.log_stream import logging_unless_full, logging_without_waiting
from predict.http.sharing import Share, Shares
from predict.http.workers import Standing, Workers
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

    with (
        logging_without_waiting(settings.log_format == "json"),
        watched(settings) as watch,
    ):
        models = Models(settings.places, settings.shadows, watch=watch)
        crew = Alone(models)
        # Nobody is let in before there is an answer.
        listening = listen(settings.host, settings.port)
        server = _server(models, settings, crew, listening)
        _announce(settings, listening, models.standing())

        def follow(new: Settings, retry: bool) -> None:
            crew.change(followed(new, retry))

        with following(follow, read, settings.watch_s) as watcher:
            signal.signal(signal.SIGHUP, lambda *_: watcher.wake())
            finished = server.run()
    if not finished:
        os._exit(0)


def _serve_by_several(settings: Settings, read: Callable[[], Settings]) -> None:
    listening = listen(settings.host, settings.port)

    def work(named: Settings, parent: Connection, standing: Standing | None, number: int) -> None:
        with logging_without_waiting(settings.log_format == "json"):
            finished = _work(settings, named, listening, parent, standing, number, shares)
        if not finished:
            os._exit(0)

    def announce(standing: Standing) -> None:
        _announce(settings, listening, standing)

    shares = Shares(settings.workers)
    with logging_unless_full(settings.log_format == "json"):
        Workers(settings, listening, work, followed, read, shares.leave).run(announce)


def _work(
    settings: Settings,
    named: Settings,
    listening: socket.socket,
    parent: Connection,
    standing: Standing | None,
    number: int,
    shares: Shares,
) -> bool:
    """Serve as one of several processes; return whether it ended in order."""
    from predict.contract.artefact import ArtefactError
    from predict.hosting.crew import Member
    from predict.hosting.models import HostingError, Models

    try:
        with watched(settings, number) as watch:
            models = Models(named.places, named.shadows, standing, watch)
            # Without a parent nobody can change or stop this process in order.
            crew = Member(models, parent, lambda: os.kill(os.getpid(), signal.SIGTERM))
            server = _server(models, settings, crew, listening, shares.of(number))
            crew.start()
            return server.run()
    except (ArtefactError, HostingError, ServerError, SettingsError) as error:
        send(parent, {"type": FAILED, "content": str(error)})
        raise SystemExit(1) from None


def _server(
    models: "Models",
    settings: Settings,
    crew: "Crew",
    listening: socket.socket,
    share: Share | None = None,
) -> "Server":
    from predict.http.app import create_app
    from predict.http.keys import Keys
    from predict.http.load import Load
    from predict.http.server import Server

    load = Load()
    app = create_app(models, settings, crew, load)
    may_upload = Keys(settings).may_upload
    server = Server(app, settings, listening, is_quick(models), load, share, may_upload)

    def reconsider(model: str, result: str) -> None:
        server.quick_model = is_quick(models)

    models.listeners.append(reconsider)
    return server


def is_quick(models: "Models") -> bool:
    """Return whether every model answers so quickly that handing a small request to a thread would cost more."""
    from predict.http.server import QUICK_MODEL_S

    loaded = [models.current(name).predictor for name in models.loaded_names]
    return all(predictor.seconds_per_instance < QUICK_MODEL_S for predictor in loaded)


@contextmanager
def watched(settings: Settings, number: int | str = 0) -> "Iterator[Watch]":
    """Give what makes the monitors of models; each of several processes has a log of predictions of its own."""
    from predict.monitoring.monitor import ModelMonitor

    log_of_predictions, file = None, settings.log_predictions
    if file is not None:
        from predict.monitoring.prediction_log import PredictionLog, PredictionLogError

        if number:
            file = file.with_name(f"{file.stem}-{number}{file.suffix}")
        limits = settings.log_predictions_bytes, settings.log_predictions_files
        try:
            log_of_predictions = PredictionLog(file, settings.log_predictions_inputs, *limits)
        except PredictionLogError as error:
            raise ServerError(str(error)) from None

    def watch(predictor: "Predictor") -> ModelMonitor:
        to_count = predictor.metadata, predictor.unknown_shares
        return ModelMonitor(*to_count, log_of_predictions, settings.feedback_requests)

    try:
        yield watch
    finally:
        if log_of_predictions is not None:
            log_of_predictions.close()


def _announce(settings: Settings, listening: socket.socket, standing: Standing) -> None:
    places = settings.places
    served = [f"{Path(standing[name][0] or '').name} ({place})" for name, place in places.items()]
    if len(places) > 1:
        served = [f"{name}: {what}" for name, what in zip(places, served, strict=True)]
    by = f", by {settings.workers} processes" if settings.workers > 1 else ""
    port = listening.getsockname()[1]
    page = " (open it in a browser to try it)" if settings.show_page else ""
    log.info("serving %s on http://%s:%d%s%s", ", ".join(served), settings.host, port, by, page)
