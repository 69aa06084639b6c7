"""The reproduction of a run: train an artefact's configuration again, compare, and say what may cause differences."""

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from predict.contract.artefact import (
    CONFIGURATION,
    FEATURES,
    METRICS,
    MODEL,
    TABLE_FILES,
    Metadata,
)
from predict.scoring.inputs import InstanceError
from predict.scoring.predictor import Predictor
from train.artefacts.folder import LATEST
from train.config import TrainConfig, load_config
from train.config.sections import TrackingConfig
from train.config.trust import Trust, functions_named, would_run
from train.errors import UserError
from train.models.text.canonical import canonical_bytes
from train.preparation import prepare
from train.progress import Progress, SilentProgress
from train.run import run
from train.terminal import PlainTable

# Absolute for probabilities and metrics, relative for numbers above 1. Threads may add in another order.
TOLERANCE = 1e-6
# What a run measures about itself, its search, or the other artefacts in its folder.
_NOT_REPEATED = frozenset(("search", "gate", "seconds"))
_SHOWN = 3
_OUTCOMES = {True: "same", False: "differs", None: "unknown"}


class ReproductionError(UserError):
    """A run cannot be repeated. The message says why."""


@dataclass(frozen=True)
class Line:
    """One thing that was compared."""

    what: str
    stored: str
    again: str
    # None: nobody can know.
    same: bool | None


@dataclass(frozen=True)
class Reproduction:
    """What came out of a run that was repeated.

    Attributes:
        results: Metrics and predictions, which must be the same.
        files: Whether the files have the same bytes.
        causes: Data, code, versions and seeds, which may be the reason if results differ.
        artefact_dir: The new artefact, if it was kept.
    """

    results: list[Line]
    files: list[Line]
    causes: list[Line]
    artefact_dir: Path | None

    @property
    def reproduced(self) -> bool:
        """Whether metrics and predictions are the same."""
        return all(line.same for line in self.results)


def reproduce(
    artefact: Path, progress: Progress, keep: Path | None = None, trust: Trust | None = None
) -> Reproduction:
    """Run the configuration of an artefact again, and compare.

    The repetition has no gate, is not tracked, and has no `offline` dataset.

    Args:
        artefact: A directory that a training run wrote.
        progress: Is told how the run goes.
        keep: The folder that the new artefact stays in; without it, nothing stays.
        trust: Allows functions that the configuration names to run.

    Raises:
        ArtefactError: The stored artefact is damaged.
        UserError: The configuration or the dataset cannot be used any more, or `keep` has artefacts of its own.
    """
    before = Predictor.load(artefact, limit_s=None)
    config = load_config(artefact / CONFIGURATION)
    if trust is None and functions_named(config):
        raise ReproductionError(
            f"{artefact / CONFIGURATION}: {would_run(config)}. If you trust that code, add --trust-code."
        )
    with _folder(keep) as folder:
        config = _repeatable(config, folder)
        result = run(config, progress, trust=trust)
        after = Predictor.load(result.artefact_dir, limit_s=None)
        with progress.stage("reproduce", "both models answer the test rows"):
            prepared = prepare(config, SilentProgress(), trust=trust)
            instances = prepared.dataset.instances(prepared.split.test)
            metrics = (folder / METRICS for folder in (artefact, result.artefact_dir))
            return Reproduction(
                results=[
                    _compare_metrics(*map(_read_json, metrics)),
                    _compare_examples(before.metadata, after),
                    _compare_predictions(before, after, instances),
                ],
                files=[
                    _compare_files(name, artefact, result.artefact_dir) for name in _files(before)
                ],
                causes=_compare_causes(before.metadata, after.metadata),
                artefact_dir=result.artefact_dir if keep else None,
            )


def verdict(reproduction: Reproduction) -> str:
    """Return the outcome in a sentence or two, with what may be the reason."""
    if reproduction.reproduced:
        return "reproduced: metrics and predictions are the same."
    wrong = "; ".join(f"{line.what} differ" for line in reproduction.results if not line.same)
    causes = [line.what for line in reproduction.causes if line.same is False]
    causes += [f"{line.what} (perhaps)" for line in reproduction.causes if line.same is None]
    why = (
        f"What else differs: {', '.join(causes)}."
        if causes
        else (
            "Data, code, versions and seeds are the same: something in this run is left to chance."
        )
    )
    return f"not reproduced: {wrong}. {why}"


def table_of(reproduction: Reproduction) -> PlainTable:
    """Return everything that was compared as a table for the terminal."""
    table = PlainTable()
    for heading in ("", "stored", "again", ""):
        table.add_column(heading, overflow="fold")
    for line in (*reproduction.results, *reproduction.files, *reproduction.causes):
        again = "" if line.stored == line.again else line.again
        table.add_row(line.what, line.stored, again, _OUTCOMES[line.same])
    return table


@contextmanager
def _folder(keep: Path | None) -> Iterator[Path]:
    if keep is None:
        with tempfile.TemporaryDirectory(prefix="capstone-reproduce-") as folder:
            yield Path(folder)
        return
    if (keep / LATEST).is_symlink():
        raise ReproductionError(
            f"--keep {keep}: there are artefacts in it, whose `{LATEST}` would move. Name another folder."
        )
    yield keep


def _repeatable(config: TrainConfig, folder: Path) -> TrainConfig:
    evaluation = config.evaluation.model_copy(update={"gate": {}})
    changes = {"artefacts_dir": folder, "offline": None, "evaluation": evaluation}
    return config.model_copy(update=changes | {"tracking": TrackingConfig()})


def _read_json(file: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads(file.read_bytes())
    return content


# ------------------------------------------------------------------- results


_Path = tuple[str, ...]


def _compare_metrics(stored: Mapping[str, Any], again: Mapping[str, Any]) -> Line:
    """Compare every number that both runs measured; another version may measure more, or less."""
    pairs = dict(_pairs_of(stored, again))
    wrong = [path for path, (old, new) in pairs.items() if not _equal(old, new)]
    what = f"{len(pairs):,} metrics"
    # The first that differ, those at the top first; or the first of all.
    shown = sorted(wrong, key=len) or [path for path in pairs if len(path) == 1]
    old, new = (_listed(shown[:_SHOWN], pairs, side) for side in (0, 1))
    more = f" and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
    return Line(what, old + more, (new if wrong else old) + more, not wrong)


def _pairs_of(stored: object, again: object, path: _Path = ()) -> Iterator[tuple[_Path, Any]]:
    """Yield the path and the two values of all that both have; in lists, also of what only one has."""
    if isinstance(stored, Mapping) and isinstance(again, Mapping):
        for key in stored:
            if key in again and key not in _NOT_REPEATED:
                yield from _pairs_of(stored[key], again[key], (*path, str(key)))
    elif isinstance(stored, list) and isinstance(again, list):
        for index, (old, new) in enumerate(zip_longest(stored, again)):
            yield from _pairs_of(old, new, (*path, str(index)))
    else:
        yield path, (stored, again)


def _listed(paths: Sequence[_Path], pairs: Mapping[_Path, tuple[Any, Any]], side: int) -> str:
    return ", ".join(f"{'.'.join(path)} {_shown(pairs[path][side])}" for path in paths)


def _equal(stored: object, again: object) -> bool:
    numbers = (int, float)
    if isinstance(stored, numbers) and isinstance(again, numbers):
        return abs(stored - again) <= TOLERANCE * max(1.0, abs(stored))
    return stored == again


def _shown(value: object) -> str:
    return f"{value:.8g}" if isinstance(value, float) else str(value)


def _compare_examples(stored: Metadata, after: Predictor) -> Line:
    """Ask the new model the golden examples of the stored one, and compare with the stored answers."""
    instances = [example.instance for example in stored.examples]
    what = f"answers to {len(instances)} golden examples"

    def compare() -> Line:
        after.check(instances)
        expected = np.array([example.answer for example in stored.examples])
        return _difference_line(what, expected, after.scores(instances), 0)

    return _unless_refused(what, compare)


def _compare_predictions(
    before: Predictor, after: Predictor, instances: list[dict[str, Any]]
) -> Line:
    what = f"answers to {len(instances):,} test rows"

    def compare() -> Line:
        before.check(instances)
        answers = [_answers(predictor, instances) for predictor in (before, after)]
        different = sum(a != b for a, b in zip(*answers, strict=True))
        return _difference_line(what, before.scores(instances), after.scores(instances), different)

    return _unless_refused(what, compare)


def _answers(predictor: Predictor, instances: list[dict[str, Any]]) -> list[Any]:
    """Return the decisions without their numbers, which may differ by a little."""
    answers = predictor.predict(instances)
    if predictor.metadata.task == "multilabel":
        return [{label["label"] for label in answer["labels"]} for answer in answers]
    return [answer.get("label") for answer in answers]


def _unless_refused(what: str, compare: Callable[[], Line]) -> Line:
    try:
        return compare()
    except InstanceError as error:
        return Line(what, "", f"the rows do not fit the model: {error}", False)


def _difference_line(what: str, stored: Any, again: Any, different: int) -> Line:
    if stored.shape != again.shape:
        return Line(what, f"{stored.shape[1]} outputs", f"{again.shape[1]} outputs", False)
    allowed = TOLERANCE * max(1.0, float(np.abs(stored).max(initial=0.0)))
    largest = float(np.abs(stored - again).max(initial=0.0))
    same = largest <= allowed and not different
    shown = f"differ by at most {largest:.1e}" if largest else "to the last bit"
    return Line(what, "", shown + (f"; {different:,} decisions differ" if different else ""), same)


# --------------------------------------------------------------------- files


def _files(predictor: Predictor) -> list[str]:
    # The report and the configuration hold times and places.
    return [name for name in (MODEL, FEATURES, *TABLE_FILES) if name in predictor.metadata.files]


def _compare_files(name: str, stored: Path, again: Path) -> Line:
    old, new = (folder / name for folder in (stored, again))
    if not new.exists():
        return Line(name, "", "missing", False)
    if old.read_bytes() == new.read_bytes():
        return Line(name, "", "to the last bit", True)
    if name == MODEL and canonical_bytes(onnx.load(old)) == canonical_bytes(onnx.load(new)):
        return Line(name, "", "the same graph and weights, in another order", True)
    return Line(name, f"{old.stat().st_size:,} bytes", f"{new.stat().st_size:,} bytes", False)


# -------------------------------------------------------------------- causes


def _compare_causes(stored: Metadata, again: Metadata) -> list[Line]:
    old, new = stored.dataset, again.dataset
    lines = [
        _line("dataset", _identity(old), _identity(new)),
        _line("split", _split(old), _split(new)),
        _line("held-out examples", _held_out(stored), _held_out(again)),
        _line("seeds", _pairs(stored.seeds), _pairs(again.seeds)),
        _compare_commits(stored, again),
    ]
    names = dict.fromkeys((*stored.versions, *again.versions))
    versions = [
        _line(name, stored.versions.get(name, "-"), again.versions.get(name, "-")) for name in names
    ]
    different = [line for line in versions if not line.same]
    libraries = set(names) - {"capstone", "python", "platform"}
    shown = f"Capstone, Python, platform and {len(libraries)} libraries"
    return lines + (different or [Line("versions", shown, shown, True)])


def _line(what: str, stored: str, again: str) -> Line:
    return Line(what, stored, again, stored == again)


def _compare_commits(stored: Metadata, again: Metadata) -> Line:
    old, new = _commit(stored), _commit(again)
    # With uncommitted changes, the same commit may be different code.
    certain = all(
        both.git is not None and both.git.get("dirty") is False for both in (stored, again)
    )
    return Line("commit", old, new, (certain or None) if old == new else False)


def _identity(dataset: Mapping[str, Any]) -> str:
    rows, digest = dataset.get("rows_kept", "?"), str(dataset.get("sha256", "?"))[:12]
    return f"{dataset.get('name', '?')}, {rows} rows, SHA-256 {digest}…"


def _split(dataset: Mapping[str, Any]) -> str:
    return _pairs(dataset.get("split", {}))


def _held_out(metadata: Metadata) -> str:
    """Sum up the golden examples. They are rows of the test split: if they differ, the split does."""
    rows = [[example.instance, example.truth] for example in metadata.examples]
    digest = hashlib.sha256(json.dumps(rows, sort_keys=True).encode()).hexdigest()
    return f"{len(rows)} rows, SHA-256 {digest[:12]}…"


def _pairs(content: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in content.items())


def _commit(metadata: Metadata) -> str:
    git = metadata.git
    if git is None:
        return "unknown"
    dirty = {True: ", with uncommitted changes", None: ", changes unknown"}
    return f"{str(git.get('commit'))[:12]}{dirty.get(git.get('dirty'), '')}"
