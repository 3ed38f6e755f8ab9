"""The Celery application: JSON only, acknowledged late, bounded; the same tasks embedded and distributed.

Redis with kombu is not strictly at-least-once, whatever is set here: messages are hints, and the ledger's tick sends again
what was lost. The settings make that rare and keep a fault from spreading; docs/operations.md says what each is for.
"""

from __future__ import annotations

import ssl
from typing import Any, Final
from urllib.parse import urlsplit

from celery import Celery
from kombu.entity import Queue
from kombu.exceptions import ChannelError, OperationalError

from schemas.messages import AdvanceJob, IndexBatch, Tick
from schemas.records import Lane
from workers.errors import ConfigurationError, TransientError
from workers.indexing.jobs import TASK_LIMIT_S

ADVANCE: Final = "catalog.advance"
INDEX_BATCH: Final = "catalog.index_batch"
TICK: Final = "catalog.tick"
SUBMIT: Final = "catalog.submit"
"""What programs elsewhere send; docs/enqueueing.md says what it takes."""
TASK_NAMES: Final = {AdvanceJob: ADVANCE, IndexBatch: INDEX_BATCH, Tick: TICK}
QUEUES_OF_WORKER: Final = "catalog_queues"
"""Key of the configuration by which a pool process knows what its worker takes."""
POOL_MODULE: Final = "workers.distributed.pool"
"""What worker processes import for their tasks."""
REDIS_TRANSPORT: Final = "workers.redis_transport:Transport"
EMBEDDED_BROKER: Final = "memory://localhost/"
EMBEDDED_POLL_S: Final = 0.05
"""How often the in-process broker is looked at; kombu's default of a second would idle a small job."""
VISIBILITY_S: Final = 300
"""After so long Redis's transport delivers an unacknowledged message again: longer than any task may run."""
SOCKET_TIMEOUT_S: Final = 5
PROCESS_START_S: Final = 120.0
"""A pool process opens its model before it takes work; Celery's default of 4 s would kill it on a busy machine."""


def queue_of(lane: Lane) -> str:
    """The queue of a lane."""
    return f"catalog.{lane.value}"


def make_app(broker_url: str = EMBEDDED_BROKER) -> Celery:
    """An application bound to a broker, and to nothing else in the process.

    Raises:
        ConfigurationError: kombu knows no such broker.
    """
    _check(broker_url)
    app = Celery("catalog", broker=broker_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        result_accept_content=["json"],
        task_ignore_result=True,
        task_store_errors_even_if_ignored=False,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_time_limit=TASK_LIMIT_S,
        task_queues=[Queue(queue_of(lane)) for lane in Lane],  # type: ignore[no-untyped-call]
        task_default_queue=queue_of(Lane.BULK),
        task_create_missing_queues=False,
        worker_prefetch_multiplier=1,
        worker_concurrency=1,
        worker_pool_start_method="spawn",
        worker_proc_alive_timeout=PROCESS_START_S,
        worker_hijack_root_logger=False,
        worker_enable_remote_control=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_connection_timeout=SOCKET_TIMEOUT_S,
        task_publish_retry_policy={"max_retries": 1, "interval_start": 0.2, "interval_step": 0.2, "interval_max": 0.5},
        broker_transport_options=_transport_options(broker_url),
    )
    if broker_url.startswith(("redis://", "rediss://")):
        app.conf.broker_transport = REDIS_TRANSPORT
    if broker_url.startswith("rediss://"):
        # kombu takes TLS from here or from parameters of the URL; with neither it would speak in the clear, password first.
        app.conf.broker_use_ssl = {"ssl_cert_reqs": ssl.CERT_REQUIRED, "ssl_check_hostname": True}
    return app


def publish(
    app: Celery, message: AdvanceJob | IndexBatch | Tick, lane: Lane = Lane.BULK, *, countdown_s: float = 0.0
) -> None:
    """Send a message; the ledger holds what it refers to, so losing it loses nothing.

    Raises:
        TransientError: the broker does not answer.
    """
    body: dict[str, Any] = {"message": message.model_dump(mode="json")}
    try:
        app.send_task(TASK_NAMES[type(message)], kwargs=body, queue=queue_of(lane), countdown=countdown_s or None)
    except (OperationalError, OSError) as error:
        raise TransientError(f"the broker does not answer: {error}") from error


def waiting(app: Celery, lane: Lane) -> int:
    """How many messages of a lane no worker has taken yet.

    Raises:
        TransientError: the broker does not answer.
    """
    try:
        with app.connection_for_write() as connection:
            connection.ensure_connection(max_retries=1, timeout=SOCKET_TIMEOUT_S)
            try:
                declared = connection.default_channel.queue_declare(queue=queue_of(lane), passive=True)
            except ChannelError:
                return 0  # nothing was ever sent there, or the broker has lost everything
            return int(declared.message_count)
    except (OperationalError, OSError, *app.connection_for_write().connection_errors) as error:
        raise TransientError(f"the broker does not answer: {error}") from error


def _check(broker_url: str) -> None:
    from kombu.transport import TRANSPORT_ALIASES

    scheme, separator, _ = broker_url.partition("://")
    try:
        _ = urlsplit(broker_url).port
    except ValueError:
        separator = ""
    if not separator or scheme not in TRANSPORT_ALIASES:
        raise ConfigurationError(
            "CATALOG_BROKER_URL names no broker: write redis://HOST:6379/0, or rediss://... with TLS"
        )


def _transport_options(broker_url: str) -> dict[str, Any]:
    if broker_url == EMBEDDED_BROKER:
        return {"polling_interval": EMBEDDED_POLL_S}
    return {
        "visibility_timeout": VISIBILITY_S,
        "unacked_restore_interval": 5,
        "unacked_restore_throttle": 1,
        "queue_order_strategy": "priority",
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_connect_timeout": SOCKET_TIMEOUT_S,
        "socket_keepalive": True,
        "health_check_interval": 10,
    }
