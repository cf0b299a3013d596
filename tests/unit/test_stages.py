"""Stages work ahead by a bounded number of items, hand errors on in their order, and leave no thread behind."""

import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars, get_contextvars

from tests.servers import wait_until
from workers.stages import ahead, ahead_of_each

Stage = Callable[[Iterator[int], int], Generator[int]]


def mapped(items: Iterator[int], depth: int) -> Generator[int]:
    return ahead_of_each(lambda item: item, items, 3, depth)


STAGES = pytest.mark.parametrize("stage", [ahead, mapped], ids=["ahead", "ahead_of_each"])


def stage_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("stage")]


@pytest.fixture(autouse=True)
def _no_thread_stays() -> Iterator[None]:
    assert stage_threads() == []
    yield
    assert stage_threads() == []


class Source:
    """Counts up to `stop`, and how far it was asked to; closing it is counted, too."""

    def __init__(self, stop: int, failing_at: int | None = None):
        self.stop, self.failing_at = stop, failing_at
        self.made = self.closed = 0

    def items(self) -> Generator[int]:
        try:
            for item in range(self.stop):
                if item == self.failing_at:
                    raise ValueError(f"no item {item}")
                self.made = item + 1
                yield item
        finally:
            self.closed += 1


@STAGES
@pytest.mark.parametrize("depth", [1, 2, 50])
@pytest.mark.parametrize("count", [0, 1, 7, 40])
def test_items_keep_their_order_and_none_is_lost(stage: Stage, depth: int, count: int) -> None:
    source = Source(count)
    assert list(stage(source.items(), depth)) == list(range(count))
    assert source.closed == 1


def test_results_keep_the_order_of_the_items_though_later_ones_are_ready_first() -> None:
    later = threading.Event()

    def slow_at_first(item: int) -> int:
        if item == 0:
            assert later.wait(10)
        later.set()
        return 10 * item

    assert list(ahead_of_each(slow_at_first, iter(range(5)), threads=2, depth=4)) == [0, 10, 20, 30, 40]


def test_a_stage_works_while_its_results_are_used() -> None:
    source = Source(10)
    with closing(ahead(source.items(), 3)) as stage:
        next(stage)
        wait_until(lambda: source.made == 4, 10, "three more items to be made meanwhile")


@STAGES
@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_items_than_the_depth_are_made_that_nobody_has_taken(stage: Stage, depth: int) -> None:
    source = Source(30)
    for taken, _ in enumerate(stage(source.items(), depth), start=1):
        assert source.made <= taken + depth


def test_several_threads_apply_the_function_at_once() -> None:
    met = threading.Barrier(3, timeout=10)  # broken, unless three threads come to it
    list(ahead_of_each(lambda _: met.wait(), iter(range(6)), threads=3, depth=6))


@STAGES
def test_an_error_of_the_source_comes_after_the_results_before_it(stage: Stage) -> None:
    source, taken = Source(9, failing_at=4), []
    with pytest.raises(ValueError, match="no item 4"):
        for item in stage(source.items(), 2):
            taken.append(item)
    assert taken == [0, 1, 2, 3]
    assert source.closed == 1


def test_an_error_of_the_function_comes_after_the_results_before_it() -> None:
    source, taken = Source(9), []
    with pytest.raises(ZeroDivisionError):
        for item in ahead_of_each(lambda item: 12 // (3 - item), source.items(), 2, 3):
            taken.append(item)
    assert taken == [4, 6, 12]
    assert source.closed == 1


@STAGES
def test_an_error_stops_the_threads_though_somebody_holds_on_to_it(stage: Stage) -> None:
    with pytest.raises(ValueError, match="no item 2") as raised:
        list(stage(Source(9, failing_at=2).items(), 2))
    assert raised.tb is not None
    assert stage_threads() == []


@STAGES
@pytest.mark.parametrize("taken", [0, 1, 5])
def test_closing_early_stops_the_threads_and_closes_the_source_once(stage: Stage, taken: int) -> None:
    source = Source(1000)
    items = source.items()  # held on to: nobody but the stage closes it
    results = stage(items, 4)
    for _ in range(taken):
        next(results)
    results.close()
    assert stage_threads() == []
    assert source.closed == (1 if taken else 0)  # what never began has nothing to close
    assert source.made <= taken + 4


def test_what_has_not_begun_is_dropped_when_a_stage_is_closed() -> None:
    begun, never = [], threading.Event()

    def work(item: int) -> int:
        begun.append(item)
        if item:
            never.wait(0.2)  # time enough to be closed meanwhile
        return item

    results = ahead_of_each(work, iter(range(30)), threads=1, depth=20)
    assert next(results) == 0
    results.close()
    assert len(begun) < 20


@STAGES
def test_nested_stages_give_everything_in_order_and_stop_together(stage: Stage) -> None:
    source = Source(60)
    assert list(stage(stage(stage(source.items(), 2), 3), 4)) == list(range(60))
    assert source.closed == 1
    source = Source(60)
    items = source.items()
    nested = stage(stage(stage(items, 2), 3), 4)
    assert [next(nested), next(nested)] == [0, 1]
    nested.close()
    assert stage_threads() == []
    assert (source.closed, source.made <= 2 + 2 + 3 + 4 + 2) == (1, True)


@STAGES
def test_an_error_goes_through_nested_stages(stage: Stage) -> None:
    source = Source(60, failing_at=7)
    with pytest.raises(ValueError, match="no item 7"):
        list(stage(stage(source.items(), 2), 3))
    assert source.closed == 1


def test_an_iterator_that_cannot_be_closed_is_left_alone() -> None:
    numbers = iter([1, 2, 3, 4, 5, 6])
    with closing(ahead(numbers, 1)) as stage:
        assert next(stage) == 1
    assert next(numbers) in {2, 3}, "it stays with whoever gave it"


def test_logs_in_the_threads_name_the_job_of_the_caller() -> None:
    seen: list[dict[str, Any]] = []

    def items() -> Generator[int]:
        for item in range(3):
            seen.append(get_contextvars())
            yield item

    def look(item: int) -> int:
        seen.append(get_contextvars())
        return item

    structlog.contextvars.clear_contextvars()
    with bound_contextvars(job_id="j", chunk=3):
        list(ahead_of_each(look, ahead(ahead(items(), 1), 1), 2, 2))
    assert len(seen) == 6
    assert all(context == {"job_id": "j", "chunk": 3} for context in seen)
    assert get_contextvars() == {}
