"""NoiseAL on one page: two models find the noisy labels, a language model rectifies some, both learn again.

The whole method, to be read; `nlkit.NoiseAL` is the one to use, and tests hold it against this page. After
the published description (arXiv 2504.02901); README.md beside it has the equations. Sizes: N samples, B in a
batch, C classes, D embedding, H hidden, T words. ``python -m nlkit.methods.noiseal.plain`` runs it on R8.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

IGNORED, CLEAN, PURIFIED, HARD = range(4)  # what a sample learns by: nothing, CE, reversed CE, EmbMix
Array = Any  # of NumPy


class BiLSTM(nn.Module):
    """Word numbers (B, 2, T), forwards and backwards, to each unit's largest state over the text (B, 2H)."""

    def __init__(self, n_words: int, width: int = 100, H: int = 64) -> None:
        super().__init__()
        self.words, self.dropout = nn.Embedding(n_words, width, padding_idx=0), nn.Dropout(0.2)
        self.lstms = nn.ModuleList(nn.LSTM(width, H, batch_first=True) for _ in range(2))

    def forward(self, numbers: Tensor) -> Tensor:
        """Return sentence embeddings."""
        words = self.dropout(self.words(numbers))  # (B, 2, T) -> (B, 2, T, width)
        states = torch.cat([lstm(words[:, d])[0] for d, lstm in enumerate(self.lstms)], -1)  # (B, T, 2H)
        return states.masked_fill((numbers[:, 0] == 0).unsqueeze(-1), -torch.inf).amax(1)


def number_words(texts: list[str], T: int = 64) -> Tensor:
    """Return word numbers (N, 2, T), forwards and backwards: 0 is padding, 1 a word that occurs once."""
    split = [text.lower().split()[:T] or [""] for text in texts]
    counts = Counter(word for words in split for word in words)
    number = {word: i for i, (word, n) in enumerate(counts.most_common(), start=2) if n > 1}
    known = [[number.get(word, 1) for word in words] for words in split]
    return torch.tensor([[(row + [0] * T)[:T], (row[::-1] + [0] * T)[:T]] for row in known])


def cross_entropy(logits: Tensor, q: Tensor) -> Tensor:
    """−Σ_c q_c log p_c: (B, C), (B, C) -> (B,)."""
    return -(q * logits.log_softmax(-1)).sum(-1)


def reverse_cross_entropy(logits: Tensor, q: Tensor, log_zero: float) -> Tensor:
    """−Σ_c p_c log q_c with log 0 := A, so −A (1 − p_q) for a one-hot q: (B, C), (B, C) -> (B,)."""
    return -(logits.softmax(-1) * q.log().clamp(min=log_zero)).sum(-1)


def embmix(h: Tensor, q: Tensor, partner: Array, lam: Array) -> tuple[Tensor, Tensor]:
    """λ h_i + (1 − λ) h_j (B, D) and λ q_i + (1 − λ) q_j (B, C), with λ ← max(λ, 1 − λ) (B, 1)."""
    lam = torch.from_numpy(np.maximum(lam, 1 - lam)).to(h)
    return lam * h + (1 - lam) * h[partner], lam * q + (1 - lam) * q[partner]


def batch_losses(
    model: Any, x: Tensor, kind: Array, q: Tensor, partner: Array, lam: Array, log_zero: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return L_R, L_P, L_H of a batch: each a sum over its own samples, divided by the batch size B."""
    embed, head = model
    h, B = embed(x), len(x)  # (B, D)
    logits, (mixed, soft) = head(h), embmix(h, q, partner, lam)
    l_r = cross_entropy(logits, q)[kind == CLEAN].sum() / B
    l_p = reverse_cross_entropy(logits, q, log_zero)[kind == PURIFIED].sum() / B
    l_h = cross_entropy(head(mixed), soft)[kind == HARD].sum() / B
    return l_r, l_p, l_h


def partition(
    p_s: Array, p_w: Array, label: Array, tau_s: Array, tau_w: Array, margin: float, cap: float
) -> tuple[Array, Array]:
    """Return set and reason of each sample: (N, C), (N, C), (N,), (N,), (N,) -> (N,), (N,)."""
    rows = []
    for ps, pw, y, ts, tw in zip(p_s, p_w, label, tau_s, tau_w, strict=True):
        a_s, a_w = y >= 0 and ps[y] > ts, y >= 0 and pw[y] > tw  # a missing label (−1) is never trusted
        if a_s and a_w:
            rows.append(("R", "both_trust"))
        elif a_s or a_w:
            rows.append(("H", "strong_only" if a_s else "weak_only"))
        else:
            confident = max((ps + pw) / 2) > min((ts + tw) / 2 + margin, cap)
            rows.append(("P", "confident_other") if confident else ("H", "nobody_sure"))
    return np.array(rows)[:, 0], np.array(rows)[:, 1]


def update_thresholds(tau: Array, p: Array, momentum: float) -> Array:
    """τ ← m τ + (1 − m) max_c p_c: (N,), (N, C) -> (N,)."""
    return momentum * tau + (1 - momentum) * p.max(1)


def acquisition_order(p_mean: Array, label: Array, candidates: Array) -> Array:
    """Return the candidates by confident disagreement, max_c p̄_c − p̄_ỹ, the largest first."""
    score = [max(p_mean[i]) - (p_mean[i, label[i]] if label[i] >= 0 else 0) for i in candidates]
    return candidates[np.argsort(-np.array(score), kind="stable")]


def most_trusted(among: Array, label: Array, trust: Array, n: int) -> list[int]:
    """Return those of some samples that are trusted most: n in each class, by position."""
    classes = [[i for i in among if label[i] == c] for c in range(max(label) + 1)]
    return sorted(i for mine in classes for i in sorted(mine, key=lambda i: -trust[i])[:n])


def nearest(i: int, pool: list[int], vectors: Tensor, texts: list[str], k: int) -> list[int]:
    """Return the k members of the pool nearest (cosine) to text i, the nearest last; never its own text."""
    h = nn.functional.normalize(vectors.double())  # (N, D), rows of length 1
    others = [j for j in pool if texts[j].split() != texts[i].split()]
    return sorted(others, key=lambda j: -round(float(h[i] @ h[j]), 12))[:k][::-1]


def sharpen(p: Array, temperature: float) -> Array:
    """p_c^(1/T) / Σ_c p_c^(1/T), more decided for T < 1."""
    return p ** (1 / temperature) / (p ** (1 / temperature)).sum(-1, keepdims=True)


def targets(sets: Array, answer: Array, label: Array, p_mean: Array, temperature: float) -> Any:
    """Return what each sample learns by (N,), and its target (N, C)."""
    kind, q, one_hot = np.full(len(sets), HARD), sharpen(p_mean, temperature), np.eye(p_mean.shape[1])
    for i in range(len(sets)):
        if answer[i] >= 0:  # kept for good, whatever set the sample falls in later
            kind[i], q[i] = PURIFIED, one_hot[answer[i]]
        elif sets[i] == "R":
            kind[i], q[i] = CLEAN, one_hot[label[i]]
    return kind, torch.from_numpy(q).float()


@torch.no_grad()
def predict(model: Any, x: Tensor) -> Array:
    """Return class probabilities (N, C)."""
    return model.eval()(x).softmax(-1).double().numpy()


def noiseal(
    texts: list[str], vectors: Tensor, label: Array, names: list[str],
    annotate: Callable[[list[str], list[str], list[list[tuple[str, int]]]], Array] | None = None, /, *,
    seed: int = 0, epochs: int = 10, warmup: int = 3, momentum: float = 0.7, margin: float = 0.1,
    cap: float = 0.99, budget: int = 150, rounds: int = 3, k: int = 4, per_class: int = 50,
    temperature: float = 0.5, alpha: float = 4.0, log_zero: float = -4.0, batch_size: int = 64,
) -> tuple[nn.Module, Array, Array, Array]:  # fmt: skip
    """Return the strong model, and of each sample its set, answer (−1: none) and whether it was queried."""
    (N, D), C, rng, _ = vectors.shape, len(names), np.random.default_rng(seed), torch.manual_seed(seed)
    x_s, x_w = vectors, number_words(texts)  # (N, D), (N, 2, T)
    hidden = nn.Sequential(nn.Dropout(0.1), nn.Linear(D, D), nn.GELU())  # on vectors of a frozen encoder
    strong = nn.Sequential(nn.Identity(), nn.Sequential(hidden, nn.Dropout(0.1), nn.Linear(D, C)))
    weak = nn.Sequential(BiLSTM(int(x_w.max()) + 1), nn.Sequential(nn.Dropout(0.2), nn.Linear(128, C)))
    adamw_s, adamw_w = (torch.optim.AdamW(m.parameters(), lr) for m, lr in ((strong, 3e-3), (weak, 1e-2)))
    (tau_s, tau_w), answer, queried = np.full((2, N), 1 / C), np.full(N, -1), np.zeros(N, bool)
    kind, q = np.where(label >= 0, CLEAN, IGNORED), torch.eye(C)[label]  # warm-up: CE on observed labels
    for epoch in range(1, epochs + 1):
        # Train an epoch, both models on the same batches.
        torch.manual_seed(rng.integers(2**32))  # of dropout, whatever the annotator drew in between
        for i in np.array_split(rng.permutation(N), -(-N // batch_size)):
            for model, x, adamw in ((strong, x_s, adamw_s), (weak, x_w, adamw_w)):
                partner, lam = rng.integers(len(i), size=len(i)), rng.beta(alpha, alpha, (len(i), 1))
                l_r, l_p, l_h = batch_losses(model.train(), x[i], kind[i], q[i], partner, lam, log_zero)
                adamw.zero_grad()
                torch.autograd.backward(l_r + l_p + l_h)
                nn.utils.clip_grad_norm_(model.parameters(), 1.0)
                adamw.step()
        # Predict; partition by the thresholds as they are, and only then move them.
        p_s, p_w = predict(strong, x_s), predict(weak, x_w)
        sets, _ = partition(p_s, p_w, label, tau_s, tau_w, margin, cap)
        p_mean, trust = (p_s + p_w) / 2, (p_s + p_w)[np.arange(N), label] / 2
        kept = most_trusted(np.arange(N), label, trust, 5)
        sets[kept] = "R"  # no class is lost
        tau_s, tau_w = update_thresholds(tau_s, p_s, momentum), update_thresholds(tau_w, p_w, momentum)
        if epoch < warmup:
            continue
        # Query the annotator about P, each sample once; after the last epoch nothing is learnt from answers.
        candidates = np.flatnonzero((sets == "P") & ~queried)
        n = min(-(-budget // min(rounds, epochs - warmup or 1)), budget - queried.sum())
        chosen = acquisition_order(p_mean, label, candidates)[:n]
        if annotate and epoch < epochs and len(chosen):
            clean = np.flatnonzero((sets == "R") & ((answer == -1) | (answer == label)))
            pool = most_trusted(clean, label, trust, per_class)
            shown = [[(texts[j], int(label[j])) for j in nearest(i, pool, vectors, texts, k)] for i in chosen]
            answer[chosen], queried[chosen] = annotate([texts[i] for i in chosen], names, shown), True
        kind, q = targets(sets, answer, label, p_mean, temperature)  # what the next epoch learns
    return strong, sets, answer, queried


if __name__ == "__main__":
    import nlkit as nk

    ds = nk.add_noise(nk.load_dataset("r8", train_size=800, test_size=500), kind="symmetric", rate=0.4)
    train, test = (ds[split].with_format("numpy")[:] for split in ("train", "test"))
    names, encode = ds["train"].features["label"].names, nk.TextEncoder("minilm", trainable_layers=0).prepare
    x, x_test = (torch.tensor(np.vstack(encode(part["text"].tolist()))).float() for part in (train, test))
    ask = nk.annotators.LocalLLM("smollm2").annotate
    given = train["text"].tolist(), x, train["noisy_label"], names, lambda *q: ask(*q)["label"]
    for name, settings in {"CE": {"warmup": 10}, "NoiseAL": {"budget": 12}}.items():
        strong, sets, answer, queried = noiseal(*given, **settings)
        print(f"{name}: {np.mean(predict(strong, x_test).argmax(1) == test['label']):.1%} test accuracy")
    right = (train["noisy_label"] == train["label"])[sets == "R"].mean()
    print(dict(Counter(sets.tolist())), f"{right:.1%} of the labels in R are right")
    print(f"{np.sum((answer == train['label'])[queried])} of {queried.sum()} answers of SmolLM2 are right")
