"""SiDyP before diffusion: trajectories, suspicion, and the candidates that a text's neighbours vote for."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike, NDArray
from sklearn.decomposition import PCA

from nlkit._util import invalid
from nlkit.course.plots import look
from nlkit.methods.sidyp.prior import CASES
from nlkit.metrics import detection_report

# Height of a neighbour's line, where a bar has 1.
LINE = 0.55


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
    plane: NDArray[np.float64] = PCA(2, svd_solver="covariance_eigh").fit_transform(z.reshape(-1, z.shape[2]))
    return plane.reshape(*z.shape[:2], 2)


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
        Whether the label is suspected to be wrong.
    label_names : sequence of str, C of them

    Returns
    -------
    str
        The figure in words: how far suspects and others are from the middle of their class.
    """
    label, doubted = np.asarray(noisy_label), np.asarray(suspect, bool)
    p = look.array("points", points, "E", len(label), 2)
    if doubted.shape != label.shape:
        invalid("suspect", f"array of shape {doubted.shape}", f"shape {label.shape}, as noisy_label")
    marks = {c: look.line(c, linestyle="", markersize=8) for c in label.tolist()}
    if -1 in marks:
        marks[-1] |= {"color": "0.4", "marker": "*"}
    for path, c, hollow in zip(p.transpose(1, 2, 0), label.tolist(), doubted, strict=True):
        colour = marks[c]["color"]
        ax.plot(*path, "--" if hollow else "-", color=colour, linewidth=1.1, alpha=0.8)
        ax.plot(*path[:, :1], "o", color=colour, markersize=3)
        fill = "white" if hollow else colour
        ax.plot(*path[:, -1:], **marks[c], markeredgewidth=1.4, zorder=3, markerfacecolor=fill)
    grey: dict[str, Any] = {"color": "0.3", "marker": "o", "markersize": 8}
    entries = [(look.short(label_names[c]), marks[c]) for c in sorted(marks) if c >= 0]
    entries += [("no label", marks[-1])] if -1 in marks else []
    entries += [
        ("believed", grey), ("suspect", grey | {"linestyle": "--", "markerfacecolor": "white"}),
        ("after the first epoch", grey | {"linestyle": "", "markersize": 3}),
    ]  # fmt: skip
    handles = [Line2D([], [], label=name, **entry) for name, entry in entries]
    ax.set(xlabel="first principal component", ylabel="second principal component")
    legend = look.BESIDE | {"handles": handles}
    look.finish(ax, grid=False, aspect="equal", adjustable="datalim", legend=legend)
    said = f"Paths of {len(label)} texts' sentence embeddings over {len(p)} epochs, in two dimensions."
    return f"{said} {_distances(p, label, doubted)}"


def _distances(p: NDArray[np.float64], label: NDArray[Any], doubted: NDArray[np.bool_]) -> str:
    """Say how far the texts are from the middle of their class, after the first and the last epoch."""
    distance = np.full(p.shape[:2], np.nan)
    for c in set(label[label >= 0].tolist()):
        members = label == c
        # The trusted ones say where a class is; a class that has none is where its texts are.
        centre = members & ~doubted if (members & ~doubted).any() else members
        distance[:, members] = np.linalg.norm(p[:, members] - p[:, centre].mean(1, keepdims=True), axis=-1)
    parts = []
    for name, group in (("believed", ~doubted & (label >= 0)), ("suspect", doubted & (label >= 0))):
        if group.any():
            first, last = distance[[0, -1]][:, group].mean(1)
            parts.append(f"the {group.sum()} {name} from {first:.2f} to {last:.2f}")
    if not parts:
        return "None has a label."
    return (
        "Mean distance to the middle of the observed label's believed texts, after the first and after the "
        f"last epoch: {'; '.join(parts)}."
    )


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
    s, z, y = s[known], z[known], y[known]
    edges = np.linspace(s.min(), s.max() + 1e-9, bins + 1).tolist()
    auc, words = detection_report(s, z, y)["auc"], []
    styles = (look.outline(**look.RIGHT), look.outline(**look.WRONG, linestyle="--"))
    for name, group, style in zip(("right", "wrong"), (z == y, z != y), styles, strict=True):
        ax.hist(s[group], edges, histtype="stepfilled", label=f"label is {name}", **style)
        words += [f"{name} {np.median(s[group]):.2f}"] if group.any() else []
    told = "" if np.isnan(auc) else f"area under the ROC curve {auc:.2f}"
    look.finish(ax, xlabel="suspicion", ylabel="texts")
    ax.set_title("\n".join(filter(None, (title, told))), fontsize=10 if told else None)
    return (
        f"Histograms of the suspicion{f' by {title}' if title else ''}, of texts with a right and with a "
        f"wrong label; medians: {', '.join(words)}{f'; {told}' if told else ''}."
    )


def draw_candidates(
    weight: ArrayLike, neighbours: pd.DataFrame, label_names: Sequence[str], ax: Axes, *, width: int = 70,
    shown: int = 3,
) -> str:  # fmt: skip
    """Draw a bar for each candidate of a text, and below it the neighbours that voted for it.

    A class that neighbours voted for and that is no candidate is shown with an empty bar.

    Parameters
    ----------
    weight : array, shape (C,)
        The prior of one text (a row of ``Prior.weight``).
    neighbours : DataFrame, one row a neighbour, nearest first
        Columns text, label (class number) and distance.
    label_names : sequence of str, C of them
    width : int
        Characters a neighbour's text is cut to.
    shown : int
        Neighbours written out for each class, the nearest; the rest are counted.

    Returns
    -------
    str
        The figure in words.
    """
    w, vote = look.array("weight", weight, len(label_names)), neighbours["label"].to_numpy(np.int64)
    count = np.bincount(vote, minlength=len(w))
    rows = [int(c) for c in np.lexsort((-count, -w)) if w[c] > 0 or count[c] > 0]
    words, ticks, y = [], [], 0.0
    for number, c in enumerate(rows):
        ax.barh(y, 100 * w[c], height=0.8, **look.bars(number), **look.EDGE)
        said = f"{100 * w[c]:.0f} %" if w[c] > 0 else "no candidate"
        ax.text(100 * w[c] + 1, y, said, va="center", fontweight="bold")
        ticks.append(y)
        voters = f"{count[c]} neighbour{'' if count[c] == 1 else 's'}"
        words.append(f"{label_names[c]} {said.replace('%', 'percent')}, {voters}")
        own = neighbours[vote == c]
        lines = [
            f"{distance:.2f}  {textwrap.shorten(str(text), width, placeholder=' …')}"
            for text, distance in zip(own["text"][:shown], own["distance"][:shown], strict=True)
        ]
        if len(own) > shown:
            lines.append(f"and {len(own) - shown} more, up to {own['distance'].max():.2f} away")
        for number_below, line in enumerate(lines, start=1):
            # Texts may hold dollar signs, which are no formulas.
            at = y + 0.2 + number_below * LINE
            ax.text(1, at, line, va="center", fontsize=8, color="0.2", **look.plain())
        y += 1.2 + LINE * len(lines)
    look.name_rows(ax, [look.short(label_names[c]) for c in rows], ticks, fontweight="bold")
    ax.set(xlabel="weight (%); below it the neighbours: distance and text", xticks=range(0, 101, 20))
    look.finish(ax, grid=False, xlim=(0, 112), ylim=(max(y - 0.5, 0.5), -0.6))
    nearest = ""
    if len(neighbours):
        distance = neighbours["distance"].iloc[0]
        nearest = f" The nearest neighbour, {distance:.2f} away, is labelled {label_names[vote[0]]}."
    return f"Candidates for the label of one text, with their neighbours: {'; '.join(words)}.{nearest}"


def draw_cases(report: pd.DataFrame, ax: Axes, *, title: str = "") -> str:
    """Draw the share of texts in each case, and how many of them have the true label as likeliest candidate.

    Parameters
    ----------
    report : DataFrame
        Columns case, n and right, from `nlkit.metrics.prior_report`.

    Returns
    -------
    str
        The figure in words.
    """
    n, right = report.set_index("case").reindex(list(CASES))[["n", "right"]].fillna(0).to_numpy(float).T
    share, place = 100 * n / max(1.0, n.sum()), range(len(CASES))
    true = ("likeliest is true", share * right, look.RIGHT)
    top = look.stack(ax, place, true, ("likeliest is wrong", share * (1 - right), look.WRONG))
    said = [f"{100 * r:.0f} % true" if s else "none" for s, r in zip(share, right, strict=True)]
    ax.bar_label(top, said, padding=3)
    ax.set_ylabel("texts (%)")
    ax.set_xticks(place, CASES)
    ax.set_axisbelow(True)
    look.finish(ax, ylim=(0, 112), yticks=range(0, 101, 25), title=title, legend={"loc": "upper right"})
    words = [
        f"{case} {s:.0f} percent, {told.replace('% true', 'percent of them true')}"
        for case, s, told in zip(CASES, share, said, strict=True)
    ]
    return f"Cases of the prior{f' ({title})' if title else ''}: {'; '.join(words)}."


def draw_case_shares(
    reports: Mapping[float, pd.DataFrame], ax: Axes, *, symbol: str, mark: float, legend: bool = True
) -> str:
    """Draw the share of texts in each case, and the share whose likeliest candidate is true, over a setting.

    Parameters
    ----------
    reports : mapping of float to DataFrame
        For each value of the setting the report that `draw_cases` draws.
    symbol : str
        The setting.
    mark : float
        The value that gets a vertical line.

    Returns
    -------
    str
        The figure in words.
    """
    rows = {}
    for value, report in reports.items():
        n, right = report.set_index("case").reindex(list(CASES))[["n", "right"]].fillna(0).to_numpy(float).T
        rows[value] = [*n, n @ right] / np.maximum(1.0, n.sum()) * 100
    at, names = list(rows), [*CASES, "likeliest is true"]
    for number, (name, share) in enumerate(zip(names, np.transpose(list(rows.values())), strict=True)):
        ax.plot(at, share, label=name, **look.line(number))
    look.finish(ax, xlabel=symbol, xticks=at, ylim=(-3, 103), mark=mark, legend=legend and look.BESIDE)
    ends = (at[0], at[-1])
    said = (
        f"{symbol} = {v:g}: {', '.join(f'{n} {s:.0f}' for n, s in zip(names, rows[v], strict=True))}"
        for v in ends
    )
    return f"Percent of the texts over {symbol}. {'; '.join(said)}."
