from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlkit.models.classifiers import StrongClassifier, Vocabulary, WeakClassifier
from nlkit.models.encoder import TextEncoder
from nlkit.models.prediction import predict

TEXTS = [
    "Oil prices rose sharply today",
    "wheat",
    "",
    "the bank lent money and the bank lent more",
    "Öl, 3.2!",
]
words = st.text("ab cdé\n.", max_size=20)


@pytest.fixture(scope="module")
def weak() -> WeakClassifier:
    torch.manual_seed(0)
    return WeakClassifier(Vocabulary.fit(TEXTS, min_count=1), 3, max_length=8).eval()


def logits(model: Any, texts: list[str]) -> np.ndarray:
    inputs = model.prepare(texts)
    with torch.no_grad():
        output = model(inputs.batch(np.arange(len(texts))).to(torch.device("cpu")))
    return np.asarray(output.logits)


def test_the_weak_model_reads_the_order_of_words(weak: WeakClassifier) -> None:
    a, b = logits(weak, ["oil bank wheat money"]), logits(weak, ["money wheat bank oil"])
    assert not np.allclose(a, b, atol=1e-4)


def test_words_beyond_the_length_do_not_count(weak: WeakClassifier) -> None:
    eight = "bank money oil wheat bank money oil wheat"
    a, b = logits(weak, [f"{eight} prices rose", eight])
    np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("layers", [None, 0, 1])
def test_padding_does_not_change_what_a_model_says(weak: WeakClassifier, layers: int | None) -> None:
    torch.manual_seed(0)
    model: Any = weak
    if layers is not None:
        model = StrongClassifier(TextEncoder(trainable_layers=layers, max_length=16), 3).eval()
    for row, text in zip(logits(model, TEXTS), TEXTS, strict=True):
        np.testing.assert_allclose(row, logits(model, [text])[0], atol=1e-6 if layers is None else 2e-3)


def test_both_are_classifiers_whose_logits_come_from_the_embedding(weak: WeakClassifier) -> None:
    strong = StrongClassifier(TextEncoder(trainable_layers=0), 3).eval()
    for model, width in ((weak, 128), (strong, 384)):
        output = model(model.prepare(TEXTS).batch(np.arange(5)).to(torch.device("cpu")))
        assert output.embedding.shape == (5, width)
        assert output.logits.shape == (5, 3)
        assert torch.equal(model.classify(output.embedding), output.logits)


def test_under_autocast_only_the_encoder_runs_in_low_precision(weak: WeakClassifier) -> None:
    torch.manual_seed(0)
    strong = StrongClassifier(TextEncoder(trainable_layers=1, max_length=16), 3).eval()
    for model in (strong, weak):
        batch = model.prepare(TEXTS).batch(np.arange(len(TEXTS))).to(torch.device("cpu"))
        single = model(batch)
        with torch.autocast("cpu", torch.bfloat16):
            half = model(batch)
        assert half.logits.dtype == torch.float32
        assert torch.equal(half.logits, model.classify(half.embedding.float()))  # a head in float32
        assert torch.equal(half.embedding.float(), single.embedding) == (model is weak)


def test_predict_is_the_softmax_of_each_text_alone_and_leaves_the_mode(weak: WeakClassifier) -> None:
    inputs, cpu = weak.prepare(TEXTS), torch.device("cpu")
    expected = np.concatenate([torch.from_numpy(logits(weak, [t])).softmax(1) for t in TEXTS])
    weak.train()
    for size in (2, 64):
        found = predict(weak, inputs, cpu, batch_size=size)
        np.testing.assert_allclose(found.class_probability(), expected, atol=1e-6)
        assert found.embedding.shape == (5, 128)
        assert weak.training
    weak.eval()


@given(st.lists(words, max_size=8), st.randoms())
def test_the_vocabulary_does_not_depend_on_the_order_of_texts(texts: list[str], random: Any) -> None:
    shuffled = list(texts)
    random.shuffle(shuffled)
    assert Vocabulary.fit(texts).words == Vocabulary.fit(shuffled).words


@given(st.lists(words, max_size=8), st.integers(1, 5), st.lists(words, max_size=8))
def test_encoding(texts: list[str], length: int, others: list[str]) -> None:
    vocabulary = Vocabulary.fit(texts, min_count=1)
    inputs = vocabulary.encode(texts + others, length)
    assert len(inputs) == len(texts) + len(others)
    for text, numbers in zip(texts + others, inputs.arrays, strict=True):
        spelled = Vocabulary.PATTERN.findall(text.lower())[:length]
        wanted = [vocabulary.words.index(w) + 2 if w in vocabulary.words else 1 for w in spelled]
        assert numbers.tolist() == (wanted or [1])  # an empty text is one unknown word, never no word
        assert numbers.max() < len(vocabulary)


def test_the_vocabulary_keeps_the_most_frequent() -> None:
    texts = ["a a a b b c", "d b"]
    assert Vocabulary.fit(texts).words == ["a", "b"]
    assert Vocabulary.fit(texts, min_count=1).words == ["a", "b", "c", "d"]
    assert Vocabulary.fit(texts, min_count=1, max_words=1).words == ["a"]
    assert Vocabulary(["a", "b"]).encode(["B a z"], 5)[0].tolist() == [3, 2, 1]
    assert len(Vocabulary.fit(["", "one"])) == 2


def test_a_weak_model_without_any_known_word_still_answers() -> None:
    model = WeakClassifier(Vocabulary.fit(["once", "only"]), 2).eval()
    assert np.isfinite(logits(model, ["never seen", ""])).all()


def test_scripts_without_spaces_have_words_too() -> None:
    assert Vocabulary.PATTERN.findall("油价上涨 3.2% café ラジオx") == [
        "油", "价", "上", "涨", "3", "2", "café", "ラ", "ジ", "オ", "x",
    ]  # fmt: skip
    vocabulary = Vocabulary.fit(["油价上涨", "小麦价格"], min_count=2)
    assert vocabulary.words == ["价"]
