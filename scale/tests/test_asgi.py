"""The adapter: an ASGI server gets of our application what a client of the plain server gets."""

import asyncio
import json
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import pytest
from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder

from predict.hosting.models import Models
from predict.http.app import create_app
from predict.http.load import Load
from predict.scoring.predictor import Predictor
from predict.settings import Settings
from predict.tests.conftest import client, predictor, tiny_artefact  # noqa: F401  # fixtures
from scale.asgi import Adapter, Served

SETTINGS = Settings(max_body_bytes=20_000, max_instances=50, log_requests=False)
ID = {"X-Request-ID": "order-7"}


@dataclass
class Answer:
    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    data: bytes = b""

    @property
    def problem(self) -> dict[str, Any]:
        assert dict(self.headers)["content-type"] == "application/problem+json"
        body: dict[str, Any] = json.loads(self.data)
        return body


async def ask(
    adapter: Adapter,
    path: str = "/predict",
    messages: Sequence[dict[str, Any]] = (),
    **request: Any,
) -> Answer:
    """Ask as a server of ASGI does, by what a test client of werkzeug takes."""
    built = EnvironBuilder(path, **request)
    environ = built.get_environ()
    body = environ["wsgi.input"].read()
    headers = [
        (key.removeprefix("HTTP_").replace("_", "-").lower().encode(), value.encode("latin-1"))
        for key, value in environ.items()
        if key.startswith("HTTP_") or (key in ("CONTENT_TYPE", "CONTENT_LENGTH") and value != "0")
    ]
    raw, _, query = path.partition("?")
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": built.method,
        "path": raw,
        "raw_path": quote(raw, safe="/%").encode(),
        "query_string": (query or environ["QUERY_STRING"]).encode(),
        "headers": headers,
    }
    return await send(adapter, scope, messages or [{"type": "http.request", "body": body}])


async def send(adapter: Adapter, scope: dict[str, Any], messages: Iterable[Any]) -> Answer:
    answer, left = Answer(), iter(messages)

    async def receive() -> Any:
        return next(left)

    async def take(message: Any) -> None:
        if message["type"] == "http.response.start":
            answer.status = message["status"]
            answer.headers = [(a.decode(), b.decode("latin-1")) for a, b in message["headers"]]
        else:
            answer.data += message["body"]

    await adapter(scope, receive, take)
    return answer


def serving(
    predictor: Predictor,  # noqa: F811
    quick: bool = True,
    settings: Settings = SETTINGS,
    **more: Any,
) -> Adapter:
    adapter = Adapter()
    app = create_app(Models.of(predictor), settings)
    adapter.serve(Served(app, settings, lambda: quick, **more))
    return adapter


def run(coroutine: Awaitable[Answer]) -> Answer:
    async def main() -> Answer:
        return await coroutine

    return asyncio.run(main())


REQUESTS: list[dict[str, Any]] = [
    {"path": "/health"},
    {"path": "/ready"},
    {"path": "/model"},
    {"path": "/predict?text=c%2B%2B+%26%20svn&top_k=2"},
    {"path": "/predict?text=%ED%A0%80%ff%00"},
    {"path": "/nothing%0a%ff"},
    {"path": "/predict", "method": "PUT"},
    {"path": "/predict", "method": "HEAD", "query_string": {"text": "svn"}},
    {"method": "POST", "json": {"text": "svn"}},
    {"method": "POST", "json": {"texts": ["svn"] * 51}},
    {"method": "POST", "json": {"texts": ["a text that is not so short"] * 40}},
    {"method": "POST", "data": b'{"text": ', "content_type": "application/json"},
    {"method": "POST", "data": {"text": "svn"}},
    {"method": "POST", "data": "{}", "content_type": "text/plain"},
]


@pytest.mark.parametrize("quick", [True, False])
@pytest.mark.parametrize("request_", REQUESTS)
def test_an_answer_is_that_of_the_application(
    client: FlaskClient,  # noqa: F811
    predictor: Predictor,  # noqa: F811
    request_: dict[str, Any],
    quick: bool,
) -> None:
    asked = {"path": "/predict", "headers": ID, **request_}
    expected = client.open(**asked)
    answer = run(ask(serving(predictor, quick), **asked))
    assert (answer.status, answer.data) == (expected.status_code, expected.data)
    # The server gives the id of the request.
    names = {(name.lower(), value) for name, value in expected.headers}
    assert names - {("x-request-id", "order-7")} == set(answer.headers)


def test_an_id_that_is_none_is_replaced_in_the_answer(predictor: Predictor) -> None:  # noqa: F811
    answer = run(ask(serving(predictor), "/health", headers={"X-Request-ID": "a b"}))
    assert len(dict(answer.headers)["x-request-id"]) == 24


def parts(*bodies: bytes) -> list[dict[str, Any]]:
    last = len(bodies) - 1
    return [
        {"type": "http.request", "body": body, "more_body": number < last}
        for number, body in enumerate(bodies)
    ]


def test_a_body_may_come_in_parts_without_a_length(predictor: Predictor) -> None:  # noqa: F811
    adapter, kind = serving(predictor), {"Content-Type": "application/json"}
    for bodies in ((b'{"text": ', b'"svn"}'), (b'{"text": "svn"}', b"")):
        asked = ask(adapter, messages=parts(*bodies), method="POST", headers=kind)
        assert run(asked).status == 200


@pytest.mark.parametrize(
    ("messages", "headers"),
    [
        (parts(b"x" * 15_000, b"x" * 15_000), {}),
        ([], {"Content-Length": "20001"}),  # nothing of it is waited for
        ([], {"Content-Length": "20001", "Content-Encoding": "gzip"}),
    ],
)
def test_a_body_that_is_too_large_is_refused(
    predictor: Predictor,  # noqa: F811
    messages: list[dict[str, Any]],
    headers: dict[str, str],
) -> None:
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/predict",
        "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
    }
    answer = run(send(serving(predictor), scope, messages))
    assert answer.status == 413
    assert answer.problem["detail"] == "body: expected at most 20000 bytes."


def test_a_client_that_is_gone_gets_nothing(predictor: Predictor) -> None:  # noqa: F811
    gone = {"type": "http.disconnect"}
    for messages in ([gone], [*parts(b"{", b"")[:1], gone]):
        assert run(ask(serving(predictor), messages=messages, method="POST")).status == 0


def test_below_a_prefix_the_path_is_without_it(predictor: Predictor) -> None:  # noqa: F811
    scope = {
        "type": "http",
        "method": "GET",
        "path": "/tags/ready",
        "raw_path": b"/tags/ready",
        "root_path": "/tags",
        "headers": [],
    }
    answer = run(send(serving(predictor), scope, parts(b"")))
    assert json.loads(answer.data) == {"status": "ready", "model": "2026-01-02-03-04-05"}


def test_a_header_with_an_underscore_is_not_taken_for_one_with_a_dash(
    predictor: Predictor,  # noqa: F811
) -> None:
    keyed = serving(predictor, settings=Settings.model_validate({"api_keys": "k"}))
    for name, status in ((b"x-api-key", 200), (b"x_api_key", 401)):
        scope = {"type": "http", "method": "GET", "path": "/model", "headers": [(name, b"k")]}
        assert run(send(keyed, scope, parts(b""))).status == status


def test_it_takes_part_in_the_start_and_the_end() -> None:
    told: list[str] = []
    messages = iter([{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}])

    async def receive() -> Any:
        return next(messages)

    async def take(message: Any) -> None:
        told.append(message["type"])

    asyncio.run(Adapter()({"type": "lifespan"}, receive, take))
    assert told == ["lifespan.startup.complete", "lifespan.shutdown.complete"]


class Watched:
    """An application that tells which thread it answers in, and waits there if it has to."""

    def __init__(self, takes_s: float = 0.0) -> None:
        self.takes_s = takes_s
        self.threads: list[int] = []
        self.may_go = threading.Event()
        self.may_go.set()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        self.threads.append(threading.get_ident())
        failed = "predict.failure" in environ
        if not failed:
            self.may_go.wait(5)
            time.sleep(self.takes_s)
        start_response("503 Busy" if failed else "200 OK", [])
        return [b"done"]


@pytest.mark.parametrize(
    ("quick", "request_", "inside"),
    [
        (True, {"method": "POST", "json": {"text": "svn"}}, True),
        (True, {"path": "/models/a/predict?text=svn"}, True),
        (False, {"method": "POST", "json": {"text": "svn"}}, False),
        (True, {"method": "POST", "json": {"text": "svn" * 1_000}}, False),
        (True, {"path": "/metrics"}, False),
        (True, {"path": "/models"}, False),
        (True, {"method": "POST", "data": b"x", "headers": {"Content-Encoding": "gzip"}}, False),
    ],
)
def test_a_small_request_for_a_quick_model_is_answered_in_the_loop_and_others_in_a_thread(
    quick: bool, request_: dict[str, Any], inside: bool
) -> None:
    watched, adapter = Watched(), Adapter()
    adapter.serve(Served(watched, SETTINGS, lambda: quick))
    assert run(ask(adapter, **request_)).status == 200
    assert (watched.threads == [threading.get_ident()]) == inside


def test_what_would_wait_for_too_long_is_refused_and_probes_are_not() -> None:
    watched, adapter, load = Watched(takes_s=0.005), Adapter(), Load()
    settings = Settings(threads=1, max_wait_s=0.01)
    adapter.serve(Served(watched, settings, lambda: False, load))

    async def main() -> tuple[list[Answer], Answer, Answer]:
        await ask(adapter)  # so that it knows how long an answer takes
        await asyncio.sleep(0)
        asked = [asyncio.create_task(ask(adapter)) for _ in range(100)]
        probe = asyncio.create_task(ask(adapter, "/ready"))
        answers = list(await asyncio.gather(*asked))
        return answers, await probe, await ask(adapter)

    answers, probe, after = asyncio.run(main())
    statuses = [answer.status for answer in answers]
    assert 50 < statuses.count(503) == load.refused < 100
    assert statuses.count(200) + statuses.count(503) == 100
    assert (probe.status, after.status) == (200, 200)
    assert (load.waiting, load.in_flight) == (0, 0)


def test_what_has_waited_for_longer_than_was_estimated_is_refused_too() -> None:
    watched, adapter, load = Watched(), Adapter(), Load()
    adapter.serve(Served(watched, Settings(threads=1, max_wait_s=0.01), lambda: False, load))

    async def main() -> list[Answer]:
        await ask(adapter)
        await asyncio.sleep(0)
        watched.takes_s = 1.1
        asked = [asyncio.create_task(ask(adapter)) for _ in range(2)]
        return list(await asyncio.gather(*asked))

    answers = asyncio.run(main())
    assert [answer.status for answer in answers] == [200, 503]
    assert load.refused == 1


def test_a_request_is_answered_by_what_was_served_when_it_came() -> None:
    first, second, adapter = Watched(), Watched(), Adapter()
    adapter.serve(Served(first, SETTINGS, lambda: False))

    async def main() -> tuple[Answer, Answer]:
        first.may_go.clear()
        asked = asyncio.create_task(ask(adapter))
        while not first.threads:
            await asyncio.sleep(0.001)
        adapter.serve(Served(second, SETTINGS, lambda: False))
        answer = await ask(adapter)
        first.may_go.set()
        return await asked, answer

    old, new = asyncio.run(main())
    assert (old.status, new.status, len(first.threads), len(second.threads)) == (200, 200, 1, 1)
