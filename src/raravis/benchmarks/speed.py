"""How fast recordings are read, transformed and scored, beside librosa and beside the floor.

All figures are CPU-seconds of one thread; ours, the peer and the bare parts run in turn, several
rounds, and the best of each counts, so that a busy machine changes the ratios little.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch

from raravis import models
from raravis.detector import Detector
from raravis.inference import Inference
from raravis.listening import Listener
from raravis.networks import Network
from raravis.sound.features import LogMel, Standardise
from raravis.sound.synthesis import RATE_HZ, dawn_chorus
from raravis.sources.audio import AudioSource
from raravis.windows import FloatArray

Row = dict[str, Any]


def run(minutes: int = 30, rounds: int = 3) -> list[Row]:
    """Ours against librosa and an eager float32 network, and against the sum of bare parts."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = write_chorus(Path(folder) / "chorus.flac", minutes)
            return _compare(path, minutes, rounds)
    finally:
        torch.set_num_threads(threads)


def write_chorus(path: Path, minutes: int) -> Path:
    """A recording of any length: the same ten minutes of dawn chorus again and again."""
    samples, _ = dawn_chorus(min(10, max(2, minutes)), seed=0)
    with soundfile.SoundFile(path, "w", RATE_HZ, 1) as file:
        left = minutes * 60 * RATE_HZ
        while left > 0:
            file.write(samples[:left])
            left -= len(samples)
    return path


def _compare(path: Path, minutes: int, rounds: int) -> list[Row]:
    network: Network = models.create("conv-ae", shape=(1, 64, 50)).eval()
    clips = np.random.default_rng(0).standard_normal((minutes * 60, 1, 64, 50), dtype=np.float32)
    inference = Inference(network)
    tasks: dict[str, Callable[[], object]] = {
        "raravis: read + mel + network + scores": lambda: ours(path, network),
        "librosa + eager float32 network": lambda: peer(path, network),
        "floor: soundfile, decode in blocks": lambda: decode(path),
        "floor: FFT alone, cache-resident": lambda: fft(minutes * 60 * 50),
        "floor: network alone": lambda: inference.encode(clips),
        "finding default: fit + score": lambda: find(path),
    }
    best = dict.fromkeys(tasks, float("inf"))
    for _ in range(rounds):
        for name, task in tasks.items():
            start = time.process_time()
            task()
            best[name] = min(best[name], time.process_time() - start)
    rows: list[Row] = [{"what": name, "cpu_s": round(s, 3)} for name, s in best.items()]
    seconds = list(best.values())
    return [
        *rows,
        {"what": "librosa / raravis (target >= 3)", "ratio": round(seconds[1] / seconds[0], 2)},
        {"what": "raravis / sum of floors (target <= 1.3)",
         "ratio": round(seconds[0] / sum(seconds[2:5]), 2)},
        {"what": "finding default, per 30 minutes (target <= 8)",
         "cpu_s": round(seconds[5] * 30 / minutes, 2)},
    ]  # fmt: skip


def ours(path: Path, network: Network) -> FloatArray:
    """Reconstruction error of every second of a recording, streamed in blocks."""
    source = AudioSource(path, window_s=1.0, hop_s=1.0)
    listener = Listener(LogMel(), None, 1.0, source.rate_hz)
    inference, scale, scores = Inference(network), _scale(), []
    for block, windows in listener.blocks(source, 0):
        clips = scale.apply(listener.hear(block, windows).clips)[:, None]
        scores.append(inference.encode(clips).terms["reconstruction"])
    return np.concatenate(scores)


def peer(path: Path, network: Network) -> FloatArray:
    """The same as one would write it with librosa and torch, without further thought."""
    import librosa

    samples, rate_hz = librosa.load(path, sr=None)
    power = librosa.feature.melspectrogram(
        y=samples, sr=rate_hz, n_fft=1024, hop_length=int(rate_hz) // 50, n_mels=64, fmin=50
    )
    decibels = librosa.power_to_db(power, top_db=None)[:, :-1]
    clips = decibels.reshape(64, -1, 50).transpose(1, 0, 2)[:, None]  # (N, 1, F, T)
    clips = (clips - clips.mean()) / clips.std()
    errors = []
    with torch.no_grad():
        for start in range(0, len(clips), 64):
            batch = torch.from_numpy(np.ascontiguousarray(clips[start : start + 64]))
            errors.append(((network.reconstruct(batch) - batch) ** 2).mean(dim=(1, 2, 3)))
    return torch.cat(errors).numpy()


def decode(path: Path, seconds: int = 60) -> None:
    """Reads a file in blocks and drops them."""
    with soundfile.SoundFile(path) as file:
        while len(file.read(seconds * file.samplerate, dtype="float32")):
            pass


def fft(frames: int, length: int = 1024, at_once: int = 256) -> None:
    """So many real FFTs over one buffer that stays in the cache."""
    buffer = torch.randn(at_once, length)
    out = torch.empty(at_once, length // 2 + 1, dtype=torch.complex64)
    for _ in range(frames // at_once):
        torch.fft.rfft(buffer, out=out)


def find(path: Path) -> None:
    """The default detector without an explainer: learn and score."""
    Detector(explainer="none").fit(path).score(path)


def _scale() -> Standardise:
    scale = Standardise()
    scale.update(np.random.default_rng(0).standard_normal((4, 64, 50), dtype=np.float32))
    return scale


# --- memory and start-up -----------------------------------------------------------------------

# VmHWM and not ru_maxrss, which a process inherits from the one that started it.
DETECT = """
import sys
from pathlib import Path
from raravis.detector import Detector
Detector().fit(sys.argv[1]).score(sys.argv[1], run=sys.argv[2])
status = Path("/proc/self/status").read_text()
print(int(status.split("VmHWM:")[1].split()[0]) / 1024)
"""
HELP = """
import resource, subprocess, sys
subprocess.run([sys.executable, "-m", "raravis", "--help"], check=True, stdout=subprocess.DEVNULL)
usage = resource.getrusage(resource.RUSAGE_CHILDREN)
print(usage.ru_utime + usage.ru_stime)
"""


def memory(hours: tuple[int, ...] = (1, 6)) -> list[Row]:
    """Largest resident memory of learning and scoring recordings of several lengths, each in a
    process of its own; on Linux."""
    rows: list[Row] = []
    for length in hours:
        with tempfile.TemporaryDirectory() as folder:
            path = write_chorus(Path(folder) / "chorus.flac", 60 * length)
            megabytes = float(_run(DETECT, str(path), str(Path(folder) / "run")))
        rows.append({"what": f"detect, {length} h in one file", "resident_mb": round(megabytes)})
    grown = rows[-1]["resident_mb"] / rows[0]["resident_mb"] - 1
    rows.append({"what": "grown (target <= 5 %)", "percent": round(100 * grown, 1)})
    return rows


def start_up() -> list[Row]:
    """What `raravis --help` costs."""
    seconds = min(float(_run(HELP)) for _ in range(5))
    return [{"what": "raravis --help (target <= 0.3)", "cpu_s": round(seconds, 3)}]


def _run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    one_thread = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=one_thread)
    return done.stdout
