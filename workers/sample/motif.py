"""Motifs printed on chests: a word, a shape, or both, as a mask."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from workers.sample.products import pick

Mask = NDArray[np.uint8]

_SIDE = 160
_WORDS = ("NORTH", "COAST", "ROAM", "1987", "SUNDAY", "WILD", "LOOP 9", "EAST", "TIDE", "FOLK", "42", "ATLAS")


def motif(rng: np.random.Generator) -> Mask:
    """A square 0..255 mask of ink."""
    mask: Mask = np.zeros((_SIDE, _SIDE), np.uint8)
    kind = int(rng.integers(5))
    if kind != 1:
        _emblem(mask, kind, rng)
    if kind != 0:
        _word(mask, pick(rng, _WORDS), 132 if kind != 1 else 84, 26 if kind != 1 else 46)
    if kind == 1:
        _word(mask, pick(rng, _WORDS), 124, 24)
    return mask


def _word(mask: Mask, text: str, baseline: int, height: int) -> None:
    font = cv2.FONT_HERSHEY_DUPLEX
    (w, h), _ = cv2.getTextSize(text, font, 1.0, 2)
    scale = min(height / max(h, 1), (_SIDE - 14) / max(w, 1))
    (w, _), _ = cv2.getTextSize(text, font, scale, 2)
    cv2.putText(mask, text, ((_SIDE - w) // 2, baseline), font, scale, 255, max(2, round(scale * 2.2)), cv2.LINE_AA)


def _emblem(mask: Mask, kind: int, rng: np.random.Generator) -> None:
    centre = (_SIDE // 2, 62)
    if kind == 0:
        for radius in range(70, 8, -14):
            cv2.circle(mask, (_SIDE // 2, _SIDE // 2), radius, 255 if (radius // 14) % 2 else 0, -1, cv2.LINE_AA)
    elif kind == 2:
        cv2.circle(mask, centre, 46, 255, -1, cv2.LINE_AA)
        ridge = [(20, 100), (58, 50), (76, 72), (100, 38), (142, 100)]
        cv2.fillPoly(mask, [np.array(ridge, np.int32)], 0, cv2.LINE_AA)
        cv2.polylines(mask, [np.array(ridge, np.int32)], True, 255, 3, cv2.LINE_AA)
    elif kind == 3:
        for i in range(int(rng.integers(3, 6))):
            cv2.rectangle(mask, (16, 14 + 18 * i), (144, 24 + 18 * i), 255, -1, cv2.LINE_AA)
    else:
        count = int(rng.integers(5, 9))
        turns = np.linspace(0, 2 * np.pi, 2 * count, endpoint=False)
        radii = np.where(np.arange(2 * count) % 2 == 0, 54, 26)
        star = np.stack([centre[0] + radii * np.sin(turns), centre[1] - radii * np.cos(turns)], axis=1)
        cv2.fillPoly(mask, [np.round(star).astype(np.int32)], 255, cv2.LINE_AA)
