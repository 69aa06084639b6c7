"""Claims about downloads: their limits, redirects, links, and what is said of a file that changed."""

import gzip
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from train.data import sources
from train.data.sources import fetch
from train.errors import DatasetError
from train.tests.conftest import tiny_config
from train.tests.test_reading import Listener

CONTENT = b"text,label\na,x\nb,y\n"

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")


@pytest.fixture
def url() -> Iterator[str]:
    """The address of a server with a file each for what a server may do."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = gzip.compress(b"a,b\n" * 1_000_000) if self.path == "/packed.csv" else CONTENT
            if self.path == "/moved.csv":
                self.send_response(302)
                port = self.server.server_address[1]
                self.send_header("Location", f"http://localhost:{port}/a.csv")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            if self.path == "/packed.csv":
                self.send_header("Content-Encoding", "gzip")
            if self.path == "/new.csv":
                self.send_header("Last-Modified", "Fri, 01 Jan 2100 00:00:00 GMT")
            self.end_headers()
            if self.command == "HEAD":
                return
            for byte in body if self.path == "/slow.csv" else [body]:
                try:
                    self.wfile.write(bytes([byte]) if isinstance(byte, int) else byte)
                except OSError:
                    return
                time.sleep(0.1 if self.path == "/slow.csv" else 0)

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def _files(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.is_file()]


@pytest.mark.parametrize("name", ["packed.csv", "a.csv"])
def test_a_download_ends_at_its_limit_of_size(tmp_path: Path, url: str, name: str) -> None:
    most = 100_000 if name == "packed.csv" else 10
    config = tiny_config(tmp_path, f"{url}/{name}", max_dataset_bytes=most)
    with pytest.raises(DatasetError, match=f"/{name}: more than {most:,} bytes. If that is meant"):
        fetch(config)
    assert not _files(config.data_dir)


def test_a_download_ends_at_its_limit_of_time(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "_MOST_SECONDS", 0.3)
    started = time.monotonic()
    with pytest.raises(DatasetError, match=r"/slow\.csv: not downloaded within 0 seconds"):
        fetch(tiny_config(tmp_path, f"{url}/slow.csv"))
    assert time.monotonic() - started < 1.5


def test_a_redirect_to_another_host_is_said(
    tmp_path: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("no_proxy", "127.0.0.1,localhost")
    listener = Listener()
    table = fetch(tiny_config(tmp_path, f"{url}/moved.csv"), listener)  # type: ignore[arg-type]
    assert len(table.frame) == 2
    assert "the server redirects to localhost:" in listener.warned[0]


def test_a_link_among_the_downloads_is_not_followed(tmp_path: Path, url: str) -> None:
    config = tiny_config(tmp_path, f"{url}/a.csv")
    fetch(config)
    (cached,) = _files(config.data_dir)
    elsewhere = cached.rename(tmp_path / "elsewhere.csv")
    elsewhere.chmod(0o600)
    cached.symlink_to(elsewhere)
    with pytest.raises(DatasetError, match="a link in the folder of downloads is not followed"):
        fetch(config)
    assert elsewhere.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("name", "changed"), [("a.csv", False), ("new.csv", True), ("size.csv", True)]
)
def test_a_file_that_changed_on_its_server_is_said(
    tmp_path: Path, url: str, name: str, changed: bool
) -> None:
    config, listener = tiny_config(tmp_path, f"{url}/{name}"), Listener()
    fetch(config, listener)  # type: ignore[arg-type]
    if name == "size.csv":
        (cached,) = _files(config.data_dir)
        cached.write_bytes(CONTENT + b"c,x\n")
    fetch(config, listener)  # type: ignore[arg-type]
    assert ["has changed since" in warning for warning in listener.warned] == [True] * changed


def test_a_check_that_is_stopped_leaves_no_part_of_a_download(tmp_path: Path, url: str) -> None:
    conf = tmp_path / "c.yml"
    conf.write_text(
        f"dataset: {url}/slow.csv\ndata_dir: {tmp_path}/raw\nartefacts_dir: {tmp_path}/a\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-m", "train", "check", "--conf", str(conf)],
        stderr=subprocess.DEVNULL,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
    )
    deadline = time.monotonic() + 30
    while not _files(tmp_path / "raw") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert _files(tmp_path / "raw")
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 143
    assert not _files(tmp_path / "raw")
