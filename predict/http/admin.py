"""The routes by which an administrator changes what is served. `predict.http.keys` has let nobody else through."""

from pathlib import Path

from flask import Flask, Response
from pydantic import BaseModel, ConfigDict
from werkzeug.exceptions import Conflict

from predict.contract.artefact import FileName
from predict.hosting.crew import Crew
from predict.hosting.messages import rolled_back, shadowed, swapped
from predict.hosting.models import Models
from predict.http.requests import read_json
from predict.http.responses import json_response
from predict.settings import Settings


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
    def swap(model: str) -> Response:
        asked = SwapRequest.model_validate_json(read_json())
        models.current(model)  # an unknown name comes before an unknown artefact
        crew.change(swapped(model, _models_dir(settings) / asked.artefact))
        return _told(models, model)

    @app.post("/admin/models/<model>/rollback")
    def roll_back(model: str) -> Response:
        crew.change(rolled_back(model))
        return _told(models, model)

    @app.post("/admin/models/<model>/shadow")
    def shadow(model: str) -> Response:
        asked = ShadowRequest.model_validate_json(read_json())
        models.current(model)
        named = asked.artefact
        path = None if named is None else _models_dir(settings) / named
        crew.change(shadowed(model, path))
        return _told(models, model)


def _models_dir(settings: Settings) -> Path:
    if settings.models_dir is None:
        raise Conflict(
            "No folder of artefacts is configured, so none can be named: set MODELS_DIR in the server's settings."
        )
    return settings.models_dir


def _told(models: Models, model: str) -> Response:
    loaded = models.current(model)
    told = {"name": model, "artefact": loaded.name}
    if loaded.shadow is not None:
        told["shadow"] = loaded.shadow.name
    return json_response(told)
