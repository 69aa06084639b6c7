"""Shapes of answers that several platforms share."""

from collections.abc import Sequence
from typing import Any

from werkzeug.exceptions import UnprocessableEntity

from predict.contract.artefact import Output
from predict.http.answering import Answered, written
from predict.http.content import Content
from predict.http.platforms.asking import Asked
from predict.scoring.outputs import Prediction


def output_of(answered: Answered) -> Output:
    """Return what the model says of its answers."""
    return answered.loaded.predictor.metadata.outputs[0]


def as_predictions(answered: Answered, asked: Asked) -> Content:
    """Write `{"predictions": […]}`, with the predictions as our own routes answer them."""
    return Content(b'{"predictions":%b}' % written(answered.predictions))


def ranked(prediction: Prediction) -> list[tuple[str, float]]:
    """Return (label, probability) pairs: the answered label, if it is one, and then the most probable first.

    A threshold can make the answer a label that is not the most probable one, and clients take the first.
    """
    probabilities: dict[str, float] = prediction["probabilities"]
    if "label" not in prediction:
        return list(probabilities.items())
    label = prediction["label"]
    if next(iter(probabilities)) == label:
        return list(probabilities.items())
    others = [pair for pair in probabilities.items() if pair[0] != label]
    return [(label, prediction["score"]), *others][: len(probabilities)]


def check_has_labels(answered: Answered) -> None:
    """Raise UnprocessableEntity for a model that answers a number."""
    if output_of(answered).kind == "number":
        raise UnprocessableEntity("This model answers a number; it has no labels to list.")


def columns_of(answered: Answered) -> dict[str, Sequence[Any]]:
    """Return predictions as columns, a value for each instance in each.

    Returns:
        `label` and `score`; or `value` and perhaps `interval`; or `labels`. For labels also `classes` and `scores`:
        all that are listed, and their probabilities, the most probable first. `unsure` where answers can be.
    """
    predictions, output = answered.predictions, output_of(answered)
    names = {"label": ("label", "score"), "number": ("value", "interval"), "labels": ("labels",)}
    columns: dict[str, Sequence[Any]] = {
        name: [prediction[name] for prediction in predictions]
        for name in names[output.kind]
        if name in predictions[0]
    }
    if output.kind == "labels":
        columns["labels"] = [[each["label"] for each in labels] for labels in columns["labels"]]
    if output.kind != "number":
        pairs = [prediction["probabilities"] for prediction in predictions]
        columns["classes"] = [list(each) for each in pairs]
        columns["scores"] = [list(each.values()) for each in pairs]
    if output.can_be_unsure:
        columns["unsure"] = [bool(prediction.get("unsure")) for prediction in predictions]
    return columns
