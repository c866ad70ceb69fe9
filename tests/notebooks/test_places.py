from __future__ import annotations

import importlib.util
import subprocess
import sys
import types

import pytest

from notebooks import build as notebooks
from notebooks.build import places

NAME = "00_start_here"


@pytest.fixture
def address(monkeypatch, tmp_path):
    """Give the repository an address, in a pyproject.toml of the test's own."""

    def give(url):
        (tmp_path / "notebooks").mkdir()
        (tmp_path / "requirements").mkdir()
        (tmp_path / "requirements" / "offline.txt").write_text("# files\na-model==1.0\nsome-data==2.0\n")
        urls = f'[project.urls]\nRepository = "{url}"\n' if url else ""
        extras = '[project.optional-dependencies]\nbaselines = ["a-rival>=2"]\n'
        (tmp_path / "pyproject.toml").write_text(f'[project]\nname = "nlkit"\n{urls}{extras}')
        monkeypatch.setattr(places, "folder", lambda: tmp_path / "notebooks")

    return give


class TestHeader:
    def test_without_an_address_no_link_claims_to_open_this_notebook(self, address):
        address("")
        said = places.places(NAME)
        assert NAME not in said
        assert "badge" not in said
        assert "make lab" in said

    @pytest.mark.parametrize("end", ["", ".git", "/"])
    def test_on_github_both_badges_open_it(self, address, end):
        address(f"https://github.com/some-one/the.kit{end}")
        said = places.places(NAME)
        assert f"/v2/gh/some-one/the.kit/HEAD?labpath=notebooks/{NAME}.ipynb)" in said
        assert f"/github/some-one/the.kit/blob/HEAD/notebooks/{NAME}.ipynb)" in said

    def test_elsewhere_there_is_no_colab_badge(self, address):
        address("https://git.example.org/kit")
        said = places.places(NAME)
        assert "/v2/git/https%3A%2F%2Fgit.example.org%2Fkit/HEAD?labpath=" in said
        assert "Open in Colab" not in said

    @pytest.mark.parametrize("url", ["http://example.org/kit", "git@example.org:kit", "https://a b"])
    def test_a_bad_address_is_refused(self, address, url):
        address(url)
        with pytest.raises(ValueError, match=r"\[project.urls\] Repository="):
            places.places(NAME)


def run_cell(monkeypatch, *, installed, on_colab, returncode=0):
    """Run the setup cell as if in another place; return the arguments of its pip calls."""
    calls = []

    def fake_run(command, **settings):
        assert command[:5] == [sys.executable, "-m", "pip", "install", "--quiet"]
        calls.append(command[5:])
        return types.SimpleNamespace(returncode=returncode, stderr="no such version")

    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: real(name) if installed or name != "nlkit" else None
    )
    monkeypatch.setattr(subprocess, "run", fake_run)
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    if on_colab:
        monkeypatch.setitem(sys.modules, "google.colab", types.ModuleType("google.colab"))
    exec(compile(places.setup_cell(), "setup cell", "exec"), {})
    return calls


class TestSetupCell:
    @pytest.mark.parametrize("on_colab", [False, True])
    def test_does_nothing_where_nlkit_is(self, address, monkeypatch, on_colab):
        address("")
        assert run_cell(monkeypatch, installed=True, on_colab=on_colab) == []

    def test_elsewhere_it_names_the_command_and_installs_nothing(self, address, monkeypatch):
        address("https://github.com/some/kit")
        with pytest.raises(ModuleNotFoundError, match="make lab"):
            run_cell(monkeypatch, installed=False, on_colab=False)

    def test_on_colab_it_installs_nlkit_and_the_offline_packages(self, address, monkeypatch):
        address("https://github.com/some/kit")
        code, files = run_cell(monkeypatch, installed=False, on_colab=True)
        assert code == ["git+https://github.com/some/kit", "a-rival>=2"]
        assert files == ["--no-deps", "a-model==1.0", "some-data==2.0"]

    def test_on_colab_without_an_address_it_asks_for_one(self, address, monkeypatch):
        address("")
        with pytest.raises(ValueError, match="Write the address"):
            run_cell(monkeypatch, installed=False, on_colab=True)

    def test_pips_error_is_shown(self, address, monkeypatch):
        address("https://github.com/some/kit")
        with pytest.raises(RuntimeError, match=r"could not install git.*\nno such version"):
            run_cell(monkeypatch, installed=False, on_colab=True, returncode=1)


@pytest.mark.parametrize("name", notebooks.names())
def test_every_notebook_says_where_it_runs_and_begins_with_the_setup(name):
    nb = notebooks.read_source(name)
    assert places.places(name) in nb.cells[-1].source
    assert "| profile | time |" in "\n".join(cell.source for cell in nb.cells)
    first = next(cell for cell in nb.cells if cell.cell_type == "code")
    assert first.source == places.setup_cell()
    assert "setup" in first.metadata["tags"]
