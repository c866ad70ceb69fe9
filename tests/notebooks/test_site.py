"""The rendered course: whole, of one piece, and not in need of a network."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from sphinx.search.en import SearchEnglish

from notebooks.build import folder, names
from tests.browser.conftest import browser  # noqa: F401
from tests.browser.lab import serious
from tests.browser.test_in_jupyterlab import BROWSED

ROOT = folder().parent
stem = SearchEnglish({}).stem
FIRST = "notebooks/build/site/index.html"


def sphinx(source, out, *options):
    """Run Sphinx as `make site` does; return what it reported, nothing if all is well."""
    command = [sys.executable, "-m", "sphinx", "-q", "-E", "-W", "--keep-going", "-d", f"{out}-doctrees"]
    command += ["-c", ROOT / "notebooks/build/site", *options, source, out]
    done = subprocess.run([*map(str, command)], cwd=ROOT, capture_output=True, text=True)
    assert bool(done.returncode) == bool(done.stderr), done.stderr
    return done.stderr


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site of the committed notebooks."""
    out = tmp_path_factory.mktemp("built") / "site"
    assert sphinx(ROOT, out) == ""
    return out


@pytest.fixture(scope="module")
def pages(site):
    """All pages by their path in the site."""
    return {
        path.relative_to(site).as_posix(): BeautifulSoup(path.read_text("utf-8"), "html.parser")
        for path in site.rglob("*.html")
    }


def test_every_notebook_has_its_page_in_the_order_of_the_course(site, pages):
    assert FIRST in pages["index.html"].find("meta", {"http-equiv": "refresh"})["content"]
    listed = pages[FIRST].select(".toctree-wrapper")[0].select("a")
    assert [link["href"] for link in listed] == [f"../../{name}.html" for name in names()]
    for name in names():
        file = pages[f"notebooks/{name}.html"].select_one("article a.download")["href"]
        assert (site / "notebooks" / file).read_bytes() == (folder() / f"{name}.ipynb").read_bytes()
    assert pages["notebooks/README.html"].h1


def test_links_lead_somewhere(site, pages):
    for name, page in pages.items():
        for link in page.select("a[href]"):
            address = urlsplit(link["href"])
            if address.scheme:
                assert address.scheme == "https"
                continue
            target = ((site / name).parent / unquote(address.path)).resolve() if address.path else site / name
            assert target.is_file(), (name, link)
            if address.fragment:
                anchored = pages[target.relative_to(site).as_posix()]
                assert anchored.find(id=unquote(address.fragment)), (name, link)


def test_nothing_is_loaded_from_elsewhere(site, pages):
    for name, page in pages.items():
        for tag in page.select("[src], link[href], [srcset], [poster], object, iframe, base"):
            address = urlsplit(tag.get("src") or tag["href"])
            assert not address.netloc, (name, tag)
            assert address.scheme == "data" or ((site / name).parent / address.path).exists(), (name, tag)
    styles = [path.read_text("utf-8") for path in site.rglob("*.css")]
    styles += [tag.get_text() for page in pages.values() for tag in page.select("style")]
    assert not [style for style in styles if re.search(r"@import|url\(\s*['\"]?(https?:)?//", style)]


def test_pictures_keep_their_words(pages):
    assert len(pages[FIRST].select_one("article img")["alt"]) > 40
    for name in names():
        outputs = [o for cell in committed(name).cells for o in cell.get("outputs", [])]
        words = [o.metadata["image/png"]["alt"] for o in outputs if "image/png" in o.get("data", {})]
        assert words
        assert [image["alt"] for image in pages[f"notebooks/{name}.html"].select("article img")] == words


def test_first_page_has_a_picture_of_each_notebook(pages):
    links = pages[FIRST].select(".gallery a")
    assert [link["href"] for link in links] == [f"../../{name}.html" for name in names()]
    for name, link in zip(names(), links, strict=True):
        image = pages[f"notebooks/{name}.html"].select_one("article img")
        assert link.img["alt"] == image["alt"]
        assert link.img["src"].startswith("data:image/png;base64,")
        assert link.get_text().strip() == f"{name[:2]} {pages[f'notebooks/{name}.html'].h1.find(string=True)}"


def committed(name):
    return nbformat.read(folder() / f"{name}.ipynb", as_version=4)


@pytest.fixture(scope="module")
def own_words(pages):
    """For each notebook, the words of its paragraphs whose stems are part of no word on another page."""
    words = {page: set(re.findall(r"[a-z]+", soup.get_text(" ").lower())) for page, soup in pages.items()}
    stems = {page: " ".join(map(stem, found)) for page, found in words.items()}
    own = {}
    for name in names():
        page = f"notebooks/{name}.html"
        others = " ".join(found for other, found in stems.items() if other != page)
        prose = " ".join(paragraph.get_text() for paragraph in pages[page].select("article p"))
        own[name] = [word for word in re.findall(r"\b[a-z]{8,}\b", prose) if stem(word) not in others]
    return own


def test_search_knows_the_words_of_every_notebook(site, own_words):
    script = (site / "searchindex.js").read_text("utf-8")
    index = json.loads(script.removeprefix("Search.setIndex(").removesuffix(")"))
    for name, words in own_words.items():
        found = index["terms"][stem(words[0])]
        assert [index["docnames"][at] for at in ([found] if isinstance(found, int) else found)] == [
            f"notebooks/{name}"
        ]


def test_cells_are_shown_by_their_tags(pages):
    for name in names():
        page = pages[f"notebooks/{name}.html"]
        for tag in ("check", "setup"):
            assert page.select(f".tag_{tag}")
            assert all(cell.select("details:not([open]) pre") for cell in page.select(f".tag_{tag}"))
        assert not page.select(".tag_parameters details")


def render(folder, *pages):
    """Render pages of our own; return what was reported, and the first page."""
    for number, page in enumerate(pages):
        if isinstance(page, str):
            (folder / f"{number}.md").write_text(page, "utf-8")
        else:
            nbformat.write(page, folder / f"{number}.ipynb")
    report = sphinx(folder, folder / "out", "-D", "root_doc=0", "-D", "include_patterns=?.*")
    return report, BeautifulSoup((folder / "out/0.html").read_text("utf-8"), "html.parser").article


def test_formulas_are_mathml(tmp_path):
    said = "# A\n\n$\\tilde y_i$, $`\\tau`$ at \\$5 or `$HOME`\n\n```math\n\\frac{a}{b}\n```\n\n$$\nx^2\n$$\n"
    report, page = render(tmp_path, said)
    assert not report
    assert len(page.select("math")) == 4
    assert page.select_one('math[display="block"] mfrac')
    assert page.select_one("p math msub > mover")
    for source in page.select("annotation"):
        source.decompose()
    assert re.findall(r"[\\$]\w*", page.get_text()) == ["$5", "$HOME"]


def test_what_is_unfit_fails_the_build(tmp_path):
    said = "# A\n\n[1](missing.ipynb) [2](#nowhere) $\\undefined$\n\n```{toctree}\n1\n```\n"
    outputs = [
        new_output("display_data", {"image/png": "iVBORw0KGgo=", "text/plain": ""}),
        new_output("error", ename="E", evalue="v", traceback=[]),
    ]
    cells = [new_markdown_cell("# B"), new_code_cell("f()", outputs=outputs)]
    language = {"language_info": {"name": "python"}}
    report, _ = render(tmp_path, said, new_notebook(cells=cells, metadata=language))
    for reason in ("missing.ipynb", "'nowhere'", "'\\\\undefined'", "cell 1: one picture", "cell 1 failed"):
        assert reason in report
    assert report.count("WARNING") == 5


@pytest.mark.browser
def test_search_and_colours_from_a_file(site, own_words, browser):  # noqa: F811
    page = browser.new_context(color_scheme="dark").new_page()
    loaded = []
    page.on("request", lambda request: loaded.append(request.url))
    page.goto((site / "index.html").as_uri())
    page.wait_for_url(f"**/{FIRST}")
    ground = "getComputedStyle(document.body).backgroundColor.match(/[0-9]+/g).map(Number)"
    assert max(page.evaluate(ground)[:3]) < 64
    name = names()[3]
    page.get_by_role("textbox", name="Search").fill(own_words[name][0])
    page.keyboard.press("Enter")
    found = page.locator("#search-results li a")
    found.first.wait_for()
    assert found.count() == 1
    found.click()
    page.wait_for_url(f"**/{name}.html*")
    assert serious(page) == []
    page.locator(".theme-toggle:visible").click()
    assert min(page.evaluate(ground)[:3]) > 192
    for path in (FIRST, *(f"notebooks/{name}.html" for name in BROWSED)):
        page.goto((site / path).as_uri())
        assert serious(page) == [], path
    assert {urlsplit(url).scheme for url in loaded} <= {"file", "data"}
