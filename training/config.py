"""Every setting of a training run: frozen, documented, saved with the run as `config.json`."""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, get_type_hints

from pydantic import TypeAdapter, ValidationError

from workers.errors import ConfigurationError

SourceName = Literal["clothing", "deepfashion", "inshop", "seed", "folder", "manifest", "drawn"]
"""The readers of `training.datasets.sources`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DataConfig:
    """What is trained and measured on."""

    source: SourceName = "clothing"
    """The reader; `clothing` is the clothing photographs with drawings in the mix. See docs/datasets.md."""
    folder: str | None = None
    """Where the data set lies: its folder or, for `seed` and `manifest`, its table. None: `CLOTHING_DATA` for the clothing
    photographs; drawings need none, the others do."""
    images_folder: str | None = None
    """What image paths in the table of `seed` and `manifest` start from; None: the table's folder."""
    labels: Literal["own", "taxonomy"] = "own"
    """`own`: the data set's words are the classes. `taxonomy`: they are mapped to the ten categories that catalogs are
    filtered by; words that name one count fully, others as `mapped_trust` says, and what maps to nothing is masked."""
    smallest_class_images: int = 1
    """Classes with fewer training images are masked. Training refuses a class with a single one: add images or say 2."""
    licence: str | None = None
    """Of the images, for the model card; None: what the reader knows."""
    photographs: bool = True
    """`clothing` only: read the clothing photographs (folder from `CLOTHING_DATA`)."""
    drawn_images: int = 6000
    """Images of the sample catalog in the mix; 0 leaves it out. About three a product, and it is products that must be
    many: with 1,800 images the network knew 0.95 of the training products and 0.72 of others."""
    drawn_seed: int = 20
    """Not the seed of `catalog sample` (7), so that what a new user sees was never trained on."""
    drawn_share: float = 0.3
    """Share of the drawings an epoch shows: they are learned quickly, and the photographs matter more."""
    mapped_trust: float = 0.3
    """Weight of labels that only the taxonomy maps to one of the ten classes."""
    holdout_share: float = 0.06
    """Share of the training images kept back for temperature and the choice of precision."""
    holdout_largest_group: int = 40
    """Largest sender (images) that may be kept back."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ViewConfig:
    """The cached augmented views. The teacher and the student see the same one."""

    per_photograph: int = 14
    per_drawing: int = 2
    stored_size: int = 160
    """Side in pixels of the view as the student reads it from the cache."""
    teacher_size: int = 224
    """Side in pixels of the same view as the teacher sees it."""
    smallest_area: float = 0.3
    """Random resized crop: smallest share of the image's area."""
    aspect: float = 0.25
    """Largest change of the aspect ratio, as a natural logarithm."""
    rotation_deg: float = 20.0
    quarter_turns: float = 0.06
    """Share of views turned by 90 degrees: clothes on the floor are photographed from any side."""
    colour: float = 0.3
    """Brightness, contrast and saturation are scaled by 1 +/- this."""
    hue: float = 0.04
    """Largest hue shift as a share of the circle."""
    blur: float = 0.1
    """Share of views that are blurred."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TeacherConfig:
    """The networks whose features and opinions are the second target."""

    networks: tuple[str, ...] = ("efficientnet-lite2",)
    """Of `training.teacher_networks`; the feature map is that of the first. Each sees the views at the size it was
    trained at, or at the views' if that is smaller."""
    tuning_epochs: tuple[int, ...] = ()
    """For each network how long it is fine-tuned on the labelled images before it teaches; none: as published."""
    map_dimensions: int = 128
    """Principal components kept of each position of the first network's last feature map."""
    soft_label_folds: int = 5
    """Group-disjoint folds behind the soft labels of a probe, so that no image is judged by one that saw its label.
    Used where the networks were not tuned."""
    probe_c: float = 0.004
    """Inverse regularisation of the logistic regression on standardised teacher features."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamConfig:
    """How images are decoded on the fly, when no teacher asks for cached views. Crop, turn and colour: `ViewConfig`."""

    processes: int = 2
    """That decode ahead of the optimiser; 0 decodes on a thread of the training process."""
    strong: int = 0
    """Operations a view out of posterise, solarise, equalise, stretch, sharpen and grey (after Cubuk et al. 2020)."""
    plain_share: float = 0.0
    """Share of images shown exactly as serving prepares them."""
    box_margin: float | None = None
    """Crops an image to its box first, widened on each side by this share of the box; None shows the whole image."""
    visible_box: float = 0.3
    """Smallest share of a box that a view must show for the box to count; less masks it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelConfig:
    """The student."""

    architecture: Literal["resnet18", "resnet34", "resnet50", "resnet101", "seed"] = "resnet18"
    """A torchvision ResNet, or the small 6n+2 network for 64-pixel images (`training.networks.seed`)."""
    input_size: int = 128
    """Side in pixels the exported bundle takes: a multiple of 32, at which the feature grid fits (on the holdout the
    same weights lose 7 to 10 points at 112 and 144)."""
    embedding_size: int = 512
    """Other than the trunk's width adds a linear projection."""
    residual_depth: int = 3
    """n of the 6n+2 layers; only for `seed`."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LossConfig:
    """Weights of the parts of the loss; 0 switches a part off, and with it its head.

    `soft_label`, `pooled` and `positions` ask for the teacher: views are then cached with its answers.
    """

    label: float = 1.0
    """Cross entropy with the category."""
    label_smoothing: float = 0.1
    """Szegedy et al. 2016."""
    soft_label: float = 1.0
    """Kullback-Leibler divergence to the teacher's probe (Hinton et al. 2015)."""
    soft_label_temperature: float = 1.0
    pooled: float = 4.0
    """Cosine distance of the projected embedding to the teacher's pooled features."""
    positions: float = 2.0
    """Cosine distance of the projected feature map to the teacher's, position by position."""
    attributes: float = 0.0
    """Binary cross entropy of the attributes that are known, mean over them."""
    attribute_weight_cap: float = 10.0
    """A rare attribute's positives weigh (negatives / positives), at most this."""
    box: float = 0.0
    """Smooth L1 (Girshick 2015) of the box's four shares, summed over them."""
    box_beta: float = 0.05
    """Where smooth L1 passes from square to straight, as a share of the image's side."""
    box_overlap: float = 0.0
    """Generalised IoU (Rezatofighi et al. 2019). Both box weights at 0 switch localisation off."""
    metric: float = 0.0
    """Metric learning on the embedding (pytorch-metric-learning)."""
    metric_kind: Literal["multi_similarity", "supervised_contrastive", "normalised_softmax"] = "multi_similarity"
    """Wang et al. 2019; Khosla et al. 2020; Zhai and Wu 2019 (a learned proxy for each group)."""
    metric_on: Literal["category", "product"] = "product"
    """What two images share that belong together."""

    @property
    def distils(self) -> bool:
        """Whether a teacher is asked."""
        return bool(self.soft_label or self.pooled or self.positions)

    @property
    def locates(self) -> bool:
        """Whether the box head is trained."""
        return bool(self.box or self.box_overlap)


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopConfig:
    """The optimisation."""

    epochs: int = 50
    batch_size: int = 32
    """Images of a step over all threads, processes and devices together."""
    images_per_product: int = 1
    """Images of a product that come together in a batch, as metric learning on products needs; 1 is plain order."""
    optimiser: Literal["adamw", "sgd"] = "adamw"
    """AdamW (betas 0.9, 0.99) or SGD with Nesterov momentum 0.9."""
    learning_rate: float = 1e-3
    """Peak; about 0.1 for SGD."""
    proxy_rate: float = 20.0
    """Times the learning rate for the proxies of `metric_kind` `normalised_softmax`."""
    schedule: Literal["cosine", "steps"] = "cosine"
    """How the learning rate falls after the warm-up: half a cosine to zero, or by a factor at each milestone."""
    milestones: tuple[float, ...] = (0.5, 0.75)
    """Shares of the run at which `steps` lowers the learning rate (He et al. 2016 on CIFAR)."""
    milestone_factor: float = 0.1
    weight_decay: float = 0.05
    """Not on biases and normalisation."""
    warmup: float = 0.05
    """Share of the run in which the learning rate rises linearly."""
    ema_decay: float = 0.998
    """Exponential moving average of the weights, which is what is evaluated and exported; 0 exports the last weights."""
    sizes: tuple[tuple[float, int], ...] = ((0.0, 96), (0.6, 128))
    """From this share of the run on, train at this input size: small first is faster for the same result."""
    erasing: float = 0.25
    """Share of the student's views with a random rectangle erased (Zhong et al. 2020); the teacher sees it whole."""
    gradient_clip: float = 5.0
    """Largest norm of the gradient; 0 does not clip."""
    precision: Literal["bf16", "f32"] = "bf16"
    """Of forward and backward pass; weights, losses and the optimiser stay in float32."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes a GPU where there is one."""
    max_seconds: float | None = None
    """Wall-clock budget: at the end of every epoch the number of epochs still to come is planned anew to meet it.
    None runs exactly `epochs`."""
    threads: int = 2
    """Cores of a step on the CPU; the batch is split among them, so it is part of the result and not only of the speed.
    Under torchrun each process has one, whatever stands here."""
    checkpoint_every_steps: int = 0
    """Replaces the checkpoint `last` within an epoch too; 0 only at its end."""
    keep_every_epochs: int = 0
    """Keeps a checkpoint `epoch-NNN` that often; 0 keeps `last` and `best` alone."""
    monitored_images: int = 2000
    """Images of the holdout (or, without one, of validation) that are measured after each epoch, at most."""
    seed: int = 1
    start_from: str | None = None
    """Where the first weights came from: SHA-256 of a file, or the name of torchvision's weights; None is noise."""
    keep_heads: bool = True
    """Take the linear maps to the teacher's features from that file too; False after a change of teacher."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Config:
    """A whole run."""

    recipe: str
    data: DataConfig = DataConfig()
    views: ViewConfig = ViewConfig()
    teacher: TeacherConfig = TeacherConfig()
    stream: StreamConfig = StreamConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    loop: LoopConfig = LoopConfig()

    def to_json(self) -> str:
        """Canonical text, the same for equal configs."""
        return json.dumps(asdict(self), indent=2, sort_keys=True) + "\n"

    @property
    def digest(self) -> str:
        """SHA-256 of the canonical text."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()


def load_config(path: Path) -> Config:
    """The config that a run saved.

    Raises:
        ConfigurationError: the file is missing or is no config of this version.
    """
    try:
        config: Config = _build(Config, json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise ConfigurationError(f"{path} is no training config of this version: {error}") from error
    return config


def _build(kind: Any, value: Any) -> Any:
    hints = get_type_hints(kind)
    unknown = set(value) - {f.name for f in fields(kind)}
    if unknown:
        raise ValueError(f"unknown settings: {', '.join(sorted(unknown))}")
    return kind(
        **{name: _build(hints[name], v) if is_dataclass(hints[name]) else _tuples(v) for name, v in value.items()}
    )


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value


def changed(config: Config, settings: Sequence[str]) -> Config:
    """The config with some settings replaced.

    Args:
        config: What to start from.
        settings: Each `group.name=value`, as `loss.box=0` or `loop.sizes=[[0, 96], [0.6, 128]]`: a value is JSON, or a
            word as it stands.

    Raises:
        ConfigurationError: a setting is unknown, or its value is of the wrong kind.
    """
    held = asdict(config)
    for setting in settings:
        place, equals, text = setting.partition("=")
        group, _, name = place.partition(".")
        if not equals or not isinstance(held.get(group), dict) or name not in held[group]:
            close = difflib.get_close_matches(
                place, [f"{g}.{n}" for g, own in held.items() if g != "recipe" for n in own]
            )
            hint = f"; did you mean {', '.join(close)}?" if close else ""
            raise ConfigurationError(f"{setting!r} is no setting of the form group.name=value{hint}")
        held[group][name] = _parsed(text)
        try:
            config = _validated(held)
        except ValidationError as error:
            reasons = "; ".join(dict.fromkeys(e["msg"] for e in error.errors()))
            raise ConfigurationError(f"{place} cannot be {text!r}: {reasons}") from error
    return config


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _validated(held: dict[str, Any]) -> Config:
    return TypeAdapter(Config).validate_python(held)
