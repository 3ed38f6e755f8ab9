"""The loss and its parts, a module a task."""

from training.losses.targets import Targets
from training.losses.total import total_loss

__all__ = ["Targets", "total_loss"]
