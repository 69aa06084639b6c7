"""The commands about artefacts that are there: compare, list, reproduce, read. They parse, call and print."""

import json
import signal
import sys
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

import click

from predict.contract.artefact import REPORT
from train.config import TrainConfig, load_config
from train.terminal import DEFAULT_CONF, console, settle_tensorflow

if TYPE_CHECKING:
    from train.artefacts.listing import Rules, Run


_artefacts_dir = click.option(
    "--artefacts-dir",
    type=click.Path(path_type=Path),
    default=Path("data/artefacts"),
    show_default=True,
    help="Where artefacts go by their names.",
)


@click.command()
@click.argument("a")
@click.argument("b")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    help="A labelled file with A's columns; else the test split of what A was trained on.",
)
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a page for people there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.option(
    "--expect-equal",
    type=click.FloatRange(min=0),
    metavar="TOLERANCE",
    help="Exit with 1 unless outputs differ by no more and every answer is the same.",
)
@_artefacts_dir
def compare(
    a: str,
    b: str,
    data: Path | None,
    page: Path | None,
    as_json: bool,
    expect_equal: float | None,
    artefacts_dir: Path,
) -> None:
    """Compare two artefacts (directories, timestamps or `latest`) on the same rows."""
    from train.comparison import compare as comparing
    from train.comparison import report as compare_report
    from train.progress import Progress

    first, second = (comparing.find_artefact(name, artefacts_dir) for name in (a, b))
    found = comparing.compare(first, second, data, progress=Progress(silent=as_json))
    if page is not None:
        _write_page(page, compare_report.render_page(found))
    if as_json:
        click.echo(json.dumps(comparing.as_json(found), indent=2, ensure_ascii=False))
    else:
        console().print(compare_report.show(found))
    if expect_equal is not None:
        click.echo(comparing.check_equivalent(found, expect_equal), err=as_json)


@click.command()
@click.argument("artefact", default="latest")
@_artefacts_dir
def report(artefact: str, artefacts_dir: Path) -> None:
    """Open the report of an ARTEFACT, the newest one if none is named, and print where it is."""
    from train.comparison.compare import find_artefact

    page = find_artefact(artefact, artefacts_dir).resolve() / REPORT
    if not page.is_file():
        raise click.ClickException(f"{page}: there is no such report. Run `make train` first.")
    click.echo(page)
    webbrowser.open(page.as_uri())  # does nothing where there is none


def _write_page(file: Path, page: str) -> None:
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as error:
        raise click.ClickException(f"--page {file}: cannot be written: {error.strerror}.") from None
    click.echo(f"page: {file}", err=True)


@click.command()
@click.option(
    "--conf",
    type=click.Path(path_type=Path),
    default=DEFAULT_CONF,
    show_default=True,
    help="Its artefacts_dir is listed, if there is such a file.",
)
@click.option("--artefacts-dir", type=click.Path(path_type=Path), help="List this folder instead.")
@click.option(
    "--sort",
    default="-time",
    show_default=True,
    metavar="KEY",
    help="time, name, dataset, task, model, gate, size or a metric; -KEY: from large to small.",
)
@click.option(
    "--where",
    multiple=True,
    metavar="CONDITION",
    help="Such as dataset=titanic, model=hist*, accuracy>=0.9, size>50MB; repeatable.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--page",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a page with the table, and a metric over time.",
)
@click.option("--metric", help="Which one the page draws; by default one that most runs have.")
@click.option(
    "--verify", is_flag=True, help="Compare every byte of every artefact with its checksum."
)
@click.option(
    "--prune",
    "pruning",
    is_flag=True,
    help="List what may be removed by these rules, all of which must be met; --yes removes it.",
)
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Prune: the newest N stay.")
@click.option(
    "--older-than", metavar="AGE", help="Prune: only what is older, such as 12h, 30d or 8w."
)
@click.option("--failed", is_flag=True, help="Prune: only what failed its gate.")
@click.option("--yes", is_flag=True, help="Prune: remove it.")
def runs(
    conf: Path,
    artefacts_dir: Path | None,
    sort: str,
    where: tuple[str, ...],
    as_json: bool,
    page: Path | None,
    metric: str | None,
    verify: bool,
    pruning: bool,
    keep: int | None,
    older_than: str | None,
    failed: bool,
    yes: bool,
) -> None:
    """List all artefacts: when, what on, how good, how large; or prune them."""
    from train.artefacts.listing import (
        Rules,
        filter_runs,
        find_runs,
        read_age,
        render_page,
        sort_runs,
        table_of,
        to_json,
    )

    if not pruning and (keep is not None or older_than or failed or yes):
        raise click.UsageError("--keep, --older-than, --failed and --yes go with --prune.")
    folder = artefacts_dir or _artefacts_dir_of(conf)
    found, others = find_runs(folder, verify)
    chosen = sort_runs(filter_runs(found, where), sort)
    if pruning:
        age = read_age(older_than) if older_than else None
        _prune(folder, chosen, Rules(keep, age, failed), yes)
        return
    if page is not None:
        _write_page(page, render_page(chosen, others, metric))
    if as_json:
        click.echo(to_json(chosen, others))
        return
    console().print(table_of(chosen, [sort.removeprefix("-"), *([metric] if metric else [])]))
    for other in others:
        click.echo(f"{other.path}: {other.reason}", err=True)


def _artefacts_dir_of(conf: Path) -> Path:
    if conf.exists():
        return load_config(conf).artefacts_dir
    return Path(TrainConfig.model_fields["artefacts_dir"].default)


def _prune(folder: Path, chosen: "list[Run]", rules: "Rules", yes: bool) -> None:
    from train.artefacts.listing import plan_prune, protected_paths, prune, show_size, table_of

    def protected() -> dict[Path, str]:
        return protected_paths(folder, Path("conf/predict.conf"))

    plan = plan_prune(chosen, rules, protected())
    for item in plan.stays:
        click.echo(f"{item.path} stays: {item.reason}")
    if not plan.goes:
        click.echo("Nothing to remove.")
        return
    if yes:
        removed = prune(plan, protected)
        freed = show_size(sum(run.size_bytes for run in removed))
        click.echo(f"removed {len(removed)} artefacts, {freed}.")
        return
    console().print(table_of(plan.goes))
    click.echo(
        f"{len(plan.goes)} artefacts, {show_size(plan.frees_bytes)}. Nothing was removed yet: add --yes."
    )


@click.command()
@click.argument("artefact")
@_artefacts_dir
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the new artefact in this folder, which must have none.",
)
def reproduce(artefact: str, artefacts_dir: Path, keep: Path | None) -> None:
    """Train an ARTEFACT's configuration again; say whether the same comes out, and if not, why. Exits with 1 then."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    settle_tensorflow()
    from train.comparison.compare import find_artefact
    from train.progress import Progress
    from train.reproduce import reproduce as run_again
    from train.reproduce import table_of, verdict

    reproduction = run_again(find_artefact(artefact, artefacts_dir), Progress(), keep)
    console().print(table_of(reproduction))
    click.echo(verdict(reproduction))
    if reproduction.artefact_dir is not None:
        click.echo(f"artefact: {reproduction.artefact_dir}")
    if not reproduction.reproduced:
        sys.exit(1)
