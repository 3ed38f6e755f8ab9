"""Where time and bytes go: one clock a stage, read into the job's report; and logs that never hold a secret."""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
import time
from collections.abc import Generator, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar

import structlog

from schemas.records import StageStat

T = TypeVar("T")


class StageClock:
    """Adds up what one stage spends; used from all of its threads."""

    def __init__(self, stage: str, *, threads: int = 1) -> None:
        self.stage = stage
        self.threads = threads
        self._lock = threading.Lock()
        self._busy_s = 0.0
        self._wait_s = 0.0
        self._items = 0
        self._bytes = 0

    @contextmanager
    def busy(self, *, items: int = 1) -> Iterator[None]:
        """Count the block's time as work of this stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.add(busy_s=time.perf_counter() - started, items=items)

    def add(self, *, busy_s: float = 0.0, wait_s: float = 0.0, items: int = 0, size: int = 0) -> None:
        """Add figures by hand; `size` in bytes."""
        with self._lock:
            self._busy_s += busy_s
            self._wait_s += wait_s
            self._items += items
            self._bytes += size

    def stat(self) -> StageStat:
        """The figures so far."""
        with self._lock:
            return StageStat(
                stage=self.stage,
                busy_s=self._busy_s,
                wait_s=self._wait_s,
                items=self._items,
                bytes=self._bytes,
                threads=self.threads,
            )


class WallClock:
    """Shares one thread's time out among stages, none of it twice: the innermost block it is in has it."""

    def __init__(self) -> None:
        """Time outside of every block is nobody's."""
        self._stack: list[StageClock] = []
        self._since = time.perf_counter()

    @contextmanager
    def on(self, clock: StageClock) -> Iterator[None]:
        """The thread stands still for the stage, or works in it."""
        self._charge()
        self._stack.append(clock)
        try:
            yield
        finally:
            self._charge()
            self._stack.pop()

    @contextmanager
    def working(self, clock: StageClock, *, items: int = 1) -> Iterator[None]:
        """The thread does the stage's work itself."""
        with self.on(clock), clock.busy(items=items):
            yield

    def waiting(self, values: Iterator[T], clock: StageClock) -> Generator[T, None, None]:
        """The values; the time until each is there is the stage's."""
        while True:
            with self.on(clock):
                value = next(values, None)
            if value is None:
                return
            yield value

    def _charge(self) -> None:
        now = time.perf_counter()
        if self._stack:
            self._stack[-1].add(wait_s=now - self._since)
        self._since = now


@dataclass(frozen=True, kw_only=True, slots=True)
class Bottleneck:
    """The stage that sets the pace, and how much of its capacity was in use."""

    stage: str
    utilisation: float
    """Busy seconds over (wall seconds x threads), 0 to 1."""


def bottleneck(stages: Sequence[StageStat], wall_s: float) -> Bottleneck | None:
    """The stage with the highest utilisation, or None when nothing ran.

    Stages that wait on a network are busy while they wait: a stage near 1 has no capacity left, whatever it waits for.
    """
    if wall_s <= 0 or not stages:
        return None
    used = {s.stage: min(1.0, s.busy_s / (wall_s * max(1, s.threads))) for s in stages}
    stage = max(used, key=lambda name: used[name])
    return Bottleneck(stage=stage, utilisation=used[stage])


MASK: Final = "***"
_SECRETIVE: Final = (
    r"(?:[\w-]*(?:secret|passw(?:or)?d|passphrase|authorization|credential|cookie|signature|access_?key|api_?key"
    r"|account_?key|private_?key|connection_?string)[\w-]*|[\w-]*token|(?:[\w-]*[_-])?(?:pwd|sig))"
)
_SECRET_FIELD: Final = re.compile(_SECRETIVE, re.IGNORECASE)
_URL_USER: Final = re.compile(r"(?:(?<=://)[^/\s?#:]*:[^/\s?#]*|(?<=http://)[^/\s?#]+|(?<=https://)[^/\s?#]+)@")
"""Greedy: a password may hold an `@` that nobody encoded. Without a password it may be a token, but for Azure's
`abfss://container@account`."""
_ASSIGNED: Final = re.compile(
    rf"(?P<name>\b{_SECRETIVE}\\?[\"']?\s*[=:]\s*\\?[\"']?)(?P<kind>(?:basic|bearer)\s+)?[^\s,;&\"'\\)}}\]]+",
    re.IGNORECASE,
)
"""`name=value` and `name: value` inside a text, a signed URL's query among them."""


def masked(text: str) -> str:
    """A text without the credentials in it: of URLs (`user:password@`), and behind a name that says secret."""
    return _ASSIGNED.sub(rf"\g<name>{MASK}", _URL_USER.sub(f"{MASK}@", text))


def mask_secrets(logger: object, method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor: fields named like a secret become `***` whole, texts in all others are `masked`."""
    return {name: _masked_field(name, value) for name, value in event.items()}


def _masked_field(name: object, value: object) -> object:
    if isinstance(name, str) and _SECRET_FIELD.fullmatch(name) and value is not None:
        return MASK
    if isinstance(value, Mapping):
        return {key: _masked_field(key, below) for key, below in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_masked_field(None, below) for below in value]
    if value is None or isinstance(value, (bool, int, float)):
        return value
    spelled = value if isinstance(value, str) else repr(value)
    return value if (safe := masked(spelled)) == spelled else safe


class MaskingFormatter(logging.Formatter):
    """Lines of libraries that log by themselves, tracebacks included, without credentials; as JSON beside our own."""

    def __init__(self, *, as_json: bool = False) -> None:
        super().__init__("%(levelname)s %(name)s: %(message)s")
        self._as_json = as_json

    def format(self, record: logging.LogRecord) -> str:
        """The line, `masked`."""
        if not self._as_json:
            return masked(super().format(record))
        line = {
            "event": record.getMessage(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "timestamp": datetime.fromtimestamp(record.created, UTC).isoformat().replace("+00:00", "Z"),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps({name: masked(text) for name, text in line.items()})


def configure_logging(level: str) -> None:
    """Structured lines on stderr: readable on a terminal, JSON otherwise. stdout belongs to results."""
    as_json = not sys.stderr.isatty()
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            mask_secrets,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(MaskingFormatter(as_json=as_json))
    logging.basicConfig(level=level, handlers=[handler])


log: structlog.stdlib.BoundLogger = structlog.get_logger()
