"""Benchmarks by name, and the columns of the paper's table.

Does not cover: how each is read (its own file).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from acecoder_rl.evaluation.benchmarks import bigcodebench, humaneval, livecodebench, mbpp
from acecoder_rl.evaluation.benchmarks.items import Benchmark
from acecoder_rl.records import InputError

# The paper's nine columns, in its order.
COLUMNS = {
    "humaneval": "HumanEval",
    "humaneval+": "HumanEval+",
    "mbpp": "MBPP",
    "mbpp+": "MBPP+",
    "bigcodebench-complete": "BCB-C Full",
    "bigcodebench-complete-hard": "BCB-C Hard",
    "bigcodebench-instruct": "BCB-I Full",
    "bigcodebench-instruct-hard": "BCB-I Hard",
    "livecodebench": "LCB",
}


@dataclass(frozen=True)
class DataOptions:
    """Which data.

    Attributes:
        files: the user's, by benchmark. Without one of its own, humaneval takes that of humaneval+, mbpp that of mbpp+,
            and BigCodeBench's four those of "bigcodebench" and "bigcodebench-hard".
        release, first, last: of LiveCodeBench; v4 is the paper's.
        python: the interpreter whose packages BigCodeBench's programs have.
    """

    files: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    release: str = "release_v4"
    first: date | None = None
    last: date | None = None
    python: str | None = None


def load(name: str, options: DataOptions) -> Benchmark:
    """A benchmark with its data.

    Raises:
        InputError, ProblemError: no such benchmark; its data is not here, or malformed.
    """
    check_name(name)
    found = _load(name, options)
    if not found.items:
        raise InputError(f"{name}: {found.source} has no problems")
    ids = Counter(item.id for item in found.items)
    if twice := [each for each, count in ids.items() if count > 1]:
        raise InputError(f"{name}: {found.source} has the problem {twice[0]} twice: give each file once")
    return found


def _load(name: str, options: DataOptions) -> Benchmark:
    family, *kinds = name.split("-")
    if family == "bigcodebench":
        subset = "hard" if "hard" in kinds else "full"
        own = options.files.get(name) or options.files.get("bigcodebench-hard" if subset == "hard" else "bigcodebench")
        return bigcodebench.load(own or (), kinds[0], subset, options.python)
    given = options.files.get(name) or options.files.get(f"{name}+") or ()  # EvalPlus's file has the base tests too
    if family == "livecodebench":
        return livecodebench.load(given, options.release, options.first, options.last)
    loader: Callable[[Sequence[Path], bool], Benchmark] = {"humaneval": humaneval, "mbpp": mbpp}[
        family.rstrip("+")
    ].load
    return loader(given, name.endswith("+"))


def check_name(name: str) -> None:
    """Raises InputError unless there is such a benchmark."""
    if name not in COLUMNS:
        raise InputError(f"there is no benchmark {name!r}: give one of {', '.join(COLUMNS)}")
