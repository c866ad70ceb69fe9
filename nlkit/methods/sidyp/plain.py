"""SiDyP on one page: labels that may be wrong, refined by simplex diffusion with a dynamic prior.

The core of the method, to be read from its last function; `nlkit.SiDyP` adds `nlkit.methods.sidyp.evidence`,
and its parts are tested against this page. After arXiv 2505.19675; README.md beside it has the equations.
Sizes: M branches, E epochs, N texts, B in a batch, D embedding, P condition, C classes; no label: −1.
"""

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from sklearn.neighbors import NearestNeighbors
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


def first_stage(x: Tensor, label: Tensor, C: int, M: int = 3, E: int = 10, alpha: float = 5.0) -> Any:
    """Train M branches on the labels; return embeddings and probabilities of all texts after each epoch."""
    D, labelled, z, p = x.shape[1], (label >= 0).nonzero()[:, 0], [], []
    branches = [nn.Sequential(nn.Linear(D, D), nn.GELU(), nn.Linear(D, C)) for _ in range(M)]
    optimizer = torch.optim.AdamW(nn.ModuleList(branches).parameters(), 3e-3)
    for weight in [0.0, *[alpha] * (E - 1)]:  # α is 0 in the first epoch
        for batch in torch.split(labelled[torch.randperm(len(labelled))], 64):
            logits = torch.stack([branch(x[batch]) for branch in branches])  # (M, B, C)
            loss = F.cross_entropy(logits.flatten(0, 1), label[batch].repeat(M))
            loss = loss + weight * co_regularisation(logits)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
        z.append(torch.stack([branch[:2](x) for branch in branches]).detach())
        p.append(torch.stack([branch(x).softmax(-1) for branch in branches]).detach())
    return torch.stack(z, 1), torch.stack(p, 1)


def co_regularisation(logits: Tensor) -> Tensor:
    """Return (1/M) Σ_m KL(p̄ ‖ p_m), the mean over a batch, of logits (M, B, C)."""
    log_p = logits.log_softmax(-1)
    return F.kl_div(log_p, log_p.exp().mean(0).expand_as(log_p), reduction="none").sum(-1).mean()


def margin_score(p: Tensor, label: Tensor) -> Tensor:
    """Return max_{c ≠ ỹ} p_c − p_ỹ of the mean over branches and epochs, (N,); NaN without a label."""
    mean, own = p.double().mean((0, 1)), F.one_hot(label.clamp(min=0), p.shape[-1]).bool()  # (N, C)
    return (mean.masked_fill(own, -torch.inf).amax(-1) - mean[own]).where(label >= 0, torch.nan)


def distance_score(z: Tensor, label: Tensor, C: int) -> Tensor:
    """Return the distance to the label's centroid less that to the nearest other, mean over M and E, (N,)."""
    own, score = F.one_hot(label.clamp(min=0), C).bool(), []
    for at in F.normalize(z.double(), dim=-1).flatten(0, 1):  # one branch after one epoch, (N, D)
        far = torch.stack([(at - at[label == c].mean(0)).norm(dim=-1) for c in range(C)], -1)  # (N, C)
        score.append(far[own] - far.masked_fill(own | far.isnan(), torch.inf).amin(-1))
    return torch.stack(score).mean(0).where(label >= 0, torch.nan)


def detect(score: Tensor, noise_rate: float | None = None) -> Tensor:
    """Return who is suspect, (N,): a share `noise_rate`, those of the highest scores; None: all above 0."""
    count = (score > 0).sum() if noise_rate is None else round(noise_rate * int((~score.isnan()).sum()))
    order = score.nan_to_num(-torch.inf).argsort(descending=True, stable=True)
    return order.argsort() < count


def neighbour_prior(x: Tensor, y: Tensor, C: int, K: int = 10, gamma: float = 0.9, delta: float = 0.8) -> Any:
    """Return the candidates that the K nearest trusted labels y (else −1) leave, (N, C), rows sum to 1."""
    trusted, prior = (y >= 0).nonzero()[:, 0], torch.zeros(len(x), C).double()
    far, near = NearestNeighbors(n_neighbors=min(K + 1, len(trusted))).fit(x[trusted]).kneighbors(x)
    for i in range(len(x)):
        others = [(d, j) for d, j in zip(far[i], trusted[near[i]], strict=True) if j != i][:K]
        for d, j in others or [(1.0, i)]:  # the only trusted text has its own label
            prior[i, y[j]] += 1 / max(d, 1e-6)
        u, order = (prior[i] / prior[i].sum()).sort(descending=True, stable=True)
        kept = 1 if u[0] >= gamma else 2 if u[:2].sum() >= delta else C  # certain, dominant, uncertain
        prior[i, order[kept:]] = 0.0
    return prior / prior.sum(-1, keepdim=True)


def alpha_bar(T: int) -> Tensor:
    """Return ᾱ_0 = 1 … ᾱ_T ≈ 0 of the cosine schedule, β at most 0.999: (T + 1,)."""
    f = ((torch.arange(T + 1).double() / T + 0.008) / 1.008 * torch.pi / 2).cos() ** 2
    return torch.cat([f.new_ones(1), (f[1:] / f[:-1]).clamp(min=0.001).cumprod(0)]).float()


def to_simplex(label: Tensor, C: int, k: float = 5.0) -> Tensor:
    """Return s_0 = k (2 onehot(label) − 1), (…, C); zeros where there is no label."""
    return k * (2.0 * F.one_hot(label.clamp(min=0), C) - 1.0) * (label >= 0)[..., None]


def q_sample(s_0: Tensor, a: Tensor, noise: Tensor, k: float = 5.0) -> Tensor:
    """Return s_t = √ᾱ_t s_0 + √(1 − ᾱ_t) k ε, (…, C), by ᾱ_t (…)."""
    return a.sqrt()[..., None] * s_0 + (1 - a).sqrt()[..., None] * k * noise


class Denoiser(nn.Module):
    """Class logits (B, C) from s_t (B, C), ᾱ_t (B,), observed labels (B,) and conditions (B, P)."""

    def __init__(self, C: int, P: int, H: int = 128) -> None:
        super().__init__()
        self.inputs = nn.ModuleList(nn.Linear(width, H) for width in (C, 8, 8, C, P))
        self.out = nn.Sequential(nn.LayerNorm(H), nn.Linear(H, H), nn.GELU(), nn.Linear(H, C))

    def forward(self, s_t: Tensor, a: Tensor, observed: Tensor, condition: Tensor) -> Any:
        """Add up what is known; time is ᾱ_t itself, as T steps train and T' sample."""
        angle = a[:, None] * 2.0 ** torch.arange(8) * torch.pi / 2
        parts = s_t / 5.0, angle.sin(), angle.cos(), to_simplex(observed, s_t.shape[-1], 1.0), condition
        return self.out(sum(linear(part) for linear, part in zip(self.inputs, parts, strict=True)))


@torch.no_grad()
def p_sample_loop(denoise: Any, observed: Tensor, condition: Tensor, noise: Tensor, k: float = 5.0) -> Tensor:
    """Return the last class probabilities (B, C) of the chain that starts from noise (T' + 1, B, C)."""
    s_t, a = k * noise[0], alpha_bar(len(noise) - 1)
    for t in range(len(noise) - 1, 0, -1):
        logits = denoise(s_t, a[t].expand(len(s_t)), observed, condition)
        s_t = q_sample(to_simplex(logits.argmax(-1), s_t.shape[-1], k), a[t - 1], noise[-t], k)
    return F.softmax(logits, -1)


def encode_condition(z: Tensor, x: Tensor) -> Tensor:
    """Return mean and drift of the trajectories (M, E, N, D) and text embedding (N, D): (M, N, 3 D)."""
    z, x = F.normalize(z, dim=-1), F.normalize(x, dim=-1)
    return torch.stack([torch.cat([b.mean(0), b[-1] - b[0], x], -1) for b in z]).mul(x.shape[-1] ** 0.5)


def sample_labels(w: Tensor, uniform: Tensor) -> Tensor:
    """Return for each prior (…, C) the first class at which its running sum passes the drawn share."""
    return torch.searchsorted(w.cumsum(-1), uniform[..., None] * w.sum(-1, keepdim=True), right=True)[..., 0]


def update_prior(w: Tensor, answer: Tensor, J: int) -> Tensor:
    """Move priors (B, C) towards one of J answers (B,): w_c ← w_c + (1 − w_c) / J, if c is a candidate."""
    raised = w + F.one_hot(answer, w.shape[-1]) * (w > 0) * (1 - w) / J
    return raised / raised.sum(-1, keepdim=True)


def refine(condition: Tensor, label: Tensor, prior: Tensor, T: int = 500, J: int = 6) -> Any:
    """Return M denoisers that learn from a prior (N, C) which their own answers move; averaged weights."""
    (M, _, P), C, a, certain = condition.shape, prior.shape[1], alpha_bar(T), (prior == 1).any(-1)
    sure, rest = (((label >= 0) & which).nonzero()[:, 0] for which in (certain, ~certain))
    nets = nn.ModuleList(Denoiser(C, P) for _ in range(M))
    average: Any = AveragedModel(nets, avg_fn=lambda old, new, _: old.lerp(new, 0.1)).eval()
    optimizer = torch.optim.AdamW(nets.parameters(), 3e-3)
    for epoch in range(20):
        warm, moved = epoch < 4, torch.stack([prior] * M)  # (M, N, C)
        for m, d in enumerate(average.module):
            for _ in range(0 if warm else J):  # chains of T' = 10 steps
                p = p_sample_loop(d, label[rest], condition[m, rest], torch.randn(11, len(rest), C))
                moved[m, rest] = update_prior(moved[m, rest], p.argmax(-1), J)
        rows = sure if warm and len(sure) else torch.cat([sure, rest])
        for batch in torch.split(rows[torch.randperm(len(rows))], 128):
            t = torch.randint(1, T + 1, batch.shape)  # what is drawn is the same in all branches
            target = sample_labels(moved[:, batch], torch.rand(batch.shape))  # (M, B)
            s_t = q_sample(to_simplex(target, C), a[t], torch.randn(*batch.shape, C))  # (M, B, C)
            each = zip(nets, s_t, condition[:, batch], strict=True)
            logits = torch.stack([denoise(s, a[t], label[batch], known) for denoise, s, known in each])
            loss = F.cross_entropy(logits.flatten(0, 1), target.flatten())
            loss = loss + (not warm) * co_regularisation(logits)
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
            average.update_parameters(nets)
    return average.module


def posterior(denoisers: Any, condition: Tensor, p_clf: Tensor, chains: int = 8) -> Tensor:
    """Return P(y | x) = (1/M) Σ_m Σ_ỹ P_diff,m(y | ỹ, x) P_clf,m(ỹ | x), (N, C); condition (M, N, P)."""
    M, N, C = p_clf.shape
    total, noise = torch.zeros(N, C), torch.randn(chains, 2, 1, C)  # T' = 1, the same noise for all texts
    for m, d in enumerate(denoisers):
        for c in range(C):
            for e in noise.expand(-1, -1, N, -1):
                total += p_sample_loop(d, torch.full((N,), c), condition[m], e) * p_clf[m, :, c, None]
    return total / (M * chains)


def sidyp(x: Tensor, label: Tensor, C: int, noise_rate: float | None = None) -> tuple[Tensor, Tensor]:
    """Return P(y | x, ỹ), or P(y | x) where a text has no label, (N, C); and who was suspect (N,)."""
    z, p = first_stage(x, label, C)  # trajectories (M, E, N, D), class probabilities (M, E, N, C)
    early = p[:, : (p.shape[1] + 1) // 2]  # before wrong labels are memorised
    suspect = detect(margin_score(early, label), noise_rate) | detect(distance_score(z, label, C), noise_rate)
    prior = neighbour_prior(F.normalize(x), label.masked_fill(suspect, -1), C)
    condition = encode_condition(z, x)  # (M, N, P)
    denoisers = refine(condition, label, prior)
    p_label = F.one_hot(label.clamp(min=0), C).where(label[:, None] >= 0, p[:, -1])  # (M, N, C)
    return posterior(denoisers, condition, p_label), suspect


if __name__ == "__main__":
    import nlkit as nk

    ds = nk.add_noise(nk.load_dataset("r8", train_size=600, test_size=400), "symmetric", rate=0.4, seed=0)
    (train, test), encode = (ds["train"], ds["test"]), nk.TextEncoder(trainable_layers=0).prepare
    x = torch.cat([torch.from_numpy(row) for row in encode([*train["text"], *test["text"]])]).float()
    noisy, truth, N = torch.tensor(train["noisy_label"][:]), torch.tensor(train["label"][:]), len(train)
    torch.manual_seed(0)
    p, suspect = sidyp(x, F.pad(noisy, (0, len(test)), value=-1), C=8)
    ce = nk.Baseline(loss="ce", profile="quick", epochs=30).fit(ds).evaluate(test)
    for name, found in ("CE", ce), ("SiDyP", nk.evaluate_probabilities(p[N:], test["label"][:])):
        print(f"{name:5}  test accuracy {found['accuracy']:.3f}, ECE {found['ece']:.3f}")
    before, after, rate = (v.float().mean() for v in (noisy == truth, p[:N].argmax(1) == truth, suspect[:N]))
    print(f"noise rate {rate:.3f}, true {1 - before:.3f}; labels right {before:.3f}, refined {after:.3f}")
