"""The server process: its folders, its lock, waitress around the application, and an orderly stop."""

import copy
import fcntl
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server
from waitress.utilities import RequestEntityTooLarge

from jobs import uploads
from jobs.access import Access
from jobs.app import create_app
from jobs.retention import Retention
from jobs.settings import JobsSettings
from jobs.store import Store
from jobs.worker import Slots
from predict.settings import LOG_TIME, SettingsError
from predict.web.headers import SAFE, id_of_request
from predict.web.problems import PROBLEM_TYPE, body_of
from train.artefacts.folder import UNFINISHED

# A server that was killed may have left a process that is about to become a job, and holds its lock until then.
_LOCK_WITHIN_S = 5.0

log = logging.getLogger("jobs")


def serve(settings: JobsSettings) -> None:
    """Serve until SIGTERM or SIGINT; jobs that run are interrupted then.

    Raises:
        SettingsError: A folder cannot be used, another server uses it, or nobody can listen on the port.
    """
    logging.basicConfig(
        format="%(asctime)s %(levelname)s %(message)s", datefmt=LOG_TIME, level=logging.INFO
    )
    # Its warnings that requests wait are no news with few threads.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    _prepare(settings)
    with _only_server(settings):
        uploads.remove_unfinished(settings)
        store = Store(settings.jobs_dir / "jobs.sqlite")
        slots, retention = Slots(store, settings), Retention(store, settings)
        server = _listening(settings, create_app(store, slots, retention, settings))
        try:
            slots.start()
            retention.start()
            port = server.effective_port
            log.info("serving on http://%s:%s", _in_address(settings.host), port)
            server.run()
        finally:
            retention.stop()
            slots.stop()
            server.close()


def _stop(number: int, _: object) -> None:
    # Once: the jobs are being ended then.
    for each in (signal.SIGTERM, signal.SIGINT):
        signal.signal(each, signal.SIG_IGN)
    sys.exit(0)


def _prepare(settings: JobsSettings) -> None:
    """Make the folders, and show that a finished artefact can be moved from one to the other."""
    try:
        for folder in (settings.uploads_dir, settings.artefacts_dir, settings.data_dir):
            folder.mkdir(parents=True, exist_ok=True)
        tried = tempfile.mkdtemp(prefix=UNFINISHED, dir=settings.jobs_dir)
        moved = settings.artefacts_dir / os.path.basename(tried)
        try:
            os.rename(tried, moved)
        finally:
            shutil.rmtree(tried, ignore_errors=True)
            shutil.rmtree(moved, ignore_errors=True)
    except OSError as error:
        raise SettingsError(
            f"{error.filename}: cannot be used: {error.strerror}. JOBS_DIR ({settings.jobs_dir}) and ARTEFACTS_DIR "
            f"({settings.artefacts_dir}) must be folders that can be written, on one file system."
        ) from None


@contextmanager
def _only_server(settings: JobsSettings) -> Iterator[None]:
    """Hold the lock of the folder; nothing is left of it, however this process ends."""
    descriptor = os.open(settings.jobs_dir / "server.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        ends = time.monotonic() + _LOCK_WITHIN_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > ends:
                    raise SettingsError(
                        f"{settings.jobs_dir}: another server uses this folder. Stop it, or set JOBS_DIR."
                    ) from None
                time.sleep(0.1)
        yield
    finally:
        os.close(descriptor)


def _listening(settings: JobsSettings, app: Any) -> Any:
    """Return waitress's server, which lets nobody without a key send a large body."""
    access = Access(settings)

    class Parser(HTTPRequestParser):  # type: ignore[misc]
        def parse_header(self, header_plus: bytes) -> None:
            super().parse_header(header_plus)
            given = self.headers.get("AUTHORIZATION", ""), self.headers.get("X_API_KEY", "")
            if not access.has_key(*given) or self.path != "/datasets":
                self.adj = small

        def received(self, data: bytes) -> int:
            consumed: int = super().received(data)
            if isinstance(self.error, RequestEntityTooLarge):  # type: ignore[has-type]
                self.error = _TooLarge(id_of_request(self.headers.get("X_REQUEST_ID")))
            return consumed

    class Channel(HTTPChannel):  # type: ignore[misc]
        parser_class = Parser

    try:
        server = create_server(
            app,
            host=settings.host,
            port=settings.port,
            threads=settings.threads,
            max_request_body_size=settings.max_upload_bytes + 1,
            ident="",
            clear_untrusted_proxy_headers=True,
        )
    except OSError as error:
        raise SettingsError(
            f"HOST={settings.host}, PORT={settings.port}: nobody can listen there: {error.strerror}."
        ) from None
    server.channel_class, small = Channel, copy.copy(server.adj)
    small.max_request_body_size = settings.max_body_bytes + 1
    return server


class _TooLarge(RequestEntityTooLarge):  # type: ignore[misc]
    """The answer to a body that is not even received."""

    def to_response(self, ident: str | None = None) -> tuple[str, list[tuple[str, str]], bytes]:
        """Return it as all other problems are told."""
        body = body_of(413, "body: larger than this service takes.")
        headers = [("Content-Type", PROBLEM_TYPE), *SAFE, ("X-Request-ID", str(self.body))]
        return "413 Content Too Large", headers, body


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host
