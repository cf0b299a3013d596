"""The page that a worker's two processes share."""

import os

from workers.noticeboard import Noticeboard, Work


def test_the_parent_reads_what_the_child_wrote() -> None:
    board = Noticeboard()
    assert board.work() == Work() and board.facts() == {}
    child = os.fork()
    if child == 0:
        board.introduce({"provider": "cpu", "device_name": "a processor"})
        for _ in range(3):
            board.frame()
        board.chunk(250, 2.5)
        os._exit(0)
    os.waitpid(child, 0)
    assert board.work() == Work(True, 3, 250.0, 2.5)
    assert board.facts() == {"provider": "cpu", "device_name": "a processor"}


def test_the_pace_follows_the_last_chunks() -> None:
    board = Noticeboard()
    for _ in range(20):
        board.chunk(100, 10.0)
    for _ in range(6):
        board.chunk(100, 1.0)
    work = board.work()
    assert 30 < work.paced_frames / work.paced_s < 100


def test_facts_that_do_not_fit_are_left_out_and_nothing_breaks() -> None:
    board = Noticeboard()
    board.introduce({"device_name": "x" * 10_000})
    assert board.facts() == {} and board.work().proved


def test_a_new_child_starts_from_nothing() -> None:
    board = Noticeboard()
    board.introduce({"provider": "cuda"})
    board.frame()
    board.introduce({"provider": "cpu"})
    assert board.work() == Work(proved=True) and board.facts() == {"provider": "cpu"}
