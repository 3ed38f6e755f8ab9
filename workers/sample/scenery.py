"""What is seen around a garment: a crop of a backdrop, things at the edge, a hanger."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from workers.sample import backdrops
from workers.sample.assortment import COLOURS, Rgb
from workers.sample.brush import Pixels, polyline
from workers.sample.fabric import shaded
from workers.sample.outline import line
from workers.sample.pose import Sitting
from workers.sample.products import pick
from workers.sample.shading import filled


def surroundings(sitting: Sitting, rng: np.random.Generator) -> Pixels:
    """The scene without the garment: a wall behind what hangs, a floor under what lies, paper behind some details."""
    kinds: Sequence[str] = backdrops.WALLS if sitting.hung else backdrops.FLOORS
    if sitting.view == "detail" and rng.random() < 0.3:
        kinds = backdrops.PAPER
    scene = _crop(pick(rng, kinds), sitting.width, sitting.height, rng)
    if sitting.hung and rng.random() < 0.3:
        edge = round(sitting.height * float(rng.uniform(0.84, 0.95)))
        floor = _crop(pick(rng, ("wood", "laminate", "tiles")), sitting.width, sitting.height, rng)
        scene[edge:] = floor[edge:]
        board = max(3, sitting.height // 40)
        scene[edge - board : edge] = (232, 229, 222)
        scene[edge : edge + 2] = (84, 74, 66)
    elif not sitting.hung and rng.random() < 0.3:
        _clutter(scene, sitting, rng)
    return scene


def _crop(kind: str, width: int, height: int, rng: np.random.Generator) -> Pixels:
    """A window of a backdrop at the picture's size, sometimes mirrored."""
    picture = backdrops.backdrop(kind, int(rng.integers(backdrops.VARIANTS)))
    most = min(backdrops.WIDTH / width, backdrops.HEIGHT / height)
    zoom = most * float(rng.uniform(0.6, 1.0))
    if most > 1 and rng.random() < 0.6:
        zoom = 1.0
    w, h = round(width * zoom), round(height * zoom)
    x, y = int(rng.integers(0, backdrops.WIDTH - w + 1)), int(rng.integers(0, backdrops.HEIGHT - h + 1))
    part = picture[y : y + h, x : x + w]
    if (w, h) != (width, height):
        part = np.asarray(cv2.resize(part, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < 0.5:
        part = np.asarray(cv2.flip(part, 1), np.uint8)
    return np.asarray(part, np.uint8).copy()


def _clutter(scene: Pixels, sitting: Sitting, rng: np.random.Generator) -> None:
    """Something else at the picture's edge: a folded cloth, a book, a box."""
    width, height = sitting.width, sitting.height
    x = float(rng.choice((-0.06, 1.06))) * width
    y = float(rng.uniform(0.0, 1.0)) * height
    size = (float(rng.uniform(0.12, 0.3)) * width, float(rng.uniform(0.12, 0.4)) * height)
    corners = cv2.boxPoints(((x, y), size, float(rng.uniform(-40, 40)))).astype(np.float64)
    colour = shaded(pick(rng, tuple(COLOURS.values())), float(rng.uniform(0.8, 1.1)))
    shadow = filled(width, height, corners + np.array([3.0, 5.0]))
    shadow = np.asarray(cv2.blur(cv2.blur(shadow, (9, 9)), (9, 9)), np.uint8)
    scene[:] = cv2.multiply(scene, cv2.cvtColor(255 - shadow // 3, cv2.COLOR_GRAY2BGR), scale=1 / 255)
    cv2.fillPoly(scene, [np.round(corners * 16).astype(np.int32)], colour, cv2.LINE_AA, 4)
    inner = corners.mean(axis=0) + (corners - corners.mean(axis=0)) * 0.82
    cv2.polylines(scene, [np.round(inner * 16).astype(np.int32)], True, shaded(colour, 0.86), 2, cv2.LINE_AA, 4)


def draw_hanger(scene: Pixels, sitting: Sitting, rng: np.random.Generator) -> None:
    """Hook, neck and bar, behind the garment."""
    pose, reach = sitting.pose, sitting.shape.hanger_half_width
    colour: Rgb = pick(rng, ((34, 34, 36), (158, 112, 70), (226, 224, 218), (52, 52, 56), (60, 110, 170)))
    bar = max(2, round(pose.scale * 0.04))
    top = -0.1 if sitting.shape.hanger == "clips" else -0.04
    if sitting.shape.hanger == "clips":
        polyline(scene, pose.place(line((-reach, top), (reach, top))), colour, bar)
    else:
        polyline(
            scene,
            pose.place(line((-reach, 0.08), (-reach * 0.4, 0.0), (0, top - 0.03), (reach * 0.4, 0.0), (reach, 0.08))),
            colour,
            bar,
        )
    hook = line(
        (0, top - 0.02), (0, top - 0.14), (0.07, top - 0.17), (0.07, top - 0.26), (0.0, top - 0.28), (-0.05, top - 0.24)
    )
    polyline(scene, pose.place(hook), (120, 120, 122), max(2, round(pose.scale * 0.016)))
    rail = pose.place(np.array([[0.02, top - 0.27]]))[0]
    if rng.random() < 0.5 and rail[1] > 2:
        y = float(rail[1])
        polyline(scene, np.array([[-5.0, y], [sitting.width + 5.0, y]]), (92, 90, 90), max(3, round(pose.scale * 0.05)))
        polyline(
            scene,
            np.array([[-5.0, y - 1], [sitting.width + 5.0, y - 1]]),
            (170, 168, 166),
            max(1, round(pose.scale * 0.012)),
        )


def draw_clips(scene: Pixels, sitting: Sitting) -> None:
    """The hanger's clips, over the waistband."""
    for side in (-1.0, 1.0):
        x = side * sitting.shape.hanger_half_width * 0.9
        clip = np.array([[x - 0.035, -0.13], [x + 0.035, -0.13], [x + 0.035, 0.05], [x - 0.035, 0.05]])
        corners = np.round(sitting.pose.place(clip) * 16).astype(np.int32)
        cv2.fillPoly(scene, [corners], (44, 44, 46), cv2.LINE_AA, 4)
        polyline(scene, sitting.pose.place(clip), (110, 110, 112), 1, closed=True)
