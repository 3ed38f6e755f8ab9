"""What travels between the index' owner and its clients comes out as it went in, and nonsense is refused."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.collection import CollectionInfo
from schemas.payload import PayloadChange, PointRecord, Tombstone
from schemas.query import AnyOf, Condition, Filter, Missing, NoneOf, Range, Scored, Search
from tests.support import vectors as make
from workers.adapters.vector_index import frames, wire
from workers.adapters.vector_index.carried_errors import error_from_json, error_to_json
from workers.adapters.vector_index.edge_shard import ShardClosedError
from workers.adapters.vector_index.validation import check_rows
from workers.errors import ConfigurationError, ContractError, NotFoundError, TransientError

names = st.text(min_size=1, max_size=10)
values = st.lists(st.one_of(names, st.integers(-(2**63), 2**63 - 1), st.booleans()), max_size=3).map(tuple)
bounds = st.none() | st.floats(allow_nan=False, allow_infinity=False)
conditions: st.SearchStrategy[Condition] = st.one_of(
    st.builds(AnyOf, field=names, values=values),
    st.builds(NoneOf, field=names, values=values),
    st.builds(Range, field=names, minimum=bounds, maximum=bounds),
    st.builds(Missing, field=names),
)
filters = st.none() | st.lists(conditions, max_size=4).map(lambda found: Filter(conditions=tuple(found)))


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    one, two = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    two.settimeout(10)
    with one, two:
        yield one, two


@given(filters)
def test_filters_keep_their_values_and_kinds(where: Filter | None) -> None:
    with_kinds = wire.filter_from_json(wire.filter_to_json(where))
    assert with_kinds == where
    assert repr(with_kinds) == repr(where)  # 1, 1.0 and True are equal but not the same


def test_everything_goes_through_a_socket_unharmed(pair: tuple[socket.socket, socket.socket]) -> None:
    points = make.assortment(50)
    search = Search(
        vector=points[0].vector,
        limit=3,
        offset=2,
        where=Filter(conditions=(AnyOf(field="brand", values=("東京",)),)),
        score_threshold=0.25,
        diversity=0.5,
        group_by="brand",
        exact=True,
        exclude_ids=(points[1].id,),
        with_vectors=True,
    )
    hits = [Scored(id=p.id, score=0.5, payload=p.payload, vector=p.vector) for p in points]
    records = [PointRecord(id=p.id, payload=p.payload) for p in points]
    info = CollectionInfo(spec=make.spec(), points=3, indexed_points=2, bytes_on_disk=9)
    changes = [PayloadChange(id=points[0].id, version=3, fields={"brand": None, "attributes": ["a"]})]
    tombstones = [Tombstone(id=points[0].id, version=4)]

    def through(header: object, block: bytes = b"") -> tuple[object, bytes]:
        sender = threading.Thread(target=frames.send_frame, args=(pair[0], {"it": header}, block))
        sender.start()
        frame = frames.receive_frame(pair[1])
        sender.join()
        assert frame is not None
        return frame[0]["it"], frame[1]

    sent = wire.points_from_wire(*through(*wire.rows_to_wire(check_rows(points, make.DIMENSION))))  # type: ignore[arg-type]
    assert [(p.id, p.version, p.payload) for p in sent] == [(p.id, p.version, p.payload) for p in points]
    np.testing.assert_array_equal(np.stack([p.vector for p in sent]), np.stack([p.vector for p in points]))
    found = wire.search_from_wire(*through(*wire.search_to_wire(search)))  # type: ignore[arg-type]
    assert repr(found) == repr(search)
    back = wire.hits_from_wire(*through(*wire.hits_to_wire(hits)))  # type: ignore[arg-type]
    assert [(h.id, h.score, h.payload) for h in back] == [(h.id, h.score, h.payload) for h in hits]
    np.testing.assert_array_equal(back[7].vector, hits[7].vector)
    assert wire.records_from_wire(*through(*wire.records_to_wire(records))) == records  # type: ignore[arg-type]
    assert wire.info_from_json(through(wire.info_to_json(info))[0]) == info  # type: ignore[arg-type]
    assert wire.changes_from_json(through(wire.changes_to_json(changes))[0]) == changes  # type: ignore[arg-type]
    assert wire.tombstones_from_json(through(wire.tombstones_to_json(tombstones))[0]) == tombstones  # type: ignore[arg-type]


def test_an_end_between_frames_is_an_end_and_within_one_a_loss(pair: tuple[socket.socket, socket.socket]) -> None:
    frames.send_frame(pair[0], {"a": 1}, b"1234")
    pair[0].sendall(b"\x05\x00\x00")
    pair[0].shutdown(socket.SHUT_WR)
    assert frames.receive_frame(pair[1]) == ({"a": 1}, b"1234")
    with pytest.raises(ConnectionResetError):
        frames.receive_frame(pair[1])
    assert frames.receive_frame(pair[1]) is None


@pytest.mark.parametrize("sent", [b"\xff" * 8, b"\x02\0\0\0\0\0\0\0[]", b"\x01\0\0\0\0\0\0\0{"])
def test_what_is_no_frame_is_refused(pair: tuple[socket.socket, socket.socket], sent: bytes) -> None:
    pair[0].sendall(sent)
    with pytest.raises(ContractError):
        frames.receive_frame(pair[1])


def test_a_frame_too_large_is_not_begun(
    pair: tuple[socket.socket, socket.socket], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "MAX_HEADER_BYTES", 10)
    with pytest.raises(ContractError, match="too large"):
        frames.send_frame(pair[0], {"a": "b" * 20})
    pair[0].shutdown(socket.SHUT_WR)
    assert frames.receive_frame(pair[1]) is None


@pytest.mark.parametrize(("block", "rows"), [(b"", 1), (b"12345", 1), (b"1234", 0), (b"12345678", 3)])
def test_a_block_that_holds_no_such_vectors_is_refused(block: bytes, rows: int) -> None:
    with pytest.raises(ContractError):
        frames.block_to_vectors(block, rows)


@pytest.mark.parametrize(
    ("raised", "expected"),
    [
        (NotFoundError("no shop"), NotFoundError),
        (ContractError("bad"), ContractError),
        (ConfigurationError("set it"), ConfigurationError),
        (TransientError("later"), TransientError),
        (ShardClosedError("closed"), TransientError),
        (ZeroDivisionError("a bug"), RuntimeError),
    ],
)
def test_errors_keep_their_class_and_text(raised: Exception, expected: type[Exception]) -> None:
    carried = error_from_json(error_to_json(raised))
    assert type(carried) is expected
    assert str(raised) in str(carried)


def test_a_transient_error_keeps_what_was_asked_for() -> None:
    carried = error_from_json(error_to_json(TransientError("slow down", retry_after_s=3.0)))
    assert isinstance(carried, TransientError)
    assert carried.retry_after_s == 3.0
