"""One augmented view of an image: a random crop, turn and colour change in a single warp and a single colour matrix.

The whole image squashed to a square is the view that serving makes (`workers.imaging.to_input`), so crops are shares of
the image's own width and height, and the aspect ratio only varies around that.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from training.config import ViewConfig

Box = tuple[float, float, float, float]
"""x1, y1, x2, y2 in shares of width and height."""
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float64)
"""ITU-R BT.601 weights of red, green and blue."""
_TO_YIQ = np.array([[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]], dtype=np.float64)
"""NTSC: rotating the I-Q plane turns the hue."""
_FROM_YIQ = np.linalg.inv(_TO_YIQ)
_BLUR_SIGMA_PX = (0.4, 1.4)


def augment(pixels: NDArray[np.uint8], config: ViewConfig, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A random (T, T, 3) uint8 RGB view of (H, W, 3) uint8 RGB pixels, T being `config.teacher_size`."""
    return augment_located(pixels, None, config, rng, size=config.teacher_size).pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A view and where the garment is in it."""

    pixels: NDArray[np.uint8]
    """(T, T, 3) RGB."""
    box: Box | None
    visible: float
    """Share of the box's area that lies within the view; 0 without a box."""


def augment_located(
    pixels: NDArray[np.uint8], box: Box | None, config: ViewConfig, rng: np.random.Generator, *, size: int
) -> View:
    """A random view of (H, W, 3) uint8 RGB pixels at `size` pixels a side, and the box that went the same way.

    Args:
        pixels: The image.
        box: In shares of the image.
        config: How far views go.
        rng: Decides.
        size: T, of the view.
    """
    height, width = pixels.shape[:2]
    matrix = _view_to_image(width, height, size, config, rng)
    view = cv2.warpAffine(
        pixels,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    view = cv2.transform(view, _colour_matrix(config, rng))
    if rng.random() < config.blur:
        view = cv2.GaussianBlur(view, (0, 0), rng.uniform(*_BLUR_SIGMA_PX))
    seen, visible = (None, 0.0) if box is None else _box_in_view(box, matrix, width, height, size)
    return View(pixels=cast(NDArray[np.uint8], view), box=seen, visible=visible)


def crop_to_box(pixels: NDArray[np.uint8], box: Box, margin: float) -> tuple[NDArray[np.uint8], Box]:
    """The image cut to its box, widened on each side by `margin` of the box as far as the image goes, and the box in it.

    A box that is less than a pixel wide or high leaves the image as it is.
    """
    height, width = pixels.shape[:2]
    scale = np.array([width, height, width, height], dtype=np.float64)
    corners = np.array(box) * scale
    widen = margin * (corners[2:] - corners[:2])
    first = np.maximum(np.floor(corners[:2] - widen), 0).astype(int)
    last = np.minimum(np.ceil(corners[2:] + widen), scale[:2]).astype(int)
    if (last - first).min() < 1:
        return pixels, box
    within = (corners - np.tile(first, 2)) / np.tile(last - first, 2)
    x1, y1, x2, y2 = (float(v) for v in np.clip(within, 0.0, 1.0))
    return pixels[first[1] : last[1], first[0] : last[0]], (x1, y1, x2, y2)


def shrink(view: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    """The square view at `size` pixels a side, averaged over areas."""
    if view.shape[0] == size:
        return view
    return cast(NDArray[np.uint8], cv2.resize(view, (size, size), interpolation=cv2.INTER_AREA))


def _box_in_view(box: Box, matrix: NDArray[np.float64], width: int, height: int, size: int) -> tuple[Box, float]:
    """The upright rectangle around the box in the view, in shares of it and cut at its border; and the share that is seen.

    Pixel centres lie at whole numbers, so an image's border lies at -0.5.
    """
    x1, y1, x2, y2 = box
    corners = np.array([[x1, y1], [x2, y1], [x1, y2], [x2, y2]]) * [width, height] - 0.5
    seen = (np.linalg.solve(matrix[:, :2], (corners - matrix[:, 2]).T).T + 0.5) / size
    whole = np.concatenate([seen.min(0), seen.max(0)])
    cut = np.clip(whole, 0.0, 1.0)
    visible = _area(cut) / max(_area(whole), 1e-12)
    left, top, right, bottom = (float(v) for v in cut)
    return (left, top, right, bottom), float(visible)


def _area(box: NDArray[np.float64]) -> float:
    return float((box[2] - box[0]) * (box[3] - box[1]))


def _view_to_image(
    width: int, height: int, size: int, config: ViewConfig, rng: np.random.Generator
) -> NDArray[np.float64]:
    """The 2 x 3 matrix from a view's pixel to the image's pixel it shows."""
    area = rng.uniform(config.smallest_area, 1.0)
    stretch = math.exp(rng.uniform(-config.aspect, config.aspect) / 2)
    crop_x = min(1.0, math.sqrt(area) * stretch)
    crop_y = min(1.0, math.sqrt(area) / stretch)
    centre = np.array(
        [
            width * (crop_x / 2 + rng.random() * (1 - crop_x)),
            height * (crop_y / 2 + rng.random() * (1 - crop_y)),
        ]
    )
    angle = math.radians(rng.uniform(-config.rotation_deg, config.rotation_deg))
    if rng.random() < config.quarter_turns:
        angle += math.pi / 2 * int(rng.choice([-1, 1]))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    scale = np.diag([mirror * crop_x * width, crop_y * height]) / size
    linear = turn @ scale
    offset = centre - linear @ np.full(2, (size - 1) / 2) - 0.5
    return np.hstack([linear, offset[:, None]])


def _colour_matrix(config: ViewConfig, rng: np.random.Generator) -> NDArray[np.float64]:
    """The 3 x 4 matrix that changes hue, saturation, contrast (around mid-grey) and brightness at once."""
    brightness, contrast, saturation = 1 + rng.uniform(-config.colour, config.colour, 3)
    turn = 2 * math.pi * rng.uniform(-config.hue, config.hue)
    hue = np.eye(3)
    hue[1:, 1:] = [[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]]
    grey = np.ones((3, 1)) @ _LUMA[None, :]
    matrix = (saturation * np.eye(3) + (1 - saturation) * grey) @ _FROM_YIQ @ hue @ _TO_YIQ
    matrix *= contrast * brightness
    offset = np.full((3, 1), 127.5 * (1 - contrast) * brightness)
    return np.hstack([matrix, offset])
