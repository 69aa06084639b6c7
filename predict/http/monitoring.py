"""The routes by which an operator sees inside, and by which clients tell what was true."""

from typing import Any

from flask import Flask, Response, request
from pydantic import BaseModel, ConfigDict, Field

from predict.hosting.crew import Crew
from predict.hosting.models import Models
from predict.http.problems import problem, problem_of_places
from predict.http.requests import read_json
from predict.http.responses import json_response
from predict.monitoring.feedback import FeedbackError, FeedbackGivenError, UnknownRequestError
from predict.monitoring.metrics import Metrics, Watched, render
from predict.monitoring.monitor import report
from predict.monitoring.snapshots import merged

ROUTES = ("/metrics", "/drift", "/models/<model>/drift", "/feedback")


class FeedbackRequest(BaseModel):
    """The body of `POST /feedback`."""

    model_config = ConfigDict(extra="forbid", strict=True)

    # The `X-Request-ID` of an answer.
    request_id: str = Field(min_length=1, max_length=128)
    # What was true of each instance of that request, in order; null where nobody knows.
    truths: list[Any] = Field(min_length=1)


def add_monitoring_routes(app: Flask, models: Models, metrics: Metrics, crew: Crew) -> None:
    """Add them to an application."""
    crew.on("metrics", lambda _: metrics.snapshot())
    crew.on("watched", lambda _: _watched(models))
    crew.on("feedback", lambda given: _give(models, given["request_id"], given["truths"]))

    @app.get("/metrics")
    def metrics_of_all() -> Response:
        counted, seen = merged(crew.ask("metrics")), crew.ask("watched")
        watched = [_combined(models, name, seen) for name in models.loaded_names]
        body, content_type = render(counted, watched, request.headers.get("Accept", ""))
        return Response(body, content_type=content_type)

    @app.get("/drift")
    @app.get("/models/<model>/drift")
    def drift(model: str | None = None) -> Response:
        models.current(model)  # an unknown name is told
        watched = _combined(models, model or models.default, crew.ask("watched"))
        return json_response(report(watched.metadata, watched.snapshot))

    @app.post("/feedback")
    def feedback() -> Response:
        given = FeedbackRequest.model_validate_json(read_json())
        replies = crew.ask("feedback", given.model_dump())
        # One process has answered the request, and the rest do not know it.
        reply = next((reply for reply in replies if "unknown" not in reply), replies[0])
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


def _give(models: Models, request_id: str, truths: list[Any]) -> dict[str, Any]:
    reply: dict[str, Any] = {}
    for name in models.loaded_names:
        try:
            return {"known": models.current(name).monitor.give(request_id, truths)}
        except UnknownRequestError as error:
            reply = {"unknown": f"request_id: {error}"}
        except FeedbackGivenError as error:
            return {"given": f"request_id: {error}"}
        except FeedbackError as error:
            return {"problems": error.problems}
    return reply
