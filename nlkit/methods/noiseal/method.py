"""NoiseAL: two small models find the noisy labels, a language model rectifies them, and both learn again.

After the published description ("Hide and Seek in Noise Labels", ACL 2024, arXiv 2504.02901). `NoiseAL.fit`
reads as the algorithm; its parts are `nlkit.models.classifiers` (the co-prediction network), and beside this
module `partition` (the dynamic-enhanced threshold), `rectification` (the active annotator) and `loss` (what
each set learns). `plain` says the whole method on one page.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import torch
from datasets import DatasetDict
from torch import nn

from nlkit.annotate.base import Annotator, Demonstration, annotator_name, check_annotator
from nlkit.annotate.demonstrations import balance_report, nearest, worded
from nlkit.annotate.local import as_annotator
from nlkit.data.checks import check_texts, numbers_of
from nlkit.data.observed import label_names, observe
from nlkit.methods.base import Method, new_strong, predict_texts
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.loss import NoiseALLoss
from nlkit.methods.noiseal.partition import DynamicThreshold, Partition
from nlkit.methods.noiseal.rectification import Rectification, clean_pool
from nlkit.metrics import annotation_report, partition_report
from nlkit.models.classifiers import StrongClassifier, Vocabulary, WeakClassifier
from nlkit.models.prediction import Prediction
from nlkit.training.recording import DynamicsRecorder
from nlkit.training.trainer import Trainer

__all__ = ["NoiseAL", "new_weak"]


class NoiseAL(Method):
    """Co-prediction network, dynamic-enhanced threshold, and a language model as active annotator.

    Parameters
    ----------
    encoder : str
        "minilm" (offline), a model folder, or a hub name: the strong model's encoder.
    annotator : str, Annotator or None
        "smollm2" or another local model's name (run in bf16 where that is faster), or any object with
        ``annotate`` (`nlkit.annotate`). None: nobody is asked, and purified samples learn from the models'
        own mean prediction.
    query_budget : int
        Questions to the annotator in all.
    profile : str
        "quick", "class" or "paper": the defaults of everything else.
    seed : int
        Of all random numbers.
    **settings
        Any other field of `NoiseALConfig`.

    Attributes
    ----------
    history_ : DataFrame
        One row an epoch: losses, sizes of the sets, queries, seconds, and what was watched.
    partition_ : DataFrame
        One row a training sample: index, set (R/H/P), p_s, p_w, tau_s, tau_w, llm_label (−1: not asked or
        abstained), llm_confidence, reason.
    annotations_ : DataFrame
        One row a question: set, where its text was when asked about (R: to measure the annotator); sure, how
        probable it is that the answer is right, given what is known of annotator and models; learnt, whether
        it is the likeliest label, and so learnt; and the answer, confidence, prompt and demonstrations.
    annotator_trust_ : DataFrame
        One row a round of questions: probes, questions about trusted texts so far, and how many answers
        agreed; accuracy, the annotator's by class as estimated from these, from low to high with 90 %;
        sharpness, the power that the models' predictions were taken to; answers, and how many were learnt.
    dynamics_ : dict of str to ndarray, shape (E, N, C)
        What "strong" and "weak" predicted for the training set after each epoch, by the moving average of
        their weights if the config has one: what was split. Not saved.

    Examples
    --------
    >>> import nlkit as nk
    >>> ds = nk.add_noise(nk.load_dataset("r8", train_size=2000), kind="symmetric", rate=0.4)
    >>> clf = nk.NoiseAL(profile="quick").fit(ds)                        # doctest: +SKIP
    >>> clf.evaluate(ds["test"])["accuracy"]                             # doctest: +SKIP
    """

    config_class = NoiseALConfig
    config: NoiseALConfig
    strong_: StrongClassifier
    weak_: WeakClassifier
    tables: ClassVar[tuple[str, ...]] = ("history_", "partition_", "annotations_", "annotator_trust_")

    def __init__(
        self,
        encoder: str = "auto",
        annotator: str | Annotator | None = "smollm2",
        query_budget: int = 150,
        profile: str = "class",
        seed: int = 0,
        **settings: Any,
    ) -> None:
        self._configure(
            encoder=encoder, query_budget=query_budget, profile=profile, seed=seed, **settings
        )  # fmt: skip
        if annotator is not None:
            check_annotator(annotator)
        self.annotator = annotator
        self._lost_annotator: str | None = None

    def _arguments(self) -> dict[str, Any]:
        return self._given | {"annotator": self.annotator}

    def _make_annotator(self, names: list[str]) -> Annotator | None:
        """Return who is asked, after a look whether that will work: the first question comes late."""
        if not self.config.query_budget:
            return None
        if self.annotator is None and self._lost_annotator:
            warnings.warn(
                f"the annotator {self._lost_annotator!r} was not saved with the model, so nobody will be "
                "asked: set .annotator before fit",
                stacklevel=3,
            )
        return None if self.annotator is None else as_annotator(self.annotator, names)

    def fit(
        self, ds: DatasetDict, *, eval_splits: Sequence[str] = (), checkpoint: str | Path | None = None
    ) -> Self:
        """Learn from ``ds["train"]``'s texts and noisy labels.

        Parameters
        ----------
        ds : DatasetDict
            Splits "train" and perhaps "validation", with columns ``text`` and ``noisy_label``.
        eval_splits : sequence of str
            Splits whose true labels are compared with the predictions after each epoch, for the history only.
        checkpoint : path, optional
            Folder for a checkpoint after each epoch; the same call goes on where it stopped.

        Raises
        ------
        ValueError
            If a split or column is missing, or a checkpoint is of another run.
        Interrupted
            On Ctrl-C; everything up to the last whole epoch is there, `predict` works.
        """
        data, names = observe(ds, "train"), label_names(ds)
        annotator = self._make_annotator(names)
        c, n_samples, n_classes = self.config, len(data.texts), len(names)
        strong = new_strong(c, n_classes)
        weak = new_weak(c, Vocabulary.fit(data.texts), n_classes)
        models: dict[str, Any] = {"strong": strong, "weak": weak}
        inputs = {name: model.prepare(data.texts) for name, model in models.items()}
        own_space = annotator is None or c.demonstration_space == "strong"
        space = None if own_space else self._text_embedding(data.texts)

        loss = NoiseALLoss(n_samples, n_classes, c)
        loss.set_observed(data.noisy_label)  # the warm-up: CE on every observed label
        threshold = DynamicThreshold(
            n_samples, n_classes, momentum=c.momentum, margin=c.margin, cap=c.cap,
            class_floor=c.class_floor, checked=data.checked,
        )  # fmt: skip
        rectification = Rectification(data, names, c, annotator, space)
        recorder, selection = DynamicsRecorder(), self._selection(ds, strong, "strong", eval_splits)
        trainer = Trainer.from_config(
            c, models, inputs, loss, lr={"weak": c.lr_weak}, ema_epochs=c.ema_epochs,
            batch_size=c.batch_size_for(n_samples), description="NoiseAL",
        )  # fmt: skip
        by = annotator_name(annotator) if annotator else "nobody"
        saved = self._checkpoint(checkpoint, data, ds, strong.encoder.fingerprint, by)
        try:
            with trainer.running(
                saved, recorder=recorder, threshold=threshold, rectification=rectification, loss=loss,
                selection=selection,
            ) as epochs:  # fmt: skip
                for row in epochs:  # train an epoch, both models
                    p_s, p_w = (trainer.predict(name, averaged=True) for name in models)
                    recorder.record(strong=p_s, weak=p_w)
                    mean = (p_s.probability.astype(np.float64) + p_w.probability) / 2
                    partition = threshold.partition(p_s.probability, p_w.probability, data.noisy_label)
                    if trainer.epoch >= c.warmup_epochs:
                        # No answer can be learnt from after the last epoch, so none is bought then.
                        if trainer.epoch < c.epochs:
                            rectification.query(partition, mean, p_s.embedding, trainer.epoch)
                        loss.set_targets(
                            partition.set, data.noisy_label, rectification.learnt, mean,
                            left_out=partition.distrusted & (c.distrusted == "left_out"),
                            said=rectification.said(),
                        )  # fmt: skip
                    row |= partition.sizes | {"queries": float(rectification.n_queries)}
                    row |= selection.after_epoch(trainer)
        finally:
            # An interrupted run leaves what it learned, if it learned anything.
            if trainer.epoch:
                self.strong_, self.weak_ = strong, weak
                self.label_names_, self.history_ = names, trainer.history
                self._trained_on = data.identity()
                self.partition_ = _partition_table(threshold.last, rectification)
                self.annotations_ = rectification.annotations()
                self.annotator_trust_ = pd.DataFrame(rectification.rounds)
                self.dynamics_ = recorder.stacked()
                self._finish("strong", selection.best_epoch, selection.weights, selection.lost)
        return self

    def _networks(self) -> dict[str, nn.Module]:
        return {"strong": self.strong_, "weak": self.weak_}

    def _predict(self, texts: Sequence[str]) -> Prediction:
        which, config = self.config.prediction, self.config
        if which != "mean":
            return predict_texts(self._networks()[which], texts, config)
        strong, weak = (predict_texts(m, texts, config) for m in self._networks().values())
        mean = ((strong.probability + weak.probability) / 2).astype(np.float32)
        return Prediction(mean, strong.embedding)

    def report(self, dataset: Any) -> dict[str, pd.DataFrame | dict[str, float]]:
        """Compare the partition and the answers with the true labels of the training split.

        Parameters
        ----------
        dataset : Dataset
            ``ds["train"]`` as given to `fit`, with its column ``label``.

        Returns
        -------
        dict
            ``sets``: `nlkit.metrics.partition_report`; ``annotations``: `nlkit.metrics.annotation_report` of
            all queries; ``trust``: where it was measured one row, the annotator's accuracy as estimated last,
            from low to high, and how many of its answers are right: of all, of those on trusted texts
            (right_R), of those learnt;
            ``demonstrations``: `nlkit.annotate.demonstrations.balance_report` of the (noisy) labels that were
            shown with them.
        """
        noisy_label = self._check_trained_on(dataset).noisy_label
        label = numbers_of(dataset, "label", "dataset", self.label_names_)
        asked = self.annotations_["index"].to_numpy()
        shown = [i for row in self.annotations_.get("demonstrations", []) for i in row]
        judged = self.annotations_.assign(truth=label[asked]).query("label >= 0 and truth >= 0")
        right = judged["label"] == judged["truth"]
        trust = self.annotator_trust_.reindex(columns=["accuracy", "low", "high"]).tail(1).assign(
            right=right.mean(), right_R=right[judged["set"] == "R"].mean(),
            right_learnt=right[judged["learnt"]].mean(),
        )  # fmt: skip
        return {
            "trust": trust.reset_index(drop=True),
            "demonstrations": balance_report(noisy_label[shown], self.label_names_),
            "sets": partition_report(self.partition_["set"].to_numpy(), noisy_label, label),
            "annotations": annotation_report(self.annotations_["label"].to_numpy(), label[asked]),
        }

    def demonstrations(
        self, texts: Sequence[str], dataset: Any, k: int | None = None
    ) -> list[list[Demonstration]]:
        """Pick solved examples for questions of your own, as `fit` does: from R, nearest last.

        Parameters
        ----------
        texts : sequence of Q strings
            The questions. A training text that equals one is never shown with it.
        dataset : Dataset
            ``ds["train"]`` as given to `fit`.
        k : int, optional
            Examples a question, at least 1; `NoiseALConfig.demonstrations` by default.

        Returns
        -------
        list of Q lists
            For ``annotator.annotate(texts, label_names, …)``; shorter lists where R holds fewer texts.
        """
        data = self._check_trained_on(dataset)
        c, partition, label = self.config, self.partition_, data.noisy_label
        sets, answer = partition["set"].to_numpy(), partition["llm_label"].to_numpy()
        trust = ((partition["p_s"] + partition["p_w"]) / 2).to_numpy()
        pool = clean_pool(sets, answer, label, trust, c.pool_per_class)
        queries, known = check_texts(texts, "texts"), data.texts
        if not len(pool):
            return [[] for _ in queries]
        shown = [known[i] for i in pool]
        # Both kinds of text in one call: the model is loaded or moved once.
        if c.demonstration_space == "encoder":
            space = self._text_embedding(queries + shown)
        else:
            space = predict_texts(self.strong_, queries + shown, c).embedding
        near = nearest(
            space[: len(queries)], space[len(queries) :], c.demonstrations if k is None else k,
            query_texts=queries, pool_texts=shown,
        )  # fmt: skip
        return worded(near, pool, known, label)[0]

    def _extra_values(self) -> dict[str, Any]:
        # Only a name can be saved: who used an annotator of their own gives it again to fit anew.
        named = self.annotator is None or isinstance(self.annotator, str)
        return {
            "words": self.weak_.vocabulary.words,
            "annotator": self.annotator if named else None,
            "lost_annotator": self._lost_annotator if named else annotator_name(self.annotator),
        }

    @classmethod
    def _from_saved(cls, folder: Path, tensors: dict[str, torch.Tensor], values: dict[str, Any]) -> Self:
        self = super()._from_saved(folder, tensors, values)
        self.annotator, self._lost_annotator = values["annotator"], values["lost_annotator"]
        return self

    def _rebuild(self, values: dict[str, Any]) -> None:
        n_classes = len(self.label_names_)
        self.strong_ = new_strong(self.config, n_classes)
        self.weak_ = new_weak(self.config, Vocabulary(values["words"]), n_classes)


def new_weak(config: NoiseALConfig, vocabulary: Vocabulary, n_classes: int) -> WeakClassifier:
    """Return an untrained weak classifier; the seed decides its weights."""
    with torch.random.fork_rng():
        torch.manual_seed(config.seed + 1)
        return WeakClassifier(vocabulary, n_classes, max_length=config.max_length)


def _partition_table(partition: Partition | None, rectification: Rectification) -> pd.DataFrame:
    """Return the last partition with the annotator's answers, one row a sample."""
    if partition is None:
        return pd.DataFrame()
    table = partition.table()
    table.insert(6, "llm_label", rectification.answer)
    table.insert(7, "llm_confidence", rectification.confidence)
    return table
