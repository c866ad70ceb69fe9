"""What all drawings share: colours with a second mark, bars and lines, labels, and checks of shapes."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import matplotlib
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.font_manager import get_font_names
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid

# Ten colours that most readers can tell apart.
PALETTE: list[Any] = list(sns.color_palette("colorblind"))

STYLES = ("-", "--", ":", "-.")
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
MARKERS = ("o", "s", "^", "D", "v", "P")

EDGE: dict[str, Any] = {"edgecolor": "black", "linewidth": 0.6}
# Bars of what is right and of what is wrong.
RIGHT: dict[str, Any] = {"color": PALETTE[0]}
WRONG: dict[str, Any] = {"color": PALETTE[3], "hatch": "//"}

# Lines of NoiseAL's two models.
MODELS: dict[str, dict[str, Any]] = {
    "strong": {"color": PALETTE[0], "marker": "o"}, "weak": {"color": PALETTE[1], "marker": "s"},
}  # fmt: skip

DIAGONAL: dict[str, Any] = {"color": "0.4", "linewidth": 1, "linestyle": (0, (1, 2))}
# Places of a legend: where it covers least, or to the right of the axes, where it covers nothing.
INSIDE: dict[str, Any] = {"loc": "best"}
BESIDE: dict[str, Any] = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)}
ABOVE: dict[str, Any] = {"loc": "lower right", "bbox_to_anchor": (1.0, 1.0), "ncols": 2, "frameon": False}


# Fonts for what matplotlib's own lacks, Chinese, Japanese and Korean above all, where a system has them.
FONTS = (
    "Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei",
    "PingFang SC", "Hiragino Sans", "Microsoft YaHei", "SimHei", "Yu Gothic", "Malgun Gothic",
    "Arial Unicode MS",
)  # fmt: skip


@cache
def _installed() -> list[str]:
    return [name for name in FONTS if name in get_font_names()]


def plain() -> dict[str, Any]:
    """Return how names from data are written: dollar signs are no formulas, and other scripts have fonts."""
    return {"parse_math": False, "fontfamily": [*matplotlib.rcParams["font.family"], *_installed()]}


def short(name: object, width: int = 24) -> str:
    """Return a name that leaves room for the figure; a wide character counts as two."""
    text, room = " ".join(str(name).split()), float(width)
    for place, character in enumerate(text):
        room -= 2 if unicodedata.east_asian_width(character) in "WF" else 1
        if room < 0:
            return text[: place - 1] + "…"
    return text


def array(field: str, values: ArrayLike, *shape: int | str) -> NDArray[np.float64]:
    """Return an array of this shape (letters: any size but 0) in double precision, or raise ValueError."""
    found = np.asarray(values, np.float64)
    fits = [isinstance(n, str) or n == size for n, size in zip(shape, found.shape, strict=False)]
    if found.ndim != len(shape) or not all(fits) or not found.size:
        invalid(field, f"array of shape {found.shape}", f"shape {shape}".replace("'", ""))
    return found


def percent(share: float, unknown: str = "unknown") -> str:
    """Return a share in words."""
    return unknown if np.isnan(share) else f"{100 * share:.0f} percent"


def line(number: int, **settings: Any) -> dict[str, Any]:
    """Return what sets line `number` apart, from 0: colour, line style and marker, each by itself."""
    return {
        "linestyle": STYLES[number % len(STYLES)],
        "color": PALETTE[number % len(PALETTE)],
        "marker": MARKERS[number % len(MARKERS)],
        "markersize": 5,
    } | settings


def bars(number: int) -> dict[str, Any]:
    """Return what sets bars `number` apart, from 0: colour and hatch, each by itself."""
    return {"color": PALETTE[number % len(PALETTE)], "hatch": HATCHES[number % len(HATCHES)]}


def outline(color: Any, hatch: str = "", linestyle: str = "-") -> dict[str, Any]:
    """Return the look of a pale area with a line around it."""
    return {
        "facecolor": (*color, 0.3), "edgecolor": color, "hatch": hatch, "linestyle": linestyle,
        "linewidth": 1.4,
    }  # fmt: skip


def pair(
    ax: Axes, x: Any, full: Any, hollow: Any, labels: tuple[str, str], dashes: str = "--", **style: Any
) -> None:
    """Draw two lines that belong together: full marks, and dashed with hollow ones (None: only the first)."""
    for y, label, dash, fill in zip((full, hollow), labels, ("-", dashes), ("full", "none"), strict=True):
        if y is not None:
            ax.plot(x, y, dash, fillstyle=fill, label=label, **({"markersize": 5} | style))


def stack(ax: Axes, x: Any, *parts: tuple[str, NDArray[Any], Mapping[str, Any]], width: float = 0.8) -> Any:
    """Draw bars on top of each other: label, heights and style of each part. Return the top ones."""
    bottom = np.zeros(len(x))
    for label, heights, style in parts:
        drawn = ax.bar(x, heights, bottom=bottom, width=width, label=label, **EDGE, **style)
        bottom = bottom + heights
    return drawn


def mean_and_range(values: Any, by: Any) -> tuple[Any, NDArray[Any]]:
    """Return the groups' means, a Series, and how far below and above them the values reach, (2, groups)."""
    found = values.groupby(by).agg(["mean", "min", "max"])
    return found["mean"], np.stack([found["mean"] - found["min"], found["max"] - found["mean"]])


def name_rows(ax: Axes, names: Sequence[str], at: Sequence[float] | None = None, **settings: Any) -> None:
    """Write names at the left of rows that go down from 0."""
    shown = [short(name, 45) for name in names]
    ax.set_yticks(range(len(names)) if at is None else at, shown, **plain(), **settings)
    if at is None:
        ax.set_ylim(len(names) - 0.5, -0.5)


def start_below(shares: ArrayLike) -> float:
    """Return where an axis of shares may begin: a tenth, at least half a tenth below the lowest."""
    return max(0.0, float(np.floor(10 * np.min(shares) - 0.5)) / 10)


def side_by_side(ax: Axes, rows: Mapping[str, Any], names: Sequence[str], size: float) -> None:
    """Draw a mark for each label and name; those of one name are a little apart, so that all can be seen."""
    for number, (label, values) in enumerate(rows.items()):
        y = np.arange(len(names)) + 0.5 * ((number + 0.5) / len(rows) - 0.5)
        ax.plot(values, y, **line(number, linestyle="", markersize=size), label=label)
    name_rows(ax, list(map(short, names)))


def finish(
    ax: Axes, *, legend: Mapping[str, Any] | bool = False, grid: bool = True, mark: float | None = None,
    **settings: Any,
) -> None:  # fmt: skip
    """Set labels and limits, whole epochs, a pale grid and no box.

    `legend` holds its place and settings; `mark` is a place on the horizontal axis that gets a line.
    """
    if mark is not None:
        ax.axvline(mark, color="0.3", linestyle="-.", linewidth=1)
    ax.set(**settings)
    if settings.get("xlabel") == "epoch":
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    if legend and not isinstance(legend, bool):
        for text in ax.legend(frameon=False, **legend).get_texts():
            text.set(text=short(text.get_text(), 45), **plain())
    if grid:
        ax.grid(alpha=0.3)
    sns.despine(ax=ax)
