"""Slides of a committed notebook: one HTML file that opens anywhere, with reveal.js inside and no network.

Headings make the slides, figures and texts below them go down; code is left out, and what only a reader of
the notebook needs: parameters, checks, set-up. Reveal's speaker view (key S) shows the instructor's note.
"""

from __future__ import annotations

import re
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import nbformat as untyped_nbformat
from nbformat import NotebookNode

from nlkit._util import atomic_write
from notebooks.build.running import committed
from notebooks.build.source import NOTE, read_solutions

__all__ = ["slides", "slides_of"]

nbformat: Any = untyped_nbformat

LEFT_OUT = {"setup", "parameters", "check", "exercise", "score", "machine"}
SHOWN = {"text/html", "image/png", "text/markdown"}
HEAD = re.compile(r"^(?=##? )", re.MULTILINE)
CODE_OR_FORMULA = re.compile(
    r"(?P<code>```(?!math).*?```|``.*?``|(?<!\$)`[^`\n]+`(?!\$))"
    r"|```math\n(?P<fenced>.+?)\n```|\$\$(?P<block>.+?)\$\$|\$`(?P<quoted>[^`]+)`\$|(?<![\\$])\$(?P<line>[^$\n]+)\$",
    re.DOTALL,
)
# What nbconvert's template would load from elsewhere is left out, or replaced by reveal.js itself.
TEMPLATE = """
{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block footer_js -%}<script>REVEAL</script>{%- endblock -%}
"""
STYLE = """
.reveal { font-size: 24px; }
.reveal .slides { text-align: left; }
.reveal .slides section { max-height: 100%; overflow-y: auto; }
.reveal h1 { font-size: 1.8em; text-transform: none; }
.reveal h2 { font-size: 1.4em; text-transform: none; }
.reveal img { max-height: 560px; background: #fff; }
.reveal table { font-size: 0.75em; margin: 0.5em auto; }
.reveal :is(details, .jp-InputArea-prompt, .jp-OutputPrompt) { display: none; }
"""
START = (
    "Reveal.initialize({ hash: true, width: 1120, height: 720, slideNumber: 'c/t', plugins: [RevealNotes] });"
)


def slides_of(name: str) -> NotebookNode:
    """Return a committed notebook with a cell for each slide, marked as nbconvert reads it."""
    made: list[NotebookNode] = []
    for cell in committed(name).cells:
        tags = set(cell.metadata.get("tags", []))
        if cell.cell_type == "markdown":
            for part in filter(str.strip, HEAD.split(cell.source)):
                made.append(_slide(nbformat.v4.new_markdown_cell(_formulas(part)), HEAD.match(part)))
        elif not tags & LEFT_OUT:
            cell.outputs = [_with_words(o) for o in cell.outputs if SHOWN & set(o.get("data", {}))]
            if cell.outputs:
                made.append(_slide(cell, None))
    notes = [found[0] for cell in read_solutions(name).cells for found in [NOTE.search(cell.source)] if found]
    made[1:1] = [
        nbformat.v4.new_markdown_cell(n, metadata={"slideshow": {"slide_type": "notes"}}) for n in notes
    ]
    nb: NotebookNode = nbformat.v4.new_notebook(cells=made, metadata={"title": name})
    nb.metadata.language_info = {"name": "python"}
    return nb


def slides(name: str, out: str | Path) -> Path:
    """Write ``out/NAME.slides.html``, which needs nothing beside it.

    Raises
    ------
    ImportError
        If the packages of the extra ``site`` are not installed.
    """
    package = find_spec("sphinx_revealjs")
    if package is None or not package.origin:
        raise ImportError('slides need a copy of reveal.js: pip install -c constraints.txt -e ".[site]"')
    from nbconvert import SlidesExporter

    reveal = Path(package.origin).parent / "_static/revealjs"
    exporter: Any = SlidesExporter(  # type: ignore[no-untyped-call]
        raw_template=TEMPLATE, exclude_input=True, reveal_url_prefix="reveal"
    )
    page, _ = exporter.from_notebook_node(slides_of(name))
    styles = [(reveal / f"dist/{sheet}.css").read_text("utf-8") for sheet in ("reveal", "theme/white")]
    style = re.sub(r"@import url\([^)]*\);", "", "\n".join(styles)) + STYLE  # the theme's fonts are files
    page = re.sub(r"<link[^>]*reveal/dist/[^>]*>", "", page).replace(
        "</head>", f"<style>{style}</style></head>"
    )
    scripts = [(reveal / script).read_text("utf-8") for script in ("dist/reveal.js", "plugin/notes/notes.js")]
    page = page.replace("REVEAL", "\n".join([*scripts, START]))
    path = Path(out) / f"{name}.slides.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as temporary:
        temporary.write_text(page, "utf-8")
    return path


def _slide(cell: NotebookNode, heading: re.Match[str] | None) -> NotebookNode:
    cell.metadata["slideshow"] = {"slide_type": "slide" if heading else "subslide"}
    return cell


def _with_words(output: NotebookNode) -> NotebookNode:
    """Return an output whose picture has its alternative text, which nbconvert's template drops."""
    if picture := output.data.get("image/png"):
        alt = escape(output.metadata.get("image/png", {}).get("alt", ""))
        output.data = {"text/html": f'<img alt="{alt}" src="data:image/png;base64,{picture.strip()}">'}
    return output


def _formulas(text: str) -> str:
    """Write TeX in Markdown as MathML, which browsers draw by themselves; code stays."""
    from math_core import LatexToMathML

    converter = LatexToMathML(annotation=False)

    def formula(found: re.Match[str]) -> str:
        if found["code"]:
            return found[0]
        block = found["fenced"] or found["block"]
        written = block or found["quoted"] or found["line"]
        made: str = converter.convert_with_local_state(written, displaystyle=bool(block))
        return made.replace("\n", "")

    return CODE_OR_FORMULA.sub(formula, text)
