"""Imports go one way through the package, and nothing below the course draws or runs notebooks."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from benchmarks.structure import cycles, imports

ROOT = Path(__file__).parents[1]
GRAPH = {
    name.removeprefix("nlkit."): {other.removeprefix("nlkit.") for other in uses}
    for name, uses in imports(ROOT / "nlkit").items()
}

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
FRONT = {"__main__", "diagnosis"}
"""What stands in front of the package and may look at all of it."""


def package(name):
    return name.split(".")[0]


INSIDE = [name for name in GRAPH if package(name) in LAYER]


def test_every_package_has_its_layer():
    assert {package(name) for name in GRAPH} - FRONT - {"nlkit", "_util"} == set(LAYER)


@pytest.mark.parametrize("name", INSIDE)
def test_imports_go_one_way(name):
    others = {other for other in GRAPH[name] if package(other) != package(name)}
    assert [
        o for o in others if package(o) in FRONT or LAYER.get(package(o), -1) >= LAYER[package(name)]
    ] == []


def test_the_two_methods_do_not_know_each_other():
    for one, other in (("noiseal", "sidyp"), ("sidyp", "noiseal")):
        mine = [name for name in INSIDE if name.startswith(f"methods.{one}")]
        assert mine
        assert [n for n in mine if any(used.startswith(f"methods.{other}") for used in GRAPH[n])] == []


@pytest.mark.parametrize("name", [name for name in INSIDE if package(name) != "course"])
def test_only_the_course_draws(name):
    place = ROOT / "nlkit" / name.replace(".", "/")
    path = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    used = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            used |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            used.add((node.module or "").split(".")[0])
    assert used & COURSE_ONLY == set()


def test_there_are_no_circles():
    assert cycles(GRAPH) == []
    assert cycles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
