"""Azure Machine Learning: `/score`, with the bodies of its own examples.

Sources: microsoft/azureml-inference-server `azureml_inference_server_http/server/routes.py`; MicrosoftDocs/azure-docs
`articles/machine-learning/how-to-deploy-mlflow-models-online-endpoints.md` for `input_data`.
"""

from wsgiref.types import WSGIEnvironment

from werkzeug.exceptions import RequestHeaderFieldsTooLarge

from predict.http.answering import Answered, written
from predict.http.content import Content
from predict.http.platforms.answers import as_predictions
from predict.http.platforms.asking import (
    Asked,
    Contract,
    one_of,
    read_frame,
    read_list,
    read_object,
    read_top_k,
)

_LONGEST_ID = 100
_BODIES = ("input_data", "data", "instances")


def read(body: bytes, environ: WSGIEnvironment) -> Asked:
    """Read exactly one of `input_data`, a frame or a list, `data` and `instances`, with `params`."""
    if len(environ.get("HTTP_X_REQUEST_ID", "")) > _LONGEST_ID:
        raise RequestHeaderFieldsTooLarge(f"x-request-id must not exceed {_LONGEST_ID} characters")
    content = read_object(body, (*_BODIES, "params"))
    top_k = read_top_k(content.get("params"), "params")
    key, value = one_of(content, _BODIES)
    is_frame = key == "input_data" and isinstance(value, dict)
    rows = read_frame(value, key) if is_frame else read_list(value, key)
    return Asked(rows, f"{key}.{{}}".format, top_k, form=key)


def write(answered: Answered, asked: Asked) -> Content:
    """Write `{"predictions": […]}`; to `input_data` the bare list, as Azure's deployments without code do."""
    if asked.form == "input_data":
        return Content(written(answered.predictions))
    return as_predictions(answered, asked)


CONTRACT = Contract("/score", read, write, "Azure ML", "data")
