"""The files that a configuration names beside its dataset: found, downloaded, checked, and their licences."""

import importlib.metadata
import importlib.util
import os
import re
from dataclasses import dataclass
from pathlib import Path

from predict.contract.artefact import sha256_of
from predict.wording import listed
from train.config import TrainConfig
from train.config.sections import FileSource
from train.data.sources import UnreachableError, download
from train.errors import DatasetError
from train.progress import Progress

_PACKAGE = "package:"
_LICENCE_NAME = re.compile(r"(licen[cs]e|copying|notice)", re.IGNORECASE)


@dataclass(frozen=True)
class Licence:
    """Under which terms a file was published.

    Attributes:
        about: What they are called, and where that is said.
        text: The whole of them, as far as it is there.
    """

    about: str
    text: str | None


def find(
    source: FileSource, key: str, config: TrainConfig, progress: Progress | None = None
) -> Path:
    """Return where a file is, after a download if it needs one. Nothing of a package is imported.

    Args:
        source: What the configuration names.
        key: Where it names it, such as `embeddings.encoder.model`.
        config: Says where downloads go, and how large they may be.
        progress: Is told what must not be overlooked about a download.

    Raises:
        DatasetError: It is not there, cannot be downloaded, or has another checksum than expected.
    """
    if source.is_url:
        try:
            return download(source.file, source.sha256, config, progress)
        except UnreachableError:
            raise DatasetError(
                f"{key}: {source.file}: cannot be reached. Check the network, or name a file."
            ) from None
    path = _in_package(source.file, key) or Path(os.path.expanduser(source.file))
    if not os.path.isfile(path):  # not path.is_file(): that raises for a name that is too long
        what = "is a directory" if os.path.isdir(path) else "is not a file"
        raise DatasetError(f"{key}: {source.file} {what}.")
    if source.sha256 is not None and (actual := sha256_of(path)) != source.sha256:
        raise DatasetError(
            f"{key}: {source.file}: SHA-256 is {actual}, expected {source.sha256}. Copy the file again."
        )
    return path


def licence_of(source: FileSource, path: Path) -> Licence | None:
    """Return the licence of a file: of its package, or what lies beside it; None if there is neither.

    Args:
        source: What the configuration names.
        path: Where that is.
    """
    if source.file.startswith(_PACKAGE):
        return _licence_of_package(source.file.removeprefix(_PACKAGE).partition("/")[0])
    if source.is_url:
        return None
    beside = sorted(
        file for file in path.parent.iterdir() if _LICENCE_NAME.match(file.name) and file.is_file()
    )
    if not beside:
        return None
    return Licence(f"{listed([file.name for file in beside])} beside {path.name}", _joined(beside))


def _in_package(name: str, key: str) -> Path | None:
    """Return the path of `package:NAME/PATH`; None for any other name."""
    if not name.startswith(_PACKAGE):
        return None
    package, _, inside = name.removeprefix(_PACKAGE).partition("/")
    # For a name without a dot, this looks for the package and imports nothing.
    spec = importlib.util.find_spec(package) if package.isidentifier() else None
    if spec is None or not spec.submodule_search_locations:
        raise DatasetError(
            f"{key}: {name}: there is no package {package!r} in this environment. Install it, or name a file."
        )
    folder = Path(next(iter(spec.submodule_search_locations))).resolve()
    path = (folder / inside).resolve()
    if not path.is_relative_to(folder):
        raise DatasetError(f"{key}: {name}: expected a file within the package.")
    return path


def _licence_of_package(package: str) -> Licence | None:
    names = importlib.metadata.packages_distributions().get(package, [])
    if not names:
        return None
    distribution = importlib.metadata.distribution(names[0])
    about = f"{distribution.name} {distribution.version}"
    # The newer field, or the older one.
    fields = distribution.metadata.json
    if declared := fields.get("license_expression") or fields.get("license"):
        about += f" declares {str(declared).splitlines()[0]}"
    files = [
        Path(str(file.locate()))
        for file in distribution.files or ()
        if _LICENCE_NAME.match(file.name) and ".dist-info" in str(file)
    ]
    return Licence(about, _joined(files) if files else None)


def _joined(files: list[Path]) -> str:
    texts = [file.read_text(encoding="utf-8", errors="replace").strip() for file in files]
    return "\n\n".join(texts) + "\n"
