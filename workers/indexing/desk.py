"""Where events arrive: matched to catalogs and put into the inbox."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from schemas.records import AskedKey, Catalog
from workers.errors import NotFoundError
from workers.indexing.events import Notification
from workers.indexing.sources import catalogs_of
from workers.ports import Ledger
from workers.telemetry import log

FRESH_S: Final = 2.0
"""How long a list of catalogs is believed: an event for one that was made just now is about an image its first sync sees."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """What became of a message. When it is given, what was posted is committed."""

    posted: int = 0
    """Keys put into inboxes."""
    unmatched: int = 0
    """Events about objects of no catalog."""
    passed_over: int = 0


class EventDesk:
    """Takes notifications for all catalogs of a ledger, or for one. Thread-safe; any number may be open."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._catalogs: tuple[float, Sequence[Catalog]] = (-FRESH_S, ())

    def accept(self, notifications: Iterable[Notification], *, only: str | None = None) -> Receipt:
        """Post what the notifications say; a duplicate costs a look at most.

        Raises:
            NotFoundError: there is no catalog `only`.
            TransientError: the ledger does not answer; nothing or some of it was posted, and all may be posted again.
        """
        catalogs = [self._ledger.catalog(only)] if only is not None else self._known()
        asked: dict[str, list[AskedKey]] = {}
        unmatched = passed_over = 0
        for notification in notifications:
            passed_over += notification.passed_over
            if notification.subscription_url is not None:
                log.warning("SNS asks to be confirmed: visit the address", url=notification.subscription_url)
            for event in notification.events:
                found = catalogs_of(catalogs, event.bucket, event.key)
                unmatched += not found
                for catalog, key in found:
                    asked.setdefault(catalog.name, []).append(AskedKey(key=key))
        if unmatched:
            log.warning("events about objects of no catalog were dropped", events=unmatched)
        posted = sum(self._post(name, keys) for name, keys in sorted(asked.items()))
        return Receipt(posted=posted, unmatched=unmatched, passed_over=passed_over)

    def _post(self, name: str, asked: Sequence[AskedKey]) -> int:
        try:
            self._ledger.post(name, asked)
        except NotFoundError:  # dropped since the catalogs were read
            return 0
        return len({one.key for one in asked})

    def _known(self) -> Sequence[Catalog]:
        read_at, catalogs = self._catalogs
        if time.monotonic() - read_at >= FRESH_S:
            catalogs = self._ledger.catalogs()
            self._catalogs = (time.monotonic(), catalogs)
        return catalogs
