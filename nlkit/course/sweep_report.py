"""The report of a sweep: one content, as a page that stands alone, as Markdown and as LaTeX."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import pandas as pd

from nlkit._util import atomic_write, expanded, invalid
from nlkit.course import plots
from nlkit.study.report import STYLE
from nlkit.study.sweeps.grid import DATA
from nlkit.study.sweeps.records import read_records
from nlkit.study.sweeps.standing import SETTING, by_setting, cliques, standing

__all__ = ["markdown", "report", "summary"]


@dataclass(frozen=True)
class Figure:
    """A picture (PNG) and what it says in words."""

    png: bytes
    alt: str


Part = tuple[str, list[str | pd.DataFrame | Figure]]
"""A heading, and what stands below it."""


def report(results: str | Path, out: str | Path | None = None) -> Path:
    """Write what the records of a sweep say: ``report.html``, ``report.md``, ``report.tex`` and figures.

    Parameters
    ----------
    results : path
        Folder that `nlkit.sweep` wrote to, or one Parquet file of records.
    out : path, optional
        Folder for the report; `results` by default.

    Returns
    -------
    Path
        Of ``report.html``.

    Raises
    ------
    ValueError
        If there are no records, or none was finished.
    """
    records = read_records(results)
    if out is None and expanded(results).is_file():
        invalid("out", None, "a folder, as results is a file")
    folder = expanded(out if out is not None else results)
    parts = list(_parts(records))
    figures = [each for _, content in parts for each in content if isinstance(each, Figure)]
    names = {id(figure): f"report-{number}.png" for number, figure in enumerate(figures, 1)}
    for figure in figures:
        with atomic_write(folder / names[id(figure)]) as path:
            path.write_bytes(figure.png)
    for kind, text in (("md", _md(parts, names)), ("tex", _tex(parts, names)), ("html", _html(parts))):
        with atomic_write(folder / f"report.{kind}") as path:
            path.write_text(text, "utf-8")
    return folder / "report.html"


def summary(records: pd.DataFrame) -> str:
    """Return the report's words and tables as Markdown, without its figures."""
    return _md(list(_parts(records, pictures=False)), {})


def markdown(table: pd.DataFrame) -> str:
    """Return a table of texts as Markdown."""
    rows = [list(table.columns), ["---"] * len(table.columns), *table.astype(str).to_numpy().tolist()]
    return "\n".join("| " + " | ".join(text.replace("|", "\\|") for text in row) + " |" for row in rows)


def _parts(records: pd.DataFrame, *, pictures: bool = True) -> Iterator[Part]:
    done = records[records["status"] == "done"].sort_values([*SETTING, "method", "seed"])
    if done.empty:
        invalid("results", f"{len(records)} cells", "at least one that is done")
    named, cell = done.copy(), [*DATA, "method"]
    for name in ("encoder", "profile", "annotator", "query_budget"):
        # Variants of one method are told apart by what they differ in.
        if done.groupby(cell, dropna=False)[name].nunique(dropna=False).max() > 1:
            named["method"] += done[name].map(lambda value: "" if pd.isna(value) else f", {value}")
    yield _head(records, done)
    yield _standing(named, pictures)
    yield from _settings(named)
    if pictures:
        yield from _curves(done)
    bad = records[records["status"] == "failed"]
    if len(bad):
        table = bad[["method", *SETTING, "seed"]].assign(error=bad["error"].str.split("\n").str[0])
        yield "Failed", [table.dropna(axis=1, how="all").astype(object).fillna("")]


def _head(records: pd.DataFrame, done: pd.DataFrame) -> Part:
    versions = json.loads(done["versions"].iloc[0])
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    used = done["encoder"].fillna("none") + ", " + done["profile"].fillna("none")
    values = {
        "cells": f"{len(done)} of {len(records)} done", "methods": done["method"].nunique(),
        "data": ", ".join(done["dataset"].unique()),
        "seeds": ", ".join(map(str, sorted(done["seed"].unique()))),
        "encoder, profile": "; ".join(sorted(used.unique())),
        "revision": ", ".join(done["revision"].unique()) or "no clone",
    }  # fmt: skip
    table = pd.DataFrame({"": list(values), " ": [str(value) for value in values.values()]})
    return "A comparison of methods", [table, f"Versions: {told}."]


def _standing(done: pd.DataFrame, pictures: bool) -> Part:
    last = standing(done)
    whole = done.groupby([*DATA], dropna=False)["method"].transform("nunique") == done["method"].nunique()
    mean = done[whole].groupby("method")[["best_accuracy", "ece", "seconds_fit"]].mean()
    rows = last.table.join(mean, on="method")
    shown = pd.DataFrame({
        "method": rows["method"], "place": rows["rank"].map("{:.2f}".format),
        "last epoch": (100 * rows["mean"]).map("{:.1f}".format),
        "best by noisy validation": [_percent(value) for value in rows["best_accuracy"]],
        "to the best": (100 * rows["difference"]).map("{:+.1f}".format),
        "p": ["" if k == 0 else f"{p:.3f}" for k, p in enumerate(rows["p"])],
        "ECE": rows["ece"].map("{:.3f}".format), "seconds": rows["seconds_fit"].map("{:.1f}".format),
    })  # fmt: skip
    first, *others = rows["method"][rows["with_best"]]
    alone = ", and clearly so" if len(rows) > 1 else ""
    alike = f"; {', '.join(others)} cannot be told from it" if others else alone
    friedman = "" if pd.isna(last.friedman) else f" That all are alike: p = {last.friedman:.2g} (Friedman)."
    words = (
        f"By mean place over {last.cells} cells that all methods have finished, {first} is best at the last "
        f"epoch{alike} (paired signed-rank tests, Holm's correction, level {last.level}).{friedman} Cells "
        "with the same texts are no independent evidence: other data may say otherwise."
    )
    title = "Who stands where"
    if not pictures:
        return title, [words, shown]
    fig, ax = plots.figure(width=8, height=0.35 * len(rows) + 1.2)
    places = Figure(alt=plots.draw_places(last.table, cliques(last), ax), png=plots.png(fig))
    fig, ax = plots.figure(width=8, height=4)
    cost = pd.DataFrame({"method": rows["method"], "accuracy": rows["mean"], "seconds": rows["seconds_fit"]})
    time = Figure(alt=plots.draw_time(cost, ax), png=plots.png(fig))
    return title, [words, shown, places, time]


def _settings(done: pd.DataFrame) -> Iterator[Part]:
    for value, title in (
        ("accuracy", "Test accuracy, last epoch"),
        ("best_accuracy", "Test accuracy, best epoch by noisy validation"),
        ("ece", "Expected calibration error, last epoch"),
    ):
        if done[value].isna().all():
            continue
        table = by_setting(done, value)
        shown: list[str | pd.DataFrame | Figure] = ["In %, mean ± standard deviation over seeds (how many)."]
        for dataset, part in table.groupby("dataset", sort=False):
            part = part.assign(
                setting=[_setting(row) for row in part.to_dict("records")],
                text=[_cell(row, value != "ece") for row in part.to_dict("records")],
            )
            wide = part.pivot_table(
                index="method", columns="setting", values="text", aggfunc="first", sort=False
            )
            shown.append(wide.fillna("").reset_index().rename(columns={"method": str(dataset)}))
        yield title, shown


def _setting(row: dict[Any, Any]) -> str:
    rate = "" if pd.isna(row["rate"]) or row["noise"] == "clean" else f" {row['rate']:g}"
    size = "" if pd.isna(row["size"]) else f", {row['size']:g} texts"
    labels = "" if pd.isna(row["labeller"]) else f" by {row['labeller']}, {row['shots']:g} shown"
    return f"{row['noise']}{rate}{labels}{size}"


def _cell(row: dict[Any, Any], bold: bool) -> str:
    spread = "" if pd.isna(row["sd"]) else f" ± {100 * row['sd']:.1f}"
    text = f"{100 * row['mean']:.1f}{spread} ({row['n']:.0f})"
    return f"**{text}**" if bold and row["best"] else text


def _percent(value: float) -> str:
    return "" if pd.isna(value) else f"{100 * value:.1f}"


def _curves(done: pd.DataFrame) -> Iterator[Part]:
    """Draw accuracy over whatever of these has several values: rate, size, questions allowed."""
    for x, title in (
        ("rate", "Over the noise rate"),
        ("size", "Over the size"),
        ("query_budget", "Over questions"),
    ):
        drawn: list[str | pd.DataFrame | Figure] = []
        others = [name for name in SETTING if name != x]
        for key, part in (
            done[done["noise"] != "clean"].dropna(subset=[x]).groupby(others, dropna=False, sort=False)
        ):
            if part[x].nunique() < 2:
                continue
            fig, ax = plots.figure(width=8, height=4)
            alt = plots.draw_sweep(part, ax, x=x, y="accuracy")
            name = ", ".join(value for value in map(str, key) if value not in ("nan", "None", "<NA>"))
            ax.set_title(name)
            drawn.append(Figure(plots.png(fig), f"{name}. {alt}"))
        if drawn:
            yield title, drawn


def _md(parts: list[Part], names: dict[int, str]) -> str:
    lines = []
    for number, (title, content) in enumerate(parts):
        lines.append(f"{'#' if number == 0 else '##'} {title}")
        for each in content:
            if isinstance(each, Figure):
                lines.append(f"![{each.alt}]({names[id(each)]})")
            else:
                lines.append(each if isinstance(each, str) else markdown(each))
    return "\n\n".join(lines) + "\n"


def _tex(parts: list[Part], names: dict[int, str]) -> str:
    """Return a body for a document with the packages booktabs and graphicx."""
    lines = []
    for title, content in parts:
        lines.append(f"\\section{{{_escaped(title)}}}")
        for each in content:
            if isinstance(each, Figure):
                lines.append(f"\\includegraphics[width=\\linewidth]{{{names[id(each)]}}}")
            elif isinstance(each, str):
                lines.append(_escaped(each))
            else:
                rows = [[_escaped(str(value)) for value in row] for row in [each.columns, *each.to_numpy()]]
                bold = [[f"\\textbf{{{v[2:-2]}}}" if v.startswith("**") else v for v in row] for row in rows]
                head, *body = (" & ".join(row) + " \\\\" for row in bold)
                table = ["\\toprule", head, "\\midrule", *body, "\\bottomrule"]
                columns = "l" * len(each.columns)
                lines.append("\n".join([f"\\begin{{tabular}}{{{columns}}}", *table, "\\end{tabular}"]))
    return "\n\n".join(lines) + "\n"


def _escaped(text: str) -> str:
    special = {
        "\\": r"\textbackslash{}",
        "±": r"$\pm$",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def _html(parts: list[Part]) -> str:
    lines = []
    for number, (title, content) in enumerate(parts):
        level = "h1" if number == 0 else "h2"
        lines.append(f"<{level}>{escape(title)}</{level}>")
        for each in content:
            if isinstance(each, Figure):
                data = base64.b64encode(each.png).decode()
                alt = escape(each.alt)
                picture = f'<img style="max-width:100%" alt="{alt}" src="data:image/png;base64,{data}">'
                words = f"<details><summary>In words</summary><p>{alt}</p></details>"
                lines.append(picture + words)
            elif isinstance(each, str):
                lines.append(f"<p>{escape(each)}</p>")
            else:
                lines.append(_html_table(each))
    style = f'<meta name="viewport" content="width=device-width, initial-scale=1"><style>{STYLE}</style>'
    head = f'<head><meta charset="utf-8"><title>{escape(parts[0][0])}</title>{style}</head>'
    return f'<!doctype html>\n<html lang="en">{head}<body>\n' + "\n".join(lines) + "\n</body></html>\n"


def _html_table(table: pd.DataFrame) -> str:
    head = "".join(f"<th>{escape(str(name))}</th>" for name in table.columns)
    rows = []
    for values in table.astype(str).to_numpy():
        cells = "".join(
            f"<td><strong>{escape(v[2:-2])}</strong></td>" if v.startswith("**") else f"<td>{escape(v)}</td>"
            for v in values
        )
        rows.append(f"<tr>{cells}</tr>")
    body = "\n".join(rows)
    return f"<div class=scroll><table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table></div>"
