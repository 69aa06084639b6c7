"""A first configuration for a profiled file, as a file for people: with comments, and nothing at its default."""

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from train.config.sections import SplitConfig
from train.exploration.profile import Column, Profile

# What YAML reads as something else than a text, or as the start of something.
_PLAIN = re.compile(r"[/A-Za-zÀ-ÿ_][\w À-ÿ./()-]*(?<! )")
_WORDS = frozenset(("y", "n", "yes", "no", "on", "off", "true", "false", "null"))
# With fewer rows for each label, a larger share validates.
_ROWS_TO_VALIDATE = 2


def default_path(dataset: str) -> Path:
    """Return where the configuration for a dataset goes.

    >>> str(default_path("https://example.org/My houses.csv.gz?x=1"))
    'conf/My-houses.yml'
    """
    name = Path(urlsplit(dataset).path if "://" in dataset else dataset).name
    stem = re.sub(r"[^\w.-]+", "-", name).strip("-.").partition(".")[0]
    return Path("conf") / f"{stem or 'dataset'}.yml"


def write_configuration(
    profile: Profile, dataset: str, place: str, encoding: str | None = None
) -> str:
    """Return the YAML that trains on what was profiled.

    Args:
        profile: Of the file.
        dataset: Its name, as a configuration gives it.
        place: The file that the configuration goes to; `-` if nobody knows.
        encoding: The file's, if it was declared.
    """
    return "\n".join([*_lines(profile, dataset, place, encoding), ""])


def _lines(profile: Profile, dataset: str, place: str, encoding: str | None) -> Iterator[str]:
    train = "" if place == "-" else f" Train with: make train CONF={shlex.quote(place)}"
    yield f"# A first configuration, from what `make data` saw in {_one_line(profile.name)}.{train}"
    yield "# conf/train-conf.yml.dist explains every key."
    yield f"dataset: {_quoted(dataset)}"
    if encoding is not None:
        yield f"encoding: {_quoted(encoding)}"
    yield f"task: {profile.task}  # {_one_line(profile.why_task)}"
    yield "columns:"
    yield f"  label: {_quoted(profile.label)}  # {_one_line(profile.why_label)}"
    if profile.task == "multilabel":
        yield f"  separator: {_quoted(profile.separator)}"
    texts, read = profile.of_kind("text"), profile.of_kind("number", "category", "date")
    if texts and (not read or profile.task == "multilabel"):
        yield f"  text: [{', '.join(map(_quoted, texts))}]"
        left_out = [name for name in profile.of_kind("number", "category", "date", "ignore")]
        if left_out:
            yield f"  # not read: {_one_line(', '.join(left_out))}"
    else:
        yield "  inputs:"
        yield from (_input(column, profile) for column in profile.columns if column.kind != "label")
    yield from _split(profile)


def _input(column: Column, profile: Profile) -> str:
    why = column.why
    if column.name in profile.leaks:
        why += f"; tells {profile.label} by itself: set ignore if it is known only afterwards"
    return f"    {_quoted(column.name)}: {column.kind}  # {_one_line(why)}"


def _split(profile: Profile) -> Iterator[str]:
    lines = []
    if profile.part is not None:
        lines.append(f"  column: {_quoted(profile.part)}")
    default = SplitConfig().validation
    needed = _ROWS_TO_VALIDATE * max(1, len(profile.labels))
    if profile.rows * default < needed and profile.task != "multilabel":
        lines.append("  validation: 0.2  # there are few rows")
    if profile.part is None:
        lines += [
            f"  # by: {_quoted(name)}  # if rows of one {_one_line(name)} belong together"
            for name in profile.groups
        ]
        lines += [
            f"  # by_time: {_quoted(name)}  # if the model is for what comes next"
            for name in profile.of_kind("date")
        ]
    if lines:
        yield "split:" if any(not line.strip().startswith("#") for line in lines) else "# split:"
        commented = all(line.strip().startswith("#") for line in lines)
        yield from (
            f"#   {line.strip().removeprefix('# ')}" if commented else line for line in lines
        )


def _quoted(name: str) -> str:
    """Return a text as YAML reads it back.

    >>> print(_quoted("rooms"), _quoted("no"), _quoted("a: b"), _quoted("1"))
    rooms "no" "a: b" "1"
    """
    if _PLAIN.fullmatch(name) and name.lower() not in _WORDS:
        return name
    return json.dumps(name, ensure_ascii=not name.isprintable())


def _one_line(text: str) -> str:
    """Return a text for a comment, which ends with its line."""
    return "".join(character if character.isprintable() else " " for character in text)
