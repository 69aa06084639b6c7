"""A real service: a process of its own on a port of its own, asked over HTTP."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from email.message import Message
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
ENDED = ("succeeded", "failed", "cancelled", "interrupted")


@dataclass
class Answer:
    """What the service has answered."""

    status: int
    headers: Message
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Service:
    """A service whose folders are below `folder`; it can be ended and started again."""

    folder: Path
    settings: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None
    port: int = 0

    def start(self) -> "Service":
        names = {"JOBS_DIR": "jobs", "ARTEFACTS_DIR": "artefacts", "DATA_DIR": "raw"}
        environ = {key: str(self.folder / name) for key, name in names.items()}
        environ |= {"PORT": "0", "CONF_DIR": str(ROOT / "conf"), **self.settings}
        environ = {key: value for key, value in os.environ.items() if key != "HOST"} | environ
        log = self.folder / "server.log"
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "jobs"], cwd=ROOT, env=environ, stdout=output, stderr=output
            )
        self.port = int(until(lambda: self._port(log)))
        return self

    def _port(self, log: Path) -> str | None:
        assert self.process is not None
        assert self.process.poll() is None, log.read_text()
        match = re.search(r"serving on http://\S+:(\d+)$", log.read_text(), re.MULTILINE)
        return match and match[1]

    def end(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(60)

    def ask(
        self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> Answer:
        sent = dict(headers or {})
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
            sent.setdefault("Content-Type", "application/json")
        connection = HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, sent)
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def train(self, **body: Any) -> str:
        answer = self.ask("POST", "/train", body or {"conf": "iris"})
        assert answer.status == 202, answer.body
        assert answer.headers["Location"] == f"/jobs/{answer.json['id']}"
        return str(answer.json["id"])

    def job(self, id: str) -> dict[str, Any]:
        answer: dict[str, Any] = self.ask("GET", f"/jobs/{id}").json
        return answer

    def ended(self, id: str) -> dict[str, Any]:
        """Wait until a job has ended, and return it."""
        until(lambda: self.job(id)["state"] in ENDED)
        return self.job(id)

    def process_of(self, id: str) -> int:
        """Wait until a job has a process, and return its id."""

        def pid() -> int | None:
            text = (self.folder / "jobs" / id / "lock").read_text()
            return int(text) if text.endswith("\n") else None

        until(lambda: (self.folder / "jobs" / id / "lock").exists())
        return int(until(pid))

    def artefacts(self) -> list[str]:
        """Return the names of the artefacts; nothing else is there but `latest`."""
        return sorted(path.name for path in (self.folder / "artefacts").iterdir())


def until(condition: Callable[[], Any], within_s: float = 120.0) -> Any:
    """Wait for a condition, and return what it is."""
    ends = time.monotonic() + within_s
    while not (found := condition()):
        assert time.monotonic() < ends, "waited too long"
        time.sleep(0.05)
    return found


def lives(pid: int) -> bool:
    """Return whether there is a process that has not ended."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Give a function that starts a service with settings; it is ended after the test."""
    with ExitStack() as services:

        def start_one(**settings: str) -> Service:
            service = Service(tmp_path, settings).start()
            services.callback(service.end, signal.SIGKILL)
            return service

        yield start_one


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Give a service with the default settings."""
    service = Service(tmp_path_factory.mktemp("service")).start()
    yield service
    service.end()
