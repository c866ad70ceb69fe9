"""Review of suspect labels by a person: a suspect, its neighbours, what is proposed, and keys to decide."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any

import ipywidgets
from datasets import Dataset

from nlkit.course.widgets.explorer import failure
from nlkit.study.cleaned import Cleaned
from nlkit.study.decisions import Decisions
from nlkit.study.report import suspect_card

__all__ = ["Review", "review"]

KEYS = {"keep": "k", "accept": "a", "other": "o", "skip": "s", "undo": "u"}

# A key presses its button. In the list of labels letters search, and Enter chooses. Jupyter has other plans
# for these keys, unless it is told to leave them.
PRESS = """
const box = this.closest('.nlkit-review');
if (!box.hasAttribute('data-lm-suppress-shortcuts')) {
  const mine = part => part.setAttribute('data-lm-suppress-shortcuts', 'true');
  mine(box);
  box.addEventListener('focusin', event => mine(event.target));
  box.tabIndex = 0;
  box.addEventListener('keydown', event => {
    const list = event.target.tagName === 'SELECT';
    if (event.ctrlKey || event.altKey || event.metaKey || list && event.key !== 'Enter') return;
    if (event.key === 'o') box.querySelector('select').focus();
    else box.querySelector('.nlkit-key-' + (list ? 'o' : event.key))?.click();
    if (list) box.focus();
    if (list || /^[kaosu]$/.test(event.key)) event.preventDefault();
  });
}
"""
PIXEL = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw=="


class Review:
    """A widget that shows one suspect after another; `dataset` is what comes out.

    Parameters
    ----------
    found : Cleaned
        From `nlkit.clean`.
    file : path
        Where decisions are kept, each as soon as it is made; what is there already counts.

    Attributes
    ----------
    decisions : Decisions
    place : int or None
        The row of ``found.table`` that is shown; None when all is decided.
    buttons : dict of str to widget
        keep, accept, other, skip and undo; the keys k, a, o, s and u press them.
    """

    def __init__(self, found: Cleaned, file: str | Path) -> None:
        self.decisions, self._found = Decisions(found, file), found
        self.card, self.error, self.said = ipywidgets.HTML(), ipywidgets.HTML(), ipywidgets.HTML()
        self.labels = ipywidgets.Dropdown(options=found.method.label_names_, layout={"width": "14em"})
        self.buttons = {}
        for name, key in KEYS.items():
            button = ipywidgets.Button(description=f"{name} ({key})", layout={"width": "7.5em"})
            button.on_click(lambda _, name=name: self.press(name))
            button.add_class(f"nlkit-key-{key}")
            self.buttons[name] = button
        line = ipywidgets.HBox([*self.buttons.values(), self.labels], layout={"flex_flow": "row wrap"})
        keys = ipywidgets.HTML(f'<img alt="" src="{PIXEL}" onload="{escape(PRESS)}">')
        self.box = ipywidgets.VBox([self.said, self.card, line, self.error, keys])
        self.box.add_class("nlkit-review")
        self._show(self.decisions.next())

    def press(self, name: str) -> None:
        """Do what a button does, and show the next suspect; an error is shown, and nothing is lost."""
        try:
            if name == "undo":
                place = self.decisions.undo()
                self._show(self.place if place is None else place)
            elif self.place is not None:
                self.decisions.decide(self.place, self._label(name))
                self._show(self.decisions.next())
            self.error.value = ""
        except Exception as error:
            self.error.value = failure("This decision was not kept.", error)
            raise

    def dataset(self) -> Dataset:
        """Return the data with the decided labels (`nlkit.study.decisions.Decisions.dataset`)."""
        return self.decisions.dataset()

    def _label(self, name: str) -> str | None:
        row: Any = self._found.table.loc[self.place]
        choice = {"keep": row["noisy_label"], "accept": row["proposal"], "other": self.labels.value}
        return choice.get(name) or None  # a missing label cannot be kept: it is skipped

    def _show(self, place: int | None) -> None:
        self.place = place
        done, every = len(self.decisions.decided), len(self.decisions.order)
        self.said.value = (
            f"<p>{done} of {every} suspects decided; kept in {escape(str(self.decisions.file))}</p>"
        )
        for name, button in self.buttons.items():
            button.disabled = place is None and name != "undo"
        if place is None:
            self.card.value = "<p>All suspects are decided.</p>"
            return
        self.card.value = suspect_card(self._found, place)
        # Neither of the two that have buttons of their own, if there is a third.
        row: Any = self._found.table.loc[place]
        likely = self._found.findings.probability[:, place].mean(0).argsort()[::-1]
        names = [self._found.names[c] for c in likely]
        taken = (row["noisy_label"], row["proposal"])
        self.labels.value = next((name for name in names if name not in taken), names[0])

    def _ipython_display_(self) -> None:
        import IPython.display

        send: Any = IPython.display.display
        send(self.box)


def review(found: Cleaned, file: str | Path) -> Review:
    """Review suspect labels in a notebook, by mouse or keys: keep, accept, other, skip, undo.

    Parameters
    ----------
    found : Cleaned
        From `nlkit.clean`.
    file : path
        Where decisions are kept, each as soon as it is made; the same call goes on where it stopped.

    Examples
    --------
    >>> import nlkit as nk
    >>> found = nk.clean(nk.load_dataset({"train": "my.csv"}, validation=0))   # doctest: +SKIP
    >>> reviewed = nk.review(found, "decisions.json")                          # doctest: +SKIP
    >>> clf = nk.SiDyP().fit({"train": reviewed.dataset()})                    # doctest: +SKIP
    """
    return Review(found, file)
