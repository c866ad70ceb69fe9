"""Which kind of place this is (Binder, Colab, a JupyterHub, Jupyter, a terminal), and what is missing there.

The doctor asks. A kernel sees its own environment only: where server and kernel have different ones, as on
some hubs, the server's part is said in words.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from nlkit._findings import Finding
from nlkit._util import _in_notebook

__all__ = ["browser_tests", "here", "memory_limit", "place", "widgets"]

ENOUGH_GB = 4.0
"""Memory that every notebook of the course runs in, in profile quick."""

COLAB_WIDGETS = '%pip install "ipywidgets<8"   (then restart the session)'
CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


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
    name = place()
    says = {
        "Binder": "the session ends when it is idle, and its files with it: download what you want to keep",
        "Colab": "the session's files end with it: save the notebook to Drive",
        "JupyterHub": "one server a student; see notebooks/README.md for a class's settings",
        "Jupyter": "a notebook of this machine",
        "terminal": "no notebook; `make lab` opens the course",
    }
    yield Finding("place", "ok", f"{name}: {says[name]}")
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
    limits = [os.environ.get("MEM_LIMIT", "")]
    limits += [path.read_text("ascii").strip() for path in CGROUPS if path.is_file()]
    import psutil

    # A limit above what the machine has (the kernel's way of writing "none") is none.
    total = psutil.virtual_memory().total
    found = [int(limit) for limit in limits if limit.isdecimal() and 0 < int(limit) < total]
    return min(found) / 1e9 if found else None


def widgets() -> Iterable[Finding]:
    """Say whether the front end that draws widgets is there and fits the kernel's ipywidgets."""
    name, kernel = place(), _version("ipywidgets")
    if kernel is None:
        remedy = COLAB_WIDGETS if name == "Colab" else 'pip install -c constraints.txt "ipywidgets>=8.1"'
        yield Finding("widgets", "warn", "ipywidgets is missing: explorers cannot be shown", remedy)
    elif name == "Colab":
        # Colab brings its own front end, for ipywidgets 7; nlkit uses core widgets only, which that one shows
        # without google.colab.output.enable_custom_widget_manager().
        good = int(kernel.split(".")[0]) == 7
        found = f"ipywidgets {kernel}; Colab shows those of version 7"
        yield Finding("widgets", "ok" if good else "warn", found, COLAB_WIDGETS)
    else:
        yield _front_end(name, kernel)


def _front_end(name: str, kernel: str) -> Finding:
    from packaging.requirements import Requirement

    wanted = [Requirement(line) for line in requires("ipywidgets") or ()]
    needs = next(r for r in wanted if r.name.replace("_", "-") == "jupyterlab-widgets")
    found = _version("jupyterlab_widgets")
    good = found is not None and needs.specifier.contains(found)
    remedy = f'pip install "{needs}"   (where JupyterLab is installed; then reload the page)'
    if name == "JupyterHub":
        remedy += "\nA server of another environment than the kernel's cannot be seen from here: look there."
    said = f"ipywidgets {kernel}, jupyterlab_widgets {found or 'missing'} (wanted {needs.specifier})"
    return Finding("widgets", "ok" if good else "warn", said, remedy)


def browser_tests() -> Iterable[Finding]:
    """Say whether the tests in a real browser can run; the course needs none of it."""
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    package = _version("playwright")
    have = f"playwright {package or 'missing'}, chromium {'found' if program else 'missing'}"
    if program and package:
        yield Finding("browser tests", "ok", have)
    else:
        more = "only the tests in tests/browser need it (make setup; apt-get install chromium)"
        yield Finding("browser tests", "ok", f"{have}; {more}")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None
