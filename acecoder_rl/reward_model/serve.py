"""A reward model on Ray Serve.

Covers: `serve` (an HTTP server, for `acecoder-rl serve-rm`), `start_in_ray` and `stop` (an app within a running Ray
    cluster, without HTTP).
Does not cover: scoring (scoring.py), joining requests (batching.py), asking (client.py).
"""

from __future__ import annotations


def start_in_ray(
    model: str, *, replicas: int = 1, gpus_per_replica: float = 0, format: str = "raw", threads: int | None = None,
    max_tokens: int | None = None, batch_tokens: int | None = None, dtype: str | None = None,
    name: str = "acecoder-rm",
) -> str:  # fmt: skip
    """Deploy a reward model in the running Ray cluster, without HTTP; returns its endpoint, "ray://name"."""
    raise NotImplementedError


def stop(endpoint: str) -> None:
    """End what `start_in_ray` started."""
    raise NotImplementedError
