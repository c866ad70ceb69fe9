"""What Sphinx and MyST-NB leave to us: folds, figures in words, and formulas that need no network."""

from __future__ import annotations

import json
import re
from typing import Any

from docutils import nodes
from math_core import LatexError, LatexToMathML
from sphinx.util import logging

PNG = "image/png"
NOTEBOOK = re.compile(r"notebooks/\d\d_\w+")
FOLDED = {
    "check": "Check: what the text claims, as code",
    "finding": "How the sentence is made",
    "setup": "Set-up: only Colab needs it",
}
FIRST_PAGE, FIRST_NOTEBOOK = "notebooks/build/site/index", "notebooks/00_start_here"
# The large picture of the first page is the one of notebook 00 whose words begin so; below it stands the
# first one of each notebook.
FIRST_PICTURE = "Accuracy over the epochs"
NOTE = (
    "*This page shows the notebook as it was executed: sliders stand still, exercises are open. "
    "To move them and to answer, open {{download}}`{0}` in Jupyter.*"
)

log = logging.getLogger(__name__)
converter = LatexToMathML(annotation=True, fancy_error=False)


def prepare(app: Any, docname: str, content: list[str]) -> None:
    """Change what is read: notebooks get folds and words for their pictures, the first page its picture."""
    if docname == FIRST_PAGE:
        nb = json.loads(app.env.doc2path(FIRST_NOTEBOOK).read_text("utf-8"))
        words, picture = next(
            p for cell in nb["cells"] for p in pictures(cell) if p[0].startswith(FIRST_PICTURE)
        )
        content[0] = content[0].replace("PICTURE", f"![{words}](data:{PNG};base64,{picture})")
        content[0] = content[0].replace("GALLERY", gallery(app))
    if app.env.doc2path(docname).suffix != ".ipynb":
        content[0] = re.sub(r"\$`([^`]+)`\$", r"$\1$", content[0])  # GitHub's $`…`$
        return
    nb = json.loads(content[0])
    for number, cell in enumerate(nb["cells"]):
        tags = cell["metadata"].setdefault("tags", [])
        options: dict[str, Any] = {}
        for tag in FOLDED.keys() & set(tags):
            tags.append("hide-input")
            options["code_prompt_show"] = options["code_prompt_hide"] = FOLDED[tag]
        match pictures(cell):
            case [(words, _)] if words:
                options["image"] = {"alt": words}
            case [_, *_]:
                log.warning("cell %d: one picture a cell, with alternative text", number, location=docname)
        if any(output["output_type"] == "error" for output in cell.get("outputs", [])):
            log.warning("cell %d failed when it was executed", number, location=docname)
        cell["metadata"]["mystnb"] = options
    note = NOTE.format(docname.rpartition("/")[2] + ".ipynb")
    nb["cells"].insert(1, {"cell_type": "markdown", "id": "note", "metadata": {}, "source": note})
    content[0] = json.dumps(nb)


def gallery(app: Any) -> str:
    """Return a link with a picture for each notebook, as Markdown."""
    entries = []
    for docname in sorted(name for name in app.env.found_docs if NOTEBOOK.fullmatch(name)):
        path = app.env.doc2path(docname)
        app.env.note_dependency(str(path))
        nb = json.loads(path.read_text("utf-8"))
        words, picture = next(p for cell in nb["cells"] for p in pictures(cell))
        title = "".join(nb["cells"][0]["source"]).partition("\n")[0].removeprefix("# ")
        entries.append(
            f"[![{words}](data:{PNG};base64,{picture})\n{path.stem[:2]} {title}](/{docname}.ipynb)"
        )
    return "\n\n".join(['<div class="gallery">', *entries, "</div>"])


def pictures(cell: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (alternative text, base64) of each picture that a cell shows."""
    return [
        (output["metadata"].get(PNG, {}).get("alt", ""), "".join(output["data"][PNG]).replace("\n", ""))
        for output in cell.get("outputs", [])
        if PNG in output.get("data", {})
    ]


def formula(writer: Any, node: nodes.Element) -> None:
    """Write a formula as MathML, which browsers draw by themselves."""
    try:
        displayed = isinstance(node, nodes.math_block)
        writer.body.append(converter.convert_with_local_state(node.astext(), displaystyle=displayed))
    except LatexError as error:
        log.warning("formula %r: %s", node.astext(), error, location=node)
    raise nodes.SkipNode


def reachable(app: Any, pagename: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Let the keyboard reach what may scroll, code and wide formulas, and give Sphinx's captions a level."""
    missing = {
        "<pre": 'tabindex="0"',
        '<math display="block"': 'tabindex="0"',
        'role="heading"': 'aria-level="2"',
    }
    for part in {"body", "furo_navigation_tree"} & context.keys():
        for start, attribute in missing.items():
            context[part] = context[part].replace(start, f"{start} {attribute}")


def setup(app: Any) -> dict[str, bool]:
    """Connect all of it."""
    app.connect("source-read", prepare)
    app.connect("html-page-context", reachable, priority=900)  # after Furo, which makes the tree of pages
    app.add_html_math_renderer("mathml", (formula, None), (formula, None))
    return {"parallel_read_safe": True, "parallel_write_safe": True}
