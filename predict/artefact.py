"""The contract between training and serving: what an artefact directory holds, and how it is checked.

An artefact is data, never code: ONNX for the model, JSON for the rest. Both sides import this module;
`train.export` writes what `load_artefact` reads.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
    field_validator,
)

FORMAT_VERSION = 1

METADATA = "metadata.json"
MODEL = "model.onnx"
FEATURES = "features.json"
METRICS = "metrics.json"
CONFIGURATION = "train-conf.yml"
REPORT = "report.html"

# What every artefact must list; FEATURES only where a model reads text.
REQUIRED_FILES = (MODEL, METRICS, CONFIGURATION, REPORT)

_NO_CHECKSUM = b"0" * 64
_CHECKSUM_FIELD = re.compile(rb'"checksum": "([0-9a-f]{64})"')

# A plain name: a stranger's artefact must not make the server read files elsewhere.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ArtefactError(Exception):
    """An artefact directory that cannot be served. The message says which file, why and what to do."""


class _Part(BaseModel):
    # A later minor addition must not break an older server: unknown keys are kept, not refused.
    model_config = ConfigDict(extra="allow", frozen=True)


class Input(_Part):
    """One field of an instance."""

    name: str
    type: Literal["text"]


class Output(_Part):
    """What a prediction is: one of the labels, in the order of the model's probabilities."""

    name: str
    type: Literal["label"]
    labels: Annotated[list[str], Field(min_length=2)]

    @field_validator("labels")
    @classmethod
    def _are_distinct(cls, labels: list[str]) -> list[str]:
        if len(set(labels)) != len(labels):
            raise ValueError("labels must be distinct")
        return labels


class Example(_Part):
    """A golden input with the answer that the trained model gave."""

    instance: dict[str, Any]
    # Probabilities in the order of `Output.labels`.
    answer: list[float]


class Metadata(_Part):
    """`metadata.json`. What serving needs is typed here; what only people read is kept as it is."""

    format_version: Literal[1]
    name: str
    created_at: str
    task: Literal["classification"]
    inputs: Annotated[list[Input], Field(min_length=1)]
    outputs: Annotated[list[Output], Field(min_length=1, max_length=1)]
    examples: Annotated[list[Example], Field(min_length=1)]
    # Headline metrics on the test split.
    metrics: dict[str, FiniteFloat]
    files: dict[FileName, Sha256]
    checksum: Sha256
    embedding: dict[str, Any] | None = None
    dataset: dict[str, Any] = {}
    model: dict[str, Any] = {}
    seeds: dict[str, int] = {}
    versions: dict[str, str] = {}
    git: dict[str, Any] | None = None
    durations_s: dict[str, float] = {}


@dataclass(frozen=True)
class Artefact:
    """A directory whose every byte has been checked against its metadata."""

    path: Path
    metadata: Metadata


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def serialise_metadata(metadata: Mapping[str, Any]) -> bytes:
    """Turn metadata into the bytes of `metadata.json`, with a checksum over all of them.

    The checksum is the SHA-256 of the very bytes returned, its own 64 digits read as zeros, so that a
    flipped byte anywhere in the file is noticed. Its field stands first: it is the first one found.
    """
    body = {"checksum": _NO_CHECKSUM.decode(), **metadata}
    raw = (json.dumps(body, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    return raw.replace(_NO_CHECKSUM, hashlib.sha256(raw).hexdigest().encode(), 1)


def load_artefact(path: Path) -> Artefact:
    """Read an artefact directory and check every file in it.

    Args:
        path: A directory that a training run wrote, or a link to one.

    Raises:
        ArtefactError: It is not an artefact, is of another format version, or a file is missing or was
            changed after training.
    """
    directory = path.resolve()
    if not directory.is_dir():
        what = "is not a directory" if directory.exists() else "does not exist"
        raise ArtefactError(
            f"{path} {what}. Run `make train`, then set ARTEFACT_DIR in conf/predict.conf to the path it prints."
        )
    metadata = _read_metadata(directory / METADATA, shown_as=path)
    _check_files(directory, metadata, shown_as=path)
    return Artefact(directory, metadata)


def _read_metadata(file: Path, shown_as: Path) -> Metadata:
    shown = shown_as / METADATA
    try:
        raw = file.read_bytes()
    except FileNotFoundError:
        raise ArtefactError(
            f"{shown_as} is not an artefact directory: {METADATA} is missing. "
            "Run `make train`, then set ARTEFACT_DIR in conf/predict.conf to the path it prints."
        ) from None
    except OSError as error:
        raise ArtefactError(f"{shown}: cannot be read: {error.strerror}.") from error
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"{shown}: not JSON ({error}). {_DAMAGED}") from None
    # The version comes first: what a newer format means by the other fields is not ours to judge.
    version = content.get("format_version") if isinstance(content, dict) else None
    if version != FORMAT_VERSION:
        raise ArtefactError(
            f"{shown}: format_version is {version!r}, this server reads {FORMAT_VERSION}. "
            "Serve it with the image that matches, or train again."
        )
    field = _CHECKSUM_FIELD.search(raw)
    zeroed = raw if field is None else raw[: field.start(1)] + _NO_CHECKSUM + raw[field.end(1) :]
    if field is None or hashlib.sha256(zeroed).hexdigest().encode() != field[1]:
        raise ArtefactError(f"{shown}: does not match its own checksum. {_DAMAGED}")
    try:
        return Metadata.model_validate(content)
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, p['loc']))}: {p['msg']}" for p in error.errors())
        raise ArtefactError(
            f"{shown}: {problems}. Train again with this version of Capstone."
        ) from None


def _check_files(directory: Path, metadata: Metadata, shown_as: Path) -> None:
    problems = [
        f"{METADATA} does not list {name}" for name in REQUIRED_FILES if name not in metadata.files
    ]
    for name, expected in metadata.files.items():
        try:
            actual = sha256_of(directory / name)
        except OSError as error:
            problems.append(f"{name} cannot be read ({error.strerror})")
            continue
        if actual != expected:
            problems.append(
                f"{name} was changed after training: SHA-256 is {actual[:12]}…, expected {expected[:12]}…"
            )
    if problems:
        raise ArtefactError(f"{shown_as}: {'; '.join(problems)}. {_DAMAGED}")


_DAMAGED = "The artefact is damaged: copy it again from where it was trained, or train again."
