"""JSON Schema, in short: the few shapes that the OpenAPI document is made of."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

# An object of JSON Schema 2020-12.
Schema = dict[str, Any]
# Media type -> what OpenAPI calls a Media Type Object.
Content = dict[str, dict[str, Any]]

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
PROBLEM = "application/problem+json"


def content(schema: Schema, *examples: Any, media_type: str = JSON) -> Content:
    """Return content of one type, with the first of the examples that is not None."""
    shown = [example for example in examples if example is not None]
    return {media_type: {"schema": schema, **({"example": shown[0]} if shown else {})}}


def an_object(properties: Mapping[str, Schema], *optional: str, **more: Any) -> Schema:
    """Return the schema of an object with these properties and no other, required but for the optional ones."""
    required = [name for name in properties if name not in optional]
    return {
        "type": "object",
        "properties": dict(properties),
        **({"required": required} if required else {}),
        "additionalProperties": False,
        **more,
    }


def a_list(items: Schema, **more: Any) -> Schema:
    """Return the schema of a list of these."""
    return {"type": "array", "items": items, **more}


def query_parameter(name: str, what: Mapping[str, Any], required: bool = False) -> dict[str, Any]:
    """Return a Parameter Object for a field of the address.

    Args:
        name: Of the field.
        what: Its schema, as `{"schema": …}`, or content of a media type, as `{"content": …}`.
        required: Whether it has to be there.
    """
    return {"name": name, "in": "query", **({"required": True} if required else {}), **what}


def path_parameter(name: str, schema: Schema) -> dict[str, Any]:
    """Return a Parameter Object for a part of the path."""
    return {"name": name, "in": "path", "required": True, "schema": schema}


def fields_of_address(model: type[BaseModel]) -> dict[str, Schema]:
    """Return the schemas of a model's fields, by name, as an address or a form has them: without null."""
    found = {}
    for name, field in model.model_json_schema()["properties"].items():
        choices = [each for each in field.get("anyOf", [field]) if each.get("type") != "null"]
        left_out = ("title", "default")
        found[name] = {key: value for key, value in choices[0].items() if key not in left_out}
    return found
