"""Explorers of simplex diffusion: labels under noise, and the reverse chain step by step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Explorer, choice, shorten, slider, steps, table
from nlkit.methods.sidyp.diffusion import alpha_bar, q_sample, survival, to_simplex

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "ChainView",
    "NoisedView",
    "chain_explorer",
    "compute_chain",
    "compute_noised",
    "diffusion_explorer",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class NoisedView:
    """Noised copies of one of three labels at one time.

    Attributes
    ----------
    step, level
        t and ᾱ_t.
    label, scale
        The class, 0 to 2, and k.
    points : ndarray, shape (n, 3)
        The copies as points of the simplex: their softmax, rows sum to 1.
    leads : ndarray, shape (3,)
        The share of the copies in which each class is the largest entry.
    """

    step: int
    level: float
    label: int
    scale: float
    points: Floats
    leads: Floats


def compute_noised(
    label: int, step: int, *, T: int = 500, scale: float = 5.0, n: int = 200, seed: int = 0
) -> NoisedView:
    """Noise one of three labels n times to time t, as `nlkit.methods.sidyp.diffusion` does.

    The same ε at every t, so that a copy can be followed from one position of the slider to the next.
    """
    if not 0 <= step <= T:
        invalid("step", step, f"a whole number from 0 to {T}")
    if not 0 <= label < 3:
        invalid("label", label, "0, 1 or 2: three classes fit on a triangle")
    level = alpha_bar(T)[step]
    noise = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    noised = q_sample(to_simplex(torch.full((n,), label), 3, scale), level.expand(n), noise, scale)
    leads = np.bincount(noised.argmax(-1).numpy(), minlength=3) / n
    points = noised.double().softmax(-1).numpy()
    return NoisedView(step, float(level), label, scale, points, leads)


def diffusion_explorer(
    label_names: Sequence[str], *, n_classes: int = 3, T: int = 500, scale: float = 5.0,
    step: int | None = None, label: int = 0, seed: int = 0,
) -> Explorer:  # fmt: skip
    """Move the time t, the class and the scale k of the forward process; see the cloud and the schedule.

    Parameters
    ----------
    label_names : sequence of 3 strings
        The corners: bottom left, bottom right, top.
    n_classes : int
        C of the real task: how long a label survives there is drawn beside the triangle's three.
    T, scale : int and float
        Steps of the schedule, k.
    step, label
        Where the controls stand first (step: the middle).
    seed : int
        Of the noise.
    """
    if len(label_names) != 3:
        invalid("label_names", list(label_names), "three names: three classes fit on a triangle")
    if not 1 <= scale <= 10:
        invalid("scale", scale, "a number from 1 to 10, the slider's range")
    start = compute_noised(label, T // 2 if step is None else step, T=T, scale=scale, seed=seed)
    level = alpha_bar(T)
    kept = {f"survive, {c} classes": survival(level, c).numpy() for c in sorted({3, n_classes})}
    controls = {
        "step": steps("time t", start.step, 0, T),
        "label": choice("class", label, [(name, c) for c, name in enumerate(label_names)]),
        "scale": slider("scale k", scale, 1.0, 10.0, 0.5),
    }

    def redraw() -> tuple[Figure, str, str]:
        view = compute_noised(
            controls["label"].value, controls["step"].value, T=T, scale=controls["scale"].value, seed=seed
        )
        fig, axes = plots.figure(1, 2, width=9.2, height=3.6, margins=(0.02, 0.76, 0.15, 0.92))
        alt = plots.draw_noised(view.points, view.label, label_names, axes[0])
        alt += " " + plots.draw_schedule(level, kept, axes[1], mark=view.step)
        return fig, alt, noised_table(view, kept)

    return Explorer(controls, redraw, _static_noised(start, label_names, level.numpy(), kept, T, seed))


def noised_table(view: NoisedView, kept: dict[str, Any]) -> str:
    """Return the numbers of one time as an HTML table."""
    a = view.level
    row = [
        str(view.step), f"{a:.3f}", f"{2 * view.scale * np.sqrt(a):.2f}",
        f"{view.scale * np.sqrt(1 - a):.2f}", f"{100 * view.leads[view.label]:.0f} %",
        *(f"{100 * share[view.step]:.0f} %" for share in kept.values()),
    ]  # fmt: skip
    head = (
        "t", "ᾱ", "the class leads by, 2k√ᾱ", "size of the noise, k√(1 − ᾱ)", "copies it still leads",
        *(f"expected: {name}" for name in kept),
    )  # fmt: skip
    return table([row], head, "A label at this time")


def _static_noised(
    start: NoisedView, label_names: Sequence[str], level: Any, kept: dict[str, Any], T: int, seed: int
) -> tuple[Figure, str]:
    """Draw the default position, and below it the cloud at six times."""
    fig, _ = plots.figure(width=9, height=5.8)
    fig.clear()
    grid = fig.add_gridspec(2, 1, height_ratios=[2, 1])
    top = grid[0].subgridspec(1, 2)
    alt = plots.draw_noised(start.points, start.label, label_names, fig.add_subplot(top[0]))
    alt += " " + plots.draw_schedule(level, kept, fig.add_subplot(top[1]), mark=start.step)
    words, strip = [], grid[1].subgridspec(1, 6)
    for column, t in enumerate(np.linspace(0, T, 6).round().astype(int).tolist()):
        view = compute_noised(start.label, t, T=T, scale=start.scale, seed=seed)
        ax = fig.add_subplot(strip[column])
        plots.draw_noised(view.points, view.label, ["", "", ""], ax, numbers=False, size=4)
        stays = 100 * view.leads[view.label]
        ax.set_title(f"t = {t}: {stays:.0f} %", fontsize=9)
        words.append(f"t = {t} {stays:.0f} percent")
    name = label_names[start.label]
    return (
        fig,
        f"{alt} Below it the same at other times, and how many copies {name} leads: {', '.join(words)}.",
    )


@dataclass(frozen=True)
class ChainView:
    """The reverse chain of one text at one step.

    Attributes
    ----------
    text, branch, step
        Which text of those recorded, which branch, how many steps were made (0: the start).
    states : ndarray, shape (S, C)
        The whole chain of this branch; rows sum to 1.
    here : ndarray, shape (M, C)
        Where the chains of all branches are at this step.
    """

    text: int
    branch: int
    step: int
    states: Floats
    here: Floats


def compute_chain(chain: ArrayLike, text: int, branch: int, step: int) -> ChainView:
    """Look at one text's chain, shape (S, M, n, C) of all: S − 1 steps, M branches, n texts, C classes."""
    p = np.asarray(chain, np.float64)
    if p.ndim != 4 or 0 in p.shape:
        invalid("chain", f"array of shape {p.shape}", "shape (S, M, n, C), none 0")
    for field, value, size in (("step", step, 0), ("branch", branch, 1), ("text", text, 2)):
        if not 0 <= value < p.shape[size]:
            invalid(field, value, f"a whole number from 0 to {p.shape[size] - 1}")
    return ChainView(text, branch, step, p[:, branch, text], p[step, :, text])


def chain_explorer(
    chain: ArrayLike, noisy_label: ArrayLike, texts: Sequence[str], label_names: Sequence[str],
    label: ArrayLike | None = None, *, step: int | None = None,
) -> Explorer:  # fmt: skip
    """Choose a text, a branch and a step of recorded reverse chains.

    Parameters
    ----------
    chain : array, shape (S, M, n, C)
        From `SiDyP.chain`; rows sum to 1.
    noisy_label : array of int, shape (n,)
        The observed labels that the chains were told; −1 is missing.
    texts : sequence of n strings
    label_names : sequence of C strings
    label : array of int, shape (n,), optional
        True labels, to be shown beside.
    step : int, optional
        Where the control stands first: the middle.
    """
    p = np.asarray(chain, np.float64)
    start = compute_chain(p, 0, 0, (len(p) - 1) // 2 if step is None else step)
    told = np.asarray(noisy_label, np.int64)
    if not p.shape[2] == len(told) == len(texts) or p.shape[3] != len(label_names):
        raise ValueError(
            f"chain {p.shape} does not fit noisy_label ({len(told)}), texts ({len(texts)}) and "
            f"label_names ({len(label_names)})"
        )
    controls = {
        "text": choice("text", 0, [(f"{i + 1}. {shorten(t, 60)}", i) for i, t in enumerate(texts)]),
        "branch": choice("branch", 0, [(f"branch {m + 1}", m) for m in range(p.shape[1])]),
        "step": steps("reverse step", start.step, 0, len(p) - 1),
    }

    def redraw() -> tuple[Figure, str, str]:
        view = compute_chain(p, controls["text"].value, controls["branch"].value, controls["step"].value)
        fig, axes = plots.figure(1, 2, width=10.5, height=3.4, margins=(0.06, 0.89, 0.16, 0.9))
        fig.subplots_adjust(wspace=0.68)
        alt = plots.draw_chain_bars(view.states, label_names, axes[0], top=3, mark=view.step)
        alt += " " + plots.draw_branches(view.here, label_names, axes[1], title=_when(view.step))
        known = None if label is None else int(np.asarray(label)[view.text])
        return fig, alt, chain_table(view, texts[view.text], int(told[view.text]), known, label_names)

    return Explorer(controls, redraw, _static_chain(p, start, label_names))


def _when(step: int) -> str:
    return f"after step {step}" if step else "at the start"


def chain_table(
    view: ChainView, text: str, noisy_label: int, label: int | None, label_names: Sequence[str]
) -> str:
    """Return the text, its labels and the leading class as an HTML table, escaped."""
    lead, last = int(view.states[view.step].argmax()), int(view.states[-1].argmax())
    row = [
        shorten(text, 200), label_names[noisy_label] if noisy_label >= 0 else "none",
        f"{label_names[lead]} {100 * view.states[view.step, lead]:.0f} %",
        f"{label_names[last]} {100 * view.states[-1, last]:.0f} %",
    ]  # fmt: skip
    head = ["text", "observed label", f"leads {_when(view.step)}", "answer in the end"]
    if label is not None:
        row.append(label_names[label] if label >= 0 else "not known")
        head.append("true label")
    return table([row], head, f"Chain of branch {view.branch + 1}")


def _static_chain(chain: Floats, start: ChainView, label_names: Sequence[str]) -> tuple[Figure, str]:
    """Draw the default position, and below it the branches at five steps."""
    fig, _ = plots.figure(width=9.5, height=6.2)
    fig.clear()
    grid = fig.add_gridspec(2, 1, height_ratios=[1.5, 1])
    ax = fig.add_subplot(grid[0])
    alt = plots.draw_chain_bars(start.states, label_names, ax, mark=start.step)
    at = sorted(set(np.linspace(0, len(chain) - 1, 5).round().astype(int).tolist()))
    words, strip = [], grid[1].subgridspec(1, len(at))
    for column, step in enumerate(at):
        view = compute_chain(chain, start.text, start.branch, step)
        ax = fig.add_subplot(strip[column])
        words.append(plots.draw_branches(view.here, label_names, ax, title=_when(step), names=False))
        if column == 0:
            ax.set_yticks(range(len(label_names)), label_names, fontsize=8, parse_math=False)
    fig.legend(*fig.axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=6, frameon=False)
    return fig, f"{alt} Below it all branches at some steps. {' '.join(words)}"
