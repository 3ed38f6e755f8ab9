"""What travels over HTTP: requests are validated whole, unknown fields refused; answers are documented by these models.

Lengths and counts are bounded here; sizes of bodies are bounded before anything is parsed.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

MAX_LIMIT = 100
"""Hits of one page."""
MAX_DEPTH = 1_000
"""Hits that can be paged through: whoever wants all of a catalog browses it."""
MAX_EXAMPLES = 50
"""Liked and disliked images of one query, each."""
MAX_CONDITIONS = 32
MAX_VALUES = 200
MAX_FACETS = 10
MAX_DIMENSION = 4_096

Key = Annotated[str, Field(min_length=1, max_length=1024)]
CatalogName = Annotated[str, Field(min_length=1, max_length=48)]
FieldName = Annotated[str, Field(min_length=1, max_length=64)]
Value = Annotated[str, Field(max_length=512)] | Annotated[int, Field(ge=-(2**53), le=2**53)] | bool
Share = Annotated[float, Field(ge=0.0, le=1.0, allow_inf_nan=False)]
Finite = Annotated[float, Field(allow_inf_nan=False)]
Crop = tuple[Share, Share, Share, Share]
"""x1, y1, x2, y2 as shares of the picture's width and height, after its orientation was applied."""


class Model(BaseModel):
    """Frozen, without unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# -------------------------------------------------------------------------------------------------------- searching


class ConditionIn(Model):
    """A condition on one payload field: exactly one of `any_of`, `none_of`, a range (`min`, `max` or both) and `missing`."""

    field: FieldName
    any_of: Annotated[list[Value], Field(min_length=1, max_length=MAX_VALUES)] | None = None
    """The field holds one of these values."""
    none_of: Annotated[list[Value], Field(min_length=1, max_length=MAX_VALUES)] | None = None
    """The field holds none of these; a missing field passes."""
    min: Finite | None = None
    max: Finite | None = None
    """Bounds of a number, both inclusive."""
    missing: Literal[True] | None = None
    """The field is absent."""

    @model_validator(mode="after")
    def _one_kind(self) -> ConditionIn:
        has_range = self.min is not None or self.max is not None
        if sum((self.any_of is not None, self.none_of is not None, has_range, self.missing is not None)) != 1:
            raise ValueError("a condition has exactly one of any_of, none_of, min and/or max, missing")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError("min is above max")
        return self


class SearchOptions(Model):
    """What every kind of query says beside its starting point."""

    filter: Annotated[list[ConditionIn], Field(max_length=MAX_CONDITIONS)] = []
    """Conditions that all have to hold."""
    limit: Annotated[int, Field(ge=1, le=MAX_LIMIT)] = 12
    cursor: Annotated[str, Field(max_length=512)] | None = None
    """`next_cursor` of the page before, with the same query otherwise."""
    diversity: Share = 0.0
    """0: most alike; towards 1: more different from each other (maximal marginal relevance)."""
    group_by: FieldName | None = "product_id"
    """At most one hit per value of this field; null answers every image."""
    exclude_own_product: bool = True
    """Leave out every image of the query's own products."""
    min_score: Literal["match"] | Annotated[float, Field(ge=-1.0, le=1.0)] | None = None
    """Lowest cosine similarity of a hit; `match`: the model's own level, under which it calls nothing a match."""
    facets: Annotated[list[FieldName], Field(max_length=MAX_FACETS)] = []
    """Fields whose values are counted among the images that pass the filter."""
    exact: bool = False
    """Compare with every image instead of using the approximate index."""
    with_vectors: bool = False
    """Answer the query's and the hits' vectors too."""
    with_payloads: bool = False
    """Answer all that stands beside each hit's vector."""


class SearchRequest(SearchOptions):
    """A query. Exactly one starting point: a picture (uploaded beside this, or `image_url`, or `image_key`), `vector`,
    `product`, or `likes`.
    """

    catalog: CatalogName = "default"
    image_url: Annotated[str, Field(max_length=2048)] | None = None
    """Fetched by the server, where its operator allows the host."""
    image_key: Key | None = None
    """A picture of the catalog's source; it need not be indexed."""
    crop: Crop | None = None
    """Only this part of the picture."""
    vector: Annotated[list[Finite], Field(min_length=1, max_length=MAX_DIMENSION)] | None = None
    vector_base64: Annotated[str, Field(max_length=MAX_DIMENSION * 6)] | None = None
    """The same as little-endian float32 in base64: a tenth of the parsing."""
    model: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    """Digest of the model that made `vector`; refused where the catalog answers with another one."""
    product: Annotated[str, Field(min_length=1, max_length=512)] | None = None
    """More like this product: like all of its images together."""
    likes: Annotated[list[Key], Field(max_length=MAX_EXAMPLES)] = []
    dislikes: Annotated[list[Key], Field(max_length=MAX_EXAMPLES)] = []
    """Keys of images to look for more of, and to steer away from."""


class Link(Model):
    """Where a picture can be had for a short while."""

    url: str
    expires_at: datetime


class Hit(Model):
    """One image, and why it was found."""

    key: str
    product_id: str | None
    score: float
    """Cosine similarity with the query, -1 to 1."""
    likeness: Share | None
    """Calibrated: how often neighbours this similar were right where the model was measured; null where it was not."""
    is_match: bool | None
    """Whether the score reaches the model's own level; null where it has none."""
    category: str | None
    """The category that filters use: declared where the taxonomy maps it, else predicted."""
    category_declared: str | None
    category_predicted: str | None
    category_confidence: float | None
    attributes: list[str] | None
    box: Crop | None
    brand: str | None
    price: float | None
    currency: str | None
    colour: str | None
    in_stock: bool | None
    title: str | None
    url: str | None
    """The product's page, as the catalog gives it."""
    extra: dict[str, Any]
    """Further fields that the catalog keeps."""
    image: Link | None
    """The original; presigned where the store can, else through this server."""
    thumbnail: Link | None
    """A JPEG of at most 480 pixels a side, through this server."""
    vector_base64: str | None = None
    payload: dict[str, Any] | None = None
    """All that stands beside its vector; only where it was asked for."""


class FacetValue(Model):
    """A value and the number of images that hold it under the filter."""

    value: Value
    count: int


class CategoryGuess(Model):
    """A category with its probability."""

    category: str
    confidence: Share


class HeatMap(Model):
    """What of the picture the answer hangs on: rows from the top, columns from the left, 0 to 1."""

    rows: int
    columns: int
    values: list[list[Share]]


class Seen(Model):
    """What the model sees in a picture. A head that the model lacks answers null."""

    category: str | None
    confidence: Share | None
    categories: list[CategoryGuess] | None
    """The five likeliest."""
    attributes: list[str] | None
    box: Crop | None
    vector_base64: str | None = None
    """The embedding, little-endian float32; only where it was asked for."""
    heat_map: HeatMap | None = None
    """Only where it was asked for."""


class SearchAnswer(Model):
    """A page of hits, best first."""

    catalog: str
    model: str
    """Digest of the model that the catalog is bound to."""
    generation: int
    took_ms: float
    total: int | None
    """Images that pass the filter; counted only where facets were asked for."""
    no_match_below: float | None
    query: Seen | None
    """What the model sees in the query's picture; null where there was none."""
    hits: list[Hit]
    facets: dict[str, list[FacetValue]]
    next_cursor: str | None


class ClassifyRequest(Model):
    """What to look at: a picture uploaded beside this, `image_url`, or `image_key` of a catalog."""

    catalog: CatalogName | None = None
    """Look with this catalog's model; without it, with the model at hand."""
    image_url: Annotated[str, Field(max_length=2048)] | None = None
    image_key: Key | None = None
    crop: Crop | None = None
    heat_map: bool = False
    with_vectors: bool = False


class ClassifyAnswer(Seen):
    """What the model sees."""

    model: str
    took_ms: float


# ---------------------------------------------------------------------------------------------------------- catalogs


class FieldInfo(Model):
    """A payload field that can be filtered; values of keyword, integer and bool fields can be counted."""

    field: str
    kind: Literal["keyword", "float", "integer", "bool", "datetime"]


class CatalogInfo(Model):
    """A catalog and what answers for it."""

    name: str
    source: str
    """URL without credentials."""
    created_at: datetime
    images: int | None
    """Searchable ones; null while nothing has been indexed."""
    generation: int | None
    model: str | None
    model_name: str | None
    dimension: int | None
    no_match_below: float | None
    fields: list[FieldInfo]
    quarantined: int
    """Images that are not searchable."""


class CatalogList(Model):
    """Catalogs that the caller may use, by name."""

    catalogs: list[CatalogInfo]


class Item(Model):
    """An indexed image."""

    key: str
    product_id: str | None
    category: str | None
    payload: dict[str, Any]
    image: Link | None
    thumbnail: Link | None


class ItemPage(Model):
    """Indexed images in the index's own order."""

    items: list[Item]
    total: int
    """Images that pass the filter."""
    next_cursor: str | None


# -------------------------------------------------------------------------------------------------------------- jobs


class Reasons(Model):
    """Images of a job that met one fate for one reason."""

    outcome: str
    reason: str
    images: int
    advice: str


class Stage(Model):
    """What one stage of the pipeline spent."""

    stage: str
    busy_s: float
    wait_s: float
    threads: int
    items: int
    bytes: int


class JobOptionsInfo(Model):
    """What was asked of a job."""

    include: list[str]
    exclude: list[str]
    allow_deletes: bool
    reasons: list[str]
    failed_only: bool


class ManifestProblemInfo(Model):
    """A manifest row that was left out."""

    line: int
    key: str | None
    problem: str


class JobInfo(Model):
    """A job as it stands. `seconds` is from its start to its end or to now; see `docs/jobs.md` for the counts."""

    job: str
    catalog: str
    kind: str
    state: str
    priority: int
    seen: int
    ignored: int
    new: int
    changed: int
    unchanged: int
    retried: int
    vanished: int
    deleted: int
    payload_updated: int
    indexed: int
    duplicates: int
    quarantined: int
    failed: int
    manifest_orphans: int
    manifest_problems: int
    reasons: list[Reasons]
    scan_complete: bool
    planned: int
    finished: int
    seconds: float
    images_per_s: float
    bottleneck: str | None
    stages: list[Stage]
    wall_s: float
    created_at: datetime
    finished_at: datetime | None
    error: str | None
    generation: int
    started_at: datetime | None
    options: JobOptionsInfo
    cancel_requested: bool
    confirmed_deletes: int | None
    tripped: list[str]
    recent_images_per_s: float | None = None
    """Over the last minute. This and the following fields are there where one job was asked for."""
    remaining_s: float | None = None
    oldest_pending_s: float | None = None
    workers: list[str] = []
    problems: list[ManifestProblemInfo] = []
    """The first manifest rows that were left out."""


class JobList(Model):
    """Jobs, newest first."""

    jobs: list[JobInfo]


class Left(Model):
    """An image that is not searchable."""

    key: str
    outcome: str
    reason: str
    detail: str
    advice: str
    attempts: int
    at: datetime
    thumbnail: Link | None


class LeftPage(Model):
    """Images that are not searchable, by key."""

    items: list[Left]
    next_cursor: str | None


class Submitted(Model):
    """The jobs of a request; more than one where it concerns two generations, or very many images."""

    jobs: list[JobInfo]
    images: int | None
    """Of an update: how many images it concerns."""


class WorkerInfo(Model):
    """A process that works on jobs, by its own word."""

    worker: str
    kind: str
    host: str
    pid: int
    state: str
    job: str | None
    batch: str | None
    images_done: int
    queues: list[str]
    version: str
    started_at: datetime
    beat_at: datetime
    silent_s: float


class WorkerList(Model):
    """Workers that gave a sign of life within a day."""

    workers: list[WorkerInfo]


class PauseRequest(Model):
    """Why a job is paused."""

    reason: Annotated[str, Field(min_length=1, max_length=200)] | None = None


class PriorityRequest(Model):
    """When a job is served."""

    priority: Annotated[int, Field(ge=-9, le=9)]
    """9 is served first, -9 last."""


class Problem(BaseModel):
    """An error (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    request_id: str | None = None
    reason: str | None = None
    """Of a picture that cannot be used: one of `schemas.outcomes.Reason`."""
    job: str | None = None
    """Of a conflict: the job that is in the way."""
