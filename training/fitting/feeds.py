"""Where a run's batches come from: cached views where a teacher is asked, images decoded on the fly otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.batches import Feed, Source, TrainingSet
from training.config import Config
from training.datasets.drawn import SOURCE as DRAWN
from training.datasets.mix import select
from training.datasets.record import DataSet, Record
from training.fitting.observer import Observer
from training.fitting.processes import Processes
from training.probe import cached_soft_labels
from training.stream import ImageStream
from training.teacher_tuning import teacher_members
from training.views import cached_views
from workers.errors import ConfigurationError


def make_feed(data: DataSet, config: Config, cache: Path, processes: Processes, observer: Observer) -> Feed:
    """The feed that the config asks for.

    Raises:
        ConfigurationError: fewer training images than one batch.
    """
    train = select(data.records, "train")
    sources = [tuple(r for r in train if r.source == name) for name in dict.fromkeys(r.source for r in train)]
    shares = [_share(records, config) for records in sources]
    shown = sum(round(share * len(records)) for share, records in zip(shares, sources, strict=True))
    if shown < config.loop.batch_size:
        raise ConfigurationError(
            f"an epoch shows {shown} training images, fewer training images than one batch of {config.loop.batch_size}: "
            "lower loop.batch_size or add images"
        )
    if not config.loss.distils:
        on_gpu = processes.device.type == "cuda"
        return ImageStream(sources, shares, config, attributes=len(data.attributes), pin=on_gpu)
    return _cached(data, sources, shares, config, cache, processes, observer)


def _cached(
    data: DataSet,
    sources: Sequence[Sequence[Record]],
    shares: Sequence[float],
    config: Config,
    cache: Path,
    processes: Processes,
    observer: Observer,
) -> TrainingSet:
    """Every source's views and soft labels; the first process makes them, the others wait and read them."""
    if not processes.first:
        processes.wait()
    made: list[Source] = []
    classes = len(data.labels)
    taught = _tuned_on(sources)
    members = teacher_members(config, taught, cache, observer, classes=classes)
    for records, share in zip(sources, shares, strict=True):
        name = records[0].source
        per_image = config.views.per_drawing if name == DRAWN else config.views.per_photograph
        observer.stage(f"views of {name}", len(records))
        views, basis = cached_views(
            records,
            per_image=per_image,
            config=config,
            members=members,
            classes=classes,
            cache=cache,
            on_progress=observer.step,
        )
        soft: NDArray[np.floating[Any]] = views.probabilities
        if records is not taught or not config.teacher.tuning_epochs:
            observer.stage(f"soft labels of {name}", config.teacher.soft_label_folds)
            soft = cached_soft_labels(records, views, basis, config.teacher, classes=classes)
        made.append(Source(records=records, views=views, soft=soft, share=share))
    if processes.first:
        processes.wait()
    return TrainingSet(
        made,
        basis,
        seed=config.loop.seed,
        attributes=len(data.attributes),
        together=config.loop.images_per_product,
    )


def _tuned_on(sources: Sequence[Sequence[Record]]) -> Sequence[Record]:
    """What the teacher's networks are tuned on: drawings only where there is nothing else."""
    return next((records for records in sources if records[0].source != DRAWN), sources[0])


def _share(records: Sequence[Record], config: Config) -> float:
    return config.data.drawn_share if records[0].source == DRAWN else 1.0
