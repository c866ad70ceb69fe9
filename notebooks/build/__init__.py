"""The course's notebooks: made from their sources, and measured.

``python -m notebooks.build build`` writes ``notebooks/*.ipynb`` from ``notebooks/source/*.py``. How they are
run is in `notebooks.build.running`.
"""

from notebooks.build.building import build, tidy
from notebooks.build.measuring import measure, measured_table
from notebooks.build.running import execute, folder, names, parameters_of, run
from notebooks.build.source import read_solutions, read_source
from notebooks.build.sweeping import sweep

__all__ = [
    "build",
    "execute",
    "folder",
    "measure",
    "measured_table",
    "names",
    "parameters_of",
    "read_solutions",
    "read_source",
    "run",
    "sweep",
    "tidy",
]
