"""Sound -> what the ear would tell apart: the power in bands of pitch, frame by frame; and back.

`LogMel` holds the bank of bands and turns samples into power and decibels; what makes decibels
comparable stands in `normalising` and is handed on here. Neither knows of files.

Frames are numbered from the start of the recording, frame k is centred at its sample
round(k * rate / frames_per_s): so blocks that are read separately, and rates that no hop divides,
give the same numbers without drift.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Self

import numpy as np
import torch
from torch import Tensor

from raravis.errors import ParameterError
from raravis.learned import Learned
from raravis.sound.mel import SCALES, band_edges, triangles
from raravis.sound.normalising import Standardise, background_db, without_loudness
from raravis.windows import FloatArray, IntArray

__all__ = ["FLOOR", "LogMel", "Standardise", "background_db", "without_loudness"]

FLOOR = 1e-10
"""Power below this counts as this: -100 dB, the same for every recording."""

_FRAMES_AT_ONCE = 256
"""Frames, spectra and powers of so many frames stay in a core's cache together."""
_FRAMES_AT_ONCE_ELSEWHERE = 8192
_BANDS_AT_ONCE = 8
_MOMENTUM = 0.99


class LogMel(Learned):
    """Power in bands that are spaced as pitch is heard, and its logarithm.

        power[f, k] = sum over bins b of  M[f, b] |FFT(hann * samples around frame k)[b]|^2
        dB          = 10 log10(max(power, 1e-10))

    mels          bands of the whole bank.
    frames_per_s  of time; need not divide the rate.
    fft           length of a frame in samples; None is the power of two at or above 0.04 s.
    low_hz        where the lowest band begins.
    high_hz       where the highest band ends; None is half the rate.
    keep_mels     "64:128" keeps those bands of the bank only.
    hz            "2000:8000" keeps the bands whose centre lies in there.
    scale         of pitch: "slaney" or "htk".
    background    take off the slow background, band by band (see `background_db`).
    loudness      take off the mean level of each window (see `without_loudness`).

    Source: the bank is that of Slaney's Auditory Toolbox (1998) or of HTK, each band of unit area,
    and the power equals librosa.feature.melspectrogram(center=True, pad_mode="constant") where the
    rate is a multiple of frames_per_s.
    """

    def __init__(
        self,
        mels: int = 64,
        frames_per_s: float = 50.0,
        fft: int | None = None,
        low_hz: float = 50.0,
        high_hz: float | None = None,
        keep_mels: str | None = None,
        hz: str | None = None,
        scale: str = "slaney",
        background: bool = False,
        loudness: bool = False,
    ) -> None:
        if mels < 1 or frames_per_s <= 0 or (fft is not None and fft < 2):
            raise ParameterError(
                "mels must be at least 1, frames_per_s above 0 and fft at least 2, got "
                f"{mels}, {frames_per_s} and {fft}"
            )
        if scale not in SCALES:
            raise ParameterError(f"scale must be one of {', '.join(SCALES)}, got {scale!r}")
        if keep_mels and hz:
            raise ParameterError("give keep_mels or hz, not both")
        self.mels, self.frames_per_s, self.fft = mels, frames_per_s, fft
        self.low_hz, self.high_hz, self.scale = low_hz, high_hz, scale
        self.keep_mels, self.hz = keep_mels, hz
        self.background, self.loudness = background, loudness
        self._kept_mels = _mel_range(keep_mels, mels)
        self._kept_hz = _parse_range(hz, "hz") if hz else None
        self._banks: dict[tuple[int, str], _Bank] = {}

    # ----------------------------------------------------------------- frames and bands

    def frames(self, seconds: float) -> int:
        """Frames in so many seconds, to the nearest."""
        return math.floor(seconds * self.frames_per_s + 0.5)

    def centres(self, rate_hz: int, start_frame: int, stop_frame: int) -> IntArray:
        """The sample of the recording at which each frame is centred, (T,) int64."""
        hop = Fraction(rate_hz) / Fraction(self.frames_per_s).limit_denominator(10**4)
        frames = np.arange(start_frame, stop_frame, dtype=np.int64)
        centres: IntArray = (2 * frames * hop.numerator + hop.denominator) // (2 * hop.denominator)
        return centres  # in integers, so that hour six is as exact as the first second

    @property
    def bands(self) -> int:
        """Bands that are kept. Raises ParameterError with `hz`, where only the rate can tell."""
        if self._kept_hz is not None:
            raise ParameterError("how many bands lie within hz depends on the rate: use band_hz")
        return len(self._kept_mels)

    def band_hz(self, rate_hz: int) -> FloatArray:
        """Centre frequency of each band that is kept, (F,) float64."""
        centres: FloatArray = self._edges(rate_hz)[:, 1]
        return centres

    def fft_at(self, rate_hz: int) -> int:
        """Length of a frame in samples."""
        return 1 << math.ceil(math.log2(0.04 * rate_hz)) if self.fft is None else self.fft

    def bank(self, rate_hz: int) -> FloatArray:
        """The weights of the bands that are kept, (F, fft / 2 + 1) float32."""
        return triangles(self._edges(rate_hz), self.fft_at(rate_hz), rate_hz)

    def _edges(self, rate_hz: int) -> FloatArray:
        """Where each band that is kept begins, peaks and ends, (F, 3), in Hz."""
        high_hz = self.high_hz or rate_hz / 2
        if not 0 <= self.low_hz < high_hz <= rate_hz / 2:
            raise ParameterError(
                f"bands must lie in 0 <= low_hz < high_hz <= {rate_hz / 2:g} (half the rate), got "
                f"{self.low_hz:g} to {high_hz:g}"
            )
        edges = band_edges(self.mels, self.low_hz, high_hz, self.scale)
        bands = np.stack([edges[:-2], edges[1:-1], edges[2:]], axis=1)
        return bands[self._kept_bands(bands[:, 1])]

    def _kept_bands(self, centres_hz: FloatArray) -> IntArray:
        """Which of all bands are kept."""
        if self._kept_hz is None:
            return self._kept_mels
        low, high = self._kept_hz
        kept = np.flatnonzero((centres_hz >= low) & (centres_hz <= high))
        if len(kept) == 0:
            raise ParameterError(
                f"no band has its centre within hz {self.hz}: the {self.mels} bands of the bank "
                f"have theirs from {centres_hz[0]:.0f} to {centres_hz[-1]:.0f} Hz"
            )
        return kept

    # ----------------------------------------------------------------- samples -> power -> dB

    def power(
        self,
        samples: FloatArray,
        rate_hz: int,
        first_sample: int,
        start_frame: int,
        stop_frame: int,
        device: str = "cpu",
    ) -> FloatArray:
        """Power of the bands, (F, T) float32, in frames start to stop of the recording.

        samples       (S,) float32, from sample `first_sample` of the recording on. Frames that
                      reach beyond them see zeros there.
        device        where to compute, such as "cuda".
        """
        bank = self._bank_on(rate_hz, device)
        starts = self.centres(rate_hz, start_frame, stop_frame) - bank.fft // 2 - first_sample
        known = np.require(samples, np.float32, ["C", "W"])
        with torch.inference_mode():
            return bank.power(torch.from_numpy(known).to(device), starts).cpu().numpy()

    def log(self, power: FloatArray) -> FloatArray:
        """Decibels of power, float32; nothing lies below -100 dB."""
        db = np.maximum(power, np.float32(FLOOR))
        np.log(db, out=db)
        db *= np.float32(10 / np.log(10))
        return db

    def decibels(self, power: FloatArray) -> FloatArray:
        """Decibels of power (F, T); without the slow background where that is asked for.

        The background of a moment is learned from all frames that are given, in steps of 0.1 s
        from the first: begin at a multiple of that, and give 5 s more on either side than needed.
        """
        db = self.log(power)
        if self.background:
            db -= background_db(db, self.frames_per_s)
        return db

    def cut(self, db: FloatArray, starts: IntArray, frames: int) -> FloatArray:
        """Windows of so many frames from (F, T), (N, F, frames); all equally loud where asked."""
        windows = np.lib.stride_tricks.sliding_window_view(db, frames, axis=1)[:, starts]
        cut = np.ascontiguousarray(windows.transpose(1, 0, 2))
        return without_loudness(cut) if self.loudness else cut

    # ----------------------------------------------------------------- power -> sound

    def to_sound(
        self,
        power: FloatArray,
        rate_hz: int,
        like: FloatArray | None = None,
        iterations: int = 32,
        seed: int = 0,
    ) -> FloatArray:
        """Sound with about this power in its bands, (S,) float32; silent outside of them.

        power       (F, T), from a frame centred at the first sample given out; S is what T frames
                    span, T * rate_hz / frames_per_s.
        like        (S,) a recording of the same stretch, whose phases are taken: the best there is.
                    None looks for phases that fit each other, in so many `iterations`.
        seed        of the phases looked for.

        Source: Perraudin et al. 2013, A fast Griffin-Lim algorithm, with momentum 0.99; magnitudes
        by the pseudo-inverse of the bank, negative ones set to zero.
        """
        centres = self.centres(rate_hz, 0, power.shape[1] + 1)
        stft = _Stft(self.fft_at(rate_hz), centres[:-1], int(centres[-1]))
        inverse = torch.from_numpy(np.linalg.pinv(self.bank(rate_hz)).astype(np.float32))
        with torch.inference_mode():
            bands = torch.from_numpy(np.ascontiguousarray(power, dtype=np.float32))
            magnitude = (inverse @ bands).clamp_(min=0).sqrt_().T  # (T, bins)
            if like is None:
                return stft.griffin_lim(magnitude, iterations, seed).numpy()
            original = np.zeros(stft.length, dtype=np.float32)
            original[: len(like)] = like[: stft.length]
            phases = stft.forward(torch.from_numpy(original)).angle()
            return stft.inverse(torch.polar(magnitude, phases)).numpy()

    def _bank_on(self, rate_hz: int, device: str) -> _Bank:
        key = (rate_hz, device)
        if key not in self._banks:
            self._banks[key] = _Bank.of(self.bank(rate_hz), self.fft_at(rate_hz), device)
        return self._banks[key]


@dataclass(frozen=True)
class _Bank:
    """The bank of bands as the machine likes it.

    A spectrum lies in memory as pairs (real, imaginary). Their squares are weighted and summed in
    one matrix product, each weight standing twice; and as a band holds few bins, a few neighbouring
    bands at a time are multiplied with the bins they reach only.
    """

    fft: int
    bands: int
    window: Tensor
    groups: list[tuple[slice, slice, Tensor]]

    @classmethod
    def of(cls, bank: FloatArray, fft: int, device: str) -> Self:
        groups = []
        for rows in np.array_split(np.arange(len(bank)), min(len(bank), _BANDS_AT_ONCE)):
            bins = np.flatnonzero(bank[rows].any(axis=0))
            low, high = bins[0], bins[-1] + 1
            weights = np.repeat(bank[rows, low:high], 2, axis=1)
            which = slice(int(rows[0]), int(rows[-1]) + 1)
            groups.append(
                (which, slice(2 * int(low), 2 * int(high)), torch.from_numpy(weights).to(device))
            )
        window = torch.hann_window(fft, dtype=torch.float64).float().to(device)
        return cls(fft, len(bank), window, groups)

    def power(self, samples: Tensor, starts: IntArray) -> Tensor:
        """Power of the bands, (F, T), of frames that start at these samples (T,)."""
        at_once = _FRAMES_AT_ONCE if samples.device.type == "cpu" else _FRAMES_AT_ONCE_ELSEWHERE
        rows = min(at_once, len(starts))
        framed = samples.new_empty((rows, self.fft))
        spectra = samples.new_empty((rows, self.fft // 2 + 1), dtype=torch.complex64)
        squares = samples.new_empty((rows, self.fft // 2 + 1, 2))
        power = samples.new_empty((self.bands, len(starts)))  # (F, T)
        for begin in range(0, len(starts), at_once):
            chunk = starts[begin : begin + at_once]
            t = len(chunk)
            torch.mul(frame(samples, chunk, self.fft), self.window, out=framed[:t])
            torch.fft.rfft(framed[:t], out=spectra[:t])
            pairs = torch.view_as_real(spectra[:t])
            torch.mul(pairs, pairs, out=squares[:t])
            flat = squares[:t].view(t, -1)
            for bands, bins, weights in self.groups:
                torch.mm(weights, flat[:, bins].T, out=power[bands, begin : begin + t])
        return power


def frame(samples: Tensor, starts: IntArray, length: int) -> Tensor:
    """Frames (T, length) that start at ascending samples; zeros beyond. A view where it can be."""
    if len(starts) == 0:
        return samples.new_empty((0, length))
    begin, end = int(starts[0]), int(starts[-1]) + length
    if begin < 0 or end > len(samples):
        inside = samples[max(0, begin) : max(0, end)]
        before = min(max(0, -begin), end - begin)
        after = end - begin - before - len(inside)
        samples = torch.nn.functional.pad(inside, (before, after))
        starts, begin = starts - begin, 0
    hop = int(starts[-1] - starts[0]) // max(1, len(starts) - 1)
    if np.any(np.diff(starts) != hop):
        positions = torch.from_numpy(starts).to(samples.device)
        return samples.unfold(0, length, 1).index_select(0, positions)
    return samples.as_strided((len(starts), length), (hop, 1), samples.storage_offset() + begin)


@dataclass(frozen=True)
class _Stft:
    """Samples <-> spectra of frames centred where we say, (T, bins).

    The inverse is the sound whose spectra come nearest in squares: frames are windowed once more,
    added up and divided by the sum of the squared windows.

    Source: Griffin and Lim 1984, equation 6.
    """

    fft: int
    centres: IntArray
    length: int

    @property
    def window(self) -> Tensor:
        return torch.hann_window(self.fft)

    def forward(self, samples: Tensor) -> Tensor:
        starts = self.centres - self.fft // 2
        spectra: Tensor = torch.fft.rfft(frame(samples, starts, self.fft) * self.window)
        return spectra

    def inverse(self, spectra: Tensor) -> Tensor:
        framed = torch.fft.irfft(spectra, n=self.fft) * self.window  # (T, fft)
        # frames reach half a frame beyond either end
        positions = torch.from_numpy(self.centres)[:, None] + torch.arange(self.fft)
        total = torch.zeros(self.length + 2 * self.fft)
        weight = torch.zeros_like(total)
        total.index_add_(0, positions.flatten(), framed.flatten())
        squares = (self.window**2).expand(len(self.centres), -1)
        weight.index_add_(0, positions.flatten(), squares.flatten())
        inside = slice(self.fft // 2, self.fft // 2 + self.length)
        return total[inside] / weight[inside].clamp(min=1e-3)

    def griffin_lim(self, magnitude: Tensor, iterations: int, seed: int) -> Tensor:
        generator = torch.Generator().manual_seed(seed)
        phases = torch.rand(magnitude.shape, generator=generator) * (2 * torch.pi)
        spectra, before = torch.polar(magnitude, phases), torch.zeros(())
        for _ in range(iterations):
            consistent = self.forward(self.inverse(spectra))
            ahead = consistent - _MOMENTUM / (1 + _MOMENTUM) * before
            spectra, before = torch.polar(magnitude, ahead.angle()), consistent
        return self.inverse(spectra)


def _mel_range(text: str | None, mels: int) -> IntArray:
    """The bands "64:128" names, checked against how many there are."""
    if text is None:
        return np.arange(mels)
    low, high = _parse_range(text, "keep_mels")
    if not (low.is_integer() and high.is_integer() and 0 <= low < high <= mels):
        raise ParameterError(f"keep_mels must lie within 0:{mels}, the bank's bands, got {text!r}")
    return np.arange(int(low), int(high))


def _parse_range(text: str, name: str) -> tuple[float, float]:
    """The two numbers of "2000:8000"."""
    low, _, high = text.partition(":")
    try:
        numbers = float(low), float(high)
    except ValueError:
        numbers = (1.0, 0.0)
    if not numbers[0] < numbers[1]:
        raise ParameterError(f'{name} must be two ascending numbers such as "64:128", got {text!r}')
    return numbers
