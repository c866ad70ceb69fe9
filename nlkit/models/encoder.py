"""Pre-trained text encoder, cut in two: a frozen trunk that runs once per text, and layers on top that learn.

With ``trainable_layers=k`` only the k top layers of a BERT-like encoder are trained. The layers below, the
trunk, always give the same activations for a text, so they are computed once and kept (`nlkit.models.cache`).
``k = 0`` keeps one pooled vector a text; ``"all"`` trains everything, and nothing is cached. Neither needs a
cut between layers, so both work for every encoder; k from 1 on needs one whose layers can run one by one.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import warnings
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property, lru_cache
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from nlkit._util import content_hash, invalid, progress
from nlkit.models.batching import Batch, Inputs, sorted_batches
from nlkit.models.cache import ActivationCache
from nlkit.models.device import (
    autocast,
    choose_device,
    choose_precision,
    full_precision,
    half_type,
    measured,
    texts_at_once,
)
from nlkit.models.gpu import halved, one_behind, rounded

__all__ = ["TextEncoder", "mean_pool"]

SHARD_TEXTS = 1024
"""Texts a shard of the activation cache: an interrupted run loses at most the shard it was computing."""

LEAST_PRECISE = 0.02
"""Relative error of activations in half precision from which on "auto" stays with float32."""

SAMPLE = (
    "The company said net profit rose to 3.2 mln dlrs from 2.1 mln a year earlier.",
    "Which of the two would you buy, and why?",
    "yes",
)
"""Texts that the error of half precision is measured on."""

ALIKE = 0.05
"""Share of texts from which on one warns that cutting them makes them the same."""

TrainableLayers = int | Literal["all"]


def mean_pool(tokens: Tensor, mask: Tensor) -> Tensor:
    """Average token vectors, shape (B, T, D), over the real tokens of `mask`, shape (B, T) -> (B, D)."""
    weight = mask.unsqueeze(-1).to(tokens.dtype)
    return (tokens * weight).sum(1) / weight.sum(1).clamp(min=1.0)


@lru_cache(maxsize=2)
def _pretrained(source: str) -> tuple[Any, nn.Module, str, str]:
    """Load tokenizer and model once per process.

    Returns
    -------
    tokenizer, model, hash of the weights, hash of all that decides the activations
    """
    from transformers import AutoModel, AutoTokenizer
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        # A model is data: code beside it is never run, and weights are never unpickled.
        tokenizer = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
        model = AutoModel.from_pretrained(source, trust_remote_code=False, use_safetensors=True)
        model = model.float().eval()
    except (OSError, ValueError) as error:
        raise OSError(
            f"encoder={source!r} could not be loaded: {error}. Offline, use encoder='minilm' or the path of "
            "a folder with config.json, tokenizer.json and model.safetensors."
        ) from error
    finally:
        logging.enable_progress_bar()  # type: ignore[no-untyped-call]
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    # The weights themselves name the model: a hub name can point to other weights tomorrow. The pooler is
    # unused, and drawn at random where a checkpoint has none: it would give another name in every process.
    digest = hashlib.blake2b(digest_size=16)
    for name, parameter in model.named_parameters():
        if not name.startswith("pooler."):
            digest.update(parameter.detach().numpy().data)
    weights = digest.hexdigest()
    settings = {k: v for k, v in model.config.to_dict().items() if not k.startswith("_")}
    digest.update(json.dumps(settings, sort_keys=True, default=str).encode())
    backend = getattr(tokenizer, "backend_tokenizer", None)
    digest.update(
        (backend.to_str() if backend else json.dumps(tokenizer.get_vocab(), sort_keys=True)).encode()
    )
    return tokenizer, model, weights, digest.hexdigest()


def _max_tokens(model: nn.Module) -> int:
    """Return the longest text a model has positions for."""
    table = getattr(getattr(model, "embeddings", None), "position_embeddings", None)
    if isinstance(table, nn.Embedding):
        # RoBERTa counts positions from the padding's number on, so its table is longer than its longest text.
        return table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
    return int(getattr(cast(Any, model).config, "max_position_embeddings", 512))


def _layers(model: nn.Module) -> nn.ModuleList:
    """Find the list of transformer layers in the layouts of BERT and its relatives."""
    for holder in ("encoder", "transformer"):
        for name in ("layer", "layers"):
            layers = getattr(getattr(model, holder, None), name, None)
            if isinstance(layers, nn.ModuleList):
                return layers
    raise _uncuttable(model)


def _uncuttable(model: nn.Module) -> ValueError:
    return ValueError(
        f"encoder of type {type(model).__name__} cannot be cut into frozen and trainable layers: use "
        "trainable_layers='all' or 0, or a BERT-like encoder (BERT, RoBERTa, ELECTRA, MiniLM, DistilBERT)"
    )


@lru_cache(maxsize=8)
def _check_cut(source: str) -> None:
    """Compare a model with its layers run one by one: some families pass more than states between layers.

    MPNet and DeBERTa, for example, add relative positions that the layers are handed from outside; run one by
    one they would give plausible, wrong numbers.
    """
    tokenizer, model, *_ = _pretrained(source)
    layers = _layers(model)
    encoded = tokenizer(["one", "a few words more"])["input_ids"]
    tokens = Inputs([np.asarray(ids, np.int32) for ids in encoded])
    batch = tokens.batch(np.arange(2)).to(next(model.parameters()).device)
    try:
        with torch.inference_mode():
            plain = _last_states(model, batch)
            hidden = _apply(layers, _embed(model, batch), batch.mask)
            same = torch.allclose(plain[batch.mask], hidden[batch.mask], rtol=1e-3, atol=1e-3)
    except Exception as error:
        raise _uncuttable(model) from error
    if not same:
        raise _uncuttable(model)


def _rounding(source: str, precision: str) -> float:
    """Return the relative error (L2) of a model's last activations in half precision, on `SAMPLE` on the CPU.

    It takes as long as a handful of texts, and is remembered.
    """
    tokenizer, model, _, behaviour = _pretrained(source)
    return measured(
        content_hash(behaviour, precision), lambda: _measured_rounding(tokenizer, model, precision)
    )


def _measured_rounding(tokenizer: Any, model: nn.Module, precision: str) -> float:
    tokens = Inputs([np.asarray(ids, np.int32) for ids in tokenizer(list(SAMPLE))["input_ids"]])
    cpu = torch.device("cpu")
    batch = tokens.batch(np.arange(len(SAMPLE)))
    with torch.inference_mode():
        whole = _last_states(model.to(cpu), batch)[batch.mask]
        with autocast(precision, cpu):
            half = _last_states(model, batch)[batch.mask].float()
    return float((half - whole).norm() / whole.norm())


class TextEncoder(nn.Module):
    """Text encoder with a frozen, cached trunk.

    Parameters
    ----------
    name : str
        ``"minilm"`` or ``"mpnet"`` (both offline, the latter by requirements/mpnet.txt), the path of a model
        folder, or a hub name of an encoder.
    trainable_layers : int or "all"
        How many top layers learn. 0: none, the encoder is a fixed map to pooled features. From 1 on the
        encoder must be BERT-like: MPNet, DeBERTa and ModernBERT, for example, take 0 or "all" only.
    max_length : int
        Tokens a text is cut to, special tokens included.
    cache : bool
        Keep the trunk's activations on disk. Without it they are kept in memory by whoever prepared them. So
        they are where the cache cannot be used or is too small; a warning says so, once for an encoder.
    device : str
        ``"auto"``, ``"cpu"``, ``"cuda"`` …: where the trunk runs.
    precision : str
        Of the trunk: ``"no"`` (float32), ``"bf16"``, ``"fp16"`` or ``"auto"``, half precision where it is
        faster (`nlkit.models.device.choose_precision`), and on a CPU only where the activations are off by
        less than `LEAST_PRECISE`.

    Attributes
    ----------
    precision : str
        What was chosen. Activations of each precision are cached by themselves.
    rounding : float
        By how much half precision changes the activations of some sentences: the L2 norm of the difference,
        over theirs. 0 in float32 and where nothing is frozen; NaN where it was not measured, on a GPU.

    Raises
    ------
    ValueError
        If `trainable_layers` is negative or above the number of layers, or if it is at least 1 and the
        encoder cannot be cut there.
    """

    def __init__(
        self,
        name: str = "minilm",
        *,
        trainable_layers: TrainableLayers = 2,
        max_length: int = 64,
        cache: bool = True,
        device: str = "auto",
        precision: str = "auto",
    ) -> None:
        super().__init__()
        from nlkit.data.packaged import resolve_model

        self.name, self.trainable_layers = name, trainable_layers
        source = resolve_model(name)
        self.tokenizer, model, self.fingerprint, behaviour = _pretrained(source)
        limit = _max_tokens(model)
        if not isinstance(max_length, int | np.integer) or not 3 <= max_length <= limit:
            invalid("max_length", max_length, f"encoder {name!r} takes 3 to {limit} tokens")
        self.max_length = max_length = int(max_length)
        self.width = int(cast(Any, model).config.hidden_size)
        self._device = choose_device(device)
        self._whole: nn.Module | None = None
        self.top = nn.ModuleList()
        # Kept in a plain list so that the frozen, shared trunk is no part of state_dict() or parameters().
        self._trunk: list[nn.Module] = []
        if isinstance(trainable_layers, str) and trainable_layers == "all":
            self._whole = copy.deepcopy(model).requires_grad_(True)
            pooler = getattr(self._whole, "pooler", None)
            if pooler is not None:  # unused here, and a weight without a gradient would stall several GPUs
                pooler.requires_grad_(False)
        else:
            self._trunk = [model]
            whole = isinstance(trainable_layers, int) and not isinstance(trainable_layers, bool)
            if not whole or trainable_layers != 0:
                _check_cut(source)
                layers = _layers(model)
                if not whole or not 0 < trainable_layers <= len(layers):
                    invalid("trainable_layers", trainable_layers, f"0 to {len(layers)}, or 'all'")
                self.top = copy.deepcopy(layers[len(layers) - trainable_layers :]).requires_grad_(True)
        self._source, self._limit = source, limit
        self.precision, self.rounding = choose_precision(precision, self._device), 0.0
        if self.precision != "no" and self._trunk:
            self.rounding = _rounding(source, self.precision) if self._device.type == "cpu" else math.nan
            if precision == "auto" and self.rounding > LEAST_PRECISE:
                self.precision, self.rounding = "no", 0.0
        self._cache: ActivationCache | None = None
        if cache and self._trunk:
            key = content_hash(
                behaviour, str(trainable_layers), str(max_length), "mean" * (trainable_layers == 0),
                *([] if self.precision == "no" else [self.precision]),
            )  # fmt: skip
            try:
                self._cache = ActivationCache(key, self.width)
            except OSError as error:
                _warn_uncached(str(error))

    def tokenize(self, texts: Sequence[str]) -> Inputs:
        """Return the token numbers of N texts, cut to `max_length`."""
        if not len(texts):
            return Inputs([])
        encoded = self.tokenizer(list(texts), truncation=True, max_length=self.max_length)["input_ids"]
        cut = {
            text: hash(tuple(e)) for text, e in zip(texts, encoded, strict=True) if len(e) == self.max_length
        }
        if (alike := len(cut) - len(set(cut.values()))) > ALIKE * len(texts):
            warnings.warn(
                f"{alike} of {len(texts)} texts are as another up to max_length={self.max_length} tokens, "
                "and cannot be told apart: choose a larger max_length, or leave out how they begin",
                stacklevel=2,
            )
        return Inputs([np.asarray(ids, np.int32) for ids in encoded])

    def prepare(self, texts: Sequence[str], *, batch_size: int | None = None) -> Inputs:
        """Run the trunk, or read what it gave before.

        Returns
        -------
        Inputs
            For k > 0 activations (T_i, D), for k = 0 one pooled vector (1, D), for ``"all"`` token numbers.
        """
        if self._whole is not None:
            return self.tokenize(texts)
        keys = [content_hash(text) for text in texts]
        found = self._cache.get(keys) if self._cache else [None] * len(keys)
        missing = list({key: i for i, key in enumerate(keys) if found[i] is None}.values())
        fresh: dict[str, NDArray[np.float16]] = {}
        with progress(total=len(missing), desc=f"{self.name}: frozen layers", unit="text") as bar:
            for start in range(0, len(missing), SHARD_TEXTS):
                part = missing[start : start + SHARD_TEXTS]
                size = batch_size or texts_at_once(self._device)
                activations = self._run_trunk([texts[i] for i in part], size, bar.update)
                names = [keys[i] for i in part]
                if self._cache:
                    try:
                        self._cache.put(names, activations)
                    except OSError as error:
                        _warn_uncached(
                            f"{self._cache.root} cannot be written ({error.strerror or error}). Free some "
                            "space, or set NLKIT_CACHE to a folder that you may write"
                        )
                        self._cache = None
                fresh.update(zip(names, activations, strict=True))
        if self._cache:
            self._cache.warn_if_too_small()
        return Inputs([fresh[key] if a is None else a for key, a in zip(keys, found, strict=True)])

    @torch.inference_mode()
    def _run_trunk(
        self, texts: Sequence[str], batch_size: int, tick: Callable[[int], object]
    ) -> list[NDArray[np.float16]]:
        """Return the activations below the trainable layers; pooled where none is trainable."""
        tokens = self.tokenize(texts)
        model = self._trunk[0].to(self._device)
        below = _layers(model)[: -len(self.top)] if len(self.top) else ()
        result: list[NDArray[np.float16]] = [np.empty((0, 0), np.float16)] * len(tokens)

        def run(index: NDArray[np.int64]) -> Tensor:
            batch = tokens.batch(index).to(self._device)
            with autocast(self.precision, self._device):
                if len(self.top):
                    hidden = _apply(below, _embed(model, batch), batch.mask)
                else:
                    hidden = mean_pool(_last_states(model, batch), batch.mask).unsqueeze(1)
            return hidden.half()

        batches = sorted_batches(tokens.lengths, batch_size)
        for index, hidden in one_behind((index, run(index)) for index in batches):
            rows = hidden.numpy()
            for row, i in enumerate(index):
                result[i] = rows[row, : tokens.lengths[i] if len(self.top) else 1]
            tick(len(index))
        return result

    def forward(self, batch: Batch) -> Tensor:
        """Return the sentence embeddings, shape (B, D), of a batch made from what `prepare` gave."""
        device = batch.mask.device
        if device.type == "cpu" or not self.learns:
            return mean_pool(self._states(batch), batch.mask)
        batch, half = rounded(batch, self._limit), half_type(device)
        if half is None:
            return mean_pool(self._states(batch), batch.mask)
        # On a GPU all of it runs in half precision, on copies of the weights that are made once a step:
        # autocast turns each weight by itself and goes back to float32 in every normalisation layer, which
        # takes longer than the matrix products.
        with full_precision(device), halved(self, half):
            values = batch.values.to(half) if batch.values.is_floating_point() else batch.values
            return mean_pool(self._states(Batch(values, batch.mask)).float(), batch.mask)

    @property
    def learns(self) -> bool:
        """Whether any layer is trained."""
        return self._whole is not None or len(self.top) > 0

    @cached_property
    def _layered(self) -> bool:
        """Whether the whole model can be run layer by layer: its own way looks at the mask, and so waits."""
        try:
            _check_cut(self._source)
        except ValueError:
            return False
        return True

    def _states(self, batch: Batch) -> Tensor:
        """Return the last layer's token vectors, shape (B, T, D)."""
        if self._whole is None:
            return _apply(self.top, batch.values, batch.mask)
        if batch.mask.device.type == "cpu" or not self._layered:
            return _last_states(self._whole, batch)
        return _apply(_layers(self._whole), _embed(self._whole, batch), batch.mask)

    def embed(self, texts: Sequence[str], *, batch_size: int | None = None) -> NDArray[np.float32]:
        """Return sentence embeddings, shape (N, D), rows of length 1, of N texts; no gradient or dropout."""
        inputs = self.prepare(texts, batch_size=batch_size)
        result = np.empty((len(inputs), self.width), np.float32)
        learning = self.training
        self.eval()
        with torch.inference_mode():
            device = next(self.parameters(), torch.empty(0)).device
            for index in sorted_batches(inputs.lengths, batch_size or texts_at_once(device)):
                result[index] = self(inputs.batch(index).to(device)).cpu().numpy()
        self.train(learning)
        result /= np.maximum(np.linalg.norm(result, axis=1, keepdims=True), 1e-12)
        return result


def _warn_uncached(problem: str) -> None:
    # `problem` names no temporary file: Python shows the same words from the same place only once.
    warnings.warn(
        f"This encoder goes on without the activation cache, so it runs its frozen layers anew. {problem}.",
        stacklevel=3,
    )


def _last_states(model: nn.Module, batch: Batch) -> Tensor:
    """Run the whole model: token vectors of its last layer, shape (B, T, D)."""
    with _attention(batch.mask.device):
        output = model(input_ids=batch.values.long(), attention_mask=batch.mask.long())
    return cast(Tensor, output.last_hidden_state)


def _embed(model: nn.Module, batch: Batch) -> Tensor:
    parts = cast(Any, model)
    hidden = parts.embeddings(input_ids=batch.values.long())
    if hasattr(parts, "embeddings_project"):  # ELECTRA's embeddings may be narrower than its layers
        hidden = parts.embeddings_project(hidden)
    return cast(Tensor, hidden)


def _apply(layers: Iterable[nn.Module], hidden: Tensor, mask: Tensor) -> Tensor:
    """Run transformer layers in turn; attention to padding is switched off by an additive mask."""
    minus: Tensor | None = None
    with _attention(hidden.device):
        for layer in layers:
            if minus is None or minus.dtype != hidden.dtype:
                minus = torch.zeros(mask.shape, dtype=hidden.dtype, device=hidden.device)
                minus = minus.masked_fill(~mask, torch.finfo(hidden.dtype).min)[:, None, None, :]
            output = layer(hidden, minus)
            hidden = output[0] if isinstance(output, tuple) else output
    return hidden


def _attention(device: torch.device) -> AbstractContextManager[object]:
    """Choose the attention kernel.

    On a CPU, the fused one is slow backwards for short texts in bf16; in float32, and without gradients, both
    were about as fast (MiniLM, top two layers, 32 texts a batch). On a GPU, cuDNN's is built anew for each
    width and size of a batch, which took longer than an epoch (H200).
    """
    if device.type == "cuda":
        kernels = [SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH]
        return cast(AbstractContextManager[object], sdpa_kernel(kernels))
    if device.type == "cpu" and torch.is_grad_enabled():
        return cast(AbstractContextManager[object], sdpa_kernel(SDPBackend.MATH))
    return nullcontext()
