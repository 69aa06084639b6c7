"""The command line of the inference side: ask once, or serve. Our errors become one line each."""

import json
import logging
import os
import signal
import sys
from pathlib import Path

import click

from predict.contract.artefact import ArtefactError
from predict.scoring.inputs import InstanceError
from predict.scoring.predictor import Predictor
from predict.settings import DEFAULT_FILE, Settings, SettingsError, load_settings
from predict.wording import printable, replace_unknown_characters

_OUR_ERRORS = (ArtefactError, InstanceError, SettingsError)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except _OUR_ERRORS as error:
            raise click.ClickException(printable(str(error))) from None


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--conf",
    type=click.Path(path_type=Path, dir_okay=False),
    default=DEFAULT_FILE,
    show_default=True,
    help="KEY=value file. Environment variables of the same names win over it.",
)
@click.pass_context
def main(ctx: click.Context, conf: Path) -> None:
    """Ask or serve the model that ARTEFACT_DIR in conf/predict.conf points to."""
    ctx.obj = conf


@main.command()
@click.argument("text")
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    help="List only this many labels, the most probable first.",
)
@click.pass_obj
def text(conf: Path, text: str, top_k: int | None) -> None:
    """Ask the model about one TEXT, or about one instance written as JSON. Print its answer as JSON."""
    predictor = Predictor.load(load_settings(conf).artefact_dir)
    instances = predictor.check_texts([text], _the_text)
    predictions = predictor.predict(instances, top_k, _the_text)
    _print_json({"predictions": predictions, "model": predictor.metadata.name})


@main.command()
@click.argument("number", type=int, default=0)
@click.pass_obj
def example(conf: Path, number: int) -> None:
    """Print held-out example NUMBER, counted from 0: the instance, the model's answer and the truth."""
    _print_json(Predictor.load(load_settings(conf).artefact_dir).example(number))


@main.command()
@click.pass_obj
def serve(conf: Path) -> None:
    """Serve JSON over HTTP until SIGTERM or Ctrl-C, and answer the requests in flight before stopping."""
    # Nothing is in flight while it starts. Without a handler, a container's first process ignores SIGTERM.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    # Asking once needs neither Flask nor waitress.
    from predict.http.app import create_app
    from predict.http.load import Load
    from predict.http.log_stream import logging_without_waiting
    from predict.http.server import QUICK_MODEL_S, Server, ServerError

    settings = load_settings(conf)
    with logging_without_waiting():
        predictor, load = Predictor.load(settings.artefact_dir), Load()
        try:
            quick = predictor.seconds_per_instance < QUICK_MODEL_S
            server = Server(create_app(predictor, settings, load), settings, quick, load)
        except ServerError as error:
            raise click.ClickException(printable(str(error))) from None
        _announce(settings, server.port, predictor)
        finished = server.run()
    if not finished:
        os._exit(0)


def _the_text(index: int) -> str:
    return "TEXT"


def _print_json(content: object) -> None:
    click.echo(printable(json.dumps(content, indent=2, ensure_ascii=False)))


def _announce(settings: Settings, port: int, predictor: Predictor) -> None:
    logging.getLogger("predict").info(
        "serving %s (%s) on http://%s:%d",
        predictor.metadata.name,
        settings.artefact_dir,
        settings.host,
        port,
    )


if __name__ == "__main__":
    replace_unknown_characters()
    main(prog_name="python -m predict")
