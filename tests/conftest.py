"""What several tests share: a small dawn chorus on disk, and a run made from it."""

import os

import pytest
import soundfile
from hypothesis import settings

from raravis.sound.synthesis import RATE_HZ, dawn_chorus

# Networks are small here and gain nothing from more; heeded by what is loaded from here on.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("seeded", derandomize=True, deadline=None)  # same examples every time
settings.load_profile("seeded")

QUICK = {
    "training": {"epochs": 1, "max_steps": 10, "device": "cpu"},
    "learn": {"windows": 128},
}


@pytest.fixture(scope="session")
def chorus(tmp_path_factory):
    """A folder with one recording of two and a half minutes, and what sounds in it."""
    folder = tmp_path_factory.mktemp("chorus")
    samples, sounds = dawn_chorus(minutes=2.5, seed=5)
    soundfile.write(folder / "chorus_20260501_043000.flac", samples, RATE_HZ)
    return folder, sounds


@pytest.fixture(scope="session")
def run(chorus, tmp_path_factory):
    """The folder of a run on the chorus, with a network taught for a moment only."""
    from raravis.detector import Detector

    folder = tmp_path_factory.mktemp("runs") / "run"
    detector = Detector(**QUICK).fit(chorus[0])
    detector.save(folder)
    detector.score(chorus[0], run=folder)
    return folder
