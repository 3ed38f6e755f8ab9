"""The ledger's contract: schedules, and fires that are written once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.records import Fire, FireState, JobKind, JobOptions, Schedule
from tests.support.ledgers import PLACES, ledger_in, started
from workers.adapters.ledger import SqlLedger
from workers.adapters.ledger.schedules import KEPT_FIRES_S
from workers.errors import ContractError, NotFoundError

NOON = datetime(2027, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
NIGHTLY = Schedule(
    name="nightly",
    catalog="shop",
    kind=JobKind.SYNC,
    cron="0 3 * * *",
    timezone="Europe/Berlin",
    options=JobOptions(include=("*.jpg",), exclude=("x/**",), allow_deletes=True),
    created_at=NOON,
    next_at=NOON,
)


@pytest.fixture(params=PLACES)
def ledger(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[SqlLedger]:
    with ledger_in(request.param, tmp_path) as opened:
        started(opened)
        yield opened


def due(at: datetime, **values: object) -> Fire:
    return replace(Fire(schedule="nightly", at=at, state=FireState.DUE), **values)  # type: ignore[arg-type]


class TestSchedules:
    def test_one_is_kept_as_it_was_made(self, ledger: SqlLedger) -> None:
        made = ledger.add_schedule(NIGHTLY)
        assert made == replace(NIGHTLY, created_at=made.created_at)
        other = ledger.add_schedule(replace(NIGHTLY, name="monthly", kind=JobKind.REINDEX, model="/models/a"))
        assert ledger.schedule("nightly") == made
        assert ledger.schedules() == [other, made]
        with pytest.raises(ContractError, match="there is a schedule 'nightly' already"):
            ledger.add_schedule(NIGHTLY)
        with pytest.raises(NotFoundError, match="there is no catalog 'nowhere'"):
            ledger.add_schedule(replace(NIGHTLY, name="lost", catalog="nowhere"))

    def test_one_that_is_not_there_is_said_to_be(self, ledger: SqlLedger) -> None:
        with pytest.raises(NotFoundError, match="there is none yet; make one with: catalog schedule add"):
            ledger.schedule("nightly")
        ledger.add_schedule(NIGHTLY)
        for act in (
            lambda: ledger.schedule("night"),
            lambda: ledger.remove_schedule("night"),
            lambda: ledger.enable_schedule("night", enabled=True, next_at=NOON),
            lambda: ledger.add_fire(due(NOON, schedule="night")),
        ):
            with pytest.raises(NotFoundError, match="no schedule 'night': there are nightly"):
                act()

    def test_it_goes_with_its_catalog_and_its_fires_go_with_it(self, ledger: SqlLedger) -> None:
        ledger.add_schedule(NIGHTLY)
        ledger.add_fire(due(NOON))
        ledger.remove_schedule("nightly")
        assert (ledger.fires("nightly"), ledger.due_fires()) == ([], [])
        ledger.add_schedule(NIGHTLY)
        ledger.add_fire(due(NOON))
        ledger.drop_catalog("shop")
        assert (ledger.schedules(), ledger.due_fires()) == ([], [])

    def test_one_that_rests_does_not_move(self, ledger: SqlLedger) -> None:
        made = ledger.add_schedule(NIGHTLY)
        resting = ledger.enable_schedule("nightly", enabled=False, next_at=NOON)
        assert (resting.enabled, resting.next_at) == (False, NOON)
        assert not ledger.move_schedule(made, next_at=NOON + HOUR, fires=[due(NOON)])
        assert ledger.enable_schedule("nightly", enabled=True, next_at=NOON + HOUR).next_at == NOON + HOUR
        assert ledger.fires("nightly") == []


class TestFires:
    def test_only_the_first_moves_on(self, ledger: SqlLedger) -> None:
        made = ledger.add_schedule(NIGHTLY)
        assert ledger.move_schedule(made, next_at=NOON + HOUR, fires=[due(NOON)])
        assert not ledger.move_schedule(made, next_at=NOON + 2 * HOUR, fires=[due(NOON + HOUR)])
        assert ledger.schedule("nightly").next_at == NOON + HOUR
        assert ledger.due_fires() == [due(NOON)]

    def test_a_fire_is_settled_once(self, ledger: SqlLedger) -> None:
        ledger.add_schedule(NIGHTLY)
        ledger.add_fire(due(NOON))
        settled = ledger.settle_fire("nightly", NOON, state=FireState.STARTED, job_id="j", detail=None)
        assert settled == due(NOON, state=FireState.STARTED, job_id="j")
        assert ledger.settle_fire("nightly", NOON, state=FireState.SKIPPED, job_id=None, detail="late") == settled
        ledger.add_fire(due(NOON))
        assert (ledger.fires("nightly"), ledger.due_fires()) == ([settled], [])
        with pytest.raises(NotFoundError, match="'nightly' has no fire at 2027-05-01T13"):
            ledger.settle_fire("nightly", NOON + HOUR, state=FireState.SKIPPED, job_id=None, detail=None)

    def test_they_come_newest_first_and_due_ones_oldest_first(self, ledger: SqlLedger) -> None:
        ledger.add_schedule(NIGHTLY)
        odd = datetime(2027, 5, 1, 12, 0, 0, 123457, tzinfo=UTC)  # a run by hand has microseconds
        for at in (odd, NOON + HOUR, NOON):
            ledger.add_fire(due(at))
        assert [fire.at for fire in ledger.fires("nightly", limit=2)] == [NOON + HOUR, odd]
        assert [fire.at for fire in ledger.due_fires()] == [NOON, odd, NOON + HOUR]
        assert ledger.settle_fire("nightly", odd, state=FireState.FAILED, job_id=None, detail="why").at == odd

    def test_old_ones_are_forgotten_unless_they_are_due(self, ledger: SqlLedger) -> None:
        made = ledger.add_schedule(NIGHTLY)
        old = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=KEPT_FIRES_S) - HOUR
        recent = old + 2 * HOUR
        ledger.add_fire(due(old - HOUR))
        for at in (old, recent):
            ledger.add_fire(due(at, state=FireState.MISSED))
        ledger.move_schedule(made, next_at=NOON + HOUR, fires=[])
        assert [fire.at for fire in ledger.fires("nightly")] == [recent, old - HOUR]
