"""Fabrics: seamless 256 x 256 tiles of a product's pattern in its colours."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.taxonomy import Category
from workers.sample.assortment import COLOURS, Rgb
from workers.sample.products import Product, pick

Pixels = NDArray[np.uint8]
Field = NDArray[np.float32]

SIDE = 256
"""Pixels of a tile's side; it covers one garment unit."""
_UPRIGHT = frozenset({Category.SHIRT, Category.PANTS, Category.SHORTS, Category.SKIRT})
"""Categories whose stripes run from top to bottom."""


@lru_cache(maxsize=8)
def _grain(kind: str) -> Field:
    """A seamless brightness field around 1 that makes a flat colour look woven."""
    rng = np.random.Generator(np.random.PCG64(101))
    noise = rng.standard_normal((SIDE, SIDE)).astype(np.float32)
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    if kind == "denim":
        twill = np.sin((x + y) * (2 * np.pi * 64 / SIDE))
        return _field(1 + 0.04 * twill + 0.06 * _wrapped_blur(noise, 0.8, 3) + 0.03 * _wrapped_blur(noise, 9, 24))
    if kind == "knitted":
        rows = np.abs(np.sin(x * (np.pi * 32 / SIDE))) * 0.6
        stitch = np.sin(y * (2 * np.pi * 32 / SIDE) + np.abs(np.sin(x * (np.pi * 32 / SIDE))) * 2.6)
        return _field(0.93 + 0.12 * rows + 0.09 * stitch + 0.03 * noise)
    if kind == "melange":
        return _field(1 + 0.06 * _wrapped_blur(noise, 1.6, 0.6) + 0.03 * noise)
    if kind == "leather":
        return _field(1 + 0.022 * _wrapped_blur(noise, 1.5, 1.5) + 0.018 * _wrapped_blur(noise, 12, 12))
    return _field(1 + 0.025 * noise + 0.02 * np.sin(x * (2 * np.pi * 85 / SIDE)) * np.sin(y * (2 * np.pi * 85 / SIDE)))


def _field(values: NDArray[Any]) -> Field:
    return np.asarray(values, np.float32)


def _wrapped_blur(field: Field, sigma_x: float, sigma_y: float) -> Field:
    """Blur with wrapping edges, scaled back to unit deviation."""
    pad = 64
    wide = cv2.copyMakeBorder(field, pad, pad, pad, pad, cv2.BORDER_WRAP)
    soft = cv2.GaussianBlur(wide, (0, 0), sigmaX=sigma_x, sigmaY=sigma_y)[pad:-pad, pad:-pad]
    return (soft / float(soft.std())).astype(np.float32)


def shaded(rgb: Rgb, factor: float) -> Rgb:
    """A darker or lighter version of a colour."""
    r, g, b = (min(255, max(0, round(c * factor))) for c in rgb)
    return r, g, b


def base_colour(product: Product, rng: np.random.Generator) -> Rgb:
    """The product's own shade of its named colour."""
    level = float(rng.uniform(0.88, 1.08))
    r, g, b = (int(np.clip(c * level + rng.normal(0, 4), 14, 246)) for c in COLOURS[product.colour])
    return r, g, b


def tile(product: Product, main: Rgb, rng: np.random.Generator) -> Pixels:
    """The product's fabric, uint8 RGB, seamless in both directions."""
    flat: Pixels = np.empty((SIDE, SIDE, 3), np.uint8)
    flat[:] = main
    painter = _PAINTERS.get(product.pattern)
    if product.pattern == "striped":
        _striped(flat, main, COLOURS[product.accent], rng, upright=product.category in _UPRIGHT)
    elif painter is not None:
        painter(flat, main, COLOURS[product.accent], rng)
    grain = _grain(product.pattern if product.pattern in ("denim", "knitted", "melange", "leather") else "plain")
    return np.asarray(np.clip(flat * grain[:, :, None], 0, 255), np.uint8)


def _striped(flat: Pixels, main: Rgb, accent: Rgb, rng: np.random.Generator, *, upright: bool = False) -> None:
    count = int(pick(rng, (4, 6, 8, 12, 16)))
    period, share = SIDE / count, float(rng.uniform(0.2, 0.55))
    fine = rng.random() < 0.3
    for i in range(count):
        top = round(i * period)
        flat[top : top + max(2, round(period * share))] = accent
        if fine:
            middle = top + round(period * (share + 1) / 2)
            flat[middle : middle + 2] = shaded(main, 0.6)
    if upright:
        flat[:] = flat.transpose(1, 0, 2).copy()
    del main


def _checked(flat: Pixels, main: Rgb, accent: Rgb, rng: np.random.Generator) -> None:
    count = int(pick(rng, (4, 6, 8, 16)))
    period, share = SIDE / count, float(rng.uniform(0.3, 0.55))
    place = np.arange(SIDE) % period / period
    band = (place < share).astype(np.float32) * 0.5
    thin = (np.abs(place - (share + 1) / 2) < 0.05).astype(np.float32) * (0.55 if count < 12 else 0.0)
    weight = (band[:, None] + band[None, :])[:, :, None]
    mixed = flat * (1 - weight) + np.asarray(accent, np.float32) * weight
    stripe = np.maximum(thin[:, None], thin[None, :])[:, :, None]
    third = COLOURS[pick(rng, ("white", "yellow", "red", "black", "navy"))]
    flat[:] = (mixed * (1 - stripe) + np.asarray(third, np.float32) * stripe).astype(np.uint8)
    del main


def _dotted(flat: Pixels, main: Rgb, accent: Rgb, rng: np.random.Generator) -> None:
    count = int(pick(rng, (4, 6, 8, 10)))
    step = SIDE / count
    radius = step * float(rng.uniform(0.16, 0.3))
    for row in range(count + 1):
        for column in range(-1, count + 1):
            x, y = (column + 0.5 * (row % 2)) * step, row * step
            cv2.circle(flat, (round(x * 16), round(y * 16)), round(radius * 16), accent, -1, cv2.LINE_AA, 4)
    del main


def _floral(flat: Pixels, main: Rgb, accent: Rgb, rng: np.random.Generator) -> None:
    petals = [accent, COLOURS[pick(rng, ("pink", "red", "white", "yellow", "purple", "orange"))]]
    leaf = COLOURS[pick(rng, ("green", "olive", "teal"))]
    size = float(rng.uniform(9, 20))
    for i in range(int(2200 / size**1.35)):
        x, y = (float(v) for v in rng.uniform(0, SIDE, 2))
        radius, turn = size * float(rng.uniform(0.6, 1.2)), float(rng.uniform(0, 6.3))
        for dx in (-SIDE, 0, SIDE) if min(x, SIDE - x) < 2 * size else (0,):
            for dy in (-SIDE, 0, SIDE) if min(y, SIDE - y) < 2 * size else (0,):
                _flower(flat, x + dx, y + dy, radius, turn, petals[i % 2] if i % 4 else leaf, leaf=i % 4 == 0)
    del main


def _flower(flat: Pixels, x: float, y: float, radius: float, turn: float, colour: Rgb, *, leaf: bool) -> None:
    if leaf:
        box = ((x, y), (radius * 1.6, radius * 0.55), np.degrees(turn))
        cv2.ellipse(flat, box, colour, -1, cv2.LINE_AA)
        return
    for k in range(5):
        a = turn + k * 2 * np.pi / 5
        centre = (round((x + 0.5 * radius * np.cos(a)) * 16), round((y + 0.5 * radius * np.sin(a)) * 16))
        cv2.circle(flat, centre, round(radius * 0.36 * 16), shaded(colour, 0.86 + 0.07 * (k % 3)), -1, cv2.LINE_AA, 4)
    cv2.circle(flat, (round(x * 16), round(y * 16)), round(radius * 0.22 * 16), (216, 176, 70), -1, cv2.LINE_AA, 4)


def _melange(flat: Pixels, main: Rgb, accent: Rgb, rng: np.random.Generator) -> None:
    light = np.clip(np.asarray(main, np.float32) * 0.75 + 62, 0, 255)
    speckle = np.clip(_wrapped_blur(rng.standard_normal((SIDE, SIDE)).astype(np.float32), 2.2, 0.7) * 0.2 + 0.3, 0, 0.7)
    flat[:] = (flat * (1 - speckle[:, :, None]) + light * speckle[:, :, None]).astype(np.uint8)
    del accent


def _camouflage(flat: Pixels, main: Rgb, accent: Rgb, rng: np.random.Generator) -> None:
    for factor, cut in ((0.62, 0.35), (1.35, 0.7), (0.35, 1.1)):
        blobs = _wrapped_blur(rng.standard_normal((SIDE, SIDE)).astype(np.float32), 13, 8)
        flat[blobs > cut] = shaded(main, factor)
    del accent


def _denim(flat: Pixels, main: Rgb, accent: Rgb, rng: np.random.Generator) -> None:
    wash = float(rng.uniform(0.75, 1.35))
    flat[:] = [min(235, round(c * wash + 26 * (wash - 0.7))) for c in main]
    del accent


_PAINTERS: dict[str, Callable[[Pixels, Rgb, Rgb, np.random.Generator], None]] = {
    "checked": _checked,
    "dotted": _dotted,
    "floral": _floral,
    "melange": _melange,
    "camouflage": _camouflage,
    "denim": _denim,
}
