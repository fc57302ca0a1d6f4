"""What a cache costs to build, to read at random, and in memory while a network learns from it.

Reading is measured on windows of 4 KB, (1, 64, 32) half floats, in random sorted batches of 256 as
training asks for them, from a file cache that is warm; CPU time of the process and the system.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import tomli_w

from raravis.caching.building import FORMAT, PLACE, SHARD_BYTES, Part, build, write_array
from raravis.caching.coding import Coding
from raravis.caching.joining import join
from raravis.caching.opening import written
from raravis.caching.reading import Cache
from raravis.durable import write_atomically
from raravis.progress import Progress, silent
from raravis.senses.sound import SoundSense
from raravis.sound.synthesis import RATE_HZ, dawn_chorus
from raravis.windows import IntArray

Row = dict[str, Any]
SHAPE = (1, 64, 32)
BATCH, BATCHES = 256, 200
A_RECORDING = 7200  # windows: an hour at two a second
FILES = 20_000  # where each window is a file


def run(windows: int = 1_000_000, rounds: int = 5, progress: Progress = silent) -> list[Row]:
    """Reading, training and building; 9 GB of disk for a million windows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = synthetic(folder / "cache", windows, progress)
        rows = [*_reading(cache, folder, rounds), *_training(folder / "cache")]
    return [*rows, *_building()]


def synthetic(folder: Path, windows: int, progress: Progress = silent) -> Cache:
    """A whole cache of noise, the same in each shard, as if so many windows had been heard."""
    part = folder / Part().name
    part.mkdir(parents=True)
    names = [f"{hour:05d}.wav" for hour in range(-(-windows // A_RECORDING))]
    begun = {"format": FORMAT, "shape": list(SHAPE), "window_s": 1.0, "settings": {}}
    begun |= {"coding": vars(Coding()), "recordings": names, "skipped": []}
    write_atomically(part / "part.toml", tomli_w.dumps(begun))
    at_once = SHARD_BYTES // (2 * int(np.prod(SHAPE)))
    noise = np.random.default_rng(0).standard_normal((at_once, *SHAPE), dtype=np.float32)
    clips = (10 * noise - 60).astype(np.float16)
    for number, first in enumerate(range(0, windows, at_once)):
        rows = np.arange(first, min(first + at_once, windows))
        places = np.empty(len(rows), dtype=PLACE)
        places["recording"], places["start_s"] = rows // A_RECORDING, rows % A_RECORDING / 2
        write_array(part / f"{number:05d}.npy", clips[: len(rows)])
        write_array(part / f"{number:05d}.places.npy", places)
        frames = len(rows) * SHAPE[2]
        note = {
            "finished": first + at_once >= windows,
            "rows": len(rows),
            "heard_s": len(rows) / 2,
            "beyond": 0,
            "frames": frames,
            "sums": [-60.0 * frames] * SHAPE[1],
            "squares": [3700.0 * frames] * SHAPE[1],
            "recordings": [{"name": names[r]} for r in np.unique(rows // A_RECORDING)],
            "skipped": [],
        }
        write_atomically(part / f"{number:05d}.toml", tomli_w.dumps(note))
        progress("writing", first + len(rows), windows)
    join(folder, 0.15)
    return Cache.open(folder)


# --- reading -------------------------------------------------------------------------------------


def _reading(cache: Cache, folder: Path, rounds: int) -> list[Row]:
    random = np.random.default_rng(1)
    batches = [np.sort(random.integers(len(cache), size=BATCH)) for _ in range(BATCHES)]
    windows = cache.windows(cache.scale(), 0.15)
    tasks: dict[str, Callable[[IntArray], object]] = {
        "numpy: np.load(mmap_mode)[rows] of one file": _one_file(cache, folder).__getitem__,
        "ours, as they are kept (target <= 3)": cache.kept,
        "ours, standardised float32": windows.__getitem__,
        f"one file per window (of {FILES})": _files(cache, folder),
    }
    if find_spec("h5py"):
        tasks["HDF5, sorted rows"] = _hdf5(cache, folder)
    best = dict.fromkeys(tasks, float("inf"))
    for task in tasks.values():
        for rows in batches[:20]:
            task(rows)
    for _ in range(rounds):  # in turn, so that a busy machine changes the ratios little
        for name, task in tasks.items():
            start = time.process_time()
            for rows in batches:
                task(rows)
            best[name] = min(best[name], time.process_time() - start)
    return [
        {"what": name, "us_per_window": round(1e6 * seconds / BATCH / BATCHES, 2)}
        for name, seconds in best.items()
    ]


def _one_file(cache: Cache, folder: Path) -> Any:
    whole = np.lib.format.open_memmap(
        folder / "whole.npy", mode="w+", dtype=np.float16, shape=(len(cache), *SHAPE)
    )
    for at in range(0, len(cache), 4096):
        whole[at : at + 4096] = cache.kept(np.arange(at, min(at + 4096, len(cache))))
    whole.flush()
    return np.load(folder / "whole.npy", mmap_mode="r")


def _files(cache: Cache, folder: Path) -> Callable[[IntArray], object]:
    (folder / "files").mkdir()
    count = min(FILES, len(cache))
    for row, window in enumerate(cache.kept(np.arange(count))):
        window.tofile(folder / f"files/{row}")
    names = [str(folder / f"files/{row}") for row in range(count)]

    def read(rows: IntArray) -> object:
        parts = [np.fromfile(names[row % count], dtype=np.float16) for row in rows.tolist()]
        return np.stack(parts).reshape(-1, *SHAPE)

    return read


def _hdf5(cache: Cache, folder: Path) -> Callable[[IntArray], object]:
    h5py: Any = import_module("h5py")
    count = min(100_000, len(cache))
    file = h5py.File(folder / "windows.h5", "w")
    file.create_dataset("windows", data=cache.kept(np.arange(count)), chunks=(1, *SHAPE))
    windows = file["windows"]
    return lambda rows: windows[np.unique(rows * count // len(cache))]


# --- training ------------------------------------------------------------------------------------

# VmHWM and not ru_maxrss, which a process inherits from the one that started it. The network is
# as small as can be: what is measured is reading.
TRAINING = """
import sys, threading, time
from pathlib import Path
import torch
from raravis.caching.reading import Cache
from raravis.networks import Network
from raravis.training import Training

class Mean(Network):
    def __init__(self, shape):
        super().__init__()
        self.mean = torch.nn.Parameter(torch.zeros(shape))
    def parts(self, batch):
        return {"apart": ((batch - self.mean) ** 2).mean(dim=(1, 2, 3))}

def status(name):
    text = Path("/proc/self/status").read_text()
    return int(text.split(name + ":")[1].split()[0]) / 1024

torch.set_num_threads(1)
before, anonymous = status("VmHWM"), [0.0]
def watch():
    while True:
        anonymous.append(status("RssAnon"))
        time.sleep(0.05)
threading.Thread(target=watch, daemon=True).start()
cache = Cache.open(Path(sys.argv[1]))
windows = cache.windows(cache.scale(), 0.15)
steps, batch = int(sys.argv[2]), int(sys.argv[3])
start, cpu = time.perf_counter(), time.process_time()
Training(epochs=1, batch=batch, max_steps=steps, device="cpu", precision="float32").fit(
    Mean(windows.shape[1:]), windows)
read = min(steps * batch, int((~windows.held_back).sum()))
held = int(windows.held_back.sum())
print(before, status("VmHWM"), max(anonymous), read, held, time.perf_counter() - start,
      time.process_time() - cpu)
"""


def _training(cache: Path, steps: int = 1600) -> list[Row]:
    """A network of one layer on random windows of the cache, in a process of its own; on Linux."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-c", TRAINING, str(cache), str(steps), str(BATCH)],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    before, most, anonymous, read, held, wall_s, cpu_s = map(float, done.stdout.split())
    name = f"training on {len(Cache.open(cache)):,} windows"
    return [
        {"what": f"{name}: random reads, then held back in order", "windows": int(read + held)},
        {"what": f"{name}: most resident (target <= 1500)", "mb": round(most)},
        {"what": f"{name}: of it before a window was read", "mb": round(before)},
        {"what": f"{name}: most anonymous", "mb": round(anonymous)},
        {"what": name, "wall_s": round(wall_s, 1), "cpu_s": round(cpu_s, 1)},
    ]


# --- building ------------------------------------------------------------------------------------


def _building(rounds: int = 3) -> list[Row]:
    """CPU seconds for an hour of sound, beside listening to it and keeping nothing."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "chorus.flac"
        soundfile.write(path, np.tile(dawn_chorus(10, seed=0)[0], 6), RATE_HZ)
        sense = SoundSense(model="conv-ae")
        source = sense.open(path)
        halves, octets = (sense.cache_order(source, dtype) for dtype in ("float16", "uint8"))

        def listen(_: Path) -> None:
            for block, windows in halves.listener.blocks(source, 0):
                halves.listener.hear(block, windows)

        tasks: dict[str, Callable[[Path], object]] = {
            "listening to an hour, plain": listen,
            "building a cache of an hour, float16": lambda to: build(to, halves, Part()),
            "building a cache of an hour, uint8": lambda to: build(to, octets, Part()),
        }
        best = dict.fromkeys(tasks, float("inf"))
        for turn in range(rounds):
            for number, (what, task) in enumerate(tasks.items()):
                start = time.process_time()
                task(Path(name) / f"{turn}-{number}")
                best[what] = min(best[what], time.process_time() - start)
        written(Path(name) / "whole", halves, Part())
        start = time.process_time()
        written(Path(name) / "whole", halves, Part())
        best["opening it again"] = time.process_time() - start
        return [{"what": what, "cpu_s": round(seconds, 3)} for what, seconds in best.items()]
