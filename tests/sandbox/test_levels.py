"""Less isolation than asked for is refused with a mend; where it is accepted, verdicts hold all the same.

Covers: levels forced by ACECODER_SANDBOX_ISOLATION, and by kernel features that are really gone (a seccomp
filter over the caller; user namespaces used up), as root and as an ordinary user.
Does not cover: what the host offers and why not (test_host.py), the jail's parts (test_jail.py).
"""

from __future__ import annotations

import errno
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.sandbox.jails import USER, open_folder, python_of

DRIVER = Path(__file__).with_name("levels_driver.py")
REPOSITORY = Path(__file__).resolve().parents[2]
MACHINE = platform.machine()
UNSHARE, SECCOMP = {"x86_64": (272, 317), "aarch64": (97, 277)}.get(MACHINE, (0, 0))
NO_NAMESPACES = {UNSHARE: errno.EPERM}
NO_LANDLOCK = dict.fromkeys((444, 445, 446), errno.ENOSYS)
WHO = ["root", "user"] if os.geteuid() == 0 else ["self"]
EXPECTED = {
    "right": ("passed", 1.0),
    "wrong": ("failed", 0.0),
    "error": ("error", 0.0),
    "timeout": ("timeout", 0.0),
    "sleep": ("timeout", 0.0),
    "memory": ("memory", 0.0),
    "crash": ("crashed", 0.0),
    "syntax": ("syntax_error", 0.0),
}
pytestmark = pytest.mark.skipif(not UNSHARE, reason=f"no system call numbers for {MACHINE}")


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A copy of the package and the hostile programs that any user can read, and a file that none should."""
    with open_folder() as directory:
        for name in ("acecoder_rl", "tests/hostile"):
            shutil.copytree(REPOSITORY / name, directory / name, ignore=shutil.ignore_patterns("__pycache__"))
        (directory / "tests/__init__.py").touch()  # else an installed package that ships `tests` would be found first
        (directory / "driver.py").write_text(DRIVER.read_text())
        (directory / "secret").write_text("CANARY")
        subprocess.run(["chmod", "-R", "a+rX", str(directory)], check=True)
        yield directory


def attempt(
    place: Path,
    who: str,
    require: str,
    block: dict[int, int] | None = None,
    cap: str = "",
    before: tuple[str, ...] = (),
) -> dict[str, Any]:
    """What became of a sandbox that requires `require`, after taking away what `block` says."""
    if who == "user" and not shutil.which("setpriv"):
        pytest.skip("only setpriv can play another user")
    interpreter = python_of(who == "user")
    if interpreter is None:
        pytest.skip("no interpreter that an ordinary user may run")
    python = interpreter["python"] if who == "user" else sys.executable
    switch = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if who == "user" else []
    asked = {
        "root": str(place),
        "require": require,
        "block": block or {},
        "secret": str(place / "secret"),
        "files": cap != "none" and not {UNSHARE, 444} <= set(block or ()),
    }
    environment = {"PATH": os.defpath, "CANARY_SECRET": "CANARY"}
    environment |= {"ACECODER_SANDBOX_ISOLATION": cap} if cap else {}
    done = subprocess.run(
        [*switch, *before, python, "-I", str(place / "driver.py")],
        input=json.dumps(asked),
        capture_output=True,
        text=True,
        env=environment,
        cwd="/",
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def check(result: dict[str, Any], isolation: str) -> None:
    """The sandbox runs at `isolation`, its verdicts are right and nothing hostile earns a point."""
    assert result.get("isolation") == isolation, result
    wrong = {name: got for name, got in result["got"].items() if tuple(got) != EXPECTED[name.partition("-")[0]]}
    assert not wrong and not result["earned"] and result["after"] == 1.0, result


# How a level is taken away: system calls that fail, or the user's own cap.
LESS = {
    "no namespaces": (NO_NAMESPACES, "", "namespaces", "landlock"),
    "no namespaces, no landlock": (NO_NAMESPACES | NO_LANDLOCK, "", "landlock", "none"),
    "capped at landlock": ({}, "landlock", "namespaces", "landlock"),
    "capped at none": ({}, "none", "landlock", "none"),
}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("how", LESS)
def test_less_is_refused_with_a_mend_or_accepted_and_said(place: Path, how: str, who: str) -> None:
    block, cap, too_much, level = LESS[how]
    refused = attempt(place, who, too_much, block, cap).get("refused", "")
    assert f"isolation {too_much!r} cannot be had here" in refused and "Mend: " in refused, refused
    assert f"require={level!r}" in refused and "acecoder-rl doctor" in refused
    check(attempt(place, who, level, block, cap), level)


@pytest.mark.slow
@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("block", [{}, NO_LANDLOCK], ids=["all", "no landlock"])
def test_namespaces_hold_without_landlock(place: Path, block: dict[int, int], who: str) -> None:
    result = attempt(place, who, "namespaces", block)
    if "refused" in result:
        pytest.skip(f"this machine has no namespaces for {who}: {result['refused']}")
    check(result, "namespaces")


@pytest.mark.parametrize("level", ["namespaces", "landlock"])
def test_nothing_above_none_runs_without_the_filter(place: Path, level: str) -> None:
    refused = attempt(place, WHO[-1], level, {SECCOMP: errno.ENOSYS}, cap=level).get("refused", "")
    assert "CONFIG_SECCOMP_FILTER" in refused


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("unshare"), reason="no unshare(1)")
def test_user_namespaces_used_up(place: Path) -> None:
    """In a user namespace whose count of further ones is 0."""
    script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec "$@"'
    before = ("unshare", "--user", "--map-root-user", "sh", "-c", script, "sh")
    if subprocess.run([*before, "true"], capture_output=True).returncode:
        pytest.skip("no user namespace to try it in")
    result = attempt(place, WHO[-1], "none", before=before)
    # As root of such a namespace one can still make the other namespaces; else the level falls.
    check(result, result["isolation"])
    again = attempt(place, WHO[-1], "namespaces", before=before)
    assert ("refused" in again) == (result["isolation"] != "namespaces"), again
