"""A job as people and programs see it: while it runs, and when it has ended."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from schemas.records import Job, JobActivity
from workers.cli.output import Output, duration, size
from workers.job_json import elapsed_s, images_done, job_json, worked_s
from workers.telemetry import bottleneck


def show_job(output: Output, job: Job) -> None:
    """The report of one job: what was found, what became of it, where the time went."""
    if output.json:
        output.emit(job_json(job))
        return
    counts, seconds, worked = job.counts, elapsed_s(job), worked_s(job)
    rate = f", {images_done(job) / worked:,.0f} images/s" if worked > 0 and images_done(job) else ""
    output.say(
        f"{job.catalog}: {job.kind.value} {job.state.value} in {duration(seconds)}{rate}   (job {job.id[:8]})",
        style="bold",
    )
    found = [
        (counts.seen, "images in the source"),
        (counts.new, "new"),
        (counts.changed, "changed"),
        (counts.unchanged, "unchanged"),
        (counts.retried, "tried again"),
        (counts.ignored, "other files ignored"),
    ]
    became = [
        (counts.indexed, "indexed"),
        (counts.duplicates, "duplicates of indexed bytes"),
        (counts.quarantined, "quarantined"),
        (counts.failed, "failed"),
        (counts.deleted, "deleted"),
        (counts.vanished, "vanished before they were read"),
        (counts.payload_updated, "updated from the manifest"),
        (counts.manifest_orphans, "manifest rows without an image"),
        (job.manifest_problems, "manifest rows left out"),
    ]
    for label, figures in (("found", found), ("result", became)):
        shown = [f"{count:,} {name}" for count, name in figures if count]
        output.say(f"  {label:<7} {', '.join(shown) or 'nothing to do'}")
    _show_stages(output, job)
    if job.error:
        output.say(f"  {job.error}", style="yellow" if job.state.waits_for_a_person else "red")


def activity_line(job: Job, activity: JobActivity) -> str:
    """The same in a line for people."""
    parts = [f"{job.finished:,} of {job.planned:,}{'' if job.scan_complete else '+'} done"]
    if activity.items_per_s is not None:
        parts.append(f"{activity.items_per_s:,.0f} images/s over the last minute")
    if activity.remaining_s is not None:
        parts.append(f"{'about' if job.scan_complete else 'at least'} {duration(activity.remaining_s)} left")
    if activity.oldest_pending_s is not None:
        parts.append(f"oldest batch planned {duration(activity.oldest_pending_s)} ago")
    workers = len(activity.workers)
    parts.append(f"{workers} worker{'' if workers == 1 else 's'} on it")
    return ", ".join(parts)


def _show_stages(output: Output, job: Job) -> None:
    wall_s = sum(stage.wait_s for stage in job.stages)
    if wall_s <= 0 or not any(stage.items for stage in job.stages):
        return
    rows = [
        (
            s.stage,
            s.items,
            size(s.bytes) if s.bytes else None,
            s.busy_s,
            s.threads,
            f"{s.busy_s / (wall_s * s.threads):.0%}",
            s.wait_s,
            f"{s.wait_s / wall_s:.0%}",
        )
        for s in job.stages
        if s.items
    ]
    output.say("")
    output.table(["stage", "#items", "#bytes", "#busy s", "#threads", "#in use", "#wall s", "#of wall"], rows)
    slowest = bottleneck(job.stages, job.wall_s)
    if slowest is not None:
        output.say(f"bottleneck: {slowest.stage} ({slowest.utilisation:.0%} in use over {duration(job.wall_s)})")


class JobProgress:
    """A live bar on stderr with counts, rate and remaining time; silent when stderr is no terminal."""

    def __init__(self, console: Console, *, quiet: bool) -> None:
        """`quiet` forces silence."""
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TextColumn("{task.fields[detail]}"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=quiet or not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=None, detail="")
        self._told: str | None = None

    def __enter__(self) -> JobProgress:
        """Start drawing."""
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self._progress.stop()

    def update(self, job: Job, remark: str | None) -> None:
        """Show where the job stands; a remark is told once."""
        if remark is not None and remark != self._told:
            self._progress.console.print(remark, style="yellow")
        self._told = remark or self._told
        seconds = worked_s(job)
        rate = job.finished / seconds if seconds > 1 and job.finished else 0.0
        bad = job.counts.quarantined + job.counts.failed
        detail = f"{job.finished:,}/{job.planned:,}{'' if job.scan_complete else '+'}  {rate:,.0f}/s"
        detail += f"  {bad:,} quarantined" if bad else ""
        self._progress.update(
            self._task,
            description="indexing" if job.planned else f"scanning {job.counts.seen:,}",
            completed=job.finished,
            total=job.planned if job.scan_complete and job.planned else None,
            detail=detail if job.planned else "",
        )
