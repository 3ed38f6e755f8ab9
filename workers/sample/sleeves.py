"""Sleeves, each posed by itself, and the seams that join them to the body piece."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.sample.outline import Cloth, Floats, Part, Stroke, line, mirrored, rounded
from workers.sample.torso import Torso


@dataclass(frozen=True, kw_only=True, slots=True)
class Sleeves:
    """Parts and strokes of both sleeves."""

    parts: list[Part]
    strokes: list[Stroke]


def both_sleeves(
    torso: Torso, rng: np.random.Generator, kind: str, *, length: float, cuff: float, rib: bool
) -> Sleeves:
    """Both sleeves, each posed by itself as cloth laid by hand is."""
    short = kind == "short-sleeve"
    spread = float(rng.uniform(0.55, 0.95) if short else rng.uniform(0.18, 0.6))
    width = float(rng.uniform(1.0, 1.12))
    sides = []
    for _ in range(2):
        bend = float(rng.normal(0, 0.05) if short else rng.uniform(-0.5, 0.12))
        turn = spread + float(rng.normal(0, 0.07))
        sides.append(sleeve(torso, length=length, cuff=cuff, spread=turn, bend=bend, width=width))
    parts = _pair(sides[0], sides[1], spread * 0.8)
    strokes: list[Stroke] = []
    for outline, flip in ((sides[0], False), (sides[1], True)):
        strip, seam = _end(outline, 0.16 if rib else 0.1)
        strip, seam = (mirrored(strip), mirrored(seam)) if flip else (strip, seam)
        if rib:
            parts.append(Part(outline=strip, cloth=Cloth.TRIM, volume=0.3, tone=-0.04))
        strokes.append(Stroke(line=seam, width=0.008, tone=-0.25))
    return Sleeves(parts=parts, strokes=strokes)


def sleeve(torso: Torso, *, length: float, cuff: float, spread: float, bend: float, width: float = 1.0) -> Floats:
    """The right sleeve: `spread` from hanging straight down, `bend` more at the elbow, radians."""
    top = np.array([torso.shoulder * 0.97, torso.slope * 0.85])
    pit = np.array([torso.chest * 0.99, torso.armpit])
    start = (top + pit) / 2
    half = float(np.hypot(*(top - pit))) / 2 * width
    upper = np.array([np.sin(spread), np.cos(spread)])
    lower = np.array([np.sin(spread + bend), np.cos(spread + bend)])
    normal_up, normal_low = np.array([upper[1], -upper[0]]), np.array([lower[1], -lower[0]])
    elbow = start + upper * length * 0.5
    wrist = elbow + lower * length * 0.5
    middle = half * 0.42 + cuff * 0.58
    corners = [
        (top, 0.15),
        (start + normal_up * half * 0.98 + upper * length * 0.16, 0.5),
        (elbow + normal_up * middle, 0.45),
        (wrist + normal_low * cuff, 0.05),
        (wrist - normal_low * cuff, 0.05),
        (elbow - normal_up * middle, 0.45),
        (pit + np.array([0.0, 0.01]), 0.12),
        (np.array([torso.chest * 0.5, torso.armpit * 0.7]), 0.1),
    ]
    return rounded([(float(p[0]), float(p[1]), r) for p, r in corners])


def _end(outline: Floats, share: float) -> tuple[Floats, Floats]:
    """The strip at a sleeve's end, and the seam above it; corners 3 and 4 of the sleeve are its end."""
    per = len(outline) // 8
    outer, inner = outline[3 * per + 3], outline[4 * per + 3]
    elbow_out, elbow_in = outline[2 * per + 3], outline[5 * per + 3]
    up_out, up_in = outer + (elbow_out - outer) * share, inner + (elbow_in - inner) * share
    return np.stack([up_out, outer, inner, up_in]), np.stack([up_out, up_in])


def _pair(outline: Floats, other: Floats, angle: float, *, tone: float = -0.04, volume: float = 0.6) -> list[Part]:
    return [
        Part(outline=outline, angle=-angle, tone=tone, volume=volume),
        Part(outline=mirrored(other), angle=angle, tone=tone, volume=volume),
    ]


def armhole_seams(torso: Torso) -> list[Stroke]:
    """Seams where sleeves join the body piece."""
    right = line(
        (torso.shoulder * 0.97, torso.slope * 0.9),
        (torso.shoulder * 0.9, torso.armpit * 0.6),
        (torso.chest * 0.98, torso.armpit),
    )
    return [Stroke(line=right, tone=-0.3), Stroke(line=mirrored(right), tone=-0.3)]
