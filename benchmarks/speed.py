"""Ratios of speed, each of two ways measured in one run, with the check that both give the same.

Absolute times are orientation; what else the machine was doing changes them, and the ratios much less.
Fits alone and beside busy processes are `busy.py`'s.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch

import nlkit as nk
from benchmarks import annotator
from benchmarks.tables import markdown
from nlkit.models.batching import Batch, bucketed_batches, padding_share
from nlkit.models.device import choose_device
from nlkit.models.encoder import TextEncoder


def frozen_against_full(train_size: int, epochs: int, test_size: int | None) -> dict[str, Any]:
    """Train CE on clean R8 labels with the profile's frozen trunk, and with all layers."""
    ds = nk.load_dataset("r8", train_size=train_size, test_size=test_size, seed=0)
    ds = nk.add_noise(ds, kind="symmetric", rate=0.0, seed=0)
    result: dict[str, Any] = {}
    # Pre-trained layers move less per step when all of them do.
    for name, settings in (("frozen", {}), ("full", {"trainable_layers": "all", "lr_encoder": 5e-5})):
        clf = nk.Baseline(loss="ce", profile="class", epochs=epochs, **settings).fit(ds)
        result[f"{name}_epoch_s"] = float(clf.history_["seconds"].median())
        result[f"{name}_accuracy"] = clf.evaluate(ds["test"])["accuracy"]
    result["ratio"] = result["full_epoch_s"] / result["frozen_epoch_s"]
    return result


def padded(batch: Batch, width: int) -> Batch:
    """Return a batch whose texts have `width` tokens, padding included."""
    more = (0, width - batch.mask.shape[1])
    return Batch(*(torch.nn.functional.pad(part, more) for part in (batch.values, batch.mask)))


def bucketed_against_padded(n: int, max_length: int, batch_size: int = 32) -> dict[str, Any]:
    """Run all layers forward and backward over R8 in bucketed batches, and padded to the maximum."""
    ds = nk.load_dataset("r8", train_size=n, seed=0)
    encoder = TextEncoder("minilm", trainable_layers="all", max_length=max_length).to(choose_device())
    inputs = encoder.prepare(ds["train"]["text"])
    batches = bucketed_batches(inputs.lengths, batch_size, np.random.default_rng(0))
    device = next(encoder.parameters()).device

    def run(width: int | None) -> None:
        for index in batches:
            batch = inputs.batch(index) if width is None else padded(inputs.batch(index), width)
            encoder(batch.to(device)).square().mean().backward()
            encoder.zero_grad(set_to_none=True)

    bucketed_s, _ = annotator.timed(lambda: run(None))
    padded_s, _ = annotator.timed(lambda: run(max_length))
    encoder.eval()
    batch = inputs.batch(np.arange(min(16, len(inputs))))
    with torch.inference_mode():
        same = torch.allclose(
            encoder(batch.to(device)), encoder(padded(batch, max_length).to(device)), atol=1e-4
        )
    mean_length = float(inputs.lengths.mean())
    return {
        "texts": n, "max_length": max_length, "mean_length": mean_length,
        "padding_share_bucketed": padding_share(inputs.lengths, batches),
        "padding_share_padded": 1 - mean_length / max_length,
        "bucketed_s": bucketed_s, "padded_s": padded_s, "ratio": padded_s / bucketed_s, "same_answers": same,
    }  # fmt: skip


def measure(*, smoke: bool = False) -> dict[str, Any]:
    """Measure everything; `smoke` uses little data."""
    print("frozen trunk against all layers …", flush=True)
    frozen = frozen_against_full(*((200, 1, 100) if smoke else (1000, 3, None)))
    print("bucketed against padded batches …", flush=True)
    buckets = bucketed_against_padded(*((64, 128) if smoke else (256, 256)))
    print("the local LLM, fast way against plain way …", flush=True)
    llm = annotator.measure(**({"n": 4, "train_size": 200, "n_plain": 2} if smoke else {"n": 24}))
    return {"frozen_trunk": frozen, "bucketing": buckets, "annotator": llm}


def summarise(result: dict[str, Any]) -> str:
    """Return the ratios, and the annotator's accuracies, as Markdown."""
    f, b = result["frozen_trunk"], result["bucketing"]
    rows = [
        [
            "an epoch, frozen trunk (class) against all layers", f"{f['ratio']:.1f}",
            f"accuracy {f['frozen_accuracy']:.3f} against {f['full_accuracy']:.3f}; "
            f"{f['frozen_epoch_s']:.0f} s against {f['full_epoch_s']:.0f} s",
        ],
        [
            f"bucketed batches against padded to {b['max_length']} tokens", f"{b['ratio']:.1f}",
            f"padding {b['padding_share_bucketed']:.0%} against {b['padding_share_padded']:.0%}; "
            f"same answers: {b['same_answers']}",
        ],
        *annotator.ratios(result["annotator"]),
    ]  # fmt: skip
    return "\n\n".join([markdown(annotator.RATIOS, rows), annotator.accuracies(result["annotator"])])
