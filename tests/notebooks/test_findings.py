"""Sentences that state findings, in worlds that nobody tuned: names of what was recorded change places.

Nothing is trained, so a world costs seconds. What was recorded of one method or kind of noise is said to
be another's; a sentence that is true of the recorded run only is false there, and a check cell must find it.
"""

from __future__ import annotations

import re
import shutil
from unittest.mock import patch

import matplotlib as mpl
import pandas as pd
import pytest

import nlkit as nk
from nlkit.course.parameters import Setup
from nlkit.course.saying import Said
from notebooks import build as notebooks
from notebooks.build import sweeping

SKIPPED = {"setup", "machine", "solution", "score"}
# For each notebook: a recorded run, a table of it, and the column of names whose order is turned
# round, except those that follow; or two arrays of the run that change places.
TURNED = {
    "00_start_here": [("start_noiseal", "scores", "method"), ("start_sidyp", "scores", "method"),
                      ("start_sidyp", "cases", "case")],
    "01_label_noise": [("label_noise", "costs", "kind")],
    "02_memorisation": [("dynamics", "history", "model")],
    "03_splitting": [("dynamics", "strong", "weak")],
    "04_llm_annotator": [("llm_budget", "scores", "test accuracy"),
                          ("llm_trust", "scores", "answers right")],
    "05_noiseal": [("noiseal", "scores", "method"), ("noiseal_ablations", "runs", "method"),
                   ("noiseal_sizes", "recall", "method")],
    "06_llm_noise": [("llm_noise_pace", "curves", "noise")],
    "07_dynamic_prior": [("dynamic_prior", "detection", "score", "both")],
    "08_simplex_diffusion": [("simplex_diffusion", "believed", "shown"),
                             ("simplex_diffusion", "heard", "observed label"),
                             ("simplex_diffusion", "steps", "steps")],
    "09_sidyp": [("sidyp", "corrections", "labels", "the observed labels")],
    "10_compare": [("compare_baselines", "scores", "selected"), ("compare_methods", "scores", "selected")],
}  # fmt: skip


def turned(values, *kept):
    """Let the names in a column change places: the first becomes the last, and some stay."""
    names = [name for name in dict.fromkeys(values) if name not in kept]
    return values.replace(dict(zip(names, reversed(names), strict=True)))


def play(name, change, **parameters):
    """Execute a notebook's cells here, without pictures; return its variables, and all that it said."""
    read, said = Setup.run, []

    def run(self, experiment, compute, **more):
        found = read(self, experiment, compute, **more)
        for table, column, *kept in (rest for own, *rest in change if own == experiment):
            if column in found.data:
                found.data[table], found.data[column] = found[column], found[table]
                continue
            found.data[table] = found[table].assign(**{column: turned(found[table][column], *kept)})
        found.as_given = found.as_given and not change
        return found

    nothing = lambda *anything, **more: None  # noqa: E731
    explorers = [found for found in dir(nk.widgets) if found.endswith("_explorer") or found == "explore"]
    space: dict = {"__name__": "notebook"}
    with (
        patch.object(Setup, "run", run),
        patch.object(nk.plots, "show", nothing),
        patch.multiple(nk.widgets, **dict.fromkeys(explorers, nothing)),
        mpl.rc_context(),
    ):
        for cell in notebooks.read_solutions(name).cells:
            tags = set(cell.metadata.get("tags", []))
            if cell.cell_type == "code" and not tags & SKIPPED:
                exec(compile(cell.source, f"{name}:{cell.id}", "exec"), space)
                said += [value for value in space.values() if isinstance(value, Said) and value not in said]
                if "parameters" in tags:
                    space.update(parameters)
    return space, said


@pytest.mark.parametrize("name", notebooks.names())
def test_no_sentence_is_false_where_names_have_changed_places(name, tmp_path, monkeypatch):
    space, said = play(name, TURNED.get(name, []), results=str(tmp_path / "found.json"))
    assert len(said) >= 3
    assert not [text for text in said if re.search(r"\bnan\b|\binf\b| None\b", text)]
    by, *_ = space["result"].columns
    assert space["result"][by].is_unique

    def run(names, parameters, out):
        out.mkdir(parents=True)
        shutil.copy(tmp_path / "found.json", out / f"{name}.json")
        return pd.DataFrame([{"error": ""}])

    # What the notebook wrote is what a sweep over two values collects and draws, a line a row of `result`.
    monkeypatch.setattr(sweeping, "run", run)
    found = notebooks.sweep(name, {"seed": [1, 2]}, tmp_path / "sweep")
    assert list(found) == ["seed", *sweeping.result_columns(name)]
    assert len(found) == 2 * len(space["result"])
    sweeping.draw_found(found, tmp_path / "x.png", x="seed", y=found.columns[2], by=by)
    words = (tmp_path / "x.txt").read_text("utf-8")
    assert all(f" {row} " in words for row in space["result"][by])


def test_a_false_sentence_is_found():
    """The check cells themselves: a finding that is not told by this run's numbers stops the notebook."""
    with (
        patch(
            "nlkit.course.saying.compare", lambda values, a, b, unit="%", near=0: f"{a} (99.9 %) is above {b}"
        ),
        pytest.raises(AssertionError, match=r"the text says 99\.9"),
    ):
        play("05_noiseal", [])
