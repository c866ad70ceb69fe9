"""A result of `nlkit.clean` that nothing was trained for: suspects to review."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
from datasets import ClassLabel

from nlkit.data.observed import with_column
from nlkit.study.cleaned import Cleaned
from nlkit.study.suspects import Findings
from tests.made import labelled_split

NAMES = ["<b>sport", "politics", "商品", "a class name of many words that goes on"]


def cleaned(n=500):
    """Return n texts, all suspect, a third of them changed, the first without a label."""
    rng = np.random.default_rng(0)
    noisy = rng.integers(0, 4, n)
    noisy[0] = -1
    probability = rng.dirichlet(np.ones(4), (4, n))
    proposal = np.tile((noisy + 1) % 4, (4, 1))
    proposal[2:] = np.where(rng.random(n) < 0.6, noisy, proposal[2:])
    found = Findings(noisy, proposal, probability, 0.3, (0.2, 0.4), rng.integers(0, n, (n, 3)))
    texts = [f"text {i} <script>alert(1)</script> " + "word " * rng.integers(1, 60) for i in range(n)]
    names, table = np.array([*NAMES, ""], object), found.table()
    changed = table.pop("agreed").to_numpy()
    label = np.where(changed, table["proposal"], noisy)
    columns = {"id": np.arange(n), "text": texts, "noisy_label": names[noisy], "cleaned_label": names[label]}
    table = table.assign(**columns, changed=changed, proposal=names[table["proposal"]])
    rows = labelled_split(NAMES, text=texts, noisy_label=noisy.tolist())
    rows = with_column(rows, "cleaned_label", label.tolist(), ClassLabel(names=NAMES))
    method = SimpleNamespace(label_names_=NAMES, config=SimpleNamespace(to_dict=dict))
    return Cleaned(
        dataset=rows, table=table, unchanged_because=[], findings=found, method=method, look=pd.DataFrame(),
        agreement=None, gold=None, shares=None, not_looked_at={},
    )  # fmt: skip
