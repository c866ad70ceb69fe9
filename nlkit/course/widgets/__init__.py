"""Explorers for notebooks: sliders bound to pure functions.

Each explorer has a ``compute_*`` function (settings → data) and draws with `nlkit.course.plots`; the widget
only binds them. An explorer also leaves a static picture, the default position and a strip over the sliders'
range, for readers without a running kernel: on GitHub, in HTML, under papermill, with a screen reader.

Nothing fails in silence: an explorer that cannot be drawn raises where it is made, and an error at a later
slider position is shown in the explorer and raised.
"""

from nlkit.course.widgets.budget import BudgetView, budget_explorer, compute_budget
from nlkit.course.widgets.comparison import ComparisonView, compare_explorer, compute_comparison
from nlkit.course.widgets.demonstrations import (
    DemonstrationView,
    compute_demonstration,
    demonstration_explorer,
)
from nlkit.course.widgets.diffusion import (
    ChainView,
    NoisedView,
    chain_explorer,
    compute_chain,
    compute_noised,
    diffusion_explorer,
)
from nlkit.course.widgets.dynamics import MomentView, compute_moment, dynamics_explorer, sample_explorer
from nlkit.course.widgets.explorer import Explorer, try_all
from nlkit.course.widgets.live import Live, explore
from nlkit.course.widgets.llm_noise import AnswerNoiseView, answer_noise_explorer, compute_answer_noise
from nlkit.course.widgets.loop import (
    LESSONS,
    LoopView,
    compute_lessons,
    compute_loop,
    lessons_of,
    loop_explorer,
    record_loop,
)
from nlkit.course.widgets.noise import NoiseView, compute_noise, noise_explorer
from nlkit.course.widgets.partition import (
    PartitionView,
    compute_partition,
    compute_partitions,
    compute_quality,
    threshold_explorer,
)
from nlkit.course.widgets.prior import PriorView, compute_prior, prior_explorer
from nlkit.course.widgets.reliability import ReliabilityView, compute_reliability, reliability_explorer

__all__ = [
    "LESSONS",
    "AnswerNoiseView",
    "BudgetView",
    "ChainView",
    "ComparisonView",
    "DemonstrationView",
    "Explorer",
    "Live",
    "LoopView",
    "MomentView",
    "NoiseView",
    "NoisedView",
    "PartitionView",
    "PriorView",
    "ReliabilityView",
    "answer_noise_explorer",
    "budget_explorer",
    "chain_explorer",
    "compare_explorer",
    "compute_answer_noise",
    "compute_budget",
    "compute_chain",
    "compute_comparison",
    "compute_demonstration",
    "compute_lessons",
    "compute_loop",
    "compute_moment",
    "compute_noise",
    "compute_noised",
    "compute_partition",
    "compute_partitions",
    "compute_prior",
    "compute_quality",
    "compute_reliability",
    "demonstration_explorer",
    "diffusion_explorer",
    "dynamics_explorer",
    "explore",
    "lessons_of",
    "loop_explorer",
    "noise_explorer",
    "prior_explorer",
    "record_loop",
    "reliability_explorer",
    "sample_explorer",
    "threshold_explorer",
    "try_all",
]
