"""The middle of NoiseAL: after each epoch split the data, ask the annotator, and set what each sample learns.

`Rectifier` is a callback of the training loop (after arXiv 2504.02901; what is ours by choice is a documented
field of `NoiseALConfig`). The loss that it sets the targets of is in `nlkit.methods.noiseal.loss`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from nlkit.annotate.base import ABSTAINED, Annotator, Demonstration, annotator_name, checked_answers
from nlkit.annotate.budget import QueryBudget
from nlkit.annotate.demonstrations import balanced_pool, nearest, worded
from nlkit.data.observed import Observed
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.loss import CLEAN, PURIFIED, NoiseALLoss, kinds
from nlkit.methods.noiseal.partition import DynamicThreshold, Partition, partition_samples
from nlkit.training import Callback, DynamicsRecorder, Tensors, Trainer, losses

__all__ = ["ACQUISITIONS", "Rectifier", "acquisition_order", "clean_pool"]

ACQUISITIONS = ("confident_disagreement", "uncertain", "random")


def acquisition_order(
    p_mean: NDArray[np.float64],
    noisy_label: NDArray[np.int64],
    candidates: NDArray[np.int64],
    rule: str,
    rng: np.random.Generator,
) -> NDArray[np.int64]:
    """Return the candidates in the order in which the annotator is asked.

    Parameters
    ----------
    p_mean : array, shape (N, C)
        p̄, the mean prediction of both models.
    noisy_label : array of int, shape (N,)
        Observed labels; a missing one (−1) counts as probability 0.
    candidates : array of int, shape (K,)
        Positions of the samples that may be asked.
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


class Rectifier(Callback):
    """Partition after each epoch; after the warm-up ask the annotator and set the targets of the next epoch.

    Parameters
    ----------
    data : Observed
        Training texts and observed labels.
    label_names : list of str
        C names.
    config : NoiseALConfig
        All settings.
    recorder : DynamicsRecorder
        Must come before this callback: its latest predictions are split.
    objective : NoiseALLoss
        Gets the targets.
    annotator : Annotator or None
        None: nobody is asked, and P is trained as H.
    text_embedding : array, shape (N, D), or None
        For demonstrations by the text encoder's space; None: the strong model's.
    """

    def __init__(
        self,
        data: Observed,
        label_names: list[str],
        config: NoiseALConfig,
        recorder: DynamicsRecorder,
        objective: NoiseALLoss,
        annotator: Annotator | None,
        text_embedding: NDArray[np.float32] | None,
    ) -> None:
        n, classes = len(data.texts), len(label_names)
        self.data, self.label_names, self.config = data, label_names, config
        self.recorder, self.objective, self.annotator = recorder, objective, annotator
        self.text_embedding = text_embedding
        self.splitter = DynamicThreshold(
            n, classes, momentum=config.momentum, margin=config.margin, cap=config.cap
        )
        # More rounds than epochs are left would put a part of the budget out of reach.
        rounds = min(config.query_rounds, config.epochs - config.warmup_epochs)
        per_round = -(-config.query_budget // rounds)
        self.budget = QueryBudget(config.query_budget, per_round)
        self.answers: list[pd.DataFrame] = []
        self.answer: NDArray[np.int64] = np.full(n, ABSTAINED, np.int64)
        self.confidence: NDArray[np.float64] = np.full(n, np.nan)
        self.asked: NDArray[np.bool_] = np.zeros(n, bool)
        self.split: Partition | None = None
        objective.learn_observed(data.noisy_label)

    # -- the callback -------------------------------------------------------------------------------------

    def on_epoch_end(self, trainer: Trainer, row: dict[str, float]) -> None:
        """Partition, ask, set targets; write the sizes of the sets into the history."""
        strong, weak = self.recorder.latest["strong"], self.recorder.latest["weak"]
        self.split = self.splitter.step(strong.probability, weak.probability, self.data.noisy_label)
        for name in ("R", "H", "P"):
            row[f"n_{name}"] = float((self.split.set == name).sum())
        mean = (strong.probability.astype(np.float64) + weak.probability) / 2
        if trainer.epoch >= self.config.warmup_epochs:
            # No answer can be learnt from after the last epoch, so none is bought then.
            if trainer.epoch < trainer.epochs:
                self._ask(trainer, mean, strong.embedding)
            self._set_targets(mean)
        row["queries"] = float(self.budget.spent)

    def _set_targets(self, mean: NDArray[np.float64]) -> None:
        """Set kind and target of every sample from the split, the answers and the mean prediction."""
        assert self.split is not None
        objective = self.objective
        classes = np.eye(mean.shape[1], dtype=np.float32)
        soft = losses.sharpen(torch.from_numpy(mean), self.config.temperature).numpy()
        objective.kind[:] = kinds(self.split.set, self.answer)
        clean, answered = objective.kind == CLEAN, objective.kind == PURIFIED
        objective.target[:] = soft
        objective.target[clean] = classes[self.data.noisy_label[clean]]
        objective.target[answered] = classes[self.answer[answered]]

    # -- the annotator ------------------------------------------------------------------------------------

    def _ask(self, trainer: Trainer, mean: NDArray[np.float64], embedding: NDArray[np.float32]) -> None:
        """Ask about the purified samples that come first by the acquisition rule, within the budget."""
        assert self.split is not None
        if self.annotator is None:
            return
        self.budget.new_round()
        candidates = np.flatnonzero((self.split.set == "P") & ~self.asked)
        rng = np.random.default_rng([self.config.seed, trainer.epoch, 1])
        order = acquisition_order(mean, self.data.noisy_label, candidates, self.config.acquisition, rng)
        chosen = order[: self.budget.take(len(order))]
        if not len(chosen):
            return
        demonstrations, shown = self._demonstrations(chosen, embedding)
        texts = [self.data.texts[i] for i in chosen]
        table = self._broadcast(
            trainer,
            lambda: checked_answers(
                self.annotator.annotate(texts, self.label_names, demonstrations),
                len(texts), len(self.label_names), annotator_name(self.annotator),
            ),
        )  # fmt: skip
        self.answer[chosen] = table["label"].to_numpy()
        self.confidence[chosen] = table["confidence"].to_numpy()
        self.asked[chosen] = True
        table = table.assign(index=chosen, epoch=trainer.epoch, demonstrations=pd.Series(shown))
        self.answers.append(table)

    def _demonstrations(
        self, chosen: NDArray[np.int64], embedding: NDArray[np.float32]
    ) -> tuple[list[list[Demonstration]] | None, list[list[int]]]:
        """Return each query's demonstrations from R, nearest last, and their positions."""
        assert self.split is not None
        c, label = self.config, self.data.noisy_label
        trust = (self.split.trust_strong + self.split.trust_weak) / 2
        pool = clean_pool(self.split.set, self.answer, label, trust, c.pool_per_class)
        if not len(pool) or not c.demonstrations:
            return None, [[] for _ in chosen]
        space = embedding if self.text_embedding is None else self.text_embedding
        near = nearest(
            space[chosen], space[pool], c.demonstrations,
            query_index=chosen, pool_index=pool,
            query_texts=[self.data.texts[i] for i in chosen], pool_texts=[self.data.texts[i] for i in pool],
        )  # fmt: skip
        return worded(near, pool, self.data.texts, label)

    @staticmethod
    def _broadcast(trainer: Trainer, ask: Any) -> pd.DataFrame:
        """Ask in one process and hand the answers to all of them."""
        box: list[Any] = [ask() if trainer.accelerator.is_main_process else None]
        if trainer.accelerator.num_processes > 1:
            from accelerate.utils import broadcast_object_list

            broadcast_object_list(box)
        table: pd.DataFrame = box[0]
        return table

    # -- what is left behind ------------------------------------------------------------------------------

    def partition(self) -> pd.DataFrame:
        """Return the last split with the annotator's answers, one row a sample."""
        if self.split is None:
            return pd.DataFrame()
        table = self.split.table()
        table.insert(6, "llm_label", self.answer)
        table.insert(7, "llm_confidence", self.confidence)
        return table

    def annotations(self) -> pd.DataFrame:
        """Return every question asked, with its prompt and answer, in the order of asking."""
        if not self.answers:
            return pd.DataFrame({"index": pd.Series(dtype="int64"), "label": pd.Series(dtype="int64")})
        table = pd.concat(self.answers, ignore_index=True)
        first = ["index", "epoch"]
        return table[first + [c for c in table.columns if c not in first]]

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Return thresholds (those of the last split, and as they are now), answers, targets and budget."""
        if self.split is None:
            return {}, {}
        arrays = {
            "used_tau_s": self.split.tau_strong,
            "used_tau_w": self.split.tau_weak,
            "tau_s": self.splitter.tau_strong, "tau_w": self.splitter.tau_weak, "answer": self.answer,
            "confidence": self.confidence, "asked": self.asked,
            "kind": self.objective.kind, "target": self.objective.target,
        }  # fmt: skip
        values = {
            "budget": self.budget.to_dict(),
            "answers": [json_table(t) for t in self.answers],
        }
        return {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in arrays.items()}, values

    def restore(self, tensors: Tensors, values: dict[str, Any]) -> None:
        """Take back what `state` returned; the recorder, restored before, has what the last split needs."""
        if not tensors:
            return
        c, latest = self.config, self.recorder.latest
        self.split = partition_samples(
            latest["strong"].probability, latest["weak"].probability, self.data.noisy_label,
            tensors["used_tau_s"].numpy(), tensors["used_tau_w"].numpy(), margin=c.margin, cap=c.cap,
        )  # fmt: skip
        self.splitter.tau_strong, self.splitter.tau_weak = tensors["tau_s"].numpy(), tensors["tau_w"].numpy()
        self.answer, self.confidence = tensors["answer"].numpy(), tensors["confidence"].numpy()
        self.asked = tensors["asked"].numpy()
        self.objective.kind[:], self.objective.target[:] = tensors["kind"].numpy(), tensors["target"].numpy()
        self.budget = QueryBudget.from_dict(values["budget"])
        self.answers = [pd.DataFrame(t) for t in values["answers"]]


def json_table(table: pd.DataFrame) -> dict[str, list[Any]]:
    """Return a table as JSON values, column by column."""
    return {str(name): table[name].tolist() for name in table.columns}
