"""One shoe seen from its right side, the toe pointing right."""

from __future__ import annotations

import numpy as np

from workers.sample.outline import Cloth, Floats, Part, Shape, Stroke, line, rounded


def from_the_side(cut: str, rng: np.random.Generator) -> Shape:
    """A sneaker, boot, pump, slide or loafer."""
    build = {"sneakers": _sneaker, "boots": _boot, "heels": _heel, "sandals": _slide, "loafers": _loafer}[cut]
    return build(rng)


def _sneaker(rng: np.random.Generator) -> Shape:
    high = float(rng.uniform(0, 0.18)) if rng.random() < 0.4 else 0.0
    sole = _sneaker_sole(float(rng.uniform(0.07, 0.12)))
    toe = rounded([(0.38, 0.0, 0.1), (0.4, -0.16, 0.3), (0.62, -0.1, 0.5), (0.65, 0.0, 0.1)])
    opening = rounded(
        [(-0.56, -0.41 - high, 0.2), (-0.4, -0.33 - high, 0.5), (-0.24, -0.39 - high, 0.2), (-0.4, -0.43 - high, 0.5)]
    )
    marks = _side_marks(int(rng.integers(3)))
    heel = rounded([(-0.62, -0.02, 0.1), (-0.64, -0.26, 0.3), (-0.5, -0.22, 0.3), (-0.46, -0.02, 0.1)])
    return Shape(
        parts=(
            Part(outline=_sneaker_upper(high), volume=0.9, wrinkle=0.6),
            Part(outline=opening, cloth=Cloth.INSIDE, volume=0.2),
            Part(outline=toe, cloth=Cloth.TRIM if rng.random() < 0.3 else Cloth.MAIN, volume=0.6, lift=0.2),
            Part(outline=heel, cloth=Cloth.TRIM if rng.random() < 0.5 else Cloth.MAIN, volume=0.4, lift=0.2),
            Part(outline=sole, cloth=Cloth.SOLE, volume=0.5, wrinkle=0.2),
        ),
        strokes=(
            *marks,
            *_laces(high),
            Stroke(line=line((-0.64, 0.03), (0.0, 0.05), (0.68, 0.03)), tone=-0.15),
        ),
    )


def _sneaker_upper(high: float) -> Floats:
    """`high` is how far it reaches above a low shoe's ankle."""
    return rounded(
        [
            (-0.6, 0.0, 0.1),
            (-0.64, -0.2, 0.4),
            (-0.58, -0.42 - high, 0.2),
            (-0.4, -0.36 - high, 0.4),
            (-0.22, -0.4 - high, 0.2),
            (0.1, -0.26, 0.4),
            (0.4, -0.17, 0.5),
            (0.64, -0.1, 0.5),
            (0.64, 0.02, 0.2),
        ]
    )


def _sneaker_sole(height: float) -> Floats:
    return rounded(
        [
            (-0.66, -0.03, 0.2),
            (0.0, 0.0, 0.5),
            (0.68, -0.03, 0.3),
            (0.72, height * 0.4, 0.4),
            (0.6, height, 0.2),
            (-0.6, height, 0.2),
            (-0.68, height * 0.5, 0.3),
        ]
    )


def _laces(high: float) -> list[Stroke]:
    return [
        Stroke(
            line=line(
                (-0.2 + 0.09 * i, -0.37 - high * (1 - i / 4) + 0.045 * i),
                (-0.12 + 0.09 * i, -0.26 - high * (1 - i / 4) + 0.035 * i),
            ),
            width=0.028,
            cloth=Cloth.LABEL,
        )
        for i in range(4)
    ]


def _side_marks(mark: int) -> list[Stroke]:
    """A swoosh (0), three bars (1) or nothing (2)."""
    if mark == 2:
        return []
    swoosh = line((-0.36, -0.1), (-0.1, -0.06), (0.14, -0.22)) if mark == 0 else line((-0.1, -0.03), (-0.02, -0.28))
    return [
        Stroke(line=swoosh + np.array([dx, 0.0]), width=0.035, cloth=Cloth.TRIM)
        for dx in ((0.0,) if mark == 0 else (-0.08, 0.0, 0.08))
    ]


def _boot(rng: np.random.Generator) -> Shape:
    h = float(rng.uniform(0.62, 0.85)) if rng.random() < 0.7 else float(rng.uniform(1.0, 1.3))
    sole = _boot_sole(float(rng.uniform(0.05, 0.16)))
    upper = rounded(
        [
            (-0.54, 0.0, 0.1),
            (-0.55, -0.3, 0.5),
            (-0.56, -h, 0.06),
            (-0.12, -h - 0.02, 0.06),
            (-0.1, -0.42, 0.4),
            (0.2, -0.27, 0.5),
            (0.56, -0.2, 0.5),
            (0.6, 0.0, 0.2),
        ]
    )
    inside = rounded([(-0.55, -h, 0.3), (-0.34, -h + 0.03, 0.5), (-0.13, -h - 0.02, 0.3), (-0.34, -h - 0.05, 0.5)])
    welt = Stroke(line=line((-0.54, -0.04), (0.0, -0.03), (0.6, -0.05)), tone=-0.3, width=0.012)
    fastening = _boot_fastening(h, laced=rng.random() < 0.6)
    return Shape(
        parts=(
            Part(outline=inside, cloth=Cloth.INSIDE, volume=0.2),
            Part(outline=upper, volume=1.0),
            Part(outline=sole, cloth=Cloth.DARK if rng.random() < 0.7 else Cloth.SOLE, volume=0.3, wrinkle=0.2),
        ),
        strokes=(welt, *fastening),
    )


def _boot_sole(heel: float) -> Floats:
    return rounded(
        [
            (-0.56, -0.02, 0.1),
            (0.62, -0.02, 0.2),
            (0.63, 0.05, 0.3),
            (0.0, 0.06, 0.3),
            (-0.18, 0.06, 0.1),
            (-0.2, 0.06 + heel, 0.05),
            (-0.54, 0.06 + heel, 0.05),
        ]
    )


def _boot_fastening(h: float, *, laced: bool) -> list[Stroke]:
    """Laces up the front, or a zip along the side, of a shaft of height `h`."""
    if not laced:
        return [Stroke(line=line((-0.3, -h + 0.02), (-0.28, -0.3), (-0.27, -0.05)), width=0.03, tone=-0.3)]
    return [
        Stroke(
            line=line(
                (-0.15 + 0.02 * i, -h * 0.92 + i * (h - 0.42) / 5),
                (-0.02 + 0.045 * i, -h * 0.85 + i * (h - 0.42) / 5),
            ),
            width=0.026,
            cloth=Cloth.DARK,
        )
        for i in range(6)
    ]


def _heel(rng: np.random.Generator) -> Shape:
    h = float(rng.uniform(0.26, 0.5))
    stiletto = _stiletto(h, float(rng.uniform(0.03, 0.13)))
    inside = rounded(
        [
            (-0.49, -h - 0.27, 0.1),
            (-0.34, -h - 0.25, 0.4),
            (-0.1, -h * 0.8, 0.5),
            (0.3, -0.18, 0.2),
            (0.15, -0.15, 0.3),
            (-0.22, -h + 0.0, 0.5),
        ]
    )
    sole = rounded([(0.08, -0.08, 0.2), (0.35, 0.02, 0.4), (0.69, -0.0, 0.2), (0.6, 0.04, 0.3), (0.3, 0.045, 0.4)])
    return Shape(
        parts=(
            Part(outline=inside, cloth=Cloth.INSIDE, volume=0.3),
            Part(outline=stiletto, volume=0.8, tone=-0.05),
            Part(outline=_pump(h), volume=0.9, wrinkle=0.5),
            Part(outline=sole, cloth=Cloth.DARK, volume=0.2),
        )
    )


def _pump(h: float) -> Floats:
    """The upper of a shoe whose heel is `h` high."""
    return rounded(
        [
            (-0.5, -h - 0.28, 0.15),
            (-0.36, -h - 0.2, 0.4),
            (-0.2, -h + 0.02, 0.5),
            (0.2, -0.16, 0.4),
            (0.34, -0.17, 0.3),
            (0.6, -0.1, 0.5),
            (0.7, 0.0, 0.3),
            (0.35, 0.02, 0.4),
            (0.1, -0.06, 0.5),
            (-0.2, -h * 0.85, 0.5),
            (-0.52, -h + 0.02, 0.15),
        ]
    )


def _stiletto(h: float, thick: float) -> Floats:
    return rounded(
        [
            (-0.52, -h - 0.02, 0.1),
            (-0.26, -h * 0.86, 0.2),
            (-0.42 + thick, -h * 0.4, 0.5),
            (-0.44 + thick, 0.03, 0.05),
            (-0.47, 0.03, 0.05),
            (-0.5, -h * 0.5, 0.3),
        ]
    )


def _slide(rng: np.random.Generator) -> Shape:
    thick = float(rng.uniform(0.1, 0.18))
    sole = rounded(
        [
            (-0.62, -0.06, 0.3),
            (0.0, -0.02, 0.5),
            (0.62, -0.06, 0.3),
            (0.68, 0.02, 0.4),
            (0.6, thick - 0.02, 0.2),
            (-0.56, thick, 0.2),
            (-0.66, 0.03, 0.4),
        ]
    )
    band = rounded([(-0.05, 0.0, 0.1), (0.04, -0.24, 0.4), (0.25, -0.27, 0.5), (0.46, -0.12, 0.4), (0.5, 0.0, 0.1)])
    inner = rounded([(-0.05, -0.02, 0.1), (0.05, -0.23, 0.4), (0.16, -0.25, 0.3), (0.0, -0.14, 0.4)])
    return Shape(
        parts=(
            Part(outline=sole, cloth=Cloth.SOLE if rng.random() < 0.5 else Cloth.DARK, volume=0.5),
            Part(outline=inner, cloth=Cloth.INSIDE, volume=0.2),
            Part(outline=band, lift=0.5, volume=0.9),
        ),
        strokes=(Stroke(line=line((0.02, -0.2), (0.25, -0.22), (0.46, -0.1)), tone=-0.2),),
    )


def _loafer(rng: np.random.Generator) -> Shape:
    upper = rounded(
        [
            (-0.62, 0.0, 0.1),
            (-0.64, -0.2, 0.4),
            (-0.57, -0.33, 0.3),
            (-0.3, -0.21, 0.5),
            (0.02, -0.32, 0.25),
            (0.3, -0.22, 0.5),
            (0.62, -0.14, 0.5),
            (0.66, 0.0, 0.2),
        ]
    )
    inside = rounded([(-0.56, -0.32, 0.2), (-0.3, -0.19, 0.5), (0.0, -0.31, 0.2), (-0.25, -0.32, 0.5)])
    sole = rounded(
        [
            (-0.64, -0.02, 0.1),
            (0.67, -0.02, 0.2),
            (0.66, 0.035, 0.3),
            (-0.2, 0.04, 0.1),
            (-0.24, 0.08, 0.1),
            (-0.62, 0.08, 0.1),
        ]
    )
    strokes = [Stroke(line=line((0.0, -0.26), (0.25, -0.14), (0.5, -0.13)), tone=-0.3, width=0.01)]
    if rng.random() < 0.6:
        strokes.append(Stroke(line=line((-0.04, -0.12), (0.12, -0.28)), width=0.05, cloth=Cloth.TRIM))
    return Shape(
        parts=(
            Part(outline=inside, cloth=Cloth.INSIDE, volume=0.3),
            Part(outline=upper, volume=0.95, wrinkle=0.5),
            Part(outline=sole, cloth=Cloth.DARK, volume=0.2),
        ),
        strokes=tuple(strokes),
    )
