"""The OpenAPI 3.1 document of the server at `/openapi.json`, made of its routes and of the models that are loaded.

Each module describes its routes beside them; see `predict.http.descriptions`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from threading import Lock
from typing import Any, NamedTuple

from flask import Flask, Response
from pydantic.json_schema import models_json_schema
from pydantic_core import to_json
from werkzeug.routing import Rule

from predict import __version__
from predict.contract.artefact import Metadata
from predict.hosting.models import Models
from predict.http.descriptions import Description, Subject, described, description_of
from predict.http.keys import ADMIN_PATH, Keys
from predict.http.model_schemas import ModelSchemas
from predict.http.schemas import (
    PROBLEM,
    Content,
    Schema,
    a_list,
    an_object,
    content,
    path_parameter,
)
from predict.settings import Settings

PATH = "/openapi.json"
_VERSION = "3.1.0"
# Flask adds them to every route. They say nothing that the document has not said.
_NOT_DESCRIBED = ("HEAD", "OPTIONS")
_PARAMETER = re.compile(r"<(?:[a-z]+(?:\([^)]*\))?:)?([a-z_]+)>")
_MODEL = "{model}"
# What any request may meet, whatever its route.
_ALWAYS = (400, 408, 413, 415, 431, 500, 503)
_WHY = {
    400: "The body is not what its type says, or the request is not HTTP.",
    401: "There is no key, or another one is expected.",
    403: "Nobody may change models here: no admin token is set.",
    404: "There is no such thing here, such as a model or an example, or it is switched off.",
    408: "The request took too long to arrive.",
    409: "It does not fit what is there.",
    413: "The body is too large, or has too many instances.",
    415: "The body is of a type, in an encoding or in characters that are not read.",
    422: "The content is wrong; `errors` lists where.",
    431: "The headers are too large.",
    500: "The server failed, and its log says why.",
    503: "The server has more than it can answer, is stopping, or has no model.",
}
_RETRY_AFTER = {
    "description": "In how many seconds to ask again.",
    "schema": {"type": "integer", "minimum": 0},
}
_DETAILS = (
    "Every answer has an `X-Request-ID`. Every error is a problem (RFC 9457), but on routes in the manner of another "
    "platform. A method that a path does not have is answered with 405."
)


class _Made(NamedTuple):
    """A document, and the models that it is about."""

    models: object
    body: bytes


class Document:
    """The document of an application as bytes, made again when other models have been loaded."""

    def __init__(self, app: Flask, models: Models, settings: Settings, keys: Keys) -> None:
        """Take what it is made of; nothing is made yet, and routes may still be added."""
        self._app, self._models, self._settings, self._keys = app, models, settings, keys
        self._made: _Made | None = None
        self._making = Lock()

    @property
    def body(self) -> bytes:
        """The document, from memory unless other models are served than when it was made."""
        models, made = self._state(), self._made
        if made is None or made.models != models:
            with self._making:
                made = self._made
                if made is None or made.models != models:
                    made = self._made = _Made(models, self._make())
        return made.body

    def _state(self) -> object:
        # Looking costs less than a microsecond a model, and sees models that were added or removed as well.
        models, loaded = self._models, self._models.loaded_names
        current = [(name, models.current(name)) for name in loaded]
        return (
            models.names,
            [(name, each.name, each.directory, each.since) for name, each in current],
        )

    def _make(self) -> bytes:
        loaded = self._models.loaded_names
        schemas = {
            name: ModelSchemas(
                name,
                self._models.current(name).predictor if name in loaded else None,
                self._settings,
            )
            for name in self._models.names
        }
        return to_json(
            _document(self._app, schemas, self._models.default, self._settings, self._keys)
        )


def add_openapi_route(app: Flask, models: Models, settings: Settings, keys: Keys) -> None:
    """Add the document to an application; it describes the routes that are added later as well."""
    document = Document(app, models, settings, keys)

    @app.get(PATH)
    @described(
        Description(
            "Documents", answers={200: content({"type": "object"})}, summary="This document"
        )
    )
    def openapi() -> Response:
        return Response(document.body, content_type="application/json")


def _document(
    app: Flask, models: Mapping[str, ModelSchemas], default: str, settings: Settings, keys: Keys
) -> dict[str, Any]:
    paths: dict[str, dict[str, Any]] = {}
    for rule in app.url_map.iter_rules():
        for path, name in _paths_of(rule, app, models, settings):
            model = models[default if name is None else name]
            for method in sorted((rule.methods or set()) - set(_NOT_DESCRIBED)):
                subject = Subject(method.lower(), settings, model)
                operation = _operation(rule, app.view_functions[rule.endpoint], subject, keys)
                operation["operationId"] = _id_of(method, path)
                operation["parameters"] = _parameters(path, operation["parameters"], models)
                paths.setdefault(path, {})[method.lower()] = operation
    schemas = {key: schema for model in models.values() for key, schema in model.components.items()}
    return {
        "openapi": _VERSION,
        "info": {"title": "Capstone", "version": __version__, "description": _DETAILS},
        "servers": [{"url": "./"}],
        "paths": paths,
        "components": {
            "schemas": {"Problem": _problem_schema(), **_metadata_schemas(), **schemas},
            "responses": {str(status): _problem_response(status) for status in sorted(_WHY)},
            "headers": {
                "X-Request-ID": {
                    "description": "The id of the request, or a new one.",
                    "required": True,
                    "schema": {"type": "string"},
                }
            },
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "admin_bearer": {"type": "http", "scheme": "bearer"},
                "admin_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }


def path_of(rule: str) -> str:
    """Return a route of Flask as OpenAPI writes it.

    >>> path_of("/v2/models/<model>/versions/<int:version>")
    '/v2/models/{model}/versions/{version}'
    """
    return _PARAMETER.sub(r"{\1}", rule)


def _paths_of(
    rule: Rule, app: Flask, models: Mapping[str, ModelSchemas], settings: Settings
) -> Iterator[tuple[str, str | None]]:
    """Yield the paths of a route, each with the model that it names if it has one of its own."""
    path = path_of(rule.rule)
    view, general = app.view_functions[rule.endpoint], ModelSchemas("", None, settings)
    found = description_of(view, Subject("get", settings, general))
    if found is None or not found.by_model or _MODEL not in path:
        yield path, None
        return
    for name in models:
        yield path.replace(_MODEL, name), name


def _operation(rule: Rule, view: object, subject: Subject, keys: Keys) -> dict[str, Any]:
    found = description_of(view, subject) or _generic(view)
    summary, _, rest = (getattr(view, "__doc__", None) or "").partition("\n")
    is_admin = rule.rule.startswith(ADMIN_PATH)
    refusals = [401] if keys.needs_key(subject.method.upper(), rule.rule) else []
    if is_admin:
        refusals = [401, 403]
    missing = [404] if "<" in rule.rule else []
    statuses = {*_ALWAYS, *refusals, *missing, *found.problems} - {*(found.errors or ())}
    answers = {200: {}} if found.answers is None else found.answers
    return {
        "tags": [found.tag],
        "summary": found.summary or summary.rstrip(".") or rule.rule,
        **({"description": found.details or rest.strip()} if found.details or rest.strip() else {}),
        "parameters": list(found.parameters),
        **({"requestBody": {"required": True, "content": found.body}} if found.body else {}),
        "responses": {
            **{str(status): _response(shape, "An answer.") for status, shape in answers.items()},
            **{
                str(status): _response(shape, _WHY.get(status, "An error."))
                for status, shape in (found.errors or {}).items()
            },
            **{str(s): {"$ref": f"#/components/responses/{s}"} for s in sorted(statuses)},
            **({"default": {"description": "Anything else."}} if found.may_answer_more else {}),
        },
        "security": _security(is_admin, bool(refusals)),
    }


def _generic(view: object) -> Description:
    """Return what can be said of a route that nobody has described."""
    module = getattr(view, "__module__", "").rpartition(".")[2]
    return Description(module.replace("_", " ").capitalize() or "Other", may_answer_more=True)


def _security(is_admin: bool, needed: bool) -> list[dict[str, list[str]]]:
    if is_admin:
        return [{"admin_bearer": []}, {"admin_key": []}]
    return [{"bearer": []}, {"key": []}] if needed else []


def _response(shape: Content, description: str, **headers: Any) -> dict[str, Any]:
    known = {"X-Request-ID": {"$ref": "#/components/headers/X-Request-ID"}}
    return {
        "description": description,
        "headers": {**known, **headers},
        **({"content": shape} if shape else {}),
    }


def _problem_response(status: int) -> dict[str, Any]:
    headers = {"Retry-After": _RETRY_AFTER} if status == 503 else {}
    schema: Schema = {"$ref": "#/components/schemas/Problem"}
    return _response(content(schema, media_type=PROBLEM), _WHY[status], **headers)


def _problem_schema() -> Schema:
    place = an_object({"place": {"type": "string"}, "message": {"type": "string"}})
    properties: dict[str, Schema] = {
        "type": {"const": "about:blank"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "errors": a_list(place, minItems=1, description="The first places that are wrong."),
    }
    return an_object(properties, "errors", description="A problem (RFC 9457).")


def _metadata_schemas() -> dict[str, Schema]:
    template = "#/components/schemas/{model}"
    _, found = models_json_schema([(Metadata, "validation")], ref_template=template)
    schemas: dict[str, Schema] = found["$defs"]
    shown = schemas["Metadata"]
    for name in METADATA_LEFT_OUT:
        del shown["properties"][name]
        shown["required"].remove(name)
    shown["description"] = "What is known of an artefact."
    return schemas


# What `/model` does not tell.
METADATA_LEFT_OUT = ("files", "checksum", "examples")


def _parameters(
    path: str, described: Sequence[dict[str, Any]], models: Mapping[str, ModelSchemas]
) -> list[dict[str, Any]]:
    """Return the parameters of an operation, those of its path included, which nobody has to describe."""
    known = {"model": {"type": "string", "enum": list(models)}}
    anything: Schema = {"type": "string", "minLength": 1}
    names = [name for name in re.findall(r"{(\w+)}", path) if not _has(described, name)]
    return [*(path_parameter(name, known.get(name, anything)) for name in names), *described]


def _has(parameters: Sequence[dict[str, Any]], name: str) -> bool:
    return any(each["in"] == "path" and each["name"] == name for each in parameters)


def _id_of(method: str, path: str) -> str:
    words = re.findall(r"\w+", path)
    return "_".join([method.lower(), *words]) or "root"
