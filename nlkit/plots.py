"""Figures: pure functions that draw data on an axis and return what the figure says in words.

No function here trains, loads or knows of widgets. Colours are seaborn's colorblind palette, and a marker, a
hatch or a line style always says the same as the colour. Figures have a white ground of their own, so they
read on a dark page too.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "MARKERS",
    "PALETTE",
    "draw_accuracy",
    "draw_fitted",
    "draw_methods",
    "draw_partition",
    "draw_set_quality",
    "draw_transition_matrix",
    "figure",
    "fitted_shares",
    "png",
    "show",
]

PALETTE: list[Any] = list(sns.color_palette("colorblind"))
"""Ten colours that most readers can tell apart."""

MARKERS = {"R": "o", "H": "s", "P": "^"}
SET_COLOURS = {"R": PALETTE[0], "H": PALETTE[7], "P": PALETTE[3]}
SET_NAMES = {"R": "R clean", "H": "H hard", "P": "P purified"}
STYLES = ("-", "--", ":", "-.")
HATCHES = ("", "//", "..", "xx", "\\\\", "++", "oo")
LINE_MARKERS = ("o", "s", "^", "D", "v", "P")


def figure(
    rows: int = 1,
    columns: int = 1,
    width: float = 7.0,
    height: float = 4.0,
    margins: tuple[float, float, float, float] | None = None,
) -> tuple[Figure, Any]:
    """Return a figure with a white ground and its axes (an array if there are several), outside pyplot.

    Nothing has to be closed afterwards, and no notebook shows it by itself: see `show`. Margins (left, right,
    bottom, top, as in ``subplots_adjust``) are found by a layout engine unless given; given is twice as fast.
    """
    fig = Figure(figsize=(width, height), facecolor="white", layout=None if margins else "constrained")
    if margins:
        fig.subplots_adjust(*(margins[i] for i in (0, 2, 1, 3)))
    FigureCanvasAgg(fig)
    axes = fig.subplots(rows, columns)
    for ax in np.atleast_1d(axes).ravel():
        ax.set_facecolor("white")
    return fig, axes


def png(fig: Figure, dpi: int = 100) -> bytes:
    """Return the figure as a PNG file."""
    buffer = io.BytesIO()
    # No software version inside: the same figure gives the same bytes.
    fig.savefig(buffer, format="png", dpi=dpi, facecolor="white", metadata={"Software": None})
    return buffer.getvalue()


def show(fig: Figure, alt: str, dpi: int = 100) -> None:
    """Display a figure as a PNG that keeps its description wherever the notebook goes.

    Parameters
    ----------
    fig : Figure
        From `figure`.
    alt : str
        What the figure says, in words. It is the picture's alternative text (nbconvert's classic template
        reads it from the output's metadata) and stands below it, folded, for viewers that drop that metadata,
        JupyterLab among them.

    Raises
    ------
    ValueError
        If the description is empty.
    """
    import IPython.display

    shown: Any = IPython.display
    words = " ".join(alt.split())
    if not words:
        raise ValueError("alt='' is not allowed: say in words what the figure shows")
    shown.display(shown.Image(data=png(fig, dpi), format="png", alt=words))
    shown.display(
        shown.HTML(f"<details><summary>This figure in words</summary><p>{escape(words)}</p></details>")
    )


def _spread(ax: Axes) -> None:
    ax.grid(alpha=0.3)
    sns.despine(ax=ax)


# -- noise ------------------------------------------------------------------------------------------------


def draw_transition_matrix(
    matrix: ArrayLike, label_names: Sequence[str], ax: Axes, *, title: str = "", numbers: bool = True
) -> str:
    """Draw T, shape (C, C): T[i, j] = P(noisy label = j | true label = i), rows sum to 1 (or are NaN).

    Returns
    -------
    str
        The figure in words.
    """
    T = np.asarray(matrix, np.float64)
    if T.shape != (len(label_names), len(label_names)):
        raise ValueError(f"matrix has shape {T.shape}; with {len(label_names)} names it must be square")
    C = len(T)
    ax.imshow(np.nan_to_num(T), cmap="cividis", vmin=0, vmax=1)
    if numbers:
        for i, j in np.ndindex(C, C):
            if T[i, j] >= 0.005:
                ax.text(
                    j, i, f"{100 * T[i, j]:.0f}", ha="center", va="center", fontsize=8,
                    color="black" if T[i, j] > 0.55 else "white",
                )  # fmt: skip
        ax.set_xticks(range(C), label_names, rotation=45, ha="right")
        ax.set_yticks(range(C), label_names)
        ax.set_xlabel("noisy label (percent of each row)")
        ax.set_ylabel("true label")
    else:
        ax.set_xticks([])
        ax.set_yticks([])
    ax.set_title(title)
    off = T.copy()
    np.fill_diagonal(off, -1.0)
    off = np.nan_to_num(off, nan=-1.0)
    i, j = divmod(int(off.argmax()), C)
    kept = np.diag(T)[~np.isnan(np.diag(T))]
    return (
        f"Transition matrix{f' ({title})' if title else ''} of {C} classes. Rows are true labels, columns "
        f"noisy labels. Between {100 * kept.min():.0f} and {100 * kept.max():.0f} percent of a class keep "
        f"their label; the most frequent mistake is {label_names[i]} labelled {label_names[j]}, "
        f"{100 * max(off[i, j], 0):.0f} percent of its row."
    )


# -- memorisation -----------------------------------------------------------------------------------------


def draw_accuracy(curves: Mapping[str, ArrayLike], ax: Axes, *, chosen: int | None = None) -> str:
    """Draw accuracies over epochs, one line a name; each of E values.

    Parameters
    ----------
    curves : mapping of str to array, shape (E,)
        Shares between 0 and 1.
    chosen : int, optional
        Epoch (from 1) marked as the one that selection would take.
    """
    words = []
    for number, (name, values) in enumerate(curves.items()):
        y = 100 * np.asarray(values, np.float64)
        epoch = np.arange(1, len(y) + 1)
        ax.plot(
            epoch, y, STYLES[number % len(STYLES)], color=PALETTE[number], label=name,
            marker=LINE_MARKERS[number % len(LINE_MARKERS)], markersize=5,
        )  # fmt: skip
        best = int(y.argmax())
        words.append(f"{name}: highest {y[best]:.0f} percent at epoch {best + 1}, at the end {y[-1]:.0f}")
    if chosen is not None:
        ax.axvline(
            chosen, color="0.3", linestyle="-.", linewidth=1, label=f"best by noisy validation: {chosen}"
        )
        words.append(f"the epoch best by noisy validation is {chosen}")
    ax.set(xlabel="epoch", ylabel="accuracy (%)")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    _spread(ax)
    return "Accuracy over the epochs. " + "; ".join(words) + "."


def fitted_shares(
    dynamics: Sequence[NDArray[Any]] | NDArray[Any], noisy_label: ArrayLike, label: ArrayLike
) -> pd.DataFrame:
    """Return how much of the training labels a model has fitted after each epoch.

    Parameters
    ----------
    dynamics : array, shape (E, N, C)
        Recorded training dynamics.
    noisy_label, label : array of int, shape (N,)
        Observed and true labels; samples without one of them are left out.

    Returns
    -------
    DataFrame, one row an epoch
        clean: share of the rightly labelled samples predicted as labelled; mislabelled: share of the wrongly
        labelled ones predicted as (wrongly) labelled; corrected: share of those predicted as they truly are.
    """
    z, y = np.asarray(noisy_label, np.int64), np.asarray(label, np.int64)
    right, wrong = (z == y) & (y >= 0), (z != y) & (y >= 0) & (z >= 0)

    def share(hit: NDArray[np.bool_], of: NDArray[np.bool_]) -> float:
        return float(hit[of].mean()) if of.any() else float("nan")

    guesses = [np.asarray(p).argmax(1) for p in dynamics]
    return pd.DataFrame({
        "epoch": np.arange(1, len(guesses) + 1),
        "clean": [share(g == z, right) for g in guesses],
        "mislabelled": [share(g == z, wrong) for g in guesses],
        "corrected": [share(g == y, wrong) for g in guesses],
    })  # fmt: skip


def draw_fitted(shares: pd.DataFrame, ax: Axes) -> str:
    """Draw the table of `fitted_shares` over the epochs."""
    lines = {
        "clean": "right labels: fitted",
        "mislabelled": "wrong labels: fitted (memorised)",
        "corrected": "wrong labels: true class predicted",
    }
    for number, (column, name) in enumerate(lines.items()):
        ax.plot(
            shares["epoch"], 100 * shares[column], STYLES[number], color=PALETTE[(0, 3, 2)[number]],
            marker=LINE_MARKERS[number], markersize=5, label=name,
        )  # fmt: skip
    ax.set(xlabel="epoch", ylabel="training samples (%)", ylim=(-3, 103))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False)
    _spread(ax)
    first, last = 100 * shares.iloc[0], 100 * shares.iloc[-1]
    return (
        f"Shares of the training samples over {len(shares)} epochs. Right labels fitted: "
        f"{first['clean']:.0f} percent after the first epoch, {last['clean']:.0f} after the last. Wrong "
        f"labels fitted, that is memorised: {first['mislabelled']:.0f}, then {last['mislabelled']:.0f} "
        f"percent. Wrong labels whose true class is predicted all the same: {first['corrected']:.0f}, then "
        f"{last['corrected']:.0f} percent."
    )


# -- the partition ----------------------------------------------------------------------------------------


def draw_partition(
    partition: pd.DataFrame, ax: Axes, *, title: str = "", legend: bool = True, size: float = 12.0
) -> str:
    """Draw what both models give the observed label: p_s across, p_w up, marked by set.

    Parameters
    ----------
    partition : DataFrame, one row a sample
        Columns set (R, H or P), p_s and p_w, as in ``NoiseAL.partition_``.
    """
    counts = {}
    for name in ("R", "H", "P"):
        rows = partition["set"] == name
        counts[name] = int(rows.sum())
        ax.scatter(
            partition.loc[rows, "p_s"], partition.loc[rows, "p_w"], s=size, marker=MARKERS[name], alpha=0.55,
            color=SET_COLOURS[name], linewidths=0, label=f"{SET_NAMES[name]}: {counts[name]}",
        )  # fmt: skip
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03), title=title)
    if legend:
        ax.set(xlabel="p_s: the strong model's trust in the label", ylabel="p_w: the weak model's trust")
        ax.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), markerscale=2)
    else:
        ax.set(xticks=[0, 1], yticks=[0, 1])
    sns.despine(ax=ax)
    return (
        f"Scatter of {len(partition)} samples{f' ({title})' if title else ''} by the strong (across) and the "
        f"weak model's (up) trust in the observed label. {counts['R']} are in R (clean, top right), "
        f"{counts['H']} in H (hard), {counts['P']} in P (purified, bottom left)."
    )


def draw_set_quality(quality: pd.DataFrame, ax: Axes, *, mark: int | None = None) -> str:
    """Draw precision (filled) and recall (hollow) of R and P over the epochs.

    Parameters
    ----------
    quality : DataFrame
        Columns epoch, set, precision, recall (`nlkit.metrics.split_report`, one block an epoch).
    mark : int, optional
        Epoch marked with a vertical line.
    """
    words = []
    for name, wanted in (("R", "right"), ("P", "wrong")):
        rows = quality[quality["set"] == name]
        for column, style, fill in (("precision", "-", "full"), ("recall", "--", "none")):
            ax.plot(
                rows["epoch"], 100 * rows[column], style, color=SET_COLOURS[name], marker=MARKERS[name],
                fillstyle=fill, markersize=6, label=f"{name} {column}",
            )  # fmt: skip
        last = rows.iloc[-1]
        words.append(
            f"at the end {_percent(last['precision'])} of {name} have {wanted} labels, and {name} holds "
            f"{_percent(last['recall'])} of all {wanted} labels"
        )
    if mark is not None:
        ax.axvline(mark, color="0.3", linestyle="-.", linewidth=1)
    ax.set(xlabel="epoch", ylabel="percent", ylim=(-3, 103))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.legend(frameon=False, ncols=2)
    _spread(ax)
    return "Precision and recall of the sets over the epochs: " + "; ".join(words) + "."


def _percent(share: float) -> str:
    return "none (the set is empty)" if np.isnan(share) else f"{100 * share:.0f} percent"


# -- comparison -------------------------------------------------------------------------------------------


def draw_methods(table: pd.DataFrame, ax: Axes, *, bound: str | None = None, low: float | None = None) -> str:
    """Draw one bar a method.

    Parameters
    ----------
    table : DataFrame
        Columns method and accuracy (a share); the order is kept, the first on top.
    bound : str, optional
        The row that is an upper bound and no method: drawn pale, with a dotted line through all.
    low : float, optional
        Where the axis begins, a share; said in the axis label when it is not 0.
    """
    names, values = list(table["method"]), 100 * table["accuracy"].to_numpy(np.float64)
    start = 0.0 if low is None else 100 * low
    for number, (name, value) in enumerate(zip(names, values, strict=True)):
        ax.barh(
            number, value - start, left=start, color="0.85" if name == bound else PALETTE[number],
            hatch=HATCHES[number % len(HATCHES)], edgecolor="black", linewidth=0.7,
        )  # fmt: skip
        ax.text(value, number, f" {value:.1f} %", va="center", fontweight="bold")
        if name == bound:
            ax.axvline(value, color="0.3", linestyle=":", linewidth=1)
    ax.set_yticks(range(len(names)), names)
    ax.invert_yaxis()
    span = 100 - start
    ax.set_xlim(start, 100 + 0.12 * span)
    ax.set_xlabel("test accuracy (%)" + (f"; the axis begins at {start:.0f}" if start else ""))
    sns.despine(ax=ax)
    listed = ", ".join(
        f"{name}{' (upper bound)' if name == bound else ''} {value:.1f}"
        for name, value in zip(names, values, strict=True)
    )
    return f"Test accuracy in percent: {listed}."
