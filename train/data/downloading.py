"""The download of one file over HTTP, within limits of time and size."""

import os
import sys
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from tqdm import tqdm

from train.errors import DatasetError
from train.progress import Progress

_TIMEOUT_S, _HEAD_TIMEOUT_S = 30, 5
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Downloader:
    """What pooch calls with an address and a file to write; it raises DatasetError at a limit."""

    max_bytes: int
    max_seconds: float
    progress: Progress | None = None

    def __call__(self, url: str, output_file: str, _: object) -> None:
        """Write what is at an address into a file, unpacked if the server packed it for the transfer."""
        ends = time.monotonic() + self.max_seconds
        with requests.get(url, stream=True, timeout=_TIMEOUT_S) as response:
            response.raise_for_status()
            self._tell_redirect(url, response.url)
            length = int(response.headers.get("Content-Length") or 0)
            self._check(url, length, ends)
            with (
                open(output_file, "wb") as output,
                tqdm(
                    total=length, unit="B", unit_scale=True, disable=not sys.stderr.isatty()
                ) as bar,
            ):
                size = 0
                while chunk := self._next_chunk(response):
                    size += len(chunk)
                    self._check(url, size, ends)
                    output.write(chunk)
                    bar.update(len(chunk))

    @staticmethod
    def _next_chunk(response: Any) -> bytes:
        """Return what has arrived: waiting for more would let a slow server hold on for ever."""
        try:
            return bytes(response.raw.read1(_CHUNK_BYTES, decode_content=True))
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from None

    def _check(self, url: str, size: int, ends: float) -> None:
        if size > self.max_bytes:
            raise DatasetError(
                f"{url}: more than {self.max_bytes:,} bytes. If that is meant, set `max_dataset_bytes:`."
            )
        if time.monotonic() > ends:
            raise DatasetError(
                f"{url}: not downloaded within {self.max_seconds:,.0f} seconds. Download it yourself and name the file."
            )

    def _tell_redirect(self, url: str, final: str) -> None:
        if self.progress is not None and urlsplit(url).netloc != urlsplit(final).netloc:
            self.progress.warn(f"{url}: the server redirects to {urlsplit(final).netloc}")


def has_changed(url: str, path: Path) -> bool:
    """Return whether a server says that a file is another than was downloaded; False if it does not tell."""
    try:
        response = requests.head(
            url,
            timeout=_HEAD_TIMEOUT_S,
            allow_redirects=True,
            headers={"Accept-Encoding": "identity"},
        )
        if not response.ok:
            return False
        length, modified = (
            response.headers.get(key) for key in ("Content-Length", "Last-Modified")
        )
        stat = os.stat(path)
        packed = response.headers.get("Content-Encoding", "identity") != "identity"
        if length is not None and not packed and int(length) != stat.st_size:
            return True
        return modified is not None and parsedate_to_datetime(modified).timestamp() > stat.st_mtime
    except (requests.RequestException, ValueError, TypeError):
        return False
