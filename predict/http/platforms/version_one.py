"""`/v1/models/…`: what KServe calls its V1 protocol, and TensorFlow Serving its RESTful API.

Sources: kserve/kserve `python/kserve/kserve/protocol/rest/v1_endpoints.py`; tensorflow/serving
`tensorflow_serving/g3doc/api_rest.md`, and `util/json_tensor.cc`, whose key `results` the former calls `result`.
"""

from typing import Any
from wsgiref.types import WSGIEnvironment

from pydantic_core import to_json
from werkzeug.exceptions import UnprocessableEntity

from predict.contract.artefact import Metadata
from predict.http.answering import Answered, written
from predict.http.content import Content
from predict.http.platforms.answers import (
    as_predictions,
    check_has_labels,
    columns_of,
    output_of,
    ranked,
)
from predict.http.platforms.asking import (
    Asked,
    Contract,
    one_of,
    read_list,
    read_object,
    read_rows_or_columns,
    read_top_k,
)
from predict.scoring.values import kind_of
from predict.wording import shorten

PLATFORM = "KServe and TensorFlow Serving"

SIGNATURE = "serving_default"
_DTYPES = {
    "number": "DT_DOUBLE",
    "text": "DT_STRING",
    "category": "DT_STRING",
    "date": "DT_STRING",
}
_EXAMPLES = ("examples", "context", "signature_name")


def read_predict(body: bytes, environ: WSGIEnvironment) -> Asked:
    """Read `{"instances": […]}` or `{"inputs": …}`, with `parameters` and `signature_name`."""
    content = read_object(body, ("instances", "inputs", "parameters", "signature_name"))
    _check_signature(content)
    top_k = read_top_k(content.get("parameters"), "parameters")
    key, value = one_of(content, ("instances", "inputs"))
    if key == "instances":
        return Asked(read_list(value, key), top_k=top_k)
    return Asked(read_rows_or_columns(value, key), "inputs.{}".format, top_k, form="columns")


def write_predict(answered: Answered, asked: Asked) -> Content:
    """Write `{"predictions": […]}` to instances, and `{"outputs": …}` to inputs."""
    if asked.form != "columns":
        return as_predictions(answered, asked)
    columns = columns_of(answered)
    # TensorFlow Serving leaves out the name of an only output.
    outputs = columns if len(columns) > 1 else next(iter(columns.values()))
    return Content(to_json({"outputs": outputs}))


def read_examples(body: bytes, environ: WSGIEnvironment) -> Asked:
    """Read `{"examples": [{…}], "context": {…}}`. A feature is a value, or a list of that one value."""
    content = read_object(body, _EXAMPLES)
    _check_signature(content)
    if "examples" not in content:
        raise UnprocessableEntity("body: expected the key examples.")
    context = content.get("context", {})
    examples = read_list(content["examples"], "examples")
    for place, example in [
        ("context", context),
        *((f"examples.{number}", each) for number, each in enumerate(examples)),
    ]:
        if not isinstance(example, dict):
            raise UnprocessableEntity(f"{place}: expected an object, got {kind_of(example)}.")
    for number, example in enumerate(examples):
        if both := example.keys() & context.keys():
            raise UnprocessableEntity(
                f"examples.{number}.{shorten(min(both))}: it is in the context too."
            )
    rows = [_features({**context, **example}) for example in examples]
    return Asked(rows, "examples.{}".format)


def write_classes(answered: Answered, asked: Asked) -> Content:
    """Write `{"results": [[[label, score], …], …]}`."""
    check_has_labels(answered)
    return Content(b'{"results":%b}' % written([ranked(each) for each in answered.predictions]))


def write_values(answered: Answered, asked: Asked) -> Content:
    """Write `{"results": [value, …]}`."""
    if output_of(answered).kind != "number":
        raise UnprocessableEntity("This model answers labels; ask :classify or :predict.")
    return Content(b'{"results":%b}' % written([each["value"] for each in answered.predictions]))


def _verbs() -> list[Contract]:
    verbs = {
        "predict": (read_predict, write_predict, PLATFORM, "instances"),
        "classify": (read_examples, write_classes, PLATFORM, "examples"),
        "regress": (read_examples, write_values, PLATFORM, "examples"),
    }
    places = ("", "/versions/<version>", "/labels/<version>")
    return [
        Contract(f"/v1/models/<model>{place}:{verb}", *told)
        for place in places
        for verb, told in verbs.items()
    ]


CONTRACTS = _verbs()


def status(model: str, version: str) -> dict[str, Any]:
    """Return the state of a model that is ready: what KServe says of it, and what TensorFlow Serving does."""
    fine = {"error_code": "OK", "error_message": ""}
    return {
        "name": model,
        "ready": True,
        "model_version_status": [{"version": version, "state": "AVAILABLE", "status": fine}],
    }


def metadata(model: str, shown: Metadata) -> dict[str, Any]:
    """Return the signature of a model, as TensorFlow Serving describes one."""
    output = shown.outputs[0]
    strings, numbers, flags = "DT_STRING", "DT_DOUBLE", "DT_BOOL"
    outputs = {
        "label": {"label": (strings, 1), "score": (numbers, 1)},
        "number": {"value": (numbers, 1)},
        "labels": {"labels": (strings, 2)},
    }[output.kind]
    if output.interval is not None:
        outputs["interval"] = (numbers, 2)
    if output.kind != "number":
        outputs |= {"classes": (strings, 2), "scores": (numbers, 2)}
    if output.can_be_unsure:
        outputs["unsure"] = (flags, 1)
    signature = {
        "inputs": {column.name: _tensor(column.name, _DTYPES[column.type]) for column in shown.inputs},
        "outputs": {name: _tensor(name, *kind) for name, kind in outputs.items()},
        "method_name": "tensorflow/serving/predict",
    }  # fmt: skip
    return {
        "model_spec": {"name": model, "signature_name": "", "version": shown.name},
        "metadata": {"signature_def": {"signature_def": {SIGNATURE: signature}}},
    }


def _tensor(name: str, dtype: str, dimensions: int = 1) -> dict[str, Any]:
    sizes = [{"size": "-1", "name": ""}] * dimensions
    return {
        "name": name,
        "dtype": dtype,
        "tensor_shape": {"dim": sizes, "unknown_rank": False},
    }


def _check_signature(content: dict[str, Any]) -> None:
    name = content.get("signature_name")
    if name not in (None, "", SIGNATURE):
        raise UnprocessableEntity(
            f"signature_name: {shorten(str(name))!r} is not found; known: {SIGNATURE}."
        )


def _features(example: dict[str, Any]) -> dict[str, Any]:
    return {
        name: value[0] if isinstance(value, list) and len(value) == 1 else value
        for name, value in example.items()
    }
