"""Settings of serving: `conf/predict.conf` and the environment, checked as a whole."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

from predict.wording import suggestion

DEFAULT_FILE = Path("conf/predict.conf")
# How log lines say when they were written.
LOG_TIME = "%Y-%m-%d %H:%M:%S"
# The model that answers where a request names none.
DEFAULT_MODEL = "default"

# Only what make, a shell and docker --env-file read in the same way.
_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*) *=(.*)")
# A path that a router takes as it is written.
_ROUTE = re.compile(r"/[A-Za-z0-9._~:@!$&'()*+,;=/-]*")
# Where platforms mount a model: the images that we build; SageMaker; KServe; Hugging Face.
MOUNTED = tuple(map(Path, ("/artefact", "/opt/ml/model", "/mnt/models", "/repository")))
# What Vertex AI calls a key of ours.
_OTHER_NAMES = {"AIP_HTTP_PORT": "port"}
# A model's name is part of an address.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class SettingsError(Exception):
    """Settings that cannot be used. The message lists every problem with its place."""


def _named_paths(value: object) -> object:
    """Read `tags=data/tags/latest, spam=data/spam/latest`."""
    if not isinstance(value, str):
        return value
    named: dict[str, str] = {}
    for part in _split(value):
        name, equals, path = (piece.strip() for piece in part.partition("="))
        if not equals or not path or not _NAME.fullmatch(name):
            raise ValueError(
                "expected NAME=PATH, … with names of letters, digits, dots, dashes and underscores"
            )
        if name in named:
            raise ValueError(f"{name} is there twice")
        named[name] = path
    return named


def _parts(value: object) -> object:
    """Split what is written with commas."""
    if not isinstance(value, str):
        return value
    if not (parts := _split(value)):
        # Nothing but commas: a list of keys without any would let everybody in.
        raise ValueError("expected at least one")
    return parts


def _split(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _route(value: object) -> object:
    if isinstance(value, str) and not _ROUTE.fullmatch(value):
        raise ValueError("expected a path that begins with a slash, of plain characters")
    return value


Route = Annotated[str, BeforeValidator(_route)]
NamedPaths = Annotated[dict[str, Path], BeforeValidator(_named_paths)]
# Never shown, neither in a log nor in an error.
Secrets = Annotated[list[SecretStr], BeforeValidator(_parts)]


class Settings(BaseModel):
    """Every key of `conf/predict.conf`. An environment variable of the same name wins over the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    artefact_dir: Path = Path("data/artefacts/latest")
    # More models, by name; see `places`.
    models: NamedPaths = {}
    # What scores beside the models of the same names, in the background.
    shadows: NamedPaths = {}
    # How often the server looks whether a link or `conf/predict.conf` has changed; 0 for never.
    watch_s: Annotated[float, Field(ge=0, le=3600, allow_inf_nan=False)] = 2.0
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8080
    # Processes that serve.
    workers: Annotated[int, Field(ge=1, le=64)] = 1
    # Worker threads of waitress, in each of them.
    threads: Annotated[int, Field(ge=1, le=256)] = 4
    max_body_bytes: Annotated[int, Field(ge=1)] = 1_000_000
    max_instances: Annotated[int, Field(ge=1)] = 10_000
    # How many instances of a request may be explained, 0 for none; and for how long, all together.
    max_explained: Annotated[int, Field(ge=0)] = 10
    explain_s: Annotated[float, Field(gt=0, le=60, allow_inf_nan=False)] = 1.0
    # How long a stopping server waits for requests in flight.
    drain_timeout_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 25.0
    log_requests: bool = True
    log_format: Literal["text", "json"] = "text"
    # Texts may be private, so they are logged only on request.
    log_texts: bool = False
    # How long a request may wait for its turn; one that would wait longer is refused with 503.
    max_wait_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.04
    # How long a request may be answered, before its connection is closed.
    request_timeout_s: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    # How long a stopping server still takes new connections.
    drain_grace_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.25
    # Where predictions are logged as JSON Lines; None: nowhere. Inputs may be private, so they are asked for apart.
    log_predictions: Path | None = None
    log_predictions_inputs: bool = False
    # The largest size of a file, and how many files there are.
    log_predictions_bytes: Annotated[int, Field(ge=100_000)] = 100_000_000
    log_predictions_files: Annotated[int, Field(ge=2, le=1_000)] = 5
    # How many answers wait for the truth that POST /feedback may give, for each model.
    feedback_requests: Annotated[int, Field(ge=0, le=10_000_000)] = 20_000
    # Whether requests are traced; see `predict.http.tracing`.
    open_telemetry: bool = False
    # Rows of batches that are scored at once, over all requests.
    max_rows_in_flight: Annotated[int, Field(ge=1)] = 20_000
    # Who may ask: none means everyone. A file has one key a line.
    api_keys: Secrets = []
    api_keys_file: Path | None = None
    # Who may change models: none means nobody.
    admin_token: SecretStr | None = None
    admin_token_file: Path | None = None
    # Where the artefacts are that an administrator may name, and where uploaded ones go.
    models_dir: Path | None = None
    max_upload_bytes: Annotated[int, Field(ge=1)] = 200_000_000
    # What shows real rows of the dataset, and where things are.
    show_examples: bool = True
    show_model: bool = True
    # Whether / has a page for people.
    show_page: bool = True
    # Pages of these origins may ask from a browser; "*" for all.
    cors_origins: Annotated[list[str], BeforeValidator(_parts)] = []
    # How many proxies are in front, whose X-Forwarded-… headers are believed.
    trusted_proxies: Annotated[int, Field(ge=0, le=10)] = 0

    # Whether the routes are there that platforms ask; see `predict.http.platforms`.
    platforms: bool = True
    # Vertex AI sets these in the environment.
    aip_health_route: Route | None = None
    aip_predict_route: Route | None = None
    aip_deployed_model_id: str | None = None

    @property
    def places(self) -> dict[str, Path]:
        """The directory of every model, by name: those of `models`, and `artefact_dir` as the default model.

        The latter is left out where `models` has others and nothing says what it is.
        """
        if self.models and "artefact_dir" not in self.model_fields_set:
            return self.models
        return {DEFAULT_MODEL: self.artefact_dir} | self.models

    @property
    def default_place(self) -> Path:
        """The directory of the model that answers where none is named: that called `default`, or else the first."""
        places = self.places
        return places.get(DEFAULT_MODEL) or next(iter(places.values()))

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.api_keys and self.api_keys_file:
            raise ValueError("API_KEYS and API_KEYS_FILE: give one of them")
        if self.admin_token and self.admin_token_file:
            raise ValueError("ADMIN_TOKEN and ADMIN_TOKEN_FILE: give one of them")
        for name in self.shadows:
            if name not in self.places:
                known = suggestion(name, list(self.places))
                raise ValueError(f"SHADOWS: {name} is none of the models.{known}")
        return self


def load_settings(file: Path | None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings: the environment wins over the file, the file over the defaults.

    Args:
        file: A `KEY=value` file. None, or a `DEFAULT_FILE` that does not exist, leaves the defaults.
        environ: Environment variables; only those named like a key count.

    Raises:
        SettingsError: The file is missing or malformed, or a key is unknown, or a value is wrong. It lists all
            problems at once.
    """
    return check_settings(_read_file(file), str(file), environ)


def check_settings(
    written: Mapping[str, object], where: str, environ: Mapping[str, str] = os.environ
) -> Settings:
    """Check settings by their keys, as `load_settings` does.

    Args:
        written: Key -> value.
        where: What messages call the place where they are written.
        environ: As above; it wins over what is written.
    """
    keys = {name.upper(): name for name in Settings.model_fields}
    problems = [
        f"{where}: {key}: unknown key.{suggestion(key, list(keys))}"
        for key in written
        if key not in keys
    ]
    problems += [
        f"{where}: {key}: empty; give a value, or remove the line."
        for key, value in written.items()
        if value in ("", None)
    ]
    values = {keys[key]: value for key, value in written.items() if key in keys}
    origin = {name: where for name in values}
    for key, name in keys.items():
        if environ.get(key):
            values[name], origin[name] = environ[key], "environment"
    for key, name in _OTHER_NAMES.items():
        if environ.get(key) and name not in values:
            values[name], origin[name] = environ[key], f"environment ({key})"
    if not {"artefact_dir", "models"} & values.keys() and (place := _mounted(problems)):
        values["artefact_dir"], origin["artefact_dir"] = str(place), "the place of a mounted model"
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        problems += [_told(problem, origin) for problem in error.errors()]
    if problems:
        raise SettingsError("\n".join(problems))
    return settings


def _mounted(problems: list[str]) -> Path | None:
    """Return the artefact directory that a platform has mounted, if ours is not there; note if there are two."""
    if Settings.model_fields["artefact_dir"].default.exists():
        return None
    folders = [folder for folder in MOUNTED if os.path.isdir(folder)]
    found = [artefact for folder in folders if (artefact := _artefact_in(folder)) is not None]
    if len(found) > 1:
        shown = " and ".join(map(str, found))
        problems.append(f"{shown} are artefacts: say which one is to be served with ARTEFACT_DIR.")
    # An empty one is named in the message that nothing is there.
    return next(iter([*found, *folders]), None)


def _artefact_in(folder: Path) -> Path | None:
    """Return the artefact that a folder is, or that its link `latest` leads to, or the only one in it."""
    for place in (folder, folder / "latest"):
        if os.path.isfile(place / "metadata.json"):
            return place
    inside = [path.parent for path in sorted(folder.glob("*/metadata.json"))]
    return inside[0] if len(inside) == 1 else None


def _told(problem: ErrorDetails, origin: Mapping[str, str]) -> str:
    message = problem["msg"].removeprefix("Value error, ")
    if not problem["loc"]:  # it is about several keys
        return message if message.endswith(("?", ".")) else f"{message}."
    name = str(problem["loc"][0])
    return f"{origin[name]}: {name.upper()}: {message}, got {problem['input']!r}."


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
