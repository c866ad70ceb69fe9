"""What all explorers share: a table of controls, a pure function that draws, and a static copy."""

from __future__ import annotations

import base64
import json
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple

import ipywidgets
import numpy as np
from matplotlib.figure import Figure

from nlkit._util import invalid
from nlkit.course import plots

# A figure and its words.
Still = tuple[Figure, str]

# A figure, its words, and HTML to stand below it.
Drawn = tuple[Figure, str, str]

_MADE: weakref.WeakSet[Explorer] = weakref.WeakSet()
# A live run ends in a thread of its own, and matplotlib draws one figure at a time.
_DRAWING = threading.RLock()
LABEL = {"description_width": "11em"}
WIDTH = {"width": "30em", "max_width": "calc(100% - 4px)"}  # a control has margins of 2 px
PICTURE = 1100  # CSS pixels: no wider, however wide the cell is

CELL = "text-align: left; padding: 0 1em 0 0"
LINE = 2.3  # em, of a table

# Where these rules are in force, a live explorer is on the page, and the two outputs that follow it in
# JupyterLab, its static copy and the copy's words, say the same again: they are hidden. Without a kernel the
# explorer is not there, nor are the rules.
RULES = """<style>
.jp-OutputArea-child:has(.nlkit-explorer) + .jp-OutputArea-child,
.jp-OutputArea-child:has(.nlkit-explorer) + .jp-OutputArea-child + .jp-OutputArea-child { display: none }
.nlkit-explorer { max-width: WIDTHpx }
.nlkit-explorer img { display: block; width: 100%; height: auto }
.nlkit-below { width: 0; min-width: 100%; overflow: auto }
.nlkit-explorer :focus-visible { outline: 3px solid var(--jp-brand-color1, #1976d2); outline-offset: 2px }
@media (prefers-reduced-motion: reduce) {
  .nlkit-explorer * { animation: none !important; transition: none !important }
}
</style>""".replace("WIDTH", str(PICTURE))

# ipywidgets 8.1 draws a slider's description beside it, but the slider itself has no name that a screen
# reader could read: it gets its description. Its value is announced as it is in binary (7.499999 for 7.5):
# rounded and with its unit instead, here and after each move. The picture may be there before its sliders.
NAME_SLIDERS = """
const picture = this, units = JSON.parse(this.dataset.units);
(function name(tries) {
  const handles = picture.closest('.nlkit-explorer')?.querySelectorAll('[role=slider]') ?? [];
  for (const handle of handles) {
    if (handle.ariaLabel) continue;
    const name = handle.ariaLabel = handle.closest('.widget-slider').querySelector('label').textContent;
    const tell = () => {
      const told = `${+parseFloat(handle.ariaValueText).toFixed(4)} ${units[name]}`.trim();
      if (told !== handle.ariaValueText) handle.ariaValueText = told;
    };
    tell();
    new MutationObserver(tell).observe(handle, {attributeFilter: ['aria-valuetext']});
  }
  if (handles.length < Object.keys(units).length && tries) setTimeout(name, 100, tries - 1);
})(100)
"""


class Span(NamedTuple):
    """Real numbers that a slider reaches."""

    low: float
    high: float
    step: float


class Explorer:
    """Controls above a picture and a table, with a static copy for those who cannot move the controls.

    Parameters
    ----------
    controls : mapping of str to tuple
        By name, in this order: description, first value, the values allowed, and for a slider the unit that a
        screen reader announces, if there is one. A ``range`` gives a slider over whole numbers, a `Span` one
        over real numbers, a list (of values or of (shown, value) pairs) a list to choose from, whose first
        value None stands for.
    draw : callable
        Takes the controls' values by name; returns a figure, its words, and HTML to stand below it.
    static : callable
        Takes the first values by name; returns the static copy, a figure and its words.
    lines : float
        Room for what stands below the picture, in lines; what needs more scrolls there, so that nothing on
        the page moves with a slider.

    Attributes
    ----------
    controls : dict of str to widget
        Setting a ``.value`` redraws.
    static : tuple of Figure and str

    Raises
    ------
    ValueError
        If a first value is not allowed.
    """

    def __init__(
        self, controls: Mapping[str, tuple[Any, ...]], draw: Callable[..., Drawn],
        static: Callable[..., Still], *, lines: float = 7,
    ) -> None:  # fmt: skip
        self.controls = {name: _widget(name, *control[:3]) for name, control in controls.items()}
        self._units = {c[0]: "".join(c[3:]) for c in controls.values() if isinstance(c[2], range | Span)}
        self._lines = lines
        self._draw = draw
        with _DRAWING:
            self.static = static(**self._at())
        self.picture, self.table, self.error = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        rules = ipywidgets.HTML(RULES, layout={"display": "none"})
        self.box = ipywidgets.VBox([rules, *self.controls.values(), self.error, self.picture, self.table])
        self.box.add_class("nlkit-explorer")
        self.update()
        for control in self.controls.values():
            control.observe(self._changed, names="value")
        _MADE.add(self)

    def _at(self) -> dict[str, Any]:
        return {name: control.value for name, control in self.controls.items()}

    def try_controls(self) -> int:
        """Move each control to the ends of its range, or to all its options, and back; count the moves.

        Raises
        ------
        RuntimeError
            If a position cannot be drawn; the control and its value are named.
        """
        moves = []
        for name, control in self.controls.items():
            options = getattr(control, "options", None) or (control.min, control.max)
            moves += [(name, control, value) for value in [*_values(options), control.value]]
        for name, control, value in moves:
            try:
                control.value = value
            except Exception as error:
                raise RuntimeError(f"{control.description} ({name}) at {value!r}: {error}") from error
        return len(moves)

    def update(self) -> None:
        """Draw for the controls' present values."""
        with _DRAWING:
            fig, alt, below = self._draw(**self._at())
            source = base64.b64encode(plots.svg(fig).encode()).decode("ascii")
        # Its height is known before it is decoded: nothing moves when one picture follows another.
        height = PICTURE * fig.get_figheight() / fig.get_figwidth()
        self.picture.value = (
            f'<img alt="{escape(alt)}" width="{PICTURE}" height="{height:.0f}" decoding="sync" '
            f'data-units="{escape(json.dumps(self._units))}" onload="{escape(NAME_SLIDERS)}" '
            f'src="data:image/svg+xml;base64,{source}">'
        )
        # What scrolls has a name, and can be reached by keyboard.
        region = 'class="nlkit-below" role="region" aria-label="Below the picture" tabindex="0"'
        height = self._lines * LINE
        self.table.value = f'<div {region} style="height: {height:.1f}em">{below}</div>' if below else ""
        self.error.value = ""

    def _changed(self, change: Any) -> None:
        try:
            self.update()
        except Exception as error:
            # The old picture belongs to other settings: it goes.
            self.picture.value = self.table.value = ""
            self.error.value = failure("This setting failed.", error)
            raise

    def _ipython_display_(self) -> None:
        display(self)


def try_all() -> int:
    """Try the controls of every explorer that is alive (`Explorer.try_controls`); return the moves made.

    The tests run it at the end of each notebook: an error at another position than the first does not hide.
    """
    return sum(explorer.try_controls() for explorer in list(_MADE))


def _values(options: Sequence[Any]) -> list[Any]:
    """Return the values of a list's options, which are plain values or (shown, value) pairs."""
    return [option[1] if isinstance(option, tuple) else option for option in options]


def check(field: str, value: Any, allowed: range | Span | Sequence[Any]) -> None:
    """Raise ValueError if a value is not allowed."""
    if isinstance(allowed, range):
        fits, said = value in allowed, f"a whole number from {allowed.start} to {allowed.stop - 1}"
    elif isinstance(allowed, Span):
        fits = allowed.low <= value <= allowed.high
        said = f"a number from {allowed.low} to {allowed.high}, the slider's range"
    else:
        fits, said = value in _values(allowed), f"one of {', '.join(map(str, _values(allowed)))}"
    if not fits:
        invalid(field, value, said)


def _widget(name: str, description: str, value: Any, allowed: range | Span | Sequence[Any]) -> Any:
    settings: dict[str, Any] = {"description": description, "style": LABEL, "layout": WIDTH}
    if isinstance(allowed, range):
        settings |= {"min": allowed.start, "max": allowed.stop - 1, "continuous_update": True}
        kind = ipywidgets.IntSlider
    elif isinstance(allowed, Span):
        settings |= {"min": allowed.low, "max": allowed.high, "continuous_update": True}
        settings |= {"step": allowed.step, "readout_format": ".2f"}
        kind = ipywidgets.FloatSlider
    else:
        value = _values(allowed)[0] if value is None else value
        settings["options"], kind = allowed, ipywidgets.Dropdown
    check(name, value, allowed)  # a widget would move a bad value without a word
    return kind(value=value, **settings)


def display(shown: Any) -> None:
    """Display the box of an explorer, then its static copy for readers without a kernel (see `RULES`)."""
    import IPython.display

    send: Any = IPython.display.display
    send(shown.box)
    with _DRAWING:
        plots.show(*shown.static)


def failure(what: str, error: Exception) -> str:
    """Return an alert as HTML, escaped."""
    said = escape(f"{type(error).__name__}: {error}")
    return f'<p role="alert"><strong>{what}</strong> {said}</p>'


def table(rows: Sequence[Sequence[object]], head: Sequence[str], caption: str) -> str:
    """Return an HTML table with every cell escaped."""
    top = "".join(f'<th scope="col" style="{CELL}">{escape(name)}</th>' for name in head)
    cells = ("".join(f'<td style="{CELL}">{escape(str(cell))}</td>' for cell in row) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    # A caption is as wide as its table, which may be narrow: it stays on one line all the same.
    said = f'<caption style="text-align: left; white-space: nowrap">{escape(caption)}</caption>'
    return f"<table>{said}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"


def shorten(text: str, length: int = 110) -> str:
    """Return a text on one line, cut to a length."""
    words = " ".join(text.split())
    return words if len(words) <= length else words[: length - 1].rstrip() + "…"


def share(value: float, digits: int = 0) -> str:
    """Return a share in percent; a dash where there is none."""
    return "–" if np.isnan(value) else f"{100 * value:.{digits}f} %"


def name_of(number: int, names: Sequence[str], missing: str = "none") -> str:
    """Return the name of a class; −1 is missing."""
    return names[number] if number >= 0 else missing
