"""The way from a validated request to the JSON of its answer."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from wsgiref.types import WSGIEnvironment

from pydantic_core import to_json
from werkzeug.exceptions import (
    RequestEntityTooLarge,
    ServiceUnavailable,
    UnprocessableEntity,
)

from predict.hosting.models import Models
from predict.http.environment import ANSWERED, ON_MAIN_LOOP, REQUEST_ID, WAITED_S
from predict.http.requests import PredictRequest
from predict.scoring.inputs import Instance
from predict.scoring.outputs import Prediction
from predict.scoring.predictor import Places, Predictor
from predict.settings import Settings

# Predictions that are written at once: the interpreter is held meanwhile, and a small request may wait for it.
_MOST_WRITTEN_AT_ONCE = 500
_RETRY_AFTER_S = 1


class Answering:
    """Answers requests by the models that are current when they come."""

    def __init__(self, models: Models, settings: Settings) -> None:
        self._models, self._max_instances = models, settings.max_instances
        self._max_explained, self._explain_s = settings.max_explained, settings.explain_s
        # These are perhaps values of a row.
        self._show_references = settings.show_examples and settings.show_model
        self._rows = _Rows(settings.max_rows_in_flight)

    def __call__(
        self,
        model: str | None,
        asked: PredictRequest,
        environ: WSGIEnvironment,
        parse_s: float | None = None,
    ) -> bytes:
        """Return the JSON of the answer.

        Args:
            model: The name of a model that is served; None for the default one.
            asked: What is to be answered.
            environ: Of the request: it has its id, and takes what was answered, for whoever counts.
            parse_s: How long it took to read what is asked.

        Raises:
            UnknownModelError: There is no such model.
            InstanceError: The model cannot take what is asked, or a text is too long to be explained.
            RequestEntityTooLarge: There are too many instances.
            UnprocessableEntity: An explanation is asked for, and there are none here.
            ServiceUnavailable: Too many rows of other requests are being scored.
        """
        loaded = self._models.current(model)
        predictor = loaded.predictor
        instances, places = self._instances_of(asked, predictor)
        if asked.explain:
            self._check_explained(environ)
            predictor.explainer.check(instances, places)
        if len(instances) == 1:
            answers = predictor.answer(instances, asked.top_k, places)
        else:
            with self._rows.taken(len(instances)):
                answers = predictor.answer(instances, asked.top_k, places)
        predictions = answers.predictions
        loaded.monitor.observe(environ[REQUEST_ID], instances, predictions)
        if loaded.shadow is not None:
            loaded.shadow.offer(instances, predictions)
        if asked.explain:
            predictions = self._explained(predictor, instances, predictions)
        steps = (environ.get(WAITED_S), parse_s, answers.encode_s, answers.score_s)
        environ[ANSWERED] = (model or self._models.default, len(instances), steps)
        return _written(predictions, loaded.name)

    def _check_explained(self, environ: WSGIEnvironment) -> None:
        if not self._max_explained:
            raise UnprocessableEntity(
                "explain: explanations are switched off here (MAX_EXPLAINED)."
            )
        if environ.get(ON_MAIN_LOOP, bool)():
            raise UnprocessableEntity(
                "explain: expected the word as it is, without escapes, in the address, in a form or in JSON in UTF-8."
            )

    def _explained(
        self,
        predictor: Predictor,
        instances: Sequence[Instance],
        predictions: Sequence[Prediction],
    ) -> list[Prediction]:
        explanations = predictor.explainer.explain(instances, predictions, self._explain_s)
        if not self._show_references:
            for explanation in explanations:
                for contribution in explanation["contributions"]:
                    contribution.pop("reference", None)
        # What was observed stays what it was.
        return [
            {**prediction, "explanation": explanation}
            for prediction, explanation in zip(predictions, explanations, strict=True)
        ]

    def _instances_of(
        self, asked: PredictRequest, predictor: Predictor
    ) -> tuple[Sequence[Instance], Places]:
        """Return the checked instances, and how a message names each of them."""
        places: Places
        if asked.text is not None:
            places = _the_text
            return predictor.check_texts([asked.text], places), places
        if asked.texts is not None:
            self._check_count(len(asked.texts), "texts", asked)
            places = "texts.{}".format
            return predictor.check_texts(asked.texts, places), places
        assert asked.instances is not None  # PredictRequest has seen to it
        self._check_count(len(asked.instances), "instances", asked)
        places = "instances.{}".format
        predictor.check(asked.instances, places)
        return asked.instances, places

    def _check_count(self, count: int, place: str, asked: PredictRequest) -> None:
        most, purpose = self._max_instances, ""
        if asked.explain and self._max_explained:
            most, purpose = min(most, self._max_explained), " to explain"
        if count > most:
            raise RequestEntityTooLarge(f"{place}: expected at most {most}{purpose}, got {count}.")


class _Rows:
    """Rows of batches that are being scored: their number bounds the memory that scoring takes."""

    def __init__(self, most: int) -> None:
        self._most, self._taken, self._lock = most, 0, threading.Lock()

    @contextmanager
    def taken(self, count: int) -> Iterator[None]:
        """Take room for rows, or raise ServiceUnavailable. A batch alone always has room."""
        with self._lock:
            if self._taken and self._taken + count > self._most:
                raise ServiceUnavailable(
                    f"The server is scoring {self._taken:,} rows of other requests; ask again in a moment.",
                    retry_after=_RETRY_AFTER_S,
                )
            self._taken += count
        try:
            yield
        finally:
            with self._lock:
                self._taken -= count


def _written(predictions: Sequence[Prediction], name: str) -> bytes:
    if len(predictions) <= _MOST_WRITTEN_AT_ONCE:
        return to_json({"predictions": predictions, "model": name})
    starts = range(0, len(predictions), _MOST_WRITTEN_AT_ONCE)
    slices = [to_json(predictions[start : start + _MOST_WRITTEN_AT_ONCE])[1:-1] for start in starts]
    return b'{"predictions":[%b],"model":%b}' % (b",".join(slices), to_json(name))


def _the_text(index: int) -> str:
    return "text"
