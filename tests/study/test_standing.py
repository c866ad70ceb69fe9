"""What is said of a sweep's records: tests against scipy and by hand, and the report that shows them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.study import within
from nlkit.__main__ import main
from nlkit.study.sweeps.records import SCHEMA, table_of
from nlkit.study.sweeps.standing import by_setting, cliques, holm, standing

MEAN = {"good": 0.9, "as good": 0.9, "bad": 0.7, "worse": 0.5}


def records(seeds=range(5), rates=(0.2, 0.4), methods=MEAN):
    rng = np.random.default_rng(0)
    rows = []
    for rate in rates:
        for seed in seeds:
            hard = rng.normal(0, 0.03)  # what all methods find hard in a cell
            for name, mean in methods.items():
                accuracy = mean - rate / 10 + hard + rng.normal(0, 0.004)
                rows.append({
                    "key": f"{name} {rate} {seed}", "status": "done", "error": "", "method": name,
                    "dataset": "r8 & <b>", "noise": "symmetric", "rate": rate, "size": 100, "seed": seed,
                    "accuracy": accuracy, "best_accuracy": accuracy - 0.01, "ece": 0.1, "seconds_fit": 2.0,
                    "encoder": "minilm", "profile": "quick", "revision": "abc", "versions": '{"nlkit": "0"}',
                })  # fmt: skip
    return table_of({**dict.fromkeys(SCHEMA.names), **row} for row in rows)


class TestStanding:
    def test_means_places_and_differences(self):
        found = standing(records())
        table = found.table.set_index("method")
        wide = records().pivot_table(index=["rate", "seed"], columns="method", values="accuracy")
        place = wide.rank(axis=1, ascending=False).mean()
        assert found.cells == 10
        pd.testing.assert_series_equal(table["rank"].sort_index(), place, check_names=False)
        pd.testing.assert_series_equal(table["mean"].sort_index(), wide.mean(), check_names=False)
        best = found.table["method"][0]
        assert {best, found.table["method"][1]} == {"good", "as good"}
        off = (wide["bad"] - wide[best]).mean()
        assert table.loc["bad", "difference"] == pytest.approx(off)

    def test_p_are_scipys_with_holms_correction(self):
        found = standing(records())
        wide = records().pivot_table(index=["rate", "seed"], columns="method", values="accuracy")
        assert found.friedman == pytest.approx(stats.friedmanchisquare(*wide.to_numpy().T).pvalue)
        raw = {
            (row.one, row.other): stats.wilcoxon(wide[row.one] - wide[row.other]).pvalue
            for row in found.pairs.itertuples()
        }
        ordered, before = sorted(raw, key=raw.get), 0.0
        for number, pair in enumerate(ordered):
            before = max(before, min(1.0, raw[pair] * (len(raw) - number)))
            row = found.pairs[(found.pairs["one"] == pair[0]) & (found.pairs["other"] == pair[1])]
            assert row["p"].iloc[0] == pytest.approx(before)

    def test_who_may_be_best_and_who_is_not(self):
        table = standing(records()).table.set_index("method")
        assert table["with_best"].to_dict() == {"good": True, "as good": True, "bad": False, "worse": False}
        groups = cliques(standing(records()))
        assert [set(group) for group in groups] == [{"good", "as good"}]

    def test_cells_that_not_all_have_finished_do_not_count(self):
        r = records()
        r.loc[(r["method"] == "bad") & (r["seed"] == 0), "status"] = "failed"
        r.loc[(r["method"] == "worse") & (r["seed"] == 1), "accuracy"] = np.nan
        assert standing(r).cells == 6
        r.loc[r["method"] == "bad", "status"] = "failed"
        assert set(standing(r).table["method"]) == {"good", "as good", "worse"}

    def test_two_records_of_one_cell_are_refused(self):
        with pytest.raises(ValueError, match="method='good' is not allowed: one record a cell"):
            standing(pd.concat([records(), records()[:1]]))

    @given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
    def test_holm_keeps_order_and_never_lowers(self, p):
        corrected = holm(p)
        assert (corrected >= np.array(p) - 1e-12).all()
        assert (np.diff(corrected[np.argsort(p, kind="stable")]) >= 0).all()
        assert corrected[int(np.argmin(p))] == pytest.approx(min(1.0, min(p) * len(p)))

    def test_by_setting(self):
        table = by_setting(records()).set_index(["rate", "method"])
        values = records().query("method == 'bad' and rate == 0.2")["accuracy"]
        assert table.loc[(0.2, "bad"), ["mean", "sd", "n"]].tolist() == pytest.approx(
            [values.mean(), values.std(ddof=1), 5]
        )
        assert table["best"].sum() == 2

    def test_in_how_many_settings_ours_are_not_behind(self):
        assert within(records(), ["as good"])["settings"] == 2
        assert within(records(), ["good", "bad"]) == {"settings": 2, "best or not worse": 2}
        assert within(records(), ["worse"]) == {"settings": 2, "best or not worse": 0}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    r = records()
    r.loc[0, ["status", "error"]] = "failed", "ValueError: no\nmore"
    # A cell that one method has failed in is part of no column: its calibration would spoil the others'.
    r.loc[(r["rate"] == 0.2) & (r["seed"] == 0), "ece"] = 0.9
    more = r[r["method"] == "bad"].assign(encoder="mpnet", accuracy=0.1, best_accuracy=0.1)
    r = pd.concat([r, more.assign(key=more["key"] + " mpnet")], ignore_index=True)
    pq.write_table(pa.Table.from_pandas(r, SCHEMA, preserve_index=False), folder / "all.parquet")
    assert main(["report", str(folder / "all.parquet"), "--out", str(folder / "out")]) == 0
    return folder / "out"


class TestReport:
    def test_markdown_holds_the_figures(self, folder):
        text = (folder / "report.md").read_text("utf-8")
        values = 100 * records().query("method == 'bad' and rate == 0.4")["accuracy"]
        assert f"| {values.mean():.1f} ± {values.std():.1f} (5) |" in text
        best = 100 * records().query("method == 'bad' and rate == 0.4")["best_accuracy"]
        assert f"| {best.mean():.1f} ± {best.std():.1f} (5) |" in text
        assert "cannot be told from it" in text
        # Variants of a method are methods of their own, by what they differ in.
        [bad] = [line for line in text.splitlines() if line.startswith("| bad, mpnet | 5.00 ")]
        assert "| 10.0 | 10.0 |" in bad
        assert "| 0.100 |" in bad, "0.900 of the cell that not all have finished"
        assert "| ValueError: no |" in text
        for name in re.findall(r"\]\((report-\d+\.png)\)", text):
            assert (folder / name).read_bytes().startswith(b"\x89PNG")

    def test_the_page_stands_alone_and_nothing_of_the_data_is_markup(self, folder):
        page = (folder / "report.html").read_text("utf-8")
        assert page.count("<img") == page.count("data:image/png;base64,") == 3
        assert not re.search(r"(src|href)=\"?(http|//)", page)
        assert "<b>" not in page
        assert "r8 &amp; &lt;b&gt;" in page

    def test_latex_escapes(self, folder):
        text = (folder / "report.tex").read_text("utf-8")
        assert r"r8 \& <b>" in text
        assert text.count("{tabular}") % 2 == 0
        assert not re.search(r"(?<!\\)%", text)

    def test_nothing_to_report(self, tmp_path, capsys):
        with pytest.raises(SystemExit):
            main(["report", str(tmp_path)])
        assert "a folder that a sweep wrote to" in capsys.readouterr().err
