"""Settings of serving: `conf/predict.conf` and the environment, checked as a whole."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from predict.wording import suggestion

DEFAULT_FILE = Path("conf/predict.conf")

# Only what make, a shell and docker --env-file read in the same way.
_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*) *=(.*)")


class SettingsError(Exception):
    """Settings that cannot be used. The message lists every problem with its place."""


class Settings(BaseModel):
    """Every key of `conf/predict.conf`. An environment variable of the same name wins over the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    artefact_dir: Path = Path("data/artefacts/latest")
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    # Worker threads of waitress.
    threads: Annotated[int, Field(ge=1, le=256)] = 4
    max_body_bytes: Annotated[int, Field(ge=1)] = 1_000_000
    max_instances: Annotated[int, Field(ge=1)] = 10_000
    # How long a stopping server waits for requests in flight.
    drain_timeout_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 25.0
    log_requests: bool = True
    # Texts may be private, so they are logged only on request.
    log_texts: bool = False
    # How long a request may wait for its turn; one that would wait longer is refused with 503.
    max_wait_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.04
    # How long a request may be answered, before its connection is closed.
    request_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    # How long a stopping server still takes new connections.
    drain_grace_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.25


def load_settings(file: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings: the environment wins over the file, the file over the defaults.

    Args:
        file: A `KEY=value` file. None, or a `DEFAULT_FILE` that does not exist, leaves the defaults.
        environ: Environment variables; only those named like a key count.

    Raises:
        SettingsError: The file is missing or malformed, or a key is unknown, or a value is wrong. It lists all
            problems at once.
    """
    keys = {name.upper(): name for name in Settings.model_fields}
    written = _read_file(file)
    problems = [
        f"{file}: {key}: unknown key.{suggestion(key, list(keys))}"
        for key in written
        if key not in keys
    ]
    problems += [
        f"{file}: {key}: empty; give a value, or remove the line."
        for key, value in written.items()
        if not value
    ]
    values = {keys[key]: value for key, value in written.items() if key in keys}
    origin = {name: str(file) for name in values}
    for key, name in keys.items():
        if environ.get(key):
            values[name], origin[name] = environ[key], "environment"
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        for problem in error.errors():
            name = str(problem["loc"][0])
            problems.append(
                f"{origin[name]}: {name.upper()}: {problem['msg']}, got {problem['input']!r}."
            )
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _read_file(file: Path | None) -> dict[str, str]:
    if file is None or (file == DEFAULT_FILE and not file.exists()):
        return {}
    try:
        lines = file.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read: {error.strerror}.") from None
    except UnicodeDecodeError as error:
        raise SettingsError(f"{file}: not UTF-8 text ({error.reason}).") from None
    written: dict[str, str] = {}
    problems = []
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            problems.append(f"{file}, line {number}: expected KEY=value, got {line!r}.")
        elif match[1] in written:
            problems.append(f"{file}, line {number}: {match[1]} is set twice.")
        else:
            written[match[1]] = match[2].strip()
    if problems:
        raise SettingsError("\n".join(problems))
    return written
