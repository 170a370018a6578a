"""Start a zygote in its jail and talk to it (worker side).

Covers: the interpreter's command line, the sources it is given, uid maps, the memory cgroup, the
fork / end protocol of zygote.py.
"""

from __future__ import annotations

import array
import contextlib
import marshal
import os
import signal
import socket
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from acecoder_rl.sandbox import cgroup
from acecoder_rl.sandbox.inside.scratch import empty
from acecoder_rl.sandbox.inside.zygote import STATUS
from acecoder_rl.sandbox.verdict import Limits, SandboxError

MIB = 1 << 20
HERE = Path(__file__).parent
BOOT = """
import sys
sys.path[:] = filter(None, sys.path)
import marshal, socket
from importlib.machinery import ModuleSpec
control = socket.socket(fileno=int(sys.argv[1]))
size = int.from_bytes(control.recv(8), "little")
data = b""
while len(data) < size:
    data += control.recv(1 << 17)
class Sent:
    code = marshal.loads(data)
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name in cls.code:
            return ModuleSpec(name, cls, is_package=cls.code[name] is None)
    @staticmethod
    def create_module(spec):
        return None
    @classmethod
    def exec_module(cls, module):
        code = cls.code[module.__name__]
        if code is not None:
            if isinstance(code, str):
                code = compile(code, "<" + module.__name__ + ">", "exec")
            exec(code, module.__dict__)
sys.meta_path.insert(0, Sent)
try:
    from acecoder_rl.sandbox.inside import zygote
except BaseException as error:
    control.send(("!%s: %s" % (type(error).__name__, error)).encode())
    raise
zygote.main(control)
"""
START_SECONDS = 60.0
SCRATCH = "acecoder-sandbox-"


@dataclass(frozen=True)
class Ended:
    """How a child ended: wait status, CPU seconds, peak resident KiB."""

    status: int
    cpu_seconds: float
    max_rss_kb: int

    @property
    def signal(self) -> int:
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else 0

    @property
    def exit_code(self) -> int:
        return os.WEXITSTATUS(self.status) if os.WIFEXITED(self.status) else 0


class Zygote:
    """A warm interpreter in a jail of its own; one child at a time.

    Args:
        role: "candidate"; "shared", a candidate whose tests run in it; "judge"; "frameworks", a judge that
            has pytest and unittest at hand.
        config: the worker's configuration (pool.py).
        hash_seed: PYTHONHASHSEED of the interpreter, 0 to 4294967295.
    """

    def __init__(self, role: str, config: dict[str, Any], hash_seed: int = 0) -> None:
        self.role, self.limits = role, Limits(**config["limits"])
        interpreter = config["interpreters"]["judge" if role == "frameworks" else role]
        self.scratch = ""
        if config["level"] != "namespaces":
            self.scratch = tempfile.mkdtemp(prefix=f"{SCRATCH}{os.getpid()}-")
        self.group = cgroup.MemoryGroup.create(f"{os.getpid()}-{role}-{hash_seed}", (self.limits.memory_mb + 256) * MIB)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.settimeout(START_SECONDS)
        # Not -I, which ignores PYTHONHASHSEED. What else it keeps out is not there: the environment is our own, and
        # BOOT takes the working directory off sys.path.
        command = [interpreter["python"], "-s", "-S", "-X", "utf8", "-c", BOOT, str(theirs.fileno())]
        environment = {"PYTHONHASHSEED": str(hash_seed)}
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        nothing = subprocess.DEVNULL
        self.process = subprocess.Popen(
            command, pass_fds=(theirs.fileno(),), env=environment, cwd="/", start_new_session=True,
            stdin=nothing, stdout=nothing, stderr=nothing,
        )  # fmt: skip
        theirs.close()
        self.control = ours
        try:
            if self.group:
                self.group.add(self.process.pid)
            self._start(interpreter, config)
        except BaseException:
            self.close()
            raise
        ours.settimeout(None)
        self.baseline = self._virtual_bytes()
        self.oom_kills = self.group.oom_kills() if self.group else 0

    def _start(self, interpreter: dict[str, Any], config: dict[str, Any]) -> None:
        sources = code_inside(tuple(interpreter["version"]) == sys.version_info[:2])
        self.control.send(len(sources).to_bytes(8, "little"))
        for start in range(0, len(sources), 1 << 16):
            self.control.send(sources[start : start + (1 << 16)])
        spec = {
            "role": self.role, "level": config["level"], "read_only": interpreter["read_only"],
            "path": interpreter["path"], "preload": interpreter["preload"], "scratch": self.scratch,
            "tmp_mb": 64, "stack_mb": 512, "open_files": 256,
        }  # fmt: skip
        self.control.send(marshal.dumps(spec))
        while (answer := self._answer()) != b"R":
            if answer == b"M":
                self.control.send(b"ok" if self._map_ids() else b"no")
            else:
                raise SandboxError(f"the sandbox cannot start: {answer[1:].decode(errors='replace')}")

    def _answer(self) -> bytes:
        try:
            answer = self.control.recv(65536)
        except (TimeoutError, ConnectionError) as error:
            raise SandboxError(f"the {self.role} interpreter did not answer: {error}") from error
        if not answer:
            raise SandboxError(
                f"the {self.role} interpreter ended while starting (exit status {self.process.wait()}): "
                f"run `acecoder-rl doctor`, and check that {self.process.args[0]} is a working Python"
            )
        return answer

    def _map_ids(self) -> bool:
        """Root's part of a user namespace: 0 is 0, and the candidate's uid is nobody outside too."""
        process = Path("/proc") / str(self.process.pid)
        try:
            (process / "uid_map").write_text("0 0 1\n65534 65534 1")
            (process / "gid_map").write_text("0 0 1\n65534 65534 1")
        except OSError:
            return False
        return True

    def _virtual_bytes(self) -> int:
        """Address space of the bare interpreter, so that memory_mb is what a program may add."""
        child = self.process.pid
        children = Path(f"/proc/{child}/task/{child}/children")
        if children.exists() and (inner := children.read_text().split()):
            child = int(inner[0])
        try:
            return int(Path(f"/proc/{child}/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
        except OSError:
            return 256 * MIB

    def fork(self, limits: Limits, descriptors: list[int]) -> None:
        """Fork a confined child that gets `descriptors`; close them here yourself."""
        confinement = {
            "memory_bytes": self.baseline + limits.memory_mb * MIB,
            "cpu_seconds": int(limits.program_seconds) + 3,
            "fsize_bytes": int(limits.output_mb * MIB) + MIB,
            "processes": limits.processes,
        }
        self._send(b"F" + marshal.dumps(confinement), descriptors)

    def kill(self) -> None:
        """Kill and reap the child, without waiting for it."""
        self._send(b"K", [])

    def end(self) -> Ended:
        """Kill and reap the child.

        Raises:
            SandboxError: there was no child, since fork was refused.
        """
        self._send(b"E", [])
        try:
            answer = self.control.recv(64)
        except ConnectionError:
            answer = b""
        if len(answer) != STATUS.size:
            raise SandboxError(f"the {self.role} interpreter of the sandbox died: is the machine out of memory?")
        forked, status, cpu_seconds, max_rss = STATUS.unpack(answer)
        if forked != 1:
            reason = os.strerror(-forked) if forked < 0 else "no child"
            raise SandboxError(f"the sandbox cannot fork ({reason}): raise the process limit (ulimit -u, pids cgroup)")
        return Ended(status, cpu_seconds, max_rss)

    def out_of_memory(self) -> bool:
        """True when the memory cgroup has killed since last asked."""
        if not self.group:
            return False
        before, self.oom_kills = self.oom_kills, self.group.oom_kills()
        return self.oom_kills > before

    def _send(self, packet: bytes, descriptors: list[int]) -> None:
        fds = array.array("i", descriptors)
        try:
            self.control.sendmsg([packet], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, fds)] if descriptors else [])
        except OSError as error:
            raise SandboxError(f"the {self.role} interpreter of the sandbox died: {error}") from error

    def close(self) -> None:
        """End the zygote, its child, its cgroup and its scratch directory."""
        self.control.close()
        try:
            self.process.wait(timeout=2)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        if self.group:
            self.group.remove()
        if self.scratch:
            _remove(self.scratch)


def remove_scratch(pid: int) -> None:
    """Remove the scratch directories of a worker that was killed."""
    for path in Path(tempfile.gettempdir()).glob(f"{SCRATCH}{pid}-*"):
        _remove(str(path))


def _remove(scratch: str) -> None:
    with contextlib.suppress(OSError):  # shutil.rmtree recurses, and a program may nest a thousand deep
        empty(scratch)
        os.rmdir(scratch)


@cache
def code_inside(same_version: bool) -> bytes:
    """The modules of inside/, compiled where the jail's Python is of our version, else as source: the
    zygote has no package directory."""
    packages = ("acecoder_rl", "acecoder_rl.sandbox", "acecoder_rl.sandbox.inside")
    code: dict[str, Any] = dict.fromkeys(packages)
    for file in HERE.glob("inside/[!_]*.py"):
        name, source = f"{packages[-1]}.{file.stem}", file.read_text()
        code[name] = compile(source, f"<{name}>", "exec") if same_version else source
    return marshal.dumps(code)
