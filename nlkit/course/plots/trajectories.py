"""Paths of sentence embeddings over the epochs, in two dimensions, and the suspicion that comes of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.course.plots.figures import LINE_MARKERS, PALETTE, spread
from nlkit.metrics import detection_report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_suspicion", "draw_trajectories", "project_trajectories"]


def project_trajectories(trajectory: ArrayLike) -> NDArray[np.float64]:
    """Project embeddings to the plane in which all epochs together spread most (PCA).

    Parameters
    ----------
    trajectory : array, shape (E, N, D)
        Sentence embeddings of N texts after each of E epochs, in one branch; D at least 2.

    Returns
    -------
    ndarray, shape (E, N, 2)
        Distances are comparable between epochs: one plane serves all. Each axis points to where its largest
        loading is positive, so the picture does not flip from run to run.
    """
    z = np.asarray(trajectory)
    if z.ndim != 3 or 0 in z.shape or z.shape[2] < 2:
        invalid("trajectory", f"array of shape {z.shape}", "shape (E, N, D), none 0, D at least 2")
    mean = z.mean((0, 1), dtype=np.float64)
    # Epoch by epoch, so that no second copy of a large trajectory is made.
    covariance = sum((e - mean).T @ (e - mean) for e in z)
    axes = np.linalg.eigh(covariance)[1][:, :-3:-1]  # (D, 2), the largest first
    axes = axes * np.where(axes[np.abs(axes).argmax(0), [0, 1]] < 0, -1.0, 1.0)
    return np.stack([(e - mean) @ axes for e in z])


def draw_trajectories(
    points: ArrayLike, noisy_label: ArrayLike, suspect: ArrayLike, label_names: Sequence[str], ax: Axes
) -> str:
    """Draw the paths of n texts: from a small dot after the first epoch to a large mark after the last.

    Colour and mark are the observed label's. Suspects have a dashed path and a hollow mark.

    Parameters
    ----------
    points : array, shape (E, n, 2)
        From `project_trajectories`, of chosen texts.
    noisy_label : array of int, shape (n,)
        Observed labels; −1 is missing.
    suspect : array of bool, shape (n,)
        Whether the label is taken for wrong.
    label_names : sequence of str, C of them

    Returns
    -------
    str
        The figure in words: how far suspects and others are from the middle of their class.
    """
    p, label, doubted = np.asarray(points, np.float64), np.asarray(noisy_label), np.asarray(suspect, bool)
    if p.ndim != 3 or p.shape[2] != 2 or not p.shape[1] == len(label) == len(doubted):
        raise ValueError(f"points {p.shape}, noisy_label {label.shape} and suspect {doubted.shape} differ")
    for i in range(p.shape[1]):
        x, y = p[:, i].T
        colour, marker = _mark(int(label[i]))
        ax.plot(x, y, "--" if doubted[i] else "-", color=colour, linewidth=1.1, alpha=0.8)
        ax.plot(x[:1], y[:1], "o", color=colour, markersize=3)
        ax.plot(
            x[-1:], y[-1:], marker, color=colour, markersize=8, markeredgewidth=1.4, zorder=3,
            markerfacecolor="white" if doubted[i] else colour,
        )  # fmt: skip
    ax.set(xlabel="first principal component", ylabel="second principal component", aspect="equal")
    ax.set_adjustable("datalim")
    ax.legend(handles=_legend(label, label_names), frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    ax.spines[["top", "right"]].set_visible(False)
    return _words(p, label, doubted)


def draw_suspicion(
    score: ArrayLike, noisy_label: ArrayLike, label: ArrayLike, ax: Axes, *, title: str = "", bins: int = 25
) -> str:
    """Draw how a score is spread among the texts whose label is right, and among those whose is wrong.

    Parameters
    ----------
    score : array, shape (N,)
        Larger is more suspicious; NaN (no label) is left out.
    noisy_label, label : array of int, shape (N,)
        Observed and true labels.

    Returns
    -------
    str
        The figure in words, with the area under the ROC curve.
    """
    s, z, y = np.asarray(score, np.float64), np.asarray(noisy_label), np.asarray(label)
    known = ~np.isnan(s) & (z >= 0) & (y >= 0)
    s, wrong = s[known], (z != y)[known]
    edges = np.linspace(s.min(), s.max() + 1e-9, bins + 1)
    auc = detection_report(s, z[known], y[known])["auc"]
    groups = (("right", ~wrong, PALETTE[0], "", "-"), ("wrong", wrong, PALETTE[3], "//", "--"))
    for name, group, colour, hatch, style in groups:
        ax.hist(
            s[group], edges.tolist(), histtype="stepfilled", facecolor=(*colour, 0.35), hatch=hatch,
            edgecolor=colour, linestyle=style, linewidth=1.4, label=f"label is {name}",
        )  # fmt: skip
    told = "" if np.isnan(auc) else f"area under the ROC curve {auc:.2f}"
    ax.set(xlabel="suspicion", ylabel="texts", title=title)
    if told:
        ax.set_title(f"{title}\n{told}" if title else told, fontsize=10)
    spread(ax)
    words = [f"{name} {np.median(s[group]):.2f}" for name, group, *_ in groups if group.any()]
    return (
        f"Histograms of the suspicion{f' by {title}' if title else ''}, of texts with a right and with a "
        f"wrong label; medians: {', '.join(words)}{f'; {told}' if told else ''}."
    )


def _mark(label: int) -> tuple[Any, str]:
    """Return colour and marker of a class; grey and a star where the label is missing."""
    return ("0.4", "*") if label < 0 else (PALETTE[label % len(PALETTE)], LINE_MARKERS[label % 6])


def _legend(label: NDArray[Any], label_names: Sequence[str]) -> list[Line2D]:
    handles = []
    for c in sorted(set(label.tolist()), key=lambda c: (c < 0, c)):
        colour, marker = _mark(c)
        name = label_names[c] if c >= 0 else "no label"
        handles.append(Line2D([], [], color=colour, marker=marker, linestyle="", markersize=8, label=name))
    plain: dict[str, Any] = {"color": "0.3", "marker": "o", "markersize": 8}
    handles.append(Line2D([], [], linestyle="-", label="believed", **plain))
    handles.append(Line2D([], [], linestyle="--", markerfacecolor="white", label="suspect", **plain))
    handles.append(
        Line2D([], [], color="0.3", marker="o", markersize=3, linestyle="", label="after the first epoch")
    )
    return handles


def _words(p: NDArray[np.float64], label: NDArray[Any], doubted: NDArray[np.bool_]) -> str:
    E, n = p.shape[:2]
    distance = np.full((E, n), np.nan)
    for c in set(label[label >= 0].tolist()):
        members = label == c
        # The believed ones say where a class is; a class that has none is where its texts are.
        centre = members & ~doubted if (members & ~doubted).any() else members
        middle = p[:, centre].mean(1, keepdims=True)
        distance[:, members] = np.linalg.norm(p[:, members] - middle, axis=-1)
    parts = []
    for name, group in (("believed", ~doubted), ("suspect", doubted)):
        group = group & (label >= 0)
        if group.any():
            first, last = distance[0, group].mean(), distance[-1, group].mean()
            parts.append(f"the {int(group.sum())} {name} from {first:.2f} to {last:.2f}")
    told = (
        "Mean distance to the middle of the observed label's believed texts, after the first and after the "
        f"last epoch: {'; '.join(parts)}."
        if parts
        else "None has a label."
    )
    return f"Paths of {n} texts' sentence embeddings over {E} epochs, in two dimensions. {told}"
