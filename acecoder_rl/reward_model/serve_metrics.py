"""Figures of a served reward model, as Prometheus reads them.

Covers: `Figures`, one a replica; `exposition`, the text of all replicas together.
Does not cover: Ray's own metrics (Ray exports them where its dashboard runs).
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128, 256)  # items in a batch
PREFIX = "acecoder_rm"


@dataclass
class Figures:
    """What one replica has done.

    Attributes:
        requests: by "path status".
        items: pairs scored.
        batches: how many batches had at most as many items as each of BUCKETS, but more than the one before.
        batch_seconds: that the scorer worked.
        request_seconds: from a request's arrival to its answer, added up.
        flags: how many scores had each flag.
        queued: items that wait now.
    """

    requests: Counter[str] = field(default_factory=Counter)
    items: int = 0
    batches: list[int] = field(default_factory=lambda: [0] * len(BUCKETS))
    batch_seconds: float = 0.0
    request_seconds: float = 0.0
    flags: Counter[str] = field(default_factory=Counter)
    queued: int = 0

    def batch(self, items: int, seconds: float) -> None:
        """Count a batch."""
        self.items += items
        self.batches[min(bisect_left(BUCKETS, items), len(BUCKETS) - 1)] += 1
        self.batch_seconds += seconds

    def to_dict(self) -> dict[str, Any]:
        """For JSON. (`asdict` would count a Counter's items anew.)"""
        return {**vars(self), "requests": dict(self.requests), "flags": dict(self.flags), "batches": list(self.batches)}


def exposition(replicas: dict[str, dict[str, Any]]) -> str:
    """Prometheus' text format.

    Args:
        replicas: name of a replica -> `Figures.to_dict()`.
    """
    lines: list[str] = []

    def metric(name: str, kind: str, told: str, rows: list[tuple[str, float]]) -> None:
        lines.extend((f"# HELP {PREFIX}_{name} {told}", f"# TYPE {PREFIX}_{name} {kind}"))
        lines.extend(f"{PREFIX}_{name}{labels} {value}" for labels, value in rows)

    def each(field_name: str) -> list[tuple[str, float]]:
        return [(f'{{replica="{replica}"}}', figures[field_name]) for replica, figures in replicas.items()]

    counted = [
        (f'{{replica="{replica}",path="{key.split()[0]}",status="{key.split()[1]}"}}', count)
        for replica, figures in replicas.items()
        for key, count in sorted(figures["requests"].items())
    ]
    metric("requests_total", "counter", "Requests answered.", counted)
    metric("request_seconds_total", "counter", "From arrival to answer, added up.", each("request_seconds"))
    metric("items_total", "counter", "Pairs scored.", each("items"))
    metric("queued_items", "gauge", "Pairs that wait.", each("queued"))
    flagged = [
        (f'{{replica="{replica}",flag="{flag}"}}', count)
        for replica, figures in replicas.items()
        for flag, count in sorted(figures["flags"].items())
    ]
    metric("flagged_total", "counter", "Scores with a flag.", flagged)
    metric("batch_seconds_total", "counter", "That the model worked.", each("batch_seconds"))
    lines.extend((f"# HELP {PREFIX}_batch_items Pairs in a batch.", f"# TYPE {PREFIX}_batch_items histogram"))
    for replica, figures in replicas.items():
        below = 0
        for bound, count in zip(BUCKETS, figures["batches"], strict=True):
            below += count
            lines.append(f'{PREFIX}_batch_items_bucket{{replica="{replica}",le="{bound}"}} {below}')
        lines.append(f'{PREFIX}_batch_items_bucket{{replica="{replica}",le="+Inf"}} {below}')
        lines.append(f'{PREFIX}_batch_items_sum{{replica="{replica}"}} {figures["items"]}')
        lines.append(f'{PREFIX}_batch_items_count{{replica="{replica}"}} {below}')
    return "\n".join(lines) + "\n"
