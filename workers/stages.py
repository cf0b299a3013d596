"""Stages of a pipeline that work at the same time, each a little ahead of the next.

A stage is an iterator. `ahead` lets one run in a thread of its own, `ahead_of_each` applies a function in several; both
hold at most `depth` results that nobody has taken, so that a slow stage holds up those before it instead of filling the
memory. What a stage raises reaches whoever takes its results, in its turn; whoever stops taking, stops the stage.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from contextvars import copy_context
from typing import Any, Final, TypeVar, cast

Item = TypeVar("Item")
Result = TypeVar("Result")

_END: Final = object()


def ahead(items: Iterator[Item], depth: int) -> Generator[Item]:
    """The same items, made by a thread of its own."""
    with _closing(items), _threads(1) as submit:
        pending = deque(submit(next, items, _END) for _ in range(depth))
        while (item := pending.popleft().result()) is not _END:
            pending.append(submit(next, items, _END))
            yield cast(Item, item)


def ahead_of_each(
    function: Callable[[Item], Result], items: Iterator[Item], threads: int, depth: int
) -> Generator[Result]:
    """`map` in several threads, results in the order of the items, which one more thread takes from their iterator."""
    with (
        _closing(items),
        _threads(threads) as submit,
        closing(ahead((submit(function, item) for item in items), depth)) as begun,
    ):
        for result in begun:
            yield result.result()


Submit = Callable[..., "Future[Any]"]


@contextmanager
def _threads(count: int) -> Iterator[Submit]:
    """Threads with the context of the caller (its logs name the job).

    At the end nothing runs any more: what has not begun is dropped.
    """
    pool = ThreadPoolExecutor(count, thread_name_prefix="stage")
    try:
        yield lambda function, *args: pool.submit(copy_context().run, function, *args)
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _closing(items: Iterable[Any]) -> Iterator[None]:
    """Close an iterator that can be closed; to be entered before the threads that run it, and so left after them."""
    try:
        yield
    finally:
        if isinstance(items, Generator):
            items.close()
