"""How often a reward model ranks held-out pairs right, and where it does not.

Covers: accuracy with its interval and mean margin: overall, by the gap between the pass rates, by which side is
    longer (where accuracy is much higher when the chosen side is the longer one, the model likes length).
Does not cover: scoring (trainer.py); best-of-N, which says more (evaluation/best_of_n.py).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SIMILAR = 0.1  # of the longer answer's characters
GAPS = (0.2, 0.4, 0.6, 0.8)


@dataclass(frozen=True)
class Scored:
    """A held-out pair and its scores.

    Attributes:
        chosen, rejected: the scores.
        chosen_chars, rejected_chars: of the answers.
        gap: between the pass rates, in [0, 1]; None where it is not known.
    """

    chosen: float
    rejected: float
    chosen_chars: int
    rejected_chars: int
    gap: float | None = None


def report(pairs: Sequence[Scored]) -> dict[str, Any]:
    """The figures, ready for JSON; buckets without pairs are left out."""
    return {
        **_figures(pairs),
        "by_gap": _buckets(pairs, _gap),
        "by_length": _buckets(pairs, _length),
    }


def flat(figures: dict[str, Any]) -> dict[str, float]:
    """The same as one number a name, for metrics.jsonl: "eval_accuracy", "eval_accuracy/chosen longer", ..."""
    found = {"eval_accuracy": figures["accuracy"], "eval_margin": figures["mean_margin"]}
    for kind in ("by_gap", "by_length"):
        found |= {f"eval_accuracy/{name}": inner["accuracy"] for name, inner in figures[kind].items()}
    return found


def interval(hits: int, total: int) -> tuple[float, float]:
    """Wilson's 95 % interval of a share."""
    z, share = 1.96, hits / total
    middle = (share + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * math.sqrt(share * (1 - share) / total + z * z / (4 * total * total))
    return max(0.0, middle - half), min(1.0, middle + half)


def _figures(pairs: Sequence[Scored]) -> dict[str, Any]:
    # A tie is not ranked right.
    hits = sum(pair.chosen > pair.rejected for pair in pairs)
    return {
        "pairs": len(pairs),
        "accuracy": hits / len(pairs),
        "accuracy_interval": [round(end, 4) for end in interval(hits, len(pairs))],
        "mean_margin": math.fsum(pair.chosen - pair.rejected for pair in pairs) / len(pairs),
    }


def _buckets(pairs: Sequence[Scored], name: Any) -> dict[str, dict[str, Any]]:
    groups: dict[str, list[Scored]] = {}
    for pair in pairs:
        groups.setdefault(name(pair), []).append(pair)
    groups.pop("", None)
    return {bucket: _figures(groups[bucket]) for bucket in sorted(groups)}


def _gap(pair: Scored) -> str:
    if pair.gap is None:
        return ""
    # The gap comes from fp32: 0.6 must not fall below 0.6.
    above = max((edge for edge in GAPS if pair.gap >= edge - 1e-6), default=0.0)
    return f"gap {above:.1f} to {above + 0.2:.1f}"


def _length(pair: Scored) -> str:
    longer = max(pair.chosen_chars, pair.rejected_chars)
    if abs(pair.chosen_chars - pair.rejected_chars) <= SIMILAR * longer:
        return "similar length"
    return "chosen longer" if pair.chosen_chars > pair.rejected_chars else "chosen shorter"
