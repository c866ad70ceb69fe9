"""The encoder without trunk, cache or buckets: one text at a time through the whole Hugging Face model."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch


def embed(folder: str, texts: Sequence[str], max_length: int) -> np.ndarray:
    """Return the mean of each text's token vectors in the last layer, shape (N, D)."""
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).float().eval()
    rows = []
    for text in texts:
        tokens = tokenizer(text, truncation=True, max_length=max_length, return_tensors="pt")
        with torch.no_grad():
            states = model(
                input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
            ).last_hidden_state[0]
        rows.append(states.mean(0).numpy())
    return np.stack(rows)
