"""Finds the sandbox of this machine, lazily, in whatever process a reward is asked.

Covers: the node's actor inside a Ray job, the process tree's server elsewhere.
Does not cover: starting one on many nodes (acecoder_rl.sandbox.cluster).
"""

from __future__ import annotations

import sys

from acecoder_rl.sandbox.calls import Calls
from acecoder_rl.sandbox.remote import Settings

_found: dict[tuple[Settings, bool], Calls] = {}


def find(settings: Settings) -> Calls:
    """The machine's sandbox, started when nobody has; one client a process and settings.

    Raises:
        SandboxError: it cannot isolate as required, or runs with other settings already.
    """
    # A process that never imported Ray is in no Ray job, and does not pay for importing it.
    ray = sys.modules.get("ray")
    in_ray = ray is not None and ray.is_initialized()
    if in_ray:
        from acecoder_rl.sandbox.cluster import node_sandbox

        asked = {name: value for name, value in settings.asked().items() if name != "dedupe"}
        return node_sandbox(**asked)  # it keeps its clients itself, and notices Ray's end
    if (settings, in_ray) not in _found:
        from acecoder_rl.sandbox.shared import machine_sandbox

        _found[settings, in_ray] = machine_sandbox(**settings.asked())
    return _found[settings, in_ray]
