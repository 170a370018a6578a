"""Start jail_driver.py at a level, as root or as an ordinary user, and run code in confined children."""

from __future__ import annotations

import functools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from acecoder_rl.sandbox import inside

PACKAGE = Path(inside.__file__).parent
MODULES = ("kernel", "syscalls", "seccomp", "landlock", "scratch", "mounts", "namespaces", "jail")
DRIVER = Path(__file__).with_name("jail_driver.py").read_text()
USER = 54321
ROOT = os.geteuid() == 0
# Root can play an ordinary user too; "self" is whoever runs the tests.
WHO = ["root", "user"] if ROOT else ["self"]
KINDS = [(level, who) for level in ("namespaces", "landlock", "none") for who in WHO]
LIMITS = {"memory_bytes": 2 << 30, "cpu_seconds": 5, "fsize_bytes": 1 << 20, "processes": 1}


@dataclass(frozen=True)
class Result:
    """What a confined child did: the value of `out`, or the exception, or the signal it died of."""

    out: Any
    error: str
    signal: int
    confine_us: float
    clean_us: float


class Died(RuntimeError):
    """The driver could not enter the jail."""


@functools.cache
def python_of(user: bool) -> dict[str, Any] | None:
    """An interpreter that the user may run, with its paths; None if there is none."""
    for python in (os.path.realpath(sys.executable), "/usr/bin/python3"):
        # setpriv still has root's rights when it executes: the new process must ask for itself.
        code = (
            "import sys, json, os; os.listdir(os.path.dirname(sys.executable));"
            "print(json.dumps([sys.base_prefix, [p for p in sys.path if p]]))"
        )
        command = [*_as_user(user), python, "-I", "-S", "-c", code]
        try:
            out = subprocess.run(command, capture_output=True, text=True, check=True, cwd="/").stdout
        except (OSError, subprocess.CalledProcessError):
            continue
        prefix, path = json.loads(out)
        libraries = [path for path in ("/usr/lib", "/lib", "/lib64") if os.path.exists(path)]
        return {"python": python, "path": path, "read_only": [os.path.realpath(prefix), *libraries]}
    return None


def _as_user(user: bool) -> list[str]:
    return ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if user else []


class Driver:
    """A zygote in a jail.

    Args:
        user: run it as an ordinary user (only root can ask for that).
        scratch: a private directory, below level "namespaces".
        read_only: more paths to show.
    """

    def __init__(self, level: str, user: bool, scratch: Path, read_only: tuple[str, ...] = (), **options: Any) -> None:
        interpreter = python_of(user)
        assert interpreter
        if user:
            os.chown(scratch, USER, USER)
        spec = {
            "level": level, "read_only": [*interpreter["read_only"], *read_only], "tmp_mb": 16,
            "scratch": "" if level == "namespaces" else str(scratch), "stack_mb": 512, "open_files": 64,
        }  # fmt: skip
        first = {
            "sources": [(name, (PACKAGE / f"{name}.py").read_text()) for name in MODULES],
            "spec": spec, "path": interpreter["path"] + options.pop("path", []),
            "without_mount_setattr": False, "without_user_namespaces": False, **options,
        }  # fmt: skip
        self.process = subprocess.Popen(
            [*_as_user(user), interpreter["python"], "-I", "-S", "-c", DRIVER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={}, cwd="/", start_new_session=True,
        )  # fmt: skip
        answer = self._ask(first)
        if answer == "map":
            for name in ("uid_map", "gid_map"):
                Path(f"/proc/{self.process.pid}/{name}").write_text("0 0 1\n65534 65534 1")
            answer = self._ask("mapped")
        if answer is None or "error" in answer:
            self.close()
            raise Died(answer and answer["error"])
        self.level, self.uid, self.filtered = answer["level"], answer["uid"], answer["filtered"]

    def _ask(self, question: Any) -> Any:
        assert self.process.stdin and self.process.stdout
        text = question if isinstance(question, str) else json.dumps(question)
        self.process.stdin.write(text + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def run(self, code: str, **limits: int) -> Result:
        answer = self._ask({"code": code, "limits": {**LIMITS, **limits}})
        assert answer is not None, "the zygote has died"
        report = json.loads(answer["data"]) if answer["data"] else {}
        return Result(
            report.get("out"), report.get("error", ""), answer["signal"],
            report.get("confine_us", 0.0), answer["clean_us"],
        )  # fmt: skip

    @property
    def inner_pid(self) -> int:
        """The zygote's pid outside."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if self.level == "namespaces" else pid

    def close(self) -> None:
        assert self.process.stdin and self.process.stdout
        self.process.stdin.close()
        self.process.wait(60)
        self.process.stdout.close()


def start(kind: tuple[str, str], scratch: Path, **options: object) -> Driver:
    level, who = kind
    if python_of(who == "user") is None:
        pytest.skip("no interpreter that another user may run")
    try:
        return Driver(level, who == "user", scratch, **options)  # type: ignore[arg-type]
    except Died as died:
        if str(scratch) in str(died):  # no refusal of the machine's: the tests would be left out unnoticed
            raise
        pytest.skip(f"this machine refuses: {died}")


def reachable(directory: Path) -> Path:
    """Another user must be able to walk to it; pytest's own directories are private."""
    for parent in list(directory.parents)[:4]:
        if parent.name.startswith(("pytest-", "popen-")):  # the latter are those of pytest-xdist's workers
            parent.chmod(0o755)
    return directory


@contextmanager
def open_folder() -> Iterator[Path]:
    """A folder that other users can walk to for as long as a module's tests run: pytest closes its own folders to
    them whenever another session of the same user starts."""
    place = Path(tempfile.mkdtemp(prefix="acecoder-tests-"))
    try:
        place.chmod(0o755)
        yield place
    finally:
        shutil.rmtree(place, ignore_errors=True)


def only(jail: Driver, *levels: str) -> None:
    if jail.level not in levels:
        pytest.skip(f"level {jail.level!r} does not promise this")
