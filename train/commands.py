"""The commands about existing artefacts: compare, prune, report, reproduce, runs. They parse, call and print."""

import json
import os
import signal
import sys
import webbrowser
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from predict.command_line import TERMINATED, RenamedOption, examples
from predict.contract.artefact import REPORT
from predict.wording import counted
from train.artefacts.folder import DEFAULT_DIR
from train.config import load_config
from train.config.trust import Trust
from train.errors import UserError
from train.terminal import DEFAULT_CONF, console, echo, options, settle_tensorflow

if TYPE_CHECKING:
    from train.artefacts.listing import Run

# Names the artefact that is served.
_PREDICT_CONF = Path("conf/predict.conf")

_artefacts_dir = click.option(
    "--artefacts-dir",
    type=click.Path(path_type=Path),
    metavar="DIRECTORY",
    default=DEFAULT_DIR,
    show_default=True,
    help="The folder in which artefacts are found by name.",
)

trust_code = click.option(
    "--trust-code",
    is_flag=True,
    help="Import and run the functions that the configuration names (model.pipeline: module:function).",
)


def page_options(text: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Add `--page FILE`, which refuses an existing file before any work, and `--overwrite`, which allows it."""
    page = click.option(
        "--page",
        type=click.Path(path_type=Path, dir_okay=False),
        metavar="FILE",
        callback=_refuse_existing,
        help=text,
    )
    # Eager, so that it is known when the page is looked at.
    overwrite = click.option(
        "--overwrite",
        "--force",
        "overwrite",
        cls=RenamedOption,
        is_flag=True,
        is_eager=True,
        help="Let --page replace a file that exists.",
    )
    return options(overwrite, page)


def _refuse_existing(context: click.Context, _: click.Parameter, page: Path | None) -> Path | None:
    if page is not None and not context.params["overwrite"] and os.path.lexists(page):
        raise _exists(page)
    return page


def _exists(page: Path) -> UserError:
    return UserError(f"--page {page}: exists already. Name another file, or add --overwrite.")


def write_page(file: Path, page: str, overwrite: bool) -> None:
    """Write an HTML page, and say where it is."""
    try:
        with file.open("w" if overwrite else "x", encoding="utf-8") as opened:
            opened.write(page)
    except FileExistsError:
        raise _exists(file) from None
    except OSError as error:
        raise UserError(f"--page {file}: cannot be written: {error.strerror}.") from None
    echo(f"page: {file}", err=True)


@click.command(
    epilog=examples(
        "python -m train compare 2026-11-20-09-00-00 latest",
        "python -m train compare data/artefacts/old latest --data new.csv --page compared.html",
        "python -m train compare old latest --expect-equal 1e-6 --json",
    )
)
@click.argument("a")
@click.argument("b")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A labelled file with A's columns; by default the test split of A's dataset.",
)
@page_options("Write the comparison as an HTML page.")
@click.option("--json", "as_json", is_flag=True, help="Print the comparison as JSON.")
@click.option(
    "--expect-equal",
    type=click.FloatRange(min=0),
    metavar="TOLERANCE",
    help="Exit with 1 if any output differs by more than this, or any answer differs.",
)
@_artefacts_dir
def compare(
    a: str,
    b: str,
    data: Path | None,
    page: Path | None,
    overwrite: bool,
    as_json: bool,
    expect_equal: float | None,
    artefacts_dir: Path,
) -> None:
    """Compare two artefacts on the same rows. A and B are directories, timestamps or `latest`."""
    from train.artefacts import folder
    from train.comparison import compare as comparing
    from train.comparison import report as compare_report
    from train.progress import SilentProgress, TerminalProgress

    first, second = (folder.find(name, artefacts_dir) for name in (a, b))
    comparison = comparing.compare(
        first, second, data, progress=SilentProgress() if as_json else TerminalProgress()
    )
    if page is not None:
        write_page(page, compare_report.render_page(comparison), overwrite)
    if as_json:
        echo(json.dumps(comparing.as_json(comparison), indent=2, ensure_ascii=False))
    else:
        console().print(compare_report.show(comparison))
    if expect_equal is not None:
        echo(comparing.check_equivalent(comparison, expect_equal), err=as_json)


@click.command(
    epilog=examples("python -m train report", "python -m train report 2026-11-20-09-00-00")
)
@click.argument("artefact", default="latest")
@_artefacts_dir
def report(artefact: str, artefacts_dir: Path) -> None:
    """Open the report of ARTEFACT and print its path. The default is the newest artefact."""
    from train.artefacts import folder

    page = folder.find(artefact, artefacts_dir).resolve() / REPORT
    if not page.is_file():
        raise UserError(f"{page}: there is no such report. Run `make train` first.")
    echo(page)
    webbrowser.open(page.as_uri())  # does nothing where there is none


# Which artefacts: a folder, and conditions.
_which_artefacts = options(
    click.option(
        "--where",
        multiple=True,
        metavar="CONDITION",
        help="Only artefacts that meet it: dataset=titanic, model=hist*, accuracy>=0.9, size>50MB; repeatable.",
    ),
    click.option(
        "--artefacts-dir",
        type=click.Path(path_type=Path),
        metavar="DIRECTORY",
        help="The folder of artefacts, instead of that of the configuration.",
    ),
    click.option(
        "--conf",
        type=click.Path(path_type=Path),
        metavar="FILE",
        default=DEFAULT_CONF,
        show_default=True,
        help="The configuration that names the folder (artefacts_dir), if it exists.",
    ),
)


def _folder(conf: Path, artefacts_dir: Path | None) -> Path:
    if artefacts_dir is not None:
        return artefacts_dir
    if conf.exists():
        return load_config(conf).artefacts_dir
    return DEFAULT_DIR


@click.command(
    epilog=examples(
        "python -m train runs --where dataset=titanic --sort -accuracy",
        "python -m train runs --json",
        "python -m train runs --page runs.html --metric macro_f1 --overwrite",
    )
)
@_which_artefacts
@click.option(
    "--sort",
    default="-time",
    show_default=True,
    metavar="KEY",
    help="time, name, dataset, task, model, gate, size or a metric; -KEY sorts from large to small.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the list as JSON.")
@page_options("Write a page with the table, and a metric over time.")
@click.option(
    "--metric", help="The metric that the page draws; by default one that most runs have."
)
@click.option(
    "--verify", is_flag=True, help="Compare every byte of every artefact with its checksum."
)
def runs(
    conf: Path,
    artefacts_dir: Path | None,
    where: tuple[str, ...],
    sort: str,
    as_json: bool,
    page: Path | None,
    overwrite: bool,
    metric: str | None,
    verify: bool,
) -> None:
    """List all artefacts with dataset, model, metrics, size and gate."""
    from train.artefacts import listing

    everything, unreadable = listing.find_runs(_folder(conf, artefacts_dir), verify)
    chosen = listing.sort_runs(listing.filter_runs(everything, where), sort)
    if page is not None:
        write_page(page, listing.render_page(chosen, unreadable, metric), overwrite)
    if as_json:
        echo(listing.to_json(chosen, unreadable))
        return
    also = [sort.removeprefix("-"), *([metric] if metric else [])]
    console().print(listing.table_of(chosen, also))
    for item in unreadable:
        echo(f"{item.path}: {item.reason}", err=True)


@click.command(
    epilog=examples(
        "python -m train prune --keep 5",
        "python -m train prune --older-than 30d --where dataset=stackoverflow --yes",
        "python -m train prune --failed",
    )
)
@_which_artefacts
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Keep the newest N.")
@click.option(
    "--older-than", metavar="AGE", help="Only artefacts older than this, such as 12h, 30d or 8w."
)
@click.option("--failed", is_flag=True, help="Only artefacts that failed their gate.")
@click.option("--yes", is_flag=True, help="Remove the artefacts instead of listing them.")
def prune(
    conf: Path,
    artefacts_dir: Path | None,
    where: tuple[str, ...],
    keep: int | None,
    older_than: str | None,
    failed: bool,
    yes: bool,
) -> None:
    """List the artefacts that may go; with --yes, remove them.

    At least one of --keep, --older-than and --failed is needed; an artefact must meet all that are given. One that
    is served, that a link points to or that somebody added a file to always stays.
    """
    from train.artefacts import listing, pruning

    rules = pruning.Rules(keep, pruning.read_age(older_than) if older_than else None, failed)
    folder = _folder(conf, artefacts_dir)
    everything, _ = listing.find_runs(folder)
    protected = partial(pruning.protected_paths, folder, _PREDICT_CONF)
    plan = pruning.plan_prune(listing.filter_runs(everything, where), rules, protected())
    for path, reason in plan.protected.items():
        echo(f"{path} stays: {reason}")
    if not plan.to_remove:
        echo("Nothing to remove.")
    elif yes:
        removed = pruning.prune(plan, protected)
        echo(f"removed {_sum_of(removed)}.")
    else:
        console().print(listing.table_of(plan.to_remove))
        echo(f"{_sum_of(plan.to_remove)}. Nothing was removed yet: add --yes.")


def _sum_of(chosen: "Sequence[Run]") -> str:
    from train.artefacts.listing import show_size

    size_bytes = sum(run.size_bytes for run in chosen)
    return f"{counted(len(chosen), 'artefact')}, {show_size(size_bytes)}"


@click.command(
    epilog=examples(
        "python -m train reproduce latest",
        "python -m train reproduce 2026-11-20-09-00-00 --out data/again",
    )
)
@click.argument("artefact")
@_artefacts_dir
@click.option(
    "--out",
    "--keep",
    "out",
    cls=RenamedOption,
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIRECTORY",
    help="Keep the new artefact in this folder, which must have no other.",
)
@trust_code
def reproduce(artefact: str, artefacts_dir: Path, out: Path | None, trust_code: bool) -> None:
    """Train the configuration of ARTEFACT again and compare. Exit with 1 if metrics or predictions differ."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    settle_tensorflow()
    from train.artefacts import folder
    from train.progress import TerminalProgress
    from train.reproduce import reproduce as run_again
    from train.reproduce import table_of, verdict

    reproduction = run_again(
        folder.find(artefact, artefacts_dir),
        TerminalProgress(),
        out,
        Trust() if trust_code else None,
    )
    console().print(table_of(reproduction))
    echo(verdict(reproduction))
    if reproduction.artefact_dir is not None:
        echo(f"artefact: {reproduction.artefact_dir}")
    if not reproduction.reproduced:
        sys.exit(1)
