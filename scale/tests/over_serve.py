"""A plugin of pytest that runs the tests of the HTTP application against Ray Serve, over real HTTP.

`make test-scale` does: `pytest -p scale.tests.over_serve predict/tests/test_app.py …`. Wherever a test makes an
application and asks for its client, it gets one that asks a running service, whose `user_config` has become that of the
test. What cannot be asked from outside, or is answered otherwise, is in `DIFFERENT`, with the reason.
"""

import http.client
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote
from wsgiref.types import StartResponse, WSGIEnvironment

import pytest
from flask.wrappers import Response
from werkzeug.test import Client

import predict.http.app
from predict.contract.artefact import Artefact
from predict.hosting.models import Models
from predict.scoring.predictor import Predictor
from predict.settings import Settings
from scale.tests.services import Service, why_no_ray

_INSIDE = "looks into the application, which is in another process here"
_LOG = "reads the log of its own process"
_IDS = "Ray gives a request without an id one of its own kind, and puts an id that is none into the answer as well"
_SLOW = "it asks another model each time, 300 times, and each change takes a second"
_SIZE = "the body does not reach Flask: the detail is `body: expected at most 20000 bytes.`, as on the plain server"

DIFFERENT = {
    "test_a_plain_request_does_not_reach_flask": _INSIDE,
    "test_instances_are_answered_and_the_shortcut_answers_as_flask_does": _INSIDE,
    "test_any_instance_is_answered_or_refused": _SLOW,
    "test_a_failed_body_is_validated_once": _INSIDE,
    "test_our_fault_is_logged_and_its_details_are_not_told": _INSIDE,
    "test_a_batch_beyond_the_rows_in_flight_is_asked_to_come_again": _INSIDE,
    "test_headers_of_proxies_are_believed_only_where_there_are_some": _INSIDE,
    "test_a_bad_file_of_keys_is_told_at_the_start": _INSIDE,
    "test_a_file_in_a_form_is_refused_and_never_written": _INSIDE,
    "test_a_bomb_is_not_unpacked": _INSIDE,
    "test_a_request_is_one_line_in_the_log_and_its_text_is_not": _LOG,
    "test_a_line_break_in_the_path_does_not_make_a_second_line": _LOG,
    "test_no_request_is_logged_where_nobody_wants_it": _LOG,
    "test_texts_are_logged_where_somebody_asked_for_it": _LOG,
    "test_a_line_break_in_a_logged_text_does_not_make_a_second_line": _LOG,
    "test_a_log_that_nobody_reads_any_more_does_not_stop_the_answers": _LOG,
    "test_a_line_of_the_log_has_the_id_of_its_request": _LOG,
    "test_a_log_of_objects_has_one_a_request": _LOG,
    "test_a_key_in_the_address_is_neither_taken_nor_logged": _LOG,
    "test_a_request_without_a_usable_id_gets_a_new_one": _IDS,
}

_service: Service | None = None


class _Application:
    """Stands for an application that is served elsewhere."""

    def __init__(self, models: Models, settings: Settings | None = None, *_: object) -> None:
        given = settings or Settings()
        self._config = {
            name: getattr(given, name) for name in given.model_fields_set - {"artefact_dir"}
        }
        predictor = models.current().predictor
        self._config["artefact_dir"] = predictor.directory  # type: ignore[attr-defined]

    def test_client(self) -> Client:
        return Client(self._ask, Response)

    def _ask(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Send a request to the service as it is, and return its answer."""
        assert _service is not None
        _service.become(self._config)
        path = quote(environ["PATH_INFO"].encode("latin-1"))
        query = environ["QUERY_STRING"]
        connection = http.client.HTTPConnection("127.0.0.1", _service.port, timeout=30)
        connection.putrequest(
            environ["REQUEST_METHOD"],
            f"{path}?{query}" if query else path,
            skip_host=True,
            skip_accept_encoding=True,
        )
        for name, value in _headers_of(environ):
            connection.putheader(name, value.encode("latin-1"))
        length = int(environ.get("CONTENT_LENGTH") or 0)
        connection.endheaders(environ["wsgi.input"].read(length) or None)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        start_response(f"{answer.status} {answer.reason}", answer.getheaders())
        return [content]


def _headers_of(environ: WSGIEnvironment) -> Iterator[tuple[str, str]]:
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            yield key.removeprefix("HTTP_").replace("_", "-"), value
    for key in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(key):
            yield key.replace("_", "-"), environ[key]


def pytest_configure(config: pytest.Config) -> None:
    """Replace what makes applications, before any test imports it."""
    load = Predictor.__init__

    def load_and_remember(self: Predictor, artefact: Artefact, *more: Any) -> None:
        load(self, artefact, *more)
        self.directory = artefact.path  # type: ignore[attr-defined]

    Predictor.__init__ = load_and_remember  # type: ignore[method-assign]
    predict.http.app.create_app = _Application  # type: ignore[assignment]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what cannot be asked from outside."""
    for item in items:
        name = item.name.partition("[")[0]
        reason = DIFFERENT.get(name) or why_no_ray()
        if "capacity limit" in item.name:
            reason = _SIZE
        if reason:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session", autouse=True)
def _serve(tiny_artefact: Path) -> Iterator[None]:
    global _service
    with tempfile.TemporaryDirectory() as folder, Service(Path(folder), tiny_artefact) as _service:
        yield
