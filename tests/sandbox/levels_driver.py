"""In a process of its own: take kernel features away for good, then start a sandbox and try it.

Reads one JSON object from stdin, writes one to stdout: the isolation, what each basic program got, which
hostile programs earned something; or the error that the sandbox refused to start with.
"""

from __future__ import annotations

import ctypes
import json
import struct
import sys

asked = json.load(sys.stdin)
sys.path.insert(0, asked["root"])

from acecoder_rl.sandbox import Limits, Sandbox, SandboxError  # noqa: E402
from tests.hostile.case import RIGHT, ROUTES, WRONG, right_at  # noqa: E402
from tests.hostile.host import HOST  # noqa: E402

LIMITS = Limits(test_seconds=0.25, program_seconds=3.0, wall_seconds=20.0, memory_mb=256)
BASIC = {
    "right": RIGHT,
    "wrong": WRONG,
    "error": "def add(a, b): return 1 / 0",
    "timeout": "def add(a, b):\n    while True: pass",
    "sleep": "import time\ndef add(a, b): time.sleep(99)",
    "memory": "def add(a, b): return len(b'x' * (1 << 40))",
    "crash": "import os\ndef add(a, b): os.abort()",
    "syntax": "def add(a, b",
}


def block(calls: dict[str, int]) -> None:
    """Fail these system calls from here on, in this process and its children, with the given errno."""
    code = [(0x20, 0, 0, 0)]
    for number, error in calls.items():
        code += [(0x15, 0, 1, int(number)), (0x06, 0, 0, 0x00050000 | error)]
    code.append((0x06, 0, 0, 0x7FFF0000))
    buffer = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *step) for step in code))
    program = ctypes.create_string_buffer(struct.pack("@HP", len(code), ctypes.addressof(buffer)), 16)
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, program, 0, 0) == 0


def attempt() -> dict:
    try:
        sandbox = Sandbox(workers=1, limits=LIMITS, require=asked["require"], dedupe=False)
    except SandboxError as error:
        return {"refused": str(error)}
    with sandbox:
        got = {}
        right = right_at(sandbox.isolation)
        for name, program in {**BASIC, "right": right}.items():
            for route in ("calls", "judge", "stdio") if name in ("right", "wrong") else ("calls",):
                verdict = sandbox.run(program, ROUTES[route])
                status = verdict.status if verdict.status != "ok" else verdict.outcomes[0].status
                got[f"{name}-{route}"] = [status, verdict.pass_rate]
        earned = []
        for program in HOST:
            if asked["files"] or program.name.startswith("call-"):
                code = program.code.replace("/@FILE@", asked["secret"])
                if sandbox.run(code, ROUTES["calls"]).pass_rate:
                    earned.append(program.name)
        after = sandbox.run(right, ROUTES["calls"]).pass_rate
        return {"isolation": sandbox.isolation, "got": got, "earned": earned, "after": after}


block(asked["block"])
print(json.dumps(attempt()))
