"""Notifications from an SQS queue: a message is deleted when the keys it names are committed, and not before."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from workers.errors import ConfigurationError, ContractError, TransientError
from workers.indexing.desk import EventDesk
from workers.indexing.events import Notification, read_notification
from workers.telemetry import log

BATCH_MESSAGES: Final = 10
"""SQS's own limit."""
LONG_POLL_S: Final = 20
"""SQS's own limit; an empty queue costs three requests a minute."""
FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 30.0
_REGION: Final = re.compile(r"sqs[.-]([a-z0-9-]+)\.amazonaws\.com(\.cn)?|([a-z0-9-]+)\.queue\.amazonaws\.com")
_PERMANENT: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "InvalidAddress",
        "InvalidClientTokenId",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
        "ExpiredToken",
        "InvalidSecurity",
    }
)


class StopReceiving(BaseException):
    """Ends a wait for messages. None is lost: what was on its way becomes visible again."""


@dataclass(slots=True)
class SqsReceiver:
    """Receives until it is told to stop."""

    queue_url: str
    desk: EventDesk
    only: str | None = None
    poll_s: int = LONG_POLL_S
    stop: threading.Event = field(default_factory=threading.Event)
    _waiting: bool = False
    _client: Any = None

    def end(self, *_: object) -> None:
        """Stop after the messages in hand; for signal handlers on the receiving thread."""
        self.stop.set()
        if self._waiting:
            raise StopReceiving

    def connect(self) -> None:
        """Open the client; the queue itself is not asked yet.

        Raises:
            ConfigurationError: that is no queue's URL.
        """
        self._client = _client(self.queue_url)

    def run(self) -> None:
        """Receive until `end`. A queue or ledger that is away is waited for.

        Raises:
            ConfigurationError: the queue does not exist, or the credentials do not do.
        """
        if self._client is None:
            self.connect()
        pause_s = 0.0
        try:
            while not self.stop.wait(pause_s):
                try:
                    self.receive_once()
                    pause_s = 0.0
                except TransientError as error:
                    pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * pause_s))
                    log.warning("no messages for a while", error=str(error), pause_s=pause_s)
        except StopReceiving:
            return
        finally:
            self._client.close()

    def receive_once(self) -> int:
        """Wait for messages once and take what comes; how many were dealt with.

        Raises:
            TransientError: the queue or the ledger does not answer. What was not committed comes again.
            ConfigurationError: see `run`.
        """
        messages = self._receive()
        read = [(message, _read(message)) for message in messages]
        good = [(message, notification) for message, notification in read if notification is not None]
        if not good:
            return 0
        receipt = self.desk.accept([notification for _, notification in good], only=self.only)
        log.info("messages taken", messages=len(good), posted=receipt.posted, unmatched=receipt.unmatched)
        self._delete([message for message, _ in good])
        return len(good)

    def _receive(self) -> Sequence[dict[str, Any]]:
        self._waiting = True
        try:
            if self.stop.is_set():
                return ()
            answer = _asked(
                lambda: self._client.receive_message(
                    QueueUrl=self.queue_url, MaxNumberOfMessages=BATCH_MESSAGES, WaitTimeSeconds=self.poll_s
                )
            )
        finally:
            self._waiting = False
        found: Sequence[dict[str, Any]] = answer.get("Messages", ())
        return found

    def _delete(self, messages: Sequence[dict[str, Any]]) -> None:
        entries = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
        answer = _asked(lambda: self._client.delete_message_batch(QueueUrl=self.queue_url, Entries=entries))
        if answer.get("Failed"):
            log.warning("messages come again: SQS did not delete them", messages=len(answer["Failed"]))


def _read(message: dict[str, Any]) -> Notification | None:
    """What a message says; one that cannot be read is left to the queue's redrive policy."""
    try:
        return read_notification(message["Body"])
    except ContractError as error:
        log.error("a message cannot be read and stays in the queue", message=message.get("MessageId"), error=str(error))
        return None


def _asked(call: Any) -> dict[str, Any]:
    from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError

    try:
        answer: dict[str, Any] = call()
    except NoCredentialsError as error:
        raise ConfigurationError(
            "no credentials for the queue: set AWS_ACCESS_KEY_ID and its secret, or a role"
        ) from error
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", "unknown"))
        if code in _PERMANENT:
            raise ConfigurationError(f"the queue refuses us ({code}): check its URL, region and credentials") from error
        raise TransientError(f"the queue does not answer as it should ({code})") from error
    except BotoCoreError as error:
        raise TransientError(f"the queue does not answer ({type(error).__name__})") from error
    return answer


def _client(queue_url: str) -> Any:
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError

    parts = urlsplit(queue_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username or len(parts.path) < 2:
        raise ConfigurationError("no queue's URL; write https://sqs.REGION.amazonaws.com/ACCOUNT/NAME")
    named = _REGION.fullmatch(parts.hostname)
    session = boto3.Session()
    region = (named and (named[1] or named[3])) or session.region_name or "us-east-1"
    timing = Config(
        connect_timeout=5, read_timeout=LONG_POLL_S + 10, retries={"mode": "standard", "total_max_attempts": 2}
    )
    try:
        return session.client("sqs", region_name=region, endpoint_url=f"{parts.scheme}://{parts.netloc}", config=timing)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(f"the queue cannot be opened ({type(error).__name__}): check its URL") from error
