"""Made-up requests to an assistant: 68 intents, each said in a few ways, with slots. Written by a seeded generator.

Use: python -m benchmarks.intents FILE [--rows 100] [--seed 0]
The columns are `text`, `label`, `way` and `phrase`. An intent has two ways, and a way has many phrases, which are the
same but for some words; the values of slots are not part of a phrase. Many intents share their words ("cancel my
hotel", "cancel my flight"), and the openings and endings are those of all, so that a label is not told by small words.
`intents.yml` has the ways.
"""

import csv
import random
import re
from pathlib import Path
from typing import Any

import click
import yaml

_CHOICE = re.compile(r"\(([^()]*)\)")
_SLOT = re.compile(r"\{(\w+)\}")
# The share of texts with two letters in the wrong order.
_TYPOS = 0.15


def make(rows: int = 100, seed: int = 0) -> list[tuple[str, str, str, str]]:
    """Return distinct texts with their labels, ways and phrases, in an order that says nothing.

    Args:
        rows: How many of each intent, at most; some have fewer ways to be said.
        seed: Of all that is drawn.
    """
    phrases = yaml.safe_load(Path(__file__).with_suffix(".yml").read_text(encoding="utf-8"))
    chance = random.Random(seed)
    made: dict[str, tuple[str, str, str]] = {}
    for label, ways in phrases["intents"].items():
        for _ in range(rows):
            way = chance.choice(ways)
            phrase = _CHOICE.sub(lambda found: chance.choice(found[1].split("|")), way)
            about = (label, f"{label} {ways.index(way)}", f"{label} {phrase}")
            made.setdefault(_said(phrase, phrases, chance), about)
    texts = [(text, *about) for text, about in made.items()]
    chance.shuffle(texts)
    return texts


def _said(phrase: str, phrases: dict[str, Any], chance: random.Random) -> str:
    way = _SLOT.sub(lambda found: chance.choice(phrases["slots"][found[1]]), phrase)
    way = chance.choice(phrases["openings"]) + way + chance.choice(phrases["endings"])
    if chance.random() < _TYPOS:
        place = chance.randrange(len(way) - 1)
        way = way[:place] + way[place + 1] + way[place] + way[place + 2 :]
    return " ".join(way.split())


@click.command(help="Write made-up requests with 68 intents to FILE, as CSV.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--rows", default=100, show_default=True, help="Texts an intent, at most.")
@click.option("--seed", default=0, show_default=True)
def main(file: Path, rows: int, seed: int) -> None:
    """Write the file."""
    with file.open("w", newline="", encoding="utf-8") as opened:
        csv.writer(opened).writerows([("text", "label", "way", "phrase"), *make(rows, seed)])


if __name__ == "__main__":
    main()
