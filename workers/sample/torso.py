"""The body piece of a garment worn above the waist: its outline, neckline and hem."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.sample.outline import Cloth, Corner, Floats, Part, Stroke, line, rounded, symmetric


@dataclass(frozen=True, kw_only=True, slots=True)
class Torso:
    """Measures of a body piece in garment units; half widths."""

    neck: float
    depth: float
    shoulder: float
    slope: float
    armpit: float
    chest: float
    waist: float
    waist_y: float
    hem: float
    length: float
    sag: float
    neckline: str = "round"

    def outline(self, depth: float) -> Floats:
        """The body piece with a neckline of the given depth."""
        return symmetric([*self.neck_corners(depth), *self._side()])

    def neck_corners(self, depth: float) -> list[Corner]:
        """The neckline's right half, from the axis to the collar bone; "round", "v" or "square"."""
        if self.neckline == "square":
            return [(0.0, depth, 0.0), (self.neck * 0.86, depth, 0.12), (self.neck, 0.0, 0.04)]
        if self.neckline == "v":
            return [(0.0, depth, 0.03), (self.neck * 0.62, depth * 0.4, 0.4), (self.neck, 0.0, 0.04)]
        return [(0.0, depth, 0.5), (self.neck * 0.8, depth * 0.86, 0.5), (self.neck, 0.0, 0.04)]

    def _side(self) -> list[Corner]:
        return [
            (self.shoulder, self.slope, 0.1),
            *self.armhole(),
            (self.chest, self.armpit, 0.14),
            (self.waist, self.waist_y, 0.5),
            (self.hem, self.length, 0.05),
            (0.0, self.length + self.sag, 0.5),
        ]

    def armhole(self) -> list[Corner]:
        """The bare arm's cut; nothing where a sleeve is sewn in."""
        bare = self.slope < 0.05
        return [(self.shoulder * 0.94, self.armpit * 0.62, 0.45)] if bare else []

    def inside(self, depth: float) -> Floats:
        """What shows of the back's inside above the front's neckline."""
        front = self.neck_corners(depth)
        reach = (0.0, -0.015, 0.5)
        back = [reach, (self.neck * 0.7, -0.01, 0.4)]
        right = [*back, (self.neck, 0.0, 0.0), *reversed(front[:-1])]
        return symmetric(right)


def neckline(torso: Torso, back: bool, rng: np.random.Generator) -> tuple[float, list[Part], list[Stroke]]:
    """Depth of the visible neckline, the inside showing above it, and its binding."""
    depth = 0.035 if back else torso.depth
    parts = [] if back else [Part(outline=torso.inside(torso.depth), cloth=Cloth.INSIDE, volume=0.2, wrinkle=0.3)]
    if not back and rng.random() < 0.7:
        w, h = torso.neck * 0.24, min(0.07, torso.depth * 0.5)
        label = np.array([[-w, 0.012], [w, 0.012], [w, 0.012 + h], [-w, 0.012 + h]])
        parts.append(Part(outline=label, cloth=Cloth.LABEL, volume=0.0, wrinkle=0.2))
    grown = Torso(
        neck=torso.neck + 0.035,
        depth=depth + 0.04,
        shoulder=torso.shoulder,
        slope=torso.slope,
        armpit=torso.armpit,
        chest=torso.chest,
        waist=torso.waist,
        waist_y=torso.waist_y,
        hem=torso.hem,
        length=torso.length,
        sag=0.0,
        neckline="round" if back else torso.neckline,
    )
    bend = rounded(
        [(-x, y, r) for x, y, r in reversed(grown.neck_corners(depth + 0.04)[1:])] + grown.neck_corners(depth + 0.04)
    )
    keep = len(bend) // 5
    return depth, parts, [Stroke(line=bend[: 5 * keep - 3], tone=-0.22, width=0.007)]


def hem_seam(torso: Torso, rise: float, *, tone: float = -0.25) -> Stroke:
    """The stitching `rise` above the lower edge."""
    y = torso.length - rise
    return Stroke(line=line((-torso.hem * 0.985, y), (0, y + torso.sag), (torso.hem * 0.985, y)), tone=tone)


def rib_hem(torso: Torso, height: float) -> Part:
    """A knitted band at the lower edge."""
    top = torso.length - height
    return Part(
        outline=rounded(
            [
                (-torso.hem * 0.99, top, 0.1),
                (0, top + torso.sag, 0.5),
                (torso.hem * 0.99, top, 0.1),
                (torso.hem * 0.95, torso.length, 0.1),
                (0, torso.length + torso.sag, 0.5),
                (-torso.hem * 0.95, torso.length, 0.1),
            ]
        ),
        cloth=Cloth.TRIM,
        volume=0.2,
        tone=-0.03,
    )
