"""How much of a network's bare training speed is left in the real loop: `python -m benchmarks.training`.

Three arms take turns on the same machine, so that a busy minute hits all of them:

* `loop`: the training loop's own steps on images that are decoded and augmented on the fly, with loss, gradient clipping,
  moving average and checks;
* `bare, threads`: forward, backward and optimiser step of the same network on one batch that lies in memory, the batch
  split among threads as the loop does it;
* `bare, torch`: the same with torch's own threads, as a plain script does it.

What is stated is the loop's rate as a share of the faster bare one.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from torch import Tensor, nn

from benchmarks.report import median, show_machine, show_table, spread, write_json
from schemas.model_card import Preprocessing
from training.batches import Batch, Wanted
from training.config import Config, DataConfig, LossConfig, StreamConfig, ViewConfig, changed
from training.datasets.mix import select
from training.datasets.record import DataSet
from training.datasets.sources import load_data_set
from training.fitting.optimiser import make_optimiser
from training.fitting.processes import Processes, joined
from training.fitting.replicas import Replicas
from training.fitting.state import State
from training.model import build_student, normalise
from training.stream import ImageStream

Arm = Callable[[int], float]
"""Number of the round to images a second."""


def main(
    network: Annotated[str, typer.Option(help="resnet18, resnet34, resnet50, resnet101 or seed.")] = "resnet18",
    size: Annotated[int, typer.Option(help="Side of the input in pixels.")] = 128,
    batch: Annotated[int, typer.Option(help="Images of a step.")] = 32,
    steps: Annotated[int, typer.Option(help="Steps of an arm in a round.")] = 20,
    rounds: Annotated[int, typer.Option(help="Turns of every arm, after one to warm up.")] = 5,
    threads: Annotated[int, typer.Option(help="Cores.")] = 2,
    processes: Annotated[int, typer.Option(help="Decoding processes.")] = 2,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    json: Annotated[Path | None, typer.Option(help="Write the figures here too.")] = None,
) -> None:
    """Measure and print a table."""
    config = changed(
        Config(
            recipe="benchmark",
            data=DataConfig(source="drawn", drawn_images=2 * steps * batch, drawn_share=1.0),
            views=ViewConfig(rotation_deg=0.0, quarter_turns=0.0),
            stream=StreamConfig(processes=processes, strong=1),
            loss=LossConfig(soft_label=0.0, pooled=0.0, positions=0.0),
        ),
        [
            *(f"model.architecture={network}", f"model.input_size={size}", f"loop.batch_size={batch}"),
            *(f"loop.threads={threads}", f"loop.device={device}"),
        ],
    )
    console = Console()
    with joined(config.loop.device) as place, _arms(config, place, steps) as arms:
        for arm in arms.values():
            arm(0)
        rates: dict[str, list[float]] = {name: [] for name in arms}
        for turn in range(1, rounds + 1):
            for name, arm in arms.items():
                rates[name].append(arm(turn))
    share = median(rates["loop"]) / max(median(own) for name, own in rates.items() if name != "loop")
    show_machine(console)
    rows = [(name, median(own), spread(own)) for name, own in rates.items()]
    show_table(console, f"{network} at {size} px, batch {batch}, {place.device}", ("arm", "images/s", "spread"), rows)
    console.print(f"The loop reaches {share:.3f} of the bare rate.", highlight=False)
    write_json(json, {"network": network, "size": size, "batch": batch, "rates": rates, "share": share})


@contextmanager
def _arms(config: Config, place: Processes, steps: int) -> Iterator[dict[str, Arm]]:
    data = load_data_set(config.data)
    records = select(data.records, "train")[: steps * config.loop.batch_size]
    feed = ImageStream([records], [1.0], config, attributes=len(data.attributes), pin=place.device.type == "cuda")
    batch = next(iter(list(feed.batches(_wanted(config, 0)))))
    state = State(config, data, place, config_digest="")
    bare = _Bare(config, data, place)
    arms: dict[str, Arm] = {"loop": lambda turn: _timed(lambda: _loop(state, feed, turn), place)}
    if place.device.type == "cpu":
        arms["bare, threads"] = lambda _: _timed(lambda: bare.on_threads(batch, steps), place)
    arms["bare, torch"] = lambda _: _timed(lambda: bare.on_torch(batch, steps), place)
    try:
        yield arms
    finally:
        feed.close()
        state.close()
        bare.close()


def _wanted(config: Config, epoch: int) -> Wanted:
    loop = config.loop
    return Wanted(epoch=epoch, batch_size=loop.batch_size, size=config.model.input_size, erasing=loop.erasing)


def _timed(run: Callable[[], int], place: Processes) -> float:
    """Images a second of something that says how many images it saw."""
    started = time.perf_counter()
    images = run()
    if place.device.type == "cuda":
        torch.cuda.synchronize()
    return images / (time.perf_counter() - started)


def _loop(state: State, feed: ImageStream, turn: int) -> int:
    torch.set_num_threads(1)
    state.student.train()
    for batch in feed.batches(_wanted(state.config, turn)):
        state.step(batch, stop=False)
    state.flush()
    return len(feed)


class _Bare:
    """Forward, backward and optimiser step, and nothing else."""

    def __init__(self, config: Config, data: DataSet, place: Processes) -> None:
        self._config = config
        self._device = place.device
        student = build_student(config, labels=data.labels, attributes=data.attributes)
        self._student = student.to(place.device).to(memory_format=torch.channels_last).train()
        self._optimiser = make_optimiser([self._student], config.loop)
        self._replicas: Replicas[tuple[Tensor, Tensor], None] = Replicas(self._student, config.loop.threads)

    def on_torch(self, batch: Batch, steps: int) -> int:
        torch.set_num_threads(self._config.loop.threads)
        seen = self._seen(batch)
        for _ in range(steps):
            self._optimiser.zero_grad()
            _loss(self._student, seen)[0].backward()  # type: ignore[no-untyped-call]
            self._optimiser.step()
        return steps * len(batch.pixels)

    def on_threads(self, batch: Batch, steps: int) -> int:
        torch.set_num_threads(1)
        count = len(self._replicas)
        shares = list(zip(*(tensor.chunk(count) for tensor in self._seen(batch)), strict=True))
        for _ in range(steps):
            self._replicas.step(shares, _loss)
            self._optimiser.step()
        return steps * len(batch.pixels)

    def close(self) -> None:
        self._replicas.close()

    def _seen(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Normalised images and labels: nothing of it is counted."""
        preprocessing = Preprocessing(input_size=self._config.model.input_size)
        here = batch.to(self._device)
        return normalise(here.pixels, preprocessing.mean, preprocessing.std), here.targets.category


def _loss(student: nn.Module, seen: tuple[Tensor, Tensor]) -> tuple[Tensor, None]:
    images, labels = seen
    with torch.autocast(images.device.type, dtype=torch.bfloat16):
        output = student(images)
    return nn.functional.cross_entropy(output.logits, labels), None


if __name__ == "__main__":
    typer.run(main)
