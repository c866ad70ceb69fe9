"""Player of NoiseAL's loop: epoch by epoch, the training target of each text, and the queries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from numpy.typing import ArrayLike, NDArray

from nlkit.course import plots
from nlkit.course.widgets.explorer import Drawn, Explorer, Still, name_of, shorten, table
from nlkit.methods.noiseal.loss import CLEAN, PURIFIED, kinds
from nlkit.methods.noiseal.method import NoiseAL
from nlkit.methods.noiseal.partition import SETS, replay

# Training targets of a text: of R (or of all, in the warm-up), of answered texts, and of all others. In the
# order of the kinds of `nlkit.methods.noiseal.loss`.
LESSONS = ("observed label", "LLM's answer", "models' guess")


def lessons_of(
    sets: ArrayLike, guess: ArrayLike, answer: ArrayLike, noisy_label: ArrayLike, *, warm: bool
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the training target of each text, by the rules of `nlkit.methods.noiseal.loss`.

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
        Whether the warm-up goes on: then the target of every text is its observed label.

    Returns
    -------
    lesson : ndarray of int, shape (N,)
        Place in `LESSONS`; −1 for a text without a label in the warm-up, which has no target.
    target : ndarray of int, shape (N,)
        The class: of a guess its likeliest one, though a guess is learnt as a distribution.
    """
    s, g, a, z = (np.asarray(x, np.int64) for x in (sets, guess, answer, noisy_label))
    if warm:
        return np.where(z >= 0, 0, -1), z
    kind = kinds(np.array(SETS)[s], a)
    return (kind - CLEAN).astype(np.int64), np.select([kind == PURIFIED, kind == CLEAN], [a, z], default=g)


def record_loop(method: NoiseAL, noisy_label: ArrayLike) -> dict[str, Any]:
    """Return what the loop of a fitted method can be replayed from: sets and guess (E, N), questions.

    The last epoch's sets are the method's own; those of earlier epochs follow from its dynamics, which are in
    half precision, so that a text at its threshold may be in another set.

    Parameters
    ----------
    method : NoiseAL
        Fitted in this process: its training dynamics are not saved.
    noisy_label : array of int, shape (N,)
        Observed labels.

    Returns
    -------
    dict
        The arguments of `compute_lessons` by name, in few bytes.
    """
    c, strong, weak = method.config, method.dynamics_["strong"], method.dynamics_["weak"]
    earlier = replay(
        list(strong), list(weak), noisy_label,
        momentum=c.momentum, margin=c.margin, cap=c.cap, class_floor=c.class_floor,
    )[:-1]  # fmt: skip
    sets = np.stack([*(partition.set for partition in earlier), method.partition_["set"]])
    wide = {"index": np.int64, "epoch": np.int64, "label": np.int64, "confidence": np.float64}
    asked = method.annotations_
    asked = asked.assign(label=asked["label"].where(asked["learnt"], -1))  # what no text is taught
    return {
        "sets": (sets[..., None] == SETS).argmax(-1).astype(np.uint8),
        "guess": (strong.astype(np.float32) + weak).argmax(-1).astype(np.uint8),
        "questions": asked.reindex(columns=list(wide)).astype(wide),
    }


def compute_lessons(
    sets: ArrayLike, guess: ArrayLike, questions: pd.DataFrame, noisy_label: ArrayLike, label: ArrayLike,
    warmup: int,
) -> pd.DataFrame:  # fmt: skip
    """Count the training targets that follow from the partition after each epoch.

    Parameters
    ----------
    sets, guess : array of int, shape (E, N)
        As in `lessons_of`, after each epoch.
    questions : DataFrame, one row a query
        Columns index (of the text), epoch, label (the answer, −1: abstained, or not learnt) and confidence,
        as in ``NoiseAL.annotations_``.
    noisy_label, label : array of int, shape (N,)
        Observed and true labels; texts whose true label is missing (−1) are not counted.
    warmup : int
        W. The partition after epoch W is the first one that is learnt from.

    Returns
    -------
    DataFrame, one row an epoch (from 1) and kind of target
        epoch; lesson, one of `LESSONS`; n, its texts, and right, for how many of them it is the true class.
    """
    y, rows = np.asarray(label, np.int64), []
    answer = np.full(len(y), -1)
    for epoch, (s, g) in enumerate(zip(np.asarray(sets), np.asarray(guess), strict=True), start=1):
        asked = questions[questions["epoch"] == epoch]
        answer[asked["index"]] = asked["label"]
        lesson, target = lessons_of(s, g, answer, noisy_label, warm=epoch < warmup)
        for kind, name in enumerate(LESSONS):
            own = (lesson == kind) & (y >= 0)
            rows.append((epoch, name, own.sum(), (own & (target == y)).sum()))
    return pd.DataFrame(rows, columns=["epoch", "lesson", "n", "right"])


def loop_explorer(
    sets: ArrayLike, guess: ArrayLike, questions: pd.DataFrame, noisy_label: ArrayLike, label: ArrayLike,
    accuracy: dict[str, ArrayLike], *, warmup: int, texts: Sequence[str], label_names: Sequence[str],
    epoch: int | None = None,
) -> Explorer:  # fmt: skip
    """Step through the epochs of NoiseAL: the targets of the texts, the queries, the test accuracy.

    Parameters
    ----------
    sets, guess, questions, noisy_label, label, warmup
        See `compute_lessons`.
    accuracy : mapping of str to array, shape (E,)
        Test accuracy over the epochs, by method: shares.
    texts, label_names
        The N training texts and C class names.
    epoch : int, optional
        Where the control stands first: the first epoch after which the annotator was queried, or W.
    """
    z, y, s = np.asarray(noisy_label), np.asarray(label), np.asarray(sets)
    last, top = len(s), float(len(y))
    lessons = compute_lessons(s, guess, questions, z, y, warmup).groupby("epoch")

    def picture(epoch: int, axes: Sequence[Axes]) -> str:
        title = f"taught after epoch {epoch}"
        alt = plots.draw_lessons(lessons.get_group(epoch), axes[0], top=top, title=title)
        alt += " " + plots.draw_accuracy(accuracy, axes[1])
        axes[1].axvline(epoch, color="0.3", linewidth=1)
        return alt

    def draw(epoch: int) -> Drawn:
        fig, axes = plots.figure(1, 2, 9.5, 3.8, margins=(0.07, 0.98, 0.16, 0.9))
        sizes = [(s[epoch - 1] == place).sum() for place in range(len(SETS))]
        asked = questions[questions["epoch"] == epoch]
        rows = [
            (shorten(texts[i], 58), *(name_of(c, label_names) for c in (z[i], answer, y[i])), f"{sure:.2f}")
            for i, answer, sure in zip(asked["index"], asked["label"], asked["confidence"], strict=True)
        ][:5]
        so_far = f"{len(rows)} of {len(asked)} shown; {(questions['epoch'] <= epoch).sum()} asked so far"
        head = ("text", "noisy label", "answer", "true label", "confidence")
        below = table([sizes], SETS, f"Sets after epoch {epoch}")
        below += table(rows, head, f"Questions after epoch {epoch}: {so_far}")
        return fig, picture(epoch, axes), below

    def static(epoch: int) -> Still:
        strip = sorted({round(e) for e in np.linspace(1, last, 5)})
        fig, (upper, lower) = plots.panels((2, len(strip)), (1.9, 1), 9.5, 6.0)
        alt, words = picture(epoch, upper), []
        for at, ax in zip(strip, lower, strict=True):
            rows, title = lessons.get_group(at), f"epoch {at}"
            said = plots.draw_lessons(rows, ax, top=top, title=title, legend=False)
            words.append(said.removeprefix("What the texts are taught "))
        return fig, f"{alt} Below it the same bars after other epochs: {' '.join(words)}"

    if epoch is None:
        epoch = int(questions["epoch"].min()) if len(questions) else min(warmup, last)
    controls = {"epoch": ("epoch", epoch, range(1, last + 1), f"of {last}")}
    return Explorer(controls, draw, static, lines=10)
