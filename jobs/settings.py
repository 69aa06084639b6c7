"""Settings of the jobs service: environment variables, checked as a whole."""

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from predict.settings import Secrets, SettingsError
from train.artefacts.folder import DEFAULT_DIR
from train.config import TrainConfig

_DEFAULTS = TrainConfig.model_fields


def _listed(value: object) -> object:
    """Split what is written with commas."""
    if not isinstance(value, str):
        return value
    return [part.strip() for part in value.split(",") if part.strip()]


Names = Annotated[list[str], BeforeValidator(_listed)]
Folders = Annotated[list[Path], BeforeValidator(_listed)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class JobsSettings(BaseModel):
    """Every setting; the environment variable has the same name in capitals."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8090
    threads: Annotated[int, Field(ge=1, le=64)] = 4
    # Who may ask: none means everyone on this machine. A file has one key a line.
    api_keys: Secrets = []
    api_keys_file: Path | None = None
    # The queue, the folder of each job, and the uploads; on the same file system as the artefacts.
    jobs_dir: Path = Path("data/jobs")
    artefacts_dir: Path = DEFAULT_DIR
    data_dir: Path = Path(_DEFAULTS["data_dir"].default)
    # The configurations that a request can name.
    conf_dir: Path = Path("conf")
    # How many jobs run at the same time, and how many may wait.
    jobs_slots: Annotated[int, Field(ge=1, le=64)] = 1
    jobs_queue: Count = 100
    # After this a job is ended; and what it has to end in order, before it is killed.
    job_timeout_s: Seconds = 6 * 3600.0
    job_grace_s: Seconds = 10.0
    # What is kept of what a job prints.
    job_log_bytes: Annotated[int, Field(ge=10_000)] = 1_000_000
    # After this a job that has ended is removed, with an artefact that was never promoted; None keeps all of them.
    jobs_keep_days: Seconds | None = None
    # Whether a job that the end of the server interrupted is queued again, once.
    retry_interrupted: bool = False
    max_body_bytes: Count = 256_000
    max_upload_bytes: Count = 200_000_000
    max_dataset_bytes: Count = _DEFAULTS["max_dataset_bytes"].default
    # What a configuration of a request may name, beside datasets of the catalogue and uploads.
    allow_folders: Folders = []
    allow_hosts: Names = []
    allow_packages: Names = []
    allow_pipelines: Names = []
    # The tracker that is told of every job.
    mlflow: str | None = None

    @property
    def uploads_dir(self) -> Path:
        """Where uploaded datasets are."""
        return self.jobs_dir / "uploads"

    @property
    def needs_key(self) -> bool:
        """Whether a request needs a key."""
        return bool(self.api_keys or self.api_keys_file)

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.api_keys and self.api_keys_file:
            raise ValueError("API_KEYS and API_KEYS_FILE: give one of them")
        if not self.needs_key and not _is_loopback(self.host):
            raise ValueError(
                f"HOST={self.host} lets other machines start training. Set API_KEYS or API_KEYS_FILE, or HOST=127.0.0.1"
            )
        return self


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def load_settings(environ: Mapping[str, str] = os.environ) -> JobsSettings:
    """Read the settings from environment variables; one that is empty counts as not set.

    Raises:
        SettingsError: Values are wrong. It lists all problems.

    >>> load_settings({"JOBS_SLOTS": "2"}).jobs_slots
    2
    """
    values = {
        name: environ[name.upper()]
        for name in JobsSettings.model_fields
        if environ.get(name.upper())
    }
    try:
        return JobsSettings.model_validate(values)
    except ValidationError as error:
        raise SettingsError("\n".join(map(_told, error.errors()))) from None


def _told(problem: Mapping[str, object]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    location = problem["loc"]
    if not isinstance(location, tuple) or not location:  # it is about several keys
        return f"{message}."
    key = str(location[0])
    # A key that is refused must not end in a log.
    got = "" if key == "api_keys" else f", got {problem['input']!r}"
    return f"{key.upper()}: {message}{got}."
