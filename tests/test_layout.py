"""Imports go one way through the package, and nothing below the course draws or runs notebooks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "nlkit"

# Each package may import those of the layers below it; nothing at all imports one above.
LAYERS = (
    ("data",),
    ("noise", "metrics", "models"),
    ("training", "annotate"),
    ("methods",),
    ("study",),
    ("course",),
)
LAYER = {name: number for number, layer in enumerate(LAYERS) for name in layer}
COURSE_ONLY = {"matplotlib", "seaborn", "ipywidgets", "papermill"}
FRONT = {"__init__", "__main__", "diagnosis"}
"""What stands in front of the package and may look at all of it."""


def modules():
    """Return every module's dotted name below nlkit, with its file."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path
        for path in sorted(PACKAGE.rglob("*.py"))
    }


MODULES = modules()


def imported(path):
    """Return what a file imports, wherever in it: dotted names."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inside = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {name for name in inside if name.removeprefix("nlkit.") in MODULES}
            found |= modules if modules == inside else modules | {node.module}
    return found


def own(path):
    """Return which modules of nlkit a file imports."""
    return {name.removeprefix("nlkit.") for name in imported(path) if name.removeprefix("nlkit.") in MODULES}


@pytest.mark.parametrize("name", [name for name in MODULES if name.split(".")[0] in LAYER])
def test_imports_go_one_way(name):
    package = name.split(".")[0]
    wrong = [
        other
        for other in own(MODULES[name])
        if ((part := other.split(".")[0]) != package and LAYER.get(part, -1) >= LAYER[package])
        or part in FRONT - {"__init__"}
    ]
    assert wrong == []


def test_the_two_methods_do_not_know_each_other():
    for one, other in (("noiseal", "sidyp"), ("sidyp", "noiseal")):
        files = (PACKAGE / "methods" / one).rglob("*.py")
        assert [p.name for p in files if any(f"methods.{other}" in name for name in imported(p))] == []


@pytest.mark.parametrize(
    "name",
    [name for name in MODULES if name.split(".")[0] in LAYER and LAYER[name.split(".")[0]] < LAYER["course"]],
)
def test_only_the_course_draws(name):
    assert {what.split(".")[0] for what in imported(MODULES[name])} & COURSE_ONLY == set()


def test_there_are_no_circles():
    edges = {name: own(path) for name, path in MODULES.items()}
    while leaves := [name for name, uses in edges.items() if not uses & set(edges)]:
        for name in leaves:
            del edges[name]
    assert sorted(edges) == []
