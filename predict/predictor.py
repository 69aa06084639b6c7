"""Instances in, predictions out. Owns the onnxruntime session; the only importer of onnxruntime."""

import difflib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

# Read when onnxruntime is imported, which would report its use to its makers otherwise.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

from predict.artefact import FEATURES, MODEL, Artefact, ArtefactError, Metadata, load_artefact
from predict.features import TextFeatures

Instance = Mapping[str, Any]
Prediction = dict[str, Any]

# Golden answers come from another machine perhaps, whose sums round differently.
EXAMPLE_TOLERANCE = 1e-4
# Texts scored at once, and their number times the length of the longest: padding makes all rows as long as that
# one, and the model needs some 5 kB of memory for every character.
_BATCH_SIZE = 256
_BATCH_CHARACTERS = 25_000
_PROBLEMS_SHOWN = 10
_SHOWN_LENGTH = 60


class InstanceError(Exception):
    """Instances that the model cannot take.

    Attributes:
        problems: (place, message) pairs, such as `("instances.3.title", "missing")`.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{place}: {message}" for place, message in problems))
        self.problems = list(problems)


class Predictor:
    """One loaded model.

    Attributes:
        metadata: Its artefact's metadata.
        labels: In the order of its probabilities.
        seconds_per_instance: How long a single answer took when it was loaded.
    """

    def __init__(self, artefact: Artefact) -> None:
        """Load the model of an artefact and replay its golden examples.

        Raises:
            ArtefactError: The model cannot be loaded, or does not answer as it did after training.
        """
        self.metadata: Metadata = artefact.metadata
        self.labels = self.metadata.outputs[0].labels
        self._fields = [field.name for field in self.metadata.inputs]
        self._features = _read_features(artefact)
        self._session = _open_session(artefact)
        self._replay_examples(artefact.path)
        self.seconds_per_instance = self._time_examples()

    @classmethod
    def load(cls, path: Path) -> Self:
        """Check an artefact directory and load its model; raise ArtefactError if either fails."""
        return cls(load_artefact(path))

    def instance_of(self, text: str) -> Instance:
        """Return the instance that a bare text stands for.

        Raises:
            InstanceError: The model has other inputs than one text.
        """
        if len(self._fields) != 1:
            names = ", ".join(self._fields)
            raise InstanceError(
                [("text", f"this model takes instances with the fields {names}, not a text")]
            )
        return {self._fields[0]: text}

    def check(
        self, instances: Sequence[object], places: Callable[[int], str] = "instances.{}".format
    ) -> None:
        """Raise InstanceError, with the first few problems, unless the model can take the instances.

        Args:
            instances: What somebody sent.
            places: Index -> how to call the instance there in a message.
        """
        problems: list[tuple[str, str]] = []
        for index, instance in enumerate(instances):
            if found := self._problems_of(instance):
                problems += [
                    (".".join(filter(None, (places(index), field))), why) for field, why in found
                ]
            if len(problems) >= _PROBLEMS_SHOWN:
                break
        if problems:
            raise InstanceError(problems[:_PROBLEMS_SHOWN])

    def check_texts(
        self, texts: Sequence[str], places: Callable[[int], str] = "texts.{}".format
    ) -> list[Instance]:
        """Turn bare texts into instances, or raise InstanceError."""
        instances = [self.instance_of(text) for text in texts]
        empty = [index for index, text in enumerate(texts) if not text.strip()]
        if empty:
            raise InstanceError(
                [(places(index), "empty text") for index in empty[:_PROBLEMS_SHOWN]]
            )
        return instances

    def predict(self, instances: Sequence[Instance], top_k: int | None = None) -> list[Prediction]:
        """Score instances that `check` has let pass.

        Args:
            instances: Dicts with a value for every input of the model.
            top_k: How many labels to list per prediction, the most probable first; None for all.

        Returns:
            One dict an instance, in order: `label`, `score` and `probabilities`.
        """
        return [self._as_labels(row, top_k) for row in self.scores(instances).round(6).tolist()]

    def scores(self, instances: Sequence[Instance]) -> npt.NDArray[np.float64]:
        """Return the probabilities of the labels, <float64>[num_instances, num_labels]."""
        texts = ["\n".join([instance[name] for name in self._fields]) for instance in instances]
        outputs = [
            self._session.run(None, self._features.encode(texts[start:end]))[0]
            for start, end in self._batches(texts)
        ]
        return (outputs[0] if len(outputs) == 1 else np.concatenate(outputs)).astype(np.float64)

    def _batches(self, texts: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Yield the ends of stretches of texts that may be scored at once."""
        start, longest = 0, 0
        for index, text in enumerate(texts):
            length = min(len(text), self._features.most_characters)
            longest = max(longest, length)
            count = index - start + 1
            if count > 1 and (count > _BATCH_SIZE or count * longest > _BATCH_CHARACTERS):
                yield start, index
                start, longest = index, length
        yield start, len(texts)

    def _as_labels(self, row: list[float], top_k: int | None) -> Prediction:
        ranked = sorted(zip(row, self.labels, strict=True), key=_by_score, reverse=True)
        score, label = ranked[0]
        return {
            "label": label,
            "score": score,
            "probabilities": {name: value for value, name in ranked[:top_k]},
        }

    def _problems_of(self, instance: object) -> list[tuple[str, str]]:
        """Return (field, what is wrong with it) pairs."""
        if not isinstance(instance, Mapping):
            return [("", f"expected an object, got {_kind_of(instance)}")]
        problems = []
        for name in self._fields:
            if name not in instance:
                problems.append((name, "missing; expected a text"))
            elif not isinstance(instance[name], str):
                problems.append((name, f"expected a text, got {_kind_of(instance[name])}"))
        if not problems and not any(instance[name].strip() for name in self._fields):
            problems.append((self._fields[0], "empty text"))
        for name in instance:
            if len(problems) >= _PROBLEMS_SHOWN:
                break
            if name not in self._fields:
                close = difflib.get_close_matches(shorten(str(name)), self._fields, n=1)
                hint = f"did you mean {close[0]}?" if close else f"known: {', '.join(self._fields)}"
                problems.append((shorten(str(name)), f"unknown field; {hint}"))
        return problems

    def _replay_examples(self, path: Path) -> None:
        for number, example in enumerate(self.metadata.examples):
            shown = f"{path}: golden example {number}"
            try:
                self.check([example.instance], lambda _: "instance")
                answer = self.scores([example.instance])[0]
            except InstanceError as error:
                raise ArtefactError(
                    f"{shown} does not fit the inputs ({error}). Train again."
                ) from None
            except Exception as error:  # onnxruntime's own exceptions share no narrower base
                raise ArtefactError(
                    f"{shown} cannot be answered ({error}). Train again."
                ) from error
            if len(answer) != len(self.labels):
                raise ArtefactError(
                    f"{path}: the model has {len(answer)} outputs, but there are {len(self.labels)} labels. "
                    "Train again."
                )
            expected = np.asarray(example.answer)
            if answer.shape != expected.shape or not np.allclose(
                answer, expected, rtol=0, atol=EXAMPLE_TOLERANCE
            ):
                raise ArtefactError(
                    f"{shown} is answered differently here than after training. "
                    "Serve it with the library versions under `versions` in metadata.json, or train again."
                )

    def _time_examples(self) -> float:
        # They have just been replayed, so nothing is done for the first time; the least disturbed one counts.
        times = []
        for example in self.metadata.examples:
            started = time.perf_counter()
            self.predict([example.instance])
            times.append(time.perf_counter() - started)
        return min(times)


def _by_score(pair: tuple[float, str]) -> float:
    return pair[0]


def shorten(name: str) -> str:
    """Cut a name that somebody sent, for a message."""
    return name if len(name) <= _SHOWN_LENGTH else f"{name[:_SHOWN_LENGTH]}…"


def _kind_of(value: object) -> str:
    kinds = {
        str: "a string",
        bool: "a boolean",
        int: "a number",
        float: "a number",
        list: "a list",
        dict: "an object",
    }
    return "null" if value is None else kinds.get(type(value), type(value).__name__)


def _read_features(artefact: Artefact) -> TextFeatures:
    if FEATURES not in artefact.metadata.files:
        raise ArtefactError(
            f"{artefact.path}: the model reads text, but {FEATURES} is not listed. Train again."
        )
    try:
        return TextFeatures.read(artefact.path / FEATURES)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtefactError(
            f"{artefact.path / FEATURES}: not what this server reads ({error}). Train again."
        ) from None


def _open_session(artefact: Artefact) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # Small models: handing work to other threads costs more than it saves, and requests have their own.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    file = artefact.path / MODEL
    try:
        return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no narrower base
        raise ArtefactError(
            f"{file}: onnxruntime cannot load it ({error}). Train again."
        ) from error
