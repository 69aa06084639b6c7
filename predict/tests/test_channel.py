"""The private names of waitress that the server relies on: the installed waitress has each of them."""

import ast
import importlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import waitress
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import WSGITask
from waitress.utilities import BadRequest

from predict.http import connections
from predict.http.connections.names import RELIED_ON

MODULES = {part for part in RELIED_ON if part.partition(".")[0] == "waitress"}
PRIVATE = RELIED_ON.keys() - MODULES - {"arguments"}
# Names of sockets, of `select`, of the settings and of classes here, which waitress's objects happen to have too.
OURS = {"close", "poll", "threads", "family", "getsockname", "environ", "__init__", "__dict__"}


@pytest.fixture(scope="module")
def objects() -> Iterator[dict[str, object]]:
    """Each part of waitress by the name that `RELIED_ON` has for it."""
    server = waitress.create_server(lambda *_: [], sockets=[socket.create_server(("127.0.0.1", 0))])
    ours, theirs = socket.socketpair()
    connection = HTTPChannel(server, ours, "", server.adj, map={})
    parser, parsed = HTTPRequestParser(server.adj), HTTPRequestParser(server.adj)
    parsed.received(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    yield {
        **{name: importlib.import_module(name) for name in RELIED_ON if name in MODULES},
        "arguments": Adjustments(),
        "server": server,
        "trigger": server.trigger,
        "dispatcher": server.task_dispatcher,
        "channel": connection,
        "parser": parser,
        "parsed": parsed,
        "error": BadRequest("why"),
        "task": WSGITask(connection, parser),
    }
    server.task_dispatcher.shutdown()
    connection.close()
    theirs.close()
    server.close()


@pytest.mark.parametrize(
    ("part", "name"), [(part, name) for part, names in RELIED_ON.items() for name in names]
)
def test_waitress_has_each_name_that_is_relied_on(
    objects: dict[str, object], part: str, name: str
) -> None:
    assert hasattr(objects[part], name)


def test_no_other_name_of_waitress_is_used(objects: dict[str, object]) -> None:
    sources = [file.read_text("utf-8") for file in Path(connections.__path__[0]).glob("*.py")]
    tree = ast.parse("\n".join(sources))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    arguments = {
        keyword.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "Adjustments"
        for keyword in node.keywords
    }
    parts = [part for name, part in objects.items() if name in PRIVATE]
    theirs = {name for name in used if any(hasattr(part, name) for part in parts)}
    assert theirs - OURS <= {name for part in PRIVATE for name in RELIED_ON[part]}
    assert arguments == set(RELIED_ON["arguments"])
