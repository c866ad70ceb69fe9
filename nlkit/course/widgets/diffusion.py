"""Explorers of simplex diffusion: labels under noise, and the reverse chain step by step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Drawn, Explorer, Span, Still, check, name_of, share, shorten, table
from nlkit.methods.sidyp.diffusion import alpha_bar, q_sample, survival, to_simplex

Floats = NDArray[np.float64]


class NoisedView(NamedTuple):
    """Noised copies of one of three labels at one time.

    Attributes
    ----------
    level
        ᾱ_t.
    points : ndarray, shape (n, 3)
        The copies as points of the simplex: their softmax, rows sum to 1.
    leads : ndarray, shape (3,)
        The share of the copies in which each class is the largest entry.
    """

    level: float
    points: Floats
    leads: Floats


def compute_noised(
    label: int, step: int, *, T: int = 500, scale: float = 5.0, n: int = 200, seed: int = 0
) -> NoisedView:
    """Noise one of three labels n times to time t, as `nlkit.methods.sidyp.diffusion` does.

    The same ε at every t, so that a copy can be followed from one position of the slider to the next.
    """
    check("step", step, range(T + 1))
    check("label", label, range(3))
    level = alpha_bar(T)[step]
    noise = torch.randn(n, 3, generator=torch.Generator().manual_seed(seed))
    noised = q_sample(to_simplex(torch.full((n,), label), 3, scale), level.expand(n), noise, scale)
    leads = np.bincount(noised.argmax(-1).numpy(), minlength=3) / n
    return NoisedView(float(level), noised.double().softmax(-1).numpy(), leads)


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
    level = alpha_bar(T)
    kept = {f"survive, {c} classes": survival(level, c).numpy() for c in sorted({3, n_classes})}

    def draw(step: int, label: int, scale: float) -> Drawn:
        view = compute_noised(label, step, T=T, scale=scale, seed=seed)
        fig, axes = plots.figure(1, 2, 9.2, 3.6, margins=(0.02, 0.76, 0.15, 0.92))
        alt = plots.draw_noised(view.points, label, label_names, axes[0])
        alt += " " + plots.draw_schedule(level, kept, axes[1], mark=step)
        row = [
            step, f"{view.level:.3f}", f"{2 * scale * np.sqrt(view.level):.2f}",
            f"{scale * np.sqrt(1 - view.level):.2f}", share(view.leads[label]),
            *(share(survives[step]) for survives in kept.values()),
        ]  # fmt: skip
        head = (
            "t", "ᾱ", "the class leads by, 2k√ᾱ", "size of the noise, k√(1 − ᾱ)", "copies it still leads",
            *(f"expected: {name}" for name in kept),
        )  # fmt: skip
        return fig, alt, table([row], head, "A label at this time")

    def static(step: int, label: int, scale: float) -> Still:
        """Draw the first position, and below it the cloud at four times."""
        fig, (top, strip) = plots.panels((2, 4), (1.6, 1), 9, 6.4)
        start, words = compute_noised(label, step, T=T, scale=scale, seed=seed), []
        alt = plots.draw_noised(start.points, label, label_names, top[0])
        alt += " " + plots.draw_schedule(level, kept, top[1], mark=step)
        for t, ax in zip(np.linspace(0, T, 4).round().astype(int).tolist(), strip, strict=True):
            view = compute_noised(label, t, T=T, scale=scale, seed=seed)
            plots.draw_noised(view.points, label, ["", "", ""], ax, numbers=False)
            ax.set_title(f"t = {t}: {share(view.leads[label])}", fontsize=9)
            words.append(f"t = {t} {100 * view.leads[label]:.0f} percent")
        name = label_names[label]
        alt += f" Below it the same at other times, and how many copies {name} leads: {', '.join(words)}."
        return fig, alt

    controls = {
        "step": ("time t", T // 2 if step is None else step, range(T + 1), f"of {T}"),
        "label": ("class", label, [(name, c) for c, name in enumerate(label_names)]),
        "scale": ("scale k", scale, Span(1.0, 10.0, 0.5)),
    }
    return Explorer(controls, draw, static, lines=4)


def chain_explorer(
    chain: ArrayLike, noisy_label: ArrayLike, texts: Sequence[str], label_names: Sequence[str],
    label: ArrayLike | None = None, *, step: int | None = None,
) -> Explorer:  # fmt: skip
    """Choose a text, a branch and a step of recorded reverse chains.

    Parameters
    ----------
    chain : array, shape (S, M, n, C)
        From `SiDyP.chain`: class probabilities at the start and after each of S − 1 steps, of M branches and
        n texts; they sum to 1.
    noisy_label : array of int, shape (n,)
        The observed labels that condition the chains; −1 is missing.
    texts : sequence of n strings
    label_names : sequence of C strings
    label : array of int, shape (n,), optional
        True labels, to be shown beside.
    step : int, optional
        Where the control stands first: the middle.
    """
    p, noisy = np.asarray(chain, np.float64), np.asarray(noisy_label, np.int64)
    if p.ndim != 4 or 0 in p.shape:
        invalid("chain", f"array of shape {p.shape}", "shape (S, M, n, C), none 0")
    if not p.shape[2] == len(noisy) == len(texts) or p.shape[3] != len(label_names):
        others = f"texts ({len(texts)}) and label_names ({len(label_names)})"
        raise ValueError(f"chain {p.shape} does not fit noisy_label ({len(noisy)}), {others}")

    def when(step: int) -> str:
        return f"after step {step}" if step else "at the start"

    def leader(state: Floats) -> str:
        return f"{label_names[int(state.argmax())]} {share(state.max())}"

    def draw(text: int, branch: int, step: int) -> Drawn:
        states = p[:, branch, text]
        fig, axes = plots.figure(1, 2, 10.5, 3.4, margins=(0.06, 0.89, 0.16, 0.9), wspace=0.68)
        alt = plots.draw_chain_bars(states, label_names, axes[0], top=3, mark=step)
        alt += " " + plots.draw_branches(p[step, :, text], label_names, axes[1], title=when(step))
        cells = {
            "text": shorten(texts[text], 200), "observed label": name_of(noisy[text], label_names),
            f"leads {when(step)}": leader(states[step]), "answer in the end": leader(states[-1]),
        }  # fmt: skip
        if label is not None:
            cells["true label"] = name_of(np.asarray(label)[text], label_names, "not known")
        return fig, alt, table([list(cells.values())], list(cells), f"Chain of branch {branch + 1}")

    def static(text: int, branch: int, step: int) -> Still:
        """Draw the first position, and below it the branches at five steps."""
        at = sorted(set(np.linspace(0, len(p) - 1, 5).round().astype(int).tolist()))
        fig, ((top,), strip) = plots.panels((1, len(at)), (1.5, 1), 9.5, 6.2)
        alt, words = plots.draw_chain_bars(p[:, branch, text], label_names, top, mark=step), []
        for now, ax in zip(at, strip, strict=True):
            here = p[now, :, text]
            words.append(plots.draw_branches(here, label_names, ax, title=when(now), names=False))
        strip[0].set_yticks(range(len(label_names)), label_names, fontsize=8, parse_math=False)
        marks = strip[0].get_legend_handles_labels()
        fig.legend(*marks, loc="outside lower center", ncols=6, frameon=False)
        return fig, f"{alt} Below it all branches at some steps. {' '.join(words)}"

    controls = {
        "text": ("text", 0, [(f"{i + 1}. {shorten(t, 60)}", i) for i, t in enumerate(texts)]),
        "branch": ("branch", 0, [(f"branch {m + 1}", m) for m in range(p.shape[1])]),
        "step": (
            "reverse step",
            (len(p) - 1) // 2 if step is None else step,
            range(len(p)),
            f"of {len(p) - 1}",
        ),
    }
    return Explorer(controls, draw, static, lines=6)
