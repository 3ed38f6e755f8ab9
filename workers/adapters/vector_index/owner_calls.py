"""The calls the owner answers: each decodes its arguments, calls the index and encodes the result."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

from schemas.query import FacetCount
from workers.adapters.vector_index import wire
from workers.adapters.vector_index.edge import EdgeIndex
from workers.adapters.vector_index.spec_json import spec_from_json
from workers.errors import ContractError

Answer = tuple[Any, bytes]
_SEARCHING: Final = threading.Lock()
"""Searches take turns. The engine holds the interpreter lock in its calls, so they would anyway; but whoever waits for that
lock wakes up every millisecond to ask for it, and whoever waits here sleeps."""
_Thunk = Callable[[], Answer]
_Call = Callable[[EdgeIndex, dict[str, Any], bytes], _Thunk]


def answer(index: EdgeIndex, request: dict[str, Any], block: bytes) -> Answer:
    """Run one call; its result as JSON and block.

    Raises:
        ContractError: no such call, or arguments that are none.
        CatalogError: whatever the index raises.
    """
    call = _CALLS.get(str(request.get("call")))
    if call is None:
        raise ContractError(f"the index' owner knows no call {request.get('call')!r}")
    try:
        prepared = call(index, request, block)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ContractError(f"malformed arguments of {request['call']}: {error!r}") from error
    return prepared()


def _nothing(act: Callable[[], None]) -> _Thunk:
    def run() -> Answer:
        act()
        return None, b""

    return run


def _facet_json(facet: FacetCount) -> list[Any]:
    return [facet.value, facet.count]


def _create(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    spec = spec_from_json(args["spec"])
    return _nothing(lambda: index.create(spec))


def _collections(index: EdgeIndex, _args: dict[str, Any], _: bytes) -> _Thunk:
    return lambda: ([wire.info_to_json(info) for info in index.collections()], b"")


def _info(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    name = _text(args, "collection")
    return lambda: (wire.info_to_json(index.info(name)), b"")


def _drop(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    name = _text(args, "collection")
    return _nothing(lambda: index.drop(name))


def _point_alias(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    alias, name = _text(args, "alias"), _text(args, "collection")
    return _nothing(lambda: index.point_alias(alias, name))


def _resolve(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    alias = _text(args, "alias")
    return lambda: (index.resolve(alias), b"")


def _drop_alias(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    alias = _text(args, "alias")
    return _nothing(lambda: index.drop_alias(alias))


def _upsert(index: EdgeIndex, args: dict[str, Any], block: bytes) -> _Thunk:
    name, points = _text(args, "collection"), wire.points_from_wire(args["points"], block)
    return _nothing(lambda: index.upsert(name, points))


def _change_payload(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    name, changes = _text(args, "collection"), wire.changes_from_json(args["changes"])
    return _nothing(lambda: index.change_payload(name, changes))


def _delete(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    name, tombstones = _text(args, "collection"), wire.tombstones_from_json(args["tombstones"])
    return _nothing(lambda: index.delete(name, tombstones))


def _settle(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    name = _text(args, "collection")
    return _nothing(lambda: index.settle(name))


def _retrieve(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    name, ids, vectors = _text(args, "collection"), [str(i) for i in args["ids"]], bool(args["with_vectors"])
    return lambda: wire.records_to_wire(index.retrieve(name, ids, with_vectors=vectors))


def _count(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    name, where = _text(args, "collection"), wire.filter_from_json(args["where"])
    return lambda: (index.count(name, where), b"")


def _facet(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    name, field, limit = _text(args, "collection"), _text(args, "field"), int(args["limit"])
    where = wire.filter_from_json(args["where"])
    return lambda: ([_facet_json(facet) for facet in index.facet(name, field, where=where, limit=limit)], b"")


def _scroll(index: EdgeIndex, args: dict[str, Any], _: bytes) -> _Thunk:
    name, limit, after = _text(args, "collection"), int(args["limit"]), args["after"]
    where = wire.filter_from_json(args["where"])
    return lambda: wire.records_to_wire(index.scroll(name, where=where, after=after, limit=limit))


def _search(index: EdgeIndex, args: dict[str, Any], block: bytes) -> _Thunk:
    name, request = _text(args, "collection"), wire.search_from_wire(args["search"], block)

    def run() -> Answer:
        with _SEARCHING:
            return wire.hits_to_wire(index.search(name, request))

    return run


def _text(args: dict[str, Any], name: str) -> str:
    if not isinstance(args[name], str):
        raise TypeError(f"{name} is no text")
    return str(args[name])


_CALLS: Final[dict[str, _Call]] = {
    "create": _create,
    "collections": _collections,
    "info": _info,
    "drop": _drop,
    "point_alias": _point_alias,
    "resolve": _resolve,
    "drop_alias": _drop_alias,
    "upsert": _upsert,
    "change_payload": _change_payload,
    "delete": _delete,
    "settle": _settle,
    "retrieve": _retrieve,
    "count": _count,
    "facet": _facet,
    "scroll": _scroll,
    "search": _search,
}
