"""Light and shade of a posed garment, computed at half the picture's resolution."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.sample.outline import Part, Shape
from workers.sample.pose import Pose, Sitting

Field = NDArray[np.float32]
Mask = NDArray[np.uint8]

_SIDE = 384
"""Side of the fold fields; a half-resolution picture always finds a crop in it."""
_FOLD_FIELDS = 6
_TURNS = 16
"""Directions in which a fold field is kept."""


def filled(width: int, height: int, polygon: NDArray[np.float64], mask: Mask | None = None) -> Mask:
    """An antialiased 0..255 mask of a polygon in pixels, added to `mask` when one is given."""
    target: Mask = np.zeros((height, width), np.uint8) if mask is None else mask
    cv2.fillPoly(target, [np.round(polygon * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    return target


def region(polygon: NDArray[np.float64], margin: int, width: int, height: int) -> tuple[int, int, int, int] | None:
    """Bounds x1, y1, x2, y2 of a polygon and a margin inside the frame; None when it lies outside."""
    low, high = polygon.min(axis=0) - margin, polygon.max(axis=0) + margin + 1
    x1, y1 = max(0, int(low[0])), max(0, int(low[1]))
    x2, y2 = min(width, int(high[0])), min(height, int(high[1]))
    return (x1, y1, x2, y2) if x2 > x1 + 1 and y2 > y1 + 1 else None


@lru_cache(maxsize=_FOLD_FIELDS)
def _folds(variant: int) -> Field:
    """Creases that run mostly along y, mean 0, about unit deviation."""
    rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence((55, variant))))
    total = np.zeros((_SIDE, _SIDE), np.float32)
    for sx, sy, weight in ((2.5, 8, 0.3), (5, 15, 0.45), (9, 24, 0.6), (16, 30, 0.6), (30, 60, 0.5)):
        raw = rng.standard_normal((_SIDE, _SIDE)).astype(np.float32)
        soft = np.asarray(cv2.GaussianBlur(raw, (0, 0), sigmaX=sx, sigmaY=sy), np.float32)
        soft /= float(soft.std())
        total += weight * (0.8 - np.abs(soft) if sx < 20 else soft)
    relief = cv2.Sobel(cv2.GaussianBlur(total, (0, 0), 1.0), cv2.CV_32F, 1, 1, ksize=3) * 2 + total * 0.6
    return np.asarray((relief - relief.mean()) / float(relief.std()), np.float32)


@lru_cache(maxsize=_FOLD_FIELDS * _TURNS)
def _turned_folds(variant: int, turn: int) -> Field:
    """A fold field turned by `turn` steps of a half circle."""
    matrix = cv2.getRotationMatrix2D((_SIDE / 2, _SIDE / 2), -180 * turn / _TURNS, 1.0)
    turned = cv2.warpAffine(_folds(variant), matrix, (_SIDE, _SIDE), borderMode=cv2.BORDER_REFLECT)
    return np.asarray(turned, np.float32)


def _crop_of_folds(variant: int, angle: float, width: int, height: int, rng: np.random.Generator) -> Field:
    field = _turned_folds(variant, round(angle / np.pi * _TURNS) % _TURNS)
    x = int(rng.integers(0, max(1, _SIDE - width)))
    y = int(rng.integers(0, max(1, _SIDE - height)))
    crop = field[y : y + height, x : x + width]
    if crop.shape != (height, width):
        return np.asarray(cv2.resize(crop, (width, height)), np.float32)
    return crop


def shade(sitting: Sitting, wrinkle: float, rng: np.random.Generator) -> Field:
    """Brightness factors of the garment at half the picture's resolution; 1 is the fabric's own colour."""
    shape, pose = sitting.shape, sitting.pose
    width, height = (sitting.width + 1) // 2, (sitting.height + 1) // 2
    light = np.ones((height, width), np.float32)
    variant = int(rng.integers(_FOLD_FIELDS))
    toward = float(rng.uniform(-2.6, -0.5))
    sun = (float(np.cos(toward)), float(np.sin(toward)))
    for part, outline in zip(shape.parts, sitting.placed, strict=True):
        _shade_part(light, part, outline / 2, pose, variant, wrinkle, sun, rng)
    if shape.folds:
        _crease(light, shape, pose)
    return light


def _crease(light: Field, shape: Shape, pose: Pose) -> None:
    """Darken and brighten along the shape's folds, softly."""
    folds: Mask = np.full(light.shape, 128, np.uint8)
    for fold, points in zip(shape.folds, pose.place_all([fold.line for fold in shape.folds]), strict=True):
        thickness = max(1, round(fold.width * pose.scale / 2))
        value = round(128 + 127 * fold.tone)
        cv2.polylines(folds, [np.round(points * 8).astype(np.int32)], False, value, thickness, cv2.LINE_8, 4)
    reach = max(1, round(0.011 * pose.scale))
    size = (2 * reach + 1, 2 * reach + 1)
    soft = cv2.blur(cv2.blur(folds, size), size)
    light *= soft.astype(np.float32) * (1.25 / 127) + (1 - 128 * 1.25 / 127)


def _shade_part(
    light: Field,
    part: Part,
    polygon: NDArray[np.float64],
    pose: Pose,
    variant: int,
    wrinkle: float,
    sun: tuple[float, float],
    rng: np.random.Generator,
) -> None:
    height, width = light.shape
    reach = max(2, round(pose.scale * (0.02 + 0.045 * part.volume) / 2))
    bounds = region(polygon, 2 * reach + 3, width, height)
    if bounds is None:
        return
    x1, y1, x2, y2 = bounds
    mask = filled(x2 - x1, y2 - y1, polygon - (x1, y1))
    soft = cv2.blur(cv2.blur(mask, (2 * reach + 1, 2 * reach + 1)), (2 * reach + 1, 2 * reach + 1)).astype(np.float32)
    soft *= 1 / 255
    view = light[y1:y2, x1:x2]
    if part.lift:
        away = max(1, round(reach * 0.6))
        view[away:, :] *= 1 - 0.5 * part.lift * soft[:-away, :]
    slope = cv2.Sobel(soft, cv2.CV_32F, 1, 0) * sun[0] + cv2.Sobel(soft, cv2.CV_32F, 0, 1) * sun[1]
    surface = (1.0 + part.tone - 0.32 * part.volume) + (0.32 * part.volume) * soft
    surface -= slope * (0.05 * part.volume * reach)
    strength = wrinkle * part.wrinkle
    if strength:
        angle = pose.turn + part.angle + float(rng.normal(0, 0.25))
        surface += strength * _crop_of_folds(variant, angle, x2 - x1, y2 - y1, rng)
    weight = mask.astype(np.float32)
    weight *= 1 / 255
    view += (surface - view) * weight
