"""Stages of a pipeline that work at the same time, each a little ahead of the next.

A stage is an iterator. `ahead` lets one run in a thread of its own, `ahead_of_each` applies a function in several; both
hold at most `depth` results that nobody has taken, so that a slow stage holds up those before it instead of filling the
memory. What a stage raises reaches whoever takes its results, in its turn at the latest; whoever stops taking, stops
the stage.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from typing import Any, Final, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")

_END: Final = object()


def ahead(items: Iterator[Item], depth: int) -> Generator[Item]:
    """The same items, made by a thread of its own."""
    with _closing(items), _pool(1) as (submit, pending):
        for _ in range(depth):
            pending.append(submit(next, items, _END))
        while (item := pending.popleft().result()) is not _END:
            pending.append(submit(next, items, _END))
            yield cast(Item, item)


def ahead_of_each(
    function: Callable[[Item], Result], items: Iterator[Item], threads: int, depth: int
) -> Generator[Result]:
    """`map` in several threads, results in the order of the items."""
    with _closing(items), _pool(threads) as (submit, pending):
        for item in items:
            pending.append(submit(function, item))
            while pending and (pending[0].done() or len(pending) == depth):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


Submit = Callable[..., "Future[Any]"]


@contextmanager
def _pool(threads: int) -> Iterator[tuple[Submit, "deque[Future[Any]]"]]:
    """Threads with the context of the caller (its logs name the job), and a queue of what they were given.

    At the end nothing runs any more: what has not begun is dropped.
    """
    pending: deque[Future[Any]] = deque()
    with ThreadPoolExecutor(threads, thread_name_prefix="stage") as pool:
        try:
            yield lambda function, *args: pool.submit(copy_context().run, function, *args), pending
        finally:
            for future in pending:
                future.cancel()


@contextmanager
def _closing(items: Iterable[Any]) -> Iterator[None]:
    """Close an iterator that can be closed; to be entered before the threads that run it, and so left after them."""
    try:
        yield
    finally:
        if isinstance(items, Generator):
            items.close()
