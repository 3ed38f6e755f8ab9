"""The card of a bundle: what it is, what it was made from, what it measured."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from schemas.model_card import (
    ATTRIBUTES_OUTPUT,
    BOX_OUTPUT,
    CARD_FILE,
    CATEGORY_OUTPUT,
    DIGESTED_FILES,
    AttributeHead,
    BoxHead,
    CategoryHead,
    Graph,
    Heads,
    ModelCard,
    Provenance,
    bundle_digest,
)
from schemas.taxonomy import TAXONOMY_VERSION
from training.config import TeacherConfig
from training.datasets import drawn
from training.gate import PairedLoss
from training.graph import Precision
from training.measuring import Measured
from training.teacher_networks import NETWORKS
from training.trained import Trained


def write_card(
    folder: Path,
    trained: Trained,
    *,
    name: str,
    precision: Precision,
    opset: str,
    losses: Sequence[PairedLoss],
    measured: Sequence[Measured],
    outputs: Sequence[str],
) -> ModelCard:
    """Write `card.json` beside the bundle's other files, which the digest is taken of.

    Args:
        folder: Holds graph and weights.
        trained: What was exported.
        name: The model's.
        precision: Of the graph.
        opset: Of the graph.
        losses: What the gate saw.
        measured: The bundle's own evaluation first; figures of all of them go into the card.
        outputs: The graph's; they say which heads there are.
    """
    evaluation = measured[0].evaluation
    labels, no_match = trained.data.labels, evaluation.no_match
    heads = Heads(
        category=CategoryHead(labels=labels, temperature=evaluation.temperature)
        if CATEGORY_OUTPUT in outputs
        else None,
        attributes=AttributeHead(labels=trained.data.attributes) if ATTRIBUTES_OUTPUT in outputs else None,
        box=BoxHead() if BOX_OUTPUT in outputs else None,
    )
    digests = {n: hashlib.sha256((folder / n).read_bytes()).hexdigest() for n in DIGESTED_FILES}
    card = ModelCard(
        name=name,
        digest=bundle_digest(digests, trained.preprocessing, heads),
        architecture=trained.config.model.architecture,
        embedding_size=trained.config.model.embedding_size,
        taxonomy_version=TAXONOMY_VERSION,
        preprocessing=trained.preprocessing,
        heads=heads,
        graph=Graph(precision=precision, opset=opset),
        metrics=tuple(metric for one in measured for metric in one.evaluation.metrics),
        provenance=_provenance(trained, precision, losses),
        no_match_below=None if no_match is None else no_match.below,
        no_match=no_match,
        likeness=evaluation.likeness,
    )
    (folder / CARD_FILE).write_text(card.model_dump_json(indent=2) + "\n", encoding="utf-8")
    for path in folder.iterdir():
        path.chmod(0o644)  # safetensors writes for the owner alone; a bundle is read by workers of other users
    return card


def _provenance(trained: Trained, precision: Precision, losses: Sequence[PairedLoss]) -> Provenance:
    config, data = trained.config, trained.data
    train = [r for r in data.records if r.split == "train"]
    sources = dict.fromkeys(r.source for r in train)
    distilled = config.loss.distils
    kept = "int8 kept" if precision == "int8" else "int8 refused"
    notes = [f"{kept}, loss against float32: " + "; ".join(str(loss) for loss in losses) + "."]
    if config.loop.start_from is not None:
        notes.append(f"Started from other weights: {config.loop.start_from}.")
    if config.stream.box_margin is not None:
        notes.append("Trained on images cut to their boxes, measured here on whole ones, as workers see them.")
    if drawn.SOURCE in sources:
        notes.append(
            "The drawn sample catalog is in the training mix, so figures on drawings say nothing of photographs."
        )
    return Provenance(
        recipe=config.recipe,
        config_digest=config.digest,
        data=tuple(f"{s}: {sum(r.source == s for r in train)} training images" for s in sources),
        data_digest=data.digest(),
        teacher=_teacher_title(config.teacher) if distilled else None,
        licences=(
            *data.licence.split("; "),
            *(NETWORKS[name].licence for name in (config.teacher.networks if distilled else ())),
        ),
        notes=" ".join(notes),
    )


def _teacher_title(teacher: TeacherConfig) -> str:
    titles = " and ".join(NETWORKS[name].title for name in teacher.networks)
    tuned = ", fine-tuned on the labelled training images" if teacher.tuning_epochs else ""
    return f"{titles} (ImageNet){tuned}"
