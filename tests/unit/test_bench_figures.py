"""What benchmarks say of their measurements is what a textbook says."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.avatar.networks import topology
from workers.avatar.networks.weights import Seeded
from workers.bench.arithmetic import count_operations, operations_of
from workers.bench.figures import Spread, intervals, summarise

SECONDS = st.lists(st.floats(1e-6, 1e3), min_size=1, max_size=50)


@given(SECONDS)
def test_the_statistics_of_measurements_are_those_of_numpy(samples: list[float]) -> None:
    found = summarise(samples)
    assert found.count == len(samples)
    assert found.median_s == pytest.approx(np.median(samples))
    assert found.mean_s == pytest.approx(np.mean(samples))
    assert found.p95_s == pytest.approx(np.percentile(samples, 95))
    assert found.deviation_s == pytest.approx(np.std(samples, ddof=1) if len(samples) > 1 else 0, abs=1e-9)
    assert (found.least_s, found.greatest_s) == (min(samples), max(samples))
    assert found.per_second * found.mean_s == pytest.approx(1)


def test_figures_for_programs_are_milliseconds_and_frames_per_second() -> None:
    assert summarise([0.002, 0.004, 0.006]).document(frames=8) == {
        "count": 3,
        "median_ms": 4.0,
        "mean_ms": 4.0,
        "p95_ms": 5.8,
        "deviation_ms": 2.0,
        "least_ms": 2.0,
        "greatest_ms": 6.0,
        "frames_per_s": 2000.0,
    }


def test_figures_for_people_name_what_was_measured_in_every_row() -> None:
    assert summarise([0.002, 0.004]).rows("generator") == [
        ("generator, median", "3.00 ms"),
        ("generator, mean", "3.00 ms"),
        ("generator, P95", "3.90 ms"),
        ("generator, standard deviation", "1.41 ms"),
        ("generator, frames/s", "333.33 frames/s"),
    ]


def test_the_spread_of_ratios_is_their_median_and_range() -> None:
    spread = Spread.of([1.02, 0.97, 0.99])
    assert spread.text(3) == "0.990 (0.970 to 1.020)"
    assert spread.document() == {"median": 0.99, "least": 0.97, "greatest": 1.02}


@given(st.lists(st.floats(0, 1e6), min_size=2, max_size=50).map(sorted))
def test_intervals_lead_from_the_first_moment_to_the_last(moments: list[float]) -> None:
    found = intervals(moments)
    assert len(found) == len(moments) - 1
    assert math.fsum(found) == pytest.approx(moments[-1] - moments[0])


@pytest.mark.parametrize(
    ("kind", "inputs", "output", "operations"),
    [
        ("Conv", [(1, 6, 320, 320), (64, 6, 1, 1), (64,)], (1, 64, 320, 320), 2 * 64 * 320 * 320 * 6),
        ("Conv", [(1, 64, 9, 9), (64, 1, 3, 3)], (1, 64, 9, 9), 2 * 64 * 81 * 9),  # depthwise
        ("MatMul", [(7, 5), (5, 3)], (7, 3), 2 * 7 * 5 * 3),
        ("Gemm", [(1, 96), (128,)], (1, 128), 2 * 96 * 128),  # its weights were packed and are not shown
        ("Relu", [(1, 64, 9, 9)], (1, 64, 9, 9), 0),
    ],
)
def test_operations_follow_from_shapes(
    kind: str, inputs: list[tuple[int, ...]], output: tuple[int, ...], operations: int
) -> None:
    assert operations_of(kind, inputs, output) == operations


def test_the_networks_of_the_real_size_have_the_operations_that_are_known_of_them(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("operations")
    chance = np.random.default_rng(0)
    generator, audio_encoder = topology.generator(Seeded(chance))[0], topology.audio_encoder(Seeded(chance))[0]
    assert count_operations(generator, folder) == pytest.approx(9.77e9, rel=0.001)
    assert count_operations(audio_encoder, folder) == pytest.approx(0.19e9, rel=0.03)
