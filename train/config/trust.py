"""The trust in code that a configuration names: which code that is, and whether it may run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from predict.wording import listed
from train.config.sections import TrainConfig


@dataclass(frozen=True)
class Trust:
    """The leave to run the functions that a configuration names. Without it, none is even imported.

    Attributes:
        folders: A file must be below one of them; None: it may be anywhere.
    """

    folders: tuple[Path, ...] | None = None

    def covers(self, file: Path) -> bool:
        """Return whether a file may be run; a link counts as what it leads to."""
        real = file.resolve()
        return self.folders is None or any(
            real.is_relative_to(folder.resolve()) for folder in self.folders
        )


def own_code(conf: Path) -> Trust:
    """Return the trust in code below the working directory, or below the folder of a configuration."""
    return Trust((Path.cwd(), conf.absolute().parent))


def functions_named(config: TrainConfig) -> list[str]:
    """Return the functions that a configuration would run, those that only a search tries included.

    >>> functions_named(TrainConfig(dataset="iris"))
    []
    """
    return list(dict.fromkeys(name for name in _pipelines(config) if ":" in name))


def would_run(config: TrainConfig) -> str:
    """Say which functions a configuration would run.

    >>> from train.config.sections import ModelConfig
    >>> would_run(TrainConfig(dataset="iris", model=ModelConfig(pipeline="mine.py:build")))
    'model.pipeline would run the function build of mine.py'
    """
    parts = [name.rpartition(":") for name in functions_named(config)]
    functions = [f"the function {function} of {module}" for module, _, function in parts]
    return f"model.pipeline would run {listed(functions)}"


def _pipelines(config: TrainConfig) -> Iterator[str]:
    yield config.model.pipeline or ""
    for key, values in config.search.parameters.items() if config.search else ():
        for value in values:
            name = value.get("pipeline") if isinstance(value, Mapping) else value
            if key in ("model", "model.pipeline") and isinstance(name, str):
                yield name
