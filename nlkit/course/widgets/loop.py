"""Player of NoiseAL's loop: epoch by epoch, who is taught what, and who is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.course import plots
from nlkit.course.widgets.explorer import Explorer, shorten, steps, table
from nlkit.course.widgets.partition import compute_partitions
from nlkit.methods.noiseal.loss import CLEAN, PURIFIED, kinds
from nlkit.methods.noiseal.partition import SETS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from nlkit.methods.noiseal.method import NoiseAL

__all__ = [
    "LESSONS",
    "LoopView",
    "compute_lessons",
    "compute_loop",
    "lessons_of",
    "loop_explorer",
    "record_loop",
]

LESSONS = ("observed label", "LLM's answer", "models' guess")
"""What a text can be taught: R (or everything, in the warm-up), answered texts, and all others.

In the order of the kinds of `nlkit.methods.noiseal.loss`.
"""


@dataclass(frozen=True)
class LoopView:
    """What the next epoch learns after one epoch's split.

    Attributes
    ----------
    lessons : DataFrame, one row a kind of lesson
        lesson (one of `LESSONS`), n, its texts, and right, how many of them are taught their true class.
    sizes : dict
        Texts in R, H and P.
    questions : DataFrame
        Those asked after this epoch: index, label, confidence.
    asked
        Questions so far, these included.
    """

    epoch: int
    lessons: pd.DataFrame
    sizes: dict[str, int]
    questions: pd.DataFrame
    asked: int


def lessons_of(
    sets: ArrayLike, guess: ArrayLike, answer: ArrayLike, noisy_label: ArrayLike, *, warm: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return what each text is taught, by the rules of `nlkit.methods.noiseal.loss`.

    Parameters
    ----------
    sets : array of int, shape (N,)
        Place of each text's set in `nlkit.methods.noiseal.partition.SETS`.
    guess : array of int, shape (N,)
        The likeliest class of the mean prediction p̄.
    answer : array of int, shape (N,)
        The annotator's answers so far; −1 where there is none.
    noisy_label : array of int, shape (N,)
        Observed labels.
    warm : bool
        Whether the warm-up goes on: then every text is taught its observed label.

    Returns
    -------
    lesson : ndarray of int, shape (N,)
        Place in `LESSONS`; −1 for a text without a label in the warm-up, which teaches nothing.
    target : ndarray of int, shape (N,)
        The class that is taught: of a guess its likeliest one, though a guess is learnt as a distribution.
    """
    s, g, a, z = (np.asarray(x, np.int64) for x in (sets, guess, answer, noisy_label))
    if warm:
        return np.where(z >= 0, 0, -1), z
    kind = kinds(np.array(SETS)[s], a)
    return (kind - CLEAN).astype(np.int64), np.select([kind == PURIFIED, kind == CLEAN], [a, z], default=g)


def record_loop(method: NoiseAL, noisy_label: ArrayLike) -> dict[str, Any]:
    """Return what the loop of a fitted method can be replayed from: sets and guess (E, N), questions.

    Parameters
    ----------
    method : NoiseAL
        Fitted in this process: its training dynamics are not saved.
    noisy_label : array of int, shape (N,)
        Observed labels.

    Returns
    -------
    dict
        The arguments of `compute_loop` by name, in few bytes.
    """
    c, strong, weak = method.config, method.dynamics_["strong"], method.dynamics_["weak"]
    splits = compute_partitions(strong, weak, noisy_label, c.momentum, c.margin, c.cap)
    wide = {"index": np.int64, "epoch": np.int64, "label": np.int64, "confidence": np.float64}
    return {
        "sets": np.stack([(split.set[:, None] == SETS).argmax(1) for split in splits]).astype(np.uint8),
        "guess": (strong.astype(np.float32) + weak).argmax(-1).astype(np.uint8),
        "questions": method.annotations_.reindex(columns=list(wide)).astype(wide),
    }


def compute_loop(
    sets: ArrayLike, guess: ArrayLike, questions: pd.DataFrame, noisy_label: ArrayLike, label: ArrayLike,
    epoch: int, warmup: int,
) -> LoopView:  # fmt: skip
    """Look at the loop after one epoch (from 1).

    Parameters
    ----------
    sets, guess : array of int, shape (E, N)
        As in `lessons_of`, after each epoch.
    questions : DataFrame, one row a question
        Columns index (of the text), epoch, label (the answer, −1: abstained) and confidence, as in
        ``NoiseAL.annotations_``.
    noisy_label, label : array of int, shape (N,)
        Observed and true labels; texts whose true label is missing (−1) are not counted among the lessons.
    warmup : int
        W. The split after epoch W is the first one that is learnt from.
    """
    s, y = np.asarray(sets, np.int64), np.asarray(label, np.int64)
    if not 1 <= epoch <= len(s):
        invalid("epoch", epoch, f"a whole number from 1 to {len(s)}")
    so_far = questions[questions["epoch"] <= epoch]
    answer = np.full(len(y), -1)
    answer[so_far["index"]] = so_far["label"]
    lesson, target = lessons_of(
        s[epoch - 1], np.asarray(guess)[epoch - 1], answer, noisy_label, warm=epoch < warmup
    )
    known = y >= 0
    of_kind = [(lesson == kind) & known for kind in range(len(LESSONS))]
    lessons = pd.DataFrame({
        "lesson": LESSONS, "n": [int(rows.sum()) for rows in of_kind],
        "right": [int((target[rows] == y[rows]).sum()) for rows in of_kind],
    })  # fmt: skip
    sizes = {name: int((s[epoch - 1] == number).sum()) for number, name in enumerate(SETS)}
    return LoopView(epoch, lessons, sizes, so_far[so_far["epoch"] == epoch], len(so_far))


def compute_lessons(
    sets: ArrayLike, guess: ArrayLike, questions: pd.DataFrame, noisy_label: ArrayLike, label: ArrayLike,
    warmup: int,
) -> pd.DataFrame:  # fmt: skip
    """Return the lessons of every epoch: epoch, lesson, n, right; arguments as of `compute_loop`."""
    views = [
        compute_loop(sets, guess, questions, noisy_label, label, epoch, warmup)
        for epoch in range(1, len(np.asarray(sets)) + 1)
    ]
    return pd.concat([view.lessons.assign(epoch=view.epoch) for view in views], ignore_index=True)


def loop_explorer(
    sets: ArrayLike,
    guess: ArrayLike,
    questions: pd.DataFrame,
    noisy_label: ArrayLike,
    label: ArrayLike,
    accuracy: dict[str, ArrayLike],
    *,
    warmup: int,
    texts: Sequence[str],
    label_names: Sequence[str],
    epoch: int | None = None,
) -> Explorer:
    """Step through the epochs of NoiseAL: what the texts are taught, who is asked, how the test goes.

    Parameters
    ----------
    sets, guess, questions, noisy_label, label, warmup
        See `compute_loop`.
    accuracy : mapping of str to array, shape (E,)
        Test accuracy over the epochs, by method: shares.
    texts, label_names
        The N training texts and C class names.
    epoch : int, optional
        Where the control stands first: the first epoch after which questions were asked, or W.
    """
    last = len(np.asarray(sets))
    if epoch is None:
        epoch = int(questions["epoch"].min()) if len(questions) else min(warmup, last)

    def view_of(at: int) -> LoopView:
        return compute_loop(sets, guess, questions, noisy_label, label, at, warmup)

    start = view_of(epoch)
    top = float(len(np.asarray(label)))
    controls = {"epoch": steps("epoch", epoch, 1, last)}

    def redraw() -> tuple[Figure, str, str]:
        view = view_of(controls["epoch"].value)
        fig, (left, right) = plots.figure(1, 2, width=9.5, height=3.8, margins=(0.07, 0.98, 0.16, 0.9))
        alt = plots.draw_lessons(view.lessons, left, top=top, title=f"taught after epoch {view.epoch}")
        alt += " " + plots.draw_accuracy(accuracy, right)
        right.axvline(view.epoch, color="0.3", linewidth=1)
        return fig, alt, _tables(view, noisy_label, label, texts, label_names)

    return Explorer(controls, redraw, _static(start, view_of, accuracy, last, top))


def _tables(
    view: LoopView, noisy_label: ArrayLike, label: ArrayLike, texts: Sequence[str], names: Sequence[str]
) -> str:
    """Return the sizes of the sets, and the first questions of this round, as HTML tables, escaped."""
    z, y = np.asarray(noisy_label), np.asarray(label)

    def name(c: int) -> str:
        return names[c] if c >= 0 else "none"

    sizes = table([[str(n) for n in view.sizes.values()]], list(view.sizes), f"Sets after epoch {view.epoch}")
    shown = view.questions.head(5)
    rows = [
        (shorten(texts[i], 70), name(z[i]), name(answer), name(y[i]), f"{sure:.2f}")
        for i, answer, sure in zip(shown["index"], shown["label"], shown["confidence"], strict=True)
    ]
    asked = f"Questions after epoch {view.epoch}: {len(rows)} of {len(view.questions)} shown"
    head = ("text", "noisy label", "answer", "true label", "confidence")
    return sizes + table(rows, head, f"{asked}; {view.asked} asked so far")


def _static(
    start: LoopView, view_of: Callable[[int], LoopView], accuracy: dict[str, ArrayLike], last: int, top: float
) -> tuple[Figure, str]:
    """Draw the default position, and below it the lessons of some epochs."""
    fig, _ = plots.figure(width=9.5, height=6.0)
    fig.clear()
    grid = fig.add_gridspec(2, 1, height_ratios=[1.9, 1])
    upper = grid[0].subgridspec(1, 2)
    left, right = fig.add_subplot(upper[0]), fig.add_subplot(upper[1])
    alt = plots.draw_lessons(start.lessons, left, top=top, title=f"taught after epoch {start.epoch}")
    alt += " " + plots.draw_accuracy(accuracy, right)
    right.axvline(start.epoch, color="0.3", linewidth=1)
    chosen = sorted({round(e) for e in np.linspace(1, last, 5)})
    lower = grid[1].subgridspec(1, len(chosen))
    words = []
    for column, at in enumerate(chosen):
        view = view_of(at)
        said = plots.draw_lessons(
            view.lessons, fig.add_subplot(lower[column]), top=top, title=f"epoch {at}", legend=False
        )
        words.append(said.removeprefix("What the texts are taught "))
    return fig, f"{alt} Below it the same bars after other epochs: {' '.join(words)}"
