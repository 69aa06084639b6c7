"""Puts the platforms' routes into the application, and those that matter for speed before it."""

from collections.abc import Sequence
from functools import partial
from time import perf_counter
from wsgiref.types import WSGIEnvironment

from flask import Flask, Response, request
from pydantic_core import from_json, to_json
from werkzeug.exceptions import NotFound, ServiceUnavailable, UnprocessableEntity

from predict.contract.artefact import FORMAT_VERSION
from predict.hosting.models import Loaded, Models, NoModelError
from predict.http.answering import Answering
from predict.http.content import JSON, Content
from predict.http.descriptions import described
from predict.http.load import Load
from predict.http.platforms import (
    azure,
    hugging_face,
    invocations,
    open_inference,
    version_one,
    vertex,
)
from predict.http.platforms.asking import Asked, Contract
from predict.http.platforms.describing import PLAIN, asking, probing
from predict.http.platforms.errors import PlatformErrors
from predict.http.requests import read_json
from predict.http.responses import json_response
from predict.http.shortcut import Quick
from predict.scoring.inputs import Instance
from predict.scoring.predictor import Places, Predictor
from predict.settings import Settings, SettingsError
from predict.web.problems import PROBLEM_TYPE
from predict.wording import shorten

# As SageMaker's and MLflow's own servers answer a probe.
_NOTHING = "\n"
_VERSION = "<version>"
# Routes of ours that may be asked by whoever asks whether the server is well.
_HEALTHY = ("/", "/health", "/ready", "/ping", "/v2/health/live", "/v2/health/ready")


def add_platform_routes(
    app: Flask, models: Models, settings: Settings, answer: Answering, load: Load
) -> list[Quick]:
    """Add every platform's routes; return those that take the shortcut.

    Raises:
        SettingsError: Vertex AI has chosen a route for its probes that is something else here.
    """
    if not settings.platforms:
        return []
    ours = frozenset(rule.rule for rule in app.url_map.iter_rules())
    contracts = [
        *version_one.CONTRACTS,
        *open_inference.CONTRACTS,
        invocations.CONTRACT,
        azure.CONTRACT,
        hugging_face.CONTRACT,
    ]
    _add_probes(app, models, settings, load)
    route = settings.aip_predict_route
    if route is not None and route not in ours | {contract.rule for contract in contracts}:
        contracts.append(vertex.contract_at(route, settings.aip_deployed_model_id))
    for contract in contracts:
        _add(app, contract, answer)
    _add_classify(app, answer)
    _add_vertex_probe(app, models, settings, load)
    errors = PlatformErrors(settings, ours)
    app.after_request(partial(_reshape, errors))
    return [
        Quick(
            contract.rule,
            contract.read,
            partial(_answer, contract, answer, None),
            contract.negotiates,
        )
        for contract in contracts
        if _VERSION not in contract.rule
    ]


def _answer(
    contract: Contract,
    answer: Answering,
    version: str | None,
    model: str | None,
    asked: Asked,
    environ: WSGIEnvironment,
    parse_s: float,
) -> Content:
    answer.check_count(len(asked.rows), "body")

    if asked.model is not None and asked.model != model:
        raise UnprocessableEntity(
            f"model_name: expected {model}, as in the address, got {shorten(asked.model)}."
        )

    def instances_of(predictor: Predictor) -> tuple[Sequence[Instance], Places]:
        _check_version(predictor.metadata.name, version)
        return asked.instances(predictor)

    return contract.write(answer.score(model, instances_of, asked.top_k, environ, parse_s), asked)


def _add(app: Flask, contract: Contract, answer: Answering) -> None:
    def view(model: str | None = None, version: str | None = None) -> Response:
        started = perf_counter()
        is_other = contract.negotiates and request.mimetype != JSON
        is_other = is_other or open_inference.HEADER in request.headers
        body = request.get_data() if is_other else read_json(of_any_type=True)
        asked = contract.read(body, request.environ)
        seconds = perf_counter() - started
        content = _answer(contract, answer, version, model, asked, request.environ, seconds)
        return _response(content)

    description = asking(contract.platform, contract.key, by_model="<model>" in contract.rule)
    app.add_url_rule(contract.rule, contract.rule, described(description)(view), methods=["POST"])


def _add_classify(app: Flask, answer: Answering) -> None:
    """Add `GET /classify?sentence=…`."""

    def classify() -> Response:
        for name, values in request.args.lists():
            if name != "sentence" or len(values) > 1:
                raise UnprocessableEntity(
                    f"{shorten(name)}: expected the parameter sentence, and that once."
                )
        sentence = request.args.get("sentence")
        if sentence is None:
            raise UnprocessableEntity("sentence: missing; expected /classify?sentence=…")
        asked = Asked([sentence], lambda index: "sentence")
        answered = answer.score(None, asked.instances, None, request.environ)
        return _response(hugging_face.write(answered, asked))

    description = probing(hugging_face.PLATFORM, "Ask about one text")
    app.add_url_rule("/classify", view_func=described(description)(classify))


def _add_probes(app: Flask, models: Models, settings: Settings, load: Load) -> None:
    def check_ready() -> Loaded:
        return _check_ready(models, load)

    def ping() -> Response:
        check_ready()
        return Response(_NOTHING, content_type=JSON)

    def version() -> Response:
        return Response(str(FORMAT_VERSION), content_type="text/plain; charset=utf-8")

    def live() -> Response:
        return json_response({"live": True})

    def ready() -> Response:
        check_ready()
        return json_response({"ready": True})

    def server() -> Response:
        return json_response(open_inference.SERVER)

    def every_model() -> Response:
        return json_response({"models": models.names})

    def every_model_of_v2() -> Response:
        return every_model()

    def status(model: str, version: str | None = None) -> Response:
        loaded = _check_ready(models, load, model, version)
        return json_response(version_one.status(model, loaded.name))

    def model_ready(model: str, version: str | None = None) -> Response:
        _check_ready(models, load, model, version)
        return json_response({"name": model, "ready": True})

    def shown(model: str, version: str | None) -> Loaded:
        if not settings.show_model:
            raise NotFound("The metadata of models is switched off here (SHOW_MODEL).")
        loaded = models.current(model)
        _check_version(loaded.name, version)
        return loaded

    def signature(model: str, version: str | None = None) -> Response:
        return json_response(version_one.metadata(model, shown(model, version).predictor.metadata))

    def tensors(model: str, version: str | None = None) -> Response:
        return json_response(
            open_inference.metadata(model, shown(model, version).predictor.metadata)
        )

    one, two = "/v1/models/<model>", "/v2/models/<model>"
    sagemaker, v1, v2 = invocations.PLATFORM, version_one.PLATFORM, open_inference.PLATFORM
    told = probing(sagemaker, "Tell the version of artefacts' format", PLAIN)
    app.add_url_rule("/version", "/version", described(told)(version))
    labels, versions = f"{one}/labels/<version>", f"{one}/versions/<version>"
    for platform, summary, rules, view in (
        (sagemaker, "Tell whether requests should be sent here", ["/ping"], ping),
        (v1, "List the models that are served", ["/v1/models"], every_model),
        (v1, "Tell whether a model answers", [one, versions, labels], status),
        (v1, "Tell what a model reads and answers",
         [f"{path}/metadata" for path in (one, versions, labels)], signature),
        (v2, "Tell what the server is", ["/v2"], server),
        (v2, "List the models that are served", ["/v2/models"], every_model_of_v2),
        (v2, "Tell whether the process answers", ["/v2/health/live"], live),
        (v2, "Tell whether requests should be sent here", ["/v2/health/ready"], ready),
        (v2, "Tell what a model reads and answers", [two, f"{two}/versions/<version>"], tensors),
        (v2, "Tell whether a model answers",
         [f"{two}/ready", f"{two}/versions/<version>/ready"], model_ready),
    ):  # fmt: skip
        for rule in rules:
            app.add_url_rule(rule, rule, described(probing(platform, summary))(view))


def _add_vertex_probe(app: Flask, models: Models, settings: Settings, load: Load) -> None:
    route = settings.aip_health_route
    if route is None:
        return
    there = {rule.rule: rule for rule in app.url_map.iter_rules() if "GET" in (rule.methods or ())}
    if route not in there:

        def healthy() -> Response:
            _check_ready(models, load)
            return Response(_NOTHING, content_type=JSON)

        described(probing(vertex.PLATFORM, "Tell whether requests should be sent here"))(healthy)
        app.add_url_rule(route, "the health of Vertex AI", healthy)
    elif route not in _HEALTHY:
        raise SettingsError(
            f"AIP_HEALTH_ROUTE: {route} is something else here; name another path, such as /health."
        )


def _check_ready(
    models: Models, load: Load, model: str | None = None, version: str | None = None
) -> Loaded:
    """Return a model that answers; raise ServiceUnavailable if no more requests should be sent here.

    Raises:
        UnknownModelError, NotFound: There is no such model, or no such version.
    """
    try:
        loaded = models.current(model)
    except NoModelError as error:
        raise ServiceUnavailable(str(error)) from None
    if why := load.why_not_ready():
        raise ServiceUnavailable(why)
    _check_version(loaded.name, version)
    return loaded


def _check_version(served: str, version: str | None) -> None:
    if version is not None and version != served:
        raise NotFound(
            f"The version {shorten(version)!r} is not served. A version is the name of an artefact; served: {served}."
        )


def _response(content: Content) -> Response:
    return Response(content.body, content_type=content.type, headers=dict(content.headers))


def _reshape(errors: PlatformErrors, response: Response) -> Response:
    """Give an error the shape that the client of a platform expects."""
    if response.content_type != PROBLEM_TYPE:
        return response
    problem = from_json(response.get_data())
    told = errors.of(request.method, request.path, problem["status"], problem["detail"])
    if told is not None:
        response.status_code, content = told
        response.set_data(to_json(content))
        response.content_type = JSON
    return response
