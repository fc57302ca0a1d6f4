"""Pictures: how many, of what sizes, when; how bright, and which are dark, glaring or twice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from raravis.progress import Progress, silent
from raravis.sources import FrameSource
from raravis.windows import FloatArray, Recording

MOST_FRAMES = 5000  # that are read; of more, so many spread evenly
DARK = 0.06  # mean of a picture in [0, 1] below which it is called dark
GLARE, GLARING = 0.98, 0.25  # brightness of a pixel, and share of such pixels that is glaring
EXAMPLES = 24  # pictures that are kept to be shown


@dataclass(frozen=True)
class Look:
    """What was seen of one frame.

    number        of the frame among all of its recording.
    mean          of each camera's picture: in [0, 1], or degrees Celsius; low and high as well.
    glare         share of the first camera's pixels that are about white; 0 for a thermal one.
    print         the same for pictures that are the same, pixel by pixel.
    """

    recording: int
    number: int
    start_s: float
    mean: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    glare: float
    print: bytes


class FrameView:
    """All that was seen in one pass through the pictures of a collection."""

    def __init__(self, source: FrameSource) -> None:
        self.source = source
        self.looks: list[Look] = []
        self.examples: list[FloatArray] = []
        self.consistency: list[str] = []

    @property
    def cameras(self) -> tuple[slice, ...]:
        """The channels of each camera."""
        split = self.source.split
        both = slice(0, split), slice(split, self.source.channels)
        return both if len(self.source.cameras) == 2 else both[:1]

    def read(self, progress: Progress) -> None:
        """Goes through the frames, or through an even sample of them."""
        source = self.source
        places = [(r, k) for r, names in enumerate(source.frames) for k in range(len(names))]
        chosen = np.linspace(0, len(places) - 1, min(MOST_FRAMES, len(places))).astype(int)
        shown = set(np.linspace(0, len(chosen) - 1, min(EXAMPLES, len(chosen))).astype(int))
        for done, index in enumerate(chosen.tolist()):
            recording, number = places[index]
            block = source.read(recording, number, number + 1)
            for picture in block.pictures:
                at_s = float(block.windows.start_s[0])
                self.looks.append(self._look(recording, number, at_s, picture))
                if done in shown:
                    self.examples.append(picture)
            progress("looking at pictures", done + 1, len(chosen))
        self.consistency = source.consistency()

    def _look(self, recording: int, number: int, start_s: float, picture: FloatArray) -> Look:
        each = [picture[channels] for channels in self.cameras]
        glare = 0.0
        if self.source.cameras[0] != "celsius":
            glare = float((each[0].min(axis=0) >= GLARE).mean())
        return Look(
            recording, number, start_s,
            tuple(float(one.mean()) for one in each),
            tuple(float(one.min()) for one in each),
            tuple(float(one.max()) for one in each),
            glare,
            hashlib.blake2b(picture.tobytes(), digest_size=16).digest(),
        )  # fmt: skip

    # --- what is told ------------------------------------------------------------------------

    def name(self, look: Look) -> str:
        """A frame's recording and name."""
        recording = self.source.recordings[look.recording].name
        return f"{recording}/{self.source.frames[look.recording][look.number]}"

    def is_dark(self, look: Look) -> bool:
        """Whether an optical camera saw about nothing."""
        return self.source.cameras[0] != "celsius" and look.mean[0] < DARK

    def is_glaring(self, look: Look) -> bool:
        """Whether much of what an optical camera saw is white."""
        return look.glare > GLARING

    def twice(self) -> list[tuple[str, str]]:
        """Frames that are the same as one before them, pixel by pixel, and that one."""
        first: dict[bytes, Look] = {}
        found = []
        for look in self.looks:
            if look.print in first:
                found.append((self.name(look), self.name(first[look.print])))
            first.setdefault(look.print, look)
        return found

    def gaps(self) -> list[tuple[str, datetime | None, float]]:
        """Recording, time and seconds of each gap, longer than one and a half usual intervals, in
        recordings that are dated; the longest first."""
        found = []
        windows = self.source.windows
        for number, recording in enumerate(self.source.recordings):
            if recording.start_time is not None:
                start_s = windows.start_s[windows.recording == number]
                apart = np.diff(start_s)
                for k in np.flatnonzero(apart > 1.5 / recording.rate_hz).tolist():
                    at = recording.time_at(float(start_s[k]))
                    found.append((recording.name, at, float(apart[k])))
        return sorted(found, key=lambda gap: -gap[2])

    def overview(self) -> dict[str, Any]:
        """Counts, times, gaps and what is odd in the collection, for print or JSON."""
        source = self.source
        starts = sorted(r.start_time for r in source.recordings if r.start_time is not None)
        return {
            "recordings": len(source.recordings),
            "frames": len(source),
            "looked_at": len(self.looks),
            "cameras": " + ".join(source.cameras),
            "size": f"{source.size[1]} x {source.size[0]}",
            "interval_s": source.interval_s if starts else None,
            "first_start": starts[0].isoformat() if starts else None,
            "last_start": starts[-1].isoformat() if starts else None,
            "gaps": len(self.gaps()),
            "dark": sum(map(self.is_dark, self.looks)),
            "glaring": sum(map(self.is_glaring, self.looks)),
            "twice": len(self.twice()),
            "stored": "; ".join(self.consistency),
            "remarks": list(source.remarks),
            "skipped": [{"path": s.path, "reason": s.reason} for s in source.skipped],
        }

    def details(self) -> dict[str, Any]:
        """Every recording's numbers, the longest gaps, and which frames are odd."""
        _, columns, rows = self.table()
        return {
            "per_recording": [dict(zip(columns, row, strict=True)) for row in rows],
            "longest_gaps": [
                {"recording": name, "at": at.isoformat() if at else None, "gap_s": gap_s}
                for name, at, gap_s in self.gaps()[:10]
            ],
            "dark_frames": [self.name(look) for look in self.looks if self.is_dark(look)],
            "glaring_frames": [self.name(look) for look in self.looks if self.is_glaring(look)],
            "frames_twice": [{"frame": frame, "as": before} for frame, before in self.twice()],
        }

    def table(self) -> tuple[str, list[str], list[list[Any]]]:
        """Title, columns and rows: the most important numbers of each recording."""
        columns = ["recording", "frames", "begins", "mean", "darkest", "brightest"]
        rows = [self._row(i, recording) for i, recording in enumerate(self.source.recordings)]
        return "Recordings", columns, rows

    def _row(self, number: int, recording: Recording) -> list[Any]:
        means = [look.mean[0] for look in self.looks if look.recording == number]
        begins = recording.start_time.isoformat(timespec="seconds") if recording.start_time else ""
        numbers = [round(float(f(means)), 4) if means else None for f in (np.mean, min, max)]
        return [recording.name, len(self.source.frames[number]), begins, *numbers]


def look_at_frames(source: FrameSource, progress: Progress = silent) -> FrameView:
    """Looks at the frames of a collection one at a time."""
    view = FrameView(source)
    view.read(progress)
    return view
