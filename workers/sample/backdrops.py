"""Backgrounds: floors, walls, bed linen and studio paper, painted once a process and cropped for every picture."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.sample.assortment import Rgb

Pixels = NDArray[np.uint8]
Field = NDArray[np.float32]

WIDTH, HEIGHT = 640, 800
"""Pixels of a backdrop; a picture sees a crop of it."""

FLOORS = ("wood", "laminate", "linen", "tiles", "carpet", "linen", "concrete", "studio", "planks", "blanket")
WALLS = ("wall", "wall", "studio", "wardrobe", "concrete")
PAPER = ("studio",)
VARIANTS = 5


def backdrop(kind: str, variant: int) -> Pixels:
    """One of the painted backdrops, HEIGHT x WIDTH x 3, uint8 RGB; not to be written to."""
    return _painted(kind, variant % VARIANTS)


@lru_cache(maxsize=96)
def _painted(kind: str, variant: int) -> Pixels:
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((77, sorted(_PAINTERS).index(kind), variant))))
    picture = np.clip(_PAINTERS[kind](rng, variant), 0, 255).astype(np.uint8)
    picture.setflags(write=False)
    return picture


def noise(rng: np.random.Generator, sigma_x: float, sigma_y: float) -> Field:
    """Smooth noise of unit deviation over a whole backdrop, made at the resolution its smoothness needs."""
    step = max(1, int(min(sigma_x, sigma_y) // 2))
    raw = rng.standard_normal((HEIGHT // step + 1, WIDTH // step + 1)).astype(np.float32)
    soft = cv2.GaussianBlur(raw, (0, 0), sigmaX=sigma_x / step, sigmaY=sigma_y / step)
    soft = cv2.resize(soft, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    return np.asarray(soft / float(soft.std()), np.float32)


def _flat(rgb: Rgb) -> Field:
    field = np.empty((HEIGHT, WIDTH, 3), np.float32)
    field[:] = rgb
    return field


def _rough(rgb: Rgb, texture: NDArray[Any]) -> Field:
    """A flat colour, brighter or darker by the given shares."""
    return np.asarray(_flat(rgb) * (1 + texture)[:, :, None], np.float32)


def _turned(picture: Field, degrees: float) -> Field:
    matrix = cv2.getRotationMatrix2D((WIDTH / 2, HEIGHT / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(picture, matrix, (WIDTH, HEIGHT), borderMode=cv2.BORDER_REFLECT), np.float32)


def _boards(rng: np.random.Generator, rgb: Rgb, *, width: int, contrast: float, gap: float) -> Field:
    picture = _flat(rgb)
    streaks = 0.035 * noise(rng, 1.2, 42) + 0.03 * noise(rng, 5, 110)
    for left in range(0, WIDTH, width):
        offset, length = int(rng.integers(0, 380)), int(rng.integers(300, 520))
        for top in range(-offset, HEIGHT, length):
            a, b = max(0, top), min(HEIGHT, top + length)
            if a >= b:
                continue
            tint = 1 + contrast * rng.standard_normal() + 0.012 * rng.standard_normal(3)
            picture[a:b, left : left + width] *= tint.astype(np.float32)
            shift = int(rng.integers(0, 300))
            streaks[a:b, left : left + width] = np.roll(streaks[a:b, left : left + width], shift, axis=0)
            picture[b - 2 : b, left : left + width] *= gap
        picture[:, left : left + 2] *= gap
    rings = np.sin(noise(rng, 18, 130) * 9) * 0.025
    return np.asarray(picture * (1 + streaks + rings)[:, :, None], np.float32)


def _wood(rng: np.random.Generator, variant: int) -> Field:
    rgb = ((158, 112, 68), (186, 142, 92), (122, 80, 50), (206, 168, 118), (146, 96, 62))[variant]
    return _turned(
        _boards(rng, rgb, width=int(rng.integers(56, 92)), contrast=0.07, gap=0.6), (0, 90, 12, -90, 78)[variant]
    )


def _laminate(rng: np.random.Generator, variant: int) -> Field:
    rgb = ((196, 178, 154), (168, 158, 146), (214, 198, 172), (136, 124, 112), (200, 164, 112))[variant]
    return _turned(
        _boards(rng, rgb, width=int(rng.integers(90, 150)), contrast=0.035, gap=0.78), (90, 0, 84, 3, 90)[variant]
    )


def _planks(rng: np.random.Generator, variant: int) -> Field:
    rgb = ((214, 210, 202), (96, 72, 56), (120, 124, 126), (178, 120, 76), (226, 220, 206))[variant]
    return _turned(
        _boards(rng, rgb, width=int(rng.integers(110, 170)), contrast=0.05, gap=0.5), (0, 0, 90, 8, -6)[variant]
    )


def _tiles(rng: np.random.Generator, variant: int) -> Field:
    rgb = ((206, 194, 176), (176, 170, 162), (222, 216, 206), (150, 132, 112), (190, 184, 180))[variant]
    picture = _flat(rgb) * (1 + 0.03 * noise(rng, 14, 14) + 0.02 * noise(rng, 3, 3))[:, :, None]
    side, grout = int(rng.integers(170, 250)), 0.72 if variant != 3 else 1.25
    for x in range(int(rng.integers(0, side)), WIDTH, side):
        picture[:, x : x + 4] *= grout
    for y in range(int(rng.integers(0, side)), HEIGHT, side):
        picture[y : y + 4] *= grout
    return _turned(picture, float(rng.uniform(-50, 50)))


def _linen(rng: np.random.Generator, variant: int) -> Field:
    rgb = ((228, 224, 216), (150, 24, 36), (112, 36, 76), (196, 186, 170), (216, 92, 40))[variant]
    return _draped(rng, _flat(rgb), 0.075)


def _blanket(rng: np.random.Generator, variant: int) -> Field:
    rgb = ((190, 168, 150), (70, 84, 110), (214, 208, 200), (148, 96, 84), (120, 140, 118))[variant]
    picture = _flat(rgb)
    accent = np.asarray(
        ((120, 70, 50), (200, 196, 184), (150, 170, 196), (226, 200, 150), (222, 216, 190))[variant], np.float32
    )
    if variant % 2 == 0:
        for _ in range(130):
            centre = (int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT)))
            colour = tuple(float(c) for c in accent * rng.uniform(0.7, 1.1))
            cv2.ellipse(
                picture,
                (centre, (float(rng.uniform(12, 46)), float(rng.uniform(8, 24))), float(rng.uniform(0, 180))),
                colour,
                -1,
                cv2.LINE_AA,
            )
        picture = cv2.GaussianBlur(picture, (0, 0), 1.2).astype(np.float32)
    else:
        step = int(rng.integers(70, 120))
        for x in range(0, WIDTH, step):
            picture[:, x : x + step // 3] = picture[:, x : x + step // 3] * 0.6 + accent * 0.4
        for y in range(0, HEIGHT, step):
            picture[y : y + step // 3] = picture[y : y + step // 3] * 0.6 + accent * 0.4
    return _draped(rng, picture, 0.07)


def _draped(rng: np.random.Generator, picture: Field, strength: float) -> Field:
    """Cloth spread by hand: ridges and soft waves."""
    ridge = 0.5 - np.abs(noise(rng, 14, 50)) + 0.6 * (0.8 - np.abs(noise(rng, 5, 18)))
    wave = 0.8 * noise(rng, 60, 44)
    turned = _turned(np.repeat((ridge + wave)[:, :, None], 3, axis=2), float(rng.uniform(-70, 70)))
    weave = 0.02 * rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32)
    return np.asarray(picture * (1 + strength * turned + weave[:, :, None]), np.float32)


def _carpet(rng: np.random.Generator, variant: int) -> Field:
    rgb = ((150, 138, 124), (112, 60, 50), (94, 96, 100), (182, 164, 138), (74, 78, 96))[variant]
    picture = _flat(rgb)
    accent = np.asarray(
        ((206, 192, 166), (196, 160, 104), (150, 150, 150), (122, 84, 60), (160, 150, 130))[variant], np.float32
    )
    if variant in (1, 3, 4):
        swirl = np.sin(noise(rng, 34, 34) * 5)
        weight = np.clip((swirl - 0.55) * 3, 0, 1)[:, :, None] * 0.7
        picture = np.asarray(picture * (1 - weight) + accent * weight, np.float32)
    pile = (
        0.09 * rng.standard_normal((HEIGHT, WIDTH)).astype(np.float32)
        + 0.06 * noise(rng, 2, 2)
        + 0.04 * noise(rng, 20, 20)
    )
    return np.asarray(picture * (1 + pile)[:, :, None], np.float32)


def _concrete(rng: np.random.Generator, variant: int) -> Field:
    rgb = ((168, 166, 162), (124, 124, 126), (198, 194, 188), (92, 92, 94), (180, 172, 162))[variant]
    return _rough(rgb, 0.04 * noise(rng, 30, 30) + 0.025 * noise(rng, 6, 6) + 0.02 * noise(rng, 1.2, 1.2))


def _studio(rng: np.random.Generator, variant: int) -> Field:
    rgb = ((226, 226, 226), (204, 205, 208), (240, 239, 236), (176, 178, 182), (222, 216, 208))[variant]
    y = np.linspace(-1, 1, HEIGHT, dtype=np.float32)[:, None]
    x = np.linspace(-1, 1, WIDTH, dtype=np.float32)[None, :]
    return _rough(rgb, 0.03 - 0.07 * (x * x + y * y) + 0.004 * noise(rng, 40, 40))


def _wall(rng: np.random.Generator, variant: int) -> Field:
    rgb = ((222, 216, 204), (196, 200, 204), (214, 202, 178), (236, 234, 230), (168, 178, 172))[variant]
    rough = 0.012 * noise(rng, 1.6, 1.6) + 0.02 * noise(rng, 70, 70)
    picture = _rough(rgb, rough)
    if variant in (1, 2):
        stripes = np.sin(np.arange(WIDTH, dtype=np.float32) * (2 * np.pi / 64)) > 0
        picture *= np.where(stripes, 1.0, 0.965)[None, :, None]
    return picture


def _wardrobe(rng: np.random.Generator, variant: int) -> Field:
    rgb = ((232, 228, 220), (150, 104, 66), (206, 188, 160), (112, 84, 64), (244, 242, 238))[variant]
    picture = (
        _boards(rng, rgb, width=640, contrast=0.01, gap=1.0)
        if variant in (1, 3)
        else _flat(rgb) * (1 + 0.01 * noise(rng, 3, 40))[:, :, None]
    )
    for x in range(int(rng.integers(60, 200)), WIDTH, 250):
        picture[:, x : x + 5] *= 0.6
        picture[:, x + 5 : x + 8] *= 1.08
    top = int(rng.integers(40, 160))
    picture[top : top + 4] *= 0.7
    return picture


_PAINTERS: dict[str, Callable[[np.random.Generator, int], Field]] = {
    "wood": _wood,
    "laminate": _laminate,
    "planks": _planks,
    "tiles": _tiles,
    "linen": _linen,
    "blanket": _blanket,
    "carpet": _carpet,
    "concrete": _concrete,
    "studio": _studio,
    "wall": _wall,
    "wardrobe": _wardrobe,
}
