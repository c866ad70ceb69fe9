"""``~`` is the home folder wherever a path is given."""

from __future__ import annotations

from pathlib import Path

import pytest

import nlkit as nk
from nlkit._util import cache_folder
from nlkit.annotate.store import AnswerStore
from nlkit.data.packaged import resolve_model
from nlkit.study.resuming import each
from tests.made import labelled_split


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a home folder; the working folder is another one, and stays empty."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


def test_a_tilde_is_the_home_folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["oil and gas", "wheat and corn"] * 6
    ds = {"train": labelled_split("ab", text=texts, noisy_label=[0, 1] * 6)}
    method = nk.Baseline(profile="quick", epochs=1).fit(ds, checkpoint="~/checkpoint")
    assert method.save("~/model") == home / "model"
    assert (nk.load("~/model").predict(texts) == method.predict(texts)).all()
    nk.to_csv(ds["train"], "~/out.csv")
    AnswerStore("~/answers.sqlite").close()
    each([(1,)], lambda one: one, checkpoint="~/parts")
    monkeypatch.setenv("NLKIT_CACHE", "~/cache")
    assert cache_folder("x") == home / "cache" / "x"
    assert resolve_model("~/model") == str(home / "model")
    assert {path.name for path in home.iterdir()} == {
        "checkpoint",
        "model",
        "out.csv",
        "answers.sqlite",
        "parts",
        "cache",
    }
    assert not list(Path.cwd().iterdir())
