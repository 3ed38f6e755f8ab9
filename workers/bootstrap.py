"""The composition root: settings in, ports out. Nothing else constructs an adapter."""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from schemas.model_card import ModelCard, Preprocessing
from schemas.outcomes import OutcomeKind, Reason
from schemas.records import Job, Lease, Outcome, WorkItem
from workers.adapters.bundle import Bundle, default_bundle, load_bundle
from workers.adapters.bundle_home import BundleHome
from workers.adapters.bundle_shelf import BundleShelf, split_bundle_url
from workers.adapters.embedder.choice import EngineChoice, EngineWish, choose_engine, look_around
from workers.adapters.embedder.opening import EngineOptions, open_engine
from workers.adapters.ledger import open_ledger
from workers.adapters.object_store import StoreOptions, open_store
from workers.adapters.object_store.endpoints import canonical_endpoint
from workers.adapters.vector_index.client import SocketIndex
from workers.errors import ConfigurationError, ItemError
from workers.imaging.decode import DecodeLimits
from workers.indexing.breaker import Breaker
from workers.indexing.inbox import Publish
from workers.indexing.jobs import Attendance, Workshop
from workers.indexing.pipeline import OnStall, Pace
from workers.indexing.schedules import Desk, OfferedModel
from workers.indexing.sources import check_source
from workers.ports import Embedder, Ledger, ObjectStore, VectorIndex
from workers.query.batching import BatchingEmbedder
from workers.query.resolver import Resolver
from workers.settings import Settings, load_settings
from workers.telemetry import configure_logging, log

STALL_EXIT_CODE = 70
"""EX_SOFTWARE of sysexits.h."""
PARITY_IMAGES = 32
"""That a GPU engine is compared on with the bundle's graph before its first use. Drawing them takes a second; the lowest
cosine of the default bundle is 0.997 over them and 0.994 over 341 photographs, so they stand for photographs well enough."""

SERVING_BATCHES = (1, 2, 4, 8)
"""Images of the batches that concurrent queries share. The graph is compiled for each: a padded batch costs a full one."""


class Process:
    """What one process holds: adapters are opened at their first use, shared by its threads, and closed together."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is opened yet."""
        self.settings = settings
        self._closing = ExitStack()
        self._lock = threading.RLock()
        self._engines_lock = threading.RLock()
        """Loading a model takes a second or two, in which nobody else should wait for the ledger or the index."""
        self._ledger: Ledger | None = None
        self._index: VectorIndex | None = None
        self._stores: dict[str, ObjectStore] = {}
        self._shelf: BundleShelf | None = None
        self._embedders: dict[tuple[str, bool], Embedder] = {}
        self._serving: dict[str, BatchingEmbedder] = {}
        self._cards: dict[str, ModelCard] = {}
        self._resolver: Resolver | None = None

    def __enter__(self) -> Process:
        """Use as a context: what was opened is closed at its end."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close every adapter, last opened first."""
        self._closing.close()

    @property
    def home(self) -> Path:
        """Folder of the embedded default, made at first use.

        Raises:
            ConfigurationError: it cannot be made or written to.
        """
        home = self.settings.home.absolute()
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"CATALOG_HOME {home} cannot be made: {error.strerror}") from error
        if not os.access(home, os.W_OK | os.X_OK):
            raise ConfigurationError(f"CATALOG_HOME {home} is not writable")
        return home

    @property
    def ledger(self) -> Ledger:
        """The ledger; SQLite under `home` unless CATALOG_LEDGER_URL says otherwise."""
        with self._lock:
            if self._ledger is None:
                if self.settings.ledger_url is None:
                    _ = self.home
                self._ledger = open_ledger(self.settings.resolved_ledger_url)
                self._closing.callback(self._ledger.close)
            return self._ledger

    @property
    def index(self) -> VectorIndex:
        """The vector index: a Qdrant server where CATALOG_INDEX_URL names one, else the embedded one through its owner."""
        with self._lock:
            if self._index is None:
                self._index = self._open_index()
                self._closing.callback(self._index.close)
            return self._index

    def _open_index(self) -> VectorIndex:
        s = self.settings
        if s.index_url is None:
            return SocketIndex(self.home)
        from workers.adapters.vector_index.qdrant import QdrantIndex
        from workers.adapters.vector_index.qdrant_connection import ServerOptions
        from workers.adapters.vector_index.qdrant_layout import LayoutOptions

        return QdrantIndex(
            s.index_url,
            server=ServerOptions(
                api_key=s.index_api_key.get_secret_value() if s.index_api_key is not None else None,
                allow_http=s.index_allow_http,
                grpc=s.index_grpc,
                grpc_port=s.index_grpc_port,
                timeout_s=s.index_timeout_s,
            ),
            layout=LayoutOptions(
                expected_points=s.index_expected_images,
                shards=s.index_shards,
                replicas=s.index_replicas,
                write_consistency=s.index_write_consistency,
            ),
        )

    def index_place(self) -> str:
        """Where the index is and which version answers there, for a person.

        Raises:
            TransientError, ConfigurationError: the server does not answer, or cannot be used.
        """
        if self.settings.index_url is None:
            return "embedded"
        from workers.adapters.vector_index.qdrant import QdrantIndex

        if not isinstance(self.index, QdrantIndex):
            raise TypeError("an index with a URL is a Qdrant server")
        wire = "gRPC" if self.settings.index_grpc else "REST"
        return f"Qdrant {self.index.server_version()} at {self.settings.index_url} ({wire})"

    def store(self, url: str) -> ObjectStore:
        """The object store of a source URL, opened once.

        Raises:
            ContractError: CATALOG_SOURCES does not allow it.
            ConfigurationError: it cannot be opened.
        """
        with self._lock:
            return self._stores[url] if url in self._stores else self._stores.setdefault(url, self._open_allowed(url))

    def open_source(self, source: str) -> ObjectStore:
        """The store of a source as a person names it: a folder's path or a URL. Raises as `store`."""
        with self._lock:
            store = self._open_allowed(source)
            return self._stores.setdefault(store.url, store)

    def source_url(self, source: str) -> str:
        """The one spelling of a source's URL; nothing is asked of the store, and none stays open.

        Raises:
            ContractError, ConfigurationError: it names no source.
        """
        store = open_store(source, self.store_options)
        store.close()
        return store.url

    def _open_allowed(self, source: str) -> ObjectStore:
        """Opening asks nothing of the store yet, and gives the one spelling of its URL that the check is about."""
        store = open_store(source, self.store_options)
        self._closing.callback(store.close)
        check_source(store.url, self._allowed_sources)
        return store

    @property
    def _allowed_sources(self) -> str | None:
        """CATALOG_SOURCES, where a bucket without an endpoint is one at CATALOG_S3_ENDPOINT_URL."""
        s = self.settings
        if s.sources is None or s.s3_endpoint_url is None:
            return s.sources
        at = "?endpoint=" + canonical_endpoint(s.s3_endpoint_url, allow_http=s.s3_allow_http)
        prefixes = [prefix.strip() for prefix in s.sources.split(",")]
        return ",".join(p + at if p.startswith(("s3://", "s3a://")) and "?" not in p else p for p in prefixes)

    def read_picture(self, path: Path) -> bytes:
        """The bytes of a picture on this machine, bounded like every other image. Raises as the function."""
        return read_picture(path, self.limits)

    @property
    def store_options(self) -> StoreOptions:
        """How stores are reached, by the settings."""
        s = self.settings
        return StoreOptions(
            endpoint_url=s.s3_endpoint_url,
            region=s.s3_region,
            anonymous=s.s3_anonymous,
            allow_http=s.s3_allow_http,
            timeout_s=s.store_timeout_s,
        )

    def chosen_bundle(self, named: str | None = None) -> Bundle:
        """The bundle new generations are bound to: the one named (a folder, or a URL with its digest), CATALOG_MODEL's,
        or the package's own.

        Raises:
            ContractError, ConfigurationError: there is no whole bundle of that name.
            TransientError: the store that has it does not answer.
        """
        named = named or self.settings.model
        if named is None:
            return default_bundle()
        at = split_bundle_url(named)
        if at is None:
            return load_bundle(Path(named))
        url, digest = at
        return self._bundles.fetch(digest, BundleShelf(url, self.store_options))

    def keep_bundle(self, bundle: Bundle) -> None:
        """Copy a bundle under `home`, so that its generations outlive an upgrade of the package, and to CATALOG_MODELS_URL,
        where workers on other machines find it.

        Raises:
            ConfigurationError: the copy cannot be made (a full disk, a file that cannot be read); nothing of it stays.
            TransientError: the store does not answer.
        """
        self._bundles.keep(bundle)
        if self.shelf is not None:
            self.shelf.publish(bundle)

    @property
    def shelf(self) -> BundleShelf | None:
        """The bundles that all machines share, where CATALOG_MODELS_URL says so."""
        with self._lock:
            if self._shelf is None and self.settings.models_url is not None:
                self._shelf = BundleShelf(self.settings.models_url, self.store_options)
            return self._shelf

    def bundle(self, digest: str) -> Bundle:
        """The bundle a generation is bound to: kept here, the one at hand, or fetched from CATALOG_MODELS_URL.

        Raises:
            ConfigurationError: no bundle of that digest is to be had.
            TransientError: the store that should have it does not answer.
        """
        kept = self._bundles.find(digest)
        if kept is not None:
            return kept
        at = split_bundle_url(self.settings.model) if self.settings.model is not None else None
        candidate = self.chosen_bundle() if at is None or at[1] == digest else None
        if candidate is not None and candidate.card.digest == digest:
            return candidate
        shelf = self.shelf
        if shelf is not None and shelf.has(digest):
            return self._bundles.fetch(digest, shelf)
        candidate = candidate or self.chosen_bundle()
        where = f"under {self._bundles.folder}" if shelf is None else f"under {self._bundles.folder} nor at {shelf.url}"
        raise ConfigurationError(
            f"this catalog was indexed with the model {digest[:12]}, which is not {where}; "
            f"set CATALOG_MODEL to its bundle, or move to the model at hand ({candidate.card.name}, "
            f"{candidate.card.digest[:12]}) with: catalog reindex"
        )

    def card(self, digest: str) -> ModelCard:
        """The card of a model, read once; no engine is loaded. Raises as `bundle`."""
        with self._lock:
            if digest not in self._cards:
                self._cards[digest] = self.bundle(digest).card
            return self._cards[digest]

    @property
    def resolver(self) -> Resolver:
        """Which generation answers for a catalog, remembered between queries of this process."""
        with self._lock:
            if self._resolver is None:
                self._resolver = Resolver(ledger=self.ledger, index=self.index, card_for=self.card)
            return self._resolver

    @property
    def _bundles(self) -> BundleHome:
        return BundleHome(self.home / "models")

    def embedder(self, digest: str) -> Embedder:
        """The engine of a model for whole batches, loaded once."""
        return self._embedder(digest, single=False)

    def query_embedder(self, digest: str) -> Embedder:
        """The engine of a model for one picture at a time, loaded once: a padded batch would cost as much as a full one."""
        return self._embedder(digest, single=True)

    def serving_embedder(self, digest: str) -> Embedder:
        """The engine of a model for many callers with a picture each, loaded once: whoever comes while it works shares the
        next batch. A lone caller is answered as fast as by `query_embedder`.
        """
        with self._engines_lock:
            if digest not in self._serving:
                bundle = self.bundle(digest)
                engines = [
                    self.open_embedder(bundle, single=True) if size == 1 else self._open(bundle, size)
                    for size in SERVING_BATCHES
                ]
                self._serving[digest] = BatchingEmbedder(engines)
                self._closing.callback(self._serving[digest].close)
            return self._serving[digest]

    def query_batches(self) -> dict[int, int]:
        """How often the serving embedders of this process have run so many images at once."""
        with self._engines_lock:
            serving = list(self._serving.values())
        return dict(sum((embedder.ran() for embedder in serving), Counter[int]()))

    def _open(self, bundle: Bundle, batch_size: int) -> Embedder:
        """An engine whose threads all work on one batch at a time."""
        return self._open_engine(bundle, replace(self._engine_options, batch_size=batch_size, streams=1))

    def _embedder(self, digest: str, *, single: bool) -> Embedder:
        with self._engines_lock:
            if (digest, single) not in self._embedders:
                embedder = self.open_embedder(self.bundle(digest), single=single)
                self._embedders[digest, single] = embedder
            return self._embedders[digest, single]

    def open_embedder(self, bundle: Bundle, *, single: bool = False) -> Embedder:
        """An engine for a bundle; its compiled graph is cached under `home`.

        For the most images a second, with a stream for each thread, or for a `single` picture at a time.
        """
        return self._open_engine(bundle, replace(self._engine_options, single=single))

    @property
    def _engine_options(self) -> EngineOptions:
        s = self.settings
        return EngineOptions(
            wish=self._wish,
            cache_dir=self.home / "compiled",
            threads=s.threads,
            streams=s.threads or s.cpus,
            batch_size=s.engine_batch,
        )

    def _open_engine(self, bundle: Bundle, options: EngineOptions) -> Embedder:
        embedder = open_engine(bundle, options, samples=lambda: _drawn(bundle.card.preprocessing))
        self._closing.callback(embedder.close)
        return embedder

    def chosen_engine(self, bundle: Bundle) -> EngineChoice:
        """What would run whole batches of a bundle here, and why; nothing is loaded.

        Raises:
            ConfigurationError: the machine lacks what the settings ask for.
        """
        return choose_engine(self._wish, bundle.card, look_around(self._wish))

    @property
    def _wish(self) -> EngineWish:
        return EngineWish(engine=self.settings.engine, device=self.settings.device)

    @property
    def limits(self) -> DecodeLimits:
        """Bounds on what is decoded."""
        return DecodeLimits(max_bytes=self.settings.max_image_bytes, max_pixels=self.settings.max_pixels)

    def workshop(
        self, publish: Publish, *, worker: str, stop: threading.Event, attendance: Attendance | None = None
    ) -> Workshop:
        """Everything that working on jobs needs."""
        s = self.settings
        return Workshop(
            ledger=self.ledger,
            index=self.index,
            open_store=self.store,
            embedder_for=self.embedder,
            publish=publish,
            limits=self.limits,
            pace=Pace(
                fetch_threads=s.fetch_threads,
                decode_threads=s.decode_threads or s.cpus,
                inflight_bytes=s.inflight_bytes,
                lease_s=s.lease_s,
                stall_s=s.stall_s,
            ),
            batch_seconds=s.batch_seconds,
            window=s.window,
            worker=worker,
            now=lambda: datetime.now(UTC),
            stop=stop,
            on_stall=_end_on_stall(self.ledger, s.stall_s),
            breaker=Breaker(share=s.breaker_share, items=s.breaker_items),
            attendance=attendance,
        )

    def desk(self, start: Callable[[Job], None]) -> Desk:
        """What schedules need to make their jobs; `start` sets a job in motion."""

        def open_model(folder: str | None) -> OfferedModel:
            bundle = self.chosen_bundle(folder)
            return OfferedModel(card=bundle.card, keep=lambda: self.keep_bundle(bundle))

        return Desk(ledger=self.ledger, index=self.index, open_store=self.store, open_model=open_model, start=start)


def read_picture(path: Path, limits: DecodeLimits) -> bytes:
    """The bytes of a picture on this machine, bounded like every other image.

    Raises:
        ItemError: no such file, not readable, or larger than the limit.
    """
    try:
        with path.open("rb") as file:
            data = file.read(limits.max_bytes + 1)
    except FileNotFoundError as error:
        raise ItemError(Reason.VANISHED, f"there is no file {path}") from error
    except IsADirectoryError as error:
        raise ItemError(Reason.NOT_AN_IMAGE, f"{path} is a folder; name a picture") from error
    except OSError as error:
        raise ItemError(Reason.ACCESS_DENIED, f"{path} cannot be read: {error.strerror}") from error
    if len(data) > limits.max_bytes:
        raise ItemError(Reason.TOO_LARGE, f"{path} is larger than {limits.max_bytes:,} bytes")
    return data


def open_process() -> Process:
    """A process by the environment's settings, with its logging set up.

    Raises:
        ConfigurationError: a setting is bad; the text names it.
    """
    settings = load_settings()
    configure_logging(settings.log_level)
    return Process(settings)


def _drawn(preprocessing: Preprocessing) -> NDArray[np.uint8]:
    """Pictures of the sample catalog as inputs, of several products; they are drawn in about a second."""
    from workers.imaging.preprocess import prepare
    from workers.sample import catalog

    pictures = catalog.draw(images=PARITY_IMAGES)
    return np.stack([prepare(picture.jpeg, preprocessing, DecodeLimits()) for picture in pictures])


def _end_on_stall(ledger: Ledger, stall_s: float) -> OnStall:
    """Name the images that never ended and end the process: no thread can be stopped from outside.

    One image that was decoded alone is the culprit and goes to quarantine; a whole inference accuses nobody.
    """

    def end(lease: Lease, groups: Sequence[tuple[WorkItem, ...]]) -> None:
        keys = [item.key for group in groups for item in group]
        detail = f"decoding or inference did not end within {stall_s:.0f} s"
        outcomes = [
            Outcome(
                key=item.key,
                kind=OutcomeKind.QUARANTINED,
                etag=item.etag,
                size=item.size,
                reason=Reason.ENDS_WORKER,
                detail=detail,
            )
            for item, *others in groups
            if not others
        ]
        log.critical("no progress, ending this process", images=keys, stall_s=stall_s)
        try:
            ledger.record(lease, outcomes, lease_s=1.0)
            ledger.release_batch(lease)
        finally:
            os._exit(STALL_EXIT_CODE)

    return end
