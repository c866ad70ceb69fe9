"""Settings of NoiseAL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from nlkit._util import invalid
from nlkit.training.config import PAPER, TrainingConfig

__all__ = ["NoiseALConfig"]


@dataclass(frozen=True, kw_only=True)
class NoiseALConfig(TrainingConfig):
    """Settings of NoiseAL; those of `TrainingConfig` come with it.

    Attributes
    ----------
    lr_weak
        AdamW's learning rate of the weak model.
    warmup_epochs
        W: epochs of CE on the observed labels before the first partition is used.
    momentum, margin, cap
        m, σ and the ceiling of the dynamic-enhanced threshold (`nlkit.methods.noiseal.partition`). The
        threshold has to catch up with the models within the warm-up, so m is small where the warm-up is
        short: with m = 0.9 and two epochs it stays near 1/C, and a class that holds 40 % of another
        one's texts passes as clean. The more epochs follow, the larger m has to be: with m = 0.5 and
        twelve of them the threshold reaches the models' own certainty, and right labels fall out of R
        for differences in the third decimal place.
    class_floor
        Samples of each observed label, the most trusted, that stay in R whatever the threshold says
        (`nlkit.methods.noiseal.partition.keep_classes`). Otherwise a class of few samples may disappear from
        R, and is unlearnt; more than a few let wrong labels in where a rare label is mostly noise. 0: none.
    min_steps
        Steps that an epoch has at least: with few texts batches are smaller than `batch_size` (but of four).
        The warm-up is counted in epochs; with 250 texts three of them were twelve steps, after which the
        models could not tell anything apart yet.
    ema_epochs
        What is partitioned and rectified are the predictions of a moving average of the weights that reaches
        back this many epochs; 0: of the weights as they are. Where 40 % of a class carry one other label, the
        weights as they are after an epoch's last batch sometimes give the whole class away. The fitted models
        predict by their plain weights, as every baseline does.
    query_budget, query_rounds
        Queries to the annotator in all, and over how many epochs after the warm-up they are spread (no more
        than there are). What a round leaves over, because P is small, stays in the total. 0: no queries.
    demonstrations
        k, clean samples shown with each query.
    pool_per_class
        Most confident clean samples of each class that demonstrations are taken from.
    demonstration_space
        Nearness by the pre-trained "encoder" or by the "strong" model's embeddings.
    acquisition
        Which samples are queried first: "confident_disagreement", "uncertain", "random", or "expected_gain":
        what an answer of this annotator is expected to tell beyond the models (`nlkit.annotate.trust`).
        "auto": that one where trust is measured, else confident disagreement.
    trust
        "measured": the annotator's reliability is estimated on samples of R; an answer is learnt where it is
        the likeliest label, given that and the models' predictions; H is queried once P is exhausted.
        "full", as published: P alone is queried, and every answer is learnt.
    probe_share
        Share of the budget that goes to those samples of R, the most trusted first and evenly over their
        labels; at least eight queries, at most half of the budget. They are never demonstrations.
    probe_right
        Share of their labels that are taken to be right.
    least_evidence
        How many times likelier an answer has to be where it is right than where it is wrong, or it is not
        learnt: at the lower end of the estimate's interval (`nlkit.annotate.trust.Trust.evidence`).
    candidates
        2: where an annotator that tells probabilities is less than 90 % sure, its answer is learnt together
        with its second likeliest label, by their probabilities (`nlkit.annotate.base.candidate_sets`). More:
        up to so many labels. 1: the answer alone.
    temperature
        T < 1 sharpens the mean prediction into the target of a hard sample.
    hard_loss
        What H learns: "embmix", sharpened mean predictions of mixed texts; or "gce", as in DISC: observed
        labels by generalised CE.
    distrusted
        What is learnt of texts whose label neither model trusts, without an answer: "hard", as H; or
        "left_out", as in DISC: nothing.
    mix_alpha
        α of the Beta distribution of EmbMix.
    log_zero
        A, the value of log 0 in the reversed CE.
    weight_clean, weight_purified, weight_hard
        Weights of the three losses.
    prediction
        "strong", "weak" or "mean": which model predicts in the end. The best epoch is always the strong
        model's.
    """

    lr_weak: float = 1e-2
    warmup_epochs: int = 2
    momentum: float = 0.2
    margin: float = 0.1
    cap: float = 0.99
    class_floor: int = 5
    min_steps: int = 12
    ema_epochs: float = 0.5
    query_budget: int = 150
    query_rounds: int = 3
    demonstrations: int = 4
    pool_per_class: int = 50
    demonstration_space: str = "encoder"
    acquisition: str = "auto"
    trust: str = "measured"
    probe_share: float = 0.125
    probe_right: float = 0.9
    least_evidence: float = 1.5
    candidates: int = 1
    temperature: float = 0.5
    hard_loss: str = "embmix"
    distrusted: str = "hard"
    mix_alpha: float = 4.0
    log_zero: float = -4.0
    weight_clean: float = 1.0
    weight_purified: float = 1.0
    weight_hard: float = 1.0
    prediction: str = "strong"
    selection: str = "guarded"

    profiles: ClassVar[dict[str, dict[str, Any]]] = {
        "quick": {
            "trainable_layers": 0, "epochs": 10, "batch_size": 64, "lr_head": 3e-3, "lr_decay_share": 0.0,
            "warmup_epochs": 3, "momentum": 0.7, "ema_epochs": 0.0,
        },
        "class": {},
        "paper": {
            **PAPER, "trainable_layers": "all", "max_length": 256, "epochs": 30, "lr_weak": 4e-3,
            "warmup_epochs": 5, "momentum": 0.9, "margin": 0.3,
        },
    }  # fmt: skip

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("warmup_epochs", "query_rounds", "pool_per_class", "min_steps", "candidates"):
            self._number(name, low=1, whole=True)
        for name in ("query_budget", "demonstrations", "class_floor"):
            self._number(name, low=0, whole=True)
        if self.warmup_epochs >= self.epochs:
            invalid(
                "warmup_epochs", self.warmup_epochs, f"below epochs={self.epochs}, or nothing is rectified"
            )
        for name in ("momentum", "margin", "cap"):
            self._number(name, low=0.0, high=1.0)
        if self.momentum == 1.0:
            invalid("momentum", self.momentum, "below 1, or thresholds never move")
        if self.cap in (0.0, 1.0):
            invalid("cap", self.cap, "strictly between 0 and 1")
        self._number("ema_epochs", low=0.0)
        for name in ("lr_weak", "temperature", "mix_alpha"):
            self._number(name, low=0.0, open_low=True)
        for name in ("weight_clean", "weight_purified", "weight_hard"):
            self._number(name, low=0.0)
        self._number("log_zero", low=-100.0, high=-0.01)
        self._choice("demonstration_space", ("encoder", "strong"))
        self._choice("trust", ("measured", "full"))
        rules = ("auto", "confident_disagreement", "uncertain", "random", "expected_gain")
        self._choice("acquisition", rules if self.trust == "measured" else rules[:-1])
        self._number("probe_share", low=0.0, high=1.0)
        self._number("probe_right", low=0.0, high=1.0, open_low=True)
        self._number("least_evidence", low=1.0)
        self._choice("hard_loss", ("embmix", "gce"))
        self._choice("distrusted", ("hard", "left_out"))
        self._choice("prediction", ("strong", "weak", "mean"))

    def batch_size_for(self, n_samples: int) -> int:
        """Return how many samples a step has, of n: `batch_size`, or fewer for `min_steps` an epoch."""
        return min(self.batch_size, max(4, n_samples // self.min_steps))
