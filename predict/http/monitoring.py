"""The routes by which an operator sees inside, and by which clients tell what was true."""

import os
from typing import Any

from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict, Field
from werkzeug.exceptions import NotFound

from predict.hosting.crew import Crew
from predict.hosting.models import Models
from predict.http import operations
from predict.http.descriptions import described
from predict.http.problems import problem_of_places
from predict.http.requests import read_json
from predict.http.responses import json_response
from predict.monitoring.feedback import FeedbackError, FeedbackGivenError, UnknownRequestError
from predict.monitoring.metrics import Metrics, Watched, render
from predict.monitoring.monitor import report
from predict.monitoring.snapshots import merged
from predict.settings import Settings
from predict.web.problems import problem
from predict.wording import shorten

ROUTES = ("/metrics", "/drift", "/models/<model>/drift", "/feedback")


class FeedbackRequest(BaseModel):
    """The body of `POST /feedback`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # The `X-Request-ID` of an answer.
    request_id: str = Field(min_length=1, max_length=128)
    # What was true of each instance of that request, in order; null where nobody knows.
    truths: list[Any] = Field(min_length=1)
    # Which model's answer it was; None for the newest answer to a request of this id.
    model: str | None = None


def add_monitoring_routes(
    app: Flask, models: Models, settings: Settings, metrics: Metrics, crew: Crew
) -> None:
    """Add them to an application."""
    crew.on("metrics", lambda _: metrics.snapshot())
    crew.on("watched", lambda _: _watched(models))
    crew.on("answered", lambda asked: _answered(models, *asked))
    crew.on("feedback", lambda given: _give(models, **given))

    @app.get("/metrics")
    @described(operations.METRICS)
    def metrics_of_all() -> Response:
        counted, seen = merged(crew.ask("metrics")), crew.ask("watched")
        watched = [_combined(models, name, seen) for name in models.loaded_names]
        body, content_type = render(counted, watched, request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

    @app.get("/drift")
    @app.get("/models/<model>/drift")
    @described(operations.drift)
    def drift(model: str | None = None) -> Response:
        if not settings.show_model:  # it has the model's columns, bins and labels
            raise NotFound("The drift of models is switched off here (SHOW_MODEL).")
        watched = _combined(models, model or models.default, crew.ask("watched"))
        return json_response(report(watched.metadata, watched.snapshot))

    @app.post("/feedback")
    @described(operations.feedback(FeedbackRequest))
    def feedback() -> Response:
        given = FeedbackRequest.model_validate_json(read_json())
        if given.model is not None:
            models.require(given.model)
        asked = [given.request_id, given.model]
        answers = [answer for some in crew.ask("answered", asked) for answer in some]
        if not answers:
            message = f"no answer is remembered for {shorten(given.request_id)!r}"
            return problem(404, f"request_id: {message}: it is too old, or was given elsewhere.")
        # The newest of several answers to one id is meant, and one process alone counts what was true of it.
        newest = max(answers, key=lambda answer: answer["at"])
        to_tell = {"process": newest["process"], "model": newest["model"], "truths": given.truths}
        replies = crew.ask("feedback", {"request_id": given.request_id, **to_tell})
        reply = next(
            (reply for reply in replies if reply), {"unknown": "request_id: just forgotten"}
        )
        if "known" in reply:
            return json_response({"request_id": given.request_id, **reply})
        if "problems" in reply:
            return problem_of_places(reply["problems"])
        return problem(409 if "given" in reply else 404, reply.get("given") or reply["unknown"])


def _watched(models: Models) -> dict[str, Any]:
    """Return what this process has seen of each model, and of which artefact that is."""
    return {
        name: {"artefact": loaded.name, "seen": loaded.monitor.snapshot()}
        for name, loaded in ((name, models.current(name)) for name in models.loaded_names)
    }


def _combined(models: Models, name: str, seen: list[dict[str, Any]]) -> Watched:
    """Add up what all processes have seen of a model; one that has just changed it has seen another artefact."""
    loaded = models.current(name)
    same = [
        each[name]["seen"]
        for each in seen
        if name in each and each[name]["artefact"] == loaded.name
    ]
    return Watched(name, loaded.predictor.metadata, merged(same or [loaded.monitor.snapshot()]))


def _answered(models: Models, request_id: str, model: str | None) -> list[dict[str, Any]]:
    """Return when this process answered a request, for each model that did."""
    answers = []
    for name in models.loaded_names if model is None else [model]:
        at = models.current(name).monitor.answered_at(request_id)
        if at is not None:
            answers.append({"process": os.getpid(), "model": name, "at": at})
    return answers


def _give(
    models: Models, request_id: str, process: int, model: str, truths: list[Any]
) -> dict[str, Any] | None:
    if process != os.getpid():
        return None
    try:
        return {"known": models.current(model).monitor.give(request_id, truths)}
    except UnknownRequestError as error:
        return {"unknown": f"request_id: {error}"}
    except FeedbackGivenError as error:
        return {"given": f"request_id: {error}"}
    except FeedbackError as error:
        return {"problems": error.problems}
