"""Queries through HTTP: `catalog serve` against the server that people write first, in one run.

    python -m benchmarks.query_api                          # about ten minutes on two quiet cores
    python -m benchmarks.query_api --home runs/api          # keeps the filled index and the networks for the next run
    python -m benchmarks.query_api --only vectors --json api.json

100,000 x 512 vectors that lie together as real embeddings do, in a catalog a network, and `catalog serve` over them as its
user starts it. The clients are a process of their own (`http_load.py`) on the same machine. Measured are

    vectors   eight clients, without and with filters, one hit a product; recall@10 of what came back, against exact
    pictures  ResNet-18 and ResNet-50 in int8: one client, then sixteen, beside the rate of the bare engine in whole batches

each in turns with `arms/usual_server.py` (FastAPI, Pillow, torchvision, float32 torch, a numpy scan), same weights and
points.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from rich.console import Console

from benchmarks.clustered import BRANDS, COLOURS, DIMENSION, VIEWS, Clusters, Vectors, make_points, read_shape
from benchmarks.http_load import Ask, Run, json_ask, load, picture_ask
from benchmarks.large_catalog import end_owner
from benchmarks.networks import Weights, prepare_weights
from benchmarks.photographs import photographs
from benchmarks.report import median, show_machine, show_table, spread, write_json
from schemas.collection import CollectionSpec
from schemas.ids import point_id
from schemas.payload import Point
from workers.adapters.bundle import load_bundle
from workers.adapters.vector_index.graph_build import GRAPH_POINTS
from workers.bootstrap import Process
from workers.cluster.state import free_port
from workers.settings import load_settings

NETWORKS: Final = {"resnet18": 160, "resnet50": 224}
"""Input sizes: the default model's, and the usual one."""
CLIENTS: Final = 8
UPLOADERS: Final = 16
LIMIT: Final = 10
RECALL_QUERIES: Final = 200
READY_S: Final = 60.0
FORWARD_BATCHES: Final = 40


@dataclass(kw_only=True, slots=True)
class Figures:
    """Rounds of one row of a table."""

    rates: list[float] = field(default_factory=list)
    milliseconds: list[float] = field(default_factory=list)

    def add(self, run: Run) -> None:
        """Another round; an answer that is none ends the benchmark."""
        if set(run.statuses) != {"200"}:
            raise SystemExit(f"answers other than 200: {run.statuses}")
        self.rates.append(run.per_second)
        self.milliseconds += run.milliseconds

    def quantile(self, share: float) -> float:
        """Of all answers, in milliseconds."""
        return float(np.quantile(self.milliseconds, share))

    def row(self) -> tuple[str, ...]:
        """Rate with its spread, median, 95th and 99th percentile."""
        shares = (f"{self.quantile(share):.1f}" for share in (0.5, 0.95, 0.99))
        return (f"{median(self.rates):,.0f}", spread(self.rates), *shares)

    def to_json(self) -> dict[str, Any]:
        """The same for programs."""
        shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99}
        return {
            "per_s": [round(rate, 1) for rate in self.rates],
            **{name: round(self.quantile(share), 2) for name, share in shares.items()},
        }


def main() -> None:
    """Run what was asked for and print what came out."""
    given = _arguments()
    console = Console(width=130)
    show_machine(console)
    with contextlib.ExitStack() as closing:
        home = given.home or Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="query-api-")))
        bench = Bench(home.absolute(), given, console)
        closing.callback(end_owner, bench.home)
        bench.fill()
        phases: Mapping[str, Callable[[], dict[str, Any]]] = {"vectors": bench.vectors, "pictures": bench.pictures}
        figures = {name: run() for name, run in phases.items() if name in given.only}
    write_json(given.json, {"benchmark": "query_api", "points": given.points, **figures})


class Bench:
    """One filled home, and servers over it."""

    def __init__(self, folder: Path, given: argparse.Namespace, console: Console) -> None:
        """Draw points and queries; the queries are further draws, none of them is in the index."""
        self._folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True, exist_ok=True)
        self._given = given
        self._console = console
        what, self._pictures = photographs(given.pictures)
        console.print(f"query pictures: {what}", highlight=False)
        clusters = Clusters(read_shape())
        self._points: list[Point] = []
        for first in range(0, given.points, 10_000):
            self._points += make_points(clusters.draw(min(10_000, given.points - first)), first=first)
        self._queries: Vectors = clusters.draw(given.queries * VIEWS).vectors[::VIEWS]
        self._weights = {
            name: prepare_weights(name, input_size=size, folder=folder / "networks", pictures=self._pictures)
            for name, size in NETWORKS.items()
        }

    @property
    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("CATALOG_")}
        return {**kept, "CATALOG_HOME": str(self.home)}

    def fill(self) -> None:
        """A catalog for each network, searchable by HNSW."""
        with Process(load_settings(home=self.home)) as process:
            known = {catalog.name for catalog in process.ledger.catalogs()}
            for name, weights in self._weights.items():
                if name not in known:
                    self._console.print(f"filling the catalog {name} ...", highlight=False)
                    self._fill_one(process, name, weights)
                self._wait_for_graph(process, process.ledger.generation(name, 1).collection)

    def _fill_one(self, process: Process, name: str, weights: Weights) -> None:
        bundle = load_bundle(weights.bundle)
        process.keep_bundle(bundle)
        process.ledger.ensure_catalog(name, source_url=self._folder.as_uri())
        made = process.ledger.add_generation(name, model_digest=bundle.card.digest)
        process.index.create(
            CollectionSpec(name=made.collection, catalog=name, dimension=DIMENSION, model_digest=bundle.card.digest)
        )
        process.index.upsert(
            made.collection,
            [
                replace(p, id=point_id(name, p.payload.key), payload=replace(p.payload, catalog=name))
                for p in self._points
            ],
        )
        process.ledger.activate(name, made.number)

    def _wait_for_graph(self, process: Process, collection: str) -> None:
        if len(self._points) < GRAPH_POINTS:
            return
        if not process.index.info(collection).indexed_points:
            process.index.settle(collection)
        while not process.index.info(collection).indexed_points:
            time.sleep(1.0)

    # ---------------------------------------------------------------------------------------------------- vectors

    def vectors(self) -> dict[str, Any]:
        """Eight clients, kind after kind, in rounds."""
        kinds = self._kinds("resnet18")
        usual_kind = [json_ask("/search/vector", {"vector": v.tolist(), "limit": LIMIT}) for v in self._queries]
        ours = {name: Figures() for name in kinds}
        usual = Figures()
        with self._served() as port, self._usual("resnet18") as usual_port:
            for _ in range(self._given.rounds):
                for name, asks in kinds.items():
                    ours[name].add(self._load(port, asks, clients=CLIENTS))
                usual.add(self._load(usual_port, usual_kind, clients=CLIENTS))
            recalls = {name: self._recall(port, asks) for name, asks in kinds.items()}
        rows = [
            (name, *figures.row(), f"{recalls[name]:.4f}" if recalls[name] is not None else "-")
            for name, figures in ours.items()
        ]
        rows.append(("the usual server (numpy scan)", *usual.row(), "1.0000"))
        show_table(
            self._console,
            f"{CLIENTS} clients, {len(self._points):,} points",
            ("query", "answers/s", "rounds", "p50 ms", "p95 ms", "p99 ms", "recall@10"),
            rows,
        )
        ratio = median(next(iter(ours.values())).rates) / median(usual.rates)
        self._console.print(f"ours / the usual server: {ratio:.1f} x", highlight=False)
        return {
            "ours": {name: {**figures.to_json(), "recall": recalls[name]} for name, figures in ours.items()},
            "usual": usual.to_json(),
            "ratio": round(ratio, 2),
        }

    def _kinds(self, catalog: str) -> dict[str, list[Ask]]:
        prices = np.array([point.payload.price for point in self._points], dtype=float)
        filters: dict[str, list[dict[str, Any]]] = {
            "vector": [],
            "50 % (in stock)": [{"field": "in_stock", "any_of": [True]}],
            "5 % (a colour)": [{"field": "colour", "any_of": [COLOURS[3]]}],
            "5 % (price above)": [{"field": "price", "min": float(np.quantile(prices, 0.95))}],
            "0.5 % (a brand)": [{"field": "brand", "any_of": [BRANDS[7]]}],
        }
        plain: dict[str, Any] = {"catalog": catalog, "limit": LIMIT, "group_by": None}
        kinds = {
            name: [
                json_ask("/v1/search", {**plain, "filter": where, "vector_base64": _coded(v)}) for v in self._queries
            ]
            for name, where in filters.items()
        }
        kinds["vector as JSON numbers"] = [
            json_ask("/v1/search", {**plain, "vector": v.tolist()}) for v in self._queries
        ]
        kinds["one hit a product"] = [
            json_ask("/v1/search", {"catalog": catalog, "limit": LIMIT, "vector_base64": _coded(v)})
            for v in self._queries
        ]
        return kinds

    def _recall(self, port: int, asks: Sequence[Ask]) -> float | None:
        """Of ten, how many are among the exact ten."""
        shares = []
        for ask in asks[:RECALL_QUERIES]:
            query = json.loads(ask.body)
            found = _post(port, ask.path, query)
            exact = _post(port, ask.path, {**query, "exact": True})
            wanted = {hit["key"] for hit in exact["hits"]}
            if wanted:
                shares.append(len(wanted & {hit["key"] for hit in found["hits"]}) / len(wanted))
        return round(float(np.mean(shares)), 4) if shares else None

    # --------------------------------------------------------------------------------------------------- pictures

    def pictures(self) -> dict[str, Any]:
        """One and sixteen clients that upload, network after network."""
        return {name: self._pictures_of(name) for name in NETWORKS}

    def _pictures_of(self, name: str) -> dict[str, Any]:
        chosen = random.Random(0).sample(self._pictures, min(256, len(self._pictures)))
        images = [path.read_bytes() for path in chosen]
        asks = [
            picture_ask("/v1/search", image, {"catalog": name, "limit": LIMIT, "group_by": None}) for image in images
        ]
        usual_asks = [picture_ask("/search/image", image, {}) for image in images]
        alone, many, usual_alone, usual_many = Figures(), Figures(), Figures(), Figures()
        forward: list[float] = []
        with self._served() as port, self._usual(name) as usual_port:
            self._load(port, asks, clients=1, seconds=2.0)  # the first one opens the engine
            for _ in range(self._given.rounds):
                forward.append(self._forward_only(name))
                alone.add(self._load(port, asks, clients=1))
                many.add(self._load(port, asks, clients=UPLOADERS))
                usual_alone.add(self._load(usual_port, usual_asks, clients=1))
                usual_many.add(self._load(usual_port, usual_asks, clients=UPLOADERS))
        arms = {
            "ours, 1 client": alone,
            f"ours, {UPLOADERS} clients": many,
            "usual, 1 client": usual_alone,
            f"usual, {UPLOADERS} clients": usual_many,
        }
        show_table(
            self._console,
            f"{name}, {NETWORKS[name]} px, pictures through HTTP",
            ("arm", "answers/s", "rounds", "p50 ms", "p95 ms", "p99 ms"),
            [*((arm, *figures.row()) for arm, figures in arms.items())],
        )
        shares = [mine / bare for mine, bare in zip(many.rates, forward, strict=True)]
        ratio = median(many.rates) / median(usual_many.rates)
        self._console.print(
            f"the engine alone, whole batches: {median(forward):,.0f} images/s; {UPLOADERS} clients reach "
            f"{median(shares):.2f} of it ({min(shares):.2f} to {max(shares):.2f}); ours / usual: {ratio:.1f} x\n",
            highlight=False,
        )
        return {
            **{arm: figures.to_json() for arm, figures in arms.items()},
            "forward_only_per_s": [round(rate, 1) for rate in forward],
            "share_of_forward": round(median(shares), 3),
            "ratio": round(ratio, 2),
        }

    def _forward_only(self, name: str) -> float:
        """Images a second of the engine that a worker uses, on the same pixels again and again."""
        with Process(load_settings(home=self.home)) as process:
            embedder = process.open_embedder(load_bundle(self._weights[name].bundle))
            size = NETWORKS[name]
            pixels = np.random.default_rng(0).integers(0, 256, (embedder.batch_size, size, size, 3), dtype=np.uint8)
            with ThreadPoolExecutor(embedder.parallel) as engine:
                list(engine.map(embedder.embed, [pixels] * 4))
                started = time.perf_counter()
                list(engine.map(embedder.embed, [pixels] * FORWARD_BATCHES))
                return FORWARD_BATCHES * embedder.batch_size / (time.perf_counter() - started)

    # ---------------------------------------------------------------------------------------------------- servers

    def _load(self, port: int, asks: Sequence[Ask], *, clients: int, seconds: float | None = None) -> Run:
        return load(port, asks, clients=clients, seconds=seconds or self._given.seconds, folder=self._folder)

    @contextlib.contextmanager
    def _served(self) -> Iterator[int]:
        port = free_port()
        command = [sys.executable, "-m", "workers", "serve", "--port", str(port)]
        with _running(command, {**self._environment, "CATALOG_LOG_LEVEL": "ERROR"}, port, "/readyz"):
            yield port

    @contextlib.contextmanager
    def _usual(self, name: str) -> Iterator[int]:
        weights = self._weights[name]
        vectors, payloads = self._folder / "vectors.npy", self._folder / "payloads.json"
        if not payloads.exists():
            np.save(vectors, np.stack([point.vector for point in self._points]), allow_pickle=False)
            payloads.write_text(json.dumps([point.payload.to_json() for point in self._points]), encoding="utf-8")
        port = free_port()
        command = [sys.executable, "-m", "benchmarks.arms.usual_server", "--port", str(port)]
        command += ["--vectors", str(vectors), "--payloads", str(payloads), "--architecture", name]
        command += ["--input-size", str(weights.input_size), "--weights", str(weights.bundle / "weights.safetensors")]
        with _running(command, self._environment, port, "/openapi.json"):
            yield port


@contextlib.contextmanager
def _running(command: Sequence[str], environment: Mapping[str, str], port: int, ready: str) -> Iterator[None]:
    process = subprocess.Popen(command, env=dict(environment), stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + READY_S
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}{ready}", timeout=5):
                    break
            except OSError:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"did not come up: {' '.join(command)}") from None
                time.sleep(0.1)
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)


def _post(port: int, path: str, body: dict[str, Any]) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
        found: dict[str, Any] = json.load(answer)
        return found


def _coded(vector: Vectors) -> str:
    return base64.b64encode(vector.astype("<f4").tobytes()).decode()


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, help="keep what was made in this folder")
    parser.add_argument("--points", type=int, default=100_000)
    parser.add_argument("--queries", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0, help="of every load")
    parser.add_argument("--pictures", type=Path, help="a folder of photographs to ask with")
    parser.add_argument("--only", nargs="+", choices=("vectors", "pictures"), default=("vectors", "pictures"))
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
