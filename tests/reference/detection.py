"""Who is probably mislabelled, one text at a time: what `nlkit.methods.sidyp.plain` leaves out."""

from __future__ import annotations

import numpy as np


def suspicion(trajectory: np.ndarray, label: np.ndarray, score: str, normalise: bool) -> np.ndarray:
    """Return the score of each text by its trajectory (M, E, N, D)."""
    own, other = np.zeros((2, *trajectory.shape[:3]))
    for m, e, i in np.ndindex(*trajectory.shape[:3]):
        z = trajectory[m, e]
        z = z / np.linalg.norm(z, axis=1, keepdims=True) if normalise else z
        far = {c: np.linalg.norm(z[i] - z[label == c].mean(0)) for c in set(label.tolist()) - {-1}}
        own[m, e, i] = far.pop(label[i], np.nan)
        other[m, e, i] = min(far.values(), default=0.0)
    of_branches = own.mean(1) + own.std(1) if score == "distance" else (own - other).mean(1)
    return of_branches.mean(0)


def rank(score: np.ndarray) -> list[float]:
    """Return the place of each score among all that are known, from 0 to 1; equal scores share it."""
    known = score[~np.isnan(score)]
    place = [(known < s).sum() + ((known == s).sum() - 1) / 2 for s in score]
    return [np.nan if np.isnan(s) else p / max(1, len(known) - 1) for s, p in zip(score, place, strict=True)]
