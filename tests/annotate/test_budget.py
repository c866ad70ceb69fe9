from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlkit.annotate import QueryBudget

STEPS = st.lists(st.one_of(st.none(), st.integers(0, 30)), max_size=20)  # None: a new round


@given(st.integers(0, 60), st.one_of(st.none(), st.integers(0, 25)), STEPS)
def test_never_more_than_asked_than_the_round_or_than_the_total(
    total: int, per_round: int | None, steps: list[int | None]
) -> None:
    budget = QueryBudget(total, per_round)
    in_all = in_round = 0
    for n in steps:
        if n is None:
            budget.new_round()
            in_round = 0
            continue
        granted = budget.take(n)
        in_all, in_round = in_all + granted, in_round + granted
        assert 0 <= granted <= n
        assert in_all <= total
        assert per_round is None or in_round <= per_round
        # What was refused was refused for a reason.
        assert granted == n or in_all == total or in_round == per_round
        assert budget.spent == in_all
        assert budget.remaining == total - in_all
        restored = QueryBudget.from_dict(json.loads(json.dumps(budget.to_dict())))
        assert restored.to_dict() == budget.to_dict()
        assert restored.remaining_in_round == budget.remaining_in_round


@pytest.mark.parametrize(("total", "per_round"), [(-1, 1), (1, -1), (1.5, 1), (True, 1)])
def test_bad_budgets_are_refused(total: int, per_round: int) -> None:
    with pytest.raises(ValueError, match="at least 0"):
        QueryBudget(total, per_round)
    with pytest.raises(ValueError, match="n=-3"):
        QueryBudget(3).take(-3)


@pytest.mark.parametrize("change", [{"spent": 9}, {"spent": -1}, {"spent_in_round": 4}, {"spent": 1}])
def test_impossible_states_are_refused(change: dict[str, int]) -> None:
    state = {"total": 5, "per_round": 3, "spent": 2, "spent_in_round": 2, "round": 1} | change
    with pytest.raises(ValueError, match="spent"):
        QueryBudget.from_dict(state)


def test_incomplete_state_names_what_is_missing() -> None:
    with pytest.raises(ValueError, match="per_round"):
        QueryBudget.from_dict({"total": 5})
