"""The training loop: one epoch after another, each with its checkpoint and its line in the log."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from training.batches import Feed, Wanted
from training.checkpoint import Progress
from training.config import Config
from training.datasets.sources import load_data_set
from training.fitting.checks import check_data, check_settings
from training.fitting.feeds import make_feed
from training.fitting.journal import EpochLine, Journal
from training.fitting.monitor import Monitor, Scores
from training.fitting.observer import Observer
from training.fitting.processes import Processes, joined
from training.fitting.schedule import plan_epochs, size_at
from training.fitting.state import State
from training.fitting.steps import JUDGED, RIGHT, TrainingError
from training.networks.start import read_weights
from training.run_folder import (
    BEST,
    CONFIG,
    LAST,
    LOG,
    begin,
    config_digest,
    periodic,
    refuse_missing,
    refuse_other_data,
    refuse_used,
)

__all__ = ["BEST", "CONFIG", "LAST", "LOG", "EpochLine", "Observer", "TrainingError", "fit"]


@dataclass(frozen=True, kw_only=True, slots=True)
class _Stage:
    """What a run works with."""

    config: Config
    run: Path
    state: State
    feed: Feed
    monitor: Monitor | None
    journal: Journal | None
    """Only the first process measures and writes."""
    observer: Observer
    processes: Processes
    stop: Callable[[], bool]

    @property
    def steps_an_epoch(self) -> int:
        return len(self.feed) // self.config.loop.batch_size


def fit(
    config: Config,
    run: Path,
    *,
    cache: Path,
    resume: bool = False,
    start_from: Path | str | None = None,
    observer: Observer | None = None,
    stop: Callable[[], bool] | None = None,
) -> Progress:
    """Train until the schedule ends; `run` then holds config, data, log and the checkpoints `last` and `best`.

    Args:
        config: The resolved settings; saved with the run.
        run: The run's folder; must be empty or new unless `resume`.
        cache: Where views are kept between runs, if a teacher is asked.
        resume: Go on after the step of the checkpoint `last`. Without a time budget the weights come out as if never
            stopped.
        start_from: What `training.networks.start.read_weights` reads: this run starts from those weights.
        observer: Told of stages, steps and epochs.
        stop: Asked after every step; once it says yes, a checkpoint is written and the progress so far returned.

    Raises:
        ConfigurationError: the folder holds another run, the settings do not go together or not with the data, or there is
            nothing to resume.
        TrainingError: the loss is no longer finite.
        CheckpointWriteError: the disk is full.
    """
    with joined(config.loop.device) as processes:
        if processes.first:
            (refuse_missing if resume else refuse_used)(run)
        torch.set_num_threads(1)  # of one operation: a step's threads run replicas
        weights = None if start_from is None or resume else read_weights(str(start_from), config.model)
        if weights is not None:
            config = replace(config, loop=replace(config.loop, start_from=weights.origin))
        check_settings(config, processes)
        data = load_data_set(config.data)
        check_data(config, data)
        if processes.first:
            refuse_other_data(run, data) if resume else begin(run, config, data)
        processes.wait()
        watching = (observer or Observer()) if processes.first else Observer()
        feed = make_feed(data, config, cache, processes, watching)
        state = State(config, data, processes, config_digest=config_digest(run))
        if resume:
            state.load(run / LAST)
        elif weights is not None:
            _say_what_is_random(state.start_from(weights), watching)
        journal = Journal(run, epoch=state.progress.epoch, steps=state.progress.steps) if processes.first else None
        stage = _Stage(
            config=config,
            run=run,
            state=state,
            feed=feed,
            monitor=Monitor(data, config) if processes.first else None,
            journal=journal,
            observer=watching,
            processes=processes,
            stop=stop or _never,
        )
        try:
            _run_epochs(stage)
        finally:
            _close(stage)
        return state.progress


def _run_epochs(stage: _Stage) -> None:
    while stage.state.progress.share < 1.0:
        if not _epoch(stage):
            return
        scores = _measure(stage)
        _end_epoch(stage, scores)


def _epoch(stage: _Stage) -> bool:
    """The steps that are left of an epoch; False if the run was stopped within it, with a checkpoint written."""
    state, loop = stage.state, stage.config.loop
    planned = state.progress.planned_epochs or loop.epochs
    if state.progress.step == 0:
        state.progress = replace(state.progress, size=size_at(loop, state.progress.share), planned_epochs=planned)
    begun, size = state.progress, state.progress.size
    stage.observer.stage(f"epoch {begun.epoch + 1} of {planned} at {size} px", stage.steps_an_epoch - begun.step)
    wanted = Wanted(
        epoch=begun.epoch,
        batch_size=loop.batch_size,
        size=size,
        erasing=loop.erasing,
        start=begun.step,
        part=stage.processes.part,
    )
    left = max(1, planned - begun.epoch) * stage.steps_an_epoch - begun.step
    started = time.monotonic()
    state.student.train()
    for batch in stage.feed.batches(wanted):
        stopped = state.step(batch, stop=stage.stop())
        share = state.progress.share
        state.progress = replace(
            state.progress,
            share=share + (1 - share) / left,
            epoch_seconds=begun.epoch_seconds + time.monotonic() - started,
        )
        left -= 1
        stage.observer.step()
        if stopped or (loop.checkpoint_every_steps and state.progress.steps % loop.checkpoint_every_steps == 0):
            state.save(stage.run / LAST)
        if stopped:
            return False
    state.flush()
    return True


def _measure(stage: _Stage) -> Scores:
    """Figures of the averaged network; the other processes wait for the first, and nothing of theirs is measured."""
    state = stage.state
    stage.processes.average_statistics(state.student, state.ema)
    scores = Scores(errors={}, figures={})
    if stage.monitor is not None:
        started = time.monotonic()
        scores = stage.monitor.measure(state.ema, stage.processes.device)
        spent = time.monotonic() - started
        state.progress = replace(state.progress, epoch_seconds=state.progress.epoch_seconds + spent)
    stage.processes.wait()
    return scores


def _end_epoch(stage: _Stage, scores: Scores) -> None:
    """Advance the progress to the next epoch, write the line of the log, then the checkpoints."""
    state, loop = stage.state, stage.config.loop
    ended = state.progress
    planned, epoch = ended.planned_epochs, ended.epoch + 1
    best = scores.score is not None and scores.score >= ended.best_score
    done = replace(
        ended,
        epoch=epoch,
        step=0,
        share=1.0 if epoch >= planned else ended.share,
        seconds=ended.seconds + ended.epoch_seconds,
        epoch_seconds=0.0,
        work=ended.work + ended.size**2,
        sums={},
        best_score=scores.score if best and scores.score is not None else ended.best_score,
    )
    plan = plan_epochs(loop, done, planned, last_epoch_s=ended.epoch_seconds, last_size=ended.size)
    state.progress = replace(done, planned_epochs=stage.processes.agree(plan))
    line = _line(stage, ended, scores)
    if stage.journal is not None:
        stage.journal.write(line)
    paths = [stage.run / BEST] if best else []
    if loop.keep_every_epochs and epoch % loop.keep_every_epochs == 0:
        paths.append(stage.run / periodic(epoch))
    state.save(*paths, stage.run / LAST)
    stage.observer.epoch(line)


def _line(stage: _Stage, ended: Progress, scores: Scores) -> EpochLine:
    now, steps = stage.state.progress, stage.steps_an_epoch
    sums = dict(ended.sums)
    right, judged = sums.pop(RIGHT), sums.pop(JUDGED)
    return EpochLine(
        epoch=now.epoch,
        planned_epochs=now.planned_epochs,
        steps=now.steps,
        share=now.share,
        size=ended.size,
        learning_rate=ended.learning_rate,
        loss={name: value / steps for name, value in sums.items()},
        errors={**({"train": 1 - right / judged} if judged else {}), **scores.errors},
        figures=dict(scores.figures),
        score=scores.score,
        best_score=now.best_score,
        seconds=ended.epoch_seconds,
        total_seconds=now.seconds,
        images_per_s=steps * stage.config.loop.batch_size / max(ended.epoch_seconds, 1e-9),
    )


def _say_what_is_random(names: tuple[str, ...], observer: Observer) -> None:
    if names:
        observer.note(f"the start weights lack {', '.join(names)}: these begin at random")


def _close(stage: _Stage) -> None:
    stage.feed.close()
    stage.state.close()
    if stage.journal is not None:
        stage.journal.close()


def _never() -> bool:
    return False
