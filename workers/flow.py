"""Running ahead: a stage on threads, its results in order, its queue bounded in items and in bytes."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from itertools import islice
from typing import Any, TypeVar

A = TypeVar("A")
B = TypeVar("B")


class Ahead(Iterator[B]):
    """`map(work, items)` on an executor, in order, with up to `depth` items begun before the consumer asks for them.

    With a `budget`, the weights of begun and unconsumed items stay within it too (one item alone may exceed it).
    An exception of `work` is raised at its item's place. Closing cancels what has not begun.
    """

    def __init__(
        self,
        executor: Executor,
        work: Callable[[A], B],
        items: Iterable[A],
        *,
        depth: int,
        weigh: Callable[[A], int] = lambda _: 0,
        budget: int = 0,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        """`ready` says whether `items` has one at hand; while it has not, a result that is there is not held back for
        more to begin.
        """
        self._executor = executor
        self._work: Callable[[Any], B] = work
        self._source: Iterator[Any] = iter(items)
        self._depth = depth
        self._weigh: Callable[[Any], int] = weigh
        self._budget = budget
        self._source_ready = ready
        self._pending: deque[tuple[Future[B], int]] = deque()
        self._held = 0
        self._taken = 0
        """Weight of the result the consumer has in hand."""
        self._waiting: Any = None
        self._exhausted = False

    def __next__(self) -> B:
        """The next result, once as many items are begun as may be."""
        self._held -= self._taken
        self._taken = 0
        self._begin()
        if not self._pending:
            raise StopIteration
        future, self._taken = self._pending.popleft()
        try:
            return future.result()
        except BaseException:
            self.close()
            raise

    def ready(self) -> bool:
        """Whether a result is there now."""
        return bool(self._pending) and self._pending[0][0].done()

    def close(self) -> None:
        """Drop what has not begun."""
        self._exhausted, self._waiting = True, None
        for future, _ in self._pending:
            future.cancel()
        self._pending.clear()

    def _begin(self) -> None:
        while not self._exhausted and len(self._pending) < self._depth:
            if self._waiting is None:
                if self.ready() and not self._source_ready():
                    return
                self._waiting = next(self._source, None)
                if self._waiting is None:
                    self._exhausted = True
                    return
            weight = self._weigh(self._waiting)
            if self._pending and self._budget and self._held + weight > self._budget:
                return
            self._pending.append((self._executor.submit(self._work, self._waiting), weight))
            self._held += weight
            self._waiting = None


def grouped(
    items: Iterable[A], size: int, *, enough: int | None = None, ready: Callable[[], bool] = lambda: True
) -> Iterator[list[A]]:
    """Lists of `size` items, the last one shorter. One of `enough` items does not wait for more that are not `ready`."""
    source = iter(items)
    least = size if enough is None else enough
    while group := list(islice(source, least)):
        while len(group) < size and ready() and (more := next(source, None)) is not None:
            group.append(more)
        yield group
