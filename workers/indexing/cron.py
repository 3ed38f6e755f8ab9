"""Cron expressions in a time zone: which instants they mean, days with 23 or 25 hours included."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from workers.errors import ContractError

FIELDS: Final = 5


def upcoming(cron: str, timezone: str, *, after: datetime) -> Iterator[datetime]:
    """The instants behind `after` at which the expression is due, in UTC, for as long as it is asked.

    As Debian's cron: a time that a spring night leaves out is due when the clocks have moved; one that an autumn night
    has twice is due the first time. Expressions with a `*` in the minute or hour follow the wall clock through both.

    Raises:
        ContractError: the expression or the zone is none; the text says what to write.
    """
    zone = _zone(timezone)
    for local in _simulated(cron, after.astimezone(zone)):
        found = local.astimezone(UTC)
        if found > after:  # the simulation has no second 2 o'clock: from there it begins with the first one
            yield found


def next_time(cron: str, timezone: str, *, after: datetime) -> datetime:
    """The first of the `upcoming` instants.

    Raises:
        ContractError: as `upcoming`, or there is none: the 31st of February.
    """
    found = next(upcoming(cron, timezone, after=after), None)
    if found is None:
        raise ContractError(f"the cron expression {cron!r} is never due")
    return found


def _simulated(cron: str, local: datetime) -> CronSim:
    if len(cron.split()) != FIELDS:
        raise ContractError(_faulty(cron, f"it has {len(cron.split())} fields instead of {FIELDS}"))
    try:
        return CronSim(cron, local)
    except CronSimError as error:
        raise ContractError(_faulty(cron, str(error).lower())) from error


def _faulty(cron: str, fault: str) -> str:
    return f"{cron!r} is no cron expression ({fault}): write minute hour day month weekday, as in '0 3 * * *'"


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ContractError(f"{name!r} is no time zone: write an IANA name, as in 'Europe/Berlin' or 'UTC'") from error
