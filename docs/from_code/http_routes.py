"""The routes of the server out of its OpenAPI document, which a tiny model of the tests is loaded for."""

import json
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from .markdown import code, table

# It answers one of three labels to a text.
_ARTEFACT = Path(__file__).parents[2] / "predict/tests/golden/format-4"
_HEADS = ["status", "types", "meaning"]
# Of statuses that most routes have.
_WHATEVER = (
    "These are left out above. Routes in the manner of a platform tell them in that platform's way."
)
_METHODS = ("get", "post", "put", "delete", "patch")


@cache
def _document() -> dict[str, Any]:
    from predict.hosting.models import Models
    from predict.http.app import create_app
    from predict.settings import Settings

    settings = Settings(artefact_dir=_ARTEFACT, log_requests=False)
    models = Models(settings.places)
    return dict(create_app(models, settings).test_client().get("/openapi.json").json)


def http_routes() -> str:
    """Return every route: parameters, bodies with examples, and answers."""
    document = _document()
    by_tag: dict[str, list[str]] = {}
    # What every model has at an address of its own comes after the same for the default one.
    for path, methods in sorted(
        document["paths"].items(), key=lambda each: each[0].startswith("/models/")
    ):
        for method in _METHODS:
            if method in methods:
                operation = methods[method]
                tag = operation.get("tags", ["Other"])[0]
                by_tag.setdefault(tag, []).append("\n".join(_route(method, path, operation)))
    always = f"## What any request may meet\n\n{_WHATEVER}\n\n{table(_HEADS, _always())}\n"
    routes = (f"## {tag}\n\n" + "\n".join(routes) for tag, routes in by_tag.items())
    return "\n".join([*routes, always])


def _operations() -> list[Mapping[str, Any]]:
    paths = _document()["paths"].values()
    return [path[method] for path in paths for method in _METHODS if method in path]


@cache
def _common() -> dict[str, str]:
    """Return the statuses from 400 that most routes have, and what they mean; a route's own table leaves them out."""
    told: dict[str, list[str]] = {}
    for operation in _operations():
        for status, answer in operation["responses"].items():
            told.setdefault(status, []).append(_resolved(answer)["description"])
    return {
        status: words[0]
        for status, words in sorted(told.items())
        if status >= "400" and len(words) > len(_operations()) / 2
    }


def _always() -> list[list[str]]:
    return [
        [status, code("application/problem+json"), words] for status, words in _common().items()
    ]


def _route(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f"### `{method.upper()} {path}`\n"
    yield f"{operation.get('summary', '')}\n"
    if operation.get("description"):
        yield f"{operation['description']}\n"
    if operation.get("parameters"):
        yield table(["parameter", "in", "values"], map(_parameter, operation["parameters"]))
    if "requestBody" in operation:
        yield "**Body**\n"
        yield from _bodies(operation["requestBody"]["content"])
    yield "**Answers**\n"
    yield table(_HEADS, _answers(operation["responses"]))
    for status, answer in operation["responses"].items():
        if status.startswith("2"):
            yield from _examples(_resolved(answer).get("content", {}), f"An answer with {status}")


def _parameter(parameter: Mapping[str, Any]) -> list[str]:
    parameter = _resolved(parameter)
    return [code(parameter["name"]), parameter["in"], _kind(parameter.get("schema", {}))]


def _answers(responses: Mapping[str, Any]) -> Iterator[list[str]]:
    for status, answer in responses.items():
        answer = _resolved(answer)
        if _common().get(status) == answer["description"]:
            continue
        yield [status, ", ".join(map(code, answer.get("content", {}))), answer["description"]]


def _bodies(content: Mapping[str, Any]) -> Iterator[str]:
    for kind, body in content.items():
        schema = _resolved(body.get("schema", {}))
        fields = schema.get("properties", {})
        if fields:
            yield f"{code(kind)}{': ' + schema['description'] if schema.get('description') else ''}\n"
            yield table(
                ["field", "values", "meaning"],
                [[code(name), _kind(each), _resolved(each).get("description", "")] for name, each in fields.items()],
            )  # fmt: skip
    yield from _examples(content, "A body")


def _examples(content: Mapping[str, Any], what: str) -> Iterator[str]:
    for kind, body in content.items():
        given = [each.get("value") for each in body.get("examples", {}).values()]
        for example in [*([body["example"]] if "example" in body else []), *given][:1]:
            is_json = "json" in kind and not isinstance(example, str)
            shown = json.dumps(example, indent=2, ensure_ascii=False) if is_json else str(example)
            yield f"{what}, {code(kind)}:\n\n````{'json' if is_json else 'text'}\n{shown}\n````\n"


def _resolved(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if "$ref" not in part:
        return part
    found: Any = _document()
    for name in part["$ref"].removeprefix("#/").split("/"):
        found = found[name.replace("~1", "/").replace("~0", "~")]
    return _resolved(found) if "$ref" in found else found


def _kind(schema: Mapping[str, Any]) -> str:
    schema = _resolved(schema)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(filter(None, map(_kind, schema[key]))))
    if "enum" in schema:
        return ", ".join(code(each) for each in schema["enum"])
    kind = schema.get("type", "")
    words = " or ".join(kind) if isinstance(kind, list) else str(kind)
    inside = schema.get("items")
    if words == "array" and isinstance(inside, dict):
        return f"list of {_kind(inside) or 'values'}"
    ends = (("minimum", "from"), ("maximum", "to"))
    limits = [f"{word} {schema[key]}" for key, word in ends if key in schema]
    return " ".join([words, *limits])
