"""Where a benchmark's rows are: a file the user gives, an installed package, EvalPlus's cache, the Hub.

Covers: JSONL, JSON and Parquet as everywhere here, and JSONL packed by gzip, as benchmarks are published.
Does not cover: what the rows hold.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from acecoder_rl.records import InputError, check_readable, iter_rows

Record = tuple[str, dict[str, Any]]  # its place, for messages; and the row


@dataclass(frozen=True)
class Hub:
    """Data on the Hugging Face Hub.

    Attributes:
        repository: a dataset's id.
        split: of it.
        name: of its configuration.
        files: JSON Lines to take as they stand, for datasets that are no Parquet.
    """

    repository: str
    split: str = "test"
    name: str | None = None
    files: tuple[str, ...] = ()


@dataclass(frozen=True)
class Found:
    """Rows, and where they were found."""

    rows: list[Record]
    source: str


def find(name: str, given: Sequence[Path], here: Sequence[Path | None], hub: Hub | None, fetch: Sequence[str]) -> Found:
    """The rows of a benchmark.

    Args:
        name: of the benchmark.
        given: the user's files, which are the only ones looked at if there are any.
        here: where else files may be, best first; those that do not exist are passed over.
        hub: tried last.
        fetch: the files to fetch by hand, as addresses.

    Raises:
        InputError: there is none, and which file to fetch; or a row cannot be read.
    """
    if given:
        return Found([row for path in given for row in read(path)], ", ".join(map(str, given)))
    for path in here:
        if path is not None and path.is_file():
            return Found(read(path), str(path))
    reason = ""
    if hub is not None:
        try:
            return Found(_from_hub(hub), f"hf.co/datasets/{hub.repository}")
        except (OSError, ValueError, ImportError) as error:  # the Hub's errors are one of these
            reason = f" (the Hub: {type(error).__name__}: {str(error).strip().partition(chr(10))[0][:200]})"
    looked = "".join(f"\n  looked for {path}" for path in here if path is not None)
    options = " ".join(f"--data {name}={address.rpartition('/')[2]}" for address in fetch)
    addresses = "".join(f"\n  {address}" for address in fetch)
    raise InputError(f"{name}: its data is not here{reason}: fetch{addresses}\nand give {options}{looked}")


def read(path: Path) -> list[Record]:
    """All rows of a file.

    Raises:
        InputError: one cannot be read.
    """
    if path.suffix == ".gz":
        return _gzip_rows(path)
    found = []
    for row in iter_rows(path):
        if row.record is None:
            raise InputError(f"{row.where} {row.reason}")
        found.append((row.where, row.record))
    return found


def in_package(package: str, *parts: str) -> Path | None:
    """A data file of an installed package, which is not imported; None without the package."""
    found = importlib.util.find_spec(package)
    if found is None or not found.submodule_search_locations:
        return None
    return Path(next(iter(found.submodule_search_locations)), *parts)


def in_evalplus_cache(file: str) -> Path:
    """Where EvalPlus keeps a file."""
    base = os.environ.get("XDG_CACHE_HOME", "").strip() or "~/.cache"
    return Path(base).expanduser() / "evalplus" / file


def from_environment(name: str) -> Path | None:
    """A file that EvalPlus's own environment variable names."""
    return Path(os.environ[name]) if os.environ.get(name) else None


def digest(rows: Sequence[Record]) -> str:
    """Of the rows: work on other data is not resumed."""
    found = hashlib.sha256()
    for _, row in rows:
        found.update(json.dumps(row, sort_keys=True, default=str).encode("utf-8", "surrogatepass"))
    return found.hexdigest()[:16]


def _gzip_rows(path: Path) -> list[Record]:
    check_readable(path)
    found = []
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    row = json.loads(line)
                    if not isinstance(row, dict):
                        raise InputError(f"{path.name}:{number} is no JSON object: one JSON object a line")
                    found.append((f"{path.name}:{number}", row))
    except InputError:
        raise
    except (OSError, EOFError, ValueError) as error:
        raise InputError(f"{path} is no JSONL packed by gzip ({error}): fetch it again") from None
    return found


def _from_hub(hub: Hub) -> list[Record]:
    if hub.files:
        from huggingface_hub import hf_hub_download

        paths = [hf_hub_download(hub.repository, name, repo_type="dataset") for name in hub.files]
        return [row for path in paths for row in read(Path(path))]
    from datasets import load_dataset

    rows = load_dataset(hub.repository, hub.name, split=hub.split)
    return [(f"{hub.repository}: row {number}", dict(row)) for number, row in enumerate(rows)]
