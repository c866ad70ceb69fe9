"""One executed notebook as the body of a page: real alternative texts, anchors, and sections to search.

nbconvert does the converting, by the template in ``site_assets/notebook``. What is not fit for a page without
a network is refused: LaTeX (it needs MathJax), a picture without words, a failed cell, a remote resource.
"""

from __future__ import annotations

import base64
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from bs4 import BeautifulSoup, Tag
from bs4.element import NavigableString
from nbconvert import HTMLExporter as UntypedExporter
from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
from nbformat import NotebookNode
from traitlets.config import Config

__all__ = ["ASSETS", "Heading", "Page", "render", "slug"]

HTMLExporter: Any = UntypedExporter

ASSETS = Path(__file__).parent / "site_assets"

HEADINGS = ("h1", "h2", "h3", "h4")
# Elements that do not end a word.
INLINE = {"a", "abbr", "b", "code", "em", "i", "kbd", "span", "strong", "sub", "sup"}
REMOTE = re.compile(r"\s*(?:https?:)?//", re.IGNORECASE)
REMOTE_STYLE = re.compile(r"@import|url\(\s*['\"]?\s*(?:https?:)?//", re.IGNORECASE)
# What HTMLExporter writes where raw HTML has a picture without words.
NO_WORDS = {"", "No description has been provided for this image"}


@dataclass(frozen=True)
class Heading:
    """A heading: its level (1 to 4), the id that leads to it, and its words."""

    level: int
    anchor: str
    text: str


@dataclass(frozen=True)
class Page:
    """A rendered page.

    Attributes
    ----------
    source : Path
        The notebook (or Markdown file) it was made from.
    file : str
        Its name in the site, such as "03_splitting.html".
    body : BeautifulSoup
        What it says; its links still are those of the source.
    headings : list of Heading
        In order; the first is the title.
    """

    source: Path
    file: str
    body: BeautifulSoup
    headings: list[Heading]

    @property
    def title(self) -> str:
        """The words of the first heading."""
        return self.headings[0].text

    @property
    def notebook(self) -> str:
        """The notebook's file, or an empty string if the page was made from something else."""
        return self.source.name if self.source.suffix == ".ipynb" else ""

    @property
    def number(self) -> int:
        """The number that the notebook's name begins with."""
        return int(self.source.name.split("_")[0])

    @property
    def summary(self) -> str:
        """The first thing that the notebook says one will learn, without its full stop."""
        point = self.body.select_one(".text li")
        return _text(point).rstrip(".;,") if point else ""

    @property
    def measured(self) -> list[list[str]]:
        """The header's table of time and memory as rows of words, the first being its head; may be empty."""
        for table in self.body.select(".text table"):
            rows = [[_text(cell) for cell in row.select("th, td")] for row in table.select("tr")]
            if rows and rows[0][:1] == ["profile"]:
                return rows
        return []

    @property
    def anchors(self) -> set[str]:
        """All ids that a link may lead to."""
        return {str(tag["id"]) for tag in self.body.select("[id]")}

    def sections(self) -> Iterator[tuple[Heading, str]]:
        """Yield each heading with what stands below it: prose, code and figures in words, no other output."""
        by_anchor = {heading.anchor: heading for heading in self.headings}
        heading, words = self.headings[0], [""]
        for piece in _pieces(self.body):
            if isinstance(piece, Tag):
                if said := " ".join("".join(words).split()):
                    yield heading, said
                heading, words = by_anchor[str(piece["id"])], []
            else:
                words.append(piece)
        yield heading, " ".join("".join(words).split())


def render(nb: NotebookNode, source: Path, file: str) -> Page:
    """Return a notebook as a page.

    Parameters
    ----------
    nb : NotebookNode
        Executed.
    source : Path
        Where it is kept; errors name it, and links are relative to it.
    file : str
        The page's name in the site.

    Raises
    ------
    ValueError
        If it has no heading of level 1 or holds what a page without a network cannot show.
    """
    _refuse_unfit(nb, source.name)
    exporter = HTMLExporter(
        template_name="notebook",
        extra_template_basedirs=[str(ASSETS)],
        exclude_anchor_links=True,
        embed_images=True,
        config=Config(NbConvertBase={"display_data_priority": [
            "text/html", "text/markdown", "image/svg+xml", "image/png", "image/jpeg", "text/plain",
        ]}),
    )  # fmt: skip
    html, _ = exporter.from_notebook_node(nb, resources={"metadata": {"path": str(source.parent)}})
    body = BeautifulSoup(html, "html.parser")
    _localise(body, source.name)
    _describe_pictures(body, source.name)
    _mend_tables(body)
    headings = _anchor_headings(body)
    if not headings or headings[0].level != 1:
        _refuse(source.name, "it must open with a heading of level 1 (# …)")
    return Page(source, file, body, headings)


def slug(text: str) -> str:
    """Return the anchor of a heading, as GitHub makes it; JupyterLab's anchors lead to the same one."""
    return re.sub(r"[^\w\- ]", "", text.lower()).strip().replace(" ", "-")


def _refuse(name: str, why: str) -> NoReturn:
    raise ValueError(f"{name} cannot become a page of the site: {why}")


class _NoMath(IPythonRenderer):
    """Refuses what Jupyter would give to MathJax."""

    def inline_math(self, body: str) -> str:
        raise ValueError(body.strip())

    block_math = inline_math

    def latex_environment(self, name: str, body: str) -> str:
        raise ValueError(f"\\begin{{{name}}}")


def _refuse_unfit(nb: NotebookNode, name: str) -> None:
    for number, cell in enumerate(nb.cells):
        texts = [cell.source] if cell.cell_type == "markdown" else []
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                _refuse(name, f"cell {number} failed with {output.ename}: {output.evalue}")
            data = output.get("data", {})
            if "text/latex" in data and "text/html" not in data:
                _refuse(name, f"cell {number} shows LaTeX, which needs MathJax; show text or a figure")
            texts += [data["text/markdown"]] if "text/markdown" in data else []
        renderer = _NoMath(escape=False, attachments=cell.get("attachments", {}))
        for text in texts:
            try:
                MarkdownWithMath(renderer=renderer).render(text)
            except ValueError as error:
                _refuse(
                    name,
                    f"cell {number} holds the formula {str(error)!r}, and LaTeX needs MathJax; write it "
                    "in words, Unicode or `code`, and a dollar sign as \\$",
                )


def _localise(body: BeautifulSoup, name: str) -> None:
    """Let nothing be loaded from elsewhere: a remote picture, such as a badge, becomes its words."""
    for picture in body.select("img[src]"):
        if REMOTE.match(str(picture["src"])):
            words = str(picture.get("alt", ""))
            if words in NO_WORDS:
                _refuse(
                    name, f"the remote picture {picture['src']} has no alternative text to take its place"
                )
            picture.replace_with(words)
    for tag in body.select("[src], link[href], [srcset], [poster]"):
        address = next(str(tag[key]) for key in ("src", "href", "srcset", "poster") if key in tag.attrs)
        if not address.startswith("data:"):
            _refuse(name, f"<{tag.name}> loads {address!r}, which is not in the page")
    styles = [tag.get_text() for tag in body.select("style")]
    for style in styles + [str(tag["style"]) for tag in body.select("[style]")]:
        if REMOTE_STYLE.search(style):
            _refuse(name, f"a style loads something: {style.strip()[:80]!r}")


def _describe_pictures(body: BeautifulSoup, name: str) -> None:
    for picture in body.select("img"):
        if str(picture.get("alt", "")) in NO_WORDS:
            _refuse(name, "a picture has no alternative text; show figures with nlkit.course.plots.show")
        kind, _, encoded = str(picture["src"]).partition(",")
        if kind == "data:image/png;base64" and not {"width", "height"} & set(picture.attrs):
            # With its size known, the page does not jump while pictures are decoded.
            width, height = struct.unpack(">II", base64.b64decode(encoded[:32])[16:24])
            picture["width"], picture["height"] = str(width), str(height)


def _mend_tables(body: BeautifulSoup) -> None:
    """Say which header cells head rows and which columns; drop pandas' own looks; let wide tables scroll."""
    for style in body.select("style[scoped]"):
        style.decompose()
    for table in body.select("table"):
        table.attrs.pop("border", None)
        for row in table.select("thead tr[style]"):
            del row["style"]
        for cell in table.select("th:not([scope])"):
            if _text(cell):
                cell["scope"] = "col" if cell.find_parent("thead") else "row"
            else:
                cell.name = "td"  # an empty cell heads nothing
        heads = [_text(cell) for cell in table.select("thead th")]
        label = table.caption.get_text(" ", strip=True) if table.caption else ", ".join(heads)
        table.wrap(body.new_tag("div", attrs={"class": "scroll", "data-label": f"Table: {label}"}))


def _anchor_headings(body: BeautifulSoup) -> list[Heading]:
    found: list[Heading] = []
    taken = {str(tag["id"]) for tag in body.select("[id]")}
    for tag in body.find_all(HEADINGS):
        text = _text(tag)
        anchor = base = slug(text) or "section"
        again = 0
        while anchor in taken:
            again += 1
            anchor = f"{base}-{again}"
        taken.add(anchor)
        tag["id"] = anchor
        found.append(Heading(int(tag.name[1]), anchor, text))
    return found


def _text(tag: Tag) -> str:
    return " ".join(tag.get_text().split())


def _pieces(tag: Tag) -> Iterator[Tag | str]:
    """Yield headings as tags, and all other words as text, with a space where a block begins."""
    for child in tag.children:
        if type(child) is NavigableString:  # a comment is of a subclass
            yield str(child)
        elif isinstance(child, Tag):
            if child.name in HEADINGS:
                yield child
            elif "output" in child.get_attribute_list("class"):
                yield from (f" {picture['alt']} " for picture in child.select("img"))
            elif child.name not in ("style", "script") and "setup" not in child.get_attribute_list("class"):
                if child.name not in INLINE:
                    yield " "
                yield from _pieces(child)
