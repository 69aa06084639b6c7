"""The command line of scaling: serve on Ray. Our errors become one line each."""

import os
import re
from pathlib import Path

import click

from predict.settings import DEFAULT_FILE, SettingsError, load_settings
from predict.wording import printable, replace_unknown_characters

# How Serve tells of a replica that cannot start: with a traceback, and our message in it.
_OURS = re.compile(
    r"(?:ArtefactError|SettingsError|ServerError): (.+?)(?:\n\n|\n\S*Error|\Z)", re.S
)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--conf",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_FILE,
    show_default=True,
    help="KEY=value file. Environment variables of the same names win over it.",
)
@click.pass_context
def main(ctx: click.Context, conf: Path) -> None:
    """Serve the models of conf/predict.conf on Ray. RAY_ADDRESS names a cluster; without it, this machine is one."""
    ctx.obj = conf


@main.command()
@click.option("--min-replicas", type=click.IntRange(min=0), help="By default WORKERS of --conf.")
@click.option("--max-replicas", type=click.IntRange(min=1), help="By default no more than that.")
@click.option("--target-ongoing-requests", type=float, default=8.0, show_default=True)
@click.option("--max-ongoing-requests", type=click.IntRange(min=1), default=64, show_default=True)
@click.option("--max-queued-requests", type=click.IntRange(min=-1), default=512, show_default=True)
@click.option("--num-cpus", type=float, default=1.0, show_default=True, help="Of each replica.")
@click.pass_obj
def serve(conf: Path, /, **scaling: object) -> None:
    """Serve JSON over HTTP, at HOST and PORT of --conf, until SIGTERM or Ctrl-C.

    What changes in the file while it runs is followed.
    """
    from scale.running import run  # with Ray, which reads its environment when it is imported

    try:
        run(load_settings(conf), lambda: load_settings(conf), {"conf": str(conf), **scaling})
    except SettingsError as error:
        raise click.ClickException(printable(str(error))) from None
    except RuntimeError as error:  # Serve's, for whatever a replica has raised
        if (ours := _OURS.search(str(error))) is None:
            raise
        raise click.ClickException(printable(ours[1].strip())) from None


if __name__ == "__main__":
    replace_unknown_characters()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if not os.environ.get("RAY_ADDRESS"):
        os.environ.setdefault("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
    main(prog_name="python -m scale")
