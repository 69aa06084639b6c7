"""The sections of `train-conf.yml`: their keys, types, limits and defaults."""

import os
import re
from collections.abc import Callable
from datetime import date, datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    Strict,
    ValidationError,
    field_validator,
    model_validator,
)

from predict.contract.canonical import text_of, zone_of
from predict.contract.features import FeatureSettings
from predict.contract.notation import Decimal, Marks, Thousands
from predict.wording import shorten
from train.config.paths import join_path

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]
Rate = Annotated[float, Field(ge=0, lt=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Checksum = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Task = Literal["classification", "regression", "multilabel"]
DatePart = Literal["year", "month", "day", "weekday", "hour", "minute", "day_of_year"]
# Characters of a value or a key in a message.
MOST_SHOWN = 200
AIM = re.compile(r"none|f1|(recall|precision) *>= *(0\.\d+|1(?:\.0+)?)")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def shown(value: object) -> str:
    """Return a value for a message, cut if it is long.

    >>> len(shown("a" * 1000))
    201
    """
    return shorten(repr(value), MOST_SHOWN)


def _flattened(path: str, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        return {path: value}
    sections = [_flattened(f"{path}.{join_path([key])}", inner) for key, inner in value.items()]
    return {key: inner for section in sections for key, inner in section.items()}


def _as_list(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _as_text(value: object) -> object:
    # YAML reads the categories 1, 2 and 3 as numbers, and yes as true.
    return text_of(value) if isinstance(value, (int, float)) else value


def _as_path(value: object) -> object:
    if isinstance(value, Path) or (isinstance(value, str) and value.strip()):
        return os.path.expanduser(value)
    if value is None or isinstance(value, str):
        raise ValueError("expected a path, got nothing. Leave the key out for its default")
    quotes = ". Put it into quotes" if isinstance(value, (int, float)) else ""
    raise ValueError(f"expected a path, got {shown(value)}{quotes}")


LoosePath = Annotated[Path, Strict(False), BeforeValidator(_as_path)]


def _as_texts(value: object) -> object:
    return list(map(_as_text, value)) if isinstance(value, list) else value


def _as_scalar(value: object) -> object:
    if isinstance(value, (str, int, float)):
        return value
    quotes = ". Put a date into quotes" if isinstance(value, date) else ""
    if value is None:
        quotes = '. If the text is meant, quote it: "null"'
    raise ValueError(
        f"expected a text, a number, true or false, got {value if quotes else shown(value)}{quotes}"
    )


def _as_separator(value: object) -> object:
    separator = {"tab": "\t", r"\t": "\t"}.get(value, value) if isinstance(value, str) else value
    if (
        not isinstance(separator, str)
        or not re.fullmatch(r"[\t -~]", separator)
        or separator == '"'
    ):
        raise ValueError(f"expected one character such as ; or | or tab, got {value!r}")
    return separator


Scalar = Annotated[str | int | float | bool, BeforeValidator(_as_scalar)]
Name = Annotated[str, Field(min_length=1)]


class NumberNotation(_Section):
    """How numbers are written in a file."""

    # The mark before decimals.
    decimal: Decimal | None = None
    # The mark between thousands; a blank is any blank.
    thousands: Thousands | None = None
    # What stands before or after a number.
    unit: Annotated[str, Field(min_length=1)] | None = None

    @property
    def marks(self) -> Marks:
        """The three, as the contract has them."""
        return Marks(self.decimal, self.thousands, self.unit)

    @property
    def of_numbers(self) -> bool:
        """Whether numbers are written in another way than Python's."""
        return not self.marks.are_pythons

    @model_validator(mode="after")
    def _marks_differ(self) -> Self:
        if self.thousands is not None and self.thousands == (self.decimal or "."):
            raise ValueError(f"decimal and thousands must differ, got {self.thousands!r} for both")
        return self


class Notation(NumberNotation):
    """How values are written in a file: for all of its columns, or for one of them."""

    # What means a missing value, beside the empty cell and NA, null, ? and the like.
    missing: Annotated[list[str], BeforeValidator(_as_texts)] = []
    # For strptime, such as %d/%m/%Y; ISO 8601 is read without it.
    date_format: Annotated[str, Field(min_length=1)] | None = None
    # The zone in which parts of dates are read: UTC, +02:00, Europe/Berlin.
    timezone: str | None = None

    @property
    def of_dates(self) -> bool:
        """Whether something is declared about dates."""
        return bool(self.date_format or self.timezone)

    @field_validator("date_format")
    @classmethod
    def _is_a_format(cls, value: str | None) -> str | None:
        if value is not None:
            day = datetime(2022, 1, 13)
            try:
                is_one = datetime.strptime(day.strftime(value), value) == day
            except ValueError:
                is_one = False
            if not is_one:
                raise ValueError(
                    f"expected a format of strptime with day, month and year, got {value!r}"
                )
        return value

    @field_validator("timezone")
    @classmethod
    def _is_a_zone(cls, value: str | None) -> str | None:
        zone_of(value)
        return value


class ColumnConfig(Notation):
    """What is declared for one column of a table; training data is checked against it."""

    # None: inferred from the values, or from what else is declared.
    type: Literal["number", "category", "text", "date", "ignore"] | None = None
    # The least value of a number that is right.
    minimum: float | None = None
    # The largest value of a number that is right.
    maximum: float | None = None
    # The only values that are right.
    categories: Annotated[list[str], BeforeValidator(_as_texts), Field(min_length=1)] | None = None
    # The largest share of the rows that may have no value.
    max_missing: Annotated[float, Field(ge=0, le=1)] | None = None

    @property
    def kind(self) -> str | None:
        """The declared type; limits alone imply a number, categories alone a category.

        >>> ColumnConfig(minimum=0).kind
        'number'
        """
        if self.type is None and (self.minimum, self.maximum) != (None, None):
            return "number"
        if self.type is None and self.categories is None and (self.of_numbers or self.of_dates):
            return "number" if self.of_numbers else "date"
        return "category" if self.type is None and self.categories else self.type

    @model_validator(mode="after")
    def _fits_together(self) -> "ColumnConfig":
        if self.kind != "number" and (self.minimum, self.maximum) != (None, None):
            raise ValueError(f"minimum and maximum are for a number, not for type: {self.type}")
        if self.kind != "category" and self.categories is not None:
            raise ValueError(f"categories are for type: category, not for a {self.kind}")
        if self.of_numbers and self.kind != "number":
            raise ValueError(f"decimal, thousands and unit are for a number, not for a {self.kind}")
        if self.of_dates and self.kind != "date":
            raise ValueError(f"date_format and timezone are for a date, not for a {self.kind}")
        if self.type == "ignore" and self.max_missing is not None:
            raise ValueError("max_missing is not for a column that is ignored")
        if None not in (self.minimum, self.maximum) and self.minimum > self.maximum:  # type: ignore[operator]
            raise ValueError(f"minimum {self.minimum:g} is above maximum {self.maximum:g}")
        if len(set(self.categories or ())) < len(self.categories or ()):
            raise ValueError("categories: one is given twice")
        return self


def _as_column(value: object) -> object:
    return {"type": value} if isinstance(value, str) else value


class Columns(Notation):
    """Which columns of the dataset are what, and how their values are written."""

    label: str = "label"
    # How the label is written, where it is a number that is to be predicted.
    label_notation: NumberNotation = NumberNotation()
    # What separates the labels in one cell.
    separator: Annotated[str, Field(min_length=1)] = ","
    text: Annotated[list[str], BeforeValidator(_as_list), Field(min_length=1)] | None = None
    inputs: dict[Name, Annotated[ColumnConfig, BeforeValidator(_as_column)]] = {}

    def notation_of(self, name: str) -> Notation:
        """Return how a column is written: as declared for it, or else for all columns."""
        own = self.inputs.get(name, ColumnConfig())
        keys = {key: getattr(own, key) or getattr(self, key) for key in Notation.model_fields}
        keys |= self._numbers_with(own).model_dump()
        return Notation(**keys | {"missing": [*self.missing, *own.missing]})

    @property
    def notation_of_label(self) -> NumberNotation:
        """How the label is written: as declared for it, or else for all columns."""
        return self._numbers_with(self.label_notation)

    def _numbers_with(self, own: NumberNotation) -> NumberNotation:
        of_marks = own if own.decimal or own.thousands else self  # these two belong together
        return NumberNotation(
            decimal=of_marks.decimal, thousands=of_marks.thousands, unit=own.unit or self.unit
        )

    @model_validator(mode="after")
    def _are_what_they_are_once(self) -> "Columns":
        if self.label in (*(self.text or ()), *self.inputs):
            raise ValueError(f"{self.label!r} is the label (columns.label) and cannot be an input")
        for name in self.text or ():
            kind = self.inputs[name].kind if name in self.inputs else None
            if kind not in (None, "text"):
                raise ValueError(f"{name!r} is in text, but {kind} in inputs")
        return self


class ModelConfig(_Section):
    """The model: its pipeline, and every other key as a parameter of the function that makes the pipeline."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Any] = Field(init=False)

    pipeline: Annotated[str, Field(min_length=1)] | None = None

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the parameters of the pipeline."""
        return dict(self.__pydantic_extra__)


class FeatureConfig(_Section):
    """One column computed from others: exactly one of `ratio`, `cross`, `bins` and `date`."""

    # Two columns: the first divided by the second.
    ratio: Annotated[list[str], Field(min_length=2, max_length=2)] | None = None
    # Columns whose values together are a category.
    cross: Annotated[list[str], Field(min_length=2)] | None = None
    # A number whose range, between the edges, is a category.
    bins: str | None = None
    # Where one range ends and the next begins, ascending.
    edges: Annotated[list[float], Field(min_length=1)] | None = None
    # A date of which one part is a number.
    date: str | None = None
    # Which part; Monday is 0.
    part: DatePart | None = None

    @model_validator(mode="after")
    def _is_one_kind(self) -> "FeatureConfig":
        kinds = ("ratio", "cross", "bins", "date")
        declared = [kind for kind in kinds if getattr(self, kind) is not None]
        if len(declared) != 1:
            raise ValueError(
                f"expected exactly one of {', '.join(kinds)}, got {' and '.join(declared) or 'none'}"
            )
        if (self.bins is None) != (self.edges is None):
            raise ValueError("bins and edges belong together, such as {bins: age, edges: [18, 65]}")
        if (self.date is None) != (self.part is None):
            raise ValueError("date and part belong together, such as {date: sold_on, part: month}")
        if self.edges is not None and sorted(set(self.edges)) != self.edges:
            raise ValueError("edges must ascend")
        return self


class ImbalanceConfig(_Section):
    """What is done about rare labels, to the training rows only."""

    class_weights: Literal["none", "balanced"] = "none"
    # A label keeps at most this many times the rows of the rarest one.
    under_sample: Annotated[float, Field(ge=1)] | None = None


class Cost(_Section):
    """What a mistake costs: a false alarm, and a missed positive."""

    # A false alarm.
    fp: Annotated[float, Field(ge=0)]
    # A missed positive.
    fn: Annotated[float, Field(ge=0)]


class CostAim(_Section):
    """The threshold with the least cost."""

    cost: Cost


class AccuracyAim(_Section):
    """The lowest score above which this share of the answers is right."""

    # Of the answers that are sure.
    accuracy: Share


class ScopeAim(_Section):
    """Answers to what is unlike the training rows are unsure; so many of the other answers are given up for that."""

    # The share of the other answers, those within the scope, that become unsure.
    given_up: Annotated[float, Field(gt=0, le=0.5)] = 0.05
    # A label that means none of the labels; None: there is none.
    none_label: Annotated[str, BeforeValidator(_as_text)] | None = None


def _with_auto(value: object) -> object:
    return ScopeAim() if value == "auto" else value


class DecisionConfig(_Section):
    """How probabilities become an answer; thresholds are chosen on the validation rows."""

    # None: f1 for multilabel, none otherwise.
    aim: str | CostAim | None = None
    positive: Annotated[str, BeforeValidator(_as_text)] | None = None
    # Answers with a lower score are unsure: a score, or the accuracy that the other answers must have; or those to what
    # is unlike the training rows.
    unsure_below: Share | AccuracyAim | ScopeAim | None = None

    @field_validator("unsure_below", mode="wrap")
    @classmethod
    def _is_a_score(
        cls, value: object, validate: Callable[[object], Any]
    ) -> float | AccuracyAim | ScopeAim | None:
        try:
            unsure_below: float | AccuracyAim | ScopeAim | None = validate(_with_auto(value))
        except ValidationError:
            raise ValueError(
                "expected a score between 0 and 1, {accuracy: 0.95}, auto, or {given_up: 0.05} with a number up to "
                f"0.5 and perhaps a none_label, got {shown(value)}"
            ) from None
        return unsure_below

    @field_validator("aim", mode="wrap")
    @classmethod
    def _is_an_aim(cls, value: object, validate: Callable[[object], Any]) -> str | CostAim | None:
        try:
            aim: str | CostAim | None = validate(value)
        except ValidationError:
            aim = ""
        if isinstance(aim, str) and not AIM.fullmatch(aim):
            raise ValueError(
                'expected none, f1, "recall>=0.9", "precision>=0.9" or {cost: {fp: 1, fn: 50}}, '
                f"got {shown(value)}"
            )
        return aim


class EvaluationConfig(_Section):
    """What is measured, beyond the test metrics, and what a run must reach."""

    # Cross-validation on the rows outside the test split; 0 for none.
    folds: Annotated[int, Field(ge=0, le=100)] = 0
    # How often a regression's prediction interval should hold the true value.
    interval: Share | None = None
    # What a run must reach to become `latest`, such as {accuracy: ">=0.9"}.
    gate: dict[str, str] = {}
    # Columns whose values group the test rows for measuring; empty: chosen by their types.
    slices: list[str] = []

    @model_validator(mode="after")
    def _is_more_than_one(self) -> "EvaluationConfig":
        if self.folds == 1:
            raise ValueError("folds must be 0 for none, or at least 2")
        return self


class MustBe(_Section):
    """An instance whose answer is known."""

    # A value for each column.
    instance: dict[str, Any] | None = None
    # The text, for a model that reads one.
    text: str | None = None
    # The label that must be answered.
    label: Annotated[str, BeforeValidator(_as_text)] | None = None
    # The least number that may be answered.
    minimum: float | None = None
    # The largest number that may be answered.
    maximum: float | None = None

    @model_validator(mode="after")
    def _says_what_of_what(self) -> "MustBe":
        if (self.instance is None) == (self.text is None):
            raise ValueError("expected either an instance or a text")
        if (self.label is None) == (self.minimum is None and self.maximum is None):
            raise ValueError("expected either a label, or a minimum, a maximum or both")
        return self


class Direction(_Section):
    """What a change of one column must not make smaller (`up`) or larger (`down`)."""

    # The column that is changed.
    column: str
    # up: the answer must not become smaller; down: it must not become larger.
    expect: Literal["up", "down"]
    # What is added to a number.
    by: float | None = None
    # What a category becomes.
    to: Annotated[str, BeforeValidator(_as_text)] | None = None
    # The label whose probability is looked at.
    label: Annotated[str, BeforeValidator(_as_text)] | None = None

    @model_validator(mode="after")
    def _is_one_change(self) -> "Direction":
        if (self.by is None) == (self.to is None):
            raise ValueError("expected either `by`, for a number, or `to`, for a category")
        return self


class BehaviourConfig(_Section):
    """What the model must do whatever its metrics are."""

    must_be: list[MustBe] = []
    invariant_to: list[Literal["case", "spacing", "typos"]] = []
    swaps: list[
        Annotated[list[str], BeforeValidator(_as_texts), Field(min_length=2, max_length=2)]
    ] = []
    # Changes of one column that must not make the answer smaller, or larger.
    directions: list[Direction] = []


class TrackingConfig(_Section):
    """Optional trackers that are told of every run."""

    # An address, sqlite:///mlflow.db or a folder.
    mlflow: Annotated[str, Field(min_length=1)] | None = None
    # A folder for logs of TensorBoard.
    tensorboard: LoosePath | None = None


class SearchConfig(_Section):
    """Which values of which keys are tried. A key with a dot in it is a parameter: `model.C: [0.1, 1]`."""

    method: Literal["grid", "random"] = "grid"
    # For a random search.
    trials: Count = 10
    # Each trial is cross-validated; 1 for the validation rows alone.
    folds: Annotated[int, Field(ge=1, le=20)] = 3
    # None: log_loss, rmse or micro_f1, by the task.
    metric: str | None = None
    # The chance of a random search and of its folds.
    seed: Annotated[int, Field(ge=0)] = 0
    parameters: Annotated[dict[str, Annotated[list[Any], Field(min_length=1)]], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _gather_parameters(cls, content: object) -> object:
        if not isinstance(content, dict):
            return content
        rest = dict(content)
        gathered: dict[str, object] = {}
        for key, value in content.items():
            # `--set search.model.C=[0.1,1]` comes as one within the other.
            if key not in cls.model_fields and ("." in str(key) or isinstance(value, dict)):
                gathered |= _flattened(str(key), rest.pop(key))
        parameters = rest.get("parameters", {})
        if gathered and isinstance(parameters, dict):
            rest["parameters"] = parameters | gathered
        return rest


class SplitConfig(_Section):
    """The parts of the rows: by chance in shares of all rows, or as a file, a column, groups or dates say.

    Training gets the rest. A dataset with a test split of its own keeps it.
    """

    # A share of all rows, or a file of test rows: a path or a URL.
    test: Share | Name = 0.2
    validation: Share = 0.08
    # The chance by which rows are drawn.
    seed: Annotated[int, Field(ge=0)] = 0
    # A column with the values train, validation and test.
    column: Name | None = None
    # A column whose values must not be in two parts, such as a person.
    by: Name | None = None
    # A column of dates or numbers: the newest rows are the test.
    by_time: Name | None = None

    @property
    def test_file(self) -> str | None:
        """The file of test rows, if there is one."""
        return self.test if isinstance(self.test, str) else None

    @property
    def test_share(self) -> float:
        """The share of all rows that the test split gets; 0 if it has a file of its own."""
        return 0.0 if isinstance(self.test, str) else self.test

    @property
    def by_chance(self) -> bool:
        """Whether nothing but shares and a seed is configured."""
        return self.test_file is self.column is self.by is self.by_time is None

    @field_validator("test", mode="wrap")
    @classmethod
    def _is_a_share_or_a_file(
        cls, value: object, validate: Callable[[object], float | str]
    ) -> float | str:
        expected = "expected a number above 0 and below 1, or a file of test rows"
        try:
            test = validate(value)
        except ValidationError:
            raise ValueError(f"{expected}, got {value!r}") from None
        if isinstance(test, str) and re.fullmatch(r"\s*[-+.\d]+\s*%?\s*", test):
            raise ValueError(
                f"{expected}, got the text {test!r}. Write a share without quotes: 0.2"
            )
        return test

    @model_validator(mode="after")
    def _fits_together(self) -> "SplitConfig":
        if self.test_share + self.validation >= 1:
            raise ValueError(
                "test and validation must leave rows to train on; their sum must be below 1"
            )
        ways = ["test (a file)"] if self.test_file else []
        ways += [key for key in ("column", "by", "by_time") if getattr(self, key) is not None]
        if len(ways) > 1:
            raise ValueError(
                f"{' and '.join(ways)} each say which rows are the test. Keep one of them"
            )
        return self


class FileSource(_Section):
    """A file beside the dataset: a path, a URL, or `package:NAME/PATH`, a file of an installed package."""

    # A path, `package:NAME/PATH` of an installed package, or a URL, which needs its checksum.
    file: Name
    # The checksum that the file must have.
    sha256: Checksum | None = None

    @property
    def is_url(self) -> bool:
        """Whether it must be downloaded."""
        return self.file.startswith(("http://", "https://"))

    @model_validator(mode="after")
    def _is_checked(self) -> Self:
        if self.is_url and self.sha256 is None:
            raise ValueError(
                "a download needs its checksum: {file: https://…, sha256: <64 hexadecimal digits>}"
            )
        return self


def _as_file(value: object) -> object:
    return value if isinstance(value, (dict, FileSource)) else {"file": str(_as_path(value))}


PretrainedFile = Annotated[FileSource, BeforeValidator(_as_file)]


class EncoderConfig(_Section):
    """A pretrained encoder of whole texts, which the text model reads beside its own features."""

    # A network (.onnx), or vectors of word pieces (.safetensors).
    model: PretrainedFile
    # None: tokenizer.json or vocab.txt beside the model.
    tokenizer: PretrainedFile | None = None
    # None: what lies beside the model, or belongs to its package.
    licence: PretrainedFile | None = None
    # Word pieces of a text that are read, from the start.
    max_tokens: Annotated[int, Field(ge=3, le=8_192)] = 128


class EmbeddingConfig(_Section):
    """The gensim vectors that the Keras embedding starts from, and what is joined to them."""

    algorithm: Literal["fasttext", "word2vec"] = "fasttext"
    # Numbers of each vector.
    vector_size: Annotated[int, Field(ge=1, le=1024)] = 64
    window: Count = 5
    min_count: Count = 1
    # At most: of more than 600,000 words fewer, and of more than three million one on a part of the texts.
    epochs: Count = 5
    pretrained: PretrainedFile | None = None
    encoder: EncoderConfig | None = None


class TrainingConfig(_Section):
    """How the Keras model is fitted."""

    # At most: training ends when the validation loss has stopped falling.
    epochs: Count = 60
    # None: a hundredth of the texts, from 16 to 128.
    batch_size: Count | None = None
    # Adam's at first; None: 0.001 for batches of 16, and with the root of their size.
    learning_rate: Positive | None = None
    # C of the linear support vector machines of the wide part.
    wide_penalty: Positive = 0.3
    hidden_size: Count = 128
    deep_dropout: Rate = 0.7
    hidden_dropout: Rate = 0.5
    # How often the rate is lowered before training ends.
    patience: Annotated[int, Field(ge=0)] = 2
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0


class TrainConfig(_Section):
    """The whole of `train-conf.yml`, defaults filled in."""

    # None: what the catalogue says for the dataset; classification for a file.
    task: Task | None = None
    dataset: Annotated[str, Field(min_length=1)]
    offline: str | None = None
    sha256: Checksum | None = None
    encoding: str = "utf-8"
    # None: by the ending of the file, or sniffed if its header has none of that.
    separator: Annotated[str, BeforeValidator(_as_separator)] | None = None
    # Whether quotation marks in CSV and TSV enclose fields. auto: where that is evident.
    quotes: Literal["auto", "enclose", "literal"] = "auto"
    # The sheet of an Excel workbook; None: the first.
    sheet: Annotated[str, BeforeValidator(_as_text), Field(min_length=1)] | None = None
    # The largest file that is read, once it is unpacked.
    max_dataset_bytes: Count = 2_000_000_000
    columns: Columns | None = None
    where: dict[str, Scalar] = {}
    min_samples_per_label: Count = 5
    split: SplitConfig = SplitConfig()
    imbalance: ImbalanceConfig = ImbalanceConfig()
    decision: DecisionConfig = DecisionConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    behaviour: BehaviourConfig | None = None
    search: SearchConfig | None = None
    # For tables.
    model: ModelConfig = ModelConfig()
    # temperature: scale the probabilities to be right as often as they say, by rows held out of further fits.
    calibration: Literal["none", "temperature"] = "temperature"
    features: dict[Name, FeatureConfig] = {}
    # For the text model.
    text_features: FeatureSettings = FeatureSettings()
    embeddings: EmbeddingConfig = EmbeddingConfig()
    training: TrainingConfig = TrainingConfig()
    tracking: TrackingConfig = TrackingConfig()
    data_dir: LoosePath = Path("data/raw")
    artefacts_dir: LoosePath = Path("data/artefacts")

    _folder: Path | None = None

    @property
    def folder(self) -> Path | None:
        """The folder of the file that it was read from, if it was; only messages need it."""
        return self._folder

    def __eq__(self, other: object) -> bool:
        """Compare what they say; where they were read does not matter."""
        return isinstance(other, TrainConfig) and self.__dict__ == other.__dict__

    def remember_folder(self, folder: Path) -> None:
        """Set what `folder` is."""
        self._folder = folder

    @property
    def scope_aim(self) -> ScopeAim | None:
        """How much is given up to tell what is out of scope; None if that is not asked for."""
        unsure_below = self.decision.unsure_below
        return unsure_below if isinstance(unsure_below, ScopeAim) else None

    @property
    def keeps_validation(self) -> bool:
        """Whether something is chosen on validation rows that the model must not have seen."""
        return (
            self.decision.aim not in (None, "none")
            or isinstance(self.decision.unsure_below, AccuracyAim)
            or self.evaluation.interval is not None
        )
