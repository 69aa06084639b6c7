"""What a configuration of a request may name: it comes from a stranger, and runs with the rights of this service.

Every key that can read, write, fetch or run something is guarded here, also where only a search tries it. What an
operator wants to allow is in the settings, or in a configuration of `conf_dir`.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from jobs import uploads
from jobs.settings import JobsSettings
from predict.wording import did_you_mean, listed, shorten
from train.config import ConfigError, TrainConfig
from train.config.loading import with_values
from train.config.sections import FileSource
from train.config.trust import functions_named
from train.data.catalogue import CATALOGUE

UPLOADS = "uploads/"
_PACKAGE = "package:"
# The keys that may name an upload.
_OF_ROWS = ("dataset", "offline", "split.test")
_LONGEST = 200


def problems_of(config: TrainConfig, settings: JobsSettings) -> list[str]:
    """Return what a configuration names that a request may not name."""
    problems = list(_problems(config, settings))
    for tried in _searched(config, problems):
        found = [*_of_files(tried, settings), *_of_code(tried, settings)]
        problems += (f"search: {problem}" for problem in found if problem not in problems)
    return list(dict.fromkeys(problems))


def settled(config: TrainConfig, settings: JobsSettings) -> TrainConfig:
    """Return a configuration with the folders of this service, and with uploads by their path."""
    changes: dict[str, object] = {
        "data_dir": str(settings.data_dir.resolve()),
        "artefacts_dir": str(settings.artefacts_dir.resolve()),
        "max_dataset_bytes": min(config.max_dataset_bytes, settings.max_dataset_bytes),
    }
    if settings.mlflow is not None:
        changes["tracking.mlflow"] = settings.mlflow
    for key, name in uploads_of(config).items():
        changes[key] = str(uploads.path_of(name, settings))
    return with_values(config, changes)


def uploads_of(config: TrainConfig) -> dict[str, str]:
    """Return the names of the uploads that a configuration reads, by key."""
    named = dict(_datasets(config)).items()
    return {key: name.removeprefix(UPLOADS) for key, name in named if name.startswith(UPLOADS)}


def missing_uploads(named: Mapping[str, str], settings: JobsSettings) -> list[str]:
    """Return which uploads are not there, of those that `uploads_of` has returned."""
    return [
        f"{key}: {shorten(f'{UPLOADS}{name}', _LONGEST)}: there is no such upload; GET /datasets lists them."
        for key, name in named.items()
        if not uploads.is_there(name, settings)
    ]


def _problems(config: TrainConfig, settings: JobsSettings) -> Iterator[str]:
    for key, name in _datasets(config):
        # Only `dataset` and `offline` can be of the catalogue; a test file of such a name is a path.
        if name not in CATALOGUE or key == "split.test":
            yield from _of_file(key, name, settings)
    yield from _of_files(config, settings)
    for key in ("data_dir", "artefacts_dir"):
        if key in config.model_fields_set:
            yield f"{key}: is set by the operator of this service. Leave the key out."
    for key in ("mlflow", "tensorboard"):
        if getattr(config.tracking, key) is not None:
            yield f"tracking.{key}: is set by the operator of this service. Leave the key out."
    if config.max_dataset_bytes > settings.max_dataset_bytes:
        yield f"max_dataset_bytes: at most {settings.max_dataset_bytes:,} here, got {config.max_dataset_bytes:,}."
    yield from _of_code(config, settings)


def _of_code(config: TrainConfig, settings: JobsSettings) -> Iterator[str]:
    for name in functions_named(config):
        if name not in settings.allow_pipelines:
            yield (
                f"model.pipeline: {shorten(name, _LONGEST)} is code, which a request cannot run. "
                "Choose a built-in pipeline"
                f"{_or_of(settings.allow_pipelines)}."
            )


def _datasets(config: TrainConfig) -> Iterator[tuple[str, str]]:
    """Yield the keys that name a file of rows, with what they name."""
    named = (config.dataset, config.offline, config.split.test_file)
    yield from ((key, name) for key, name in zip(_OF_ROWS, named, strict=True) if name is not None)


def _of_files(config: TrainConfig, settings: JobsSettings) -> Iterator[str]:
    """Yield what is wrong with the files beside the dataset, which a search may change."""
    embeddings = config.embeddings
    sources: dict[str, FileSource | None] = {"embeddings.pretrained": embeddings.pretrained}
    if embeddings.encoder is not None:
        for key in ("model", "tokenizer", "licence"):
            sources[f"embeddings.encoder.{key}"] = getattr(embeddings.encoder, key)
    for key, source in sources.items():
        if source is not None:
            yield from _of_file(key, source.file, settings)


def _searched(config: TrainConfig, problems: list[str]) -> Iterator[TrainConfig]:
    """Yield the configuration with each value that a search tries, the other keys at their first ones."""
    if config.search is None:
        return
    parameters = config.search.parameters
    first = {path: values[0] for path, values in parameters.items()}
    plain = config.model_copy(update={"search": None})
    for path, values in parameters.items():
        for value in values:
            try:
                yield with_values(plain, first | {path: value})
            except ConfigError as error:  # what cannot be looked at is refused
                problems += error.problems


def _of_file(key: str, name: str, settings: JobsSettings) -> Iterator[str]:
    """Yield why a file may not be read; nothing if it may."""
    shown = f"{key}: {shorten(name, _LONGEST)}"
    if name.startswith(_PACKAGE):
        package = name.removeprefix(_PACKAGE).partition("/")[0]
        if package not in settings.allow_packages:
            yield f"{shown}: the package is not allowed here{_but(settings.allow_packages)}."
    elif (host := _host_of(name)) is not None:
        if host not in settings.allow_hosts:
            yield f"{shown}: downloads from there are not allowed{_but(settings.allow_hosts)}."
    elif name.startswith(UPLOADS) and key in _OF_ROWS:
        yield from missing_uploads({key: name.removeprefix(UPLOADS)}, settings)
    elif not _is_below(Path(os.path.expanduser(name)), settings.allow_folders):
        yield f"{shown}: files from there are not allowed.{_instead(key, name)}"


def _instead(key: str, name: str) -> str:
    if key in ("dataset", "offline"):
        return f" Expected a dataset's name or uploads/NAME.{did_you_mean(name, CATALOGUE)}"
    return " Expected uploads/NAME." if key == "split.test" else ""


def _host_of(name: str) -> str | None:
    """Return the host of an address, with its port, or what stands there in one that is not plain; None for a path."""
    try:
        parts = urlsplit(name)
    except ValueError:
        return name
    if "://" not in name and parts.scheme not in ("http", "https"):
        return None
    plain = parts.scheme in ("http", "https") and parts.netloc
    return parts.netloc.lower() if plain else name


def _is_below(path: Path, folders: Iterable[Path]) -> bool:
    """Return whether a path is in one of the folders; a link counts as what it leads to."""
    try:
        real = path.resolve()
        return any(
            real.is_relative_to(folder.resolve()) and real != folder.resolve() for folder in folders
        )
    except (OSError, RuntimeError, ValueError):  # a loop of links, a name that is too long, a NUL
        return False


def _but(allowed: list[str]) -> str:
    return f"; allowed: {listed(allowed)}" if allowed else ""


def _or_of(allowed: list[str]) -> str:
    return f" or one of {listed(allowed)}" if allowed else ""
