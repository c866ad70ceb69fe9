"""The report of `nlkit.study.cleaned`: one HTML page that stands alone, on a screen, a telephone or paper."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from datetime import UTC, datetime
from html import escape
from importlib.metadata import version
from typing import Any

import numpy as np
import pandas as pd

from nlkit import __version__
from nlkit.methods.sidyp.method import SiDyP
from nlkit.study.annotators import Agreement
from nlkit.study.suspects import FINDERS, LEAST_FOUND, LEAST_WRONG, MOST, Findings

__all__ = ["Report", "report_html", "suspect_card"]

SHOWN, CLASSES, CHARACTERS, NAME, NEAREST = 12, 10, 400, 24, 3
"""Suspects, classes, characters of a text and of a name in a table, and neighbours, at most."""

STYLE = """
:root { color-scheme: light dark; --back: #fff; --text: #1b1f24; --soft: #57606a; --line: #d0d7de;
  --card: #f6f8fa; --hot: #b35900; --cool: #0b62a8; }
@media (prefers-color-scheme: dark) { :root { --back: #14171b; --text: #e6e9ed; --soft: #a3acb6;
  --line: #363d45; --card: #1d2228; --hot: #f0a04b; --cool: #6cb6ff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 60rem; padding: 1rem 1.2rem 3rem; background: var(--back);
  color: var(--text); font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 1rem 0 .4rem; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .5rem; padding-bottom: .2rem;
  border-bottom: 1px solid var(--line); }
p, li { max-width: 46rem; }
.soft { color: var(--soft); font-size: .88rem; }
.thin { border-left: 4px solid var(--hot); background: var(--card); padding: .1rem .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .92rem; }
th, td { padding: .28rem .55rem; text-align: left; vertical-align: top; overflow-wrap: normal;
  border-bottom: 1px solid var(--line); }
.number { text-align: right; font-variant-numeric: tabular-nums; }
th, td { white-space: nowrap; }
.wide { white-space: normal; min-width: 12rem; overflow-wrap: anywhere; }
.heat thead th { writing-mode: vertical-rl; transform: rotate(180deg); vertical-align: bottom; }
.heat td { min-width: 2.2rem; }
.bar { position: relative; height: 1.1rem; background: var(--card); border: 1px solid var(--line); }
.bar i { position: absolute; top: 0; bottom: 0; background: var(--hot); opacity: .45; }
.bar b { position: absolute; top: -3px; bottom: -3px; width: 3px; background: var(--hot); }
td .bar { height: .6rem; min-width: 4rem; }
article { border: 1px solid var(--line); border-radius: 6px; padding: .7rem .9rem; margin: .8rem 0;
  background: var(--card); break-inside: avoid; }
article p, article ul { margin: .25rem 0; }
.was { color: var(--hot); font-weight: 600; }
.new { color: var(--cool); font-weight: 600; }
blockquote { margin: .4rem 0; padding-left: .8rem; border-left: 3px solid var(--line);
  white-space: pre-wrap; }
@media (max-width: 30rem) { th, td { padding: .25rem .35rem; } th { white-space: normal; }
  .heat thead th { white-space: nowrap; } tbody th { overflow-wrap: anywhere; min-width: 4.5rem; } }
@media print { :root { color-scheme: light; --back: #fff; --text: #000; --soft: #444; --line: #bbb;
  --card: #fff; --hot: #8a4500; --cool: #084a80; } body { max-width: none; font-size: 10pt; }
  .bar i, .bar b, td { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What the page tells.

    Attributes
    ----------
    table : DataFrame
        One row a text: id, text, noisy_label, cleaned_label and proposal (names; "" is missing), changed,
        finders (how many propose the same), confidence and reason.
    unchanged_because : list of str
        Why no label was changed; empty where some were.
    findings : Findings
        What each finder says.
    method : SiDyP
        Fitted to the labels as they were found.
    look : DataFrame
        What `nlkit.look` says of the data.
    agreement : Agreement or None
        Of several annotators; their consensus is what was looked at.
    gold : dict or None
        `nlkit.metrics.correction_report` where there are true labels; they had no part in the rest.
    shares : DataFrame or None
        `nlkit.metrics.class_shares`, where some texts have true labels and others do not.
    not_looked_at : dict of str to int
        Splits without labels to look at, and their texts.
    """

    table: pd.DataFrame
    unchanged_because: list[str]
    findings: Findings
    method: SiDyP
    look: pd.DataFrame
    agreement: Agreement | None
    gold: dict[str, float] | None
    shares: pd.DataFrame | None
    not_looked_at: dict[str, int]

    @property
    def suspects(self) -> pd.DataFrame:
        """The rows of `table` for which at least two finders propose the same other label, surest first."""
        few = self.table[self.table["finders"] >= 2]
        return few.sort_values(["finders", "confidence"], ascending=False, kind="stable")

    @property
    def names(self) -> list[str]:
        """The class names."""
        return self.method.label_names_


def report_html(r: Report) -> str:
    """Return the page. Every text and name of the data is escaped; nothing is loaded from elsewhere."""
    parts = (_head, _wrong, _gold, _annotators, _look, _classes, _confusion, _texts, _done, _made)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>Labels, reviewed</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style></head><body>\n{''.join(part(r) for part in parts)}</body></html>\n"
    )


def _head(r: Report) -> str:
    n, changed = len(r.table), r.table["changed"]
    left = int((~changed[r.suspects.index]).sum())
    look = f"<p>{left:,} more are worth a look by a person (review.csv).</p>"
    if r.unchanged_because:
        why = "".join(f"<li>{escape(reason)}</li>" for reason in r.unchanged_because)
        thin = f"<p>The evidence is too thin:</p><ul>{why}</ul>{look.replace(' more', '')}"
        return f"<h1>No label of {n:,} was changed</h1>\n<div class=thin>{thin}</div>\n"
    filled = int((changed & (r.table["noisy_label"] == "")).sum())
    more = f", {filled:,} of them missing ones that were filled in" if filled else ""
    return f"<h1>{int(changed.sum()):,} of {n:,} labels were changed{more}</h1>\n{look}\n"


def _wrong(r: Report) -> str:
    rate, (low, high) = r.findings.noise_rate, r.findings.interval
    return (
        f"<h2>How much is wrong</h2>\n<p>About <strong>{rate:.0%}</strong> of the labels seem to be "
        f"wrong; between {low:.0%} and {high:.0%} is plausible.</p>\n{_bar(low, high, rate)}"
        "<p class=soft>0 % on the left, 100 % on the right; the mark is the estimate, the band its "
        "interval. It is read off the texts whose neighbours agree most. Mistakes that all texts of a kind "
        "share cannot be seen this way (then it is too low); where classes are hard to tell apart by what "
        "is spoken of, right labels look wrong (then it is too high).</p>\n"
    )


def _gold(r: Report) -> str:
    if r.gold is None:
        return ""
    n, before, after = int(r.gold["n"]), r.gold["accuracy_before"], r.gold["accuracy_after"]
    return (
        f"<h2>Against the true labels</h2>\n<p>Of {n:,} texts with a true label {round(before * n):,} "
        f"({before:.1%}) were labelled right before and {round(after * n):,} ({after:.1%}) are now. The "
        "true labels had no part in the decisions.</p>\n"
    ) + _shares(r)


def _shares(r: Report) -> str:
    if r.shares is None:
        return ""
    order = r.shares.sort_values("estimate", ascending=False, kind="stable").head(CLASSES)
    shown = ("as_labelled", "estimate")
    rows = "".join(
        f"<tr>{_name(str(name))}{''.join(_share(row[column]) for column in shown)}"
        f"<td>{row['low']:.0%} to {row['high']:.0%}{_bar(*row[['low', 'high', 'estimate']])}</td></tr>\n"
        for name, row in order.iterrows()
    )
    head = "".join(f"<th class=number>{name}</th>" for name in ("as found", "estimate"))
    return (
        "<p>How many texts are of each class, by all labels and the true ones of some (prediction-powered "
        "inference); valid if the latter were drawn at random.</p>\n"
        f"{_table(f'<th>class</th>{head}<th>95 % interval</th>', rows)}"
    )


def _annotators(r: Report) -> str:
    if r.agreement is None:
        return ""
    (low, high), people = r.agreement.interval, r.agreement.annotators
    told = ("with_consensus", "advantage", "right")
    shown = [name for name in told if name in people and people[name].notna().any()]
    rows = "".join(
        f"<tr>{_name(str(who))}{''.join(_share(row[name]) for name in shown)}"
        f"<td>{ {True: 'yes', False: 'no'}.get(row['replaces'], '') }</td></tr>\n"
        for who, row in people.iterrows()
    )
    head = "".join(f"<th class=number>{name.replace('_', ' ')}</th>" for name in shown)
    return (
        f"<h2>Annotators</h2>\n<p>Krippendorff's α of {len(people)} annotators is "
        f"<strong>{r.agreement.alpha:.2f}</strong> ({low:.2f} to {high:.2f}; 1: all agree, 0: as by chance). "
        "What was looked at is their consensus by Dawid and Skene's model, which takes their mistakes for "
        f"independent.</p>\n{_table(f'<th>annotator</th>{head}<th>may replace</th>', rows)}"
        "<p class=soft>Advantage: on how many texts it agrees with the others at least as well as one of "
        "them who is left out does. May replace the others: the alternative annotator test, ε 0.1.</p>\n"
    )


def _look(r: Report) -> str:
    found = r.look[r.look["count"] > 0]
    rows = "".join(
        f"<tr>{_name(row['split'])}{_number(row['count'])}<td class=wide><strong>{escape(row['finding'])}"
        f"</strong>. {escape(row['advice'])} Ids: {_cut(', '.join(map(str, row['ids'])), NAME)}</td></tr>\n"
        for _, row in found.iterrows()
    )
    head = "<th>split</th><th class=number>texts</th><th>finding, and what to do</th>"
    body = _table(head, rows) if rows else "<p>Nothing that would spoil learning was found.</p>\n"
    return f"<h2>A look at the data</h2>\n{body}"


def _classes(r: Report) -> str:
    known = r.table[r.table["noisy_label"] != ""]
    group = known.assign(suspect=known["finders"] >= 2).groupby("noisy_label")
    found = group.agg(n=("suspect", "size"), suspect=("suspect", "sum"), changed=("changed", "sum"))
    worst = found.sort_values(["suspect", "n"], ascending=False, kind="stable").head(CLASSES)
    rows = "".join(
        f"<tr>{_name(str(name))}{_number(row['n'])}{_number(row['changed'])}<td>{row['suspect']:,.0f} "
        f"({row['suspect'] / row['n']:.0%}){_bar(0.0, row['suspect'] / row['n'])}</td></tr>\n"
        for name, row in worst.iterrows()
    )
    left = f" The {CLASSES} of {len(found)} classes with the most." if len(found) > CLASSES else ""
    head = "".join(f"<th class=number>{name}</th>" for name in ("labels", "changed"))
    return (
        "<h2>Worst classes</h2>\n<p class=soft>Suspect: at least two finders propose the same other label."
        f"{left}</p>\n{_table(f'<th>labelled as</th>{head}<th>suspect</th>', rows)}"
    )


def _confusion(r: Report) -> str:
    pairs = r.suspects[r.suspects["noisy_label"] != ""]
    if not len(pairs):
        return ""
    often = pd.concat([pairs["noisy_label"], pairs["proposal"]]).value_counts().index[:CLASSES]
    shown = [name for name in r.names if name in often]
    count = pd.crosstab(pairs["noisy_label"], pairs["proposal"])
    cells = count.reindex(index=shown, columns=shown, fill_value=0).to_numpy(np.int64)
    rows = "".join(
        f"<tr>{_name(name)}{''.join(_heat(int(n), int(cells.max())) for n in line)}</tr>\n"
        for name, line in zip(shown, cells, strict=True)
    )
    left = f" The {len(shown)} classes most concerned." if len(shown) < len(r.names) else ""
    head = "<td></td>" + "".join(map(_name, shown))
    return (
        "<h2>What is taken for what</h2>\n<p class=soft>Suspect labels: as found (rows), as proposed "
        f"(columns).{left}</p>\n{_table(head, rows, 'heat')}"
    )


def _texts(r: Report) -> str:
    shown = r.suspects.head(SHOWN)
    what = (
        f"{len(shown)} of {len(r.suspects):,}; all are in review.csv. After each finder's name: how likely "
    )
    what += "it finds the proposal, and the label as found."
    if not len(shown):
        what = "None: no two finders propose the same other label."
    cards = "".join(suspect_card(r, int(place)) for place in shown.index)
    return f"<h2>Most suspicious texts</h2>\n<p class=soft>{what}</p>\n{cards}"


def suspect_card(r: Report, place: int) -> str:
    """Return one suspect, with its neighbours, as HTML."""
    row: Any = r.table.loc[place]
    near = "".join(
        f"<li><strong>{escape(r.table['noisy_label'][j])}</strong>: "
        f"<span dir=auto>{_cut(r.table['text'][j], CHARACTERS // 2)}</span></li>"
        for j in r.findings.near[place][:NEAREST]
        if j >= 0
    )
    done = "changed" if row["changed"] else "left as it was"
    was, new = escape(row["noisy_label"]) or "(none)", escape(row["proposal"])
    return (
        f"<article><p>{escape(str(row['id']))}: <strong class=was>{was}</strong> → <strong class=new>{new}"
        f"</strong>, {done}, confidence {row['confidence']:.2f}</p>\n<blockquote dir=auto>"
        f"{_cut(row['text'], CHARACTERS)}</blockquote>\n<p class=soft>{escape(row['reason'])}</p>\n"
        f"<p class=soft>Nearest texts, with their labels as found:</p><ul class=soft>{near}</ul></article>\n"
    )


def _done(r: Report) -> str:
    left = "".join(
        f"<li>The split {escape(split)} ({n:,} texts) has no labels to look at.</li>"
        for split, n in r.not_looked_at.items()
    )
    return (
        "<h2>What was done, and what was not</h2>\n<ul>"
        f"<li>Four finders looked at each label: {', '.join(FINDERS)}. SiDyP trains branches and refines "
        "labels by diffusion and neighbours; NoiseAL follows two models over their training; cleanlab "
        "judges each text by a classifier that has not seen it; neighbours are the nearest texts' labels."
        f"</li><li>A label is changed only where {MOST} of the four, SiDyP among them, propose the same "
        f"other one; none is changed where fewer than {LEAST_WRONG:.0%} may be wrong, where the finders "
        f"agree on less than {LEAST_FOUND:.0%} of what seems to be wrong, or where texts do not explain "
        "labels that were held out.</li><li>No row of those loaded was left out, no text was changed, and no "
        "person has looked at the changes yet.</li><li>The saved model was trained on the labels as they "
        f"were found.</li>{left}</ul>\n"
    )


def _made(r: Report) -> str:
    encoder = r.method.branches_.encoder
    chosen = f"{encoder.precision} (activations off by {encoder.rounding:.1%})"
    settings: Any = {**r.method.config.to_dict(), "precision of the frozen layers": chosen}
    packages = ", ".join(f"{name} {version(name)}" for name in ("torch", "cleanlab", "scikit-learn"))
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(str(v))}</td></tr>" for k, v in settings.items())
    return (
        f"<h2>Settings and versions</h2>\n<p>nlkit {__version__}, Python {platform.python_version()}, "
        f"{packages}; {datetime.now(UTC):%Y-%m-%d %H:%M} UTC; profile {escape(settings['profile'])}, seed "
        f"{settings['seed']}.</p>\n<details><summary>All settings</summary>{_table('', rows)}</details>\n"
    )


def _table(head: str, rows: str, kind: str = "plain") -> str:
    top = f"<thead><tr>{head}</tr></thead>"
    return f"<div class=scroll><table class={kind}>{top}<tbody>\n{rows}</tbody></table></div>\n"


def _name(name: str) -> str:
    return f'<th title="{escape(name)}">{_cut(name, NAME)}</th>'


def _cut(text: str, most: int) -> str:
    return escape(text if len(text) <= most else f"{text[:most].rstrip()} …")


def _number(value: float) -> str:
    return f"<td class=number>{value:,.0f}</td>"


def _share(value: float) -> str:
    return f"<td class=number>{'' if np.isnan(value) else f'{value:.1%}'}</td>"


def _bar(low: float, high: float, mark: float | None = None) -> str:
    line = "" if mark is None else f'<b style="left:calc({mark:.1%} - 1px)"></b>'
    return f'<div class=bar><i style="left:{low:.1%};width:{high - low:.1%}"></i>{line}</div>'


def _heat(value: int, most: int) -> str:
    share = -(-60 * value // most)  # rounded up: a single one is seen too
    shade = f' style="background:color-mix(in srgb, var(--hot) {share}%, transparent)"' if value else ""
    return f"<td class=number{shade}>{value or ''}</td>"
