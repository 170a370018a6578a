"""Weights arrive as they were sent, bit by bit and in order, through shared memory and through the TCP store."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="`make setup` installs vLLM")
def test_between_two_processes():
    script = Path(__file__).parent / "two_ranks.py"
    run = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=600)
    assert run.returncode == 0 and run.stdout.endswith("received\n"), run.stdout + run.stderr
