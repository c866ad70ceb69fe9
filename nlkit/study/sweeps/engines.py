"""Many calls of one function, on several processes here or on a Ray cluster.

Both engines yield (place of the job, what the function returned) in the order in which jobs finish, and
`Died` for a job whose process died `ATTEMPTS` times. The function is one of a module, so that it can be
imported elsewhere; jobs and results can be pickled. What the function raises is raised here.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
import traceback
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from multiprocessing.connection import Connection, wait
from typing import Any, NamedTuple, cast

from nlkit._util import count_cores
from nlkit.data.checks import check_choice, check_count

__all__ = ["ATTEMPTS", "Died", "Engine", "engine", "local", "on_ray"]

ATTEMPTS = 2
"""How often a job is begun whose process died (killed for its memory, a node that is gone)."""

THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NLKIT_THREADS")

Engine = Callable[[Callable[[Any], Any], Sequence[Any]], Iterator[tuple[int, Any]]]


class Died(NamedTuple):
    """In place of a result: why there is none."""

    reason: str


def engine(name: str, *, workers: int | None = None, cores: int = 1, gpus: float = 0.0) -> Engine:
    """Return an engine by name, "local" or "ray"; see `local` and `on_ray`."""
    check_count("cores", cores, 1)
    if workers is not None:
        check_count("workers", workers, 1, "None or ")
    check_choice("engine", name, ("local", "ray"))
    if name == "local":
        return partial(local, workers=workers, cores=cores)
    return partial(on_ray, cores=cores, gpus=gpus)


def local(
    function: Callable[[Any], Any], jobs: Sequence[Any], *, workers: int | None = None, cores: int = 1
) -> Iterator[tuple[int, Any]]:
    """Call a function on each job in processes of this machine, each with `cores` threads.

    By default there are as many workers as have cores of their own. They end with this process, also where
    that is killed. As always with processes, a script that calls this does so below
    ``if __name__ == "__main__":``.
    """
    waiting, tries = deque(range(len(jobs))), Counter[int]()
    busy: dict[Connection, tuple[Any, int]] = {}
    ending: list[Any] = []
    context = multiprocessing.get_context("spawn")

    def begin() -> None:
        here, there = context.Pipe()
        process = context.Process(target=_serve, args=(there, function), daemon=True)
        with _environment(cores):
            process.start()
        there.close()
        hand_out(here, process)

    def hand_out(pipe: Connection, process: Any) -> None:
        place = waiting.popleft()
        busy[pipe] = process, place
        with suppress(OSError):  # a dead process is found when its answer is read
            pipe.send(jobs[place])

    try:
        for _ in range(min(workers or max(1, count_cores() // cores), len(jobs))):
            begin()
        while busy:
            for ready in wait(list(busy)):
                pipe = cast("Connection", ready)
                process, place = busy.pop(pipe)
                try:
                    result, error = pipe.recv()
                except (EOFError, OSError):
                    process.join()
                    tries[place] += 1
                    if tries[place] < ATTEMPTS:
                        waiting.appendleft(place)
                    else:
                        how = f"its process died {ATTEMPTS} times (exit code {process.exitcode})"
                        yield place, Died(f"{how}: out of memory?")
                    if waiting:
                        begin()
                    continue
                if error is not None:
                    raise RuntimeError(f"in a worker process:\n{error}")
                if waiting:
                    hand_out(pipe, process)
                else:
                    pipe.close()
                    ending.append(process)  # which takes a second: the result does not wait for it
                yield place, result
    finally:
        for process, _ in busy.values():
            process.kill()
        for process in ending:
            process.join()


def _serve(pipe: Connection, function: Callable[[Any], Any]) -> None:
    """Answer jobs until the pipe is closed, without a word: many workers' bars would be a muddle."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_after, args=(parent,), daemon=True).start()
    sys.stdout = sys.stderr = open(os.devnull, "w")  # noqa: PTH123, SIM115 - for as long as this process lives
    while True:
        try:
            job = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        answer: tuple[Any, str | None]
        try:
            answer = function(job), None
        except KeyboardInterrupt:  # Ctrl-C reaches all processes of a terminal
            return
        except Exception:
            answer = None, traceback.format_exc()
        pipe.send(answer)


def _end_after(parent: Any) -> None:
    parent.join()
    os._exit(1)


@contextmanager
def _environment(cores: int) -> Iterator[None]:
    """Let processes that start inside the block compute with so many threads: libraries read it then."""
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, str(cores)))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def on_ray(
    function: Callable[[Any], Any], jobs: Sequence[Any], *, cores: int = 1, gpus: float = 0.0
) -> Iterator[tuple[int, Any]]:
    """Call a function on each job on a Ray cluster, each call with so many cores and (shares of) GPUs.

    The cluster is the one that this process is connected to, or that ``RAY_ADDRESS`` or ``ray start`` names,
    or else a new one of this machine. nlkit is installed on all of its nodes; environment variables that
    begin with NLKIT_ or HF_HUB_ go along, so that ``NLKIT_CACHE`` may be a folder that all share. A key, such
    as OPENAI_API_KEY, does not: set it on the nodes.
    """
    try:
        os.environ.setdefault(
            "RAY_USAGE_STATS_ENABLED", "0"
        )  # before it is imported; nothing is reported home
        import ray
    except ImportError as error:
        raise ImportError("engine='ray' needs Ray: pip install 'nlkit[ray]'") from error

    ours = not ray.is_initialized()
    if ours:
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        try:
            ray.init(address="auto", **quiet)
        except ConnectionError:
            ray.init(num_cpus=count_cores(), include_dashboard=False, **quiet)
    carried = {name: value for name, value in os.environ.items() if name.startswith(("NLKIT_", "HF_HUB_"))}
    variables = carried | dict.fromkeys(THREADS, str(cores)) | {"OMP_WAIT_POLICY": "PASSIVE"}
    remote = ray.remote(
        num_cpus=cores, num_gpus=gpus, max_retries=ATTEMPTS - 1, runtime_env={"env_vars": variables}
    )(function)
    under_way = {remote.remote(job): place for place, job in enumerate(jobs)}
    try:
        while under_way:
            for reference in ray.wait(list(under_way), num_returns=1)[0]:
                place = under_way.pop(reference)
                try:
                    yield place, ray.get(reference)
                except ray.exceptions.RayTaskError as error:
                    raise RuntimeError(f"in a worker process:\n{error}") from error
                except ray.exceptions.RayError as error:
                    yield place, Died(f"its process or node died {ATTEMPTS} times: {error}")
    finally:
        for reference in under_way:
            ray.cancel(reference, force=True)
        if ours:
            ray.shutdown()
