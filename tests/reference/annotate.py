"""The plain way of scoring labels: slow, short, and what the fast one must equal."""

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
