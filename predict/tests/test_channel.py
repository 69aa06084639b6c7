"""The private names of waitress that the server relies on: the installed waitress has each of them."""

import ast
import importlib
import inspect
import re
import socket
from collections.abc import Iterator

import pytest
import waitress
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.task import WSGITask
from waitress.utilities import BadRequest

from predict.http import channel
from predict.http.channel import RELIED_ON

MODULES = {part for part in RELIED_ON if part.partition(".")[0] == "waitress"}
PRIVATE = RELIED_ON.keys() - MODULES - {"arguments"}
# Names of sockets, of `select` and of the settings here, which waitress's objects happen to have too.
OURS = {"close", "poll", "threads"}


@pytest.fixture(scope="module")
def objects() -> Iterator[dict[str, object]]:
    """Each part of waitress by the name that `RELIED_ON` has for it."""
    server = waitress.create_server(lambda *_: [], sockets=[socket.create_server(("127.0.0.1", 0))])
    ours, theirs = socket.socketpair()
    connection = HTTPChannel(server, ours, "", server.adj, map={})
    parser = HTTPRequestParser(server.adj)
    yield {
        **{name: importlib.import_module(name) for name in RELIED_ON if name in MODULES},
        "arguments": Adjustments(),
        "server": server,
        "trigger": server.trigger,
        "threads": server.task_dispatcher,
        "channel": connection,
        "parser": parser,
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


def test_the_docstring_lists_the_names_that_are_relied_on() -> None:
    text = re.sub(r"\n  (?=\S)", " ", str(channel.__doc__))
    listed = dict(re.findall(r"^- ([a-z.]+): (.*)$", text, re.MULTILINE))
    assert {part: tuple(names.split(", ")) for part, names in listed.items()} == RELIED_ON


def test_no_other_name_of_waitress_is_used(objects: dict[str, object]) -> None:
    tree = ast.parse(inspect.getsource(channel))
    used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    arguments = {
        keyword.arg
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "create_server"
        for keyword in node.keywords
    }
    parts = [part for name, part in objects.items() if name in PRIVATE]
    theirs = {name for name in used if any(hasattr(part, name) for part in parts)}
    assert theirs - OURS <= {name for part in PRIVATE for name in RELIED_ON[part]}
    assert arguments == set(RELIED_ON["arguments"])
