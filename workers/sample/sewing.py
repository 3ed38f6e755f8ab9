"""The garment as it is sewn: fabric part over part, coloured strokes, the print, and seams as brightness."""

from __future__ import annotations

import cv2
import numpy as np

from workers.sample.assortment import Rgb
from workers.sample.brush import Mask, Pixels, blend, polyline
from workers.sample.fabric import SIDE
from workers.sample.outline import Cloth, Stroke
from workers.sample.pose import Pose, Sitting
from workers.sample.shading import filled, region
from workers.sample.wardrobe import REPEATS, Wardrobe

_DIRECTED = frozenset({"striped", "checked", "denim", "knitted"})
"""Patterns whose direction shows, so that sleeves need a texture of their own."""


def flat_colours(sitting: Sitting, clothes: Wardrobe) -> Pixels:
    """The garment's flat colours over the whole frame, part over part, with coloured strokes and the print."""
    width, height, pose = sitting.width, sitting.height, sitting.pose
    plain = sitting.product.pattern in ("plain", "printed")
    base = (
        _woven(clothes.fabric, width, height) if plain else _texture(clothes.fabric, pose, 0.0, (0, 0, width, height))
    )
    garment = base.copy()
    directed = sitting.product.pattern in _DIRECTED
    for part, polygon in zip(sitting.shape.parts, sitting.placed, strict=True):
        if part.cloth is not Cloth.MAIN:
            cv2.fillPoly(
                garment, [np.round(polygon * 16).astype(np.int32)], clothes.colours[part.cloth], cv2.LINE_AA, 4
            )
            continue
        bounds = region(polygon, 1, width, height)
        if bounds is None or part is sitting.shape.parts[0]:
            continue
        x1, y1, x2, y2 = bounds
        mask = filled(x2 - x1, y2 - y1, polygon - (x1, y1))
        patch = _texture(clothes.fabric, pose, part.angle, bounds) if directed else base[y1:y2, x1:x2]
        cv2.copyTo(patch, mask, garment[y1:y2, x1:x2])
    _print(garment, sitting, clothes)
    for stroke in sitting.shape.strokes:
        if stroke.cloth is not None:
            _coloured(garment, stroke, pose, clothes.colours[stroke.cloth])
    return garment


def _woven(fabric: Pixels, width: int, height: int) -> Pixels:
    """A fabric without a visible direction or scale, over the whole frame."""
    if height <= fabric.shape[0] and width <= fabric.shape[1]:
        return fabric[:height, :width]
    return np.tile(fabric, (-(-height // fabric.shape[0]), -(-width // fabric.shape[1]), 1))[:height, :width]


def _texture(fabric: Pixels, pose: Pose, angle: float, bounds: tuple[int, int, int, int]) -> Pixels:
    """The fabric as it lies in a region of the picture."""
    x1, y1, x2, y2 = bounds
    turn, scale = pose.turn + angle, pose.scale / SIDE
    c, s = np.cos(turn) / scale, np.sin(turn) / scale
    dx, dy = x1 - pose.shift[0], y1 - pose.shift[1]
    start = np.array([c * dx + s * dy, -s * dx + c * dy])
    half_x, half_y = (x2 - x1) / 2, (y2 - y1) / 2
    centre = start + np.array([c * half_x + s * half_y, c * half_y - s * half_x])
    start -= np.floor((centre - (REPEATS - 1) * SIDE / 2) / SIDE) * SIDE
    matrix = np.array([[c, s, start[0]], [-s, c, start[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(
        cv2.warpAffine(fabric, matrix, (x2 - x1, y2 - y1), flags=flags, borderMode=cv2.BORDER_WRAP), np.uint8
    )


def _coloured(garment: Pixels, stroke: Stroke, pose: Pose, colour: Rgb) -> None:
    points = pose.place(stroke.line)
    if stroke.filled:
        cv2.fillPoly(garment, [np.round(points * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)
    else:
        polyline(garment, points, colour, max(1, round(stroke.width * pose.scale)), closed=stroke.closed)


def _print(garment: Pixels, sitting: Sitting, clothes: Wardrobe) -> None:
    place = sitting.shape.print_at
    if clothes.print_mask is None or place is None:
        return
    x, y, half = place
    corners = np.array([[x - half, y - half], [x + half, y - half], [x - half, y + half], [x + half, y + half]])
    pixels = sitting.pose.place(corners)
    bounds = region(pixels, 1, sitting.width, sitting.height)
    if bounds is None:
        return
    x1, y1, x2, y2 = bounds
    side = clothes.print_mask.shape[0]
    source = np.array([[0, 0], [side, 0], [0, side]], np.float32)
    matrix = cv2.getAffineTransform(source, (pixels[:3] - (x1, y1)).astype(np.float32))
    mask = np.asarray(cv2.warpAffine(clothes.print_mask, matrix, (x2 - x1, y2 - y1)), np.uint8)
    ink: Pixels = np.empty((y2 - y1, x2 - x1, 3), np.uint8)
    ink[:] = clothes.print_colour
    blend(garment[y1:y2, x1:x2], ink, mask)


def seam_tones(sitting: Sitting) -> Mask:
    """Seams and creases as brightness factors, 128 neutral; lines thinner than a pixel fade instead."""
    seams: Mask = np.full((sitting.height, sitting.width), 128, np.uint8)
    placed = sitting.pose.place_all([stroke.line for stroke in sitting.shape.strokes])
    for stroke, points in zip(sitting.shape.strokes, placed, strict=True):
        thickness = stroke.width * sitting.pose.scale
        if stroke.cloth is not None and not stroke.filled:
            continue
        tone = -0.45 if stroke.cloth is not None else 0.85 * stroke.tone * min(1.0, 0.3 + thickness * 0.35)
        value = round(128 * (1 + tone))
        if stroke.filled and stroke.cloth is None:
            cv2.fillPoly(seams, [np.round(points * 16).astype(np.int32)], value, cv2.LINE_AA, 4)
        else:
            polyline(seams, points, value, max(1, round(thickness)), closed=stroke.closed or stroke.filled)
    return seams
