"""What a loaded model takes and answers, as JSON Schema: for the OpenAPI document."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from predict.contract.artefact import FEATURES, Input, Output
from predict.http.requests import PredictOptions, PredictRequest
from predict.http.schemas import (
    FORM,
    JSON,
    Content,
    Schema,
    a_list,
    an_object,
    content,
    fields_of_address,
)
from predict.scoring.predictor import Predictor
from predict.settings import Settings

# More labels or categories than these are not listed.
_MOST_LISTED = 100
_NAMES = ("text", "texts", "instances")
_PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}
# Something that is no blank for Python, which has four more of them than the regular expressions of JavaScript.
_NOT_BLANK: Schema = {"type": "string", "pattern": "[^\\s\\u001c-\\u001f\\u0085]"}
_NULL: Schema = {"type": "null"}
_DAY = (
    "[1-9][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
)
_DATES: list[Schema] = [
    {"type": "string", "format": "date"},
    {"type": "string", "format": "date-time"},
    # A time without a zone, for which there is no format; the 29th of February has one with a zone.
    {"type": "string", "pattern": f"^{_DAY}T(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9])?$"},
]


class Examples(NamedTuple):
    """One held-out row as `/predict` takes it, its answer, and what `/predict/example` gives."""

    request: dict[str, Any]
    answer: dict[str, Any]
    example: dict[str, Any]


class ModelSchemas:
    """The schemas of one model. Nothing is said of its columns and labels where the settings hide them.

    Attributes:
        num_examples: How many examples it has.
        examples: The first of them; None where none may be shown.
        components: What stands once in a document, by name; the properties refer to it.
    """

    def __init__(self, name: str, predictor: Predictor | None, settings: Settings) -> None:
        """Look at a model, and keep nothing of it but its metadata.

        Args:
            name: Under which it is served.
            predictor: The model; None for what all models have in common.
            settings: What may be shown, and limits.
        """
        self._name = name
        self._settings = settings
        self.num_examples = 0 if predictor is None else len(predictor.metadata.examples)
        shown = predictor if settings.show_model else None
        self._inputs = None if shown is None else shown.metadata.inputs
        self._output = None if shown is None else shown.metadata.outputs[0]
        # Several fields of a text model count as one text.
        self._counts_as_one_text = shown is not None and FEATURES in shown.metadata.files
        self._reads_text = shown is None or shown.text_field is not None
        self.examples = _examples_of(shown) if shown and settings.show_examples else None
        self.components = {
            self._named("Instance"): self._instance(),
            self._named("Request"): self._request(),
            self._named("Prediction"): self._prediction(),
            self._named("Answer"): self._answer(),
        }

    def _named(self, part: str) -> str:
        return f"{self._name}.{part}"

    def _part(self, part: str) -> Schema:
        return {"$ref": f"#/components/schemas/{self._named(part)}"}

    @property
    def instance(self) -> Schema:
        """One instance: a value for every field."""
        return self._part("Instance")

    @property
    def request(self) -> Schema:
        """The body of `/predict`, with exactly one of `text`, `texts` and `instances`."""
        return self._part("Request")

    @property
    def prediction(self) -> Schema:
        """One prediction."""
        return self._part("Prediction")

    @property
    def answer(self) -> Schema:
        """The body of an answer."""
        return self._part("Answer")

    def _instance(self) -> Schema:
        if self._inputs is None:
            return {"type": "object", "description": "A value for every field of the model."}
        if not self._counts_as_one_text:
            return an_object({column.name: _schema_of(column) for column in self._inputs})
        texts = {column.name: _any_text(column) for column in self._inputs}
        # It must say something, in one field or another.
        says = [{"properties": {name: _NOT_BLANK}} for name in texts]
        return an_object(texts, anyOf=says)

    def _request(self) -> Schema:
        asked: dict[str, Schema] = {
            "text": _NOT_BLANK,
            "texts": a_list(_NOT_BLANK, minItems=1),
            "instances": a_list(self.instance, minItems=1),
        }
        if not self._reads_text:
            del asked["text"], asked["texts"]
        beside = {
            name: _plain(schema)
            for name, schema in PredictRequest.model_json_schema()["properties"].items()
            if name not in _NAMES
        }
        if not self._has_labels:
            beside.pop("top_k", None)
        alternatives = [
            an_object({name: schema} | beside, *beside) for name, schema in asked.items()
        ]
        return {"anyOf": alternatives} if len(alternatives) > 1 else alternatives[0]

    @property
    def _has_labels(self) -> bool:
        return self._output is None or self._output.kind != "number"

    @property
    def text(self) -> dict[str, Any]:
        """The `text` of an address: a text, or an instance written as JSON."""
        if self._reads_text:
            return {"schema": _NOT_BLANK}
        return {"content": {JSON: {"schema": self.instance}}}

    @property
    def form(self) -> Content:
        """The fields of a form.

        Nothing for a model of several columns: a form has room for one instance as JSON, and clients that read the
        document spread its fields over the form instead.
        """
        if not self._reads_text:
            return {}
        fields = {"text": _NOT_BLANK, **self.options}
        return content(an_object(fields, *self.options), media_type=FORM)

    @property
    def options(self) -> dict[str, Schema]:
        """What may be asked for beside a text, in an address or a form, by name."""
        options = fields_of_address(PredictOptions)
        if not self._has_labels:
            options.pop("top_k", None)
        return options

    def _prediction(self) -> Schema:
        if self._output is None:
            return {"anyOf": [_label(None), _number(), _labels(None)]}
        return _PREDICTION_OF[self._output.kind](self._output)

    def _answer(self) -> Schema:
        model = {"type": "string", "description": "The artefact that answered."}
        return an_object({"predictions": a_list(self.prediction, minItems=1), "model": model})


def _examples_of(predictor: Predictor) -> Examples:
    example = predictor.example()
    answer = {
        "predictions": example["expected"]["predictions"],
        "model": predictor.metadata.name,
    }
    return Examples({"instances": example["instances"]}, answer, example)


def _plain(schema: Mapping[str, Any]) -> Schema:
    """Return a schema without what pydantic says of its field in Python."""
    return {key: value for key, value in schema.items() if key not in ("title", "default")}


def _schema_of(column: Input) -> Schema:
    """Return the schema of a field: of every value that is not refused, though there may be a warning about it."""
    return _described(_VALUE_OF[column.type](column), column)


def _described(schema: Schema, column: Input) -> Schema:
    # Names and categories are strangers' texts, and a description is Markdown: it has numbers of ours alone.
    says = [f"A {column.type}."]
    if column.type == "number" and column.minimum is not None and column.maximum is not None:
        says.append(
            f"Expected from {column.minimum:.15g} to {column.maximum:.15g}; "
            "a value outside is answered, with a warning."
        )
    if column.type == "category" and column.categories is not None:
        says.append("A value that training did not see is answered, with a warning.")
        if len(column.categories) <= _MOST_LISTED:
            schema = {**schema, "examples": column.categories}
    if column.nullable:
        says.append("It may be missing.")
    return {**schema, "description": " ".join(says)}


def _number_value(column: Input) -> Schema:
    return {"type": ["number", "null"] if column.nullable else "number"}


def _category_value(column: Input) -> Schema:
    may_be_empty = column.nullable or "" in (column.categories or ())
    text: Schema = {"type": "string"} if may_be_empty else dict(_NOT_BLANK)
    if not may_be_empty and column.missing:
        text["not"] = {"enum": column.missing}
    return _any_of([text, {"type": "integer"}, {"type": "boolean"}], column)


def _any_text(column: Input) -> Schema:
    return _described({"type": ["string", "null"] if column.nullable else "string"}, column)


def _text_value(column: Input) -> Schema:
    return {"type": ["string", "null"]} if column.nullable else dict(_NOT_BLANK)


def _date_value(column: Input) -> Schema:
    if column.date_format is not None:  # JSON Schema knows no formats of strptime
        return _any_of([{"type": "string"}], column)
    missing: list[Schema] = [{"enum": ["", *(column.missing or ())]}] if column.nullable else []
    return _any_of([*_DATES, *missing], column)


def _any_of(schemas: Sequence[Schema], column: Input) -> Schema:
    return {"anyOf": [*schemas, *([_NULL] if column.nullable else [])]}


_VALUE_OF = {
    "number": _number_value,
    "category": _category_value,
    "text": _text_value,
    "date": _date_value,
}


def _label(output: Output | None) -> Schema:
    unsure: Schema = {
        "const": True,
        "description": "The model does not know; absent where it does.",
    }
    return _prediction(
        {
            "label": _one_of(output),
            "score": {**_PROBABILITY, "description": "The probability of the label."},
            "probabilities": _probabilities(output),
        },
        unsure=unsure,
    )


def _number(output: Output | None = None) -> Schema:
    if output is not None and output.interval is None:
        return _prediction({"value": {"type": "number"}})
    interval = a_list({"type": "number"}, minItems=2, maxItems=2)
    if output is None:
        return _prediction({"value": {"type": "number"}}, interval=interval)
    return _prediction({"value": {"type": "number"}, "interval": interval})


def _labels(output: Output | None) -> Schema:
    one = an_object({"label": _one_of(output), "score": _PROBABILITY})
    return _prediction({"labels": a_list(one), "probabilities": _probabilities(output)})


_PREDICTION_OF = {"label": _label, "number": _number, "labels": _labels}


def _prediction(said: Mapping[str, Schema], **perhaps: Schema) -> Schema:
    warning = an_object({"field": {"type": "string"}, "message": {"type": "string"}})
    optional = {
        **perhaps,
        "warnings": a_list(
            warning, minItems=1, description="Values that training saw nothing like."
        ),
        "explanation": EXPLANATION,
    }
    return an_object({**said, **optional}, *optional)


def _probabilities(output: Output | None) -> Schema:
    schema: Schema = {
        "type": "object",
        "additionalProperties": _PROBABILITY,
        "description": "By label, the most probable first.",
    }
    if _lists(output):
        schema["propertyNames"] = _one_of(output)
    return schema


def _one_of(output: Output | None) -> Schema:
    if output is None or not _lists(output):
        return {"type": "string"}
    return {"type": "string", "enum": output.labels}


def _lists(output: Output | None) -> bool:
    return output is not None and len(output.labels) <= _MOST_LISTED


_CONTRIBUTION: Schema = an_object(
    {
        "field": {"type": "string"},
        "start": {"type": "integer", "minimum": 0},
        "end": {"type": "integer", "minimum": 0},
        "word": {"type": "string"},
        # A value of the column that stands for a typical one.
        "reference": {},
        "contribution": {"type": "number"},
    },
    *("start", "end", "word", "reference"),
)
# What `explain=true` adds to a prediction.
EXPLANATION: Schema = {
    "type": "object",
    "description": "What the answer owes to each word or column, if `explain` asked for it.",
    "properties": {
        "of": {"type": "string", "description": "The label that is explained."},
        "method": {"enum": ["linear", "occlusion"]},
        "unit": {"type": "string"},
        "base": {"type": "number"},
        "total": {"type": "number"},
        "contributions": a_list(_CONTRIBUTION),
        "evaluations": {"type": "integer", "minimum": 0},
        "seconds": {"type": "number", "minimum": 0},
        "complete": {"type": "boolean"},
    },
    "required": ["method", "contributions"],
}
