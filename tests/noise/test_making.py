from __future__ import annotations

import numpy as np
import pytest
from datasets import Dataset, DatasetDict, Value
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import tests.reference.noise as naive
from nlkit import noise
from nlkit.noise import add_noise, confusable_pairs, flip_rates, noise_report, transition_matrix
from nlkit.noise.instance import class_probabilities, flip_by_instance
from nlkit.noise.making import flip_by_class
from tests.made import labelled_split

rates = st.floats(0, 1)
sizes = st.integers(2, 9)
seeds = st.integers(0, 2**32 - 1)


def make(labels, C=None, **others):
    """A DatasetDict whose train split has these labels, and more splits by keyword."""
    names = [f"class {c}" for c in range(C or max(2, max(labels) + 1))]

    def part(ys):
        return labelled_split(names, text=[f"word{y} text {i}" for i, y in enumerate(ys)], label=ys)

    return DatasetDict({name: part(ys) for name, ys in {"train": labels, **others}.items()})


def column(part, name="noisy_label"):
    return np.array(part[name][:])


def within_binomial(achieved, wanted, n):
    """Six standard deviations: about one false alarm in a hundred million honest runs."""
    return abs(achieved - wanted) <= 6 * np.sqrt(max(wanted * (1 - wanted), 1e-12) / n) + 1 / n


@given(kind=st.sampled_from(["symmetric", "asymmetric"]), C=sizes, rate=rates, data=st.data())
def test_matrix_equals_the_naive_one_and_rows_sum_to_one(kind, C, rate, data):
    T = transition_matrix(kind, C, rate)
    np.testing.assert_allclose(T, naive.transition_matrix(kind, C, rate), rtol=0, atol=1e-12)
    np.testing.assert_allclose(T.sum(axis=1), 1, rtol=0, atol=1e-12)
    assert (T >= 0).all()
    sources = data.draw(st.sets(st.integers(0, C - 1)))
    pairs = {s: data.draw(st.integers(0, C - 1).filter(lambda t, s=s: t != s)) for s in sources}
    T = transition_matrix("asymmetric", C, rate, pairs=pairs)
    np.testing.assert_allclose(T, naive.transition_matrix("asymmetric", C, rate, pairs), rtol=0, atol=1e-12)


@given(
    labels=hnp.arrays(np.int64, st.integers(1, 60), elements=st.integers(-1, 4)),
    rate=rates,
    kind=st.sampled_from(["symmetric", "asymmetric"]),
    seed=seeds,
)
def test_flips_by_class_equal_the_naive_ones(labels, rate, kind, seed):
    T = transition_matrix(kind, 5, rate)
    fast = flip_by_class(labels, T, np.random.default_rng(seed))
    assert fast.tolist() == naive.flip_by_class(labels, T, np.random.default_rng(seed))


@given(data=st.data(), n=st.integers(1, 40), C=sizes, rate=rates, seed=seeds)
def test_flips_by_instance_equal_the_naive_ones(data, n, C, rate, seed):
    labels = np.array(data.draw(st.lists(st.integers(-1, C - 1), min_size=n, max_size=n)))
    p = np.random.default_rng(seed).dirichlet(np.full(C, 0.3), size=n)
    p[::3] = np.eye(C)[np.maximum(labels[::3], 0)]  # a classifier certain of the truth
    # Below this the naive mean loses its digits to cancellation, not the fast one.
    assume(rate in (0, 1) or 1e-3 < rate < 1 - 1e-3)
    fast = flip_by_instance(labels, p, rate, np.random.default_rng(seed))
    if rate in (0, 1):
        assert ((fast == labels) == ((labels < 0) | (rate == 0))).all()
    else:
        assert fast.tolist() == naive.flip_by_instance(labels, p, rate, np.random.default_rng(seed))


@given(rate=rates, seed=seeds)
def test_flip_rates_are_probabilities_with_the_wanted_mean(rate, seed):
    q = flip_rates(2000, rate, np.random.default_rng(seed))
    assert ((q >= 0) & (q <= 1)).all()
    assert abs(q.mean() - rate) < 6 * 0.1 / np.sqrt(2000) + 1e-12
    if rate in (0, 1):
        assert (q == rate).all()


@given(
    labels=st.lists(st.integers(-1, 3), min_size=1, max_size=80),
    validation=st.lists(st.integers(-1, 3), max_size=20),
    rate=rates,
    kind=st.sampled_from(["symmetric", "asymmetric"]),
    seed=st.integers(0, 1000),
)
def test_add_noise_invariants(labels, validation, rate, kind, seed):
    ds = make(labels, 4, validation=validation, test=[0, 1])
    noisy = add_noise(ds, kind, rate, seed)
    assert "noisy_label" not in noisy["test"].column_names
    assert "noisy_label" not in ds["train"].column_names
    for split, truth in (("train", labels), ("validation", validation)):
        assert noisy[split]["label"][:] == truth
        assert noisy[split].features["noisy_label"] == ds["train"].features["label"]
        written, truth = column(noisy[split]), np.array(truth, dtype=np.int64)
        assert ((written >= 0) & (written < 4) | (truth == -1)).all()
        assert (written[truth == -1] == -1).all()
        known = truth >= 0
        if rate == 0:
            assert (written == truth).all()
        if rate == 1:
            assert (written[known] != truth[known]).all()
        if kind == "asymmetric":
            assert np.isin((written - truth)[known] % 4, [0, 1]).all()
    again = add_noise(ds, kind, rate, seed)
    assert column(again["train"]).tolist() == column(noisy["train"]).tolist()


@pytest.mark.parametrize("kind", noise.KINDS)
@pytest.mark.parametrize("rate", [0.0, 0.2, 0.45, 0.8, 1.0])
def test_achieved_rate_on_real_news(r8_small, kind, rate):
    noisy, report = add_noise(r8_small, kind, rate, seed=3, return_report=True)
    for split in ("train", "validation"):
        row = report[(report["split"] == split) & (report["class_name"] == "all")].iloc[0]
        wrong = (column(noisy[split]) != column(noisy[split], "label")).mean()
        assert row["achieved"] == pytest.approx(wrong)
        assert row["wanted"] == pytest.approx(rate)
        assert row["n"] == len(noisy[split])
        assert within_binomial(row["achieved"], rate, row["n"])
    assert set(report["class_name"]) == {"all", *r8_small["train"].features["label"].names}


@pytest.mark.parametrize("kind", noise.KINDS)
def test_the_seed_decides_and_older_noise_is_replaced(r8_small, kind):
    one, same, other = (add_noise(r8_small, kind, 0.4, seed)["train"] for seed in (1, 1, 2))
    assert (column(one) == column(same)).all()
    assert (column(one) != column(other)).any()
    again = add_noise(add_noise(r8_small, "symmetric", 0.9, 5), kind, 0.4, 1)["train"]
    assert (column(again) == column(one)).all()


def test_validation_noise_does_not_depend_on_the_size_of_train(r8_small):
    shorter = DatasetDict({**r8_small, "train": r8_small["train"].select(range(100))})
    whole, part = (column(add_noise(ds, "symmetric", 0.4)["validation"]) for ds in (r8_small, shorter))
    assert (whole == part).all()


def test_a_given_matrix_is_what_is_measured():
    T = np.array([[0.7, 0.3, 0.0], [0.1, 0.8, 0.1], [0.0, 0.0, 1.0]])
    ds, report = add_noise(make([0, 1, 2] * 4000), "asymmetric", matrix=T, return_report=True)
    measured = noise_report(ds).matrix
    assert (measured[T == 0] == 0).all()
    assert all(within_binomial(measured[i, j], T[i, j], 4000) for i in range(3) for j in range(3))
    assert report["wanted"].tolist() == pytest.approx([0.5 / 3, 0.3, 0.2, 0.0])


def test_pairs_by_name():
    ds = add_noise(make([0, 1, 2] * 20), "asymmetric", 1.0, pairs={"class 0": "class 2", 2: 0})
    assert column(ds["train"]).tolist() == [2, 1, 0] * 20


def test_instance_noise_prefers_what_a_classifier_confuses():
    # Classes 0 and 1 share a feature that tells them from 2; the features hold nothing else.
    rng = np.random.default_rng(0)
    y = np.array([0, 1, 2] * 400)
    x = np.stack([(y < 2) * 4.0, np.zeros(len(y))], axis=1) + rng.normal(size=(len(y), 2))
    ds = add_noise(make(y.tolist()), "instance", 0.4, features={"train": x})
    matrix = noise_report(ds).matrix
    assert matrix[0, 1] > 5 * matrix[0, 2]
    assert matrix[1, 0] > 5 * matrix[1, 2]
    pairs = confusable_pairs(make(y.tolist()), features={"train": x})
    assert pairs[0] == 1
    assert pairs[1] == 0


def test_training_samples_are_judged_out_of_fold():
    # Random labels on features that identify each sample: a classifier that saw a sample would know its
    # label.
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, size=200)
    ds = make(y.tolist())
    probabilities = class_probabilities(ds, {"train": y}, 2, {"train": np.eye(200)}, seed=0)["train"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == y).mean() < 0.7


def test_instance_noise_with_missing_labels_and_a_class_of_one():
    labels = [0] * 30 + [1] * 30 + [2] + [-1] * 5
    ds = add_noise(make(labels), "instance", 1.0)
    written, truth = column(ds["train"]), np.array(labels)
    assert (written[truth < 0] == -1).all()
    assert (written[truth >= 0] != truth[truth >= 0]).all()


def test_report_of_unseen_classes_and_missing_labels():
    ds = add_noise(make([0, 0, 1, -1], 3), "asymmetric", 1.0)
    report = noise_report(ds)
    assert report.counts.tolist() == [[0, 2, 0], [0, 0, 1], [0, 0, 0]]
    assert (report.n, report.missing, report.rate) == (3, 1, 1.0)
    assert np.isnan(report.matrix[2]).all()
    assert report.table["most_confused_with"].tolist() == ["class 1", "class 2", ""]
    assert noise_report(ds["train"]).counts.tolist() == report.counts.tolist()


def lengths(texts, label, noisy):
    """The report by length of a split; texts are given, or made with so many words."""
    columns = {"label": label, "noisy_label": noisy}
    if texts is not None:
        columns["text"] = ["w " * text if isinstance(text, int) else text for text in texts]
    return noise_report(labelled_split(["class 0", "class 1"], **columns)).by_length


def test_rates_by_length():
    words = [8, 1, 2, 3, 4, 5, 6, 7, 99, 99]
    table = lengths(words, [0] * 8 + [-1, 0], [1, 0, 1, 0, 0, 1, 1, 1, 0, -1])
    assert table.columns.tolist() == ["words_from", "words_to", "n", "rate"]
    assert table.to_numpy().tolist() == [[1, 2, 2, 0.5], [3, 4, 2, 0.0], [5, 6, 2, 1.0], [7, 8, 2, 1.0]]
    missing = lengths([None, "a", "a b", "a b c"], [0, 1, 1, 1], [1, 1, 1, 0])  # a missing text has no words
    assert missing["words_from"].tolist() == [0, 1, 2, 3]
    assert missing["rate"].tolist() == [1, 0, 0, 1]


@given(words=st.lists(st.integers(0, 9), min_size=1, max_size=40), seed=seeds)
def test_quarters_by_length_hold_every_sample_once(words, seed):
    noisy = np.random.default_rng(seed).integers(0, 2, len(words))
    table = lengths(words, [0] * len(words), noisy.tolist())
    assert len(table) == 4
    assert table["n"].sum() == len(words)
    full = table[table["n"] > 0]
    assert table["rate"].isna().tolist() == (table["n"] == 0).tolist()
    assert (full["n"] * full["rate"]).sum() == pytest.approx(noisy.sum())
    assert (full["words_from"] <= full["words_to"]).all()
    assert (full["words_from"].to_numpy()[1:] > full["words_to"].to_numpy()[:-1]).all()
    if len(set(words)) == len(words):
        assert full["n"].max() - table["n"].min() <= 1


def test_rates_by_length_of_nothing():
    assert lengths(None, [0, 1], [0, 1]).empty
    nothing = lengths([1, 2], [-1, 1], [0, -1])
    assert nothing["n"].tolist() == [0] * 4
    assert nothing[["words_from", "words_to", "rate"]].isna().all(axis=None)
    assert lengths([3] * 5, [0] * 5, [1, 1, 0, 0, 0])["n"].tolist() == [5, 0, 0, 0]


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), "half", None, True])
def test_bad_rate(rate):
    with pytest.raises(ValueError, match=r"rate=.*a number in \[0, 1\]"):
        transition_matrix("symmetric", 3, rate)
    with pytest.raises(ValueError, match=r"rate="):
        add_noise(make([0, 1]), "instance", rate)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "uniform"}, "kind='uniform'.*symmetric, asymmetric, instance"),
        ({"seed": -1}, "seed=-1"),
        ({"seed": 0.5}, "seed=0.5"),
        ({"kind": "symmetric", "matrix": np.eye(3)}, 'matrix=.*only kind="asymmetric"'),
        ({"kind": "instance", "pairs": {0: 1}}, 'pairs=.*only kind="asymmetric"'),
        ({"kind": "symmetric", "features": {}}, "features="),
        ({"kind": "asymmetric", "matrix": np.eye(2)}, r"shape \(3, 3\)"),
        ({"kind": "asymmetric", "matrix": np.full((3, 3), 0.5)}, "row 0 sums to 1.5"),
        ({"kind": "asymmetric", "matrix": [[2, -1, 0], [0, 1, 0], [0, 0, 1]]}, "not negative"),
        ({"kind": "asymmetric", "matrix": "none"}, "array of numbers"),
        ({"kind": "asymmetric", "matrix": np.eye(3), "pairs": {0: 1}}, "either pairs or matrix"),
        ({"kind": "asymmetric", "pairs": {0: 3}}, "class numbers in 0 … 2"),
        ({"kind": "asymmetric", "pairs": {0: 0}}, "different class numbers"),
        ({"kind": "asymmetric", "pairs": {"class 0": "sport"}}, "pairs='sport'.*class 0, class 1"),
        ({"kind": "instance", "features": {}}, r"features\['train'\]='missing'"),
        ({"kind": "instance", "features": {"train": np.zeros((2, 2))}}, r"shape \(3, D\)"),
        ({"kind": "instance", "features": {"train": np.full((3, 2), np.nan)}}, "finite array"),
    ],
)
def test_bad_settings(arguments, message):
    with pytest.raises(ValueError, match=message):
        add_noise(make([0, 1, 2]), **arguments)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda ds: add_noise(DatasetDict({"test": ds["train"]})), "a train split"),
        (lambda ds: add_noise(DatasetDict({"train": ds["train"].remove_columns("label")})), "labels in a"),
        (lambda ds: add_noise(make([0, 0]), "instance"), "at least two classes"),
        (noise_report, "noisy_label is missing"),
        (lambda ds: transition_matrix("symmetric", 1, 0.1), "n_classes=1"),
        (lambda ds: transition_matrix("instance", 3, 0.1), "no single matrix"),
        (lambda ds: add_noise(numbers(ds, "train")), r"'label'.*int64.*ClassLabel.*cast_column"),
        (lambda ds: confusable_pairs(numbers(ds, "train")), r"'label'.*int64.*ClassLabel"),
        (lambda ds: noise_report(numbers(ds, "train")), r"'label'.*int64.*ClassLabel"),
        (lambda ds: add_noise(numbers(ds, "validation")), r"validation.*int64.*ClassLabel"),
    ],
)
def test_bad_data(call, message):
    with pytest.raises(ValueError, match=message):
        call(make([0, 1], validation=[0, 1]))


def numbers(ds, split):
    """Take the names of the classes from a split that has noise already."""
    part = ds[split].add_column("noisy_label", [0, 1]) if split == "train" else ds[split]
    return DatasetDict({**ds, split: part.cast_column("label", Value("int64"))})


@pytest.mark.parametrize("form", [None, "numpy", "pandas"])
@pytest.mark.parametrize("kind", noise.KINDS)
def test_what_hugging_face_calls_missing_is_missing(kind, form):
    """None in a plain `Dataset`, NaN in the formats of NumPy and pandas; all like −1."""
    labels = [0, None, 1, 0, 1, None, 0, 1]
    gaps, plain = make([0]), make([-1 if y is None else y for y in labels], 2)
    gaps["train"] = Dataset.from_dict(
        {"text": plain["train"]["text"][:], "label": labels}, features=plain["train"].features
    ).with_format(form)
    noisy = [column(add_noise(ds, kind, 0.5, 3)["train"]).tolist() for ds in (gaps, plain)]
    assert noisy[0] == noisy[1]
    assert [y for y, label in zip(noisy[0], labels, strict=True) if label is None] == [-1, -1]
    report = noise_report(add_noise(gaps, kind, 0.5, 3))
    assert (report.n, report.missing) == (6, 2)


def test_a_text_that_is_missing_where_a_classifier_reads_it():
    ds = make([0, 1, 1])
    ds["train"] = Dataset.from_dict(
        {"text": ["a", None, "c"], "label": [0, 1, 1]}, features=ds["train"].features
    )
    assert len(add_noise(ds, "symmetric")["train"]) == 3  # no text is read
    with pytest.raises(ValueError, match=r"ds\['train'\]\['text'\]\[1\]=None"):
        add_noise(ds, "instance")
