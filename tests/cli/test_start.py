"""The command starts without what only its subcommands need: people wait for it, and hosts ask it for its version."""

import json
import subprocess
import sys

import pytest

HEAVY = {"av", "boto3", "celery", "cv2", "numpy", "onnxruntime", "pydantic", "redis", "rich", "soundfile", "structlog"}
PROGRAM = """
import json, sys
from jobs.cli import main
try:
    main([sys.argv[1]])
finally:
    print(json.dumps(sorted(name for name in sys.modules if "." not in name)))
"""


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_the_command_starts_without_what_its_subcommands_need(option: str) -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM, option], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout.splitlines()[-1]))
    assert "typer" in loaded
    assert loaded & (HEAVY - {"rich"} if option == "--help" else HEAVY) == set()
