"""The active annotator of NoiseAL: which samples are queried, with which demonstrations, and the answers.

After arXiv 2504.02901; what is ours by choice is a documented field of `NoiseALConfig`.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from nlkit.annotate.base import ABSTAINED, Annotator, Demonstration, annotator_name, checked_answers
from nlkit.annotate.demonstrations import balanced_pool, nearest, worded
from nlkit.data.observed import Observed
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.partition import Partition
from nlkit.models.saving import Tensors

__all__ = ["Rectification", "acquisition_order", "clean_pool"]


def acquisition_order(
    p_mean: NDArray[np.float64],
    noisy_label: NDArray[np.int64],
    candidates: NDArray[np.int64],
    rule: str,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the candidates in the order in which they are queried.

    Parameters
    ----------
    p_mean : array, shape (N, C)
        p̄, the mean prediction of both models.
    noisy_label : array of int, shape (N,)
        Observed labels; a missing one (−1) counts as probability 0.
    candidates : array of int, shape (K,)
        Positions of the samples that may be queried.
    rule : str
        ``"confident_disagreement"``: max_c p̄ − p̄[ỹ], largest first. ``"uncertain"``: entropy of p̄, largest
        first. ``"random"``.
    rng : numpy Generator
        For ``"random"``.
    """
    p = p_mean[candidates]
    if rule == "random":
        return rng.permutation(candidates)
    if rule == "uncertain":
        score = -(p * np.log(np.maximum(p, 1e-12))).sum(1)
    else:
        label = noisy_label[candidates]
        score = p.max(1) - np.where(label >= 0, p[np.arange(len(p)), label], 0.0)
    # Stable, so that ties keep the order of the data and a run can be repeated.
    return candidates[np.argsort(-score, kind="stable")]


def clean_pool(
    sets: NDArray[Any],
    answer: NDArray[np.int64],
    noisy_label: NDArray[np.int64],
    trust: NDArray[np.float64],
    per_class: int,
) -> NDArray[np.int64]:
    """Return the positions in R, shape (K,), that demonstrations are taken from.

    Of each class the `per_class` that both models trust most (`trust`, shape (N,): the mean of their trust).
    A text whose answer contradicts its observed label is no example of that label.
    """
    contradicted = (answer != ABSTAINED) & (answer != noisy_label)
    clean = np.flatnonzero((sets == "R") & ~contradicted)
    return balanced_pool(clean, noisy_label[clean], trust[clean], per_class)


class Rectification:
    """Queries the annotator about purified samples, within the budget, and keeps its answers.

    Parameters
    ----------
    data : Observed
        Training texts and observed labels.
    label_names : list of str
        C names.
    config : NoiseALConfig
        Budget, rounds, acquisition rule, demonstrations.
    annotator : Annotator or None
        None: there are no queries, and P is trained as H.
    text_embedding : array, shape (N, D), or None
        For demonstrations by the text encoder's space; None: the strong model's.

    Attributes
    ----------
    answer : ndarray of int, shape (N,)
        −1 where there is none, not queried or abstained.
    confidence : ndarray, shape (N,)
        The annotator's, NaN where it is not known.
    queried : ndarray of bool, shape (N,)
    """

    def __init__(
        self,
        data: Observed,
        label_names: list[str],
        config: NoiseALConfig,
        annotator: Annotator | None,
        text_embedding: NDArray[np.float32] | None,
    ) -> None:
        n = len(data.texts)
        self.data, self.label_names, self.config = data, label_names, config
        self.annotator, self.text_embedding = annotator, text_embedding
        self.tables: list[pd.DataFrame] = []
        self.answer: NDArray[np.int64] = np.full(n, ABSTAINED, np.int64)
        self.confidence: NDArray[np.float64] = np.full(n, np.nan)
        self.queried: NDArray[np.bool_] = np.zeros(n, bool)

    @property
    def n_queries(self) -> int:
        """How many queries were made."""
        return int(self.queried.sum())

    def query(
        self, partition: Partition, mean: NDArray[np.float64], embedding: NDArray[np.float32], epoch: int
    ) -> None:
        """Query the annotator about the samples of P that come first by the acquisition rule.

        Parameters
        ----------
        partition : Partition
            Of this epoch.
        mean : array, shape (N, C)
            p̄, the mean prediction of both models.
        embedding : array, shape (N, D)
            The strong model's.
        epoch : int
            From 1 on.
        """
        if self.annotator is None:
            return
        c = self.config
        # More rounds than epochs are left would put a part of the budget out of reach.
        per_round = -(-c.query_budget // min(c.query_rounds, c.epochs - c.warmup_epochs))
        candidates = np.flatnonzero((partition.set == "P") & ~self.queried)
        rng = np.random.default_rng([c.seed, epoch, 1])
        order = acquisition_order(mean, self.data.noisy_label, candidates, c.acquisition, rng)
        chosen = order[: min(per_round, c.query_budget - self.n_queries)]
        if not len(chosen):
            return
        demonstrations, shown = self._demonstrations(partition, chosen, embedding)
        texts = [self.data.texts[i] for i in chosen]
        table = checked_answers(
            self.annotator.annotate(texts, self.label_names, demonstrations),
            len(texts), len(self.label_names), annotator_name(self.annotator),
        )  # fmt: skip
        if "status" in table:  # what nobody could be asked about, a later round may ask again
            came = (table["status"] != "failed").to_numpy()
            chosen, table, shown = chosen[came], table[came], list(itertools.compress(shown, came))
            table = table.reset_index(drop=True)
            if not len(chosen):  # an empty table would have other types once it was restored
                return
        self.answer[chosen] = table["label"].to_numpy()
        self.confidence[chosen] = table["confidence"].to_numpy()
        self.queried[chosen] = True
        self.tables.append(table.assign(index=chosen, epoch=epoch, demonstrations=pd.Series(shown)))

    def _demonstrations(
        self, partition: Partition, chosen: NDArray[np.int64], embedding: NDArray[np.float32]
    ) -> tuple[list[list[Demonstration]] | None, list[list[int]]]:
        """Return each query's demonstrations from R, nearest last, and their positions."""
        c, label = self.config, self.data.noisy_label
        trust = (partition.trust_strong + partition.trust_weak) / 2
        pool = clean_pool(partition.set, self.answer, label, trust, c.pool_per_class)
        if not len(pool) or not c.demonstrations:
            return None, [[] for _ in chosen]
        space = embedding if self.text_embedding is None else self.text_embedding
        near = nearest(
            space[chosen], space[pool], c.demonstrations,
            query_index=chosen, pool_index=pool,
            query_texts=[self.data.texts[i] for i in chosen], pool_texts=[self.data.texts[i] for i in pool],
        )  # fmt: skip
        return worded(near, pool, self.data.texts, label)

    def annotations(self) -> pd.DataFrame:
        """Return one row a query, with its prompt and answer, in the order in which they were made."""
        if not self.tables:
            return pd.DataFrame({"index": pd.Series(dtype="int64"), "label": pd.Series(dtype="int64")})
        table = pd.concat(self.tables, ignore_index=True)
        first = ["index", "epoch"]
        return table[first + [c for c in table.columns if c not in first]]

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return all answers."""
        arrays = {"answer": self.answer, "confidence": self.confidence, "queried": self.queried}
        tables = [{str(name): t[name].tolist() for name in t.columns} for t in self.tables]
        return {name: torch.from_numpy(array) for name, array in arrays.items()}, {"tables": tables}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        self.answer, self.confidence = tensors["answer"].numpy(), tensors["confidence"].numpy()
        self.queried = tensors["queried"].numpy()
        self.tables = [pd.DataFrame(t) for t in values["tables"]]
