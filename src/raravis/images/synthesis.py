"""Two sky cameras made from nothing: the built-in pictures of `raravis demo` and of the tests.

Clouds drift and grow, the sun goes its way over a strip of trees, from 6 to 18 o'clock. The optical
camera writes JPEG, the thermal one, two seconds later, MOBOTIX dumps in degrees Celsius: a clear
sky is cold, clouds are warm. Now and then comes what is rare. To add something rare, write a
function `(scene, rng) -> None` that paints into a `Scene`, and name it in `GUESTS`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

from raravis.errors import ParameterError
from raravis.images import thermal
from raravis.images.decoding import resized
from raravis.windows import FloatArray

HEIGHT, WIDTH = 96, 128
INTERVAL_S = 180
BEGINS = datetime(2026, 5, 1, 6, 0, 0, tzinfo=UTC)
FRAMES_A_DAY = 12 * 3600 // INTERVAL_S  # from 6 to 18 o'clock; the cameras sleep at night
LATER = timedelta(seconds=2)  # the thermal camera
ORDINARY = 0.4  # share of the frames at the beginning in which nothing rare comes

_TREES = HEIGHT - 12  # first row of the strip of trees
_CANVAS = (192, 384)  # of clouds, which wraps around


@dataclass(frozen=True)
class Guest:
    """Something rare in the pictures: what, in which frames, and when, in seconds from the first.

    camera  that sees it: "optical", "thermal" or "both".
    """

    label: str
    camera: str
    first_frame: int
    last_frame: int
    start_s: float
    end_s: float


@dataclass
class Scene:
    """What both cameras see at one moment.

    colour   (H, W, 3), 0 is dark and 1 bright.
    celsius  (H, W).
    """

    colour: FloatArray
    celsius: FloatArray


def make_sky(folder: Path, frames: int = 240, seed: int = 0) -> list[Guest]:
    """Writes pictures of 128 x 96 into `folder`/optical, thermal frames of 64 x 48 into
    `folder`/thermal, and returns what is rare in them, in order.

    frames  at least 40: one each 3 minutes, 240 a day. The first two fifths are ordinary.
    """
    if frames < 40:
        raise ParameterError(f"frames must be at least 40, got {frames}")
    rng = np.random.default_rng(seed)
    guests = _invite(frames, rng)
    for name in ("optical", "thermal"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    sky = Sky(rng)
    for number in range(frames):
        scene = sky.scene(number)
        for guest in guests:
            if guest.first_frame <= number <= guest.last_frame:
                GUESTS[guest.label][2](scene, rng)
        _write(folder, _moment(number), scene, rng)
    return guests


def _invite(frames: int, rng: np.random.Generator) -> list[Guest]:
    """When what is rare comes: evenly spread, each somewhere in its share of the frames."""
    first = round(frames * ORDINARY)
    edges = np.linspace(first, frames, len(GUESTS) + 1)
    guests = []
    for label, low, high in zip(rng.permutation(list(GUESTS)), edges[:-1], edges[1:], strict=True):
        camera, lasts, _ = GUESTS[label]
        begin = int(rng.integers(int(low) + 1, max(int(low) + 2, int(high) - lasts)))
        span_s = [(_moment(n) - BEGINS).total_seconds() for n in (begin, begin + lasts - 1)]
        guests.append(
            Guest(str(label), camera, begin, begin + lasts - 1, span_s[0], span_s[1] + INTERVAL_S)
        )
    return guests


def _moment(number: int) -> datetime:
    """When frame `number` is taken."""
    day, in_day = divmod(number, FRAMES_A_DAY)
    return BEGINS + timedelta(days=day, seconds=in_day * INTERVAL_S)


def _write(folder: Path, taken: datetime, scene: Scene, rng: np.random.Generator) -> None:
    colour = scene.colour + rng.normal(0, 0.008, scene.colour.shape)
    pixels = (np.clip(colour, 0, 1) * 255).astype(np.uint8)
    Image.fromarray(pixels).save(folder / "optical" / f"{taken:%Y%m%d_%H%M%S}.jpg", quality=90)
    celsius = resized(scene.celsius[None], HEIGHT // 2, WIDTH // 2)[0]
    celsius = celsius + rng.normal(0, 0.15, celsius.shape)
    name = f"{taken + LATER:%Y%m%d_%H%M%S}.thermal.celsius.csv"
    thermal.write(folder / "thermal" / name, celsius)


# --- the ordinary ----------------------------------------------------------------------------


class Sky:
    """Clouds, the sun and trees, moment by moment."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._clouds = [_clouds(rng) for _ in range(3)]
        self._phase = rng.uniform(0, 2 * np.pi, 3)
        rows, self._columns = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float64)
        self._rows, self._height = rows, 1 - rows / _TREES  # 1 overhead, 0 above the trees
        bumps = np.repeat(rng.uniform(-3, 3, WIDTH // 8), 8)
        self._trees = rows > _TREES + gaussian_filter(bumps, 2, mode="wrap")
        self._leaves = gaussian_filter(rng.normal(size=(HEIGHT, WIDTH)), 0.8)

    def scene(self, number: int) -> Scene:
        """What there is to be seen in frame `number`."""
        day, in_day = divmod(number, FRAMES_A_DAY)
        through = in_day / FRAMES_A_DAY  # of the day, in [0, 1)
        light = 0.35 + 0.65 * np.sin(np.pi * through) ** 0.7
        cover = self._cover(number)
        sun = np.exp(-self._from_sun(through) / 60) + 0.5 * np.exp(-self._from_sun(through) / 600)
        sun *= 1 - 0.85 * cover
        warm = 1 - light  # red in the morning and in the evening
        clear = np.stack(
            [0.30 + 0.25 * warm - 0.12 * self._height, 0.50 - 0.10 * self._height,
             0.85 - 0.15 * warm - 0.10 * self._height], axis=-1,
        )  # fmt: skip
        grey = (0.80 + 0.25 * (0.5 - cover))[..., None] * np.array([1.0, 0.98, 0.98 - 0.1 * warm])
        colour = light * (clear + (grey - clear) * cover[..., None]) + sun[..., None]
        air_c = 9 + 9 * np.sin(np.pi * (through - 0.1)) + 2 * np.sin(day)
        celsius = air_c - 14 - 28 * np.clip(self._height, 0, 1) * (1 - 0.75 * cover) + 25 * sun**2
        leaves = light * (0.2 + 0.05 * self._leaves)
        colour[self._trees] = leaves[self._trees, None] * np.array([0.8, 1.2, 0.6])
        celsius[self._trees] = air_c + 1.5 * light + self._leaves[self._trees]
        return Scene(np.clip(colour, 0, 1), celsius)

    def _cover(self, number: int) -> FloatArray:
        """How far clouds cover each part of the sky, (H, W) in [0, 1]."""
        field = sum(
            np.roll(clouds, (0, int(number * speed)), axis=(0, 1))[:HEIGHT, :WIDTH]
            * (1 + np.sin(number / 40 + phase))
            for clouds, speed, phase in zip(self._clouds, (2, 3, 5), self._phase, strict=True)
        )
        level = 0.9 + 0.9 * np.sin(number / 55 + self._phase[0])
        return np.asarray(1 / (1 + np.exp(-4 * (field - level))))

    def _from_sun(self, through: float) -> FloatArray:
        """Squared distance from the sun, in pixels, (H, W)."""
        column, row = WIDTH * (0.1 + 0.8 * through), _TREES - 70 * np.sin(np.pi * through)
        return np.asarray((self._columns - column) ** 2 + (self._rows - row) ** 2)


def _clouds(rng: np.random.Generator) -> FloatArray:
    """Smooth noise of several grains on a canvas that wraps around, deviation 1."""
    grains = [
        gaussian_filter(rng.normal(size=_CANVAS), (size / 2, size), mode="wrap") * size
        for size in (4.0, 9.0, 20.0)
    ]
    field = sum(grain / grain.std() * weight
                for grain, weight in zip(grains, (0.35, 0.6, 1.0), strict=True))  # fmt: skip
    return np.asarray((field - np.mean(field)) / np.std(field))


# --- the rare --------------------------------------------------------------------------------


def _spot(scene: Scene, rng: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Rows and columns from a place in the open sky, (H, W) each."""
    rows, columns = np.mgrid[0:HEIGHT, 0:WIDTH]
    return rows - rng.uniform(20, _TREES - 25), columns - rng.uniform(25, WIDTH - 25)


def bird(scene: Scene, rng: np.random.Generator) -> None:
    """A dark bird near the camera, wings bent, warmer than the sky."""
    rows, columns = _spot(scene, rng)
    wings = (np.abs(rows + 0.03 * columns**2 - 2) < 1.8) & (np.abs(columns) < 11)
    body = (rows / 3) ** 2 + (columns / 5) ** 2 < 1
    scene.colour[wings | body] = 0.06
    scene.celsius[wings | body] = 24


def plane(scene: Scene, rng: np.random.Generator) -> None:
    """A plane and its straight white trail, through the whole sky."""
    rows, columns = _spot(scene, rng)
    slope = rng.uniform(-0.35, 0.35)
    trail = np.exp(-(((rows - slope * columns) / 1.3) ** 2)) * (columns < 0)
    fuselage = (np.abs(rows - slope * columns) < 1.5) & (columns >= 0) & (columns < 7)
    scene.colour += 0.6 * trail[..., None]
    scene.colour[fuselage] = 0.12
    scene.celsius += 5 * trail
    scene.celsius[fuselage] = 15


def lens_flare(scene: Scene, rng: np.random.Generator) -> None:
    """A row of coloured discs across the picture; the thermal camera sees nothing of it."""
    rows, columns = _spot(scene, rng)
    for step, radius in ((-30, 6), (-12, 4), (8, 9), (34, 13)):
        disc = (rows - 0.5 * step) ** 2 + (columns - step) ** 2 < radius**2
        scene.colour[disc] += (
            np.array([0.22, 0.3, 0.08]) if step % 4 else np.array([0.35, 0.1, 0.3])
        )


def snow(scene: Scene, rng: np.random.Generator) -> None:
    """Grey light full of white flakes; the thermal camera sees a warm veil."""
    scene.colour[:] = 0.45 + 0.45 * (scene.colour - scene.colour.mean())
    flakes = gaussian_filter((rng.random((HEIGHT, WIDTH)) < 0.025).astype(float), 0.8)
    scene.colour += np.minimum(1, 6 * flakes)[..., None] * 0.6
    scene.celsius[:] = -1 + 0.15 * (scene.celsius - scene.celsius.mean())


def fog(scene: Scene, rng: np.random.Generator) -> None:
    """Everything white and without edges; everything as warm as the air."""
    veil = 0.85 + 0.02 * rng.random()
    scene.colour[:] = (1 - veil) * scene.colour + veil * 0.68
    scene.celsius[:] = (1 - veil) * scene.celsius + veil * 8


def hot_object(scene: Scene, rng: np.random.Generator) -> None:
    """Something of 80 degrees that the optical camera hardly sees: the flame of a far balloon."""
    rows, columns = _spot(scene, rng)
    glow = np.exp(-(rows**2 + columns**2) / 18)
    scene.celsius += (80 - scene.celsius) * glow
    scene.colour -= 0.06 * glow[..., None]


GUESTS: dict[str, tuple[str, int, Callable[[Scene, np.random.Generator], None]]] = {
    "bird": ("both", 1, bird),
    "plane": ("both", 1, plane),
    "lens flare": ("optical", 1, lens_flare),
    "snow": ("both", 2, snow),
    "fog": ("both", 3, fog),
    "hot object": ("thermal", 2, hot_object),
}
"""The rare: which camera sees it, for how many frames it stays, and who paints it."""
