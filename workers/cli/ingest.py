"""Commands that make a job and bring it to its end: ingest, reindex, retry, confirm."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from workers.cli.options import DEFAULT_NAME, JobId, Json, Name, Priority

if TYPE_CHECKING:
    from collections.abc import Sequence

    from schemas.extra_field import ExtraField
    from schemas.records import Job, ManifestProblem
    from workers.bootstrap import Process
    from workers.cli.output import Output
    from workers.deployment.port import Deployment, Wish
    from workers.indexing.submit import Submitted

PREVIEW_KEYS = 50
"""Keys a dry run names for a person; --json names all."""
INTERRUPTED = 130
"""128 + SIGINT, as shells report it."""
AWAITING_CONFIRMATION = 3
"""Exit status of a run whose deletes wait for a person: not an error, not done either."""
PAUSED = 4
"""Exit status of a run that was paused, by a person or by the circuit breaker."""


def ingest(
    source: Annotated[str, typer.Argument(help="A folder, s3://bucket/prefix, gs://bucket or az://container.")],
    manifest: Annotated[
        Path | None, typer.Option(help="CSV or Parquet with a row an image: image, product_id, brand, price ...")
    ] = None,
    name: Name = DEFAULT_NAME,
    include: Annotated[
        list[str] | None, typer.Option(help="Only keys that match this glob (repeatable), as 'women/**'.")
    ] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="No keys that match this glob (repeatable).")] = None,
    keep_field: Annotated[
        list[str] | None,
        typer.Option(
            help="A further manifest column to keep (repeatable): `season`, `weight:number` for ranges, `vegan:flag`.",
            metavar="COLUMN[:KIND]",
        ),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Folder of the model bundle, for a new catalog.")] = None,
    allow_deletes: Annotated[
        bool, typer.Option("--allow-deletes", help="Delete vanished images however many they are.")
    ] = False,
    priority: Priority = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan and change nothing.")] = False,
    json: Json = False,
) -> None:
    """Bring a catalog in line with its source: index new and changed images, drop vanished ones."""
    from schemas.records import JobOptions
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment
    from workers.deployment.port import Wish

    output = Output(json=json)
    wish = Wish(
        catalog=name,
        source=source,
        options=JobOptions(include=tuple(include or ()), exclude=tuple(exclude or ()), allow_deletes=allow_deletes),
        manifest=manifest,
        extra_fields=tuple(map(_extra_field, keep_field or ())),
        model=model,
        priority=priority,
    )
    with open_deployment() as there:
        if dry_run:
            _preview(output, there.here("--dry-run"), wish)
            return
        submitted = there.ingest(wish)
        _tell_submitted(output, submitted)
        bring_job_to_end(output, there, submitted.job)


def _extra_field(written: str) -> ExtraField:
    from schemas.extra_field import ExtraField
    from workers.errors import ContractError

    try:
        return ExtraField.parse(written)
    except ValueError as error:
        raise ContractError(f"--keep-field {error}") from None


def reindex(
    name: Name = DEFAULT_NAME,
    model: Annotated[str | None, typer.Option(help="Folder of the model bundle; default: the package's own.")] = None,
    priority: Priority = None,
    json: Json = False,
) -> None:
    """Index a catalog anew with another model; the old index answers until the new one is complete."""
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment

    output = Output(json=json)
    with open_deployment() as there:
        submitted = there.reindex(name, model=model, priority=priority)
        _tell_submitted(output, submitted)
        bring_job_to_end(output, there, submitted.job)


def retry(
    name: Name = DEFAULT_NAME,
    reason: Annotated[
        list[str] | None, typer.Option(help="Only images with this reason (repeatable), as 'access_denied'.")
    ] = None,
    failed_only: Annotated[
        bool, typer.Option("--failed-only", help="Only those whose store or index was down, not the quarantined ones.")
    ] = False,
    priority: Priority = None,
    json: Json = False,
) -> None:
    """Try the quarantined and failed images of a catalog again: all of them, or those chosen."""
    from schemas.records import JobOptions
    from workers.cli.catalogs import read_reason
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment

    output = Output(json=json)
    options = JobOptions(reasons=tuple(read_reason(text) for text in reason or ()), failed_only=failed_only)
    with open_deployment() as there:
        submitted = there.retry(name, options, priority=priority)
        _tell_submitted(output, submitted)
        bring_job_to_end(output, there, submitted.job)


def confirm(job: JobId, json: Json = False) -> None:
    """Allow the deletes that a job waits for."""
    from workers.cli.output import Output
    from workers.deployment.opening import open_deployment

    output = Output(json=json)
    with open_deployment() as there:
        bring_job_to_end(output, there, there.confirm(job))


def bring_job_to_end(output: Output, there: Deployment, job: Job) -> None:
    """Let the job be worked on until it rests, show it, and end the command by what it came to."""
    from schemas.records import JobState

    ended = bring_to_rest(output, there, job)
    if ended.state is JobState.AWAITING_CONFIRMATION:
        raise typer.Exit(AWAITING_CONFIRMATION)
    if ended.state is JobState.PAUSED:
        raise typer.Exit(PAUSED)
    if ended.state is not JobState.DONE:
        raise typer.Exit(1)


def bring_to_rest(output: Output, there: Deployment, job: Job) -> Job:
    """Have a job worked on, with its progress for a person, and show what it came to."""
    from workers.cli.report import JobProgress, show_job

    for ending in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(ending, signal.default_int_handler)  # a shutdown is no crash: it costs no image an attempt
    try:
        with JobProgress(output.err, quiet=output.json) as progress:
            ended = there.follow(job.id, on_progress=progress.update)
    except KeyboardInterrupt:
        if there.works_elsewhere():
            short = job.id[:8]
            output.note(f"the workers go on; follow them with: catalog status {short}, stop: catalog cancel {short}")
        else:
            output.note(f"stopped after the images in hand; to go on with job {job.id[:8]}, run the same command again")
        raise typer.Exit(INTERRUPTED) from None
    show_job(output, ended)
    if not output.json and (ended.counts.quarantined or ended.counts.failed):
        output.say(f"see why: catalog quarantine --name {ended.catalog}")
    return ended


def _tell_submitted(output: Output, submitted: Submitted) -> None:
    if submitted.resumed:
        output.note(f"taking up job {submitted.job.id[:8]}, which was not finished", style="yellow")
    if submitted.manifest.unknown_columns:
        output.note(
            f"manifest columns not kept: {', '.join(submitted.manifest.unknown_columns)} (name them with --keep-field)",
            style="yellow",
        )
    if submitted.manifest.missing_columns:
        output.note(
            f"this manifest lacks the kept fields {', '.join(submitted.manifest.missing_columns)}", style="yellow"
        )
    _tell_problems(output, submitted.manifest.problems)


def _tell_problems(output: Output, problems: Sequence[ManifestProblem], shown: int = 5) -> None:
    for problem in problems[:shown]:
        output.note(f"manifest line {problem.line}: {problem.problem}", style="yellow")
    if len(problems) > shown:
        output.note(f"... and {len(problems) - shown:,} more manifest rows left out", style="yellow")


def _preview(output: Output, process: Process, wish: Wish) -> None:
    """Print what a run would do: an object a key under --json, then the sums."""
    from workers.indexing.plan import Entry, Finding
    from workers.indexing.preview import preview

    listed: list[Entry] = []

    def on_key(entry: Entry) -> None:
        if entry.finding in (Finding.UNCHANGED, Finding.IGNORED):
            return
        if output.json:
            output.emit({"key": entry.key, "plan": entry.finding.value})
        elif len(listed) < PREVIEW_KEYS:
            listed.append(entry)

    name, options, store = wish.catalog, wish.options, process.open_source(wish.source)
    plan, problems = preview(
        name,
        store=store,
        ledger=process.ledger,
        options=options,
        manifest=wish.manifest,
        extra_fields=wish.extra_fields,
        on_key=on_key,
    )
    _tell_problems(output, problems)
    sums = {
        "seen": plan.counts.seen,
        "new": plan.counts.new,
        "changed": plan.counts.changed,
        "retry": plan.counts.retried,
        "payload_updates": plan.payload_updates,
        "unchanged": plan.counts.unchanged - plan.payload_updates,
        "vanished": plan.vanished,
        "ignored": plan.counts.ignored,
        "manifest_orphans": plan.counts.manifest_orphans,
        "manifest_problems": len(problems),
    }
    if output.json:
        needs = plan.needs_confirmation and not options.allow_deletes
        output.emit({"dry_run": True, "catalog": name, "source": store.url, **sums, "needs_confirmation": needs})
        return
    for entry in listed:
        output.say(f"{entry.finding.value:<16} {entry.key}")
    told = sum(sums[kind] for kind in ("new", "changed", "retry", "payload_updates", "vanished", "manifest_orphans"))
    if told > len(listed):
        output.say(f"... and {told - len(listed):,} more")
    output.say(f"plan for {name} from {store.url}, nothing was changed:", style="bold")
    output.say("  " + ", ".join(f"{count:,} {kind.replace('_', ' ')}" for kind, count in sums.items() if count))
    if plan.needs_confirmation and not options.allow_deletes:
        output.say(
            "  the deletes would wait for a confirmation: they are more than 20 % of the catalog", style="yellow"
        )
