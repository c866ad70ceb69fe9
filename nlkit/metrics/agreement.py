"""What several annotators' labels say of each other, and what they say of the data with a few gold labels.

- `krippendorff_alpha`: agreement beyond chance (Krippendorff, Content Analysis, 1980), nominal.
- `pairwise_agreement`: how often each two agree.
- `alt_test`: may an annotator, such as a language model, take the place of others? (Calderon, Reichart and
  Dror, ACL 2025, arXiv 2501.10970)
- `class_shares`: prediction-powered inference (Angelopoulos et al., Science 2023, arXiv 2301.09633; with the
  weight of arXiv 2311.01453): noisy labels of many texts and gold ones of a few give each class's share.

Labels are class numbers; −1 is missing, and never counts as a label.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from nlkit._util import invalid
from nlkit.data.checks import check_share

__all__ = ["AltTest", "alt_test", "class_shares", "krippendorff_alpha", "pairwise_agreement"]

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]

FEWEST_TEXTS = 30
"""Texts below which `alt_test` leaves an annotator out: its t-test needs as many (as published)."""


def krippendorff_alpha(
    labels: ArrayLike, *, level: float = 0.95, draws: int = 1000, seed: int = 0
) -> tuple[float, tuple[float, float]]:
    """Return Krippendorff's α for nominal labels, and an interval by bootstrap over the texts.

    Parameters
    ----------
    labels : array of int, shape (A, N)
        Of A annotators for N texts; −1 is missing. A text counts if two have labelled it.
    level : float
        Of the interval.
    draws, seed : int
        Of the bootstrap.

    Returns
    -------
    alpha : float
        1: all agree; 0: as by chance; below 0: less than that; NaN where all labels are one class, or no text
        has two.
    interval : tuple of two floats
    """
    given = _checked(labels)
    check_share("level", level)
    # Texts with the same labels count alike, so the few patterns are drawn, not the many texts.
    pattern, weight = np.unique(given.T, axis=0, return_counts=True)
    count = (pattern[:, :, None] == np.arange(given.max(initial=0) + 1)).sum(1)
    m = count.sum(1)
    count, weight, m = count[m > 1], weight[m > 1], m[m > 1]
    if not len(m):
        return np.nan, (np.nan, np.nan)
    differ = (m**2 - (count**2).sum(1)) / (m - 1)

    def alpha(w: NDArray[np.int64]) -> Floats:
        """Of texts that occur w times, shape (…, patterns)."""
        each = (w @ count).astype(np.float64)
        n = each.sum(-1)
        by_chance = n**2 - (each**2).sum(-1)
        with np.errstate(divide="ignore", invalid="ignore"):
            value: Floats = np.where(by_chance > 0, 1 - (n - 1) * (w @ differ) / by_chance, np.nan)
        return value

    n = int(weight.sum())
    drawn = np.random.default_rng(seed).multinomial(n, weight / n, draws)
    if np.isnan(found := float(alpha(weight))):
        return found, (found, found)
    low, high = np.nanquantile(alpha(drawn), [(1 - level) / 2, (1 + level) / 2])
    return found, (float(low), float(high))


def pairwise_agreement(labels: ArrayLike) -> Floats:
    """Return how often each two of A annotators agree, where both have labelled.

    Parameters
    ----------
    labels : array of int, shape (A, N)
        −1 is missing.

    Returns
    -------
    ndarray, shape (A, A)
        Shares, symmetric; NaN where two have no text in common.
    """
    given = _checked(labels)
    result = np.full((len(given), len(given)), np.nan)
    for i, one in enumerate(given):
        for j, other in enumerate(given):
            if (both := (one >= 0) & (other >= 0)).any():
                result[i, j] = (one == other)[both].mean()
    return result


class AltTest(NamedTuple):
    """Result of `alt_test`.

    Attributes
    ----------
    replaces : bool
        Whether it wins against half of the annotators at least.
    winning_rate : float
        ω, the share of annotators whom it may replace.
    advantage : float
        ρ, the mean probability that it fits the others as well as the annotator left out, or better.
    table : DataFrame, one row an annotator
        annotator (place), n (texts), advantage, p (of being worse by ε or more) and won.
    """

    replaces: bool
    winning_rate: float
    advantage: float
    table: pd.DataFrame


def alt_test(
    candidate: ArrayLike, annotators: ArrayLike, *, epsilon: float = 0.1, expert: ArrayLike | None = None,
    q: float = 0.05,
) -> AltTest:  # fmt: skip
    """Test whether a candidate may replace annotators: the alternative annotator test, for classes.

    Each annotator is left out in turn. On each text, does the candidate agree with the rest as often as the
    one left out does, or more often? It wins if the share of texts on which it is worse is less than ε above
    the share on which it is better: a t-test, with the false discovery rate over annotators held (Benjamini
    and Yekutieli).

    Parameters
    ----------
    candidate : array of int, shape (N,)
        Labels of a language model, say; −1 is missing.
    annotators : array of int, shape (A, N)
        Labels of A annotators, without the candidate: three at least, or two, which says less; −1 is missing.
    epsilon : float
        ε, by how much the candidate may be worse, as it costs less: 0.2 for experts, 0.15 for trained people,
        0.1 for a crowd, in the paper.
    expert : array of int, shape (N,), optional
        Labels to agree with instead of those of the rest; one annotator is enough then.
    q : float
        False discovery rate.

    Raises
    ------
    ValueError
        If there are too few annotators, or none has 30 texts that can be compared.
    """
    from scipy.stats import false_discovery_control, ttest_1samp

    given, own = _checked(annotators), np.asarray(candidate, np.int64)
    check_share("epsilon", epsilon)
    check_share("q", q)
    least = 1 if expert is not None else 2
    if len(given) < least:
        invalid("annotators", f"array of shape {given.shape}", f"labels of at least {least}")
    rows = []
    for j, left_out in enumerate(given):
        rest = np.delete(given, j, 0) if expert is None else np.asarray(expert, np.int64)[None]
        known = (own >= 0) & (left_out >= 0) & (rest >= 0).any(0)
        if (n := int(known.sum())) < FEWEST_TEXTS:
            continue
        there = (rest >= 0)[:, known].sum(0)
        mine, theirs = (
            ((rest[:, known] == one[known]) & (one[known] >= 0)).sum(0) / there for one in (own, left_out)
        )
        # Against the annotator left out where it alone is better: +1, where the candidate is: −1.
        worse = (theirs >= mine).astype(np.float64) - (mine >= theirs)
        if np.ptp(worse) == 0:  # no spread, no t
            p = 0.0 if worse[0] < epsilon else 1.0
        else:
            p = float(ttest_1samp(worse, epsilon, alternative="less").pvalue)
        rows.append({"annotator": j, "n": n, "advantage": float((mine >= theirs).mean()), "p": p})
    if not rows:
        invalid("annotators", "labels", f"{FEWEST_TEXTS} texts of one that the candidate and others labelled")
    table = pd.DataFrame(rows)
    table["won"] = false_discovery_control(table["p"], method="by") <= q
    rate = float(table["won"].mean())
    return AltTest(rate >= 0.5, rate, float(table["advantage"].mean()), table)


def class_shares(
    noisy_label: ArrayLike, label: ArrayLike, n_classes: int, *, level: float = 0.95
) -> pd.DataFrame:
    """Estimate each class's share of all texts, from noisy labels and the gold labels of some.

    The noisy labels' own share is mended by how far it is off on the gold texts. How far the noisy labels
    are believed at all (`weight`) is chosen so that the interval is narrow: bad ones do little harm. The gold
    texts have to be **drawn at random**; labels of a person for the most suspicious texts will not do.

    Parameters
    ----------
    noisy_label : array of int, shape (N,)
        Of an annotator or a model that has not learnt from the gold labels; −1 is missing, and no class.
    label : array of int, shape (N,)
        Gold labels; −1 where there is none.
    n_classes : int
        C.
    level : float
        Of each interval. For its width four made-up texts count as gold ones, one of each pair of labels, as
        Agresti and Coull have it, so that it holds for few texts and rare classes too.

    Returns
    -------
    DataFrame, one row a class
        as_labelled (share of the noisy labels), gold_alone, estimate, low, high (shares) and weight (0: gold
        alone; 1: the noisy labels are mended in full).

    Raises
    ------
    ValueError
        If there are fewer than two gold labels.
    """
    from scipy.stats import norm

    z, y = np.asarray(noisy_label, np.int64), np.asarray(label, np.int64)
    check_share("level", level)
    gold = y >= 0
    if (n := int(gold.sum())) < 2:
        invalid("label", f"{n} gold labels", "two at least, of texts drawn at random")
    others, rows = len(y) - n, []
    for c in range(n_classes):
        f, truth, rest = (z[gold] == c) * 1.0, (y[gold] == c) * 1.0, (z[~gold] == c) * 1.0
        # One made-up text in each cell of (noisy, gold) for the width: none seen among few is not none.
        f_wide, truth_wide = np.append(f, [0, 0, 1, 1]), np.append(truth, [0, 1, 0, 1])
        spread = np.var([*f_wide, *rest])
        weight = float(np.clip(np.cov(truth_wide, f_wide, bias=True)[0, 1] / spread, 0, 1)) if others else 0.0
        weight /= 1 + n / max(others, 1)

        def mended(y: Floats, f: Floats, rest: Floats = rest, weight: float = weight) -> Floats:
            return y - weight * f + weight * (rest.mean() if len(rest) else 0.0)

        variance = np.var(mended(truth_wide, f_wide)) / len(f_wide) + weight**2 * np.var(f_wide) / max(
            others, 1
        )
        half = float(norm.ppf((1 + level) / 2)) * float(np.sqrt(variance))
        estimate, centre = mended(truth, f).mean(), mended(truth_wide, f_wide).mean()
        rows.append({
            "as_labelled": (z[z >= 0] == c).mean() if (z >= 0).any() else np.nan, "gold_alone": truth.mean(),
            "estimate": np.clip(estimate, 0, 1), "low": max(min(centre - half, estimate), 0.0),
            "high": min(max(centre + half, estimate), 1.0), "weight": weight,
        })  # fmt: skip
    return pd.DataFrame(rows)


def _checked(labels: ArrayLike) -> Labels:
    given = np.asarray(labels, np.int64)
    if given.ndim != 2 or (given < -1).any():
        invalid(
            "labels", f"array of shape {given.shape}", "shape (A, N): class numbers of A annotators, or −1"
        )
    return given
