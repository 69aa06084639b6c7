"""The errors that a user can fix: their base class, and how several become one list."""

from collections.abc import Iterator
from contextlib import contextmanager


class UserError(Exception):
    """Something that the user can fix. The command line shows the message alone and exits with 1."""

    @property
    def problems(self) -> list[str]:
        """What is wrong, one by one; by default the message is the only one."""
        return [str(self)]


class ExportError(UserError):
    """An artefact that could not be written, or that does not answer as the trained model does."""


class DatasetError(UserError):
    """A dataset that cannot be trained on. The message says what, where and how to fix it."""


@contextmanager
def collected(problems: list[str]) -> Iterator[None]:
    """Add the problems of an error to a list instead of raising it, so that a later check can add its own.

    >>> problems: list[str] = []
    >>> with collected(problems):
    ...     raise UserError("split.test: missing.")
    >>> problems
    ['split.test: missing.']
    """
    try:
        yield
    except UserError as error:
        problems += error.problems
