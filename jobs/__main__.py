"""The command line of the jobs service: serve. Our errors become one line each."""

import click

from jobs.settings import JobsSettings, load_settings
from predict.settings import SettingsError
from predict.wording import printable, replace_unknown_characters
from train.errors import UserError

_NAMES = ", ".join(name.upper() for name in JobsSettings.model_fields)


@click.command(
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=f"Settings are environment variables, which docs/how-to/jobs.md explains: {_NAMES}.",
)
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
