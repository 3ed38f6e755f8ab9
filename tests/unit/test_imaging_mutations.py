"""A thousand spoilt images in a process of its own, whose memory is bounded: each is decoded or refused, none ends it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from schemas.outcomes import Reason
from tests.support.mutations import mutated_images

_ROOT = Path(__file__).parents[2]
_ALLOWANCE_BYTES = 192 * 1024 * 1024
"""What decoding may claim beyond the imported libraries: four million pixels at up to 12 bytes, tripled, and the corpus."""

_CHILD = """
import json, resource, sys
import numpy as np
from schemas.model_card import Preprocessing
from tests.support.mutations import intact_images, mutated_images
from workers.errors import ItemError
from workers.imaging.decode import DecodeLimits
from workers.imaging.preprocess import prepare

corpus = list(mutated_images(7, 1000))
limits, preprocessing = DecodeLimits(max_pixels=4_000_000), Preprocessing(input_size=64)
for _, data in intact_images():
    prepare(data, preprocessing, limits)
pages = int(open("/proc/self/statm").read().split()[0])
bound = pages * resource.getpagesize() + int(sys.argv[1])
resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
outcomes = {}
for name, data in corpus:
    try:
        prepared = prepare(data, preprocessing, limits)
        assert prepared.shape == (64, 64, 3) and prepared.dtype == np.uint8
        outcomes[name] = "decoded"
    except ItemError as error:
        assert error.detail.isprintable(), name
        outcomes[name] = error.reason.value
print(json.dumps(outcomes))
"""


@pytest.fixture(scope="module")
def outcomes() -> dict[str, str]:
    environment = {**os.environ, "PYTHONPATH": str(_ROOT)}
    child = subprocess.run(
        [sys.executable, "-c", _CHILD, str(_ALLOWANCE_BYTES)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=_ROOT,
        env=environment,
    )
    assert child.returncode == 0, child.stderr[-2000:]
    result: dict[str, str] = json.loads(child.stdout)
    return result


def _of_kind(outcomes: dict[str, str], kind: str) -> Counter[str]:
    return Counter(outcome for name, outcome in outcomes.items() if name[5:].rpartition(".")[0] == kind)


def test_every_image_has_one_outcome_out_of_the_closed_list(outcomes: dict[str, str]) -> None:
    assert len(outcomes) == 1000
    assert set(outcomes.values()) <= {"decoded", *(reason.value for reason in Reason)}


@pytest.mark.parametrize("kind", ["intact", "misnamed", "trailing"])
def test_images_that_are_whole_are_decoded(outcomes: dict[str, str], kind: str) -> None:
    assert set(_of_kind(outcomes, kind)) == {"decoded"}


@pytest.mark.parametrize(
    ("kind", "reasons"),
    [
        ("empty", {Reason.EMPTY}),
        ("zeros", {Reason.NOT_AN_IMAGE}),
        ("noise", {Reason.NOT_AN_IMAGE}),
        ("text", {Reason.NOT_AN_IMAGE, Reason.UNSUPPORTED_FORMAT}),
    ],
)
def test_what_is_no_image_is_refused_as_such(outcomes: dict[str, str], kind: str, reasons: set[Reason]) -> None:
    assert set(_of_kind(outcomes, kind)) == {reason.value for reason in reasons}


def test_cut_images_are_mostly_told_to_be_truncated(outcomes: dict[str, str]) -> None:
    counts = _of_kind(outcomes, "cut")
    assert counts["truncated"] > 0.9 * counts.total()


def test_bombs_are_refused_or_cost_no_more_than_their_picture(outcomes: dict[str, str]) -> None:
    assert set(_of_kind(outcomes, "bomb")) == {"too_many_pixels", "corrupt", "decoded"}


def test_the_corpus_is_the_same_in_every_run_and_for_every_length() -> None:
    first, again = list(mutated_images(3, 64)), list(mutated_images(3, 64))
    assert first == again
    assert list(mutated_images(3, 20)) == first[:20]
    assert list(mutated_images(4, 64)) != first
    assert len({name for name, _ in first}) == 64
