"""Jobs over HTTP: submit, look, steer. What is answered of a job is what `catalog status --json` prints of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query
from starlette.responses import Response

from schemas.api import JobInfo, JobList, PauseRequest, PriorityRequest, Submitted, WorkerList
from schemas.ids import new_id
from schemas.messages import JobRequest, UpdateRequest
from schemas.records import Job, JobState
from workers import dispatch, steering
from workers.bootstrap import Process
from workers.errors import ContractError, NotFoundError
from workers.job_json import activity_json, details_json, job_json, problems_json, worker_json
from workers.ports.inbox import MAX_JOB_KEYS
from workers.submission import submit
from workers.web.answers import Json
from workers.web.dependencies import LOCAL_ADMIN, Administrator, Caller, Ingester, Services, ServicesOf

MAX_JOBS: Final = 1000
"""Jobs that a list is taken from, the newest ones."""
SHOWN_PROBLEMS: Final = 10

router = APIRouter(prefix="/v1", tags=["jobs"])


def found_job(process: Process, caller: Caller, job_id: str) -> Job:
    """The job, by its id or an unambiguous prefix, when the caller may use its catalog.

    Raises:
        NotFoundError: there is none, or it is another catalog's: which of both is not told.
    """
    if caller.catalogs is None:
        return process.ledger.job(job_id)
    try:
        job = process.ledger.job(job_id)
    except ContractError as error:  # ambiguous: the text would name others' jobs
        raise NotFoundError(f"there is no job {job_id}") from error
    if not caller.may_use(job.catalog):
        raise NotFoundError(f"there is no job {job_id}")
    return job


def list_json(job: Job) -> dict[str, Any]:
    """A job of a list."""
    return job_json(job) | details_json(job)


def whole_json(process: Process, job: Job) -> dict[str, Any]:
    """A job that was asked for by its id: also what it is doing now."""
    problems = process.ledger.manifest_problems(job.id, limit=SHOWN_PROBLEMS) if job.manifest_problems else ()
    return list_json(job) | activity_json(process.ledger.activity(job.id)) | {"problems": problems_json(problems)}


@router.post("/jobs", status_code=202, response_model=Submitted)
async def submit_job(
    request: JobRequest,
    services: ServicesOf,
    caller: Ingester,
    idempotency_key: Annotated[str | None, Header(min_length=1, max_length=200)] = None,
) -> Response:
    """Make a job: a sync, a reindex, a retry, a look at keys, an update of product fields.

    An answer of 202 says that it is committed; workers take it up by themselves. The same `Idempotency-Key` again answers
    the jobs it made before. An update of more than 5,000 images, and a look at keys during a reindex, make several.
    """
    caller.check_catalog(request.catalog)
    jobs, images = await services.run(_submit, services.process, caller, request, idempotency_key)
    body = {"jobs": [list_json(job) for job in jobs], "images": images}
    return Json(body, status_code=202, headers={"Location": f"/v1/jobs/{jobs[0].id}"})


def _submit(
    process: Process, caller: Caller, request: JobRequest, idempotency_key: str | None
) -> tuple[Sequence[Job], int | None]:
    made = submit(
        process, request, idempotency_key=idempotency_key or new_id(), from_elsewhere=caller is not LOCAL_ADMIN
    )
    for job in made:
        if not job.state.is_final:
            dispatch.set_going(process, job)
    if not isinstance(request, UpdateRequest):
        return made, None
    return made, sum(len(process.ledger.job_keys(job.id, limit=MAX_JOB_KEYS)) for job in made)


@router.get("/jobs", response_model=JobList)
async def list_jobs(
    services: ServicesOf,
    caller: Ingester,
    catalog: Annotated[str | None, Query(min_length=1, max_length=48)] = None,
    state: JobState | None = None,
    limit: Annotated[int, Query(ge=1, le=MAX_JOBS)] = 20,
) -> Response:
    """Jobs, newest first; of the newest 1,000 those in a state, where one is given."""
    if catalog is not None:
        caller.check_catalog(catalog)
    names: Sequence[str | None] = [catalog] if catalog is not None or caller.catalogs is None else caller.catalogs
    jobs = await services.run(_jobs, services.process, names, state, limit)
    return Json({"jobs": [list_json(job) for job in jobs]})


def _jobs(process: Process, names: Sequence[str | None], state: JobState | None, limit: int) -> list[Job]:
    taken = limit if state is None else MAX_JOBS
    found = [job for name in names for job in process.ledger.jobs(catalog=name, limit=taken)]
    fitting = [job for job in found if state is None or job.state is state]
    return sorted(fitting, key=lambda job: job.created_at, reverse=True)[:limit]


@router.get("/jobs/{job_id}", response_model=JobInfo)
async def one_job(job_id: str, services: ServicesOf, caller: Ingester) -> Response:
    """One job, with what it is doing now; the first characters of its id will do."""
    return await _answered(services, caller, job_id, lambda _process, job: job)


@router.post("/jobs/{job_id}/cancel", response_model=JobInfo)
async def cancel_job(job_id: str, services: ServicesOf, caller: Ingester) -> Response:
    """Stop a job after the images in hand; what is indexed stays. One that has ended is answered as it is."""
    return await _answered(services, caller, job_id, lambda process, job: dispatch.cancel(process, job.id))


@router.post("/jobs/{job_id}/pause", response_model=JobInfo)
async def pause_job(
    job_id: str, services: ServicesOf, caller: Ingester, request: PauseRequest | None = None
) -> Response:
    """Let a job rest: the images in hand are finished, no batch is handed out until it is resumed."""
    reason = request.reason if request is not None else None
    return await _answered(services, caller, job_id, lambda p, job: steering.pause(p, job.id, reason=reason))


@router.post("/jobs/{job_id}/resume", response_model=JobInfo)
async def resume_job(job_id: str, services: ServicesOf, caller: Ingester) -> Response:
    """Let a paused job go on."""
    return await _answered(services, caller, job_id, lambda process, job: steering.resume(process, job.id))


@router.post("/jobs/{job_id}/confirm", response_model=JobInfo)
async def confirm_job(job_id: str, services: ServicesOf, caller: Ingester) -> Response:
    """Allow the deletes that a job waits for."""
    return await _answered(services, caller, job_id, lambda process, job: steering.confirm(process, job.id))


@router.post("/jobs/{job_id}/priority", response_model=JobInfo)
async def prioritise_job(job_id: str, request: PriorityRequest, services: ServicesOf, caller: Ingester) -> Response:
    """Let a job be served before or after others from now on."""
    return await _answered(services, caller, job_id, lambda p, job: steering.prioritise(p, job.id, request.priority))


@router.get("/workers", response_model=WorkerList, tags=["workers"])
async def list_workers(services: ServicesOf, _: Administrator) -> Response:
    """Workers that gave a sign of life within a day: what each does, and since when one is silent."""
    found = await services.run(services.process.ledger.workers)
    return Json({"workers": [worker_json(worker) for worker in found]})


async def _answered(services: Services, caller: Caller, job_id: str, act: Callable[[Process, Job], Job]) -> Response:
    def answer() -> dict[str, Any]:
        process = services.process
        return whole_json(process, act(process, found_job(process, caller, job_id)))

    return Json(await services.run(answer))
