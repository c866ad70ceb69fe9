"""The rendered course: it loads nothing from elsewhere, its links resolve, and its search finds."""

from __future__ import annotations

import base64
import importlib
import json
import re
import shutil
import subprocess
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from nlkit.course import plots
from notebooks import build as notebooks
from notebooks.build import __main__ as command
from notebooks.build.rendering import ASSETS, slug
from notebooks.build.site import INDEX, site

module = importlib.import_module("notebooks.build.site")

REMOTE = re.compile(r"(https?:)?//")


def soup(path):
    return BeautifulSoup(path.read_text("utf-8"), "html.parser")


def pages(folder):
    return {path.name: soup(path) for path in sorted(folder.glob("*.html"))}


def index_of(folder):
    """Return the rows of the search index, which is a script that is nearly JSON."""
    script = (folder / INDEX).read_text("utf-8")
    return json.loads(re.fullmatch(r'"use strict";\nconst courseSearch = (\[.*\]);\n', script, re.DOTALL)[1])


def assert_self_contained(folder):
    for page in pages(folder).values():
        for tag in page.select("[src], link[href], [srcset], [poster], object[data], iframe"):
            address = tag.get("src") or tag.get("href") or tag.get("srcset") or tag.get("data") or ""
            if not address.startswith("data:"):
                assert not REMOTE.match(address)
                assert (folder / address).is_file(), address
        styles = [tag.get_text() for tag in page.select("style")] + [
            t["style"] for t in page.select("[style]")
        ]
        assert not any("url(" in style or "@import" in style for style in styles)
    css = (folder / "assets" / "course.css").read_text("utf-8")
    assert "url(" not in css
    assert "@import" not in css
    for script in ("theme.js", "course.js"):
        text = (folder / "assets" / script).read_text("utf-8")
        assert not re.search(r"https?:|\bimport\b|fetch\(|XMLHttpRequest|innerHTML", text)


def assert_links_resolve(folder):
    found = pages(folder)
    for name, page in found.items():
        ids = [tag["id"] for tag in page.select("[id]")]
        assert len(ids) == len(set(ids))
        for link in page.select("a[href]"):
            address = urlsplit(link["href"])
            if address.scheme:
                assert address.scheme == "https"
                continue
            target = unquote(address.path) or name
            assert (folder / target).is_file(), link
            if address.fragment:
                assert found[target].find(id=unquote(address.fragment)), link


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site of the committed notebooks."""
    return site(tmp_path_factory.mktemp("site") / "course")


@pytest.fixture
def course(tmp_path, monkeypatch):
    """A repository of our own: call it with the cells of each notebook; it returns its notebooks folder."""
    root = tmp_path / "clone"
    (root / "notebooks").mkdir(parents=True)
    (root / "nlkit").mkdir()
    (root / "nlkit" / "split.py").touch()
    (root / "pyproject.toml").write_text('[project]\nname = "x"\n', "utf-8")

    def write(**cells):
        for name, made in cells.items():
            nb = new_notebook(cells=made, metadata={"language_info": {"name": "python"}})
            nbformat.write(nb, root / "notebooks" / f"{name}.ipynb")
        return root / "notebooks"

    monkeypatch.setattr(module, "folder", lambda: root / "notebooks")
    monkeypatch.setattr(module, "repository", lambda: "")
    monkeypatch.setattr(module, "names", lambda: sorted(p.stem for p in (root / "notebooks").glob("*.ipynb")))
    return write


def text(*paragraphs):
    return new_markdown_cell("\n\n".join(paragraphs))


def shows(kind, **data):
    """Return a cell with one output."""
    return new_code_cell("draw()", outputs=[new_output(kind, **data)])


def picture(alt):
    fig, ax = plots.figure(width=3, height=2)
    ax.plot([0, 1])
    data = {"image/png": base64.b64encode(plots.png(fig)).decode(), "text/plain": "<Image>"}
    metadata = {"image/png": {"alt": alt}} if alt else {}
    return shows("display_data", data=data, metadata=metadata)


class TestCommitted:
    def test_every_executed_notebook_has_a_page_and_its_file(self, built):
        index = soup(built / "index.html")
        linked = [link["href"] for link in index.select(".cards h3 a")]
        made = [name for name in notebooks.names() if (notebooks.folder() / f"{name}.ipynb").exists()]
        assert linked == [f"{name}.html" for name in made]
        for name in made:
            committed = (notebooks.folder() / f"{name}.ipynb").read_bytes()
            assert (built / f"{name}.ipynb").read_bytes() == committed
            page = soup(built / f"{name}.html")
            assert page.select_one(f'main a[href="{name}.ipynb"]')
            assert len(page.select("main h1")) == 1

    def test_the_index_says_what_is_learnt_and_how_long_it_takes(self, built):
        index = soup(built / "index.html")
        for card in index.select(".cards li"):
            assert re.search(r"You will learn \w.{20,}\w\.", card.get_text())
        table = index.select_one("#time ~ .scroll table")
        assert [cell.get_text() for cell in table.select("thead th")][:3] == ["notebook", "profile", "time"]
        assert re.search(r"quick\s*[\d.]+ (s|min)", table.get_text(" "))

    def test_nothing_is_loaded_from_elsewhere(self, built):
        assert_self_contained(built)

    def test_every_link_and_anchor_resolves(self, built):
        assert_links_resolve(built)

    def test_every_picture_has_its_own_words_and_its_size(self, built):
        for path in notebooks.folder().glob("*.ipynb"):
            nb = nbformat.read(path, as_version=4)
            words = [
                output.metadata["image/png"]["alt"]
                for cell in nb.cells
                for output in cell.get("outputs", [])
                if "image/png" in output.get("data", {})
            ]
            shown = soup(built / f"{path.stem}.html").select("main img")
            assert [image["alt"] for image in shown] == words
            assert all(int(image["width"]) > 100 and int(image["height"]) > 50 for image in shown)

    def test_landmarks_titles_and_labels(self, built):
        titles = []
        for name, page in pages(built).items():
            assert page.html["lang"] == "en"
            titles.append(page.title.get_text())
            assert page.find(id=page.select_one("a.skip")["href"].removeprefix("#")).name == "main"
            navigation = [nav["aria-label"] for nav in page.select("nav")]
            assert len(navigation) == len(set(navigation)), name
            assert page.select_one('form[role="search"] label')["for"] == page.select_one("input")["id"]
            assert page.select_one('#found [role="status"]')
            levels = [int(tag.name[1]) for tag in page.select("h1, h2, h3, h4")]
            assert levels[0] == 1
            for cell in page.select("main table th"):
                assert cell.get_text(strip=True)
                assert cell["scope"] in ("col", "row")
        assert len(titles) == len(set(titles))

    def test_search_finds_a_word_of_one_section_only(self, built):
        rows = index_of(built)
        places = {}
        for file, _, _, anchor, said in rows:
            for word in set(re.findall(r"[a-z]{6,}", said.lower())):
                places.setdefault(word, set()).add((file, anchor))
        alone = {word: next(iter(where)) for word, where in places.items() if len(where) == 1}
        assert len(alone) > 20
        found = pages(built)
        for file, anchor in set(alone.values()):
            assert found[file].find(id=anchor).name in ("h1", "h2", "h3", "h4")
        # All prose is in the index: each paragraph, in the section that it stands in.
        for file, page in found.items():
            if file == "index.html":
                continue
            said = " ".join(row[4] for row in rows if row[0] == file)
            for paragraph in page.select("main .text p"):
                assert " ".join(paragraph.get_text().split()) in said

    def test_pages_lead_on_and_back(self, built):
        order = [link["href"] for link in soup(built / "index.html").select(".cards h3 a")]
        for at, name in enumerate(order):
            page = soup(built / name)
            for relation, step in (("prev", -1), ("next", 1)):
                wanted = [order[at + step]] if 0 <= at + step < len(order) else []
                hrefs = {link["href"] for link in page.select(f'a[rel="{relation}"]')} - {"guide.html"}
                assert hrefs == set(wanted)


def colours():
    """Return the colours of both schemes by name, as (light, dark)."""
    css = (ASSETS / "course.css").read_text("utf-8")
    return {
        name: (light, dark)
        for name, light, dark in re.findall(r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\);", css)
    }


def luminance(colour):
    channels = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, other):
    """Return the contrast ratio of WCAG 2."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


class TestColours:
    def test_contrast_by_known_values(self):
        assert contrast("#ffffff", "#000000") == pytest.approx(21)
        assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)

    @pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
    def test_every_ink_is_readable_on_every_ground(self, scheme):
        named = {name: pair[scheme] for name, pair in colours().items()}
        grounds = [name for name in named if name.startswith("ground-")]
        inks = [name for name in named if name.startswith("ink-")]
        assert len(grounds) >= 2
        assert len(inks) >= 3
        for ground in grounds:
            for ink in inks:
                assert contrast(named[ink], named[ground]) >= 4.5, (ink, ground)
            assert contrast(named["line-control"], named[ground]) >= 3, ground
        dark = luminance(named["ground-page"]) < luminance(named["ink-text"])
        assert dark == (scheme == 1)

    def test_the_system_decides_unless_the_reader_did(self):
        css = (ASSETS / "course.css").read_text("utf-8")
        assert "color-scheme: light dark;" in css
        for theme in ("light", "dark"):
            assert f':root[data-theme="{theme}"] {{ color-scheme: {theme}; }}' in css
        # Colours stand in the table at the top alone, so that each has its other side.
        rules = css.split("\n}\n", 1)[1]
        assert set(re.findall(r"#[0-9a-f]{3,8}\b", rules)) == {"#ffffff"}  # the ground of figures
        assert set(re.findall(r"var\(--([\w-]+)\)", rules)) <= set(colours())


class TestLinks:
    def test_among_notebooks_and_to_sections(self, course, tmp_path):
        course(
            **{
                "00_a": [
                    text(
                        "# A", "[next](01_b.ipynb)", "[there](01_b.ipynb#2.-R,-H-and-P)", "[up](#Top)",
                        "[paper](https://example.org/x)", "[guide](README.md#terms)", "## Top",
                    )
                ],
                "01_b": [text("# B", "## 2. R, H and P", "[back](00_a.ipynb)")],
            }
        )  # fmt: skip
        (module.folder() / "README.md").write_text("# Guide\n\n## Terms\n\n[A](00_a.ipynb)\n", "utf-8")
        built = site(tmp_path / "out")
        links = [a["href"] for a in soup(built / "00_a.html").select("main .text a")]
        assert links == [
            "01_b.html", "01_b.html#2-r-h-and-p", "#top", "https://example.org/x", "guide.html#terms",
        ]  # fmt: skip
        assert soup(built / "index.html").select_one('main a[href="guide.html"]')
        assert_links_resolve(built)

    def test_to_files_of_the_repository(self, course, tmp_path, monkeypatch):
        course(
            **{
                "00_a": [
                    text(
                        "# A",
                        "[the threshold](../nlkit/methods/noiseal/partition.py), "
                        "[`nlkit/methods/noiseal/partition.py`](../nlkit/methods/noiseal/partition.py)",
                    )
                ]
            }
        )
        said = soup(site(tmp_path / "out") / "00_a.html").select_one("main .text p")
        assert (
            said.get_text()
            == "the threshold (nlkit/methods/noiseal/partition.py), nlkit/methods/noiseal/partition.py"
        )
        assert not said.select("a")
        monkeypatch.setattr(module, "repository", lambda: "https://github.com/some/one.git")
        said = soup(site(tmp_path / "out") / "00_a.html").select_one("main .text p")
        assert {a["href"] for a in said.select("a")} == {
            "https://github.com/some/one/blob/HEAD/nlkit/methods/noiseal/partition.py"
        }

    @pytest.mark.parametrize(
        ("link", "message"),
        [
            ("07_x.ipynb", "07_x.ipynb is neither an executed notebook nor"),
            ("../../outside.txt", "outside.txt is neither"),
            ("#nowhere", "00_a.ipynb has no section 'nowhere'. It has a, b"),
        ],
    )
    def test_a_link_that_leads_nowhere_is_named(self, course, tmp_path, link, message):
        course(**{"00_a": [text("# A", f"[x]({link})", "## B")]})
        (tmp_path / "outside.txt").touch()
        with pytest.raises(ValueError, match=rf"00_a.ipynb: the link '{re.escape(link)}' leads nowhere"):
            site(tmp_path / "out")
        with pytest.raises(ValueError, match=message):
            site(tmp_path / "out")

    def test_slug(self):
        assert slug("5. R, H and P") == slug("5.-R,-H-and-P") == "5-r-h-and-p"
        assert slug("What is τ?") == "what-is-τ"


class TestPages:
    @pytest.mark.parametrize(
        ("cells", "message"),
        [
            ([text("# A", "so $x^2$ is")], "cell 0 holds the formula 'x\\^2', and LaTeX needs MathJax"),
            ([text("# A", "$$\na\n$$")], "cell 0 holds the formula 'a'"),
            ([text("# A", r"\begin{align} a \end{align}")], "cell 0 holds the formula"),
            (
                [text("# A"), shows("display_data", data={"text/latex": "$x$"})],
                "cell 1 shows LaTeX",
            ),
            (
                [text("# A"), shows("display_data", data={"text/markdown": "$x$"})],
                "cell 1 holds the formula 'x'",
            ),
            (
                [text("# A"), shows("error", ename="E", evalue="v", traceback=[])],
                "cell 1 failed with E: v",
            ),
            ([text("# A"), picture("")], "a picture has no alternative text"),
            ([text("# A", "<img src='data:image/gif;base64,'>")], "a picture has no alternative text"),
            ([text("# A", "![](https://example.org/x.png)")], "the remote picture https://example.org/x.png"),
            ([text("# A", "![x](missing.png)")], "<img> loads 'missing.png'"),
            ([text("# A", "<script src='https://example.org/x.js'></script>")], "<script> loads"),
            ([text("# A", "<style>@import 'x.css'</style>")], "a style loads something"),
            ([text("## A")], "must open with a heading of level 1"),
        ],
    )  # fmt: skip
    def test_unfit_is_refused(self, course, tmp_path, cells, message):
        course(**{"00_a": cells})
        with pytest.raises(ValueError, match=rf"00_a.ipynb cannot become a page of the site: .*{message}"):
            site(tmp_path / "out")
        assert not (tmp_path / "out").exists()

    def test_a_price_and_code_are_no_formulas(self, course, tmp_path):
        course(**{"00_a": [text("# A", r"It costs \$5 or `$HOME$`, and $6.")]})
        said = soup(site(tmp_path / "out") / "00_a.html").select_one("main .text p").get_text()
        assert said == "It costs $5 or $HOME$, and $6."

    def test_a_badge_becomes_its_words(self, course, tmp_path):
        course(
            **{
                "00_a": [
                    text("# A", "[![Open in Binder](https://example.org/b.svg)](https://example.org/go)")
                ]
            }
        )
        built = site(tmp_path / "out")
        link = soup(built / "00_a.html").select_one("main .text a")
        assert (link.get_text(), link["href"]) == ("Open in Binder", "https://example.org/go")
        assert_self_contained(built)

    def test_tables_keep_captions_and_get_scopes(self, course, tmp_path):
        html = (
            "<div><style scoped>td {color: red}</style>"
            "<table border='1' class='dataframe'><caption>Sizes</caption>"
            "<thead><tr style='text-align: right;'><th></th><th>n</th></tr></thead>"
            "<tbody><tr><th>R</th><td>3</td></tr></tbody></table></div>"
        )
        shown = new_output("execute_result", data={"text/html": html, "text/plain": "x"}, execution_count=1)
        course(**{"00_a": [text("# A"), new_code_cell("t", outputs=[shown])]})
        built = site(tmp_path / "out")
        table = soup(built / "00_a.html").select_one("main table")
        assert table.caption.get_text() == "Sizes"
        assert [(c.get_text(), c["scope"]) for c in table.select("th")] == [("n", "col"), ("R", "row")]
        assert not soup(built / "00_a.html").select("main style, main [border], main [style]")

    def test_search_knows_prose_code_and_figures_but_no_other_output(self, course, tmp_path):
        printed = new_output("stream", name="stdout", text="printedword")
        cells = [
            text("# A", "opening **bold**ly"), text("## B", "- one", "- two<!-- hidden -->"),
            new_code_cell("codeword(1)", outputs=[printed]), picture("figureword & more"),
            text("## B", "again"),
        ]  # fmt: skip
        course(**{"00_a": cells})
        rows = index_of(site(tmp_path / "out"))
        assert [row[:4] for row in rows] == [
            ["00_a.html", "A", "A", "a"], ["00_a.html", "A", "B", "b"], ["00_a.html", "A", "B", "b-1"],
        ]  # fmt: skip
        assert [row[4] for row in rows] == [
            "opening boldly", "one two codeword(1) draw() figureword & more", "again",
        ]  # fmt: skip

    def test_code_is_shown_by_its_tags(self, course, tmp_path):
        tags = ["check", "setup", "parameters", "exercise", "machine"]
        cells = [new_code_cell(f"{tag}_code", metadata={"tags": [tag]}) for tag in tags]
        course(**{"00_a": [text("# A"), *cells]})
        shown = soup(site(tmp_path / "out") / "00_a.html").select("main .cell")
        assert [bool(cell.select("details:not([open]) pre")) for cell in shown] == [
            True,
            True,
            False,
            False,
            False,
        ]
        assert [bool(cell.select(".tag")) for cell in shown] == [False, False, True, True, True]
        assert all(f"{tag}_code" in cell.get_text() for tag, cell in zip(tags, shown, strict=True))


class TestInOneGo:
    def test_a_failed_run_leaves_the_old_site(self, course, tmp_path, monkeypatch):
        course(**{"00_a": [text("# Old")]})
        out = site(tmp_path / "out")
        before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
        course(**{"00_a": [text("# New")], "01_b": [text("# B $x$")]})
        with pytest.raises(ValueError, match="LaTeX"):
            site(out)
        (module.folder() / "01_b.ipynb").unlink()

        def no_space(*arguments):
            raise OSError("no space left")

        with monkeypatch.context() as patch:
            patch.setattr(module, "_search_index", no_space)
            with pytest.raises(OSError, match="no space left"):
                site(out)
        assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
        assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out"]
        site(out)
        assert soup(out / "00_a.html").h1.get_text() == "New"

    def test_pages_of_notebooks_that_are_gone_go_too(self, course, tmp_path):
        course(**{"00_a": [text("# A")], "01_b": [text("# B")]})
        out = site(tmp_path / "out")
        (module.folder() / "01_b.ipynb").unlink()
        assert site(out) == out
        assert sorted(pages(out)) == ["00_a.html", "index.html"]

    def test_another_folder_is_not_overwritten(self, course, tmp_path):
        course(**{"00_a": [text("# A")]})
        (tmp_path / "thesis").mkdir()
        (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
        with pytest.raises(
            ValueError, match=r"out='.*thesis' is not allowed: a folder that is not there yet"
        ):
            site(tmp_path / "thesis")
        assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"

    def test_the_same_notebooks_give_the_same_site(self, built, tmp_path):
        again = site(tmp_path / "again")
        files = [path.relative_to(built) for path in built.rglob("*") if path.is_file()]
        assert files
        for path in files:
            assert (again / path).read_bytes() == (built / path).read_bytes()

    def test_nothing_executed(self, course, tmp_path):
        with pytest.raises(FileNotFoundError, match="make notebooks"):
            site(tmp_path / "out")


def test_command_line(course, tmp_path, capsys):
    course(**{"00_a": [text("# A")]})
    command.main(["site", "--out", str(tmp_path / "out")])
    assert capsys.readouterr().out == f"written; open {tmp_path / 'out' / 'index.html'}\n"
    assert (tmp_path / "out" / "index.html").is_file()


def test_make_knows_the_site():
    root = notebooks.folder().parent
    planned = subprocess.run(["make", "--dry-run", "site"], cwd=root, capture_output=True, text=True).stdout
    assert "-m notebooks.build site" in planned
    cleaned = subprocess.run(["make", "--dry-run", "clean"], cwd=root, capture_output=True, text=True).stdout
    assert " site " in cleaned
    if shutil.which("git"):
        assert subprocess.run(["git", "check-ignore", "-q", "site/index.html"], cwd=root).returncode == 0
