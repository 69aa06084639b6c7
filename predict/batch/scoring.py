"""A chunk of rows in, the bytes of its answers out: what each worker does, and the only process of a single one."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from predict.batch.answers import AnswerColumns
from predict.batch.cells import readers_of, told
from predict.batch.encoding import Encoder, JsonEncoder, PackedEncoder, SeparatedEncoder
from predict.batch.evaluation import Measured, Sums
from predict.batch.formats import Format
from predict.batch.parquet import ParquetEncoder
from predict.batch.tables import Chunk
from predict.batch.truths import TruthReader
from predict.contract.artefact import METRICS, ArtefactError
from predict.contract.canonical import text_of
from predict.contract.metrics import read_metrics
from predict.scoring.inputs import InstanceError
from predict.scoring.outputs import Prediction, Raw
from predict.scoring.predictor import Predictor

Problems = list[tuple[str, str]]


@dataclass(frozen=True)
class Plan:
    """All that a worker must know beside the artefact.

    Attributes:
        columns: The names of the columns of the rows.
        of_objects: Whether rows are objects, each with names of its own.
        output: The format that is written.
        output_name: What messages call the file.
        separator: Of separated values that are written.
        is_literal: Whether their quotation marks are characters like any other.
        header: The header as it stands in the file that is read, if its rows are copied.
        copies: Whether rows are copied as they stand.
        has_mark: Whether a byte order mark is written first.
        prefix: Of the names of the answer's columns.
        probabilities: Whether there is a column of them.
        top_k: How many of them are listed; None for all.
        label: The column of the truth; None if there is none.
    """

    columns: tuple[str, ...]
    of_objects: bool
    output: Format
    output_name: str
    separator: str
    is_literal: bool
    header: str | None
    copies: bool
    has_mark: bool
    prefix: str
    probabilities: bool
    top_k: int | None
    label: str | None


class Scored(NamedTuple):
    """What became of a chunk.

    Attributes:
        output: The bytes of the rows that were scored.
        errors: The bytes of the lines about those that were not.
        rows: How many there were.
        failed: How many of them were not scored.
        sums: What is measured, if there is a truth; see `evaluation`.
    """

    output: bytes
    errors: bytes
    rows: int
    failed: int
    sums: Sums


class Scorer:
    """A loaded model that scores the rows of one file."""

    def __init__(self, predictor: Predictor, artefact_dir: Path, plan: Plan) -> None:
        """Match the model with the columns of a file.

        Args:
            predictor: The model.
            artefact_dir: Where it is; its `metrics.json` says which label is positive.
            plan: The file.
        """
        self._predictor, self._plan = predictor, plan
        output = predictor.metadata.outputs[0]
        self._inputs = {column.name: column for column in predictor.metadata.inputs}
        readers = readers_of(predictor.metadata.inputs)
        places = {name: place for place, name in enumerate(plan.columns)}
        self._by_name = list(readers.items())
        self._by_place = (
            []
            if plan.of_objects
            else [(name, places[name], read) for name, read in readers.items()]
        )
        self._known = frozenset(plan.columns)
        self.answers = AnswerColumns(output, plan.prefix, plan.probabilities)
        self._answer_names = frozenset(self.answers.names)
        decimal = predictor.metadata.file.decimal if predictor.metadata.file else None
        self.encoder = _encoder(plan, self.answers, decimal or output.decimal or ".")
        self._label_place = None if plan.label is None else places.get(plan.label)
        self._truth = TruthReader(output)
        positive = _positive_label(artefact_dir) if plan.label is not None else None
        origin = predictor.metadata.examples[0].answer[0]
        self.measured = Measured(output, positive or next(iter(output.thresholds), None), origin)

    def score(self, chunk: Chunk) -> Scored:
        """Score the rows of a chunk; those that cannot be scored fail alone."""
        good: list[int] = []
        instances: list[dict[str, Any]] = []
        wrong: dict[int, Problems] = {place: [("", why)] for place, why in chunk.problems.items()}
        for place, row in enumerate(chunk.rows):
            if place in wrong:
                continue
            if self._plan.of_objects and (found := self._problems_of_object(row)):
                wrong[place] = found
                continue
            good.append(place)
            instances.append(self._instance(row))
        good, instances = self._checked(good, instances, wrong)
        good, predictions, raw = self._answered(good, instances, wrong)
        answers = [self.answers.values(prediction) for prediction in predictions]
        output = self.encoder.encode(chunk, good, answers)
        sums = self._measure(chunk, good, predictions, raw)
        errors = b"".join(self._error_line(chunk, place, wrong[place]) for place in sorted(wrong))
        return Scored(output, errors, len(chunk.rows), len(wrong), sums)

    def _instance(self, row: Any) -> dict[str, Any]:
        if self._plan.of_objects:
            return {name: read(row.get(name)) for name, read in self._by_name}
        return {name: read(row[place]) for name, place, read in self._by_place}

    def _problems_of_object(self, row: dict[str, Any]) -> Problems:
        """Return what keeps an object from becoming a row of the file that is written."""
        if taken := self._answer_names & row.keys():
            return [
                (name, "the answer has a column of this name; set --prefix")
                for name in sorted(taken)
            ]
        if self._plan.output.kind == "json" or row.keys() <= self._known:
            return []
        return [
            (name, "unknown column: no row of the first chunk has it. Write .jsonl instead")
            for name in row
            if name not in self._known
        ]

    def _checked(
        self, good: list[int], instances: list[dict[str, Any]], wrong: dict[int, Problems]
    ) -> tuple[list[int], list[dict[str, Any]]]:
        """Return the rows that the model can take; the problems of the others go into `wrong`."""
        try:
            self._predictor.check(instances)
        except InstanceError:
            pass
        else:
            return good, instances
        kept: list[int] = []
        for index, (place, instance) in enumerate(zip(good, instances, strict=True)):
            try:
                self._predictor.check([instance], _no_place)
            except InstanceError as error:
                wrong[place] = self._problems_in(instance, error)
            else:
                kept.append(index)
        return [good[index] for index in kept], [instances[index] for index in kept]

    def _problems_in(self, instance: dict[str, Any], error: InstanceError) -> Problems:
        fields = [(place.removeprefix("."), message) for place, message in error.problems]
        return [
            (field, told(message, instance.get(field), self._inputs.get(field)))
            for field, message in fields
        ]

    def _answered(
        self, good: list[int], instances: list[dict[str, Any]], wrong: dict[int, Problems]
    ) -> tuple[list[int], list[Prediction], Raw]:
        """Return the rows that have an answer, their predictions and the model's output for them."""
        top_k = self._plan.top_k
        if not instances:
            return [], [], np.empty((0, 1))
        try:
            answers = self._predictor.answer(instances, top_k)
            return good, answers.predictions, answers.raw
        except InstanceError:  # some of them have no finite answer
            pass
        kept: list[int] = []
        predictions: list[Prediction] = []
        raws: list[Raw] = []
        for place, instance in zip(good, instances, strict=True):
            try:
                answers = self._predictor.answer([instance], top_k, _no_place)
            except InstanceError as error:
                wrong[place] = list(error.problems)
            else:
                kept.append(place)
                predictions += answers.predictions
                raws.append(answers.raw)
        return kept, predictions, np.concatenate(raws) if raws else np.empty((0, 1))

    def _measure(
        self, chunk: Chunk, good: Sequence[int], predictions: Sequence[Prediction], raw: Raw
    ) -> Sums:
        if self._plan.label is None:
            return {}
        truths = [self._truth.read(self._label_of(chunk.rows[place])) for place in good]
        known = [index for index, truth in enumerate(truths) if truth is not None]
        if not known:
            return {}
        if len(known) < len(truths):
            raw = raw[known]
        return self.measured.sums(
            [truths[index] for index in known], [predictions[index] for index in known], raw
        )

    def _label_of(self, row: Any) -> Any:
        if self._plan.of_objects:
            return row.get(self._plan.label)
        return None if self._label_place is None else row[self._label_place]

    def _error_line(self, chunk: Chunk, place: int, problems: Problems) -> bytes:
        """Return a line about a row that was not scored: where it is, why, and what it was."""
        row = chunk.rows[place]
        if row is None:
            assert chunk.raws is not None  # of a text file
            row = chunk.raws[place]
        elif not isinstance(row, dict):
            fits = len(row) == len(self._plan.columns)
            row = dict(zip(self._plan.columns, row, strict=True)) if fits else list(row)
        line = {
            "line": chunk.lines[place],
            "problems": [{"place": field, "message": why} for field, why in problems],
            "row": row,
        }
        text = json.dumps(line, ensure_ascii=False, default=text_of) + "\n"
        # Bytes that are not of the file's encoding have no UTF-8.
        return text.encode(errors="backslashreplace")


def _encoder(plan: Plan, answers: AnswerColumns, decimal: str) -> Encoder:
    if plan.output.kind == "parquet":
        return ParquetEncoder(plan.output_name, plan.columns, answers)
    encoder: Encoder
    if plan.output.kind == "json":
        encoder = JsonEncoder(answers, plan.columns, plan.of_objects)
    else:
        encoder = SeparatedEncoder(
            answers,
            plan.columns,
            plan.separator,
            decimal=decimal,
            header=plan.header if plan.copies else None,
            is_literal=plan.is_literal,
            has_mark=plan.has_mark,
        )
    return PackedEncoder(encoder) if plan.output.is_packed else encoder


def _positive_label(artefact_dir: Path) -> str | None:
    try:
        return read_metrics(artefact_dir / METRICS).positive_label
    except ArtefactError:  # people alone read it
        return None


def _no_place(index: int) -> str:
    return ""
