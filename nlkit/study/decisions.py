"""What a person decides about suspect labels: in the order that helps most, kept after each one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from datasets import Dataset

from nlkit._util import atomic_write, content_hash, expanded, invalid
from nlkit.data.observed import CHECKED, with_column
from nlkit.study.cleaned import Cleaned

__all__ = ["Decisions"]


class Decisions:
    """A person's decisions about the suspects of a data set, in a JSON file that is replaced after each one.

    Parameters
    ----------
    found : Cleaned
        From `nlkit.clean`.
    file : path
        Read if it is there, so that a review goes on where it stopped.

    Attributes
    ----------
    order : list of int
        Places of the suspects in ``found.table``: first those that were left as they were, the surest
        proposals first; then those that were changed, the least sure first.
    made : list of (int, str or None)
        Places and labels decided on, oldest first; None: skipped.

    Raises
    ------
    ValueError
        If the file is damaged, or of other texts or labels.
    """

    def __init__(self, found: Cleaned, file: str | Path) -> None:
        self.found, self.file = found, expanded(file)
        table, suspects = found.table, found.suspects
        self._identity = content_hash(*table["text"], *table["noisy_label"])
        left, changed = (suspects[suspects["changed"] == done] for done in (False, True))
        self.order = [
            *left.sort_values("confidence", ascending=False, kind="stable").index,
            *changed.sort_values("confidence", kind="stable").index,
        ]
        self.made: list[tuple[int, str | None]] = self._read() if self.file.exists() else []

    def _read(self) -> list[tuple[int, str | None]]:
        try:
            told = json.loads(self.file.read_text("utf-8"))
            identity, made = told["of"], [(int(place), label) for place, label in told["made"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{self.file} is damaged ({error}): move it away to begin anew") from error
        if identity != self._identity:
            raise ValueError(f"{self.file} holds decisions on other texts or labels: choose another file")
        return made

    @property
    def decided(self) -> dict[int, str]:
        """The label of each place that was decided on and not skipped."""
        return {place: label for place, label in dict(self.made).items() if label is not None}

    def next(self) -> int | None:
        """Return the place to decide on next: what was skipped comes last; None when all is decided."""
        seen = dict(self.made)
        fresh = [place for place in self.order if place not in seen]
        # Of those that were skipped, the one that was so longest ago.
        last = {place: number for number, (place, label) in enumerate(self.made)}
        skipped = sorted((place for place, label in seen.items() if label is None), key=last.__getitem__)
        return next(iter([*fresh, *skipped]), None)

    def decide(self, place: int, label: str | None) -> None:
        """Keep a decision: a class name, or None to skip."""
        names = self.found.names
        if label is not None and label not in names:
            invalid("label", label, f"one of {', '.join(names)}, or None to skip")
        self._keep([*self.made, (place, label)])

    def decide_all(self, made: Sequence[tuple[int, str]]) -> None:
        """Keep many decisions at once, all or none; `undo` takes them back one by one."""
        self._keep([*self.made, *made])

    def undo(self) -> int | None:
        """Take back the last decision; return its place, None where there is none."""
        if not self.made:
            return None
        place = self.made[-1][0]
        self._keep(self.made[:-1])
        return place

    def _keep(self, made: list[tuple[int, str | None]]) -> None:
        with atomic_write(self.file) as path:
            path.write_text(json.dumps({"of": self._identity, "made": made}), "utf-8")
        self.made = made  # only what is on the disk counts

    def dataset(self) -> Dataset:
        """Return the data to train on: decided labels, and elsewhere the cleaned ones, as ``noisy_label``.

        A column ``label_checked`` tells which a person has decided on: methods trust those
        (`nlkit.data.observed.observe`).
        """
        rows, names = self.found.dataset, self.found.names
        label, checked = np.array(rows["cleaned_label"][:], np.int64), np.zeros(len(rows), bool)
        for place, name in self.decided.items():
            label[place], checked[place] = names.index(name), True
        rows = with_column(rows, "noisy_label", label.tolist(), rows.features["cleaned_label"])
        return with_column(rows.remove_columns("cleaned_label"), CHECKED, checked.tolist())
