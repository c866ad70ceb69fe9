"""NoiseAL's loop: the sets R, H and P, their thresholds, what is learnt from them, and the losses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from nlkit.course.plots import look

SETS: dict[str, dict[str, Any]] = {
    "R": {"marker": "o", "color": look.PALETTE[0]},
    "H": {"marker": "s", "color": look.PALETTE[7]},
    "P": {"marker": "^", "color": look.PALETTE[3]},
}
SET_NAMES = {"R": "clean", "H": "hard", "P": "purified"}
EMPTY = "none (the set is empty)"


def draw_partition(
    partition: pd.DataFrame, ax: Axes, *, wrong: ArrayLike | None = None, title: str = "",
    legend: bool = True, size: float = 12.0,
) -> str:  # fmt: skip
    """Draw what both models give the observed label: p_s across, p_w up, marked by set.

    Parameters
    ----------
    partition : DataFrame, one row a sample
        Columns set (R, H or P), p_s and p_w, as in ``NoiseAL.partition_``.
    wrong : array of bool, shape (N,), optional
        Which observed labels are wrong: those samples get a black rim.
    """
    counts = partition["set"].value_counts().reindex(list(SETS), fill_value=0)
    for name, style in SETS.items():
        rows = partition[partition["set"] == name]
        label = f"{name} {SET_NAMES[name]}: {counts[name]}"
        ax.scatter(rows["p_s"], rows["p_w"], s=size, alpha=0.55, linewidths=0, label=label, **style)
    rims = ""
    if wrong is not None:
        off, inside = partition[np.asarray(wrong, bool)], []
        rim: dict[str, Any] = {"s": size, "facecolors": "none", "edgecolors": "black", "linewidths": 0.7}
        for name, style in SETS.items():
            rows = off[off["set"] == name]
            ax.scatter(rows["p_s"], rows["p_w"], marker=style["marker"], **rim)
            inside.append(f"{len(rows)} in {name}")
        ax.scatter([], [], **rim, label=f"wrong label: {len(off)}")
        rims = f" A black rim marks wrong labels: {', '.join(inside)}."
    if legend:
        ax.set(xlabel="p_s: the strong model's trust in the label", ylabel="p_w: the weak model's trust")
    else:
        ax.set(xticks=[0, 1], yticks=[0, 1])
    ends = (-0.03, 1.03)
    place = legend and look.BESIDE | {"markerscale": 2}
    look.finish(ax, grid=False, xlim=ends, ylim=ends, title=title, legend=place)
    return (
        f"Scatter of {len(partition)} samples{f' ({title})' if title else ''} by the strong (across) and the "
        f"weak model's (up) trust in the observed label. {counts['R']} are in R (clean, top right), "
        f"{counts['H']} in H (hard), {counts['P']} in P (purified, bottom left).{rims}"
    )


def draw_set_quality(quality: pd.DataFrame, ax: Axes, *, mark: int | None = None) -> str:
    """Draw precision (filled) and recall (hollow) of R and P over the epochs.

    Parameters
    ----------
    quality : DataFrame
        Columns epoch, set, precision, recall (`nlkit.metrics.partition_report`, one block an epoch).
    mark : int, optional
        Epoch marked with a vertical line.
    """
    words = []
    for name, wanted in (("R", "right"), ("P", "wrong")):
        rows = quality[quality["set"] == name]
        precision, recall, labels = rows["precision"], rows["recall"], (f"{name} precision", f"{name} recall")
        look.pair(ax, rows["epoch"], 100 * precision, 100 * recall, labels, markersize=6, **SETS[name])
        right, found = (look.percent(values.iloc[-1], EMPTY) for values in (precision, recall))
        said = f"{right} of {name} have {wanted} labels, and {name} holds {found} of all {wanted} labels"
        words.append(f"at the end {said}")
    look.finish(ax, xlabel="epoch", ylabel="percent", ylim=(-3, 103), legend={"ncols": 2}, mark=mark)
    return "Precision and recall of the sets over the epochs: " + "; ".join(words) + "."


def draw_finders(
    table: pd.DataFrame, column: str, ax: Axes, *, names: Mapping[str, str] | None = None,
    mark: int | None = None, legend: bool = True,
) -> str:  # fmt: skip
    """Draw one score of several finders of right labels over the epochs.

    Parameters
    ----------
    table : DataFrame
        From `nlkit.study.cleaning.compare_finders`.
    column : str
        "precision", "recall" or "f1".
    names : mapping of str to str, optional
        The finders to draw, with their names; all of them by default.
    mark : int, optional
        Epoch marked with a vertical line.
    legend : bool
        Beside the axes.
    """
    names = names or {name: name for name in dict.fromkeys(table["finder"])}
    words = []
    for number, (key, name) in enumerate(names.items()):
        rows = table[table["finder"] == key]
        ax.plot(rows["epoch"], 100 * rows[column], **look.line(number), label=name)
        said = [look.percent(share, EMPTY) for share in rows[column]]
        at = "" if mark is None else f"{said[mark - 1]} at epoch {mark}, "
        words.append(f"{name} {said[0]} at first, {at}{said[-1]} at the end")
    place = legend and look.BESIDE
    look.finish(ax, xlabel="epoch", ylabel=f"{column} (%)", ylim=(-3, 103), legend=place, mark=mark)
    return f"{column.capitalize()} of those kept as rightly labelled, over the epochs: {'; '.join(words)}."


def draw_threshold_path(path: pd.DataFrame, ax: Axes, *, title: str = "", legend: bool = True) -> str:
    """Draw one sample's trust and thresholds over the epochs, with the set it falls in above.

    Parameters
    ----------
    path : DataFrame, one row an epoch
        Columns epoch, set, p_s, tau_s, p_w, tau_w: a sample's rows of
        `nlkit.methods.noiseal.partition.Partition.table`.
    """
    for model, style in look.MODELS.items():
        trust, threshold = path[f"p_{model[0]}"], path[f"tau_{model[0]}"]
        labels = (f"{model}: trust in the label", f"{model}: threshold τ")
        look.pair(ax, path["epoch"], trust, threshold, labels, ":", **style)
    for epoch, name in zip(path["epoch"], path["set"], strict=True):
        ax.text(epoch, 1.06, name, ha="center", color=SETS[name]["color"], fontweight="bold")
    place = legend and look.BESIDE
    look.finish(ax, xlabel="epoch", ylabel="probability", ylim=(-0.03, 1.15), title=title, legend=place)
    last = path.iloc[-1]
    return (
        f"Trust and thresholds of one sample{f' ({title})' if title else ''}. Its sets, epoch by epoch: "
        f"{' '.join(path['set'])}. At the end the strong model gives its label {last['p_s']:.2f} against a "
        f"threshold of {last['tau_s']:.2f}, the weak one {last['p_w']:.2f} against {last['tau_w']:.2f}."
    )


def draw_lessons(lessons: pd.DataFrame, ax: Axes, *, top: float, title: str = "", legend: bool = True) -> str:
    """Draw how many texts have each kind of target, and for how many of them it is a wrong class (hatched).

    Parameters
    ----------
    lessons : DataFrame, one row a kind of target
        Columns lesson, n and right (texts), as from `nlkit.course.widgets.compute_lessons`.
    top : float
        Upper end of the axis, in texts.
    """
    place, n, right = np.arange(len(lessons)), lessons["n"].to_numpy(), lessons["right"].to_numpy()
    wrong = ("wrong class", n - right, look.WRONG)
    bars = look.stack(ax, place, ("right class", right, look.RIGHT), wrong)
    told = [f"{a} of {b}" for a, b in zip(right, n, strict=True)]
    short = [name.replace(" ", "\n", 1) if legend else name.split()[-1] for name in lessons["lesson"]]
    if legend:
        ax.bar_label(bars, told, padding=1, fontsize=9)
        ax.set_ylabel("texts")
    ax.set_xticks(place, short, fontsize=8 if legend else 7)
    at = legend and {"loc": "upper right"}
    look.finish(ax, grid=False, ylim=(0, 1.08 * top), title=title, legend=at)
    words = [f"{name}: {said} right" for name, said in zip(lessons["lesson"], told, strict=True)]
    return f"What the texts are taught{f' ({title})' if title else ''}: {'; '.join(words)}."


def draw_right_lessons(lessons: pd.DataFrame, ax: Axes) -> str:
    """Draw the share of right targets over the epochs, one line a kind.

    Parameters
    ----------
    lessons : DataFrame
        Columns epoch, lesson, n and right; a kind without a text has no point.
    """
    words = []
    some = lessons[lessons["n"] > 0]
    for number, name in enumerate(dict.fromkeys(lessons["lesson"])):
        epoch, n, right = some.loc[some["lesson"] == name, ["epoch", "n", "right"]].to_numpy().T
        if len(epoch):
            share, colour = 100 * right / n, look.PALETTE[(0, 2, 3, 4)[number % 4]]
            ax.plot(epoch, share, **look.line(number, color=colour, markersize=6), label=name)
            words.append(f"{name} {share[0]:.0f} after epoch {epoch[0]}, {share[-1]:.0f} after the last")
    look.finish(ax, xlabel="epoch", ylabel="right lessons (%)", ylim=(-3, 103), legend=look.BESIDE)
    return f"Share of lessons that teach the true class, in percent: {'; '.join(words)}."


def draw_set_losses(history: pd.DataFrame, ax: Axes, *, model: str = "strong", warmup: int) -> str:
    """Draw the three parts of NoiseAL's loss over the epochs, stacked up to their sum.

    Parameters
    ----------
    history : DataFrame
        ``NoiseAL.history_``: columns epoch, and loss_R, loss_H, loss_P of the model.
    model : str
        "strong" or "weak".
    warmup : int
        W, the epochs of plain CE, marked by a vertical line.
    """
    part = {name: history[f"loss_{name}_{model}"].to_numpy(np.float64) for name in SETS}
    look.stack(ax, history["epoch"], *(
        (f"L_{k}, {SET_NAMES[k]} set", y, {"color": SETS[k]["color"], "hatch": hatch})
        for (k, y), hatch in zip(part.items(), look.HATCHES, strict=False)
    ))  # fmt: skip
    labels = {"xlabel": "epoch", "ylabel": "loss a text", "title": f"{model} model"}
    look.finish(ax, grid=False, mark=warmup + 0.5, legend=look.INSIDE, **labels)
    words = [f"L_{k} {y[0]:.2f} in the first epoch, {y[-1]:.2f} in the last" for k, y in part.items()]
    return f"Loss of the {model} model by set: {'; '.join(words)}; the warm-up ends after epoch {warmup}."
