from __future__ import annotations

import json
import subprocess
import sys

import pytest

from notebooks import build as notebooks
from notebooks.build import measuring

MEASURED = {"seconds": 150.0, "longest_cell": 50, "peak_gb": 3.6, "on": "2 CPU cores"}


@pytest.fixture
def course(monkeypatch, tmp_path):
    """Two notebooks, the first of them measured in profile quick."""
    (tmp_path / "measured.json").write_text(json.dumps({"00_a": {"quick": MEASURED}}))
    monkeypatch.setattr(measuring, "folder", lambda: tmp_path)
    monkeypatch.setattr(measuring, "names", lambda: ["00_a", "01_b"])
    return tmp_path


def test_the_guide_is_in_step():
    guide = (notebooks.folder() / "README.md").read_text("utf-8")
    start, end = measuring.OVERVIEW
    shown = guide.partition(start)[2].partition(end)[0].strip()
    assert shown == measuring.measured_overview(), "run: make notebooks"


def test_the_overview_adds_up_and_says_what_was_not_measured(course):
    head, _, first, second, whole = measuring.measured_overview().splitlines()
    assert first == "| [00_a](00_a.ipynb) | 2.5 min | 50 s | 3.6 GB | not measured yet |  |  |"
    assert second.count("not measured yet") == 2
    assert whole == "| all | 2.5 min (1 not measured yet) | | | not measured yet | | |"
    assert len({line.count("|") for line in (head, first, second, whole)}) == 1
    known = {name: dict.fromkeys(("quick", "class"), MEASURED) for name in ("00_a", "01_b")}
    (course / "measured.json").write_text(json.dumps(known))
    assert measuring.measured_overview().splitlines()[-1] == "| all | 5.0 min | | | 5.0 min | | |"


def test_the_overview_goes_between_its_markers(course):
    start, end = measuring.OVERVIEW
    guide = course / "README.md"
    guide.write_text(f"above\n{start}\nold\n{end}\nbelow\n")
    measuring.write_overview()
    said = guide.read_text()
    assert said == f"above\n{start}\n\n{measuring.measured_overview()}\n\n{end}\nbelow\n"
    measuring.write_overview()
    assert guide.read_text() == said


@pytest.mark.parametrize("text", ["", "{0}", "{1} {0}", "{0} {1} {0} {1}"])
def test_markers_that_are_wrong_are_named(course, text):
    guide = course / "README.md"
    guide.write_text(text.format(*measuring.OVERVIEW))
    with pytest.raises(ValueError, match=r"notebooks/README.md=.*<!-- measured -->"):
        measuring.write_overview()
    assert guide.read_text() == text.format(*measuring.OVERVIEW)


MEASURES = """
import subprocess, sys, time
from notebooks.build.running import Measure

def process(size):
    holds = f"x = bytearray({size}); print('ready', flush=True); input()"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    started = subprocess.Popen([sys.executable, "-c", holds], **pipes)
    started.stdout.readline()
    return started

with process(300_000_000) as before, Measure() as measured:
    with process(100_000_000) as inside:
        measured.peak = 0  # what was seen of its beginning
        while not measured.peak:
            time.sleep(0.01)
        inside.communicate("")
    before.communicate("")
print(measured.peak)
"""


def test_memory_is_that_of_processes_started_inside():
    # Alone: notebooks run beside the tests.
    command, root = [sys.executable, "-c", MEASURES], notebooks.folder().parent
    found = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    assert 100e6 < int(found.stdout) < 250e6
