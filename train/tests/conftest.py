"""What the tests of the training side share: tiny texts, one small model trained for real, a local web server."""

import csv
import gc
import os
import random
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from train.config import TrainConfig
from train.data.splits import Prepared

# As `python -m train` sets them; TensorFlow reads them when it is imported.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

TOPICS = {
    "fruit": "apple banana cherry grape melon peach plum lemon",
    "music": "violin piano drum flute guitar trumpet cello harp",
    "tools": "hammer saw drill wrench pliers chisel nail screw",
}
_COMMON = "how do i use the with a my and for any to when is this one"


@pytest.fixture(autouse=True)
def _no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep what this machine has set away from the tests: they talk to 127.0.0.1 alone."""
    monkeypatch.delenv("DATASET_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def make_rows(count: int, labels: Iterable[str] = TOPICS, seed: int = 0) -> list[tuple[str, str]]:
    """Return (text, label) pairs, every label equally often; one text in ten speaks of another topic."""
    randomly, labels = random.Random(seed), list(labels)
    rows = []
    for number in range(count):
        label = labels[number % len(labels)]
        topic = randomly.choice(labels) if randomly.random() < 0.1 else label
        common = randomly.choices(_COMMON.split(), k=randomly.randint(1, 8))
        words = [*common, *randomly.choices(TOPICS[topic].split(), k=2)]
        randomly.shuffle(words)
        rows.append((" ".join([*words, f"n{number}"]), label))
    return rows


def write_csv(
    file: Path, rows: Iterable[Iterable[str]], header: Iterable[str] = ("text", "label")
) -> Path:
    with file.open("w", encoding="utf-8", newline="") as opened:
        csv.writer(opened).writerows([header, *rows])
    return file


def tiny_config(folder: Path, dataset: Path | str, **changes: Any) -> TrainConfig:
    """Return a configuration that trains in about two seconds and writes below `folder`."""
    content: dict[str, Any] = {
        "dataset": str(dataset),
        "text_features": {"ngram_buckets": 512, "pair_buckets": 512},
        "embeddings": {"vector_size": 8, "epochs": 2},
        "training": {"epochs": 2, "hidden_size": 8, "batch_size": 32},
        "data_dir": folder / "raw",
        "artefacts_dir": folder / "artefacts",
    }
    for key, value in changes.items():
        content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
    return TrainConfig.model_validate(content)


@dataclass(frozen=True)
class Fitted:
    """A model that was fitted, and what on."""

    config: TrainConfig
    dataset: Any
    split: Any
    model: Any

    @property
    def prepared(self) -> Prepared:
        """Return what it was fitted on."""
        return Prepared(self.config, self.dataset, self.split)

    def test_texts(self) -> list[str]:
        """Return the texts of the test split."""
        return self.dataset.texts(self.split.test)

    def probabilities(self, texts: list[str]) -> Any:
        """Return what the trained model says of texts, <float64>[num_texts, num_labels]."""
        import pandas as pd

        given = replace(self.dataset, frame=pd.DataFrame({"text": texts}))
        return self.model.predict(given, np.arange(len(texts)))


def fit(config: TrainConfig) -> Fitted:
    from train.data.cleaning import load_dataset
    from train.data.splits import split_dataset
    from train.models.text import model as text_model
    from train.progress import TerminalProgress

    dataset = load_dataset(config)
    split = split_dataset(dataset, config)
    prepared = Prepared(config, dataset, split)
    return Fitted(config, dataset, split, text_model.fit(prepared, TerminalProgress()))


def server_of(model: Any, directory: Path) -> Callable[[list[str]], Any]:
    """Return texts -> probabilities, as a server computes them from the files of a text model in a directory."""
    import onnxruntime

    from predict.contract.artefact import MODEL
    from predict.contract.text_table import SUMS, TextTable
    from predict.scoring.text_sums import TextSums

    session = onnxruntime.InferenceSession(
        str(directory / MODEL), providers=["CPUExecutionProvider"]
    )
    features = model.design.features
    sums = TextSums(features, TextTable.read(directory, features))
    return lambda texts: session.run(None, {SUMS: sums.of(texts)})[0]


@pytest.fixture(scope="session")
def tiny_csv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 short texts on three topics."""
    return write_csv(tmp_path_factory.mktemp("data") / "tiny.csv", make_rows(300))


@pytest.fixture(scope="session")
def fitted(tiny_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Fitted:
    """The one small model, as `text_model.fit` returns it."""
    return fit(tiny_config(tmp_path_factory.mktemp("fitted"), tiny_csv))


@pytest.fixture(scope="session")
def trained(tiny_csv: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The result of one whole run on the same texts, artefact and all."""
    from train.progress import TerminalProgress
    from train.run import run

    return run(tiny_config(tmp_path_factory.mktemp("trained"), tiny_csv), TerminalProgress())


class WebServer:
    """Serves `files` (path -> bytes) on 127.0.0.1 and remembers what was asked for.

    Attributes:
        url: Scheme, host and port.
        requests: The paths that were asked for, in order.
        cut_short: Paths that break off halfway.
    """

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.cut_short: set[str] = set()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                owner.requests.append(self.path)
                body = owner.files.get(self.path)
                if body is None:
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[: len(body) // 2] if self.path in owner.cut_short else body)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.01,), daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Answer no more; the port is free afterwards."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        gc.collect()  # what the client left open is closed here, not in the middle of a later test


@pytest.fixture
def web_server() -> Iterator[WebServer]:
    server = WebServer()
    yield server
    server.stop()


@pytest.fixture
def closed_url() -> str:
    """An address on this machine at which nobody listens."""
    server = WebServer()
    server.stop()
    return server.url


@pytest.fixture
def write_conf(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        file = tmp_path / "train-conf.yml"
        file.write_text(text, encoding="utf-8")
        return file

    return write
