from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nlkit.annotate import LocalLLM
from nlkit.annotate.scoring import LabelScorer, LabelTree, bucket
from tests.reference.annotate import plain_scores

PREFIX = "Classify each text by its label.\nLabels:\n- money\n- money-fx"
SUFFIXES = [
    "\n\nText: dollar falls\nLabel:",
    "\n\nText: the bank of japan sold dollars\nLabel: money-fx\n\nText: oil\nLabel:",
    "\n\nText:\nLabel:",
    "\n\nText: loans become dearer as the central bank raises its rate\nLabel:",
]
# One label is the beginning of another; lengths differ; two share only their first tokens.
LABELS = [" money\n", " money-fx\n", " money-market\n", " ship\n", " acq\n", " international trade policy\n"]


@given(st.lists(st.integers(1, 400), max_size=60), st.integers(1, 1500), st.integers(1, 16))
def test_buckets_hold_everything_once_within_the_budget(lengths: list[int], budget: int, rows: int) -> None:
    batches = bucket(lengths, budget, rows)
    assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[i] for i in batch)
        assert len(batch) == 1 or longest * len(batch) <= budget
        assert len(batch) <= rows
    spans = [(min(lengths[i] for i in b), max(lengths[i] for i in b)) for b in batches]
    assert all(later[1] <= earlier[0] for earlier, later in itertools.pairwise(spans))


sequences = st.lists(
    st.lists(st.integers(0, 2), min_size=1, max_size=5), min_size=1, max_size=8, unique_by=tuple
)


@given(sequences)
def test_tree_spells_every_label_and_holds_every_beginning_once(labels: list[list[int]]) -> None:
    tree = LabelTree.build(labels)
    paths = [tuple(tree.tokens[at] for at in path) for path in tree.paths]
    for node, path in enumerate(tree.paths):
        assert path[-1] == node
        assert np.flatnonzero(tree.ancestors()[node]).tolist() == sorted(path)
    assert len(set(paths)) == len(paths)
    assert set(paths) == {tuple(label[:end]) for label in labels for end in range(1, len(label))}
    for label, steps in zip(labels, tree.steps, strict=True):
        assert [token for _, token in steps] == label
        assert [paths[node] if node >= 0 else () for node, _ in steps] == [
            tuple(label[:end]) for end in range(len(label))
        ]


@pytest.mark.parametrize("labels", [[[1], [1]], [[1], []]])
def test_equal_or_empty_labels_are_refused(labels: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="different, non-empty"):
        LabelTree.build(labels)


def fast(scorer: LabelScorer, suffixes: list[str], labels: list[str]) -> np.ndarray:
    scores = np.full((len(suffixes), len(labels)), np.nan)
    tokens = [scorer.encode(s) for s in suffixes]
    for rows, batch in scorer.score(
        scorer.encode(PREFIX, first=True), tokens, [scorer.encode(c) for c in labels]
    ):
        scores[rows] = batch
    return scores


def assert_equal_to_plain(scorer: LabelScorer, labels: list[str], atol: float) -> None:
    plain = plain_scores(scorer.model, scorer.tokenizer, [PREFIX + s for s in SUFFIXES], labels)
    np.testing.assert_allclose(fast(scorer, SUFFIXES, labels), plain, atol=atol)


@pytest.mark.parametrize("batch_tokens", [1, 60, 4096])
@pytest.mark.parametrize("labels", [LABELS, [" money", " ship"]], ids=["tree", "single tokens"])
def test_fast_scores_equal_the_plain_way(tiny: LocalLLM, batch_tokens: int, labels: list[str]) -> None:
    loaded = tiny._load_scorer()
    scorer = LabelScorer(loaded.model, loaded.tokenizer, batch_tokens=batch_tokens)
    assert_equal_to_plain(scorer, labels, atol=1e-4)


@pytest.mark.parametrize("nodes", [1, 2, 5])
def test_many_labels_take_no_more_memory_and_have_the_same_scores(
    tiny: LocalLLM, nodes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scorer = tiny._load_scorer()
    rows, vocabulary = len(SUFFIXES), scorer.model.config.vocab_size
    monkeypatch.setattr("nlkit.annotate.scoring.LOGITS", nodes * rows * vocabulary)
    sizes: list[int] = []
    hook = scorer.model.register_forward_hook(lambda _m, _i, output: sizes.append(output.logits.shape[1]))
    scores = fast(scorer, SUFFIXES, LABELS)
    hook.remove()
    after_nodes = sizes[2:]  # the first two are the prefix and the prompts
    assert sum(after_nodes) == len(LabelTree.build([scorer.encode(c) for c in LABELS]).tokens)
    assert max(after_nodes) <= nodes
    plain = plain_scores(scorer.model, scorer.tokenizer, [PREFIX + s for s in SUFFIXES], LABELS)
    np.testing.assert_allclose(scores, plain, atol=1e-4)


@given(budget=st.integers(1, 400))
def test_batches_count_the_prefix_that_every_row_keeps(tiny: LocalLLM, budget: int) -> None:
    loaded = tiny._load_scorer()
    scorer = LabelScorer(loaded.model, loaded.tokenizer, batch_tokens=budget)
    prefix = scorer.encode(PREFIX, first=True)
    suffixes = [scorer.encode(s) for s in 3 * SUFFIXES]
    for rows, _ in scorer.score(prefix, suffixes, [scorer.encode(" ship")]):
        longest = len(prefix) + max(len(suffixes[i]) for i in rows)
        assert len(rows) == 1 or len(rows) * longest <= budget


def gpt2(**changes: object) -> torch.nn.Module:
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    sizes = {"vocab_size": 49152, "n_positions": 128, "n_embd": 16, "n_layer": 2, "n_head": 2}
    return GPT2LMHeadModel(GPT2Config(**sizes | {"initializer_range": 0.4} | changes)).eval()


def test_another_architecture_gives_equal_scores_too(tokenizer: Any) -> None:
    # GPT-2 adds learned positions instead of rotating: wrong position numbers would show.
    assert_equal_to_plain(LabelScorer(gpt2(), tokenizer), LABELS, atol=1e-4)


def test_a_prompt_too_long_for_the_model_is_refused(tokenizer: Any) -> None:
    scorer = LabelScorer(gpt2(n_positions=24), tokenizer)
    with pytest.raises(ValueError, match="max_text_tokens"):
        fast(scorer, SUFFIXES, LABELS)


def test_a_window_of_attention_limits_the_prompt(tokenizer: Any) -> None:
    from transformers import MistralConfig, MistralForCausalLM

    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = MistralConfig(vocab_size=64, num_key_value_heads=2, sliding_window=24, **sizes)
    scorer = LabelScorer(MistralForCausalLM(config), tokenizer)
    with pytest.raises(ValueError, match="does not fit the model's 24"):
        fast(scorer, SUFFIXES, LABELS)


def test_layers_without_attention_are_refused(tokenizer: Any) -> None:
    model = gpt2()
    model.config.layer_types = ["full_attention", "linear_attention"]  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="linear_attention"):
        LabelScorer(model, tokenizer)
