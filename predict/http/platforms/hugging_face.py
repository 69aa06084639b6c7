"""What Hugging Face's inference containers answer to text classification.

Sources: huggingface/huggingface-inference-toolkit `webservice_starlette.py`; `@huggingface/tasks`, text-classification.
"""

from wsgiref.types import WSGIEnvironment

from werkzeug.exceptions import UnprocessableEntity

from predict.http.answering import Answered, written
from predict.http.content import Content
from predict.http.platforms.answers import check_has_labels, ranked
from predict.http.platforms.asking import Asked, Contract, read_list, read_object, read_top_k
from predict.scoring.outputs import Prediction

PLATFORM = "Hugging Face"


def read(body: bytes, environ: WSGIEnvironment) -> Asked:
    """Read `{"inputs": …}`: an instance, or a list of them. `options` are about the service, and change no answer."""
    content = read_object(body, ("inputs", "parameters", "options"))
    if "inputs" not in content:
        raise UnprocessableEntity("body: expected the key inputs.")
    inputs, top_k = content["inputs"], read_top_k(content.get("parameters"), "parameters")
    if isinstance(inputs, list):
        return Asked(read_list(inputs, "inputs"), "inputs.{}".format, top_k, form="list")
    return Asked([inputs], lambda index: "inputs", top_k)


def write(answered: Answered, asked: Asked) -> Content:
    """Write `[{"label": …, "score": …}, …]` to one instance, and a list of these to a list."""
    check_has_labels(answered)
    lists = [_pairs(each) for each in answered.predictions]
    return Content(written(lists if asked.form == "list" else lists[0]))


def _pairs(prediction: Prediction) -> list[dict[str, object]]:
    return [{"label": label, "score": score} for label, score in ranked(prediction)]


CONTRACT = Contract("/", read, write, PLATFORM, "inputs")
