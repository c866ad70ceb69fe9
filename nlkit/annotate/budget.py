"""How many questions an annotator may still be asked, per round and in all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nlkit._util import invalid
from nlkit.data.checks import check_count

__all__ = ["QueryBudget"]


class QueryBudget:
    """A budget of questions: at most `per_round` in a round and `total` in all.

    Parameters
    ----------
    total : int
        Questions in all; 0 asks nothing.
    per_round : int, optional
        Questions between two calls of `new_round`; None: no limit but the total.
    """

    def __init__(self, total: int, per_round: int | None = None) -> None:
        self.total = check_count("total", total)
        self.per_round = None if per_round is None else check_count("per_round", per_round)
        self.spent = 0
        self.spent_in_round = 0
        self.round = 0

    @property
    def remaining(self) -> int:
        """Questions left in all."""
        return self.total - self.spent

    @property
    def remaining_in_round(self) -> int:
        """Questions left now: in this round and in all."""
        if self.per_round is None:
            return self.remaining
        return min(self.remaining, self.per_round - self.spent_in_round)

    def take(self, n: int) -> int:
        """Spend up to `n` questions and return how many were granted."""
        granted = min(check_count("n", n), self.remaining_in_round)
        self.spent += granted
        self.spent_in_round += granted
        return granted

    def new_round(self) -> None:
        """Begin a new round; what the last one left unspent stays in the total."""
        self.round += 1
        self.spent_in_round = 0

    def to_dict(self) -> dict[str, int | None]:
        """Return the state, for a checkpoint."""
        return {
            "total": self.total,
            "per_round": self.per_round,
            "spent": self.spent,
            "spent_in_round": self.spent_in_round,
            "round": self.round,
        }

    @classmethod
    def from_dict(cls, state: Mapping[str, Any]) -> QueryBudget:
        """Return a budget in a state that `to_dict` gave.

        Raises
        ------
        ValueError
            If a field is missing or negative, or more is spent than the budget allows.
        """
        fields = ("total", "per_round", "spent", "spent_in_round", "round")
        missing = [field for field in fields if field not in state]
        if missing:
            raise ValueError(f"the budget's state lacks {missing}; it must come from QueryBudget.to_dict")
        budget = cls(state["total"], state["per_round"])
        budget.spent = check_count("spent", state["spent"])
        budget.spent_in_round = check_count("spent_in_round", state["spent_in_round"])
        budget.round = check_count("round", state["round"])
        if budget.spent > budget.total:
            invalid("spent", budget.spent, f"at most total={budget.total}")
        limit = budget.spent if budget.per_round is None else min(budget.spent, budget.per_round)
        if budget.spent_in_round > limit:
            invalid("spent_in_round", budget.spent_in_round, f"at most {limit}")
        return budget
