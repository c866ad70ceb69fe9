"""The active annotator of NoiseAL: which samples are queried, with which demonstrations, and the answers.

After arXiv 2504.02901; what is ours by choice is a documented field of `NoiseALConfig`.
"""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from nlkit.annotate.base import (
    ABSTAINED,
    Annotator,
    Demonstration,
    annotator_name,
    candidate_sets,
    checked_answers,
)
from nlkit.annotate.demonstrations import balanced_pool, nearest, worded
from nlkit.annotate.trust import Trust
from nlkit.data.observed import Observed
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.partition import Partition
from nlkit.models.saving import Tensors

__all__ = ["Rectification", "acquisition_order", "clean_pool"]

_KEPT = ("answer", "confidence", "queried", "probe", "before")


def acquisition_order(
    p_mean: NDArray[np.float64],
    noisy_label: NDArray[np.int64],
    candidates: NDArray[np.int64],
    rule: str,
    rng: np.random.Generator,
    trust: Trust | None = None,
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
        first. ``"expected_gain"``: `Trust.gain` beside the models, largest first. ``"random"``.
    rng : numpy Generator
        For ``"random"``.
    trust : Trust
        For ``"expected_gain"``.
    """
    p = p_mean[candidates]
    if rule == "random":
        return rng.permutation(candidates)
    if rule == "uncertain":
        score = -(p * np.log(np.maximum(p, 1e-12))).sum(1)
    elif rule == "expected_gain":
        assert trust is not None
        score = trust.gain(trust.models(p))
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
    queried, probe : ndarray of bool, shape (N,)
        Which samples were queried, and which of these because their labels are trusted.
    before : ndarray, shape (N, C)
        p̄ of the queried samples when they were queried, before anything was learnt from the answer.
    sure : ndarray, shape (N,)
        How probable it is that the answer is right; NaN without an answer, and where it is not measured.
    learnt : ndarray of int, shape (N,)
        The answers to learn from; −1 elsewhere.
    trust : Trust or None
        What is known of the annotator.
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
        self.rounds: list[dict[str, Any]] = []
        self.answer: NDArray[np.int64] = np.full(n, ABSTAINED, np.int64)
        self.confidence: NDArray[np.float64] = np.full(n, np.nan)
        self.queried: NDArray[np.bool_] = np.zeros(n, bool)
        self.probe: NDArray[np.bool_] = np.zeros(n, bool)
        self.before: NDArray[np.float64] = np.zeros((n, len(label_names)))
        self.trust: Trust | None = None
        self._believe()

    @property
    def n_queries(self) -> int:
        """How many queries were made."""
        return int(self.queried.sum())

    def said(self) -> NDArray[np.float32]:
        """Return what the answers say, shape (N, C): one label, or with `candidates` a few by probability."""
        n_classes = len(self.label_names)
        found = np.zeros((len(self.answer), n_classes), np.float32)
        for table in self.tables:
            found[table["index"]] = candidate_sets(table, n_classes, self.config.candidates)
        return found

    def query(
        self, partition: Partition, mean: NDArray[np.float64], embedding: NDArray[np.float32], epoch: int
    ) -> None:
        """Query the annotator: first on trusted samples of R, then on those that the acquisition rule says.

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
        c, asked = self.config, self.n_queries
        # More rounds than epochs are left would put a part of the budget out of reach.
        per_round = -(-c.query_budget // min(c.query_rounds, c.epochs - c.warmup_epochs))
        left = asked + min(per_round, c.query_budget - asked)
        if self.annotator is None or left == asked:
            return
        measured, rng = c.trust == "measured", np.random.default_rng([c.seed, epoch, 1])
        rule = c.acquisition
        if rule == "auto":
            rule = "expected_gain" if measured else "confident_disagreement"
        if measured:
            probes = self._probes(partition)[: left - asked]
            self.probe[probes] = True
            self._ask(probes, partition, mean, embedding, epoch)
            self._believe()
        for name in "PH" if measured else "P":
            candidates = np.flatnonzero((partition.set == name) & ~self.queried)
            order = acquisition_order(mean, self.data.noisy_label, candidates, rule, rng, self.trust)
            self._ask(order[: left - self.n_queries], partition, mean, embedding, epoch)
        self._believe()
        if self.trust is not None:
            t, told = self.trust, self.learnt != ABSTAINED
            self.rounds.append({
                "epoch": epoch, "probes": t.n, "agreed": t.agreed, "accuracy": t.accuracy, "low": t.low,
                "high": t.high, "sharpness": t.sharpness, "answers": int((self.answer != ABSTAINED).sum()),
                "learnt": int(told.sum()),
            })  # fmt: skip

    def _probes(self, partition: Partition) -> NDArray[np.int64]:
        """Return trusted samples of R that are still to be queried, evenly over their labels."""
        c, label = self.config, self.data.noisy_label
        wanted = min(max(8, math.ceil(c.probe_share * c.query_budget)), c.query_budget // 2)
        free = np.flatnonzero((partition.set == "R") & ~self.queried)
        trust = (partition.trust_strong + partition.trust_weak)[free]
        by_trust = free[np.lexsort((free, -trust))]
        # The place of each within its own label, so that every label gives its first before any its second.
        place = pd.Series(label[by_trust]).groupby(label[by_trust]).cumcount().to_numpy()
        asked = np.bincount(label[self.probe], minlength=len(self.label_names))
        place = place + asked[label[by_trust]]
        return by_trust[np.argsort(place, kind="stable")][: max(0, wanted - int(self.probe.sum()))]

    def _ask(
        self, chosen: NDArray[np.int64], partition: Partition, mean: NDArray[np.float64],
        embedding: NDArray[np.float32], epoch: int,
    ) -> None:  # fmt: skip
        """Query the annotator about some samples, and keep what comes."""
        if self.annotator is None or not len(chosen):
            return
        demonstrations, shown = self._demonstrations(partition, chosen, embedding)
        texts, told = [self.data.texts[i] for i in chosen], {}
        if getattr(self.annotator, "wants_guesses", False):
            told = {"guesses": mean[chosen].argmax(1).tolist()}
        table = checked_answers(
            self.annotator.annotate(texts, self.label_names, demonstrations, **told),
            len(texts), len(self.label_names), annotator_name(self.annotator),
        )  # fmt: skip
        if "status" in table:  # what nobody could be asked about, a later round may ask again
            came = (table["status"] != "failed").to_numpy()
            self.probe[chosen[~came]] = False
            chosen, table, shown = chosen[came], table[came], list(itertools.compress(shown, came))
            table = table.reset_index(drop=True)
            if not len(chosen):  # an empty table would have other types once it was restored
                return
        self.answer[chosen] = table["label"].to_numpy()
        self.confidence[chosen] = table["confidence"].to_numpy()
        self.queried[chosen] = True
        self.before[chosen] = mean[chosen]
        self.tables.append(
            table.assign(
                index=chosen, epoch=epoch, set=partition.set[chosen], demonstrations=pd.Series(shown)
            )
        )

    def _believe(self) -> None:
        """Estimate the annotator anew, and which of its answers are the likeliest labels."""
        self.learnt, self.sure = self.answer.copy(), np.full(len(self.answer), np.nan)
        given = self.answer != ABSTAINED
        if self.config.trust != "measured":
            return
        label, right, n_classes = self.data.noisy_label, self.config.probe_right, len(self.label_names)
        probe, others = (np.flatnonzero(given & which) for which in (self.probe, ~self.probe))
        self.trust = Trust.measure(self.answer[probe], label[probe], n_classes, right)
        prior = np.full(self.before.shape, (1 - right) / (n_classes - 1))
        prior[probe, label[probe]] = right
        if len(others):
            self.trust = self.trust.beside(self.before[others], self.answer[others])
            prior[others] = self.trust.models(self.before[others])
        asked = np.flatnonzero(given)
        posterior = self.trust.posterior(prior[asked], self.answer[asked])
        self.sure[asked] = posterior[np.arange(len(asked)), self.answer[asked]]
        empty = self.trust.evidence[self.answer[asked]] < self.config.least_evidence
        self.learnt[asked[empty | (self.sure[asked] < posterior.max(1))]] = ABSTAINED

    def _demonstrations(
        self, partition: Partition, chosen: NDArray[np.int64], embedding: NDArray[np.float32]
    ) -> tuple[list[list[Demonstration]] | None, list[list[int]]]:
        """Return each query's demonstrations from R, nearest last, and their positions."""
        c, label = self.config, self.data.noisy_label
        trust = (partition.trust_strong + partition.trust_weak) / 2
        sets = np.where(self.probe, "probe", partition.set)
        pool = clean_pool(sets, self.learnt, label, trust, c.pool_per_class)
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
            none = {"index": "int64", "set": "str", "learnt": "bool", "label": "int64"}
            return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in none.items()})
        table = pd.concat(self.tables, ignore_index=True)
        index = table["index"].to_numpy()
        table = table.assign(sure=self.sure[index], learnt=self.learnt[index] != ABSTAINED)
        first = ["index", "epoch", "set", "sure", "learnt"]
        return table[first + [c for c in table.columns if c not in first]]

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return all answers."""
        arrays = {name: torch.from_numpy(getattr(self, name)) for name in _KEPT}
        tables = [{str(name): t[name].tolist() for name in t.columns} for t in self.tables]
        return arrays, {"tables": tables, "rounds": self.rounds}

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what `state` returned."""
        for name in _KEPT:
            setattr(self, name, tensors[name].numpy())
        self.tables, self.rounds = [pd.DataFrame(t) for t in values["tables"]], values["rounds"]
        self._believe()
