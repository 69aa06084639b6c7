"""The functions of the user's own that make pipelines: found, checked, and imported only with trust."""

import importlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from predict.wording import did_you_mean, listed
from train.config import ConfigError
from train.config.trust import Trust


def load_function(name: str, trust: Trust | None) -> FunctionType:
    """Import the function that `package.module:function` or `path/to/file.py:function` names.

    It must be a plain function that is defined in that very module, so that no configuration can call what
    the module merely imports.

    Raises:
        ConfigError: It is not trusted, not there, or not such a function.
    """
    if trust is None:
        raise ConfigError(f"model.pipeline: {name} is not run: nothing allows its code to run.")
    locate(name, trust)
    where, _, attribute = name.rpartition(":")
    module = _import(name, where)
    function = getattr(module, attribute, None)
    if inspect.isfunction(function) and function.__module__ == module.__name__:
        return function
    known = [
        key
        for key, value in vars(module).items()
        if inspect.isfunction(value) and value.__module__ == module.__name__
    ]
    what = f"{where} has no function {attribute!r}"
    if function is not None:
        what = f"{attribute!r} is not a function that {where} itself defines"
    hint = did_you_mean(attribute, known)
    raise ConfigError(f"model.pipeline: {what}.{hint} It has: {listed(known)}.")


def locate(name: str, trust: Trust | None) -> None:
    """Check, without importing anything, that a function can be taken from where a name says.

    Raises:
        ConfigError: There is no such file or module, it is part of Python, or it is outside of the trusted folders.
    """
    where, _, _ = name.rpartition(":")
    if where.endswith(".py"):
        file = Path(where).expanduser()
        if not file.is_file():
            raise ConfigError(
                f"model.pipeline: {name}: cannot be imported ({file} is not a Python file). "
                "The path is relative to where the command is run."
            )
        if trust is not None and not trust.covers(file):
            raise ConfigError(
                f"model.pipeline: {name}: {file} is neither below the working directory nor below the folder of the "
                "configuration. Copy it there."
            )
        return
    top = where.partition(".")[0]
    if not all(part.isidentifier() for part in where.split(".")):
        raise ConfigError(
            f'model.pipeline: {name}: expected "package.module:function" or "path/to/file.py:function".'
        )
    if _is_part_of_python(top):
        raise ConfigError(
            f"model.pipeline: {name}: {top} is part of Python, not a module that makes pipelines. "
            "A file of your own can be named as path/to/file.py:function."
        )


def told(error: BaseException) -> str:
    """Return an error of the user's code in a line."""
    [*_, first] = ["no message", *str(error).strip().splitlines()[:1]]
    return f"{type(error).__name__}: {first.removesuffix('.')}"


def called(name: str, build: Callable[[], Any]) -> Any:
    """Return what a function that makes a pipeline returns; raise ConfigError if it fails."""
    try:
        return build()
    except (Exception, SystemExit) as error:  # whatever the user's function does
        raise ConfigError(f"model.pipeline: {name} failed: {told(error)}.") from error


def _is_part_of_python(top: str) -> bool:
    if top in sys.stdlib_module_names or top in ("__main__", *sys.builtin_module_names):
        return True
    spec = importlib.util.find_spec(top)  # of a module that is in no package, this imports nothing
    if spec is None or spec.origin is None:
        return False
    origin = Path(spec.origin)
    standard, *installed = (
        Path(sysconfig.get_path(key)) for key in ("stdlib", "purelib", "platlib")
    )
    return origin.is_relative_to(standard) and not any(map(origin.is_relative_to, installed))


def _import(name: str, where: str) -> ModuleType:
    try:
        if where.endswith(".py"):
            return _import_file(Path(where).expanduser())
        return importlib.import_module(where)
    except ImportError as error:
        hint = "Is its folder on PYTHONPATH? A file can be named as well: path/to/file.py:function."
        if where.endswith(".py"):
            hint = "The path is relative to where the command is run."
        if error.name is not None and not f"{where}.".startswith(f"{error.name}."):
            hint = f"The module itself imports {error.name}."
        raise ConfigError(f"model.pipeline: {name}: cannot be imported ({error}). {hint}") from None
    except (Exception, SystemExit) as error:  # whatever the user's file does when it is imported
        raise ConfigError(
            f"model.pipeline: {name}: {told(error)}, while it was imported."
        ) from error


def _import_file(file: Path) -> ModuleType:
    # Under its own name it could hide a library that it imports.
    name = f"pipeline of {file}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ImportError(f"{file} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and the like look up their module by its name
    spec.loader.exec_module(module)
    return module
