"""The pictures of our pages: numbers in, SVG out. The only importer of matplotlib.

They are drawn without pyplot's state and without a screen. Their texts stay texts, and their colours are variables
of the page (`currentColor`, `--series-1` …), so that they fit into it whether it is light or dark.
"""

import io
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.calibration import CalibrationDisplay
from sklearn.metrics import (
    ConfusionMatrixDisplay,
    PrecisionRecallDisplay,
    PredictionErrorDisplay,
    RocCurveDisplay,
)

# A confusion matrix of more labels cannot be read; the most frequent confusions can.
MOST_LABELS = 30
# Only so few labels have their numbers in the cells on a small picture.
_FEW_LABELS = 8
_LONGEST_NAME = 22
_MOST_LINES = 4
_MOST_DAYS = 4
_BINS = 24

# Stand-ins for colours of the page; no plot has colours this dark of its own.
_INK = "#010203"
_SERIES = ("#010204", "#010205", "#010206", "#010207")
_COLOURS = {_INK: "currentColor"} | {
    colour: f"var(--series-{number})" for number, colour in enumerate(_SERIES, start=1)
}
_COLOUR = f": ({'|'.join(_COLOURS)})"
# What is not for a page: its styles, fonts and ids; and what says nothing.
_REPLACED = (
    (r"<defs>\s*<style[^>]*>[^<]*</style>\s*</defs>\s*", ""),
    (r'<g id="[^"]*"', "<g"),
    (r"font-family: [^;\"]*;? ?", ""),
    (r' transform="rotate\(-0 [^"]*"', ""),
    (r"\n\s*", "\n"),
)
# Readable below black and below white text.
_CELL = "#3b82f6"
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 9,
    **dict.fromkeys(
        ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color"), _INK
    ),
}
# Inches; 72 units of the picture each. As wide as a telephone, so that its texts are not shrunk there.
_WIDTH, _HEIGHT, _LOW = 5.0, 3.6, 2.4


def learning_curves(history: Sequence[Mapping[str, float]], title: str) -> str:
    """Draw losses, or whatever else was measured in each epoch, as lines."""

    def draw(axes: Any) -> None:
        epochs = np.arange(1, len(history) + 1)
        for number, name in enumerate(list(history[0])[:_MOST_LINES]):
            values = [epoch.get(name, np.nan) for epoch in history]
            label = name.replace("_", " ")
            axes.plot(epochs, values, marker="o", markersize=3, color=_SERIES[number], label=label)
        axes.set(xlabel="epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        _legend(axes, columns=2)

    return _draw("learning", title, draw)


def confusion_matrix(matrix: Sequence[Sequence[int]], names: Sequence[str], title: str) -> str:
    """Draw which share of each label's rows was answered with which label, in per cent.

    Args:
        matrix: Rows by truth and answer, <int>[num_labels, num_labels], of at most `MOST_LABELS` labels.
        names: In the order of the matrix.
        title: What it says, for those who cannot see it.
    """
    counts = np.asarray(matrix, np.float64)
    shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    shown = [_shorten(name) for name in names]

    def draw(axes: Any) -> None:
        display = ConfusionMatrixDisplay(shares, display_labels=shown)
        display.plot(
            ax=axes,
            colorbar=False,
            cmap=_cell_colours(),
            values_format=".0f",
            im_kw={"interpolation": "none", "vmin": 0, "vmax": 100},
            text_kw={"color": _INK},
        )
        for text in display.text_.ravel():
            if text.get_text() == "0":
                text.remove()
        axes.set(xlabel="answer", ylabel="truth")
        axes.tick_params(length=0)
        for label in axes.get_xticklabels() if max(map(len, shown)) * len(shown) > 30 else ():
            label.set(rotation=45, ha="right", va="top", rotation_mode="anchor")

    side = max(3.2, 1.6 + 0.34 * len(shown))
    return _draw("confusion", title, draw, (max(_WIDTH, side + 0.8), side))


def is_large(names: Sequence[str]) -> bool:
    """Return whether a confusion matrix of these labels needs the whole width of the page."""
    return len(names) > _FEW_LABELS


def roc_curve(curve: Mapping[str, Any], title: str) -> str:
    """Draw `curves.roc` of the metrics."""

    def draw(axes: Any) -> None:
        display = RocCurveDisplay(
            fpr=np.asarray(curve["false_positive_rate"]),  # codespell:ignore fpr
            tpr=np.asarray(curve["true_positive_rate"]),
            roc_auc=curve["area"],
        )
        chance = {"color": _INK, "alpha": 0.5, "label": "chance (area = 0.50)"}
        display.plot(
            ax=axes,
            plot_chance_level=True,
            chance_level_kw=chance,
            curve_kwargs={"color": _SERIES[0], "label": f"this model (area = {curve['area']:.3f})"},
        )
        axes.set(xlabel="false positive rate", ylabel="true positive rate (recall)", aspect="auto")
        _legend(axes)

    return _draw("roc", title, draw)


def precision_recall_curve(curve: Mapping[str, Any], title: str) -> str:
    """Draw `curves.pr` of the metrics."""

    def draw(axes: Any) -> None:
        share, average = curve["positive_share"], curve["average_precision"]
        display = PrecisionRecallDisplay(
            np.asarray(curve["precision"]),
            np.asarray(curve["recall"]),
            average_precision=average,
            prevalence_pos_label=share,
        )
        display.plot(
            ax=axes,
            plot_chance_level=True,
            chance_level_kw={"color": _INK, "alpha": 0.5, "label": f"chance ({share:.3g})"},
            curve_kwargs={"color": _SERIES[0], "label": f"this model (average {average:.3f})"},
        )
        axes.set(xlabel="recall", ylabel="precision", aspect="auto")
        _legend(axes)

    return _draw("pr", title, draw)


def threshold_view(rows: Sequence[Mapping[str, float]], chosen: float | None, title: str) -> str:
    """Draw precision, recall and F1 over the threshold, and the one that was chosen."""

    def draw(axes: Any) -> None:
        places = [row["threshold"] for row in rows]
        for number, (name, label) in enumerate(
            (("precision", "precision"), ("recall", "recall"), ("f1", "F1"))
        ):
            axes.plot(places, [row[name] for row in rows], color=_SERIES[number], label=label)
        if chosen is not None:
            label = f"chosen: {chosen:.3g}"
            axes.axvline(chosen, color=_INK, linestyle=":", label=label)
        axes.set(xlabel="answered from this probability on", xlim=(0, 1), ylim=(0, 1.02))
        _legend(axes, columns=4)

    return _draw("threshold", title, draw)


def calibration_curve(bins: Sequence[Mapping[str, float]], title: str) -> str:
    """Draw how often answers of some confidence are right; bars say how many there are."""
    filled = [part for part in bins if part["rows"]]
    rows = sum(part["rows"] for part in filled)

    def draw(axes: Any) -> None:
        confidence = np.array([part["confidence"] for part in filled])
        accuracy = np.array([part["accuracy"] for part in filled])
        axes.bar(
            [(part["from"] + part["to"]) / 2 for part in filled],
            [part["rows"] / rows for part in filled],
            width=[0.9 * (part["to"] - part["from"]) for part in filled],
            color=_SERIES[1],
            alpha=0.35,
            label="share of the rows",
        )
        display = CalibrationDisplay(accuracy, confidence, confidence)
        display.plot(ax=axes, name="this model", color=_SERIES[0], markersize=4, ref_line=False)
        axes.plot([0, 1], [0, 1], color=_INK, alpha=0.5, linestyle="--", label="perfect")
        axes.set(xlabel="probability", ylabel="how often it is so", xlim=(0, 1), ylim=(0, 1.02))
        _legend(axes, columns=3)

    return _draw("calibration", title, draw)


def coverage_curve(
    rows: Sequence[Mapping[str, float]], unsure_below: float | None, title: str
) -> str:
    """Draw how accurate the surest answers are, over the share that they make up."""

    def draw(axes: Any) -> None:
        axes.plot(
            [row["coverage"] for row in rows],
            [row["accuracy"] for row in rows],
            color=_SERIES[0],
        )
        if unsure_below is not None:
            chosen = min(rows, key=lambda row: abs(row["threshold"] - unsure_below))
            label = f"sure from {unsure_below:.3g} on"
            place = chosen["coverage"], chosen["accuracy"]
            axes.plot(*place, "o", color=_SERIES[1], label=label)
            _legend(axes)
        axes.set(xlabel="share of the rows that are answered", ylabel="accuracy", xlim=(0, 1.02))

    return _draw("coverage", title, draw)


def prediction_errors(values: Mapping[str, Sequence[float]], residuals: bool, title: str) -> str:
    """Draw truth, or truth minus answer, over the answers of a regression."""
    kind = "residual_vs_predicted" if residuals else "actual_vs_predicted"

    def draw(axes: Any) -> None:
        display = PredictionErrorDisplay(
            y_true=np.asarray(values["truth"]), y_pred=np.asarray(values["value"])
        )
        display.plot(
            ax=axes,
            kind=kind,
            scatter_kwargs={"color": _SERIES[0], "alpha": 0.4, "s": 9, "linewidths": 0},
            line_kwargs={"color": _INK, "alpha": 0.7},
        )
        axes.set(xlabel="answer", ylabel="truth minus answer" if residuals else "truth")
        if axes.get_legend():
            axes.get_legend().remove()
        _show_numbers(axes.xaxis)
        _show_numbers(axes.yaxis)

    return _draw("residuals" if residuals else "values", title, draw)


def metric_by_run(
    values: Sequence[float],
    days: Sequence[str],
    failed: Sequence[bool],
    latest: Sequence[bool],
    title: str,
) -> str:
    """Draw a metric of one run after the other, at equal distances, because runs come in bursts.

    Args:
        values: Of the runs in order, the oldest first.
        days: When each was.
        failed: Whether it failed its gate.
        latest: Whether it is what `latest` points to.
        title: What it says, for those who cannot see it; no two pictures of a page share it.
    """
    places, heights, failures = np.arange(len(values)), np.asarray(values), np.asarray(failed)

    def draw(axes: Any) -> None:
        def mark(chosen: Any, **look: Any) -> None:
            if any(chosen):
                axes.plot(places[chosen], heights[chosen], linestyle="none", **look)

        ring = {"marker": "o", "markersize": 11, "fillstyle": "none"}
        axes.plot(places, heights, color=_SERIES[0], linewidth=1.2, alpha=0.6)
        mark(~failures, marker="o", markersize=5, color=_SERIES[0], label="run")
        mark(failures, marker="X", markersize=7, color=_SERIES[1], label="failed its gate")
        mark(np.asarray(latest), **ring, color=_SERIES[2], label="latest")
        marked = np.unique(np.linspace(0, len(days) - 1, _MOST_DAYS).round().astype(int))
        axes.set_xticks(marked, [days[place] for place in marked])
        axes.margins(x=0.08)
        _show_numbers(axes.yaxis)
        if np.ptp(heights) == 0:
            axes.set_yticks(heights[:1])  # any other number would be made up
        if any((*failed, *latest)):
            _legend(axes, columns=3)

    return _draw(title, title, draw, (_WIDTH, _LOW))


def histograms(values: Mapping[str, Any], axis: str, title: str, dates: bool = False) -> str:
    """Draw how numbers are distributed, as the share of each group's rows; the bins are the same for all groups.

    Args:
        values: Group -> its numbers, <float64>[…]; a single group needs no name.
        axis: What the numbers are.
        title: What it says, for those who cannot see it; no two pictures of a page share it.
        dates: Whether the numbers are days since the start of 1970.
    """
    numbers = np.concatenate([np.asarray(part, np.float64) for part in values.values()])
    # A few far-off values would leave everything else in one bin.
    low, high = np.quantile(numbers, [0.005, 0.995])
    if np.unique(numbers).size <= _BINS and (numbers % 1 == 0).all() and np.ptp(numbers) < _BINS:
        edges = np.arange(numbers.min() - 0.5, numbers.max() + 1)
    else:
        low, high = (low, high) if low < high else (numbers.min(), numbers.max() + 1e-9)
        edges = np.linspace(low, high, _BINS + 1)

    def draw(axes: Any) -> None:
        for number, (name, part) in enumerate(values.items()):
            inside = np.clip(np.asarray(part, np.float64), edges[0], edges[-1])
            counts, _ = np.histogram(inside, edges)
            heights = 100 * counts / max(1, len(inside))
            colour = _SERIES[number]
            axes.stairs(
                heights, edges, fill=True, color=colour, alpha=0.35 if len(values) == 1 else 0.1
            )
            axes.stairs(heights, edges, color=colour, linewidth=1.5, label=_shorten(name))
        axes.set(xlabel=_shorten(axis), ylabel="% of the rows", ylim=(0, None))
        if dates:
            _show_dates(axes.xaxis)
        else:
            _show_numbers(axes.xaxis)
        _show_numbers(axes.yaxis)
        if len(values) > 1:
            _legend(axes, columns=3 if len(values) == 3 else 2)

    return _draw(title, title, draw, (_WIDTH, _LOW + 0.4))


def shares(values: Mapping[str, Sequence[float]], names: Sequence[str], title: str) -> str:
    """Draw which share of each group's rows has which value, in per cent, as bars.

    Args:
        values: Group -> the share of each name; a single group needs no name.
        names: The values.
        title: What it says, for those who cannot see it; no two pictures of a page share it.
    """
    thickness = 0.8 / len(values)

    def draw(axes: Any) -> None:
        places = np.arange(len(names))
        for number, (name, part) in enumerate(values.items()):
            offset = (number - (len(values) - 1) / 2) * thickness
            axes.barh(
                places + offset, part, thickness * 0.9, color=_SERIES[number], label=_shorten(name)
            )
        axes.set_yticks(places, list(map(_shorten, names)))
        axes.invert_yaxis()
        axes.set(xlabel="% of the rows", xlim=(0, None))
        if len(values) > 1:
            _legend(axes, columns=3 if len(values) == 3 else 2)

    height = 0.9 + len(names) * max(0.24, 0.13 * len(values)) + (0.3 if len(values) > 1 else 0)
    return _draw(title, title, draw, (_WIDTH, max(1.5, height)))


# ------------------------------------------------------------------- drawing


def _draw(
    name: str,
    title: str,
    draw: Callable[[Any], None],
    size: tuple[float, float] = (_WIDTH, _HEIGHT),
) -> str:
    """Let something draw on axes, and return the picture as an element of the page."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    settings = _SETTINGS | {"svg.hashsalt": name}
    # A label may be in any script: the page's fonts show it, whatever matplotlib's have.
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)
        warnings.filterwarnings("ignore", "Matplotlib currently does not support", UserWarning)
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.subplots())
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return _embed(file.getvalue(), title)


def _show_dates(axis: Any) -> None:
    """Write few dates at an axis."""
    from matplotlib.dates import AutoDateFormatter, AutoDateLocator

    locator = AutoDateLocator(minticks=2, maxticks=5)  # type: ignore[no-untyped-call]
    axis.set_major_locator(locator)
    axis.set_major_formatter(AutoDateFormatter(locator))  # type: ignore[no-untyped-call]


def _show_numbers(axis: Any) -> None:
    """Write few numbers at an axis, as people read them."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(5))
    axis.set_major_formatter("{x:,.6g}")


def _legend(axes: Any, columns: int = 2) -> None:
    """Put the legend above the axes, where it hides nothing."""
    axes.legend(
        loc="lower left",
        bbox_to_anchor=(0, 1),
        ncols=columns,
        borderaxespad=0.2,
        borderpad=0.2,
        columnspacing=1.2,
        handlelength=1.5,
    )


def _embed(svg: str, title: str) -> str:
    """Make a file of matplotlib's an element of a page: without prologue and sizes, in the page's colours and fonts."""
    view_box = re.search(r'viewBox="([\d. ]+)"', svg)
    assert view_box is not None
    inner = svg[svg.index("<defs>") : svg.rindex("</svg>")]
    for found, put in _REPLACED:
        inner = re.sub(found, put, inner)
    inner = re.sub(_COLOUR, lambda found: f": {_COLOURS[found[1]]}", inner)
    return f'<svg role="img" aria-label="{_as_attribute(title)}" viewBox="{view_box[1]}">\n{inner}</svg>'


def _as_attribute(text: str) -> str:
    for character, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"), ('"', "&quot;")):
        text = text.replace(character, entity)
    return text


def _cell_colours() -> Any:
    """Return from nothing at all to the colour of a cell; a tenth can be told from nothing."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgba

    shades = [(0.0, 0.0), (0.1, 0.25), (1.0, 0.85)]
    colours = [(share, to_rgba(_CELL, opacity)) for share, opacity in shades]
    return LinearSegmentedColormap.from_list("cells", colours)


def _shorten(name: str) -> str:
    name = " ".join(name.split())
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
