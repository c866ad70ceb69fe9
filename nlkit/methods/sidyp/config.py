"""Settings of SiDyP."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from nlkit._util import invalid
from nlkit.methods.sidyp.detection import SCORES
from nlkit.methods.sidyp.evidence import SPACES
from nlkit.training.config import PAPER, SELECTIONS, TrainingConfig

__all__ = ["VARIANTS", "SiDyPConfig"]


_ONE_SPACE = {"evidence": False, "space": "text", "balance": 0.0, "diffusion_dropout": 0.1}
VARIANTS: dict[str, dict[str, Any]] = {
    "ours": {},
    "text_space": {
        **_ONE_SPACE, "noise_rate": "mixture", "diffusion_epochs": 20, "lr_diffusion": 3e-3,
    },
    "published": {
        "score": "distance", "noise_rate": 0.5, "branch_ema_epochs": 0.0, "update_rounds": 4,
        "prior_memory": True, "weighted_loss": True, "prediction_steps": 10, "chains": 1,
        "diffusion_coregularisation": 2.0, **_ONE_SPACE, "diffusion_epochs": 20, "lr_diffusion": 6e-4,
    },
}  # fmt: skip

LIMITS: dict[str, dict[str, Any]] = {
    "branches trajectory_points neighbours hidden_size denoiser_blocks chains": {"low": 1, "whole": True},
    "diffusion_epochs diffusion_batch_size diffusion_steps": {"low": 1, "whole": True},
    "sampling_steps prediction_steps update_rounds": {"low": 1, "whole": True},
    "coregularisation diffusion_coregularisation branch_ema_epochs": {"low": 0.0},
    "coregularisation_warmup diffusion_dropout diffusion_warmup": {"low": 0.0, "high": 1.0},
    "gamma delta margin_epochs": {"low": 0.0, "high": 1.0, "open_low": True},
    "balance": {"low": 0.0, "high": 1.0},
    "lr_diffusion simplex_scale ema_epochs": {"low": 0.0, "open_low": True},
    "agreement": {"low": -1.0, "high": 1.0},
}
"""What numbers are held to."""


@dataclass(frozen=True, kw_only=True)
class SiDyPConfig(TrainingConfig):
    """Settings of SiDyP; those of `TrainingConfig` come with it.

    `epochs` and `batch_size` are those of the first stage. With ``selection="noisy_validation"`` the epoch of
    the second stage is kept that agrees best with the neighbours' prior of the validation texts, which comes
    from noisy labels alone.

    Attributes
    ----------
    branches
        M, heads over the shared encoder.
    coregularisation
        α, weight of the branches' co-regularisation. 0: none.
    coregularisation_warmup
        Share of the first stage's epochs in which α is 0.
    trajectory_points
        Epochs whose weights are kept, to give new texts a trajectory.
    noise_rate
        Share of the labels that are suspected; "auto": estimated from neighbours
        (`nlkit.noise.estimating.estimate_noise_rate`); "mixture": from the scores
        (`nlkit.methods.sidyp.detection.detect`).
    branch_ema_epochs
        How many epochs the moving average of the branches' weights reaches back (`nlkit.training.ema`). The
        averaged weights draw the trajectories and predict; 0: the weights as they are. Where 40 % of a class
        carry one other label, the latter sometimes give the whole class away.
    score, normalise
        How suspicious a text is: by "margin" (`nlkit.methods.sidyp.detection.margin`), by its trajectory
        (`nlkit.methods.sidyp.detection.suspicion`: "relative", or "distance" as published; of embeddings of
        unit length or as they are), or by "both" of margin and relative distance
        (`nlkit.methods.sidyp.detection.detect_by_both`).
    margin_epochs
        Share of the first stage's epochs, from the first on, that "margin" looks at: before wrong labels are
        memorised.
    agreement
        With "both": rank correlation of the two below which margin alone is believed.
    neighbours, gamma, delta
        K, γ and δ of the neighbours' prior (`nlkit.methods.sidyp.prior.neighbour_prior`).
    evidence
        Whether held-out observed labels weigh the spaces against each other, the observed label counts in the
        prior by T, and the prediction is a blend of first stage, neighbours and diffusion
        (`nlkit.methods.sidyp.evidence`). False, as published: K neighbours in text space are the prior, and
        the diffusion alone predicts. Held out are the validation split's labels; without any, a sixth of the
        training labels, which the first stage then does not learn.
    space
        "auto": spaces compete; "text", "learned" or "both": where neighbours are looked for.
    transition
        T, shape (C, C), rows sum to 1, as nested sequences, where it is known: T[i, j] is the share of class
        i's texts that were labelled j. None: it is estimated (`nlkit.methods.sidyp.evidence`).
    balance
        τ: predictions are divided by the observed labels' shares to this power (logit adjustment, after Menon
        et al., ICLR 2021). Texts that are hard to tell all fall to the most frequent observed label, which
        wrong labels have often made frequent.
    diffusion_epochs, diffusion_batch_size, lr_diffusion
        Of the second stage.
    diffusion_steps, sampling_steps
        T of the training, T' of the reverse chains whose answers move the prior.
    simplex_scale
        k: a label is the vector k (2 onehot − 1).
    hidden_size, denoiser_blocks, diffusion_dropout
        Of the denoiser (`nlkit.methods.sidyp.diffusion.Denoiser`).
    diffusion_warmup
        Share of the second stage's epochs that learn from certain samples only.
    diffusion_coregularisation
        λ, weight of the denoisers' co-regularisation after the warm-up.
    dynamic_prior
        Whether the reverse chain's answers move the prior. False: it stays as the neighbours gave it.
    prior_memory
        Whether an epoch's answers move the prior from where the last epoch's left it, or from where the
        neighbours put it.
    update_rounds
        J, reverse chains an epoch for each sample that is not certain.
    ema_epochs
        How many epochs the moving average of the denoiser's weights reaches back; it is what samples.
    prediction_steps, chains
        T' of the reverse chains that predict, and how many of them for each observed label; their final
        probabilities are averaged. One step, the answer to pure noise, is as often right as ten, and better
        calibrated: the later steps see a label that the chain has chosen itself, and are too sure of it.
    weighted_loss
        Whether the loss of a drawn label is weighted by its prior weight, as published. A label is drawn by
        that weight already, so this favours the likeliest candidates twice.
    variant
        "ours"; "text_space": the published steps with our settings but without evidence, as the course takes
        them one by one; or "published": with what the paper and the authors' scripts choose (`VARIANTS`), but
        without that code's accidents (README.md of this folder lists them).
    """

    branches: int = 3
    coregularisation: float = 5.0
    coregularisation_warmup: float = 0.1
    trajectory_points: int = 4
    noise_rate: float | str = "auto"
    branch_ema_epochs: float = 1.0
    score: str = "both"
    normalise: bool = True
    margin_epochs: float = 0.5
    agreement: float = 0.6
    neighbours: int = 10
    gamma: float = 0.9
    delta: float = 0.8
    evidence: bool = True
    space: str = "auto"
    transition: Sequence[Sequence[float]] | None = None
    balance: float = 0.33
    diffusion_epochs: int = 8
    diffusion_batch_size: int = 128
    lr_diffusion: float = 1e-3
    diffusion_steps: int = 500
    sampling_steps: int = 10
    simplex_scale: float = 5.0
    hidden_size: int = 128
    denoiser_blocks: int = 2
    diffusion_dropout: float = 0.5
    diffusion_warmup: float = 0.2
    diffusion_coregularisation: float = 1.0
    dynamic_prior: bool = True
    prior_memory: bool = False
    update_rounds: int = 6
    ema_epochs: float = 2.0
    prediction_steps: int = 1
    chains: int = 8
    weighted_loss: bool = False
    variant: str = "ours"

    profiles: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {
            "trainable_layers": 0, "epochs": 10, "batch_size": 64, "lr_head": 3e-3, "lr_decay_share": 0.0,
        },
        "class": {},
        "paper": {
            **PAPER, "trainable_layers": "all", "max_length": 256, "epochs": 10,
            "diffusion_epochs": 50, "diffusion_steps": 800, "hidden_size": 256,
        },
    }  # fmt: skip

    @classmethod
    def make(cls, profile: str = "class", **overrides: Any) -> Self:
        """Build the config of a profile and variant, with some settings given by name."""
        variant = VARIANTS.get(str(overrides.get("variant", "ours")), {})
        return super().make(profile, **variant | overrides)

    def coregularisation_at(self, epoch: int) -> float:
        """Return α while epoch + 1 of the first stage is trained."""
        warm = epoch < math.ceil(self.coregularisation_warmup * self.epochs)
        return 0.0 if warm else self.coregularisation

    def __post_init__(self) -> None:
        super().__post_init__()
        self._choice("selection", SELECTIONS[:2])  # what guards SiDyP is that its stages are weighed
        for name in ("normalise", "dynamic_prior", "prior_memory", "weighted_loss", "evidence"):
            self._choice(name, (True, False))
        self._choice("variant", tuple(VARIANTS))
        self._choice("score", SCORES)
        self._choice("space", ("auto", *SPACES))
        if self.transition is not None:
            try:
                T = np.array(self.transition, dtype=np.float64)
            except (TypeError, ValueError, OverflowError):
                T = np.empty(0)
            if T.ndim != 2 or T.shape[0] != T.shape[1] or (T < 0).any() or not np.allclose(T.sum(1), 1):
                invalid("transition", self.transition, "a (C, C) matrix of shares whose rows sum to 1")
            object.__setattr__(self, "transition", tuple(map(tuple, T.tolist())))
        if not self.evidence and self.space not in ("auto", "text"):
            invalid("space", self.space, "'text' where evidence=False: nothing else is looked at")
        if not self.evidence and self.transition is not None:
            invalid("transition", self.transition, "None where evidence=False: nothing else reads it")
        for names, limits in LIMITS.items():
            for name in names.split():
                self._number(name, **limits)
        self._share_or("noise_rate", "auto", "mixture")
        for name in ("sampling_steps", "prediction_steps"):
            if getattr(self, name) > self.diffusion_steps:
                invalid(name, getattr(self, name), f"at most diffusion_steps={self.diffusion_steps}")
