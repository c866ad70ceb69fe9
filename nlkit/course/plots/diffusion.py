"""Simplex diffusion: how noise covers a label, and how the reverse chain arrives at one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.course.plots import look

# Places of one-hot distributions over three classes: bottom left, bottom right, top.
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(3) / 2]])


def draw_noised(
    points: ArrayLike, label: int, label_names: Sequence[str], ax: Axes, *, numbers: bool = True,
    size: float = 14.0,
) -> str:  # fmt: skip
    """Draw n noised copies of one label on the triangle; colour and mark are those of the class that leads.

    Parameters
    ----------
    points : array, shape (n, 3)
        Their softmax; rows sum to 1.
    label : int
        The class that was noised, 0 to 2.
    label_names : sequence of str
        The three classes: bottom left, bottom right, top.
    numbers : bool
        Whether the share of copies that each class leads stands beside its name.
    size : float
        Of a mark.

    Returns
    -------
    str
        The figure in words.
    """
    p = _probabilities("points", points, "n", 3)
    if not 0 <= label < 3:
        invalid("label", label, "0, 1 or 2: a corner of the triangle")
    lead = p.argmax(-1)
    share = 100 * np.bincount(lead, minlength=3) / len(lead)
    ax.plot(*CORNERS[[0, 1, 2, 0]].T, color="0.3", linewidth=1)
    for c, (name, (x, y)) in enumerate(zip(label_names, CORNERS, strict=True)):
        # Dotted, from the middle to the middle of each side: where another class takes the lead.
        ax.plot(*np.stack([CORNERS.mean(0), CORNERS[[c, c - 1]].mean(0)]).T, ":", color="0.6", linewidth=1)
        style = {"color": look.PALETTE[c], "marker": look.MARKERS[c], "s": size}
        ax.scatter(*(p[lead == c] @ CORNERS).T, alpha=0.75, linewidths=0, **style)
        up, at = ("bottom", y + 0.03) if y else ("top", y - 0.05)
        named = look.short(name, 20) + (f"\n{share[c]:.0f} %" if numbers else "")
        ax.text(x, at, named, ha="center", va=up, fontweight="bold", **look.plain())
    ax.plot(*CORNERS[label], look.MARKERS[label], color="black", fillstyle="none", markersize=13)
    ax.set(xlim=(-0.2, 1.2), ylim=(-0.25, 1.12), aspect="equal")
    ax.axis("off")
    listed = ", ".join(f"{name} {s:.0f}" for name, s in zip(label_names, share, strict=True))
    return (
        f"{len(p)} noised copies of the label {label_names[label]} on the triangle of "
        f"{', '.join(label_names)}. The leading class, in percent of the copies: {listed}. The largest "
        f"probability is {100 * p.max(-1).mean():.0f} percent on average."
    )


def draw_schedule(
    level: ArrayLike, kept: Mapping[str, ArrayLike], ax: Axes, *, mark: int | None = None
) -> str:
    """Draw what is left of a label and how much noise there is, at each time t.

    Parameters
    ----------
    level : array, shape (T + 1,)
        ᾱ_0 … ᾱ_T, from 1 down.
    kept : mapping of str to array, shape (T + 1,)
        Shares of labels that are still the largest entry, by a name for the line.
    mark : int, optional
        The t that gets a vertical line.

    Returns
    -------
    str
        The figure in words.
    """
    a = np.asarray(level, np.float64)
    lines = {"√ᾱ: label": np.sqrt(a), "√(1 − ᾱ): noise": np.sqrt(1 - a)}
    lines |= {name: np.asarray(share, np.float64) for name, share in kept.items()}
    for number, (name, y) in enumerate(lines.items()):
        ax.plot(y, **look.line(number, markersize=4), markevery=max(1, len(a) // 6), label=name)
    look.finish(ax, xlabel="t", xlim=(0, len(a) - 1), ylim=(-0.03, 1.03), legend=look.BESIDE, mark=mark)
    equal = int(np.abs(a - 0.5).argmin())
    words = f"The schedule over {len(a) - 1} steps: label and noise are equally strong at t = {equal}."
    if mark is not None:
        words += f" At t = {mark}: {'; '.join(f'{name} {y[mark]:.2f}' for name, y in lines.items())}."
    return words


def draw_answers(table: pd.DataFrame, ax: Axes) -> str:
    """Draw how often a denoiser's prediction is right, and how often it is the label that it was given.

    Parameters
    ----------
    table : DataFrame
        Columns t, shown (a name for the label that was noised), right and as shown (shares of the answers).

    Returns
    -------
    str
        The figure in words.
    """
    words = []
    for number, (shown, rows) in enumerate(table.groupby("shown", sort=False)):
        right, same = (100 * rows[column].to_numpy(np.float64) for column in ("right", "as shown"))
        # If the right label was shown, one line says both.
        parts = {"right": right} | ({} if (right == same).all() else {"as shown": same})
        labels = (f"shown {shown}: answer right", f"shown {shown}: answer as shown")
        style = {"color": look.PALETTE[number], "marker": look.MARKERS[number], "markersize": 6}
        look.pair(ax, rows["t"], right, parts.get("as shown"), labels, **style)
        words += [
            f"shown {shown}, {name} {y[0]:.0f} percent at first and {y[-1]:.0f} at last"
            for name, y in parts.items()
        ]
    xlabel = "t: noise on the label that is shown"
    look.finish(ax, xlabel=xlabel, ylabel="answers (%)", ylim=(-3, 103), legend=look.BESIDE)
    return f"Answers of the denoiser over the time t, as more and more noise is added: {'; '.join(words)}."


def draw_branches(
    state: ArrayLike, label_names: Sequence[str], ax: Axes, *, title: str = "", names: bool = True
) -> str:
    """Draw where the chains of all branches are at one step: a row a class, a mark a branch.

    Parameters
    ----------
    state : array, shape (M, C)
        Rows sum to 1.
    label_names : sequence of str, C of them
    names : bool
        Whether the classes' names and a legend are written.

    Returns
    -------
    str
        The figure in words.
    """
    p = 100 * _probabilities("state", state, "M", len(label_names))
    rows = {f"branch {m}": row for m, row in enumerate(p, start=1)}
    look.side_by_side(ax, rows, label_names if names else [""] * len(label_names), 5)
    settings = {"xlabel": "probability (%)", "legend": look.BESIDE} if names else {"xticks": [0, 100]}
    look.finish(ax, xlim=(-4, 104), title=title, **settings)
    lead = "; ".join(f"{m} at {label_names[y.argmax()]}, {y.max():.0f} percent" for m, y in rows.items())
    return f"Where the chains are{f' {title}' if title else ''}: {lead}."


def draw_chain_bars(
    chain: ArrayLike, label_names: Sequence[str], ax: Axes, *, top: int = 5, mark: int | None = None
) -> str:
    """Draw one text's class probabilities as a stacked bar for the start and for each step.

    Parameters
    ----------
    chain : array, shape (S, C)
        Rows sum to 1.
    label_names : sequence of str, C of them
    top : int
        The classes with a name of their own, at most 6: those that have most over all steps. The rest are
        summed up as "others".
    mark : int, optional
        The step, from 0, that gets a frame.

    Returns
    -------
    str
        The figure in words.
    """
    p = _probabilities("chain", chain, "S", len(label_names))
    if not 1 <= top < len(look.HATCHES):
        invalid("top", top, f"1 to {len(look.HATCHES) - 1}: more hatches cannot be told apart")
    S, C = p.shape
    named = np.argsort(-p.sum(0), kind="stable")[: top if top < C - 1 else min(C, len(look.HATCHES))]
    parts = [(look.short(label_names[c]), 100 * p[:, c], look.bars(number)) for number, c in enumerate(named)]
    if len(named) < C:
        rest = 100 * (1 - p[:, named].sum(1))
        parts.append((f"others ({C - len(named)})", rest, {"color": "0.9"}))
    look.stack(ax, range(S), *parts, width=0.85)
    if mark is not None:
        ax.bar([mark], [100], color="none", edgecolor="black", linewidth=2.5, width=1.0)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.xaxis.set_major_formatter(lambda x, _: "start" if x == 0 else f"{x:.0f}")
    # The legend from top to bottom as the bars are stacked.
    look.finish(
        ax, grid=False, xlabel="reverse step", ylabel="probability (%)", ylim=(0, 100), xlim=(-0.6, S - 0.4),
        legend=look.BESIDE | {"reverse": True},
    )  # fmt: skip
    first, last, lead = int(p[0].argmax()), int(p[-1].argmax()), p.argmax(1)
    settled = int(np.flatnonzero(lead != last).max(initial=-1)) + 1
    since = "from the start on" if settled == 0 else f"from step {settled} on"
    return (
        f"Class probabilities of one text over {S - 1} reverse steps, as stacked bars. The start gives most "
        f"to {label_names[first]}, {100 * p[0, first]:.0f} percent; the end gives most to "
        f"{label_names[last]}, {100 * p[-1, last]:.0f} percent, which leads {since}."
    )


def _probabilities(field: str, p: ArrayLike, *shape: int | str) -> NDArray[np.float64]:
    q = look.array(field, p, *shape)
    total = q.sum(-1)
    if (q < 0).any() or not np.allclose(total, 1, atol=1e-3):
        found = f"from {q.min():.3g}, sums from {total.min():.3g} to {total.max():.3g}"
        invalid(field, found, "probabilities that sum to 1")
    return q
