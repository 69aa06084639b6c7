"""The command line of the inference side: ask once, score a file, or serve. Our errors become one line each."""

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import click

from predict.batch.command import file
from predict.batch.errors import BatchError
from predict.command_line import SETTINGS, examples, exit_codes, with_version
from predict.contract.artefact import ArtefactError
from predict.scoring.errors import ModelError
from predict.scoring.inputs import InstanceError
from predict.settings import DEFAULT_FILE, SettingsError, load_settings
from predict.wording import printable, replace_unknown_characters

if TYPE_CHECKING:
    from predict.scoring.predictor import Predictor

_OUR_ERRORS = (ArtefactError, BatchError, InstanceError, ModelError, SettingsError)


class _Group(click.Group):
    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except _OUR_ERRORS as error:
            raise click.ClickException(printable(str(error))) from None


@click.group(
    cls=_Group,
    commands=[file],
    context_settings=SETTINGS,
    epilog=examples(
        'python -m predict text "how do I undo a commit"',
        "python -m predict file new.csv scored.csv",
        "python -m predict serve",
        "ARTEFACT_DIR=data/artefacts/latest PORT=9000 python -m predict serve",
    )
    + "\n\n"
    + exit_codes("predict"),
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
    """Ask or serve the model that ARTEFACT_DIR in conf/predict.conf points to."""
    ctx.obj = conf


@main.command(
    epilog=examples(
        'python -m predict text "how do I undo a commit" --top-k 3',
        "python -m predict text --explain -- '{\"sepal_length_cm\": 5.1}'",
        'python -m predict --conf conf/predict.conf text "hello"',
    )
)
@click.argument("text")
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    help="List only this many labels, the most probable first.",
)
@click.option("--explain", is_flag=True, help="Say too what each word or column contributed.")
@click.pass_obj
def text(conf: Path, text: str, top_k: int | None, explain: bool) -> None:
    """Ask the model about one TEXT, or about one instance written as JSON. Print its answer as JSON."""
    predictor = _load(conf)
    instances = predictor.check_texts([text], _the_text)
    if explain:
        predictor.explainer.check(instances, _the_text)
    predictions = predictor.predict(instances, top_k, _the_text)
    if explain:
        seconds = load_settings(conf).explain_s
        [predictions[0]["explanation"]] = predictor.explainer.explain(
            instances, predictions, seconds
        )
    _print_json({"predictions": predictions, "model": predictor.metadata.name})


@main.command(epilog=examples("python -m predict example", "python -m predict example 2"))
@click.argument("number", type=int, default=0)
@click.pass_obj
def example(conf: Path, number: int) -> None:
    """Print held-out example NUMBER, counted from 0: the instance, the model's answer and the truth."""
    _print_json(_load(conf).example(number))


@main.command(
    epilog=examples(
        "python -m predict serve",
        "PORT=9000 WORKERS=2 python -m predict serve",
        "python -m predict --conf conf/predict.conf serve",
    )
)
@click.pass_obj
def serve(conf: Path) -> None:
    """Serve JSON over HTTP until SIGTERM or Ctrl-C, and answer the requests in flight before stopping."""
    # Nothing is in flight while it starts. Without a handler, a container's first process ignores SIGTERM; and an
    # exception could be lost in what is being imported.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something that can change
    # Asking once needs neither Flask nor waitress.
    from predict.http import serving
    from predict.http.listening import ServerError

    settings = load_settings(conf)
    try:
        serving.serve(settings, lambda: load_settings(conf))
    except ServerError as error:
        raise click.ClickException(printable(str(error))) from None


def _load(conf: Path) -> "Predictor":
    # It needs onnxruntime, which the parent of several processes that serve does not.
    from predict.scoring.predictor import Predictor

    return Predictor.load(load_settings(conf).default_place)


def _the_text(index: int) -> str:
    return "TEXT"


def _print_json(content: object) -> None:
    click.echo(printable(json.dumps(content, indent=2, ensure_ascii=False)))


if __name__ == "__main__":
    replace_unknown_characters()
    main(prog_name="python -m predict")
