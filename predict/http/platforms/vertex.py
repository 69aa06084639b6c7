"""Vertex AI: the routes that its environment names.

Source: googleapis/python-aiplatform `google/cloud/aiplatform/prediction/model_server.py`.
"""

from wsgiref.types import WSGIEnvironment

from pydantic_core import to_json

from predict.http.answering import Answered, written
from predict.http.content import Content
from predict.http.platforms.asking import Asked, Contract, read_list, read_object, read_top_k

PLATFORM = "Vertex AI"


def read(body: bytes, environ: WSGIEnvironment) -> Asked:
    """Read `{"instances": […], "parameters": {…}}`."""
    content = read_object(body, ("instances", "parameters"))
    top_k = read_top_k(content.get("parameters"), "parameters")
    return Asked(read_list(content.get("instances"), "instances"), top_k=top_k)


def contract_at(route: str, deployed_model: str | None) -> Contract:
    """Return the contract of a route.

    Args:
        route: As AIP_PREDICT_ROUTE names it.
        deployed_model: AIP_DEPLOYED_MODEL_ID, which answers name; None if there is none.
    """
    tail = b"" if deployed_model is None else b',"deployedModelId":%b' % to_json(deployed_model)

    def write(answered: Answered, asked: Asked) -> Content:
        return Content(b'{"predictions":%b%b}' % (written(answered.predictions), tail))

    return Contract(route, read, write, PLATFORM, "instances")
