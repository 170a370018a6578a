"""How many GPUs a model needs to be served, told offline.

Covers: a folder, by the size of its files; a Hub id, by the "32B" in its name.
Does not cover: memory for anything but weights: a share of each GPU is left for that.
"""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

# Of weights in bf16, on a GPU of 80 GB: the rest is for activations. So 7B and 14B take one GPU, 32B takes two.
WEIGHTS_GB = 48
_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
_NAMED = re.compile(r"(?:^|[-_/.])(\d+(?:\.\d+)?)[bB](?![A-Za-z0-9])")


def gpus_for(path: str) -> int:
    """GPUs over which a model of this path is spread when it is served in bf16; 1 where nothing tells its size."""
    billions = parameters(path)
    return 1 if billions is None else max(1, math.ceil(2 * billions / WEIGHTS_GB))


def parameters(path: str) -> float | None:
    """Of a folder's or a Hub id's model, in billions; None = not known."""
    folder = Path(path).expanduser()
    if folder.is_dir() and (size := sum(file.stat().st_size for file in folder.glob("*.safetensors"))):
        return size / _width(folder) / 1e9
    named = _NAMED.findall(path)
    return float(named[-1]) if named else None


def _width(folder: Path) -> int:
    """Bytes a parameter."""
    try:
        config = json.loads((folder / "config.json").read_text())
    except (OSError, ValueError):
        return 2  # whoever loads it will say what is wrong
    return _BYTES.get(str(config.get("dtype") or config.get("torch_dtype")), 2) if isinstance(config, dict) else 2
