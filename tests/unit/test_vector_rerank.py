"""Grouping, diversity and newer-wins against naive references."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.payload import JsonValue, PayloadChange, Tombstone
from schemas.query import Search
from tests.support import vectors as make
from workers.adapters.vector_index.nearest import choose
from workers.adapters.vector_index.newer_wins import changed_payloads, deletable, winning_rows
from workers.adapters.vector_index.rerank import Candidate, diverse, group_best
from workers.adapters.vector_index.validation import Row

VECTORS = make.vectors(40, 8, seed=1)
QUERY = make.vectors(1, 8, seed=2)[0]


def candidates(groups: Sequence[JsonValue]) -> list[Candidate]:
    scored = sorted(range(len(groups)), key=lambda i: -float(VECTORS[i] @ QUERY))
    return [
        Candidate(id=f"{i:02}", score=float(VECTORS[i] @ QUERY), group=groups[i], vector=VECTORS[i]) for i in scored
    ]


def naive_mmr(pool: list[Candidate], limit: int, lam: float) -> list[str]:
    """Equation 1 of the paper, word by word."""
    remaining = list(pool)
    chosen: list[Candidate] = []
    while remaining and len(chosen) < limit:
        values = []
        for candidate in remaining:
            assert candidate.vector is not None
            similar = [float(candidate.vector @ other.vector) for other in chosen if other.vector is not None]
            values.append(lam * candidate.score - (1 - lam) * max(similar) if similar else candidate.score)
        chosen.append(remaining.pop(int(np.argmax(values))))
    return [candidate.id for candidate in chosen]


@pytest.mark.parametrize("diversity", [0.0, 0.2, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("limit", [1, 5, 40, 60])
def test_diversity_is_maximal_marginal_relevance(diversity: float, limit: int) -> None:
    pool = candidates([None] * 40)
    assert [c.id for c in diverse(pool, limit, diversity)] == naive_mmr(pool, limit, 1 - diversity)


def test_diversity_of_nothing_is_nothing() -> None:
    assert diverse([], 5, 0.5) == []


def test_diversity_without_vectors_is_a_mistake() -> None:
    with pytest.raises(TypeError):
        diverse([Candidate(id="1", score=1.0)], 1, 0.5)


groups = st.one_of(
    st.none(), st.sampled_from(["a", "b", "c"]), st.booleans(), st.integers(0, 2), st.lists(st.sampled_from("abc"))
)


@given(st.lists(groups, max_size=40), st.integers(1, 50))
def test_a_group_has_one_hit_its_best(values: list[JsonValue], limit: int) -> None:
    pool = candidates(values)
    best = group_best(pool, limit)
    expected: list[Candidate] = []
    seen: list[tuple[type, object]] = []
    for candidate in pool:
        held = candidate.group if isinstance(candidate.group, list) else [candidate.group]
        keys: list[tuple[type, object]] = [(type(v), v) for v in held if v is not None]
        if not any(key in seen for key in keys):
            expected.append(candidate)
            seen += keys
    assert best == expected[:limit]


@given(st.lists(groups, max_size=40), st.integers(1, 12), st.integers(0, 12), st.sampled_from([0.0, 0.4]))
def test_fetching_more_until_there_are_enough_groups_changes_nothing(
    values: list[JsonValue], limit: int, offset: int, diversity: float
) -> None:
    pool = candidates(values)
    asked: list[int] = []

    def fetch(count: int) -> Sequence[Candidate]:
        asked.append(count)
        return pool[:count]

    request = Search(vector=QUERY, limit=limit, offset=offset, group_by="product_id", diversity=diversity)
    whole = group_best(pool, len(pool) or 1)
    if diversity:
        whole = diverse(whole[: max(100, 10 * (offset + limit))], offset + limit, diversity)
    assert list(choose(request, fetch)) == whole[offset : offset + limit]
    assert asked == sorted(asked)


def row(number: int, version: int, mark: int = 0) -> Row:
    return Row(id=str(number), version=version, vector=QUERY, payload={"version": version, "mark": mark})


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4))), st.dictionaries(st.integers(0, 4), st.integers(0, 4)))
def test_the_highest_version_wins_and_the_last_of_equals(writes: list[tuple[int, int]], before: dict[int, int]) -> None:
    expected: dict[int, tuple[int, int]] = {}
    state = dict(before)
    for mark, (number, version) in enumerate(writes):  # one after the other, as if each were a call
        if version >= state.get(number, version):
            state[number] = version
            expected[number] = (version, mark)
    rows = [row(number, version, mark) for mark, (number, version) in enumerate(writes)]
    won = winning_rows(rows, {str(number): version for number, version in before.items()})
    assert {int(r.id): (r.version, r.payload["mark"]) for r in won} == expected


def test_changes_apply_in_their_order_over_lower_and_equal_versions() -> None:
    stored: dict[str, dict[str, object]] = {"1": {"version": 3, "brand": "a", "price": 1.0}, "2": {"version": 9}}
    changes = [
        PayloadChange(id="1", version=3, fields={"brand": "b", "price": None}),
        PayloadChange(id="1", version=2, fields={"brand": "late"}),
        PayloadChange(id="1", version=5, fields={"colour": "red"}),
        PayloadChange(id="1", version=4, fields={"colour": "overtaken"}),
        PayloadChange(id="2", version=8, fields={"brand": "late"}),
        PayloadChange(id="3", version=8, fields={"brand": "unknown"}),
    ]
    assert changed_payloads(changes, stored) == {"1": {"version": 5, "brand": "b", "colour": "red"}}
    assert stored["1"] == {"version": 3, "brand": "a", "price": 1.0}


def test_tombstones_reach_lower_and_equal_versions() -> None:
    orders = [Tombstone(id=i, version=v) for i, v in (("1", 5), ("2", 5), ("3", 5), ("4", 5), ("3", 7))]
    assert deletable(orders, {"1": 4, "2": 5, "3": 6}) == ["1", "2", "3"]
