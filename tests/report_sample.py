"""Reports for tests of the report: about an invented dawn with songs, wind, a plane and a chainsaw,
about a table of channels, and about a sky camera whose frames now and then hold something dark."""

from __future__ import annotations

import io
from datetime import datetime, timedelta
from urllib.parse import quote

import numpy as np
import soundfile

from raravis.report import (
    Chart,
    Clip,
    Frame,
    Line,
    Member,
    Picture,
    Points,
    Report,
    ReportEvent,
    ReportRecording,
    Threshold,
    Thumbnails,
    Timeline,
    View,
)

RATE_HZ = 16000
FRAME = 160  # samples, 10 ms
BANDS = 96


def noise(rng, seconds, slope=1.0):
    """Pink-ish noise, the ground of every outdoor recording."""
    spectrum = np.fft.rfft(rng.standard_normal(int(seconds * RATE_HZ)))
    spectrum /= np.maximum(1, np.arange(len(spectrum))) ** (slope / 2)
    sound = np.fft.irfft(spectrum, int(seconds * RATE_HZ))
    return sound / np.abs(sound).max()


def song(rng, seconds):
    """A few whistled syllables that sweep up and down."""
    sound = np.zeros(int(seconds * RATE_HZ))
    pitch, at = rng.uniform(2500, 5000), rng.uniform(0, 0.5)
    while at < seconds - 0.4:
        t = np.arange(int(rng.uniform(0.08, 0.25) * RATE_HZ)) / RATE_HZ
        sweep = pitch * (1 + rng.uniform(-0.3, 0.3) * t / t[-1] + 0.05 * np.sin(40 * t))
        place = int(at * RATE_HZ)
        sound[place : place + len(t)] += np.sin(
            2 * np.pi * np.cumsum(sweep) / RATE_HZ
        ) * np.hanning(len(t))
        at += rng.uniform(0.25, 0.7)
    return sound


def engine(seconds, pitch_hz, glide):
    """Harmonics of a motor, swelling and fading."""
    t = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    phase = 2 * np.pi * np.cumsum(pitch_hz * (1 - glide * t / seconds)) / RATE_HZ
    tones = sum(np.sin(k * phase) / k**0.7 for k in range(1, 24))
    return tones / 6 * np.hanning(len(t)) ** 0.5


def spectrogram(sound, from_s):
    """Level in dB in bands that widen upwards, (BANDS, frames)."""
    frames = np.lib.stride_tricks.sliding_window_view(sound, 512)[::FRAME]
    power = np.abs(np.fft.rfft(frames * np.hanning(512))) ** 2  # (T, 257)
    edges = 700 * (10 ** (np.linspace(np.log10(1 + 60 / 700), np.log10(1 + 7900 / 700), BANDS)) - 1)
    bins = np.clip(edges / RATE_HZ * 512, 0, 255)
    low = bins.astype(int)
    between = power[:, low] * (1 - bins + low) + power[:, low + 1] * (bins - low)
    return Picture(10 * np.log10(between.T + 1e-9), edges, from_s, FRAME / RATE_HZ)


def opus(sound):
    """The sound as the bytes of an OGG file."""
    file = io.BytesIO()
    soundfile.write(file, sound / np.abs(sound).max() * 0.7, RATE_HZ, format="OGG", subtype="OPUS")
    return file.getvalue()


def clip(recording, start_s, sound, score, audible=True):
    return Clip(
        recording,
        start_s,
        start_s + len(sound) / RATE_HZ,
        score,
        spectrogram(sound, start_s),
        opus(sound) if audible else None,
    )


def smoothed(db):
    """What a model that blurs the unknown makes of a spectrogram."""
    kernel = np.ones((5, 9)) / 45
    shape = [n + k - 1 for n, k in zip(db.shape, kernel.shape, strict=True)]
    product = np.fft.rfft2(db - db.mean(), shape) * np.fft.rfft2(kernel, shape)
    return np.fft.irfft2(product, shape)[2 : 2 + db.shape[0], 4 : 4 + db.shape[1]] * 0.8 + db.mean()


def event(rng, rank, recording, start_s, clock, recordings):
    """A motor among birds, with what was expected, the difference and some neighbours."""
    seconds, around = round(rng.uniform(1.2, 3.0), 1), 1.5
    length = seconds + 2 * around
    ground = 0.02 * noise(rng, length) + 0.05 * song(rng, length)
    middle = engine(seconds, rng.uniform(60, 190), rng.uniform(-0.2, 0.5)) * rng.uniform(0.05, 0.2)
    sound = ground.copy()
    at = int(around * RATE_HZ)
    sound[at : at + len(middle)] += middle
    original = clip(recording, start_s - around, sound, 9.0 / rank**0.5 + 4)
    expected = Picture(
        smoothed(original.picture.db),
        original.picture.band_hz,
        original.picture.from_s,
        original.picture.frame_s,
    )
    neighbours = []
    for _ in range(4):
        other = 0.02 * noise(rng, 2.0) + 0.05 * song(rng, 2.0)
        neighbours.append(
            clip(int(rng.integers(recordings)), rng.uniform(0, 8), other, rng.uniform(0, 2))
        )
    return ReportEvent(
        rank,
        recording,
        start_s,
        start_s + seconds,
        start_s + seconds / 2,
        None if clock is None else (clock + timedelta(seconds=start_s)).isoformat(),
        original.score,
        0.02 / rank**3 / 10,
        original=original,
        reconstructed=Clip(
            recording, original.start_s, original.end_s, original.score, expected, opus(ground)
        ),
        error=Picture(
            np.abs(original.picture.db - expected.db),
            expected.band_hz,
            expected.from_s,
            expected.frame_s,
        ),
        neighbours=neighbours,
        reasons=[
            "Lower in pitch than 99.6 % of all sounds heard: its middle frequency is 240 Hz.",
            "Lasts longer than most: 2.4 s beside 0.3 s.",
            "Few sounds are like it: the nearest lies 3.1 times as far as usual.",
        ],
    )


def timeline(rng, duration_s, hop_s, at=()):
    """Scores that wander, and rise where the events are."""
    start = np.arange(0, max(hop_s, duration_s - hop_s + 1e-6), hop_s)
    score = rng.gamma(2.0, 0.55, len(start)) * (1 + 0.3 * np.sin(start / 400))
    for place, height in at:
        score += height * np.exp(-((start + hop_s / 2 - place) ** 2) / (2 * max(hop_s, 0.8) ** 2))
    return Timeline(start, np.minimum(start + hop_s, duration_s), score)


def cloud(rng, count, recordings, duration_s):
    """Groups of different size and spread, some far out."""
    groups = rng.choice(7, count, p=[0.3, 0.22, 0.18, 0.12, 0.09, 0.06, 0.03])
    centres = rng.normal(0, 3, (7, 3)) * [1.6, 1.0, 0.7]
    coords = centres[groups] + rng.normal(0, 1, (count, 3)) * rng.uniform(0.3, 1.1, (7, 1))[groups]
    start = rng.uniform(0, duration_s - 1, count)
    return Points(
        coords.astype(np.float32),
        groups,
        rng.integers(0, recordings, count),
        start,
        start + 1.0,
        rng.gamma(2.0, 0.8, count) + 0.4 * np.abs(coords[:, 2]),
        np.array([0.34, 0.17, 0.09]),
    )


def sample_report(
    recordings=1,
    duration_s=600.0,
    events=6,
    points=1500,
    hop_s=1.0,
    clock=True,
    seed=0,
    every_s=1800,
    folder="",
):
    """A report of `recordings` files of `duration_s`, one begun every `every_s`."""
    rng = np.random.default_rng(seed)
    began = datetime(2019, 5, 22, 0, 0, 0)
    clocks = [began + timedelta(seconds=every_s * r) if clock else None for r in range(recordings)]
    places = [
        (int(rng.integers(recordings)), rng.uniform(2, max(2.5, duration_s - 5)))
        for _ in range(events)
    ]
    found = [event(rng, k + 1, r, s, clocks[r], recordings) for k, (r, s) in enumerate(places)]
    files, errors = [], []
    for r in range(recordings):
        at = [(e.peak_s, e.score) for e in found if e.recording == r]
        stamp = clocks[r].strftime("%Y%m%d_%H%M%S") if clock else f"{r:03d}"
        name = f"{folder}S4A03895_{stamp}.flac"
        url = quote(f"recordings/{name}")
        files.append(
            ReportRecording(
                name,
                clocks[r].isoformat() if clock else None,
                duration_s,
                url,
                timeline(rng, duration_s, hop_s, at),
            )
        )
        errors.append(timeline(rng, duration_s, 1.0, [(p, 0.5 * h) for p, h in at]))
    return Report(
        title="What was rare at the forest edge",
        created="21 November 2026, 06:30",
        summary=[
            ("Listened to", f"{recordings * duration_s / 3600:.1f} hours"),
            ("Events", str(events)),
            ("Alarm level", "4.2, passed by 1 in 1,000 ordinary windows"),
            ("Largest reconstruction error", "11.2 dB at 04:31:07 on 22 May 2019"),
            ("Mean reconstruction error", "2.31 dB"),
            ("Could not be read", "2 files"),
        ],
        threshold=Threshold(4.2, 0.001),
        recordings=files,
        events=found,
        points=cloud(rng, points, recordings, duration_s) if points else None,
        members={"reconstruction error": Member(errors, 5.0)},
        skipped=[
            ("card2/S4A03895_20190522_113000.flac", "cut short: 12 of 42 bytes of header"),
            ("notes.wav", "not a sound file: begins with '<script>alert(1)</script>'"),
        ],
        settings={
            "source": {"window_s": 1.0, "hop_s": 1.0, "rate_hz": 22050},
            "scorer": {"name": "rarity", "k": 5},
            "threshold": {"kind": "false alarms per hour", "per_hour": 2.0},
            "seed": 0,
            "version": "0.1.0",
        },
    )


def series_report(rows=2000, interval_s=300.0, events=3, clock=True, chart=True, channels=3):
    """A report on one table of channels, with events in which the first channel leaps."""
    rng = np.random.default_rng(1)
    time_s = np.arange(rows) * interval_s
    values = rng.normal(size=(rows, channels)).cumsum(axis=0) * 0.1 + 20
    score = rng.gamma(4.0, 0.25, rows)
    found = []
    for rank in range(1, events + 1):
        first = rows * rank // (events + 1)
        span, around = slice(first, first + 12), slice(first - 30, first + 42)
        values[span, 0] += 5
        score[span] += 6 / rank
        lines = [
            Line(f"channel_{c}", values[around, c], 18.0, 22.0, 0.7 / 3**c) for c in range(channels)
        ]
        shown = Chart(time_s[around], lines, score[around], [(time_s[first], time_s[first + 9])])
        start_s, end_s = float(time_s[first]), float(time_s[first + 12])
        began = datetime(2026, 3, 1) + timedelta(seconds=start_s)
        found.append(
            ReportEvent(
                rank,
                0,
                start_s,
                end_s,
                (start_s + end_s) / 2,
                began.isoformat() if clock else None,
                float(score[first]),
                1e-4,
                original=Clip(
                    0,
                    float(time_s[around][0]),
                    float(time_s[around][-1]) + interval_s,
                    float(score[first]),
                    chart=shown if chart else None,
                ),
                reasons=["70% of the score is from channel_0.", "channel_0 rose to 25."],
                rows=(first + 1, first + 12),
            )
        )
    line = Timeline(time_s, time_s + interval_s, score)
    coords = rng.normal(size=(rows, 3))
    cluster = rng.integers(0, 2, rows)
    return Report(
        title="What is rare in plant.csv",
        created="21 November 2026, 06:30",
        summary=[("Read", f"{rows:,} rows of {channels} channels")],
        threshold=Threshold(2.5, 0.001),
        recordings=[
            ReportRecording(
                "plant.csv",
                "2026-03-01T00:00:00" if clock else None,
                rows * interval_s,
                None,
                line,
            )
        ],
        events=found,
        points=Points(
            coords, cluster, np.zeros(rows, int), time_s, time_s + interval_s, score,
            np.array([0.5, 0.3, 0.1]), ["channel_0", "channel_1 and channel_2"],
        ),
        members={"knn": Member([Timeline(line.start_s, line.end_s, score**2)], 6.0)},
        settings={"kind": "series", "model": [{"name": "knn", "k": 5}, {"name": "window-pca"}]},
        scorer="ensemble",
        kind="series",
        read=f"{rows:,} rows of {channels} channels",
        remarks=["plant.csv: its times fall back at 3 rows: its rows were <sorted>"],
    )  # fmt: skip


# --- pictures ------------------------------------------------------------------------------------


def sky(rng, size=(60, 80)):
    """A sky (3, H, W) in [0, 1]: blue above, haze below, some clouds."""
    height, width = size
    y, x = np.mgrid[:height, :width] / height
    clouds = np.zeros(size)
    for _ in range(6):
        at, wide = rng.uniform([0, 0], [0.8, width / height]), rng.uniform(0.05, 0.3)
        clouds += np.exp(-(((x - at[1]) / wide) ** 2 + ((y - at[0]) / (0.5 * wide)) ** 2))
    clouds = np.clip(clouds, 0, 1)[None]
    blue = np.stack([0.25 + 0.45 * y, 0.45 + 0.35 * y, 0.85 - 0.05 * y])
    return np.clip(blue * (1 - clouds) + 0.95 * clouds + rng.normal(0, 0.01, (3, *size)), 0, 1)


def warmth(picture):
    """What a thermal camera sees of a sky, (1, H, W) in degrees Celsius."""
    return 22 * picture.mean(axis=0, keepdims=True) - 12


def strange_sky(rng, size=(60, 80)):
    """A sky with something dark in its upper left, and how far each place is from the sky."""
    calm = sky(rng, size)
    y, x = np.mgrid[: size[0], : size[1]] / size[0]
    spot = np.exp(-(((x - 0.35) / 0.1) ** 2 + ((y - 0.3) / 0.06) ** 2))
    return calm * (1 - 0.9 * spot), calm, 5 * spot + rng.uniform(0, 0.8, size)


def views(kind, picture, calm=None, heat=None, cameras=("colour",)):
    """What each camera of a run of this kind saw."""
    if kind == "pairs":
        cameras = ("colour", "celsius")
    form = {
        "colour": lambda p: p,
        "grey": lambda p: p.mean(axis=0, keepdims=True),
        "celsius": warmth,
    }
    return [
        View(
            camera,
            form[camera](picture),
            None if calm is None else form[camera](calm),
            heat,
            usual=1.0,
        )
        for camera in cameras
    ]


def picture_report(
    kind="images",
    frames=300,
    events=4,
    clock=True,
    size=(60, 80),
    expected=True,
    heat=True,
    every_s=600.0,
    thumbnails=200,
    recordings=2,
    cameras=("colour",),
):
    """A report on `recordings` folders of `frames` each, with something dark in some of them."""
    rng = np.random.default_rng(4)
    began = datetime(2026, 3, 1, 6, 0, 0)
    every_s = every_s if clock else 1.0
    start_s = np.arange(frames) * every_s
    folders, found = [], []
    scores = rng.gamma(4.0, 0.25, (recordings, frames))
    for rank in range(1, events + 1):
        recording, at = rank % recordings, frames * rank // (events + 1)
        scores[recording, at] = 3 + 6 / rank
        picture, calm, hot = strange_sky(rng, size)
        shown = views(
            kind, picture, calm if expected else None, hot if heat else None, cameras=cameras
        )
        near = [
            Clip(
                recording, start_s[k], start_s[k] + every_s, scores[recording, k],
                frame=Frame(f"sky_{k:04d}.jpg", views(kind, sky(rng, size), cameras=cameras)),
            )
            for k in range(min(3, frames))
        ]  # fmt: skip
        time = began + timedelta(seconds=float(start_s[at]))
        found.append(
            ReportEvent(
                rank, recording, start_s[at], start_s[at] + every_s, start_s[at] + every_s / 2,
                time.isoformat() if clock else None, scores[recording, at], 1e-4,
                original=Clip(
                    recording, start_s[at], start_s[at] + every_s, scores[recording, at],
                    frame=Frame(f"sky_{at:04d}.jpg", shown),
                ),
                neighbours=near,
                reasons=[
                    "What stands out lies in the upper left and fills 3 % of the picture.",
                    "Its nearest ordinary frame lies 2.4 times as far away as is usual.",
                ],
                rows=(at + 1, at + 1 + (rank == 2)),
            )
        )  # fmt: skip
    for number in range(recordings):
        line = Timeline(start_s, start_s + every_s, scores[number])
        folders.append(
            ReportRecording(
                f"camera_{number}", began.isoformat() if clock else None, frames * every_s, None,
                line, [f"sky_{k:04d}.jpg" for k in range(frames)],
            )
        )  # fmt: skip
    total = frames * recordings
    rows = np.unique(np.linspace(0, total - 1, thumbnails).astype(int))
    small = [np.moveaxis(sky(rng, (30, 40)), 0, 2) for _ in rows[:64]]
    sheet = np.array([small[k % len(small)] for k in range(len(rows))])
    coords = rng.normal(size=(total, 3)) * [3, 2, 1]
    return Report(
        title="What is rare in the sky",
        created="21 November 2026, 06:30",
        summary=[("Looked at", f"{total:,} frames in {recordings} recordings")],
        threshold=Threshold(2.8, 0.001),
        recordings=folders,
        events=found,
        points=Points(
            coords.astype(np.float32), rng.integers(0, 3, total),
            np.repeat(np.arange(recordings), frames), np.tile(start_s, recordings),
            np.tile(start_s + every_s, recordings), scores.ravel(), np.array([0.5, 0.3, 0.1]),
            thumbnails=Thumbnails(rows, (255 * sheet).astype(np.uint8)) if thumbnails else None,
        ),
        members={
            "reconstruction": Member(
                [Timeline(start_s, start_s + every_s, s**1.2) for s in scores], 3.0
            )
        },
        skipped=[("camera_0/sky_0007.jpg", "cut short")],
        settings={"kind": kind, "model": {"name": "patch-memory"}},
        scorer="patch-memory",
        kind=kind,
        read=f"{total:,} frames in {recordings} recordings",
    )  # fmt: skip
