"""The rendered course: static pages of all executed notebooks, with an index and a search.

They need no server and no network: nothing is loaded but files beside them, by relative addresses, and the
search index is a script. ``make site`` writes them.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import nbformat as untyped_nbformat
from bs4 import Tag
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from nlkit._util import invalid
from nlkit.course.running import folder, names
from notebooks.build.places import GITHUB, repository
from notebooks.build.rendering import ASSETS, Page, render, slug

__all__ = ["site"]

nbformat: Any = untyped_nbformat

COURSE = "nlkit: learning from noisy labels"
INDEX = "assets/search-index.js"


def site(out: str | Path | None = None) -> Path:
    """Write the site: a page for each executed notebook, one for ``notebooks/README.md``, and an index.

    Parameters
    ----------
    out : path, optional
        The folder, ``site`` in the repository by default. An older site there is replaced when the new one is
        whole; if anything fails it stays.

    Returns
    -------
    Path
        The folder. Its ``index.html`` is the entry.

    Raises
    ------
    ValueError
        If `out` holds something else than a site, a notebook is not fit for a page, or a link leads nowhere.
    FileNotFoundError
        If no notebook was executed yet.
    """
    target = (Path(out) if out is not None else folder().parent / "site").resolve()
    if target.exists() and not (target / INDEX).is_file() and (target.is_file() or any(target.iterdir())):
        invalid("out", str(target), "a folder that is not there yet, is empty, or holds an older site")
    notebooks, guide = _notebooks(), _guide()
    pages = [*notebooks, *guide]
    for page in pages:
        _relink(page, pages)
    with _replaced(target) as place:
        shutil.copytree(ASSETS, place / "assets", ignore=shutil.ignore_patterns("*.j2", "notebook"))
        (place / INDEX).write_text(_search_index(pages), "utf-8")
        for page, before, after in zip(pages, [None, *pages], [*pages[1:], None], strict=False):
            html = _filled("page.html.j2", page=page, body=Markup(page.body), before=before, after=after)
            (place / page.file).write_text(html, "utf-8")
            if page.notebook:
                shutil.copy(page.source, place / page.notebook)
        columns, rows = _time_table(notebooks)
        html = _filled(
            "index.html.j2", page=None, notebooks=notebooks, guide=guide, columns=columns, rows=rows
        )
        (place / "index.html").write_text(html, "utf-8")
    return target


def _notebooks() -> list[Page]:
    paths = [path for name in names() if (path := folder() / f"{name}.ipynb").exists()]
    if not paths:
        raise FileNotFoundError(f"{folder()} holds no executed notebook. Run: make notebooks")
    return [render(nbformat.read(path, as_version=4), path, f"{path.stem}.html") for path in paths]


def _guide() -> list[Page]:
    """Return the teacher's guide as a page, if there is one: a notebook of one cell."""
    path = folder() / "README.md"
    if not path.exists():
        return []
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(path.read_text("utf-8"))])
    return [render(nb, path, "guide.html")]


def _relink(page: Page, pages: Sequence[Page]) -> None:
    """Make a page's links lead to pages of the site, to the repository's own page, or nowhere, in place."""
    root = folder().parent.resolve()
    by_source = {other.source.resolve(): other for other in pages}
    for link in page.body.select("a[href]"):
        href = str(link["href"])
        address = urlsplit(href)
        if address.scheme or address.netloc:
            continue
        path, fragment = unquote(address.path), unquote(address.fragment)
        target = (page.source.parent / path).resolve() if path else page.source.resolve()
        if target in by_source:
            link["href"] = _address(by_source[target], fragment, page, href)
        elif target.is_relative_to(root) and target.exists():
            _to_repository(link, target.relative_to(root).as_posix(), address.fragment, page)
        else:
            raise ValueError(
                f"{page.source.name}: the link {href!r} leads nowhere: {target.name} is neither an executed "
                "notebook nor another file of the repository"
            )


def _address(other: Page, fragment: str, page: Page, href: str) -> str:
    """Return the address of another page, or of a section of it, as it is from a page."""
    file = "" if other is page else other.file
    if not fragment:
        return file or other.file
    for anchor in (fragment, slug(fragment)):
        if anchor in other.anchors:
            return f"{file}#{quote(anchor)}"
    raise ValueError(
        f"{page.source.name}: the link {href!r} leads nowhere: {other.source.name} has no section "
        f"{fragment!r}. It has {', '.join(heading.anchor for heading in other.headings)}"
    )


def _to_repository(link: Tag, path: str, fragment: str, page: Page) -> None:
    """Let a link to a file lead to the repository's own page; without such a page, name the file."""
    if on_github := GITHUB.fullmatch(repository()):
        url = f"https://github.com/{on_github[1]}/blob/HEAD/{quote(path)}"
        link["href"] = f"{url}#{fragment}" if fragment else url
        return
    if path not in link.get_text():
        named = page.body.new_tag("code", string=path)
        link.extend([" (", named, ")"])
    link.unwrap()


def _time_table(pages: Sequence[Page]) -> tuple[list[str], list[tuple[Page, list[str]]]]:
    """Return the columns and rows of all that was measured; profiles that were not are left out."""
    found = [
        (page, dict(zip(page.measured[0], row, strict=True)))
        for page in pages
        for row in page.measured[1:]
        if all(row)
    ]
    columns = list(dict.fromkeys(column for _, row in found for column in row))
    return columns, [(page, [row.get(column, "") for column in columns]) for page, row in found]


def _search_index(pages: Sequence[Page]) -> str:
    """Return the script that holds all sections: [file, page's title, heading, anchor, text]."""
    rows = [
        [page.file, page.title, heading.text, heading.anchor, text]
        for page in pages
        for heading, text in page.sections()
    ]
    lines = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return f'"use strict";\nconst courseSearch = [\n{lines}\n];\n'


def _filled(template: str, **values: Any) -> str:
    environment = Environment(
        loader=FileSystemLoader(ASSETS),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(course=COURSE, **values) + "\n"


@contextmanager
def _replaced(target: Path) -> Iterator[Path]:
    """Yield a new folder; put it in the place of `target` when the block ends without an error."""
    target.parent.mkdir(parents=True, exist_ok=True)
    new, old = (target.with_name(f".{target.name}-{uuid.uuid4().hex}") for _ in range(2))
    new.mkdir()
    try:
        yield new
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(new, ignore_errors=True)
