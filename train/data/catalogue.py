"""The catalogue of datasets: each one's name, address, checksum, licence and reader.

The command line lists it, so pandas and scikit-learn are imported only where something is read.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from train.config import TrainConfig
from train.config.sections import ColumnConfig, Columns, Task

if TYPE_CHECKING:
    import pandas as pd

_STACKOVERFLOW = "https://raw.githubusercontent.com/jacoxu/StackOverflow/7c207f51e649fff9e4736610b9d44431bb7ccf00/rawText"
_AG_NEWS = (
    "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/"
    "555590db4219b1243abb1918effd6a7425a2d75f/data/ag_news_csv"
)
_CREDITCARD = "https://storage.googleapis.com/download.tensorflow.org/data/creditcard.csv"
_AGERON = "https://raw.githubusercontent.com/ageron/data/2ea73147454d2ff8c8a933913be4606f05b352ca"
_SMS = (
    "https://raw.githubusercontent.com/justmarkham/pycon-2016-tutorial/"
    "5339710562cc46c4a32a369d63f1e8751a18a54e/data/sms.tsv"
)

# The label file holds 1 to 20.
_STACKOVERFLOW_TAGS = [
    "wordpress",
    "oracle",
    "svn",
    "apache",
    "excel",
    "matlab",
    "visual-studio",
    "cocoa",
    "osx",
    "bash",
    "spring",
    "hibernate",
    "scala",
    "sharepoint",
    "ajax",
    "qt",
    "drupal",
    "linq",
    "haskell",
    "magento",
]
_AG_NEWS_TOPICS = ["World", "Sports", "Business", "Sci/Tech"]

# The column by which a reader marks the rows of a dataset's own test split.
OWN_TEST_SPLIT = "__test__"


@dataclass(frozen=True)
class RemoteFile:
    """One file of a dataset."""

    url: str
    sha256: str


@dataclass(frozen=True)
class CatalogueEntry:
    """One named dataset. `files` is empty for an embedded one, which needs no network."""

    name: str
    rows: str
    about: str
    licence: str
    columns: Columns
    files: tuple[RemoteFile, ...]
    # Paths of the files in order (of the cache folder for an embedded dataset) -> a table.
    read: "Callable[[Sequence[Path]], pd.DataFrame]"
    task: Task = "classification"


def _read_stackoverflow(paths: Sequence[Path]) -> "pd.DataFrame":
    import pandas as pd

    titles = paths[0].read_text(encoding="utf-8").splitlines()
    tags = [
        _STACKOVERFLOW_TAGS[int(line) - 1] for line in paths[1].read_text(encoding="utf-8").split()
    ]
    return pd.DataFrame({"title": titles, "tag": tags})


def _read_sms(paths: Sequence[Path]) -> "pd.DataFrame":
    import pandas as pd

    # Messages hold lone quotation marks: nothing is quoted in this file (csv.QUOTE_NONE is 3).
    return pd.read_csv(
        paths[0], sep="\t", names=["label", "message"], dtype=str, keep_default_na=False, quoting=3
    )


def _read_ag_news(paths: Sequence[Path]) -> "pd.DataFrame":
    import pandas as pd

    names = ["class", "title", "description"]
    parts = [pd.read_csv(path, names=names, dtype=str, keep_default_na=False) for path in paths]
    for part, is_test in zip(parts, (False, True), strict=True):
        part[OWN_TEST_SPLIT] = is_test
    frame = pd.concat(parts, ignore_index=True)
    frame["topic"] = [_AG_NEWS_TOPICS[int(number) - 1] for number in frame.pop("class")]
    return frame


def _read_docstrings(paths: Sequence[Path]) -> "pd.DataFrame":
    from train.data.docstrings import read_docstrings

    return read_docstrings(paths[0])


def _read_csv(paths: Sequence[Path]) -> "pd.DataFrame":
    import pandas as pd

    # pyarrow reads numbers as Python and JSON do, to the last bit; pandas' own parser may not.
    return pd.read_csv(paths[0], engine="pyarrow")


def _embedded(
    loader: str, label: str, **options: Any
) -> "Callable[[Sequence[Path]], pd.DataFrame]":
    """Return a reader of one of scikit-learn's own datasets, with its label under a name of ours."""

    def read(paths: Sequence[Path]) -> "pd.DataFrame":
        from sklearn import datasets

        loaded = getattr(datasets, loader)(as_frame=True, **options)
        target = loaded.target
        if "target_names" in loaded:
            target = target.map(dict(enumerate(loaded.target_names)))
        frame: pd.DataFrame = loaded.data.assign(**{label: target})
        return frame

    return read


def _types(**columns: Any) -> dict[str, ColumnConfig]:
    return {name: ColumnConfig(type=kind) for name, kind in columns.items()}


_SCIKIT_LEARN = "in scikit-learn (embedded); "

_ENTRIES = (
    CatalogueEntry(
        name="stackoverflow",
        rows="20,000",
        about="question titles, 20 tags",
        licence="StackOverflow via Kaggle, CC BY-SA; Xu et al., NAACL 2015 VSM workshop",
        columns=Columns(text=["title"], label="tag"),
        files=(
            RemoteFile(
                f"{_STACKOVERFLOW}/title_StackOverflow.txt",
                "56fdb3932c6a2e35c1943b8a3d3c1cf51901fc1139e51b1587091898ffb22e86",
            ),
            RemoteFile(
                f"{_STACKOVERFLOW}/label_StackOverflow.txt",
                "ac6b52afbf696611680f8ea944be682bcdf1979b62fde2b5fa2a9dcc6ab8d7d3",
            ),
        ),
        read=_read_stackoverflow,
    ),
    CatalogueEntry(
        name="docstrings",
        rows="about 18,500",
        about="first paragraphs of docstrings of installed Python libraries: which library is it (embedded)",
        licence="the libraries' own (BSD, MIT, Apache, LGPL); read from the installed files, not redistributed",
        columns=Columns(text=["paragraph"], label="library"),
        files=(),
        read=_read_docstrings,
    ),
    CatalogueEntry(
        name="sms-spam",
        rows="5,574",
        about="text messages, ham or spam (13 %)",
        licence="UCI SMS Spam Collection, CC BY 4.0",
        columns=Columns(text=["message"], label="label"),
        files=(
            RemoteFile(_SMS, "7d039a24a6083ed9ef0f806ebad56bbb976e3aeb8de05669173bfdc4996c239d"),
        ),
        read=_read_sms,
    ),
    CatalogueEntry(
        name="ag-news",
        rows="120,000 + 7,600",
        about="news titles and descriptions, 4 topics, own test split",
        licence="Zhang et al., NIPS 2015; research use",
        columns=Columns(text=["title", "description"], label="topic"),
        files=(
            RemoteFile(
                f"{_AG_NEWS}/train.csv",
                "76a0a2d2f92b286371fe4d4044640910a04a803fdd2538e0f3f29a5c6f6b672e",
            ),
            RemoteFile(
                f"{_AG_NEWS}/test.csv",
                "521465c2428ed7f02f8d6db6ffdd4b5447c1c701962353eb2c40d548c3c85699",
            ),
        ),
        read=_read_ag_news,
    ),
    CatalogueEntry(
        name="creditcard",
        rows="284,807",
        about="card transactions as 30 numbers: fraud (0.17 %) or not",
        licence="ULB Machine Learning Group via Kaggle, ODbL",
        columns=Columns(label="Class"),
        files=(
            RemoteFile(
                _CREDITCARD, "76274b691b16a6c49d3f159c883398e03ccd6d1ee12d9d8ee38f4b4b98551a89"
            ),
        ),
        read=_read_csv,
    ),
    CatalogueEntry(
        name="housing",
        rows="20,640",
        about="Californian districts of 1990: the median house value",
        licence="StatLib; Pace and Barry 1997",
        columns=Columns(label="median_house_value", inputs=_types(ocean_proximity="category")),
        files=(
            RemoteFile(
                f"{_AGERON}/housing/housing.csv",
                "2364609dc48bec7df3ba9dbb7041478e704ecddcee70ef1827ec3fc49d22c0cc",
            ),
        ),
        read=_read_csv,
        task="regression",
    ),
    CatalogueEntry(
        name="titanic",
        rows="891",
        about="passengers: who survived",
        licence="public; Encyclopedia Titanica via Kaggle",
        columns=Columns(
            label="Survived",
            inputs=_types(
                PassengerId="ignore",
                Name="ignore",
                Ticket="ignore",
                Cabin="ignore",
                Pclass="category",
                Sex="category",
                Embarked="category",
            ),
        ),
        files=(
            RemoteFile(
                f"{_AGERON}/titanic/train.csv",
                "14769fb1850e2d26d8e6db0ee49c213878040432827e39b13caaa15603c6598f",
            ),
        ),
        read=_read_csv,
    ),
    CatalogueEntry(
        name="breast-cancer",
        rows="569",
        about="30 measurements of cell nuclei: malignant or benign",
        licence=_SCIKIT_LEARN + "UCI Wisconsin Diagnostic, CC BY 4.0",
        columns=Columns(label="diagnosis"),
        files=(),
        read=_embedded("load_breast_cancer", "diagnosis"),
    ),
    CatalogueEntry(
        name="iris",
        rows="150",
        about="4 measurements of flowers, 3 species",
        licence=_SCIKIT_LEARN + "UCI, CC BY 4.0; Fisher 1936",
        columns=Columns(label="species"),
        files=(),
        read=_embedded("load_iris", "species"),
    ),
    CatalogueEntry(
        name="wine",
        rows="178",
        about="13 chemical measurements of wines, 3 cultivars",
        licence=_SCIKIT_LEARN + "UCI, CC BY 4.0",
        columns=Columns(label="cultivar"),
        files=(),
        read=_embedded("load_wine", "cultivar"),
    ),
    CatalogueEntry(
        name="diabetes",
        rows="442",
        about="10 measurements of patients: how far the disease had progressed a year later",
        licence=_SCIKIT_LEARN + "Efron et al., Annals of Statistics 2004",
        columns=Columns(label="progression", inputs=_types(sex="category")),
        files=(),
        read=_embedded("load_diabetes", "progression", scaled=False),
        task="regression",
    ),
)

CATALOGUE = {entry.name: entry for entry in _ENTRIES}


def complete(config: TrainConfig) -> TrainConfig:
    """Fill in the task and the columns that the catalogue has for the dataset; what is configured wins.

    >>> complete(TrainConfig(dataset="housing")).task
    'regression'
    """
    entry = CATALOGUE.get(config.dataset)
    task = config.task or (entry.task if entry else "classification")
    columns = _merged(entry.columns, config.columns) if entry else config.columns
    completed = config.model_copy(update={"task": task, "columns": columns})
    declared = config.task is not None and "task" in config.model_fields_set
    if not declared and entry is None:  # a guess is not what somebody declared
        completed.model_fields_set.discard("task")
    return completed


def _merged(known: Columns, declared: Columns | None) -> Columns:
    """Return the known columns, overridden by the declared ones."""
    if declared is None:
        return known
    merged = known.model_copy(
        update={name: getattr(declared, name) for name in declared.model_fields_set}
    )
    taken = {merged.label, *(merged.text or ()), *declared.inputs}
    rest = {name: column for name, column in known.inputs.items() if name not in taken}
    return merged.model_copy(update={"inputs": rest | declared.inputs})
