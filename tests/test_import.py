"""The package's front door: fast, and every public name behind it exists."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import nlkit

HEAVY = ["torch", "transformers", "datasets", "pandas", "sklearn", "scipy", "matplotlib", "ipywidgets"]

PROBE = """
import json, sys, time
began = time.perf_counter()
import nlkit
seconds = time.perf_counter() - began
seen = {"seconds": seconds, "modules": sorted(sys.modules), "names": nlkit.__all__, "dir": dir(nlkit)}
print(json.dumps(seen))
"""


@pytest.fixture(scope="module")
def probes():
    """What five fresh processes saw."""
    return [
        json.loads(subprocess.run([sys.executable, "-c", PROBE], capture_output=True, check=True).stdout)
        for _ in range(5)
    ]


@pytest.mark.parametrize("heavy", HEAVY)
def test_import_brings_nothing_heavy(probes, heavy):
    assert heavy not in probes[0]["modules"]


def test_import_is_fast(probes):
    # A promise of the package, not a benchmark; the best of five, as other processes may be busy.
    assert min(probe["seconds"] for probe in probes) < 0.3


def test_dir_lists_the_public_names(probes):
    assert set(probes[0]["names"]) <= set(probes[0]["dir"])


@pytest.mark.parametrize("name", sorted(nlkit.__all__))
def test_every_public_name_resolves(name):
    assert getattr(nlkit, name) is not None


def test_public_names_resolve_in_any_order():
    # A submodule that is imported first must not hide the function of the same name.
    code = "import nlkit.doctor, nlkit.data; assert callable(nlkit.doctor) and callable(nlkit.load_dataset)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nlkit.nothing
