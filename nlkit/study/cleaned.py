"""Your own labelled file in; a cleaned file, a list to review, a model and a report out.

`clean` runs four finders of wrong labels, `nlkit.study.suspects` has the rule by which they change a label,
and `nlkit.study.report` the page that says what was found.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from datasets import ClassLabel, Dataset, DatasetDict, concatenate_datasets

from nlkit._util import expanded
from nlkit.data.checks import numbers_of
from nlkit.data.observed import label_names, observe, with_column
from nlkit.data.writing import to_csv, write_csv
from nlkit.methods.label_cleaning import confident_learning, label_issues
from nlkit.methods.noiseal.method import NoiseAL
from nlkit.methods.sidyp.method import SiDyP
from nlkit.methods.sidyp.prior import nearest_trusted, vote_shares
from nlkit.metrics import class_shares, correction_report
from nlkit.models.saving import check_replaceable, whole_folder
from nlkit.noise.estimating import out_of_fold_probabilities
from nlkit.study.annotators import with_consensus
from nlkit.study.looking import look
from nlkit.study.report import Report, report_html
from nlkit.study.suspects import Findings, too_thin

__all__ = ["Cleaned", "clean"]

NEIGHBOURS = 20


@dataclass(frozen=True, kw_only=True)
class Cleaned(Report):
    """What `clean` found; the other attributes are those of `nlkit.study.report.Report`.

    Attributes
    ----------
    dataset : Dataset
        All texts with every column of theirs, in their order, and ``cleaned_label``.
    """

    dataset: Dataset

    def __repr__(self) -> str:
        rate, (low, high) = self.findings.noise_rate, self.findings.interval
        what = f"{self.table['changed'].sum()} of {len(self.table)} labels changed"
        if self.unchanged_because:
            what = "no label changed, because " + "; ".join(self.unchanged_because)
        return f"Cleaned: about {rate:.0%} seem to be wrong ({low:.0%} to {high:.0%}); {what}"

    def save(self, folder: str | Path) -> Path:
        """Write cleaned.csv, review.csv, report.html and the model; the folder appears as a whole.

        A cell of text that a spreadsheet would take for a formula gets an apostrophe in front.

        Raises
        ------
        OSError
            If the folder holds anything but an earlier result that nobody has edited, or the disk is full.
        """
        target = expanded(folder)
        rows = self.dataset
        if "id" not in rows.column_names:
            rows = with_column(rows, "id", self.table["id"].tolist())
        rows = with_column(rows, "label_changed", self.table["changed"].tolist())
        review = self.suspects.drop(columns=["changed"]).assign(decision="")
        with whole_folder(target) as place:
            to_csv(rows, place / "cleaned.csv")
            write_csv(review, place / "review.csv")
            (place / "report.html").write_text(report_html(self), "utf-8")
            self.method.save(place / "model")
        return target


def clean(
    ds: DatasetDict, out: str | Path | None = None, *, encoder: str = "minilm", profile: str = "quick",
    seed: int = 0, **settings: Any,
) -> Cleaned:  # fmt: skip
    """Look for wrong labels by four finders, and change those on which they agree.

    Parameters
    ----------
    ds : DatasetDict
        Splits with ``text`` and ``noisy_label``, which are looked at together; without ``id`` the rows are
        numbered from 1. Where there are columns ``noisy_label_…`` of several annotators instead, it is their
        consensus (`nlkit.agreement`). A ``label`` (−1: none) is true, and tells how good the result is;
        nothing else.
    out : path, optional
        Folder for the files of `Cleaned.save`.
    encoder, profile, seed
        As in every method.
    **settings
        Any other setting that `nlkit.SiDyP` and `nlkit.NoiseAL` share, such as max_length.

    Raises
    ------
    ImportError
        If cleanlab is not installed: ``pip install 'nlkit[baselines]'``.
    ValueError
        If the data cannot be used.
    OSError
        If `out` cannot be written.

    Warns
    -----
    UserWarning
        For each finding of `nlkit.look` that matters.

    Examples
    --------
    >>> import nlkit as nk
    >>> ds = nk.load_dataset({"train": "my.csv"}, noisy_label="stars", validation=0)   # doctest: +SKIP
    >>> nk.clean(ds, out="cleaned").suspects                                           # doctest: +SKIP
    """
    confident_learning()  # and whether the result can be written: before anything that takes time
    if out is not None:
        check_replaceable(out)
    shared = {"encoder": encoder, "profile": profile, "seed": seed, **settings}
    method = SiDyP(**shared)
    ds, said = with_consensus(ds)
    names = label_names(ds)
    seen = look(ds, encoder=encoder, max_length=method.config.max_length)
    rows = _together(ds, names)
    whole = DatasetDict({"train": rows})
    data = observe(whole, "train")
    method.fit(whole)
    findings = _find(method, NoiseAL(annotator=None, query_budget=0, **shared).fit(whole), whole)
    table = findings.table()
    reasons = too_thin(findings, table, names)
    changed = (table.pop("agreed") & (not reasons)).to_numpy()
    label = np.where(changed, table["proposal"], data.noisy_label)
    name = np.array([*names, ""], object)
    table["proposal"] = name[table["proposal"]]
    ids = rows["id"][:] if "id" in rows.column_names else np.arange(1, len(rows) + 1)
    for column, values in (
        ("changed", changed), ("cleaned_label", name[label]), ("noisy_label", name[data.noisy_label]),
        ("text", data.texts), ("id", ids),
    ):  # fmt: skip
        table.insert(0, column, values)
    gold = shares = None
    if "label" in rows.column_names and ((truth := np.array(rows["label"][:], np.int64)) >= 0).any():
        gold = correction_report(data.noisy_label, label, truth)
        if 1 < gold["n"] < len(truth):
            shares = class_shares(data.noisy_label, truth, len(names)).set_axis(pd.Index(names, name="class"))
    rows = with_column(rows, "cleaned_label", label.tolist(), ClassLabel(names=names))
    others = {split: len(part) for split, part in ds.items() if "noisy_label" not in part.column_names}
    cleaned = Cleaned(
        dataset=rows, table=table, unchanged_because=reasons, findings=findings, method=method, look=seen,
        agreement=said, gold=gold, shares=shares, not_looked_at=others,
    )  # fmt: skip
    if out is not None:
        cleaned.save(out)
    return cleaned


def _together(ds: DatasetDict, names: list[str]) -> Dataset:
    """Return the rows of all splits that have labels, numbered as `names` are.

    If there are several, with a column that names them.
    """
    parts = {split: part for split, part in ds.items() if "noisy_label" in part.column_names}
    for split, part in parts.items():
        for column in ("label", "noisy_label"):
            if any(column in other.column_names for other in parts.values()):
                number = np.full(len(part), -1)
                if column in part.column_names:
                    number = numbers_of(part, column, f"ds[{split!r}]", names)
                part = with_column(part, column, number.tolist(), ClassLabel(names=names))
        if len(parts) > 1 and "split" not in part.column_names:
            part = with_column(part, "split", [split] * len(part))
        parts[split] = part
    return concatenate_datasets(list(parts.values()))


def _find(sidyp: SiDyP, noiseal: NoiseAL, ds: DatasetDict) -> Findings:
    """Ask all four finders, in the order of `FINDERS`."""
    c, data = sidyp.config, observe(ds, "train")
    z, n, n_classes = data.noisy_label, len(data.texts), len(sidyp.label_names_)
    refined = sidyp.refine(ds)["train"]
    label, sure = np.array(refined["refined_label"][:]), np.array(refined["refined_probability"][:])
    by_sidyp = np.tile((1 - sure)[:, None] / max(n_classes - 1, 1), (1, n_classes))
    by_sidyp[np.arange(n), label] = sure
    by_noiseal = np.mean([p[-1].astype(np.float64) for p in noiseal.dynamics_.values()], axis=0)
    purified = noiseal.partition_["set"].to_numpy() == "P"

    embedding = noiseal._text_embedding(data.texts)
    known = np.flatnonzero(z >= 0)
    by_cleanlab, issue = np.full((n, n_classes), 1 / n_classes), np.zeros(n, bool)
    by_cleanlab[known] = out_of_fold_probabilities(embedding[known], z[known], n_classes, seed=c.seed)
    issue[known] = label_issues(confident_learning(), by_cleanlab[known], z[known])
    near, distance = nearest_trusted(embedding, z, np.zeros(n, bool), k=NEIGHBOURS)
    by_near = vote_shares(near, distance, z, n_classes)

    probability = np.stack([by_sidyp, by_noiseal, by_cleanlab, by_near])
    proposal = probability.argmax(2)
    proposal[0] = label
    proposal[1, ~purified], proposal[2, ~issue] = z[~purified], z[~issue]
    proposal[:, data.checked] = z[data.checked]  # a person has decided
    return Findings(z, proposal, probability, sidyp.noise_rate_, sidyp.noise_rate_interval_, near)
