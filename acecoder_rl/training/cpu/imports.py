"""Patch a module when, and only if, it is imported.

Covers: `after(name, patch)`, also for modules that are there already.
The reason: Ray calls our hook in each of its workers, and importing OpenRLHF and DeepSpeed takes 10 s of CPU and
half a gigabyte, which the sandbox's workers need not spend.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
from collections.abc import Callable, Sequence
from types import ModuleType

Patch = Callable[[], None]


def after(name: str, patch: Patch) -> None:
    """Call `patch` once the module has run, or now if it has."""
    if name in sys.modules:
        patch()
        return
    if not any(isinstance(finder, _Watch) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Watch())
    _WAITING.setdefault(name, []).append(patch)


_WAITING: dict[str, list[Patch]] = {}


class _Watch(importlib.abc.MetaPathFinder):
    """Hands on to the ordinary finders, with a loader that patches afterwards."""

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name not in _WAITING:
            return None
        others = (finder for finder in sys.meta_path if finder is not self)
        found = (finder.find_spec(name, path, target) for finder in others)
        spec = next((spec for spec in found if spec is not None), None)
        if spec is not None and spec.loader is not None:
            execute = spec.loader.exec_module

            def exec_module(module: ModuleType) -> None:
                execute(module)
                # Not before: many only ask whether a module could be imported.
                for patch in _WAITING.get(name, ()):
                    patch()
                _WAITING.pop(name, None)  # a patch that fails is tried again, as the module is

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec
