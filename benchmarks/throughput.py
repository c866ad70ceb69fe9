"""How many texts a second OpenAIChat labels, by questions under way, and what memory a long stream takes.

python benchmarks/throughput.py [--streamed 100000]

The server stands in a process of its own on this machine and answers after 200 ms; the best that n questions
under way can do is n / 0.2 a second. Half of the rows keep their answers in a store, which is a file on disk.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import resource
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from nlkit.annotate import AnswerStore, OpenAIChat

LABELS = ["acq", "crude", "earn"]
REPLY = {
    "choices": [{"message": {"content": "earn"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 40, "completion_tokens": 1},
}


def serve(port: Any, latency: float) -> None:
    """Answer every request after `latency` seconds; the least HTTP that a client understands."""
    body = json.dumps(REPLY).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    )

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError):  # the client has closed the connection
            while True:
                header = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(header.partition(b"content-length:")[2].split()[0])
                await reader.readexactly(length)
                await asyncio.sleep(latency)
                writer.write(head + body)

    async def main() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=512)
        port.put(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def annotator(port: int, workers: int, store: Any) -> OpenAIChat:
    chat = OpenAIChat("benchmark", f"http://127.0.0.1:{port}/v1", store=store, workers=workers)
    chat.ready(LABELS)  # the first question ever is asked alone
    return chat


def throughput(port: int, latency: float, folder: Path) -> pd.DataFrame:
    rows = []
    for workers in (1, 2, 4, 8, 16, 32, 64, 128):
        for stored in (False, True):
            store = AnswerStore(folder / f"{workers}.sqlite") if stored else None
            chat = annotator(port, workers, store)
            texts = [f"text {i}" for i in range(max(10, min(25 * workers, 2000)))]
            began, used = time.perf_counter(), time.process_time()
            chat.annotate(texts, LABELS)
            speed = len(texts) / (time.perf_counter() - began)
            overhead = 1000 * (time.process_time() - used) / len(texts)
            rows.append((workers, stored, len(texts), speed, speed * latency / workers, overhead))
    columns = ["workers", "store", "texts", "texts_per_s", "of_the_best", "cpu_ms_per_call"]
    return pd.DataFrame(rows, columns=columns)


def memory(port: int, texts: int, folder: Path) -> pd.DataFrame:
    """Return the process's memory after each tenth of a stream of texts, labelled 1,000 at a time."""
    chat, rows = annotator(port, 128, AnswerStore(folder / "stream.sqlite")), []
    for start in range(0, texts, 1000):
        chat.annotate([f"streamed text {i}" for i in range(start, start + 1000)], LABELS)
        if (start + 1000) % (texts // 10) == 0:
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            pages = int(Path("/proc/self/statm").read_text().split()[1])
            rows.append((start + 1000, pages * os.sysconf("SC_PAGE_SIZE") / 2**20, peak))
    return pd.DataFrame(rows, columns=["texts", "MiB", "peak_MiB"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--streamed", type=int, default=100_000, help="texts of the stream; 0: none")
    streamed = parser.parse_args().streamed
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        for latency in (0.2, 0.0):
            port = context.Queue()
            server = context.Process(target=serve, args=(port, latency), daemon=True)
            server.start()
            if latency:
                print(throughput(port.get(), latency, Path(folder)).round(2).to_string(index=False))
            elif streamed:
                print(memory(port.get(), streamed, Path(folder)).round(0).to_string(index=False))
            server.terminate()


if __name__ == "__main__":
    main()
