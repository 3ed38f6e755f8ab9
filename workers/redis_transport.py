"""Kombu's Redis transport, but for two things that would otherwise stop a worker.

An acknowledgement that fails gives the worker its credit back all the same. kombu (5.7) takes a message off the list of
those in hand only after Redis has confirmed that it is acknowledged. When Redis is away in that moment, the message stays
on the list for good. A worker that takes one message at a time then never asks for another: it stands still, without an
error, until somebody restarts it. Losing the acknowledgement is harmless, since the message comes again after the
visibility timeout and its batch is found done.

An item of the queue's list that is no message at all is logged and dropped. kombu raises whatever reading it raises, and
the worker exits with it; its successor meets the next such item.
"""

from __future__ import annotations

from queue import Empty
from types import NoneType
from typing import Any, Final

from kombu.transport import redis
from kombu.transport.virtual import Message
from kombu.transport.virtual import QoS as VirtualQoS

from workers.telemetry import log

NO_MESSAGE: Final = (KeyError, TypeError, ValueError, AttributeError)
"""What taking apart something that is no message raises."""


class QoS(redis.QoS):
    """Messages in hand."""

    def ack(self, delivery_tag: str) -> None:
        """Acknowledge; the credit returns whatever Redis says."""
        try:
            self._remove_from_indices(delivery_tag).execute()
        finally:
            VirtualQoS.ack(self, delivery_tag)

    def reject(self, delivery_tag: str, requeue: bool = False) -> None:
        """Refuse, or give back; likewise."""
        try:
            if requeue:
                self.restore_by_tag(delivery_tag, leftmost=True)
            else:
                self._remove_from_indices(delivery_tag).execute()
        finally:
            VirtualQoS.ack(self, delivery_tag)


class Channel(redis.Channel):
    """A channel that counts its messages so."""

    QoS = QoS

    def _brpop_read(self, **options: Any) -> Any:
        """Take one item. It is off the list already when it turns out to be no JSON."""
        try:
            return super()._brpop_read(**options)
        except ValueError as error:
            _tell_dropped(error)
            raise Empty from None


class Transport(redis.Transport):
    """To be named as Celery's `broker_transport` for redis:// and rediss:// URLs."""

    Channel = Channel

    def _deliver(self, message: Any, queue: str) -> None:
        """Hand an item to its consumer, if it is a message. Celery's looks into the body, and may fall over that."""
        channel = self.channels[0]
        try:
            read = Channel.Message(message, channel=channel)
            _check(read)
        except NO_MESSAGE as error:
            _tell_dropped(error)
            return
        try:
            super()._deliver(message, queue)
        except NO_MESSAGE as error:
            _tell_dropped(error)
            channel.basic_ack(read.delivery_tag)  # or it would come again, and stay in hand until then


def _check(message: Message) -> None:
    """Refuse what cannot even be acknowledged, or told from other messages."""
    headers = message.headers
    texts = (message.delivery_tag, message.content_type, headers.get("task", ""), headers.get("id", ""))
    if not all(isinstance(text, str) for text in texts) or not isinstance(message.body, (str, bytes)):
        raise TypeError("body, delivery tag, content type, task and id have to be texts")
    if not isinstance(message.delivery_info, dict):
        raise TypeError("the delivery info has to be an object")
    limits = headers.get("timelimit") or [None, None]  # Celery looks at them when it is too late to refuse
    if (
        not isinstance(limits, list)
        or len(limits) != 2
        or not all(isinstance(s, (int, float, NoneType)) for s in limits)
    ):
        raise TypeError("the time limits have to be two numbers")


def _tell_dropped(error: Exception) -> None:
    log.error(
        "an item of the queue is no message and was dropped: who writes there? restrict them by an ACL",
        error=f"{type(error).__name__}: {error}",
    )
