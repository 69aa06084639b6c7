"""The predictor: instances in, predictions out."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cached_property, partial
from math import isfinite, prod
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
from pydantic_core import from_json

from predict.contract import padded_ids
from predict.contract.artefact import (
    FAMILIARITY,
    FEATURES,
    MODEL,
    MOST_SMALL_BYTES,
    TABLE_FILES,
    Artefact,
    ArtefactError,
    ColumnType,
    Metadata,
    Output,
    load_artefact,
    reads_only_texts,
    text_column,
)
from predict.contract.encoder import ENCODED, ENCODER, EncoderSettings
from predict.contract.familiarity import Familiarity, RowFamiliarity, TextFamiliarity
from predict.contract.features import TextFeatures
from predict.contract.text_table import HEAD, SUMS, TextTable
from predict.scoring.by_words import Reader
from predict.scoring.encoder import open_encoder
from predict.scoring.errors import ModelError
from predict.scoring.explaining import Explainer
from predict.scoring.inputs import (
    ONNX_TYPES,
    Encode,
    FieldWarning,
    Inputs,
    Instance,
    InstanceError,
    TableInputs,
    TextInputs,
)
from predict.scoring.outputs import Prediction, Raw, decode, to_rows
from predict.scoring.session import RUN_LIMIT_S, Session, open_session
from predict.scoring.text_head import TextHead
from predict.scoring.text_sums import TextSums
from predict.scoring.values import PROBLEMS_SHOWN, kind_of
from predict.wording import counted, listed

# How far a probability may be from its golden answer, and a number as a share of the largest answer: another machine
# may have given them, whose sums round differently.
EXAMPLE_TOLERANCE = 1e-4
# Golden answers are written with eight digits after the point.
_EXAMPLE_ROUNDING = 1e-8
# The format from which on a text model reads sums, and not ids.
_FIRST_WITH_SUMS = 3
# The shape of an instance is not shown in a message where it is longer than this.
_LONGEST_SHOWN_SHAPE = 2_000
_SHAPES = {"number": 0, "category": "…", "date": "2026-01-31", "text": "…"}
_LONGEST_TIMING_S = 1.0
# Of what a network says that it reads for one text.
_MOST_NUMBERS = 1 << 22

Places = Callable[[int], str]
_PLACES: Places = "instances.{}".format


class Answers(NamedTuple):
    """What a model answers to some instances, and how.

    Attributes:
        predictions: One an instance, as a client reads them.
        raw: What the model put out, <float>[num_instances, width].
        encode_s: How long it took to make numbers of the instances.
        score_s: How long it took to make predictions of these.
    """

    predictions: list[Prediction]
    raw: Raw
    encode_s: float
    score_s: float


class _Ran(NamedTuple):
    """Raw output, the warnings by row, the rows that are unsure whatever their score, and the seconds of both steps."""

    raw: Raw
    warnings: dict[int, list[FieldWarning]]
    unknown: list[int]
    encode_s: float
    score_s: float


class Predictor:
    """One loaded model.

    Attributes:
        metadata: Its artefact's metadata.
        labels: Its labels, in the order of its probabilities; none if it answers a number.
        text_field: The one field of a model that reads a single text; None for any other model.
        seconds_per_instance: How long a single answer took when it was loaded.
    """

    def __init__(self, artefact: Artefact, limit_s: float | None = RUN_LIMIT_S) -> None:
        """Load the model of an artefact and replay its golden examples.

        Args:
            artefact: One that has been checked.
            limit_s: For the replay, and for each run of the model afterwards; None for none.

        Raises:
            ArtefactError: The model cannot be loaded, or does not answer as it did after training, in time.
        """
        self._limit_s = limit_s
        self.metadata: Metadata = artefact.metadata
        self._output = self.metadata.outputs[0]
        self.labels = self._output.labels
        self.text_field = text_column(self.metadata.input_types)
        self._session = _open_session(artefact, limit_s)
        self._answer = self._session.outputs[:1]
        self._familiarity = _read_familiarity(artefact)
        self._familiar_from = self._output.familiar_from or 0.0
        reads = {} if self._familiarity is None else self._familiarity.column_types
        graph_inputs = self._session.input_types
        self._inputs, self._reader = _choose_inputs(artefact, graph_inputs, reads, limit_s)
        # What is read by the familiarity alone; the graph does not take it.
        self._beside_graph = [name for name in reads if name not in graph_inputs]
        self._head = _head_of(artefact, self._session, self._output)
        self._replay_examples(artefact.path)
        self.seconds_per_instance = self._time_examples(artefact.path)

    @classmethod
    def load(cls, path: Path, limit_s: float | None = RUN_LIMIT_S) -> Self:
        """Check an artefact directory and load its model; raise ArtefactError if either fails."""
        return cls(load_artefact(path), limit_s)

    def check(self, instances: Sequence[object], places: Places = _PLACES) -> None:
        """Raise InstanceError, with the first few problems, unless the model can take the instances.

        Args:
            instances: The instances as somebody sent them.
            places: Index -> the name of that instance in a message.
        """
        problems: list[tuple[str, str]] = []
        for index, instance in enumerate(instances):
            if not isinstance(instance, Mapping):
                problems.append((places(index), f"expected an object, got {kind_of(instance)}"))
            elif found := self._inputs.problems_of(instance):
                problems += [(f"{places(index)}.{field}", why) for field, why in found]
            if len(problems) >= PROBLEMS_SHOWN:
                break
        if problems:
            raise InstanceError(problems[:PROBLEMS_SHOWN])

    def check_texts(
        self, texts: Sequence[str], places: Places = "texts.{}".format
    ) -> list[Instance]:
        """Turn bare texts into instances, or raise InstanceError.

        A text is the one text that a model reads. For any other model it is an instance written as JSON.
        """
        field = self.text_field
        if field is None:
            instances = [self._read_instance(text, places(i)) for i, text in enumerate(texts)]
            self.check(instances, places)
            return instances
        empty = [index for index, text in enumerate(texts) if not text.strip()]
        if empty:
            raise InstanceError([(places(index), "empty text") for index in empty[:PROBLEMS_SHOWN]])
        return [{field: text} for text in texts]

    def predict(
        self, instances: Sequence[Instance], top_k: int | None = None, places: Places = _PLACES
    ) -> list[Prediction]:
        """Score instances that have passed `check`, and return the predictions of `answer`."""
        return self.answer(instances, top_k, places).predictions

    def answer(
        self, instances: Sequence[Instance], top_k: int | None = None, places: Places = _PLACES
    ) -> Answers:
        """Score instances that have passed `check`.

        Args:
            instances: Dicts with a value for every input of the model.
            top_k: How many labels to list per prediction, the most probable first; None for all.
            places: Index -> the name of that instance in a message.

        Returns:
            One prediction an instance, in order: the result of `outputs.decode`, and `warnings` where training saw
            nothing like the instance. If an answer can be unsure, that to a text of only unknown words is `unsure`,
            whatever its score, and so is that to an instance that is not familiar enough.

        Raises:
            InstanceError: The model answers a number, and `top_k` is set; or the answer is not finite.
        """
        if top_k is not None and self._output.kind == "number":
            raise InstanceError(
                [("top_k", "this model answers a number, it has no labels to list")]
            )
        ran = self._run(instances)
        started = time.perf_counter()
        rows = to_rows(ran.raw, self._output)
        _check_finite(rows, places)
        predictions = decode(rows, ran.raw, self._output, top_k)
        for index in ran.unknown:
            predictions[index]["unsure"] = True
        for index, found in ran.warnings.items():
            predictions[index]["warnings"] = found
        decode_s = time.perf_counter() - started
        return Answers(predictions, ran.raw, ran.encode_s, ran.score_s + decode_s)

    @cached_property
    def explainer(self) -> Explainer:
        """What explains the answers of this model; made when it is asked for."""
        reader = self._reader and replace(self._reader, head=self._head)
        return Explainer(self.metadata, lambda instances: self._run(instances).raw, reader)

    def scores(self, instances: Sequence[Instance]) -> npt.NDArray[np.float64]:
        """Return the raw output: probabilities <float64>[num_instances, num_labels], or values [num_instances, 1]."""
        return self._run(instances).raw.astype(np.float64)

    def familiarity(self, instances: Sequence[Instance]) -> npt.NDArray[np.float64] | None:
        """Return how familiar instances are, <float64>[num_instances], minus infinity for a text of unknown words.

        None if this model does not tell.
        """
        if self._familiarity is None:
            return None
        shares = self._inputs.unknown_shares(instances)
        values: list[float] = []
        for feeds, _ in self._inputs.batches(instances):
            values += self._familiarity.of(feeds, shares[len(values) :])
        return np.where(np.array(shares) == 1, -np.inf, values)

    def unknown_shares(self, instances: Sequence[Instance]) -> list[float] | None:
        """Return the share of each text's words that are unknown, 1 without words; None for a model of a table."""
        if FEATURES not in self.metadata.files:
            return None
        return self._inputs.unknown_shares(instances)

    def example(self, number: int = 0) -> dict[str, Any]:
        """Return a held-out example as a request, with the answer to expect.

        Args:
            number: Which example, counted from 0.

        Returns:
            `instances`, and `expected` with `predictions` (the answer of this model) and, where it is known,
            `truth`; each has one element.

        Raises:
            InstanceError: There are fewer examples.
        """
        examples = self.metadata.examples
        if not 0 <= number < len(examples):
            count = len(examples)
            message = f"expected 0 to {count - 1}, for there are {count} examples; got {number}"
            raise InstanceError([("number", message)])
        example = examples[number]
        expected: dict[str, Any] = {"predictions": self.predict([example.instance])}
        if example.truth is not None:
            expected["truth"] = [example.truth]
        return {"instances": [example.instance], "expected": expected}

    def _run(self, instances: Sequence[Instance]) -> _Ran:
        """Encode and score instances, as many at once as memory allows.

        It looks for what is unsure whatever its score only where an answer can be unsure.
        """
        encoding = time.perf_counter()
        shares = None if self._familiarity is None else self._inputs.unknown_shares(instances)
        outputs: list[Raw] = []
        warnings: dict[int, list[FieldWarning]] = {}
        unknown: list[int] = []
        done, encode_s, score_s = 0, 0.0, 0.0
        for feeds, unusual in self._inputs.batches(instances):
            scoring = time.perf_counter()
            if shares is not None:
                unknown += self._unfamiliar(feeds, shares, done)
            raw = self._score(feeds)
            if unusual:
                warnings |= {done + row: found for row, found in unusual.items()}
            done += len(raw)
            outputs.append(raw)
            encode_s += scoring - encoding
            encoding = time.perf_counter()
            score_s += encoding - scoring
        if shares is None and self._output.unsure_below is not None:
            unknown = self._inputs.unknown_rows(instances)
        raw = outputs[0] if len(outputs) == 1 else np.concatenate(outputs)
        return _Ran(raw, warnings, unknown, encode_s, score_s)

    def _score(self, feeds: dict[str, npt.NDArray[Any]]) -> Raw:
        if self._head is not None and len(sums := feeds[SUMS]) == 1:
            return self._head.of(sums, feeds.get(ENCODED))
        raw: Raw = self._session.run(self._answer, feeds)[0]
        expected = (len(next(iter(feeds.values()), raw)), self._output.width)
        if raw.shape != expected:
            raise ModelError(
                f"the model puts out an array of shape {raw.shape}, expected {expected}"
            )
        return raw

    def _unfamiliar(
        self, feeds: dict[str, npt.NDArray[Any]], shares: Sequence[float], first: int
    ) -> list[int]:
        """Return the rows of a batch, counted from `first` on, that are not familiar enough.

        What the graph does not take leaves the feeds.
        """
        assert self._familiarity is not None
        values, least = self._familiarity.of(feeds, shares[first:]), self._familiar_from
        for name in self._beside_graph:
            del feeds[name]
        return [row for row, value in enumerate(values, first) if value < least or shares[row] == 1]

    def _read_instance(self, text: str, place: str) -> Instance:
        """Read an instance that is written as JSON."""
        if not text.lstrip().startswith("{"):
            names = listed([field.name for field in self.metadata.inputs])
            message = f"this model takes instances with the fields {names}, not a text"
            raise InstanceError([(place, f"{message}; {self._shown_shape()}")])
        try:
            instance: Instance = from_json(text)
        except ValueError as error:
            raise InstanceError([(place, f"not JSON: {error}; {self._shown_shape()}")]) from None
        return instance

    def _shown_shape(self) -> str:
        # No example, which is a row of somebody's dataset.
        shape = {column.name: _SHAPES[column.type] for column in self.metadata.inputs}
        shown = json.dumps(shape, ensure_ascii=False)
        if len(shown) > _LONGEST_SHOWN_SHAPE:
            return "give one as JSON"
        return f"give one as JSON, of the shape {shown}"

    def _replay_examples(self, path: Path) -> None:
        scale = 1.0
        if self._output.kind == "number":
            answers = (abs(value) for each in self.metadata.examples for value in each.answer)
            scale = max(answers, default=scale)
        tolerance = EXAMPLE_TOLERANCE * scale + _EXAMPLE_ROUNDING
        alone: list[npt.NDArray[np.float64]] = []
        started = time.monotonic()
        for number, example in enumerate(self.metadata.examples):
            shown = f"{path}: golden example {number}"
            answer = self._replay([example.instance], shown)
            expected = np.array([example.answer])
            if answer.shape != expected.shape or not np.allclose(
                answer, expected, rtol=0, atol=tolerance
            ):
                raise ArtefactError(
                    f"{shown} is answered differently here than after training. "
                    "Serve it with the library versions under `versions` in metadata.json, or train again."
                )
            alone.append(answer)
            if self._limit_s is not None and time.monotonic() - started > self._limit_s:
                raise ArtefactError(
                    f"{path}: {counted(number + 1, 'golden example')} took longer than {self._limit_s:g} s. "
                    "Serve it on a faster machine, or train a smaller model."
                )
        # Several rows at once are answered like each alone, and none is left out. (A text alone may be the head's.)
        instances = [example.instance for example in self.metadata.examples]
        together = self._replay([*instances, instances[0]], f"{path}: all golden examples")[:-1]
        if not np.allclose(together, np.concatenate(alone), rtol=0, atol=tolerance):
            why = (
                "it answers several rows at once otherwise than each alone"
                if self._head is None
                else "its answers are not those of the weights that it puts out"
            )
            raise ArtefactError(f"{path / MODEL}: {why}. Train again.")

    def _replay(self, instances: Sequence[Instance], shown: str) -> npt.NDArray[np.float64]:
        try:
            self.check(instances, lambda _: "instance")
            return self.scores(instances)
        except InstanceError as error:
            raise ArtefactError(
                f"{shown} does not fit the inputs ({error}). Train again."
            ) from None
        except Exception as error:  # onnxruntime's own exceptions share no narrower base
            raise ArtefactError(f"{shown} cannot be answered ({error}). Train again.") from error

    def _time_examples(self, path: Path) -> float:
        # They have just been replayed, so nothing happens for the first time; the least disturbed one counts.
        times: list[float] = []
        for example in self.metadata.examples:
            started = time.perf_counter()
            try:
                self.predict([example.instance])
            except (InstanceError, ModelError) as error:  # it has answered a moment ago
                raise ArtefactError(
                    f"{path}: a golden example cannot be answered again ({error}). Train again."
                ) from None
            times.append(time.perf_counter() - started)
            if sum(times) > _LONGEST_TIMING_S:
                break
        return min(times)


def _check_finite(rows: Sequence[Sequence[float]], places: Places) -> None:
    # numpy takes seven times as long for a row, right after the model has emptied the caches.
    if all(map(isfinite, map(sum, rows))):
        return
    why = "the model has no finite answer to this instance: a missing or extreme value that it cannot take"
    failed = [index for index, row in enumerate(rows) if not isfinite(sum(row))]
    raise InstanceError([(places(index), why) for index in failed[:PROBLEMS_SHOWN]])


def _read_familiarity(artefact: Artefact) -> Familiarity | None:
    metadata = artefact.metadata
    if metadata.outputs[0].familiar_from is None:
        return None
    kind = TextFamiliarity if FEATURES in metadata.files else RowFamiliarity
    try:
        content = artefact.read(FAMILIARITY, MOST_SMALL_BYTES)
        familiarity: Familiarity = kind.parse(content, len(metadata.outputs[0].labels))
    except ValueError as error:
        raise ArtefactError(f"{artefact.path}: {error}. Train again.") from None
    return familiarity


def _choose_inputs(
    artefact: Artefact,
    graph_inputs: Mapping[str, str],
    read_beside: Mapping[str, ColumnType],
    limit_s: float | None,
) -> tuple[Inputs, Reader | None]:
    """Return the inputs of a text model, and its reader, if the artefact has text features, else of a table model.

    Args:
        artefact: The artefact.
        graph_inputs: Name -> type of what the graph reads, as onnxruntime calls it.
        read_beside: Columns that the familiarity reads.
        limit_s: For each run of an encoder.
    """
    metadata = artefact.metadata
    if FEATURES not in metadata.files:
        read = {name: ONNX_TYPES[kind] for name, kind in read_beside.items()}
        try:
            return TableInputs(metadata.inputs, metadata.derived, read | dict(graph_inputs)), None
        except ValueError as error:
            raise ArtefactError(
                f"{artefact.path / MODEL}: {error} ({FEATURES} is not listed, so it is a table model). Train again."
            ) from None
    if metadata.derived or not reads_only_texts(metadata.input_types):
        raise ArtefactError(
            f"{artefact.path}: {FEATURES} is for models that read text alone, but this one has other columns. "
            "Train again."
        )
    encode, reader = _encoder_of(artefact, _read_features(artefact), limit_s)
    return TextInputs(metadata.inputs, reader.features, encode), reader


def _encoder_of(
    artefact: Artefact, features: TextFeatures, limit_s: float | None
) -> tuple[Encode, Reader]:
    """Return the function from texts to what the graph reads, which depends on the format of the artefact."""
    if artefact.metadata.format_version < _FIRST_WITH_SUMS:
        return partial(padded_ids.encode, features), Reader(features)
    _require_listed(artefact, TABLE_FILES)
    try:
        sums = TextSums(features, TextTable.read(artefact.path, features))
        if ENCODER not in artefact.metadata.files:
            return lambda texts: {SUMS: sums.of(texts)}, Reader(features, sums)
        settings = EncoderSettings.parse(artefact.read(ENCODER, MOST_SMALL_BYTES))
        _require_listed(artefact, [settings.file])
        encoder = open_encoder(settings, artefact.path, partial(_read_listed, artefact), limit_s)
    except ValueError as error:
        raise ArtefactError(f"{artefact.path}: {error}. Train again.") from None
    reader = Reader(features, sums, has_encoder=True)
    return lambda texts: {SUMS: sums.of(texts), ENCODED: encoder.encode(texts)}, reader


def _require_listed(artefact: Artefact, names: Iterable[str]) -> None:
    for name in names:
        if name not in artefact.metadata.files:
            raise ArtefactError(
                f"{artefact.path}: {name} is not listed among the files. Train again."
            )


def _read_listed(artefact: Artefact, name: str) -> bytes:
    """Return the content of a file that a network names."""
    if name not in artefact.metadata.files:
        raise ValueError(f"it reads the file {name!r}, which is not listed among the files")
    return artefact.read(name)


def _head_of(artefact: Artefact, session: Session, output: Output) -> TextHead | None:
    """Return the head for single texts if the graph puts out the weights of one, else None."""
    shapes = session.input_shapes
    names = [name for name in HEAD if name in session.outputs]
    if SUMS not in shapes or not names:
        return None
    try:
        if max(prod(shape[1:]) for shape in shapes.values()) > _MOST_NUMBERS:
            raise ValueError("it reads more numbers a text than any model of ours")
        nothing = {name: np.zeros((1, *shapes[name][1:]), np.float32) for name in shapes}
        weights = dict(zip(names, session.run(names, nothing), strict=True))
        return TextHead(weights, several_labels=output.kind == "labels")
    except Exception as error:  # onnxruntime's own exceptions share no narrower base
        raise ArtefactError(
            f"{artefact.path / MODEL}: its weights are not those of a head ({error}). Train again."
        ) from None


def _read_features(artefact: Artefact) -> TextFeatures:
    try:
        content = artefact.read(FEATURES, MOST_SMALL_BYTES)
        return TextFeatures.parse(content, artefact.metadata.inputs[0].tokenizer)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtefactError(
            f"{artefact.path / FEATURES}: not what this server reads ({error}). Train again."
        ) from None


def _open_session(artefact: Artefact, limit_s: float | None) -> Session:
    try:
        return open_session(artefact.read(MODEL), partial(_read_listed, artefact), limit_s)
    except ValueError as error:
        raise ArtefactError(f"{artefact.path / MODEL}: {error}. Train again.") from error
