"""The artefact directory, which is the contract between training and serving: what it holds and how it is checked.

An artefact is data, never code: ONNX for the model, JSON for the rest. Both sides import this module;
`train.artefacts.writing` writes what `load_artefact` reads.
"""

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    FiniteFloat,
    StringConstraints,
    ValidationError,
    model_validator,
)

from predict.contract.canonical import Form, zone_of
from predict.contract.encoder import ENCODER
from predict.contract.files import open_regular, read_regular
from predict.contract.notation import Decimal, Marks, Thousands
from predict.contract.profile import Profile
from predict.contract.words import Version
from predict.wording import counted, listed

# The version that is written, and those that are read. Format 1 had only text inputs and one label. Up to format 2, the
# table of a text model was part of its graph; a model of a table is the same from 2 on. From format 4 on, a text model
# may have a pretrained encoder, and an output `familiar_from`, which an older server would not heed.
FORMAT_VERSION = 4
READ_VERSIONS = (1, 2, 3, 4)

METADATA = "metadata.json"
MODEL = "model.onnx"
FEATURES = "features.json"
# The table of a text model; see `predict.contract.text_table`.
TABLE_FILES = ROWS, SQUARES, VECTORS = "rows.npy", "squares.npy", "vectors.npy"
# How familiar an instance is; see `predict.contract.familiarity`. Only an output with `familiar_from` needs it.
FAMILIARITY = "familiarity.npz"
METRICS = "metrics.json"
CONFIGURATION = "train-conf.yml"
REPORT = "report.html"

# Every artefact must list these. A model that reads text has FEATURES too.
REQUIRED_FILES = (MODEL, METRICS, CONFIGURATION, REPORT)

# More is not read: of all files together; of the metadata; and of any other file that is JSON, or the familiarity's. A
# million words of Chinese take 60 MB, for each character is an escape.
MOST_BYTES = 4 << 30
MOST_METADATA_BYTES = 16 << 20
MOST_SMALL_BYTES = 256 << 20

DAMAGED = "The artefact is damaged: copy it again from where it was trained, or train again."

_MOST_BYTES_OF = dict.fromkeys((FEATURES, ENCODER, FAMILIARITY), MOST_SMALL_BYTES)

_PROBLEMS_SHOWN = 10
_NO_CHECKSUM = b"0" * 64
# An escape that is half a character; two of them may be one.
_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")
_CHECKSUM_FIELD = re.compile(rb'"checksum": "([0-9a-f]{64})"')

# A plain name: a stranger's artefact must not make the server read files elsewhere.
FileName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class ArtefactError(Exception):
    """An artefact that cannot be used. The message says which file, why, and what to do."""


class _Part(BaseModel):
    # A later addition must not break an older server, so unknown keys are kept, not refused.
    model_config = ConfigDict(extra="allow", frozen=True)


ColumnType = Literal["text", "number", "category", "date"]
# The kind of answer: one label of several, a number, or any number of labels.
Kind = Literal["label", "number", "labels"]
KIND_OF_TASK: dict[str, Kind] = {
    "classification": "label",
    "regression": "number",
    "multilabel": "labels",
}


class Input(_Part):
    """One field of an instance, and the values that it may have: those declared, or else those that training saw."""

    name: Annotated[str, Field(min_length=1)]
    type: ColumnType
    # Whether it may be null or empty, because it was missing in training or declared so.
    nullable: bool = False
    # Only for a number.
    minimum: FiniteFloat | None = None
    maximum: FiniteFloat | None = None
    # Only for a category.
    categories: list[str] | None = None
    # What all categories are, if they are all true or false, or all whole numbers: `True` is then "true", 1.0 is "1".
    form: Form | None = None
    # What training saw, where something else was declared.
    seen_minimum: FiniteFloat | None = None
    seen_maximum: FiniteFloat | None = None
    seen_categories: list[str] | None = None
    # Not for a text: what is written for a missing one, beside null and the empty string. Of a number, only in files.
    missing: list[str] | None = None
    # Only for a number: how files write it; see `predict.contract.notation`.
    decimal: Decimal | None = None
    thousands: Thousands | None = None
    unit: str | None = None
    # Only for a date: how it may be written beside ISO 8601, for strptime; and the zone its parts are read in, such as
    # UTC, +02:00 or Europe/Berlin. Without a zone they are read as they are written.
    date_format: str | None = None
    timezone: str | None = None
    # Only for a text: how it becomes words.
    tokenizer: Version = 1
    # The share of training rows without it, from 0 to 1; only people read it.
    missing_share: Annotated[float, Field(ge=0, le=1)] = 0.0

    @property
    def marks(self) -> Marks:
        """How files write it, if it is a number."""
        return Marks(self.decimal, self.thousands, self.unit)

    @model_validator(mode="after")
    def _has_only_what_its_type_has(self) -> Self:
        if self.type != "number" and (self.minimum, self.maximum) != (None, None):
            raise ValueError(f"{self.name}: only a number has a minimum and a maximum")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError(f"{self.name}: minimum must not be above maximum")
        if self.type != "category" and (self.categories, self.form) != (None, None):
            raise ValueError(f"{self.name}: only a category has categories, and a form")
        if self.type != "date" and (self.date_format, self.timezone) != (None, None):
            raise ValueError(f"{self.name}: only a date has a date_format and a timezone")
        zone_of(self.timezone)
        _check_distinct(self.categories or (), f"{self.name}: categories")
        return self


class Derived(_Part):
    """A column that is computed from inputs or from earlier derived columns; see `predict.contract.columns`."""

    name: Annotated[str, Field(min_length=1)]
    kind: Literal["ratio", "cross", "bins", "date_part"]
    # The columns it is made of.
    of: list[str]
    # Only for bins: where one ends and the next begins, ascending.
    edges: Annotated[list[FiniteFloat], Field(min_length=1)] | None = None
    # Only for a date_part.
    part: Literal["year", "month", "day", "weekday", "hour", "minute", "day_of_year"] | None = None

    @model_validator(mode="after")
    def _has_what_its_kind_needs(self) -> Self:
        for key, kind in (("edges", "bins"), ("part", "date_part")):
            if (getattr(self, key) is not None) != (self.kind == kind):
                raise ValueError(f"{self.name}: a {kind} column has {key}, and no other has")
        edges = self.edges or []
        if any(left >= right for left, right in pairwise(edges)):
            raise ValueError(f"{self.name}: edges must ascend, got {edges}")
        return self


class Interval(_Part):
    """The width of a prediction: the share `coverage` of the true values lies within `half_width` of it."""

    coverage: Annotated[float, Field(gt=0, lt=1)]
    half_width: Annotated[FiniteFloat, Field(ge=0)]


class Output(_Part):
    """The answer of a model: one label of several, a number, or any number of labels."""

    name: str
    type: Kind
    # In the order of the model's probabilities; none for a number.
    labels: Annotated[list[str], Field(max_length=100_000)] = []
    # The least probability at which a label is answered; "labels" have one each. A "label" has none, or one for one of
    # two labels; or, of more than two, one each: the label whose probability is most of its threshold is answered.
    thresholds: dict[str, Annotated[float, Field(ge=0, le=1)]] = {}
    # Only for a number: what it counts, as the training file wrote it: "%" if an answer of 45 means 45 %.
    unit: str | None = None
    # Only for a number.
    interval: Interval | None = None
    # Only for a label: an answer with a lower score is marked as unsure.
    unsure_below: Annotated[float, Field(ge=0, le=1)] | None = None
    # Only for a label: an answer to an instance that is less familiar is marked as unsure.
    familiar_from: FiniteFloat | None = None
    # How files write the truth: what means a missing one; of a number, its marks; what separates the labels of a set.
    missing: list[str] | None = None
    decimal: Decimal | None = None
    thousands: Thousands | None = None
    separator: str | None = None

    @property
    def can_be_unsure(self) -> bool:
        """Whether an answer may be marked as unsure."""
        return self.unsure_below is not None or self.familiar_from is not None

    @property
    def kind(self) -> Kind:
        """The kind of answer."""
        return self.type

    @property
    def width(self) -> int:
        """How many numbers the model puts out for an instance."""
        return 1 if self.kind == "number" else len(self.labels)

    @model_validator(mode="after")
    def _has_what_its_type_needs(self) -> Self:
        fewest = {"label": 2, "labels": 1, "number": 0}[self.kind]
        if len(self.labels) < fewest:
            raise ValueError(
                f"expected at least {counted(fewest, 'label')}, got {len(self.labels)}"
            )
        if self.kind == "number" and self.labels:
            raise ValueError("a number has no labels")
        if self.kind != "number" and (self.interval, self.unit) != (None, None):
            raise ValueError("only a number has an interval and a unit")
        if self.kind != "label" and self.unsure_below is not None:
            raise ValueError("unsure_below: only a label has a score that can be too low")
        if self.kind != "label" and self.familiar_from is not None:
            raise ValueError("familiar_from: only a label can be unsure")
        _check_distinct(self.labels, "labels")
        return self

    @model_validator(mode="after")
    def _has_thresholds_for_its_labels(self) -> Self:
        for name in self.thresholds:
            if name not in self.labels:
                raise ValueError(f"thresholds: {name!r} is none of the labels")
        if self.kind == "labels" and len(self.thresholds) != len(self.labels):
            raise ValueError("thresholds: expected one for every label")
        expected = 1 if len(self.labels) == 2 else len(self.labels)
        if self.kind == "label" and len(self.thresholds) not in (0, expected):
            raise ValueError(
                "thresholds: expected one, and two labels, or one for each of more labels, or none"
            )
        if self.kind == "label" and len(self.labels) > 2 and 0 in self.thresholds.values():
            raise ValueError("thresholds: expected those of more than two labels to be above 0")
        return self


class FileFormat(_Part):
    """How the training file was written, if it had separated values. Who scores a file expects it to be alike."""

    separator: Annotated[str, Field(min_length=1, max_length=1)]
    # What a quotation mark at the start of a field means; None if there was none.
    quotes: Literal["enclose", "literal"] | None = None
    encoding: str = "utf-8"
    # The mark before decimals.
    decimal: Decimal | None = None


class Example(_Part):
    """A golden input with the answer that the trained model gave."""

    instance: dict[str, Any]
    # The raw output: probabilities in the order of `Output.labels`, or one value.
    answer: list[FiniteFloat]
    # The true label, value or list of labels of this held-out row, where it is known.
    truth: Any = None


class Metadata(_Part):
    """The content of `metadata.json`: typed where serving needs it, and kept as it is where only people read it."""

    format_version: Literal[1, 2, 3, 4]
    name: str
    created_at: str
    task: Literal["classification", "regression", "multilabel"]
    inputs: Annotated[list[Input], Field(min_length=1, max_length=10_000)]
    # Each after those that it is made of.
    derived: Annotated[list[Derived], Field(max_length=10_000)] = []
    outputs: Annotated[list[Output], Field(min_length=1, max_length=1)]
    examples: Annotated[list[Example], Field(min_length=1, max_length=1_000)]
    # Headline metrics on the test split.
    metrics: dict[str, FiniteFloat]
    files: Annotated[dict[FileName, Sha256], Field(max_length=1_000)]
    checksum: Sha256
    embedding: dict[str, Any] | None = None
    dataset: dict[str, Any] = {}
    model: dict[str, Any] = {}
    seeds: dict[str, int] = {}
    versions: dict[str, str] = {}
    git: dict[str, Any] | None = None
    durations_s: dict[str, float] = {}
    # How the test rows are distributed, which live traffic is compared with; older artefacts have none.
    profile: Profile | None = None
    # Only where the dataset was one file of separated values.
    file: FileFormat | None = None

    @property
    def input_types(self) -> dict[str, ColumnType]:
        """The type of every input, by name."""
        return {column.name: column.type for column in self.inputs}

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        column_types(self.inputs, self.derived)
        if self.profile is not None:
            self.profile.check(self.input_types)
        expected = KIND_OF_TASK[self.task]
        if self.outputs[0].kind != expected:
            raise ValueError(
                f"outputs: the task {self.task} answers a {expected}, got {self.outputs[0].kind}"
            )
        return self


@dataclass(frozen=True)
class _Recipe:
    """What a kind of derived column is made of (how many columns, of which type), and its own type."""

    fewest: int
    most: int
    takes: ColumnType
    gives: ColumnType


_RECIPES = {
    "ratio": _Recipe(2, 2, "number", "number"),
    "cross": _Recipe(2, 10, "category", "category"),
    "bins": _Recipe(1, 1, "number", "category"),
    "date_part": _Recipe(1, 1, "date", "number"),
}


def column_types(inputs: Sequence[Input], derived: Sequence[Derived]) -> dict[str, ColumnType]:
    """Return the type of every column, raw and derived, by name.

    Raises:
        ValueError: Two columns have the same name, or a derived one is not made of earlier columns of the
            types that its kind takes.
    """
    names = [column.name for column in inputs] + [column.name for column in derived]
    _check_distinct(names, "inputs and derived: names")
    types = {column.name: column.type for column in inputs}
    for column in derived:
        recipe = _RECIPES[column.kind]
        place = f"derived: {column.name}: of"
        if not recipe.fewest <= len(column.of) <= recipe.most:
            count = (
                recipe.fewest
                if recipe.fewest == recipe.most
                else f"{recipe.fewest} to {recipe.most}"
            )
            raise ValueError(f"{place}: a {column.kind} is made of {count}, got {len(column.of)}")
        for name in column.of:
            if name not in types:
                raise ValueError(f"{place}: {name!r} is neither an input nor derived before it")
            if types[name] != recipe.takes:
                raise ValueError(
                    f"{place}: a {column.kind} is made of type {recipe.takes}, but {name} is a {types[name]}"
                )
        types[column.name] = recipe.gives
    return types


def text_column(types: Mapping[str, str]) -> str | None:
    """Return the one column of a model that reads a single text; None for any other model.

    Args:
        types: The type of every input, by name.

    >>> text_column({"title": "text"})
    'title'
    >>> text_column({"title": "text", "votes": "number"})
    """
    [*names] = types
    return names[0] if [types[name] for name in names] == ["text"] else None


def reads_only_texts(types: Mapping[str, str]) -> bool:
    """Return whether every input of a model is a text: its rows then count as texts, not as rows of a table.

    Args:
        types: The type of every input, by name.
    """
    return set(types.values()) == {"text"}


def _check_distinct(names: Sequence[str], what: str) -> None:
    if len(set(names)) != len(names):
        twice = next(name for name, count in Counter(names).items() if count > 1)
        raise ValueError(f"{what} must be distinct, got {twice!r} twice")


@dataclass(frozen=True)
class Artefact:
    """A directory whose every byte has been checked against its metadata."""

    path: Path
    metadata: Metadata

    def read(self, name: str, most_bytes: int = MOST_BYTES) -> bytes:
        """Return the content of a listed file: the very bytes that have the listed SHA-256.

        Raises:
            ArtefactError: It is not listed, cannot be read, is too large, or was changed.
        """
        expected = self.metadata.files.get(name)
        if expected is None:
            raise ArtefactError(f"{self.path}: {name} is not listed among the files. Train again.")
        try:
            content = read_regular(self.path / name, most_bytes)
        except OSError as error:
            raise ArtefactError(
                f"{self.path}: {name} cannot be read ({error.strerror}). {DAMAGED}"
            ) from None
        actual = hashlib.sha256(content).hexdigest()
        if actual != expected:
            raise ArtefactError(f"{self.path}: {_changed(name, actual, expected)}. {DAMAGED}")
        return content


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def serialise_metadata(metadata: Mapping[str, Any]) -> bytes:
    """Turn metadata into the bytes of `metadata.json`, with a checksum over all of them.

    The checksum is the SHA-256 of the very bytes returned, its own 64 digits read as zeros, so that a
    flipped byte anywhere in the file is noticed. Its field comes first, so that a search finds it first.
    """
    body = {"checksum": _NO_CHECKSUM.decode(), **metadata}
    raw = (json.dumps(body, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()
    return raw.replace(_NO_CHECKSUM, hashlib.sha256(raw).hexdigest().encode(), 1)


def load_artefact(path: Path) -> Artefact:
    """Read an artefact directory and check every file in it.

    Args:
        path: A directory that a training run wrote, or a link to one.

    Raises:
        ArtefactError: It is not an artefact or has another format version; a file is missing or was changed
            after training.
    """
    # Not the methods of Path: they raise for a name that is too long, and for a link that leads to itself.
    directory = Path(os.path.realpath(path))
    if not os.path.isdir(directory):
        what = "is not a directory" if os.path.exists(directory) else "does not exist"
        raise ArtefactError(
            f"{path} {what}. Run `make train`, then set ARTEFACT_DIR in conf/predict.conf to the path it prints."
        )
    metadata = _read_metadata(directory / METADATA, shown_as=path)
    _check_files(directory, metadata, shown_as=path)
    return Artefact(directory, metadata)


def _read_metadata(file: Path, shown_as: Path) -> Metadata:
    shown = shown_as / METADATA
    try:
        raw = read_regular(file, MOST_METADATA_BYTES)
    except FileNotFoundError:
        raise ArtefactError(
            f"{shown_as} is not an artefact directory: {METADATA} is missing. "
            "Run `make train`, then set ARTEFACT_DIR in conf/predict.conf to the path it prints."
        ) from None
    except OSError as error:
        raise ArtefactError(f"{shown}: cannot be read: {error.strerror}. {DAMAGED}") from None
    try:
        # Of bytes, `json.loads` would also take UTF-16, and halves of characters.
        content = json.loads(raw.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise ArtefactError(f"{shown}: not JSON ({error}). {DAMAGED}") from None
    # The version comes first: a newer format may mean something else by the other fields.
    version = content.get("format_version") if isinstance(content, dict) else None
    # True is 1 for Python, and 4.0 is 4.
    if type(version) is not int or version not in READ_VERSIONS:
        raise ArtefactError(
            f"{shown}: format_version is {version!r}, this server reads {listed(list(map(str, READ_VERSIONS)))}. "
            "Serve it with the image that matches, or train again."
        )
    field = _CHECKSUM_FIELD.search(raw)
    zeroed = raw if field is None else raw[: field.start(1)] + _NO_CHECKSUM + raw[field.end(1) :]
    if field is None or hashlib.sha256(zeroed).hexdigest().encode() != field[1]:
        raise ArtefactError(f"{shown}: does not match its own checksum. {DAMAGED}")
    if (half := _HALF_CHARACTER.search(raw)) and (problem := _unencodable(content)):
        raise ArtefactError(
            f"{shown}: holds {half[0].decode()!r}, which is no character of Unicode ({problem}). {DAMAGED}"
        )
    try:
        return Metadata.model_validate(content, strict=True)
    except ValidationError as error:
        raise unreadable(shown, error) from None


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _unencodable(content: object) -> str | None:
    """Return why texts somewhere in JSON cannot be written as UTF-8; None if they can."""
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return error.reason
    return None


def unreadable(shown: Path, error: ValidationError) -> ArtefactError:
    """Return the error that says where the content of a file is not what its schema expects.

    Args:
        shown: The file, as the message calls it.
        error: The first ten of its problems are listed.
    """
    problems = [
        ": ".join(filter(None, (".".join(map(str, problem["loc"])), problem["msg"])))
        for problem in error.errors()
    ]
    more = len(problems) - _PROBLEMS_SHOWN
    shown_problems = "; ".join(problems[:_PROBLEMS_SHOWN]) + (f"; {more} more" if more > 0 else "")
    return ArtefactError(f"{shown}: {shown_problems}. Train again with this version of Capstone.")


def _check_files(directory: Path, metadata: Metadata, shown_as: Path) -> None:
    problems = [
        f"{METADATA} does not list {name}" for name in REQUIRED_FILES if name not in metadata.files
    ]
    if sum(_size_of(directory / name) for name in metadata.files) > MOST_BYTES:
        raise ArtefactError(
            f"{shown_as}: its files have more than {MOST_BYTES >> 20} MB together. {DAMAGED}"
        )
    for name, expected in metadata.files.items():
        try:
            with open_regular(directory / name, _MOST_BYTES_OF.get(name, MOST_BYTES)) as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            problems.append(f"{name} cannot be read ({error.strerror})")
            continue
        if actual != expected:
            problems.append(_changed(name, actual, expected))
    if problems:
        raise ArtefactError(f"{shown_as}: {'; '.join(problems)}. {DAMAGED}")


def _size_of(file: Path) -> int:
    try:
        return os.stat(file).st_size
    except OSError:  # reading it says why
        return 0


def _changed(name: str, actual: str, expected: str) -> str:
    return (
        f"{name} was changed after training: SHA-256 is {actual[:12]}…, expected {expected[:12]}…"
    )
