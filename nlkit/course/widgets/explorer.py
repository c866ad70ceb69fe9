"""What all explorers share: controls bound to a pure function, and a static copy."""

from __future__ import annotations

import base64
import weakref
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import ipywidgets

from nlkit.course import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Explorer", "choice", "shorten", "slider", "steps", "table", "try_all"]

_MADE: weakref.WeakSet[Explorer] = weakref.WeakSet()
LABEL = {"description_width": "11em"}
WIDTH = {"width": "30em", "max_width": "calc(100% - 4px)"}  # a control has margins of 2 px

CELL = "text-align: left; padding: 0 1em 0 0"
SCROLLS = "width: 0; min-width: 100%; overflow-x: auto"

# ipywidgets 8.1 draws a slider's description beside it, but the slider itself has no name that a screen
# reader could read: it gets its description. When the picture is on the page, the controls are there too.
NAME_SLIDERS = """
new ResizeObserver((_, watch) => {
  watch.disconnect();
  for (const handle of this.closest('.nlkit-explorer').querySelectorAll('[role=slider]'))
    handle.setAttribute('aria-label', handle.closest('.widget-slider').querySelector('label').textContent);
}).observe(this)
"""


class Explorer:
    """Controls above a picture and a table, with a static copy for those who cannot move the controls.

    Parameters
    ----------
    controls : mapping of str to widget
        Drawn in this order; each has a description. Setting a ``.value`` redraws.
    redraw : callable
        Returns a figure, its words, and HTML to stand below it, for the controls' present values.
    static : tuple of Figure and str
        The static copy and its words.
    """

    def __init__(
        self,
        controls: Mapping[str, Any],
        redraw: Callable[[], tuple[Figure, str, str]],
        static: tuple[Figure, str],
    ) -> None:
        self.controls, self._redraw, self.static = dict(controls), redraw, static
        self.picture, self.table, self.error = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.box = ipywidgets.VBox([*self.controls.values(), self.error, self.picture, self.table])
        self.box.add_class("nlkit-explorer")
        self.update()
        for control in self.controls.values():
            control.observe(self._changed, names="value")
        _MADE.add(self)

    def try_controls(self) -> int:
        """Move each control to the ends of its range, or to all its options, and back; count the moves.

        Raises
        ------
        RuntimeError
            If a position cannot be drawn; the control and its value are named.
        """
        moves = 0
        for name, control in self.controls.items():
            start = control.value
            # A dropdown's options are plain values, or (shown, value) pairs.
            options = getattr(control, "options", None) or (control.min, control.max)
            values = [o[1] if isinstance(o, tuple) else o for o in options]
            for value in [*values, start]:
                try:
                    control.value = value
                except Exception as error:
                    raise RuntimeError(f"{control.description} ({name}) at {value!r}: {error}") from error
                if self.error.value:
                    raise RuntimeError(f"{control.description} ({name}) at {value!r}: {self.error.value}")
                moves += 1
        return moves

    def update(self) -> None:
        """Draw for the controls' present values."""
        fig, alt, below = self._redraw()
        source = base64.b64encode(plots.png(fig, dpi=80)).decode("ascii")
        self.picture.value = (
            f'<img alt="{escape(alt)}" src="data:image/png;base64,{source}" '
            f'style="max-width: 100%" onload="{escape(NAME_SLIDERS)}">'
        )
        self.table.value, self.error.value = below, ""

    def _changed(self, change: Any) -> None:
        try:
            self.update()
        except Exception as error:
            # The old picture belongs to other settings: it goes.
            self.picture.value = self.table.value = ""
            said = escape(f"{type(error).__name__}: {error}")
            self.error.value = f'<p role="alert"><strong>This setting failed.</strong> {said}</p>'
            raise

    def _ipython_display_(self) -> None:
        import IPython.display

        display: Any = IPython.display.display
        display(self.box)
        plots.show(*self.static)


def try_all() -> int:
    """Try the controls of every explorer that is alive (`Explorer.try_controls`); return the moves made.

    The tests run it at the end of each notebook: an error at another position than the first does not hide.
    """
    return sum(explorer.try_controls() for explorer in list(_MADE))


def slider(description: str, value: float, low: float, high: float, step: float) -> Any:
    """Return a slider with room for its description, which sends a value when it is let go."""
    return ipywidgets.FloatSlider(
        description=description, value=value, min=low, max=high, step=step, readout_format=".2f",
        continuous_update=False, style=LABEL, layout=WIDTH,
    )  # fmt: skip


def steps(description: str, value: int, low: int, high: int) -> Any:
    """Return a slider over whole numbers, such as epochs."""
    return ipywidgets.IntSlider(
        description=description, value=value, min=low, max=high,
        continuous_update=False, style=LABEL, layout=WIDTH,
    )  # fmt: skip


def choice(description: str, value: Any, options: Sequence[Any]) -> Any:
    """Return a list to choose from: of values, or of (shown, value) pairs."""
    return ipywidgets.Dropdown(
        description=description, options=options, value=value, style=LABEL, layout=WIDTH
    )


def table(rows: Sequence[Sequence[str]], head: Sequence[str], caption: str) -> str:
    """Return an HTML table with every cell escaped."""
    top = "".join(f'<th scope="col" style="{CELL}">{escape(name)}</th>' for name in head)
    body = "".join(
        "<tr>" + "".join(f'<td style="{CELL}">{escape(cell)}</td>' for cell in row) + "</tr>" for row in rows
    )
    # A caption is as wide as its table, which may be narrow: it stays on one line all the same.
    said = f'<caption style="text-align: left; white-space: nowrap">{escape(caption)}</caption>'
    head_row = f"{said}<thead><tr>{top}</tr></thead>"
    # As wide as the place it is in, not as the table: what is wider scrolls, and is not cut.
    return f'<div style="{SCROLLS}"><table>{head_row}<tbody>{body}</tbody></table></div>'


def shorten(text: str, length: int = 110) -> str:
    """Return a text on one line, cut to a length."""
    words = " ".join(text.split())
    return words if len(words) <= length else words[: length - 1].rstrip() + "…"
