"""The named datasets: where they are, what proves that a download is whole, whose they are, how they are read."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

_STACKOVERFLOW = "https://raw.githubusercontent.com/jacoxu/StackOverflow/7c207f51e649fff9e4736610b9d44431bb7ccf00/rawText"
_AG_NEWS = (
    "https://raw.githubusercontent.com/mhjabreel/CharCnn_Keras/"
    "555590db4219b1243abb1918effd6a7425a2d75f/data/ag_news_csv"
)
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
    text: tuple[str, ...]
    label: str
    files: tuple[RemoteFile, ...]
    # Paths of the files in order (of the cache folder for an embedded dataset) -> a table of strings.
    read: Callable[[Sequence[Path]], pd.DataFrame]


def _read_stackoverflow(paths: Sequence[Path]) -> pd.DataFrame:
    titles = paths[0].read_text(encoding="utf-8").splitlines()
    tags = [
        _STACKOVERFLOW_TAGS[int(line) - 1] for line in paths[1].read_text(encoding="utf-8").split()
    ]
    return pd.DataFrame({"title": titles, "tag": tags})


def _read_sms(paths: Sequence[Path]) -> pd.DataFrame:
    # Messages hold lone quotation marks: nothing is quoted in this file (csv.QUOTE_NONE is 3).
    return pd.read_csv(
        paths[0], sep="\t", names=["label", "message"], dtype=str, keep_default_na=False, quoting=3
    )


def _read_ag_news(paths: Sequence[Path]) -> pd.DataFrame:
    names = ["class", "title", "description"]
    parts = [pd.read_csv(path, names=names, dtype=str, keep_default_na=False) for path in paths]
    for part, is_test in zip(parts, (False, True), strict=True):
        part[OWN_TEST_SPLIT] = is_test
    frame = pd.concat(parts, ignore_index=True)
    frame["topic"] = [_AG_NEWS_TOPICS[int(number) - 1] for number in frame.pop("class")]
    return frame


def _read_docstrings(paths: Sequence[Path]) -> pd.DataFrame:
    from train.docstrings import read_docstrings

    return read_docstrings(paths[0])


_ENTRIES = (
    CatalogueEntry(
        name="stackoverflow",
        rows="20,000",
        about="question titles, 20 tags",
        licence="StackOverflow via Kaggle, CC BY-SA; Xu et al., NAACL 2015 VSM workshop",
        text=("title",),
        label="tag",
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
        rows="about 20,000",
        about="first paragraphs of docstrings of installed Python libraries: which library is it (embedded)",
        licence="the libraries' own (BSD, MIT, Apache, LGPL); read from the installed files, not redistributed",
        text=("paragraph",),
        label="library",
        files=(),
        read=_read_docstrings,
    ),
    CatalogueEntry(
        name="sms-spam",
        rows="5,574",
        about="text messages, ham or spam (13 %)",
        licence="UCI SMS Spam Collection, CC BY 4.0",
        text=("message",),
        label="label",
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
        text=("title", "description"),
        label="topic",
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
)

CATALOGUE = {entry.name: entry for entry in _ENTRIES}
