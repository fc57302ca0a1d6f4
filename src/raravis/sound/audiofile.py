"""One sound file on disk: what its header promises, what it holds, and any stretch of its samples.

libsndfile decodes. Around it stands what field recordings need: files that end too early are used
as far as they go, numbers that are none become zero, 1,024 channels are refused before memory is
asked for, and a stretch comes out sample for sample the same however it is reached.
"""

from __future__ import annotations

import contextlib
import os
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import soundfile
import soxr

from raravis.errors import RecordingError
from raravis.windows import FloatArray

SUFFIXES = (
    ".wav",
    ".flac",
    ".ogg",
    ".oga",
    ".opus",
    ".mp3",
    ".aif",
    ".aiff",
    ".aifc",
    ".w64",
    ".rf64",
)
MAX_CHANNELS = 64
LOWEST_RATE_HZ = 100
LOUDEST = 1e12
"""Beyond this a float sample is damage, and its power would leave the range of float32."""

_VALUES_AT_ONCE = 2**22
_FRAMES_PER_BYTE = 2**16
"""More than any coder reaches on silence: a header that promises more lies."""
_MP3_LEAD = 32 * 1152
"""A frame of MP3 borrows bits from many before it: after so many samples a seek has its own."""
_OGG_LAST_PAGE = 2**18
"""A seek into the last page of Ogg Vorbis misses; a page holds at most 255 times 1024 samples."""
_TAIL = 256
_CUT_SHORT = re.compile(r"^\s*(?:data|SSND)\s*:\s*(\d+)\s*\(should be (\d+)\)", re.MULTILINE)
_STREAMED = 0xFFFF0000
"""Sizes from here on are what a writer puts that cannot know the length (ffmpeg into a pipe)."""
_QUIET = (b"RIFF", b"RF64", b"FORM", b"fLaC", b"OggS", b"riff")
_LOOKS_LIKE = {
    b"PK\x03\x04": "a ZIP archive",
    b"\xff\xd8\xff": "a JPEG picture",
    b"\x89PNG": "a PNG picture",
    b"%PDF": "a PDF document",
    b"\x1f\x8b": "a gzip archive",
    b"<!DO": "a web page",
    b"<htm": "a web page",
    b"version https://": "a pointer of Git LFS",
}


@dataclass(frozen=True)
class AudioFile:
    """What one sound file holds.

    frames   samples per channel that can be read.
    missing  samples per channel that the header promises beyond them.
    comment  as it stands in the header.
    """

    path: str
    rate_hz: int
    channels: int
    frames: int
    missing: int
    coding: str
    comment: str

    @property
    def duration_s(self) -> float:
        """Seconds that can be read."""
        return self.frames / self.rate_hz

    def frames_at(self, rate_hz: int) -> int:
        """Samples there are after resampling to `rate_hz`."""
        return (2 * self.frames * rate_hz + self.rate_hz) // (2 * self.rate_hz)


def inspect(path: str | Path) -> AudioFile:
    """Looks at the header and at the end of a sound file; decodes next to nothing.

    Raises RecordingError where there is no sound in it, with what it is instead.
    """
    size = _size(str(path))
    with _opened(str(path)) as sound:
        promised = int(sound.frames)
        _refuse_lies(sound, str(path), promised, size)
        cut = _CUT_SHORT.search(sound.extra_info)
        coding, comment = f"{sound.format} {sound.subtype}", sound.comment
        rate_hz, channels = int(sound.samplerate), int(sound.channels)
    frames = _readable_frames(str(path), min(promised, size * _FRAMES_PER_BYTE))
    if frames == 0:
        raise RecordingError(str(path), f"no sample of it can be decoded ({coding}): it is damaged")
    missing = promised - frames if promised < 2**62 else 0
    if cut and int(cut[1]) < _STREAMED:
        missing += round(frames * (int(cut[1]) / max(1, int(cut[2])) - 1))
    return AudioFile(str(path), rate_hz, channels, frames, max(0, missing), coding, comment)


class AudioReader:
    """An open sound file, mixed down to one channel; use it in a `with` statement.

    channel   which one, from 0; None is the mean of all.
    repaired  how many samples were no numbers so far, and were read as 0.

    What it gives does not depend on what was read before; of MP3, but for the last bit of a sample.
    """

    def __init__(self, file: AudioFile, channel: int | None = None) -> None:
        self.file = file
        self.channel = channel
        self.repaired = 0
        self._closing = contextlib.ExitStack()

    def __enter__(self) -> Self:
        self._sound = self._closing.enter_context(_opened(self.file.path))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._closing.close()

    def frames(self, start: int, stop: int) -> FloatArray:
        """Samples start to stop at the file's own rate, (S,) float32, clipped to the file.

        Raises RecordingError where the file cannot be decoded there.
        """
        start, stop = max(0, start), min(stop, self.file.frames)
        if stop <= start:
            return np.empty(0, dtype=np.float32)
        samples = self._decode(start, stop)
        if self._is_ogg and stop <= self.file.frames - _OGG_LAST_PAGE:
            tail = samples[-_TAIL:]
            # libsndfile passes over damaged pages of Ogg: all after them would come too early
            if not np.allclose(tail, self._decode(stop - len(tail), stop), rtol=0, atol=1e-4):
                raise self._error(start, stop, "part of it is lost")
        return self._repair(samples)

    def at_rate(self, rate_hz: int, start: int, stop: int) -> FloatArray:
        """Samples start to stop at `rate_hz`, (S,) float32, clipped to the file.

        Resampled by soxr in its high quality, from a second more on either side and aligned to
        whole seconds, where samples of both rates meet: so a stretch agrees with the same stretch
        of the whole file resampled at once to about -130 dB.
        """
        if rate_hz == self.file.rate_hz:
            return self.frames(start, stop)
        start, stop = max(0, start), min(stop, self.file.frames_at(rate_hz))
        if stop <= start:
            return np.empty(0, dtype=np.float32)
        first_s = max(0, start // rate_hz - 1)
        last_s = -(-stop // rate_hz) + 1
        source = self.frames(first_s * self.file.rate_hz, last_s * self.file.rate_hz)
        resampled = soxr.resample(source, self.file.rate_hz, rate_hz, "HQ")
        stretch = resampled[start - first_s * rate_hz : stop - first_s * rate_hz]
        return np.pad(stretch, (0, stop - start - len(stretch)))  # soxr may round one off the end

    @property
    def _is_mp3(self) -> bool:
        return self.file.coding.startswith("MP3")

    @property
    def _is_ogg(self) -> bool:
        return self.file.coding.startswith("OGG")

    def _decode(self, start: int, stop: int) -> FloatArray:
        """Samples start to stop, from a place before them that the decoder finds for certain."""
        at, end = start, stop
        last_page = self.file.frames - _OGG_LAST_PAGE
        if self._is_mp3:
            at = max(0, start - _MP3_LEAD)
        elif self._is_ogg and stop > last_page:
            at, end = max(0, min(start, last_page)), self.file.frames  # all must still be there
        samples = np.empty(end - at, dtype=np.float32)
        step = len(samples) if self._is_mp3 else _VALUES_AT_ONCE // self.file.channels
        try:
            with self._handle() as sound, _muted(self._is_mp3):
                sound.seek(at)
                for begin in range(0, len(samples), step):
                    part = samples[begin : begin + step]
                    if self._mix_into(part, sound) < len(part):
                        raise self._error(start, stop, "breaks off")
        except soundfile.SoundFileError as error:
            raise self._error(start, stop, _reason(error)) from error
        return samples[start - at : stop - at]

    @contextlib.contextmanager
    def _handle(self) -> Iterator[soundfile.SoundFile]:
        """The open file; of Ogg a fresh one, as a second seek may land beside its aim."""
        if not self._is_ogg:
            yield self._sound
            return
        with _opened(self.file.path) as sound:
            yield sound

    def _mix_into(self, part: FloatArray, sound: soundfile.SoundFile) -> int:
        """Fills `part` with the next samples, mixed down; how many there were."""
        if self.file.channels == 1:
            return len(sound.read(out=part))
        block = sound.read(out=np.empty((len(part), self.file.channels), np.float32))  # (S, C)
        part[: len(block)] = block.mean(axis=1) if self.channel is None else block[:, self.channel]
        return len(block)

    def _error(self, start: int, stop: int, why: str) -> RecordingError:
        rate_hz = self.file.rate_hz
        between = f"between {start / rate_hz:.2f} and {stop / rate_hz:.2f} s"
        return RecordingError(self.file.path, f"cannot be decoded {between} ({why})")

    def _repair(self, samples: FloatArray) -> FloatArray:
        """Puts 0 where a sample is no number, or so large that its power would not be one."""
        if "FLOAT" not in self.file.coding and "DOUBLE" not in self.file.coding:
            return samples
        broken = ~(np.abs(samples) < LOUDEST)
        self.repaired += int(np.count_nonzero(broken))
        samples[broken] = 0
        return samples


@contextlib.contextmanager
def _opened(path: str) -> Iterator[soundfile.SoundFile]:
    """The file, open; errors of opening it say why in words."""
    _size(path)
    try:
        with Path(path).open("rb") as raw:
            beginning = raw.read(16)
        with _muted(not beginning.startswith(_QUIET)):
            sound = soundfile.SoundFile(path)
    except OSError as error:
        raise RecordingError(path, f"cannot be opened ({error.strerror or error})") from error
    except (soundfile.SoundFileError, TypeError) as error:
        # TypeError: soundfile takes some suffixes, such as .raw, for sound without a header
        raise RecordingError(path, _what_it_is(beginning, str(error))) from error
    with sound:
        yield sound


def _size(path: str) -> int:
    """Bytes on disk; errors as of opening it."""
    try:
        _refuse_what_is_no_file(Path(path))
        return Path(path).stat().st_size
    except OSError as error:
        raise RecordingError(path, f"cannot be opened ({error.strerror or error})") from error


def _refuse_what_is_no_file(path: Path) -> None:
    if path.is_symlink() and not path.exists():
        raise RecordingError(str(path), f"is a link to {path.readlink()}, which is not there")
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise RecordingError(str(path), f"is {kind}, not a recording")


def _refuse_lies(sound: soundfile.SoundFile, path: str, promised: int, size: int) -> None:
    """Refuses headers that ask for more memory or time than any recording needs."""
    if sound.channels > MAX_CHANNELS:
        raise RecordingError(
            path,
            f"has {sound.channels} channels, at most {MAX_CHANNELS} are read: the header is "
            "damaged, or the file should be split",
        )
    if sound.samplerate < LOWEST_RATE_HZ:
        raise RecordingError(
            path,
            f"says it was sampled at {sound.samplerate} Hz; at least {LOWEST_RATE_HZ} Hz is sound",
        )
    if promised <= 0:
        raise RecordingError(
            path,
            f"its header says that no samples follow ({size} bytes on disk); a recorder that lost "
            "power leaves such files",
        )


def _readable_frames(path: str, promised: int) -> int:
    """How many of the promised samples can be decoded: all, or up to where the file was cut."""
    readable, beyond = 0, promised
    if _can_decode(path, beyond - 1):
        return beyond
    while beyond - readable > 1:
        middle = (readable + beyond) // 2
        if _can_decode(path, middle - 1):
            readable = middle
        else:
            beyond = middle
    return readable


def _can_decode(path: str, frame: int) -> bool:
    """True if this one sample can be reached; with a fresh handle, as a failure spoils one."""
    with _opened(path) as sound, _muted(sound.format == "MP3"):
        try:
            sound.seek(frame)
            return len(sound.read(out=np.empty((1, sound.channels), np.float32))) == 1
        except soundfile.SoundFileError:
            return False


def _what_it_is(beginning: bytes, error: str) -> str:
    """Why a file that cannot be opened as sound is none, as far as its first bytes tell."""
    if not beginning:
        return "is empty"
    for magic, name in _LOOKS_LIKE.items():
        if beginning.startswith(magic):
            return f"is {name}, not sound"
    if all(byte in b"\t\r\n" or 32 <= byte < 127 for byte in beginning) and not (
        beginning.startswith(_QUIET)
    ):
        return "is text, not sound"
    return f"cannot be read as sound ({_reason(error)})"


def _reason(error: object) -> str:
    """The last clause of an error of libsndfile, without the path that we name ourselves."""
    if "not a regular file" in str(error):  # said of whatever is not recognised and called .mp3
        return "format not recognised"
    return str(error).rpartition(": ")[2].rstrip(".").lower() or "unknown reason"


_stderr_lock = threading.Lock()


@contextlib.contextmanager
def _muted(mute: bool) -> Iterator[None]:
    """Keeps the MP3 decoder, which writes past Python to the terminal, quiet meanwhile.

    It complains of every seek. The lock keeps two threads from restoring each other's silence.
    """
    if not mute:
        yield
        return
    with _stderr_lock, contextlib.ExitStack() as restore:
        try:
            terminal = os.dup(2)
        except OSError:  # there is none, as in a service
            yield
            return
        restore.callback(os.close, terminal)
        restore.callback(os.dup2, terminal, 2)
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
