"""The course's notebooks: made from their sources, measured, and run under papermill.

``python -m nlkit.notebooks build`` writes ``notebooks/*.ipynb`` from ``notebooks/source/*.py``.
"""

from nlkit.notebooks.building import build
from nlkit.notebooks.courses import run
from nlkit.notebooks.measuring import measured_table
from nlkit.notebooks.paths import folder, names
from nlkit.notebooks.running import execute, measure, tidy
from nlkit.notebooks.source import parameters_of, read_source
from nlkit.notebooks.sweeping import sweep

__all__ = [
    "build",
    "execute",
    "folder",
    "measure",
    "measured_table",
    "names",
    "parameters_of",
    "read_source",
    "run",
    "sweep",
    "tidy",
]
