"""Programs that stand in for a run's driver: `python drivers.py NAME PLAN.json`, as launch.py starts one.

Each writes the ids of its processes to `pids` beside the plan, and has children as Ray and vLLM have: sessions of
their own, deaf to SIGTERM, holding the driver's pipe.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
SLEEPS = "print('up', flush=True); time.sleep(200)"
TITLE = "import setproctitle; setproctitle.setproctitle('VLLM::EngineCore'); "


def _child(folder: Path, title: str = "") -> None:
    child = subprocess.Popen([sys.executable, "-c", DEAF + title + SLEEPS], start_new_session=True)
    with (folder / "pids").open("a") as file:
        file.write(f"{child.pid}\n")


def says(folder: Path) -> None:
    """Its lines, then the end."""
    sys.stdout.buffer.write((folder / "lines").read_bytes())


def fails(folder: Path) -> None:
    """As driver.py fails."""
    told = {"type": "ConfigError", "message": "reward.kind is 7\n", "traceback": "..."}
    (folder / "failure.json").write_text(json.dumps(told))
    sys.exit(1)


def exits(folder: Path) -> None:
    """As OpenRLHF's parser ends it."""
    sys.exit(2)


def leaves(folder: Path) -> None:
    """It ends well, but not its child."""
    _child(folder)


def is_killed(folder: Path, title: str = "") -> None:
    """By `kill -9`; its children stay."""
    _child(folder, title)
    time.sleep(1 if title else 0.3)  # its title is set
    os.kill(os.getpid(), signal.SIGKILL)


def is_killed_with_titles(folder: Path) -> None:
    """As it is, with a child that gives itself another title."""
    is_killed(folder, TITLE)


def hears_nothing(folder: Path) -> None:
    """SIGTERM and SIGINT do not end it."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _child(folder)
    with (folder / "pids").open("a") as file:
        file.write(f"{os.getpid()}\n")
    time.sleep(200)


def launches(folder: Path) -> None:
    """The other side: launch() with `hears_nothing`, in a process that takes signals."""
    from rich.console import Console

    from acecoder_rl.training import launch
    from acecoder_rl.training.driver import Plan
    from acecoder_rl.training.errors import Stopped
    from acecoder_rl.training.run_folder import RunFolder
    from acecoder_rl.training.screen import Screen

    launch.STOP_SECONDS = 4.0
    plan = Plan([], {}, {}, "", "cpu", 1, {"policy": 1})
    try:
        command = [sys.executable, __file__, "hears_nothing"]
        launch.launch(plan, RunFolder(folder), Screen("x", None, Console()), command)
    except Stopped as stopped:
        print(stopped.number, stopped)
    time.sleep(0.1)
    print("the handlers are back:", signal.getsignal(signal.SIGTERM) is signal.SIG_DFL)


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]).parent)
