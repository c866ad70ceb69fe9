"""SiDyP's second stage: a denoiser learns from a prior over labels, and its answers move that prior.

After the published description (arXiv 2505.19675). In each epoch every text whose prior is not certain is
answered J times by the reverse chain; an answer among its candidates gains weight
(`nlkit.methods.sidyp.prior.update_prior`). Then a label is drawn from the prior for every text, noised to a
random level, and the denoiser learns to find it again, from the observed label and from what is known of the
text.

Everything runs over all samples and branches at once; `nlkit.methods.sidyp.plain` says the same one branch at
a time.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nlkit._util import progress
from nlkit.methods.sidyp.config import SiDyPConfig
from nlkit.methods.sidyp.diffusion import Denoiser, alpha_bar, q_sample, to_simplex
from nlkit.methods.sidyp.posterior import answer_probabilities, new_denoiser
from nlkit.methods.sidyp.prior import Prior, update_prior
from nlkit.models.device import one_thread
from nlkit.training import losses
from nlkit.training.ema import WeightAverage
from nlkit.training.trainer import Interrupted, copied_weights

__all__ = ["Refinement", "move_prior", "sample_labels"]


def sample_labels(weight: Tensor, uniform: Tensor) -> Tensor:
    """Draw a label from each distribution by inverting its cumulative sum.

    Parameters
    ----------
    weight : Tensor, shape (M, B, C)
        Rows sum to 1.
    uniform : Tensor, shape (B,)
        In [0, 1). One a sample: branches with the same prior draw the same label, so that
        co-regularisation compares answers to the same question.

    Returns
    -------
    Tensor of int64, shape (M, B)
        Never a class of weight 0.
    """
    # Against the actual total, which rounding may leave below the drawn number.
    reached = weight.cumsum(-1)
    return (reached > uniform[:, None] * reached[..., -1:]).int().argmax(-1)


def move_prior(weight: Tensor, answer: Tensor, rounds: int) -> Tensor:
    """Do what `nlkit.methods.sidyp.prior.update_prior` does, on the device that the prior is on.

    Parameters
    ----------
    weight : Tensor of float64, shape (…, C)
        Rows sum to 1.
    answer : Tensor of int64, shape (…)
        The predicted class of each row.
    rounds : int
        J.

    Returns
    -------
    Tensor, shape (…, C)
        Rows sum to 1.
    """
    if weight.device.type == "cpu":  # which adds up in another order: figures of a seed would move
        return torch.from_numpy(update_prior(weight.numpy(), answer.numpy(), rounds))
    return _move_prior(weight, answer, rounds)


def _move_prior(weight: Tensor, answer: Tensor, rounds: int) -> Tensor:
    place = answer.unsqueeze(-1)
    own = weight.gather(-1, place)
    moved = weight.scatter(-1, place, torch.where(own > 0, own + (1 - own) / rounds, own))
    return moved / moved.sum(-1, keepdim=True)


class Refinement:
    """Train the denoisers of M branches on N texts.

    Parameters
    ----------
    condition : Tensor, shape (M, N, P)
        From `nlkit.methods.sidyp.posterior.conditions`.
    noisy_label : array of int, shape (N,)
        Observed labels; −1 is missing.
    prior : Prior
        Candidates for the true labels of the N texts.
    config : SiDyPConfig
        All settings.
    device : torch.device
        Where it runs.
    validation : tuple of Tensor (M, V, P), array (V,) and array (V,), optional
        Condition, observed labels and prior's likeliest labels of validation texts: how often the reverse
        chain agrees with the latter is written into the history.

    Attributes
    ----------
    denoiser : Denoiser
        Holds the averaged weights once `fit` has returned.
    weight : ndarray, shape (M, N, C)
        The prior as the answers have moved it; rows sum to 1.
    rows : list of dict
        One row an epoch.
    best_epoch, best_weights
        Of the highest agreement on validation texts, if there are any.
    """

    def __init__(
        self, condition: Tensor, noisy_label: NDArray[np.int64], prior: Prior, config: SiDyPConfig,
        device: torch.device, validation: tuple[Tensor, NDArray[np.int64], NDArray[np.int64]] | None = None,
    ) -> None:  # fmt: skip
        M, N, P = condition.shape
        self.config, self.device, self.validation = config, device, validation
        self.condition = condition.to(device)
        self.observed = torch.from_numpy(noisy_label).to(device)
        self.certain = prior.case == "certain"
        self._open = torch.from_numpy(np.flatnonzero(~self.certain)).to(device)
        self._neighbours = torch.from_numpy(np.repeat(prior.weight[None], M, axis=0)).to(device)
        self._weight = self._neighbours.clone()
        with torch.random.fork_rng():
            torch.manual_seed(config.seed + 2)
            self.denoiser = new_denoiser(M, prior.weight.shape[1], P, config).to(device)
        steps = math.ceil(N / config.diffusion_batch_size)
        self.average = WeightAverage(self.denoiser, max(1.0, config.ema_epochs * steps))
        self.optimizer = torch.optim.AdamW(
            self.denoiser.parameters(), lr=config.lr_diffusion, weight_decay=config.weight_decay,
            fused=device.type == "cuda" or None,
        )  # fmt: skip
        self.levels = alpha_bar(config.diffusion_steps).to(device)
        self.rows: list[dict[str, float]] = []
        self.best_epoch, self.best_agreement = 0, -1.0
        self.best_weights: dict[str, Tensor] = {}

    @property
    def weight(self) -> NDArray[np.float64]:
        """The prior as the answers have moved it."""
        found: NDArray[np.float64] = self._weight.cpu().numpy()
        return found

    @one_thread()
    def fit(self, evaluate: Callable[[Denoiser, dict[str, float]], None] | None = None) -> Refinement:
        """Run all epochs; `evaluate` gets the averaged denoiser and the history's row after each.

        On an interruption the denoiser keeps the average of what it has learnt, if a whole epoch is there.
        """
        c = self.config
        warm = math.ceil(c.diffusion_warmup * c.diffusion_epochs)
        with progress(total=c.diffusion_epochs, desc="SiDyP, diffusion", unit="epoch") as bar:
            try:
                for epoch in range(c.diffusion_epochs):
                    with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                        row = self._epoch(epoch, epoch < warm)
                    with self.average.used():
                        self.denoiser.eval()
                        self._agree(row)
                        if evaluate is not None:
                            evaluate(self.denoiser, row)
                    self.rows.append(row)
                    bar.set_postfix(loss=f"{row['loss']:.3f}")
                    bar.update()
            except KeyboardInterrupt as stop:
                raise Interrupted(
                    f"SiDyP's diffusion was interrupted in epoch {len(self.rows) + 1} of "
                    f"{c.diffusion_epochs}; its first stage and what the diffusion learnt up to here are kept"
                ) from stop
            finally:
                self.average.keep()
                self.denoiser.eval()
        return self

    def _epoch(self, epoch: int, warm: bool) -> dict[str, float]:
        c, started = self.config, time.perf_counter()
        rng = np.random.default_rng([c.seed, epoch, 3])
        torch.manual_seed(int(rng.integers(2**62)))  # dropout
        generator = torch.Generator(self.device).manual_seed(int(rng.integers(2**62)))
        if not warm and c.dynamic_prior:
            with self.average.used():
                self._move_prior(generator)
        rows = np.flatnonzero(self.certain) if warm and self.certain.any() else np.arange(len(self.certain))
        weight = self._weight.float()
        self.denoiser.train()
        total = torch.zeros((), device=self.device)
        order = torch.from_numpy(rng.permutation(rows)).to(self.device)
        for index in torch.split(order, c.diffusion_batch_size):
            total += self._step(index, weight[:, index], generator, warm) * len(index)
        return {
            "epoch": epoch + 1.0, "loss": float(total) / len(rows),
            "prior_certainty": float(self.weight.max(-1).mean()), "seconds": time.perf_counter() - started,
        }  # fmt: skip

    def _step(self, index: Tensor, weight: Tensor, generator: torch.Generator, warm: bool) -> Tensor:
        """Learn from one batch; noise, time and the draw of the label are the same in all branches."""
        c, (M, B, C) = self.config, weight.shape
        label = sample_labels(weight, torch.rand(B, generator=generator, device=self.device))  # (M, B)
        t = torch.randint(1, c.diffusion_steps + 1, (B,), generator=generator, device=self.device)
        level = self.levels[t].expand(M, B)
        noise = torch.randn(B, C, generator=generator, device=self.device)
        noised = q_sample(to_simplex(label, C, c.simplex_scale), level, noise, c.simplex_scale)
        seen = to_simplex(self.observed[index], C, c.simplex_scale).expand(M, B, C)
        logits = self.denoiser(noised, level, seen, self.condition[:, index])
        each = nn.functional.cross_entropy(logits.flatten(0, 1), label.flatten(), reduction="none")
        if c.weighted_loss:
            each = each * weight.gather(-1, label[..., None]).flatten()
        loss = each.mean()
        if not warm and c.diffusion_coregularisation:
            loss = loss + c.diffusion_coregularisation * losses.co_regularisation(logits).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.denoiser.parameters(), c.max_grad_norm)
        self.optimizer.step()
        self.average.update()
        return loss.detach()

    def _move_prior(self, generator: torch.Generator) -> None:
        """Run the reverse chain J times for every text that is not certain; its answers move the prior."""
        c, open_ = self.config, self._open
        if not len(open_):
            return
        self.denoiser.eval()
        weight = (self._weight if c.prior_memory else self._neighbours)[:, open_]
        with torch.no_grad():
            encoded = self.denoiser.encode_condition(self.condition[:, open_])
        for _ in range(c.update_rounds):
            p = answer_probabilities(
                self.denoiser, encoded, self.observed[open_], c.sampling_steps, generator
            )
            weight = move_prior(weight, p.argmax(-1), c.update_rounds)
        self._weight[:, open_] = weight

    def _agree(self, row: dict[str, float]) -> None:
        """Write how often the chain agrees with the validation prior's labels, and keep the best weights."""
        if self.validation is None:
            return
        condition, observed, target = self.validation
        generator = torch.Generator(self.device).manual_seed(self.config.seed)
        with torch.no_grad():
            encoded = self.denoiser.encode_condition(condition.to(self.device))
        label, steps = torch.from_numpy(observed).to(self.device), self.config.prediction_steps
        p = answer_probabilities(self.denoiser, encoded, label, steps, generator)
        agreement = float((p.mean(0).argmax(-1).cpu().numpy() == target).mean())
        row["agreement_validation_prior"] = agreement
        # Of equal epochs the later one: it has learnt from more of the prior.
        if agreement >= self.best_agreement:
            self.best_agreement, self.best_epoch = agreement, int(row["epoch"])
            self.best_weights = copied_weights(self.denoiser)
