"""Settings that do not go together, with each other or with the data: said before anything is computed."""

from __future__ import annotations

from collections.abc import Callable

from training.config import Config
from training.datasets.mix import select
from training.datasets.record import DataSet, Record
from training.datasets.usable import check_usable
from training.fitting.processes import Processes
from workers.errors import ConfigurationError

_GRID = 32
"""What the networks divide an input's side by."""


def check_settings(config: Config, processes: Processes) -> None:
    """Refuse settings that do not go together, before any data are read.

    Raises:
        ConfigurationError: the text names the setting and says what to do.
    """
    loss = config.loss
    if loss.locates and loss.distils:
        raise ConfigurationError(
            "boxes are not cached with the teacher's views: set loss.box and loss.box_overlap to 0, or soft_label, "
            "pooled and positions"
        )
    if not any((loss.label, loss.locates, loss.attributes, loss.metric, loss.distils)):
        raise ConfigurationError("every weight in `loss` is 0: there is nothing to train")
    _check_batch(config, processes)
    _check_sizes(config)


def check_data(config: Config, data: DataSet) -> None:
    """Refuse data that cannot teach what the settings ask for.

    Raises:
        ConfigurationError: the text names the setting or the flaw and says what to do.
    """
    check_usable(data)
    train = select(data.records, "train")
    loss = config.loss

    def known(what: Callable[[Record], object]) -> bool:
        return any(what(r) is not None for r in train)

    asked = (
        ("label", loss.label > 0, known(lambda r: r.category), "category"),
        ("box", loss.locates, known(lambda r: r.box), "box"),
        ("attributes", loss.attributes > 0, known(lambda r: r.attributes), "known attribute"),
        ("metric", loss.metric > 0 and loss.metric_on == "product", known(lambda r: r.product), "product"),
    )
    for name, wanted, there, what in asked:
        if wanted and not there:
            raise ConfigurationError(f"loss.{name} is above 0, but no training image has a {what}: set it to 0")


def _check_batch(config: Config, processes: Processes) -> None:
    loop = config.loop
    threaded = processes.count == 1 and processes.device.type == "cpu"
    unit = (loop.threads if threaded else processes.count) * loop.images_per_product
    if loop.batch_size % unit:
        raise ConfigurationError(
            f"loop.batch_size {loop.batch_size} does not split into {unit // loop.images_per_product} parts with "
            f"{loop.images_per_product} images of a product side by side: make it a multiple of {unit}"
        )


def _check_sizes(config: Config) -> None:
    sizes = config.loop.sizes
    if not sizes or sizes[0][0] != 0.0:
        raise ConfigurationError("loop.sizes must begin with a size from share 0.0 on")
    for size in {config.model.input_size, *(size for _, size in sizes)}:
        if size % _GRID:
            raise ConfigurationError(
                f"an input size of {size} pixels is no multiple of {_GRID}: change model.input_size or loop.sizes"
            )
