"""What a document asks to type, judged without running it: `problem_with(command)` knows our own commands.

Targets and variables of make are looked up in the Makefile, options in the command lines, and paths in the OpenAPI
document of the server and the routes of the jobs service.
"""

import re
import shlex
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import takewhile
from pathlib import Path
from tempfile import TemporaryDirectory

import click
from markdown_it import MarkdownIt
from werkzeug.exceptions import MethodNotAllowed, NotFound
from werkzeug.routing import Map, Rule

from tests.executed import ROOT

SERVICES = ("predict", "jobs")
OF_A_SHELL = ("sh", "bash", "console")
# What is typed around our own commands; it asks nothing of us but a file at most.
HARMLESS = ("cat", "cd", "echo", "export", "head", "jq", "ls", "mkdir", "tail", "tar")
_OPERATORS = {"|", "||", "&&", "&", ";", ";;"}
_ASSIGNMENT = re.compile(r"([A-Za-z_]\w*)=")
_COMPLETED = re.compile(r"capstone-(train|predict|jobs|scale)")
_ADDRESS = re.compile(r"(?:http://)?(?:localhost|127\.0\.0\.1):(\d+)(/[^?\s]*)?")
_PORT_OF_JOBS, _PORT_OF_SITE = "8090", "8100"


# ---------------------------------------------------------------- documents


def commands_in(text: str) -> Iterator[tuple[int, str]]:
    """Yield the commands in a document's blocks of a shell, each with the number of its line."""
    for token in MarkdownIt("commonmark").parse(text):
        if token.type == "fence" and token.info in OF_A_SHELL:
            assert token.map
            yield from _commands_of(token.content, token.map[0] + 2, token.info == "console")


def _commands_of(block: str, first: int, transcript: bool) -> Iterator[tuple[int, str]]:
    command, started = "", 0
    for number, line in enumerate(block.splitlines(), first):
        if not command:
            if transcript and not line.startswith("$ "):
                continue  # what is printed
            command, started = line.removeprefix("$ ") if transcript else line, number
        else:
            command = f"{command}\n{line}"
        if command.endswith("\\") or not _is_whole(command):
            continue
        yield started, command.replace("\\\n", " ")
        command = ""
    if command:
        yield started, command


def _is_whole(command: str) -> bool:
    try:
        _words(command)
    except ValueError:  # a quote is open
        return False
    return True


def code_in(text: str) -> list[str]:
    """Return the code within the sentences of a document."""
    inline = (token.children or () for token in MarkdownIt("commonmark").parse(text))
    return [part.content for parts in inline for part in parts if part.type == "code_inline"]


# ----------------------------------------------------------------- commands


def _words(command: str) -> list[str]:
    lexer = shlex.shlex(command, posix=True, punctuation_chars="|&;")
    lexer.whitespace_split = True
    return list(lexer)


def simple_commands(command: str) -> Iterator[list[str]]:
    """Take a command line apart.

    >>> list(simple_commands("A=1 make x | head -2 && ls  # both"))
    [['A=1', 'make', 'x'], ['head', '-2'], ['ls']]
    """
    words: list[str] = []
    for word in [*_words(command), ";"]:
        if word not in _OPERATORS:
            words.append(word)
        elif words:
            yield words
            words = []


def problem_with(words: Sequence[str]) -> str | None:
    """Return what is wrong with a simple command, or None if it is one of ours and right, or harmless.

    Raises:
        LookupError: It is a command that nothing is known about.
    """
    settings = list(takewhile(_ASSIGNMENT.match, words))
    name, *arguments = words[len(settings) :] or [""]
    completed = _COMPLETED.fullmatch(name)
    if not name or name in HARMLESS:
        return None
    if name == "make":
        return _problem_with_make(arguments, settings)
    if Path(name).name in ("python", "python3") and arguments[:1] == ["-m"]:
        return _problem_with_module(arguments[1], arguments[2:])
    if completed and "<Tab>" not in " ".join(arguments):
        return _problem_with_module(completed[1], arguments)
    if name == "curl":
        return _problem_with_curl(arguments)
    raise LookupError(name)


@cache
def _makefile() -> tuple[dict[str, str], dict[str, list[str]], set[str]]:
    """Return the recipe of each target, who reads which variable, and the settings of the servers."""
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    recipes = dict(re.findall(r"^([a-z][a-z-]*):.*\n((?:\t.*\n)*)", text, re.MULTILINE))
    readers = re.findall(r"^readers-(\w+) +:= (.*)$", text, re.MULTILINE)
    conf = (ROOT / "conf/predict.conf.dist").read_text(encoding="utf-8")
    settings = set(re.findall(r"^#?([A-Z][A-Z_]*)=", conf, re.MULTILINE))
    return recipes, {variable: targets.split() for variable, targets in readers}, settings


def _problem_with_make(arguments: Sequence[str], settings: Sequence[str]) -> str | None:
    recipes, readers, of_servers = _makefile()
    targets = [word for word in arguments if not _ASSIGNMENT.match(word)]
    for target in targets:
        if target not in recipes:
            return f"make has no target {target}"
    for word in [*arguments, *settings]:
        variable, equals, value = word.partition("=")
        if not equals or variable in of_servers | {"CONDA", "PYTHON", "RAY_ADDRESS"}:
            continue
        if variable not in readers:
            return f"make has no variable {variable}"
        if not set(targets) & set(readers[variable]):
            return f"no target of make {' '.join(targets)} reads {variable}"
        if variable == "OPTIONS":
            for target in targets:
                if module := re.search(r" -m (\w+)(?: (\w+))? .*\$\(OPTIONS\)", recipes[target]):
                    part = [module[2]] if module[2] else []
                    if problem := _problem_with_module(module[1], [*part, *value.split()]):
                        return problem
    return None


def _problem_with_module(name: str, arguments: Sequence[str]) -> str | None:
    if name not in ("train", "predict", "jobs", "scale"):
        places = (ROOT / f"{name.replace('.', '/')}{end}" for end in (".py", "/__main__.py"))
        place = next((place for place in places if place.is_file()), None)
        if place is None:
            raise LookupError(f"python -m {name}")
        known = set(re.findall(r'"(--[a-z][a-z-]*)"', place.read_text(encoding="utf-8")))
        return _first_unknown(f"python -m {name}", arguments, known)
    command = _command_lines()[name]
    rest, typed = list(arguments), f"python -m {name}"
    while isinstance(command, click.Group) and rest:
        known = _options_of(command)
        if (word := rest.pop(0)).startswith("-"):
            if problem := _first_unknown(typed, [word], known):
                return problem
            if rest and "=" not in word and _takes_a_value(command, word):
                rest.pop(0)
            continue
        if word not in command.commands:
            return None if word.startswith("…") else f"{typed} has no command {word}"
        command, typed = command.commands[word], f"{typed} {word}"
    return _first_unknown(typed, rest, _options_of(command))


@cache
def _command_lines() -> dict[str, click.Command]:
    from jobs.__main__ import main as jobs
    from predict.__main__ import main as predict
    from scale.__main__ import main as scale
    from train.__main__ import main as train

    return {"train": train, "predict": predict, "jobs": jobs, "scale": scale}


def _options_of(command: click.Command) -> set[str]:
    named = (each for each in command.params if isinstance(each, click.Option))
    return {"--help"} | {option for each in named for option in (*each.opts, *each.secondary_opts)}


def _takes_a_value(command: click.Command, option: str) -> bool:
    return any(
        option in each.opts
        and isinstance(each, click.Option)
        and not each.is_flag
        and not each.count
        for each in command.params
    )


def _first_unknown(typed: str, arguments: Sequence[str], known: set[str]) -> str | None:
    for word in arguments:
        if word == "--":
            break
        option = word.partition("=")[0]
        if re.fullmatch(r"--[a-z][\w-]*", option) and option not in known:
            return f"{typed} has no option {option}"
    return None


# -------------------------------------------------------------------- paths


@cache
def _routes() -> dict[str, Map]:
    """Return the routes of the server, as its OpenAPI document has them, and those of the jobs service."""
    from jobs.app import create_app as create_jobs
    from jobs.retention import Retention
    from jobs.settings import JobsSettings
    from jobs.store import Store
    from jobs.worker import Slots
    from predict.hosting.models import Models
    from predict.http.app import create_app
    from predict.settings import Settings
    from predict.tests.conftest import GOLDEN_SCOPE, GOLDEN_TABLES

    models = Models({"default": GOLDEN_SCOPE, "NAME": GOLDEN_TABLES / "label"})
    client = create_app(models, Settings(log_requests=False)).test_client()
    described = client.get("/openapi.json").json["paths"]
    paths = Map(
        Rule(path.replace("{", "<").replace("}", ">"), endpoint=path, methods=list(operations))
        for path, operations in described.items()
    )
    with TemporaryDirectory() as folder:
        store, settings = Store(Path(folder) / "jobs.sqlite"), JobsSettings()
        jobs = create_jobs(store, Slots(store, settings), Retention(store, settings), settings)
    return {"predict": paths, "jobs": jobs.url_map}


def is_route(service: str, method: str, path: str) -> bool:
    """Tell whether a service answers a method on a path; a word in capitals stands for any.

    >>> is_route("predict", "GET", "/models"), is_route("predict", "GET", "/modles")
    (True, False)
    """
    try:
        _routes()[service].bind("localhost").match(path, method=method)
    except (NotFound, MethodNotAllowed):
        return False
    return True


def _problem_with_curl(arguments: Sequence[str]) -> str | None:
    sends = any(word in ("-d", "--data-binary", "--data", "--data-urlencode") for word in arguments)
    asked = [arguments[i + 1] for i, word in enumerate(arguments) if word in ("-X", "--request")]
    method = asked[0] if asked else "POST" if sends else "GET"
    for word in arguments:
        if (match := _ADDRESS.fullmatch(word.partition("?")[0])) and match[1] != _PORT_OF_SITE:
            service = "jobs" if match[1] == _PORT_OF_JOBS else "predict"
            if not is_route(service, method, match[2] or "/"):
                return f"{service} has no route {method} {match[2] or '/'}"
    return None
