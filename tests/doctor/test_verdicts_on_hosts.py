"""What the doctor says of versions, processor, memory and folders, by values."""

import errno
from dataclasses import replace
from pathlib import Path

import pytest

from infra.settings import Settings
from workers.doctor.disk_checks import FolderFacts, judge_cache, judge_temp
from workers.doctor.findings import Finding, error, exit_code, fit, note, verdict, warning
from workers.doctor.host_facts import HostFacts, read_processor, wanted_glibc
from workers.doctor.host_verdicts import judge_limits, judge_memory, judge_processor, judge_versions
from workers.doctor.setting_checks import judge_avatars, judge_names

HOST = HostFacts(
    version="0.1.0",
    release=None,
    release_problem="",
    variant=None,
    python="3.11.7",
    runtime="1.32.0",
    runtime_problem="",
    glibc=(2, 36),
    glibc_wanted=(2, 28),
    glibc_wanted_by="onnxruntime",
    machine="x86_64",
    processor="A Processor",
    features=frozenset({"avx2", "sse4_2"}),
    cores=8,
    memory_bytes=16_000_000_000,
    memory_free_bytes=12_000_000_000,
    open_files=1024,
)
FOLDER = FolderFacts(Path("/cache"), 0, 50_000_000_000, 1_000_000_000, 1000, 1000)


def codes(findings: list[Finding]) -> list[tuple[str, str]]:
    return [(finding.level, finding.code) for finding in findings]


def test_a_good_host_is_told_nothing() -> None:
    settings = Settings(threads=8)
    findings = [*judge_versions(HOST), *judge_processor(HOST, settings), *judge_limits(HOST)]
    findings += judge_memory(HOST.memory_bytes, HOST.memory_free_bytes, 600_000_000, 0)
    findings += [*judge_cache(FOLDER, 20_000), *judge_temp(FOLDER)]
    assert findings == []


def test_a_c_library_that_is_too_old_is_told_with_the_package_that_wants_a_newer_one() -> None:
    (found,) = judge_versions(replace(HOST, glibc=(2, 27)))
    assert (found.level, found.code) == ("error", "glibc-old")
    assert "onnxruntime wants glibc 2.28 and this host has 2.27" in found.sentence
    assert judge_versions(replace(HOST, glibc=None)) == []


def test_a_missing_runtime_and_a_damaged_release_are_told() -> None:
    host = replace(HOST, runtime=None, runtime_problem="It is not here.", release_problem="It cannot be read.")
    assert codes(judge_versions(host)) == [("error", "release-damaged"), ("error", "runtime-missing")]


def test_the_newest_c_library_that_a_package_wants_counts_by_the_oldest_of_its_tags() -> None:
    wheels = {
        "pure": "Tag: py3-none-any\n",
        "both": "Tag: cp311-cp311-manylinux_2_27_x86_64\nTag: cp311-cp311-manylinux_2_28_x86_64\n",
        "old": "Tag: cp311-cp311-manylinux2014_x86_64\nTag: cp311-cp311-manylinux_2_17_x86_64\n",
    }
    assert wanted_glibc(wheels) == ((2, 27), "both")
    assert wanted_glibc({}) == ((2, 17), "")


def test_the_processor_is_read_as_the_kernel_tells_it() -> None:
    text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nflags\t\t: fpu avx2 sse\n\nprocessor\t: 1\n"
    assert read_processor(text) == ("Some CPU @ 2 GHz", frozenset({"fpu", "avx2", "sse"}))
    arm = read_processor("processor\t: 0\nFeatures\t: fp asimd\n")
    assert arm == ("processor of unknown name", frozenset({"fp", "asimd"}))


@pytest.mark.parametrize(
    ("machine", "features", "threads", "found"),
    [
        ("x86_64", {"sse4_2"}, 0, ["cpu-old"]),
        ("aarch64", {"asimd"}, 0, []),
        ("x86_64", {"avx2"}, 9, ["threads-many"]),
        ("x86_64", {"avx2"}, 8, []),
    ],
)
def test_the_processor_is_judged(machine: str, features: set[str], threads: int, found: list[str]) -> None:
    host = replace(HOST, machine=machine, features=frozenset(features))
    assert [finding.code for finding in judge_processor(host, Settings(threads=threads))] == found


@pytest.mark.parametrize(("limit", "warned"), [(1023, True), (1024, False), (-1, False)])
def test_few_open_files_are_a_warning(limit: int, warned: bool) -> None:
    assert bool(judge_limits(replace(HOST, open_files=limit))) == warned


@pytest.mark.parametrize(
    ("total", "free", "worker", "bank", "found"),
    [
        (16, 12, 2, 0, []),
        (16, 12, 17, 0, [("error", "memory-small")]),
        (16, 12, 2, 15, [("warning", "bank-large")]),
        (16, 1, 2, 0, [("warning", "memory-taken")]),
        (16, 16, 2, 14, []),
    ],
)
def test_memory_is_judged_in_gigabytes(
    total: int, free: int, worker: int, bank: int, found: list[tuple[str, str]]
) -> None:
    sizes = [size * 1_000_000_000 for size in (total, free, worker, bank)]
    assert codes(judge_memory(*sizes)) == found


def test_a_bank_that_is_too_large_is_told_what_fits() -> None:
    (found,) = judge_memory(4_000_000_000, 3_000_000_000, 600_000_000, 5_000_000_000)
    assert "LIPSYNC_CACHE_MB=5000" in found.sentence and "3400 at most" in found.sentence


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        (errno.EACCES, "cache-not-writable"),
        (errno.EROFS, "cache-not-writable"),
        (errno.ENOSPC, "cache-full"),
        (errno.EDQUOT, "cache-full"),
    ],
)
def test_a_cache_that_takes_nothing_is_an_error(problem: int, code: str) -> None:
    (found,) = judge_cache(replace(FOLDER, problem=problem), 20_000)
    assert (found.level, found.code) == ("error", code)
    assert "LIPSYNC_CACHE" in found.sentence and "/cache" in found.sentence


def test_what_the_cache_holds_already_counts_as_room() -> None:
    assert judge_cache(replace(FOLDER, free_bytes=19_000_000_000), 20_000) == []
    (found,) = judge_cache(replace(FOLDER, free_bytes=18_000_000_000), 20_000)
    assert (found.level, found.code) == ("warning", "cache-disk-small")


def test_another_users_cache_is_told() -> None:
    assert codes(judge_cache(replace(FOLDER, user=0), 20_000)) == [("warning", "other-user")]


def test_temporary_files_need_room() -> None:
    assert codes(judge_temp(replace(FOLDER, free_bytes=999_000_000))) == [("warning", "temp-small")]
    assert codes(judge_temp(replace(FOLDER, problem=errno.EACCES))) == [("error", "temp-not-writable")]


def test_a_misspelled_variable_is_told_with_the_one_that_was_meant() -> None:
    (found,) = judge_names(["LIPSYNC_DEVCE", "LIPSYNC_DEVICE", "lipsync_threads", "PATH", "AWS_PROFILE"])
    assert (found.level, found.code) == ("warning", "setting-unknown")
    assert "LIPSYNC_DEVCE" in found.sentence and "write LIPSYNC_DEVICE, or" in found.sentence
    assert "or remove it" not in judge_names(["LIPSYNC_QQQQ"])[0].sentence


def test_more_avatars_than_a_worker_keeps_are_told() -> None:
    assert codes(judge_avatars(Settings(avatars=("a", "b"), warm_avatars=1))) == [("warning", "avatars-many")]
    assert judge_avatars(Settings(avatars=("a", "b"), warm_avatars=2)) == []


@pytest.mark.parametrize(
    ("findings", "code", "text"),
    [
        ([], 0, "fit: nothing to say"),
        ([warning("cpu-old", ""), note("nvenc-missing", "")], 0, "fit: 1 warning, 1 note"),
        ([error("redis-unreachable", ""), error("store-unreachable", "")], 3, "not fit: 2 errors"),
        ([error("redis-unreachable", ""), error("cache-full", "")], 2, "not fit: 2 errors"),
        ([error("redis-refused", "")], 2, "not fit: 1 error"),
    ],
)
def test_the_exit_code_says_who_must_act(findings: list[Finding], code: int, text: str) -> None:
    assert (exit_code(findings), verdict(findings)) == (code, text)
    assert fit(findings) == (code == 0)
