"""A small chat server on this machine that speaks the OpenAI protocol and counts what it is asked."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple, TypeVar


class Answer(NamedTuple):
    """A reply with its tokens' log-probabilities, or (status other than 200) an error.

    `text` may be a list of parts; `raw` replaces the whole body. `drip`: seconds between any two bytes of it.
    `reset`: the connection ends instead.
    """

    text: Any = ""
    tokens: list[tuple[str, float, dict[str, float]]] | None = None
    status: int = 200
    code: str | None = None
    raw: bytes | None = None
    finish: str = "stop"
    headers: dict[str, str] = {}  # noqa: RUF012
    drip: float = 0.0
    reset: bool = False
    more: dict[str, Any] = {}  # noqa: RUF012 - of the message

    def body(self, model: str) -> bytes:
        if self.raw is not None:
            return self.raw
        if self.status != 200:
            return json.dumps({"error": {"message": self.text, "code": self.code}}).encode()

        def token(text: str, logprob: float, **more: Any) -> dict[str, Any]:
            return {"token": text, "logprob": logprob, "bytes": None} | more

        listed = [
            token(text, logprob, top_logprobs=[token(*other) for other in others.items()])
            for text, logprob, others in self.tokens or []
        ]
        choice: dict[str, Any] = {"index": 0, "finish_reason": self.finish}
        choice["message"] = {"role": "assistant", "content": self.text} | self.more
        choice["logprobs"] = None if self.tokens is None else {"content": listed}
        usage = {"prompt_tokens": 42, "completion_tokens": 1, "total_tokens": 43}
        reply = {"id": "1", "object": "chat.completion", "created": 0, "model": model}
        return json.dumps(reply | {"choices": [choice], "usage": usage}).encode()


class ChatServer:
    """`answer` gets a question's text (its query alone), how often it came, and the whole request."""

    def __init__(self) -> None:
        self.answer: Callable[[str, int, dict[str, Any]], Answer] = lambda query, nth, request: Answer("earn")
        self.asked: list[str] = []
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str] = []
        self.under_way = self.most_under_way = 0
        self.url = ""
        self._lock = threading.Lock()
        self._times = Counter[str]()

    def times(self) -> Counter[str]:
        return Counter(self._times)

    def handle(self, path: str, key: str, request: Any) -> tuple[Answer, bytes]:
        if path.partition("?")[0] != "/v1/chat/completions":
            return Answer(status=404), b"<html>nothing here</html>"
        query = request["messages"][-1]["content"].rpartition("Text:")[2].removesuffix("\nLabel:").strip()
        with self._lock:
            self.asked.append(query)
            self.requests.append(request)
            self.keys.append(key)
            nth = self._times[query] = self._times[query] + 1
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            answer = self.answer(query, nth, request)
        finally:
            with self._lock:
                self.under_way -= 1
        return answer, answer.body(request["model"])


Chat = TypeVar("Chat", bound=ChatServer)


@contextmanager
def running(chat: Chat) -> Iterator[Chat]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            # A file comes as it is sent; a request without a body as None.
            sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            request = (
                sent if "multipart" in self.headers.get("Content-Type", "") else json.loads(sent or "null")
            )
            key = self.headers.get("Authorization", "").removeprefix("Bearer ")
            answer, body = chat.handle(self.path, key, request)
            if answer.reset:
                self.close_connection = True
                return
            try:
                self.send_response(answer.status)
                kind = "text/html" if body.startswith(b"<") else "application/json"
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                for name, value in ({"Retry-After-Ms": "1"} | answer.headers).items():
                    self.send_header(name, value)
                self.end_headers()
                for start in range(0, len(body), 1 if answer.drip else len(body)):
                    time.sleep(answer.drip)
                    self.wfile.write(body[start : start + 1] if answer.drip else body)
            except OSError:
                self.close_connection = True  # the client lost patience

        do_GET = do_POST  # noqa: N815

        def log_message(self, format: str, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 256
        daemon_threads = True

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    chat.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield chat
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
