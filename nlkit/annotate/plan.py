"""What questions will cost, and a purse that they cannot exceed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Lock
from typing import Any, NamedTuple

from nlkit._util import invalid

__all__ = ["PRICES", "Budget", "Cost", "Plan", "Tally", "price_of", "token_counter"]

PRICES: dict[str, tuple[float, float]] = {
    "gpt-4o": (2.50, 10.00),
    "gpt-4o-mini": (0.15, 0.60),
    "gpt-4.1": (2.00, 8.00),
    "gpt-4.1-mini": (0.40, 1.60),
    "gpt-4.1-nano": (0.10, 0.40),
    "gpt-5": (1.25, 10.00),
    "gpt-5-mini": (0.25, 2.00),
    "gpt-5-nano": (0.05, 0.40),
}
"""US dollars for a million tokens, (prompt, completion): lists of 2025, not looked up since. Edit it."""


def price_of(model: str) -> tuple[float, float]:
    """Return a model's price by `PRICES`, whose names stand for their dated versions too; NaN: not known."""
    names = [name for name in PRICES if model == name or model.startswith(f"{name}-20")]
    return PRICES[max(names, key=len)] if names else (math.nan, math.nan)


class Cost(NamedTuple):
    """Questions, tokens (read and written) and money, in the currency of the prices."""

    questions: int = 0
    tokens: int = 0
    money: float = 0.0


class Limit(NamedTuple):
    """The most of each that may be spent; infinity for no limit."""

    questions: float
    tokens: float
    money: float


class Budget:
    """A purse that is never overdrawn, however many questions are under way: reserved first, settled after.

    One purse may serve several annotators, calls and threads: all rounds of `NoiseAL`, and `label_with_llm`.

    Parameters
    ----------
    questions : int, optional
        Most questions that may be sent. One that the server turned away unpaid (busy, refused) is given
        back; one without a reply (too slow, a broken connection) may have been paid and counts.
    tokens : int, optional
        Most tokens, read and written.
    money : float, optional
        Most money, in the currency of the annotator's prices.

    Attributes
    ----------
    spent : Cost
        What was spent so far. Where a server counts no tokens, what a question could have cost at most.
    """

    def __init__(
        self, questions: int | None = None, tokens: int | None = None, money: float | None = None
    ) -> None:
        given = {"questions": questions, "tokens": tokens, "money": money}
        for field, value in given.items():
            if value is not None and not value >= 0:
                invalid(field, value, "at least 0, or None for no limit")
        if all(value is None for value in given.values()):
            invalid("Budget", None, "at least one limit: questions, tokens or money")
        self.limit = Limit(*(math.inf if value is None else value for value in given.values()))
        self.spent = Cost()
        self._reserved = Cost()
        self._lock = Lock()

    def __repr__(self) -> str:
        parts = [
            f"{field}: {spent:g} of {limit:g} spent"
            for field, limit, spent in zip(Cost._fields, self.limit, self.spent, strict=True)
            if limit < math.inf
        ]
        return f"Budget({', '.join(parts)})"

    def reserve(self, cost: Cost) -> bool | None:
        """Set aside what a question may cost. None: not now, others have reserved too much; try again."""
        with self._lock:
            if _fits(_add(self.spent, self._reserved, cost), self.limit):
                self._reserved = _add(self._reserved, cost)
                return True
            return None if _fits(_add(self.spent, cost), self.limit) else False

    def settle(self, reserved: Cost, cost: Cost) -> None:
        """Replace what was reserved by what it did cost."""
        with self._lock:
            self._reserved = _add(
                self._reserved, Cost(-reserved.questions, -reserved.tokens, -reserved.money)
            )
            self.spent = _add(self.spent, cost)


def _add(*costs: Cost) -> Cost:
    questions, tokens, money = zip(*costs, strict=True)
    return Cost(sum(questions), sum(tokens), sum(money))


def _fits(cost: Cost, limit: Limit) -> bool:
    # Sums of money are rounded; a billionth of a cent is no debt.
    return all(value <= most + 1e-11 for value, most in zip(cost, limit, strict=True))


@dataclass
class Tally:
    """What was counted so far: UTF-8 bytes and tokens of prompts, tokens and number of replies, seconds."""

    bytes: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    replies: int = 0
    seconds: float = 0.0

    def add(self, prompt: str, prompt_tokens: int, completion_tokens: int, seconds: float = 0.0) -> None:
        """Count a reply, if its server counted."""
        if prompt_tokens:
            self.bytes += len(prompt.encode())
            self.prompt_tokens += prompt_tokens
            self.completion_tokens += completion_tokens
            self.replies += 1
            self.seconds += seconds

    def estimate(self, prompt: str) -> int:
        """Estimate a prompt's tokens: by those counted, else one for four bytes, as in English."""
        per_byte = self.prompt_tokens / self.bytes if self.bytes else 0.25
        return math.ceil(len(prompt.encode()) * per_byte)


@cache
def token_counter(model: str) -> Callable[[str], int] | None:
    """Return what counts a prompt's tokens: the tokenizer in a model's folder, tiktoken's, or None."""
    if Path(model).is_dir():
        from transformers import AutoTokenizer

        tokenizer: Any = AutoTokenizer.from_pretrained(model, trust_remote_code=False)

        def count(prompt: str) -> int:
            message = [{"role": "user", "content": prompt}]
            text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True)
            return len(tokenizer(text, add_special_tokens=False).input_ids)

        return count
    try:
        import tiktoken

        encoding = tiktoken.encoding_for_model(model)
    except Exception:  # not installed, a model of others, or no network for its table
        return None
    # Three tokens frame a message, one is its role, three begin the reply.
    return lambda prompt: len(encoding.encode(prompt, disallowed_special=())) + 7


@dataclass(frozen=True)
class Plan:
    """What a call of `annotate` would cost; see `OpenAIChat.plan`. Printed, it is a small table.

    `money` and `seconds` are NaN where price or speed are not known; `counted` tells how tokens were counted.
    """

    texts: int
    known: int
    calls: int
    prompt_tokens: int
    completion_tokens: int
    money: float
    seconds: float
    counted: str

    def __repr__(self) -> str:
        def told(value: float, unit: str) -> str:
            return f"not known; {unit}" if math.isnan(value) else f"{value:,.4g}"

        rows = {
            "texts": f"{self.texts:,}",
            "already answered": f"{self.known:,}",
            "calls": f"{self.calls:,}",
            "prompt tokens": f"{self.prompt_tokens:,} ({self.counted})",
            "completion tokens": f"{self.completion_tokens:,} (estimated)",
            "price": told(self.money, "set price=(prompt, completion) for a million tokens"),
            "seconds": told(self.seconds, "no question was timed yet"),
        }
        return "\n".join(f"{name:<18}{value}" for name, value in rows.items())
