"""The prose: links lead somewhere, code that it names exists, and words are spelt."""

from __future__ import annotations

import ast
import importlib
import io
import re
import subprocess
import sys
import tokenize
from pathlib import Path
from urllib.parse import unquote

import pytest

from notebooks import build as notebooks

ROOT = Path(__file__).parents[1]


def tracked(*patterns):
    done = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True)
    return [name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


PAGES, MODULES, NOTEBOOKS = tracked("*.md"), tracked("nlkit/*.py"), tracked("notebooks/source/*.py")


def words_of(name):
    """Return what a page, a notebook's Markdown cells, or a module's comments and docstrings say."""
    path = ROOT / name
    if path.suffix == ".ipynb" or name in NOTEBOOKS:
        nb = notebooks.read_source(path.stem, solutions=True)
        return "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        return text
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    said = [token.string.lstrip("# ") for token in tokens if token.type == tokenize.COMMENT]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = [ast.get_docstring(node) for node in ast.walk(ast.parse(text)) if isinstance(node, kinds)]
    return "\n\n".join(filter(None, said + docs))


def links(text):
    """Return the targets of a Markdown text's links and pictures; what looks like one in code is none."""
    # A link's own words may be code.
    kept = re.sub(r"(`+)(.+?)\1", lambda m: "x" if "](" not in m[2] else "", text, flags=re.DOTALL)
    kept = re.sub(r"^ {4,}\S.*$", "", kept, flags=re.MULTILINE)
    return re.findall(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)", kept)


def anchors(text):
    """Return the anchors of a page's headings, as GitHub writes them (and Jupyter, for notebooks)."""
    found, outside = set(), re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    for heading in re.findall(r"^#{1,6} +(.+?) *#*$", outside, re.MULTILINE):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        number = sum(re.fullmatch(rf"{re.escape(slug)}(-\d+)?", anchor) is not None for anchor in found)
        found |= {f"{slug}-{number}" if number else slug, plain.replace(" ", "-")}
    return found


def broken(text, folder):
    """Return the relative links of a text that lead to no file, or to no heading of it."""
    bad = []
    for link in links(text):
        path, _, anchor = unquote(link).partition("#")
        if re.match(r"(https?|mailto):", link):
            continue
        target = (folder / path).resolve()
        there = not path or target.exists()
        if there and anchor:
            there = anchor in anchors(words_of(target) if path else text)
        if not there:
            bad.append(link)
    return bad


@pytest.mark.parametrize("name", [*PAGES, *NOTEBOOKS])
def test_links_lead_somewhere(name):
    folder = (ROOT / name).parent
    assert broken(words_of(name), folder.parent if name in NOTEBOOKS else folder) == []


def test_broken_links_are_found(tmp_path):
    (tmp_path / "there.md").write_text("# A title, `code` & more\n\n## Same\n\n## Same\n")
    good = "[a](there.md) [b](there.md#a-title-code--more) [c](there.md#same-1) [d](#me) `[e](code.md)`"
    bad = "[`f`](gone.md) [g](there.md#nowhere) ![h](gone.png) [i](#other)"
    assert broken(f"# Me\n\n{good} {bad} https://example.org [x](https://example.org/y)", tmp_path) == [
        "gone.md", "there.md#nowhere", "gone.png", "#other"
    ]  # fmt: skip


def exists(name):
    """Tell whether a file is there, or a dotted name can be reached: a module, what it holds, or a field."""
    if "/" in name:
        return (ROOT / name).exists()
    parts = name.split(".")
    found = importlib.import_module(parts[0])
    for depth, part in enumerate(parts[1:], 1):
        if part in getattr(found, "__annotations__", {}):
            return depth == len(parts) - 1
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = importlib.import_module(".".join(parts[: depth + 1]))
            except ImportError:
                return False
    return True


def named(text):
    """Return the files, and the dotted names of nlkit (``nk.`` written out), in a text's code spans."""
    names = set()
    for span in re.findall(r"`+([^`]+)`+", text):
        symbols = re.findall(r"\b(?:nlkit|nk)(?:\.[A-Za-z_]\w*)+", span)
        names |= {re.sub(r"^nk\.", "nlkit.", s) for s in symbols if not re.search(r"\.(py|ipynb|md)$", s)}
        if re.fullmatch(r"(nlkit|notebooks|tests|benchmarks|binder|requirements)/[\w./-]*", span):
            names.add(span)
    return names


@pytest.mark.parametrize("name", [*PAGES, *NOTEBOOKS, *MODULES])
def test_code_that_is_named_exists(name):
    assert [each for each in sorted(named(words_of(name))) if not exists(each)] == []


@pytest.mark.parametrize("method", ["noiseal", "sidyp"])
def test_the_methods_readmes_name_code_that_exists(method):
    folder = ROOT / "nlkit" / "methods" / method
    spans = re.findall(r"`((?:\w+\.)+\w+)`", (folder / "README.md").read_text("utf-8"))
    names = [name for name in spans if not name.startswith("nlkit.") and not name.endswith(".py")]
    assert len(names) > 20
    above = lambda name: (ROOT / "nlkit" / name.split(".")[0]).is_dir()  # noqa: E731
    written_out = [f"nlkit.{'' if above(name) else f'methods.{method}.'}{name}" for name in names]
    assert [name for name in written_out if not exists(name)] == []


def test_missing_code_is_found():
    there = {"nlkit.metrics.ece", "nlkit.SiDyP", "nlkit.methods.noiseal.partition.Partition.tau_strong",
             "nlkit/methods/noiseal/partition.py"}  # fmt: skip
    gone = {"nlkit.metrics.ece.nothing", "nlkit.methods.noiseal.partition.spilt_samples", "nlkit/split.py"}
    text = " ".join(f"`{name}`" for name in there | gone) + " and `nk.metrics.ece(p, y)`, ``nlkit.SiDyP``"
    assert named(text) == there | gone
    assert {name for name in named(text) if exists(name)} == there


def codespell(*arguments, **settings):
    command = [sys.executable, "-m", "codespell_lib", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **settings)


def test_spelling():
    # A right word that it takes for a wrong one goes into pyproject.toml: [tool.codespell] ignore-words-list.
    done = codespell(*PAGES, *MODULES, *NOTEBOOKS, *tracked("nlkit/*.toml"))
    assert (done.stdout, done.returncode) == ("", 0), done.stderr
    found = codespell("-", input="The seperate lables occured.\n")
    assert found.returncode != 0
    assert "seperate" in found.stdout
