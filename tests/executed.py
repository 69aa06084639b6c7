"""Documents whose commands run: `python -m tests.executed` writes what they print into docs/tutorials.

A block of ```` ```sh ```` is run as a whole. A block of ```` ```console ```` is a transcript:
`$ command`, then what it prints.
A comment before a block says more: `<!-- background -->` starts a server, and waits until it serves;
`<!-- not executed: reason -->` leaves the block alone. A command that begins with `sleep` waits for something.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

ROOT = Path(__file__).parent.parent
TUTORIALS = ROOT / "docs/tutorials"
_PORTS = (8080, 8090)
_PATIENCE_S = (
    900  # for a command that hangs; nothing slower than that is right, however busy the machine
)
_WIDTH, _LINES = 150, 24
_NUMBER = re.compile(r"\b[0-9a-f]{64}\b|\d[\d,.:]*(?:e[+-]\d+)?(?:-\d[\d-]*)?")
# What depends on the machine: how many such lines there are, and whether a rest of time is worth telling.
_BY_THE_CLOCK = re.compile(r"^\[ *[\d.]+ s\] (?:epoch \d|.* so far(?:;|$))")
# What Ray logs of itself, in an order that differs, with the numbers of its processes.
_OF_RAY = re.compile(
    r"^(?:\x1b\[|\(\w+ pid=|(?:INFO |WARNING |\[)\d{4}-|\d{4}-\d\d-\d\d [\d:]+,\d+\s).*\n?",
    re.MULTILINE,
)
_TO_GO = re.compile(r"(?:, each|[;,]) about \d+ (?:s|min)(?: to go at this rate)?")


@dataclass(frozen=True)
class Step:
    """What is run at once; `lines` are those of its block in the document, from the first to before the last."""

    command: str
    printed: str
    lines: tuple[int, int]
    background: bool = False
    shown: bool = True


@dataclass(frozen=True)
class LeftOut:
    """A block that is not executed, and why."""

    reason: str
    line: int


def steps_of(text: str) -> Iterator[Step | LeftOut]:
    """Yield what a document asks to type, in its order."""
    comment = ""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "html_block":
            comment = token.content.strip().removeprefix("<!--").removesuffix("-->").strip()
            continue
        if token.type == "fence" and token.info in {"sh", "console"}:
            assert token.map
            first = token.map[0] + 1
            if comment.startswith("not executed: "):
                yield LeftOut(comment.removeprefix("not executed: "), first)
            elif token.info == "sh":
                yield Step(token.content, "", (first, token.map[1] - 1), shown=False)
            else:
                yield from _transcript(token.content, first, background=comment == "background")
        comment = ""


def _transcript(content: str, first: int, background: bool) -> Iterator[Step]:
    lines = content.splitlines()
    starts = [number for number, line in enumerate(lines) if line.startswith("$ ")]
    for start, end in zip(starts, [*starts[1:], len(lines)], strict=True):
        said = start + 1
        while said < end and lines[said - 1].endswith("\\"):
            said += 1
        command = "\n".join([lines[start].removeprefix("$ "), *lines[start + 1 : said]])
        printed = "\n".join(lines[said:end])
        yield Step(command, printed, (first + said, first + end), background)


class Workplace:
    """A copy of the repository where `make` finds its environments: the interpreters at hand, linked.

    The commands are those of the document. Only the ports differ, so that they are free ones, and nothing
    but loopback addresses can be reached.
    """

    def __init__(self, folder: Path, train: str, predict: str, scale: str | None = None) -> None:
        self.folder = folder
        self._servers: list[subprocess.Popen[bytes]] = []
        self._ports = {port: _free_port() for port in _PORTS}
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in filter(None, listed.split("\0")):
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
        for name, python in (("train", train), ("predict", predict), ("scale", scale)):
            if python:
                executable = folder / ".env" / name / "bin/python"
                executable.parent.mkdir(parents=True)
                executable.write_text(f'#!/bin/sh\nexec "{ROOT / python}" "$@"\n')
                executable.chmod(0o755)
                for stamp in ("ready", "ready-to-develop", "ready-for-ray"):
                    (folder / ".env" / name / stamp).touch()
        nowhere = "http://127.0.0.1:9"
        self._environment = {
            **{name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ},
            **{"http_proxy": nowhere, "https_proxy": nowhere, "no_proxy": "localhost,127.0.0.1"},
            **{"PORT": str(self._ports[8080])},
            **{"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONDONTWRITEBYTECODE": "1"},
        }

    def run(self, step: Step) -> tuple[int, str]:
        """Run a step, and return its exit code and what it printed, with the document's ports."""
        command = step.command
        for port, taken in self._ports.items():
            command = command.replace(f"localhost:{port}", f"localhost:{taken}")
        if step.background:
            return 0, self._start(command)
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_PATIENCE_S,
        )
        return done.returncode, self._as_written(done.stdout)

    def _start(self, command: str) -> str:
        log = self.folder / f".server-{len(self._servers)}.log"
        port = self._ports[8090 if "serve-jobs" in command else 8080]
        with log.open("wb") as output:
            server = subprocess.Popen(
                ["bash", "-c", command],
                cwd=self.folder,
                env=self._environment | {"PORT": str(port)},
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._servers.append(server)
        deadline = time.monotonic() + _PATIENCE_S
        while not re.search(r"\bserving\b.*\n", text := log.read_text(encoding="utf-8")):
            assert server.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        return self._as_written(text)

    def _as_written(self, printed: str) -> str:
        for port, taken in self._ports.items():
            printed = printed.replace(f":{taken}", f":{port}")
        return _OF_RAY.sub("", printed).replace(f"{self.folder}/", "")

    def close(self) -> None:
        """Stop every server, and wait for its end."""
        for server in self._servers:
            if server.poll() is None:
                os.killpg(server.pid, signal.SIGTERM)
        for server in self._servers:
            try:
                server.wait(60)
            except subprocess.TimeoutExpired:
                os.killpg(server.pid, signal.SIGKILL)
                server.wait()


@contextmanager
def workplace(
    folder: Path, train: str, predict: str, scale: str | None = None
) -> Iterator[Workplace]:
    """Make a workplace, and stop its servers in the end."""
    place = Workplace(folder, train, predict, scale)
    try:
        yield place
    finally:
        place.close()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def as_shown(printed: str) -> str:
    """Shorten what a command printed to what a document shows of it."""
    lines = [line.rstrip() for line in printed.expandtabs().splitlines() if line.strip()]
    if len(lines) > _LINES:
        lines = [*lines[: _LINES // 2], "…", *lines[-_LINES // 2 :]]
    return "\n".join(
        line if len(line) <= _WIDTH else line[:_WIDTH].rstrip("0123456789.,:-") + "…"
        for line in lines
    )


def agree(shown: str, printed: str) -> bool:
    """Compare what a document shows with all that was printed, without numbers and what the clock decides.

    A line `…` stands for any lines, and `…` within a line for anything in that line.

    >>> agree("accuracy 0.91 after 3 s", "accuracy 0.934 after 12 s")
    True
    >>> agree("accuracy 0.91", "macro_f1 0.91")
    False
    """
    pattern = "".join(
        r"(?:.*\n)*" if line == "…" else ".*".join(map(re.escape, line.split("…"))) + r"\n"
        for line in _bare(shown)
    )
    return re.fullmatch(pattern, "".join(f"{line}\n" for line in _bare(printed))) is not None


def _bare(printed: str) -> list[str]:
    lines = (" ".join(line.split()).replace("[ ", "[") for line in printed.splitlines())
    return [
        _NUMBER.sub("#", _TO_GO.sub("", line))
        for line in lines
        if line and not _BY_THE_CLOCK.search(line)
    ]


def refreshed(text: str, place: Workplace) -> str:
    """Run a document, and return it with what its commands print now.

    Raises:
        RuntimeError: A command fails.
    """
    lines = text.splitlines()
    new: list[tuple[tuple[int, int], list[str]]] = []
    for step in steps_of(text):
        if isinstance(step, LeftOut):
            continue
        code, printed = place.run(step)
        if code:
            raise RuntimeError(f"exit code {code}: {step.command}\n{printed}")
        if step.shown:
            new.append((step.lines, as_shown(printed).splitlines()))
    for (first, last), printed_lines in reversed(new):
        lines[first:last] = printed_lines
    return "\n".join(lines) + "\n"


def main() -> None:
    """Refresh the documents that are named, or all of them."""
    import tempfile

    names = sys.argv[1:] or sorted(str(file) for file in TUTORIALS.glob("*.md"))
    scale = os.environ.get("SCALE_PYTHON")
    for file in map(Path, names):
        if file.stem == "5-scale" and not scale:
            continue
        with (
            tempfile.TemporaryDirectory() as folder,
            workplace(Path(folder), sys.executable, os.environ["PREDICT_PYTHON"], scale) as place,
        ):
            file.write_text(refreshed(file.read_text(encoding="utf-8"), place), encoding="utf-8")


if __name__ == "__main__":
    main()
