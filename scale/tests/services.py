"""Services on Ray for the tests: real ones, started by the Python that SCALE_PYTHON names."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Self

import pytest

from predict.tests.conftest import ROOT

_PATIENCE_S = 120.0
_SERVED = "serving "


@cache
def why_no_ray() -> str | None:
    """Return why there is no Ray to run, or None."""
    python = os.environ.get("SCALE_PYTHON")
    if not python:
        return "SCALE_PYTHON names no Python with scale/requirements.txt (`make test-scale` does)"
    found = "import sys, importlib.util as u; sys.exit(u.find_spec('ray') is None)"
    done = subprocess.run([ROOT / python, "-c", found], capture_output=True)
    return None if done.returncode == 0 else f"{python} has no Ray"


needs_ray = pytest.mark.skipif(why_no_ray() is not None, reason=why_no_ray() or "")


def scale_python() -> str:
    """Return the Python that has Ray."""
    return str(ROOT / os.environ["SCALE_PYTHON"])


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


class Service:
    """A running `python -m scale serve`, whose settings can be changed."""

    def __init__(self, folder: Path, artefact: Path, **options: Any) -> None:
        """Start it, and wait until it serves."""
        self.port, self._folder = free_port(), folder
        self._conf, self._log = folder / "predict.conf", folder / "log"
        self._settings: dict[str, Any] = {"artefact_dir": artefact, "log_requests": False}
        self._write()
        given = [f"--{key.replace('_', '-')}={value}" for key, value in options.items()]
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [scale_python(), "-m", "scale", "--conf", self._conf, "serve", *given],
                cwd=folder,
                env={"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "HOME": str(folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        self._wait_for(1)

    @property
    def log(self) -> str:
        """What it has logged."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    @property
    def pid(self) -> int:
        """Its process, which is no replica."""
        return self._process.pid

    def become(self, settings: Mapping[str, Any]) -> None:
        """Let it have other settings, and wait until it has."""
        if settings == self._settings:
            return
        before = self.log.count(_SERVED)
        self._settings = dict(settings)
        self._write()
        self._process.send_signal(signal.SIGHUP)
        self._wait_for(before + 1)

    def stop(self) -> int:
        """Stop it; return its exit code."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        return self._process.wait(_PATIENCE_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _wait_for(self, count: int) -> None:
        deadline = time.monotonic() + _PATIENCE_S
        while self.log.count(_SERVED) < count:
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)

    def _write(self) -> None:
        lines = {"HOST": "127.0.0.1", "PORT": self.port, "WATCH_S": 0}
        for name, value in self._settings.items():
            if name in ("api_keys", "admin_token"):  # a file: Ray would show them
                keys = value if isinstance(value, list) else [value]
                file = self._folder / name
                file.write_text("\n".join(key.get_secret_value() for key in keys), encoding="utf-8")
                lines[f"{name.upper()}_FILE"] = file
            elif value not in ([], {}, None):
                lines[name.upper()] = ", ".join(value) if isinstance(value, list) else value
        text = "".join(f"{key}={value}\n" for key, value in lines.items())
        self._conf.write_text(text, encoding="utf-8")
