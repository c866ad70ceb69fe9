"""The plain ways of scoring labels and choosing demonstrations: slow, short, and what the fast must equal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


@torch.inference_mode()
def plain_scores(
    model: Any, tokenizer: Any, prompts: Sequence[str], continuations: Sequence[str]
) -> np.ndarray[Any, Any]:
    """Score every label after every prompt: one text at a time, one full forward per label, nothing reused.

    Returns an array of shape (prompts, labels): summed log-likelihood of the label's tokens.
    """
    scores = np.zeros((len(prompts), len(continuations)))
    for i, prompt in enumerate(prompts):
        for c, continuation in enumerate(continuations):
            start = tokenizer(prompt, add_special_tokens=False).input_ids
            label = tokenizer(continuation, add_special_tokens=False).input_ids
            logits = model(input_ids=torch.tensor([start + label])).logits[0].float()
            log_p = logits.log_softmax(dim=-1)
            for j, token in enumerate(label):
                scores[i, c] += log_p[len(start) + j - 1, token].item()
    return scores


def softmax(scores: Sequence[float]) -> list[float]:
    weights = [np.exp(s - max(scores)) for s in scores]
    return [w / sum(weights) for w in weights]


def balanced_pool(
    index: Sequence[int], label: Sequence[int], confidence: Sequence[float], per_class: int
) -> list[int]:
    chosen = []
    for c in sorted(set(label) - {-1}):
        members = [(-p, i) for i, y, p in zip(index, label, confidence, strict=True) if y == c]
        chosen += [i for _, i in sorted(members)[:per_class]]
    return sorted(chosen)


def nearest(
    query: np.ndarray[Any, Any],
    pool: np.ndarray[Any, Any],
    k: int,
    query_index: Sequence[int],
    pool_index: Sequence[int],
    query_texts: Sequence[str],
    pool_texts: Sequence[str],
) -> list[list[int]]:
    rows = []
    for q in range(len(query)):
        candidates = []
        for p in range(len(pool)):
            if query_index[q] == pool_index[p] or query_texts[q].split() == pool_texts[p].split():
                continue
            size = float(np.linalg.norm(query[q]) * np.linalg.norm(pool[p]))
            cosine = float(np.dot(query[q], pool[p])) / size if size > 0 else 0.0
            candidates.append((-round(cosine, 9), p))
        best = [p for _, p in sorted(candidates)[:k]]
        rows.append([-1] * (k - len(best)) + best[::-1])
    return rows
