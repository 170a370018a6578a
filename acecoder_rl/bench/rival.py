"""EvalPlus 0.3.1 in a virtual environment of its own, to be measured on the same programs.

Covers: `evalplus_python`, which makes the environment once under the user's cache directory.
Does not cover: running it (phases.py); EvalPlus's data sets and generators, which the checker does not need.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from acecoder_rl.bench.measure import BenchError

VERSION = "0.3.1"
# All that `evalplus.eval` imports; the package's own requirements are hundreds of MB more.
REQUIREMENTS = ("numpy", "psutil")
IMPORT = "from evalplus.eval import untrusted_check"


def evalplus_python() -> str:
    """The interpreter of an environment that has EvalPlus's checker; made on first use."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    home = cache / "acecoder-rl" / f"bench-evalplus-{VERSION}-py{version}"
    python = home / "bin" / "python"
    if python.exists() and _run([str(python), "-I", "-c", IMPORT]) is None:
        return str(python)
    home.parent.mkdir(parents=True, exist_ok=True)
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", "--clear", str(home)],
        [*pip, "--no-deps", f"evalplus=={VERSION}"],
        [*pip, *REQUIREMENTS],
        [str(python), "-I", "-c", IMPORT],
    ):
        said = _run(command)
        if said is not None:
            raise BenchError(
                f"bench: {' '.join(command)} failed:\n{said}\n--against evalplus needs PyPI or "
                f"a mirror that pip is set up for, once, to fill {home}; else leave it out"
            )
    return str(python)


def _run(command: list[str]) -> str | None:
    """None if the command succeeded, else the end of what it said."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=600)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr or done.stdout).strip()[-1000:] if done.returncode else None
