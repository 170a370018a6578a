"""Keeps Ray Serve's replicas off the network.

Covers: the port on all addresses that every replica opens (ray/serve/_private/replica.py, hard-coded "[::]:0"): it
    unpickles what it is sent, from anybody. `keep` moves such ports to the loopback.
Does not cover: Ray's other ports, which follow its node address; clusters of several nodes, whose network is trusted.
"""

from __future__ import annotations

from typing import Any

EVERYWHERE = ("[::]:", "0.0.0.0:")


def keep() -> None:
    """For Ray's `worker_process_setup_hook`: gRPC servers of this process listen on 127.0.0.1 only."""
    from grpc.aio import _server

    add = _server.Server.add_insecure_port

    def on_loopback(self: Any, address: str) -> int:
        for begin in EVERYWHERE:
            if address.startswith(begin):
                address = "127.0.0.1:" + address.removeprefix(begin)
        return add(self, address)

    _server.Server.add_insecure_port = on_loopback
