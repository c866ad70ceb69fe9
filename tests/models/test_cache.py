from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nlkit._util import cache_folder
from nlkit.models.cache import ABANDONED_SECONDS, MAPPED_BYTES, ActivationCache, cache_limit, cache_size

WIDTH = 8


def block(seed: int, length: int = 5, width: int = WIDTH) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(length, width)).astype(np.float16)


def new(root: Path, **settings: Any) -> ActivationCache:
    return ActivationCache("layers", settings.pop("width", WIDTH), root, **settings)


def same(found: Any, wanted: np.ndarray) -> bool:
    return found is not None and found.dtype == np.float16 and np.array_equal(found, wanted)


def kept(root: Path, count: int) -> list[bool]:
    """Which of t0, t1 … someone who comes anew finds."""
    return [found is not None for found in new(root).get([f"t{i}" for i in range(count)])]


def shards(root: Path) -> list[Path]:
    return sorted(root.glob("*/[!.]*.npy"))


def test_round_trip_in_half_precision(tmp_path: Path) -> None:
    blocks = {f"text{i}": block(i, length=i + 1) for i in range(6)}
    blocks["none"] = np.empty((0, WIDTH), np.float16)
    blocks["single"] = np.random.default_rng(0).normal(size=(3, WIDTH)).astype(np.float32)  # stored rounded
    cache = new(tmp_path)
    cache.put([], [])
    assert shards(tmp_path) == []
    assert cache.get(["text0"]) == [None]
    cache.put(list(blocks), list(blocks.values()))
    for reader in (cache, new(tmp_path)):
        asked = ["text3", "unknown", "text0", "none", "single", "text3"]
        found = dict(zip(asked, reader.get(asked), strict=True))
        assert found.pop("unknown") is None
        for name, got in found.items():
            assert same(got, blocks[name].astype(np.float16))
    assert ActivationCache("other layers", WIDTH, tmp_path).get(["text0"]) == [None]


def test_large_shards_stay_on_disk_and_small_ones_hold_no_file_open(tmp_path: Path) -> None:
    cache = new(tmp_path)
    cache.put(["small"], [block(0)])
    cache.put(["large"], [block(1, length=MAPPED_BYTES // WIDTH)])
    small, large = cache.get(["small", "large"])
    assert not isinstance(small, np.memmap)
    assert isinstance(large, np.memmap)


FULL = """
import resource, sys
import numpy as np
from pathlib import Path
from nlkit.models.cache import ActivationCache
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    ActivationCache("layers", 8, Path(sys.argv[1])).put(["text" * 100], [np.ones((3, 8), np.float16)])
except OSError as error:
    print("refused", flush=True)
"""


@pytest.mark.parametrize("room", [100, 200])  # 176 bytes is the block, more than 400 the index
def test_a_shard_that_does_not_fit_is_an_error_and_leaves_nothing(tmp_path: Path, room: int) -> None:
    said, _ = start(FULL, str(tmp_path), str(room)).communicate(timeout=60)
    assert said == "refused\n"
    assert list(tmp_path.glob("*/*")) == []


@pytest.mark.parametrize("shape", [(3, WIDTH + 1), (3,)])
def test_activations_of_another_width_are_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"do not fit width=8"):
        new(tmp_path).put(["a"], [np.zeros(shape, np.float16)])
    assert list(tmp_path.glob("*/*")) == []


def start(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


# The file system call that would make the shard visible is the last thing this writer reaches.
KILLED = """
import sys, time
from pathlib import Path
import numpy as np
from nlkit.models.cache import ActivationCache
replace, seen = Path.replace, []
def stuck(self, target):
    seen.append(target)
    if len(seen) == int(sys.argv[2]):
        print("writing", flush=True)
        time.sleep(60)
    return replace(self, target)
Path.replace = stuck
ActivationCache("layers", 8, Path(sys.argv[1])).put(["text"], [np.ones((3, 8), np.float16)])
"""


@pytest.mark.parametrize("renames", [1, 2])
def test_a_killed_writer_leaves_no_visible_half(tmp_path: Path, renames: int) -> None:
    process = start(KILLED, str(tmp_path), str(renames))
    assert process.stdout is not None
    assert process.stdout.readline() == "writing\n"
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    left = list(tmp_path.glob("layers/*"))
    assert left  # otherwise it was not killed in the middle
    cache = new(tmp_path)
    assert cache.get(["text"]) == [None]
    assert cache_size(tmp_path) == 0
    cache.put(["text"], [block(1)])
    assert cache.get(["text"])[0] is not None
    # What it left is kept for a day, in case its writer lives, and then removed.
    assert all(path.exists() for path in left)
    then = time.time() - ABANDONED_SECONDS - 60
    for path in left:
        os.utime(path, (then, then))
    cache.put(["other"], [block(2)])
    assert not any(path.exists() for path in left)
    assert all(found is not None for found in new(tmp_path).get(["text", "other"]))


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        *((suffix, lambda path, change=change: path.write_bytes(change(path.read_bytes())))
          for suffix in (".npy", ".json")
          for change in (lambda b: b[:-7], lambda b: b"", lambda b: b"\x93rubbish" * 30)),
        (".npy", lambda path: path.write_bytes(path.read_bytes()[:-1] + b"\x7e")),  # one number, now NaN
        (".json", lambda path: path.write_text(path.read_text().replace('["a"]', '["b"]'))),
        (".json", lambda path: path.write_text("[1, 2]")),
        (".json", lambda path: path.write_text('{"texts": ["a", "b"], "lengths": [5]}')),
        (".npy", lambda path: np.save(path, block(0).astype(np.float32))),
        (".npy", Path.unlink),  # as an evictor does that is killed in the middle
    ],
)  # fmt: skip
def test_a_damaged_shard_is_dropped_and_made_anew(tmp_path: Path, suffix: str, damage: Any) -> None:
    new(tmp_path).put(["a"], [block(0)])
    new(tmp_path).put(["whole"], [block(1)])
    (first,) = [p for p in tmp_path.glob("*/*.json") if json.loads(p.read_text())["texts"] == ["a"]]
    damage(first.with_suffix(suffix))
    cache = new(tmp_path)
    assert [found is not None for found in cache.get(["a", "whole", "b"])] == [False, True, False]
    assert len(list(tmp_path.glob("*/*"))) == 2
    cache.put(["a"], [block(0)])
    assert same(new(tmp_path).get(["a"])[0], block(0))


def test_another_width_is_not_read(tmp_path: Path) -> None:
    new(tmp_path).put(["a"], [block(0)])
    assert new(tmp_path, width=WIDTH * 2).get(["a"]) == [None]


@pytest.mark.parametrize("looks", [False, True])
def test_eviction_keeps_the_limit_and_the_newest(tmp_path: Path, looks: bool) -> None:
    for i in range(12):
        # A new object each time, as each notebook has: what one has open it may still need.
        cache = new(tmp_path, limit=5000)
        assert not looks or cache.get([f"t{i}"]) == [None]
        cache.put([f"t{i}"], [block(i, length=100)])
        assert cache_size(tmp_path) <= 5000
    assert kept(tmp_path, 12) == [False] * 10 + [True] * 2
    new(tmp_path, limit=1).put(["t12"], [block(0)])  # even above the limit
    assert kept(tmp_path, 13) == [False] * 12 + [True]


@pytest.mark.parametrize("length", [100, 2 * MAPPED_BYTES // WIDTH], ids=["read", "mapped"])
def test_what_is_open_goes_too_and_stays_readable(tmp_path: Path, length: int) -> None:
    one = block(0, length=length).nbytes + 128
    cache = new(tmp_path, limit=2 * one)
    held = []
    for i in range(5):
        cache.put([f"t{i}"], [block(i, length=length)])
        held += cache.get([f"t{i}"])
        assert cache_size(tmp_path) <= 2 * one
    assert all(same(array, block(i, length=length)) for i, array in enumerate(held))
    # The object itself holds no evicted shard: its bytes would stay on the disk for nobody.
    assert [found is not None for found in cache.get([f"t{i}" for i in range(5)])] == [False] * 3 + [True] * 2
    cache.put(["t0"], [block(0, length=length)])
    assert same(cache.get(["t0"])[0], block(0, length=length))


def test_a_shard_that_the_system_keeps_stays_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new(tmp_path).put(["held"], [block(0)])
    (held,) = shards(tmp_path)
    unlink = Path.unlink

    def as_on_windows(self: Path, missing_ok: bool = False) -> None:
        if self == held:
            raise PermissionError(13, "used by another process", str(self))
        unlink(self, missing_ok=missing_ok)

    monkeypatch.setattr(Path, "unlink", as_on_windows)
    new(tmp_path, limit=1).put(["b"], [block(1)])
    assert all(found is not None for found in new(tmp_path).get(["held", "b"]))


def test_only_what_is_asked_for_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(4):
        new(tmp_path).put([f"t{i}", f"u{i}"], [block(i), block(i)])
    opened: list[Any] = []
    load = np.load
    monkeypatch.setattr(np, "load", lambda file, **more: opened.append(file) or load(file, **more))
    cache = new(tmp_path)
    assert cache.get(["unknown"]) == [None]
    assert opened == []
    cache.get(["t1", "u1", "unknown"])
    cache.get(["u1"])
    assert len(opened) == 1


SHARED = """
import sys
import numpy as np
from pathlib import Path
from nlkit.models.cache import ActivationCache
cache = ActivationCache("layers", 8, Path(sys.argv[1]), limit=int(sys.argv[2]))
print("ready", flush=True)
sys.stdin.readline()
for i in range(60):
    names = [f"t{(i + j) % 20}" for j in range(4)]
    for name, found in zip(names, cache.get(names)):
        expected = np.full((3, 8), int(name[1:]), np.float16)
        assert found is None or (found == expected).all()
        if found is None:
            cache.put([name], [expected])
"""


@pytest.mark.parametrize("limit", [10 * 176, 10**6])
def test_two_processes_write_and_evict_at_once(tmp_path: Path, limit: int) -> None:
    processes: list[Any] = [start(SHARED, str(tmp_path), str(limit)) for _ in range(2)]
    assert [process.stdout.readline() for process in processes] == ["ready\n"] * 2
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert 0 < cache_size(tmp_path) <= limit
    found = new(tmp_path).get([f"t{i}" for i in range(20)])
    for i, array in enumerate(found):
        assert same(array, np.full((3, WIDTH), i, np.float16)) or (array is None and limit < 10**6)


def test_the_longest_unused_goes_first(tmp_path: Path) -> None:
    for name, age in {"old": 100, "older": 200, "used": 300}.items():
        before = set(tmp_path.glob("*/*.json"))
        new(tmp_path).put([name], [block(age)])
        (path,) = set(tmp_path.glob("*/*.json")) - before
        os.utime(path, (time.time() - age,) * 2)
    assert new(tmp_path).get(["used"])[0] is not None  # reading counts as use
    new(tmp_path, limit=cache_size(tmp_path)).put(["new"], [block(9)])
    found = new(tmp_path).get(["older", "old", "used", "new"])
    assert [f is not None for f in found] == [False, True, True, True]


def test_evicted_elsewhere_while_in_use(tmp_path: Path) -> None:
    reader = new(tmp_path)
    reader.put(["a"], [block(0, length=MAPPED_BYTES // WIDTH)])
    before = reader.get(["a"])[0]
    new(tmp_path, limit=1).put(["b"], [block(1)])
    assert new(tmp_path).get(["a"]) == [None]
    assert before is not None
    assert same(reader.get(["a"])[0], before)


@pytest.mark.parametrize("value", ["four", "", "-1", "nan", "inf", "1e305"])
def test_a_limit_that_is_no_size(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("NLKIT_CACHE_LIMIT_GB", value)
    with pytest.raises(ValueError, match=rf"^NLKIT_CACHE_LIMIT_GB='{value}' is not allowed: .* such as 4"):
        cache_limit()
    monkeypatch.setenv("NLKIT_CACHE_LIMIT_GB", "0.5")
    assert cache_limit() == 500_000_000


def test_a_folder_that_cannot_be_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "occupied").write_text("a file, not a folder")
    monkeypatch.setenv("NLKIT_CACHE", str(tmp_path / "occupied"))
    for use in (cache_folder, lambda: ActivationCache("layers", WIDTH)):
        with pytest.raises(OSError, match=r"NLKIT_CACHE='.*occupied': .* cannot be made .*Set NLKIT_CACHE"):
            use()
    monkeypatch.delenv("NLKIT_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "occupied"))
    with pytest.raises(OSError, match=r"NLKIT_CACHE is not set: the cache folder .*occupied.nlkit cannot"):
        cache_folder()
