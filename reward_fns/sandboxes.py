"""The sandbox of this machine, found lazily in whatever process a reward is asked.

Covers: the node's actor inside a Ray job, the process tree's server elsewhere; verdicts just reached, so that
    equal programs of a group run once, whether they come at once or one after the other.
Does not cover: starting one on many nodes (acecoder_rl.sandbox.cluster).
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import OrderedDict
from typing import Any

from acecoder_rl.problems import Tests
from acecoder_rl.sandbox.calls import Calls
from acecoder_rl.sandbox.remote import Settings
from acecoder_rl.sandbox.verdict import Limits, Verdict

RECENT = 2048  # verdicts kept: the rollouts that one engine has under way, and some

_found: dict[tuple[Settings, bool], Calls] = {}
_recent: OrderedDict[Any, Verdict] = OrderedDict()
_under_way: dict[Any, asyncio.Event] = {}
_lock = threading.Lock()


async def run(
    settings: Settings, program: str, tests: Tests, limits: Limits | None, stop_at_first_failure: bool
) -> Verdict:
    """The verdict of a program: from a run of its own, or from an equal one that is under way or just over.

    Args:
        limits: instead of those in `settings`.

    Raises:
        SandboxError: the sandbox cannot isolate as required, runs with other settings already, or failed.
    """
    key = settings, program, tests.digest, limits, stop_at_first_failure
    here = key, asyncio.get_running_loop()
    while (verdict := _known(key)) is None:
        if here in _under_way:  # an equal one: it has the verdict soon, unless it fails or is cancelled
            await _under_way[here].wait()
            continue
        _under_way[here] = asyncio.Event()
        try:
            sandbox = await find(settings)
            options: dict[str, Any] = {"stop_at_first_failure": stop_at_first_failure, "limits": limits}
            _remember(key, await sandbox.arun(program, tests, **options))
        finally:
            _under_way.pop(here).set()
    return verdict


def _known(key: Any) -> Verdict | None:
    with _lock:
        if key in _recent:
            _recent.move_to_end(key)
        return _recent.get(key)


def _remember(key: Any, verdict: Verdict) -> None:
    with _lock:
        _recent[key] = verdict
        if len(_recent) > RECENT:
            _recent.popitem(last=False)


async def find(settings: Settings) -> Calls:
    """The machine's sandbox, started when nobody has; one client a process and settings.

    Raises:
        SandboxError: it cannot isolate as required, or runs with other settings already.
    """
    if (settings, _in_ray()) in _found:
        return open_sandbox(settings)
    # Starting one takes a second: not in the event loop, which is also vLLM's.
    return await asyncio.to_thread(open_sandbox, settings)


def open_sandbox(settings: Settings) -> Calls:
    """`find` for callers without an event loop; blocks while the sandbox starts."""
    key = settings, _in_ray()
    if _in_ray():
        from acecoder_rl.sandbox.cluster import node_sandbox

        asked = {name: value for name, value in settings.asked().items() if name != "dedupe"}
        _found[key] = node_sandbox(**asked)  # it keeps its clients itself, and notices Ray's end
    elif key not in _found:
        from acecoder_rl.sandbox.shared import machine_sandbox

        _found[key] = machine_sandbox(**settings.asked())
    return _found[key]


def _in_ray() -> bool:
    """Whether this is a process of a Ray job. One that never imported Ray is not, and does not pay for it."""
    ray = sys.modules.get("ray")
    return ray is not None and ray.is_initialized()
