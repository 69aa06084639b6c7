"""The scope of the text model: which signs tell texts of none of its labels. No Keras here."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.preprocessing import StandardScaler

from predict.contract.familiarity import TextFamiliarity, signs_of
from train.data.dataset import Dataset
from train.data.splits import Prepared
from train.features.feature_table import Design
from train.features.text_design import TextDesign
from train.models import scope
from train.models.decision import Values
from train.models.scope import Rows, Scope
from train.models.text.targets import as_yes_and_no
from train.models.text.wide import fit_wide
from train.progress import Progress

if TYPE_CHECKING:
    from train.models.text.model import TextModel

# Fits of a trial, and rows outside the scope that it is asked about, are bounded.
_MOST_FITTED, _MOST_ASKED = 10_000, 5_000
# Validation texts that say where the line is; fewer are replaced by so many folds.
_ENOUGH_HELD_OUT, _FOLDS = 500, 10
# Labels that must be left: the margins of two mirror each other.
FEWEST_KEPT, FEWEST_LABELS = 3, 5

Floats = npt.NDArray[np.float32]


def find_scope(prepared: Prepared, model: "TextModel", progress: Progress) -> Scope:
    """Leave labels out in turn, and fit what tells their texts; then choose from where on a text is familiar.

    A trial fits the wide head alone. Words and n-grams that only left-out or validation texts have are made unknown.
    Whatever a trial measures of its texts is then measured by wide heads of all labels, of texts that these have not
    seen, to choose from where on a text is familiar, so that as many as asked are given up.
    """
    aim, dataset = prepared.config.scope_aim, prepared.dataset
    assert aim is not None
    none = scope.none_label(prepared, progress)
    tried = list(scope.trials(prepared, none, FEWEST_KEPT))
    texts = _Texts(prepared, model)
    every = np.setdiff1d(np.arange(len(dataset.label_names)), [] if none is None else [none])
    held_out = list(_held_out(prepared, every))
    asked = []
    with progress.bar("fits of the wide head", len(tried) + len(held_out)) as advance:
        for trial in (*tried, *held_out):
            asked.append(texts.ask(trial))
            advance()
    found = asked[: len(tried)]
    within = np.concatenate([one.within for one in asked[len(tried) :]])
    weights = _fit_weights(found)
    # Each trial is judged by what the other trials taught.
    judged = [
        _judge(one, _fit_weights([other for other in found if other is not one] or found), aim)
        for one in found
    ]
    numbers = [len(one.outside) for one in found]
    evidence = scope.described(prepared, none, tried) | scope.pooled(
        judged, numbers, ("auroc", "recall", "recall_of_margin")
    )
    familiarity = _serve(texts, model, every, weights)
    return Scope(
        familiarity,
        lambda of_dataset, rows: _familiarity_of(model, familiarity, of_dataset, rows),
        scope.lowest_familiar(within @ weights[:4] + weights[4], aim.given_up),
        evidence,
    )


def _held_out(prepared: Prepared, every: npt.NDArray[np.int64]) -> Iterator[scope.Trial]:
    """Yield fits of all labels, with texts to ask about: the validation texts, or all in turn where these are few.

    The twentieth part of 128 texts is six: of three sets of 2,000 titles, 1.6 to 11 % of the answers were given up
    instead of 5 %.
    """
    split, division, nobody = prepared.split, prepared.dataset.division, np.zeros(0, np.int64)
    halves = [(split.train, split.validation)]
    if (
        len(split.validation) < _ENOUGH_HELD_OUT
        and division.groups is None
        and division.times is None
    ):
        known = prepared.known
        folds = KFold(_FOLDS, shuffle=True, random_state=prepared.config.training.seed)
        halves = [(known[rest], known[fold]) for rest, fold in folds.split(known)]
    for fit, asked in halves:
        within = asked[np.isin(prepared.dataset.targets[asked], every)]
        yield scope.Trial(every, fit, within, nobody)


@dataclass(frozen=True)
class _Asked:
    """What a trial's model says of texts: the signs that `weights` are of, and the plain margin between two labels."""

    within: Values
    outside: Values
    plain_within: Values
    plain_outside: Values


class _Texts:
    """The weighed texts outside the test split, and what they have."""

    def __init__(self, prepared: Prepared, model: "TextModel") -> None:
        dataset, known = prepared.dataset, prepared.known
        self._random = np.random.default_rng(prepared.config.training.seed)
        self._config, self._of_texts = prepared.config.training, model.design
        self._place = np.full(len(dataset), -1)
        self._place[known] = np.arange(len(known))
        self.design = model.design.of(dataset.texts(known))
        self.labels = dataset.targets[known]
        self._targets = as_yes_and_no(dataset, known)
        self._oov = model.unknown_share(dataset, known)
        self._num_words = len(model.design.features.vocabulary)

    def ask(self, trial: scope.Trial) -> _Asked:
        """Fit a wide head for the labels of a trial, and ask it about the other texts of the trial."""
        fit = self._place[self._some(trial.fit, _MOST_FITTED)]
        # A text of another label (none of these) is an example of what a kept label is not.
        targets = self._targets[fit][:, trial.kept]
        ones = np.ones(len(fit), np.float32)
        wide, bias = fit_wide(
            self.design[fit], targets, ones, self._config.wide_penalty, self._config.seed
        )
        seen = np.zeros(self.design.shape[1], np.float32)
        seen[self.design[fit].indices] = 1
        has_label = targets.any(axis=1)
        directions = directions_of(
            self.design[fit[has_label]] @ wide, targets[has_label].argmax(axis=1), len(trial.kept)
        )
        sides = []
        for rows in (trial.within, self._some(trial.outside, _MOST_ASKED)):
            design = self.design[self._place[rows]]
            margins = _margins(design, self._of_texts, wide, seen)
            signs = signs_of(margins, bias, directions)
            unknown = self._unknown_shares(design, self._oov[self._place[rows]], seen)
            ranked = np.sort(margins + bias, axis=1)
            sides.append((np.column_stack([signs, unknown]), ranked[:, -1] - ranked[:, -2]))
        (within, plain_within), (outside, plain_outside) = sides
        return _Asked(within, outside, plain_within, plain_outside)

    def _some(self, rows: Rows, most: int) -> Rows:
        return rows if len(rows) <= most else np.sort(self._random.choice(rows, most, False))

    def _unknown_shares(self, design: Design, oov: Values, seen: Floats) -> Values:
        """Return the share of words that a model fitted on some texts would not know.

        Words have the rows from 1 on. They are counted once a text.
        """
        has = design[:, 1 : 1 + self._num_words].copy()
        has.data[:] = 1
        words = np.asarray(has.sum(axis=1)).ravel()
        known = has @ seen[1 : 1 + self._num_words]
        shares: Values = 1 - (1 - oov) * known / np.maximum(words, 1)
        return shares


def _margins(design: Design, of_texts: TextDesign, wide: Floats, seen: Floats) -> Floats:
    """Return the margins of texts, without bias, as if features that nobody has seen had no row.

    Their weights are 0, and the length of a text must not count them either. Tokens have the first rows, then come
    n-grams, then what an encoder says: that is the same whoever has seen the text.
    """
    ngrams, end = 1 + int(np.count_nonzero(of_texts.table.idf[:, 0])), len(of_texts.table.idf)
    margins: Floats = np.asarray(design[:, end:] @ wide[end:], np.float32)
    for some in (slice(ngrams), slice(ngrams, end)):
        part, weights, is_seen = design[:, some], wide[some], seen[some]
        squares = part.multiply(part).tocsr()
        all_of_it, seen_of_it = np.asarray(squares.sum(axis=1)).ravel(), squares @ is_seen
        scales = np.sqrt(all_of_it / np.maximum(seen_of_it, 1e-9))
        margins += (part @ weights) * np.where(seen_of_it > 0, scales, 0)[:, np.newaxis]
    return margins


def directions_of(margins: Floats, labels: npt.NDArray[Any], num_labels: int) -> Floats:
    """Return the mean direction of the margins of each label's texts, <float32>[num_labels, num_labels]."""
    units = _unit(margins)
    sums = np.zeros((num_labels, margins.shape[1]), np.float32)
    np.add.at(sums, labels, units)
    return _unit(sums)


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.maximum(
        np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-9)
    )
    return unit


def _fit_weights(found: Sequence[_Asked]) -> Values:
    """Return the weights of the signs and a constant, <float64>[5].

    They are those of a logistic regression to which both sides weigh the same.
    """
    within = np.concatenate([one.within for one in found])
    outside = np.concatenate([one.outside for one in found])
    truth = np.r_[np.ones(len(within)), np.zeros(len(outside))]
    scaler = StandardScaler()
    signs = scaler.fit_transform(np.concatenate([within, outside]).astype(np.float64))
    model = LogisticRegression(class_weight="balanced").fit(signs, truth)
    weights = model.coef_[0] / scaler.scale_
    return np.append(weights, model.intercept_[0] - weights @ scaler.mean_)


def _judge(one: _Asked, weights: Values, aim: Any) -> dict[str, float]:
    within, outside = (signs @ weights[:4] + weights[4] for signs in (one.within, one.outside))
    plain = scope.detection(one.plain_within, one.plain_outside, aim.given_up)
    return scope.detection(within, outside, aim.given_up) | {"recall_of_margin": plain["recall"]}


def _serve(
    texts: _Texts, model: "TextModel", columns: npt.NDArray[np.int64], weights: Values
) -> TextFamiliarity:
    """Return what is served, of the heads that were fitted on all texts outside the test split."""
    has_label = np.isin(texts.labels, columns)
    margins = (texts.design[has_label] @ model.heads.wide)[:, columns]
    labels = np.searchsorted(columns, texts.labels[has_label])
    directions = directions_of(margins, labels, len(columns))
    width = len(model.heads.wide_bias)
    bias, encoder = model.heads.wide_bias[columns], model.heads.wide[model.heads.table_rows :]
    return TextFamiliarity(columns, bias, directions, weights, encoder, width)


def _familiarity_of(
    model: "TextModel", familiarity: TextFamiliarity, dataset: Dataset, rows: Rows
) -> Values:
    """Return how familiar texts are, as a server tells it, <float64>[num_rows]."""
    margins = model.design.of(dataset.texts(rows)) @ model.heads.wide
    unknown = model.unknown_share(dataset, rows)
    values = familiarity.of_margins(margins, unknown)
    return np.where(unknown == 1, -np.inf, values)
