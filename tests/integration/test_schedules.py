"""Schedules from the clock to the job: each fire once, however many look, whatever died in between."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from schemas.records import FireState, Job, JobKind, JobOptions, JobState, Schedule
from tests.support.ledgers import PLACES, ledger_in
from tests.support.workshops import Indexer, picture, settled
from workers.adapters.object_store.memory import MemoryObjectStore
from workers.errors import ContractError, TransientError
from workers.indexing.schedules import NOTED_MISSES, enable, new_schedule, run_now, tick

NOON = datetime(2027, 5, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
BEATS = 8
FIRES = 20


@pytest.fixture(params=PLACES)
def indexer(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Indexer]:
    with ledger_in(request.param, tmp_path) as ledger:
        made = Indexer(ledger=ledger)
        made.store.put("a.jpg", picture(1))
        made.sync()
        yield made


@pytest.fixture
def local() -> Indexer:
    """On the ledger in memory, for what has nothing to do with the database."""
    made = Indexer()
    made.store.put("a.jpg", picture(1))
    made.sync()
    return made


def scheduled(indexer: Indexer, *, now: datetime = NOON, **values: object) -> Schedule:
    wanted = Schedule(
        name="hourly",
        catalog="shop",
        kind=JobKind.SYNC,
        cron="0 * * * *",
        timezone="UTC",
        options=JobOptions(),
        created_at=now,
        next_at=now,
    )
    return new_schedule(replace(wanted, **values), ledger=indexer.ledger, now=now)  # type: ignore[arg-type]


def states(indexer: Indexer, name: str = "hourly", limit: int = 99) -> list[FireState]:
    """Oldest first."""
    return [fire.state for fire in reversed(indexer.ledger.fires(name, limit=limit))]


def test_any_number_of_beats_start_each_fire_exactly_once(indexer: Indexer) -> None:
    scheduled(indexer)
    before = len(indexer.ledger.jobs(limit=1000))
    started: list[Job] = []
    barrier = threading.Barrier(BEATS)

    def beat(now: datetime) -> None:
        barrier.wait(timeout=60)
        tick(indexer.desk(started.append), now=now)

    with ThreadPoolExecutor(BEATS) as beats:
        for hour in range(1, FIRES + 1):
            list(beats.map(beat, [NOON + hour * HOUR] * BEATS))
            (job,) = indexer.ledger.open_jobs()
            indexer.ledger.finish_job(job.id, JobState.DONE)
    assert len(indexer.ledger.jobs(limit=1000)) - before == FIRES
    assert states(indexer) == [FireState.STARTED] * FIRES
    jobs = [fire.job_id for fire in indexer.ledger.fires("hourly", limit=99)]
    assert len(set(jobs)) == FIRES
    assert {job.id for job in started} == set(jobs)


def test_a_missed_fire_runs_once_after_an_outage(indexer: Indexer) -> None:
    scheduled(indexer)
    (fire,) = tick(indexer.desk(), now=NOON + 5.5 * HOUR)
    assert fire.at == NOON + 5 * HOUR
    assert states(indexer) == [*[FireState.MISSED] * 4, FireState.STARTED]
    assert indexer.ledger.schedule("hourly").next_at == NOON + 6 * HOUR
    settled(indexer.work(indexer.ledger.job(fire.job_id or "")))
    assert tick(indexer.desk(), now=NOON + 5.6 * HOUR) == []
    missed = indexer.ledger.fires("hourly", limit=5)[-1]
    assert missed.detail == "nobody looked in time; made up for by the run of 2027-05-01T17:00:00+00:00"


def test_a_beat_that_dies_between_fire_and_job_is_made_up_for(
    indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(indexer)
    desk = indexer.desk()
    with monkeypatch.context() as dying:
        dying.setattr("workers.indexing.schedules._submit", _die)
        with pytest.raises(KeyboardInterrupt):
            tick(desk, now=NOON + HOUR)
    assert states(indexer) == [FireState.DUE]
    (fire,) = tick(desk, now=NOON + HOUR + timedelta(seconds=5))
    assert (fire.at, fire.state) == (NOON + HOUR, FireState.STARTED)


def test_a_beat_that_dies_between_job_and_settling_makes_no_second_job(
    indexer: Indexer, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(indexer)
    started: list[Job] = []
    with monkeypatch.context() as dying:
        dying.setattr(indexer.ledger, "settle_fire", _die)
        with pytest.raises(KeyboardInterrupt):
            tick(indexer.desk(), now=NOON + HOUR)
    (job,) = indexer.ledger.open_jobs()
    (fire,) = tick(indexer.desk(started.append), now=NOON + HOUR)
    assert (fire.state, fire.job_id, [one.id for one in started]) == (FireState.STARTED, job.id, [job.id])


def _die(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("state", [JobState.RUNNING, JobState.PAUSED, JobState.AWAITING_CONFIRMATION])
def test_one_scan_of_a_catalog_at_a_time(local: Indexer, state: JobState) -> None:
    scheduled(local)
    other = local.submit().job
    if state is JobState.PAUSED:
        local.ledger.pause_job(other.id, error="why")
    else:
        local.ledger.finish_job(other.id, state)
    (fire,) = tick(local.desk(), now=NOON + HOUR)
    assert (fire.state, fire.job_id) == (FireState.SKIPPED, None)
    assert fire.detail == f"one scan at a time: sync {other.id[:8]} was not finished ({state.value})"
    local.ledger.finish_job(other.id, JobState.DONE)
    assert tick(local.desk(), now=NOON + HOUR) == []
    assert [one.state for one in tick(local.desk(), now=NOON + 2 * HOUR)] == [FireState.STARTED]


def test_the_job_does_what_the_schedule_says(local: Indexer) -> None:
    local.store.put("women/b.jpg", picture(2))
    local.store.put("men/c.jpg", picture(3))
    options = JobOptions(include=("women/**",), exclude=("*.png",))
    scheduled(local, options=options)
    (fire,) = tick(local.desk(), now=NOON + HOUR)
    done = settled(local.work(local.ledger.job(fire.job_id or "")))
    assert (done.kind, done.options, done.counts.new) == (JobKind.SYNC, options, 1)


def test_a_reindex_is_scheduled_too(local: Indexer) -> None:
    scheduled(local, kind=JobKind.REINDEX)
    (fire,) = tick(local.desk(), now=NOON + HOUR)
    done = settled(local.work(local.ledger.job(fire.job_id or "")))
    assert (done.kind, done.counts.indexed) == (JobKind.REINDEX, 1)
    assert local.ledger.catalog("shop").active_generation == 2


def test_a_store_that_is_down_leaves_the_fire_due_and_stops_no_other(local: Indexer) -> None:
    scheduled(local)
    other = MemoryObjectStore("other")
    local.ledger.ensure_catalog("other", source_url=other.url)
    scheduled(local, name="other", catalog="other")

    def open_store(url: str) -> object:
        if url != other.url:
            raise TransientError("the store does not answer")
        return other

    desk = replace(local.desk(), open_store=open_store)  # type: ignore[arg-type]
    assert [fire.schedule for fire in tick(desk, now=NOON + HOUR)] == ["other"]
    assert states(local) == [FireState.DUE]
    (healed,) = tick(local.desk(), now=NOON + HOUR)
    assert (healed.schedule, healed.state) == ("hourly", FireState.STARTED)


def test_what_can_never_work_is_noted_as_failed(local: Indexer) -> None:
    scheduled(local)

    def refuse(_: str | None) -> object:
        raise ContractError("the bundle is damaged")

    desk = replace(local.desk(), open_model=refuse)  # type: ignore[arg-type]
    (fire,) = tick(desk, now=NOON + HOUR)
    assert (fire.state, fire.detail) == (FireState.FAILED, "the bundle is damaged")
    assert tick(desk, now=NOON + HOUR) == []


def test_a_broker_that_is_down_loses_no_job(local: Indexer) -> None:
    scheduled(local)

    def unreachable(_: Job) -> None:
        raise TransientError("the broker does not answer")

    (fire,) = tick(local.desk(unreachable), now=NOON + HOUR)
    assert fire.state is FireState.STARTED
    assert [job.id for job in local.ledger.open_jobs()] == [fire.job_id]


def test_a_schedule_that_rests_does_not_fire_and_makes_nothing_up(local: Indexer) -> None:
    scheduled(local)
    enable("hourly", enabled=False, ledger=local.ledger, now=NOON)
    assert tick(local.desk(), now=NOON + 3 * HOUR) == []
    enable("hourly", enabled=True, ledger=local.ledger, now=NOON + 3.5 * HOUR)
    assert tick(local.desk(), now=NOON + 3.6 * HOUR) == []
    assert [fire.at for fire in tick(local.desk(), now=NOON + 4 * HOUR)] == [NOON + 4 * HOUR]
    assert states(local) == [FireState.STARTED]


def test_a_run_by_hand_is_out_of_turn(local: Indexer) -> None:
    made = scheduled(local)
    enable("hourly", enabled=False, ledger=local.ledger, now=NOON)
    fire = run_now(local.desk(), "hourly", now=NOON + timedelta(minutes=7))
    assert fire.state is FireState.STARTED
    again = run_now(local.desk(), "hourly", now=NOON + timedelta(minutes=8))
    assert (again.state, again.job_id) == (FireState.SKIPPED, None)
    assert local.ledger.schedule("hourly").next_at == made.next_at


def test_an_outage_of_a_year_is_over_in_a_moment(local: Indexer) -> None:
    scheduled(local, cron="* * * * *")
    (fire,) = tick(local.desk(), now=NOON + timedelta(days=365, seconds=30))
    assert fire.at == NOON + timedelta(days=365)
    assert states(local, limit=1000) == [*[FireState.MISSED] * NOTED_MISSES, FireState.STARTED]


def test_fires_follow_the_wall_clock_through_the_year(local: Indexer) -> None:
    begin = datetime(2027, 3, 27, 12, tzinfo=UTC)
    scheduled(local, cron="30 2 * * *", timezone="Europe/Berlin", now=begin)
    fired = []
    for hours in range(1, 61):
        for fire in tick(local.desk(), now=begin + hours * HOUR):
            fired.append(fire.at)
            local.ledger.finish_job(fire.job_id or "", JobState.DONE)
    assert [f"{at:%d %H:%M}" for at in fired] == ["28 01:00", "29 00:30"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": ""}, "cannot name a schedule"),
        ({"name": "a/b"}, "cannot name a schedule"),
        ({"kind": JobKind.RETRY}, "a retry job cannot be scheduled: there are sync and reindex"),
        ({"cron": "nightly"}, "is no cron expression"),
        ({"timezone": "Mars"}, "'Mars' is no time zone"),
        ({"kind": JobKind.REINDEX, "options": JobOptions(include=("a",))}, "leave out --include"),
        ({"model": "/m"}, "--model is for --kind reindex"),
        ({"options": JobOptions(include=("!",))}, "glob"),
        ({"catalog": "none"}, "there is no catalog 'none'"),
    ],
)
def test_a_schedule_that_could_never_work_is_refused(local: Indexer, values: dict[str, object], said: str) -> None:
    with pytest.raises(ContractError, match=said):
        scheduled(local, **values)
    assert local.ledger.schedules() == []
