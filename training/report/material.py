"""What pictures are made of, beside the run's own files: the images of its data set, and its network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from schemas.model_card import Preprocessing
from training.config import load_config
from training.datasets.record import Record
from training.report.attention import Network
from training.report.evidence import Absent, Run
from training.run_folder import CONFIG
from workers.errors import ConfigurationError


@dataclass(frozen=True, kw_only=True, slots=True)
class Material:
    """Images and network, or why there are none."""

    images: Mapping[tuple[str, str], Record] | Absent
    """By source and name."""
    network: Network | Absent


def nothing(reason: str) -> Material:
    """No pictures at all, for one reason."""
    return Material(images=Absent(reason=reason), network=Absent(reason=reason))


def gather(run: Run) -> Material:
    """Load what the run was measured on and with. What cannot be loaded leaves its reason; nothing is raised."""
    return Material(images=_images(run), network=_network(run))


def _images(run: Run) -> Mapping[tuple[str, str], Record] | Absent:
    from training.datasets.sources import load_data_set

    try:
        data = load_data_set(load_config(run.folder / CONFIG).data)
    except ConfigurationError as error:
        return Absent(reason=f"The images are not at hand: {error}.")
    return {(record.source, record.name): record for record in data.records}


def _network(run: Run) -> Network | Absent:
    from training.trained_student import load_student

    checkpoint = run.evaluation.source if run.evaluation is not None else ""
    if not checkpoint or not (run.folder / checkpoint).is_file():
        return Absent(reason="The checkpoint that was measured is not in the run's folder.")
    try:
        trained = load_student(run.folder, checkpoint=checkpoint)
    except ConfigurationError as error:
        return Absent(reason=f"The network cannot be loaded: {error}.")
    return Network(
        student=trained.student.float(),
        preprocessing=Preprocessing(input_size=trained.config.model.input_size),
        box_margin=trained.config.stream.box_margin,
    )
