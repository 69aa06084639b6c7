"""`/invocations`: SageMaker posts there what its client has sent, and MLflow's scoring server what is a frame.

Sources: awsdocs/amazon-sagemaker-developer-guide `doc_source/your-algorithms-inference-code.md`, `cdf-inference.md`;
mlflow/mlflow `mlflow/pyfunc/scoring_server/__init__.py`.
"""

import csv
import io
from wsgiref.types import WSGIEnvironment

from pydantic_core import to_json
from werkzeug.datastructures import MIMEAccept
from werkzeug.exceptions import NotAcceptable, UnprocessableEntity, UnsupportedMediaType
from werkzeug.http import parse_accept_header, parse_options_header

from predict.http.answering import Answered
from predict.http.content import JSON, Content
from predict.http.platforms.answers import as_predictions
from predict.http.platforms.asking import (
    Asked,
    Contract,
    one_of,
    read_frame,
    read_list,
    read_object,
    read_rows_or_columns,
    read_top_k,
)
from predict.http.platforms.comma_separated import CSV, read_csv
from predict.http.requests import parse_json
from predict.scoring.outputs import Prediction
from predict.wording import shorten

PLATFORM = "SageMaker and MLflow"

JSON_LINES = "application/jsonlines"
_JSON_LINES = (JSON_LINES, "application/x-ndjson", "application/json-lines", "application/jsonl")
_BODIES = ("inputs", "instances", "dataframe_split", "dataframe_records")


def read(body: bytes, environ: WSGIEnvironment) -> Asked:
    """Read JSON, JSON Lines or CSV, as the type says; SageMaker's `Accept` says what the answer is to be."""
    form = _form_of(environ.get("HTTP_ACCEPT", ""))
    content_type = environ.get("CONTENT_TYPE", "")
    if content_type == JSON:
        return _read_json(body)._replace(form=form)
    kind, parameters = parse_options_header(content_type)
    if kind == JSON:
        return _read_json(body)._replace(form=form)
    if kind == CSV:
        return read_csv(_text(body, parameters), parameters.get("header"))._replace(form=form)
    if kind in _JSON_LINES:
        return _read_lines(_text(body, parameters))._replace(form=form)
    raise UnsupportedMediaType(
        f"Content-Type: expected {JSON}, {CSV} or {JSON_LINES}, got {shorten(kind) or 'none'}."
    )


def write(answered: Answered, asked: Asked) -> Content:
    """Write `{"predictions": […]}`, or a line for each instance, of JSON or of CSV."""
    if asked.form == JSON_LINES:
        lines = b"".join(to_json(each) + b"\n" for each in answered.predictions)
        return Content(lines, JSON_LINES)
    if asked.form == CSV:
        rows = io.StringIO(newline="")
        csv.writer(rows, lineterminator="\n").writerows(map(_cells, answered.predictions))
        return Content(rows.getvalue().encode(), f"{CSV}; charset=utf-8")
    return as_predictions(answered, asked)


CONTRACT = Contract("/invocations", read, write, PLATFORM, "instances", negotiates=True)


def _read_json(body: bytes) -> Asked:
    content = read_object(body, (*_BODIES, "params"))
    top_k = read_top_k(content.get("params"), "params")
    key, value = one_of(content, _BODIES)
    if key == "inputs":
        rows = read_rows_or_columns(value, key)
    elif key == "dataframe_split":
        rows = read_frame(value, key)
    else:
        rows = read_list(value, key)
    return Asked(rows, f"{key}.{{}}".format, top_k)


def _read_lines(text: str) -> Asked:
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    rows = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            raise UnprocessableEntity(f"line {number}: expected an instance, got an empty line.")
        try:
            rows.append(parse_json(line.encode()))
        except UnprocessableEntity as error:
            raise UnprocessableEntity(f"line {number}: {error.description}") from None
        except Exception as error:
            raise type(error)(f"line {number}: {getattr(error, 'description', error)}") from None
    if not rows:
        raise UnprocessableEntity("body: expected at least one line, got none.")
    return Asked(rows, lambda index: f"line {index + 1}")


def _text(body: bytes, parameters: dict[str, str]) -> str:
    charset = parameters.get("charset", "utf-8")
    if charset.lower() not in ("utf-8", "utf8"):
        raise UnsupportedMediaType(f"Content-Type: expected utf-8, got {shorten(charset)}.")
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UnprocessableEntity(f"body: not UTF-8: {error}.") from None


def _form_of(accept: str) -> str:
    """Return the type of the answer that a client likes most of those that there are; JSON if it does not mind."""
    if accept in ("", "*/*", JSON):
        return JSON
    offered = (JSON, CSV, *_JSON_LINES)
    best = parse_accept_header(accept, MIMEAccept).best_match(offered)
    if best is None:
        raise NotAcceptable(f"Accept: expected {JSON}, {CSV} or {JSON_LINES}, got {shorten(accept)}.")  # fmt: skip
    return JSON_LINES if best in _JSON_LINES else best


def _cells(prediction: Prediction) -> list[object]:
    if "label" in prediction:
        return [prediction["label"], prediction["score"]]
    if "value" in prediction:
        return [prediction["value"]]
    return [to_json([each["label"] for each in prediction["labels"]]).decode()]
