"""An explorer over a recorded run, with the button that computes the run here and now."""

from __future__ import annotations

from collections.abc import Callable

import ipywidgets

from nlkit.course.widgets.explorer import Explorer, display, failure
from nlkit.study.recorded import Run


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
        tooltip = f"Compute it on this machine. The recorded run took {run.seconds:.0f} s."
        self.button = ipywidgets.Button(description="Recompute live", tooltip=tooltip)
        self.button.on_click(lambda button: self.recompute())
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
            self.error.value = failure("Computing it failed.", error)
            raise
        finally:
            self.button.disabled, self.button.description = False, "Recompute live"

    def _ipython_display_(self) -> None:
        display(self)


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
