"""What the stopwatch says of stages that overlap, and of those that fail."""

import time

from workers.stopwatch import Stage, Stopwatch


def test_laps_add_up_and_what_overlaps_counts_once_as_busy() -> None:
    watch = Stopwatch()
    watch._laps[Stage.PASTE] = [(0.0, 1.0), (0.5, 2.0)]
    watch._laps[Stage.ENCODE] = [(4.0, 5.0), (1.5, 3.0)]
    assert watch.spent_s(Stage.PASTE) == 2.5
    assert watch.busy_s(Stage.PASTE, Stage.ENCODE) == 4.0
    assert watch.busy_s(Stage.UPLOAD) == 0


def test_a_stage_that_raises_is_measured_too() -> None:
    watch = Stopwatch()
    before_s = time.perf_counter()
    try:
        with watch.measure(Stage.UPLOAD):
            raise ValueError("no bucket")
    except ValueError:
        pass
    ((start_s, stop_s),) = watch.laps(Stage.UPLOAD)
    assert before_s <= start_s <= stop_s <= time.perf_counter()
