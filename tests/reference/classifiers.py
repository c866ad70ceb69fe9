"""The weak model's BiLSTM with torch's own packed sequences: several times slower on a CPU, and plain."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from nlkit.models.batching import Batch
from nlkit.models.classifiers import WeakClassifier


def bilstm(model: WeakClassifier) -> nn.LSTM:
    """One bidirectional LSTM with the weights of the model's two."""
    both = nn.LSTM(
        model.forwards.input_size, model.forwards.hidden_size, batch_first=True, bidirectional=True
    )
    weights = dict(model.forwards.state_dict())
    weights |= {f"{name}_reverse": value for name, value in model.backwards.state_dict().items()}
    both.load_state_dict(weights)
    return both


def embedding(model: WeakClassifier, lstm: nn.LSTM, batch: Batch) -> Tensor:
    """Each unit's largest state over a text's words, shape (B, D), in evaluation mode."""
    words = model.words(batch.values.long())
    packed = nn.utils.rnn.pack_padded_sequence(
        words, batch.mask.sum(1), batch_first=True, enforce_sorted=False
    )
    states, lengths = nn.utils.rnn.pad_packed_sequence(lstm(packed)[0], batch_first=True)
    return torch.stack([row[:length].amax(0) for row, length in zip(states, lengths, strict=True)])
