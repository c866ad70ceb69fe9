"""Annotators: a language model on this machine, one behind an API, or a simulation; and what they share."""

from __future__ import annotations

from nlkit.annotate.base import Annotator, Demonstration
from nlkit.annotate.batch import BatchChat, BatchPending
from nlkit.annotate.escalate import Escalate
from nlkit.annotate.local import LocalLLM
from nlkit.annotate.openai_chat import OpenAIChat
from nlkit.annotate.plan import PRICES, Budget
from nlkit.annotate.simulated import Simulated
from nlkit.annotate.store import AnswerStore
from nlkit.annotate.trust import Trust

__all__ = [
    "PRICES",
    "Annotator",
    "AnswerStore",
    "BatchChat",
    "BatchPending",
    "Budget",
    "Demonstration",
    "Escalate",
    "LocalLLM",
    "OpenAIChat",
    "Simulated",
    "Trust",
]
