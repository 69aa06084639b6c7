"""The messages between the parent and the processes that serve, and the changes of models that they tell of."""

import json
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from predict.settings import Settings

# From a process: it can answer; it asks all; it has done what the parent said.
READY, ASK, DONE = "ready", "ask", "done"
# It cannot start, and says why.
FAILED = "failed"
# From the parent: do this; what all have answered.
DO, TOLD = "do", "told"
# The question that takes as long as a model takes to load.
PREPARE = "prepare"


def send(connection: Connection, message: Mapping[str, Any]) -> None:
    """Send a message; raise OSError if nobody is there any more."""
    connection.send_bytes(json.dumps(message).encode())


def receive(connection: Connection) -> dict[str, Any] | None:
    """Wait for a message; None if nobody is there any more."""
    try:
        message: dict[str, Any] = json.loads(connection.recv_bytes())
    except (EOFError, OSError):
        return None
    return message


def swapped(model: str, path: Path) -> dict[str, Any]:
    """Return the change that lets another artefact answer for a name."""
    return {"do": "swap", "model": model, "path": str(path)}


def rolled_back(model: str) -> dict[str, Any]:
    """Return the change that lets the artefact before answer again."""
    return {"do": "roll_back", "model": model}


def shadowed(model: str, path: Path | None) -> dict[str, Any]:
    """Return the change that lets an artefact score beside a model, or ends that."""
    return {"do": "shadow", "model": model, "path": None if path is None else str(path)}


def followed(settings: Settings, retry: bool) -> dict[str, Any]:
    """Return the change that loads what has changed at the places of the settings."""
    places, shadows = (
        {name: str(path) for name, path in named.items()}
        for named in (settings.places, settings.shadows)
    )
    return {"do": "follow", "places": places, "shadows": shadows, "retry": retry}
