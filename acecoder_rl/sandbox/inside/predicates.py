"""Methods of plain data that compare: what an object of the program's says under their names is its word.

Covers: which names they are, and what it means that an object has such a method.
Does not cover: operators and truth (handles.py). Stand-alone.
Hostile input: `assertSetEqual(f(x), {...})` asks `f(x).difference({...})`: a class of the program's could keep
what it is given, and be it from then on.
"""

from __future__ import annotations

from typing import Any

# Refused: hardly another kind of object has them, and they get the whole expected value.
OF_SETS = frozenset(("difference", "symmetric_difference", "issubset", "issuperset", "isdisjoint",
                     "difference_update", "symmetric_difference_update", "intersection_update"))  # fmt: skip
# Other classes have such methods too (a Trie's startswith, a UnionFind's union): a claim. Tests take what they expect
# out of a list with `remove`, and look at whether it is empty then.
OF_DATA = frozenset(("startswith", "endswith", "union", "intersection", "count", "index", "equals", "is_integer",
                     "remove", "discard"))  # fmt: skip
OF_DATA |= {name for name in dir(str) if name[:2] == "is"}


def vet_method(judge: Any, name: str, named: bool) -> None:
    """When the judge gets an object's method `name`; `named`: whether tests name the class.

    Raises:
        AttributeError: it is a set's, and they do not.
    """
    if name in OF_SETS:
        if not named:
            raise AttributeError(f"an object of the program has no {name!r}: it is no set")
        judge.claimed = True
    elif name in OF_DATA and not named:
        judge.claimed = True
