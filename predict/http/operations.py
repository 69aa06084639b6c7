"""What the OpenAPI document says of this server's own routes. Each name is that of the view that it describes."""

from collections.abc import Sequence

from pydantic import BaseModel

from predict.http.descriptions import Description, Subject
from predict.http.requests import RANDOM, ExampleRequest, PredictRequest
from predict.http.schemas import (
    Content,
    Schema,
    a_list,
    an_object,
    content,
    fields_of_address,
    query_parameter,
)

_ASKING, _MODELS, _OPERATING, _CHANGING = "Asking", "Models", "Operating", "Changing models"
_TEXT: Schema = {"type": "string"}
_TIME: Schema = {"type": "string", "format": "date-time"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_FREE: Schema = {"type": "object"}


# Of the number of instances it tells here: a schema would make 422 of what is answered with 413.
_OF_BODIES = (
    "An instance has a value for every field. A value that training did not see is answered, with a warning. A body "
    "has at most {:,} texts or instances, and may be compressed with gzip; what it asks for beside them may stand in "
    "the address instead. A form has a field `text`; for a model of several columns, that is an instance written as "
    "JSON."
)


def predict(subject: Subject) -> Description:
    """Describe `/predict`."""
    model = subject.model
    request, answer = (None, None) if model.examples is None else model.examples[:2]
    options = [query_parameter(name, {"schema": schema}) for name, schema in model.options.items()]
    answers = {200: content(model.answer, answer)}
    if subject.method == "get":
        summary = "Ask about one text, or one instance written as JSON"
        text = query_parameter("text", model.text, required=True)
        parameters = [text, *options]
        return Description(_ASKING, summary, "", parameters, None, answers, (422,), by_model=True)
    body = content(model.request, request) | model.form
    summary = "Ask about texts or instances"
    details = _OF_BODIES.format(subject.settings.max_instances)
    # An option may be in the address or in the body, but not in both, which OpenAPI cannot say.
    beside = [option for option in options if option["name"] not in PredictRequest.model_fields]
    return Description(_ASKING, summary, details, beside, body, answers, (422,), by_model=True)


def example(subject: Subject) -> Description:
    """Describe `/predict/example`."""
    model = subject.model
    truths = a_list({}, minItems=1)
    expected = an_object({"predictions": a_list(model.prediction), "truth": truths}, "truth")
    schema = an_object({"instances": a_list(model.instance), "expected": expected})
    shown = None if model.examples is None else model.examples.example
    on = subject.settings.show_examples
    last = max(0, model.num_examples - 1)
    numbers = fields_of_address(ExampleRequest)["number"] | {"minimum": 0, "maximum": last}
    either = {"anyOf": [numbers, {"const": RANDOM}], "default": 0}
    number = query_parameter("number", {"schema": either})
    return Description(
        _ASKING,
        "Get a held-out example, ready to be posted",
        parameters=[number],
        answers={200: content(schema, shown)} if on else {},
        problems=(404, 422),
        by_model=True,
    )


def metadata(subject: Subject) -> Description:
    """Describe `/model`."""
    schema: Schema = {"$ref": "#/components/schemas/Metadata"}
    return Description(
        _MODELS,
        "Read the metadata and the headline metrics of a model",
        answers={200: content(schema)} if subject.settings.show_model else {},
        problems=(404,),
    )


def every_model(subject: Subject) -> Description:
    """Describe `/models`."""
    known: dict[str, Schema] = {"name": _TEXT}
    if subject.settings.show_model:
        refused = an_object({"artefact": _TEXT, "reason": _TEXT, "at": _TIME})
        texts = ("artefact", "directory", "created_at", "task", "previous")
        known |= {"default": {"type": "boolean"}, **dict.fromkeys(texts, _TEXT)}
        known |= {"loaded_at": _TIME, "shadow": _FREE, "refused": refused}
    optional = [name for name in known if name not in ("name", "default")]
    models = a_list(an_object(known, *optional), minItems=1)
    schema = an_object({"models": models})
    return Description(_MODELS, "List the models that are served", answers={200: content(schema)})


HEALTH = Description(
    _OPERATING,
    "Tell whether the process answers",
    answers={200: content(an_object({"status": {"const": "alive"}}))},
)
READY = Description(
    _OPERATING,
    "Tell whether requests should be sent here",
    answers={200: content(an_object({"status": {"const": "ready"}, "model": _TEXT}))},
)
METRICS = Description(
    _OPERATING,
    "Read numbers for Prometheus",
    answers={
        200: content(_TEXT, media_type="text/plain")
        | content(_TEXT, media_type="application/openmetrics-text")
    },
)


def drift(subject: Subject) -> Description:
    """Describe `/drift`."""
    dimension = an_object(
        {
            **dict.fromkeys(("of", "name", "verdict"), _TEXT),
            **dict.fromkeys(("recent", "since_loaded"), _FREE),
        }
    )
    schema = an_object(
        {
            **dict.fromkeys(("model", "verdict"), _TEXT),
            "reference_rows": _COUNT,
            "dimensions": a_list(dimension),
            "feedback": _FREE,
        }
    )
    return Description(
        _OPERATING,
        "Compare live traffic with the test rows",
        answers={200: content(schema)} if subject.settings.show_model else {},
        problems=(404,),
    )


def feedback(request: type[BaseModel]) -> Description:
    """Describe `/feedback`, which takes a request of this type."""
    return Description(
        _OPERATING,
        "Tell what was true of an answer",
        body=_body_of(request),
        answers={200: content(an_object({"request_id": _TEXT, "known": _COUNT}))},
        problems=(404, 409, 422),
    )


def admin(
    summary: str, request: type[BaseModel] | None = None, archives: Sequence[str] = ()
) -> Description:
    """Describe a route that changes a model.

    Args:
        summary: What it does.
        request: The type of its body; None for no body.
        archives: Media types of archives of an artefact that it takes instead.
    """
    properties = dict.fromkeys(("name", "artefact", "directory", "shadow"), _TEXT)
    told = an_object(properties, "directory", "shadow")
    body = None if request is None else _body_of(request) | {each: {} for each in archives}
    answers = {200: content(told)}
    return Description(_CHANGING, summary, body=body, answers=answers, problems=(404, 409, 422))


def _body_of(request: type[BaseModel]) -> Content:
    schema = request.model_json_schema()
    del schema["title"]
    return content(schema)
