"""The Open Inference Protocol (KServe's V2), with Triton's extension for binary data.

Sources: kserve/open-inference-protocol `specification/protocol/inference_rest.md`; triton-inference-server/server
`docs/protocol/extension_binary_data.md`; SeldonIO/MLServer for `content_type`.
"""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary
from wsgiref.types import WSGIEnvironment

from pydantic_core import to_json
from werkzeug.exceptions import UnprocessableEntity

from predict.contract.artefact import FORMAT_VERSION, Metadata, Output
from predict.http.answering import Answered
from predict.http.content import Content
from predict.http.environment import REQUEST_ID
from predict.http.platforms.answers import output_of
from predict.http.platforms.asking import Asked, Contract, read_list, read_object
from predict.http.platforms.tensors import (
    BYTES,
    FLAG,
    FLOAT,
    read_tensor,
    rows_of,
    to_bytes,
)
from predict.scoring.outputs import Prediction
from predict.scoring.predictor import Predictor
from predict.scoring.values import kind_of
from predict.wording import listed, shorten

PLATFORM = "Open Inference Protocol"

# Where the JSON of a body ends and the bytes of its tensors begin.
HEADER = "Inference-Header-Content-Length"
_IN_ENVIRON = "HTTP_INFERENCE_HEADER_CONTENT_LENGTH"
_OCTETS = "application/octet-stream"
_SIZE, _ALL_BINARY, _ONE_BINARY = "binary_data_size", "binary_data_output", "binary_data"
_DATATYPES = {"number": FLOAT, "text": BYTES, "category": BYTES, "date": BYTES}
SERVER = {
    "name": "capstone",
    "version": str(FORMAT_VERSION),
    "extensions": ["binary_tensor_data"],
}


# Naming all labels takes longer than all the rest of a small answer.
_KNOWN: "WeakKeyDictionary[Predictor, dict[str, _Out]]" = WeakKeyDictionary()


class _Form(NamedTuple):
    """What the answer depends on: the id, the outputs that are wanted, None being all, and which of them as bytes."""

    id: str
    outputs: list[str] | None
    binary: bool | frozenset[str]


class _Out(NamedTuple):
    """An output tensor of a model: its type, the sizes of its axes after the first, and its parameters."""

    datatype: str
    sizes: tuple[int, ...]
    parameters: dict[str, str] | None = None


def read(body: bytes, environ: WSGIEnvironment) -> Asked:
    """Read the tensors of a request."""
    content, binary = _split(body, environ.get(_IN_ENVIRON))
    request = read_object(content, ("id", "parameters", "inputs", "outputs", "model_name"))
    parameters = request.get("parameters") or {}
    if not isinstance(parameters, dict):
        raise UnprocessableEntity(f"parameters: expected an object, got {kind_of(parameters)}.")
    if "top_k" in parameters:
        raise UnprocessableEntity(
            "parameters.top_k: a tensor has every label; name the outputs that you need instead."
        )
    tensors = []
    for number, given in enumerate(read_list(request.get("inputs"), "inputs")):
        place = f"inputs.{number}"
        if not isinstance(given, dict):
            raise UnprocessableEntity(f"{place}: expected a tensor, an object, got {kind_of(given)}.")  # fmt: skip
        own, binary = _take(given, place, binary)
        tensors.append(read_tensor(given, place, own, parameters.get("content_type")))
    if binary:
        raise UnprocessableEntity(f"body: {len(binary)} bytes belong to no tensor.")
    form = _form_of(request, parameters, environ)
    model = _text_or_none(request, "model_name")  # KServe's client sends it
    return Asked(rows_of(tensors), "rows.{}".format, model=model, form=form)


def write(answered: Answered, asked: Asked) -> Content:
    """Write the output tensors."""
    form: _Form = asked.form
    output, predictions = output_of(answered), answered.predictions
    known = _known_outputs(answered.loaded.predictor)
    chosen = list(known) if form.outputs is None else form.outputs
    for name in chosen:
        if name not in known:
            raise UnprocessableEntity(
                f"outputs: {shorten(name)!r} is none of this model's; known: {listed(list(known))}."
            )
    tensors, tail = [], []
    for name in chosen:
        out = known[name]
        tensor: dict[str, Any] = {
            "name": name,
            "shape": [len(predictions), *out.sizes],
            "datatype": out.datatype,
        }
        parameters: dict[str, Any] = dict(out.parameters or {})
        values = _values(name, predictions, output)
        if form.binary is True or (form.binary and name in form.binary):
            tail.append(to_bytes(values, out.datatype))
            parameters[_SIZE] = len(tail[-1])
        else:
            tensor["data"] = values
        if parameters:
            tensor["parameters"] = parameters
        tensors.append(tensor)
    answer = {
        "model_name": answered.model,
        "model_version": answered.loaded.name,
        "id": form.id,
        "outputs": tensors,
    }
    head = to_json(answer)
    if not tail:
        return Content(head)
    return Content(b"".join([head, *tail]), _OCTETS, ((HEADER, str(len(head))),))


CONTRACTS = [
    Contract(f"/v2/models/<model>{version}/infer", read, write, PLATFORM, key=None)
    for version in ("", "/versions/<version>")
]


def metadata(model: str, shown: Metadata) -> dict[str, Any]:
    """Return what a client may know of a model: its tensors."""
    inputs = [
        {"name": column.name, "datatype": _DATATYPES[column.type], "shape": [-1]}
        for column in shown.inputs
    ]
    outputs: list[dict[str, Any]] = [
        {"name": name, "datatype": out.datatype, "shape": [-1, *out.sizes]}
        | ({"parameters": out.parameters} if out.parameters else {})
        for name, out in outputs_of(shown.outputs[0]).items()
    ]
    return {
        "name": model,
        "versions": [shown.name],
        "platform": "capstone_onnx",
        "inputs": inputs,
        "outputs": outputs,
    }


def outputs_of(output: Output) -> dict[str, _Out]:
    """Return the output tensors of a model, by name. Those of all labels say which these are, as JSON in a string."""
    # A parameter is a string, a number or a boolean.
    labels = {"labels": to_json(output.labels).decode()}
    of_labels = (len(output.labels),)
    if output.kind == "number":
        outs = {"value": _Out(FLOAT, ())}
        if output.interval is not None:
            outs["interval"] = _Out(FLOAT, (2,))
        return outs
    if output.kind == "label":
        outs = {"label": _Out(BYTES, ()), "score": _Out(FLOAT, ())}
    else:
        outs = {"labels": _Out(FLAG, of_labels, labels)}
    outs["probabilities"] = _Out(FLOAT, of_labels, labels)
    if output.can_be_unsure:
        outs["unsure"] = _Out(FLAG, ())
    return outs


def _known_outputs(predictor: Predictor) -> dict[str, _Out]:
    known = _KNOWN.get(predictor)
    if known is None:
        known = _KNOWN[predictor] = outputs_of(predictor.metadata.outputs[0])
    return known


def _values(name: str, predictions: Sequence[Prediction], output: Output) -> list[Any]:
    """Return the values of an output tensor in row-major order."""
    if name == "probabilities":
        every = [prediction["probabilities"] for prediction in predictions]
        return [probabilities[label] for probabilities in every for label in output.labels]
    if name == "labels":
        chosen = [{each["label"] for each in prediction["labels"]} for prediction in predictions]
        return [label in labels for labels in chosen for label in output.labels]
    if name == "interval":
        return list(chain.from_iterable(prediction["interval"] for prediction in predictions))
    if name == "unsure":
        return [bool(prediction.get("unsure")) for prediction in predictions]
    return [prediction[name] for prediction in predictions]


def _split(body: bytes, given: str | None) -> tuple[bytes, bytes]:
    """Return the JSON of a body, and the bytes behind it."""
    if given is None:
        return body, b""
    if not given.isdecimal() or int(given) > len(body):
        raise UnprocessableEntity(
            f"{HEADER}: expected at most the {len(body)} bytes of the body, got {shorten(given)}."
        )
    return body[: int(given)], body[int(given) :]


def _take(given: Mapping[str, Any], place: str, binary: bytes) -> tuple[bytes | None, bytes]:
    """Return the bytes of one tensor, None if it has data instead, and those of the tensors behind it."""
    parameters = given.get("parameters")
    size = parameters.get(_SIZE) if isinstance(parameters, dict) else None
    if size is None:
        return None, binary
    if type(size) is not int or not 0 <= size <= len(binary):
        raise UnprocessableEntity(
            f"{place}.parameters.{_SIZE}: expected at most the {len(binary)} bytes that are left; is the header "
            f"{HEADER} there?"
        )
    if "data" in given:
        raise UnprocessableEntity(f"{place}: expected data or {_SIZE}, got both.")
    return binary[:size], binary[size:]


def _text_or_none(request: Mapping[str, Any], key: str) -> str | None:
    value = request.get(key)
    if value is not None and not isinstance(value, str):
        raise UnprocessableEntity(f"{key}: expected a string, got {kind_of(value)}.")
    return value


def _form_of(
    request: Mapping[str, Any], parameters: Mapping[str, Any], environ: WSGIEnvironment
) -> _Form:
    # KServe's client needs one. Ours is that of the header X-Request-ID.
    name = _text_or_none(request, "id")
    name = environ[REQUEST_ID] if name is None else name
    wanted, all_binary = request.get("outputs"), parameters.get(_ALL_BINARY) is True
    if not wanted:
        return _Form(name, None, all_binary)
    names, binary = [], set()
    for number, output in enumerate(read_list(wanted, "outputs")):
        place = f"outputs.{number}"
        if not isinstance(output, dict) or not isinstance(output.get("name"), str):
            raise UnprocessableEntity(f"{place}: expected an object with a name.")
        own = output.get("parameters") or {}
        if not isinstance(own, dict) or "classification" in own:
            raise UnprocessableEntity(
                f"{place}.parameters: expected an object, without classification, which is no extension here."
            )
        names.append(output["name"])
        if own.get(_ONE_BINARY, all_binary) is True:
            binary.add(output["name"])
    return _Form(name, names, frozenset(binary))
