"""The routes by which an administrator changes what is served. `predict.http.keys` has let nobody else through."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict
from werkzeug.exceptions import Conflict, NotFound

from predict.contract.artefact import FileName
from predict.hosting.crew import Crew
from predict.hosting.messages import rolled_back, shadowed, swapped
from predict.hosting.models import Models
from predict.http import operations
from predict.http.descriptions import described
from predict.http.requests import read_json
from predict.http.responses import json_response
from predict.settings import Settings
from predict.wording import suggestion

_ARCHIVES = ("application/gzip", "application/x-gzip", "application/zip")
# What clients say of a file that they do not know.
_SOME_FILE = "application/octet-stream"


class SwapRequest(BaseModel):
    """The body of `POST /admin/models/<name>`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # The name of a directory in `MODELS_DIR`.
    artefact: FileName


class ShadowRequest(BaseModel):
    """The body of `POST /admin/models/<name>/shadow`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # As above; null ends the shadow.
    artefact: FileName | None


def add_admin_routes(app: Flask, models: Models, settings: Settings, crew: Crew) -> None:
    """Add them to an application."""

    @app.post("/admin/models/<model>")
    @described(operations.admin("Let another artefact answer", SwapRequest, _ARCHIVES))
    def swap(model: str) -> Response:
        models.require(model)  # an unknown name comes before an unknown artefact
        if request.mimetype in (*_ARCHIVES, _SOME_FILE):
            request.max_content_length = settings.max_upload_bytes
            with _unpacked(request.get_data(), _models_dir(settings)) as directory:
                crew.change(swapped(model, directory))
        else:
            asked = SwapRequest.model_validate_json(read_json())
            crew.change(swapped(model, _directory(settings, asked.artefact)))
        return _told(models, model)

    @app.post("/admin/models/<model>/rollback")
    @described(operations.admin("Let the artefact before answer again"))
    def roll_back(model: str) -> Response:
        crew.change(rolled_back(model))
        return _told(models, model)

    @app.post("/admin/models/<model>/shadow")
    @described(operations.admin("Let an artefact score in the shadow of a model", ShadowRequest))
    def shadow(model: str) -> Response:
        asked = ShadowRequest.model_validate_json(read_json())
        models.require(model)
        named = asked.artefact
        path = None if named is None else _directory(settings, named)
        crew.change(shadowed(model, path))
        return _told(models, model)


@contextmanager
def _unpacked(archive: bytes, folder: Path) -> Iterator[Path]:
    """Unpack an artefact that was uploaded, and remove it again if the context fails."""
    from predict.hosting.archive import unpack  # with formats that few servers ever read

    # Two in the same second, or in two processes, do not meet.
    name = f"uploaded-{time.strftime('%Y-%m-%d-%H-%M-%S', time.gmtime())}-{os.urandom(3).hex()}"
    directory = unpack(BytesIO(archive), folder / name)
    try:
        yield directory
    except BaseException:
        shutil.rmtree(directory)
        raise


def _models_dir(settings: Settings) -> Path:
    if settings.models_dir is None:
        raise Conflict(
            "No folder of artefacts is configured, so none can be named: set MODELS_DIR in the server's settings."
        )
    return settings.models_dir


def _directory(settings: Settings, name: str) -> Path:
    folder = _models_dir(settings)
    if not (folder / name).is_dir():
        there = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        raise NotFound(f"artefact: MODELS_DIR has no directory {name}.{suggestion(name, there)}")
    return folder / name


def _told(models: Models, model: str) -> Response:
    loaded = models.current(model)
    told = {"name": model, "artefact": loaded.name}
    if loaded.directory is not None:  # by which it can be named again
        told["directory"] = loaded.directory.name
    if loaded.shadow is not None:
        told["shadow"] = loaded.shadow.name
    return json_response(told)
