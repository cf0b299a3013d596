"""Memory does not grow with the length of what is decoded, encoded or joined."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.media_files import write_audio

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the kernel tells no peak per program")

# Each runs in a process of its own, whose peak resident size in KiB is its last word. (getrusage would do on no Linux:
# its peak is inherited from the process that started this one.)
_PEAK = """
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM:")))
"""
_MONO = """
import sys; from pathlib import Path
from infra.media_audio import mono_blocks
from infra.media_decode import open_audio
with open_audio(Path(sys.argv[1])) as source:
    print(sum(map(len, mono_blocks(source, 16_000))))
"""
_ENCODE = """
import sys; from pathlib import Path
from infra.media_audio import encode_m4a
from infra.media_decode import open_audio
with open_audio(Path(sys.argv[1])) as source:
    print(encode_m4a(source, Path(sys.argv[1] + ".m4a")))
"""
_JOIN = """
import sys; from itertools import repeat; from pathlib import Path
from infra.media_mux import remux
times = int(sys.argv[2])
remux(repeat(Path(sys.argv[1]), times), None, Path(sys.argv[1] + ".out.mp4"), fps=25, frames=times)
print(times)
"""


def peak_mb(code: str, *arguments: str | Path) -> float:
    run = subprocess.run(
        [sys.executable, "-B", "-c", code + _PEAK, *map(str, arguments)], capture_output=True, text=True, check=True
    )
    return int(run.stdout.split()[-1]) / 1024


@pytest.mark.parametrize(
    ("extension", "code"),
    [(".wav", _MONO), (".flac", _MONO), (".m4a", _MONO), (".wav", _ENCODE)],
    ids=["wav-mono", "flac-mono", "m4a-mono", "wav-encode"],
)
def test_a_long_recording_needs_no_more_memory_than_a_short_one(tmp_path: Path, extension: str, code: str) -> None:
    second = np.random.default_rng(0).normal(0, 0.05, (8_000, 1)).astype(np.float32)
    short = write_audio(tmp_path / f"short{extension}", np.tile(second, (5, 1)), 8_000)
    long = write_audio(tmp_path / f"long{extension}", np.tile(second, (500, 1)), 8_000)
    # The long one is 16 MB of float32 at its own rate and 32 MB at the job's; a packet index and rounding may grow.
    assert peak_mb(code, long) - peak_mb(code, short) < 5


def test_joining_many_bytes_needs_no_more_memory_than_joining_few(tmp_path: Path) -> None:
    code = """
import sys; from pathlib import Path
import numpy as np
from infra.media_video import SegmentEncoder, VideoFormat
with SegmentEncoder(Path(sys.argv[1]), VideoFormat(640, 360, crf=0, preset="ultrafast"), threads=1) as encoder:
    encoder.write(np.random.default_rng(0).integers(16, 236, (540, 640), dtype=np.uint8))
"""
    heavy = tmp_path / "heavy.mp4"
    subprocess.run([sys.executable, "-B", "-c", code, str(heavy)], check=True)
    assert heavy.stat().st_size > 200_000
    # 300 copies are more than 60 MB.
    assert peak_mb(_JOIN, heavy, "300") - peak_mb(_JOIN, heavy, "3") < 8
