"""Where the network looks: Grad-CAM of the category it chose (Selvaraju et al. 2017), laid over the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.model_card import Preprocessing
from training.datasets.record import Record
from training.report.evidence import NO_PREDICTIONS, NOT_EVALUATED, Absent, Measurement, Shown
from training.report.mistakes import wrong_by_confidence
from training.report.pictures import Picture, Pictures, embedded

if TYPE_CHECKING:
    from training.model import Student

_RIGHT: Final = 10
_WRONG: Final = 8
_VEIL: Final = 0.72
"""How much of the heat colour covers the picture where the heat is highest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """An image, and where the network looked to name it."""

    picture: Picture
    overlay: Picture
    name: str
    true: str
    predicted: str
    confidence: float

    @property
    def right(self) -> bool:
        """Whether the name is the true one."""
        return self.true == self.predicted


@dataclass(frozen=True, kw_only=True, slots=True)
class Attention:
    """The section."""

    data: str
    right: tuple[Look, ...]
    wrong: tuple[Look, ...]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Network:
    """What was evaluated, ready to be asked for gradients."""

    student: Student
    preprocessing: Preprocessing
    box_margin: float | None = None
    """Images were cut to their boxes, widened by this share of the box, before they were measured; None: they were not."""


def attention(measurement: Measurement | None, pictures: Pictures, network: Network | Absent) -> Attention | Absent:
    """Overlays for a right answer of each of the first classes, and for the worst mistakes."""
    if isinstance(network, Absent):
        return network
    if measurement is None:
        return NOT_EVALUATED
    if measurement.shown is None:
        return NO_PREDICTIONS
    shown = measurement.shown
    right = _looks(shown, _right_of_each_class(shown), measurement.labels, pictures, network)
    wrong = _looks(shown, wrong_by_confidence(shown)[:_WRONG], measurement.labels, pictures, network)
    if not right and not wrong:
        return Absent(reason=f"None of the images of {measurement.data} with a known category is at hand.")
    return Attention(data=measurement.data, right=right, wrong=wrong)


def grad_cam(student: Student, images: NDArray[np.uint8], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """(N, G, G) heat in 0..1 of (N, S, S, 3) inputs: what speaks for the most probable category, by position.

    The last feature map's channels are weighted by the mean gradient of the category's logit and summed; what speaks
    against the category is cut off, and every image is scaled by its own highest value. 0 everywhere: nothing speaks for it.
    """
    import torch

    from training.model import normalise

    inputs = normalise(torch.from_numpy(images), preprocessing.mean, preprocessing.std)
    with torch.enable_grad():
        output = student.eval()(inputs.requires_grad_())
        chosen = output.logits.max(dim=1).values.sum()
        (gradient,) = torch.autograd.grad(chosen, output.feature_map)
    weights = gradient.mean((2, 3), keepdim=True)
    heat = torch.relu((weights * output.feature_map).sum(1)).detach()
    heat = heat / heat.amax((1, 2), keepdim=True).clamp_min(torch.finfo(heat.dtype).tiny)
    found: NDArray[np.float32] = heat.float().numpy()
    return found


def laid_over(pixels: NDArray[np.uint8], heat: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(H, W, 3) RGB in grey, covered by the heat's colours as far as it is hot."""
    height, width = pixels.shape[:2]
    smooth = np.clip(cv2.resize(heat, (width, height), interpolation=cv2.INTER_CUBIC), 0.0, 1.0)
    grey = np.repeat(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2).astype(np.float32)
    colours = cv2.applyColorMap(np.round(smooth * 255).astype(np.uint8), cv2.COLORMAP_INFERNO)[..., ::-1]
    veil = _VEIL * smooth[..., None]
    return np.asarray(np.round(grey * (1 - veil) + colours * veil), dtype=np.uint8)


def _right_of_each_class(shown: Shown) -> tuple[int, ...]:
    """A right answer of middling confidence of each class: the surest ones look best and say least."""
    right = np.flatnonzero((shown.categories >= 0) & (shown.predicted == shown.categories))
    chosen = []
    for category in np.unique(shown.categories[right])[:_RIGHT]:
        own = right[shown.categories[right] == category]
        order = own[np.argsort(shown.confidence[own], kind="stable")]
        chosen.append(int(order[len(order) // 2]))
    return tuple(chosen)


def _looks(
    shown: Shown, indices: tuple[int, ...], labels: tuple[str, ...], pictures: Pictures, network: Network
) -> tuple[Look, ...]:
    looks = []
    for index in indices:
        source, name = shown.sources[index], shown.names[index]
        record, pixels = pictures.record(source, name), pictures.pixels(source, name)
        if record is None or pixels is None:
            continue
        image, pixels = _as_seen(record, pixels, network)
        heat = grad_cam(network.student, image, network.preprocessing)[0]
        predicted = labels[shown.predicted[index]]
        looks.append(
            Look(
                picture=embedded(pixels, alt=f"{name}, as it is"),
                overlay=embedded(laid_over(pixels, heat), alt=f"{name}, what speaks for {predicted}"),
                name=name,
                true=labels[shown.categories[index]],
                predicted=predicted,
                confidence=float(shown.confidence[index]),
            )
        )
    return tuple(looks)


def _as_seen(
    record: Record, pixels: NDArray[np.uint8], network: Network
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """(1, S, S, 3) what the network was given, and the part of the picture that it shows."""
    from training.augment import crop_to_box
    from training.views import clean_inputs

    image = clean_inputs([record], network.preprocessing.input_size, box_margin=network.box_margin)
    if network.box_margin is None or record.box is None:
        return image, pixels
    return image, crop_to_box(pixels, record.box, network.box_margin)[0]
