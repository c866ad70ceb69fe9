"""NoiseAL: two small models find the noisy labels, a language model is asked about them, and all learn again.

After the published description (arXiv 2504.02901, "Hide and Seek in Noise Labels"). The parts have modules of
their own: `nlkit.models.classifiers` (the co-prediction network), `nlkit.methods.noiseal.partition` (the
dynamic-enhanced threshold), `nlkit.annotate` (the active annotator), `nlkit.methods.noiseal.rectification`
(who is asked), `nlkit.methods.noiseal.loss` (what each set learns).
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
from numpy.typing import NDArray
from torch import nn

from nlkit.annotate.base import Annotator, Demonstration, annotator_name, check_annotator
from nlkit.annotate.demonstrations import balance_report, nearest, worded
from nlkit.annotate.local import as_annotator
from nlkit.data.checks import check_texts, class_numbers
from nlkit.data.observed import Observed, label_names, observe
from nlkit.methods.base import Method, Watch, predict_texts
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.loss import NoiseALLoss
from nlkit.methods.noiseal.rectification import Rectifier, clean_pool
from nlkit.metrics import annotation_report, partition_report
from nlkit.models.classifiers import StrongClassifier, Vocabulary, WeakClassifier
from nlkit.training import Callback, Checkpoint, DynamicsRecorder, Prediction, Trainer

__all__ = ["NoiseAL"]


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
        One row a question, with prompt, demonstrations, answer and confidence.
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

    config: NoiseALConfig
    strong_: StrongClassifier
    weak_: WeakClassifier
    tables: ClassVar[tuple[str, ...]] = ("history_", "partition_", "annotations_")

    def __init__(
        self,
        encoder: str = "minilm",
        annotator: str | Annotator | None = "smollm2",
        query_budget: int = 150,
        profile: str = "class",
        seed: int = 0,
        **settings: Any,
    ) -> None:
        self.config = NoiseALConfig.make(
            profile, encoder=encoder, query_budget=query_budget, seed=seed, **settings
        )
        if annotator is not None:
            check_annotator(annotator)
        self.annotator = annotator
        self._lost_annotator: str | None = None

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

    def _new_weak(self, vocabulary: Vocabulary, n_classes: int) -> WeakClassifier:
        with torch.random.fork_rng():
            torch.manual_seed(self.config.seed + 1)
            return WeakClassifier(vocabulary, n_classes, max_length=self.config.max_length)

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
        c, n_classes = self.config, len(names)
        strong = self._new_strong(n_classes)
        weak = self._new_weak(Vocabulary.fit(data.texts), n_classes)
        inputs = {"strong": strong.prepare(data.texts), "weak": weak.prepare(data.texts)}
        recorder, objective = DynamicsRecorder(), NoiseALLoss(len(data.texts), n_classes, c)
        own_space = annotator is None or c.demonstration_space == "strong"
        space = None if own_space else self._text_embedding(data.texts)
        rectifier = Rectifier(data, names, c, recorder, objective, annotator, space)
        best = self._best_epoch(ds, strong, "strong")
        callbacks: list[Callback] = [recorder, rectifier, *([best] if best else [])]
        callbacks += [Watch(strong, "strong", ds, eval_splits)] if eval_splits else []
        if checkpoint:
            who = annotator_name(annotator) if annotator else "nobody"
            callbacks.append(
                Checkpoint(checkpoint, self._run_identity(data, ds, strong.encoder.fingerprint, who))
            )
        trainer = Trainer(
            {"strong": strong, "weak": weak}, inputs,
            {"strong": strong.parameter_groups(c.lr_encoder, c.lr_head),
             "weak": [{"params": list(weak.parameters()), "lr": c.lr_weak}]},
            objective, callbacks=callbacks, description="NoiseAL", ema_epochs=c.ema_epochs,
            **self._trainer_settings(),
        )  # fmt: skip
        try:
            trainer.fit()
        finally:
            # An interrupted run leaves what it learned, if it learned anything.
            if trainer.epoch:
                self.strong_, self.weak_ = trainer.raw("strong"), trainer.raw("weak")
                self.label_names_, self.history_ = names, trainer.history
                self.partition_, self.annotations_ = rectifier.partition(), rectifier.annotations()
                self.dynamics_ = {name: recorder.stacked(name) for name in recorder.probability}
                self._finish(best)
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
            all queries; ``demonstrations``: `nlkit.annotate.demonstrations.balance_report` of the (noisy)
            labels that were shown with them.
        """
        self._check_fitted()
        self._check_trained_on(dataset, len(self.partition_))
        label = class_numbers(dataset["label"][:], "dataset['label']")
        asked = self.annotations_["index"].to_numpy()
        shown = [i for row in self.annotations_.get("demonstrations", []) for i in row]
        return {
            "demonstrations": balance_report(
                class_numbers(dataset["noisy_label"][:], "dataset['noisy_label']")[shown], self.label_names_
            ),
            "sets": partition_report(self.partition_["set"].to_numpy(), dataset["noisy_label"], label),
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
        self._check_fitted()
        self._check_trained_on(dataset, len(self.partition_))
        c, partition = self.config, self.partition_
        label = class_numbers(dataset["noisy_label"][:], "dataset['noisy_label']")
        sets, answer = partition["set"].to_numpy(), partition["llm_label"].to_numpy()
        trust = ((partition["p_s"] + partition["p_w"]) / 2).to_numpy()
        pool = clean_pool(sets, answer, label, trust, c.pool_per_class)
        queries, known = check_texts(texts, "texts"), list(dataset["text"][:])
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

    def believed(self, data: Observed) -> tuple[Observed, NDArray[np.bool_]]:
        """Return the training data with the annotator's answers in it, and which labels are believed.

        Parameters
        ----------
        data : Observed
            The N training samples that `fit` saw.

        Returns
        -------
        data : Observed
            An answered sample has its answer, every other one its observed label.
        believed : ndarray of bool, shape (N,)
            True in the clean set R and where the annotator answered; what is left is open.
        """
        self._check_fitted()
        self._check_trained_on(data.texts, len(self.partition_))
        answer = self.partition_["llm_label"].to_numpy()
        label = np.where(answer >= 0, answer, data.noisy_label)
        clean = (self.partition_["set"] == "R").to_numpy()
        return Observed(data.texts, label), (clean | (answer >= 0)) & (label >= 0)

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
        self.strong_ = self._new_strong(n_classes)
        self.weak_ = self._new_weak(Vocabulary(values["words"]), n_classes)
