"""Qdrant's REST requests carried out on qdrant-client's local mode, with the server's answers and statuses."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qdrant_client import QdrantClient, models

from tests.support import qdrant_strict
from tests.support.qdrant_faults import FaultPlan
from tests.support.qdrant_strict import RefusedError

VERSION = "1.19.0"
"""What the stand-in says it is: the version of the OpenAPI document."""
COLLECTION = "/collections/{collection_name}"


class AnswerError(Exception):
    """A request that is answered with another status than 200."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    template: str
    method: str
    handler: Callable[[str, Any], Any]
    """Collection's name and body in, `result` out."""
    write: bool = False
    bare: bool = False
    """The answer is not wrapped."""

    @property
    def pattern(self) -> re.Pattern[str]:
        return re.compile(re.sub(r"\{\w+\}", "([^/]+)", self.template))


class LocalServer:
    """Collections in local mode behind one lock, with what that mode forgets: layouts, payload indexes, strict mode."""

    def __init__(self, folder: Path | None = None, plan: FaultPlan | None = None, version: str = VERSION) -> None:
        self._lock = threading.Lock()
        self._plan = plan or FaultPlan()
        self._version = version
        self._kept = folder / "stand-in.json" if folder else None
        self.client = (
            QdrantClient(path=str(folder / "local"), force_disable_check_same_thread=True)
            if folder
            else QdrantClient(":memory:")
        )
        self.layouts: dict[str, dict[str, Any]] = {}
        self.schemas: dict[str, dict[str, Any]] = {}
        if self._kept and self._kept.exists():
            self.layouts, self.schemas = json.loads(self._kept.read_text())
        self.routes = self._routes()

    def answer(self, route: Route, collection: str, body: Any) -> Any:
        """The answer's JSON. Raises AnswerError."""
        with self._lock:
            try:
                result = _plain(route.handler(collection, body))
            except RefusedError as error:
                raise AnswerError(400, f"Bad request: {error}") from error
            except (ValueError, KeyError) as error:
                raise AnswerError(_status(str(error)), str(error)) from error
            if self._kept and route.write:
                self._kept.write_text(json.dumps([self.layouts, self.schemas]))
        return result if route.bare else {"result": result, "status": "ok", "time": 0.001}

    def _routes(self) -> list[Route]:
        def route(template: str, method: str, handler: Callable[[str, Any], Any], **how: bool) -> Route:
            return Route(template=template, method=method, handler=handler, **how)

        points = f"{COLLECTION}/points"
        return [
            route("/", "GET", lambda *_: models.VersionInfo(title="stand-in", version=self._version), bare=True),
            route("/collections", "GET", lambda *_: self.client.get_collections()),
            route("/collections/aliases", "POST", self._change_aliases, write=True),
            route("/aliases", "GET", lambda *_: self.client.get_aliases()),
            route(f"{COLLECTION}/exists", "GET", lambda name, _: {"exists": self.client.collection_exists(name)}),
            route(f"{COLLECTION}/index", "PUT", self._create_index, write=True),
            route(f"{points}/delete", "POST", self._delete, write=True),
            route(f"{points}/batch", "POST", self._batch, write=True),
            route(f"{points}/scroll", "POST", self._scroll),
            route(f"{points}/count", "POST", self._count),
            route(f"{points}/query", "POST", self._query),
            route(f"{points}/query/groups", "POST", self._query_groups),
            route(f"{COLLECTION}/facet", "POST", self._facet),
            route(points, "PUT", self._upsert, write=True),
            route(points, "POST", self._retrieve),
            route(COLLECTION, "GET", self._info),
            route(COLLECTION, "PUT", self._create, write=True),
            route(COLLECTION, "DELETE", self._drop, write=True),
        ]

    # ------------------------------------------------------------------------------------------------- collections

    def _create(self, name: str, body: Any) -> bool:
        asked = models.CreateCollection(**body)
        self.client.create_collection(name, vectors_config=asked.vectors, metadata=asked.metadata)
        self.layouts[name], self.schemas[name] = body, {}
        return True

    def _drop(self, name: str, _: Any) -> bool:
        self.layouts.pop(name, None)
        self.schemas.pop(name, None)
        return bool(self.client.delete_collection(name))

    def _info(self, name: str, _: Any) -> dict[str, Any]:
        name = self._name(name)
        info: dict[str, Any] = _plain(self.client.get_collection(name))
        layout = self.layouts.get(name, {})
        config = info["config"]
        config["params"]["vectors"] = layout.get("vectors", config["params"]["vectors"])
        for setting in ("shard_number", "replication_factor", "write_consistency_factor", "on_disk_payload"):
            if setting in layout:
                config["params"][setting] = layout[setting]
        config["hnsw_config"] |= layout.get("hnsw_config", {})
        for setting in ("quantization_config", "strict_mode_config"):
            if setting in layout:
                config[setting] = layout[setting]
        info["payload_schema"] = {
            field: {"data_type": index if isinstance(index, str) else index["type"], "points": 0}
            | ({} if isinstance(index, str) else {"params": index})
            for field, index in self.schemas.get(name, {}).items()
        }
        return info

    def _create_index(self, name: str, body: Any) -> models.UpdateResult:
        name = self._name(name)
        self.schemas.setdefault(name, {})[body["field_name"]] = body["field_schema"]
        return _done()

    def _change_aliases(self, _: str, body: Any) -> bool:
        asked = models.ChangeAliasesOperation(**body)
        return bool(self.client.update_collection_aliases(asked.actions))

    def _name(self, name: str) -> str:
        """The collection that a name or an alias stands for."""
        aliases = {found.alias_name: found.collection_name for found in self.client.get_aliases().aliases}
        name = aliases.get(name, name)
        if not self.client.collection_exists(name):
            raise AnswerError(404, f"Not found: Collection `{name}` doesn't exist!")
        return name

    def _rules(self, name: str) -> tuple[dict[str, Any], models.StrictModeConfig | None]:
        strict = self.layouts.get(name, {}).get("strict_mode_config")
        return self.schemas.get(name, {}), models.StrictModeConfig(**strict) if strict else None

    # ------------------------------------------------------------------------------------------------------ writes

    def _upsert(self, name: str, body: Any) -> models.UpdateResult:
        name = self._name(name)
        schema, strict = self._rules(name)
        asked = models.PointsList(**body)
        qdrant_strict.check_limits(strict, upsert_max_batchsize=len(asked.points))
        qdrant_strict.check_filter(asked.update_filter, schema, strict)
        refused = set(self._plan.faults.refused_keys)
        for number, point in enumerate(asked.points):
            if (point.payload or {}).get("key") in refused:
                self._store(name, asked.points[:number], asked)
                self._plan.count("refused_point")
                raise AnswerError(400, f"Wrong input: point {point.id} cannot be stored")
        if self._plan.happens("waiting", write=True):
            return models.UpdateResult(operation_id=1, status=models.UpdateStatus.WAIT_TIMEOUT)
        if self._plan.happens("partial", write=True):
            self._store(name, asked.points[: (len(asked.points) + 1) // 2], asked)
            raise AnswerError(500, "Service internal error: the rest of the batch was not applied")
        self._store(name, asked.points, asked)
        return _done()

    def _store(self, name: str, points: list[models.PointStruct], asked: models.PointsList) -> None:
        if points:
            self.client.upsert(name, points, update_filter=asked.update_filter, update_mode=asked.update_mode)

    def _delete(self, name: str, body: Any) -> models.UpdateResult:
        name = self._name(name)
        if "points" in body:
            self.client.delete(name, models.PointIdsList(**body))
        else:
            asked = models.FilterSelector(**body)
            qdrant_strict.check_filter(asked.filter, *self._rules(name))
            self.client.delete(name, asked)
        return _done()

    def _batch(self, name: str, body: Any) -> list[models.UpdateResult]:
        name = self._name(name)
        operations = models.UpdateOperations(**body).operations
        for operation in operations:
            if isinstance(operation, models.OverwritePayloadOperation):
                qdrant_strict.check_filter(operation.overwrite_payload.filter, *self._rules(name))
            self.client.batch_update_points(name, [operation])
        return [_done() for _ in operations]

    # ------------------------------------------------------------------------------------------------------- reads

    def _retrieve(self, name: str, body: Any) -> Any:
        asked = models.PointRequest(**body)
        return self.client.retrieve(
            self._name(name),
            asked.ids,
            with_payload=_or(asked.with_payload, True),
            with_vectors=asked.with_vector or False,
        )

    def _scroll(self, name: str, body: Any) -> Any:
        name, asked = self._name(name), models.ScrollRequest(**body)
        self._check(name, asked.filter, max_query_limit=_or(asked.limit, 10))
        points, following = self.client.scroll(
            name,
            scroll_filter=asked.filter,
            limit=_or(asked.limit, 10),
            offset=asked.offset,
            with_payload=_or(asked.with_payload, True),
            with_vectors=asked.with_vector or False,
        )
        return {"points": _plain(points), "next_page_offset": following}

    def _count(self, name: str, body: Any) -> Any:
        name, asked = self._name(name), models.CountRequest(**body)
        self._check(name, asked.filter)
        self._check_exact(name, asked.exact)
        return self.client.count(name, count_filter=asked.filter, exact=True)

    def _facet(self, name: str, body: Any) -> Any:
        name, asked = self._name(name), models.FacetRequest(**body)
        self._check(name, asked.filter, max_query_limit=_or(asked.limit, 10))
        self._check_exact(name, asked.exact)
        if asked.key not in self.schemas.get(name, {}):
            raise AnswerError(400, f"Bad request: No index for {asked.key}")
        return self.client.facet(name, asked.key, facet_filter=asked.filter, limit=_or(asked.limit, 10), exact=True)

    def _query(self, name: str, body: Any) -> Any:
        name, asked = self._name(name), models.QueryRequest(**body)
        self._check(name, asked.filter, max_query_limit=_or(asked.limit, 10))
        qdrant_strict.check_search(self._rules(name)[1], asked.params)
        return self.client.query_points(
            name,
            query=asked.query,
            using=asked.using,
            query_filter=asked.filter,
            search_params=asked.params,
            limit=_or(asked.limit, 10),
            offset=asked.offset,
            with_payload=_or(asked.with_payload, False),
            with_vectors=asked.with_vector or False,
            score_threshold=asked.score_threshold,
        )

    def _query_groups(self, name: str, body: Any) -> Any:
        name, asked = self._name(name), models.QueryGroupsRequest(**body)
        schema, strict = self._rules(name)
        self._check(name, asked.filter, max_query_limit=_or(asked.limit, 10) * _or(asked.group_size, 3))
        qdrant_strict.check_search(strict, asked.params)
        qdrant_strict.check_group(asked.group_by, schema, strict)
        return self.client.query_points_groups(
            name,
            group_by=asked.group_by,
            query=asked.query,
            using=asked.using,
            query_filter=asked.filter,
            search_params=asked.params,
            limit=_or(asked.limit, 10),
            group_size=_or(asked.group_size, 3),
            with_payload=_or(asked.with_payload, False),
            with_vectors=asked.with_vector or False,
            score_threshold=asked.score_threshold,
        )

    def _check(self, name: str, given: models.Filter | None, **limits: float | None) -> None:
        schema, strict = self._rules(name)
        qdrant_strict.check_limits(strict, **limits)
        qdrant_strict.check_filter(given, schema, strict)

    def _check_exact(self, name: str, exact: bool | None) -> None:
        qdrant_strict.check_search(self._rules(name)[1], models.SearchParams(exact=bool(exact)))


def _done() -> models.UpdateResult:
    return models.UpdateResult(operation_id=0, status=models.UpdateStatus.COMPLETED)


def _or(value: Any, default: Any) -> Any:
    return default if value is None else value


def _status(said: str) -> int:
    if "already exists" in said:
        return 409
    return 404 if "not found" in said.lower() else 400


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(item) for item in value]
    return value.model_dump(mode="json", exclude_none=True) if hasattr(value, "model_dump") else value
