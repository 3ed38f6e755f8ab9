"""The last look before hours of training: is this a data set that training can use?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final

from training.datasets.record import DataSet, Record, Split
from training.splits import FEWEST_OF_A_CLASS
from workers.errors import ConfigurationError, ItemError
from workers.imaging.decode import decode
from workers.imaging.limits import DecodeLimits

_SMALLEST_SIDE_PX: Final = 32
_MOST_TRIED: Final = 1000
"""Images of which one at least has to be readable, spread over the training data."""


def check_usable(data: DataSet) -> None:
    """Refuse what would fail, or teach nothing, hours later.

    Raises:
        ConfigurationError: no training image or none with a label, nothing held out to choose on, queries without a gallery
            or the reverse, a class that is measured and not learned, a class with one training image, or no readable
            image. The text says what to do.
    """
    _check_splits(data)
    _check_classes(data)
    _check_readable([r for r in data.records if r.split == "train"])


def _check_splits(data: DataSet) -> None:
    images = Counter(r.split for r in data.records)
    labelled = Counter(r.split for r in data.records if r.labelled)
    if not images["train"]:
        raise ConfigurationError("the split `train` is empty: give the data set training images")
    if not labelled["train"]:
        raise ConfigurationError(
            f"none of the {images['train']:,} training images has a category, attributes, a box or a product: add labels"
        )
    if not labelled["holdout"] and not labelled["validation"]:
        raise ConfigurationError(
            "the splits `holdout` and `validation` are empty, so there is nothing to choose on: add validation images, or "
            "raise the data settings `holdout_share` and `holdout_largest_group`"
        )
    pairs: tuple[tuple[Split, Split], ...] = (("query", "gallery"), ("gallery", "query"))
    for one, other in pairs:
        if images[one] and not images[other]:
            raise ConfigurationError(
                f"the split `{other}` is empty, but `{one}` is not: give the data set both or neither"
            )


def _check_classes(data: DataSet) -> None:
    everywhere = Counter(r.category for r in data.records if r.category is not None)
    train = Counter(r.category for r in data.records if r.split == "train" and r.category is not None)
    for category, images in sorted(everywhere.items()):
        if train[category] < FEWEST_OF_A_CLASS:
            held = "one training image" if train[category] else "no training image"
            raise ConfigurationError(
                f"the class {data.labels[category]!r} has {held} ({images} in all splits): add images to it, or mask such "
                f"classes with the data setting `smallest_class_images` = {FEWEST_OF_A_CLASS}"
            )


def _check_readable(records: Sequence[Record]) -> None:
    """Decode until one works: at once in any sound data set."""
    failure = ""
    for record in _spread(records):
        try:
            decode(record.read(), min_side_px=_SMALLEST_SIDE_PX, limits=DecodeLimits())
        except (OSError, ItemError) as error:
            failure = failure or str(error)
        else:
            return
    raise ConfigurationError(
        f"none of {min(len(records), _MOST_TRIED):,} training images can be read ({failure}): check the data set's folder, "
        "and see `python -m training scan`"
    )


def _spread(records: Sequence[Record]) -> Iterator[Record]:
    step = -(-len(records) // _MOST_TRIED)
    return iter(records[::step])
