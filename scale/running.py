"""Serving on Ray from this process: Ray is started or joined, and the settings are followed until a signal."""

import logging
import signal
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any

from ray import serve
from ray.serve.context import _get_global_client
from ray.serve.schema import ApplicationStatus, ServeDeploySchema

from predict.hosting.watching import following
from predict.http.log_stream import logging_unless_full
from predict.settings import Settings
from scale.cluster import joined_ray
from scale.serve import DEPLOYMENT, Scaling, user_config

log = logging.getLogger("predict")

_APPLICATION = "predict"
_LOOK_S = 0.3
_FAILED = (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY)


def run(settings: Settings, read: Callable[[], Settings], scaling: Mapping[str, Any]) -> None:
    """Serve until a signal asks to stop.

    Args:
        settings: What to serve, and where.
        read: Reads the settings again, to see whether they have changed.
        scaling: What `Scaling` takes.

    Raises:
        SettingsError: Secrets are where Ray would show them.
        RuntimeError: Serve's; the message of what a replica has raised is in its text.
    """
    wanted, config = Scaling.model_validate(scaling), user_config(settings)
    stopped = threading.Event()
    with logging_unless_full(settings.log_format == "json"), joined_ray():
        serve.start(
            proxy_location="HeadOnly", http_options={"host": settings.host, "port": settings.port}
        )
        try:
            _deploy(settings, wanted, config)

            def follow(new: Settings, retry: bool) -> None:
                nonlocal config
                if (changed := user_config(new)) != config:
                    config = changed
                    _deploy(new, wanted, changed)

            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, lambda *_: stopped.set())
            with following(follow, read, settings.watch_s) as watcher:
                signal.signal(signal.SIGHUP, lambda *_: watcher.wake())
                stopped.wait()
        finally:
            serve.shutdown()


def _deploy(settings: Settings, scaling: Scaling, config: Mapping[str, Any]) -> None:
    """Let Serve have the application that a file of Serve's would describe.

    `serve.run` would start other replicas at each change, and not reach those that answer.
    """
    fewest, most = scaling.replicas(settings)
    given = {**scaling.model_dump(), "conf": "", "min_replicas": fewest, "max_replicas": most}
    deployment = {
        "name": DEPLOYMENT,
        "user_config": dict(config),
        "graceful_shutdown_timeout_s": settings.drain_timeout_s,
    }
    described = {
        "name": _APPLICATION,
        "import_path": "scale.serve:build",
        "route_prefix": "/",
        "args": given,
        "deployments": [deployment],
    }
    schema = ServeDeploySchema.model_validate({"applications": [described]})
    _get_global_client().deploy_apps(schema)
    _wait_until_running()
    places = ", ".join(str(place) for place in settings.places.values())
    log.info("serving %s on http://%s:%d, on Ray", places, settings.host, settings.port)


def _wait_until_running() -> None:
    """Wait until Serve has done what it was told; raise RuntimeError with what a replica says if it cannot."""
    time.sleep(_LOOK_S)  # until it has begun
    while (found := serve.status().applications.get(_APPLICATION)) is None or (
        found.status not in (ApplicationStatus.RUNNING, *_FAILED)
    ):
        time.sleep(_LOOK_S)
    if found.status in _FAILED:
        told = [found.message, *(each.message for each in found.deployments.values())]
        raise RuntimeError("\n\n".join(told))
