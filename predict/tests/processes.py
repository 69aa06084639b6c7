"""Real processes for the tests, and real sockets to talk to them."""

import http.client
import itertools
import json
import re
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]
_PATIENCE_S = 15.0
_numbers = itertools.count()
_connections: list[http.client.HTTPConnection] = []


class Process:
    """A started command, whose output goes to files."""

    def __init__(
        self,
        command: Sequence[str],
        environ: Mapping[str, str],
        directory: Path,
        read_errors: bool = True,
    ) -> None:
        """Start it in `directory`, with our package to be found and nothing inherited.

        If its errors are not read, they go to a pipe, of which only the first line is.
        """
        number = next(_numbers)
        self._output = directory / f"{number}.out"
        self._errors = directory / f"{number}.err"
        own = {"PYTHONPATH": str(_ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
        with self._output.open("wb") as output, self._errors.open("wb") as errors:
            self._popen = subprocess.Popen(
                command,
                cwd=directory,
                env={**own, **environ},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=errors if read_errors else subprocess.PIPE,
                start_new_session=True,  # a Ctrl-C of who runs the tests is not meant for it
            )
        if (pipe := self._popen.stderr) is not None:
            self._errors.write_bytes(pipe.readline())

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def output(self) -> str:
        return self._output.read_text(encoding="utf-8")

    @property
    def errors(self) -> str:
        return self._errors.read_text(encoding="utf-8")

    @property
    def running(self) -> bool:
        return self._popen.poll() is None

    def wait_for(self, pattern: str) -> str:
        """Wait until a line of its errors (the log) matches; return the first group."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.errors):
                return found[1] if found.re.groups else found[0]
            if not self.running:
                break
            time.sleep(0.01)
        raise AssertionError(f"no {pattern!r} in: {self.errors}{self.output}")

    def port(self) -> int:
        """Wait until it serves; return where."""
        return int(self.wait_for(r"serving .* on http://[\d.]+:(\d+)"))

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._popen.send_signal(number)

    def exit_code(self, timeout_s: float = _PATIENCE_S) -> int:
        """Wait for its end."""
        return self._popen.wait(timeout_s)

    def kill(self) -> None:
        """End it, if it has not ended."""
        if self.running:
            self._popen.kill()
        self._popen.wait(_PATIENCE_S)
        if self._popen.stderr is not None:
            self._popen.stderr.close()


def connect(port: int, timeout_s: float = _PATIENCE_S) -> http.client.HTTPConnection:
    """Return a connection that is open until `close_connections`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    _connections.append(connection)
    connection.connect()
    return connection


def close_connections() -> None:
    """Close what `connect` opened."""
    while _connections:
        _connections.pop().close()


def ask(connection: http.client.HTTPConnection, body: Any) -> tuple[int, Any]:
    """Post a body to /predict; return status and content of the answer."""
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/predict", json.dumps(body), headers)
    return read_answer(connection.getresponse())


def read_answer(response: http.client.HTTPResponse) -> tuple[int, Any]:
    """Return status and content; an error's content must be a problem."""
    content = json.loads(response.read())
    is_problem = response.headers["Content-Type"] == "application/problem+json"
    assert is_problem == (response.status >= 400)
    return response.status, content
