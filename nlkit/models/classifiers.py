"""The two small models of a co-prediction network: a strong one that knows language, a weak one without.

They memorise label noise at different speeds, which is what NoiseAL compares (arXiv 2504.02901).
Both give a sentence embedding and class logits, so that every loss works on either. Under autocast only the
pre-trained encoder runs in low precision: the sets R, H and P depend on the third decimal of a probability,
which bf16 does not hold.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from nlkit.models.batching import Batch, Inputs
from nlkit.models.device import full_precision
from nlkit.models.encoder import TextEncoder

__all__ = ["Output", "StrongClassifier", "TextClassifier", "Vocabulary", "WeakClassifier"]


@dataclass(frozen=True)
class Output:
    """What a classifier says of a batch.

    Attributes
    ----------
    embedding : Tensor, shape (B, D)
        Sentence embedding, the input of the classification head.
    logits : Tensor, shape (B, C)
        Their softmax over classes is the prediction.
    """

    embedding: Tensor
    logits: Tensor


class TextClassifier(nn.Module):
    """Base of the models that are trained: `prepare` texts once, then call with a batch for an `Output`."""

    def prepare(self, texts: Sequence[str]) -> Inputs:
        """Turn N texts into model input."""
        raise NotImplementedError


class StrongClassifier(TextClassifier):
    """Pre-trained encoder with a classification head of one hidden layer.

    Parameters
    ----------
    encoder : TextEncoder
        Its trainable layers learn with the head.
    n_classes : int
        C.
    dropout : float
        Before each linear layer of the head.
    """

    def __init__(self, encoder: TextEncoder, n_classes: int, *, dropout: float = 0.1) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(encoder.width, encoder.width),
            nn.GELU(),
            nn.Dropout(dropout),
            nn.Linear(encoder.width, n_classes),
        )

    def prepare(self, texts: Sequence[str]) -> Inputs:
        """Run the encoder's frozen trunk on N texts, or read its cached activations."""
        return self.encoder.prepare(texts)

    def forward(self, batch: Batch) -> Output:
        """Return embedding (B, D) and logits (B, C)."""
        embedding = self.encoder(batch)
        return Output(embedding, self.classify(embedding))

    def classify(self, embedding: Tensor) -> Tensor:
        """Return logits, shape (B, C), of sentence embeddings, shape (B, D)."""
        with full_precision(embedding.device):
            logits: Tensor = self.head(embedding.float())
        return logits

    def parameter_groups(self, lr_encoder: float, lr_head: float) -> list[dict[str, object]]:
        """Return the optimizer's groups: pre-trained layers learn slowly, the new head fast."""
        groups = [
            {"params": [p for p in self.encoder.parameters() if p.requires_grad], "lr": lr_encoder},
            {"params": list(self.head.parameters()), "lr": lr_head},
        ]
        return [g for g in groups if g["params"]]


CJK = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
"""Chinese and Japanese characters: written without spaces, so each of them counts as a word."""


class Vocabulary:
    """Words of the training texts, numbered by frequency.

    Number 0 is padding, 1 is every word that is not in the vocabulary.

    Parameters
    ----------
    words : iterable of str
        In order of their numbers, from 2 on.
    """

    PATTERN = re.compile(rf"[{CJK}]|[^\W{CJK}]+")

    def __init__(self, words: Iterable[str]) -> None:
        self.words = list(words)
        self._number = {word: i for i, word in enumerate(self.words, start=2)}

    @classmethod
    def fit(cls, texts: Sequence[str], *, max_words: int = 20_000, min_count: int = 2) -> Vocabulary:
        """Keep the most frequent words that occur at least `min_count` times."""
        counts = Counter(word for text in texts for word in cls.PATTERN.findall(text.lower()))
        # Ties by spelling, so that the order of the texts does not change the numbers.
        kept = sorted((w for w, n in counts.items() if n >= min_count), key=lambda w: (-counts[w], w))
        return cls(kept[:max_words])

    def __len__(self) -> int:
        return len(self.words) + 2

    def encode(self, texts: Sequence[str], max_length: int) -> Inputs:
        """Return the word numbers of N texts, cut to `max_length`; an empty text becomes one unknown word."""
        words = (self.PATTERN.findall(text.lower())[:max_length] for text in texts)
        return Inputs([np.array([self._number.get(w, 1) for w in ws] or [1], np.int32) for ws in words])


class WeakClassifier(TextClassifier):
    """Bidirectional LSTM over word embeddings learnt from the training texts alone.

    Parameters
    ----------
    vocabulary : Vocabulary
        Of the training texts.
    n_classes : int
        C.
    embedding_size, hidden_size : int
        Width of the word vectors, and of each direction's state; D = 2 · hidden_size.
    max_length : int
        Words a text is cut to.
    dropout : float
        On word vectors and on the sentence embedding.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        n_classes: int,
        *,
        embedding_size: int = 100,
        hidden_size: int = 64,
        max_length: int = 64,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        self.vocabulary, self.max_length = vocabulary, max_length
        self.words = nn.Embedding(len(vocabulary), embedding_size, padding_idx=0)
        self.forwards = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.backwards = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(2 * hidden_size, n_classes)

    def prepare(self, texts: Sequence[str]) -> Inputs:
        """Return the word numbers of N texts."""
        return self.vocabulary.encode(texts, self.max_length)

    def forward(self, batch: Batch) -> Output:
        """Return embedding (B, D), the largest state over time in each unit, and logits (B, C)."""
        with full_precision(batch.mask.device):
            words = self.dropout(self.words(batch.values.long()))
            # The backward direction must start at a text's last word, not in the padding, so each text is
            # turned round by itself. Packed sequences would do that too, but are several times as slow on a
            # CPU.
            turned = _turn(batch.mask)
            back = _take(self.backwards(_take(words, turned))[0], turned)
            states = torch.cat([self.forwards(words)[0], back], -1)
            states = states.masked_fill(~batch.mask.unsqueeze(-1), torch.finfo(states.dtype).min)
            embedding = states.amax(1)
        return Output(embedding, self.classify(embedding))

    def classify(self, embedding: Tensor) -> Tensor:
        """Return logits, shape (B, C), of sentence embeddings, shape (B, D)."""
        with full_precision(embedding.device):
            logits: Tensor = self.head(self.dropout(embedding.float()))
        return logits


def _turn(mask: Tensor) -> Tensor:
    """Return positions, shape (B, T), that turn each text round and leave its padding where it is."""
    place = torch.arange(mask.shape[1], device=mask.device).expand(mask.shape)
    return torch.where(mask, mask.sum(1, keepdim=True) - 1 - place, place)


def _take(states: Tensor, place: Tensor) -> Tensor:
    """Return states, shape (B, T, D), in the order of places, shape (B, T)."""
    return states.gather(1, place.unsqueeze(-1).expand(-1, -1, states.shape[-1]))
