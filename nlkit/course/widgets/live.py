"""An explorer over a recorded run, with the button that computes the run here and now."""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Callable
from html import escape

import ipywidgets

from nlkit._util import Stages, watched
from nlkit.course.widgets.explorer import Explorer, display, failure
from nlkit.study.recorded import Run

TOLD = 0.5  # seconds between two looks at how far it is


class Live:
    """What a run is (recorded or live, its age, its settings), buttons, and the explorer over its data.

    The run is computed in a thread of its own: the explorer goes on over the old data meanwhile.

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
        self.label, self.told, self.error = (ipywidgets.HTML(said) for said in (run._repr_html_(), "", ""))
        tooltip = f"Compute it on this machine. The recorded run took {run.seconds:.0f} s."
        self.button = ipywidgets.Button(description="Recompute live", tooltip=tooltip)
        self.button.on_click(lambda button: self.recompute())
        self.cancel = ipywidgets.Button(description="Cancel", disabled=True)
        self.cancel.on_click(lambda button: self.stop())
        self.thread: threading.Thread | None = None
        self._stages = Stages()
        self._above = (self.label, ipywidgets.HBox([self.button, self.cancel]), self.told, self.error)
        self.box = ipywidgets.VBox([*self._above, self.explorer.box])

    def recompute(self) -> None:
        """Begin to compute the run live, if that is not under way; its explorer is shown when it is done.

        After an error, or when it was cancelled, the old explorer stays.
        """
        if not self.run.computing.acquire(blocking=False):
            self.told.value = "<p>This run is being computed already.</p>"
            return
        self._stages = Stages()
        self.button.disabled, self.cancel.disabled, self.error.value = True, False, ""
        self.thread = threading.Thread(target=self._work, daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Cancel the computation: it stops at the next step, and finished parts of it are kept."""
        self._stages.stop.set()
        self.cancel.disabled = True

    def _work(self) -> None:
        done = threading.Event()
        teller = threading.Thread(target=self._tell, args=(self._stages, done), daemon=True)
        teller.start()
        said = ""
        try:
            with watched(self._stages):
                self.run.recompute()
            self.explorer = self._make(self.run)
            self.box.children = (*self._above, self.explorer.box)
            self.label.value = self.run._repr_html_()
        except KeyboardInterrupt:
            said = "<p>Cancelled. The result shown is the old one; finished parts are kept for a day.</p>"
        except Exception as error:
            trace = f"<pre>{escape(traceback.format_exc())}</pre>"
            said = (
                f"{failure('Computing it failed.', error)}<details><summary>Where</summary>{trace}</details>"
            )
        finally:
            done.set()
            teller.join()
            self.error.value, self.told.value = said, ""
            self.button.disabled, self.cancel.disabled = False, True
            self.run.computing.release()

    def _tell(self, stages: Stages, done: threading.Event) -> None:
        """Show the stages, how far they are and how long the first takes yet, until all is done."""
        began = time.monotonic()
        while True:
            stages_told, share = stages.told()
            words = "Stopping after this step" if stages.stop.is_set() else "Computing"
            words = f"{words}, {time.monotonic() - began:.0f} s. {stages_told or 'Getting ready …'}"
            value = "" if share is None else f'value="{share:.3f}"'
            bar = f'<progress {value} style="display: block; width: 100%"></progress>'
            self.told.value = f"<label>{escape(words)} {bar}</label>"
            if done.wait(TOLD):
                return

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
