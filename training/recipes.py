"""Recipes: functions that return a frozen config."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from training.config import (
    Config,
    DataConfig,
    LoopConfig,
    LossConfig,
    ModelConfig,
    StreamConfig,
    TeacherConfig,
    ViewConfig,
)
from workers.errors import ConfigurationError


def clothing() -> Config:
    """The default bundle: clothing photographs and drawings, ResNet-18, distilled from EfficientNet-Lite2."""
    return Config(recipe="clothing")


def clothing_refine() -> Config:
    """The second half of the default bundle: starts from a `clothing` run, at serving size."""
    first = clothing()
    return replace(
        first,
        recipe="clothing-refine",
        loop=replace(first.loop, epochs=30, learning_rate=8e-4, sizes=((0.0, first.model.input_size),)),
    )


def clothing_tuned() -> Config:
    """Third step of the default bundle: starts from a `clothing-refine` run, with a better teacher.

    The teacher is two networks at the sizes they were made for, fine-tuned on the training photographs. Few drawings:
    the network knows them by now.
    """
    refined = clothing_refine()
    return replace(
        refined,
        recipe="clothing-tuned",
        data=replace(refined.data, drawn_images=1800, drawn_share=0.12),
        views=replace(refined.views, per_photograph=3, per_drawing=1, teacher_size=240),
        teacher=TeacherConfig(networks=("efficientnet-lite0", "efficientnet-lite1"), tuning_epochs=(1, 1)),
        loss=replace(refined.loss, soft_label=2.0),
        loop=replace(refined.loop, epochs=8, learning_rate=8e-4, keep_heads=False),
    )


def clothing_final() -> Config:
    """Last step of the default bundle: starts from a `clothing-tuned` run; a teacher tuned for longer, more views, all
    drawings, 160 pixels at the end.
    """
    tuned = clothing_tuned()
    return replace(
        tuned,
        recipe="clothing-final",
        data=replace(tuned.data, drawn_images=6000),
        views=replace(tuned.views, per_photograph=8),
        teacher=replace(tuned.teacher, tuning_epochs=(3, 3)),
        model=replace(tuned.model, input_size=160),
        loop=replace(tuned.loop, epochs=40, sizes=((0.0, 128), (0.7, 160)), keep_heads=True),
    )


def seed() -> Config:
    """The seed project's network and tasks: 6n + 2 layers at 64 pixels, category and box, SGD with steps.

    Reads a CSV with boxes: give it as `data.folder`.
    """
    return Config(
        recipe="seed",
        data=DataConfig(source="seed"),
        views=_upright(smallest_area=0.6),
        model=ModelConfig(architecture="seed", input_size=64, embedding_size=64, residual_depth=3),
        loss=_without_teacher(label_smoothing=0.0, box=1.0),
        loop=LoopConfig(
            epochs=60,
            batch_size=64,
            optimiser="sgd",
            learning_rate=0.05,
            weight_decay=1e-4,
            schedule="steps",
            ema_decay=0.0,
            sizes=((0.0, 64),),
            erasing=0.0,
            keep_every_epochs=10,
        ),
    )


def deepfashion() -> Config:
    """DeepFashion category and attribute prediction: all tasks on a ResNet-50 that starts from ImageNet.

    `--start-from imagenet`; give the folder as `data.folder`. Batch and epochs are for a GPU.
    """
    return Config(
        recipe="deepfashion",
        data=DataConfig(source="deepfashion", holdout_share=0.0),
        views=_upright(smallest_area=0.35),
        stream=StreamConfig(processes=12, strong=1),
        model=ModelConfig(architecture="resnet50", input_size=224),
        loss=_without_teacher(attributes=4.0, box=1.0, box_overlap=0.5),
        loop=LoopConfig(
            epochs=20, batch_size=256, learning_rate=5e-4, sizes=((0.0, 160), (0.7, 224)), ema_decay=0.9995
        ),
    )


def inshop() -> Config:
    """DeepFashion in-shop retrieval: metric learning on products on a ResNet-50 that starts from ImageNet.

    `--start-from imagenet`; give the folder as `data.folder`. Batch and epochs are for a GPU.
    """
    return Config(
        recipe="inshop",
        data=DataConfig(source="inshop"),
        views=_upright(smallest_area=0.4),
        stream=StreamConfig(processes=12, strong=1),
        model=ModelConfig(architecture="resnet50", input_size=224),
        loss=_without_teacher(label=0.5, metric=1.0, metric_on="product"),
        loop=LoopConfig(
            epochs=40,
            batch_size=128,
            images_per_product=4,
            learning_rate=2e-4,
            sizes=((0.0, 224),),
            ema_decay=0.999,
        ),
    )


def drawn() -> Config:
    """The sample catalog with every task: category, attributes, box and product; an hour on two cores."""
    return Config(
        recipe="drawn",
        data=DataConfig(source="drawn", drawn_images=6000, drawn_share=1.0),
        views=_upright(smallest_area=0.5),
        model=ModelConfig(input_size=128),
        loss=_without_teacher(attributes=1.0, box=4.0, box_overlap=1.0, metric=2.0, metric_on="product"),
        loop=LoopConfig(epochs=28, images_per_product=2, sizes=((0.0, 96), (0.6, 128)), erasing=0.1),
    )


def smoke() -> Config:
    """Seconds on a few drawings: proves that every step works, learns nothing of use."""
    return Config(
        recipe="smoke",
        data=DataConfig(photographs=False, drawn_images=160, drawn_share=1.0, holdout_share=0.25),
        views=ViewConfig(per_drawing=2, stored_size=64, teacher_size=64),
        teacher=TeacherConfig(map_dimensions=8, soft_label_folds=2),
        model=ModelConfig(input_size=64),
        loop=LoopConfig(epochs=2, batch_size=16, sizes=((0.0, 64),)),
    )


def smoke_stream() -> Config:
    """As `smoke`, without a teacher: images decoded on the fly, every task, the seed's small network."""
    return Config(
        recipe="smoke-stream",
        data=DataConfig(source="drawn", drawn_images=160, drawn_share=1.0, holdout_share=0.25),
        views=_upright(smallest_area=0.6),
        stream=StreamConfig(processes=1, strong=1),
        model=ModelConfig(architecture="seed", input_size=64, embedding_size=64, residual_depth=1),
        loss=_without_teacher(attributes=1.0, box=1.0, box_overlap=0.5, metric=0.5, metric_on="product"),
        loop=LoopConfig(epochs=2, batch_size=16, images_per_product=2, sizes=((0.0, 32), (0.5, 64))),
    )


def _upright(*, smallest_area: float) -> ViewConfig:
    """Views for boxes: an upright rectangle around a turned box is too large, so nothing is turned."""
    return ViewConfig(smallest_area=smallest_area, rotation_deg=0.0, quarter_turns=0.0)


def _without_teacher(**weights: Any) -> LossConfig:
    return LossConfig(**{"soft_label": 0.0, "pooled": 0.0, "positions": 0.0, **weights})


RECIPES: Mapping[str, Callable[[], Config]] = {
    "clothing": clothing,
    "clothing-refine": clothing_refine,
    "deepfashion": deepfashion,
    "drawn": drawn,
    "inshop": inshop,
    "seed": seed,
    "clothing-tuned": clothing_tuned,
    "clothing-final": clothing_final,
    "smoke": smoke,
    "smoke-stream": smoke_stream,
}


def recipe(name: str) -> Config:
    """The named recipe's config.

    Raises:
        ConfigurationError: there is no such recipe.
    """
    if name not in RECIPES:
        raise ConfigurationError(f"no recipe {name!r}; there are: {', '.join(RECIPES)}")
    return RECIPES[name]()
