"""What the tests of real runs look at: a run's reports, processes that are left."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import psutil

HERE = Path(__file__).parent


def reports(run: Path, kind: str) -> list[dict[str, Any]]:
    """The values of a run's reports, with their steps."""
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{"step": row["step"], **row["values"]} for row in map(json.loads, lines) if row["kind"] == kind]


def left_behind() -> list[str]:
    """Processes of our runs: they have our PYTHONPATH. Slurm's jobs, and who submits them and waits, have it too; their
    tests may run beside these."""
    mark, of_slurm = f"PYTHONPATH={HERE}".encode(), (b"SLURM_JOB_ID=", b"SLURM_CONF=/tmp/slurm-")  # slurm/cluster.py
    found = []
    for process in psutil.process_iter(["cmdline"]):
        try:
            environ = Path(f"/proc/{process.pid}/environ").read_bytes()
            if mark in environ and not any(each in environ for each in of_slurm):
                found.append(" ".join(process.info["cmdline"] or [])[:100])
        except OSError:
            continue
    return found
