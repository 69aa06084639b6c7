"""The command line of the jobs service: serve. Our errors become one line each."""

import click

from jobs.settings import JobsSettings, load_settings
from predict.command_line import SETTINGS, examples, exit_codes, with_version
from predict.settings import SettingsError
from predict.wording import printable, replace_unknown_characters
from train.errors import UserError

_NAMES = ", ".join(name.upper() for name in JobsSettings.model_fields)


@click.command(
    context_settings=SETTINGS,
    epilog="\n\n".join(
        (
            f"Settings are environment variables, which docs/how-to/jobs.md explains: {_NAMES}.",
            examples("python -m jobs", "PORT=8091 JOBS_DIR=data/jobs python -m jobs"),
            exit_codes("jobs"),
        )
    ),
)
@with_version
def main() -> None:
    """Serve a queue of training runs over HTTP until SIGTERM or Ctrl-C."""
    from jobs.server import serve

    try:
        serve(load_settings())
    except (SettingsError, UserError) as error:
        raise click.ClickException(printable(str(error))) from None


if __name__ == "__main__":
    replace_unknown_characters()
    main(prog_name="python -m jobs")
