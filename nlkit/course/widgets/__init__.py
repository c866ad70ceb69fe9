"""Explorers for notebooks: controls bound to pure functions.

Each explorer has a ``compute_*`` function (settings → data) and draws with `nlkit.course.plots`; `Explorer`
takes a table of its controls and binds them. An explorer also leaves a static picture, the default position
and a strip over the sliders' range, for readers without a running kernel: on GitHub, in HTML, in print. Where
the live one is on the page, the static one is hidden.

Nothing fails in silence: an explorer that cannot be drawn raises where it is made, and an error at a later
slider position is shown in the explorer and raised.
"""

from nlkit.course.widgets.budget import budget_explorer, compute_budget
from nlkit.course.widgets.comparison import compare_explorer
from nlkit.course.widgets.demonstrations import demonstration_explorer
from nlkit.course.widgets.diffusion import chain_explorer, compute_noised, diffusion_explorer
from nlkit.course.widgets.dynamics import compute_moment, dynamics_explorer, sample_explorer
from nlkit.course.widgets.explorer import Explorer, try_all
from nlkit.course.widgets.live import explore
from nlkit.course.widgets.llm_noise import answer_noise_explorer
from nlkit.course.widgets.loop import compute_lessons, lessons_of, loop_explorer, record_loop
from nlkit.course.widgets.noise import compute_noise, noise_explorer
from nlkit.course.widgets.partition import (
    compute_partition,
    compute_partitions,
    compute_quality,
    threshold_explorer,
)
from nlkit.course.widgets.prior import compute_prior, prior_explorer
from nlkit.course.widgets.reliability import compute_reliability, reliability_explorer

__all__ = [
    "Explorer", "answer_noise_explorer", "budget_explorer", "chain_explorer", "compare_explorer",
    "compute_budget", "compute_lessons", "compute_moment", "compute_noise", "compute_noised",
    "compute_partition", "compute_partitions", "compute_prior", "compute_quality", "compute_reliability",
    "demonstration_explorer", "diffusion_explorer", "dynamics_explorer", "explore", "lessons_of",
    "loop_explorer", "noise_explorer", "prior_explorer", "record_loop", "reliability_explorer",
    "sample_explorer", "threshold_explorer", "try_all",
]  # fmt: skip
