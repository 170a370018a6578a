"""`srun acecoder-rl doctor` on a real Slurm: both nodes in one table."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

pytestmark = pytest.mark.alone


def test_the_doctor_hears_all_nodes(slurm, tmp_path):
    done = subprocess.run(
        ["srun", "--nodes=2", "--ntasks-per-node=1", sys.executable, "-m", "acecoder_rl.cli", "doctor", "--json"],
        cwd=tmp_path,
        env=os.environ | slurm.environment,
        capture_output=True,
        text=True,
        timeout=900,
    )
    told = json.loads(done.stdout)
    assert [(node["node"], node.get("error"), node.get("folder")) for node in told["nodes"]] == [
        ("n1", None, "ok"),
        ("n2", None, "ok"),
    ]
    assert done.returncode == told["exit_status"] and list(tmp_path.iterdir()) == []
