"""The command line of the training side: parse, call, turn our errors into one clear line. Short on purpose."""

import ctypes
import os
import shlex
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from predict.artefact import ArtefactError
from train.catalogue import CATALOGUE
from train.config import TrainConfig, load_config
from train.errors import UserError

DEFAULT_CONF = Path("conf/train-conf.yml")


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (ArtefactError, UserError) as error:
            raise click.ClickException(str(error)) from None


def _configured(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options that say what to train on."""
    for option in (
        click.option(
            "--dataset",
            help="A catalogue name, a path or a URL; replaces that of the configuration.",
        ),
        click.option(
            "--set",
            "overrides",
            multiple=True,
            metavar="KEY=VALUE",
            help="Override one key; repeatable.",
        ),
        click.option(
            "--conf",
            type=click.Path(path_type=Path),
            default=DEFAULT_CONF,
            show_default=True,
            help="The configuration.",
        ),
    ):
        command = option(command)
    return command


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Train a model on a labelled dataset and write an artefact that can be served."""


@main.command()
@_configured
def run(conf: Path, overrides: tuple[str, ...], dataset: str | None) -> None:
    """Train, evaluate and export; print the metrics and the next command."""
    # As a container's first process it would otherwise not hear the signal; 143 is what a shell makes of it.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    config = load_config(conf, overrides, dataset)
    _settle_tensorflow()
    from train.progress import Progress
    from train.run import run as run_training

    progress = Progress()
    result = run_training(config, progress)
    progress.say("done")
    click.echo(_summary(result.metrics))
    click.echo(f"artefact: {result.artefact_dir}")
    click.echo(f"next:     {_next_command(result.artefact_dir, config, result.reads_one_text)}")


@main.command()
@_configured
def check(conf: Path, overrides: tuple[str, ...], dataset: str | None) -> None:
    """Say whether a configuration and its dataset would train, without training."""
    config = load_config(conf, overrides, dataset)
    from train.export import prepare_artefacts_dir
    from train.progress import Progress
    from train.run import prepare

    prepare(config, Progress())
    prepare_artefacts_dir(config.artefacts_dir)
    click.echo(f"{conf}: would train.")


@main.command()
def datasets() -> None:
    """List the datasets that can be named in a configuration or with DATASET=."""
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "rows", "what", "licence and source"):
        table.add_column(heading, overflow="fold")
    for entry in CATALOGUE.values():
        table.add_row(entry.name, entry.rows, entry.about, entry.licence)
    _console().print(table)


def _summary(metrics: dict[str, Any]) -> str:
    """Return the test metrics beside the baselines, as a table."""
    from train.report import METRIC_NAMES, show_metric

    columns = {"this model": metrics, **metrics["baselines"]}
    if "at_even_odds" in metrics:
        columns = {"this model": metrics, "at even odds": metrics["at_even_odds"], **columns}
    table = Table(box=None, pad_edge=False)
    table.add_column("on the test split")
    for column in columns:
        table.add_column(column, justify="right")
    for name in METRIC_NAMES:
        if name in metrics:
            cells = [show_metric(name, column.get(name)) for column in columns.values()]
            table.add_row(name, *cells)
    for name, value in metrics.get("cross_validation", {}).get("mean", {}).items():
        spread = metrics["cross_validation"]["std"][name]
        shown = f"{show_metric(name, value)} ± {show_metric(name, spread)}"
        table.add_row(f"{name} in folds", shown)
    console = _console()
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def _next_command(artefact_dir: Path, config: TrainConfig, reads_one_text: bool) -> str:
    default = Path(TrainConfig.model_fields["artefacts_dir"].default)
    setting = f"ARTEFACT_DIR={shlex.quote(str(artefact_dir))} "
    target = 'predict-test TEXT="…"' if reads_one_text else "predict-example"
    return f"{'' if config.artefacts_dir == default else setting}make {target}"


def _console() -> Console:
    """Return a console that cuts no table short where there is no terminal."""
    return Console(width=None if sys.stdout.isatty() else 120, highlight=False)


def _settle_tensorflow() -> None:
    """Set what TensorFlow reads when it is imported."""
    # Its notes on CPU features are not news to anybody.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # oneDNN rounds differently from machine to machine, and is no faster for lookups and sums.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
    _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Tell glibc to keep freed memory rather than to return it at once: an epoch takes half the time."""
    # Every step allocates and frees the same few megabytes of gradients, whose pages would be mapped anew.
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3  # of <malloc.h>
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:  # macOS and musl have none
        for option, size in (
            (mmap_threshold, 32 << 20),
            (trim_threshold, 1 << 30),
            (top_pad, 64 << 20),
        ):
            mallopt(option, size)


def _run_as_program() -> None:
    """Run the command line; when it is interrupted, end the process without taking the interpreter down."""
    try:
        main(prog_name="python -m train")
    except SystemExit as ended:
        # By now everything is cleaned up and said. TensorFlow's threads may still be asking Python for a batch,
        # which crashes an interpreter that is being taken down.
        sys.stdout.flush()
        sys.stderr.flush()
        if "tensorflow" in sys.modules and isinstance(ended.code, int) and ended.code:
            os._exit(ended.code)
        raise


if __name__ == "__main__":
    _run_as_program()
