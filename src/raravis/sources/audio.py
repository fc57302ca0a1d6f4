"""Sound files, and folders of them, as one collection in bounded memory."""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np

from raravis.errors import NothingToRead, ParameterError, RecordingError
from raravis.folders import Found, find_files
from raravis.sound.audiofile import SUFFIXES, AudioFile, AudioReader, inspect
from raravis.sources import Block, SoundSource, register
from raravis.times import Between, header_time, parse_between, start_time, time_zone
from raravis.windows import FloatArray, IntArray, Recording, Skipped, Windows

_SHOWN = 3
"""How many of the skipped files a message names."""


@dataclass(frozen=True)
class _Stretch:
    """Consecutive fixed windows of one recording: their numbers in it, `first` to `stop`."""

    recording: int
    first: int
    stop: int


@register("audio")
class AudioSource(SoundSource):
    """Recordings of sound: WAV, FLAC, OGG, MP3 and AIFF files, or folders of them.

    paths      a file or folder, or several. Folders are searched through; hidden files are not
               looked at. Each recording is named by its path relative to the folder given.
    window_s   length of the fixed windows, in seconds.
    hop_s      from the start of one fixed window to that of the next, in seconds.
    rate_hz    samples per second that all are brought to; None is the collection's most common
               rate, so that few or none need resampling. `resampled` names those that did.
    channel    which one to listen to, from 0; None is the mean of all.
    timezone   of times written without one, and of the time of day: "Europe/Berlin", "+02:00".
    between    part of the day to keep, such as "04:00-09:00" or "22:00-02:00"; None is all of it.
    strict     raise RecordingError at the first file that cannot be used, where otherwise it is
               listed in `skipped`.

    Window i of a recording starts at sample round(i * hop_s * rate_hz), so that times do not drift
    however long it is. Raises DataError where a path does not exist, NothingToRead where no
    recording is left.
    """

    def __init__(
        self,
        paths: str | Path | Sequence[str | Path],
        window_s: float = 1.0,
        hop_s: float = 0.5,
        rate_hz: int | None = None,
        channel: int | None = None,
        timezone: str = "UTC",
        between: str | None = None,
        strict: bool = False,
    ) -> None:
        _check(window_s, hop_s, rate_hz, channel)
        self.window_s, self.hop_s, self.channel, self.strict = window_s, hop_s, channel, strict
        self.timezone = time_zone(timezone)
        self.between = None if between is None else parse_between(between)
        self.skipped: list[Skipped] = []
        roots = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
        files, closed_folders = find_files(roots, SUFFIXES)
        for folder in closed_folders:
            self._skip(folder.path, folder.reason)
        found = self._inspect(files)
        self.rate_hz = rate_hz or _most_common_rate([file for _, file in found])
        self._check_lengths()
        self._keep([(name, file) for name, file in found if self._is_long_enough(file)], roots)
        self.remarks = [f"{name}: resampled to the common rate" for name in self.resampled]

    # ----------------------------------------------------------------- what there is

    @property
    def resampled(self) -> list[str]:
        """Names of the recordings whose own rate is not the collection's."""
        return [r.name for r in self.recordings if r.rate_hz != self.rate_hz]

    @property
    def window_samples(self) -> int:
        """Samples in a fixed window."""
        return _half_up(self.window_s * self.rate_hz)

    @cached_property
    def windows(self) -> Windows:
        """All fixed windows, from first to last; their times are those of their samples."""
        return Windows.concatenate([self._windows_of(stretch) for stretch in self._stretches])

    def _windows_of(self, stretch: _Stretch) -> Windows:
        start = self._start_samples(np.arange(stretch.first, stretch.stop))
        recording = np.full(len(start), stretch.recording, dtype=np.int32)
        end_s = (start + self.window_samples) / self.rate_hz
        return Windows(recording, start / self.rate_hz, end_s)

    def __len__(self) -> int:
        return int(self._window_ends[-1])

    def __getitem__(self, index: int) -> FloatArray:
        """Samples of fixed window `index`, (S,) float32, read from disk now."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"window {index} of {len(self)}")
        index %= len(self)
        which = int(np.searchsorted(self._window_ends, index, side="right"))
        stretch = self._stretches[which]
        number = stretch.stop - (int(self._window_ends[which]) - index)
        start = int(self._start_samples(np.array([number]))[0])
        return self._samples(stretch.recording, start, start + self.window_samples)

    # ----------------------------------------------------------------- reading

    def read(self, recording: int, start_s: float, end_s: float) -> FloatArray:
        """Any stretch of one recording, (S,) float32 at `rate_hz`, clipped to the recording.

        Raises RecordingError where the file cannot be read there.
        """
        start, stop = _half_up(start_s * self.rate_hz), _half_up(end_s * self.rate_hz)
        return self._samples(recording, start, stop)

    def blocks(
        self, recording: int, from_s: float = 0.0, length_s: float = 300.0, margin_s: float = 10.0
    ) -> Iterator[Block]:
        """The recording in blocks of `length_s` from `from_s` on; see `Source.blocks`.

        Of a part of the day that is kept, only whole seconds are; margins may reach beyond it.
        """
        if length_s < 1 or margin_s < 0:
            raise ParameterError(
                f"blocks need length_s >= 1 and margin_s >= 0, got {length_s} and {margin_s}"
            )
        with self._reader(recording) as reader:
            for start_s, end_s in self.spans(recording, from_s, length_s):
                first = max(0, _half_up((start_s - margin_s) * self.rate_hz))
                stop = _half_up((end_s + margin_s) * self.rate_hz)
                samples = reader.at_rate(self.rate_hz, first, stop)
                self._note_repairs(recording, reader)
                yield Block(recording, start_s, end_s, samples, first, self.rate_hz)

    def spans(
        self, recording: int, from_s: float = 0.0, length_s: float = 300.0
    ) -> Iterator[tuple[float, float]]:
        """(start_s, end_s) of each of those blocks; nothing is read."""
        for kept_from_s, kept_to_s in self._kept[recording]:
            start_s = max(from_s, kept_from_s)
            while start_s < kept_to_s:
                border_s = (math.floor(start_s / length_s) + 1) * length_s
                end_s = min(border_s, kept_to_s)
                yield start_s, end_s
                start_s = end_s

    def part(self, numbers: Sequence[int]) -> Self:
        """A source of only these of its recordings; see `Source.part`."""
        some = copy.copy(self)
        some.__dict__.pop("windows", None)
        some.skipped, some.remarks = [], []
        some._begin()
        for number in numbers:
            kept = self._kept[number]
            some._add(self.recordings[number], self._files[number], kept)
        some._count()
        return some

    def _samples(self, recording: int, start: int, stop: int) -> FloatArray:
        with self._reader(recording) as reader:
            samples = reader.at_rate(self.rate_hz, start, stop)
            self._note_repairs(recording, reader)
        return samples

    def _reader(self, recording: int) -> AudioReader:
        return AudioReader(self._files[recording], self.channel)

    def _note_repairs(self, recording: int, reader: AudioReader) -> None:
        """Lists a recording with samples that are no numbers, once."""
        if reader.repaired and recording not in self._repaired:
            self._repaired.add(recording)
            reason = (
                "has samples that are no numbers (NaN, infinite, beyond all measure); read as 0"
            )
            self._skip(reader.file.path, reason)

    # ----------------------------------------------------------------- finding out what there is

    def _skip(self, path: str, reason: str) -> None:
        """Lists what cannot be used, or raises where nothing may be left out."""
        if self.strict:
            raise RecordingError(path, reason)
        self.skipped.append(Skipped(path, reason))

    def _inspect(self, files: list[Found]) -> list[tuple[str, AudioFile]]:
        """The files that can be opened, with their names."""
        found = []
        for name, path in ((f.name, f.path) for f in files):
            try:
                file = inspect(path)
                self._refuse_missing_channel(file)
            except RecordingError as error:
                self._skip(error.path, error.reason)
                continue
            found.append((name, file))
            self._note_missing(file)
        return found

    def _refuse_missing_channel(self, file: AudioFile) -> None:
        if self.channel is not None and self.channel >= file.channels:
            raise RecordingError(
                file.path,
                f"has {file.channels} channel(s), so there is no channel {self.channel} "
                "(they count from 0)",
            )

    def _check_lengths(self) -> None:
        shortest_s = 1 / self.rate_hz
        if min(self.window_s, self.hop_s) < shortest_s:
            raise ParameterError(
                f"window_s and hop_s must be at least one sample, {shortest_s:g} s at "
                f"{self.rate_hz} Hz, got {self.window_s} and {self.hop_s}"
            )

    def _note_missing(self, file: AudioFile) -> None:
        if file.missing:
            whole_s = (file.frames + file.missing) / file.rate_hz
            self._skip(
                file.path,
                f"ends after {file.duration_s:.2f} s where its header promises {whole_s:.2f}; what "
                "is there is used",
            )

    def _is_long_enough(self, file: AudioFile) -> bool:
        if file.frames_at(self.rate_hz) >= self.window_samples:
            return True
        lasts = f"lasts {file.duration_s:.3g} s, shorter than one window of {self.window_s:g} s"
        self._skip(file.path, lasts)
        return False

    def _keep(self, found: list[tuple[str, AudioFile]], roots: list[Path]) -> None:
        """Sorts the recordings by time, and keeps of each the part of the day asked for."""
        self._begin()
        recordings = [(self._recording(name, file), file) for name, file in found]
        for recording, file in sorted(recordings, key=lambda pair: _by_time(pair[0])):
            kept = self._kept_part(recording)
            if kept:
                self._add(recording, file, kept)
        if not self.recordings:
            raise NothingToRead(self._why_nothing(roots, len(found)))
        self._count()

    def _begin(self) -> None:
        """Of no recording yet."""
        self._repaired: set[int] = set()
        self._files: list[AudioFile] = []
        self._kept: list[list[tuple[float, float]]] = []
        self._stretches: list[_Stretch] = []
        self.recordings = []

    def _count(self) -> None:
        """Counts the windows, once all recordings are there."""
        counts = [s.stop - s.first for s in self._stretches]
        self._window_ends: IntArray = np.cumsum([*counts, 0])

    def _recording(self, name: str, file: AudioFile) -> Recording:
        began = header_time(file.comment, self.timezone) or start_time(name, self.timezone)
        return Recording(name, file.path, file.duration_s, file.rate_hz, file.channels, began)

    def _kept_part(self, recording: Recording) -> list[tuple[float, float]]:
        """The stretches of it, in seconds, that lie in the part of the day asked for."""
        if self.between is None:
            return [(0.0, recording.duration_s)]
        if recording.start_time is None:
            self._skip(
                recording.path,
                "its start is not known, so --between cannot tell what to keep of it: name it like "
                "20190522_040000.wav (--timezone says which zone that is)",
            )
            return []
        stretches = _whole_seconds(self.between, recording.start_time, recording.duration_s)
        return [(from_s, to_s) for from_s, to_s in stretches if to_s - from_s >= self.window_s]

    def _add(self, recording: Recording, file: AudioFile, kept: list[tuple[float, float]]) -> None:
        number = len(self.recordings)
        self.recordings.append(recording)
        self._files.append(file)
        self._kept.append(kept)
        frames = file.frames_at(self.rate_hz)
        for from_s, to_s in kept:
            first, stop = self._windows_inside(
                _half_up(from_s * self.rate_hz), min(frames, _half_up(to_s * self.rate_hz))
            )
            self._stretches.append(_Stretch(number, first, max(first, stop)))

    def _windows_inside(self, from_sample: int, to_sample: int) -> tuple[int, int]:
        """Numbers of the first window at or after one sample, and of the first beyond the other."""
        hop = self.hop_s * self.rate_hz
        near_first = max(0, int(from_sample / hop) - 1)
        near_stop = max(0, int((to_sample - self.window_samples) / hop) - 1)
        first = np.arange(near_first, near_first + 4)
        stop = np.arange(near_stop, near_stop + 4)
        outside = self._start_samples(stop) + self.window_samples > to_sample
        inside = self._start_samples(first) >= from_sample
        return int(first[inside.argmax()]), int(stop[outside.argmax()])

    def _start_samples(self, numbers: IntArray) -> IntArray:
        """First sample of the windows of these numbers in their recording."""
        samples: IntArray = np.floor(numbers * (self.hop_s * self.rate_hz) + 0.5).astype(np.int64)
        return samples

    def _why_nothing(self, roots: list[Path], usable: int) -> str:
        where = ", ".join(str(root) for root in roots) or "no path at all"
        why = f"looked for {', '.join(SUFFIXES)}"
        if usable and self.between is not None:
            why = f"of {usable} none lies in the part of the day asked for by --between"
            why += f", by the clocks of {self.timezone}"
        shown = "; ".join(f"{Path(s.path).name}: {s.reason}" for s in self.skipped[:_SHOWN])
        more = f" and {len(self.skipped) - _SHOWN} more" if len(self.skipped) > _SHOWN else ""
        because = f" Skipped: {shown}{more}." if shown else ""
        return f"no recording to read in {where}: {why}.{because}"


def _check(window_s: float, hop_s: float, rate_hz: int | None, channel: int | None) -> None:
    for name, seconds in (("window_s", window_s), ("hop_s", hop_s)):
        if not 0 < seconds < math.inf:
            raise ParameterError(f"{name} must be a positive number of seconds, got {seconds}")
    if rate_hz is not None and rate_hz < 100:
        raise ParameterError(f"rate_hz must be at least 100, got {rate_hz}")
    if channel is not None and channel < 0:
        raise ParameterError(f"channel must be 0 or more, got {channel}")


def _half_up(value: float) -> int:
    """The nearest integer; halves go up, so that steps of a half sample alternate evenly."""
    return math.floor(value + 0.5)


def _by_time(recording: Recording) -> tuple[bool, datetime, str]:
    """Sorts by start, those without one last, then by name."""
    began = recording.start_time
    return began is None, began or datetime.min.replace(tzinfo=UTC), recording.name


def _whole_seconds(
    between: Between, began: datetime, duration_s: float
) -> list[tuple[float, float]]:
    """The stretches between two times of day, drawn in to whole seconds of the recording."""
    stretches = []
    for from_s, to_s in between.stretches(began, duration_s):
        end_s = to_s if to_s == duration_s else math.floor(to_s)
        if math.ceil(from_s) < end_s:
            stretches.append((float(math.ceil(from_s)), float(end_s)))
    return stretches


def _most_common_rate(files: list[AudioFile]) -> int:
    """The rate of most files; of two equally common ones the one with more seconds."""
    count = Counter(file.rate_hz for file in files)
    seconds: Counter[int] = Counter()
    for file in files:
        seconds[file.rate_hz] += math.ceil(file.duration_s)
    return max(count, key=lambda rate: (count[rate], seconds[rate], rate), default=48000)
