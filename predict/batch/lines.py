"""The lines of a text file: counted, and those of the row that is being read kept."""

import re
import zlib
from typing import TextIO

from predict.batch.errors import BatchError

# A longer field, or a longer line, is taken for a quotation mark that nothing closes.
MOST_CHARACTERS = 1 << 24
# What `surrogateescape` makes of a byte that is not of the encoding.
_BYTE = re.compile("[\udc80-\udcff]")
_LINE_END = "\r\n"


class Lines:
    """Lines of a text, counted; those of the row that is being read are kept."""

    def __init__(self, file: TextIO, shown: str) -> None:
        self._file, self._shown = file, shown
        self.number, self.has_ended = 0, False
        self.of_row: list[str] = []
        self._ahead: list[str] = []

    def __iter__(self) -> "Lines":
        return self

    def __next__(self) -> str:
        line = self._ahead.pop() if self._ahead else self._read()
        if not line:
            self.has_ended = True
            raise StopIteration
        if len(line) >= MOST_CHARACTERS:
            raise BatchError(
                f"{self._shown}, line {self.number + 1}: a line of more than {MOST_CHARACTERS:,} characters. "
                "Is this a file with a row a line?"
            )
        if "\0" in line:
            raise BatchError(
                f"{self._shown}, line {self.number + 1}: a NUL byte; this is not a text file, or one in another "
                "encoding (--encoding utf-16-le)."
            )
        if not self.number:
            line = line.removeprefix("\ufeff")
        self.number += 1
        self.of_row.append(line)
        return line

    def _read(self) -> str:
        try:
            return self._file.readline(MOST_CHARACTERS)
        except UnicodeError as error:
            why = f"not {self._file.encoding} ({error}). Set --encoding"
        except (EOFError, zlib.error) as error:
            why = f"not a complete gzip file ({error})"
        except OSError as error:
            why = f"cannot be read: {error.strerror or error}"
        raise BatchError(f"{self._shown}, after line {self.number}: {why}.")

    def put_back(self, line: str) -> None:
        """Give the last line once more."""
        self._ahead.append(line)
        self.number -= 1
        self.of_row.pop()

    def take(self) -> tuple[int, str]:
        """Return where the row that was read begins, and its text without the line end."""
        lines = self.of_row
        first, raw = self.number - len(lines) + 1, lines[0] if len(lines) == 1 else "".join(lines)
        lines.clear()
        return first, raw.rstrip(_LINE_END)


def undecoded(text: str) -> str:
    """Say which byte of a text is not of its encoding; nothing if all are."""
    match = _BYTE.search(text)
    return f"byte {ord(match[0]) - 0xDC00:#04x} is not of the file's encoding" if match else ""
