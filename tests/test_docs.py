"""The prose: links lead somewhere, code that it names exists, words are spelt, and in British English."""

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

import codespell_lib
import pytest

from notebooks import build as notebooks

ROOT = Path(__file__).parents[1]

NOT_AMERICAN = {"math", "optimizer", "practice", "program", "writable"}
"""Names of PyTorch and Python, and words that are British too."""


def tracked(*patterns):
    done = subprocess.run(["git", "ls-files", "-z", *patterns], cwd=ROOT, capture_output=True, check=True)
    return [name for name in done.stdout.decode().split("\0") if name and (ROOT / name).is_file()]


PAGES = tracked("*.md")
MODULES = tracked("nlkit/*.py")
NAMES = notebooks.names()


def page(name):
    return (ROOT / name).read_text("utf-8")


def cells(name, kind):
    nb = notebooks.read_source(name, solutions=True)
    return "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == kind)


def comments_and_docstrings(source):
    """Return what a Python file says to its readers."""
    said = [
        token.string.lstrip("# ")
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type == tokenize.COMMENT
    ]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = [ast.get_docstring(node) for node in ast.walk(ast.parse(source)) if isinstance(node, kinds)]
    return "\n\n".join(filter(None, said + docs))


def prose():
    """Return every text by where it stands: pages, notebooks' words, and modules' comments and docstrings."""
    texts = {name: page(name) for name in PAGES}
    texts |= {f"notebooks/source/{name}.py": cells(name, "markdown") for name in NAMES}
    texts |= {name: comments_and_docstrings(page(name)) for name in MODULES}
    return texts


PROSE = prose()


def without_code(text):
    """Return Markdown without its code blocks and code spans."""
    text = re.sub(r"^(```|~~~).*?^\1", "", text, flags=re.MULTILINE | re.DOTALL)
    text = re.sub(r"^ {4,}\S.*$", "", text, flags=re.MULTILINE)
    return re.sub(r"(`+).+?\1", "", text, flags=re.DOTALL)


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
        number = sum(
            anchor == slug or re.fullmatch(f"{re.escape(slug)}-\\d+", anchor) is not None for anchor in found
        )
        found |= {f"{slug}-{number}" if number else slug, plain.replace(" ", "-")}
    return found


def broken(text, folder):
    """Return the relative links of a page that lead to no file, or to no heading of it."""
    bad = []
    for link in links(text):
        if re.match(r"(https?|mailto):", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (folder / path).resolve() if path else None
        there = target is None or target.exists()
        if there and anchor:
            there = anchor in anchors(text if target is None else words_of(target))
        if not there:
            bad.append(link)
    return bad


def words_of(path):
    return cells(path.stem, "markdown") if path.suffix == ".ipynb" else path.read_text("utf-8")


@pytest.mark.parametrize("name", PAGES)
def test_links_of_pages(name):
    assert broken(page(name), (ROOT / name).parent) == []


@pytest.mark.parametrize("name", NAMES)
def test_links_of_notebooks(name):
    assert broken(cells(name, "markdown"), ROOT / "notebooks") == []


def test_broken_links_are_found(tmp_path):
    (tmp_path / "there.md").write_text("# A title, `code` & more\n\n## Same\n\n## Same\n")
    good = "[a](there.md) [b](there.md#a-title-code--more) [c](there.md#same-1) [d](#me) `[e](code.md)`"
    bad = "[`f`](gone.md) [g](there.md#nowhere) ![h](gone.png) [i](#other)"
    assert broken(f"# Me\n\n{good} {bad} https://example.org [x](https://example.org/y)", tmp_path) == [
        "gone.md", "there.md#nowhere", "gone.png", "#other"
    ]  # fmt: skip


def exists(symbol):
    """Tell whether a dotted name can be reached: a module, what it holds, or a field of a class."""
    parts = symbol.split(".")
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


def symbols(text):
    """Return the dotted names of nlkit in a text's code spans, ``nk.`` written out."""
    spans = re.findall(r"`+([^`]+)`+", text)
    names = {match for span in spans for match in re.findall(r"\b(?:nlkit|nk)(?:\.[A-Za-z_]\w*)+", span)}
    return {re.sub(r"^nk\.", "nlkit.", name) for name in names if not re.search(r"\.(py|ipynb|md)$", name)}


@pytest.mark.parametrize("name", PROSE)
def test_code_that_is_named_exists(name):
    assert [symbol for symbol in sorted(symbols(PROSE[name])) if not exists(symbol)] == []


@pytest.mark.parametrize("name", PROSE)
def test_files_that_are_named_exist(name):
    named = re.findall(r"`((?:nlkit|notebooks|tests|benchmarks|binder|requirements)/[\w./-]*)`", PROSE[name])
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_missing_code_is_found():
    text = (
        "`nlkit.methods.noiseal.partition.partition_samples`, `nk.metrics.ece(p, y)`, ``nlkit.SiDyP`` and "
        "`nlkit/methods/noiseal/partition.py`"
    )
    assert symbols(text) == {
        "nlkit.methods.noiseal.partition.partition_samples",
        "nlkit.metrics.ece",
        "nlkit.SiDyP",
    }
    assert all(map(exists, symbols(text)))
    assert exists("nlkit.methods.noiseal.partition.Partition.tau_strong")
    assert not exists("nlkit.methods.noiseal.partition.spilt_samples")
    assert not exists("nlkit.metrics.ece.nothing")


def codespell(*arguments, **settings):
    return subprocess.run(
        [sys.executable, "-m", "codespell_lib", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        **settings,
    )


def test_spelling():
    # A right word that it takes for a wrong one goes into pyproject.toml: [tool.codespell] ignore-words-list.
    done = codespell(*PAGES, *MODULES, *(f"notebooks/source/{name}.py" for name in NAMES))
    assert done.stdout == ""
    assert done.returncode == 0, done.stderr


def test_misspelt_words_are_found():
    done = codespell("-", input="The seperate lables occured.\n")
    assert done.returncode != 0
    assert "seperate" in done.stdout


def american():
    """Return American spellings and their British ones, from codespell's list turned round."""
    data = Path(codespell_lib.__file__).with_name("data") / "dictionary_en-GB_to_en-US.txt"
    pairs = [line.split("->") for line in data.read_text("utf-8").splitlines() if "->" in line]
    return {us.strip(): gb for gb, spelt in pairs for us in spelt.split(",") if us.strip()}


AMERICAN = american()


def americanisms(text):
    words = {word.lower() for word in re.findall(r"[A-Za-z]+", without_code(text))}
    return sorted(f"{word} → {AMERICAN[word]}" for word in words & set(AMERICAN) - NOT_AMERICAN)


@pytest.mark.parametrize("name", PROSE)
def test_british_spelling(name):
    assert americanisms(PROSE[name]) == []


def test_american_spelling_is_found():
    assert americanisms("The color of `normalize` is a neighbor's.") == [
        "color → colour",
        "neighbor → neighbour",
    ]


def doubled(text):
    """Return words that stand twice in a row; table cells and list marks part them."""
    return re.findall(r"\b([A-Za-z]{2,}) +\n? *\1\b(?!['’-])", without_code(text))


@pytest.mark.parametrize("name", PROSE)
def test_no_word_stands_twice(name):
    assert doubled(PROSE[name]) == []


def test_doubled_words_are_found():
    assert doubled("It is the the best, and and\nso on; a `the` the, R | R.") == ["the", "and"]
