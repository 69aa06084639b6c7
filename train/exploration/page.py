"""The page about a file: its columns, and how their values are distributed, label by label."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from predict.wording import counted, listed, shorten
from train.exploration.profile import Profile
from train.reporting import pages, plots
from train.reporting.pictures import Picture

_LINES = 4
_BARS, _LONGEST = 12, 40
_PICTURES = 60
_OTHERS = "all others"

Groups = Mapping[str, "pd.Series[Any]"]


def render_page(profile: Profile, configuration: str) -> str:
    """Return the page as HTML; `configuration` is the first one for the file."""
    names = profile.of_kind("number", "category", "date", "text")
    groups = _groups(profile)
    pictures = [_labels(profile)]
    pictures += [_picture(profile, name, groups) for name in names[:_PICTURES]]
    return pages.render_page(
        "data.html",
        profile=profile,
        configuration=configuration,
        pictures=[picture for picture in pictures if picture is not None],
        left_out=names[_PICTURES:],
        by=_by(profile, groups),
    )


def _groups(profile: Profile) -> dict[str, "pd.Series[bool]"]:
    """Return which rows are drawn in which colour: by label, or by thirds of a number."""
    targets = profile.targets
    if profile.task == "regression":
        low, high = targets.quantile([1 / 3, 2 / 3])
        return {
            f"up to {low:,.4g}": targets <= low,
            "between": (targets > low) & (targets <= high),
            f"above {high:,.4g}": targets > high,
        }
    labels = list(profile.labels)
    drawn = labels if len(labels) <= _LINES else labels[: _LINES - 1]

    def has(label: str) -> "pd.Series[bool]":
        if profile.task == "multilabel":
            return targets.map(lambda of_row: label in of_row).astype(bool)
        return targets == label

    groups = {label: has(label) for label in drawn}
    if len(drawn) < len(labels):
        rest = ~pd.concat(groups.values(), axis=1).any(axis=1)
        groups[_OTHERS] = rest & (targets.map(len) > 0)
    return groups


def _by(profile: Profile, groups: Mapping[str, Any]) -> str:
    if profile.task == "regression":
        return f"by thirds of {profile.label}"
    others = (
        f"; {counted(len(profile.labels) - _LINES + 1, 'label')} together"
        if _OTHERS in groups
        else ""
    )
    return f"by {profile.label}{others}"


def _labels(profile: Profile) -> Picture | None:
    if profile.task == "regression":
        targets = profile.targets.dropna()
        title = f"{profile.label}: {counted(len(targets), 'row')} from {targets.min():g} to {targets.max():g}"
        values = {"": targets.to_numpy(dtype=float)}
        return Picture(
            profile.label, plots.histograms(values, profile.label, title), "What is predicted."
        )
    names = list(profile.labels)[:_BARS]
    shares = {"": [100 * profile.labels[name] / profile.rows for name in names]}
    title = f"{profile.label}: " + ", ".join(
        f"{shorten(name, _LONGEST)} {share:.1f} %"
        for name, share in zip(names, shares[""], strict=True)
    )
    more = len(profile.labels) - len(names)
    caption = "What is predicted." + (f" {counted(more, 'rarer label')} not shown." if more else "")
    return Picture(profile.label, plots.shares(shares, names, title), caption)


def _picture(
    profile: Profile, name: str, groups: Mapping[str, "pd.Series[bool]"]
) -> Picture | None:
    [column] = [column for column in profile.columns if column.name == name]
    values = profile.values[name]
    rows = {label: values[mask] for label, mask in groups.items()}
    caption = f"Missing in {100 * column.missing:.1f} % of the rows." if column.missing else ""
    if name in profile.leaks:
        caption = f"It tells {profile.label} by itself. {caption}".strip()
    title = f"{name}, {column.kind}: {counted(column.different, 'different value')}"
    if column.kind == "category":
        return _categories(name, values, rows, title, caption)
    measured = {label: _measured(part, column.kind) for label, part in rows.items()}
    if not any(map(len, measured.values())):
        return None
    axis = "words" if column.kind == "text" else name
    return Picture(name, plots.histograms(measured, axis, title, column.kind == "date"), caption)


def _measured(values: "pd.Series[Any]", kind: str) -> "np.ndarray[Any, Any]":
    """Return numbers as they are, dates as days since the start of 1970, texts as their words."""
    if kind == "text":
        return values.str.count(r"\S+").to_numpy(dtype=float)
    if kind == "date":
        moments = pd.to_datetime(
            values.where(values != "", None), format="ISO8601", utc=True, errors="coerce"
        )
        days = (moments.dropna() - pd.Timestamp(0, tz="UTC")) / pd.Timedelta(days=1)
        return np.asarray(days, dtype=float)
    return values.dropna().to_numpy(dtype=float)


def _categories(
    name: str, values: "pd.Series[Any]", rows: Groups, title: str, caption: str
) -> Picture | None:
    counts = values[values != ""].value_counts()
    names = counts.index.tolist()[:_BARS]
    if not names:
        return None
    shares = {
        label: [100 * float((part == value).mean()) if len(part) else 0.0 for value in names]
        for label, part in rows.items()
    }
    more = len(counts) - len(names)
    caption = f"{caption} {counted(more, 'rarer value')} not shown.".strip() if more else caption
    return Picture(name, plots.shares(shares, names, f"{title}. {listed(names)}"), caption)
