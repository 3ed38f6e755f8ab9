"""One process or many: `torchrun` starts one for each GPU (or CPU share), and they meet once a step."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn

from training.batches import Part
from workers.errors import ConfigurationError

_LONGEST_WAIT = timedelta(hours=12)
"""The others wait while the first makes cached views or measures the holdout."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Processes:
    """This process among those of the run."""

    device: torch.device
    index: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this one writes files and talks."""
        return self.index == 0

    @property
    def part(self) -> Part:
        """What it makes of each batch."""
        return Part(index=self.index, count=self.count)

    def wait(self) -> None:
        """Until all have come here."""
        if self.count > 1:
            dist.barrier()

    def average(self, tensor: Tensor) -> Tensor:
        """The mean over all processes, in place."""
        if self.count > 1:
            dist.all_reduce(tensor)
            tensor /= self.count
        return tensor

    def average_statistics(self, *modules: nn.Module) -> None:
        """Give all the same batch statistics: each has gathered those of its own part."""
        if self.count > 1:
            for module in modules:
                for buffer in module.buffers():
                    if buffer.is_floating_point():
                        self.average(buffer)

    def agree(self, number: int) -> int:
        """The first one's number."""
        if self.count == 1:
            return number
        held = torch.tensor([number], device=self.device)
        dist.broadcast(held, src=0)
        return int(held.item())


@contextmanager
def joined(device: Literal["auto", "cpu", "cuda"]) -> Iterator[Processes]:
    """Take part in the run: alone, or as one of the processes that `torchrun` started.

    Raises:
        ConfigurationError: a GPU is asked for and there is none.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise ConfigurationError("loop.device is `cuda`, but torch sees no GPU: set it to `auto` or `cpu`")
    on_gpu = device != "cpu" and torch.cuda.is_available()
    count = int(os.environ.get("WORLD_SIZE", "1"))
    place = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0"))) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(place)
    if count == 1:
        yield Processes(device=place)
        return
    dist.init_process_group("nccl" if on_gpu else "gloo", timeout=_LONGEST_WAIT)
    try:
        yield Processes(device=place, index=dist.get_rank(), count=count)
    finally:
        dist.destroy_process_group()
