"""Where the notebooks are, and what they are called."""

from __future__ import annotations

from pathlib import Path

from nlkit._util import reject

__all__ = ["checked", "folder", "names"]


def folder() -> Path:
    """Return the folder ``notebooks`` of the repository."""
    found = Path(__file__).resolve().parents[2] / "notebooks"
    if not (found / "source").is_dir():
        raise FileNotFoundError(
            "there is no folder notebooks/source beside the package: nlkit.notebooks works in a clone of the "
            "repository (pip install -e .)"
        )
    return found


def names() -> list[str]:
    """Return the names of all notebooks, in the order of the course."""
    return sorted(path.stem for path in (folder() / "source").glob("*.py"))


def checked(name: str) -> str:
    """Return the name if there is such a notebook."""
    if name not in names():
        reject("name", name, f"one of {', '.join(names())}")
    return name
