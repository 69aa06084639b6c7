"""Why a file is not scored, or not to its end."""

from collections.abc import Iterator
from contextlib import contextmanager


class BatchError(Exception):
    """A file that cannot be read, scored or written. The message says which, why, and what to do."""


@contextmanager
def as_batch_error(path: object, done: str) -> Iterator[None]:
    """Turn the system's errors on a file into ours.

    Args:
        path: The file, as the message calls it.
        done: What was to be done with it, such as "read".
    """
    try:
        yield
    except OSError as error:
        raise BatchError(f"{path}: cannot be {done}: {error.strerror or error}.") from None
