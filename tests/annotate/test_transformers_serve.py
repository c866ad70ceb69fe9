"""OpenAIChat against `transformers serve`, a server that we did not write, with SmolLM2."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from datasets import DatasetDict

from nlkit.annotate import AnswerStore, OpenAIChat
from nlkit.annotate.replies import read_completion, read_reply


@pytest.fixture(scope="module")
def server(converted: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [Path(sys.executable).with_name("transformers"), "serve", converted, "--host", "127.0.0.1"]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen([*command, "--port", str(port), "--device", "cpu"], env=environment)
    try:
        for _ in range(240):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
                break
            except OSError:
                assert process.poll() is None
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(60)


def test_reuters_is_labelled_as_by_direct_calls_and_once(
    server: str, converted: Path, r8_small: DatasetDict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    texts, names = r8_small["test"]["text"][:3], r8_small["test"].features["label"].names
    chat = OpenAIChat(str(converted), server, store=tmp_path / "s.sqlite", max_text_chars=100, max_tokens=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # so small a model seldom writes a label
        planned, table = chat.plan(texts, names), chat.annotate(texts, names)
    assert planned.prompt_tokens == table["prompt_tokens"].sum()  # counted by the same tokenizer
    stored = AnswerStore(tmp_path / "s.sqlite").export().set_index("prompt")
    assert len(stored) == len(texts)
    for prompt, label, finish in table[["prompt", "label", "finish_reason"]].itertuples(index=False):
        request = urllib.request.Request(
            f"{server}/chat/completions",
            json.dumps(chat.endpoint.body(prompt, names)).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=60) as response:
            reply = read_completion(json.load(response))
        assert (reply.text, reply.finish_reason) == (stored.loc[prompt, "reply"], finish)
        assert read_reply(reply.text, names, finish).label == label
    # Where nobody listens the store alone answers.
    monkeypatch.setattr(chat.endpoint, "address", "http://127.0.0.1:9/v1")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        again = chat.annotate(texts, names)
    assert set(again["source"]) == {"store"}
    assert again["label"].tolist() == table["label"].tolist()
