"""Free memory is what the host has, or what the container may still have where that is less."""

from pathlib import Path

import psutil
import pytest

from infra.memory import free_bytes, total_bytes


@pytest.fixture
def group(tmp_path: Path) -> Path:
    (tmp_path / "memory.current").write_text("300000\n")
    (tmp_path / "memory.stat").write_text("anon 200000\nfile 110000\ninactive_file 40000\nactive_file 60000\n")
    return tmp_path


def test_a_container_has_no_more_than_its_limit_and_cached_files_give_way(group: Path) -> None:
    (group / "memory.max").write_text("1000000\n")
    assert free_bytes(group) == 800_000


def test_a_container_that_has_used_up_its_limit_has_nothing(group: Path) -> None:
    (group / "memory.max").write_text("150000\n")
    assert free_bytes(group) == 0


def test_without_a_limit_the_host_decides(group: Path) -> None:
    (group / "memory.max").write_text("max\n")
    free = psutil.virtual_memory().available
    assert 0.5 * free < free_bytes(group) < 2 * free
    assert 0.5 * free < free_bytes(group / "nothing") < 2 * free


def test_all_memory_is_that_of_the_host_or_of_a_container_where_it_has_less(group: Path) -> None:
    total = psutil.virtual_memory().total
    for limit, expected in (("1000000", 1_000_000), (str(2 * total), total), ("max", total)):
        (group / "memory.max").write_text(f"{limit}\n")
        assert total_bytes(group) == expected
    assert total_bytes(group / "nothing") == total
