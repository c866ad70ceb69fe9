"""A language model on this machine as annotator: label words are scored, no text is generated."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property
from itertools import compress
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import log_softmax

from nlkit._util import invalid, progress
from nlkit.annotate import models, prompts
from nlkit.annotate.base import (
    Annotator,
    Demonstrations,
    Request,
    answer_table,
    check_annotator,
    check_request,
)
from nlkit.annotate.scoring import LabelScorer
from nlkit.annotate.store import AnswerStore, Keep, StoredAnswer, answered, open_store
from nlkit.models.device import choose_device, choose_precision

__all__ = ["LocalLLM", "as_annotator", "calibrate"]

Floats = npt.NDArray[np.float64]


def calibrate(scores: Floats, bias: Floats | None) -> Floats:
    """Turn log-likelihoods of shape (n, C) into probabilities, after dividing by what the model says anyway.

    `bias` has the log-probabilities, shape (C,) or (n, C), that the model gives without content; dividing by
    them is contextual calibration (Zhao et al., 2021) or, with the batch's mean, batch calibration (Zhou et
    al., 2023). Rows of the result sum to 1.
    """
    logits = scores if bias is None else log_softmax(scores, axis=-1) - bias
    result: Floats = np.exp(log_softmax(logits, axis=-1))
    return result


class LocalLLM:
    """A causal language model, run here, that labels texts by the likelihood of the label words.

    Parameters
    ----------
    model : str or path
        ``"smollm2"`` (installed beside nlkit), a GGUF file, a folder of transformers, or a hub name.
    precision : {"fp32", "bf16", "auto"}
        "auto": bf16 where the hardware is faster with it, else fp32.
    calibration : {"auto", "none", "contextual", "batch"}
        How the model's bias among the label words is divided out. "contextual": by its answers to texts
        without content, asked with the same demonstrations; "batch": by its mean answer in this call, so an
        answer depends on the other texts. "auto": contextual when all texts share their demonstrations, else
        none; the choice rests on what benchmarks/annotator.py prints for Reuters R8.
    normalise : {"sum", "mean"}
        Whether a label's score is the sum or the mean of its tokens' log-likelihoods.
    abstain_below : float
        Abstain (-1) where the largest probability is smaller.
    max_text_tokens : int
        Queries and demonstrations are cut to this many tokens.
    batch_tokens : int
        Most tokens in one batch, the prompts' common beginning counted for each; less needs less memory.
    label_descriptions : mapping, optional
        Label name -> what it stands for; Reuters' names have one built in.
    list_labels : bool, optional
        Whether the prompt begins with the labels and their descriptions. None: in zero-shot, and wherever
        `label_descriptions` are given; demonstrations show the labels by themselves.
    label_words : mapping, optional
        Label name -> the word the model reads and is scored on, where the name itself says little.
    store : "default", path, AnswerStore or None
        Where answers are kept, so that nothing is asked twice. None keeps nothing.
    device : str
        "auto" takes a GPU when there is one.

    Notes
    -----
    The model loads at the first question that the store cannot answer. The store keeps the labels' raw
    log-likelihoods: calibration, normalisation and abstention change without asking again.
    """

    simulated = False

    def __init__(
        self,
        model: str | os.PathLike[str] = "smollm2",
        *,
        precision: str = "fp32",
        calibration: str = "auto",
        normalise: str = "sum",
        abstain_below: float = 0.0,
        max_text_tokens: int = 64,
        batch_tokens: int = 4096,
        label_descriptions: Mapping[str, str] | None = None,
        list_labels: bool | None = None,
        label_words: Mapping[str, str] | None = None,
        store: str | os.PathLike[str] | AnswerStore | None = "default",
        device: str = "auto",
    ) -> None:
        choices = {
            "precision": (precision, ("auto", "fp32", "bf16")),
            "calibration": (calibration, ("auto", "none", "contextual", "batch")),
            "normalise": (normalise, ("sum", "mean")),
        }
        for field, (chosen, allowed) in choices.items():
            if chosen not in allowed:
                invalid(field, chosen, f"one of {', '.join(allowed)}")
        if not 0 <= abstain_below <= 1:
            invalid("abstain_below", abstain_below, "a probability from 0 to 1")
        for field, value in (("max_text_tokens", max_text_tokens), ("batch_tokens", batch_tokens)):
            if value < 1:
                invalid(field, value, "at least 1")
        self.device = choose_device(device)
        if precision == "auto":
            precision = "bf16" if choose_precision("auto", self.device) == "bf16" else "fp32"
        self.model = model
        self.precision = precision
        self.calibration = calibration
        self.normalise = normalise
        self.abstain_below = abstain_below
        self.max_text_tokens = max_text_tokens
        self.batch_tokens = batch_tokens
        self.label_descriptions = dict(label_descriptions or {})
        self.list_labels = list_labels
        self.label_words = dict(label_words or {})
        self.name = str(model) if precision == "fp32" else f"{model} ({precision})"
        self.store = open_store(store)
        self._scorer: LabelScorer | None = None

    def annotate(
        self, texts: Sequence[str], label_names: Sequence[str], demonstrations: Demonstrations = None
    ) -> pd.DataFrame:
        """Label `texts` with one of `label_names`.

        Parameters
        ----------
        demonstrations : optional
            None: zero-shot. A flat list of `Demonstration`: shown with every text. A list of lists, one per
            text: each text's own, the most telling last.

        Returns
        -------
        DataFrame
            See `nlkit.annotate.base.answer_table`. ``source`` is "store" for answers known before this call.
            An empty text is not asked (``source`` "none") and abstains.

        Raises
        ------
        ValueError, TypeError
            For arguments that `nlkit.annotate.base.check_request` refuses, and prompts too long for the
            model.
        """
        request = check_request(texts, label_names, demonstrations)
        names, n = request.label_names, len(request.texts)
        empty = np.array([not prompts.clean(text) for text in request.texts], dtype=bool)  # says nothing
        words, prefix, queries, prompt = self._template(request)
        calibration = self.calibration
        if calibration == "auto":
            calibration = "contextual" if request.shared else "none"
        # The bias is asked once per set of demonstrations: once in all, unless every text has its own.
        contents: list[list[str]] = []
        if calibration == "contextual":
            own = range(n) if request.per_text is not None else range(min(n, 1))
            contents = [[prompt(i, text) for text in prompts.CONTENT_FREE] for i in own]
        # Two names may share a word in different calls, so the store's key holds the words as well.
        identity = [f"{name}={word}" for name, word in zip(names, words, strict=True)]
        answers, known = answered(
            self.store,
            self.key(),
            [*compress(queries, ~empty), *(text for group in contents for text in group)],
            identity,
            lambda missing, keep: self._ask(prefix, missing, words, keep),
        )

        divisor: Any = 1
        if self.normalise == "mean":
            ends = self._tokenizer([prompts.continuation(word) for word in words], add_special_tokens=False)
            divisor = np.array([len(tokens) for tokens in ends.input_ids])
        nothing = StoredAnswer("", np.zeros(len(names)))
        given = [nothing if e else answers[q] for q, e in zip(queries, empty, strict=True)]
        scores = np.array([answer.scores for answer in given]).reshape(n, len(names)) / divisor
        bias: Floats | None = None
        if contents:
            free = np.array([[answers[q].scores for q in group] for group in contents]) / divisor
            bias = np.log(np.exp(log_softmax(free, axis=-1)).mean(axis=1))  # (1 or n, C)
        elif calibration == "batch" and not empty.all():
            bias = np.log(np.exp(log_softmax(scores[~empty], axis=-1)).mean(axis=0))
        p = calibrate(scores, bias)
        p[empty] = 1 / len(names)
        return answer_table(
            p,
            names,
            abstain=empty,
            abstain_below=self.abstain_below,
            source=[
                "none" if answer is nothing else "store" if answer.prompt in known else "model"
                for answer in given
            ],
            prompt_tokens=[answer.prompt_tokens for answer in given],
            prompts=queries,
            reason=["the text is empty" if e else "" for e in empty],
        )

    def ready(self, label_names: Sequence[str], *, convert: bool = True) -> None:
        """Find the model's files and check the label words now, not after hours of other work.

        With `convert` also convert a GGUF file that was not used before, which the first answer would do.
        That takes 0.8 GB for a moment, so it had better come before other models are in memory.
        """
        self.key()
        self._words(list(label_names))
        if convert:
            models.ready_folder(self._source)

    def prompts(
        self, texts: Sequence[str], label_names: Sequence[str], demonstrations: Demonstrations = None
    ) -> list[str]:
        """Return what `annotate` would put to the model, one prompt a text; nothing is asked."""
        return self._template(check_request(texts, label_names, demonstrations))[2]

    def key(self) -> str:
        """Return what identifies this annotator's raw answers: the weights' hash and the precision."""
        return json.dumps(["local", self._source.identity, self.precision])

    def _template(self, request: Request) -> tuple[list[str], str, list[str], Callable[[int, str], str]]:
        """Return label words, the prompts' common beginning, the prompts, and what makes one as text i's."""
        names, tokenizer = request.label_names, self._tokenizer
        words = self._words(names)

        @cache
        def cut(text: str) -> str:
            whole = prompts.clean(text)
            spans = tokenizer(
                whole, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True
            ).offset_mapping
            end = spans[self.max_text_tokens - 1][1] if len(spans) > self.max_text_tokens else len(whole)
            return whole[:end].rstrip()

        described = prompts.describe(names, self.label_descriptions)
        shown = [
            described[name] if described[name] != name else word
            for name, word in zip(names, words, strict=True)
        ]
        listed = self.list_labels
        if listed is None:
            listed = request.zero_shot or bool(self.label_descriptions)
        examples = [d._replace(text=cut(d.text)) for d in request.shared]
        prefix = prompts.prefix(words, shown if listed else None, examples)

        def prompt(i: int, query: str) -> str:
            return prefix + prompts.suffix(
                words, [d._replace(text=cut(d.text)) for d in request.own(i)], query
            )

        return words, prefix, [prompt(i, cut(text)) for i, text in enumerate(request.texts)], prompt

    def _words(self, names: Sequence[str]) -> list[str]:
        unknown = sorted(set(self.label_words) - set(names))
        if unknown:
            raise ValueError(f"label_words name {unknown}, but the label names are {list(names)}")
        words = [prompts.clean(self.label_words.get(name, name)) for name in names]
        if len(set(words)) < len(words) or "" in words:
            invalid("label_words", words, "a different, non-blank word for every label")
        return words

    @cached_property
    def _source(self) -> models.ModelSource:
        return models.locate(self.model)

    @cached_property
    def _tokenizer(self) -> Any:
        return models.load_tokenizer(self._source)

    def _load_scorer(self) -> LabelScorer:
        if self._scorer is None:
            model = models.load_model(self._source, precision=self.precision, device=self.device)
            self._scorer = LabelScorer(model, self._tokenizer, batch_tokens=self.batch_tokens)
        return self._scorer

    def _ask(self, prefix: str, missing: Sequence[str], words: Sequence[str], keep: Keep) -> None:
        scorer = self._load_scorer()
        start = scorer.encode(prefix, first=True)
        tokens = [scorer.encode(prompt[len(prefix) :]) for prompt in missing]
        labels = [scorer.encode(prompts.continuation(word)) for word in words]
        began, read = time.perf_counter(), 0
        with progress(total=len(missing), desc=f"asking {self.name}", unit="text") as bar:
            for rows, scores in scorer.score(start, tokens, labels):
                keep(
                    [
                        StoredAnswer(missing[i], own, len(start) + len(tokens[i]))
                        for i, own in zip(rows, scores, strict=True)
                    ]
                )
                read += sum(len(tokens[i]) for i in rows)
                speed = read / (time.perf_counter() - began)
                confidence = calibrate(scores, None).max(axis=1).mean()
                bar.set_postfix({"tokens/s": f"{speed:.0f}", "confidence": f"{confidence:.2f}"})
                bar.update(len(rows))


def as_annotator(annotator: Any, label_names: Sequence[str]) -> Annotator:
    """Return an annotator that is ready to label with these names.

    Parameters
    ----------
    annotator : str or Annotator
        A model's name, such as "smollm2", for ``LocalLLM(name, precision="auto")``, or an annotator.
    label_names : sequence of str
        What ``ready(label_names)``, if the annotator has it, is asked about.

    Raises
    ------
    ValueError
        If it is neither.
    """
    if isinstance(annotator, str):
        annotator = LocalLLM(annotator, precision="auto")
    check_annotator(annotator)
    if hasattr(annotator, "ready"):
        annotator.ready(list(label_names))
    return cast("Annotator", annotator)
