"""Takes the picture of a posed garment: backdrop, shadow, fabric, shading, seams, light and sensor noise."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.sample.brush import Mask, Pixels, blend
from workers.sample.camera import developed
from workers.sample.illumination import cast_shadow, room_light
from workers.sample.pose import Sitting
from workers.sample.products import stream
from workers.sample.scenery import draw_clips, draw_hanger, surroundings
from workers.sample.sewing import flat_colours, seam_tones
from workers.sample.shading import filled, shade
from workers.sample.wardrobe import Wardrobe, wardrobe

__all__ = ["photograph", "silhouette", "wardrobe"]

Field = NDArray[np.float32]

_WRINKLE = {"leather": 0.075, "denim": 0.06, "knitted": 0.04}


def photograph(sitting: Sitting, clothes: Wardrobe, seed: int, number: int) -> Pixels:
    """The picture of view `number`, (height, width, 3) uint8 RGB."""
    product = sitting.product
    rng = stream(seed, product.index, 50 + number)
    width, height = sitting.width, sitting.height
    mask = silhouette(sitting)
    half_w, half_h = (width + 1) // 2, (height + 1) // 2
    wrinkle = _WRINKLE.get(product.pattern, 0.06) * float(rng.uniform(0.5, 1.35))
    light = room_light(half_w, half_h, rng)
    relief = shade(sitting, wrinkle, rng)
    scene = surroundings(sitting, rng)
    if sitting.hung:
        draw_hanger(scene, sitting, rng)
    scene = _factored(
        scene, light * float(rng.uniform(0.8, 1.03)) * cast_shadow(mask, sitting.hung, half_w, half_h, rng), None
    )
    garment = flat_colours(sitting, clothes)
    x1, y1, x2, y2 = sitting.box
    seams = seam_tones(sitting)
    lit = _factored(garment, relief * light, seams)
    blend(scene[y1:y2, x1:x2], lit[y1:y2, x1:x2], mask[y1:y2, x1:x2])
    if sitting.hung and sitting.shape.hanger == "clips":
        draw_clips(scene, sitting)
    return developed(scene, rng)


def silhouette(sitting: Sitting) -> Mask:
    """Where the garment is, 0..255 with smooth edges."""
    mask: Mask = np.zeros((sitting.height, sitting.width), np.uint8)
    for outline in sitting.placed:
        filled(sitting.width, sitting.height, outline, mask)
    return mask


def _factored(picture: Pixels, factor: Field, seams: Mask | None) -> Pixels:
    """The picture times a half-resolution brightness field, and times the seams (128 is neutral)."""
    height, width = picture.shape[:2]
    coarse = np.minimum(factor * 128, 255).astype(np.uint8)
    fine = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    if seams is not None:
        fine = cv2.multiply(fine, seams, scale=1 / 128)
    return np.asarray(cv2.multiply(picture, cv2.cvtColor(fine, cv2.COLOR_GRAY2BGR), scale=1 / 128), np.uint8)
