"""Log-likelihoods of label words after many prompts, with nothing computed twice.

Same numbers as the plain way (one prompt at a time, one full forward per label;
tests/reference/annotate.py), but the shared prefix is read once and its keys and values are reused, prompts
of similar length share a batch, and all labels are scored in one further step over a tree of their tokens (in
several where their logits over the vocabulary would take too much memory).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

__all__ = ["LabelScorer", "LabelTree", "bucket"]

LOGITS = 1 << 26
"""Most logits held at once after the labels' tokens: 256 MB in float32, whatever the number of labels."""

Tokens = list[int]


def bucket(lengths: Sequence[int], budget: int, max_rows: int = 64) -> list[list[int]]:
    """Group positions of similar length into batches whose padded size stays within `budget` tokens.

    A prompt longer than the budget gets a batch of its own. Longest first, so that a batch too big for the
    memory fails at the start and not after an hour.
    """
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batches: list[list[int]] = []
    for i in order:
        last = batches[-1] if batches else None
        if last is not None and len(last) < max_rows and lengths[last[0]] * (len(last) + 1) <= budget:
            last.append(i)
        else:
            batches.append([i])
    return batches


@dataclass(frozen=True)
class LabelTree:
    """The label words' tokens as a tree, so that common beginnings are read once.

    Node k holds a token that must be fed to the model because something follows it; `paths[k]` lists the
    nodes from the root to it, itself included. `steps[c]` lists, for label c, the pairs (node after which a
    token is predicted, that token); node -1 is the prompt's end.
    """

    tokens: list[int]
    paths: list[list[int]]
    steps: list[list[tuple[int, int]]]

    @classmethod
    def build(cls, labels: Sequence[Tokens]) -> LabelTree:
        """Build the tree of token sequences; none may be empty or occur twice."""
        if len({tuple(label) for label in labels}) < len(labels) or any(not label for label in labels):
            raise ValueError(
                f"label words must have different, non-empty token sequences, not {list(labels)}"
            )
        numbers: dict[tuple[int, ...], int] = {}
        tree = cls([], [], [])
        for label in labels:
            path: list[int] = []
            steps = []
            for end, token in enumerate(label, start=1):
                steps.append((path[-1] if path else -1, token))
                if end == len(label):
                    break
                node = numbers.setdefault(tuple(label[:end]), len(tree.tokens))
                if node == len(tree.tokens):
                    tree.tokens.append(token)
                    tree.paths.append([*path, node])
                path = tree.paths[node]
            tree.steps.append(steps)
        return tree

    def ancestors(self) -> npt.NDArray[np.bool_]:
        """Return an array of shape (nodes, nodes): [i, j] is True where j lies on the path to i, or is i."""
        seen = np.zeros((len(self.tokens), len(self.tokens)), dtype=bool)
        for node, path in enumerate(self.paths):
            seen[node, path] = True
        return seen


class LabelScorer:
    """Scores label words after prompts with a causal language model of transformers.

    Parameters
    ----------
    model, tokenizer
        As `nlkit.annotate.models.load_model` gives them.
    batch_tokens : int
        Most tokens of one padded batch, the shared prefix counted for each row: every row has a copy of its
        keys and values, and they take the memory.
    """

    def __init__(self, model: Any, tokenizer: Any, *, batch_tokens: int = 4096) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.batch_tokens = batch_tokens
        self.limit = _attention_limit(model.config)

    def encode(self, text: str, *, first: bool = False) -> Tokens:
        """Tokenise a part of a prompt; `first` adds the begin-of-text token if the model has one.

        A control token's name in a text, such as ``<|im_end|>``, is read as letters and not as the token.
        """
        tokens: Tokens = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        if first:
            special = self.tokenizer("").input_ids
            tokens = [t for t in special if t == self.tokenizer.bos_token_id] + tokens
        return tokens

    @torch.inference_mode()
    def score(
        self, prefix: Tokens, suffixes: Sequence[Tokens], labels: Sequence[Tokens]
    ) -> Iterator[tuple[list[int], npt.NDArray[np.float64]]]:
        """Yield batches: positions in `suffixes` and their scores of shape (batch, C).

        A score is the summed log-likelihood of a label's tokens after ``prefix + suffix``.
        """
        tree = LabelTree.build(labels)
        longest = len(prefix) + max(map(len, suffixes), default=0) + len(tree.tokens)
        if self.limit is not None and longest > self.limit:
            raise ValueError(
                f"a prompt of {longest} tokens does not fit the model's {self.limit}: lower max_text_tokens "
                "or give fewer demonstrations"
            )
        shared = self.model(
            input_ids=self._tensor([prefix]), use_cache=True, logits_to_keep=1
        ).past_key_values
        for rows in bucket([len(prefix) + len(s) for s in suffixes], self.batch_tokens):
            yield rows, self._score_batch(shared, len(prefix), [suffixes[i] for i in rows], tree)

    def _tensor(self, values: Any) -> torch.Tensor:
        return torch.tensor(values, device=self.model.device)

    def _score_batch(
        self, shared: Any, n_prefix: int, suffixes: list[Tokens], tree: LabelTree
    ) -> npt.NDArray[np.float64]:
        B, L = len(suffixes), max(map(len, suffixes))
        lengths = self._tensor([len(s) for s in suffixes])
        cache = copy.deepcopy(shared)  # the forward below appends to it
        cache.batch_repeat_interleave(B)
        # Padding stands on the right, where the causal mask hides it from every real token.
        ids = self._tensor([s + [0] * (L - len(s)) for s in suffixes])
        positions = torch.arange(n_prefix, n_prefix + L, device=ids.device).expand(B, L)
        ends, where = torch.unique(lengths - 1, return_inverse=True)
        output = self.model(
            input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=ends
        )
        after_prompt = output.logits[torch.arange(B), where].float()  # (B, V)
        scores = after_prompt.new_zeros(B, len(tree.steps))
        self._add(scores, after_prompt[:, None], -1, tree)
        nodes = max(1, LOGITS // after_prompt.numel())
        for first in range(0, len(tree.tokens), nodes):
            part = range(first, min(first + nodes, len(tree.tokens)))
            logits = self._read_nodes(output.past_key_values, n_prefix, lengths, L, tree, part)
            self._add(scores, logits, first, tree)
        result: npt.NDArray[np.float64] = scores.double().cpu().numpy()
        return result

    @staticmethod
    def _add(scores: torch.Tensor, logits: torch.Tensor, first: int, tree: LabelTree) -> None:
        """Add to `scores`, (B, C), what logits (B, n, V) say of the tokens after nodes `first` and on."""
        norm = logits.logsumexp(dim=-1)
        for c, steps in enumerate(tree.steps):
            for node, token in steps:
                if first <= node < first + logits.shape[1]:
                    scores[:, c] += logits[:, node - first, token] - norm[:, node - first]

    def _read_nodes(
        self, cache: Any, n_prefix: int, lengths: torch.Tensor, L: int, tree: LabelTree, part: range
    ) -> torch.Tensor:
        """Feed some nodes of all rows, after those before them; each sees its prompt and its ancestors.

        Returns an array of shape (B, nodes, V).
        """
        B, N = len(lengths), len(part)
        ids = self._tensor([tree.tokens[k] for k in part]).expand(B, N)
        depths = self._tensor([len(tree.paths[k]) - 1 for k in part])
        real = torch.arange(L, device=ids.device) < lengths[:, None]  # (B, L): no padding
        ancestors = self._tensor(tree.ancestors()[part.start : part.stop, : part.stop])
        visible = torch.cat(
            [
                real.new_ones(B, N, n_prefix),
                real[:, None].expand(B, N, L),
                ancestors.expand(B, *ancestors.shape),
            ],
            dim=2,
        )[:, None]  # (B, 1, N, n_prefix + L + the nodes so far)
        dtype = self.model.dtype
        mask = torch.zeros(visible.shape, dtype=dtype, device=ids.device)
        mask.masked_fill_(~visible, torch.finfo(dtype).min)
        output = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=n_prefix + lengths[:, None] + depths,
            past_key_values=cache,
            use_cache=True,
        )
        logits: torch.Tensor = output.logits.float()
        return logits


def _attention_limit(config: Any) -> int | None:
    """Return how many tokens every token can see, so that reused keys and tree masks are exact."""
    kinds = set(getattr(config, "layer_types", None) or ()) - {"full_attention", "sliding_attention"}
    if kinds:
        raise ValueError(
            f"the model has layers of kind {sorted(kinds)}; label scoring needs attention in every layer: "
            "choose another model"
        )
    limits = [getattr(config, "max_position_embeddings", None)]
    if getattr(config, "use_sliding_window", True):
        limits.append(getattr(config, "sliding_window", None))
    return min((limit for limit in limits if limit is not None), default=None)
