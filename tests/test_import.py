"""The package's front door: fast, and every public name behind it exists."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec

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


@pytest.mark.parametrize(("imports", "policy"), [("nlkit", "PASSIVE"), ("torch, nlkit", None)])
def test_waiting_is_set_where_torch_will_still_read_it(monkeypatch, imports, policy):
    monkeypatch.delenv("OMP_WAIT_POLICY", raising=False)
    code = f"import os, {imports}; print(os.environ.get('OMP_WAIT_POLICY'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert done.stdout.strip() == str(policy)


def test_dir_lists_the_public_names(probes):
    assert set(probes[0]["names"]) <= set(probes[0]["dir"])


@pytest.mark.parametrize("name", sorted(nlkit.__all__))
def test_every_public_name_resolves(name):
    assert getattr(nlkit, name) is not None


@pytest.mark.parametrize("name", sorted(nlkit._NAMES))
def test_no_module_has_the_name_of_a_function(name):
    # Importing it first would put the module in the function's place.
    assert find_spec(f"nlkit.{name}") is None


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = nlkit.nothing
