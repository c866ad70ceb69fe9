"""An explorer over a recorded run, with the button that computes the run here and now."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any

import ipywidgets

from nlkit.course import plots
from nlkit.course.widgets.explorer import Explorer
from nlkit.study.recorded import Run

__all__ = ["Live", "explore"]


class Live:
    """What a run is (recorded or live, its age, its settings), a button, and the explorer over its data.

    Parameters
    ----------
    run : Run
        From `nlkit.study.recorded.experiment`. The button recomputes it in place, so cells that are run again
        afterwards show the live data too.
    make : callable
        Makes the explorer from the run.
    """

    def __init__(self, run: Run, make: Callable[[Run], Explorer]) -> None:
        self.run, self._make = run, make
        self.explorer = make(run)
        self.static = self.explorer.static
        self.label, self.error = ipywidgets.HTML(run._repr_html_()), ipywidgets.HTML()
        self.button = ipywidgets.Button(
            description="Recompute live",
            tooltip=f"Compute it on this machine. The recorded run took {run.seconds:.0f} s.",
        )
        self.button.on_click(self._clicked)
        self.box = ipywidgets.VBox([self.label, self.button, self.error, self.explorer.box])

    def recompute(self) -> None:
        """Compute the run live and show its explorer; after an error the old one stays, beside the error."""
        self.button.disabled, self.button.description = True, "Computing …"
        try:
            self.run.recompute()
            self.explorer = self._make(self.run)
            self.box.children = (self.label, self.button, self.error, self.explorer.box)
            self.label.value, self.error.value = self.run._repr_html_(), ""
        except Exception as error:
            said = escape(f"{type(error).__name__}: {error}")
            self.error.value = f'<p role="alert"><strong>Computing it failed.</strong> {said}</p>'
            raise
        finally:
            self.button.disabled, self.button.description = False, "Recompute live"

    def _clicked(self, button: Any) -> None:
        self.recompute()

    def _ipython_display_(self) -> None:
        import IPython.display

        display: Any = IPython.display.display
        display(self.box)
        plots.show(*self.static)


def explore(run: Run, make: Callable[[Run], Explorer]) -> Live:
    """Show an explorer over a run, labelled recorded or live, with a button that recomputes it live.

    Parameters
    ----------
    run : Run
        From `nlkit.study.recorded.experiment`.
    make : callable
        Takes the run and returns the explorer, such as
        ``lambda run: nk.widgets.threshold_explorer(run["strong"], run["weak"], run["noisy_label"])``.
    """
    return Live(run, make)
