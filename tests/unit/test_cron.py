"""Which instants a cron expression means, on the days on which clocks are changed above all."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice

import pytest

from workers.errors import ContractError
from workers.indexing.cron import next_time, upcoming

BERLIN = "Europe/Berlin"
SPRING = datetime(2027, 3, 27, 12, tzinfo=UTC)
"""The day before Berlin's clocks go from 2:00 to 3:00 (1:00 UTC)."""
AUTUMN = datetime(2027, 10, 30, 12, tzinfo=UTC)
"""The day before they go from 3:00 back to 2:00 (1:00 UTC)."""


def times(cron: str, timezone: str, after: datetime, count: int) -> list[str]:
    return [f"{at:%d %H:%M}" for at in islice(upcoming(cron, timezone, after=after), count)]


def test_a_time_is_read_in_its_zone_and_told_in_utc() -> None:
    after = datetime(2027, 1, 10, 2, 0, tzinfo=UTC)
    assert times("0 3 * * *", BERLIN, after, 2) == ["11 02:00", "12 02:00"]
    assert times("0 3 * * *", "UTC", after, 2) == ["10 03:00", "11 03:00"]
    assert times("0 3 * * *", "America/New_York", after, 1) == ["10 08:00"]


def test_a_time_that_a_spring_night_leaves_out_is_due_when_the_clocks_have_moved() -> None:
    assert times("30 2 * * *", BERLIN, SPRING, 3) == ["28 01:00", "29 00:30", "30 00:30"]


def test_a_time_that_an_autumn_night_has_twice_is_due_once() -> None:
    assert times("30 2 * * *", BERLIN, AUTUMN, 2) == ["31 00:30", "01 01:30"]
    between = datetime(2027, 10, 31, 1, 10, tzinfo=UTC)  # the second 2:10
    assert times("30 2 * * *", BERLIN, between, 1) == ["01 01:30"]


@pytest.mark.parametrize(("before", "hours"), [(SPRING, 23), (AUTUMN, 25)])
def test_every_quarter_of_an_hour_is_one_on_days_of_any_length(before: datetime, hours: int) -> None:
    midnight = datetime(before.year, before.month, before.day, tzinfo=UTC) + timedelta(hours=24)
    midnight -= timedelta(hours=1 if before is SPRING else 2)  # of Berlin
    day = list(islice(upcoming("*/15 * * * *", BERLIN, after=midnight - timedelta(minutes=1)), hours * 4))
    assert day == [midnight + timedelta(minutes=15 * n) for n in range(hours * 4)]
    assert day[-1] + timedelta(minutes=15) == midnight + timedelta(hours=hours)


@pytest.mark.parametrize("cron", ["30 2 * * *", "*/15 * * * *", "0 */6 * * 1-5", "15 2 31 10 *"])
@pytest.mark.parametrize("before", [SPRING, AUTUMN])
def test_asking_from_any_moment_on_gives_the_same_times(cron: str, before: datetime) -> None:
    expected = list(islice(upcoming(cron, BERLIN, after=before), 6))
    at, found = before, []
    while len(found) < 6:
        at = next_time(cron, BERLIN, after=at)
        found.append(at)
    assert found == expected
    assert found == sorted(set(found))


@pytest.mark.parametrize(
    ("cron", "timezone", "said"),
    [
        ("0 3 * *", "UTC", "it has 4 fields instead of 5"),
        ("0 0 3 * * *", "UTC", "it has 6 fields instead of 5"),
        ("", "UTC", "it has 0 fields instead of 5"),
        ("61 3 * * *", "UTC", r"bad minute.*write minute hour day month weekday, as in '0 3 \* \* \*'"),
        ("0 3 * * someday", "UTC", "bad day-of-week"),
        ("0 3 31 2 *", "UTC", "bad day-of-month"),
        ("0 3 * * *", "Europe/Nowhere", "'Europe/Nowhere' is no time zone: write an IANA name, as in 'Europe/Berlin'"),
        ("0 3 * * *", "../../etc/passwd", "is no time zone"),
        ("0 3 * * *", "", "is no time zone"),
        ("0 3 * * *", "Europe", "is no time zone"),
    ],
)
def test_what_is_no_schedule_says_so(cron: str, timezone: str, said: str) -> None:
    with pytest.raises(ContractError, match=said):
        next_time(cron, timezone, after=SPRING)
