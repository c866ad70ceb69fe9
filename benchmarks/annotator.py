"""Measure the local LLM as annotator on Reuters R8: how often it is right, how fast.


python benchmarks/annotator.py --n 40 --seed 0
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from nlkit.annotate import prompts
from nlkit.annotate.demonstrations import nearest
from nlkit.annotators import Demonstration, LocalLLM
from nlkit.assets import resolve_model
from nlkit.data import load_dataset
from tests.reference.annotate import plain_scores


def embed(texts: list[str]) -> np.ndarray[Any, Any]:
    """Return MiniLM's mean-pooled, normalised embeddings, shape (texts, 384)."""
    import torch
    from transformers import AutoModel, AutoTokenizer

    folder = resolve_model("minilm")
    tokenizer, model = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder).eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    result = np.zeros((len(texts), model.config.hidden_size), dtype=np.float32)
    with torch.inference_mode():
        for start in range(0, len(order), 64):
            rows = order[start : start + 64]
            batch = tokenizer(
                [texts[i] for i in rows], padding=True, truncation=True, max_length=128, return_tensors="pt"
            )
            mask = batch["attention_mask"][..., None]
            mean = (model(**batch).last_hidden_state * mask).sum(1) / mask.sum(1)
            result[rows] = torch.nn.functional.normalize(mean, dim=-1).numpy()
    return result


def measure(
    n: int = 40, seed: int = 0, *, train_size: int = 2000, n_plain: int = 6, k: int = 4
) -> dict[str, Any]:
    """Return accuracies by kind of demonstration, fast against plain, and int8 against fp32."""
    ds = load_dataset("r8", train_size=train_size, seed=seed)
    names = ds["train"].features["label"].names
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(ds["test"]))[:n]
    texts = [ds["test"]["text"][int(i)] for i in chosen]
    truth = np.array([ds["test"]["label"][int(i)] for i in chosen])
    pool_texts, pool_labels = list(ds["train"]["text"]), list(ds["train"]["label"])
    embeddings = embed(texts + pool_texts)
    found = nearest(embeddings[:n], embeddings[n:], k, query_texts=texts, pool_texts=pool_texts)
    by_text = [[Demonstration(pool_texts[p], pool_labels[p]) for p in row if p >= 0] for row in found]
    fixed = [Demonstration(pool_texts[pool_labels.index(c)], c) for c in range(len(names))]

    result: dict[str, Any] = {"dataset": "r8", "n": n, "seed": seed, "train_size": train_size, "k": k}
    store = LocalLLM(store=":memory:").store
    right = result["accuracy"] = {}
    for kind, demonstrations in (("zero-shot", None), ("fixed", fixed), ("nearest", by_text)):
        # Raw answers are shared through the store, so only the first setting of a kind asks the model.
        for calibration in ("none", "batch") if kind == "nearest" else ("none", "contextual", "batch"):
            for normalise in ("sum", "mean"):
                annotator = LocalLLM(store=store, calibration=calibration, normalise=normalise)
                labels = annotator.annotate(texts, names, demonstrations)["label"].to_numpy()
                right[f"{kind}, {calibration}, {normalise}"] = float((labels == truth).mean())

    m = min(n_plain, n)
    fast = LocalLLM(store=None, calibration="none")
    fast.annotate(texts[:1], names)  # loads the model outside the measured time
    start = time.perf_counter()
    table = fast.annotate(texts[:m], names, by_text[:m])
    seconds_fast = time.perf_counter() - start
    scorer = fast._load_scorer()
    start = time.perf_counter()
    plain = plain_scores(
        scorer.model,
        scorer.tokenizer,
        table["prompt"].tolist(),
        [prompts.continuation(name) for name in names],
    )
    seconds_plain = time.perf_counter() - start
    plain_p = np.exp(plain - np.logaddexp.reduce(plain, axis=1, keepdims=True))
    fast_p = table[[f"p_{c}" for c in range(len(names))]].to_numpy()
    result["fast against plain"] = {
        "n": m,
        "seconds_fast": seconds_fast,
        "seconds_plain": seconds_plain,
        "ratio": seconds_plain / seconds_fast,
        "same_label": float((plain_p.argmax(axis=1) == table["label"].to_numpy()).mean()),
        "largest_difference": float(np.abs(plain_p - fast_p).max()),
    }

    small = LocalLLM(store=None, calibration="none", precision="int8")
    small.annotate(texts[:1], names)
    m = min(2 * n_plain, n)
    start = time.perf_counter()
    full = fast.annotate(texts[:m], names, by_text[:m])
    seconds_full = time.perf_counter() - start
    start = time.perf_counter()
    quantised = small.annotate(texts[:m], names, by_text[:m])
    result["int8 against fp32"] = {
        "n": m,
        "speed_ratio": seconds_full / (time.perf_counter() - start),
        "same_label": float((full["label"] == quantised["label"]).mean()),
        "accuracy_fp32": float((full["label"].to_numpy() == truth[:m]).mean()),
        "accuracy_int8": float((quantised["label"].to_numpy() == truth[:m]).mean()),
    }
    return result


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--n", type=int, default=40, help="test texts")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(json.dumps(measure(arguments.n, arguments.seed), indent=2))
