from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlkit import metrics
from tests.reference import metrics as reference


@st.composite
def predictions(draw: Any) -> tuple[np.ndarray, np.ndarray]:
    n, c = draw(st.integers(1, 60)), draw(st.integers(2, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    p = rng.dirichlet(np.full(c, draw(st.sampled_from([0.1, 1.0]))), n)
    if draw(st.booleans()):  # ties of confidence
        p = p[rng.integers(0, max(1, n // 5), n)]
    return p, rng.integers(0, c, n)


@given(predictions(), st.integers(1, 20))
def test_same_as_one_sample_at_a_time(data: Any, bins: int) -> None:
    p, y = data
    rows, labels = p.tolist(), y.tolist()
    assert metrics.accuracy(p, y) == pytest.approx(reference.accuracy(rows, labels))
    assert metrics.nll(p, y) == pytest.approx(reference.nll(rows, labels))
    assert metrics.brier(p, y) == pytest.approx(reference.brier(rows, labels))
    for adaptive, members in ((False, reference.equal_bins), (True, reference.adaptive_bins)):
        wanted = reference.gap(rows, labels, members(rows, bins))
        assert metrics.ece(p, y, bins=bins, adaptive=adaptive) == pytest.approx(wanted, abs=1e-9)
    every = metrics.evaluate_probabilities(p, y)
    assert list(every) == ["accuracy", "macro_f1", "nll", "brier", "ece", "ece_adaptive", "n"]
    assert every["macro_f1"] == pytest.approx(reference.macro_f1(rows, labels))
    wanted = reference.gap(rows, labels, reference.equal_bins(rows, 15))
    assert every["ece"] == pytest.approx(wanted, abs=1e-9)
    assert every["n"] == len(y)


@given(predictions(), st.integers(1, 30), st.booleans())
def test_reliability_is_what_the_calibration_error_comes_from(data: Any, bins: int, adaptive: bool) -> None:
    p, y = data
    table = metrics.reliability(p, y, bins=bins, adaptive=adaptive)
    assert list(table) == ["bin", "low", "high", "n", "confidence", "accuracy"]
    assert table["bin"].tolist() == list(range(bins))
    assert table["n"].sum() == len(y)
    filled = table[table["n"] > 0]
    assert table.loc[table["n"] == 0, ["confidence", "accuracy"]].isna().all(axis=None)
    assert filled["confidence"].between(filled["low"] - 1e-12, filled["high"] + 1e-12).all()
    # Bins lie side by side from 0 to 1.
    assert table["low"].iloc[0] == 0
    assert table["high"].iloc[-1] == 1
    assert (table["high"].iloc[:-1].to_numpy() == table["low"].iloc[1:].to_numpy()).all()

    members = (reference.adaptive_bins if adaptive else reference.equal_bins)(p.tolist(), bins)
    assert table["n"].tolist() == [len(m) for m in members]
    wanted = reference.right_by_confidence(p.tolist(), y.tolist(), members)
    np.testing.assert_allclose(filled[["n", "confidence", "accuracy"]].to_numpy(), wanted, atol=1e-12)
    assert metrics.calibration_error(table) == metrics.ece(p, y, bins=bins, adaptive=adaptive)


@pytest.mark.parametrize("bins", [3, 7, 25, 49])
def test_a_confidence_on_a_bound_is_in_the_bin_below(bins: int) -> None:
    # 7 / 25 * 25 is a little above 7 in floating point: multiplying back would give the bin above.
    top = np.array([b / bins for b in range(bins // 2 + 1, bins + 1)])
    table = metrics.reliability(np.stack([top, 1 - top], 1), np.zeros(len(top), int), bins=bins)
    assert table.loc[table["n"] > 0, "high"].tolist() == top.tolist()
    assert table["n"].max() == 1


@given(predictions(), st.integers(0, 1000))
def test_order_of_samples_and_names_of_classes_do_not_matter(data: Any, seed: int) -> None:
    p, y = data
    rng = np.random.default_rng(seed)
    order, classes = rng.permutation(len(y)), rng.permutation(p.shape[1])
    plain = metrics.evaluate_probabilities(p, y)
    for other in (
        metrics.evaluate_probabilities(p[order], y[order]),
        metrics.evaluate_probabilities(p[:, classes], np.argsort(classes)[y]),
    ):
        for name, value in plain.items():
            assert other[name] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("adaptive", [False, True])
def test_perfect_calibration_has_no_error(adaptive: bool) -> None:
    # Of 10 samples at 0.8, 8 are right; of 10 at 0.6, 6 are.
    p = np.array([[0.8, 0.2]] * 10 + [[0.6, 0.4]] * 10)
    y = np.array([0] * 8 + [1] * 2 + [0] * 6 + [1] * 4)
    for order in (np.arange(20), np.random.default_rng(0).permutation(20)):
        assert metrics.ece(p[order], y[order], bins=5, adaptive=adaptive) == pytest.approx(0)


def test_sure_and_wrong_is_the_worst() -> None:
    p, y = np.eye(3), np.array([1, 2, 0])
    assert metrics.evaluate_probabilities(p, y) == pytest.approx(
        {"accuracy": 0, "macro_f1": 0, "nll": -np.log(1e-12), "brier": 2, "ece": 1, "ece_adaptive": 1, "n": 3}
    )
    assert metrics.evaluate_probabilities(p, [0, 1, 2])["brier"] == 0


@pytest.mark.parametrize(
    ("p", "y", "message"),
    [
        (np.empty((0, 3)), [], "empty"),
        ([0.5, 0.5], [0, 1], r"\(N, C\)"),
        ([[0.5, 0.5]], [0, 1], r"\(N,\)"),
        ([[0.5, 0.5]], [2], "0 to 1"),
        ([[0.5, 0.5]], [-1], r"missing \(-1\)"),
        ([[0.5, 0.4]], [0], "sums to 0.9"),
        ([[float("nan"), 0.4]], [0], "sums to nan"),
    ],
)
def test_bad_input_is_named(p: Any, y: Any, message: str) -> None:
    for metric in (
        metrics.accuracy, metrics.nll, metrics.brier, metrics.ece, metrics.reliability,
        metrics.evaluate_probabilities,
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            metric(p, y)


def test_bins_are_checked() -> None:
    with pytest.raises(ValueError, match=r"bins=0.*at least 1"):
        metrics.ece([[0.5, 0.5]], [0], bins=0)


def test_partition_report_by_hand() -> None:
    #          R  R  R  H  H  P  P  P  (H, truth unknown)
    noisy = [0, 1, 1, 2, 0, 1, 2, 0, 0]
    truth = [0, 1, 0, 2, 1, 0, 0, 0, -1]
    report = metrics.partition_report(list("RRRHHPPPH"), noisy, truth).set_index("set")
    # Right labels: samples 0, 1, 3, 7. Wrong ones: 2, 4, 5, 6.
    assert report["size"].to_dict() == {"R": 3, "H": 2, "P": 3}
    assert report["clean"].to_dict() == pytest.approx({"R": 2 / 3, "H": 1 / 2, "P": 1 / 3})
    assert report["precision"].to_dict() == pytest.approx({"R": 2 / 3, "H": 1 / 2, "P": 2 / 3})
    assert report["recall"].to_dict() == pytest.approx({"R": 2 / 4, "H": 1 / 4, "P": 2 / 4})
    report = metrics.partition_report(["R", "R"], [0, 1], [0, 1]).set_index("set")
    assert report.loc["R", "precision"] == report.loc["R", "recall"] == 1
    assert np.isnan(report.loc["P", ["clean", "precision", "recall"]].astype(float)).all()


@pytest.mark.parametrize(
    ("annotated", "label", "wanted"),
    [
        ([0, -1, 2, 1, 1], [0, 1, 2, 0, -1], (4, 3, 2 / 3)),
        ([-1], [0], (1, 0, np.nan)),
        ([], [], (0, 0, np.nan)),
    ],
)
def test_annotation_report(annotated: Any, label: Any, wanted: Any) -> None:
    report = metrics.annotation_report(annotated, label)
    assert list(report) == ["n", "answered", "accuracy"]
    assert tuple(report.values()) == pytest.approx(wanted, nan_ok=True)


LABEL = st.integers(-1, 3)


@given(st.lists(st.tuples(LABEL, LABEL, LABEL), max_size=40))
def test_correction_same_as_one_sample_at_a_time(rows: list[tuple[int, int, int]]) -> None:
    noisy, refined, label = (list(column) for column in zip(*rows, strict=True)) if rows else ([], [], [])
    report = metrics.correction_report(noisy, refined, label)
    assert report == pytest.approx(reference.correction(noisy, refined, label), nan_ok=True)
    # What was gained and lost is the difference between before and after.
    before, after = report["accuracy_before"], report["accuracy_after"]
    gained = 0 if before == 1 else (1 - before) * report["correction_rate"]
    lost = 0 if before == 0 else before * report["harm_rate"]
    assert before + gained - lost == pytest.approx(after, nan_ok=True)


def test_correction_without_a_base_is_no_number() -> None:
    right = metrics.correction_report([0, 1], [0, 1], [0, 1])
    assert np.isnan(right["correction_rate"])
    assert right["harm_rate"] == right["changed"] == 0
    wrong = metrics.correction_report([1, 0], [0, 1], [0, 1])
    assert wrong["correction_rate"] == wrong["changed"] == 1
    assert np.isnan(wrong["harm_rate"])
    with pytest.raises(ValueError, match=r"refined_label \(1,\)"):
        metrics.correction_report([0, 1], [0], [0, 1])


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.5, 0.5, 0.9, float("nan")]), st.booleans()), min_size=1))
def test_coverage_same_as_one_threshold_at_a_time(answers: list[tuple[float, bool]]) -> None:
    confidence, right = (list(column) for column in zip(*answers, strict=True))
    report = metrics.coverage_report(confidence, right)
    wanted = sorted({c for c in confidence if c == c}, reverse=True)
    assert report["threshold"].tolist() == wanted
    for row in report.itertuples():
        given_answers = [r for c, r in answers if c >= row.threshold]
        assert row.answered == len(given_answers)
        assert row.coverage == pytest.approx(len(given_answers) / len(answers))
        assert row.accuracy == pytest.approx(sum(given_answers) / len(given_answers))
    with pytest.raises(ValueError, match=r"confidence .* and right .* must both be"):
        metrics.coverage_report([*confidence, 0.1], right)


def test_recall_of_each_class() -> None:
    p, y = np.eye(4)[[0, 1, 1, 2, 0]], [0, 1, 2, 2, 2]
    recall = metrics.recall_by_class(p, y)
    np.testing.assert_allclose(recall, [1, 1, 1 / 3, np.nan])
    assert np.nansum(recall * np.bincount(y, minlength=4)) / 5 == pytest.approx(metrics.accuracy(p, y))


class TestBootstrap:
    def test_covers_the_mean_as_often_as_it_says(self) -> None:
        rng = np.random.default_rng(0)
        covered = 0
        for _ in range(200):
            low, high = metrics.bootstrap_interval(rng.random(200) < 0.8, draws=300)
            covered += low <= 0.8 <= high
        assert 0.88 <= covered / 200 <= 0.99

    def test_width_is_that_of_the_standard_error(self) -> None:
        values = np.random.default_rng(1).normal(size=400)
        low, high = metrics.bootstrap_interval(values)
        assert (high - low) / 2 == pytest.approx(1.96 * values.std() / 20, rel=0.1)
        narrow = metrics.bootstrap_interval(values, level=0.5)
        assert low < narrow[0] < values.mean() < narrow[1] < high

    def test_same_seed_same_interval(self) -> None:
        values = np.arange(50.0)
        assert metrics.bootstrap_interval(values) == metrics.bootstrap_interval(values)
        assert metrics.bootstrap_interval(values) != metrics.bootstrap_interval(values, seed=1)

    def test_paired_difference_of_equal_methods_is_nothing(self) -> None:
        assert metrics.bootstrap_interval(np.zeros(30)) == (0.0, 0.0)

    @pytest.mark.parametrize(
        ("values", "settings", "message"),
        [([1.0], {}, "values"), ([[1.0]], {}, "values"), ([1.0, 2.0], {"level": 1.0}, "level=1.0"),
         ([1.0, 2.0], {"draws": 0}, "draws=0")],
    )  # fmt: skip
    def test_bad_arguments(self, values: Any, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(ValueError, match=message):
            metrics.bootstrap_interval(values, **settings)
