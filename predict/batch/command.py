"""The command `file`: its options, and what it prints at the end."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from predict.command_line import ROWS_FAILED, examples
from predict.contract.artefact import load_artefact
from predict.settings import load_settings
from predict.wording import counted, listed, printable

if TYPE_CHECKING:
    from predict.batch.run import Report

_NAMED_SEPARATORS = {"\\t": "\t", "tab": "\t", "semicolon": ";", "comma": ",", "pipe": "|"}


def _separator(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None:
        return None
    separator = _NAMED_SEPARATORS.get(value.lower(), value)
    if len(separator) != 1 or separator in '"\r\n':
        raise click.BadParameter(f"expected one character, or tab; got {value!r}")
    return separator


@click.command(
    epilog=examples(
        "python -m predict file new.csv scored.csv",
        "python -m predict file new.csv.gz scored.jsonl --probabilities --workers 2 --resume",
        "cat new.csv | python -m predict file --format csv - - > scored.csv",
    )
)
@click.argument("given", metavar="IN")
@click.argument("output", metavar="OUT")
@click.option(
    "--format", "kind", metavar="NAME", help="Of IN: csv, tsv, jsonl or parquet; needed if IN is -."
)
@click.option(
    "--separator", callback=_separator, help="Between the fields of IN, such as ';' or tab."
)
@click.option(
    "--quotes", type=click.Choice(["enclose", "literal"]), help="What quotation marks in IN do."
)
@click.option("--encoding", help="Of IN, such as cp1252.")
@click.option(
    "--prefix",
    default="predicted_",
    show_default=True,
    help="Of the names of the answer's columns.",
)
@click.option("--probabilities", is_flag=True, help="Write the probability of every label, too.")
@click.option(
    "--top-k", type=click.IntRange(min=1), help="Write those of the most probable labels only."
)
@click.option(
    "--errors",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where bad rows go.  [default: OUT.errors.jsonl]",
)
@click.option(
    "--max-errors", type=click.IntRange(min=0), help="Stop if there are more bad rows than this."
)
@click.option(
    "--metrics",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write what was measured as JSON.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUT if it exists.")
@click.option("--resume", is_flag=True, help="Go on where the last run was interrupted.")
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    help="Processes that score.",
)
@click.pass_obj
def file(
    conf: Path,
    /,
    given: str,
    output: str,
    separator: str | None,
    quotes: Any,
    encoding: str | None,
    **chosen: Any,
) -> None:
    """Score every row of the file IN, and write it with the answers to OUT; - is a pipe.

    CSV, TSV, JSON Lines and Parquet, by the ending; all but the last also with .gz. Rows that cannot be scored go to
    another file, and the exit code is then 3. If IN has the column that is predicted, the answers are measured.
    """
    # They need onnxruntime, which the parent of several processes that serve does not.
    from predict.batch.opening import Wanted
    from predict.batch.run import Options, score_file
    from predict.scoring.predictor import Predictor

    options = Options(wanted=Wanted(separator, quotes, encoding), **chosen)
    artefact = load_artefact(load_settings(conf).default_place)
    report = score_file(Predictor(artefact), artefact.path, given, output, options)
    _tell(report, to_errors=output == "-")
    if report.failed:
        sys.exit(ROWS_FAILED)


def _tell(report: "Report", to_errors: bool) -> None:
    speed = report.rows_now / max(report.seconds, 1e-9)
    lines = [
        f"{counted(report.rows, 'row')} in {report.seconds:.1f} s, {speed:,.0f} rows a second"
        if report.rows_now == report.rows
        else f"{counted(report.rows, 'row')}, {report.rows_now:,} of them now, in {report.seconds:.1f} s"
    ]
    if report.failed:
        where = f": {report.errors}" if report.errors else ""
        lines.append(f"{counted(report.failed, 'row')} could not be scored{where}")
    for line in lines:
        click.echo(printable(line), err=True)
    for line in _measured(report):
        click.echo(printable(line), err=to_errors)


def _measured(report: "Report") -> list[str]:
    metrics = report.metrics
    if metrics is None:
        return []
    lines = [f"measured on {counted(metrics['rows'], 'row')} with a truth:"]
    lines += [
        f"  {name.replace('_', ' '):<22} {value:.4f}"
        for name, value in metrics.items()
        if isinstance(value, float)
    ]
    unknown = metrics.get("unknown_labels")
    if isinstance(unknown, dict):
        names = listed([repr(name) for name in unknown if name])
        rows = counted(sum(unknown.values()), "row")
        lines.append(f"  {rows} with labels unknown to the model count as wrong, such as {names}")
    elif unknown:
        lines.append(f"  {counted(unknown, 'label')} that the model does not know, left out")
    if report.not_measured:
        names = listed([name.replace("_", " ") for name in report.not_measured])
        lines.append(f"  not measured: {names}, which need all rows at once")
    return lines
