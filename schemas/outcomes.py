"""What can become of one image, and why: closed enumerations shared by ledger, metrics and API."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an image is in quarantine or failed. Stable: stored in the ledger and used as a metric label."""

    EMPTY = "empty"
    NOT_AN_IMAGE = "not_an_image"
    UNSUPPORTED_FORMAT = "unsupported_format"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    TOO_LARGE = "too_large"
    TOO_MANY_PIXELS = "too_many_pixels"
    TOO_SMALL = "too_small"
    VANISHED = "vanished"
    ACCESS_DENIED = "access_denied"
    INVALID_EMBEDDING = "invalid_embedding"
    REFUSED_BY_INDEX = "refused_by_index"
    ENDS_WORKER = "ends_worker"
    STORE_UNAVAILABLE = "store_unavailable"
    INDEX_UNAVAILABLE = "index_unavailable"

    @property
    def advice(self) -> str:
        """One sentence for the person who owns the catalog: what to do about it."""
        return _ADVICE[self]


_ADVICE = {
    Reason.EMPTY: "The file has no bytes; upload it again.",
    Reason.NOT_AN_IMAGE: "The bytes are no image, whatever the name says; replace or rename the file.",
    Reason.UNSUPPORTED_FORMAT: "Convert it to JPEG, PNG, WebP, AVIF or GIF.",
    Reason.TRUNCATED: "The file ends too early; upload it again.",
    Reason.CORRUPT: "The image data is damaged; export it again.",
    Reason.TOO_LARGE: "The file is larger than CATALOG_MAX_IMAGE_BYTES; export it smaller or raise the limit.",
    Reason.TOO_MANY_PIXELS: "The image is larger than CATALOG_MAX_PIXELS; export it smaller or raise the limit.",
    Reason.TOO_SMALL: "The image is only a few pixels wide or high; provide a real photograph.",
    Reason.VANISHED: "The object was listed but was gone when it was read; the next run settles it.",
    Reason.ACCESS_DENIED: "The store refuses to read this object; grant read access to it.",
    Reason.INVALID_EMBEDDING: "The model gave no usable vector for it; look at the picture and the model.",
    Reason.REFUSED_BY_INDEX: "The vector index cannot store its point; the detail says what is wrong with it.",
    Reason.ENDS_WORKER: "It ended its worker, or work on it did not end in time; keep the file and report it.",
    Reason.STORE_UNAVAILABLE: "The object store did not answer; the next run tries again.",
    Reason.INDEX_UNAVAILABLE: "The vector index did not answer; the next run tries again.",
}


class OutcomeKind(StrEnum):
    """What happened to one image in one job. Exactly one of them holds for every image planned."""

    INDEXED = "indexed"
    """Its own pixels were embedded and the point is searchable."""
    DUPLICATE = "duplicate"
    """The same bytes were embedded before: the point is searchable with a copy of that vector."""
    QUARANTINED = "quarantined"
    """It cannot be indexed as it is; recorded with its reason, retried when it changes or on request."""
    FAILED = "failed"
    """A dependency was down for too long; the next run tries it again by itself."""
    DELETED = "deleted"
    """The source no longer has it and its point is gone."""
