"""Figures: pure functions that draw data on an axis and return what the figure says in words.

No function here trains, loads or knows of widgets. Colours are seaborn's colorblind palette, and a marker, a
hatch or a line style always says the same as the colour. Figures have a white ground of their own, so they
read on a dark page too.
"""

from nlkit.course.plots.calibration import draw_confidences, draw_reliability
from nlkit.course.plots.comparison import (
    draw_differences,
    draw_methods,
    draw_recalls,
    draw_settings,
    draw_spread,
    draw_sweep,
)
from nlkit.course.plots.diffusion import (
    draw_answers,
    draw_branches,
    draw_chain_bars,
    draw_noised,
    draw_schedule,
)
from nlkit.course.plots.figures import figure, panels, png, show, svg
from nlkit.course.plots.llm import draw_answer, draw_coverage, draw_label_shares, draw_questions, draw_shots
from nlkit.course.plots.look import PALETTE, start_below
from nlkit.course.plots.memorisation import (
    draw_accuracy,
    draw_fitted,
    draw_fitted_pace,
    draw_label_histogram,
    draw_sample_path,
    draw_separation,
    fitted_shares,
)
from nlkit.course.plots.noise import (
    draw_label_truth,
    draw_noise_cost,
    draw_rate_spread,
    draw_transition_matrix,
)
from nlkit.course.plots.noiseal import (
    draw_finders,
    draw_lessons,
    draw_partition,
    draw_right_lessons,
    draw_set_losses,
    draw_set_quality,
    draw_threshold_path,
)
from nlkit.course.plots.prior import (
    draw_candidates,
    draw_case_shares,
    draw_cases,
    draw_suspicion,
    draw_trajectories,
    project_trajectories,
)
from nlkit.course.plots.standing import draw_places, draw_time

__all__ = [
    "PALETTE", "draw_accuracy", "draw_answer", "draw_answers", "draw_branches", "draw_candidates",
    "draw_case_shares", "draw_cases", "draw_chain_bars", "draw_confidences", "draw_coverage",
    "draw_differences", "draw_finders", "draw_fitted", "draw_fitted_pace", "draw_label_histogram",
    "draw_label_shares", "draw_label_truth", "draw_lessons", "draw_methods", "draw_noise_cost",
    "draw_noised", "draw_partition", "draw_places", "draw_questions", "draw_rate_spread", "draw_recalls",
    "draw_reliability", "draw_right_lessons", "draw_sample_path", "draw_schedule", "draw_separation",
    "draw_set_losses", "draw_set_quality", "draw_settings", "draw_shots", "draw_spread", "draw_suspicion",
    "draw_sweep", "draw_threshold_path", "draw_time", "draw_trajectories", "draw_transition_matrix",
    "figure", "fitted_shares", "panels", "png", "project_trajectories", "show", "start_below", "svg",
]  # fmt: skip
