from __future__ import annotations

import dataclasses
import json
from fractions import Fraction
from typing import Any

import numpy as np
import pandas as pd
import pytest
from datasets import ClassLabel, Dataset, DatasetDict, Features, Value

from nlkit.annotate.simulated import Simulated
from nlkit.data import load_dataset
from nlkit.data.observed import Observed, label_names, observe
from nlkit.methods.base import Method
from nlkit.methods.baselines import Baseline
from nlkit.methods.noiseal.config import NoiseALConfig
from nlkit.methods.noiseal.method import NoiseAL
from nlkit.methods.registry import METHODS
from nlkit.methods.sidyp.method import SiDyP
from nlkit.models.encoder import TextEncoder
from nlkit.noise import add_noise, noise_report
from tests.made import labelled_split
from tests.methods.helpers import replaced

NAMES = ["oil", "grain", "money"]
WORDS = {
    0: "crude oil barrel opec price",
    1: "wheat corn grain harvest tonnes",
    2: "bank currency rate dollar",
}


def tiny(n: int = 24, *, label: bool = True, names: list[str] | None = None) -> Dataset:
    """Texts of three topics; every sixth observed label is wrong."""
    truth = [i % 3 for i in range(n)]
    noisy = [(y + 1) % 3 if i % 6 == 5 else y for i, y in enumerate(truth)]
    columns = {"text": [f"{WORDS[y]} {i}" for i, y in enumerate(truth)], "noisy_label": noisy}
    return labelled_split(names or NAMES, **columns | ({"label": truth} if label else {}))


@pytest.fixture(scope="module")
def ds() -> DatasetDict:
    return DatasetDict({"train": tiny(), "validation": tiny(9), "test": tiny(12)})


@pytest.fixture(scope="module")
def fitted(ds: DatasetDict) -> Baseline:
    return Baseline(profile="quick", epochs=4).fit(ds)


def test_observe_sees_texts_and_observed_labels_only(ds: DatasetDict) -> None:
    data = observe(ds, "train")
    assert data.texts == list(ds["train"]["text"])
    assert data.noisy_label.tolist() == ds["train"]["noisy_label"][:]
    assert set(vars(data)) == {"texts", "noisy_label", "checked"}
    assert label_names(ds) == NAMES


def rows(texts: list[Any], labels: list[Any], **other: Any) -> DatasetDict:
    """Rows as they are, with other features than the usual ones by name."""
    kinds = {"text": Value("string"), "noisy_label": ClassLabel(names=NAMES)} | other
    data = Dataset.from_dict({"text": texts, "noisy_label": labels}, features=Features(kinds))
    return DatasetDict({"train": data})


@pytest.mark.parametrize("form", [None, "numpy", "pandas"])
def test_what_hugging_face_calls_missing_is_missing(form: str | None) -> None:
    data = observe(rows(["a", "b", "c"], [2, None, -1]).with_format(form), "train")
    assert data.noisy_label.tolist() == [2, -1, -1]
    assert data.noisy_label.dtype == np.int64
    assert [type(text) for text in data.texts] == [str] * 3
    whole = observe(rows(["a", "b", "c"], [2, 0, -1]).with_format(form or "torch"), "train")
    assert whole.noisy_label.tolist() == [2, 0, -1]
    with pytest.raises(ValueError, match=r"every noisy_label is missing"):
        observe(rows(["a", "b"], [None, None]), "train")


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (rows(["a", None, "c"], [0, 1, 2]), r"'text'\]\[1\]=None is not allowed.*fill it in or leave it out"),
        (rows([1, 2], [0, 1], text=Value("int64")), r"'text'\]\[0\]=1 .*a string"),
        (rows(["a", "b"], ["oil", "grain"], noisy_label=Value("string")),
         r"'noisy_label'\]\[0\]='oil' .*class number.*load_dataset"),
        (rows(["a", "b"], [0.0, 0.5], noisy_label=Value("float64")), r"'noisy_label'\]\[1\]=0\.5 .*class"),
    ],
)  # fmt: skip
def test_a_bad_row_is_named(broken: DatasetDict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Baseline(profile="quick", epochs=1).fit(broken)


def test_identity_follows_texts_and_labels() -> None:
    labels = np.array([0, 1])
    same = [Observed(["a", "b"], labels).identity() for _ in range(2)]
    assert same[0] == same[1]
    others = [Observed(["b", "a"], labels), Observed(["ab", ""], labels), Observed(["a", "b"], labels[::-1])]
    assert len({same[0], *(other.identity() for other in others)}) == 4


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: DatasetDict({"test": d["test"]}), r"no split 'train'.*test"),
        (lambda d: DatasetDict({"train": d["train"].remove_columns("noisy_label")}), r"_label.*nk.add_noise"),
        (lambda d: DatasetDict({"train": d["train"].remove_columns("text")}), "no column 'text'"),
        (lambda d: DatasetDict({"train": replaced(d["train"], "noisy_label", [-1] * 24)}), r"missing \(-1\)"),
        (lambda d: DatasetDict({"train": d["train"].cast_column("noisy_label", Value("int64"))}), "Class"),
        (lambda d: DatasetDict({"train": tiny(3).cast_column("noisy_label", ClassLabel(num_classes=3))
                                .filter(lambda r: r["noisy_label"] == 0)
                                .cast_column("noisy_label", ClassLabel(names=["one"]))}), "two classes"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", [Baseline, NoiseAL, SiDyP])
def test_data_that_cannot_be_learned_from(ds: DatasetDict, change: Any, message: str, method: Any) -> None:
    with pytest.raises(ValueError, match=message):
        method(profile="quick").fit(change(ds))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"profile": "fast"}, r"profile='fast'.*quick, class, paper"),
        ({"speed": 3}, r"'speed' is not a setting.*batch_size"),
        ({"epochs": 0}, r"epochs=0.*whole number at least 1"),
        ({"epochs": 2.5}, r"epochs=2.5.*whole number"),
        ({"epochs": True}, r"epochs=True.*whole number"),
        ({"lr_head": 0}, r"lr_head=0.*above 0"),
        ({"lr_head": float("nan")}, r"lr_head=nan.*above 0"),
        ({"lr_head": 10**400}, r"lr_head=1000.*a number above 0"),
        ({"dropout": 1.5}, r"dropout=1.5.*at most 1"),
        ({"dropout": np.float32("nan")}, r"dropout=.*nan.*at least 0"),
        ({"dropout": 1j}, r"dropout=1j.*a number"),
        ({"seed": np.int64(-1)}, r"seed=.*-1.*at least 0"),
        ({"seed": np.float64(1.0)}, r"seed=.*1\.0.*whole number"),
        ({"trainable_layers": -1}, r"trainable_layers=-1.*'all'"),
        ({"trainable_layers": np.bool_(True)}, r"trainable_layers=.*True.*'all'"),
        ({"mixed_precision": "int8"}, r"mixed_precision='int8'.*bf16"),
        ({"selection": "test"}, r"selection='test'.*last, noisy_validation, guarded"),
        ({"device": "abacus"}, r"device='abacus'.*auto, cpu, cuda"),
        ({"encoder": ""}, r"encoder=''.*minilm"),
    ],
)
def test_settings_are_checked_by_name(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        NoiseAL(**settings)


@pytest.mark.parametrize(
    ("name", "given", "wanted"),
    [
        ("seed", np.arange(3)[1], 1),
        ("epochs", np.uint8(20), 20),
        ("trainable_layers", np.int32(1), 1),
        ("momentum", np.float32(0.5), 0.5),
        ("cap", Fraction(1, 2), 0.5),
        ("lr_head", np.int64(1), 1.0),
        ("weight_hard", 2, 2.0),
    ],
)
def test_numbers_of_numpy_become_plain_ones(name: str, given: Any, wanted: float) -> None:
    value = getattr(NoiseAL(**{name: given}).config, name)
    assert value == wanted
    assert type(value) is type(wanted)
    config = NoiseALConfig(**{name: given})
    assert NoiseALConfig(**json.loads(json.dumps(config.to_dict()))) == config


@pytest.mark.parametrize("name", METHODS)
def test_profiles_are_valid_and_documented(name: str) -> None:
    config = METHODS[name].config_class
    for profile in ("quick", "class", "paper"):
        made = config.make(profile, epochs=7)
        assert (made.profile, made.epochs) == (profile, 7)  # what is given wins
        assert config(**made.to_dict()) == made
    documented = "".join(c.__doc__ or "" for c in config.__mro__)
    for field in dataclasses.fields(config):
        assert field.name in documented, field.name


def test_prediction(fitted: Baseline, ds: DatasetDict) -> None:
    p = fitted.predict_proba(list(ds["test"]["text"]))
    assert p.shape == (12, 3)
    assert p.dtype == np.float32
    np.testing.assert_allclose(p.sum(1), 1, atol=1e-5)
    label = fitted.predict(list(ds["test"]["text"]))
    assert label.dtype == np.int64
    assert (label == p.argmax(1)).all()
    assert fitted.predict_proba([]).shape == (0, 3)
    assert fitted.predict([]).shape == (0,)
    with pytest.raises(ValueError, match="one string"):
        fitted.predict("oil")


@pytest.mark.parametrize(
    ("bad", "remedy"),
    [
        (None, r"None .*fill it in or leave it out"),
        (float("nan"), r"nan .*fill it in or leave it out"),
        (pd.NA, r"<NA> .*fill it in or leave it out"),
        (5, r"5 .*a string"),
        (b"oil", r"b'oil' .*a string"),
        ("oil \ud800", r"'oil \\ud800' .*half a character.*repair it or leave it out"),
    ],
)
def test_a_text_that_is_none_is_not_classified(fitted: Baseline, bad: Any, remedy: str) -> None:
    with pytest.raises(ValueError, match=r"texts\[1\]=" + remedy):
        fitted.predict(["oil", bad, None])


def test_texts_of_any_container(fitted: Baseline) -> None:
    texts = ["crude oil", "", "wheat 🙂"]
    wanted = fitted.predict_proba(texts)
    for same in (tuple(texts), np.array(texts), pd.Series(texts, index=[7, 8, 9]), iter(texts)):
        np.testing.assert_array_equal(fitted.predict_proba(same), wanted)  # type: ignore[arg-type]


def test_predictions_do_not_depend_on_company_or_order(fitted: Baseline, ds: DatasetDict) -> None:
    texts = list(ds["test"]["text"])
    together = fitted.predict_proba(texts)
    np.testing.assert_allclose(fitted.predict_proba(texts[::-1])[::-1], together, atol=1e-2)
    np.testing.assert_allclose(fitted.predict_proba(texts[3:4])[0], together[3], atol=1e-2)


def test_before_fit() -> None:
    for call in (lambda m: m.predict(["a"]), lambda m: m.save("x"), lambda m: m.at_best_epoch()):
        with pytest.raises(RuntimeError, match=r"Baseline is not fitted yet.*fit"):
            call(Baseline(profile="quick"))


def test_evaluate_leaves_missing_labels_out(fitted: Baseline, ds: DatasetDict) -> None:
    whole = fitted.evaluate(ds["test"])
    assert whole["n"] == 12
    some = replaced(ds["test"], "label", [-1 if i < 5 else i % 3 for i in range(12)])
    part = fitted.evaluate(some)
    assert part["n"] == 7
    assert part == pytest.approx(fitted.evaluate(ds["test"].select(range(5, 12))), abs=1e-2)


def test_evaluate_needs_true_labels_of_the_same_names(fitted: Baseline) -> None:
    with pytest.raises(ValueError, match="no column 'label'"):
        fitted.evaluate(tiny(6, label=False))
    with pytest.raises(ValueError, match=r"dataset\['label'\]='gold' is not allowed: the classes "):
        fitted.evaluate(tiny(6, names=["grain", "oil", "gold"]))


def test_classes_in_another_order_are_the_same_classes(ds: DatasetDict, fitted: Baseline) -> None:
    order = [2, 0, 1]
    other = ClassLabel(names=[NAMES[c] for c in order])

    def turned(part: Dataset) -> Dataset:
        columns = {c: [order.index(y) for y in part[c]] for c in ("label", "noisy_label")}
        return Dataset.from_dict(
            {"text": part["text"], **columns}, Features(text=Value("string"), label=other, noisy_label=other)
        )

    assert fitted.evaluate(turned(ds["test"])) == fitted.evaluate(ds["test"])
    mixed = DatasetDict({split: part if split == "train" else turned(part) for split, part in ds.items()})
    again = Baseline(profile="quick", epochs=4).fit(mixed, eval_splits=["test"])
    assert again.history_["accuracy_noisy_validation"].equals(fitted.history_["accuracy_noisy_validation"])
    assert again.history_["accuracy_test"].iloc[-1] == fitted.score(ds["test"])
    simulated = [
        Simulated(1.0, reference=part).annotate(part["text"][:], NAMES)["label"].tolist()
        for part in (ds["test"], turned(ds["test"]))
    ]
    assert simulated == [ds["test"]["label"][:]] * 2
    with pytest.raises(ValueError, match="reference's label='money' is not allowed: one of the classes"):
        Simulated(1.0, reference=ds["test"]).annotate(ds["test"]["text"][:], ["oil", "grain"])


BAD = [
    float("inf"),
    float("nan"),
    1e300,
    -1e300,
    10**400,
    [],
    {},
    object(),
    np.array([1, 2]),
    b"x",
    (1,),
    {1},
]


@pytest.mark.parametrize("method", METHODS.values())
def test_a_setting_of_another_kind_is_named(method: type[Method]) -> None:
    for field in dataclasses.fields(method.config_class):
        for value in BAD:
            with pytest.raises(ValueError, match=rf"^{field.name}=(?s:.*) is not allowed: "):
                method(**{field.name: value})
    for seed in (2**32, -1, 0.5):
        with pytest.raises(ValueError, match=r"^seed=.* at least 0 and at most 4294967295"):
            method(seed=seed)


@pytest.mark.parametrize(
    ("field", "call"),
    [
        ("kind", lambda ds, value: add_noise(ds, kind=value)),
        ("rate", lambda ds, value: add_noise(ds, rate=value)),
        ("seed", lambda ds, value: add_noise(ds, seed=value)),
        ("matrix", lambda ds, value: add_noise(ds, "asymmetric", matrix=value)),
        ("pairs", lambda ds, value: add_noise(ds, "asymmetric", pairs=value or [])),
        ("split", noise_report),
        ("accuracy", lambda ds, value: Simulated(value, reference=ds["train"])),
        ("abstain_rate", lambda ds, value: Simulated(0.9, ds["train"], abstain_rate=value)),
        ("seed", lambda ds, value: Simulated(0.9, ds["train"], seed=value)),
        ("max_length", lambda _, value: TextEncoder(max_length=value)),
        ("trainable_layers", lambda _, value: TextEncoder(trainable_layers=value)),
        ("train_size", lambda _, value: load_dataset("r8", value)),
        ("validation", lambda _, value: load_dataset("r8", validation=value)),
        ("label_names", lambda ds, value: load_dataset(ds["train"], label_names=value)),
        ("label", lambda ds, value: load_dataset(ds["train"], label=value)),
    ],
)
def test_what_is_given_to_a_function_is_named(ds: DatasetDict, field: str, call: Any) -> None:
    for value in BAD:
        if field != "pairs" or not isinstance(value, np.ndarray | dict):
            with pytest.raises(ValueError, match=rf"^{field}=(?s:.*) is not allowed: "):
                call(ds, value)


def test_watching_steers_nothing(ds: DatasetDict, fitted: Baseline) -> None:
    watched = Baseline(profile="quick", epochs=4).fit(ds, eval_splits=["test", "train"])
    assert {"accuracy_test", "accuracy_train"} <= set(watched.history_.columns)
    assert watched.history_["accuracy_test"].iloc[-1] == pytest.approx(
        watched.evaluate(ds["test"])["accuracy"]
    )
    texts = list(ds["test"]["text"])
    assert np.array_equal(watched.predict_proba(texts), fitted.predict_proba(texts))
    with pytest.raises(ValueError, match="eval_splits='nothing'"):
        Baseline(profile="quick").fit(ds, eval_splits=["nothing"])


def test_a_validation_split_without_labels_is_no_validation(ds: DatasetDict) -> None:
    unlabelled = DatasetDict({**ds, "validation": replaced(ds["validation"], "noisy_label", [-1] * 9)})
    clf = Baseline(profile="quick", epochs=1).fit(unlabelled)
    assert clf.best_epoch_ is None
    with pytest.raises(RuntimeError, match=r"best epoch.*validation"):
        clf.at_best_epoch()
    for data in (unlabelled, DatasetDict({"train": ds["train"]})):
        with pytest.raises(ValueError, match="needs ds\\['validation'\\]"):
            Baseline(profile="quick", epochs=1, selection="noisy_validation").fit(data)
