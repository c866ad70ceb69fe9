"""Which kind of place this is (Binder, Colab, a JupyterHub, Jupyter, a terminal), and what is missing there.

A kernel sees its own environment only: where server and kernel have different ones, as on some hubs, the
report says in words what to look at on the server.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from nlkit._util import _in_notebook
from nlkit.diagnosis.report import Finding

__all__ = ["browser_tests", "here", "installed", "memory_limit", "place", "widgets"]

ENOUGH_GB = 4.0
"""Memory that every notebook of the course runs in, in profile quick."""

COLAB_WIDGETS = '%pip install "ipywidgets<8"   (then restart the session)'
CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
PLACES = {
    "Binder": "the session ends when it is idle, and its files with it: download what you want to keep",
    "Colab": "the session's files end with it: save the notebook to Drive",
    "JupyterHub": "one server a student; see notebooks/README.md for a class's settings",
    "Jupyter": "a notebook of this machine",
    "terminal": "no notebook; `make lab` opens the course",
}


def installed(name: str) -> str | None:
    """Return the version of an installed package, or None."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def place() -> str:
    """Return "Binder", "Colab", "JupyterHub", "Jupyter" or "terminal"."""
    # Binder is a JupyterHub too, so it comes first.
    if any(name.startswith("BINDER_") for name in os.environ):
        return "Binder"
    if "google.colab" in sys.modules or "COLAB_RELEASE_TAG" in os.environ:
        return "Colab"
    if "JUPYTERHUB_USER" in os.environ:
        return "JupyterHub"
    return "Jupyter" if _in_notebook() else "terminal"


def here() -> Iterable[Finding]:
    """Say which place this is, and what keeps a student's work and time there."""
    yield Finding("place", "ok", f"{place()}: {PLACES[place()]}")
    limit = memory_limit()
    if limit is not None:
        yield Finding(
            "memory limit",
            "ok" if limit >= ENOUGH_GB else "warn",
            f"{limit:.1f} GB for this session (the free memory above may be all the machine's)",
            f"Above it the kernel dies without a word. {ENOUGH_GB:g} GB are enough for every notebook; with "
            'less, set annotator = "simulated" and a smaller train_size, and keep one notebook open.',
        )


def memory_limit() -> float | None:
    """Return the GB that this session may take, as a hub or a container says; None if it is not limited."""
    import psutil

    limits = [os.environ.get("MEM_LIMIT", "")]
    limits += [path.read_text("ascii").strip() for path in CGROUPS if path.is_file()]
    # A limit above what the machine has (the kernel's way of writing "none") is none.
    total = psutil.virtual_memory().total
    found = [int(limit) for limit in limits if limit.isdecimal() and 0 < int(limit) < total]
    return min(found) / 1e9 if found else None


def widgets() -> Iterable[Finding]:
    """Say whether the front end that draws widgets is there and fits the kernel's ipywidgets."""
    from packaging.requirements import Requirement

    name, kernel = place(), installed("ipywidgets")
    if kernel is None:
        remedy = COLAB_WIDGETS if name == "Colab" else 'pip install -c constraints.txt "ipywidgets>=8.1"'
        yield Finding("widgets", "warn", "ipywidgets is missing: explorers cannot be shown", remedy)
        return
    if name == "Colab":
        # Colab brings its own front end, for ipywidgets 7; nlkit uses core widgets only, which that one shows
        # without google.colab.output.enable_custom_widget_manager().
        good, remedy = kernel.startswith("7."), COLAB_WIDGETS
        found = f"ipywidgets {kernel}; Colab shows those of version 7"
    else:
        wanted = map(Requirement, requires("ipywidgets") or ())
        needs = next(r for r in wanted if r.name.replace("_", "-") == "jupyterlab-widgets")
        front_end = installed("jupyterlab_widgets")
        good = front_end is not None and needs.specifier.contains(front_end)
        found = f"ipywidgets {kernel}, jupyterlab_widgets {front_end or 'missing'} (wanted {needs.specifier})"
        remedy = f'pip install "{needs}"   (where JupyterLab is installed; then reload the page)'
        if name == "JupyterHub":
            remedy += "\nA server with its own environment cannot be seen from here: look there."
    yield Finding("widgets", "ok" if good else "warn", found, remedy)


def browser_tests() -> Iterable[Finding]:
    """Say whether the tests in a real browser can run; the course needs none of it."""
    program = any(map(shutil.which, ("chromium", "chromium-browser", "google-chrome")))
    package = installed("playwright")
    found = f"playwright {package or 'missing'}, chromium {'found' if program else 'missing'}"
    if not (program and package):
        found += "; only the tests in tests/browser need it (make setup; apt-get install chromium)"
    yield Finding("browser tests", "ok", found)
