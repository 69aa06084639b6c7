"""From the values of a platform's request to instances. Nothing is guessed: what does not fit is an error."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple
from wsgiref.types import WSGIEnvironment

from werkzeug.exceptions import UnprocessableEntity

from predict.http.answering import Answered
from predict.http.content import Content
from predict.http.requests import parse_json
from predict.scoring.inputs import Instance, InstanceError
from predict.scoring.predictor import Places, Predictor
from predict.scoring.values import PROBLEMS_SHOWN, kind_of
from predict.wording import counted, listed, shorten

# What a client may call the one text that a model reads, whatever the model calls it.
TEXT = "text"
_FRAME = {"columns", "data"}


class Asked(NamedTuple):
    """What a request asks.

    Attributes:
        rows: The instances as the client wrote them; see `instances_of`.
        places: Index -> the name of that instance in a message.
        top_k: How many labels to list; None for all.
        model: The name of the model, if the body has one too; it has to be that of the address.
        form: What `write` needs to know of the request.
        typed: Turns the rows into such as `instances_of` takes, where their types depend on the model's columns.
    """

    rows: Sequence[Any]
    places: Places = "instances.{}".format
    top_k: int | None = None
    model: str | None = None
    form: Any = None
    typed: Callable[[Predictor, Sequence[Any]], Sequence[Any]] | None = None

    def instances(self, predictor: Predictor) -> tuple[Sequence[Instance], Places]:
        """Return the checked instances, and how a message names each of them; raise InstanceError."""
        rows = self.rows if self.typed is None else self.typed(predictor, self.rows)
        instances = instances_of(rows, predictor, self.places)
        predictor.check(instances, self.places)
        return instances, self.places


class Contract(NamedTuple):
    """A route by which a platform asks for predictions.

    Attributes:
        rule: Flask's rule, with `<model>`, or without it for the default model.
        read: The body, in UTF-8 if it is JSON, and the environment of a request -> what it asks.
        write: Makes the answer.
        platform: Whose route it is, for people.
        key: Of the list of instances in its commonest body; None if its body is another one.
        negotiates: Whether the types matter that a request names (`Content-Type`, `Accept`). Elsewhere all is JSON.
    """

    rule: str
    read: Callable[[bytes, WSGIEnvironment], Asked]
    write: Callable[[Answered, Asked], Content]
    platform: str
    key: str | None
    negotiates: bool = False


def instances_of(rows: Sequence[Any], predictor: Predictor, places: Places) -> list[Instance]:
    """Turn rows into instances, which are still to be checked.

    Args:
        rows: Each an object with a value for every column; or a list of the values, in the order of the schema; or,
            where there is but one column, the value itself. The one text of a model may be called `text`.
        predictor: The model.
        places: Index -> the name of that row in a message.

    Raises:
        InstanceError: A row is none of these.
    """
    text_field = predictor.text_field
    names: list[str] = []
    instances: list[Instance] = []
    problems: list[tuple[str, str]] = []
    for index, row in enumerate(rows):
        if text_field is not None and isinstance(row, str):
            instances.append({text_field: row})
            continue
        if isinstance(row, dict):
            if text_field is not None and len(row) == 1 and TEXT in row:
                row = {text_field: row[TEXT]}
            instances.append(row)
            continue
        names = names or [column.name for column in predictor.metadata.inputs]
        if isinstance(row, list) and len(row) == len(names):
            instances.append(dict(zip(names, row, strict=True)))
        elif not isinstance(row, list) and len(names) == 1:
            instances.append({names[0]: row})
        else:
            problems.append((places(index), _misfit(row, names)))
            if len(problems) >= PROBLEMS_SHOWN:
                break
    if problems:
        raise InstanceError(problems)
    return instances


def _misfit(row: object, names: Sequence[str]) -> str:
    got = counted(len(row), "value") if isinstance(row, list) else kind_of(row)
    values = "the value" if len(names) == 1 else f"the {len(names)} values"
    return f"expected an object, or a list of {values} of {listed(names)} in this order, got {got}"


def read_object(body: bytes, known: Sequence[str]) -> dict[str, Any]:
    """Read a JSON object.

    Args:
        body: UTF-8.
        known: The keys that it may have. One that nobody heeds is an error, for it meant something to the client.

    Raises:
        BadRequest: It is not JSON.
        UnprocessableEntity: It is something else, a key is unknown, or is there twice.
    """
    content = parse_json(body)
    if not isinstance(content, dict):
        raise UnprocessableEntity(f"body: expected an object, got {kind_of(content)}.")
    for key in content:
        if key not in known:
            raise UnprocessableEntity(f"{shorten(key)}: unknown key; known: {listed(known)}.")
    return content


def one_of(content: Mapping[str, Any], keys: Sequence[str]) -> tuple[str, Any]:
    """Return the only one of some keys that an object has, and its value; or raise UnprocessableEntity."""
    found = [key for key in keys if key in content]
    if len(found) != 1:
        got = " and ".join(found) or "none of them"
        raise UnprocessableEntity(f"body: expected exactly one of {listed(keys)}, got {got}.")
    return found[0], content[found[0]]


def read_list(value: Any, place: str) -> list[Any]:
    """Return a list that is not empty; raise UnprocessableEntity for anything else."""
    if not isinstance(value, list):
        raise UnprocessableEntity(f"{place}: expected a list, got {kind_of(value)}.")
    if not value:
        raise UnprocessableEntity(f"{place}: expected at least one instance, got none.")
    return value


def read_columns(columns: Mapping[str, Any], place: str) -> list[Any]:
    """Turn columns, a list of values each, into rows. Each value may be a list of that one, as arrays [n, 1] have it.

    Raises:
        UnprocessableEntity: The columns are of different lengths, or empty.
    """
    lists = {name: read_list(value, f"{place}.{name}") for name, value in columns.items()}
    lengths = {len(value) for value in lists.values()}
    if len(lengths) != 1:
        shown = listed([f"{shorten(name)} with {len(value)}" for name, value in lists.items()])
        raise UnprocessableEntity(
            f"{place}: expected columns of one length, got {shown or 'none'}."
        )
    plain = [_without_last_axis(value) for value in lists.values()]
    return [dict(zip(lists, row, strict=True)) for row in zip(*plain, strict=True)]


def read_rows_or_columns(value: Any, place: str) -> list[Any]:
    """Return the rows of what is a list of rows, an object of columns, one row as an object, or a single value."""
    if isinstance(value, list):
        return read_list(value, place)
    if isinstance(value, dict) and any(isinstance(each, list) for each in value.values()):
        return read_columns(value, place)
    return [value]


def read_frame(frame: Any, place: str) -> list[Any]:
    """Return the rows of `{"columns": […], "data": [[…], …]}`, which may have an `index`, that nobody needs.

    Raises:
        UnprocessableEntity: It is not of that shape, or a column is there twice.
    """
    if not isinstance(frame, dict) or not _FRAME <= set(frame) <= _FRAME | {"index"}:
        raise UnprocessableEntity(
            f"{place}: expected an object with columns and data, and perhaps index."
        )
    columns, data = frame["columns"], read_list(frame["data"], f"{place}.data")
    if not isinstance(columns, list) or not all(isinstance(name, str) for name in columns):
        raise UnprocessableEntity(f"{place}.columns: expected a list of names.")
    if len(set(columns)) < len(columns):
        twice = next(name for name in columns if columns.count(name) > 1)
        raise UnprocessableEntity(f"{place}.columns: {shorten(twice)} is there twice.")
    for number, row in enumerate(data):
        if not isinstance(row, list) or len(row) != len(columns):
            got = len(row) if isinstance(row, list) else kind_of(row)
            raise UnprocessableEntity(
                f"{place}.data.{number}: expected {counted(len(columns), 'value')}, one a column, got {got}."
            )
    return [dict(zip(columns, row, strict=True)) for row in data]


def read_top_k(parameters: Any, place: str) -> int | None:
    """Return `top_k` of a platform's parameters, which are null or an object with nothing else.

    Raises:
        UnprocessableEntity: They are something else.
    """
    if parameters is None:
        return None
    if not isinstance(parameters, dict):
        raise UnprocessableEntity(f"{place}: expected an object, got {kind_of(parameters)}.")
    for key, value in parameters.items():
        if key != "top_k" and value is not None:
            raise UnprocessableEntity(f"{place}.{shorten(key)}: unknown parameter; known: top_k.")
    top_k = parameters.get("top_k")
    if top_k is not None and (type(top_k) is not int or top_k < 1):
        raise UnprocessableEntity(f"{place}.top_k: expected a whole number above 0.")
    return top_k


def _without_last_axis(values: list[Any]) -> list[Any]:
    if all(isinstance(value, list) and len(value) == 1 for value in values):
        return [value[0] for value in values]
    return values
