"""The command line of the training side: parse, call, turn our errors into one clear line. Short on purpose."""

import os
import shlex
import signal
import sys
from pathlib import Path
from typing import Any

import click

from predict.command_line import (
    SETTINGS,
    STOPPED_BY_GATE,
    TERMINATED,
    examples,
    exit_codes,
    with_version,
)
from predict.contract.artefact import ArtefactError
from predict.wording import printable, replace_unknown_characters
from train.artefacts.folder import DEFAULT_DIR
from train.commands import (
    compare,
    page_options,
    prune,
    report,
    reproduce,
    runs,
    trust_code,
    write_page,
)
from train.config import TrainConfig, load_config
from train.config.loading import draft_of, load_draft
from train.config.trust import functions_named, own_code, would_run
from train.data.catalogue import CATALOGUE
from train.errors import UserError, collected
from train.terminal import DEFAULT_CONF, PlainTable, console, echo, options, settle_tensorflow


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except (ArtefactError, UserError) as error:
            raise click.ClickException(printable(str(error))) from None


# What to train on.
_configured = options(
    click.option(
        "--dataset",
        help="A catalogue name, a path or a URL, instead of the configuration's dataset.",
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
        metavar="FILE",
        default=DEFAULT_CONF,
        show_default=True,
        help="The configuration file.",
    ),
)


@click.group(
    cls=_Group,
    context_settings=SETTINGS,
    epilog=examples(
        "python -m train data mine.csv",
        "python -m train run --conf conf/mine.yml",
        "python -m train runs",
        "python -m train report",
    )
    + "\n\n"
    + exit_codes("train"),
)
@with_version
def main() -> None:
    """Train a model on a labelled dataset and write an artefact that can be served."""


@main.command(
    epilog=examples(
        "python -m train run --conf conf/iris.yml",
        "python -m train run --dataset docstrings --set training.epochs=3",
        "python -m train run --conf conf/wine.yml --set evaluation.folds=5 --workers 2",
    )
)
@_configured
@click.option(
    "--workers",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Fits of a search or of a cross-validation at the same time, each in a process.",
)
@click.pass_obj
def run(
    fits: Any, /, conf: Path, overrides: tuple[str, ...], dataset: str | None, workers: int
) -> None:
    """Train, evaluate and export. Print the metrics and the next command."""
    # As a container's first process it would otherwise not hear the signal.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    config = load_config(conf, overrides, dataset)
    settle_tensorflow()
    from train.evaluation.fits import in_processes, one_by_one
    from train.progress import TerminalProgress
    from train.run import run as run_training

    progress = TerminalProgress()
    if workers > 1 and config.search is None and not config.evaluation.folds:
        progress.say(
            "--workers: there is neither a search nor a cross-validation to share out among processes"
        )
    # Whoever calls this command may know of other places for fits than processes.
    fits = fits or (in_processes(workers) if workers > 1 else one_by_one)
    result = run_training(config, progress, str(conf), own_code(conf), fits=fits)
    progress.say("done")
    click.echo(_summary(result.metrics))
    echo(f"artefact: {result.artefact_dir}")
    if result.failed:
        conditions = "; ".join(result.failed)
        echo(
            f"gate:     stopped by {conditions}. The artefact is kept, `latest` has not moved.",
            err=True,
        )
        sys.exit(STOPPED_BY_GATE)
    echo(f"next:     {_next_command(result.artefact_dir, config, result.reads_one_text)}")


@main.command(
    epilog=examples(
        "python -m train check --conf conf/titanic.yml",
        "python -m train check --dataset mine.csv --set columns.label=team",
    )
)
@_configured
@trust_code
def check(conf: Path, overrides: tuple[str, ...], dataset: str | None, trust_code: bool) -> None:
    """List what keeps a configuration or its dataset from training, and show its columns."""
    # A download leaves no half of a file then.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    draft = load_draft(conf, overrides, dataset)
    from train import preparation
    from train.artefacts import folder, tracking
    from train.progress import TerminalProgress
    from train.reporting import columns

    if draft.config is not None:
        with collected(draft.problems):
            tracking.check(draft.config.tracking)
        with collected(draft.problems):
            folder.prepare(draft.config.artefacts_dir)
    prepared = preparation.check(draft, TerminalProgress(), own_code(conf) if trust_code else None)
    console().print(columns.table_of(prepared.dataset))
    echo(f"{conf}: would train.")
    if functions_named(prepared.config) and not trust_code:
        echo(
            f"Not checked: {would_run(prepared.config)}. If you trust that code, add --trust-code.",
            err=True,
        )


@main.command(
    epilog=examples(
        "python -m train distill --set embeddings.encoder.model=encoder/model.onnx --out data/small",
        "python -m train distill --conf conf/mine.yml --out data/small --width 128",
    )
)
@_configured
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIRECTORY",
    help="Where the static encoder goes, a new directory.",
)
@click.option(
    "--width",
    type=click.IntRange(1, 8192),
    default=256,
    show_default=True,
    help="Numbers of a vector, at most.",
)
def distill(
    conf: Path, overrides: tuple[str, ...], dataset: str | None, out: Path, width: int
) -> None:
    """Make a static encoder of a network: less accurate, and some hundred times as fast.

    The network is embeddings.encoder of the configuration. The words of the dataset are added to its own.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    config = load_config(conf, overrides, dataset)
    from train import preparation
    from train.features import distilling
    from train.progress import TerminalProgress

    distilling.require_new(out)
    progress = TerminalProgress()
    distilling.distil_to(out, preparation.prepare(config, progress, str(conf)), width, progress)
    echo(f"encoder:  {out}")
    setting = shlex.quote(f"embeddings.encoder={{model: {out / distilling.MODEL}}}")
    echo(f"next:     python -m train run --conf {shlex.quote(str(conf))} --set {setting}")


@main.command(
    epilog=examples(
        "python -m train data mine.csv",
        "python -m train data mine.csv --label price --page data.html --overwrite",
        "python -m train data iris --out -",
    )
)
@click.argument("dataset", metavar="PATH")
@click.option("--label", help="The column to predict; by default it is guessed.")
@click.option("--encoding", help="The encoding of the file; by default UTF-8.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False, allow_dash=True),
    metavar="FILE",
    help="Where the first configuration goes, by default conf/<name>.yml; - for standard output.",
)
@page_options("Write a page with the distributions of all columns, label by label.")
def data(
    dataset: str,
    label: str | None,
    encoding: str | None,
    out: Path | None,
    page: Path | None,
    overwrite: bool,
) -> None:
    """Show what is in a file, and write a first configuration that trains on it.

    PATH is a file, a URL or the name of a dataset. The label and the types of the columns are guessed. An existing
    configuration is never overwritten.
    """
    from train import preparation
    from train.exploration import first_configuration, tables
    from train.exploration.profile import profile_dataset
    from train.progress import SilentProgress, TerminalProgress

    place = out or first_configuration.default_path(dataset)
    profile = profile_dataset(dataset, label, encoding, TerminalProgress())
    to_stdout = str(place) == "-"
    for line in tables.lines_of(profile):
        echo(line, err=to_stdout)
    console(err=to_stdout).print(tables.table_of(profile))
    for hint in profile.hints:
        echo(f"WARNING: {hint}", err=to_stdout)
    configuration = first_configuration.write_configuration(profile, dataset, str(place), encoding)
    if page is not None:
        from train.exploration.page import render_page

        write_page(page, render_page(profile, configuration), overwrite)
    preparation.check(draft_of(configuration, str(place)), SilentProgress())
    if to_stdout:
        click.echo(configuration, nl=False)
        return
    _write_new(place, configuration)
    echo(f"{place}: written, and would train.")
    echo(f"next:     make train CONF={shlex.quote(str(place))}")


def _write_new(file: Path, text: str) -> None:
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise UserError(
            f"{file} is there already, and is not overwritten. Name another file with --out, or - to see the "
            "configuration."
        ) from None
    except OSError as error:
        raise UserError(f"--out {file}: cannot be written: {error.strerror}.") from None


@main.command(epilog=examples("python -m train datasets"))
def datasets() -> None:
    """List the datasets that a configuration or DATASET= can name."""
    table = PlainTable()
    for heading in ("name", "rows", "what", "licence and source"):
        table.add_column(heading, overflow="fold")
    for entry in CATALOGUE.values():
        table.add_row(entry.name, entry.rows, entry.about, entry.licence)
    console().print(table)


def _summary(metrics: dict[str, Any]) -> str:
    """Return the test metrics beside the baselines, as a table."""
    from train.evaluation.metrics import METRIC_NAMES, show_metric

    columns = {"this model": metrics, **metrics["baselines"]}
    if "at_even_odds" in metrics:
        columns = {
            "this model": metrics,
            "at the default threshold": metrics["at_even_odds"],
            **columns,
        }
    table = PlainTable()
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
    terminal = console()
    with terminal.capture() as captured:
        terminal.print(table)
    return captured.get()


def _next_command(artefact_dir: Path, config: TrainConfig, reads_one_text: bool) -> str:
    setting = f"ARTEFACT_DIR={shlex.quote(str(artefact_dir))} "
    target = 'predict-test TEXT="…"' if reads_one_text else "predict-example"
    return f"{'' if config.artefacts_dir == DEFAULT_DIR else setting}make {target}"


for _command in (compare, report, reproduce, runs, prune):
    main.add_command(_command)


def _run_as_program() -> None:
    """Run the command line; when it is interrupted, end the process without taking the interpreter down."""
    replace_unknown_characters()
    try:
        main(prog_name="python -m train")
    except SystemExit as ended:
        # By now everything is cleaned up and printed. TensorFlow's threads may still be asking Python for a batch,
        # which crashes an interpreter that is being taken down.
        sys.stdout.flush()
        sys.stderr.flush()
        if "tensorflow" in sys.modules and isinstance(ended.code, int) and ended.code:
            os._exit(ended.code)
        raise


if __name__ == "__main__":
    _run_as_program()
