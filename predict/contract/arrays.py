"""Arrays in files that somebody else wrote: nothing is unpickled, and nothing takes more room than its file."""

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from tokenize import TokenError
from typing import Any
from zipfile import ZIP_STORED, BadZipFile, ZipFile

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

# A header is a literal of Python, and its numbers may be anything.
_BAD_HEADER = (ArithmeticError, MemoryError, OSError, SyntaxError, TokenError, TypeError)


def map_array(file: Path) -> Array:
    """Map an array into memory; raise ValueError if the file holds none."""
    with _naming(file.name):
        return np.lib.format.open_memmap(file, mode="r")


def read_arrays(content: bytes, name: str) -> dict[str, Array]:
    """Read what `numpy.savez` wrote.

    Args:
        content: Of the file.
        name: Of the file, for messages.

    Raises:
        ValueError: It is no archive of arrays, or a compressed one, which might become anything.
    """
    arrays: dict[str, Array] = {}
    try:
        with ZipFile(BytesIO(content)) as archive:
            for member in archive.infolist():
                key = member.filename.removesuffix(".npy")
                if member.compress_type != ZIP_STORED or member.file_size > len(content):
                    raise ValueError(f"{name}: {key}: compressed; expected what numpy.savez writes")
                raw = archive.read(member)
                with _naming(f"{name}: {key}"):
                    arrays[key] = np.lib.format.read_array(BytesIO(raw), allow_pickle=False)
    except (BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise ValueError(f"{name}: no archive of arrays ({error})") from None
    return arrays


@contextmanager
def _naming(place: str) -> Iterator[None]:
    """Raise what is wrong with an array as ValueError that says where."""
    try:
        with np.errstate(over="ignore"):
            yield
    except (*_BAD_HEADER, ValueError) as error:
        raise ValueError(f"{place}: no array ({error})") from None
