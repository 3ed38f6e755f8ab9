"""What the loop tells whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from training.fitting.journal import EpochLine


@dataclass(frozen=True, kw_only=True, slots=True)
class Observer:
    """What the loop tells whoever watches; every part may be None."""

    on_stage: Callable[[str, int], None] | None = None
    """A stage begins, with its number of steps."""
    on_step: Callable[[], None] | None = None
    """One step of the stage is done."""
    on_epoch: Callable[[EpochLine], None] | None = None
    """An epoch's line of the log."""
    on_note: Callable[[str], None] | None = None
    """Something a person should know."""

    def stage(self, name: str, steps: int) -> None:
        """Announce a stage."""
        if self.on_stage is not None:
            self.on_stage(name, steps)

    def step(self, _done: int = 1) -> None:
        """Announce a step."""
        if self.on_step is not None:
            self.on_step()

    def epoch(self, line: EpochLine) -> None:
        """Announce the end of an epoch."""
        if self.on_epoch is not None:
            self.on_epoch(line)

    def note(self, text: str) -> None:
        """Say something."""
        if self.on_note is not None:
            self.on_note(text)
